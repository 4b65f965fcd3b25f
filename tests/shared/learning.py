"""Fifty steps with the engine "torch", and processes that train together."""

import multiprocessing
import os
import runpy
import socket
import sys
from functools import partial
from itertools import pairwise

import numpy as np
from running import ROOT

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


def start_together(count, directory, *command):
    """Start a command in some processes, as torchrun does, but copied from one that has imported PyTorch already.

    Each writes into the files out-RANK and errors-RANK of a directory.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["microgpt.learning.on_device", "microgpt.commands.session"])
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    ranks = [context.Process(target=be_rank, args=(i, count, port, directory, command)) for i in range(count)]
    for rank in ranks:
        rank.start()
    return ranks


def be_rank(rank, count, port, directory, command):
    os.environ |= {"RANK": f"{rank}", "LOCAL_RANK": f"{rank}", "WORLD_SIZE": f"{count}"}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": f"{port}"}
    for number, name in ((1, "out"), (2, "errors")):
        os.dup2(os.open(directory / f"{name}-{rank}", os.O_WRONLY | os.O_CREAT), number)
    sys.argv = [str(ROOT / command[0]), *map(str, command[1:])]
    runpy.run_path(sys.argv[0], run_name="__main__")


def end_together(ranks, directory):
    """Wait until all have ended; return the largest exit code, and what all have printed."""
    for rank in ranks:
        rank.join(120)
    printed = ("".join(path.read_text() for path in sorted(directory.glob(f"{name}-*"))) for name in ("out", "errors"))
    return max(abs(rank.exitcode) for rank in ranks), *printed
