"""`for` statements are read as one line about all turns, and mean what they mean in Python."""

import numpy as np
from helpers import assert_equal_engines, functions

from microgpt.engines.compiled.record import CONSTANT
from microgpt.engines.compiled.recording import record_function
from microgpt.functions import softmax, tanh


def weighed(items):
    """A sum in which no two items count the same, of lists within lists, too."""
    if not isinstance(items, list):
        return items
    return sum([(1 + 0.3 * i) * weighed(one) for i, one in enumerate(items)])


# Of p: a scalar s, w [n], m [n, n]; and x [n]. What is read as one line:


def a_sum(p, x):
    total = 0.0
    for a, w in zip(x, p["w"], strict=True):
        total += a * w
    return total


def sums_that_begin_elsewhere(p, x):
    total, squares = p["s"], 1
    for i in range(len(x)):
        total = total - x[i] * p["w"][i]
        squares += x[i] ** 2 * (i + 1)
    return total * squares


def a_sum_in_a_list(p, x):
    sums = [0.0, p["s"]]
    for a in p["w"]:
        sums[0] += a
        sums[1] += a * a
    return weighed(sums)


def appended(p, x):
    out = []
    for i, a in enumerate(x):
        y = a * p["w"][i]
        out.append(tanh(y))
    return weighed(out)


def appended_twice(p, x):
    first, second = [], []
    for a in reversed(x):
        first.append(a * p["s"])
        second.append([a, first[-1]])
    return weighed([first, first]) + weighed(second)


def rows_appended(p, x):
    rows = []
    for row in p["m"]:
        new = []
        for a, b in zip(row, x, strict=True):
            new.append(a * b)
        rows.append(new)
    return weighed(rows)


def stored(p, x):
    out = [0.0] * len(x)
    for i in range(len(x)):
        out[i] = x[i] * p["s"]
        out[i] *= p["w"][i]
    return weighed(out)


def stored_beyond_the_first(p, x):
    out = [p["s"]] + [0.0] * len(x)
    for i in range(len(x)):
        out[i + 1] = x[i] * p["w"][i]
    return weighed(out)


def stored_by_rows(p, x):
    n = len(x)
    out = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(n):
            out[i][j] = p["m"][i][j] * x[j]
    return weighed(out)


def stored_by_columns(p, x):
    n = len(x)
    out = [[0.0] * n for _ in range(n)]
    for j in range(n):
        for i in range(n):
            out[i][j] = p["m"][i][j] * x[j]
    return weighed(out)


def added_to_items(p, x):
    out = [0.0] * len(x)
    for i in range(len(x)):
        for j in range(len(x)):
            out[j] += x[i] * p["m"][i][j]
    return weighed(out)


def a_matrix_product(p, x):
    n = len(x)
    out = [[p["s"]] * n for _ in range(n)]
    for i in range(n):
        for k in range(n):
            for j in range(n):
                out[i][j] += p["m"][i][k] * p["m"][k][j] * x[k]
    return weighed(out)


def attention_over_all_so_far(p, x):
    keys, out = [], []
    for row in p["m"]:
        keys.append([a * b for a, b in zip(row, x, strict=True)])
        scores = []
        for key in keys:
            scores.append(sum([a * b for a, b in zip(row, key, strict=True)]))
        weights = softmax(scores)
        out.append([sum([w * key[j] for w, key in zip(weights, keys, strict=True)]) for j in range(len(x))])
    return weighed(out)


def a_triangle(p, x):
    out = []
    for i in range(len(x)):
        total = 0.0
        for j in range(i + 1):
            total += p["m"][i][j] * x[j]
        out.append(total)
    return weighed(out)


def the_ends_differ(p, x):
    out = []
    for i in range(len(x)):
        y = x[i] * p["w"][i]
        if i > 0:
            y += x[i - 1]
        if i == len(x) - 1:
            y *= p["s"]
        out.append(y)
    return weighed(out)


def every_third_differs(p, x):
    total = 0.0
    for i in range(len(x)):
        if i % 3 == 0:
            total += x[i] * p["s"]
        else:
            total += tanh(x[i] * p["w"][i]) * i
    return total


def a_counter(p, x):
    k, total = 0, 0.0
    for a in x:
        total += a * p["w"][k]
        k += 1
    return total * k


def a_scalar_as_state(p, x):
    h, out = p["s"], []
    for a in x:
        h = tanh(h * 0.5 + a)
        out.append(h)
    return weighed(out) + h


def a_tuple_as_state(p, x):
    state = p["s"], 0.0
    for a in x:
        u, v = state
        state = v * 0.9 + a, u * v * 0.1 + p["s"]
    return state[0] * state[1]


def two_scalars_as_state(p, x):
    u, v = 0.1, p["s"]
    for a in x:
        u, v = v * a, u + v * 0.5
    return u + 2 * v


def a_list_as_state(p, x):
    h = [0.0, 0.1, p["s"]]
    for a in x:
        h = [tanh(h[2 - i] + h[i] * a) for i in range(3)]
    return weighed(h)


def a_list_changed_in_place(p, x):
    h = [0.0, 0.1, p["s"]]
    for a in x:
        for i in range(3):
            h[i] = tanh(h[i] * p["s"] + a)
    return weighed(h)


def swapped(p, x):
    y = [a * p["s"] for a in x]
    for i in range(len(y) // 2):
        y[i], y[len(y) - 1 - i] = y[len(y) - 1 - i], y[i]
    return weighed(y)


def decayed(row, s):
    total = 0.0
    for a in row:
        total = total * s + a
    return total


def doubled(row):
    out = []
    for a in row:
        out.append(a * 2)
    return out


def loops_in_functions(p, x):
    return sum([decayed(row, p["s"]) * a for row, a in zip(p["m"], doubled(x), strict=True)])


def functions_with_loops_in_a_loop(p, x):
    total = 0.0
    for row in p["m"]:
        total = total * p["s"] + decayed(doubled(row), 0.3)
    return total


def states_in_states(p, x):
    h = p["s"]
    for row in p["m"]:
        g = h
        for a, b in zip(row, x, strict=True):
            g = tanh(g * a + b)
        h = h * 0.5 + g
    return h


def turns_left_out(p, x):
    total = 0.0
    for i, a in enumerate(x):
        if i % 2:
            continue
        total += a * p["w"][i]
    return total


def choices_by_scalars(p, x):
    total, most, out = 0.0, x[0], []
    for a in x:
        b = a * p["s"]
        if b > 0.2:
            total += b
        most = max(most, b)
        out.append(b if b < 0.5 else b * b)
    return weighed(out) + total * most


def the_last_turn(p, x):
    for i, a in enumerate(x):
        y = a * p["w"][i]
    return y * i * a


ONE_LINE = (
    a_sum, sums_that_begin_elsewhere, a_sum_in_a_list, appended, appended_twice, rows_appended, stored,
    stored_beyond_the_first, stored_by_rows, stored_by_columns, added_to_items, a_matrix_product,
    attention_over_all_so_far, a_triangle, the_ends_differ, every_third_differs, a_counter, a_scalar_as_state,
    a_tuple_as_state, two_scalars_as_state, a_list_as_state, a_list_changed_in_place, swapped, loops_in_functions,
    functions_with_loops_in_a_loop, states_in_states, turns_left_out, choices_by_scalars,
    the_last_turn,
)  # fmt: skip


def inputs(n):
    rng = np.random.default_rng(0)
    params = {"s": np.array(0.7), "w": rng.uniform(-1, 1, n), "m": rng.uniform(-1, 1, (n, n))}
    return params, rng.uniform(-1, 1, (2, n))


def rows(function, n):
    """How many rows a function is recorded in; the numbers of an index are constants, and not counted."""
    record = record_function(function, {"s": (), "w": (n,), "m": (n, n)}, [("x", "float", (n,))])
    return sum(kind != CONSTANT for kind in record.kind)


@functions(*ONE_LINE)
def test_a_longer_loop_is_recorded_in_as_many_rows(function):
    assert rows(function, 12) == rows(function, 36)


@functions(*ONE_LINE)
def test_what_is_one_line_computes_the_same(function):
    assert_equal_engines(function, *inputs(7))


# What runs in Python, turn by turn


class Counter:
    def __init__(self):
        self.turns, self.last = 0, 1.0

    def count(self, a):
        self.turns += 1
        return a * self.turns


def attributes_set(p, x):
    counter, total = Counter(), 0.0
    for a in x:
        counter.turns += 1
        counter.last, total = a * p["s"], total + a * counter.turns
    return total * counter.last + counter.turns


def methods_that_set_attributes(p, x):
    counter, total = Counter(), 0.0
    for a in x:
        total += counter.count(a)
    return total * p["s"] * counter.turns


def items_of_a_dict_set(p, x):
    seen, total = {"n": 0, "h": p["s"]}, 0.0
    for a in x:
        seen["h"] = seen["h"] * 0.5 + a
        seen["n"], total = seen["n"] + 1, total + a * seen["n"]
    return total * seen["h"] * seen["n"]


@functions(attributes_set, methods_that_set_attributes, items_of_a_dict_set)
def test_what_runs_turn_by_turn_computes_the_same(function):
    assert_equal_engines(function, *inputs(7))
