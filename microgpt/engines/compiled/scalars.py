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

    def __init__(self, kind: Any, left: Any, right: Any, constants: list[float], families: Any, uses: np.ndarray):
        self.kind, self.left, self.right = map(np.array, (kind, left, right))
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
        self.append_others(np.flatnonzero(single & np.isin(self.kind, IN_COLUMNS[2:])))
        self.sort_into_kinds()
        ends = np.zeros(self.size + len(self.origins) + 1, np.int32)  # where the operands of rows begin and end
        arity = self.ones + 2 * self.twos
        begins = ends.copy()
        begins[self.rows], ends[self.rows] = self.first, self.first + arity
        self.begins, self.ends = array("i", begins.tobytes()), array("i", ends.tobytes())
        self.all_operands = array("i", self.operands.tobytes())

    def operands_of(self, row: int) -> Any:
        return self.all_operands[self.begins[row] : self.ends[row]]

    def origin(self, rows: np.ndarray) -> list[int]:
        """These rows, and in place of long sums within sums the rows of the sums."""
        known = np.concatenate([np.arange(self.size)[:0], rows])
        inside = known >= self.size
        known[inside] = self.origins[known[inside] - self.size]
        return known.tolist()

    # Sums of products

    def values(self, rows: np.ndarray) -> np.ndarray:
        """The numbers of the rows that are constants; of others any."""
        known = self.constants if len(self.constants) else np.zeros(1)
        return known[np.where(self.kind[rows] == CONSTANT, self.right[rows], 0)]

    def flatten(self, used_once: np.ndarray) -> None:
        """Find the terms of all sums."""
        rows = np.flatnonzero(self.sums)
        a, b = self.left[rows], self.right[rows]
        is_product = self.kind[rows] == MUL
        by_b = is_product & (self.kind[b] == CONSTANT)
        by_a = is_product & ~by_b & (self.kind[a] == CONSTANT)
        factor = np.where(by_b, self.values(b), np.where(by_a, self.values(a), 1.0))
        slots = (0, a, ~is_product | by_b), (1, b, ~is_product | by_a)  # operands that are terms, or become such
        top, factors = np.arange(self.size, dtype=np.int32), np.ones(self.size)
        place = 2 * np.arange(self.size, dtype=np.int64)  # of a term among those of its sum
        for slot, operand, in_sum in slots:
            inner = in_sum & self.sums[operand] & used_once[operand]
            own, user = operand[inner], rows[inner]
            top[own], factors[own], place[own], self.flattened[own] = user, factor[inner], 2 * user + slot, True
        while not np.array_equal(above := top[top], top):
            factors *= factors[top]
            top = above
        coefficient = factors[rows] * factor
        found: list[tuple[np.ndarray, ...]] = []  # sum, place, coefficient, a and b of some terms
        constant = np.zeros(self.size)
        for slot, operand, in_sum in slots:
            term = in_sum & ~self.flattened[operand]
            known = term & (self.kind[operand] == CONSTANT)
            np.add.at(constant, top[rows[known]], coefficient[known] * self.values(operand[known]))
            term &= ~known
            where = np.where(is_product, place[rows], 2 * rows + slot)[term]
            found.append((top[rows[term]], where, coefficient[term], operand[term], np.full(term.sum(), -1, np.int32)))
        term = is_product & ~by_a & ~by_b
        found.append((top[rows[term]], place[rows[term]], coefficient[term], a[term], b[term]))
        self.append_sums(rows[~self.flattened[rows]], constant, *map(np.concatenate, zip(*found, strict=True)))

    def append_sums(
        self, tops: np.ndarray, constant: np.ndarray, of: np.ndarray, place: np.ndarray, coefficient: np.ndarray,
        a: np.ndarray, b: np.ndarray,
    ) -> None:  # fmt: skip
        """Append the sums with these rows, and the long sums in them. The other columns are those of the terms."""
        counts = [np.bincount(of[(b >= 0) == two], minlength=self.size)[tops] for two in (False, True)]
        constant = constant[tops]
        has_constant = (constant != 0) | (counts[0] + counts[1] == 0)
        owner = np.empty(self.size, np.int64)
        new_of: list[np.ndarray] = []
        new_rows: list[np.ndarray] = []
        operations = np.full(len(tops), ADD)
        of = of.astype(np.int64)
        for two in (False, True):
            count, other = counts[two], counts[not two]
            long = count > FEW_TERMS
            alone = long & (other == 0) & ~has_constant
            operations[alone] = SUM
            within = long & ~alone
            rows = self.size + sum([len(rows) for rows in new_rows]) + np.arange(within.sum())
            owner[tops] = tops
            owner[tops[within]] = rows
            own = (b >= 0) == two
            of[own] = owner[of[own]]
            new_of.append(tops[within])
            new_rows.append(rows)
        inside, rows = np.concatenate(new_of), np.concatenate(new_rows)
        for top, row in zip(inside.tolist(), rows.tolist(), strict=True):
            self.parts.setdefault(top, []).append(row)
        ends = np.full(len(rows), 2 * self.size)
        of, place = np.concatenate([of, inside]), np.concatenate([place, ends])
        coefficient = np.concatenate([coefficient, np.ones(len(rows))])
        a, b = np.concatenate([a, rows]).astype(np.int32), np.concatenate([b, np.full(len(rows), -1)])
        order = np.argsort((of << 33) + ((b >= 0).astype(np.int64) << 32) + place, kind="stable")
        of, a, b = of[order], a[order], b[order].astype(np.int32)
        factors = 1 + (b >= 0)
        first = np.cumsum(factors) - factors
        self.operands = np.empty(int(factors.sum()), np.int32)
        self.operands[first], self.operands[first[b >= 0] + 1] = a, b[b >= 0]
        self.coefficients = coefficient[order]
        self.origins = inside  # the sums that the new rows are parts of
        self.rows = np.concatenate([tops, rows])
        self.operations = np.concatenate([operations, np.full(len(rows), SUM)])
        self.has_constant = np.concatenate([has_constant, np.zeros(len(rows), bool)])
        self.constant = np.concatenate([constant, np.zeros(len(rows))])
        total = self.size + len(rows)
        self.ones, self.twos = (np.bincount(of[(b >= 0) == two], minlength=total)[self.rows] for two in (False, True))
        terms = self.ones + self.twos
        self.first_term = np.cumsum(terms) - terms
        arity = self.ones + 2 * self.twos
        self.first = np.cumsum(arity) - arity

    def append_others(self, rows: np.ndarray) -> None:
        """Append powers, functions and comparisons."""
        kind = self.kind[rows]
        two = (kind == LESS) | (kind == LESS_EQUAL)
        first = np.cumsum(1 + two) - (1 + two)
        operands = np.empty(int((1 + two).sum()), np.int32)
        operands[first], operands[first[two] + 1] = self.left[rows], self.right[rows[two]]
        exponents = np.zeros(len(rows))
        exponents[kind == POW] = self.constants[self.right[rows[kind == POW]]]
        nothing = np.zeros(len(rows), np.int64)
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
        self.first_number = np.full(len(self.rows), -1)
        shape = ((self.operations << 28) + self.ones << 28) + self.twos << 1
        shape = shape + self.has_constant
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
