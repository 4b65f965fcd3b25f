"""One process that trains by itself: what pytorch/training.py has for several that train together."""

from collections.abc import Callable
from typing import Any


class Alone:
    """The only process: it writes, speaks, and has all results where it is."""

    first = True
    device = exact = None

    def shared(self, make: Callable[[], Any]) -> Any:
        """What the first process makes, in all of them."""
        return make()

    def agreed_to_stop(self, wanted: bool) -> bool:
        """Whether this step was the last."""
        return wanted

    def fetch(self) -> None:
        """Bring the parameters and what Adam remembers to where they are read."""

    def described(self) -> str:
        """What computes, where that is worth a word."""
        return ""

    def leave(self) -> None:
        """Part from the others."""
