"""Loops that fill lists as C fills arrays: flat ones, by an index of several loops, and triangles.

Each function has the parameters s, a scalar, and w [n]; the example is x [n].
"""

from helpers import assert_equal_engines, assert_one_line, functions, scalar_and_row

from microgpt.value import exp


def total(numbers):
    return sum([a * a * (1 + i % 3) for i, a in enumerate(numbers)])


# Longer lists take no more rows, once they are filled: of a flat list only two items are read here


def a_matrix(p, x):
    n, m = len(x), 4
    out = [0.0] * (n * m)
    for i in range(n):
        for j in range(m):
            for k in range(m):
                out[i * m + j] += x[i] * p["w"][k] * p["s"]
    return out[0] * out[n * m - 1]


def a_matrix_by_columns(p, x):
    n, m = len(x), 4
    out = [p["s"]] * (n * m)
    for j in range(m):
        for i in range(n):
            out[j + i * m] = x[i] * p["w"][j]
    return out[1] * out[n * m - 2]


def a_tensor_in_place(p, x):
    n, m = len(x), 2
    out = [0.1] * (m * n * n)
    for i in range(n):
        for h in range(m):
            for j in range(n):
                out[h * n * n + i * n + j] = x[i] * x[j] * p["s"]
            size = 0.0
            for j in range(n):
                out[h * n * n + i * n + j] = exp(out[h * n * n + i * n + j])
                size += out[h * n * n + i * n + j]
            for j in range(n):
                out[h * n * n + i * n + j] /= size
    return out[1] * out[m * n * n - 1]


def every_other(p, x):
    out = [0.0] * (2 * len(x))
    for i, a in enumerate(x):
        out[2 * i] = a * p["s"]
        out[2 * i + 1] = out[2 * i] * p["w"][i]
    return out[2] * out[3]


def a_triangle(p, x):
    n = len(x)
    out = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            out[i][j] = x[i] * x[j] * p["s"]
        for j in range(i + 1, n):
            out[i][j] = -p["w"][j]
    return sum([sum([a * a for a in row]) for row in out])


def attention_as_in_c(p, x):
    n = len(x)
    weights = [[0.0] * n for _ in range(n)]
    out = [0.0] * n
    for i in range(n):
        size = 0.0
        for j in range(i + 1):
            weights[i][j] = exp(x[i] * x[j] * p["s"])
            size += weights[i][j]
        for j in range(i + 1):
            weights[i][j] /= size
        for j in range(i + 1):
            out[i] += weights[i][j] * p["w"][j]
    return sum([a * a for a in out])


@functions(a_matrix, a_matrix_by_columns, a_tensor_in_place, every_other, a_triangle, attention_as_in_c)
def test_one_line(function):
    assert_one_line(function)


# The same numbers, however the turns meet


def attention_in_flat_lists(p, x):
    n, m = len(x), 2
    keys = [a * w for a in x for w in (p["s"], 0.5)]
    weights, out = [0.0] * (n * n), [0.0] * (n * m)
    for i in range(n):
        size = 0.0
        for j in range(i + 1):
            score = 0.0
            for k in range(m):
                score += keys[i * m + k] * keys[j * m + k]
            weights[i * n + j] = exp(score)
            size += weights[i * n + j]
        for j in range(n):
            if j <= i:
                weights[i * n + j] /= size
            else:
                weights[i * n + j] = 0.0
        for k in range(m):
            out[i * m + k] = 0.0
        for j in range(i + 1):
            for k in range(m):
                out[i * m + k] += weights[i * n + j] * keys[j * m + k]
    return total(out) + total(weights)


def rows_that_overlap(p, x):
    n = len(x)
    out = [0.1] * (4 * n)
    for i in range(n):
        for j in range(4):
            out[2 * i + j] = out[2 * i + j] * 0.5 + x[i] * p["w"][j]
    return total(out)


def steps_that_are_alike(p, x):
    out = [0.1] * (5 * len(x) + 20)
    for i, a in enumerate(x):
        for k in range(3):
            out[i * 5 + k * 5] = out[i * 5 + k * 5] * 0.5 + a * p["w"][k]
        for k in range(3):
            out[i * 5 + k * 5] *= out[i * 5 + 5] + a
    return total(out)


def a_row_of_the_turn_before(p, x):
    n, m = len(x), 3
    out = [p["s"]] * (n * m + m)
    for i in range(n):
        for j in range(m):
            out[(i + 1) * m + j] = out[i * m + j] * 0.5 + x[i]
    return total(out)


def a_transpose_in_place(p, x):
    n = len(x)
    out = [x[i] * w for i in range(n) for w in p["w"]]
    for i in range(n):
        for j in range(i):
            out[i * n + j], out[j * n + i] = out[j * n + i], out[i * n + j]
    return total(out)


def halves_of_one_list(p, x):
    n, m = len(x), 3
    out = [0.0] * (n * 2 * m)
    for i in range(n):
        for j in range(m):
            out[i * 2 * m + j] = x[i] * p["w"][j]
        for j in range(m):
            out[i * 2 * m + m + j] = out[i * 2 * m + m - 1 - j] * p["s"]
    return total(out)


def items_of_a_long_list(p, x):
    counts = [0.0] * 50
    for i, a in enumerate(x):
        for w in p["w"]:
            counts[(7 * i) % 20] += a * w
            counts[3] = counts[3] * 0.5 + w
        counts[i] += counts[(7 * i) % 20] * 0.1
    return total(counts)


def backwards(p, x):
    n = len(x)
    out = [0.0] * (n * n)
    for i in range(n - 1, -1, -1):
        for j in range(n):
            out[i * n + n - 1 - j] = x[j] * p["w"][i]
    return total(out)


@functions(
    attention_in_flat_lists, rows_that_overlap, steps_that_are_alike, a_row_of_the_turn_before, a_transpose_in_place,
    halves_of_one_list, items_of_a_long_list, backwards,
)  # fmt: skip
def test_the_numbers_are_the_same(function):
    assert_equal_engines(function, *scalar_and_row(9), verify=False)
