"""The single scalars of a record, in columns: there may be millions, so none of them becomes an object.

What cannot be read as an axis is recorded scalar by scalar. Here sums and products of such scalars are flattened: an
operand that is used nowhere else becomes terms of the sum that uses it. Many terms of equally many factors become a
long sum, a row of its own. Scalars that do the same with their operands are of one `Kind`.
"""

from array import array
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from microgpt.engines.compiled.record import ADD, CONSTANT, EXP, LESS, LESS_EQUAL, LOG, MUL, POW, SUM

FEW_TERMS = 4  # a sum of more scalars than these is a long one
FEW_NUMBERS = 4  # if scalars differ in more sets of numbers than these, they read the numbers from memory
OFTEN = 8  # a set of numbers that every eighth scalar has, or more of them, stays a part of the operation
IN_COLUMNS = (ADD, MUL, POW, LOG, EXP, LESS, LESS_EQUAL)  # the operations of single scalars


TEMPORARY = (
    "kind", "left", "right", "sums", "coefficients", "operations", "constant", "has_constant", "ones", "twos",
    "first_term",
)  # fmt: skip


@dataclass
class Kind:
    """What some scalars do with their operands."""

    operation: int  # as in the record; ADD is a sum of products, SUM a long sum of products
    terms: tuple[tuple[float, int], ...] = ()  # a coefficient and the number of factors, for each; of a SUM for all
    exponent: float = 0.0
    length: int = 0  # of a SUM: the number of its terms
    operands: list[int] = field(default_factory=list)  # which one is each; -1, -2, ...: a number in memory
    numbers: int = 0  # how many of these each scalar has; of a SUM: 1 if each term has one


class Scalars:
    """The single scalars that are results: for each its row, kind, first operand and first number in memory."""

    operands: np.ndarray
    first: np.ndarray
    ones: np.ndarray  # how many terms have one factor, and how many two; of other operations, the operands
    twos: np.ndarray

    def __init__(self, kind: Any, left: Any, right: Any, constants: list[float], families: Any, uses: np.ndarray):
        self.kind, self.left, self.right = (np.asarray(column) for column in (kind, left, right))
        self.constants = np.array(constants, np.float64)
        self.size = len(self.kind)  # of the record; the rows of long sums within sums come after these
        single = uses > 0
        single[np.fromiter(families, np.int64, len(families))] = False
        self.sums = single & ((self.kind == ADD) | (self.kind == MUL))
        self.flattened = np.zeros(self.size, bool)  # rows that became terms of another
        self.parts: dict[int, list[int]] = {}  # of each sum, the long sums within it
        self.numbers: list[float] = []  # in memory, after the constants of the record
        self.kinds: list[Kind] = []
        self.flatten(uses == 1)
        self.append_others(np.flatnonzero(single & np.isin(self.kind, IN_COLUMNS[2:])).astype(np.int32))
        self.sort_into_kinds()
        begins, ends = np.zeros((2, self.size + len(self.origins)), np.int32)  # of the operands of rows
        begins[self.rows], ends[self.rows] = self.first, self.first + self.ones + 2 * self.twos
        self.begins, self.ends = array("i", begins.tobytes()), array("i", ends.tobytes())
        self.all_operands = array("i", self.operands.tobytes())
        self.operands = np.asarray(self.all_operands)
        for column in TEMPORARY:
            delattr(self, column)

    def origin(self, rows: np.ndarray) -> np.ndarray:
        """These rows, and in place of long sums within sums the rows of the sums."""
        inside = rows >= self.size
        return np.where(inside, self.origins[np.where(inside, rows - self.size, 0)], rows) if inside.any() else rows

    # Sums of products

    def values(self, rows: np.ndarray) -> np.ndarray:
        """The numbers of the rows that are constants; of others any."""
        known = self.constants if len(self.constants) else np.zeros(1)
        return known[np.where(self.kind[rows] == CONSTANT, self.right[rows], 0)]

    def flatten(self, used_once: np.ndarray) -> None:
        """Find the terms of all sums."""
        rows = np.flatnonzero(self.sums).astype(np.int32)
        a, b = self.left[rows], self.right[rows]
        is_product = self.kind[rows] == MUL
        by_b = is_product & (self.kind[b] == CONSTANT)
        by_a = is_product & ~by_b & (self.kind[a] == CONSTANT)
        factor = np.where(by_b, self.values(b), np.where(by_a, self.values(a), 1.0))
        slots = (0, a, ~is_product | by_b), (1, b, ~is_product | by_a)  # operands that are terms, or become such
        top, factors = np.arange(self.size, dtype=np.int32), np.ones(self.size)
        place = np.arange(0, 2 * self.size, 2, dtype=np.int32)  # of a term among those of its sum
        for slot, operand, in_sum in slots:
            inner = in_sum & self.sums[operand] & used_once[operand]
            own, user = operand[inner], rows[inner]
            top[own], factors[own], place[own], self.flattened[own] = user, factor[inner], 2 * user + slot, True
        inside = np.flatnonzero(self.flattened)
        while len(inside):  # each round goes twice as far up
            above = top[inside]
            factors[inside] *= factors[above]
            top[inside] = top[above]
            inside = inside[top[above] != above]
        coefficient = factors[rows] * factor
        del factors
        found: list[tuple[np.ndarray, ...]] = []  # sum, place, coefficient, a and b of some terms
        constant = np.zeros(self.size)
        for slot, operand, in_sum in slots:
            term = in_sum & ~self.flattened[operand]
            known = term & (self.kind[operand] == CONSTANT)
            np.add.at(constant, top[rows[known]], coefficient[known] * self.values(operand[known]))
            term &= ~known
            where = np.where(is_product, place[rows], 2 * rows + slot)[term]
            found.append((top[rows[term]], where, coefficient[term], operand[term], np.full(len(where), -1, np.int32)))
        term = is_product & ~by_a & ~by_b
        found.append((top[rows[term]], place[rows[term]], coefficient[term], a[term], b[term]))
        tops = rows[~self.flattened[rows]]
        constant = constant[tops]
        del rows, a, b, is_product, by_a, by_b, factor, coefficient, top, place, slots, operand, in_sum, term, known
        self.append_sums(tops, constant, *map(np.concatenate, zip(*found, strict=True)))

    def append_sums(
        self, tops: np.ndarray, constant: np.ndarray, of: np.ndarray, place: np.ndarray, coefficient: np.ndarray,
        a: np.ndarray, b: np.ndarray,
    ) -> None:  # fmt: skip
        """Append the sums with these rows, and the long sums in them. The other columns are those of the terms."""
        counts = [np.bincount(of[(b >= 0) == two], minlength=self.size)[tops] for two in (False, True)]
        has_constant = (constant != 0) | (counts[0] + counts[1] == 0)
        owner = np.empty(self.size, np.int32)
        new_of, new_rows = np.zeros(0, np.int32), np.zeros(0, np.int32)
        operations = np.full(len(tops), ADD, np.int8)
        for two in (False, True):
            count, other = counts[two], counts[not two]
            long = count > FEW_TERMS
            alone = long & (other == 0) & ~has_constant
            operations[alone] = SUM
            within = tops[long & ~alone]
            rows = self.size + len(new_rows) + np.arange(len(within), dtype=np.int32)
            owner[tops], owner[within] = tops, rows
            own = (b >= 0) == two
            of[own] = owner[of[own]]
            new_of, new_rows = np.concatenate([new_of, within]), np.concatenate([new_rows, rows])
        for top, row in zip(new_of.tolist(), new_rows.tolist(), strict=True):
            self.parts.setdefault(top, []).append(row)
        self.origins = new_of  # the sums that the new rows are parts of
        self.rows = np.concatenate([tops, new_rows])
        self.operations = np.concatenate([operations, np.full(len(new_rows), SUM, np.int8)])
        self.has_constant = np.concatenate([has_constant, np.zeros(len(new_rows), bool)])
        self.constant = np.concatenate([constant, np.zeros(len(new_rows))])
        last = np.full(len(new_rows), 2 * self.size, np.int32)
        terms = (of, new_of), (place, last), (coefficient, last * 0 + 1.0), (a, new_rows), (b, last * 0 - 1)
        self.sort_terms(*map(np.concatenate, terms))

    def sort_terms(
        self, of: np.ndarray, place: np.ndarray, coefficient: np.ndarray, a: np.ndarray, b: np.ndarray
    ) -> None:
        """Sort the terms by their sums: those of one factor first, and each in its place."""
        order = np.argsort((of.astype(np.int64) << 33) + ((b >= 0).astype(np.int64) << 32) + place, kind="stable")
        self.coefficients, a, b = coefficient[order], a[order], b[order]
        two = b >= 0
        first = np.cumsum(1 + two, dtype=np.int32) - (1 + two)
        self.operands = np.empty(len(two) + int(two.sum()), np.int32)
        self.operands[first], self.operands[first[two] + 1] = a, b[two]
        total = self.size + len(self.origins)
        of = of[order]
        self.ones, self.twos = (
            np.bincount(of[two == both], minlength=total)[self.rows].astype(np.int32) for both in (False, True)
        )
        terms, arity = self.ones + self.twos, self.ones + 2 * self.twos
        self.first_term = np.cumsum(terms, dtype=np.int32) - terms
        self.first = np.cumsum(arity, dtype=np.int32) - arity

    def append_others(self, rows: np.ndarray) -> None:
        """Append powers, functions and comparisons."""
        kind = self.kind[rows]
        two = ((kind == LESS) | (kind == LESS_EQUAL)).astype(np.int32)
        first = np.cumsum(1 + two, dtype=np.int32) - (1 + two)
        operands = np.empty(int((1 + two).sum()), np.int32)
        operands[first], operands[first[two > 0] + 1] = self.left[rows], self.right[rows[two > 0]]
        exponents = np.zeros(len(rows))
        exponents[kind == POW] = self.constants[self.right[rows[kind == POW]]]
        nothing = np.zeros(len(rows), np.int32)
        for name, column in (
            ("first", first + len(self.operands)), ("operands", operands), ("rows", rows), ("operations", kind),
            ("ones", 1 + two), ("twos", nothing), ("first_term", nothing), ("constant", exponents),
            ("has_constant", kind == POW),
        ):  # fmt: skip
            setattr(self, name, np.concatenate([getattr(self, name), column]))

    # Kinds

    def sort_into_kinds(self) -> None:
        """Find the kind of each scalar."""
        self.kind_of = np.empty(len(self.rows), np.int32)
        self.first_number = np.full(len(self.rows), -1, np.int32)
        shape = ((self.operations.astype(np.int64) << 28) + self.ones << 28) + self.twos << 1
        shape += self.has_constant
        for members in runs_of(np.argsort(shape, kind="stable"), shape):
            one = members[0]
            operation, ones, twos = (int(column[one]) for column in (self.operations, self.ones, self.twos))
            if operation == SUM:
                self.append_long_sums(members, max(ones, twos), 2 if twos else 1)
                continue
            numbers = self.constant[members, None] if self.has_constant[one] else np.empty((len(members), 0))
            factors = [0] * numbers.shape[1]
            if operation == ADD:
                where = self.first_term[members, None] + np.arange(ones + twos)
                numbers = np.concatenate([self.coefficients[where], numbers], 1)
                factors = [*[1] * ones, *[2] * twos, *factors]
            alike, rest = sets_of_numbers(numbers, operation != POW)
            for own in alike:
                self.append_kind(operation, members[own], numbers[own[0]].tolist(), factors, ones + 2 * twos)
            if len(rest):
                self.append_with_numbers(members[rest], numbers[rest], factors)

    def append_kind(
        self, operation: int, members: np.ndarray, numbers: list[float], factors: list[int], operands: int
    ) -> None:
        self.kind_of[members] = len(self.kinds)
        kind = Kind(operation, operands=list(range(operands)))
        if operation == ADD:
            kind.terms = tuple(zip(numbers, factors, strict=True))
        elif operation == POW:
            (kind.exponent,) = numbers
        self.kinds.append(kind)

    def append_with_numbers(self, members: np.ndarray, numbers: np.ndarray, factors: list[int]) -> None:
        """Append a kind of sums that read from memory the numbers in which they differ."""
        varies = (numbers != numbers[0]).any(0)
        kind, operand = Kind(ADD, numbers=int(varies.sum())), 0
        for number, own, from_memory in zip(numbers[0].tolist(), factors, varies.tolist(), strict=True):
            kind.operands += range(operand, operand + own)
            operand += own
            if from_memory:
                kind.operands.append(min([*kind.operands, 0]) - 1)
            kind.terms += ((1.0, own + 1) if from_memory else (number, own),)
        self.kind_of[members] = len(self.kinds)
        self.kinds.append(kind)
        self.keep_numbers(members, numbers[:, varies])

    def append_long_sums(self, members: np.ndarray, length: int, factors: int) -> None:
        numbers = self.coefficients[self.first_term[members, None] + np.arange(length)]
        same = (numbers == numbers[:, :1]).all(1)
        alike, rest = sets_of_numbers(numbers[same, :1], True)
        for own in alike:
            self.kind_of[members[same][own]] = len(self.kinds)
            coefficient = float(numbers[same][own[0], 0])
            self.kinds.append(Kind(SUM, ((coefficient, factors),), length=length, operands=list(range(factors))))
        rest = np.concatenate([np.flatnonzero(~same), np.flatnonzero(same)[rest]])
        if len(rest):
            self.kind_of[members[rest]] = len(self.kinds)
            operands = [*range(factors), -1]
            self.kinds.append(Kind(SUM, ((1.0, factors + 1),), length=length, operands=operands, numbers=1))
            self.keep_numbers(members[rest], numbers[rest])

    def keep_numbers(self, members: np.ndarray, numbers: np.ndarray) -> None:
        """Note the numbers of some scalars, one row for each."""
        first = len(self.constants) + len(self.numbers)
        self.first_number[members] = first + numbers.shape[1] * np.arange(len(members))
        self.numbers += numbers.ravel().tolist()


def sets_of_numbers(numbers: np.ndarray, can_differ: bool) -> tuple[list[np.ndarray], np.ndarray]:
    """The rows that have the same numbers, for each set of numbers that is frequent; and all other rows."""
    which = np.zeros(len(numbers), np.int64)
    for column in numbers.T:
        if (column != column[:1]).any():
            distinct, own = np.unique(column, return_inverse=True)
            which = np.unique(which * len(distinct) + own, return_inverse=True)[1]
    sets = runs_of(np.argsort(which, kind="stable"), which)
    rare = [own for own in sets if len(own) * OFTEN < len(numbers)]
    if not can_differ or len(rare) <= FEW_NUMBERS:
        return sets, np.zeros(0, np.int64)
    return [own for own in sets if len(own) * OFTEN >= len(numbers)], np.sort(np.concatenate(rare))


def runs_of(order: np.ndarray, *columns: np.ndarray) -> list[np.ndarray]:
    """An order in pieces, in each of which all columns stay the same."""
    changes = np.zeros(max(len(order) - 1, 0), bool)
    for column in columns:
        changes |= np.diff(column[order]) != 0
    return np.split(order, np.flatnonzero(changes) + 1) if len(order) else []
