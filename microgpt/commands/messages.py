"""What training says: at its beginning, underway, and at its end. Each function gives a line, or none where there is
nothing to say; `print_lines` prints it.
"""

import sys
from dataclasses import asdict
from math import inf, log
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from microgpt.adam import scheduled_learning_rate
from microgpt.commands.script import escape_control, silence_stdout
from microgpt.errors import counted
from microgpt.gpt import GPTConfig
from microgpt.learning.parameters import parameter_count
from microgpt.learning.text import BOUNDARY, END, Corpus, closing, predictions, why_prose
from microgpt.learning.training import TensorUpdate, Update
from microgpt.runs.checkpoint import Checkpoint, Evaluation
from microgpt.runs.directory import Run
from microgpt.runs.files import quoted

LONGEST_SAMPLE = 40  # characters of what the model writes, on a line with others
LONGEST_LINE = 1000  # characters of a line that one may want to learn by itself
RISE = 0.01  # nats per character by which validation has to be worse than at its best to be worth a word


def print_lines(*lines: str) -> None:
    """Print lines, beside the progress bar, for whoever reads. Who stops reading has not asked us to stop."""
    try:
        for line in lines:
            if line:
                tqdm.write(escape_control(line), file=sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:
        silence_stdout()


def option_of(name: str, value: Any = None) -> str:
    """A setting as an option of the command line."""
    return "--" + name.replace("_", "-") + ("" if value is None else f" {value}")


def of_kind(text: str, usual: int, room: int) -> str:
    """What a text was taken for and why, where that may surprise, and the options that choose the other kind.

    Lines were given a context of `room` positions, where `usual` is the context that suits lines of unknown length.
    """
    lines = [line for line in text.split(BOUNDARY) if line]
    longest, why = max(map(len, lines)), why_prose(text, room)
    if why:
        option = f" --block-size {longest + 1}" if longest >= room else ""
        remedy = f": to learn it line by line, add --documents lines{option}" if longest <= LONGEST_LINE else ""
        return f"it is taken for prose, because {why}{remedy}"
    short = f"its {len(lines):,} lines have at most {longest} characters and do not look like sentences"
    why = short if room > usual else ""
    if text.strip(BOUNDARY).count(2 * BOUNDARY) >= len(lines) / 2:
        why += f"{' and ' if why else ''}its empty lines stand between the others"
    return f"it is learned line by line, because {why}: to learn it as prose, add --documents stream" if why else ""


def of_text(corpus: Corpus, data: str) -> str:
    """What there is to learn from."""
    if corpus.documents == "lines":
        learned, aside, more = counted(len(corpus.training), "line"), len(corpus.validation), ""
        kept = counted(aside, "other")
    else:
        aside, part = predictions(corpus.validation), predictions(corpus.part)
        learned, kept = counted(len(corpus.training[0]), "character"), f"the last {aside:,}"
        more = "" if part == aside else f" ({part:,} of them for a look in between)"
    held_out = f"{kept} {'is' if aside == 1 else 'are'} kept aside"
    return f"learning from {learned} of {data}; {held_out}, to see how well it does on what it has not seen{more}"


def of_model(config: GPTConfig, corpus: Corpus, settings: Any, suited: Any) -> str:
    """What is to learn, and the settings that were chosen for it."""
    kind = "lines" if corpus.documents == "lines" else "prose"
    chosen = " ".join(option_of(name, getattr(settings, name)) for name in suited)
    end = " and one for the end" if closing(corpus.vocabulary, corpus.documents) == END else ""
    return (
        f"a model with {counted(parameter_count(config), 'parameter')}, the numbers that it learns, for "
        f"{len(corpus.characters)} different characters{end}; settings for {kind}: {chosen}"
    )


def is_little(config: GPTConfig, corpus: Corpus) -> bool:
    """Whether a text has fewer characters to learn from than the model has parameters to do it with."""
    return predictions(corpus.training) < parameter_count(config)


def of_little_text(config: GPTConfig, corpus: Corpus) -> str:
    """Whether there are fewer characters than parameters, and what may come of it."""
    if not is_little(config, corpus):
        return ""
    return (
        f"note: {predictions(corpus.training):,} characters are little to learn from for {parameter_count(config):,} "
        "parameters. If they are learned by heart, you are told so, and the model is kept as it was at its best"
    )


def of_losses(config: GPTConfig, baseline: float) -> str:
    """What the numbers that follow mean."""
    return (
        "validation loss: how surprised the model is by each character of what was kept aside, minus the natural "
        f"logarithm of the chance that it gave it; lower is better. Guessing blindly among {config.vocab_size} is "
        f"{log(config.vocab_size):.2f} (a model that has learned nothing yet is a little worse), counting which "
        f"follows which {baseline:.2f}. After it stands what the model writes then, five times"
    )


def of_resumption(checkpoint: Checkpoint, directory: Path, settings: Any, may_change: Any, interval: int) -> list[str]:
    """Where a run goes on, and what is not as it was planned."""
    step, before = checkpoint.step, checkpoint.origin.settings
    lines = [f"going on with {directory} after step {step} of {before.get('steps', step)}"]
    changes = {n: v for n, v in asdict(settings).items() if n in may_change and n in before and v != before[n]}
    if changes:
        rate, end = (
            scheduled_learning_rate(i, settings.steps, settings.warmup, settings.learning_rate)
            for i in (step + 1, settings.steps)
        )
        lines.append(
            "changed: "
            + ", ".join(f"{option_of(name, before[name])} -> {value}" for name, value in changes.items())
            + f"; the learning rate goes on as if this had been planned from the beginning: {rate:.2g} at step "
            f"{step + 1}, {end:.2g} at step {settings.steps}; a validation every {counted(interval, 'step')}"
        )
    return lines


def of_measuring(corpus: Corpus) -> str:
    """What takes a while at the end."""
    held_out = counted(predictions(corpus.validation), "character")
    return f"measuring the best model on all {held_out} that were kept aside; Ctrl-C stops that, and nothing is lost"


def of_validation(found: Evaluation) -> str:
    """How well the model does now, and what it writes."""
    samples = "  ".join(" ".join(text.split())[:LONGEST_SAMPLE] or "(empty)" for text in found.samples)
    return f"step {found.step:5}   validation loss {found.loss:.4f}   {samples}"


def of_overfitting(best: Evaluation, found: Evaluation, training: list[float]) -> str:
    """Whether validation has risen since its best while training (its mean losses between looks) fell below that."""
    if len(training) < 2 or found.loss < best.loss + RISE or training[-1] >= min(training[-2], best.loss):
        return ""
    return (
        f"note: on what it has not seen it was better at step {best.step} ({best.loss:.4f}, now {found.loss:.4f}), and "
        f"on what it learns from it still gets better ({training[-2]:.4f}, now {training[-1]:.4f}): it begins to learn "
        "by heart. The best is what is kept; more text would help"
    )


def of_early_stop(best: Evaluation, found: Evaluation, training: list[float], blind: float, directory: Path) -> str:
    """Whether it is to stop: what it has not seen it guesses worse than blindly, because it learns by heart.

    Either it was better at that once, or its training loss has fallen below half of what blind guessing has.
    """
    by_heart = bool(training) and training[-1] < best.loss and (best.loss < BLIND * blind or training[-1] < blind / 2)
    if not by_heart or found.loss <= max(blind, best.loss):
        return ""
    return (
        f"stopped at step {found.step}: on what it has not seen it is worse than blind guessing by now, "
        f"{found.loss:.4f} against {blind:.4f}, while on what it learns from it is at {training[-1]:.4f}: it learns "
        f"that by heart. The best model, of step {best.step}, is kept. To go on all the same: python train.py --resume "
        f"{quoted(directory)}"
    )


def of_end(kept: Checkpoint, seconds: float, interrupted: bool, directory: Path) -> list[str]:
    """What came out, and what to do with it."""
    model, run = kept.model, quoted(directory)
    on_all = "" if model.loss_on_all is None else f", {model.loss_on_all:.4f} on all that was kept aside"
    lines = [
        f"{'interrupted after' if interrupted else 'learned in'} {counted(kept.step, 'step')}, {seconds:.0f} s: "
        f"validation loss {kept.initial_loss:.4f} -> {model.loss:.4f}{on_all}; the model is in {directory}"
    ]
    further = kept.step - model.step
    if further and not model.step:
        lines.append(
            "what is kept is the model before its first step, which writes noise: no later look found it better"
        )
    elif further:
        worse = "did not make it better on what it has not seen"
        lines.append(
            f"kept as it was at step {model.step}, where it was best: the {counted(further, 'step')} after that {worse}"
        )
    if interrupted:
        lines.append(of_going_on(directory))
    else:
        lines.append(f"to write with it: python sample.py --run {run}")
    return lines


def of_explaining(directory: Path) -> str:
    """How to see what the model computes, where a page can hold it."""
    return f"to look inside:   python explain.py --run {quoted(directory)} --open"


def of_untrained(run: Run) -> list[str]:
    """Whether a run has kept a model that has not learned anything."""
    if run.checkpoint is None or run.checkpoint.model.step:
        return []
    return [f"the model in {run.directory} is as it was before its first step of training: it writes noise"]


def of_going_on(directory: Path) -> str:
    """How to go on with a run."""
    return f"go on with: python train.py --resume {quoted(directory)}"


def remedy_of(settings: Any, steps: int) -> str:
    """What to try where training has left the finite numbers after so many steps of this call."""
    if not steps:
        return "no step was taken yet, so another --learning-rate changes nothing: mend the operation or the parameters"
    if settings.learning_rate <= 1 < settings.weight_decay * settings.learning_rate:  # weights change their signs
        return f"try a --weight-decay lower than {settings.weight_decay:g}, at most 1 / learning rate"
    return f"try a --learning-rate lower than {settings.learning_rate:g}"


# What is plainly wrong with a run. tests/runs/test_faults.py tries each line on a run that has the fault, and on ten
# that have not. The bounds are from runs on seven texts with 1/30 to 100 times the rate that suits them.

USUAL_RATIO = 0.07  # of the length of a first step, at the highest rate, to the length of the values: 0.04 to 0.14
LARGE_RATIO, SMALL_RATIO = 0.3, 0.02  # with 10 times the rate that suits it was 0.4 to 1.4, with a tenth 0.004 to 0.014
WINDOW = 10  # steps over which a loss is averaged before it is said to have risen
BLIND = 0.98  # of the loss of blind guessing: above that, nothing was learned


def of_step_size(update: Update, matrices: list[TensorUpdate], settings: Any) -> str:
    """Whether the first step, were it taken at the highest rate, is far from the usual size."""
    ratios = sorted(tensor.update_ratio for tensor in matrices)
    if not ratios:
        return ""
    ratio = ratios[len(ratios) // 2] * settings.learning_rate / update.learning_rate
    if SMALL_RATIO <= ratio <= LARGE_RATIO or not 0 < ratio < inf:
        return ""
    percent = f"{100 * ratio:.2g}" if ratio < 1 else f"{100 * ratio:.0f}"
    return (
        f"note: at --learning-rate {settings.learning_rate:g} a step moves the weights by {percent} % of their "
        f"length, {_times(ratio / USUAL_RATIO)} what is usual in such models: if it learns badly, try "
        f"{option_of('learning_rate', f'{settings.learning_rate * USUAL_RATIO / ratio:.1g}')}"
    )


def _times(factor: float) -> str:
    """A factor in words."""
    return f"{factor:.0f} times" if factor > 1 else f"1/{1 / factor:.0f} of"


def of_no_gradient(names: list[str], step: int) -> str:
    """Whether there are tensors whose gradient was 0 at two observed steps, the last of them this one."""
    if not names:
        return ""
    others = f" and of {len(names) - 1} other tensors" if len(names) > 1 else ""
    return (
        f"note: the gradient of {names[0]}{others} is 0 at step {step}, as it was before, so nothing is learned there: "
        "what depends on it is multiplied by 0 (weights that all begin at 0, or units that are 0 for all examples), or "
        "never reaches the loss"
    )


def of_jump(losses: list[float], settings: Any) -> str:
    """Whether the training loss has risen by more than half of all that had been learned until then."""
    if len(losses) < 5 * WINDOW:
        return ""
    sums = np.cumsum([0.0, *[losses[0]] * WINDOW, *losses])  # as if it had stood still before
    means = (sums[WINDOW:] - sums[:-WINDOW]) / WINDOW
    lowest = np.minimum.accumulate(means)
    rises = means[WINDOW:] - lowest[:-WINDOW]
    highest = int(rises.argmax())
    noise = float(np.median(np.abs(np.diff(losses))))
    if rises[highest] <= max(0.5 * (means[0] - lowest[-1]), 3 * noise):
        return ""
    return (
        f"note: the training loss jumps: its mean over {WINDOW} steps rose from {lowest[highest]:.2f} to "
        f"{means[WINDOW + highest]:.2f} before step {highest + WINDOW}: try {option_of('learning_rate')} lower than "
        f"{settings.learning_rate:g}"
    )


def of_blind_guessing(kept: Checkpoint, settings: Any) -> str:
    """Whether a run that is past its warm-up has learned nothing at all."""
    blind = log(kept.origin.config.vocab_size)
    if kept.step < max(settings.warmup, WINDOW) or kept.model.loss < BLIND * blind:
        return ""
    return (
        f"note: it ended no better than blind guessing, {blind:.2f}. Either the text has nothing to be learned, or the "
        "steps are too small, too large or too few, or the gradient does not arrive or is wrong: see docs/symptoms.md"
    )
