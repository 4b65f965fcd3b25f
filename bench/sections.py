"""The other sections. Each prints its findings, and returns all measurements in seconds."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pkgutil import resolve_name
from statistics import median
from time import perf_counter
from typing import Any

from bench.contenders.engines import same_batch
from bench.contenders.gpt2 import CONTEXT, WRITTEN
from bench.measure import ROOT, Contender, lasting, measure, peak_memory, speed_ratio, tell, three_digits
from bench.models import BATCH, LARGE, TINY, task
from bench.table import CORES, has_torch
from microgpt import adam_update, loss, value_and_grad
from microgpt.errors import counted

OURS = "bench.contenders.engines:step"
LOOP = "bench.contenders.train_loop"
WRITING = "bench.contenders.writing"
OTHER_LENGTHS = (64, 63, 32, 48, 40, 17, 56, 24)  # the first one is recorded, all others are taken from there


def scalar(settings: Any) -> dict[str, Any]:
    """Measure a training step of 16x1x8 for one sample, on each engine and on textbook scalars."""
    measured = measure(
        {
            f"compiled, batch {BATCH}": Contender(OURS, TINY, BATCH, "compiled", 1),
            "scalar": Contender(OURS, TINY, 1, "scalar", 1),
            "the textbook's form of it": Contender("bench.contenders.textbook_value:step", TINY),
        },
        settings.repeats,
    )
    compiled = next(iter(measured))
    measured[compiled] = [seconds / BATCH for seconds in measured[compiled]]
    tell(measured, compiled, f"{TINY}: microseconds a sample")
    return measured


def loop(settings: Any) -> dict[str, Any]:
    """Measure the rest of train.py's loop: drawing batches, clipping, and new lengths."""
    contenders = {
        "the bench's own step": Contender(OURS, TINY, BATCH, "compiled", 1),
        "train.py's loop, names that fill all positions": Contender(f"{LOOP}:on_names", True, False),
        "train.py's loop, all names": Contender(f"{LOOP}:on_names", False, False),
        "the same, its batches made before": Contender(f"{LOOP}:on_names", False, True),
        "text.batches alone": Contender(f"{LOOP}:batches_alone", 1),
        "text.batches alone, a million lines": Contender(f"{LOOP}:batches_alone", 10**6),
    }
    measured = measure(contenders, settings.repeats)
    tell(measured, "the bench's own step", f"{TINY}, batch {BATCH}, 1 thread: microseconds a step")
    return measured


def first_run(settings: Any) -> dict[str, Any]:
    """Measure all of train.py, on a machine that has never run it, and once more."""
    found: dict[str, list[float]] = {"no cache anywhere": [], "kernels cached": []}
    for _ in range(min(settings.repeats, 3)):
        with tempfile.TemporaryDirectory() as directory:
            for i, seconds in enumerate(found.values()):
                command = [sys.executable, str(ROOT / "train.py"), "--steps", "5", "--out", f"{directory}/run{i}"]
                seconds.append(lasting(command, directory)[0])
    print("python train.py --steps 5: seconds from start to end")
    for name, seconds in found.items():
        print(f"  {name:20}{median(seconds):8.2f}   ({min(seconds):.2f} to {max(seconds):.2f})")
    return found


def scale(settings: Any) -> dict[str, Any]:
    """Measure the time and memory to the end of the first step of 128x4x64, and the time to other lengths."""
    found = {}
    print(f"{LARGE}, batch 12: a process that takes one step")
    with tempfile.TemporaryDirectory() as directory:
        for name in ("no cache anywhere", "kernels cached"):
            seconds, printed = lasting(
                [sys.executable, "-c", "from bench.sections import first_step; first_step()"], directory
            )
            found[name] = json.loads(printed) | {"seconds": seconds}
            print(f"  {name:20}{seconds:8.2f} s{found[name]['peak_bytes'] / 1e6:10,.0f} MB at most")
    others = found["other lengths"] = other_lengths()
    print(f"  a step of another length begins after {1000 * median(others):.0f} ms (at least {1000 * min(others):.0f})")
    print(f"  {found['kernels cached']['operations']:,} scalar operations a sample, found in its loops")
    return found


def first_step() -> None:
    """Take a step of the large model; print its number of operations and the peak memory."""
    config, parameters, batch = task(LARGE, 12)
    loss_and_gradients: Any = value_and_grad(partial(loss, config=config))
    same_batch(loss_and_gradients, parameters, batch, adam_update())()
    (program,) = loss_and_gradients.own_engine.programs.values()
    print(json.dumps({"operations": program.operations, "peak_bytes": peak_memory()}))


def other_lengths() -> list[float]:
    """The seconds until steps of other lengths begin: what the first one of each takes longer than the next."""
    config, parameters, (tokens, weights) = task(LARGE, 12)
    loss_and_gradients = value_and_grad(partial(loss, config=config))
    found = []
    for length in OTHER_LENGTHS:
        seconds = []
        for _ in range(2):
            start = perf_counter()
            loss_and_gradients(parameters, tokens[:, : length + 1], weights[:, :length])
            seconds.append(perf_counter() - start)
        found.append(seconds[0] - seconds[1])
    return found[1:]


def busy(settings: Any) -> dict[str, Any]:
    """Measure a step, and the tiny ones of examples/moons.py, beside a program that needs a core."""
    quiet = measure(contenders_by_threads(settings), settings.repeats, shortest=0.1)
    with another_program():
        disturbed = measure(contenders_by_threads(settings), settings.repeats, shortest=0.1)
    print(f"microseconds a step of {TINY}, batch {BATCH}, and of examples/moons.py, batch 32")
    print(f"{'':36}{'alone':>10}{'beside another program at 100 %':>36}")
    for name, seconds in disturbed.items():
        middle, least, most = (three_digits(1e6 * s) for s in (median(seconds), min(seconds), max(seconds)))
        alone = three_digits(1e6 * median(quiet[name]))
        one_thread = name.split(",")[0] + ", 1 thread"
        ratio = speed_ratio(disturbed, one_thread, name)
        print(f"  {name:34}{alone:>10}{middle:>12} {f'({least} to {most})':24} x {ratio:.2f} of one thread")
    return {"alone": quiet, "beside another program": disturbed}


def contenders_by_threads(settings: Any) -> dict[str, Contender]:
    """Return contenders with one thread, then with all."""
    contenders = {}
    for threads in dict.fromkeys((1, CORES)):
        many = counted(threads, "thread")
        contenders[f"microgpt, {many}"] = Contender(OURS, TINY, BATCH, "compiled", threads, threads=threads)
        contenders[f"moons, {many}"] = Contender("bench.contenders.engines:moons", threads, threads=threads)
        if has_torch(settings):
            contenders[f"PyTorch eager, {many}"] = Contender(
                "bench.contenders.torch_gpt:step", TINY, BATCH, threads, False, threads=threads
            )
    return contenders


@contextmanager
def another_program() -> Iterator[None]:
    """Run another program that needs a whole core."""
    program = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        program.kill()
        program.wait()


def writing(settings: Any) -> dict[str, Any]:
    """Measure how many characters a second are written: names and prose, many texts and one."""
    found = {}
    print("characters a second, in double precision")
    for kind, count in (("names", 5000), ("prose", 64), ("prose", 1)):
        contenders = {
            f"microgpt, {counted(threads, 'thread')}": Contender(f"{WRITING}:microgpt", kind, count, threads)
            for threads in dict.fromkeys((1, CORES if count > 1 else 1))
        }
        contenders["numpy"] = Contender(f"{WRITING}:by_numpy", kind, count)
        characters = sum(map(len, resolve_name(f"{WRITING}:microgpt")(kind, count, 1)()))
        measured = measure(contenders, settings.repeats)
        print(f"  {counted(count, 'text')} of {kind}, {characters:,} characters")
        for name, seconds in measured.items():
            ratio = three_digits(speed_ratio(measured, name, "numpy"))
            print(f"    {name:24}{characters / median(seconds):>12,.0f}   x {ratio} of numpy")
        found[f"{kind}, {count}"] = {"characters": characters, "seconds": measured}
    return found


def gpt2(settings: Any) -> dict[str, Any]:
    """Measure GPT-2 with 124 million parameters: tokens a second, and a training step, beside transformers."""
    found, file = {}, "bench.contenders.gpt2"
    theirs = has_torch(settings) and find_spec("transformers") is not None
    for what, tokens, ours in (
        ("writing", WRITTEN, Contender(f"{file}:writing", threads=CORES)),
        ("training", CONTEXT, Contender(f"{file}:training", CORES, threads=CORES)),
    ):
        contenders = {f"microgpt, {counted(CORES, 'thread')}": ours}
        if theirs:
            name = f"transformers, {counted(CORES, 'thread')}"
            contenders[name] = Contender(f"{file}:{what}_by_transformers", CORES, threads=CORES)
        found[what] = measured = measure(contenders, settings.repeats)
        print(f"  {what}, {tokens} tokens")
        for name, seconds in measured.items():
            ratio = three_digits(speed_ratio(measured, name, [*measured][-1]))
            print(f"    {name:28}{tokens / median(seconds):>8,.1f} tokens a second   x {ratio} of the last")
    return found
