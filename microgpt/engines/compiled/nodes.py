"""The rows of a record that a result needs, as nodes; single scalars stay in columns (scalars.py).

The rows of a loop that depend on its state, and its next state on them, are a `Recurrence`: they run turn by turn. What
else the body of the loop computes is computed for all turns at once, before it or after it.

The level of a row is greater than those of its operands, so rows of equal level do not depend on each other.
"""

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from microgpt.engines.compiled.record import (
    ADD,
    BINARY,
    CARRY,
    INPUT,
    LIST,
    MUL,
    PICK,
    POW,
    SUM,
    VIEW,
    WHERE,
    Axis,
    Index,
    Record,
)
from microgpt.engines.compiled.scalars import IN_COLUMNS, Scalars


@dataclass
class Node:
    """A row of the record on its way into an instruction."""

    row: int
    kind: int  # as in the record; ADD is a sum of products, so it stands for MUL, too
    operands: tuple[int, ...]
    axes: tuple[Axis, ...]
    closed: Axis | None
    detail: Any  # ADD: a coefficient and a number of factors for each term; POW: the exponent; PICK: the integer
    level: int = 0
    state: int = -1  # the carry whose next state this is, if it is one,
    along: tuple[Axis, ...] = ()  # and for each of the axes that of the carry

    def loops(self) -> tuple[Axis, ...]:
        """The axes that the instruction goes through: those of the result, and the one that it closes."""
        return self.axes if self.closed is None else (*self.axes, self.closed)


@dataclass
class Recurrence:
    """Nodes that depend on each other from turn to turn of a loop; nested loops are recurrences in it."""

    axis: Axis
    level: int
    nodes: "list[Node | Recurrence]" = field(default_factory=list)


class Nodes:
    """The nodes of a record, in order, the scalars beside them, and the levels of both.

    The tables of the record are copied, with the rows for long sums, and the numbers, that the scalars add.
    """

    def __init__(self, record: Record):
        self.integers, self.choices, self.lists = record.integers, record.choices, record.lists
        self.kind, self.left, self.right = record.kind[:], record.left[:], record.right[:]
        self.axes, self.closed, self.indices = record.axes, record.closed, record.indices
        self.carries = np.flatnonzero(np.asarray(record.kind) == CARRY).tolist()
        self.states: dict[int, tuple[int, tuple[Axis, ...]]] = {}  # of rows that are what a carry is next: it, its axes
        self.uses = self.count_all_uses([row for row, _ in record.outputs])
        self.carries = [row for row in self.carries if self.uses[row]]
        self.sequential = {self.axes[row][0] for row in self.carries}
        self.scalars = scalars = Scalars(record.kind, record.left, record.right, record.constants, self.axes, self.uses)
        for table, entry in (self.kind, SUM), (self.left, 0), (self.right, 0):
            table.extend([entry] * len(scalars.origins))
        self.constants = [*record.constants, *scalars.numbers]
        self.levels = array("i", bytes(4 * len(self.kind)))
        self.all: list[Node | Recurrence] = []
        self.least = 0  # that is below the level of what is appended now
        self.append_all()

    def count_all_uses(self, outputs: list[int]) -> np.ndarray:
        """How often each row is used by the outputs, the rows that they need, and what carries are next; 2: or more."""
        found, known = self.count_uses(outputs), set[int]()
        while new := {row for row in self.carries if found[row]} - known:
            known |= new
            found = self.count_uses([*outputs, *(self.right[row] for row in known)])
        return found

    def count_uses(self, outputs: list[int]) -> np.ndarray:
        """How often the outputs, and the rows that they need, use each row; 2 stands for more."""
        kind, left, right = (np.asarray(column) for column in (self.kind, self.left, self.right))
        more = np.flatnonzero((kind == LIST) | (kind == WHERE)).tolist()
        parts = [operand for row in more for operand in self.operands_of(row)]
        reads = (kind == VIEW) | ((kind > LIST) & (kind != WHERE))
        counted = np.array([*outputs, *parts], np.int64), left[reads], right[np.isin(kind, BINARY)]
        uses = np.bincount(np.concatenate(counted), minlength=len(kind))
        unused = np.flatnonzero((uses == 0) & (kind > INPUT)).tolist()
        while unused:
            row = unused.pop()
            for operand in self.operands_of(row)[: 1 if self.kind[row] == CARRY else None]:
                uses[operand] -= 1
                if not uses[operand] and self.kind[operand] > INPUT:
                    unused.append(operand)
        return np.minimum(uses, 2).astype(np.int8)

    def append_all(self) -> None:
        """Append a node for each row that is needed, and find the levels of all."""
        needed = self.uses > 0
        needed &= np.asarray(self.kind)[: len(needed)] > INPUT
        if not self.carries:
            self.append_rows(np.flatnonzero(needed & ~self.scalars.flattened).tolist())
            return
        rows = np.flatnonzero(needed).tolist()
        first, end = self.carries[0], max(max(row, self.right[row]) for row in self.carries) + 1
        self.append_rows([row for row in rows if row < first])
        for group in connected([row for row in rows if first <= row < end], self.operands_of):
            self.append_connected(group)
        self.append_rows([row for row in rows if row >= end])

    def append_rows(self, rows: Iterable[int]) -> None:
        """Append a node for each of these rows, or find its level, if it did not become a term of another."""
        kind, left, right, levels, scalars = self.kind, self.left, self.right, self.levels, self.scalars
        begins, ends, operands = scalars.begins, scalars.ends, scalars.all_operands
        for row in rows:
            begin, end = begins[row], ends[row]
            if begin < end:  # a single scalar
                for part in scalars.parts.get(row, ()):
                    levels[part] = 1 + max(map(levels.__getitem__, operands[begins[part] : ends[part]]))
                if end - begin == 2:
                    one, other = levels[operands[begin]], levels[operands[begin + 1]]
                    levels[row] = 1 + (one if one > other else other)
                else:
                    levels[row] = 1 + max(map(levels.__getitem__, operands[begin:end]))
                continue
            k = kind[row]
            if k == VIEW:
                levels[row] = levels[left[row]]
            elif k in IN_COLUMNS and row not in self.axes:  # a sum of nothing
                levels[row] = 1
            elif k == ADD:
                self.append(row, ADD, (left[row], right[row]), ((1.0, 1), (1.0, 1)))
            elif k == MUL:
                self.append(row, ADD, (left[row], right[row]), ((1.0, 2),))
            elif k == POW:
                self.append(row, k, (left[row],), self.constants[right[row]])
            elif k == PICK:
                self.append(row, k, (left[row],), self.integers[right[row]])
            else:
                self.append(row, k, tuple(self.operands_of(row)))

    # Loops that carry a state

    def operands_of(self, row: int) -> list[int]:
        """The rows that a row depends on; a carry on its first state and on its next one."""
        k = self.kind[row]
        if k <= INPUT:
            return []
        if k == LIST:
            return [part for part, _, _ in self.lists[self.right[row]]]
        if k == WHERE:
            return [self.left[row], *self.choices[self.right[row]]]
        return [self.left[row], self.right[row]] if k in (*BINARY, CARRY) else [self.left[row]]

    def append_connected(self, rows: list[int]) -> None:
        """Append the nodes of rows each of which depends on all others: a single one, or a recurrence."""
        carries = [row for row in rows if self.kind[row] == CARRY]
        if len(rows) == 1 and rows[0] not in self.operands_of(rows[0]):
            self.append_rows(rows)
            for row in carries:  # which depends on no state
                self.append_move(row)
                self.levels[row] = self.all[-1].level
            return
        axis = next(self.axes[row][0] for row in carries if all(self.axes[row][0] in self.axes[one] for one in rows))
        carries = [row for row in carries if self.axes[row][0] is axis]
        inside = set(rows)
        before = [self.levels[one] for row in rows for one in self.operands_of(row) if one not in inside]
        loop = Recurrence(axis, max(before, default=0) + 1)

        def operands(row: int) -> list[int]:
            return [] if row in carries else [one for one in self.operands_of(row) if one in inside]

        users: dict[int, set[int]] = {}
        for row in rows:
            for operand in self.operands_of(row):
                users.setdefault(operand, set()).add(row)
        groups = connected(sorted(rows), operands)
        single = {group[0] for group in groups if len(group) == 1}
        for row in carries:
            base, along = self.family_of(self.right[row])
            fits = base in single and len(along) == len(self.axes[row]) and set(along) == set(self.axes[row])
            readers = users[self.right[row]] | users.get(base, set())
            unread = readers <= {row, self.right[row]}  # within the turn that makes it
            if fits and unread and self.kind[base] not in (CARRY, LIST, VIEW):
                self.states.setdefault(base, (row, along))
        outer, self.all = (self.all, self.least), loop.nodes
        for row in carries:
            self.append(row, CARRY, (self.left[row],))
            self.all[-1].level = self.levels[row] = self.least = loop.level
        for group in groups:
            if group[0] not in carries:
                self.append_connected(group)
        for row in carries:
            if self.states.get(self.family_of(self.right[row])[0], (-1, ()))[0] != row:
                self.append_move(row)
        self.all, self.least = outer
        last = max([self.levels[row] for row in rows] + [node.level for node in loop.nodes])
        for row in rows:
            self.levels[row] = last
        self.all.append(loop)

    def append_move(self, carry: int) -> None:
        """Append a node that copies what a carry is next to where it lies then."""
        following = self.right[carry]
        level = max(self.levels[following], self.levels[carry]) + 1
        axes = self.axes[carry]
        self.all.append(Node(carry, CARRY, (following,), axes, None, None, level, carry, axes))

    def family_of(self, row: int) -> tuple[int, tuple[Axis, ...]]:
        """The family of which a row is the whole, with the axes of the row in place of its own; else the row itself."""
        if self.kind[row] == VIEW:
            index = self.indices[self.right[row]]
            terms = [i.terms for i in index if type(i) is Index and i.constant == 0]
            along = tuple([own[0][0] for own in terms if len(own) == 1 and own[0][1] == 1])
            if [axis.n for axis in along] == [axis.n for axis in self.axes.get(self.left[row], ())]:
                return self.left[row], along
        return row, self.axes.get(row, ())

    def append(self, row: int, kind: int, operands: tuple[int, ...], detail: Any = None) -> None:
        level = self.least
        for operand in operands:
            level = max(level, self.levels[operand])
        if kind != LIST or any(map(self.is_list, operands)):
            level += 1
        self.levels[row] = level
        axes, state = self.axes.get(row, ()), self.states.get(row, (-1, ()))
        self.all.append(Node(row, kind, operands, axes, self.closed.get(row), detail, level, *state))

    def is_list(self, row: int) -> bool:
        return bool(self.kind[self.left[row] if self.kind[row] == VIEW else row] == LIST)


def connected(rows: Iterable[int], operands: Callable[[int], list[int]]) -> list[list[int]]:
    """Rows in groups, operands first: those that depend on each other are in one (Tarjan's algorithm)."""
    among = set(rows)
    number: dict[int, int] = {}
    least: dict[int, int] = {}
    open_rows: list[int] = []
    is_open: set[int] = set()
    found: list[list[int]] = []
    for first in rows:
        stack = [] if first in number else [(first, iter(operands(first)))]
        while stack:
            row, rest = stack[-1]
            if row not in number:
                number[row] = least[row] = len(number)
                open_rows.append(row)
                is_open.add(row)
            following = next((one for one in rest if one in among and (one not in number or one in is_open)), None)
            if following is not None and following not in number:
                stack.append((following, iter(operands(following))))
            elif following is not None:
                least[row] = min(least[row], number[following])
            else:
                stack.pop()
                if stack:
                    least[stack[-1][0]] = min(least[stack[-1][0]], least[row])
                if least[row] == number[row]:
                    group = [open_rows.pop()]
                    while group[-1] != row:
                        group.append(open_rows.pop())
                    is_open.difference_update(group)
                    found.append(group)
    return found
