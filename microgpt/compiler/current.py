"""What is being recorded now.

A function that is being recorded knows nothing of that. What it calls in the place of Python's own functions finds the
record here; while there is none, it does what Python does.

Read it as `current.RECORD`: a name that is imported from here would stay what it was.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from microgpt.compiler.record import NotAnAxis, Record

RECORD: Record | None = None


@contextmanager
def recording(record: Record) -> Iterator[None]:
    """Let what is done from here on be written down in a record."""
    global RECORD
    before, RECORD = RECORD, record
    try:
        yield
    finally:
        RECORD = before


def give_up() -> Any:
    """This cannot be done within an axis."""
    assert RECORD is not None
    RECORD.given_up = True  # should someone catch what is raised
    raise NotAnAxis
