"""The messages of training: at its beginning, during it, and at its end.

Each function returns a message, or "" where there is nothing to say; `print_lines` prints them. Without long paths and
large numbers a line fits in 80 columns.
"""

import sys
from dataclasses import asdict
from math import inf, log
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from microgpt.adam import scheduled_learning_rate
from microgpt.commands.memory_check import gigabytes
from microgpt.commands.script import escape_control, silenced
from microgpt.errors import counted
from microgpt.learning.batches import Corpus, predictions
from microgpt.learning.documents import why_prose
from microgpt.learning.reading import Text
from microgpt.learning.rules import TensorRule, WholeRule
from microgpt.learning.training import TensorUpdate, Update
from microgpt.runs.checkpoint import Checkpoint, Evaluation
from microgpt.runs.files import quoted
from microgpt.surroundings import as_called

COLUMNS = 80  # of a line, into which as many samples go as fit
LONGEST_LINE = 1000  # characters of a line that could be a document
RISE = 0.01  # nats per character above the best validation loss, from which on it counts as a rise


def print_lines(*lines: str) -> None:
    """Print lines above the progress bar. If standard output is closed, keep training and drop the output."""
    try:
        for line in lines:
            if line:
                tqdm.write(escape_control(as_called(line)), file=sys.stdout)
        sys.stdout.flush()
    except OSError as error:
        if not silenced(error):
            raise


def indented(message: str) -> str:
    """A message as a note, its further lines indented."""
    return message and "note: " + message.replace("\n", "\n      ")


def option_of(name: str, value: Any = None) -> str:
    """A setting as an option of the command line."""
    return "--" + name.replace("_", "-") + ("" if value is None else f" {value}")


def of_kind(text: Text, usual: int, room: int) -> str:
    """Why a text counts as prose or as lines, where that may surprise, and the options for the other kind.

    Lines were given a context of `room` positions; `usual` is the default for lines.
    """
    longest, why = text.lines.longest, why_prose(text, room)
    if why:
        option = f" --block-size {longest + 1}" if longest >= room else ""
        remedy = f"\nto read it line by line, add --documents lines{option}" if longest <= LONGEST_LINE else ""
        return f"read as prose, because {why}{remedy}"
    why = f"no line has more than {longest} characters or looks like a sentence" if room > usual else ""
    if text.lines.blocks - 1 >= text.lines.full / 2:
        why += f"{' and ' if why else ''}empty lines separate the others"
    return f"read line by line, because {why}\nto read it as prose, add --documents stream" if why else ""


def of_text(corpus: Corpus, data: str) -> str:
    """The text, and how much of it is held out."""
    if corpus.documents == "lines":
        learned, held_out = counted(len(corpus.training), "line"), len(corpus.validation)
    else:
        learned, held_out = counted(len(corpus.training[0]), corpus.unit), predictions(corpus.validation)
    return f"learning from {data}: {learned}, {held_out:,} more held out"


def is_little(parameters: int, corpus: Corpus) -> bool:
    """Whether there are fewer characters to learn from than parameters. A model of tokens knows much already."""
    return corpus.unit == "character" and predictions(corpus.training) < parameters


def of_rule(name: str, update: Any) -> str:
    """How a model learns, if not by Adam, the usual rule."""
    ways = {TensorRule: ", tensor by tensor", WholeRule: ", which runs as it stands, on all parameters at once"}
    return "" if name == "adam" else f"learning by {name}{ways.get(type(update), '')}"


def of_little_text(parameters: int, corpus: Corpus) -> str:
    """A warning if there are fewer characters than parameters."""
    if not is_little(parameters, corpus):
        return ""
    characters = predictions(corpus.training)
    return f"note: {characters:,} characters for {parameters:,} parameters: it may only memorize the text"


def of_losses(config: Any, baseline: float, unit: str) -> str:
    """The scale of the validation losses that follow."""
    guessing = log(config.vocab_size)
    return f"validation loss (nats per {unit}): {guessing:.2f} is guessing, {baseline:.2f} is counting pairs"


def of_memory(bytes_needed: int) -> str:
    """How much memory training will take, where that is much."""
    return f"training takes about {gigabytes(bytes_needed)} of memory" if bytes_needed > 1e9 else ""


def of_looks(corpus: Corpus) -> str:
    """The share of the held-out text that a validation looks at, unless it is all of it."""
    looked_at = predictions(corpus.part)
    if looked_at == predictions(corpus.validation):
        return ""
    return f"a look at it takes {looked_at:,} held-out {corpus.unit}s, always the same"


def of_resumption(checkpoint: Checkpoint, directory: Path, settings: Any, may_change: Any, interval: int) -> list[str]:
    """The step from which a run goes on, and the settings that have changed."""
    step, before = checkpoint.step, checkpoint.origin.settings
    lines = [f"resuming {directory} after step {step} of {before.get('steps', step)}"]
    changes = {n: v for n, v in asdict(settings).items() if n in may_change and n in before and v != before[n]}
    if changes:
        rate, end = (
            scheduled_learning_rate(i, settings.steps, settings.warmup, settings.learning_rate)
            for i in (step + 1, settings.steps)
        )
        lines += [
            "changed: " + ", ".join(f"{option_of(name, before[name])} -> {value}" for name, value in changes.items()),
            f"learning rate: {rate:.2g} at step {step + 1}, {end:.2g} at step {settings.steps}, as if so planned",
            f"validation: every {counted(interval, 'step')}",
        ]
    return lines


def of_last_validation(corpus: Corpus) -> str:
    """The announcement of the last validation, which takes a while."""
    held_out = predictions(corpus.validation)
    return f"validating the best model on all {held_out:,} held-out {corpus.unit}s; Ctrl-C skips this"


def of_validation(found: Evaluation) -> str:
    """The validation loss after a step, and as many samples as fit on the line."""
    line = f"step {found.step:5}   validation loss {found.loss:.4f}  "
    for text in found.samples:
        sample = f" {' '.join(text.split()) or '(empty)'} "[: COLUMNS - len(line)]
        if len(line + sample) >= COLUMNS and text != found.samples[0]:
            break
        line += sample
    return line.rstrip()


def of_overfitting(best: Evaluation, found: Evaluation, training: list[float]) -> str:
    """A warning if validation has risen since its best while training fell below that.

    `training` has the mean training losses between validations.
    """
    if len(training) < 2 or found.loss < best.loss + RISE or training[-1] >= min(training[-2], best.loss):
        return ""
    return (
        f"note: overfitting: validation loss rose from {best.loss:.4f} at step {best.step} to {found.loss:.4f},\n"
        f"      training loss fell from {training[-2]:.4f} to {training[-1]:.4f}; the best model is kept"
    )


def of_early_stop(
    best: Evaluation, found: Evaluation, training: list[float], blind: float, directory: Path, code: str = ""
) -> str:
    """Why training stops early: validation is worse than blind guessing, because the model memorizes.

    Either it was better than guessing once, or its training loss has fallen below half of that of guessing.
    """
    by_heart = bool(training) and training[-1] < best.loss and (best.loss < BLIND * blind or training[-1] < blind / 2)
    if not by_heart or found.loss <= max(blind, best.loss):
        return ""
    return (
        f"stopped at step {found.step}: validation loss {found.loss:.4f} is worse than guessing ({blind:.4f}),\n"
        f"training loss is {training[-1]:.4f}: overfitting; the best model, of step {best.step}, is kept\n"
        f"to go on all the same: python train.py --resume {quoted(directory)}{code}"
    )


def of_end(
    kept: Checkpoint, seconds: float, interrupted: bool, directory: Path, code: tuple[str, str] = ("", "")
) -> list[str]:
    """The result of training, and the next command, to go on or to write, with what each needs to run `code`."""
    model = kept.model
    on_all = "" if model.loss_on_all is None else f" ({model.loss_on_all:.4f} on all)"
    lines = [
        f"{'interrupted after' if interrupted else 'trained'} {counted(kept.step, 'step')} in {seconds:.0f} s: "
        f"validation loss {kept.initial_loss:.4f} -> {model.loss:.4f}{on_all}"
    ]
    further = kept.step - model.step
    if further and not model.step:
        lines.append("kept: the untrained model, which writes noise; no later validation was better")
    elif further:
        lines.append(f"kept: the model of step {model.step}; the {counted(further, 'step')} after it made it worse")
    lines.append(f"the model is in {directory}")
    return [
        *lines,
        of_going_on(directory, code[0])
        if interrupted
        else f"to write:       python sample.py --run {quoted(directory)}{code[1]}",
    ]


def of_explaining(directory: Path, code: str = "") -> str:
    """The command that writes the page."""
    return f"to look inside: python explain.py --run {quoted(directory)}{code} --open"


def of_going_on(directory: Path, code: str = "") -> str:
    """The command that resumes a run."""
    return f"to go on: python train.py --resume {quoted(directory)}{code}"


def remedy_of(settings: Any, steps: int) -> str:
    """The setting to change if training diverged after so many steps of this call."""
    if not steps:
        return "no step was taken yet, so --learning-rate is not the cause: repair the operation or the parameters"
    if settings.learning_rate <= 1 < settings.weight_decay * settings.learning_rate:  # weights change their signs
        return f"try a --weight-decay lower than {settings.weight_decay:g}, at most 1 / learning rate"
    return f"try a --learning-rate lower than {settings.learning_rate:g}"


# Warnings. tests/commands/test_faults.py tries each on a run that has the fault, and on ten that have not.
# The bounds come from runs on seven texts with 1/30 to 100 times the rate that suits them.

USUAL_RATIO = 0.07  # usual norm of a first step at the highest rate over that of the values: 0.04 to 0.14
LARGE_RATIO, SMALL_RATIO = 0.3, 0.02  # with 10 times the right rate it was 0.4 to 1.4, with a tenth 0.004 to 0.014
WINDOW = 10  # steps, over which losses are averaged to find a jump
BLIND = 0.98  # of the loss of blind guessing; a model above that has learned nothing


def of_step_size(update: Update, matrices: list[TensorUpdate], settings: Any) -> str:
    """A warning if the first step, at the highest rate, would be far from the usual size."""
    ratios = sorted(tensor.update_ratio for tensor in matrices)
    if not ratios:
        return ""
    ratio = ratios[len(ratios) // 2] * settings.learning_rate / update.learning_rate
    if SMALL_RATIO <= ratio <= LARGE_RATIO or not 0 < ratio < inf:
        return ""
    percent = f"{100 * ratio:.2g}" if ratio < 1 else f"{100 * ratio:.0f}"
    return (
        f"note: at --learning-rate {settings.learning_rate:g} a step moves the weights by {percent} % of their norm,\n"
        f"      {_times(ratio / USUAL_RATIO)} the usual; if it learns badly, try "
        f"{option_of('learning_rate', f'{settings.learning_rate * USUAL_RATIO / ratio:.1g}')}"
    )


def _times(factor: float) -> str:
    """A factor in words."""
    return f"{factor:.0f} times" if factor > 1 else f"1/{1 / factor:.0f} of"


def of_no_gradient(names: list[str], step: int) -> str:
    """A warning about tensors whose gradient was 0 at two observed steps, the last of them this one."""
    if not names:
        return ""
    others = f" and {len(names) - 1} other tensors" if len(names) > 1 else ""
    return (
        f"note: the gradient of {names[0]}{others} is 0 at step {step}, as before: they learn nothing\n"
        "      (it is multiplied by 0, or does not reach the loss: see docs/symptoms.md)"
    )


def of_jump(losses: list[float], settings: Any) -> str:
    """A warning if the training loss has risen by more than half of all it had fallen."""
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
        f"note: the training loss jumped from {lowest[highest]:.2f} to {means[WINDOW + highest]:.2f} before step "
        f"{highest + WINDOW}: try a {option_of('learning_rate')} lower than {settings.learning_rate:g}"
    )


def of_blind_guessing(kept: Checkpoint, settings: Any) -> str:
    """A warning if a run that is past its warm-up has learned nothing."""
    blind = log(kept.origin.config.vocab_size)
    if kept.step < max(settings.warmup, WINDOW) or kept.model.loss < BLIND * blind:
        return ""
    return f"note: the model is no better than guessing ({blind:.2f}); docs/symptoms.md lists the causes"
