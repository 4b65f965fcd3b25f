"""Step 2 of the compiler: families that are alike become one array instruction.

Families of the same level cannot depend on one another. Those of the same operation, with axes of the same lengths and
operands that are read with the same strides, are the *members* of one instruction, and become an axis of it: the
positions of a text, the heads of an attention. In goes a record; out comes a short list of instructions.

Every scalar of an example has a *cell*, and every instruction makes the cells of one array, one after the other. So an
operand is read at

    start + the sum of stride * index, over all axes of the instruction

and that is all that is known of it: rows, columns, slices, transposes and heads are strides. Members whose operands do
not lie in such a grid are given by tables of cells instead.

The keys that a text gathers from position to position are lists that grow. Their members differ in the length of an
axis only: it becomes an axis of the greatest length with a `Bound`, below which an index of it stays. So a triangle of
attention becomes a square with a mask.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from microgpt.engines.compiled.expressions import CELLS, CONSTANTS, INTEGERS, PARAMETERS
from microgpt.engines.compiled.record import (
    ADD,
    CONSTANT,
    INPUT,
    KINDS,
    LESS,
    LESS_EQUAL,
    LIST,
    MUL,
    PARAMETER,
    PICK,
    POW,
    SUM,
    VIEW,
    Axis,
    Index,
    Record,
)

LENGTH = "length"  # in the place of a space: a column of the lengths of a growing axis
GRID_AXES = 3  # of a grid of members at most; those of a deeper one are given by a table
FEW_TERMS = 4  # a sum of more scalars than these is a sum over an axis


@dataclass(frozen=True)
class Bound:
    """An index stays below `constant + step * (index of axis `of`)`."""

    of: int
    constant: int
    step: int


@dataclass
class Access:
    """Where an operand, or a result, of an instruction lies, for each index of its axes."""

    space: str
    start: int
    strides: tuple[int, ...]
    table: np.ndarray | None = None  # [members]: starts, if axis 0 is that of members that lie in no grid


@dataclass
class Array:
    """The cells of a result: from `start` on, with the lengths and strides of its axes, the outermost first."""

    start: int
    lengths: tuple[int, ...]
    strides: tuple[int, ...]
    masked: bool = False  # cells beyond the bounds of its axes are never written, and stay zero

    @property
    def size(self) -> int:
        return prod(self.lengths)


@dataclass
class Instruction:
    """One array instruction: for each index of its axes the result of an operation on some operands.

    `operation` is "terms" (a sum of products), "pow", "log", "exp", "less", "less or equal", "sum" or "largest" (over
    the last axis), "pick" (along the last axis, which has the length 1 here), or "copy".
    """

    operation: str
    lengths: tuple[int, ...]  # of its axes; the one that a sum, a largest or a pick is over comes last
    bounds: tuple[Bound | None, ...]
    result: Access
    operands: list[Access]
    array: Array
    terms: tuple[tuple[float, int], ...] = ()  # of "terms": a coefficient and how many operands are multiplied
    exponent: float = 0.0
    integer: Access | None = None  # of "pick": the places of the choosing integers
    choices: tuple[int, int] = (0, 0)  # of "pick": how many, and the stride from one to the next
    rows: list[int] = field(default_factory=list)  # of the record


@dataclass
class Node:
    """A row of the record on its way into an instruction."""

    row: int
    kind: int  # as in the record; ADD is a sum of products, so it stands for MUL, too
    operands: tuple[int, ...]
    axes: tuple[Axis, ...]
    closed: Axis | None
    detail: Any  # of ADD its terms, as in `Instruction`; of POW the exponent; of PICK the place of the integer
    level: int = 0


@dataclass
class Place:
    """Where a row lies: of every family a start, and a stride for each axis."""

    space: str
    start: int
    strides: dict[Axis, int]
    loose: Axis | None = None  # a list of one item: its stride along this axis can be anything


class Groups:
    """All instructions of a record, in order; where its results lie."""

    def __init__(self, record: Record):
        self.record = record
        self.kind, self.left, self.right = record.kind.tolist(), record.left.tolist(), record.right.tolist()
        self.axes, self.closed = dict(record.axes), dict(record.closed)
        self.lists = list(record.lists)
        self.constants = list(record.constants)
        self.inputs = sum(
            prod(axis.n for axis in self.axes.get(row, ())) for row, kind in enumerate(self.kind) if kind == INPUT
        )
        self.size = self.inputs  # cells
        self.instructions: list[Instruction] = []
        self.arrays: list[Array] = []
        self.starts: list[int] = []  # of the arrays
        self.places: dict[int, Place] = {}
        self.origins: dict[int, int] = {}  # of rows that the record does not have, the one that they are part of
        self.find()

    def find(self) -> None:
        needed, uses = self.needed_rows()
        nodes = self.nodes_of(needed, uses)
        by_level: dict[int, list[Node]] = {}
        for node in nodes:
            by_level.setdefault(node.level, []).append(node)
        for level in sorted(by_level):
            alike: dict[Any, list[tuple[Node, list[Place]]]] = {}
            lists = []
            for node in by_level[level]:
                if node.kind == LIST:
                    lists.append(node)
                    continue
                places = [self.place(row) for row in node.operands]
                alike.setdefault(self.key(node, places), []).append((node, places))
            for members in alike.values():
                for part in split_by_strides(members):
                    self.group(part)
            self.place_lists(lists)
        self.outputs = []
        for row, index in self.record.outputs:
            place = self.place(row)
            axes = self.axes.get(row, ())
            start = place.start + sum(place.strides.get(a, 0) * i for a, i in zip(axes, index, strict=True))
            self.outputs.append((place.space, start))

    # From rows to nodes

    def needed_rows(self) -> tuple[list[bool], list[int]]:
        """Which rows a result needs, and how often each is used by these."""
        uses = [0] * len(self.kind)
        for row, _ in self.record.outputs:
            uses[row] += 1
        kind, left, right, lists = self.kind, self.left, self.right, self.lists
        for row in range(len(kind) - 1, -1, -1):
            k = kind[row]
            if (k == ADD or k == MUL) and uses[row]:  # most rows
                uses[left[row]] += 1
                uses[right[row]] += 1
                continue
            if not uses[row] or k <= INPUT:
                continue
            if k == LIST:
                for part, _, _ in lists[right[row]]:
                    uses[part] += 1
                continue
            uses[left[row]] += 1
            if k == ADD or k == MUL or k == LESS or k == LESS_EQUAL:
                uses[right[row]] += 1
        return [use > 0 for use in uses], uses

    def nodes_of(self, needed: list[bool], uses: list[int]) -> list[Node]:
        """Nodes for all needed rows; sums of scalars are one node each, whatever tree of additions they were."""
        kind, left, right, axes = self.kind, self.left, self.right, self.axes
        melted = [False] * len(kind)
        terms_of: dict[int, list[tuple[float, tuple[int, ...]]]] = {}
        for row in range(len(kind) - 1, -1, -1):
            if needed[row] and not melted[row] and (kind[row] == ADD or kind[row] == MUL) and row not in axes:
                terms_of[row] = self.melt(row, uses, melted)
        nodes: list[Node] = []
        levels = [0] * len(kind)

        def append(row: int, node_kind: int, operands: tuple[int, ...], detail: Any = None) -> None:
            level = 0
            for operand in operands:
                level = max(level, levels[operand])
            if node_kind != LIST or any(kind[left[row] if kind[row] == VIEW else row] == LIST for row in operands):
                level += 1
            node = Node(row, node_kind, operands, axes.get(row, ()), self.closed.get(row), detail, level)
            levels[row] = level
            nodes.append(node)

        def new_row(row_kind: int, a: int, b: int, row_axes: tuple[Axis, ...]) -> int:
            for table, entry in ((kind, row_kind), (left, a), (right, b), (levels, 0)):
                table.append(entry)
            if row_axes:
                axes[len(kind) - 1] = row_axes
            return len(kind) - 1

        def new_list(rows: list[int], axis: Axis) -> int:
            self.lists.append([(row, None, 1) for row in rows])
            row = new_row(LIST, 0, len(self.lists) - 1, (axis,))
            append(row, LIST, tuple(rows))
            return row

        def long_sum(whole: int, terms: list[tuple[float, tuple[int, ...]]]) -> int:
            """A sum of many scalars as a sum over an axis, of one family."""
            axis = Axis(len(terms))
            factors = [new_list([rows[i] for _, rows in terms], axis) for i in range(len(terms[0][1]))]
            coefficients = {coefficient for coefficient, _ in terms}
            if len(coefficients) > 1:
                numbers = [self.constant_row(coefficient, new_row) for coefficient, _ in terms]
                factors.append(new_list(numbers, axis))
                coefficients = {1.0}
            family = new_row(MUL, 0, 0, (axis,))
            append(family, ADD, tuple(factors), ((coefficients.pop(), len(factors)),))
            row = new_row(SUM, family, 0, ())
            self.closed[row] = axis
            append(row, SUM, (family,))
            self.origins[row] = self.origins[family] = whole
            return row

        count = len(kind)
        for row in range(count):
            if not needed[row] or melted[row]:
                continue
            k = kind[row]
            if k <= INPUT:
                continue
            if k == VIEW:
                levels[row] = levels[left[row]]
            elif k == LIST:
                append(row, LIST, tuple(part for part, _, _ in self.lists[right[row]]))
            elif row in terms_of:
                terms = terms_of[row]
                for factors in sorted({len(rows) for _, rows in terms if rows}):
                    many = [term for term in terms if len(term[1]) == factors]
                    if len(many) > FEW_TERMS:
                        rest = [term for term in terms if len(term[1]) != factors]
                        terms = [*rest, (1.0, (long_sum(row, many),))]
                append(
                    row, ADD, tuple(r for _, rows in terms for r in rows),
                    tuple((coefficient, len(rows)) for coefficient, rows in terms),
                )  # fmt: skip
            elif k == ADD:
                append(row, ADD, (left[row], right[row]), ((1.0, 1), (1.0, 1)))
            elif k == MUL:
                append(row, ADD, (left[row], right[row]), ((1.0, 2),))
            elif k == LESS or k == LESS_EQUAL:
                append(row, k, (left[row], right[row]))
            elif k == POW:
                append(row, k, (left[row],), self.constants[right[row]])
            elif k == PICK:
                append(row, k, (left[row],), self.record.integers[right[row]])
            else:
                append(row, k, (left[row],))
        return nodes

    def constant_row(self, number: float, new_row: Any) -> int:
        self.constants.append(number)
        return int(new_row(CONSTANT, 0, len(self.constants) - 1, ()))

    def melt(self, top: int, uses: list[int], melted: list[bool]) -> list[tuple[float, tuple[int, ...]]]:
        """The terms of a sum or product of scalars: what only it uses melts into it."""
        kind, left, right, axes = self.kind, self.left, self.right, self.axes
        terms: list[tuple[float, tuple[int, ...]]] = []
        constant = 0.0
        stack = [(top, 1.0)]
        while stack:
            row, factor = stack.pop()
            k = kind[row]
            if k == CONSTANT:
                constant += factor * self.constants[right[row]]
                continue
            if row != top:
                if (k != ADD and k != MUL) or uses[row] != 1 or row in axes:
                    terms.append((factor, (row,)))
                    continue
                melted[row] = True
            a, b = left[row], right[row]
            if k == ADD:
                stack.append((b, factor))
                stack.append((a, factor))
            elif kind[b] == CONSTANT:
                stack.append((a, factor * self.constants[right[b]]))
            elif kind[a] == CONSTANT:
                stack.append((b, factor * self.constants[right[a]]))
            else:
                terms.append((factor, (a, b)))
        if constant or not terms:
            terms.append((constant, ()))
        return terms

    # Where rows lie

    def place(self, row: int) -> Place:
        """Where a row lies that has been made."""
        found = self.places.get(row)
        if found is not None:
            return found
        kind = self.kind[row]
        if kind == VIEW:
            found = self.view(row)
        elif kind == CONSTANT:
            found = Place(CONSTANTS, self.right[row], {})
        else:  # parameters and inputs lie row by row
            strides, size = {}, 1
            for axis in reversed(self.axes.get(row, ())):
                strides[axis] = size
                size *= axis.n
            found = Place(PARAMETERS if kind == PARAMETER else CELLS, self.left[row], strides)
        self.places[row] = found
        return found

    def view(self, row: int) -> Place:
        base = self.left[row]
        under = self.place(base)
        start, strides, loose = under.start, dict[Axis, int](), None
        for axis, index in zip(self.axes.get(base, ()), self.record.indices[self.right[row]], strict=True):
            stride = under.strides.get(axis, 0)
            if type(index) is not Index:
                start += index * stride
                continue
            start += index.constant * stride
            for free, coefficient in index.terms:
                strides[free] = strides.get(free, 0) + coefficient * stride
                if axis is under.loose:
                    loose = free
        return Place(under.space, start, strides, loose)

    def place_lists(self, nodes: list[Node]) -> None:
        """Find where the items of lists lie: one stride apart, or else copy them so, all of one length together."""
        to_copy: dict[Any, list[tuple[Node, list[tuple[Any, int]]]]] = {}
        for node in nodes:
            items = self.items_of(node)
            found = self.regular_place(node, items)
            if found is not None:
                self.places[node.row] = found
            else:
                to_copy.setdefault(tuple(a.n for a in node.axes), []).append((node, items))
        for lengths, lists in to_copy.items():
            self.copy_lists(lengths, lists)

    def items_of(self, node: Node) -> list[tuple[Any, int]]:
        """Of each item of a list how it lies, (its space, its strides along the other axes), and where it begins."""
        others = node.axes[1:]
        items: list[tuple[Any, int]] = []
        for row, own, length in self.lists[self.right[node.row]]:
            place = self.place(row)
            kind = place.space, tuple([place.strides.get(a, 0) for a in others]) if others else ()
            if own is None:
                items.append((kind, place.start))
            else:
                step = place.strides.get(own, 0)
                items += [(kind, place.start + step * i) for i in range(length)]
        return items

    def regular_place(self, node: Node, items: list[tuple[Any, int]]) -> Place | None:
        """The place of a list whose items lie one stride apart in one array; None for any other."""
        (space, strides), start = items[0]
        if space == CONSTANTS or any(kind != items[0][0] for kind, _ in items):
            return None
        cells = [cell for _, cell in items]
        step = cells[1] - start if len(cells) > 1 else 0
        if any(b - a != step for a, b in pairwise(cells)):
            return None
        if space == CELLS and self.array_at(min(cells)) != self.array_at(max(cells)):
            return None
        found = Place(space, start, dict(zip(node.axes[1:], strides, strict=True)))
        if len(cells) == 1:
            found.loose = node.axes[0]
        else:
            found.strides[node.axes[0]] = step
        return found

    def copy_lists(self, lengths: tuple[int, ...], lists: list[tuple[Node, list[tuple[Any, int]]]]) -> None:
        """Copy lists of the same lengths into one array; those of the same items only once."""
        different: dict[Any, int] = {}
        for _, items in lists:
            different.setdefault(tuple(items), len(different))
        array = self.new_array((len(different), *lengths), (*range(1, len(lengths) + 1), 0))
        by_kind: dict[Any, list[tuple[int, int]]] = {}  # from where to where
        for items, member in different.items():
            first = array.start + member * array.strides[0]
            for i, (kind, start) in enumerate(items):
                by_kind.setdefault(kind, []).append((start, first + i * array.strides[1]))
        row = lists[0][0].row
        for (space, strides), moves in by_kind.items():
            source, target = np.array(moves, np.int64).T
            regular = len(moves) == 1 or all((np.diff(c) == c[1] - c[0]).all() for c in (source, target))
            if space == CELLS and self.array_at(int(source.min())) != self.array_at(int(source.max())):
                regular = False

            def access(space: str, starts: np.ndarray, rest: tuple[int, ...], regular: bool = regular) -> Access:
                step = int(starts[1] - starts[0]) if regular and len(starts) > 1 else 0
                return Access(space, int(starts[0]), (step, *rest), None if regular else starts)

            result = access(CELLS, target, array.strides[2:])
            self.instructions.append(
                Instruction(
                    "copy", (len(moves), *lengths[1:]), (None,) * len(lengths), result,
                    [access(space, source, strides)], array, rows=[self.origins.get(row, row)],
                )
            )  # fmt: skip
        for node, items in lists:
            start = array.start + different[tuple(items)] * array.strides[0]
            self.places[node.row] = Place(CELLS, start, dict(zip(node.axes, array.strides[1:], strict=True)))

    def array_at(self, cell: int) -> int:
        """Which array a cell belongs to; -1 for the inputs."""
        return bisect_right(self.starts, cell) - 1

    def new_array(self, lengths: tuple[int, ...], order: tuple[int, ...], masked: bool = False) -> Array:
        """Room for a result with axes of these lengths; in `order` they lie in the cells, the outermost first."""
        strides = [0] * len(lengths)
        step = 1
        for axis in reversed(order):
            strides[axis] = step
            step *= lengths[axis]
        array = Array(self.size, lengths, tuple(strides), masked)
        self.size += step
        self.arrays.append(array)
        self.starts.append(array.start)
        return array

    # From nodes to instructions

    def key(self, node: Node, places: list[Place]) -> Any:
        """What members of an instruction have in common; growing axes, and strides along them in lists, may differ."""
        loops = (*node.axes, node.closed) if node.closed is not None else node.axes
        lengths = tuple(["grows" if axis.grows else axis.n for axis in loops])
        operands = tuple([
            (place.space, tuple(["any" if axis.grows else place.strides.get(axis, 0) for axis in loops]))
            for place in places
        ])  # fmt: skip
        detail = node.detail
        if node.kind == PICK:
            detail = tuple([coefficient_of(detail, axis) for axis in node.axes])
        return node.kind, detail, lengths, operands

    def group(self, members: list[tuple[Node, list[Place]]]) -> None:
        """Make one instruction of some nodes that are alike."""
        first = members[0][0]
        axes = first.axes if first.closed is None else (*first.axes, first.closed)
        all_axes = [n.axes if n.closed is None else (*n.axes, n.closed) for n, _ in members]
        columns = np.array([[place.start for place in places] for _, places in members], np.int64)
        columns = columns.reshape(len(members), -1)
        spaces = [place.space for place in members[0][1]]
        if first.kind == PICK:
            places = [[constant_of(node.detail)] for node, _ in members]
            columns, spaces = np.concatenate([columns, np.array(places, np.int64)], 1), [*spaces, INTEGERS]
        growing = [i for i, axis in enumerate(axes) if axis.grows]
        lengths_of = np.array([[own[i].n for i in growing] for own in all_axes], np.int64).reshape(len(members), -1)
        order = member_order(np.concatenate([columns, lengths_of], 1), [*spaces, *[LENGTH] * len(growing)])
        members = [members[i] for i in order]
        columns, lengths_of = columns[order], lengths_of[order]
        together = np.concatenate([columns, lengths_of], 1)
        grid = grid_of(together)
        for column, space in zip(columns.T, spaces, strict=False):
            if space == CELLS and self.array_at(int(column.min())) != self.array_at(int(column.max())):
                grid = None  # across arrays, steps mean nothing
        bounded = lengths_of.size and (lengths_of != lengths_of[0]).any()
        if grid is None and bounded:  # no mask that is a triangle: by their lengths, one by one
            for lengths in np.unique(lengths_of, axis=0):
                self.group([m for m, own in zip(members, lengths_of, strict=True) if (own == lengths).all()])
            return
        table = grid is None
        counts, steps = ([len(members)], np.zeros((1, together.shape[1]), np.int64)) if grid is None else grid
        lengths = list(counts) + [
            int(lengths_of[:, growing.index(i)].max()) if i in growing else axis.n for i, axis in enumerate(axes)
        ]
        bounds: list[Bound | None] = [None] * len(lengths)
        for g, i in enumerate(growing):
            slopes = steps[:, len(spaces) + g]
            if slopes.any():
                if np.count_nonzero(slopes) > 1:
                    raise AssertionError("a length that grows in two ways")
                of = int(np.flatnonzero(slopes)[0])
                bounds[len(counts) + i] = Bound(of, int(lengths_of[0, g]), int(slopes[of]))

        def strides_of(operand: int) -> tuple[int, ...]:
            found = []
            for i in range(len(axes)):
                known = 0
                for (_, places), own in zip(members, all_axes, strict=True):
                    if places[operand].loose is not own[i]:
                        known = places[operand].strides.get(own[i], 0)
                        break
                found.append(known)
            return tuple(found)

        all_axes = [n.axes if n.closed is None else (*n.axes, n.closed) for n, _ in members]
        longest = sorted(range(len(members)), key=lambda m: -int(lengths_of[m].sum()) if growing else 0)
        members_by_length, all_axes = [members[m] for m in longest], [all_axes[m] for m in longest]
        members, members_in_order = members_by_length, members
        operands = [
            Access(
                spaces[o], int(columns[0, o]), (*steps[:, o].tolist(), *strides_of(o)),
                columns[:, o] if table else None,
            )
            for o in range(len(members[0][1]))
        ]  # fmt: skip
        members = members_in_order
        closed = int(first.closed is not None)
        kept = len(lengths) - closed
        outer, family = list(range(len(counts))), list(range(len(counts), kept))
        layout = (*outer[:-1], *family, *outer[-1:])
        array = self.new_array(tuple(lengths[:kept]), layout, any(bound is not None for bound in bounds[:kept]))
        result = Access(CELLS, array.start, array.strides + (0,) * closed)
        instruction = Instruction(
            "terms" if first.kind == ADD else KINDS[first.kind], tuple(lengths), tuple(bounds), result, operands, array,
            rows=[self.origins.get(node.row, node.row) for node, _ in members],
        )  # fmt: skip
        if first.kind == ADD:
            instruction.terms = first.detail
        elif first.kind == POW:
            instruction.exponent = first.detail
        elif first.kind == PICK:
            integer_strides = tuple(coefficient_of(first.detail, axis) for axis in first.axes)
            instruction.integer = Access(
                INTEGERS, int(columns[0, -1]), (*steps[:, len(spaces) - 1].tolist(), *integer_strides, 0),
                columns[:, -1] if table else None,
            )  # fmt: skip
            instruction.choices = (lengths[-1], operands[0].strides[-1])
            instruction.lengths = (*instruction.lengths[:-1], 1)
            operands[0].strides = (*operands[0].strides[:-1], 0)
        self.instructions.append(instruction)
        starts = array.start + (np.indices(counts).reshape(len(counts), -1).T @ np.array(array.strides[: len(counts)]))
        for (node, _), start in zip(members, starts.tolist(), strict=True):
            strides = dict(zip(node.axes, array.strides[len(counts) :], strict=True))
            self.places[node.row] = Place(CELLS, start, strides)


def constant_of(index: Any) -> int:
    return index.constant if type(index) is Index else index


def coefficient_of(index: Any, axis: Axis) -> int:
    return dict(index.terms).get(axis, 0) if type(index) is Index else 0


def split_by_strides(members: list[tuple[Node, list[Place]]]) -> list[list[tuple[Node, list[Place]]]]:
    """Members in parts that have the same strides along growing axes, too. A list of one item goes with any."""
    node = members[0][0]
    loops = (*node.axes, node.closed) if node.closed is not None else node.axes
    growing = [i for i, axis in enumerate(loops) if axis.grows]
    if not growing:
        return [members]
    parts: dict[Any, list[tuple[Node, list[Place]]]] = {}
    loose = []
    for node, places in members:
        loops = (*node.axes, node.closed) if node.closed is not None else node.axes
        strides = tuple(
            None if place.loose is loops[i] else place.strides.get(loops[i], 0) for place in places for i in growing
        )
        (loose.append((node, places)) if None in strides else parts.setdefault(strides, []).append((node, places)))
    if not parts:
        return [members]
    if loose:
        next(iter(parts.values())).extend(loose)
    return list(parts.values())


def member_order(columns: np.ndarray, spaces: list[str]) -> np.ndarray:
    """The order of members that shows whether they lie in a grid: by parameters first, then by the fewest cells."""
    keys = []
    for i, space in enumerate(spaces):
        distinct = len(np.unique(columns[:, i]))
        rank = {PARAMETERS: 0, CONSTANTS: 0, CELLS: 1, INTEGERS: 2, LENGTH: 3}[space]
        keys.append((rank, distinct, i))
    order = [columns[:, i] for _, _, i in sorted(keys)]
    return np.lexsort(order[::-1]) if order else np.arange(len(columns))


def grid_of(columns: np.ndarray) -> tuple[list[int], np.ndarray] | None:
    """Members as a grid: its lengths, the outermost first, and the steps of each column along it. None if they are not.

    A single member is a grid of length 1.
    """
    counts: list[int] = []
    steps: list[np.ndarray] = []
    rest = columns
    while len(rest) > 1:
        step = rest[1] - rest[0]
        alike = (np.diff(rest, axis=0) == step).all(axis=1)
        run = len(rest) if alike.all() else int(np.argmin(alike)) + 1
        if len(rest) % run or len(counts) == GRID_AXES:
            return None
        blocks = rest.reshape(-1, run, rest.shape[1])
        if (blocks != blocks[:, :1] + np.arange(run)[None, :, None] * step).any():
            return None
        counts.append(run)
        steps.append(step)
        rest = blocks[:, 0]
    if not counts:
        return [1], np.zeros((1, columns.shape[1]), np.int64)
    return counts[::-1], np.array(steps[::-1])
