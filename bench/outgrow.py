"""Every engine on ever larger models: the table of docs/outgrow.md."""

import time
from statistics import median
from typing import Any

import numpy as np

from bench.contenders.engines import step_of
from bench.measure import Contender, Step
from bench.table import CORES
from microgpt import GPTConfig, initial_parameters, parameter_count

CHARACTERS, BATCH = 65, 12  # as in data/shakespeare.txt; sequences a step
ENGINES = ("compiled", "torch", "torch-compile", "scalar")


def outgrow(settings: Any) -> dict[str, Any]:
    """Measure a training step of ever larger models, and its memory, on every engine in its own process."""
    found: dict[str, Any] = {}
    print("| model | parameters | engine | a step | memory | to the end of the first step |")
    print("| --- | --- | --- | --- | --- | --- |")
    for size in settings.sizes.split(","):
        for engine in settings.engines.split(","):
            start = f"| {size} | {parameter_count(config_of(size)):,} | {engine} |"
            try:
                found[f"{size}, {engine}"] = took = measured(size, engine, settings)
            except ChildProcessError as error:
                print(f"{start} – | – | {error} |", flush=True)  # noqa: RUF001
                continue
            memory = f"{took['peak_bytes'] / 1e6:,.0f} MB"
            memory += f", {took['peak_bytes_on_gpu'] / 1e6:,.0f} MB on the GPU" if took["peak_bytes_on_gpu"] else ""
            shown = (
                f"{1000 * median(took['seconds_a_step']):,.1f} ms | {memory} | {took['seconds_of_the_first']:,.1f} s"
            )
            print(f"{start} {shown} |", flush=True)
    return found


def measured(size: str, engine: str, settings: Any) -> dict[str, Any]:
    """Return the seconds to the end of the first step, those of later steps, and the peak memory."""
    start = time.perf_counter()
    with Contender("bench.outgrow:step", size, engine, settings.device, threads=CORES) as contender:
        contender.seconds(1)
        first = time.perf_counter() - start
        taken = [contender.told(1) for _ in range(settings.repeats)]
    _, peak, on_gpu = taken[-1]
    seconds = [seconds for seconds, _, _ in taken]
    return {"seconds_of_the_first": first, "seconds_a_step": seconds, "peak_bytes": peak, "peak_bytes_on_gpu": on_gpu}


def step(size: str, engine: str, device: str | None) -> Step:
    """Return a training step on one batch."""
    config = config_of(size)
    tokens = np.random.default_rng(0).integers(0, CHARACTERS, (BATCH, config.n_positions + 1))
    weights = np.full((BATCH, config.n_positions), 1 / config.n_positions, np.float32)
    return step_of(config, initial_parameters(config, 0), (tokens, weights), engine, None, device)


def config_of(size: str) -> GPTConfig:
    """Return the shape of a model from n_embd x layers x positions."""
    n_embd, n_layer, positions = map(int, size.split("x"))
    return GPTConfig(CHARACTERS, positions, n_embd, n_layer, 4)
