"""Step 2 of the compiler: operations become sums of products.

In goes a record, row by row one `+` or `*`; out come fewer, larger nodes. An addition that only another addition
uses melts into it, a product that only a sum uses becomes one of its terms, and a constant factor of a term becomes
its coefficient. A dot product of 64 numbers, 128 rows of the record, is one node:

    sum    constant + Σ coefficient · a · b + Σ coefficient · a

What remains beside the sums are powers, logarithms, exponentials, picks and largests. Rows that nothing needs are gone.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from microgpt.compiler.record import ADD, CONSTANT, EXP, INPUT, KINDS, LARGEST, LOG, MUL, PARAMETER, PICK, POW, Record

# The kernels below are cached on disk with these numbers in them, and only an edit of this file renews the cache.
assert KINDS == ("constant", "parameter", "input", "add", "mul", "pow", "log", "exp", "pick", "largest")

SINGLE, PAIR, WEIGHTED, ALONE = range(4)  # x, x·y, p·x, p: a parameter comes first
NOT_NEEDED, MELTED, KEPT = 0, 1, 2


@dataclass
class Sums:
    """A record as sums: the rows that are kept, and the terms of those that are sums.

    Terms of row i are entries `first[i]` to `first[i] + count[i]` of `term`, `a`, `b` and `coefficient`. The four kinds
    of terms are those that are computed differently: x, x · y, p · x, and p, for a parameter p and rows x and y.
    `varying[i]` tells that a parameter or a constant must also be there as a row of its own, because something
    other than a sum uses it.
    """

    kind: np.ndarray
    left: np.ndarray
    right: np.ndarray
    constants: np.ndarray
    tables: list[list[int]]
    outputs: np.ndarray
    kept: np.ndarray  # the rows that are computed, in order
    level: np.ndarray  # the longest way of each row from the leaves
    varying: np.ndarray
    regular: np.ndarray  # which rows pick from every so many-th parameter, as from a column of an embedding
    first: np.ndarray
    count: np.ndarray
    constant: np.ndarray  # of each sum
    term: np.ndarray  # SINGLE, PAIR, WEIGHTED or ALONE
    a: np.ndarray
    b: np.ndarray  # -1 where there is only one factor
    coefficient: np.ndarray
    watched: np.ndarray  # powers and logarithms that could be undefined without a result showing it


def find_sums(record: Record) -> Sums:
    """Melt the additions and products of a record into sums."""
    kind = np.frombuffer(record.kind, np.int8)
    left = np.frombuffer(record.left, np.int32)
    right = np.frombuffer(record.right, np.int32)
    constants = np.array(record.constants or [0.0])
    outputs = np.array(record.outputs, np.int32)
    starts = np.cumsum([0] + [len(table) for table in record.tables]).astype(np.int32)
    entries = np.array([entry for table in record.tables for entry in table] or [0], np.int32)

    uses, shown = count_uses(kind, left, right, starts, entries, outputs)
    binary = int(((kind == ADD) | (kind == MUL)).sum())
    state, first, count, constant, a, b, coefficient = melt(kind, left, right, constants, uses, binary)
    level, varying, regular = levels(kind, left, state, starts, entries, outputs, first, count, a, b)
    kept = np.flatnonzero((state == KEPT) & (kind > INPUT))
    parameter_a, parameter_b = kind[a] == PARAMETER, (b >= 0) & (kind[b] == PARAMETER)
    term = np.where(b < 0, np.where(parameter_a, ALONE, SINGLE), np.where(parameter_a | parameter_b, WEIGHTED, PAIR))
    swap = parameter_b & ~parameter_a
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    return Sums(
        kind, left, right, constants, record.tables, outputs, kept, level, varying, regular, first, count, constant,
        term.astype(np.int8), a, b, coefficient, np.flatnonzero(((kind == POW) | (kind == LOG)) & ~shown),
    )  # fmt: skip


@njit(cache=True)
def count_uses(kind, left, right, starts, entries, outputs):  # type: ignore[no-untyped-def]
    """How many rows (and results of the function) use each row; and which rows a result always depends on.

    What in the end no result needs is left out, but for powers and logarithms: where they are undefined the function
    has no result. One that is not a number makes all that depends on it so, except where a pick may choose another.
    """
    uses, shown = np.zeros(len(kind), np.int32), np.zeros(len(kind), np.bool_)
    for output in outputs:
        uses[output] += 1
        shown[output] = True
    for i in range(len(kind) - 1, -1, -1):
        k = kind[i]
        if k == POW or k == LOG:
            uses[i] += 1
        if uses[i] == 0:
            continue
        if shown[i] and k != PICK:
            if k == LARGEST:
                for entry in entries[starts[left[i]] : starts[left[i] + 1]]:
                    shown[entry] = True
            elif k >= ADD:
                shown[left[i]] = True
                if k == ADD or k == MUL:
                    shown[right[i]] = True
        if k == ADD or k == MUL:
            uses[left[i]] += 1
            uses[right[i]] += 1
        elif k == POW or k == LOG or k == EXP:
            uses[left[i]] += 1
        elif k == PICK or k == LARGEST:
            for entry in entries[starts[left[i]] : starts[left[i] + 1]]:
                uses[entry] += 1
    for output in outputs:
        uses[output] += 1  # a result stays a row of its own, even if one sum uses it
    return uses, shown


@njit(cache=True)
def melt(kind, left, right, constants, uses, binary):  # type: ignore[no-untyped-def]
    """Collect the terms of each sum, going down from the sum through all that melts into it."""
    n = len(kind)
    state = np.where(uses > 0, KEPT, NOT_NEEDED).astype(np.int8)
    first, count, constant = np.zeros(n, np.int64), np.zeros(n, np.int32), np.zeros(n)
    most = 2 * binary  # a sum that takes n operations in has n + 1 terms at most
    a, b, coefficient = np.zeros(most, np.int32), np.zeros(most, np.int32), np.zeros(most)
    stack_row, stack_factor = np.zeros(binary + 2, np.int32), np.zeros(binary + 2)
    end = 0
    for i in range(n - 1, -1, -1):
        if state[i] != KEPT or (kind[i] != ADD and kind[i] != MUL):
            continue
        first[i] = end
        stack_row[0], stack_factor[0], depth = i, 1.0, 1
        while depth:
            depth -= 1
            row, factor = stack_row[depth], stack_factor[depth]
            k = kind[row]
            if k == CONSTANT:
                constant[i] += factor * constants[right[row]]
                continue
            if (k != ADD and k != MUL) or (row != i and uses[row] != 1):
                a[end], b[end], coefficient[end] = row, -1, factor
                end += 1
                continue
            if row != i:
                state[row] = MELTED
            x, y = left[row], right[row]
            if k == ADD:
                stack_row[depth], stack_factor[depth] = y, factor
                stack_row[depth + 1], stack_factor[depth + 1] = x, factor
                depth += 2
                continue
            for _ in range(2):  # take constant factors, which are recorded on the right, out of x, then out of y
                while kind[x] == MUL and uses[x] == 1 and kind[right[x]] == CONSTANT:
                    state[x] = MELTED
                    factor *= constants[right[right[x]]]
                    x = left[x]
                x, y = y, x
            if kind[x] == CONSTANT or kind[y] == CONSTANT:
                if kind[y] == CONSTANT:
                    x, y = y, x
                stack_row[depth], stack_factor[depth] = y, factor * constants[right[x]]
                depth += 1
            else:
                a[end], b[end], coefficient[end] = x, y, factor
                end += 1
        count[i] = end - first[i]
    return state, first, count, constant, a[:end], b[:end], coefficient[:end]


@njit(cache=True)
def levels(kind, left, state, starts, entries, outputs, first, count, a, b):  # type: ignore[no-untyped-def]
    """The level of each row: one more than the highest of its operands; and which leaves must be rows themselves.

    In a product of two parameters, the second is made a row.
    """
    level = np.zeros(len(kind), np.int32)
    varying, regular = np.zeros(len(kind), np.bool_), np.zeros(len(kind), np.bool_)
    for i in range(len(kind)):
        if state[i] != KEPT:
            continue
        k = kind[i]
        if k == ADD or k == MUL:
            for t in range(first[i], first[i] + count[i]):
                level[i] = max(level[i], level[a[t]] + 1)
                if b[t] >= 0:
                    level[i] = max(level[i], level[b[t]] + 1)
                    if kind[a[t]] == PARAMETER and kind[b[t]] == PARAMETER:
                        varying[b[t]] = True
            level[i] = max(level[i], 1)
        elif k == POW or k == LOG or k == EXP:
            level[i] = level[left[i]] + 1
            varying[left[i]] = True
        elif k == PICK or k == LARGEST:
            table = entries[starts[left[i]] : starts[left[i] + 1]]
            regular[i] = k == PICK
            for t in range(len(table)):
                level[i] = max(level[i], level[table[t]] + 1)
                regular[i] = regular[i] and kind[table[t]] == PARAMETER
                if t > 0 and left[table[t]] - left[table[t - 1]] != left[table[1]] - left[table[0]]:
                    regular[i] = False
            if not regular[i]:
                for entry in table:
                    varying[entry] = True
    for output in outputs:
        varying[output] = True
    return level, varying, regular
