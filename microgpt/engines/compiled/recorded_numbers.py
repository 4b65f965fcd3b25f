"""The numbers of a record, row by row, before anything is grouped: slow and plain.

Each row is a numpy array, with an axis for each axis of the row.
"""

from typing import Any

import numpy as np

from microgpt.engines.compiled.record import (
    ADD,
    CONSTANT,
    FUNCTIONS,
    INPUT,
    KINDS,
    LARGEST,
    LESS,
    LESS_EQUAL,
    LIST,
    MUL,
    PARAMETER,
    POW,
    SUM,
    VIEW,
    Axis,
    Index,
    IndexLike,
    Record,
)
from microgpt.value import LARGEST_FLOAT

TWO = {ADD: np.add, MUL: np.multiply, LESS: np.less, LESS_EQUAL: np.less_equal}


def numbers_of(record: Record, params: np.ndarray, integers: np.ndarray, floats: np.ndarray) -> list[np.ndarray]:
    """The values of each row, for flat parameters, integers and floats of an example."""
    known: list[np.ndarray] = []
    floats = np.concatenate([floats, integers[np.array(record.returned, np.int64)]])

    def operand(row: int, axes: tuple[Axis, ...]) -> np.ndarray:
        return aligned(known[row], record.axes.get(row, ()), axes)

    for row, (kind, left, right) in enumerate(zip(record.kind, record.left, record.right, strict=True)):
        axes = record.axes.get(row, ())
        shape = tuple(axis.n for axis in axes)
        if kind == CONSTANT:
            values: Any = np.float64(record.constants[right])
        elif kind in (PARAMETER, INPUT):
            flat = params if kind == PARAMETER else floats
            values = flat[left : left + int(np.prod(shape, dtype=np.int64))].reshape(shape)
        elif kind == VIEW:
            values = known[left][tuple([place(index, axes) for index in record.indices[right]])]
        elif kind == LIST:
            values = listed(record, known, right, axes)
        elif kind in TWO:
            values = TWO[kind](operand(left, axes), operand(right, axes))
        elif kind == POW:
            values = operand(left, axes) ** record.constants[right]
        elif kind in FUNCTIONS.values():
            values = np.minimum(getattr(np, KINDS[kind])(operand(left, axes)), LARGEST_FLOAT)
        else:
            closed = record.closed[row]
            inner = operand(left, (closed, *axes))
            if kind == SUM:
                values = np.broadcast_to(inner, (closed.n, *inner.shape[1:])).sum(0)
            elif kind == LARGEST:
                values = inner.max(0)
            else:
                chosen = integers[place(record.integers[right], axes)]
                values = np.take_along_axis(
                    np.broadcast_to(inner, (closed.n, *shape)), np.broadcast_to(chosen, shape)[None], 0
                )[0]
        known.append(np.broadcast_to(np.asarray(values, np.float64), shape))
    return known


def aligned(values: np.ndarray, has: tuple[Axis, ...], axes: tuple[Axis, ...]) -> np.ndarray:
    """An array with its axes in the order of others, with length 1 for those that it does not have."""
    order = [has.index(axis) for axis in axes if axis in has]
    return values.transpose(order).reshape([axis.n if axis in has else 1 for axis in axes])


def place(index: IndexLike, axes: tuple[Axis, ...]) -> np.ndarray:
    """An index as an array of integers over some axes."""
    found = np.full((1,) * len(axes), index.constant if type(index) is Index else index)
    for axis, coefficient in index.terms if type(index) is Index else ():
        found = found + coefficient * aligned(np.arange(axis.n), (axis,), axes)
    return found


def listed(record: Record, known: list[np.ndarray], number: int, axes: tuple[Axis, ...]) -> np.ndarray:
    """The items of a list, one after the other along the first axis."""
    rest = axes[1:]
    pieces = []
    for row, own, length in record.lists[number]:
        first = own or Axis(1)
        piece = aligned(known[row], record.axes.get(row, ()), (first, *rest))
        pieces.append(np.broadcast_to(piece, (length, *[axis.n for axis in rest])))
    return np.concatenate(pieces)
