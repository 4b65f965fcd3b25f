"""Rows that are alike, and how they lie: where each is, and in which order they are a grid.

A grid is what strides can tell: the members along some axes of their own, each operand moving by the same step from one
to the next. What lies in no grid is read by a table.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from microgpt.engines.compiled.expressions import CELLS, CONSTANTS, INTEGERS, PARAMETERS
from microgpt.engines.compiled.nest import Bound
from microgpt.engines.compiled.nodes import Node
from microgpt.engines.compiled.record import PICK, Axis, Index
from microgpt.engines.compiled.scalars import runs_of

LENGTH = "length"  # in the place of a space: a column of the lengths of a ragged axis
GRID_AXES = 3  # at most, of a grid of members; a table gives those of a deeper one


@dataclass
class Access:
    """Where an operand, or a result, of an instruction lies, for each index of its axes."""

    space: str
    start: int
    strides: tuple[int, ...]
    table: np.ndarray | None = None  # [members]: starts, if axis 0 is that of members that lie in no grid


@dataclass
class Place:
    """Where a row lies: a start, and a stride for each axis of its family."""

    space: str
    start: int
    strides: dict[Axis, int] = field(default_factory=dict)
    single: Axis | None = None  # the axis of a list of one item: any stride will do along it


Member = tuple[Node, list[Place]]  # with the places of its operands
Item = tuple[tuple[str, tuple[int, ...]], int]  # of a list: its space, its strides along the other axes, and its start


@dataclass
class Members:
    """Nodes that are alike, ordered so that one sees whether they lie in a grid; what differs is in columns."""

    all: list[Member]
    spaces: list[str]  # of the columns of `starts`
    starts: np.ndarray  # [members, operands]; of a pick the last column is the place of the integer
    ragged: list[int]  # which of the axes are ragged
    lengths: np.ndarray  # [members, ragged axes]

    @classmethod
    def ordered(cls, members: list[Member]) -> "Members":
        node, places = members[0]
        spaces = [place.space for place in places]
        starts = [[place.start for place in places] for _, places in members]
        if node.kind == PICK:
            spaces.append(INTEGERS)
            starts = [[*row, constant_of(node.detail)] for row, (node, _) in zip(starts, members, strict=True)]
        ragged = ragged_axes(node)
        lengths = [[node.loops()[i].n for i in ragged] for node, _ in members]
        columns = [np.array(rows, np.int64).reshape(len(members), -1) for rows in (starts, lengths)]
        order = order_for_grid(np.concatenate(columns, 1), [*spaces, *[LENGTH] * len(ragged)])
        return cls([members[i] for i in order], spaces, columns[0][order], ragged, columns[1][order])

    def of_each_length(self) -> list[list[Member]]:
        """The members in parts whose axes have the same lengths."""
        return [
            [member for member, own in zip(self.all, self.lengths, strict=True) if (own == lengths).all()]
            for lengths in np.unique(self.lengths, axis=0)
        ]

    def axis_lengths(self) -> list[int]:
        """The lengths of the axes of a node; of ragged ones, the greatest."""
        greatest = dict(zip(self.ragged, self.lengths.max(0).tolist(), strict=True))
        return [greatest.get(i, axis.n) for i, axis in enumerate(self.all[0][0].loops())]

    def strides(self, operand: int) -> tuple[int, ...]:
        """The strides of an operand along the axes of a node: those of the longest member that has one."""
        found: list[int | None] = [None] * len(self.all[0][0].loops())
        for member in np.argsort(-self.lengths.sum(1), kind="stable") if self.ragged else range(len(self.all)):
            node, places = self.all[member]
            place = places[operand]
            for i, axis in enumerate(node.loops()):
                if found[i] is None and place.single is not axis:
                    found[i] = place.strides.get(axis, 0)
            if None not in found:
                break
        return tuple([stride or 0 for stride in found])


@dataclass
class Grid:
    """How members lie: the lengths of the axes that they become, and the steps of each column along these."""

    counts: list[int]
    steps: np.ndarray  # [axes, columns]
    table: bool = False  # they lie in no grid: their starts are given one by one

    def access(self, members: Members, column: int, strides: tuple[int, ...]) -> Access:
        """Where the operand of a column is read, with these strides along the axes of a node."""
        starts = members.starts[:, column]
        steps = self.steps[:, column].tolist()
        return Access(members.spaces[column], int(starts[0]), (*steps, *strides), starts if self.table else None)


def row_major(lengths: Sequence[int]) -> list[int]:
    """The strides of an array with these lengths, whose last axis is the innermost."""
    return [prod(lengths[i + 1 :]) for i in range(len(lengths))]


def alike(columns: list[np.ndarray], count: int) -> list[np.ndarray]:
    """Which of so many members have the same in all columns."""
    varying = [column for column in columns if (column != column[0]).any()]
    return runs_of(np.lexsort(varying), *varying) if varying else [np.arange(count)]


def constant_of(index: Any) -> int:
    return index.constant if type(index) is Index else index


def coefficient_of(index: Any, axis: Axis) -> int:
    return dict(index.terms).get(axis, 0) if type(index) is Index else 0


def is_regular(cells: np.ndarray) -> bool:
    """Whether neighbours are one step apart."""
    return len(cells) < 2 or bool((np.diff(cells) == cells[1] - cells[0]).all())


def access_of_moves(space: str, starts: np.ndarray, strides: tuple[int, ...], regular: bool) -> Access:
    step = int(starts[1] - starts[0]) if regular and len(starts) > 1 else 0
    return Access(space, int(starts[0]), (step, *strides), None if regular else starts)


def ragged_axes(node: Node) -> list[int]:
    return [i for i, axis in enumerate(node.loops()) if axis.ragged]


def key_of(node: Node, places: list[Place]) -> Any:
    """The key that members of an instruction share. Ragged axes, and strides along them, may differ."""
    loops = node.loops()
    lengths = tuple(["ragged" if axis.ragged else (axis.n, own_bound(axis, loops)) for axis in loops])
    operands = tuple([
        (place.space, tuple(["any" if axis.ragged else place.strides.get(axis, 0) for axis in loops]))
        for place in places
    ])  # fmt: skip
    detail = node.detail
    if node.kind == PICK:
        detail = tuple([coefficient_of(detail, axis) for axis in node.axes])
    return node.kind, detail, lengths, operands


def own_bound(axis: Axis, loops: tuple[Axis, ...], outer: int = 0) -> Bound | None:
    """The bound that an axis has by itself, among axes that come after so many others."""
    if axis.bound is None:
        return None
    other, constant, step = axis.bound
    return Bound(outer + loops.index(other), constant, step)


def split_by_strides(members: list[Member]) -> list[list[Member]]:
    """Members in parts that have the same strides along ragged axes, too. Along one of one item any stride will do."""
    ragged = ragged_axes(members[0][0])
    parts: list[tuple[list[int | None], list[Member]]] = []
    for node, places in members:
        axes = [node.loops()[i] for i in ragged]
        strides = [None if place.single is a else place.strides.get(a, 0) for place in places for a in axes]
        for known, part in parts:
            if all(a == b or a is None or b is None for a, b in zip(known, strides, strict=True)):
                known[:] = [b if a is None else a for a, b in zip(known, strides, strict=True)]
                part.append((node, places))
                break
        else:
            parts.append((strides, [(node, places)]))
    return [part for _, part in parts]


def order_for_grid(columns: np.ndarray, spaces: list[str]) -> np.ndarray:
    """The order of members that shows whether they lie in a grid: by parameters first, then by the fewest cells."""
    if len(columns) == 1:
        return np.zeros(1, np.int64)
    ranks = {PARAMETERS: 0, CONSTANTS: 0, CELLS: 1, INTEGERS: 2, LENGTH: 3}
    keys = sorted([(ranks[space], len(np.unique(columns[:, i])), i) for i, space in enumerate(spaces)])
    return np.lexsort([columns[:, i] for _, _, i in reversed(keys)]) if keys else np.arange(len(columns))


def grid_of(columns: np.ndarray) -> Grid | None:
    """Members as a grid, the outermost axis first; None if they are not one. A single member is one of length 1."""
    counts: list[int] = []
    steps: list[np.ndarray] = []
    rest = columns
    while len(rest) > 1:
        step = rest[1] - rest[0]
        alike = (np.diff(rest, axis=0) == step).all(axis=1)
        run = len(rest) if alike.all() else int(np.argmin(alike)) + 1
        if len(rest) % run or len(counts) == GRID_AXES:
            return None
        blocks = rest.reshape(len(rest) // run, run, rest.shape[1])
        if (blocks != blocks[:, :1] + np.arange(run)[None, :, None] * step).any():
            return None
        counts.append(run)
        steps.append(step)
        rest = blocks[:, 0]
    if not counts:
        return Grid([1], np.zeros((1, columns.shape[1]), np.int64))
    return Grid(counts[::-1], np.array(steps[::-1]))


def bounds_of(members: Members, grid: Grid, axes: int) -> tuple[Bound | None, ...]:
    """The bound of each axis whose length differs from member to member."""
    loops = members.all[0][0].loops()
    bounds: list[Bound | None] = [None] * (axes - len(loops))
    bounds += [own_bound(axis, loops, axes - len(loops)) for axis in loops]
    for column, axis in enumerate(members.ragged):
        slopes = grid.steps[:, len(members.spaces) + column]
        along = np.flatnonzero(slopes).tolist()
        if along:
            (of,) = along
            bounds[len(grid.counts) + axis] = Bound(of, int(members.lengths[0, column]), int(slopes[of]))
    return tuple(bounds)
