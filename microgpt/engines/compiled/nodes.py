"""The rows of a record that a result needs, as nodes; nested sums of scalars are flattened.

The rows of a loop that depend on its state, and its next state on them, are a `Recurrence`: they run turn by turn. What
else the body of the loop computes is computed for all turns at once, before it or after it.

A sum of products is one node, whatever tree of additions it was written as: an operand that is used nowhere else
becomes terms of the sum. A sum of many scalars becomes a `sum` over the axis of a list. A node's level is greater than
those of its operands, so nodes of equal level do not depend on each other.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from microgpt.engines.compiled.record import (
    ADD,
    BINARY,
    CARRY,
    CONSTANT,
    INPUT,
    LESS,
    LESS_EQUAL,
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

FEW_TERMS = 4  # a sum of more scalars than these is a sum over an axis
Term = tuple[float, tuple[int, ...]]  # a coefficient, and the rows that are multiplied


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
    """The nodes of a record, in order, and copies of its tables with the rows that flattening adds."""

    def __init__(self, record: Record):
        self.integers, self.choices = record.integers, record.choices
        self.kind, self.left, self.right = record.kind.tolist(), record.left.tolist(), record.right.tolist()
        self.axes, self.closed = dict(record.axes), dict(record.closed)
        self.lists, self.constants = list(record.lists), list(record.constants)
        self.origins: dict[int, int] = {}  # of each added row, the row of the record that it is a part of
        self.levels = [0] * len(self.kind)
        self.indices = record.indices
        self.carries = [row for row, kind in enumerate(self.kind) if kind == CARRY]
        self.sequential = {self.axes[row][0] for row in self.carries}
        self.states: dict[int, tuple[int, tuple[Axis, ...]]] = {}  # of rows that are what a carry is next: it, its axes
        self.uses = self.count_all_uses([row for row, _ in record.outputs])
        self.flattened = [False] * len(self.kind)  # rows that became terms of another
        self.all: list[Node | Recurrence] = []
        self.append_all()

    def count_all_uses(self, outputs: list[int]) -> list[int]:
        """How often each row is used by the outputs, the rows that they need, and what carries are next."""
        found, known = self.count_uses(outputs), set[int]()
        while new := {row for row in self.carries if found[row]} - known:
            known |= new
            found = self.count_uses([*outputs, *(self.right[row] for row in known)])
        return found

    def count_uses(self, outputs: list[int]) -> list[int]:
        """How often the outputs, and the rows that they need, use each row."""
        uses = [0] * len(self.kind)
        for row in outputs:
            uses[row] += 1
        kind, left, right, lists = self.kind, self.left, self.right, self.lists
        for row in range(len(kind) - 1, -1, -1):
            k = kind[row]
            if not uses[row] or k <= INPUT:
                continue
            if k == LIST:
                for part, _, _ in lists[right[row]]:
                    uses[part] += 1
                continue
            uses[left[row]] += 1
            if k == ADD or k == MUL or k == LESS or k == LESS_EQUAL:
                uses[right[row]] += 1
            elif k == WHERE:
                for one in self.choices[right[row]]:
                    uses[one] += 1
        return uses

    def append_all(self) -> None:
        """Append a node for each row that is needed and did not become a term of another."""
        kind, axes, flattened = self.kind, self.axes, self.flattened
        terms_of: dict[int, list[Term]] = {}
        for row in range(len(kind) - 1, -1, -1):
            if self.uses[row] and not flattened[row] and (kind[row] == ADD or kind[row] == MUL) and row not in axes:
                terms_of[row] = self.flatten(row)
        rows = [row for row in range(len(kind)) if self.uses[row] and kind[row] > INPUT]
        if not self.carries:
            self.append_rows(rows, terms_of)
            return
        first, end = self.carries[0], max(self.right[row] for row in self.carries) + 1
        self.append_rows([row for row in rows if row < first], terms_of)
        for group in connected([row for row in rows if first <= row < end], self.operands_of):
            self.append_connected(group, terms_of)
        self.append_rows([row for row in rows if row >= end], terms_of)

    def append_rows(self, rows: Iterable[int], terms_of: dict[int, list[Term]]) -> None:
        """Append a node for each of these rows that did not become a term of another."""
        kind, left, right, flattened = self.kind, self.left, self.right, self.flattened
        for row in rows:
            k = kind[row]
            if flattened[row]:
                continue
            if k == VIEW:
                self.levels[row] = self.levels[left[row]]
            elif k == LIST:
                self.append(row, LIST, tuple([part for part, _, _ in self.lists[right[row]]]))
            elif row in terms_of:
                self.append_sum(row, terms_of[row])
            elif k == ADD:
                self.append(row, ADD, (left[row], right[row]), ((1.0, 1), (1.0, 1)))
            elif k == MUL:
                self.append(row, ADD, (left[row], right[row]), ((1.0, 2),))
            elif k == LESS or k == LESS_EQUAL:
                self.append(row, k, (left[row], right[row]))
            elif k == WHERE:
                self.append(row, k, (left[row], *self.choices[right[row]]))
            elif k == POW:
                self.append(row, k, (left[row],), self.constants[right[row]])
            elif k == PICK:
                self.append(row, k, (left[row],), self.integers[right[row]])
            else:
                self.append(row, k, (left[row],))

    # Loops that carry a state

    def operands_of(self, row: int) -> list[int]:
        """The rows that a row depends on; a carry on its first state and on its next one."""
        k = self.kind[row]
        if k <= INPUT:
            return []
        if k == LIST:
            return [part for part, _, _ in self.lists[self.right[row]]]
        return [self.left[row], self.right[row]] if k in (*BINARY, CARRY) else [self.left[row]]

    def append_connected(self, rows: list[int], terms_of: dict[int, list[Term]]) -> None:
        """Append the nodes of rows each of which depends on all others: a single one, or a recurrence."""
        carries = [row for row in rows if self.kind[row] == CARRY]
        if len(rows) == 1 and self.right[rows[0]] != rows[0]:
            self.append_rows(rows, terms_of)
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
        outer, self.all = self.all, loop.nodes
        for row in carries:
            self.append(row, CARRY, (self.left[row],))
            self.all[-1].level = self.levels[row] = loop.level
        for group in groups:
            if group[0] not in carries:
                self.append_connected(group, terms_of)
        for row in carries:
            if self.states.get(self.family_of(self.right[row])[0], (-1, ()))[0] != row:
                self.append_move(row)
        self.all = outer
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
        level = 0
        for operand in operands:
            level = max(level, self.levels[operand])
        if kind != LIST or any(map(self.is_list, operands)):
            level += 1
        self.levels[row] = level
        axes, state = self.axes.get(row, ()), self.states.get(row, (-1, ()))
        self.all.append(Node(row, kind, operands, axes, self.closed.get(row), detail, level, *state))

    def is_list(self, row: int) -> bool:
        return bool(self.kind[self.left[row] if self.kind[row] == VIEW else row] == LIST)

    def flatten(self, top: int) -> list[Term]:
        """The terms of a sum or product of scalars: an operand used nowhere else becomes terms of this sum."""
        kind, left, right, axes = self.kind, self.left, self.right, self.axes
        terms: list[Term] = []
        constant = 0.0
        stack = [(top, 1.0)]
        while stack:
            row, factor = stack.pop()
            k = kind[row]
            if k == CONSTANT:
                constant += factor * self.constants[right[row]]
                continue
            if row != top:
                if (k != ADD and k != MUL) or self.uses[row] != 1 or row in axes:
                    terms.append((factor, (row,)))
                    continue
                self.flattened[row] = True
            a, b = left[row], right[row]
            if k == ADD:
                stack += (b, factor), (a, factor)
            elif kind[b] == CONSTANT:
                stack.append((a, factor * self.constants[right[b]]))
            elif kind[a] == CONSTANT:
                stack.append((b, factor * self.constants[right[a]]))
            else:
                terms.append((factor, (a, b)))
        if constant or not terms:
            terms.append((constant, ()))
        return terms

    def append_sum(self, row: int, terms: list[Term]) -> None:
        """Append a sum of products; many terms of one kind become a sum over an axis, which is one of its terms."""
        for factors in sorted({len(rows) for _, rows in terms if rows}):
            many = [term for term in terms if len(term[1]) == factors]
            if len(many) > FEW_TERMS:
                rest = [term for term in terms if len(term[1]) != factors]
                terms = [*rest, (1.0, (self.append_long_sum(row, many),))]
        operands = tuple([r for _, rows in terms for r in rows])
        self.append(row, ADD, operands, tuple([(coefficient, len(rows)) for coefficient, rows in terms]))

    def append_long_sum(self, whole: int, terms: list[Term]) -> int:
        """Append a sum over an axis of one family, of terms with equally many factors; return its row."""
        axis = Axis(len(terms))
        factors = [self.append_list([rows[i] for _, rows in terms], axis) for i in range(len(terms[0][1]))]
        coefficients = {coefficient for coefficient, _ in terms}
        if len(coefficients) > 1:
            factors.append(self.append_list([self.constant_row(coefficient) for coefficient, _ in terms], axis))
            coefficients = {1.0}
        family = self.add_row(MUL, 0, 0, (axis,))
        self.append(family, ADD, tuple(factors), ((coefficients.pop(), len(factors)),))
        row = self.add_row(SUM, family, 0)
        self.closed[row] = axis
        self.append(row, SUM, (family,))
        self.origins[row] = self.origins[family] = whole
        return row

    def append_list(self, rows: list[int], axis: Axis) -> int:
        self.lists.append([(row, None, 1) for row in rows])
        row = self.add_row(LIST, 0, len(self.lists) - 1, (axis,))
        self.append(row, LIST, tuple(rows))
        return row

    def constant_row(self, number: float) -> int:
        self.constants.append(number)
        return self.add_row(CONSTANT, 0, len(self.constants) - 1)

    def add_row(self, kind: int, left: int, right: int, axes: tuple[Axis, ...] = ()) -> int:
        for table, entry in ((self.kind, kind), (self.left, left), (self.right, right), (self.levels, 0)):
            table.append(entry)
        row = len(self.kind) - 1
        if axes:
            self.axes[row] = axes
        return row


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
