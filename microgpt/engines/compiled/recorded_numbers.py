"""The numbers of a record, row by row, before anything is grouped: slow and plain.

Each row is a numpy array, with an axis for each axis of the row. Beyond the bound of an axis it has any numbers.
"""

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
    POW,
    SUM,
    VIEW,
    WHERE,
    Axis,
    Index,
    IndexLike,
    Record,
)
from microgpt.value import LARGEST_FLOAT

TWO = {ADD: np.add, MUL: np.multiply, LESS: np.less, LESS_EQUAL: np.less_equal}


def numbers_of(record: Record, params: np.ndarray, integers: np.ndarray, floats: np.ndarray) -> list[np.ndarray]:
    """The values of each row, for flat parameters, integers and floats of an example."""
    floats = np.concatenate([floats, integers[np.array(record.returned, np.int64)]])
    numbers = Numbers(record, params, integers, floats)
    with np.errstate(all="ignore"):  # a branch that is not taken may have no value
        numbers.compute(0, len(record))
    return numbers.known


class Numbers:
    """The values of the rows of a record so far. Within a loop that carries a state, some axes are at a `turn`."""

    def __init__(self, record: Record, params: np.ndarray, integers: np.ndarray, floats: np.ndarray):
        self.record, self.params, self.integers, self.floats = record, params, integers, floats
        self.known: list[np.ndarray] = [
            np.zeros([axis.n for axis in record.axes.get(i, ())]) for i in range(len(record))
        ]
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
