"""Train a character-level GPT on a text file: python train.py --help"""

import hashlib
import os
import shlex
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from microgpt import __version__
from microgpt.adam import scheduled_learning_rate
from microgpt.agreement import compare_engines
from microgpt.bigram import bigram_loss, bigram_probabilities
from microgpt.command_line import FAILED, INTERRUPTED, complain, interruption, option, parse_given, require, run_script
from microgpt.engine import ENGINES, adam_update, evaluate, value_and_grad
from microgpt.errors import DivergenceError, InputError
from microgpt.gpt import GPTConfig, loss
from microgpt.parameters import flatten, parameter_count, parameter_shapes, views
from microgpt.runs.checkpoint import Origin, Validated, checkpoints, load_checkpoint
from microgpt.runs.directory import Recorder, Run, create_run_directory, keep_text, newest_run, read_metrics
from microgpt.runs.picture import draw_losses
from microgpt.runs.start import MAY_CHANGE, STANDARD_INPUT, Start, from_checkpoint, from_model, from_scratch
from microgpt.sampling import sample, sample_many, worth_compiling
from microgpt.text import POOL, Corpus, padded, predictions
from microgpt.training import OptimizerState, Schedule, mean_loss, train

NAMES = Path(__file__).with_name("data") / "names.txt"
SUITED = {  # what suits a text: lines, such as names, and prose
    "steps": (2000, 2000),
    "batch_size": (64, 32),
    "n_layer": (1, 4),
    "n_head": (4, 4),
    "n_embd": (32, 64),
    "block_size": (16, 64),
    "learning_rate": (0.01, 0.006),
    "warmup": (100, 100),
    "weight_decay": (0.3, 0.1),
}
SAVE_EVERY = 60.0  # seconds; after them a checkpoint is due even if no validation is


def suited(name: str, meaning: str) -> Any:
    """An option whose default depends on the text."""
    lines, prose = SUITED[name]
    return option(lines, meaning, otherwise="" if prose == lines else f", for prose {prose}")


@dataclass
class Settings:
    data: str | None = option(None, "the text to learn from: a UTF-8 file, or - for standard input (default: names)")
    out: str | None = option(None, "the run directory to create (default: runs/ and the name of the data file)")
    resume: str | None = option(
        None,
        "go on with this run, or with the newest, as it was begun; these may be given anew: "
        + ", ".join("--" + name.replace("_", "-") for name in MAY_CHANGE),
        alone="newest",
    )
    init_from: str | None = option(None, "begin with the weights of another run, or of a model saved by transformers")
    documents: str = option(
        "auto",
        "what a document is: each line, the whole text (prose), or lines if all fit in the context and few are empty",
        ("auto", "lines", "stream"),
    )
    steps: int = suited("steps", "how many times to improve the parameters")
    batch_size: int = suited("batch_size", "sequences a step learns from: names, or windows of prose")
    pool_size: int = option(POOL, "batches drawn together and dealt out by length, to save padding; 1: not by length")
    n_layer: int = suited("n_layer", "blocks of attention and MLP, one after the other")
    n_head: int = suited("n_head", "attention heads a block")
    n_embd: int = suited("n_embd", "numbers that describe a position; a multiple of the heads")
    block_size: int = suited("block_size", "positions the model can look back on: its context")
    learning_rate: float = suited("learning_rate", "how far a step moves, at most; lower it if training diverges")
    warmup: int = suited("warmup", "steps until the learning rate is at its highest")
    weight_decay: float = suited("weight_decay", "how strongly weights are pulled to 0 (AdamW)")
    grad_clip: float = option(1.0, "the largest norm of a gradient, longer ones are shortened; 0 for no limit")
    eval_interval: int | None = option(None, "steps between validations (default: a fifth of all steps)")
    skip_check: bool = option(False, "do not compare the two engines on this model before training")
    listing: bool = option(False, "print the array instructions that the compiler makes of this model, and stop")
    seed: int = option(0, "of all that is random: the same seed gives the same run")
    engine: str = option("compiled", "what computes losses and gradients: fast, to be understood, or PyTorch", ENGINES)
    device: str | None = option(
        None, "where --engine torch computes (default: a GPU, if there is one)", ("cpu", "cuda", "mps")
    )
    torch_compile: bool = option(False, "let PyTorch compile the engine torch, which takes minutes")
    threads: int | None = option(None, "threads to compute on; they do not change the result (default: one a core)")

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "pool_size", "n_layer", "n_head", "n_embd", "block_size"):
            value = getattr(self, name)
            require(name, value, value >= 1, "a positive integer")
        for name in ("warmup", "seed"):
            value = getattr(self, name)
            require(name, value, value >= 0, "0 or a positive integer")
        for name in ("weight_decay", "grad_clip"):
            value = getattr(self, name)
            require(name, value, 0 <= value < inf, "0 or a positive number")
        require("learning_rate", self.learning_rate, 0 < self.learning_rate < inf, "a positive number")
        for name in ("device", "torch_compile"):
            value = getattr(self, name)
            require(name, value, not value or self.engine == "torch", "none without --engine torch")
        for name in ("eval_interval", "threads"):
            value = getattr(self, name)
            require(name, value, value is None or value >= 1, "a positive integer")
        n_embd, n_head = self.n_embd, self.n_head
        require("n_embd", n_embd, n_embd % n_head == 0, f"a multiple of --n-head {n_head}")


def settings_for(documents: str, given: dict[str, Any]) -> Settings:
    """The settings that suit this kind of documents, or in their place those that are given."""
    return Settings(**({name: pair[documents == "stream"] for name, pair in SUITED.items()} | given))


def begin(given: dict[str, Any]) -> tuple[Start, Path | None]:
    """From the options to where training begins and, if a run goes on, its directory."""
    if "resume" in given:
        out, resume = given.get("out"), given["resume"]
        directory = Path(resume if resume != "newest" else out or newest_run(resumable=True))
        if out is not None and Path(out) != directory:
            raise InputError(f"--out is {out}, but {directory} goes on where it is: leave --out away")
        return from_checkpoint(Settings, given, directory, NAMES), directory
    data = Path(given.get("data", NAMES))
    return (from_model if "init_from" in given else from_scratch)(settings_for, given, data), None


def main() -> int:
    given = parse_given(Settings, "Train a character-level GPT on a text file.")
    processes = processes_for(given)
    start, directory = begin(given) if processes is None else processes.shared(partial(begin, given))
    settings, corpus, config, parameters = start.settings, start.corpus, start.config, start.parameters
    gpt_loss = partial(loss, config=config)
    if settings.listing:
        from microgpt.compiler.listing import listing

        usual = sorted(corpus.training, key=len)[len(corpus.training) // 2]
        print(listing(gpt_loss, parameters, *padded([usual[: config.n_positions + 1]])))
        return 0
    if settings.engine == "torch":
        from microgpt.pytorch.training import join

        processes = processes or join(settings.device)
        processes.check(settings)
        if not processes.first:
            return follow(start, gpt_loss, processes)
        print(f"computing with {processes.described()}")
    if settings.engine != "scalar" and not settings.skip_check:
        some = corpus.training[0][: config.n_positions + 1]
        print(compare_engines(gpt_loss, parameters, some, settings.engine, processes and processes.exact))

    # What the run is, and the directory that holds it.
    data = {None: "data/names.txt", STANDARD_INPUT: "standard input"}.get(settings.data, settings.data)
    origin = Origin(
        config,
        corpus.vocabulary,
        corpus.documents,
        data,
        hashlib.sha256(start.text.encode()).hexdigest(),
        {name: value for name, value in asdict(settings).items() if name not in ("out", "resume", "listing")},
        datetime.now(UTC).date().isoformat(),
        __version__,
    )
    tell_text(corpus, config, settings)
    if start.checkpoint is not None and directory is not None:
        origin = replace(origin, data=start.checkpoint.origin.data, started=start.checkpoint.origin.started)
        tell_resumption(start, directory)
    else:
        wanted = Path(settings.out or Path("runs") / Path("stdin" if settings.data == STANDARD_INPUT else data).stem)
        directory, start.lock = create_run_directory(wanted)
        keep_text(directory, start.text)
        if settings.init_from:
            print(f"beginning with the weights in {settings.init_from}; what Adam remembers starts afresh")
        print(f"writing to {directory}" + (f" ({wanted} exists)" if directory != wanted else ""))
    state = state_of(start)
    run = Run(directory, config, corpus.vocabulary, corpus.documents, parameters, start.text, start.checkpoint)

    # The loop: a step, and now and then a look at the held-out text and at what the model writes.
    s = settings
    updates, loss_and_gradients, fetch = training(start, gpt_loss, state, processes)
    evaluated_loss = evaluate(gpt_loss, s.engine, s.threads, processes and processes.device)
    interval = validation_interval(s)
    bar = tqdm(total=s.steps, initial=state.step, unit="step", dynamic_ncols=True, disable=None)
    told = False  # what the compiler made of the model

    def validated() -> Validated:
        fetch()
        found = mean_loss(evaluated_loss, parameters, corpus.part, state.step)
        samples = written(run, s)
        shown = "  ".join(" ".join(text.split())[:40] or "(nothing)" for text in samples)
        tqdm.write(f"step {state.step:5}   validation loss {found:.4f}   {shown}")
        return Validated(state.step, found, flatten(parameters), samples)

    again = f"go on with: python train.py --resume {shlex.quote(str(directory))}"
    try:
        with bar, Recorder(run, origin, state, start.rows) as recorder, interruption() as ctrl_c:
            if recorder.best is None:
                recorder.record(None, validated())
                recorder.save()
            for update in updates:
                if settings.engine == "compiled" and not told:
                    from microgpt.compiler.listing import summary

                    tqdm.write(summary(list(loss_and_gradients.compiled.programs.values())[-1]))
                    told = True
                planned = update.step == s.steps or update.step % interval == 0
                recorder.record(update, validated() if planned else None)
                bar.set_postfix_str(f"loss={update.loss:.3f}, validation={recorder.best.loss:.3f}", refresh=False)
                bar.update()
                if processes is not None:
                    ctrl_c.requested = updates.agreed_to_stop(ctrl_c.requested)
                if ctrl_c.requested:
                    recorder.save(unplanned=None if planned else validated())
                    break
                if planned or time.monotonic() - recorder.saved > SAVE_EVERY:
                    fetch()
                    recorder.save()
            if state.step == s.steps and len(corpus.part) < len(corpus.validation):
                best = views(recorder.best.parameters, parameter_shapes(config))
                on_all = mean_loss(evaluated_loss, best, corpus.validation, recorder.best.step)
                recorder.best = replace(recorder.best, loss_on_all=on_all)
                recorder.save()
    except DivergenceError as error:
        saved = f"{directory} has the last checkpoint; " if checkpoints(directory) else ""
        return complain(f"{error}; {saved}try a --learning-rate lower than {s.learning_rate}", FAILED)
    except BrokenPipeError:
        raise
    except OSError as error:
        saved = f"all but the steps since the last checkpoint is saved; {again}" if checkpoints(directory) else ""
        return complain(f"{error}; {saved or f'{directory} has no checkpoint yet'}", FAILED)

    seconds = recorder.seconds
    draw(directory, corpus, state.step)
    if processes is not None:
        processes.leave()
    interrupted = ctrl_c.requested and state.step < s.steps
    ending = "interrupted after" if interrupted else "learned in"
    kept = load_checkpoint(directory).model
    on_all = "" if kept.loss_on_all is None else f", {kept.loss_on_all:.4f} on all of the held-out text"
    print(
        f"{ending} {state.step} steps, {seconds:.0f} s: validation loss {recorder.initial_loss:.4f} -> "
        f"{kept.loss:.4f} nats per character{'' if kept.step == state.step else f' at step {kept.step}'}{on_all}, "
        f"kept in {directory}; "
        + (again if interrupted else f"to write with it: python sample.py --run {shlex.quote(str(directory))}")
    )
    return INTERRUPTED if interrupted else 0


def written(run: Run, settings: Settings) -> list[str]:
    """What the model writes now: five texts of at most 60 characters."""
    if settings.engine == "compiled" and worth_compiling(run.config, 5 * 60):
        return [text for text, _ in sample_many(run, 5, seed=settings.seed, max_new_tokens=60)]
    return [sample(run, seed=settings.seed, index=i, max_new_tokens=60) for i in range(5)]


def tell_text(corpus: Corpus, config: GPTConfig, settings: Settings) -> None:
    """Say what there is to learn from, and the settings that were chosen for it."""
    parameters = f"{parameter_count(config):,} parameters"
    if corpus.documents == "lines":
        print(
            f"{len(corpus.training):,} lines to learn from, {len(corpus.validation):,} held out, "
            f"{config.vocab_size} characters, {parameters}"
        )
    else:
        held_out, looked_at = predictions(corpus.validation), predictions(corpus.part)
        look = "" if looked_at == held_out else f" ({looked_at:,} of them for a look in between)"
        print(
            f"{len(corpus.training[0]):,} characters to learn from, the next {held_out:,} held out{look}, "
            f"{config.vocab_size} different ones, {parameters}"
        )
    chosen = " ".join(f"--{name.replace('_', '-')} {getattr(settings, name)}" for name in SUITED)
    print(f"settings for {'lines' if corpus.documents == 'lines' else 'prose'}: {chosen}")


def state_of(start: Start) -> OptimizerState:
    """What the optimizer remembers: that of the checkpoint, or nothing yet."""
    if start.checkpoint is not None:
        return OptimizerState(start.checkpoint.step, start.checkpoint.adam_m, start.checkpoint.adam_v)
    return OptimizerState(0, np.zeros_like(flatten(start.parameters)), np.zeros_like(flatten(start.parameters)))


def training(start: Start, gpt_loss: Any, state: OptimizerState, processes: Any) -> tuple[Any, Any, Any]:
    """The steps to take; what computes losses and gradients; and what brings their results here from a device."""
    s = start.settings
    schedule = Schedule(s.steps, s.learning_rate, s.warmup, s.weight_decay, s.grad_clip)
    n_positions = start.config.n_positions
    drawn = start.corpus.batches(n_positions, s.batch_size, s.seed, state.m.dtype, s.pool_size, state.step)
    if s.engine == "torch":
        from microgpt.pytorch.training import DeviceTraining

        updates = DeviceTraining(gpt_loss, start.parameters, drawn, schedule, state, processes, s.torch_compile)
        return updates, None, updates.fetch
    loss_and_gradients = value_and_grad(gpt_loss, s.engine, s.threads)
    updates = train(loss_and_gradients, start.parameters, drawn, schedule, adam_update(s.engine), state)
    return updates, loss_and_gradients, lambda: None


def processes_for(given: dict[str, Any]) -> Any:
    """The processes that torchrun started to train together, if it did."""
    count = os.environ.get("WORLD_SIZE", "1")
    if count == "1":
        return None
    if given.get("engine") != "torch" and "resume" not in given:
        raise InputError(f"torchrun started {count} processes, which only --engine torch lets train together")
    from microgpt.pytorch.training import join

    return join(given.get("device"))


def follow(start: Start, gpt_loss: Any, processes: Any) -> int:
    """Take the steps along with the first of several processes, which writes them down."""
    state = state_of(start)
    updates, _, _ = training(start, gpt_loss, state, processes)
    with interruption() as ctrl_c:
        for _ in updates:
            updates.agreed_to_stop(ctrl_c.requested)
        processes.leave()
    return INTERRUPTED if state.step < start.settings.steps else 0


def tell_resumption(start: Start, directory: Path) -> None:
    """Say where a run goes on, and what is not as it was planned."""
    settings, step, before = start.settings, start.checkpoint.step, start.checkpoint.origin.settings
    print(f"going on with {directory} after step {step} of {before.get('steps', step)}")
    changes = {n: v for n, v in asdict(settings).items() if n in MAY_CHANGE and n in before and v != before[n]}
    if changes:
        rate, end = (
            scheduled_learning_rate(i, settings.steps, settings.warmup, settings.learning_rate)
            for i in (step + 1, settings.steps)
        )
        print(
            "changed: "
            + ", ".join(f"--{n.replace('_', '-')} {before[n]} -> {v}" for n, v in changes.items())
            + f"; the learning rate goes on as if this had been planned from the beginning: {rate:.2g} at step "
            f"{step + 1}, {end:.2g} at step {settings.steps}; a validation every {validation_interval(settings)} steps"
        )


def validation_interval(settings: Settings) -> int:
    return settings.eval_interval or max(1, settings.steps // 5)


def draw(directory: Path, corpus: Corpus, step: int) -> None:
    """Write loss.svg, or say what it takes."""
    baseline = bigram_loss(bigram_probabilities(corpus.training, len(corpus.vocabulary)), corpus.part)
    try:
        draw_losses(directory, read_metrics(directory, step), baseline)
    except ImportError:
        print("no picture of the losses without matplotlib: pip install -e '.[plot]'")
    except (OSError, InputError) as error:
        print(f"no picture of the losses: {error}")


if __name__ == "__main__":
    run_script(main)
