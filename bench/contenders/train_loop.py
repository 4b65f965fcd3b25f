"""The loop of train.py around its steps."""

from collections.abc import Iterator
from functools import partial
from itertools import cycle, islice
from typing import Any

from bench.contenders.engines import Taken
from bench.measure import ROOT, Step
from bench.models import BATCH, LEARNING_RATE, MODELS, TINY, task
from microgpt import Schedule, adam_update, batches, loss, make_corpus, read_text, train, value_and_grad


def on_names(only_full: bool, made_before: bool) -> Step:
    """Return a step of train.py's loop, optionally only on names without padding, as in the bench."""
    (config, parameters, _), positions = task(TINY, BATCH), MODELS[TINY][2]
    sequences = [s for s in training_names() if not only_full or len(s) == positions + 1]
    drawn: Iterator[Any] = batches(sequences, BATCH, seed=0)
    epoch = len(sequences) // BATCH
    if made_before:
        drawn = cycle(list(islice(drawn, epoch)))
    step = value_and_grad(partial(loss, config=config), "compiled", 1)
    schedule = Schedule(10**9, LEARNING_RATE, warmup=100, weight_decay=0.3, grad_clip=1.0)
    taken = Taken(lambda looks: train(step, parameters, drawn, schedule, adam_update("compiled"), looks=looks))
    for _ in range(epoch):  # so that all lengths have been met
        taken()
    return taken


def batches_alone(lines: int) -> Step:
    """Return a step that draws a batch of names, from a text with at least so many."""
    sequences = training_names()
    drawn = batches(list(sequences) * -(-lines // len(sequences)), BATCH, seed=0)
    return lambda: next(drawn)


def training_names() -> Any:
    return make_corpus(read_text(ROOT / "data" / "names.txt"), n_positions=16, seed=0).training
