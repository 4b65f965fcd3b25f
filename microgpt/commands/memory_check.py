"""Check whether there is enough memory to train a model, before any of it is taken."""

import ctypes
import os
import sys
from contextlib import suppress
from math import log10
from pathlib import Path
from typing import Any, cast

from microgpt.errors import InputError
from microgpt.learning.batches import Corpus, predictions

ITEM = 4  # bytes of a float32
VECTORS = "the parameters, their gradient, Adam's two moments and a copy of the best parameters"
VECTOR_COUNT = 5
MOST_VECTORS = 13  # at a time, with the decay, copies of the gradient, and what an observed step is compared with
PYTHON = 300_000_000  # bytes of the program itself
RESULTS = 30  # of a layer at a position, for each number of its width
PREDICTION = 8 + ITEM  # bytes of a token and a weight


def check_memory(count: int, n_positions: int, corpus: Corpus, batch_size: int) -> None:
    """Raise InputError if the memory is too small to train a model with `count` parameters on a corpus.

    A batch has so many sequences, of at most `n_positions` predictions.

    The estimate is a lower bound: it counts the parameters and the batch in float32, and no intermediate results.
    """
    there = memory_there()
    needed = VECTOR_COUNT * ITEM * count
    if needed > there:
        raise InputError(
            f"a model of this shape has {amount(count)} parameters: {VECTORS} need {gigabytes(needed)}, "
            f"but there are {gigabytes(there)}; take a smaller --n-embd, --n-layer or --block-size"
        )
    usual = min(n_positions, predictions(corpus.training) // len(corpus.training))
    needed += batch_size * usual * PREDICTION
    if needed > there:
        raise InputError(
            f"--batch-size is {amount(batch_size)}: such batches need {gigabytes(needed)}, "
            f"but there are {gigabytes(there)}; take a smaller one"
        )


def memory_needed(start: Any) -> int:
    """Return about how many bytes training takes: its vectors, and the intermediate results of a sequence a thread."""
    count, c, s = sum(array.size for array in start.parameters.values()), start.config, start.settings
    vectors = MOST_VECTORS * ITEM * count
    width, layers = getattr(c, "n_embd", 0), getattr(c, "n_layer", 0)
    numbers = s.block_size * (2 * c.vocab_size + RESULTS * layers * width)
    return int(PYTHON + vectors + min(s.batch_size, s.threads or os.cpu_count() or 1) * numbers * ITEM)


def amount(n: int) -> str:
    """Return a count for people."""
    return f"{n:,}" if n < 10**15 else f"more than 10^{int((n.bit_length() - 1) * log10(2))}"


def gigabytes(n: int) -> str:
    """Return a number of bytes for people."""
    return f"{n / 1e9:,.1f} GB" if n < 10**15 else f"{amount(n // 10**9)} GB"


def memory_there(root: Path = Path("/")) -> int:
    """Return the most bytes of memory that this process can have, or sys.maxsize if that is unknown.

    On Linux this includes swap, and the limits of control groups, such as those of a container.
    """
    memory, swap = sys.maxsize, 0
    with suppress(AttributeError, ValueError, OSError):  # some systems do not tell
        windows = sys.platform == "win32"
        memory = memory_of_windows() if windows else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError, IndexError):
        entries = dict(line.split(":") for line in (root / "proc/meminfo").read_text().splitlines())
        memory, swap = (1024 * int(entries[name].split()[0]) for name in ("MemTotal", "SwapTotal"))
    for path in limit_files(root):
        with suppress(OSError, ValueError):  # it may contain "max"
            memory = min(memory, int(path.read_text()))
    return memory + swap


def memory_of_windows() -> int:
    """Return the most bytes that Windows can give to programs: its memory, and the files that it swaps to."""
    told, system = (ctypes.c_uint64 * 8)(64), cast(Any, ctypes)  # its own length, then seven numbers of bytes
    return int(told[3]) if system.windll.kernel32.GlobalMemoryStatusEx(told) else sys.maxsize


def limit_files(root: Path) -> list[Path]:
    """Return the Linux files that limit the memory of this process: of its control groups and their parents."""
    found = []
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers == "":  # version 2
                top, name = root / "sys/fs/cgroup", "memory.max"
            elif "memory" in controllers.split(","):  # version 1
                top, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
            else:
                continue
            own = top / group.lstrip("/")
            found += [place / name for place in (own, *own.parents) if place.is_relative_to(top)]
    return found
