"""Begin of step 1: run a function on recorded numbers, with its loops read as axes, and return the record."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from numbers import Real
from typing import Any

import numpy as np

from microgpt.engines.compiled import current
from microgpt.engines.compiled.calls import call
from microgpt.engines.compiled.current import RecordingError
from microgpt.engines.compiled.lists import Lazy, nested
from microgpt.engines.compiled.record import (
    INPUT,
    PARAMETER,
    Argument,
    Axis,
    Index,
    IndexLike,
    Record,
    RecordedInteger,
    RecordedScalar,
    Shapes,
)  # fmt: skip
from microgpt.engines.compiled.rolling import as_chosen, as_rows, known_list
from microgpt.engines.trees import check_form


def record_function(
    function: Callable[..., Any], shapes: Shapes, arguments: list[Argument], with_sources: bool = False
) -> Record:
    """Run a function once on recorded numbers and return the record.

    Args:
        function: what to record; it gets the parameters and one example, as lists of scalars.
        shapes: the nesting of the parameters, with a shape in place of each array.
        arguments: name, "int" or "float", and shape of each argument of one example.
        with_sources: whether to note the line of the function behind each operation, which takes twice the time.
    """
    record = Record(with_sources, known_list, as_rows, as_chosen)
    count = 0

    def leaf(kind: int, shape: tuple[int, ...], start: int) -> Any:
        axes = tuple(Axis(n) for n in shape)
        return nested(record.add_family(kind, start, 0, axes), axes, record)

    def parameters(shape: tuple[int, ...]) -> Any:
        nonlocal count
        start, count = count, count + prod(shape)
        return leaf(PARAMETER, shape, start)

    params = map_shapes(parameters, shapes)
    record.parameters = count
    example, floats = [], 0
    for name, kind, shape in arguments:
        if kind == "int":
            start = len(record.names)
            record.names += [name + "".join(f"[{i}]" for i in place) for place in np.ndindex(*shape)]
            axes = tuple(Axis(n) for n in shape)
            steps = [prod(shape[i + 1 :]) for i in range(len(shape))]
            place: IndexLike = Index(start, tuple(zip(axes, steps, strict=True))) if axes else start
            example.append(nested(RecordedInteger(record, place), axes, record))
        else:
            example.append(leaf(INPUT, shape, floats))
            floats += prod(shape)
    with current.recording(record), deeper_recursion():
        result = call(function, params, *example)
        if record.refusals:  # and the function has caught it
            raise record.refusals[0]
        record.floats = floats
        record.form = form_of(result, record)
        check_form(record.form, int)
    return record


@contextmanager
def deeper_recursion() -> Iterator[None]:
    """Let a function call itself as often as it may in Python, though each of its calls takes several of ours."""
    limit = sys.getrecursionlimit()
    if sys.platform != "win32":  # where the stack is too small for it
        sys.setrecursionlimit(6 * limit)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def form_of(result: Any, record: Record) -> Any:
    """How the result is nested, with the number of an output in place of each scalar; notes the outputs."""
    if isinstance(result, dict):
        return {key: form_of(entry, record) for key, entry in result.items()}
    if isinstance(result, tuple):
        return tuple(form_of(entry, record) for entry in result)
    if isinstance(result, list):
        return [form_of(entry, record) for entry in result]
    if isinstance(result, RecordedInteger):
        record.returned.append(result.place)
        result = record.add(INPUT, record.floats + len(record.returned) - 1, 0)
    if not isinstance(result, (RecordedScalar, Real)):
        kind = "generator" if isinstance(result, Lazy) else type(result).__name__
        raise RecordingError(f"the function returned a {kind}: expected a scalar, or lists of scalars")
    scalar = record.scalar(result)
    record.outputs.append((scalar.node, scalar.index))
    return len(record.outputs) - 1


def map_shapes(function: Callable[[tuple[int, ...]], Any], shapes: Shapes) -> Any:
    """The nesting of the parameters with the function applied to every shape (a tuple) in it."""
    if isinstance(shapes, dict):
        return {key: map_shapes(function, entry) for key, entry in shapes.items()}
    if isinstance(shapes, list):
        return [map_shapes(function, entry) for entry in shapes]
    return function(shapes)
