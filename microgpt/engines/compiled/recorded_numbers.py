"""The numbers of a record, row by row, before anything is grouped: slow and plain.

Each row is a numpy array, with an axis for each axis of the row. Beyond the bound of an axis it has any numbers.
"""

from collections.abc import Callable
from math import isfinite, prod
from typing import Any

import numpy as np

from microgpt.engines.compiled.record import (
    ADD,
    CARRY,
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
    PICK,
    POW,
    SUM,
    VIEW,
    WHERE,
    Axis,
    Index,
    IndexLike,
    Record,
    RecordedScalar,
    at,
    union,
)
from microgpt.value import LARGEST_FLOAT

LARGEST_TABLE = 1_000_000  # numbers that Python computes one by one
TWO = {ADD: np.add, MUL: np.multiply, LESS: np.less, LESS_EQUAL: np.less_equal}


def numbers_of(record: Record, params: np.ndarray, integers: np.ndarray, floats: np.ndarray) -> list[np.ndarray]:
    """The values of each row, for flat parameters, integers and floats of an example."""
    floats = np.concatenate([floats, integers[np.array(record.returned, np.int64)]])
    numbers = Numbers(record, params, integers, floats)
    with np.errstate(all="ignore"):  # a branch that is not taken may have no value
        numbers.compute(0, len(record))
    return [numbers.known[row] for row in range(len(record))]


def tabled(function: Callable[..., Any], arguments: tuple[Any, ...], record: Record) -> Any:
    """function(*arguments) of plain numbers that loops have made: a scalar that has the value at each of their indices.

    None if that cannot be: if an argument depends on a parameter, an example or a state, or if a result is no float.
    """
    if not all(isinstance(one, (RecordedScalar, int, float)) for one in arguments):
        return None
    scalars = [record.scalar(one) for one in arguments]
    axes: tuple[Axis, ...] = ()
    for scalar in scalars:
        axes = union(axes, scalar.free)
    shape = tuple([axis.n for axis in axes])
    if prod(shape) > LARGEST_TABLE:
        return None
    columns = [plain_numbers(record, scalar, axes) for scalar in scalars]
    numbers = [np.broadcast_to(column, shape).ravel().tolist() for column in columns if column is not None]
    if len(numbers) < len(columns):
        return None
    try:
        found = [function(*row) for row in zip(*numbers, strict=True)]
    except Exception:  # where Python computes it, it raises again
        return None
    if not all(type(one) is float and isfinite(one) for one in found):
        return None
    place = 0
    for axis in axes:
        place = at(axis) + place * axis.n
    return record.stack(found).at(place) if axes else found[0]


def plain_numbers(record: Record, scalar: RecordedScalar, axes: tuple[Axis, ...]) -> np.ndarray | None:
    """The values of a scalar along some axes; None if it is not made of plain numbers alone, or of a state."""
    left, needed = [scalar.node], set[int]()
    while left:
        row = left.pop()
        if record.kind[row] in (PARAMETER, INPUT, PICK, CARRY):
            return None
        if row not in needed:
            needed.add(row)
            left += record.operands(row)
    numbers = Numbers(record, *[np.zeros(0)] * 3)
    numbers.known = record.known
    with np.errstate(all="ignore"):
        for row in sorted(needed.difference(record.known)):
            numbers.compute(row, row + 1)
    return numbers.known[scalar.node][tuple([numbers.place(index, axes) for index in scalar.index])]


class Numbers:
    """The values of the rows of a record so far. Within a loop that carries a state, some axes are at a `turn`."""

    def __init__(self, record: Record, params: np.ndarray, integers: np.ndarray, floats: np.ndarray):
        self.record, self.params, self.integers, self.floats = record, params, integers, floats
        self.known: dict[int, np.ndarray] = {}
        self.turn: dict[Axis, int] = {}

    def compute(self, first: int, end: int) -> None:
        """Compute the rows from the first one to the end."""
        row = first
        while row < end:
            if self.record.kind[row] == CARRY and self.record.axes[row][0] not in self.turn:
                row = self.take_turns(row)
            else:
                axes, around = self.record.axes.get(row, ()), self.turn
                if self.record.closed.get(row) in around:  # it sums over all turns, of which the last sees every one
                    self.turn = {axis: i for axis, i in around.items() if axis is not self.record.closed[row]}
                values = self.carried(row) if self.record.kind[row] == CARRY else self.values(row)
                self.known.setdefault(row, np.zeros([axis.n for axis in axes]))
                self.known[row][tuple([self.turn.get(axis, slice(None)) for axis in axes])] = values
                self.turn = around
                row += 1

    def take_turns(self, first: int) -> int:
        """Compute the rows of a loop whose first state is this row, turn by turn; return the row after the last."""
        axis, row, end = self.record.axes[first][0], first, first + 1
        while row < end:
            if self.record.kind[row] == CARRY and self.record.axes[row][0] is axis:
                end = max(end, self.record.right[row] + 1)
            row += 1
        for turn in range(axis.n):
            self.turn[axis] = turn
            self.compute(first, end)
        del self.turn[axis]
        return end

    def carried(self, row: int) -> np.ndarray:
        """A state at the beginning of a turn: the initial one, or what the turn before has made."""
        axis = self.record.axes[row][0]
        if self.turn[axis] == 0:
            return self.operand(self.record.left[row], self.axes(row))
        self.turn[axis] -= 1
        found = self.operand(self.record.right[row], self.axes(row))
        self.turn[axis] += 1
        return found

    def axes(self, row: int) -> tuple[Axis, ...]:
        """The axes of a row along which all of it is computed now."""
        return tuple([axis for axis in self.record.axes.get(row, ()) if axis not in self.turn])

    def operand(self, row: int, axes: tuple[Axis, ...]) -> np.ndarray:
        values = self.known[row][tuple([self.turn.get(axis, slice(None)) for axis in self.record.axes.get(row, ())])]
        return aligned(values, self.axes(row), axes)

    def place(self, index: IndexLike, axes: tuple[Axis, ...]) -> np.ndarray:
        """An index as an array of integers over some axes."""
        found = np.full((1,) * len(axes), index.constant if type(index) is Index else index)
        for axis, coefficient in index.terms if type(index) is Index else ():
            own = aligned(np.arange(axis.n), (axis,), axes) if axis in axes else self.turn[axis]
            found = found + coefficient * own
        return found

    def values(self, row: int) -> Any:
        """What the operation of a row gives."""
        record = self.record
        kind, left, right, axes = record.kind[row], record.left[row], record.right[row], self.axes(row)
        shape = tuple(axis.n for axis in axes)
        if kind == CONSTANT:
            return np.float64(record.constants[right])
        if kind in (PARAMETER, INPUT):
            flat = self.params if kind == PARAMETER else self.floats
            return flat[left : left + int(np.prod(shape, dtype=np.int64))].reshape(shape)
        if kind == VIEW:
            base = self.known[left]
            places = [self.place(index, axes) for index in record.indices[right]]
            return base[tuple([np.clip(i, 0, n - 1) for i, n in zip(places, base.shape, strict=True)])]
        if kind == LIST:
            return self.listed(right, axes)
        if kind in TWO:
            return TWO[kind](self.operand(left, axes), self.operand(right, axes))
        if kind == WHERE:
            a, b = (self.operand(one, axes) for one in record.choices[right])
            return np.where(self.operand(left, axes) != 0, a, b)
        if kind == POW:
            return self.operand(left, axes) ** record.constants[right]
        if kind in FUNCTIONS.values():
            return np.minimum(getattr(np, KINDS[kind])(self.operand(left, axes)), LARGEST_FLOAT)
        closed = record.closed[row]
        inner = self.operand(left, (closed, *axes))
        index = np.arange(closed.n).reshape(-1, *[1] * len(axes))
        inside = index < self.place(closed.length(), axes)
        if kind == SUM:
            return np.where(inside, inner, 0.0).sum(0)
        if kind == LARGEST:
            return np.where(inside, inner, -np.inf).max(0)
        chosen = self.integers[self.place(record.integers[right], axes)]
        every = np.broadcast_to(inner, (closed.n, *shape))
        return np.take_along_axis(every, np.broadcast_to(chosen, shape)[None], 0)[0]

    def listed(self, number: int, axes: tuple[Axis, ...]) -> np.ndarray:
        """The items of a list, one after the other along the first axis."""
        rest = axes[1:]
        pieces = []
        for row, own, length in self.record.lists[number]:
            piece = self.operand(row, (own or Axis(1), *rest))
            pieces.append(np.broadcast_to(piece, (length, *[axis.n for axis in rest])))
        return np.concatenate(pieces)


def aligned(values: np.ndarray, has: tuple[Axis, ...], axes: tuple[Axis, ...]) -> np.ndarray:
    """An array with its axes in the order of others, with length 1 for those that it does not have."""
    order = [has.index(axis) for axis in axes if axis in has]
    return values.transpose(order).reshape([axis.n if axis in has else 1 for axis in axes])
