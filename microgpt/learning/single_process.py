"""One process that trains alone: it has the methods of `Processes` in on_device.py."""

import os
from collections.abc import Callable
from typing import Any

from microgpt.errors import InputError

TOLD = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # by torchrun, in the environment of each process


def process_count() -> int:
    """Return how many processes torchrun started to train together: 1 without torchrun."""
    if not all(name in os.environ for name in TOLD):
        return 1  # WORLD_SIZE alone may be left over from something else
    count = os.environ["WORLD_SIZE"]
    if not count.isdecimal() or int(count) < 1:
        raise InputError(
            f"WORLD_SIZE is {count!r} in the environment: expected the number of processes that train together"
        )
    return int(count)


class SingleProcess:
    """The only process: it writes, prints, and has all results on the host."""

    is_main = True
    device = exact = None

    def broadcast(self, make: Callable[[], Any]) -> Any:
        """Return the result of `make`."""
        return make()

    def agreed_to_stop(self, wanted: bool) -> bool:
        """Return whether this step was the last."""
        return wanted

    def fetch(self) -> None:
        """Do nothing: the parameters and the state of Adam are already on the host."""

    def description(self) -> str:
        """Return an empty text: the device is not worth a message."""
        return ""

    def close(self) -> None:
        """Do nothing: there is no group to leave."""
