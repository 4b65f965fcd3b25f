"""What is being recorded now.

A function that is being recorded knows nothing of that. What it calls in the place of Python's own functions finds the
record here; while there is none, it does what Python does.

Read it as `current.RECORD`: a name that is imported from here would stay what it was.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

RECORD: Any = None  # a Record, or None


class RecordingError(TypeError):
    """The function did something with a recorded number that cannot be written down as one of the five operations.

    The record remembers it: a function that catches it has taken a way that is not that of its numbers. But a function
    may ask what a scalar has, so of an AttributeError it remembers nothing.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        if RECORD is not None and not isinstance(self, AttributeError):
            RECORD.refusals.append(self)


class NotAnAxis(BaseException):
    """A loop that was being read as an axis does what only a loop can do. Not for `except Exception` to catch.

    The record remembers it, for the sake of a bare `except:` or a `finally:` that returns.
    """

    def __init__(self) -> None:
        super().__init__()
        if RECORD is not None:
            RECORD.given_up = True


@contextmanager
def recording(record: Any) -> Iterator[None]:
    """Let what is done from here on be written down in a record."""
    global RECORD
    before, RECORD = RECORD, record
    try:
        yield
    finally:
        RECORD = before
