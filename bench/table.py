"""A training step of many shapes, on all contenders in turn."""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from statistics import median
from typing import Any

from bench.contenders.c import c_compiler
from bench.contenders.peak import TOGETHER
from bench.measure import Contender, measure, speed_ratio, three_digits
from bench.models import BATCH, LARGE, LARGER, MODELS, NAMES, PROSE, TINY, multiply_adds
from microgpt.errors import counted

CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Row:
    """A row of the table: the model, the number of threads, and the unit, a sample or a whole step."""

    model: str
    batch_size: int
    threads: int
    unit: str = "us/sample"

    def __str__(self) -> str:
        return f"{self.model}, batch {self.batch_size}, {counted(self.threads, 'thread')}"

    def shown(self, seconds: float) -> float:
        """Return the seconds of a step in the row's unit."""
        return 1e3 * seconds if self.unit == "ms/step" else 1e6 * seconds / self.batch_size


ROWS = [
    *(
        Row(model, BATCH, threads)
        for model in MODELS
        if model not in (NAMES, PROSE, LARGE, *LARGER)
        for threads in dict.fromkeys((1, CORES))
    ),
    Row(PROSE, 32, CORES, "ms/step"),
    Row(LARGE, 12, 1, "ms/step"),
    Row(TINY, 1, 1),
    Row(NAMES, 1, 1),
]
LARGE_ROWS = [Row(model, 12, threads, "ms/step") for model in (LARGE, *LARGER) for threads in dict.fromkeys((1, CORES))]


def table(settings: Any) -> dict[str, Any]:
    """Measure a training step (forward, backward and Adam, in float32) on all programs in turn; C on one thread."""
    rows = [row for row in ROWS if row.model in settings.models.split(",")]
    return measured_rows({row: contenders_of(row, settings) for row in rows}, settings.repeats)


def large(settings: Any) -> dict[str, Any]:
    """Measure a training step of large models in small batches, beside a GPT-2 made of PyTorch's own modules, too."""
    return measured_rows({row: contenders_of_large(row, settings) for row in LARGE_ROWS}, settings.repeats)


def measured_rows(rows: dict[Row, dict[str, Contender]], repeats: int) -> dict[str, Any]:
    """Measure the contenders of each row in turn, and print it."""
    programs = [*dict.fromkeys(name for contenders in rows.values() for name in contenders), "the limit"]
    print("(in brackets: times as fast as PyTorch eager)")
    print(f"{'':30}{'':12}" + "".join(f"{name:>20}" for name in programs))
    found = {}
    for row, contenders in rows.items():
        peak = Contender("bench.contenders.peak:step", row.threads, threads=row.threads)
        measured = measure(contenders | {"peak": peak}, repeats)
        peak_seconds = measured.pop("peak")
        rate = TOGETHER * row.threads / min(peak_seconds)
        work = 3 * multiply_adds(row.model) * row.batch_size
        measured["the limit"] = [work / rate] * repeats
        print(f"{row!s:30}{row.unit:>12}" + "".join(f"{cell(row, measured, name):>20}" for name in programs))
        found[str(row)] = {
            "seconds_a_step": measured,
            "multiply_adds_a_second": rate,
            "seconds_of_the_peak": peak_seconds,
        }
    for threads in dict.fromkeys(row.threads for row in rows):
        rates = [found[str(row)]["multiply_adds_a_second"] / 1e9 for row in rows if row.threads == threads]
        print(
            f"the limit is three times the multiply-adds of the forward pass, at what {counted(threads, 'thread')} "
            f"did of them in registers, measured in turn with the rest: {min(rates):.1f} to {max(rates):.1f} "
            "a nanosecond"
        )
    return found


def contenders_of(row: Row, settings: Any) -> dict[str, Contender]:
    """Return a process for each program that takes part."""
    shape, threads = (row.model, row.batch_size), row.threads

    def contender(file: str, *arguments: Any) -> Contender:
        return Contender(f"bench.contenders.{file}:step", *shape, *arguments, threads=threads)

    found = {"microgpt": contender("engines", "compiled", threads)}
    if has_torch(settings):
        found["its engine torch"] = contender("engines", "torch", threads)
        found["PyTorch eager"] = contender("torch_gpt", threads, False)
        if settings.torch_compile == "yes":
            found["that, compiled"] = contender("engines", "torch-compile", threads)
            found["torch.compile"] = contender("torch_gpt", threads, True)
    if settings.jax == "yes" and find_spec("jax"):
        found["JAX"] = contender("jax_gpt")
    if settings.c == "yes" and c_compiler() and threads == 1:  # it is written for one thread
        found["C by hand"] = contender("c")
    return found


def contenders_of_large(row: Row, settings: Any) -> dict[str, Contender]:
    """Return a process for microgpt, and for each way to write a GPT-2 in PyTorch."""
    found = contenders_of(row, settings)
    names = ["microgpt", *(["PyTorch eager", "PyTorch's modules"] if has_torch(settings) else [])]
    modules = "bench.contenders.torch_modules:step"
    found["PyTorch's modules"] = Contender(modules, row.model, row.batch_size, row.threads, threads=row.threads)
    return {name: found[name] for name in names}


def has_torch(settings: Any) -> bool:
    return settings.torch == "yes" and find_spec("torch") is not None


def cell(row: Row, measured: dict[str, list[float]], name: str) -> str:
    if name not in measured:
        return "-"
    value = three_digits(row.shown(median(measured[name])))
    if "PyTorch eager" not in measured:
        return value
    return f"{value} ({speed_ratio(measured, name, 'PyTorch eager'):.2f} x)"
