"""Families of scalars that are alike become one array instruction.

In goes a record, out comes a short list of instructions. Families of the same level do not depend on each other. Those
of the same operation, with axes of the same lengths and operands that are read with the same strides, are the *members*
of one instruction. They become an axis of it: the positions of a text, the heads of an attention.

Every scalar of an example has a *cell*. Every instruction makes the cells of one array, one after the other. So an
operand is read at

    start + the sum of stride * index, over all axes of the instruction

and nothing else is known of it: rows, columns, slices, transposes and heads are strides. If the operands of the members
do not lie in such a grid, a table holds a cell for each member.

Lists that grow, such as the keys of a text, are *ragged*: their members differ in the length of an axis only. That axis
gets the greatest length and a `Bound`, below which its index stays. A triangle of attention becomes a masked square.

The state of a loop has a cell for the beginning of each turn, and one more for what it is in the end. The turns come
first in its array, and in all others that have them: what a turn makes lies together.
"""

from array import array as growing
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from microgpt.engines.compiled.expressions import CELLS, CONSTANTS, PARAMETERS
from microgpt.engines.compiled.members import (
    Access,
    Grid,
    Item,
    Member,
    Members,
    Place,
    access_of_moves,
    alike,
    bounds_of,
    coefficient_of,
    constant_of,
    grid_of,
    is_regular,
    key_of,
    order_for_grid,
    row_major,
    split_by_strides,
)
from microgpt.engines.compiled.nest import Array, Bound, Turns, Within
from microgpt.engines.compiled.nodes import Node, Nodes, Recurrence
from microgpt.engines.compiled.record import (
    ADD,
    CARRY,
    CONSTANT,
    INPUT,
    KINDS,
    LIST,
    PARAMETER,
    PICK,
    POW,
    SUM,
    VIEW,
    Axis,
    Index,
    Record,
)
from microgpt.engines.compiled.scalars import Kind, runs_of

SPACES = (CELLS, PARAMETERS, CONSTANTS)  # in which single scalars lie
FEW_APART = 8  # in a loop that runs turn by turn, so many states or single numbers are no members of one instruction


@dataclass
class Instruction:
    """One array instruction: for each index of its axes the result of an operation on some operands.

    `operation` is "terms" (a sum of products), "pow", "log", "exp", "less", "less or equal", "where" (of a condition
    and two choices), "sum" or "largest" (over the last axis), "pick" (along the last axis, of the length 1 here), or
    "copy".
    """

    operation: str
    lengths: tuple[int, ...]  # the axis that a sum, a largest or a pick is over comes last
    bounds: tuple[Bound | None, ...]
    result: Access
    operands: list[Access]
    array: Array
    rows: Any  # of the record, in a list or an array
    terms: tuple[tuple[float, int], ...] = ()  # "terms": a coefficient and how many operands are multiplied
    exponent: float = 0.0
    integer: Access | None = None  # "pick": the places of the choosing integers
    choices: tuple[int, int] = (0, 0)  # "pick": how many, and the stride from one to the next
    within: Within = ()


class Groups:
    """All instructions of a record, in order; where its results lie."""

    def __init__(self, record: Record):
        self.nodes = Nodes(record)
        self.indices = record.indices
        self.left_out = bytearray(len(record) if record.branches else 0)  # 1 for each row that a choice may leave out
        for first, end in record.branches:
            self.left_out[first:end] = b"\1" * (end - first)
        self.constants = self.nodes.constants
        self.inputs = sum(
            prod(axis.n for axis in self.nodes.axes.get(row, ()))
            for row, kind in enumerate(self.nodes.kind)
            if kind == INPUT
        )
        self.size = self.inputs  # cells
        self.instructions: list[Instruction] = []
        self.arrays: list[Array] = []
        self.states: list[int] = []  # the arrays that are states of loops
        self.starts = growing("q")  # of the arrays
        self.places: dict[int, Place] = {}
        self.loops: list[tuple[Turns, Axis]] = []  # that are around what is grouped now
        self.space, self.start = self.places_given()  # of single scalars: a number of SPACES, or -1, and a cell
        self.group_levels(self.nodes.all, self.scalars_by_level(), self.views_by_level())
        self.outputs = [self.place_of_output(row, index) for row, index in record.outputs]

    def group_levels(
        self, nodes: list[Node | Recurrence], scalars: dict[int, list[Any]], views: dict[int, list[np.ndarray]]
    ) -> None:
        """Make the instructions of nodes and scalars, level by level."""
        by_level: dict[int, list[Node | Recurrence]] = {}
        for node in nodes:
            by_level.setdefault(node.level, []).append(node)
        for level in sorted({*by_level, *scalars, *views}):
            for kind, members in scalars.get(level, []):
                self.group_scalars(kind, members)
            alike: dict[Any, list[Member]] = {}
            lists, recurrences = [], []
            for node in by_level.get(level, []):
                if isinstance(node, Recurrence):
                    recurrences.append(node)
                    continue
                if node.kind == LIST:
                    lists.append(node)
                    continue
                places = [self.place(row) for row in node.operands]
                if node.state >= 0:
                    places.append(self.next_place(node))
                alike.setdefault((key_of(node, places), self.key_in_loops(node, places)), []).append((node, places))
            for members in alike.values():
                for part in [[one] for one in members] if self.stay_apart(members) else split_by_strides(members):
                    self.group(part)
            self.place_lists(lists)
            for loop in recurrences:
                self.loops.append((Turns(loop.axis.n), loop.axis))
                self.group_levels(loop.nodes, {}, {})
                self.loops.pop()
            self.place_views(views.get(level, []))

    def key_in_loops(self, node: Node, places: list[Place]) -> Any:
        """What else members share: in loops the axes of the turns, and which operands these make.

        A carry of no loop has an array of its own, because others may be made of it.
        """
        if not self.loops and node.kind != CARRY:
            return None
        alone = node.row if node.kind == CARRY and all(axis is not node.axes[0] for _, axis in self.loops) else -1
        return alone, self.axes_of_turns(node), tuple([self.loops_around(place.space, place.start) for place in places])

    def stay_apart(self, members: list[Member]) -> bool:
        """Whether these few become an instruction each: states, and single numbers of a turn.

        What is made of one of them alone can then compute it on its way.
        """
        node = members[0][0]
        single = node.kind == CARRY or len(node.loops()) == len(self.loops)
        return bool(self.loops) and single and len(members) <= FEW_APART

    def axes_of_turns(self, node: Node) -> tuple[int, ...]:
        """Which axes of a node go from turn to turn of the loops around it."""
        return tuple([node.axes.index(axis) for _, axis in self.loops]) if self.loops else ()

    def loops_around(self, space: str, start: int) -> int:
        """How many of the loops around what is grouped now make the array that a cell belongs to."""
        if not self.loops or space != CELLS or start < self.inputs:
            return 0
        made = [turns for turns, _ in self.arrays[self.array_at(start)].within]
        return sum(turns in made for turns, _ in self.loops)

    def within(self, node: Node, outer: int) -> Within:
        """The loops around a node whose axes follow some outer ones."""
        places = self.axes_of_turns(node)
        return tuple([(turns, outer + i) for (turns, _), i in zip(self.loops, places, strict=True)])

    def next_place(self, node: Node) -> Place:
        """Where a state lies after each turn, along the axes of the node that makes it."""
        place, turns = self.places[node.state], self.nodes.axes[node.state][0]
        strides = {axis: place.strides[along] for axis, along in zip(node.axes, node.along, strict=True)}
        return Place(place.space, place.start + place.strides[turns], strides)

    def order(self, nodes: list[Node], outer: int, last: int) -> tuple[int, ...]:
        """The axes of an array as they lie in memory: first those from turn to turn, last what loops around them made.

        That is a loop that all nodes are within, or else the last of the `outer` axes, those of members.
        """
        node = nodes[0]
        axes = [axis for _, axis in self.loops] + [axis for axis in node.axes if axis in self.nodes.sequential]
        first = [outer + node.axes.index(axis) for axis in dict.fromkeys(axes)]
        around = [i for i, axis in enumerate(node.axes) if axis.statement and outer + i not in first]
        common = [outer + i for i in around if all([one.axes[i] is node.axes[i] for one in nodes])]
        inner = common[-1:] or [outer - 1]
        rest = [i for i in (*range(outer), *range(outer, last)) if i not in (*first, *inner)]
        return (*first, *rest, *inner)

    def place_of_output(self, row: int, index: tuple[Any, ...]) -> tuple[str, int]:
        place = self.place(row)
        axes = self.nodes.axes.get(row, ())
        return place.space, place.start + sum(place.strides.get(a, 0) * i for a, i in zip(axes, index, strict=True))

    # Where rows lie

    def place(self, row: int) -> Place:
        """Where a row lies that has been made."""
        found = self.places.get(row)
        if found is not None:
            return found
        if self.space[row] >= 0:
            return Place(SPACES[self.space[row]], int(self.start[row]))
        kind = self.nodes.kind[row]
        if kind == VIEW:
            found = self.place_of_view(row)
        else:  # parameters and inputs lie row by row
            axes = self.nodes.axes.get(row, ())
            strides = dict(zip(axes, row_major([axis.n for axis in axes]), strict=True))
            found = Place(PARAMETERS if kind == PARAMETER else CELLS, self.nodes.left[row], strides)
        self.places[row] = found
        return found

    def place_of_view(self, row: int) -> Place:
        base = self.nodes.left[row]
        under = self.place(base)
        found = Place(under.space, under.start)
        for axis, index in zip(self.nodes.axes.get(base, ()), self.indices[self.nodes.right[row]], strict=True):
            stride = under.strides.get(axis, 0)
            found.start += constant_of(index) * stride
            for free, coefficient in index.terms if type(index) is Index else ():
                found.strides[free] = found.strides.get(free, 0) + coefficient * stride
                if axis is under.single:
                    found.single = free
        return found

    def place_lists(self, nodes: list[Node]) -> None:
        """Find where the items of lists lie: one stride apart, or else copy them so, all of one length together."""
        to_copy: dict[Any, list[tuple[Node, list[Item]]]] = {}
        for node in nodes:
            items = self.items_of(node)
            found = self.regular_place(node, items)
            if found is not None:
                self.places[node.row] = found
            else:
                lengths = tuple([a.n for a in node.axes])
                to_copy.setdefault((lengths, self.axes_of_turns(node)), []).append((node, items))
        for (lengths, _), lists in to_copy.items():
            self.copy_lists(lengths, lists)

    def items_of(self, node: Node) -> list[Item]:
        others = node.axes[1:]
        items: list[Item] = []
        for row, own, length in self.nodes.lists[self.nodes.right[node.row]]:
            place = self.place(row)
            kind = place.space, tuple([place.strides.get(a, 0) for a in others]) if others else ()
            if own is None:
                items.append((kind, place.start))
            else:
                step = place.strides.get(own, 0)
                items += [(kind, place.start + step * i) for i in range(length)]
        return items

    def regular_place(self, node: Node, items: list[Item]) -> Place | None:
        """The place of a list whose items lie one stride apart in one array; None for any other."""
        (space, strides), start = items[0]
        if any(kind != items[0][0] for kind, _ in items):
            return None
        cells = [cell for _, cell in items]
        if space == CONSTANTS and not any(strides):  # once more, one after the other
            start, cells = len(self.constants), list(range(len(self.constants), len(self.constants) + len(cells)))
            self.constants += [self.constants[cell] for _, cell in items]
        step = cells[1] - start if len(cells) > 1 else 0
        if any(b - a != step for a, b in pairwise(cells)) or not self.in_one_array(space, start, cells[-1]):
            return None
        found = Place(space, start, dict(zip(node.axes[1:], strides, strict=True)))
        if len(cells) == 1:
            found.single = node.axes[0]
        else:
            found.strides[node.axes[0]] = step
        return found

    def copy_lists(self, lengths: tuple[int, ...], lists: list[tuple[Node, list[Item]]]) -> None:
        """Copy lists of the same lengths into one array; those of the same items only once."""
        different: dict[Any, int] = {}
        for _, items in lists:
            different.setdefault(tuple(items), len(different))
        within = self.within(lists[0][0], 1)
        order = self.order([node for node, _ in lists], 1, len(lengths) + 1)
        array = self.new_array((len(different), *lengths), order, within=within)
        moves: dict[Any, list[tuple[int, int]]] = {}  # for each kind of item, pairs of its start and the new one
        for items, member in different.items():
            first = array.start + member * array.strides[0]
            for i, (kind, start) in enumerate(items):
                key = kind, self.loops_around(kind[0], start)
                moves.setdefault(key, []).append((start, first + i * array.strides[1]))
        row = lists[0][0].row
        for ((space, strides), _), pairs in moves.items():
            source, target = np.array(pairs, np.int64).T
            regular = is_regular(source) and is_regular(target)
            regular = regular and self.in_one_array(space, int(source[0]), int(source[-1]))
            self.instructions.append(
                Instruction(
                    "copy", (len(pairs), *lengths[1:]), (None,) * len(lengths),
                    access_of_moves(CELLS, target, array.strides[2:], regular),
                    [access_of_moves(space, source, strides, regular)], array, [row],
                    within=tuple([(turns, axis - 1) for turns, axis in within]),
                )
            )  # fmt: skip
        for node, items in lists:
            start = array.start + different[tuple(items)] * array.strides[0]
            self.places[node.row] = Place(CELLS, start, dict(zip(node.axes, array.strides[1:], strict=True)))

    def array_at(self, cell: int) -> int:
        """Which array a cell belongs to; -1 for the inputs."""
        return bisect_right(self.starts, cell) - 1

    def in_one_array(self, space: str, a: int, b: int) -> bool:
        """Whether two cells lie in the same array: a step from one array to another means nothing."""
        return space != CELLS or self.array_at(a) == self.array_at(b)

    def new_array(
        self, lengths: tuple[int, ...], order: Sequence[int], bounds: tuple[Bound | None, ...] = (), within: Within = ()
    ) -> Array:
        """Room for a result with axes of these lengths; in `order` they lie in the cells, the outermost first."""
        strides = dict(zip(order, row_major([lengths[axis] for axis in order]), strict=True))
        steps = tuple([strides[axis] if n > 1 else 0 for axis, n in enumerate(lengths)])
        array = Array(self.size, lengths, steps, bounds, within)
        self.size += array.size
        if array.state():
            self.states.append(len(self.arrays))
        self.arrays.append(array)
        self.starts.append(array.start)
        return array

    # From nodes to instructions

    def group(self, alike: list[Member]) -> None:
        """Make one instruction of nodes that are alike."""
        members = Members.ordered(alike)
        grid = self.grid_of(members)
        if grid is not None and grid.table and members.all[0][0].state >= 0:
            for member in members.all:  # each where its state lies
                self.group([member])
            return
        if grid is None:  # their lengths make no triangle
            for part in members.of_each_length():
                self.group(part)
            return
        if members.all[0][0].kind == SUM and not grid.table:
            grid = self.split_as_read(grid, members)
        lengths = (*grid.counts, *members.axis_lengths())
        bounds = bounds_of(members, grid, len(lengths))
        operands = [grid.access(members, i, members.strides(i)) for i in range(len(members.all[0][1]))]
        node, rows = members.all[0][0], [node.row for node, _ in members.all]
        closed = int(node.closed is not None)
        kept, outer = len(lengths) - closed, len(grid.counts)
        within = self.within(node, outer)
        if node.state >= 0:
            result = operands.pop()
            array = self.arrays[self.array_at(result.start)]
        else:
            shape = list(lengths[:kept])
            if node.kind == CARRY:
                shape[outer] += 1
            own = bounds[:kept] if any(bounds[:kept]) else ()
            array = self.new_array(
                tuple(shape), self.order([node for node, _ in members.all], outer, kept), own, within
            )
            result = Access(CELLS, array.start, array.strides + (0,) * closed)
        operation = "terms" if node.kind == ADD else "copy" if node.kind == CARRY else KINDS[node.kind]
        instruction = Instruction(operation, lengths, bounds, result, operands, array, rows, within=within)
        if node.kind == ADD:
            instruction.terms = node.detail
        elif node.kind == POW:
            instruction.exponent = node.detail
        elif node.kind == PICK:
            strides = tuple([coefficient_of(node.detail, axis) for axis in node.axes])
            instruction.integer = grid.access(members, len(members.spaces) - 1, (*strides, 0))
            instruction.choices = lengths[-1], operands[0].strides[-1]
            instruction.lengths = (*lengths[:-1], 1)
            operands[0].strides = (*operands[0].strides[:-1], 0)
        elif node.kind == CARRY and node.state < 0:  # the first state, before the loop
            instruction.lengths = (*lengths[:outer], 1, *lengths[outer + 1 :])
            instruction.within = tuple([(turns, axis) for turns, axis in within if axis != outer])
        self.instructions.append(instruction)
        steps = np.array(result.strides[:outer])
        starts = result.start + np.indices(grid.counts).reshape(outer, -1).T @ steps
        for (node, _), start in zip(members.all, starts.tolist(), strict=True):
            if node.row != node.state:
                self.places[node.row] = Place(CELLS, start, dict(zip(node.axes, result.strides[outer:], strict=False)))
            if not node.axes:
                self.space[node.row], self.start[node.row] = SPACES.index(CELLS), start

    def split_as_read(self, grid: Grid, members: Members) -> Grid:
        """The grid of sums with its axes split as those of the array that they sum: so it becomes part of them."""
        start = int(members.starts[0, 0])
        if members.spaces[0] != CELLS or start < self.inputs:
            return grid
        array = self.arrays[self.array_at(start)]
        counts, steps = list(grid.counts), list(grid.steps)
        for n, stride in sorted(zip(array.lengths, array.strides, strict=True), key=lambda axis: axis[1]):
            aligned = stride and (start - array.start) // stride % n == 0
            for i, step in enumerate(steps):
                if aligned and step[0] == stride and counts[i] > n > 1 and counts[i] % n == 0:
                    if not step[len(members.spaces) :].any():  # of lengths
                        counts[i : i + 1], steps[i : i + 1] = [counts[i] // n, n], [step * n, step]
                    break
        return Grid(counts, np.array(steps))

    # Single scalars, in columns

    def places_given(self) -> tuple[np.ndarray, np.ndarray]:
        """The places of the single scalars that are given: constants, parameters and inputs."""
        kind, left, right = (np.asarray(column) for column in (self.nodes.kind, self.nodes.left, self.nodes.right))
        space, start = np.full(len(kind), -1, np.int8), np.where(kind == CONSTANT, right, left).astype(np.int64)
        for one, where in (CONSTANT, CONSTANTS), (PARAMETER, PARAMETERS), (INPUT, CELLS):
            space[kind == one] = SPACES.index(where)
        space[np.fromiter(self.nodes.axes, np.int64, len(self.nodes.axes))] = -1
        return space, start

    def scalars_by_level(self) -> dict[int, list[tuple[Kind, np.ndarray]]]:
        """The scalars of each level, by their kind."""
        scalars = self.nodes.scalars
        levels = np.asarray(self.nodes.levels)[scalars.rows]
        found: dict[int, list[tuple[Kind, np.ndarray]]] = {}
        for members in runs_of(np.lexsort((scalars.rows, scalars.kind_of, levels)), levels, scalars.kind_of):
            kind = scalars.kinds[scalars.kind_of[members[0]]]
            found.setdefault(int(levels[members[0]]), []).append((kind, members))
        return found

    def views_by_level(self) -> dict[int, list[np.ndarray]]:
        """The single scalars that are views of a family, by their level and family."""
        kind, left = np.asarray(self.nodes.kind), np.asarray(self.nodes.left)
        is_view = kind == VIEW
        is_view[: len(self.nodes.uses)] &= self.nodes.uses > 0
        is_view[np.fromiter(self.nodes.axes, np.int64, len(self.nodes.axes))] = False
        rows = np.flatnonzero(is_view)
        levels = np.asarray(self.nodes.levels)
        found: dict[int, list[np.ndarray]] = {}
        for order in runs_of(np.lexsort((left[rows], levels[rows])), levels[rows], left[rows]):
            found.setdefault(int(levels[rows[order[0]]]), []).append(rows[order])
        return found

    def place_views(self, views: list[np.ndarray]) -> None:
        for rows in views:
            base = self.nodes.left[rows[0]]
            place, axes = self.place(base), self.nodes.axes.get(base, ())
            indices = np.array([self.indices[self.nodes.right[row]] for row in rows.tolist()], np.int64)
            strides = np.array([place.strides.get(axis, 0) for axis in axes], np.int64)
            self.space[rows] = SPACES.index(place.space)
            self.start[rows] = place.start + indices.reshape(len(rows), -1) @ strides

    def group_scalars(self, kind: Kind, members: np.ndarray) -> None:
        """Make instructions of scalars of one kind."""
        scalars = self.nodes.scalars
        if kind.operation == SUM:
            self.group_long_sums(kind, members)
            return
        first, numbers = scalars.first[members], scalars.first_number[members]
        operands = [None if i < 0 else scalars.operands[first + i] for i in kind.operands]
        constants = np.full(len(members), SPACES.index(CONSTANTS))
        spaces = [constants if rows is None else self.space[rows] for rows in operands]
        starts = [
            numbers - i - 1 if rows is None else self.start[rows]
            for i, rows in zip(kind.operands, operands, strict=True)
        ]
        table = np.stack(starts, 1) if starts else np.zeros((len(members), 0), np.int64)
        for part in alike(spaces, len(members)):
            names = [SPACES[column[part[0]]] for column in spaces]
            rows, array, counts = self.append_scalars(kind, scalars.rows[members[part]], names, table[part])
            self.place_scalars(rows, array, counts)

    def place_scalars(self, rows: np.ndarray, array: Array, counts: list[int]) -> None:
        """Note that these scalars are the results in an array."""
        self.space[rows] = SPACES.index(CELLS)
        cells = np.indices(counts).reshape(len(counts), -1).T @ np.array(array.strides[: len(counts)])
        self.start[rows] = array.start + cells

    def append_scalars(
        self, kind: Kind, rows: np.ndarray, spaces: list[str], starts: np.ndarray, strides: tuple[int, ...] = ()
    ) -> tuple[np.ndarray, Array, list[int]]:
        """Append the instruction of some scalars; of a long sum that of its terms, with the strides along these.

        Returns the rows in the order in which the results lie, the array, and the lengths of its axes of members.
        """
        order = order_for_grid(starts, spaces)
        rows, inner = rows[order], [kind.length] if kind.operation == SUM else []
        members = Members([], spaces, starts[order], [], np.zeros((len(rows), 0), np.int64))
        grid = self.grid_of(members)
        assert grid is not None
        lengths, outer = (*grid.counts, *inner), len(grid.counts)
        along = [(stride,) for stride in strides] if inner else [()] * len(spaces)
        operands = [grid.access(members, i, along[i]) for i in range(len(spaces))]
        array = self.new_array(lengths, (*range(outer - 1), *range(outer, len(lengths)), outer - 1))
        result = Access(CELLS, array.start, array.strides)
        operation = KINDS[kind.operation] if kind.operation not in (ADD, SUM) else "terms"
        self.instructions.append(
            Instruction(
                operation, lengths, (None,) * len(lengths), result, operands, array, self.nodes.scalars.origin(rows),
                kind.terms, kind.exponent,
            )
        )  # fmt: skip
        return rows, array, grid.counts

    def group_long_sums(self, kind: Kind, members: np.ndarray) -> None:
        """Make instructions of long sums: one for the terms, one for the sums."""
        scalars, factors = self.nodes.scalars, kind.terms[0][1] - kind.numbers
        where = scalars.first[members, None] + np.arange(kind.length * factors)
        operands = scalars.operands[where].reshape(len(members), kind.length, factors)
        columns = [self.place_items(operands[:, :, i]) for i in range(factors)]
        if kind.numbers:
            space = np.full(len(members), SPACES.index(CONSTANTS))
            columns.append((space, scalars.first_number[members], np.ones(len(members), np.int64)))
        spaces, starts, strides = (list(column) for column in zip(*columns, strict=True))
        for part in alike([*spaces, *strides], len(members)):
            names = [SPACES[column[part[0]]] for column in spaces]
            own = tuple([int(column[part[0]]) for column in strides])
            rows, terms, counts = self.append_scalars(
                kind, scalars.rows[members[part]], names, np.stack(starts, 1)[part], own
            )
            array = self.new_array(tuple(counts), range(len(counts)))
            self.instructions.append(
                Instruction(
                    "sum", terms.lengths, (None,) * len(terms.lengths), Access(CELLS, array.start, (*array.strides, 0)),
                    [Access(CELLS, terms.start, terms.strides)], array, scalars.origin(rows),
                )
            )  # fmt: skip
            self.place_scalars(rows, array, counts)

    def place_items(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where lists of scalars lie, [lists, items]: their spaces, starts and strides. Irregular ones are copied."""
        spaces, starts = self.space[rows], self.start[rows]
        strides = starts[:, 1] - starts[:, 0]
        fits = (spaces == spaces[:, :1]).all(1) & (np.diff(starts, axis=1) == strides[:, None]).all(1)
        ends = [np.searchsorted(np.asarray(self.starts), starts[:, i], "right") for i in (0, -1)]
        fits &= (spaces[:, 0] != SPACES.index(CELLS)) | (ends[0] == ends[1])
        space, start = spaces[:, 0].copy(), starts[:, 0].copy()
        copied = np.flatnonzero(~fits)
        if len(copied):
            different: dict[bytes, int] = {}  # lists of the same items are copied only once
            which = np.array(
                [different.setdefault(spaces[i].tobytes() + starts[i].tobytes(), len(different)) for i in copied]
            )
            lists = copied[np.unique(which, return_index=True)[1]]
            array = self.new_array((len(lists), rows.shape[1]), (1, 0))
            cells = array.start + np.indices(array.lengths).reshape(2, -1).T @ np.array(array.strides)
            self.copy_items(spaces[lists].ravel(), starts[lists].ravel(), cells, array, rows[lists[0], :1])
            space[copied], strides[copied] = SPACES.index(CELLS), array.strides[1]
            start[copied] = array.start + which * array.strides[0]
        return space, start, strides

    def copy_items(
        self, spaces: np.ndarray, starts: np.ndarray, cells: np.ndarray, array: Array, rows: np.ndarray
    ) -> None:
        """Copy scalars to cells of an array."""
        for code in np.unique(spaces).tolist():
            own = spaces == code
            source, target, space = starts[own], cells[own], SPACES[code]
            regular = is_regular(source) and is_regular(target)
            regular = regular and self.in_one_array(space, int(source[0]), int(source[-1]))
            to, of = (access_of_moves(*way, (), regular) for way in ((CELLS, target), (space, source)))
            origin = self.nodes.scalars.origin(rows)
            self.instructions.append(Instruction("copy", (len(source),), (None,), to, [of], array, origin))

    def grid_of(self, members: Members) -> Grid | None:
        """How members lie, by a table if need be; None if they have different lengths and lie in no grid."""
        columns = np.concatenate([members.starts, members.lengths], 1)
        found = grid_of(columns)
        if found is not None and (np.count_nonzero(found.steps[:, len(members.spaces) :], axis=0) > 1).any():
            found = None  # a length that grows in two ways is no bound
        ends = members.starts.min(0).tolist(), members.starts.max(0).tolist()
        if found is not None and all(map(self.in_one_array, members.spaces, *ends)):
            return found
        if (members.lengths != members.lengths[0]).any():
            return None
        return Grid([len(columns)], np.zeros((1, columns.shape[1]), np.int64), table=True)
