"""The rows of a record that a result needs, as nodes; nested sums of scalars are flattened.

A sum of products is one node, whatever tree of additions it was written as: an operand that is used nowhere else
becomes terms of the sum. A sum of many scalars becomes a `sum` over the axis of a list. A node's level is greater than
those of its operands, so nodes of equal level do not depend on each other.
"""

from dataclasses import dataclass
from typing import Any

from microgpt.engines.compiled.record import (
    ADD,
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
    Axis,
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

    def loops(self) -> tuple[Axis, ...]:
        """The axes that the instruction goes through: those of the result, and the one that it closes."""
        return self.axes if self.closed is None else (*self.axes, self.closed)


class Nodes:
    """The nodes of a record, in order, and copies of its tables with the rows that flattening adds."""

    def __init__(self, record: Record):
        self.integers = record.integers
        self.kind, self.left, self.right = record.kind.tolist(), record.left.tolist(), record.right.tolist()
        self.axes, self.closed = dict(record.axes), dict(record.closed)
        self.lists, self.constants = list(record.lists), list(record.constants)
        self.origins: dict[int, int] = {}  # of each added row, the row of the record that it is a part of
        self.levels = [0] * len(self.kind)
        self.uses = self.count_uses([row for row, _ in record.outputs])
        self.flattened = [False] * len(self.kind)  # rows that became terms of another
        self.all: list[Node] = []
        self.append_all()

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
        return uses

    def append_all(self) -> None:
        """Append a node for each row that is needed and did not become a term of another."""
        kind, left, right, axes, flattened = self.kind, self.left, self.right, self.axes, self.flattened
        terms_of: dict[int, list[Term]] = {}
        for row in range(len(kind) - 1, -1, -1):
            if self.uses[row] and not flattened[row] and (kind[row] == ADD or kind[row] == MUL) and row not in axes:
                terms_of[row] = self.flatten(row)
        for row in range(len(kind)):
            k = kind[row]
            if k <= INPUT or not self.uses[row] or flattened[row]:
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
            elif k == POW:
                self.append(row, k, (left[row],), self.constants[right[row]])
            elif k == PICK:
                self.append(row, k, (left[row],), self.integers[right[row]])
            else:
                self.append(row, k, (left[row],))

    def append(self, row: int, kind: int, operands: tuple[int, ...], detail: Any = None) -> None:
        level = 0
        for operand in operands:
            level = max(level, self.levels[operand])
        if kind != LIST or any(map(self.is_list, operands)):
            level += 1
        self.levels[row] = level
        self.all.append(Node(row, kind, operands, self.axes.get(row, ()), self.closed.get(row), detail, level))

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
