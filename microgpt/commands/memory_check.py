"""Is there memory enough to train a model? Asked before any of it is taken, while the answer can still be a line."""

import os
import sys
from contextlib import suppress
from math import log10
from pathlib import Path

from microgpt.errors import InputError
from microgpt.gpt import GPTConfig
from microgpt.learning.batches import Corpus, predictions
from microgpt.learning.parameters import parameter_count

ITEM = 4  # bytes of a float32
VECTORS = "the parameters, their gradient, Adam's two moments and a copy of the best parameters"
VECTOR_COUNT = 5
PREDICTION = 8 + ITEM  # bytes of a token and a weight


def check_memory(config: GPTConfig, corpus: Corpus, batch_size: int) -> None:
    """Raise InputError if there is no memory to train a model on a corpus, in batches of so many sequences.

    Only the least is counted that this takes, in float32. Whatever is computed comes on top of it.
    """
    there, count = memory_there(), parameter_count(config)
    needed = VECTOR_COUNT * ITEM * count
    if needed > there:
        raise InputError(
            f"a model of this shape has {amount(count)} parameters: to train it, {VECTORS} need {gigabytes(needed)}, "
            f"and there are {gigabytes(there)} here; it takes a smaller --n-embd, --n-layer or --block-size, "
            "or more memory"
        )
    usual = min(config.n_positions, predictions(corpus.training) // len(corpus.training))
    needed += batch_size * usual * PREDICTION
    if needed > there:
        raise InputError(
            f"--batch-size is {amount(batch_size)}: with such batches, training needs {gigabytes(needed)}, "
            f"and there are {gigabytes(there)} here; it takes a smaller one, or more memory"
        )


def amount(n: int) -> str:
    """A count for people."""
    return f"{n:,}" if n < 10**15 else f"more than 10^{int((n.bit_length() - 1) * log10(2))}"


def gigabytes(n: int) -> str:
    """A number of bytes for people."""
    return f"{n / 1e9:,.1f} GB" if n < 10**15 else f"{amount(n // 10**9)} GB"


def memory_there(root: Path = Path("/")) -> int:
    """The bytes of memory that this process can have at most: sys.maxsize where that cannot be known.

    It is that of the machine or, on Linux, what its control groups leave to it, such as those of a container; on Linux
    swap counts too.
    """
    memory, swap = sys.maxsize, 0
    with suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError, IndexError):
        entries = dict(line.split(":") for line in (root / "proc/meminfo").read_text().splitlines())
        memory, swap = (1024 * int(entries[name].split()[0]) for name in ("MemTotal", "SwapTotal"))
    for path in limit_files(root):
        with suppress(OSError, ValueError):  # in it there may be "max"
            memory = min(memory, int(path.read_text()))
    return memory + swap


def limit_files(root: Path) -> list[Path]:
    """Where Linux writes what the control groups of this process, and all around them, let them have of memory."""
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
