"""Functions with loops as people write them, on which every engine does what the scalar engine does."""

import operator
from collections import deque
from functools import partial, reduce
from itertools import accumulate
from math import prod, sin, sqrt

import numpy as np
import pytest

from microgpt.functions import attention, dot, softmax, tanh
from microgpt.value import exp, largest, log, pick

RNG = np.random.default_rng(0)
PARAMS = {
    "s": np.array(0.7),
    "a": RNG.uniform(-1.5, 1.5, 4),
    "b": RNG.uniform(-1.5, 1.5, 4),
    "c": RNG.uniform(-1.5, 1.5, 3),
    "m": RNG.uniform(-1.5, 1.5, (4, 3)),
    "q": RNG.uniform(-1.5, 1.5, (3, 3)),
}
X = RNG.uniform(-1.5, 1.5, (2, 5))
GRID = RNG.uniform(-1.5, 1.5, (2, 3, 4))
TOKENS = RNG.integers(0, 4, (2, 3))
ARGUMENTS = (PARAMS, X, GRID, TOKENS)
TABLE = [0.5, -1.0, 2.0, 0.25, 1.5]


def weighted(scalars):
    """Their sum with the weights 1, 2, 3, ..., in a loop that no compiler has to understand."""
    total, weight = 0, 1
    for scalar in scalars:
        total = total + weight * scalar
        weight += 1
    return total


class Mean:
    def __init__(self, scale):
        self.scale = scale

    def scaled(self, a):
        return a * self.scale

    def of_all(self, p, x):
        return sum(a * p["s"] for a in x) * self.scale / len(x)


def mix(y, z=0.5, *others, share=0.3, **options):
    return y * (1 - share) + z * share + sum(others) + options.get("bias", 0)


def loops_of(*functions):
    """Parameters of a test for functions of (p, x, grid, tokens), by their names."""
    return pytest.mark.parametrize("function", functions, ids=lambda function: function.__name__)


# Comprehensions and generator expressions


def elementwise(p, x, grid, tokens):
    return weighted([tanh(a) * 2 - p["s"] for a in p["a"]])


def nested(p, x, grid, tokens):
    return weighted([weighted([tanh(a * b) for b in p["c"]]) for a in x])


def nested_in_the_iterable(p, x, grid, tokens):
    return weighted([b + p["s"] for b in [a * a for a in [exp(a) for a in x]]])


def two_fors(p, x, grid, tokens):
    return weighted([a * b + p["s"] for a in p["a"] for b in x])


def a_later_for_uses_the_earlier(p, x, grid, tokens):
    return weighted([tanh(b) * row[0] for row in grid for b in row[1:]])


def sums_of_sums(p, x, grid, tokens):
    return sum(sum(a * b for b in row) * row[0] for a, row in zip(p["a"], p["m"], strict=True))


def sum_with_a_start(p, x, grid, tokens):
    return sum((a * a for a in x), p["s"]) * sum([], p["s"]) * sum(x, start=2)


def sum_of_lists(p, x, grid, tokens):
    return weighted(sum([[a, a * p["s"]] for a in x], []))


def sum_of_one(p, x, grid, tokens):
    return sum(tanh(a) for a in x[:1]) * sum([p["s"]])


def sum_of_nothing(p, x, grid, tokens):
    return p["s"] * (1 + sum(a * a for a in x[5:])) + len([a for a in x[5:]]) + sum(())


def all_calls(p, x, grid, tokens):
    elements = tuple(a * p["s"] for a in x), list(a + 1 for a in x), dict((i, a * a) for i, a in enumerate(x))
    return weighted(elements[0]) + weighted(elements[1]) * weighted(elements[2].values())


def product_of_all(p, x, grid, tokens):
    return prod(1 + a * 0.5 for a in p["a"]) * prod([b * b for b in x], start=p["s"])


def joined_results(p, x, grid, tokens):
    return weighted([a * 2 for a in x] + [a * a for a in p["a"]] + x + [1.5] + [p["s"]] * 3)


def constants_only(p, x, grid, tokens):
    return p["s"] * sum([i * 0.5 for i in range(4)]) + sum(0.25 for _ in range(3))


def elements_unused(p, x, grid, tokens):
    return weighted([p["s"] * p["c"][0] for _ in x]) + sum(p["s"] for _ in range(3))


def one_scalar_many_times(p, x, grid, tokens):
    y = tanh(p["s"])
    return weighted([y for _ in x]) + weighted([[y, a][1] for a in x])


COMPREHENSIONS = (
    elementwise, nested, nested_in_the_iterable, two_fors, a_later_for_uses_the_earlier, sums_of_sums, sum_with_a_start,
    sum_of_lists, sum_of_one, sum_of_nothing, all_calls, product_of_all, joined_results, constants_only,
    elements_unused, one_scalar_many_times,
)  # fmt: skip


# zip, enumerate, transposes


def zip_of_equals(p, x, grid, tokens):
    return weighted([a * b - c for a, b, c in zip(p["a"], p["b"], grid[0], strict=True)])


def zip_of_unequals(p, x, grid, tokens):
    return weighted([a * b for a, b in zip(p["c"], x)]) + dot([a for a, _ in zip(x, p["c"])], p["c"])


def zip_of_nothing(p, x, grid, tokens):
    return p["s"] + sum(a * b for a, b in zip(x[:0], p["a"])) + len(list(zip()))


def zip_of_a_list_with_itself(p, x, grid, tokens):
    return sum(a * b for a, b in zip(x, x, strict=True)) * sum(a * b for a, b in zip(x[1:], x[:-1], strict=True))


def zip_with_a_range(p, x, grid, tokens):
    return weighted([x[i] * a for i, a in zip(range(1, 5), p["a"], strict=True)])


def zip_in_zip(p, x, grid, tokens):
    return weighted([a * b + c for (a, b), c in zip(zip(p["a"], p["b"]), x)])


def transposes(p, x, grid, tokens):
    columns = [dot(column, p["a"]) for column in zip(*p["m"], strict=True)]
    back = [list(row) for row in zip(*zip(*grid, strict=True), strict=True)]
    return weighted(columns) + weighted([tanh(sum(row)) for row in back])


def a_ragged_transpose(p, x, grid, tokens):
    return weighted([sum(column) for column in zip(*[x, p["a"], p["c"]])])


def a_matrix_product(p, x, grid, tokens):
    rows = [[dot(row, column) for column in zip(*p["m"], strict=True)] for row in grid]
    return weighted([sum(tanh(a) for a in row) for row in rows])


def enumerated(p, x, grid, tokens):
    return weighted([a * i + x[i] for i, a in enumerate(p["a"])]) + weighted([a * i for i, a in enumerate(x, 3)])


def enumerated_pairs(p, x, grid, tokens):
    return sum(a * b * (i + 1) for i, (a, b) in enumerate(zip(x, p["a"])))


def unpacked(p, x, grid, tokens):
    first, *others, last = x
    return weighted([first * a - last for a in others]) + sum(a * rest[-1] for a, *rest in grid)


SEVERAL_LISTS = (
    zip_of_equals, zip_of_unequals, zip_of_nothing, zip_of_a_list_with_itself, zip_with_a_range, zip_in_zip, transposes,
    a_ragged_transpose, a_matrix_product, enumerated, enumerated_pairs, unpacked,
)  # fmt: skip


# Indices


def index_of_a_range(p, x, grid, tokens):
    return weighted([x[i] * p["a"][i] for i in range(4)])


def neighbours(p, x, grid, tokens):
    return weighted([x[i] * x[i - 1] for i in range(5)]) + weighted([x[i] - x[i + 1] for i in range(4)])


def from_the_end(p, x, grid, tokens):
    return weighted([x[-i] * p["a"][i] for i in range(4)]) + weighted([x[-i - 1] for i in range(5)])


def reversed_indices(p, x, grid, tokens):
    return weighted([x[4 - i] * a for i, a in enumerate(p["a"])]) + weighted([tanh(x[i]) for i in range(4, -1, -1)])


def strides(p, x, grid, tokens):
    return weighted([x[i] for i in range(0, 5, 2)]) + weighted([p["a"][2 * i] * x[i] for i in range(2)])


def several_indices_make_one(p, x, grid, tokens):
    return weighted([sum(p["a"][h * 2 + j] * x[j + h] for j in range(2)) for h in range(2)])


def indices_of_two_lists(p, x, grid, tokens):
    return weighted([grid[i][j] * p["m"][j][i] for i in range(3) for j in range(4)])


def a_transpose_by_indices(p, x, grid, tokens):
    return weighted([sum(p["m"][j][i] * p["a"][j] for j in range(4)) for i in range(3)])


def a_diagonal(p, x, grid, tokens):
    return weighted([p["q"][i][i] * p["c"][i] for i in range(3)]) + sum(p["q"][i][2 - i] for i in range(3))


def a_triangle(p, x, grid, tokens):
    rows = [[p["q"][i][j] * x[j] for j in range(i + 1)] for i in range(3)]
    return weighted([sum(row) for row in rows]) + sum(x[i] * x[j] for i in range(5) for j in range(i))


def a_window(p, x, grid, tokens):
    return weighted([sum(x[i + j] * p["c"][j] for j in range(3)) for i in range(len(x) - 2)])


def indices_from_a_list(p, x, grid, tokens):
    order = [3, 0, 2, 2]
    return weighted([x[i] for i in order]) + weighted([x[order[i]] * p["a"][i] for i in range(4)])


def computed_indices(p, x, grid, tokens):
    squares = [i * i for i in range(3)]
    return weighted([x[squares[i]] for i in range(3)]) + weighted([x[(3 * i + 1) % 5] * x[i // 2] for i in range(5)])


def indices_and_functions_of_integers(p, x, grid, tokens):
    return weighted([x[min(i, 2)] * x[max(0, i - 1)] * x[abs(i - 2)] * x[divmod(i, 2)[1]] for i in range(5)])


def the_index_as_a_number(p, x, grid, tokens):
    return weighted([a * i + i / 3 - i**2 + sin(i) * a + TABLE[i] for i, a in enumerate(x)])


def the_index_as_an_exponent(p, x, grid, tokens):
    return sum(a**i for i, a in enumerate(x)) + sum((1 + p["s"] ** 2) ** (i / 2) for i in range(3))


def the_index_within_functions(p, x, grid, tokens):
    return weighted([exp(0.1 * i) * a for i, a in enumerate(x)]) + weighted(
        [a * exp(-sqrt(i)) for i, a in enumerate(x)]
    )


def counts_serve_as_indices(p, x, grid, tokens):
    return x[sum(1 for i in range(5) if i % 2)] * x[len([a for a in x]) - 1] * x[max(i % 3 for i in range(5))]


def booleans_are_integers(p, x, grid, tokens):
    return sum(a * (i > 2) for i, a in enumerate(x)) + sum(i == 3 for i in range(5)) * x[True]


def slices(p, x, grid, tokens):
    parts = [x[1:], x[:-1], x[::2], x[::-1], x[-3:], x[-2::-1], x[1:4:2], x[3:1], x[-100:100], x[4:0:-2]]
    return weighted([weighted([a * p["s"] for a in part]) for part in parts])


def slices_by_an_index(p, x, grid, tokens):
    heads = [p["a"][h * 2 : (h + 1) * 2] for h in range(2)]
    return weighted([dot(head, x[:2]) for head in heads]) + weighted([sum(x[: i + 1]) for i in range(5)])


def slices_by_slice_objects(p, x, grid, tokens):
    head = slice(1, 3)
    return weighted([dot(row[head], x[head]) for row in grid]) + sum(p["a"][slice(None, None, -1)][head])


def picks_in_a_loop(p, x, grid, tokens):
    rows = [pick(p["m"], token) for token in tokens]
    return weighted([tanh(a) for row in rows for a in row]) + sum(pick(x, t) * pick(p["a"], t) for t in tokens)


def picks_among_what_a_loop_made(p, x, grid, tokens):
    return pick([tanh(a * p["s"]) for a in p["a"]], tokens[0]) * sum(p["a"][t] for t in tokens[1:])


def largest_in_a_loop(p, x, grid, tokens):
    return weighted([a * largest([a, p["s"], 0.1]) for a in x]) + sum(largest(row) * row[0] for row in grid)


def largest_over_a_loop(p, x, grid, tokens):
    return sum(softmax([a * b for a, b in zip(x, p["a"], strict=False)])[:2]) + largest([a * a for a in x]) * p["s"]


INDICES = (
    index_of_a_range, neighbours, from_the_end, reversed_indices, strides, several_indices_make_one,
    indices_of_two_lists, a_transpose_by_indices, a_diagonal, a_triangle, a_window, indices_from_a_list,
    computed_indices, indices_and_functions_of_integers, the_index_as_a_number, the_index_as_an_exponent,
    the_index_within_functions, counts_serve_as_indices, booleans_are_integers, slices, slices_by_an_index,
    slices_by_slice_objects, picks_in_a_loop, picks_among_what_a_loop_made, largest_in_a_loop, largest_over_a_loop,
)  # fmt: skip


# Decisions by plain integers, lengths and identities


def the_first_is_another(p, x, grid, tokens):
    total = 0
    for i, a in enumerate(x):
        if i == 0:
            total = a * p["s"]
        else:
            total = total * 0.5 + tanh(a)
    return total


def conditional_expressions(p, x, grid, tokens):
    return weighted([a if i % 2 else b * b for i, (a, b) in enumerate(zip(x, p["a"], strict=False))])


def conditions_in_a_comprehension(p, x, grid, tokens):
    odd = [a * i for i, a in enumerate(x) if i % 2]
    return (
        weighted(odd)
        + sum(a for i, a in enumerate(x) if i != 1 if i < 4)
        + len([i for i in range(9) if i not in (2, 5)])
    )


def conditions_on_the_length(p, x, grid, tokens):
    ragged = [x, [], p["a"], x[:1]]
    return weighted([a for row in ragged if len(row) > 1 for a in row]) + sum(row[0] for row in ragged if row)


def any_and_all(p, x, grid, tokens):
    weight = any(i == 3 for i in range(5)) + 2 * all(len(row) == 4 for row in grid) + 4 * any(row is x for row in grid)
    return p["s"] * weight + (x[0] if all(i < 3 for i in range(5)) else x[1])


def minima_and_maxima_of_integers(p, x, grid, tokens):
    return x[max(i * i % 5 for i in range(5))] * x[min((abs(i - 2) for i in range(5)), default=3)]


def sorted_by_integers(p, x, grid, tokens):
    return weighted([x[i] for i in sorted(range(5), key=lambda i: -i * i % 3)])


def sorted_elements_by_place(p, x, grid, tokens):
    order = {id(a): -i for i, a in enumerate(x)}
    return weighted(sorted(x, key=lambda a: order[id(a)]))


def identities(p, x, grid, tokens):
    others = [a * b for a in p["a"] for b in p["a"] if a is not b]
    return weighted(others) + sum(a is p["a"][2] for a in p["a"]) * p["s"]


def identities_of_results(p, x, grid, tokens):
    doubled = [a * 2 for a in x]
    return (
        p["s"] * sum(1 + (a is b) for a in doubled for b in doubled) + x[[a is doubled[3] for a in doubled].index(True)]
    )


def elements_are_distinct(p, x, grid, tokens):
    made = [tanh(a) for a in p["a"]]
    return p["s"] * len(set(made)) * len({id(a) for a in made}) * len({*made, *made})


def elements_as_keys(p, x, grid, tokens):
    made = [a * p["s"] for a in p["a"]]
    place = {a: i for i, a in enumerate(made)}
    return sum(x[place[a]] * a for a in reversed(made)) + (made[1] in place) * p["s"] + (made[2] in {made[2]})


def lengths_and_types(p, x, grid, tokens):
    made = [a * 2 for a in x]
    kinds = (
        isinstance(made, list) + 2 * isinstance(made[0], (list, tuple)) + 4 * all(isinstance(i, int) for i in range(3))
    )
    return p["s"] * len(made) * kinds + len(grid) * len(grid[0]) + len(range(5)) + bool(made) + bool([a for a in x[9:]])


def texts(p, x, grid, tokens):
    names = [f"{i:02d}/{len(row)}" for i, row in enumerate(grid)]
    return weighted([a * float(name[1]) for a, name in zip(x, names, strict=False)]) + len("".join(names)) * p["s"]


def texts_of_elements(p, x, grid, tokens):
    shown = [f"{a}{a!r:>5}{str(a * 2)!s}" for a in p["a"]]
    return p["s"] * len(shown) * sum(isinstance(text, str) and len(text) > 5 for text in shown)


def a_match_statement(p, x, grid, tokens):
    total = p["s"]
    for i, row in enumerate([x[:0], x[:1], x[:2], x]):
        match row:
            case []:
                total = total + i
            case [a]:
                total = total * a
            case [a, *rest]:
                total = total + a * sum(rest) * i
    return total


DECISIONS = (
    the_first_is_another, conditional_expressions, conditions_in_a_comprehension, conditions_on_the_length, any_and_all,
    minima_and_maxima_of_integers, sorted_by_integers, sorted_elements_by_place, identities, identities_of_results,
    elements_are_distinct, elements_as_keys, lengths_and_types, texts, texts_of_elements, a_match_statement,
)  # fmt: skip


# Elements that are no scalars, or not alike


def elements_of_all_kinds(p, x, grid, tokens):
    row = [x[0], 1.5, 2, p["s"], x[0] * p["s"], True, np.float64(0.5)]
    return weighted([a * x[1] + 1 for a in row]) + weighted([tanh(a * p["s"]) for a in row])


def elements_that_may_be_missing(p, x, grid, tokens):
    row = [x[0], None, p["s"], None]
    return weighted([0.5 if a is None else a * 2 for a in row]) + sum(a for a in row if a is not None)


def lists_and_scalars(p, x, grid, tokens):
    rows = [x, p["s"], [p["s"], [x[0]]]]
    return weighted([sum(row) if isinstance(row, list) and len(row) > 2 else p["c"][0] for row in rows]) + rows[2][1][0]


def plain_numbers_as_elements(p, x, grid, tokens):
    decided = [a if w > 0.3 else a * a for a, w in zip(x, TABLE)]
    counted = [a * round(w) + sin(w) * int(w * 4) for a, w in zip(x, TABLE)]
    return weighted(decided) + weighted(counted) + sum(a * w for a, w in zip(x, TABLE)) + sum(TABLE) * p["s"]


def pairs_of_integers(p, x, grid, tokens):
    pairs = [(0, 1), (2, 3), (1, 1)]
    return weighted([x[i] * grid[i][j] for i, j in pairs]) + sum(p["m"][j][i] * (i - j) for i, j in pairs)


def names_as_elements(p, x, grid, tokens):
    return weighted([sum(p[name]) * x[0] for name in ("a", "b", "c")]) + sum(len(p[name]) for name in "abc") * p["s"]


def numpy_numbers_as_elements(p, x, grid, tokens):
    scaled = [a * w for a, w in zip(x, np.array([0.5, -1.0, 2.0]))]
    return weighted(scaled) + weighted([x[i] * i for i in np.arange(4)]) + sum(np.ones(3)) * p["s"]


def dicts_as_elements(p, x, grid, tokens):
    layers = [{"w": row, "scale": i + 1.0, "name": f"layer {i}"} for i, row in enumerate(grid)]
    return weighted([dot(d["w"], d["w"]) * d["scale"] * len(d["name"]) for d in layers]) + sum(
        a * b for d in layers for a, b in zip(*[d["w"], x])
    )


def functions_as_elements(p, x, grid, tokens):
    functions = [tanh, exp, lambda a: a * a, Mean(0.5).scaled, partial(mix, share=0.5)]
    return weighted([f(a) for f, a in zip(functions, x)]) + weighted(
        [[f(a) for f in functions][i] for i, a in enumerate(x)]
    )


def elements_taken_apart(p, x, grid, tokens):
    def spread(a, b, *rest):
        return a * b + sum(rest)

    rows = [spread(*row) + row[-1] * len(row) + dot(row[:2], (row + row)[-2:]) for row in grid]
    return (
        weighted(rows)
        + weighted([a - d for a, _, _, d in grid])
        + weighted([dot(row, row[1:] + row[:1]) for row in grid])
    )


def lists_are_compared_by_identity(p, x, grid, tokens):
    same = ([a for a in x] == x) + 2 * (x[:2] == x[:2]) + 4 * ([row for row in grid] == grid) + 8 * (x[0] in x)
    return same * p["s"] + x.index(x[0]) + sum([a for a in x] == x for _ in range(3))


ELEMENTS = (
    elements_of_all_kinds, elements_that_may_be_missing, lists_and_scalars, plain_numbers_as_elements,
    pairs_of_integers, names_as_elements, numpy_numbers_as_elements, dicts_as_elements, functions_as_elements,
    elements_taken_apart, lists_are_compared_by_identity,
)  # fmt: skip


# Loops that carry something from one round to the next


def mixed_loops(p, x, grid, tokens):
    state = [0.0] * 4
    for row in grid:
        state = [tanh(s * 0.5 + a * w) for s, a, w in zip(state, row, p["a"], strict=True)]
        for i in range(2):
            state[i] = state[i] + sum(a * (i + 1) for a in row)
    return weighted(state)


def a_growing_cache(p, x, grid, tokens):
    keys, values, outputs = [], [], []
    for row in grid:
        keys.append([a * p["s"] for a in row])
        values.append([a + b for a, b in zip(row, p["b"], strict=True)])
        outputs += attention(row, keys, values)
        outputs += attention(row[2:], [key[2:] for key in keys], [value[:2] for value in values])
    return weighted(outputs)


def a_sliding_cache(p, x, grid, tokens):
    cache, total = deque(maxlen=2), 0
    for i, a in enumerate(x):
        cache.append([a, a * p["s"]])
        total = total + sum(sum(entry) * (i + 1) for entry in cache)
    return total


def breaks_and_continues(p, x, grid, tokens):
    total = p["s"]
    for i, a in enumerate(x):
        if i == 1:
            continue
        if i == 4:
            break
        total = total + a * i
    else:
        total = total * 100
    for _ in range(2):
        total = total * 0.5
    else:
        total = total + 1
    return total


def while_loops(p, x, grid, tokens):
    total, i = p["s"], 0
    while i < len(x):
        total, i = tanh(total + x[i]), i + 2
    while len(stack := x[i - 2 :]) > 1:
        i += 1
    return total * len(stack)


def a_queue_that_grows_under_its_loop(p, x, grid, tokens):
    queue = [p["s"], x[0]]
    for a in queue:
        if len(queue) < 6:
            queue.append(tanh(a + x[1]))
    return weighted(queue)


def a_list_that_shrinks_under_its_loop(p, x, grid, tokens):
    rest = list(x)
    return weighted([a * rest.pop() for a in rest])


def assigned_items(p, x, grid, tokens):
    row = list(x)
    for i in range(1, 5):
        row[i] = tanh(row[i] + row[i - 1])
    row[1:3] = [a * p["s"] for a in row[:3]]
    row[::2] = row[-1:-4:-1]
    del row[1]
    row.insert(1, p["s"])
    row.extend(a * 2 for a in x[:2])
    row.reverse()
    return weighted(row) + row.pop(0)


def the_same_row_twice(p, x, grid, tokens):
    matrix = [list(x)] * 2
    matrix[0][1] = p["s"]
    other = [a[:] for a in matrix]
    other[1][0] = p["s"] * 2
    return weighted(matrix[0] + matrix[1] + other[0] + other[1])


def entries_of_dicts(p, x, grid, tokens):
    sums = {}
    for i, a in enumerate(x):
        sums[i % 2] = sums.get(i % 2, 0) + a * i
    sums.setdefault("new", p["s"])
    return weighted(sums.values()) + weighted([sums[key] * 2 for key in sums if key != 0])


def walrus(p, x, grid, tokens):
    halves = [(half := a * 0.5) * half + p["s"] for a in x]
    return weighted(halves) + half


def a_walrus_that_carries(p, x, grid, tokens):
    total = p["s"]
    return weighted([total := tanh(total + a) for a in x]) + total


def a_comprehension_that_appends_to_what_it_reads(p, x, grid, tokens):
    seen = [p["s"]]
    return weighted([seen.append(seen[-1] * 0.5 + a) or seen[-1] for a in x]) + sum(seen)


def accumulated(p, x, grid, tokens):
    return weighted(accumulate(x, lambda total, a: tanh(total + a))) + sum(accumulate(p["a"], operator.mul))


def reduced(p, x, grid, tokens):
    return reduce(lambda total, a: total * 0.5 + a, x, p["s"]) * reduce(operator.add, [a * a for a in x])


CARRYING = (
    mixed_loops, a_growing_cache, a_sliding_cache, breaks_and_continues, while_loops, a_queue_that_grows_under_its_loop,
    a_list_that_shrinks_under_its_loop, assigned_items, the_same_row_twice, entries_of_dicts, walrus,
    a_walrus_that_carries, a_comprehension_that_appends_to_what_it_reads, accumulated, reduced,
)  # fmt: skip


# What a ragged loop leaves out may be undefined


def half_a_matrix(p, x):
    """1 / 0 on the diagonal, and logarithms of negative numbers above it, if it had them."""
    return sum(p * (x[i] - x[j]) ** -1 * log(x[i] - x[j]) for i in range(len(x)) for j in range(i))


def half_a_matrix_row_by_row(p, x):
    rows = [[log((a - b) * p) for b in x[:i]] for i, a in enumerate(x)]
    return weighted([sum(row) for row in rows])


def all_that_came_before(p, x):
    seen, total = [], 0
    for a in x:
        total = total + sum((a - b) ** -0.5 * p for b in seen)
        seen.append(a)
    return total


def all_but_itself(p, x):
    return sum(log(((a - b) * p) ** 2) for i, a in enumerate(x) for j, b in enumerate(x) if i != j)


def the_neighbours_that_there_are(p, x):
    return weighted([log((x[i] - x[i - 1]) * p) if i > 0 else x[i] * p for i in range(len(x))])


RAGGED_X = np.cumsum(X**2 + 0.1, axis=1)
RAGGED = (half_a_matrix, half_a_matrix_row_by_row, all_that_came_before, all_but_itself, the_neighbours_that_there_are)
