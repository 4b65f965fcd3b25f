"""Train a character-level GPT on a text file: python train.py --help"""

from dataclasses import dataclass
from functools import partial
from typing import Any

from microgpt.commands.answers import answers
from microgpt.commands.listings import LISTINGS, listed
from microgpt.commands.messages import option_of, print_lines
from microgpt.commands.options import COUNT, NUMBER, POSITIVE, POSITIVE_NUMBER, Options, option, require
from microgpt.commands.session import Session
from microgpt.commands.start import MAY_CHANGE, begin
from microgpt.engines.engine import value_and_grad
from microgpt.engines.select import ENGINES
from microgpt.learning.rules import KNOWN
from microgpt.learning.training import Schedule, train
from microgpt.surroundings import along

NAMES = along("data/names.txt")
SUITED = {  # the defaults for lines, such as names, and for prose
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


def suited(name: str, meaning: str, must: Any = POSITIVE) -> Any:
    """An option whose default depends on the text."""
    lines, prose = SUITED[name]
    return option(lines, meaning, must=must, otherwise="" if prose == lines else f", for prose {prose}")


@dataclass
class Settings(Options):
    data: str | None = option(None, "the text to learn from: a UTF-8 file, or - for standard input (default: names)")
    out: str | None = option(None, "the run directory to create (default: runs/ and the name of the data file)")
    resume: str | None = option(
        None,
        "resume this run, or the newest, with its settings; only these may change: "
        + ", ".join(map(option_of, MAY_CHANGE)),
        alone="newest",
    )
    book: str | None = option(None, "a folder with your own value.py, functions.py, gpt.py and adam.py, to train these")
    model: str | None = option(None, "a file that defines another model, with options of its own (see docs/models.md)")
    trust: bool = option(False, "run the copies of such files in the directory of --resume or --init-from")
    init_from: str | None = option(None, "start from the weights of another run, or of a model saved by transformers")
    documents: str = option(
        "auto",
        "the kind of documents: lines, one stream of prose, or a choice by the text (see docs/runs.md)",
        ("auto", "lines", "stream"),
    )
    steps: int = suited("steps", "training steps")
    batch_size: int = suited("batch_size", "sequences in a step: lines, or windows of prose")
    n_layer: int = suited("n_layer", "blocks of attention and MLP, one after the other")
    n_head: int = suited("n_head", "attention heads a block")
    n_embd: int = suited("n_embd", "numbers for each position; a multiple of --n-head")
    block_size: int = suited("block_size", "the context: how many positions the model can see")
    learning_rate: float = suited("learning_rate", "the largest step; lower it if training diverges", POSITIVE_NUMBER)
    warmup: int = suited("warmup", "steps in which the learning rate climbs", COUNT)
    weight_decay: float = suited("weight_decay", "how strongly weights are pulled to 0 (AdamW)", NUMBER)
    optimizer: str = option("adam", f"the update rule: {', '.join(KNOWN)}, or a file that defines one")
    grad_clip: float = option(1.0, "the largest norm of a gradient; 0 for no limit", must=NUMBER)
    eval_interval: int | None = option(None, "steps between validations (default: a fifth of all steps)", must=POSITIVE)
    skip_check: bool = option(False, "do not check the gradients of this model before training")
    listing: str | None = option(
        None,
        "only print the array instructions of this model, a C program that trains it, or its input",
        LISTINGS,
        alone="instructions",
    )
    seed: int = option(0, "for random numbers: the same seed gives the same run", must=COUNT)
    engine: str = option("compiled", "the engine for losses and gradients: fast, readable, or PyTorch", ENGINES)
    device: str | None = option(
        None, "the device of --engine torch (default: a GPU, if there is one)", ("cpu", "cuda", "mps")
    )
    torch_compile: bool = option(False, "let PyTorch compile the engine torch, which takes minutes")
    json: bool = option(False, "answer with one JSON object; all else goes to standard error (see docs/research.md)")
    threads: int | None = option(None, "threads, which do not change the result (default: one a core)", must=POSITIVE)

    def check(self) -> None:
        for name in ("device", "torch_compile"):
            value = getattr(self, name)
            require(name, value, not value or self.engine == "torch", "none without --engine torch")
        require("model", self.model, not (self.book and self.model), "none with --book")
        require("engine", self.engine, not self.book or self.engine == "compiled", "compiled, with --book")
        require("listing", self.listing, not self.book or self.listing != "c", "instructions, with --book")


@answers
def main() -> int:
    # Begin with a text and random parameters or, with --resume, where a run has stopped.
    start = begin(Settings, SUITED, NAMES)
    s, corpus, config, parameters, state = start.settings, start.corpus, start.config, start.parameters, start.state
    loss = partial(start.architecture.loss, config=config)  # the surprise of the model at one sequence
    loss_and_gradients: Any = value_and_grad(loss, s.engine, s.threads, start.processes.device, s.torch_compile)
    if s.listing:
        print(listed(start, loss))
        return 0

    # A session records each step, and validates and prints now and then.
    session = Session(start, loss_and_gradients)

    # A step: draw a batch, compute its loss and the gradients, and let Adam improve the parameters a little.
    rate = start.book.adam.scheduled_learning_rate
    schedule = Schedule(s.steps, s.learning_rate, s.warmup, s.weight_decay, s.grad_clip, rate)
    batches = corpus.batches(s.block_size, s.batch_size, s.seed, state.m.dtype, state.step)
    if s.engine == "torch":  # where everything stays on PyTorch's device
        updates = start.processes.training(
            loss_and_gradients, parameters, batches, schedule, state, session.observed, start.update
        )
    else:
        updates = train(
            loss_and_gradients, parameters, batches, schedule, start.update, state, session.observed, session.looks
        )

    # The loop.
    with session:
        for update in updates:
            if update.step == 1 and s.engine == "compiled":
                print_lines(loss_and_gradients.summary())
            session.record(update)
            if session.stopping:
                break
    return session.end()
