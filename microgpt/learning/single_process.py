"""One process that trains by itself: what on_device.py has for several that train together."""

import os
from collections.abc import Callable
from typing import Any

from microgpt.errors import InputError

TOLD = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # by torchrun, in the environment of each process


def process_count() -> int:
    """How many processes torchrun started to train together: 1 where it did not start this one."""
    if not all(name in os.environ for name in TOLD):
        return 1  # WORLD_SIZE alone may be left over from something else
    count = os.environ["WORLD_SIZE"]
    if not count.isdecimal() or int(count) < 1:
        raise InputError(
            f"WORLD_SIZE is {count!r} in the environment: expected the number of processes that train together"
        )
    return int(count)


class SingleProcess:
    """The only process: it writes, speaks, and has all results where it is."""

    is_main = True
    device = exact = None

    def broadcast(self, make: Callable[[], Any]) -> Any:
        """What the first process makes, in all of them."""
        return make()

    def agreed_to_stop(self, wanted: bool) -> bool:
        """Whether this step was the last."""
        return wanted

    def fetch(self) -> None:
        """Bring the parameters and what Adam remembers to where they are read."""

    def description(self) -> str:
        """What computes, where that is worth a word."""
        return ""

    def close(self) -> None:
        """Part from the others."""
