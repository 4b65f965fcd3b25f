"""microgpt on its engines."""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np

from bench import models
from bench.measure import ROOT, Step
from microgpt import OptimizerState, Schedule, Update, adam_update, loss, train, value_and_grad
from microgpt.gpt import GPTConfig
from microgpt.learning.parameters import Arrays, flatten


def step(model: str, batch_size: int, engine: str, threads: int | None) -> Step:
    """Return a training step of a model in the table."""
    return step_of(*models.task(model, batch_size), engine, threads)


def step_of(
    config: GPTConfig, parameters: Arrays, batch: Any, engine: str, threads: int | None, device: str | None = "cpu"
) -> Step:
    """Return a training step on an engine; "torch-compile" is the engine torch, compiled by PyTorch."""
    gpt_loss = partial(loss, config=config)
    if not engine.startswith("torch"):
        return same_batch(value_and_grad(gpt_loss, engine, threads), parameters, batch, adam_update(engine))
    import torch  # only now, because PyTorch is an extra

    from microgpt.learning.on_device import DeviceTraining, Processes

    if threads is not None:
        torch.set_num_threads(threads)
    state = OptimizerState(0, *(np.zeros_like(flatten(parameters)) for _ in range(2)))
    made = value_and_grad(gpt_loss, "torch", device=device, torch_compile=engine == "torch-compile")
    updates = iter(DeviceTraining(made, parameters, repeat(batch), schedule(), state, Processes(device=device)))
    return lambda: next(updates).loss


def same_batch(value_and_grad: Any, parameters: Arrays, batch: Any, *update: Any) -> Step:
    """Return the steps of `train` on one batch: each call takes one and returns its loss."""
    return Taken(lambda looks: train(value_and_grad, parameters, repeat(batch), schedule(), *update, looks=looks))


class Taken:
    """Takes the steps of `train`, which are taken together if they are announced: then nobody looks within them."""

    def __init__(self, train: Callable[..., Iterator[Update]]):
        self.taken = self.last = 0
        self.updates = train(lambda step: step >= self.last)

    def announce(self, steps: int) -> None:
        self.last = self.taken + steps

    def __call__(self) -> float:
        update = next(self.updates)
        self.taken = update.step
        return update.loss


def schedule() -> Schedule:
    """Return a schedule without end and without clipping, like that of the others."""
    return Schedule(10**9, models.LEARNING_RATE, 0, grad_clip=0)


def moons(threads: int) -> Step:
    """Return a step of examples/moons.py, with 32 points."""
    sys.path.insert(0, str(ROOT / "examples"))
    import moons

    loss_and_gradients = value_and_grad(moons.loss, "compiled", threads)
    return same_batch(loss_and_gradients, moons.start(0), moons.moons(32, np.random.default_rng(0)))
