"""Train a character-level GPT on a text file: python train.py --help"""

import hashlib
import shlex
import time
from dataclasses import asdict, dataclass
from functools import partial
from math import inf
from pathlib import Path

from tqdm import tqdm

from microgpt.agreement import compare_engines
from microgpt.checkpoint import Metrics, Run, create_run_directory, write_parameters, write_run
from microgpt.command_line import FAILED, INTERRUPTED, complain, interruption, option, parse, require, run_script
from microgpt.engine import ENGINES, adam_update, evaluate, value_and_grad
from microgpt.errors import DivergenceError
from microgpt.gpt import GPTConfig, loss
from microgpt.parameters import initial_parameters
from microgpt.sampling import sample
from microgpt.text import POOL, batches, make_corpus, padded, read_text
from microgpt.training import Schedule, mean_loss, train

NAMES = Path(__file__).with_name("data") / "names.txt"


@dataclass
class Settings:
    data: str | None = option(None, "the text to learn from, a UTF-8 file (default: data/names.txt)")
    out: str | None = option(None, "the run directory to create (default: runs/ and the name of the data file)")
    documents: str = option(
        "auto", "what a document is: each line, the whole text, or as it fits", ("auto", "lines", "stream")
    )
    steps: int = option(2000, "how many times to improve the parameters")
    batch_size: int = option(64, "sequences (names) a step learns from")
    pool_size: int = option(POOL, "batches drawn together and dealt out by length, to save padding; 1: not by length")
    n_layer: int = option(1, "blocks of attention and MLP, one after the other")
    n_head: int = option(4, "attention heads a block")
    n_embd: int = option(32, "numbers that describe a position; a multiple of the heads")
    block_size: int = option(16, "positions the model can look back on: its context")
    learning_rate: float = option(0.01, "how far a step moves, at most; lower it if training diverges")
    warmup: int = option(100, "steps until the learning rate is at its highest")
    weight_decay: float = option(0.3, "how strongly weights are pulled to 0 (AdamW)")
    grad_clip: float = option(1.0, "the largest norm of a gradient, longer ones are shortened; 0 for no limit")
    eval_interval: int | None = option(None, "steps between validations (default: a fifth of all steps)")
    skip_check: bool = option(False, "do not compare the two engines on this model before training")
    listing: bool = option(False, "print the array instructions that the compiler makes of this model, and stop")
    seed: int = option(0, "of all that is random: the same seed gives the same run")
    engine: str = option("compiled", "what computes losses and gradients: fast, or to be understood", ENGINES)
    threads: int | None = option(None, "threads to compute on; they do not change the result (default: one a core)")


def check(settings: Settings) -> None:
    for name in ("steps", "batch_size", "pool_size", "n_layer", "n_head", "n_embd", "block_size"):
        value = getattr(settings, name)
        require(name, value, value >= 1, "a positive integer")
    for name in ("warmup", "seed"):
        value = getattr(settings, name)
        require(name, value, value >= 0, "0 or a positive integer")
    for name in ("weight_decay", "grad_clip"):
        value = getattr(settings, name)
        require(name, value, 0 <= value < inf, "0 or a positive number")
    require("learning_rate", settings.learning_rate, 0 < settings.learning_rate < inf, "a positive number")
    for name in ("eval_interval", "threads"):
        value = getattr(settings, name)
        require(name, value, value is None or value >= 1, "a positive integer")
    n_embd, n_head = settings.n_embd, settings.n_head
    require("n_embd", n_embd, n_embd % n_head == 0, f"a multiple of --n-head {n_head}")


def main() -> int:
    settings = parse(Settings, "Train a character-level GPT on a text file.")
    check(settings)

    # The text, as integers.
    data = Path(settings.data or NAMES)
    text = read_text(data)
    corpus = make_corpus(text, settings.block_size, settings.seed, settings.documents)

    # The model, and the directory that will hold it.
    config = GPTConfig(len(corpus.vocabulary), settings.block_size, settings.n_embd, settings.n_layer, settings.n_head)
    parameters = initial_parameters(config, settings.seed)
    wanted = Path(settings.out or Path("runs") / data.stem)
    gpt_loss = partial(loss, config=config)
    if settings.listing:
        from microgpt.compiler.listing import listing

        print(listing(gpt_loss, parameters, *padded(sorted(corpus.training, key=len)[len(corpus.training) // 2 :][:1])))
        return 0
    if settings.engine == "compiled" and not settings.skip_check:
        print(compare_engines(gpt_loss, parameters, corpus.training[0]))
    directory = create_run_directory(wanted)
    run = Run(directory, config, corpus.vocabulary, corpus.documents, parameters, text)
    write_run(run, asdict(settings) | {"data": str(data), "data_sha256": hashlib.sha256(text.encode()).hexdigest()})
    pieces = "lines" if corpus.documents == "lines" else "windows"
    print(
        f"{len(corpus.training):,} {pieces} to learn from, {len(corpus.validation):,} held out, "
        f"{config.vocab_size} characters, {sum(p.size for p in parameters.values()):,} parameters"
    )
    print(f"writing to {directory}" + (f" ({wanted} exists)" if directory != wanted else ""))

    # The loop: a step, and now and then a look at the held-out text and at what the model writes.
    schedule = Schedule(
        settings.steps, settings.learning_rate, settings.warmup, settings.weight_decay, settings.grad_clip
    )
    loss_and_gradients = value_and_grad(gpt_loss, settings.engine, settings.threads)
    updates = train(
        loss_and_gradients,
        parameters,
        batches(corpus.training, settings.batch_size, settings.seed, pool_size=settings.pool_size),
        schedule,
        adam_update(settings.engine),
    )
    evaluated_loss = evaluate(gpt_loss, settings.engine, settings.threads)
    interval = settings.eval_interval or max(1, settings.steps // 5)
    start = time.perf_counter()
    losses: list[float] = []  # of each validation; the parameters with the lowest are kept
    bar = tqdm(total=settings.steps, unit="step", dynamic_ncols=True)

    def validate(step: int) -> float:
        losses.append(mean_loss(evaluated_loss, parameters, corpus.validation, step))
        if losses[-1] == min(losses):
            write_parameters(directory, parameters, step, losses[-1])
        samples = (shortened(sample(run, seed=settings.seed, index=i, max_new_tokens=60)) for i in range(5))
        tqdm.write(f"step {step:5}   validation loss {losses[-1]:.4f}   {'  '.join(samples)}")
        return losses[-1]

    try:
        with bar, Metrics(directory) as metrics, interruption() as ctrl_c:
            metrics.write((0, None, validate(0), None, None, 0.0))
            for update in updates:
                bar.update()
                if update.step == 1 and settings.engine == "compiled":
                    from microgpt.compiler.listing import summary

                    tqdm.write(summary(list(loss_and_gradients.compiled.programs.values())[-1]))
                last = update.step == settings.steps or ctrl_c.requested
                validation_loss = validate(update.step) if last or update.step % interval == 0 else None
                seconds = time.perf_counter() - start
                metrics.write(
                    (update.step, update.loss, validation_loss, update.learning_rate, update.gradient_norm, seconds)
                )
                bar.set_postfix(loss=f"{update.loss:.3f}", validation=f"{losses[-1]:.3f}")
                if last:
                    break
    except DivergenceError as error:
        kept = f"the best parameters so far are in {directory}" if losses else f"nothing was saved in {directory}"
        return complain(f"{error}; {kept}; try a --learning-rate lower than {settings.learning_rate}", FAILED)

    ending = "interrupted after" if ctrl_c.requested else "learned in"
    print(
        f"{ending} {update.step} steps, {seconds:.0f} s: validation loss "
        f"{losses[0]:.4f} -> {min(losses):.4f} nats per character, kept in {directory}; "
        f"to write with it: python sample.py --run {shlex.quote(str(directory))}"
    )
    return INTERRUPTED if ctrl_c.requested else 0


def shortened(text: str) -> str:
    return " ".join(text.split()) or "(nothing)"


if __name__ == "__main__":
    run_script(main)
