"""Choices by scalars: `max`, `min`, `a if x > 0 else b`, and `if` statements, as the scalar engine makes them."""

from contextlib import suppress

import numpy as np
import pytest
from helpers import assert_equal_engines

from microgpt.engines.compiled.expressions import Expression, Load, choice_of
from microgpt.engines.compiled.listing import described, program_with_sources
from microgpt.engines.compiled.record import CONSTANT
from microgpt.engines.compiled.recording import record_function
from microgpt.engines.engine import evaluate, value_and_grad
from microgpt.functions import dot, linear, tanh
from microgpt.value import exp, log

RNG = np.random.default_rng(0)
W = np.array([0.7, -1.3, 0.4, 1.9])
X = np.array([0.5, -1.5, 2.0, 0.0, 0.7])
ROWS = np.array([[0.5, -1.5, 2.0, 0.0], [0.7, 0.2, -0.3, -1.0], [1.0, 2.0, 3.0, 4.0]])
LONG = RNG.normal(size=(2, 21))


@pytest.fixture(params=["compiled", "torch"])
def engine(request):
    if request.param == "torch":
        pytest.importorskip("torch")
    return request.param


def two_variables(p, x):
    y = p[0] * x
    if y > 0:
        y = y * y
        z = y + 1
    else:
        z = 2 * y
    return y * z


def without_else(p, x):
    total = 0
    for w in p:
        h = w * x
        if h <= 0:
            h *= 0.01
        total += h
    return total


def a_gated_state(p, x):
    h = [0.1, 0.2, 0.3, 0.4]
    for x_t in x:
        a = dot(p, h)
        if a > 0.2:
            h = [log(a) * w * x_t for w in p]
        elif a < 0:
            h = [tanh(g + x_t) for g in h]
    return sum(h)


def early_return(p, x):
    if x > 0:
        return p[0] * x
    return log(0.1 - x) * p[1]


def returns_and_assignments(p, x):
    if p[0] * x > 1:
        return 1.0
    elif p[0] * x > 0:
        y = p[1]
    elif x < -1:
        return p[2] * x
    else:
        y = x
    y += p[3]
    return y * p[0]


def returns_within_a_branch(p, x):
    y = p[1]
    if x > 0:
        if p[0] * x > 1:
            return y * x
        y = y * 3
        if x > 0.6:
            z = y * x
            return z * p[2]
    return y + x * p[3]


def the_first_that_is_large(p, x):
    for w in p:
        if w * x > 0.5:
            return w * x * w
    return p[0]


def the_first_of_a_table(p, x):
    for i, (w, z) in enumerate(zip(p, [0.5, -0.5, 0.25, 1.0])):
        if w * x > z:
            return w * x * (i + 1)
    return p[0]


def greatest_by_hand(p, x):
    best = None
    for w in p:
        if best is None or w * x > best:
            best = w * x
    return best


def a_swap(p, x):
    a, b = p[0] * x, p[1]
    if a > b:
        a, b = b, a
    return a * a - 2 * b


def names_within_expressions(p, x):
    y, flag = 2.0, len(p) > 3
    z = (y := 0.5) if flag else 1.0
    flag and (y := y * 3)
    if hot := x > 0.1:
        z = y * x
    return p[0] * x * y * z + hot


def an_inner_generator(p, x):
    def pairs():
        nonlocal x
        for i, w in enumerate(p):
            yield i, w * x

    for i, y in pairs():
        if y > 0.3:
            return y * (i + 2)
    return x


def huber(e):
    if -1 < e < 1:
        return 0.5 * e * e
    return max(e, -e) - 0.5


def piecewise(z):
    return -1.0 * z if z < -1 else z * z if z < 0.5 else log(z) + 1 if not z > 1.5 else exp(-z)


FUNCTIONS = {
    "max of two": (lambda p, x: max(p[0] * x, p[1]) * p[2], X),
    "max of three": (lambda p, x: max(p[0] * x, 0.1, p[1]) * max(0.1, 0.3, p[2]), X),
    "min with a number": (lambda p, x: min(p[0] * x, 0) * p[2] + min(0.5, p[1] * x), X),
    "max and min of a list": (lambda p, x: max(p) * min([w * x for w in p]), X),
    "max of a generator": (lambda p, x: max(w * x for w in p), X),
    "max of a long list": (lambda p, x: max([tanh(w * a) for a in x for w in p]) * 2, LONG),
    "max and min of many that hold or not": (
        lambda p, x: p[0] * sum(x) if max([a > 0.9 for a in x]) or not min(a > -0.9 for a in x) else p[1], LONG),
    "max and min of many of an example": (lambda p, x: (max(x) - min([a * 2 for a in x])) * p[0], LONG),
    "max along an axis": (lambda p, x: sum(max([w * a for a in x]) * w for w in p), LONG),
    "max of many and a number": (lambda p, x: max([0.7, *[w * a for a in x for w in p]]) + min(*x, -0.5, *p), LONG),
    "min of a plain list": (lambda p, x: min([p[0] * x, 2.0, p[1], x]), X),
    "max of plain numbers": (lambda p, x: p[max(0, 1)] * x + max([1.0, 2.0]) + min((3, 2), key=lambda n: -n), X),
    "chained": (lambda p, x: p[0] * x if 0 < x < 1 else p[1], X),
    "and, or and not": (
        lambda p, x: p[0] * x if (x > 1 or not x < 0.6 or p[3] * x < -2) and p[0] > 0.5 else p[1], X),
    "a choice in a choice": (lambda p, x: (p[0] if x > 1 else p[1] * x) if x > 0 else p[2] * x, X),
    "a test with a name": (lambda p, x: (lambda hot: p[0] * x if hot else p[1] * (1 - hot))(x > 0.1), X),
    "truths as numbers": (lambda p, x: (x > 0 and p[0] > x) * p[1] + (not x > 0) * p[2] + (x > 1 or x < 0) * p[3], X),
    "truths before numbers": (lambda p, x: (x > 0 and p[0] * x) * p[1] + (x > 1 or p[2]) * p[3], X),
    "True or False": (lambda p, x: p[0] if (True if x > 0 else False) else p[1], X),
    "abs of what has no gradient": (lambda p, x: p[0] * abs(x) - sum(w * abs(x - 1) * abs(x > p[2]) for w in p), X),
    "lists of integers": (lambda p, x: (lambda v: v[0] * p[1] + v[1] + sum(v[2]))(
        [1, 2, p] if p[0] * x > 0 else [3, x, [p[1], 4, 5, 6]]), X),
    "lists": (lambda p, x: dot([w * x for w in p] if x > 0 else list(p), [p[1], x, *p[:2]] if x < 1 else p), X),
    "matrices": (lambda p, x: sum(map(sum, [[w * x for w in p] for _ in p] if x > 0 else [p, p, p, p])), X),
    "tuples": (lambda p, x: dot(*[(p[0], x) if x > 0 else (x * x, p[1])] * 2), X),
    "within an axis": (lambda p, x: sum([log(w * a) if w * a > 0 else w * 1.0 for w, a in zip(p, x)]), ROWS),
    "in an axis within one": (
        lambda p, x: sum([sum([max(a * w, b) if a > b else min(a, b * w) for b in x]) for a, w in zip(x, p)]), ROWS),
    "hubers": (lambda p, x: sum([huber(w * x) for w in p]), X),
    "piecewise": (lambda p, x: sum([piecewise(w * a) for w in p for a in x]), ROWS),
    "an outer choice of products": (
        lambda p, x: sum([tanh(h) for h in linear(x, [p] * 4, p)]) if x[0] > 0.6 else dot(p, x), ROWS),
    "a gated state": (a_gated_state, ROWS),
    **{f.__name__: (f, X) for f in (
        two_variables, without_else, early_return, returns_and_assignments, returns_within_a_branch,
        the_first_that_is_large, the_first_of_a_table, greatest_by_hand, a_swap,
        names_within_expressions, an_inner_generator,
    )},
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_choices_are_those_of_the_scalar_engine(name, engine):
    function, x = FUNCTIONS[name]
    assert_equal_engines(function, W, x, engine=engine)


# Branches that change lists and objects


def huber_items(p, x):
    out, total = [0.0] * 4, p[0]
    for i in range(4):
        e = p[i] * x[i] - 0.3
        if e > 0.5:
            out[i] = 0.5 * (e - 0.25)
        elif e < -0.5:
            out[i] = 0.5 * (-e - 0.25)
            total += e
        else:
            out[i] += 0.5 * e * e
    return sum(out) * total


def clipped_gradients(p, x):
    kept, signs = [], []
    for w, a in zip(p, x):
        if w * a > 0.5:
            kept.append(0.5)
            signs.append(w)
        elif w * a < -0.5:
            kept += [-0.5]
            signs.append(-w)
        else:
            kept.append(w * a)
            signs += [0.0]
    return dot(kept, signs) + sum(kept)


def hinge(p, x):
    y, total = 2, 0.0
    for j in range(4):
        if j == y:
            continue
        margin = p[j] * x[j] - p[y] * x[y] + 1
        if margin <= 0:
            continue
        total += margin * margin
    return total


def continues_in_the_middle(p, x):
    out, total = [0.0] * 4, 0.0
    for i in range(4):
        a = p[i] * x[i]
        if a > 0.3:
            total += a
            if x[i] > 1.5:
                continue
        elif a < -0.3:
            out[i] = a
            continue
        else:
            total -= a
        if i == 2:
            continue
        out[i] += total
    return sum(out) + total


def breaks(p, x):
    out, n = [0.0] * 4, 0
    for i, w in enumerate(p):
        if w * x[i] < -0.4:
            if x[i] > -1.2:
                out[0] = w * 7
                break
        elif x[i] > 1.9:
            break
        out[i] = w * x[i]
        n += 1
    return dot(out, p) + i * p[0] + n * p[1]


def breaks_around_a_loop(p, x):
    total = 0.0
    for i in range(4):
        for j in range(4):
            if j > i:
                break
            total += p[j] * x[i]
        if total > 0.5:
            break
    return total * (i + 1)


def newton(p, x):
    root, square = 1.0, p[0] * p[0] + 2
    for _ in range(20):
        step = (root * root - square) / (2 * root)
        if -1e-9 < step < 1e-9:
            break
        root = root - step
    return root * x


class Memory:
    def __init__(self):
        self.h, self.c = 0.1, 0.2

    def update(self, z):
        if z > 0.1:
            self.h, self.c = z + self.c, self.h * z
        elif z < -0.7:
            self.c += z


def attributes_in_a_call(p, x):
    memory = Memory()
    for w, a in zip(p, x):
        memory.update(w * a)
    return memory.h + 2 * memory.c


def attributes_in_a_loop(p, x):
    memory = Memory()
    for i in range(4):
        z = p[i] * x[i]
        if z > 0.1:
            memory.h = tanh(z + memory.h)
        elif z > -0.5:
            continue
        memory.c += z
    return memory.h + 2 * memory.c


def a_dict(p, x):
    state = {"h": 0.1, "c": p[0], "kept": [0.0, p[1]]}
    for w, a in zip(p, x):
        if w * a > 0:
            state["h"] = state["h"] * w + a
            state["kept"][1] = w
        else:
            state["c"] -= w
    return state["h"] * state["c"] + dot(state["kept"], p[:2])


def sorted_by_swaps(p, x):
    a = [w * b for w, b in zip(p, x)]
    for i in range(4):
        for j in range(3 - i):
            if a[j] > a[j + 1]:
                a[j], a[j + 1] = a[j + 1], a[j]
    return sum([(i + 1) * b for i, b in enumerate(a)])


def loops_in_branches(p, x):
    rows, out = [[0.1] * 4 for _ in range(4)], [0.0] * 4
    if x[0] > 0.6:
        for i in range(4):
            for j in range(4):
                if p[i] > x[j]:
                    rows[i][j] = p[i] * x[j]
    else:
        for i in range(4):
            if i == 3:
                break
            out[i] += p[i] * x[i]
        rows[1] = [w * 2 for w in p]
    return dot(out, p) + sum([sum(row) * (i + 1) for i, row in enumerate(rows)])


def whole_lists(p, x):
    a = [p[0], p[1], p[2]]
    if x > 0:
        a.pop()
        a.append(sum(a) * x)
    else:
        a.insert(0, p[3] * x)
        a[1:3] = [a[2]]
    a.reverse()
    return a[0] + 2 * a[1] + 3 * a[2]


def a_guard(p, x):
    out, kept = [0.0] * 4, []
    if x[0] > 0.9:
        return p[0] * x[0]
    for i in range(4):
        out[i] = p[i] * x[i]
        kept.append(out[i])
        if out[i] > 0.3:
            if x[i] > 1.5:
                return sum(out)
            out[0] = 2 * p[i]
        elif out[i] < -1.8:
            return kept[-1] * p[0]
    return sum(out) + sum(kept)


def stores(out, i, z):
    if z > 0:
        out[i] = z
        return z
    out[i] = 0.1 * z
    return 0.5


def stores_in_a_call(p, x):
    out = [0.0] * 4
    total = sum([stores(out, i, p[i] * x[i]) for i in range(4)])
    for i in range(4):
        total += stores(out, i, out[i] - 0.1)
    return total * sum(out)


def one_place_and_all(p, x):
    out, kept, last = [0.0] * 4, [0.1] * 4, [0.2] * 4
    for i in range(4):
        if p[i] > x[i]:
            out[0] = p[i]
            kept[i] = x[i]
            last[2] += p[i]
        else:
            out[3 - i] = p[i] * x[i]
            kept[3] = p[i]
            last[i] = x[i] * p[1]
    return sum([(i + 1) * z for i, z in enumerate(out + kept + last)])


def rows_of_other_lengths(p, x):
    total = 0.0
    for i in range(4):
        row = [w * 0.5 for w in p[: i + 1]]
        if p[i] * x[i] < 0:
            continue
        row = [w + x[i] for w in row[:i]]
        total += sum(row)
    return total


def appends_in_each_turn(p, x):
    kept, signs = [], [0.3]
    for w, a in zip(p, x):
        if w * a > 0.5:
            kept.append(0.5)
            signs.append(w)
        else:
            kept.append(w * a)
            signs.append(-w)
    return dot(kept, signs[1:]) + sum(kept) * signs[0]


def appends_and_stores_in_each_turn(p, x):
    kept = [0.3]
    for w, a in zip(p, x):
        if w * a > 0.5:
            kept.append(0.5)
            kept[-1] = w
        else:
            kept.append(w * a)
    return dot(kept[1:], p) + kept[0]


def rows_in_each_turn(p, x):
    rows = [[w * a for a in x] for w in p]
    for i in range(len(p)):
        if p[i] > x[i]:
            for j in range(len(p)):
                rows[i][j] = p[j] * x[i]
        elif x[i] > 0.6:
            for j in range(len(p)):
                rows[i][j] += p[j]
    return dot([sum(row) for row in rows], p)


def all_items(p, x):
    out, rows = [w * 0.5 for w in p], [[w * a for a in x] for w in p]
    first = rows[0]
    if x[0] > 0.6:
        for i in range(4):
            out[i] = p[i] * x[i]
            rows[0][i] = p[i]
    else:
        for i in range(4):
            out[i] *= x[i]
    first[1] += p[2]
    return dot(out, p) + dot(first, x) + sum(rows[0]) * sum(rows[1])


def one_list_of_two(p, x):
    return dot([w * a for w, a in zip(p, x)] if x[0] > 0.6 else x, p)


def lost_in_one_branch(p, x):
    kept, total = [p[0]], p[1]
    if x[0] > 0.6:
        if x[1] > 0:
            kept.append(x[1])
    else:
        total += kept[0] * x[0]
    return total


def one_item_in_each_turn(p, x):
    out = [0.0, 0.1]
    for w, a in zip(p, x):
        if w > a:
            out[0] = w * out[1]
        else:
            out[1] += a
    return sum(out)


def returns_by_else(p, x):
    if x[0] < 0.9:
        y = p[0]
    else:
        return p[2]
    if y * x[0] > 0.4:
        return y * x[0]
    else:
        return p[1] * y


def greatest_so_far(p, x):
    """Of lists that grow, in which some are equal."""
    seen, total = [], 0.0
    for a in x:
        seen.append(p[0] * (a > 0) - p[1] * a * (a > 1))
        total += max(seen) * p[2] - min(s * p[1] for s in seen) * a
    return total


def a_list_of_one_branch(p, x):
    total = p[0]
    if x > 0:
        parts = []
        for w in p:
            parts.append(w * x)
            if w > x:
                parts[-1] = w
        total = sum(parts)
    return total


CHANGES = {
    f.__name__: (f, x) for x, functions in (
        (ROWS, (
            huber_items, clipped_gradients, hinge, continues_in_the_middle, breaks, attributes_in_a_call,
            attributes_in_a_loop, a_dict, sorted_by_swaps, loops_in_branches, a_guard, stores_in_a_call,
            rows_of_other_lengths, one_place_and_all, appends_in_each_turn, appends_and_stores_in_each_turn,
            rows_in_each_turn, all_items, one_item_in_each_turn, lost_in_one_branch, returns_by_else,
            breaks_around_a_loop, greatest_so_far,
        )), (X, (newton, whole_lists, a_list_of_one_branch)),
    ) for f in functions
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_branches_change_what_the_scalar_engine_changes(name, engine):
    function, x = CHANGES[name]
    assert_equal_engines(function, W, x, engine=engine)
    for one in x:
        assert_equal_engines(function, -W, one[None], engine=engine)


def test_of_equals_the_first_has_the_gradient(engine):
    def gradient(function):
        assert_equal_engines(function, np.ones(12), engine=engine)
        return np.flatnonzero(value_and_grad(function, engine)(np.ones(12))[1]).tolist()

    assert gradient(lambda p: max(p[0], p[1])) == [0]
    assert gradient(lambda p: max(p[3:])) == [3]
    assert gradient(lambda p: min(p)) == [0]
    assert gradient(lambda p: max([w * 1.0 for w in p[1:]])) == [1]
    assert gradient(lambda p: max(0.5, p[2], p[1])) == [2]
    assert gradient(lambda p: p[0] if p[0] > p[1] else p[1]) == [1]
    assert gradient(lambda p: min(1.0, p[1])) == []


def product_of_what_has_no_value(p, x):
    """Logarithms of negative numbers in a matrix product, which only one branch needs."""
    if min(x) > 0:
        y = sum([tanh(h) for h in linear([log(a) for a in x], [p, p, p, p], p)])
    else:
        y = dot(p, x)
    return y


def missing_label(p, x):
    error = dot(p, x[:4]) - x[4]
    return error * error if x[4] > -1e9 else 0.0


def divided(p, x):
    share = p[0]
    if x[0] > 9:
        share = p[0] / (len(x) - 4)
    elif x[1] > 9:
        return share / (len(x) - 4)
    return share * x[1]


class FaultError(Exception):
    pass


def fail(z):
    raise FaultError


def changed_without_a_value(p, x):
    """Roots, logarithms, plain zeros and empty lists where they are not chosen."""
    out, total, kept = [0.1] * 4, p[0], [p[1]]
    for i in range(4):
        z = p[i] * x[i]
        if z > 0:
            out[i] = z**0.5 + log(z)
            total += log(z)
        elif x[i] > 90:
            out[i] += z / (len(x) - 4)
            total = max([])
            kept[0] = TABLE[len(x)]
        elif x[i] > 80:
            kept[0] = fail(z)
        else:
            out[i] = z
    if x[0] > 90:
        return kept[9]
    return sum(out) * total + kept[0]


def changes_before_an_error(p, x):
    kept, found, memory = [p[0]], {"a": p[1]}, Memory()
    if x[0] > 90:
        kept.append(x[0])
        found["b"] = x[0]
        memory.new = p[0]
        fail(x[0])
    return sum(kept) * found["a"] + memory.h + len(found) * p[2]


def fails_after_it_returned(p, x):
    """An error in what follows an early return, which has changed something before."""
    kept = [p[0]]
    for a in x:
        if a < 9:
            return kept[0] * a
        kept[0] = kept[0] * a
        kept.append(TABLE[len(x)])
    return kept[9]


TABLE = [0.5]
UNDEFINED = {
    "what follows an early return": (fails_after_it_returned, ROWS),
    "what changes": (changed_without_a_value, ROWS),
    "what changes before an error": (changes_before_an_error, ROWS),
    "a root": (lambda p, x: p[0] * x**0.5 if x > 0 else 0.0, [4.0, 0.0, -1.0]),
    "a root of a parameter": (lambda p, x: (p[0] * x) ** 0.5 if p[0] * x > 0 else 0.0, [4.0, 0.0, -1.0]),
    "a logarithm": (lambda p, x: log(p[0] * x) if x > 0 else -1e9, [4.0, 0.0, -1.0]),
    "1 / x": (lambda p, x: p[1] / (p[0] * x) if x > 0 else p[2], [4.0, 0.0, -1.0]),
    "its square": (lambda p, x: (p[1] * log(p[0] * x)) ** 2 if x > 0 else p[2], [4.0, 0.0, -1.0]),
    "an overflow": (lambda p, x: exp(p[0] * x) * exp(p[1] * x) * x * x if x < 9 else p[2] * x, [1.0, 1e5, -1e5]),
    "division by a plain 0": (lambda p, x: p[0] / (len(x) - 4) if x[0] > 9 else p[1] * x[0], ROWS),
    "division by 0 in a statement": (divided, ROWS),
    "what scalars do not have": (lambda p, x: p[0] * x[0] if x[0] < 9 else sum([w.copy() for w in p]), ROWS),
    "a name that nothing has": (lambda p, x: p[0] * x[0] if x[0] < 9 else no_such_thing(p), ROWS),  # noqa: F821
    "the outer function": (lambda p, x: p[0] * tanh(p[1] * (x**-1 if x > 0 else x)), [4.0, 0.0, -1.0]),
    "an early return": (lambda p, x: the_root(p[0] * x) * p[1], [4.0, 0.0, -1.0]),
    "within an axis": (
        lambda p, x: sum([w * log(w * a) * a**-0.5 if w * a > 0 and a > 0 else 0.0 for w, a in zip(p, x)]), ROWS),
    "a matrix product": (product_of_what_has_no_value, ROWS),
    "a label that is missing": (missing_label, [[0.5, -1.0, 2.0, 0.1, 0.3], [0.2, 0.4, -0.1, 1.0, np.nan]]),
}  # fmt: skip


def the_root(z):
    if z <= 0:
        return z
    root = z**0.5
    return root * root * root


@pytest.mark.parametrize("name", UNDEFINED)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_nothing_comes_of_the_branch_not_taken(name, dtype, engine):
    function, x = UNDEFINED[name]
    expected, expected_gradient = value_and_grad(function, "scalar")(W, np.array(x))
    loss, gradient = value_and_grad(function, engine)(W.astype(dtype), np.array(x, dtype))
    digits = 1e-12 if dtype is np.float64 else 1e-5
    np.testing.assert_allclose(loss, expected, rtol=digits)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=digits, atol=digits)
    evaluated = evaluate(function, engine)(W.astype(dtype), np.array(x, dtype))
    np.testing.assert_allclose(evaluated.mean(), expected, rtol=digits)


def errors(p, x):
    """Each number that is 1 chooses a branch in which Python raises an error."""
    y, out = p[0], [p[1]]
    if x[0] > 0:
        y = y / (len(TABLE) - 1)
    if x[1] < 1:
        y = y * 2
    else:
        y = y / (len(TABLE) - 1)
    if x[2] > 0:
        out[0] = fail(y)
    if x[3] < 1:
        out[0] = p[2]
    else:
        out[0] = fail(y)
    if x[4] > 0:
        return max([])
    z = y if x[5] < 1 else fail(y)
    return (fail(y) if x[6] > 0 else z) * y * sum(out) + unless_it_is_one(x[7])


def unless_it_is_one(z):
    if z < 1:
        return z
    return fail(z)


def test_an_error_where_it_is_chosen_gives_nan(engine):
    found = evaluate(errors, engine)(W, np.eye(9, 8, -1))
    assert np.isnan(found).tolist() == [False] + [True] * 8


# What cannot be chosen


def appends(p, x):
    kept = []
    if x > 0:
        kept.append(x)
    return p[0] * len(kept)


def appends_once_more(p, x):
    kept = []
    if x > 0:
        kept.append(x)
    kept.append(p[0])
    return sum(kept)


def appends_in_a_branch_of_a_branch(p, x):
    kept = [p[0]]
    if x > 1:
        kept[0] = x
    else:
        if x > 0:
            kept.append(x)
    return sum(kept)


def appends_in_a_call(p, x):
    kept = []
    z = (kept.append(x) or p[0]) if x > 0 else p[1]
    return z * sum(kept)


def a_key_of_one_branch(p, x):
    found = {}
    if x > 0:
        found["a"] = p[0]
    return p[1]


def an_attribute_of_one_branch(p, x):
    memory = Memory()
    if x > 0:
        memory.new = p[0]
    return p[1]


def raises(p, x):
    if x < 0:
        raise ValueError("negative")
    return p[0] * x


def continues_where_much_follows(p, x):
    total = p[0]
    for w in p:
        if w > x:
            total += 1
            if w > 1:
                continue
        if w > x + 1:
            total += 2
            if w > 2:
                continue
        if w > x + 2:
            total += 3
            if w > 3:
                continue
        total += w
    return total


def prints(p, x):
    if x > 0:
        print(x)
    return p[0] * x


def breaks_within_an_iterator(p, x):
    left = iter(p)
    for w in left:
        if w > x:
            break
    return sum(left)


def breaks_after_many_turns(p, x):
    z = p[0] * x
    for _ in range(10**6):
        if z > 1:
            break
        z = z * 1.5
    return z


def the_index_of_the_greatest(p, x):
    best, place = p[0] * x, 0
    for i in range(1, 4):
        if p[i] * x > best:
            best, place = p[i] * x, i
    return best * [0.5, 1.5, 2.5, 3.5][place]


def lists_of_other_lengths(p, x):
    row = [p[0], x] if x > 0 else [x, p[1], p[2]]
    return sum(row)


def a_chosen_list_changes(p, x):
    row = [p[0], x]
    other = row if x > 0 else [x, p[1]]
    other[0] = p[2]
    return sum(row)


def a_list_changes_after_it_was_chosen(p, x):
    row = [p[0], x]
    other = row if x > 0 else [x, p[1]]
    row[0] = p[2]
    return sum(other)


def a_list_chosen_in_a_loop_changes(p, x):
    u, v = [p[0], 0.1], [0.2, x]
    for k in range(9):
        if x * k > 0.5:
            u, v = v, u
    u[0] = p[1]
    return u[0] + v[0]


def returns_nothing(p, x):
    if x > 0:
        return p[0]


def recursion(p, x):
    return p[0] * x if x < 1 else recursion(p, x * 0.5)


def recursion_by_returns(p, x):
    if x < 1:
        return p[0] * x
    return recursion_by_returns(p, x * 0.5)


def loop_that_ends(p, x):
    while True:
        if x < 1:
            return p[0] * x
        x = x * 0.5


def no_comparison(p, x):
    if x:
        return p[0]
    return x


def loop_while(p, x):
    while x > 1:
        x *= 0.5
    return p[0] * x


def asserts(p, x):
    assert x > 0, "positive"
    return p[0] * x


def while_with_a_break(p, x):
    n = 0
    while n < 9:
        if x > 1:
            break
        x, n = x * 1.5, n + 1
    return p[0] * x


def for_with_an_else(p, x):
    for w in p:
        if w > x:
            break
    else:
        return p[0]
    return w


def picks_those_above_zero(p, x):
    return sum([w * x for w in p if w > 0])


def asks_for_any(p, x):
    return p[0] * any(w > x for w in p)


def logarithm_in_a_try(p, x):
    try:
        return log(x - 1) * p[0]
    except ValueError:
        return p[1]


def division_in_a_try(p, x):
    try:
        y = p[0] / x
    except (KeyError, ArithmeticError):
        y = p[1]
    return y * x


def everything_in_a_try(p, x):
    try:
        y = p[0] * x**2
    except:  # noqa: E722
        y = p[1]
    return y


def suppressed(p, x):
    y = p[1]
    with suppress(ValueError):
        y = log(x) * p[0]
    return y


def raised_in_a_branch(p, x):
    def fails():
        raise LookupError

    try:
        return p[0] * x if x > 1 else fails()
    except LookupError:
        return p[1]


def assigned_in_one_branch(p, x):
    if x > 0:
        y = p[0]
    return y


REFUSED = {
    appends: (r"a list with different lengths, and .*py:\d+ uses it: append in both branches", 2),
    appends_once_more: (r"a list with different lengths, and .*py:\d+ uses it: append in both branches", 4),
    appends_in_a_branch_of_a_branch: ("a list with different lengths", 7),
    an_attribute_of_one_branch: (r"sets \.new, which is not there yet; set it before", 2),
    appends_in_a_call: ("a list with different lengths", 2),
    a_key_of_one_branch: ("a dict with different keys", 2),
    raises: (r"test for truth \(if\) .* may only assign, append, return,", 1),
    continues_where_much_follows: (r"test for truth \(break\)", 3),
    prints: ("a branch of a choice by a recorded scalar at .* does more than calculate", 1),
    breaks_within_an_iterator: ("ends the loop at .* others may take what is left", 2),
    breaks_after_many_turns: ("ends the loop at .* at most 1000", 2),
    the_index_of_the_greatest: ("an index or range", 5),
    lists_of_other_lengths: ("between a list of 2 and a list of 3 at", 1),
    a_chosen_list_changes: ("is changed at", 3),
    a_list_chosen_in_a_loop_changes: ("is changed at", 5),
    a_list_changes_after_it_was_chosen: ("after one of those that it was chosen from has changed", 4),
    returns_nothing: ("between a scalar and a NoneType", 0),
    recursion: ("50 choices within choices at .* cannot end a recursion", 1),
    recursion_by_returns: ("50 choices within choices", 1),
    no_comparison: ("compare it and choose, by a if x > 0 else b", 1),
    loop_while: (r"test for truth \(while\)", 1),
    asserts: (r"test for truth \(assert\) .* leave the assert out", 1),
    assigned_in_one_branch: (r"py:\d+ sets y, which is read later: set it in the other branch, too, or before", 1),
    while_with_a_break: (r"test for truth \(while\)", 3),
    for_with_an_else: (r"test for truth \(break\) .* `for` without `else`", 2),
    picks_those_above_zero: (r"test for truth \(filter\) .* keep every item", 1),
    asks_for_any: (r"test for truth \(any or all\) .* count, as in sum", 1),
    logarithm_in_a_try: (r"`try` at .* catches ValueError, which some examples may raise", 1),
    division_in_a_try: (r"`try` at .* catches OverflowError and ZeroDivisionError", 1),
    everything_in_a_try: (r"`try` at .* catches OverflowError and ValueError", 1),
    suppressed: ("`try` at .* catches ValueError", 2),
    raised_in_a_branch: ("`try` at .* catches LookupError", 4),
    loop_that_ends: (r"test for truth \(while\) .* as many turns as are ever needed", 2),
}


@pytest.mark.parametrize("function", REFUSED, ids=lambda function: function.__name__)
def test_what_cannot_be_chosen_is_refused(function):
    message, line = REFUSED[function]
    with pytest.raises(TypeError, match=message) as refused:
        value_and_grad(function)(W, np.abs(X))
    if line:
        assert f"test_choices.py:{function.__code__.co_firstlineno + line}" in str(refused.value)


def test_a_try_may_catch_what_no_example_decides():
    def loss(p, x):
        try:
            y = p[7] * log(x)
        except IndexError:
            y = p[0]
        with suppress(KeyError):
            y *= {"a": log(x)}["b"]
        return y * x

    assert_equal_engines(loss, W, np.abs(X) + 1)


def test_a_choice_takes_few_instructions():
    def operations(function, n):
        return [line.operation for line in described(program_with_sources(function, np.zeros(n), np.zeros((1, n))))]

    def count(function, n):
        return len(operations(function, n))

    def gated(p, x):
        return sum([max(w * a, 0.01 * w) if a > 0 else w for w, a in zip(p, x)])

    def in_a_loop(p, x):
        total = p[0]
        for w, a in zip(p, x):
            if w * a > 0:
                total += log(w * a)
                total += a
            elif a > 0:
                total -= w * a
        return total

    assert count(gated, 4000) == 1
    assert count(in_a_loop, 30) == count(in_a_loop, 300)
    assert "sum" in operations(in_a_loop, 30)  # of the terms that are selected
    assert count(lambda p, x: max([w * a for w, a in zip(p, x)]), 1024) < 40  # of each pair the greater, and so on


@pytest.mark.parametrize("function", [
    appends_in_each_turn, attributes_in_a_call, greatest_so_far, one_item_in_each_turn, rows_in_each_turn,
    one_list_of_two,
])  # fmt: skip
def test_choices_of_more_turns_take_no_more_rows(function):
    records = [record_function(function, (n,), [("x", "float", (n,))]) for n in (12, 36)]
    rows = [sum(kind != CONSTANT for kind in record.kind) for record in records]
    assert rows[0] == rows[1]


def test_numbers_alone_can_be_chosen_within_expressions():
    condition = Expression("load", (), Load("x", 0, ()))
    assert choice_of(condition, [1.0, 2.0]).data.operation == "where"


def test_rows_may_be_chosen_again_and_again():
    def loss(p, x):
        one, other = [a * p for a in x], [a + p for a in x]
        for k in range(30):
            if one[k % 4] > 0.1:
                one, other = other, one
            else:
                one, other = one[::-1], other
        total = 0.0
        for a, b in zip(one, other):
            total = total * a + b
        return total + sum(one) + 2 * sum(other)

    assert_equal_engines(loss, np.array(0.7), np.random.default_rng(0).uniform(-1, 1, (2, 4)))
