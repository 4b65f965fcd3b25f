"""Python's cycle collector, kept quiet while a graph grows."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused(lasting: bool = False) -> Iterator[None]:
    """Keep Python's cycle collector from searching a graph that grows: it is large and has no cycles.

    A graph of Values is freed by reference counting alone, as soon as nothing refers to its result.

    Args:
        lasting: what grows stays, so it counts as old at the end: the collector does not search it right away.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            if lasting and not gc.get_freeze_count():  # else others have frozen objects, which stay so
                gc.freeze()
                gc.unfreeze()
            gc.enable()
