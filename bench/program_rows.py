"""The section "programs": loops as people write them, until they are ready and then a step."""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np

from bench.measure import Contender, Step, measure, peak_memory, speed_ratio, thread_limits, three_digits
from bench.table import has_torch
from microgpt import value_and_grad
from microgpt.engines.trees import map_arrays

PROGRAMS = sorted(file.stem for file in Path(__file__).parent.glob("programs/*.py") if file.stem != "__init__")
OURS, THEIRS = "microgpt", "PyTorch eager"


def programs(settings: Any) -> dict[str, Any]:
    """Measure loops as people write them, of bench/programs: until they are ready, and a step of 32 examples."""
    print("(seconds of CPU and memory until the first step is done, with the kernels on the disk; one thread, float32)")
    print(
        f"{'':32}{'operations':>12}{'ready':>10}{'memory':>10}{'instructions':>16}{'a step':>10}{'PyTorch takes':>15}"
    )
    found = {}
    for name in settings.programs.split(","):
        contenders = {OURS: Contender("bench.program_rows:step", name, settings.scale)}
        if has_torch(settings) and "torch" in made(name, 1):
            contenders[THEIRS] = Contender("bench.program_rows:torch_step", name, settings.scale)
        seconds = measure(contenders, settings.repeats)  # and keep the kernels
        with (
            patch.dict(os.environ, thread_limits(1)),
            ProcessPoolExecutor(1, mp_context=get_context("spawn")) as own_process,
        ):
            row = own_process.submit(readiness, name, settings.scale).result()
        found[name] = row | {"seconds_a_step": seconds}
        print(f"{name:32}" + "".join(f"{cell:>{n}}" for cell, n in zip(cells(found[name]), WIDTHS, strict=True)))
    return found


WIDTHS = (12, 10, 10, 16, 10, 15)


def cells(row: dict[str, Any]) -> list[str]:
    """Return what the table says of a program: operations, until ready, memory, instructions, a step, and PyTorch's."""
    seconds = row["seconds_a_step"]
    return [
        f"{row['operations']:,}",
        f"{row['ready_seconds']:.2f} s",
        f"{row['ready_bytes'] / 1e6:,.0f} MB",
        f"{row['forward']:,} + {row['backward']:,}",
        f"{three_digits(1e3 * median(seconds[OURS]))} ms",
        f"{speed_ratio(seconds, OURS, THEIRS):.2f} x" if THEIRS in seconds else "–",  # noqa: RUF001
    ]


def made(name: str, scale: int) -> dict[str, Any]:
    """Return the loss of a program, its parameters and examples in float32, and its twin."""
    task = import_module(f"bench.programs.{name}").make(scale)
    params, args = (map_arrays(in_float32, task[key]) for key in ("params", "args"))
    return task | {"params": params, "args": args}


def in_float32(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def step(name: str, scale: int) -> Step:
    """Return the step that computes the loss and its gradient."""
    task = made(name, scale)
    loss_and_gradients = value_and_grad(task["loss"], threads=1)
    return lambda: loss_and_gradients(task["params"], *task["args"])


def torch_step(name: str, scale: int) -> Step:
    """Return the same step of its twin."""
    import torch

    task = made(name, scale)
    torch.set_num_threads(1)
    params = {key: torch.tensor(array, requires_grad=True) for key, array in task["params"].items()}
    args = [torch.tensor(array) for array in task["args"]]

    def take() -> None:
        for tensor in params.values():
            tensor.grad = None
        task["torch"](params, *args).backward()

    return take


def readiness(name: str, scale: int) -> dict[str, Any]:
    """Return what the first step takes in this process, and the size of its program."""
    task = made(name, scale)
    value_and_grad(lambda p, x: p * x)(np.ones(()), np.ones(1))  # LLVM starts, once a process
    loss_and_gradients = value_and_grad(task["loss"], threads=1)
    before, start = peak_memory(), time.process_time()
    loss_and_gradients(task["params"], *task["args"])
    seconds, memory = time.process_time() - start, peak_memory() - before
    (program,) = loss_and_gradients.own_engine.programs.values()
    return {
        "operations": program.operations,
        "ready_seconds": seconds,
        "ready_bytes": memory,
        "forward": len(program.nests.forward),
        "backward": len(program.nests.backward),
    }
