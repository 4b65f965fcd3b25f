"""Loops within loops that decide by the indices of both, and those that have no turn at some indices of the outer one.

Each function has the parameters s, a scalar, and w [n]; the example is x [n].
"""

import pytest
from helpers import assert_equal_engines, assert_one_line, functions, scalar_and_row

from microgpt.functions import softmax


def dot(a, b):
    return sum([c * d for c, d in zip(a, b, strict=True)])


def vectors(p, x):
    return [[a * p["s"], w] for a, w in zip(x, p["w"], strict=True)]


def squares(rows):
    return sum([sum([a * a for a in row]) for row in rows])


# Longer loops take no more rows: the test is a table of 1 and 0 by which each element chooses


def a_mask_in_an_expression(p, x):
    rows = vectors(p, x)
    scores = [[dot(a, b) if j <= i else -1e9 for j, b in enumerate(rows)] for i, a in enumerate(rows)]
    return squares([softmax(row) for row in scores])


def a_mask_in_a_statement(p, x):
    rows, found = vectors(p, x), []
    for i, a in enumerate(rows):
        scores = []
        for j, b in enumerate(rows):
            if j <= i:
                scores.append(dot(a, b))
            else:
                scores.append(-1e9)
        found.append(softmax(scores))
    return squares(found)


def a_mask_in_a_table(p, x):
    rows, n = vectors(p, x), len(x)
    mask = [[j <= i for j in range(n)] for i in range(n)]
    seen = [[1 if mask[i][j] else 0 for j in range(n)] for i in range(n)]
    return squares([[dot(rows[i], rows[j]) if seen[i][j] else 0.5 for j in range(n)] for i in range(n)])


def a_mask_that_is_added(p, x):
    rows, n = vectors(p, x), len(x)
    mask = [[0.0 if j <= i else -1e9 for j in range(n)] for i in range(n)]
    pairs = zip(rows, mask, strict=True)
    return squares([softmax([dot(a, b) + m for b, m in zip(rows, r, strict=True)]) for a, r in pairs])


def a_diagonal(p, x):
    found = []
    for i, a in enumerate(x):
        row = []
        for j, b in enumerate(x):
            z = a * b * p["s"]
            if i == j:
                z += 0.5
            row.append(z)
        found.append(row)
    return squares(found)


def all_others(p, x):
    found = []
    for i, a in enumerate(x):
        total = 0.0
        for j, b in enumerate(x):
            if i == j:
                continue
            total += a * b * p["w"][j]
        found.append(total)
    return squares([found])


def items_that_are_set(p, x):
    n = len(x)
    table = [[p["s"]] * n for _ in range(n)]
    for i in range(n):
        for j in range(n):
            if i + j < n:
                table[i][j] = x[i] * p["w"][i]
            else:
                table[i][j] = p["s"] * x[j]
    return squares(table)


def a_comparison_that_is_a_factor(p, x):
    return sum([sum([x[i] * p["w"][j] * (j < i) for j in range(len(x))]) for i in range(len(x))])


def two_tests(p, x):
    found = []
    for i, a in enumerate(x):
        row = [a * b if (j <= i and not i - j > 2) or j == 0 else p["s"] for j, b in enumerate(x)]
        found.append(sum(row))
    return squares([found])


# What only one side of the test appends: the inner loop is one line up to an index of the outer one, and one after it


def appended_on_one_side(p, x):
    rows, total = vectors(p, x), 0.0
    for i, a in enumerate(rows):
        scores = []
        for j, b in enumerate(rows):
            if j <= i:
                scores.append(dot(a, b))
        total += squares([softmax(scores)])
    return total


def up_to_a_break(p, x):
    rows, total = vectors(p, x), 0.0
    for i, a in enumerate(rows):
        scores = []
        for j, b in enumerate(rows):
            if j > i:
                break
            scores.append(dot(a, b))
        total += squares([softmax(scores)])
    return total


def past_a_continue(p, x):
    rows, total = vectors(p, x), 0.0
    for i, a in enumerate(rows):
        scores = []
        for j, b in enumerate(rows):
            if j > i:
                continue
            scores.append(dot(a, b))
        total += squares([softmax(scores)])
    return total


def a_filter(p, x):
    rows = vectors(p, x)
    scores = [softmax([dot(a, b) for j, b in enumerate(rows) if j <= i]) for i, a in enumerate(rows)]
    return squares(scores)


def a_window(p, x):
    total = 0.0
    for i, a in enumerate(x):
        near = []
        for j, b in enumerate(x):
            if j <= i and i - j < 4:
                near.append(a * b * p["s"])
        total += squares([softmax(near)])
    return total


def a_convolution_with_a_margin(p, x):
    found = []
    for i in range(len(x)):
        total = 0.0
        for k in range(5):
            if 0 <= i + k - 2 < len(x):
                total += x[i + k - 2] * p["w"][k]
        found.append(total)
    return squares([found])


def back_through_the_past(p, x):
    past = [a * p["s"] for a in x]
    return squares([[sum([past[i - j - 1] * p["w"][j] for j in range(i)]) for i in range(len(x))]])


@functions(
    a_mask_in_an_expression, a_mask_in_a_statement, a_mask_in_a_table, a_mask_that_is_added, a_diagonal, all_others,
    items_that_are_set, a_comparison_that_is_a_factor, two_tests, appended_on_one_side, up_to_a_break, past_a_continue,
    a_filter, a_window, a_convolution_with_a_margin, back_through_the_past,
)  # fmt: skip
def test_one_line(function):
    assert_one_line(function)


# What is no line runs in Python, with the same numbers


def appended_on_both_sides(p, x):
    found = []
    for i, a in enumerate(x):
        for j, b in enumerate(x):
            if j < i:
                found.append(a * b)
            elif j > i:
                found.append(p["s"])
                found.append(b)
    return squares([found])


def a_variable_of_the_last_turn(p, x):
    total = 0.0
    for i, a in enumerate(x):
        last = p["s"]
        for j, b in enumerate(x):
            if j < i:
                last = b
            if j > i + 1:
                break
        total += a * last + 0.1 * j
    return total


def an_iterator_that_goes_on(p, x):
    total = 0.0
    for i, a in enumerate(x):
        left = iter(x)
        for j, b in zip(range(len(x)), left):  # noqa: B905
            if j > i:
                break
            total += a * b
        total += p["s"] * sum(left)
    return total


def a_test_that_counts(p, x):
    n = len(x)
    mask = [[j <= i for j in range(n)] for i in range(n)]
    return sum([x[sum(row) - 1] * p["w"][int(row[0]) + (2 if row[1] == 1 else 1)] for row in mask])


def a_mask_by_which_one_side_appends(p, x):
    n, found = len(x), []
    mask = [[0 if i == j else 1 for j in range(n)] for i in range(n)]
    for i, a in enumerate(x):
        for j, b in enumerate(x):
            if mask[i][j]:
                found.append(a * b * p["w"][j])
    return squares([found])


def what_python_does_not_reach(p, x):
    return sum([sum([x[i + j] * p["w"][j] if i + j < len(x) else p["s"] for j in range(len(x))]) for i in range(3)])


def integers_that_a_test_chooses(p, x):
    found = []
    for i in range(len(x)):
        for j in range(len(x)):
            k = i - j if i > j else j - i
            found.append(x[k] * p["w"][i])
    return squares([found])


def a_list_that_ends_before_the_range(p, x):
    n, total, few = len(x), 0.0, x[:4]
    table = [[p["s"]] * n for _ in range(n)]
    for i in range(n):
        near = []
        for j, a in zip(range(i + 1), few):  # noqa: B905
            table[i][j] = a * p["w"][i]
            if j < 2:
                near.append(a)
        total += (i + 1) * sum(near)
    return total + squares(table)


def parts_of_a_triangle(p, x):
    n = len(x)
    table = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            if j > 2:
                table[i][j] += x[i] * p["w"][j]
            else:
                table[i][j] -= p["s"] * x[j]
    return squares(table)


def a_distance(p, x):
    return squares([[a * b * 0.9 ** abs(i - j) + abs(j - 3) for j, b in enumerate(x)] for i, a in enumerate(p["w"])])


def distances_that_choose(p, x):
    total = 0.0
    for i in range(len(x)):
        near = []
        for j in range(len(x)):
            if abs(i - j) < 2:
                near.append(x[abs(i - j)])
            if abs(i - j) == 3:
                total += p["w"][abs(i - j)] * p["s"]
        total += i * sum(near)
    return total


def empty_at_the_end(p, x):
    rows = []
    for i, a in enumerate(x):
        rows.append([a * p["s"] for j in range(len(x)) if j > i])
    return squares(rows) + sum(rows[-1]) + sum([a * a for a in rows[-1]]) + len(rows[-1])


@functions(
    appended_on_both_sides, a_variable_of_the_last_turn, an_iterator_that_goes_on, a_test_that_counts,
    a_mask_by_which_one_side_appends, what_python_does_not_reach, integers_that_a_test_chooses,
    a_list_that_ends_before_the_range, parts_of_a_triangle, a_distance, distances_that_choose, empty_at_the_end,
)  # fmt: skip
def test_the_numbers_are_the_same(function):
    assert_equal_engines(function, *scalar_and_row(9), verify=False)


# A view that begins outside of its list, at an index at which the inner loop has no turn


def of_the_example(p, x):
    return sum([sum([x[i - j - 1] for j in range(i)]) * p["w"][i] for i in range(len(x))])


def of_a_list_between_others(p, x):
    before, past = [a * p["s"] for a in x], [a * w for a, w in zip(x, p["w"], strict=True)]
    total = sum(before)
    for i in range(2, len(x)):
        for j in range(3, i + 1):
            total += past[i - j] * before[j]
    return total


@pytest.mark.parametrize("function", [of_the_example, of_a_list_between_others], ids=lambda one: one.__name__)
@pytest.mark.parametrize("n", [2, 3, 4, 9])
def test_loops_without_a_turn(function, n):
    assert_equal_engines(function, *scalar_and_row(n), verify=False)
