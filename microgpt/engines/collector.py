"""Python's cycle collector, kept quiet while a graph grows."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep Python's cycle collector from searching a graph of Values that grows: it is large and has no cycles.

    The graph is freed by reference counting alone, as soon as nothing refers to its result.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
