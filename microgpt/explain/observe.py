"""Watch functions while they run, without any change in them.

    with observed([linear, softmax]) as calls:
        loss(params, tokens, weights)
    calls[0].function, calls[0].variables, calls[0].result, calls[0].inner

Python tells a profiler of every call and every return, and a returning frame still has its local variables. So the
intermediate lists of a function are available under the names in its source.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any


@dataclass
class Call:
    """One call of a watched function."""

    function: str  # its name
    variables: dict[str, Any] = field(default_factory=dict)  # arguments and other local variables, at its end
    result: Any = None
    inner: list["Call"] = field(default_factory=list)  # the watched calls that it made, in order


def place_of(code: CodeType) -> tuple[str, int, str]:
    """Return the file, the line and the name of a function, which stay the same if the compiler rewrites it."""
    return code.co_filename, code.co_firstlineno, code.co_name


@contextmanager
def observed(functions: Iterable[Callable[..., Any]]) -> Iterator[list[Call]]:
    """Watch these functions. The list collects their outermost calls; each call holds those that it made."""
    watched = {place_of(function.__code__): function.__name__ for function in functions}
    outermost: list[Call] = []
    open_calls: list[Call] = []

    def profiler(frame: FrameType, event: str, result: Any) -> None:
        if event not in ("call", "return"):  # of a function written in C, of which there are many more
            return
        name = watched.get(place_of(frame.f_code))
        if name is None:
            return
        if event == "call":
            call = Call(name)
            (open_calls[-1].inner if open_calls else outermost).append(call)
            open_calls.append(call)
        else:
            call = open_calls.pop()
            call.variables, call.result = dict(frame.f_locals), result

    before = sys.getprofile()
    sys.setprofile(profiler)
    try:
        yield outermost
    finally:
        sys.setprofile(before)
