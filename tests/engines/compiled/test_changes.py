"""Lists that change in place, are shared, copied or asked what they are: every engine sees what Python sees."""

import copy
import heapq
import itertools
import operator
from contextlib import suppress
from functools import cached_property
from types import FunctionType

import numpy as np
import pytest
from helpers import assert_equal_engines, functions
from random_programs import PRELUDE, difference, outcome

from microgpt import Value, evaluate, exp, largest, log, pick, value_and_grad
from microgpt.engines.compiled.record import RecordingError
from microgpt.engines.compiled.recording import record_function

RNG = np.random.default_rng(3)
PARAMS = {"w": RNG.uniform(0.2, 1.0, 4), "s": np.array(0.7), "m": RNG.uniform(-1.0, 1.0, (3, 4))}
X, TOKENS = RNG.uniform(-1.0, 1.0, (2, 4)), np.array([[0, 2, 1], [2, 2, 0]])
ARGUMENTS = PARAMS, X, TOKENS


def read_between_changes(p, x, i):
    rows = [[v * 2 for v in row] for row in p["m"]]
    total = 0
    for k in range(3):
        rows[k][k] = x[k]
        total += sum([row[k] for row in rows]) * (k + 1) + sum(sum(row) ** 2 for row in rows)
    return total


def triangular(p, x, i):
    n = 3
    a = [[sum(u * v for u, v in zip(r, s)) + (2.0 if j == k else 0.0) for k, s in enumerate(p["m"])]
         for j, r in enumerate(p["m"])]  # fmt: skip
    low = [[0.0] * n for _ in range(n)]
    for j in range(n):
        for k in range(j + 1):
            rest = a[j][k] - sum(low[j][h] * low[k][h] for h in range(k))
            low[j][k] = rest**0.5 if j == k else rest / low[k][k]
    return sum(log(low[j][j]) for j in range(n)) + sum(sum(row) for row in low)


def one_row_many_names(p, x, i):
    row = [v * 2 for v in x]
    rows = [row for _ in range(3)]
    for k in range(3):
        rows[k][k] = p["w"][k]
    return sum(sum(r) for r in rows) + row[0]


def one_list_of_two_names_grows(p, x, i):
    row = other = [v * p["s"] for v in x if True]
    other += x
    row += p["w"][1:]
    third = [0.5]
    operator.iadd(third, row)
    return sum([v * (k + 1) for k, v in enumerate(row)]) + len(other) * sum(third)


def changed_after_reversed(p, x, i):
    row, others = [v * p["s"] for v in x], p["m"][1]
    backwards, rest, both = reversed(row), reversed(others), zip(reversed(x), p["w"])
    row[1], others[2] = p["s"], x[0]
    last = next(rest)
    others[0] = row[1] * 3
    x[0] = p["s"] * 4
    total = sum([v * (k + 1) for k, v in enumerate(list(backwards))]) + last * next(rest)
    return total + sum([v * (k + 1) for k, v in enumerate(rest)]) + sum([a * b for a, b in both])


def noted_at_the_end(row, notes):
    try:
        for v in row:
            yield v * 2
    finally:
        notes.append(2.0)


def the_last_two_tokens(p, x, i):
    last, (_, before) = [i[2], i[0]], (0.5, (i[1],))
    for token in i:
        last, (_, before) = [last[1], token], (x[0], (last[0],))
    return p["m"][last[0]][last[1]] * p["w"][before[0]]


def generators_that_are_closed(p, x, i):
    notes = []
    items, doubled = noted_at_the_end(x, notes), (v * 2 for v in p["w"])
    total = next(items) * doubled.send(None) + next(items)
    items.close()
    doubled.close()
    return (total + sum(items) + sum(doubled)) * sum(notes)


def zip_takes_a_part_of_an_iterator(p, x, i):
    rest, pairs = iter([v * 2 for v in x]), enumerate(p["w"])
    doubled = reversed([v * 2 for v in x])
    first = sum([a * b for a, b in zip(doubled, p["w"][:2])])
    second = sum([a * k * b for (k, a), b in zip(pairs, x[1:2])])
    third = sum([a * b for a, b in zip(p["w"][:1], rest)])
    return first + second + third + sum(doubled) + sum([k * a for k, a in pairs]) * 2 + sum(rest) * 3


def functions_of_operator_that_change(p, x, i):
    kept, grown = [0.5, 1.0, 2.0, 3.0, 4.0], []
    totals = [operator.setitem(kept, 0, v) or v * kept[0] + sum(operator.iadd(grown, [v])) for v in x]
    totals += [operator.delitem(kept, 0) or v * len(kept) for v in x]
    totals += [operator.call(kept.append, v) or sum(kept) for v in p["w"]]
    return sum(totals) * p["s"] + sum(kept)


def chosen_before_the_table_grows(p, x, i):
    table = [[v * 2 for v in row] for row in p["m"]]
    row = pick(table, i[0])
    table.append([v for v in x])
    table[0] = x
    lists = [[p["s"], x[0]], [x[1], p["s"]], [x[2], x[3]]]
    other = pick(lists, i[1])
    lists[2] = [p["s"], p["s"]]
    lists.append(lists.pop(0))
    return sum(row) + sum(pick(table, i[1])) * row[1] + other[0] * other[1] + sum(pick(lists, i[1]))


def parameters_changed(p, x, i):
    for k in range(4):
        p["w"][k] = p["w"][k] * x[k]
    p["s"] = p["s"] + 1
    p["m"][1][2] += p["s"]
    return sum(p["w"]) * p["s"] + sum(sum(row) for row in p["m"])


def rows_that_are_the_same(p, x, i):
    return sum([sum(a * b for a, b in zip(r, s)) * (2 if r is s else 1) for r in p["m"] for s in p["m"]])


def copies_hold_the_same_scalars(p, x, i):
    row = [p["s"] * 2, x[1], 0.1, p["s"]]
    copies = [list(reversed(row)), [v for v in row], [v for v, _ in zip(row, reversed(row))]]
    places = [j + 2 for each in copies for v in row for j, w in enumerate(each) if v is w]
    return sum(places) * sum(row) + len({id(v) for each in copies for v in each})


def kinds_asked(p, x, i):
    def total(tree):
        if type(tree) is list or isinstance(tree, tuple):
            return sum([total(branch) for branch in tree])
        return tree * 2

    whole = [1 if isinstance(token, int) and not isinstance(token, (list, dict)) else 5 for token in i]
    count = [k if isinstance(k, int) and type(k) is int else 0 for k in range(3)]
    return total(p["m"]) + total((x, [x])) + sum(whole) + sum(count)


@functions(
    read_between_changes, triangular, one_row_many_names, one_list_of_two_names_grows, changed_after_reversed,
    the_last_two_tokens, generators_that_are_closed,
    zip_takes_a_part_of_an_iterator, functions_of_operator_that_change, chosen_before_the_table_grows,
    parameters_changed, rows_that_are_the_same,
)  # fmt: skip
@pytest.mark.parametrize("file", [__file__, "no file"])  # without one there is no source
def test_what_a_list_holds_is_what_python_says(function, file):
    without = FunctionType(function.__code__.replace(co_filename=file), globals(), function.__name__)
    assert_equal_engines(without, *ARGUMENTS, verify=False)


def test_kinds_are_those_of_python():
    assert_equal_engines(kinds_asked, *ARGUMENTS, verify=False)


# Exceptions that a body catches


def bare_except(p, x, i):
    def weight(k):
        try:
            return p["w"][k] if k > 1 else p["s"]
        except:  # noqa: E722
            return x[0]

    return sum([weight(k) * x[k] for k in range(4)])


def returns_in_the_end(p, x, i):
    def weight(k):
        found = x[0]
        try:
            found = 1 / (k - 7) * p["s"]
        finally:
            return found  # noqa: B012

    return sum([weight(k) * x[k] for k in range(4)])


def all_is_suppressed(p, x, i):
    def weight(k):
        found = p["s"]
        with suppress(BaseException):
            found = p["w"][k + 1]
        return found

    return sum([weight(k) * x[k] for k in range(4)])


@functions(bare_except, returns_in_the_end, all_is_suppressed)
def test_no_handler_hides_that_a_body_is_untraceable(function):
    assert_equal_engines(function, *ARGUMENTS, verify=False)


# Bodies that change something in a way that one does not see in them


class Counting:
    """What counts how often it is used, in every operator."""

    def __init__(self):
        self.n = 0

    def counted(self, *_):
        self.n += 1
        return self.n

    def looked(self, *_):
        return self.counted() > 2

    __add__ = __rsub__ = __neg__ = __matmul__ = __len__ = __enter__ = __round__ = __index__ = __getitem__ = counted
    __contains__ = __lt__ = __eq__ = __bool__ = looked
    __hash__ = counted

    def __exit__(self, *_):
        return False

    def __iter__(self):
        return iter([self.counted()])

    def __format__(self, _):
        return "a" * self.counted()

    def __get__(self, *_):
        return self.counted()

    def __mul__(self, v):
        return v * self.counted()


def entered(c, v):
    with c as n:
        return v * n


def unpacks(c, v):
    (n,) = c
    return v * n


OPERATORS = {
    "+": lambda c, v: (c + v) * v, "*": lambda c, v: c * v, "-": lambda c, v: (1 - c) * v, "neg": lambda c, v: v * -c,
    "@": lambda c, v: v * (c @ v), "in": lambda c, v: v if 3 in c else v * 2, "len": lambda c, v: v * len(c),
    "<": lambda c, v: v if c < 3 else v * 2, "==": lambda c, v: v if c == 3 else v * 2,
    "if": lambda c, v: v if c else v * 2,
    "not": lambda c, v: v * (not c), "and": lambda c, v: (v if c and 3 else v * 2), "hash": lambda c, v: v * hash(c),
    "a key": lambda c, v: v * (c.n + len({c: 1})), "[0]": lambda c, v: v * c[0],
    "an index": lambda c, v: v * [1, 2, 3, 4, 5][c],
    "round": lambda c, v: v * round(c), "a star": lambda c, v: v * sum([*c]), "sum": lambda c, v: v * sum(c),
    "a format": lambda c, v: v * len(f"{c}"), "with": entered, "unpacking": unpacks,
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_of_classes_run_for_each_element(name):
    used = OPERATORS[name]

    def loss(p, x):
        c = Counting()
        return sum([used(c, v * p["s"]) for v in x])

    assert_equal_engines(loss, PARAMS, X, verify=False)


ITERATORS = {
    "iter": lambda x, w: iter([1, 2, 3]), "zip": lambda x, w: (a * b for a, b in zip(x, w)),
    "zip of iterators": lambda x, w: (a * b for a, b in zip(iter(x), iter(w))), "map": lambda x, w: map(exp, x),
    "map of two": lambda x, w: map(operator.mul, x, w), "enumerate": lambda x, w: (k * v for k, v in enumerate(x)),
    "reversed": lambda x, w: reversed(x), "a generator expression": lambda x, w: (v * 2 for v in x),
    "filter": lambda x, w: filter(lambda k: k % 2, range(6)), "of a dict": lambda x, w: iter({1: "a", 2: "b"}),
}  # fmt: skip
USES = {
    "sum": lambda z, v: v * sum(z), "for": lambda z, v: v * len([1 for _ in z]), "list": lambda z, v: v * len(list(z)),
    "a star": lambda z, v: v * len([*z]), "star arguments": lambda z, v: v * (lambda *a: len(a))(0, *z),
    "any": lambda z, v: v * any(1 for _ in z), "a set": lambda z, v: v * len({k for k, _ in enumerate(z)}),
    "unpacking": lambda z, v: v * taken_apart(z), "in": lambda z, v: v * (3 in (k for k, _ in enumerate(z))),
    "enumerate": lambda z, v: v * sum(k + 1 for k, _ in enumerate(z)), "tuple": lambda z, v: v * len(tuple(z)),
}  # fmt: skip


def taken_apart(z):
    _, *rest = z
    return len(rest)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("made", ITERATORS)
def test_outer_iterators_are_used_up_as_in_python(made, use):
    def loss(p, x):
        z = ITERATORS[made](x, p["w"])
        return sum([USES[use](z, v) for v in x])

    if use == "unpacking":
        with pytest.raises(ValueError, match="not enough values"):
            value_and_grad(loss, "scalar")(PARAMS, X)
        with pytest.raises(ValueError, match="not enough values"):
            value_and_grad(loss, verify=False)(PARAMS, X)
    else:
        assert_equal_engines(loss, PARAMS, X, verify=False)


def changes_by_other_statements(p, x, i):
    last, held = 0.0, [0.0]

    def by_for(v):
        nonlocal last
        before = last
        for last in (v, v * 2):
            pass
        return before

    def by_walrus(v):
        nonlocal last
        return (last := v) * 2

    def by_case(v):
        nonlocal last
        before = last
        match [v]:
            case [last]:
                return before

    def by_def(v):
        nonlocal last
        before = last if isinstance(last, float) else 3.0

        def last():
            return v

        return before * v

    def annotated(v):
        held[0]: float = held[0] + v
        return held[0]

    def by_comprehension(v):
        return held[0] + len([0 for held[0] in (v, v * 2)])

    found = [by_for(v) * w for v, w in zip(x, p["w"])] + [by_walrus(v) for v in x] + [by_case(v) for v in x]
    last = 1.0
    found += [by_def(v) for v in x] + [annotated(v) for v in x] + [by_comprehension(v) for v in x]
    return sum(found)


def changes_by_functions(p, x, i):
    held, count = [0.0], itertools.count(1)

    def in_place(v):
        operator.setitem(held, 0, held[0] + v)
        return held[0] * len(operator.iadd(held, [1.0]))

    def by_default(v):
        def scaled(k=next(count)):  # noqa: B008
            return v * k

        return scaled()

    def by_key(v):
        return v * max([1, 2], key=lambda k: held.append(k) or k) * len(held)

    class Cached:
        number = Counting()

        @cached_property
        def total(self):
            return sum(v * w for v, w in zip(x, p["w"]))

    cached = Cached()
    found = [in_place(v) for v in x] + [by_default(v) for v in x] + [by_key(v) for v in x]
    found += [cached.total * v * (1 if k % 2 else 2) for k, v in enumerate(x)] + [cached.total]
    return sum(found) + sum([cached.number * v for v in x]) + sum([getattr(cached, "number") * v for v in x])  # noqa: B009


@functions(changes_by_other_statements, changes_by_functions)
def test_changes_outside_happen_for_each_element(function):
    assert_equal_engines(function, *ARGUMENTS, verify=False)


# What Python's own functions make of recorded lists, scalars and integers


def methods_of_the_class_list(p, x, i):
    row = [v * 2 for v in x]
    list.append(row, p["s"])
    rows = list(map(list.copy, p["m"]))
    rows[0][0] = p["s"]
    places = [k for k in range(4)]
    heapq.heappush(places, -1)
    return sum(row) * row[heapq.heappop(places)] + sum(map(sum, rows)) + sum(p["m"][0]) + list.__len__(row) + places[0]


def leaves_of(tree):
    return [tree] if isinstance(tree, (int, float, Value)) else [leaf for one in tree for leaf in leaves_of(one)]


def a_scalar_is_a_float_or_a_value(p, x, i):
    return sum(leaves_of([x, [p["m"], 3], p["s"]])) * (2 if isinstance(p["s"], float | Value) else 3)


def an_index_has_what_an_integer_has(p, x, i):
    return (
        sum([x[k] * getattr(k, "denominator", 7) * (2 if hasattr(k, "bit_length") else 3) for k in range(4)]) * p["s"]
    )


def calls_itself_often(p, x, i):
    def over(n):
        return p["s"] if n == 0 else over(n - 1) * 0.99 + x[n % 4]

    def through(n):
        return p["s"] if n == 0 else sum(through(n - 1) * v for v in x[:1]) + x[n % 4]

    return over(600) + through(250)


def asks_by_trying(p, x, i):
    def added(a, b):
        try:
            return a + b
        except TypeError:
            return a[0] + b

    return added(x, p["s"]) + sum([added([v], p["s"]) for v in x]) + added(p["s"], x[1])


@functions(
    asks_by_trying,
    methods_of_the_class_list,
    a_scalar_is_a_float_or_a_value,
    an_index_has_what_an_integer_has,
    calls_itself_often,
)
def test_functions_of_python_find_what_they_expect(function):
    assert_equal_engines(function, *ARGUMENTS, verify=False)


def is_positive(v):
    try:
        return v if v and True else v * 2
    except TypeError:
        return v * 3


REFUSED = {
    "a product of lists": (lambda p, x, i: p["w"] @ x, r"write sum\(a_i \* b_i"),
    "a refusal that is caught": (lambda p, x, i: is_positive(p["s"]), "test for truth"),
    "a deep copy": (lambda p, x, i: sum(copy.deepcopy(p["w"])), "a copied scalar would have no gradient"),
    "a row or a scalar": (lambda p, x, i: sum(pick([p["w"], p["s"], x], i[0])), "scalars or rows, not both"),
    "rows of many lengths": (lambda p, x, i: sum(pick([x, x[1:], x], i[0])), "rows of the same length.* of 3 and 4"),
    "a choice by &": (lambda p, x, i: p["s"] * ((x[0] > 0) & (x[1] > 0)), "write .a > 0. . .b > 0. for and"),
    "bits of an integer": (lambda p, x, i: p["w"][i[0] & 1], "differs from example to example"),
    "an integer's attribute": (lambda p, x, i: p["s"] * i[0].bit_length(), "differs from example to example"),
    "is it the chosen row": (lambda p, x, i: p["s"] * (pick(p["m"], i[0]) is p["m"][0]), "asks by `is`"),
    "is it the chosen scalar": (lambda p, x, i: p["s"] * (p["w"][0] is not pick(p["w"], i[0])), "asks by `is`"),
    "largest of nothing": (lambda p, x, i: p["s"] * largest([v for v in x if False] + [x[0]][1:]), "empty"),
}


def chosen_row_changed(p, x, i):
    row = pick(p["m"], i[0])
    row[1] = x[0]
    return sum(row)


def chosen_row_of_a_list_that_changes(p, x, i):
    table = [[v for v in row] for row in p["m"]]
    row = pick(table, i[0])
    table[1][1] = x[0]
    return sum(row)


def chosen_rows_of_a_plain_list(p, x, i):
    table = [[p["s"], x[0]], [x[1], p["s"]], [x[2], x[3]]]
    rows = [pick(table, token) for token in i]
    table[1][1] = x[0]
    return sum(sum(row) for row in rows)


def chosen_row_read_before_and_after(p, x, i):
    table = [[v for v in row] for row in p["m"]]
    row = pick(table, i[0])
    before = row[1] + row[0]
    table[1].reverse()
    return before + row[1]


def length_of_a_chosen_row(p, x, i):
    table = [[v for v in row] for row in p["m"]]
    row = pick(table, i[0])
    for one in table:
        one.append(x[0])
    return p["s"] * len(row)


def chosen_rows_of_rows(p, x, i):
    tables = [[[v for v in row] for row in p["m"]] for _ in range(3)]
    row = pick(tables, i[0])[1]
    tables[2][1][0] = x[0]
    return sum(row)


def chosen_row_of_each_table(p, x, i):
    tables = [[[v * w for v in row] for row in p["m"]] for w in p["w"]]
    rows = [table[i[0]] for table in tables]
    tables[0][0][0] = x[0]
    return sum(sum(row) for row in rows)


def list_chosen_by_a_scalar_that_a_loop_writes(p, x, i):
    row = x if x[0] > 0 else p["w"]
    for k in range(4):
        x[k] = p["s"] * k
    return sum(row)


def list_chosen_by_a_scalar_that_a_loop_changes(p, x, i):
    total, row = 0.0, x if x[0] > 0 else p["w"]
    for v in [*p["w"], p["s"]]:
        x[0] += v
        total += row[0] * v
    return total


def loop_through_a_list_chosen_by_a_scalar(p, x, i):
    total, row, other = 0.0, [*x, p["s"]], [*p["w"], p["s"]]
    for k, v in enumerate(row if x[0] > 0 else other):
        row[4] += v
        total += v * k
    return total


def list_chosen_by_a_scalar_that_turns_replace(p, x, i):
    row = x if x[0] > 0 else p["w"]
    for v in [*p["w"], p["s"]]:
        x[0] = v
        row = [a * v for a in row]
    return sum(row)


def chosen_row_of_a_list_that_loops_write(p, x, i):
    row = pick(p["m"], i[0])
    for k in range(3):
        for n in range(4):
            p["m"][k][n] = x[n] * k
    return sum(row)


def chosen_row_of_an_item_that_loops_write(p, x, i):
    tables = [[[v * w for v in row] for row in p["m"]] for w in p["w"]]
    row = pick(tables[0], i[0])
    for k in range(3):
        for n in range(4):
            tables[0][k][n] = x[n] * k
    return sum(row)


REFUSED["a chosen row that changes"] = (chosen_row_changed, "change a copy of it")
REFUSED["a row that was read before"] = (chosen_row_read_before_and_after, "has changed")
REFUSED["the length of a row"] = (length_of_a_chosen_row, "has changed")
REFUSED["a row of a chosen list of rows"] = (chosen_rows_of_rows, "has changed")
REFUSED["a row of each of some lists"] = (chosen_row_of_each_table, "has changed")
REFUSED["a row of a list that has changed"] = (chosen_row_of_a_list_that_changes, "has changed")
REFUSED["rows of a list that has changed"] = (chosen_rows_of_a_plain_list, "has changed")
REFUSED["a list that a loop writes"] = (list_chosen_by_a_scalar_that_a_loop_writes, "has changed")
REFUSED["a list that a loop changes"] = (list_chosen_by_a_scalar_that_a_loop_changes, "has changed")
REFUSED["a list that its own loop changes"] = (loop_through_a_list_chosen_by_a_scalar, "has changed")
REFUSED["a list that turns change and replace"] = (list_chosen_by_a_scalar_that_turns_replace, "has changed")
REFUSED["a row of a list that loops write"] = (chosen_row_of_a_list_that_loops_write, "has changed")
REFUSED["a row of an item that loops write"] = (chosen_row_of_an_item_that_loops_write, "has changed")


@pytest.mark.parametrize("name", REFUSED)
def test_uncertain_lists_are_refused_with_the_line(name):
    function, message = REFUSED[name]
    with pytest.raises((RecordingError, ValueError), match=message) as caught:
        value_and_grad(function, verify=False)(*ARGUMENTS)
    assert "test_changes.py:" in str(caught.value) or name == "largest of nothing"


# Loops that change what they go through, or what others hold; of s, a [5], x [5] and g [5, 5]

BODIES = """
w = [[0.0] * 5 for _ in range(5)]
for i, r in enumerate(w):
    if not i:
        r[i] = s
w

w = [[b * 0.5 for b in r] for r in g]
first, last = w[0], w[-1]
damp(w)
[w, first, last]

w = [[0.1, 0.2], [0.3, s]]
first = w[0]
for v in x:
    for j in range(2):
        w[j][0] = w[1 - j][1] * s + v
        w[j][1] = w[j][0] * 0.5
[w, first]

w = [[0.1, 0.2], [0.3, s]]
first = w[0]
for v in x:
    w[0], w[1] = w[1], w[0]
    w[0][1] = w[0][0] * v + w[1][1]
[w, first]

w = [[0.1, 0.2], [0.3, s]]
first = w[0]
for v in x:
    row = [w[1][0] * v, w[0][1] + w[1][1]]
    w[0], w[1] = row, row
[w, first]

h = [b * s for b in x]
for r in (h, x):
    r[0] = r[1] * s
for i, r in enumerate([r for r in (h, x) if len(r) > 2]):
    for j in range(4):
        r[j] = r[j + 1] * 0.5 + i
[h, x]

total = 0.0
for column in zip(*g):
    g[0][4] = column[0] * s
    total += column[0]
[total, g]

k, out = s, []
for v in (u * k for u in x):
    k = k * 0.5 + v
    out.append(v)
for v in map(lambda u: u * k, x):
    k = k * 0.5 + v
    out.append(v)
out

h, out = [b * s for b in x], []
for v in (h[i] * 2 for i in range(5)):
    h[3] = v * x[0]
    out.append(v)
for v in every_other(h):
    h[4] += v
[h, out]

out = []
for v in (layer.count(u) for u in x):
    out.append(v * layer.calls)
for v in (u * next(COUNTER) for u in x):
    out.append(v * next(COUNTER))
out

h = [b * s for b in x]
for b, c in zip(h, a):
    h[2] += tanh(b + c)
for b in h:
    h[-1] += b
h

h, total = [b * s for b in x][:2], s
for b, c in zip(h, x):
    h.append(b * c)
    total *= c
[h, total]

h, total = [b * s for b in x], s
for i, b in enumerate(h):
    if not i:
        h.append(sum(h) * s)
    total *= 0.5
total

h = [b * s for b in x]
for i, b in enumerate(h):
    if i == 1:
        h[4] = b * 2
    h[i] += b * a[i]
h

w = [[b * s for b in r] for r in g]
for r in w:
    w[2] = [b * r[0] for b in x]
w

w = [[b * s for b in r] for r in g]
for i, r in enumerate(w):
    if i == 1:
        w[3][0] = r[0] * 2
    r[i] += r[0] * a[i]
w

cube = [[[b * s for b in r] for r in g] for _ in range(2)]
front, row = cube[0], cube[1][2]
for i in range(5):
    for j in range(5):
        front[i][j] = cube[1][j][i] * x[j]
        row[j] += front[i][-1 - j]
[cube, front, row]

h, out = [b * s for b in x], []
def write(i, v):
    h[i] = h[i - 1] * 0.5 + v
for i in range(10):
    write(i % 5, x[i % 5])
    out.append(h[i // 2])
[h, out]

h, i = [0.0] * 3, 1
while i < len(h):
    if i == 1:
        h.append(s)
    h[i] += x[i - 1]
    i += 1
[h, 0.1 * i]

h = [0.0, s]
rows = [h] * 2
for j, b in enumerate(h):
    if 0 < j < 3:
        rows[2 - j].append(rows[-2][j - 1] + s)
h

for v in x:
    row = a
del row[2]
row

w = [[b * s for b in x] for _ in range(3)]
r = w[0]
for v in x:
    damp(w)
    r[0] += v
w

w = [[(lambda z: z * b)(v) for b in x] for v in a]
for i, r in enumerate(w):
    for v in list(x):
        r[1] = r[0] * v
w

for i in range(5):
    for r in g[::-1]:
        for b in r:
            r[0] += x[0] * i
g

h, total = [b * s for b in x], 0.5
rows = [h] * 2
for b in h:
    if total > 0.017:
        total = calm(max(rows[0][0] + 0.3 * b for b in h))
    rows[0][1] += calm(total * b)
[total, h]

out = []
for pair in map(tuple, zip(x, a)):
    out.append(pair[0] * s)
    out[0] = pair[1]
out

w, out = [[b * s for b in r] for r in g], []
for i, r in enumerate(w):
    w[i] = [s * b for b in x]
    r[1] = w[i][2]
    out.append(r[1] + r[2])
[w, out]

g.append([max([b * s, b], key=lambda c: c is g[0][0]) for b in g[0]])
for r in g:
    for j in range(5):
        r[j] = r[j] * 0.5
[g]

rows = [g[0], x, a]
total = 0.0
for i, r in enumerate(rows):
    if i == 0:
        x[1] = r[0] * s
    total += sum(r) * r[1]
[rows, total]
""".strip().split("\n\n")


@pytest.mark.parametrize("body", BODIES)
def test_loops_that_change_lists(body, tmp_path):
    *lines, result = body.splitlines()
    text = "\n    ".join(["def loss(p, x, g):", 's, a = p["s"], p["a"]', *lines, f"return everything([{result}])"])
    params = {"s": np.array(0.7), "a": RNG.uniform(-1.0, 1.0, 5)}
    x, g = RNG.uniform(-1.0, 1.0, (1, 5)), RNG.uniform(-1.0, 1.0, (1, 5, 5))
    expected, found = (outcome(PRELUDE + text, tmp_path, engine, params, x, g) for engine in ("scalar", "compiled"))
    assert not difference(expected, found)


# Which function is compiled


def test_lambdas_of_one_line_are_told_apart():
    functions = {"exp": lambda p, x: exp(x[0]), "log": lambda p, x: log(x[0] ** 2), "two": lambda p, x: x[0] * 2.0, "three": lambda p, x: x[0] * 3.0}  # noqa: E501  # fmt: skip
    for function in functions.values():
        compiled, scalar = (evaluate(function, engine, verify=False)(PARAMS, X) for engine in ("compiled", "scalar"))
        np.testing.assert_allclose(compiled, scalar, rtol=1e-12)


def test_lambdas_are_told_apart_by_their_comprehensions():
    both = [lambda p, x: sum([v * 2 for v in x]), lambda p, x: sum([v * 3 for v in x])]
    first, second = (evaluate(function, verify=False)(PARAMS, X) for function in both)
    np.testing.assert_allclose(first * 1.5, second, rtol=1e-12)


def test_a_function_with_a_class_has_axes():
    def loss(p, x):
        class Scaled:
            by = p["s"]

        return sum([v * Scaled.by for v in p["w"]])

    assert len(record_function(loss, {"s": (), "w": (1000,)}, [("x", "float", ())])) < 20


def test_who_asks_anew_gets_the_globals_of_now():
    class Scaled:
        by = 2.0

        def loss(self, p, x):
            return p["s"] * self.by * factor

    factor, scaled = 1.0, Scaled()
    before = value_and_grad(scaled.loss)
    assert before(PARAMS, X)[0] == pytest.approx(1.4)
    factor, scaled.by = 10.0, 3.0
    assert before(PARAMS, X)[0] == pytest.approx(1.4)  # as it was recorded
    assert value_and_grad(scaled.loss)(PARAMS, X)[0] == pytest.approx(21.0)
    assert evaluate(scaled.loss)(PARAMS, X)[0] == pytest.approx(21.0)


def test_evaluate_shares_the_recording_of_a_step():
    calls = []

    def loss(p, x):
        calls.append(1)
        return p["s"] * sum(x)

    step = value_and_grad(loss, verify=False)
    step(PARAMS, X)
    np.testing.assert_allclose(evaluate(step)(PARAMS, X), 0.7 * X.sum(1))
    assert len(calls) == 1
    np.testing.assert_allclose(evaluate(step, "scalar")(PARAMS, X), 0.7 * X.sum(1))


def scalars_of_gathered_lists(p, x, i):
    same = [x[1]] * 3
    rows = sum([[p["s"] * a, a] for a in same], [])
    return sum([b + 0.2 for a in same for b in rows if a is not b])


def scalars_twice_in_a_row(p, x, i):
    rows = [[a * p["s"]] * 2 for a in x]
    return sum([1.5 * a if rows[0][1] is a else a for a, _ in rows])


@functions(scalars_of_gathered_lists, scalars_twice_in_a_row)
def test_scalars_read_again_are_the_same_objects(function):
    assert_equal_engines(function, *ARGUMENTS)


class Held:
    def __init__(self, scalar):
        self.scalar = scalar


def in_lists_of_lists(p, x, i):
    rows, others = [[x[0] * x[1] for _ in range(3)] for _ in range(4)], 0
    rows[1][0] = x[0]
    for a in rows[2]:
        for b in rows[3]:
            if a is not b:
                others += 1
    return [others * x[0]]


def in_tuples(p, x, i):
    pairs = [(x[0] * x[1], x[1]) for _ in range(4)]
    return [(pairs[0][0] is pairs[1][0]) + 2 * (pairs[0][1] is pairs[1][1]) + sum(a is pairs[0][0] for a, _ in pairs)]


def in_objects(p, x, i):
    made = [Held(x[0] * x[1]) for _ in range(4)]
    return [x[0] * (made[0].scalar is made[1].scalar) + x[1] * (made[0].scalar is made[0].scalar)]


def in_lists_that_grow(p, x, i):
    rows = []
    for _ in range(4):
        made = x[0] * x[1]
        rows.append([made, made])
    return [(rows[0][0] is rows[0][1]) + 2 * (rows[0][0] is rows[1][0]) * x[0]]


def in_lists_that_are_filled(p, x, i):
    row = [0.0] * 4
    for j in range(4):
        row[j] = x[0] * x[1]
    return [x[0] * sum([row[j] is row[k] for j in range(4) for k in range(4)])]


def in_what_map_makes(p, x, i):
    row = list(map(lambda j: x[0] * x[1], range(4)))
    return [x[0] * (row[0] is row[1]), x[1] * len({id(one) for one in row})]


def of_plain_numbers(p, x, i):
    made = [[1.5 * len(x) for _ in range(3)] for _ in range(2)]
    return [x[0] * sum([a is b for a in made[0] for b in made[1]]), x[1] * (made[0][0] is made[0][0])]


def of_plain_numbers_in_a_state(p, x, i):
    state, others = [0.1] * 4, [0.1]
    for row in [x] * 8:
        state[1] += calm(state[2] * row[0])
    return [x[0] * (others[0] is state[0]), 2 * x[1] * sum(a is not state[2] for a in others), sum(state)]


def in_variables_that_a_loop_swaps(p, x, i):
    a, b = x[0], x[1]
    for _ in range(7):
        a, b = b, a
    return [p["s"] * (a is x[1]) + 2 * p["s"] * (b is x[0]) + 4 * (a is b)]


@functions(
    in_lists_of_lists, in_tuples, in_objects, in_lists_that_grow, in_lists_that_are_filled, in_what_map_makes,
    of_plain_numbers, of_plain_numbers_in_a_state, in_variables_that_a_loop_swaps,
)  # fmt: skip
def test_each_turn_makes_another_object_of_one_scalar(function):
    assert_equal_engines(lambda p, x, i: sum(function(p, x, i)) * p["s"], *ARGUMENTS)


def a_list_grows_by_what_holds_it(p, x):
    rows = [list(row) for row in p]
    last = {"row": rows[-1]}
    for _ in x:
        last["row"].append(calm(sum([sum(row) for row in rows])))
    pair = [[x[0]], [p[0][0]]]
    for z in x:
        pair[0].append(z * sum(sum(row) for row in pair))
    return sum(rows[-1]) + sum(pair[0])


def calm(x):
    return x * 0.5 + 0.1


def test_a_list_that_grows_by_what_holds_it():
    rng = np.random.default_rng(0)
    assert_equal_engines(a_list_grows_by_what_holds_it, rng.normal(size=(3, 4)), rng.normal(size=(2, 7)))


def neighbours_are_stored(p, x):
    row = [c * p[0] for c in x]
    for i in range(5):
        row[i] = x[i] * p[1]
        row[i + 1] = x[i] * p[0]
    halves = [c * p[1] for c in x]
    for i, c in enumerate(x):
        halves[(i + 1) // 2] = c * p[0]
    return sum(k * v for k, v in enumerate(row)) + sum(k * v for k, v in enumerate(halves))


def test_the_later_turn_has_the_last_word():
    rng = np.random.default_rng(0)
    assert_equal_engines(neighbours_are_stored, rng.normal(size=2), rng.normal(size=(2, 7)))
