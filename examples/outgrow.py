"""Measure every engine on ever larger models, for the table of docs/outgrow.md: python examples/outgrow.py --help"""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from microgpt import (
    GPTConfig,
    OptimizerState,
    Schedule,
    adam_update,
    initial_parameters,
    loss,
    parameter_count,
    train,
    value_and_grad,
)
from microgpt.commands.options import option, parse, require
from microgpt.commands.script import run_script
from microgpt.learning.parameters import flatten

CHARACTERS = 65  # as in data/shakespeare.txt
WAYS = ("compiled", "torch", "torch-compile", "scalar")


@dataclass
class Settings:
    models: str = option("64x2x64,128x4x64,256x6x128,384x6x256", "n_embd x layers x positions, several by commas")
    ways: str = option("compiled,torch,torch-compile", f"engines, several by commas: some of {', '.join(WAYS)}")
    batch_size: int = option(12, "sequences a step")
    steps: int = option(5, "steps after the first; their median counts")
    threads: int | None = option(None, "threads to compute on (default: one a core)")
    device: str | None = option(None, "where PyTorch computes", ("cpu", "cuda", "mps"))
    only: bool = option(False, "measure one model in one way, in this process; print the numbers")


def batch_of(config: GPTConfig, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    tokens = np.random.default_rng(0).integers(0, CHARACTERS, (batch_size, config.n_positions + 1))
    return tokens, np.full((batch_size, config.n_positions), 1 / config.n_positions, np.float32)


def updates_of(config: GPTConfig, way: str, settings: Settings):
    """Training, step by step, on one batch."""
    function, parameters = partial(loss, config=config), initial_parameters(config, 0)
    batch = batch_of(config, settings.batch_size)
    batches, schedule = (batch for _ in range(settings.steps + 1)), Schedule(settings.steps + 1, 1e-3, 0)
    if way.startswith("torch"):
        import torch

        from microgpt.learning.on_device import DeviceTraining, Processes

        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        state = OptimizerState(0, *(np.zeros_like(flatten(parameters)) for _ in range(2)))
        step = value_and_grad(function, "torch", device=settings.device, torch_compile=way == "torch-compile")
        return DeviceTraining(step, parameters, batches, schedule, state, Processes(device=settings.device))
    return train(value_and_grad(function, way, settings.threads), parameters, batches, schedule, adam_update(way))


def measure(settings: Settings) -> None:
    """Print the seconds of the steps after the first, and the most memory that was used, in bytes."""
    n_embd, n_layer, positions = map(int, settings.models.split("x"))
    updates = iter(updates_of(GPTConfig(CHARACTERS, positions, n_embd, n_layer, 4), settings.ways, settings))
    next(updates)
    print("first", flush=True)
    seconds = []
    for _ in range(settings.steps):
        start = time.perf_counter()
        next(updates)
        seconds.append(time.perf_counter() - start)
    print(median(seconds), most_memory(), memory_on_gpu())


def most_memory() -> int:
    try:  # of this program alone; getrusage also counts the one that started it
        status = Path("/proc/self/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) * 1024


def memory_on_gpu() -> int:
    torch = sys.modules.get("torch")
    return torch.cuda.max_memory_allocated() if torch is not None and torch.cuda.is_available() else 0


def in_a_process_of_its_own(model: str, way: str, settings: Settings) -> tuple[float, float, int, int] | str:
    """Seconds to the end of the first step and of a later one, and bytes on the host and on a GPU; or why not."""
    command = [sys.executable, __file__, "--only", "--models", model, "--ways", way, "--steps", str(settings.steps)]
    command += ["--batch-size", str(settings.batch_size)]
    command += ["--threads", str(settings.threads)] if settings.threads is not None else []
    command += ["--device", settings.device] if settings.device is not None else []
    with tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        first = time.perf_counter() - start
        rest = process.stdout.read()
        if process.wait():
            errors.seek(0)
            return ([line for line in errors if line.strip()] or [f"ended with {process.returncode}"])[-1].strip()
    seconds, host, gpu = rest.split()
    return first, float(seconds), int(host), int(gpu)


def main() -> int:
    settings = parse(Settings, "Measure every engine on ever larger models.")
    require("steps", settings.steps, settings.steps >= 1, "a positive integer")
    require("batch_size", settings.batch_size, settings.batch_size >= 1, "a positive integer")
    models, ways = settings.models.split(","), settings.ways.split(",")
    shapes = all(len(m.split("x")) == 3 and all(n.isdecimal() and int(n) for n in m.split("x")) for m in models)
    require("models", settings.models, shapes, "such as 64x2x64,128x4x64")
    require("ways", settings.ways, all(way in WAYS for way in ways), f"some of {', '.join(WAYS)}, by commas")
    if settings.only:
        measure(settings)
        return 0
    print("| model | parameters | engine | a step | memory | to the end of the first step |")
    print("| --- | --- | --- | --- | --- | --- |")
    for model in models:
        n_embd, n_layer, positions = map(int, model.split("x"))
        count = parameter_count(GPTConfig(CHARACTERS, positions, n_embd, n_layer, 4))
        for way in ways:
            found = in_a_process_of_its_own(model, way, settings)
            if isinstance(found, str):
                print(f"| {model} | {count:,} | {way} | – | – | {found} |", flush=True)  # noqa: RUF001
                continue
            first, step, host, gpu = found
            memory = f"{host / 1e6:,.0f} MB" + (f", {gpu / 1e6:,.0f} MB on the GPU" if gpu else "")
            print(f"| {model} | {count:,} | {way} | {1000 * step:,.1f} ms | {memory} | {first:,.1f} s |", flush=True)
    return 0


if __name__ == "__main__":
    run_script(main)
