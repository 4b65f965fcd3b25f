"""What no loop shows to be alike is recorded scalar by scalar, and still becomes few instructions."""

import random
from functools import partial

import numpy as np
import pytest
from helpers import assert_equal_engines, functions

from microgpt import exp, log
from microgpt.engines.compiled.llvm.run import Program

RNG = random.Random(5)
NUMBERS = [RNG.gauss(0, 1) for _ in range(64)]
W, X = np.random.default_rng(2).uniform(0.3, 1.0, 64), np.random.default_rng(3).uniform(-1, 1, (3, 64))


def straight_line(p, x, steps=120):
    rng = random.Random(7)
    known = [p["w"][i] for i in range(20)] + [x[i] for i in range(20)]
    for _ in range(steps):
        a, b = known[rng.randrange(len(known))], known[rng.randrange(len(known))]
        c = [a * b, a + b, 0.5 * a - 0.25 * b + 1.5, 1 / (1 + exp(a - b))][rng.randrange(4)]
        known.append(c / (1 + c * c))
    total = 0.0
    for one in known[40:]:
        total = total + one * one
    return total


def elimination(p, x):
    a = [[p["w"][8 * i + j] * x[i] + (9.0 if i == j else 0.0) for j in range(8)] for i in range(8)]
    for k in range(8):
        for i in range(k + 1, 8):
            a[i][k] = a[i][k] / a[k][k]
            for j in range(k + 1, 8):
                a[i][j] -= a[i][k] * a[k][j]
    return sum(log(a[i][i] ** 2) for i in range(8))


def alignment(p, x):
    best = [[0.0] * 9 for _ in range(9)]
    for i in range(1, 9):
        for j in range(1, 9):
            cost = (x[i] - p["w"][j]) ** 2
            best[i][j] = cost + 0.3 * best[i - 1][j] + 0.3 * best[i][j - 1] + 0.4 * best[i - 1][j - 1]
    return best[8][8]


def long_sums_in_sums(p, x):
    total, w = 0.0, p["w"]
    for i in range(8):
        inner = 0.25 + w[i]
        for j in range(9):
            inner += 3 * (w[j] * x[(i * j) % 64]) - x[i + j] * 2 - 1
        total += 0.5 * (inner * 0.1 + x[i] + x[i]) * 2.0
    return total * total


def sums_of_numbers(p, x):
    known = [x[0] * 0.0 + k - k for k in range(3)]
    for i in range(6):
        known[i % 3] = known[i % 3] + 2.0 * (3.0 + (p["w"][i] * 0.5) * 2.0)
    return known[0] * known[1] * known[2] * -1


def rows_in_any_order(p, x):
    order = [random.Random(k).sample(range(64), 12) for k in range(6)]
    values = [exp(p["w"][i] * x[i]) for i in range(64)]
    total = 0.0
    for row in order:
        inner = 0.0
        for i in row:
            inner += values[i] * p["w"][i]
        total += inner**2
    return total


def numbers_that_differ(p, x):
    out = []
    for i in range(64):
        out.append(p["w"][i] * NUMBERS[i] + x[i] * NUMBERS[63 - i] + NUMBERS[i // 2])
    return sum(one * one for one in out)


def long_sums_of_numbers_that_differ(p, x):
    total = 0.0
    for i in range(8):
        inner = 0.0
        for j in range(8):
            inner += NUMBERS[8 * i + j] * p["w"][8 * i + j] * x[j]
        total += inner**2
    return total


def numbers_beside_scalars(p, x):
    return sum([w * x_i * number for w, x_i, number in zip(p["w"], x, NUMBERS, strict=True)])


@functions(
    straight_line, elimination, alignment, long_sums_in_sums, sums_of_numbers, rows_in_any_order, numbers_that_differ,
    long_sums_of_numbers_that_differ, numbers_beside_scalars,
)  # fmt: skip
@pytest.mark.parametrize("engine", ["compiled", "torch"])
def test_single_scalars_are_computed_as_they_stand(function, engine):
    if engine == "torch":
        pytest.importorskip("torch")
    assert_equal_engines(function, {"w": W}, X, engine=engine)


@functions(numbers_that_differ, long_sums_of_numbers_that_differ, numbers_beside_scalars)
def test_numbers_that_differ_take_no_instruction_each(function):
    program = Program(function, {"w": (64,)}, [("x", "float", (64,))])
    assert len(program.nests.forward) <= 6


def test_what_many_arrays_get_is_added_at_once():
    nests = Program(partial(straight_line, steps=1000), {"w": (64,)}, [("x", "float", (64,))]).nests
    assert len(nests.backward) < 3 * len(nests.forward)
