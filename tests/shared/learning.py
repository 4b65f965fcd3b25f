"""Fifty steps with the engine "torch"."""

from functools import partial
from itertools import pairwise

import numpy as np

from microgpt.engines.engine import value_and_grad
from microgpt.functions import cross_entropy
from microgpt.gpt import GPTConfig, loss
from microgpt.learning.on_device import DeviceTraining
from microgpt.learning.parameters import flatten, initial_parameters
from microgpt.learning.training import OptimizerState, Schedule

CONFIG = GPTConfig(5, 6, 8, 1, 2)
GPT = partial(loss, config=CONFIG)


def pairs(params, tokens, weights):
    """A loss that PyTorch compiles sooner than a GPT's: every character knows what comes after it."""
    return sum(
        w * cross_entropy(params["wte.weight"][a], b) for w, (a, b) in zip(weights, pairwise(tokens), strict=True)
    )


def some_batches():
    rng = np.random.default_rng(0)
    return [(rng.integers(0, 5, (6, 5)), rng.uniform(0.1, 0.4, (6, 4))) for _ in range(50)]


def learned_on_torch(processes, torch_compile=False, steps=50, function=GPT):
    """The losses of some steps in float64 and the parameters after them."""
    parameters = initial_parameters(CONFIG, 0, np.float64)
    zeros = np.zeros_like(flatten(parameters))
    state = OptimizerState(0, zeros, zeros.copy())
    schedule = Schedule(50, 0.01, 5, weight_decay=0.1, grad_clip=0.5)
    step = value_and_grad(function, "torch", device=processes.device, torch_compile=torch_compile)
    training = DeviceTraining(step, parameters, some_batches()[:steps], schedule, state, processes)
    losses = [update.loss for update in training]
    training.fetch()
    return losses, flatten(parameters)
