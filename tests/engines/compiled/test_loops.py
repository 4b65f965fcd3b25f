"""The compiled engine computes and does what the scalar engine does, whatever loops a function is written in."""

import linecache
import operator
import traceback
import types
import warnings
from array import array
from bisect import insort
from collections import OrderedDict, deque, namedtuple
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial, reduce, singledispatch, wraps
from heapq import heappush
from inspect import currentframe
from io import StringIO
from itertools import chain, count, groupby, pairwise, product, zip_longest
from pathlib import Path
from random import Random

import numpy as np
import pytest
from helpers import assert_equal_engines
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loop_programs import PRELUDE, Writer, difference, load, module, numbers, outcome, smallest
from written_loops import (
    ARGUMENTS,
    CARRYING,
    COMPREHENSIONS,
    DECISIONS,
    ELEMENTS,
    GRID,
    INDICES,
    PARAMS,
    RAGGED,
    RAGGED_X,
    SEVERAL_LISTS,
    TABLE,
    TOKENS,
    Mean,
    X,
    loops_of,
    mix,
    weighted,
)

from microgpt.engines.engine import evaluate, value_and_grad
from microgpt.engines.trees import map_arrays
from microgpt.functions import dot, linear, softmax, tanh
from microgpt.value import log


@loops_of(*COMPREHENSIONS)
def test_comprehensions(function):
    assert_equal_engines(function, *ARGUMENTS)


@loops_of(*SEVERAL_LISTS)
def test_several_lists_at_once(function):
    assert_equal_engines(function, *ARGUMENTS)


@loops_of(*INDICES)
def test_indices(function):
    assert_equal_engines(function, *ARGUMENTS)


@loops_of(*DECISIONS)
def test_decisions(function):
    assert_equal_engines(function, *ARGUMENTS)


@loops_of(*ELEMENTS)
def test_elements(function):
    assert_equal_engines(function, *ARGUMENTS)


@loops_of(*CARRYING)
def test_loops_that_carry_something(function):
    assert_equal_engines(function, *ARGUMENTS)


# Names: what a variable refers to, and when


def shadowed(p, x, grid, tokens):
    a = p["s"]
    doubled = [a * 2 for a in x]
    return weighted(doubled) * a + sum(sum(a for a in row) * a[0] for row in grid for a in [row])


def shadowing_its_own_iterable(p, x, grid, tokens):
    x = [x * 2 for x in x]
    return weighted([x for x in [[x] for x in x] for x in x])


def a_loop_variable_lives_on(p, x, grid, tokens):
    for a in [b * 2 for b in x]:
        pass
    return a * p["s"]


def late_bound_lambdas(p, x, grid, tokens):
    late = [lambda y: y * a for a in x]
    early = [lambda y, a=a: y * a for a in x]
    return weighted([f(p["s"]) for f in late]) + weighted([f(p["s"]) for f in early])


def late_bound_functions(p, x, grid, tokens):
    functions = []
    for i, a in enumerate(x):

        def function(y):
            return y * a + i

        functions.append(function)
    return weighted([f(p["s"]) for f in functions])


def late_bound_indices(p, x, grid, tokens):
    return weighted([f() for f in [lambda: x[i] for i in range(4)]])


def a_generator_sees_later_changes(p, x, grid, tokens):
    factor, row = p["s"], list(x)
    generator = (a * factor for a in row)
    factor = 3.0
    row.append(p["c"][0])
    row = []
    return weighted(generator)


def a_generator_is_consumed_once(p, x, grid, tokens):
    generator = (tanh(a) for a in x)
    first = next(generator)
    return first * 2 + weighted(generator) + 10 * sum(generator) + next(generator, 5.0)


def an_iterator_shared_by_two(p, x, grid, tokens):
    iterator = iter(x)
    pairs = [a * b for a, b in zip(iterator, iterator)]
    other = iter(grid[0])
    return weighted(pairs) + sum(a * next(other) for a in other) + len(list(iterator))


def own_builtins(p, x, grid, tokens):
    def sum(items):
        return reduce(operator.mul, items)

    def zip(a, b):
        return [(b_i, 2.0) for b_i in b]

    def range(n):
        return [3, 0]

    def enumerate(items):
        return [(1, a) for a in items]

    len, list = (lambda items: 2), (lambda items: items[:1])
    y = weighted([a * b for a, b in zip(x, p["a"])]) + sum(a for a in x) + weighted([x[i] for i in range(5)])
    return y + weighted([x[i] * a for i, a in enumerate(x)]) + len(x) * weighted(list(x))


def builtins_as_arguments(p, x, grid, tokens, sum=max):
    return sum(len(row) for row in grid) * p["s"]


def a_class_body(p, x, grid, tokens):
    class Row:
        scale = p["s"]
        items = [a * 2 for a in x]
        total = sum(items) * scale

    return Row.total * weighted(Row.items)


def sees_its_own_names(p, x, grid, tokens):
    row = [a * 2 for a in x]
    return weighted(locals()["row"]) * len(TABLE) * ("dot" in globals())


@loops_of(
    shadowed, shadowing_its_own_iterable, a_loop_variable_lives_on, late_bound_lambdas, late_bound_functions,
    late_bound_indices, a_generator_sees_later_changes, a_generator_is_consumed_once, an_iterator_shared_by_two,
    own_builtins, builtins_as_arguments, a_class_body, sees_its_own_names,
)  # fmt: skip
def test_names(function):
    assert_equal_engines(function, *ARGUMENTS)


# Functions of all kinds, called from loops


def nested_functions(p, x, grid, tokens):
    def outer(row):
        def inner(a):
            return tanh(a * p["s"]) + row[0]

        return [inner(a) for a in row]

    return weighted([sum(outer(row)) for row in grid])


def lambdas(p, x, grid, tokens):
    square, total = (lambda a: a * a), lambda row: sum(a * p["s"] for a in row)
    return weighted([square(a) for a in x]) * total(x) * (lambda *row: sum(a + 1 for a in row))(*x)


def two_lambdas_in_a_line(p, x, grid, tokens):
    functions = {"a": lambda row: sum(a * 2 for a in row), "b": lambda row: sum(a * a for a in row)}
    return functions["b"](x) + 10 * functions["a"](p["a"])


def all_kinds_of_arguments(p, x, grid, tokens):
    rows = [
        [mix(a), mix(a, share=0.1), mix(a, p["s"], a, bias=a), mix(z=a, y=2.0), mix(*[a, a], **{"bias": a})] for a in x
    ]
    return weighted([weighted(row) for row in rows])


def defaults_are_evaluated_once(p, x, grid, tokens):
    def keep(a, kept=[]):
        kept.append(a)
        return sum(kept)

    return weighted([keep(a) for a in x])


def partials(p, x, grid, tokens):
    return weighted([partial(mix, share=0.25)(a) for a in x]) + weighted(map(partial(mix, p["s"], bias=1.0), x))


@dataclass
class Layer:
    weight: list
    bias: object = 0.0

    def __call__(self, row):
        return [self.apply(a, i) for i, a in enumerate(row)]

    def apply(self, a, i):
        return tanh(a * self.weight[i] + self.bias)

    @property
    def total(self):
        return sum(w * w for w in self.weight)

    @staticmethod
    def halves(row):
        return [a * 0.5 for a in row]

    @classmethod
    def of(cls, row):
        return cls([a + 1 for a in row])


class Deeper(Layer):
    def __call__(self, row):
        return [a * 2 for a in super().__call__(row)]


def objects(p, x, grid, tokens):
    layers = [Layer(p["a"], p["s"]), Deeper(p["b"]), Layer.of(p["a"])]
    row = x[:4]
    for layer in layers:
        row = layer(row)
    return (
        weighted(row)
        + sum(layer.total for layer in layers)
        + sum(Layer.halves(x))
        + sum(map(layers[0], [x[:4]] * 2), [])[0]
    )


class Hidden:
    def __init__(self, row):
        self.__row = row
        self.__calls = 0

    def __iter__(self):
        return (self.__scaled(a) for a in self.__row)

    def __scaled(self, a):
        self.__calls += 1
        return a * self.__calls

    def __len__(self):
        return 2

    def __getitem__(self, i):
        return self.__row[i + 1] * 3


def own_containers(p, x, grid, tokens):
    row = Hidden(x)
    total = weighted([a + 1 for a in row]) + weighted([row[i] * i for i in range(len(row))])
    return total + sum(a * b for a, b in zip(row, p["a"])) + sum(a for a in row)


class Odd(list):
    def __iter__(self):
        return (a * 5 for a in super().__iter__())

    def __getitem__(self, i):
        return super().__getitem__(i) if isinstance(i, slice) else super().__getitem__(-1 - i)


def own_lists(p, x, grid, tokens):
    row = Odd(x)
    return weighted([a * 2 for a in row]) + weighted([row[i] for i in range(3)]) + weighted(row[1:]) + sum(row)


def counted(function):
    @wraps(function)
    def wrapper(*arguments, **options):
        wrapper.calls += 1
        return function(*arguments, **options) * wrapper.calls

    wrapper.calls = 0
    return wrapper


def tripled(function):
    return wraps(function)(lambda *arguments: 3 * function(*arguments))


def decorated(p, x, grid, tokens):
    @counted
    def scaled(a):
        return sum(b * a for b in p["c"])

    @tripled
    @tripled
    def summed(row):
        return sum(a + 1 for a in row)

    return weighted([scaled(a) for a in x]) + summed(x) + weighted([summed(row) for row in grid]) * scaled.calls


@cache
def remembered(a):
    return a * a


def functions_that_remember(p, x, grid, tokens):
    return weighted([remembered(a) for a in p["a"] * 2]) * (remembered(p["a"][0]) is remembered(p["a"][0]))


@singledispatch
def kind(thing):
    return thing * 2


@kind.register
def _(thing: list):
    return sum(kind(entry) for entry in thing)


def functions_by_type(p, x, grid, tokens):
    return kind(grid) + weighted([kind(row) for row in [x, p["a"], p["s"]]])


def in_a_list_of_its_own(a, i):
    row = [a]
    row.append(a * a)
    row[0] = row[0] + i
    for _ in range(2):
        row.append(sum(row))
    return row.pop() + len(row)


def returned_early(a, i):
    if i == 0:
        return a
    for j in range(10):
        if j == i:
            return a * j
        a = a * 0.9
    return a


def guarded(a, i):
    assert i >= 0
    try:
        return a * TABLE[i + 3]
    except IndexError:
        return a * 0.5
    finally:
        i = 7


def functions_that_do_more_than_compute(p, x, grid, tokens):
    return sum(weighted([f(a, i) for i, a in enumerate(x)]) for f in (in_a_list_of_its_own, returned_early, guarded))


def recursive(row):
    return row[0] * 0.5 + recursive([a * 0.9 for a in row[1:]]) if row else 0


def tree(row):
    return tanh(row[0]) if len(row) == 1 else tree(row[: len(row) // 2]) + 0.5 * tree(row[len(row) // 2 :])


def recursion(p, x, grid, tokens):
    return recursive(x) + tree(p["a"]) + sum(tree(row) for row in grid)


def every_other(row, step=2):
    for i, a in enumerate(row):
        if i % step == 0:
            yield a * (i + 1)
    return "done"


def running(row):
    total = yield row[0]
    for a in row:
        received = yield total * a
        total = total + received
    yield from (a * total for a in row)


def generators(p, x, grid, tokens):
    first = running(x)
    sent = [next(first), first.send(p["s"]), first.send(2.0)]
    return weighted(every_other(x)) + sum(a * b for a, b in zip(every_other(x), every_other(p["a"]))) + weighted(sent)


def maps_and_filters(p, x, grid, tokens):
    kept = filter(lambda i: i % 2 == 0, range(5))
    return weighted(map(lambda a, b: a * b + p["s"], x, p["a"])) + weighted([x[i] for i in kept]) + sum(map(tanh, x))


def iterators(p, x, grid, tokens):
    chained = [a * p["s"] for a in chain(x, p["a"], *grid)]
    steps = [a - b for a, b in pairwise(chained)] + [a * b for a, b in product(x[:2], p["a"])]
    groups = [sum(x[i] for i in group) * key for key, group in groupby(range(5), lambda i: i // 2)]
    return weighted(steps) + weighted(groups) + sum(a * b for a, b in zip_longest(x, p["a"], fillvalue=0.5))


Pair = namedtuple("Pair", "first second")


def records(p, x, grid, tokens):
    pairs = [Pair(a, b) for a, b in zip(x, p["a"], strict=False)]
    entries = OrderedDict((f"h.{i}", {"w": a, "b": p["s"]}) for i, a in enumerate(p["a"]))
    total = sum(pair.first * second for pair, (_, second) in zip(pairs, pairs, strict=True))
    return total + weighted([entries[f"h.{i}"]["w"] * a + entries[f"h.{i}"]["b"] for i, a in enumerate(x[:4])])


@contextmanager
def scaled_by(factor):
    yield lambda row: [a * factor for a in row]


def contexts(p, x, grid, tokens):
    with scaled_by(p["s"]) as scale:
        return weighted(scale(x)) + sum(sum(scale(row)) for row in grid)


def arrays_of_objects(p, x, grid, tokens):
    matrix = np.array([[a * p["s"] for a in row] for row in grid], dtype=object)
    return weighted((matrix @ np.array(p["a"], dtype=object)).tolist()) + (matrix * matrix).sum()


def global_functions_and_maps(p, x, grid, tokens):
    hidden = [tanh(a) for a in linear(x[:4], p["m"], p["c"])]
    return weighted(linear(hidden, [list(row) for row in zip(*p["m"], strict=True)], p["a"])) + weighted(
        softmax(hidden)
    )


@loops_of(
    nested_functions, lambdas, two_lambdas_in_a_line, all_kinds_of_arguments, defaults_are_evaluated_once,
    partials, objects, own_containers, own_lists, decorated, functions_that_remember, functions_by_type,
    functions_that_do_more_than_compute, recursion,
    generators, maps_and_filters, iterators, records, contexts, arrays_of_objects, global_functions_and_maps,
)  # fmt: skip
def test_functions_called_from_loops(function):
    remembered.cache_clear()
    assert_equal_engines(function, *ARGUMENTS)


LOSSES = {
    "a partial": partial(lambda scale, p, x: sum(a * b for a, b in zip(x, p["a"], strict=False)) * scale, 3.0),
    "an object": types.SimpleNamespace(loss=lambda p, x: sum(a * p["s"] for a in x)).loss,
    "a callable object": type("Loss", (), {"__call__": lambda self, p, x: sum(a * p["s"] for a in x)})(),
    "a bound method": Mean(2.0).of_all,
    "a decorated function": tripled(lambda p, x: sum(a * p["s"] for a in x)),
    "a function of all arguments": lambda *arguments: sum(a * arguments[0]["s"] for a in arguments[1]),
    "a loop over the parameters": lambda p, x: sum(sum(p[name]) * x[0] for name in sorted(p) if name in "abc"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_any_callable_may_be_the_loss(name):
    assert_equal_engines(LOSSES[name], PARAMS, X)


RESULTS = {
    "a list": lambda p, x, grid: [a * p["s"] for a in x],
    "a matrix": lambda p, x, grid: [[a * b for b in p["c"]] for a in x],
    "a transpose": lambda p, x, grid: [list(column) for column in zip(*grid, strict=True)],
    "an input": lambda p, x, grid: grid[::-1],
    "a dict": lambda p, x, grid: {f"row {i}": [a * 2 for a in row] for i, row in enumerate(grid)},
    "a tuple": lambda p, x, grid: tuple(sum(row) for row in grid),
    "three axes": lambda p, x, grid: [[[a * b * c for a in x] for b in p["c"]] for c in grid[0]],
    "some of a list": lambda p, x, grid: [a * a for a in x][1:4:2],
    "the same twice": lambda p, x, grid: ([a * a for a in x],) * 2,
    "plain numbers among them": lambda p, x, grid: [a if i % 2 else i * 0.5 for i, a in enumerate(x)],
    "nothing": lambda p, x, grid: [a for a in x[9:]],
}


@pytest.mark.parametrize("name", RESULTS)
def test_results_of_loops_have_the_same_form(name):
    expected = evaluate(RESULTS[name], "scalar")(PARAMS, X, GRID)
    found = evaluate(RESULTS[name])(PARAMS, X, GRID)
    pairs = []
    map_arrays(lambda a, b: pairs.append((a, b)), {"": expected}, {"": found})
    assert type(found) is type(expected)
    for a, b in pairs:
        assert a.shape == b.shape
        np.testing.assert_allclose(b, a, rtol=1e-14)


# Functions without a source, or with one that is not theirs

SOURCE = """
def loss(p, x):
    rows = [[a * b for b in p["c"]] for a in x]
    total = sum(sum(row) * (i + 1) for i, row in enumerate(rows))
    return total + sum(f(a) for a, f in zip(x, [lambda y: y * p["s"], lambda y: y * y]))
"""


def executed(source, name="loss", filename="<string>"):
    names = {}
    exec(compile(source, filename, "exec"), names)
    return names[name]


def test_an_executed_function():
    assert_equal_engines(executed(SOURCE), PARAMS, X)


def test_an_evaluated_function():
    assert_equal_engines(eval("lambda p, x: sum([a * b for a, b in zip(x, p['a'])])"), PARAMS, X)


def test_a_function_built_from_code():
    original = executed(SOURCE)
    assert_equal_engines(types.FunctionType(original.__code__, {"sum": lambda items: list(items)[-1]}), PARAMS, X)


def test_a_function_built_from_the_code_of_another_with_other_closures_and_defaults():
    def make(scale):
        def loss(p, x, power=2):
            return sum(a**power * scale for a in x) * p["s"]

        return loss

    loss = make(2.0)
    other = types.FunctionType(loss.__code__, globals(), "other", (3,), make(-5.0).__closure__)
    assert_equal_engines(loss, PARAMS, X)
    assert_equal_engines(other, PARAMS, X)
    assert value_and_grad(loss)(PARAMS, X)[0] != value_and_grad(other)(PARAMS, X)[0]


def test_a_file_that_changed_after_it_was_imported(tmp_path):
    module = load(SOURCE, tmp_path)
    Path(module.__file__).write_text(SOURCE.replace("(i + 1)", "(i + 2)").replace("a * b", "a - b"))
    linecache.checkcache()
    assert_equal_engines(module.loss, PARAMS, X)


def test_a_file_that_is_gone(tmp_path):
    module = load(SOURCE, tmp_path)
    Path(module.__file__).unlink()
    linecache.checkcache()
    assert_equal_engines(module.loss, PARAMS, X)


def test_a_file_that_says_something_else(tmp_path):
    path = tmp_path / "other.py"
    path.write_text("def loss(p, x):\n    return sum(a * 2 for a in x)\n" * 3)
    assert_equal_engines(executed(SOURCE, filename=str(path)), PARAMS, X)


def test_a_wrapper_is_not_what_it_wraps():
    def inner(p, x):
        return sum(a * p["s"] for a in x)

    @wraps(inner)
    def outer(p, x):
        return sum(a * a * p["s"] for a in x)

    assert_equal_engines(outer, PARAMS, X)
    assert value_and_grad(outer)(PARAMS, X)[0] != value_and_grad(inner)(PARAMS, X)[0]


def test_a_function_patched_after_its_first_run(monkeypatch):
    def loss(p, x):
        return sum(mix(a, p["s"]) for a in x)

    assert_equal_engines(loss, PARAMS, X)
    monkeypatch.setitem(globals(), "mix", lambda a, b: a * a * b)

    def again(p, x):
        return sum(mix(a, p["s"]) for a in x)

    assert_equal_engines(again, PARAMS, X)


# Side effects: exactly as often, and in the same order


class Recorder:
    """What the functions below do besides computing."""

    def __init__(self):
        self.log, self.kept, self.count, self.numbers = [], [], 0, count()
        self.random, self.entries = Random(0), {}

    def note(self, a, i):
        self.log.append(i)
        return a


def appends(p, x, to):
    return weighted([to.log.append(i) or a * p["s"] for i, a in enumerate(x)])


def appends_in_a_called_function(p, x, to):
    return sum(to.note(a * p["s"], i) for i, a in enumerate(x)) + sum(to.note(a, "x") for a in x)


def appends_in_a_function_called_by_that(p, x, to):
    def scaled(row):
        return [to.note(a, len(row)) for a in row]

    return weighted([sum(scaled(x[: i + 1])) * p["s"] for i in range(5)])


def appends_elements(p, x, to):
    doubled = [to.kept.append(a * p["s"]) or a for a in x]
    return weighted(doubled) + weighted(to.kept) * len(to.kept)


def appends_in_nested_loops(p, x, to):
    return weighted([sum(to.note(a * b, (i, j)) for j, b in enumerate(p["c"])) for i, a in enumerate(x)])


def appends_in_the_inner_loop_only(p, x, to):
    return weighted([a * sum(to.note(1, i) for i in range(3)) for a in x]) + len(to.log) * p["s"]


def appends_at_the_last_element_only(p, x, to):
    return weighted([a * p["s"] if i < 4 else to.note(a, i) for i, a in enumerate(x)])


def appends_in_a_condition(p, x, to):
    return weighted([a * p["s"] for i, a in enumerate(x) if to.note(i % 2, i)])


def appends_in_the_iterable(p, x, to):
    return weighted([a * b for a in to.note(x, "x") for b in to.note(p["c"], "c")])


def appends_in_a_generator(p, x, to):
    def noted(row):
        for i, a in enumerate(row):
            to.log.append(("before", i))
            yield a * p["s"]
            to.log.append(("after", i))

    return sum(to.note(a, "body") for a in noted(x)) + next(noted(x)) + sum(a for a, _ in zip(noted(x), range(2)))


def generators_in_step(p, x, to):
    doubled = (to.note(a * 2, "double") for a in x)
    shifted = (to.note(a + p["s"], "shift") for a in doubled)
    to.log.append("nothing yet")
    return next(shifted) + sum(shifted)


def stops_early(p, x, to):
    found = any(to.note(i == 2, i) for i in range(5)), all(to.note(i < 1, -i) for i in range(5))
    first = next(to.note(a, "next") for a in x)
    return first * p["s"] * (1 + sum(found))


def assigns_items(p, x, to):
    row = [0.0] * 5
    [operator.setitem(row, i, a * p["s"]) for i, a in enumerate(x)]
    [row.__setitem__(0, row[0] + a) for a in x]
    return weighted(row)


def assigns_attributes(p, x, to):
    def scaled(a):
        to.count += 1
        return a * to.count * p["s"]

    return weighted([scaled(a) for a in x]) + to.count + sum(setattr(to, "count", i) or a for i, a in enumerate(x))


def assigns_entries(p, x, to):
    def kept(i, a):
        to.entries[i % 2] = to.entries.get(i % 2, 0) + a
        return to.entries[i % 2]

    return weighted([kept(i, a) * p["s"] for i, a in enumerate(x)]) + weighted(to.entries.values())


def assigns_slices(p, x, to):
    row = [0.0]

    def grow(a):
        row[:0] = [a, a * p["s"]]
        return len(row)

    return weighted([a * grow(a) for a in x]) + weighted(row)


def counts(p, x, to):
    number = 0

    def counted(a):
        nonlocal number
        number += 1
        return a * number

    return weighted([counted(a) for a in x]) * p["s"] + number


def counts_globally(p, x, to):
    global CALLS
    CALLS = 0

    def counted(a):
        global CALLS
        CALLS += 1
        return a * CALLS

    return weighted([counted(a) for a in x]) * p["s"] + CALLS


def takes_from_an_iterator(p, x, to):
    other = iter(p["a"])
    return weighted([a * next(to.numbers) + next(other, 0.5) for a in x]) + next(to.numbers) * p["s"]


def pops(p, x, to):
    stack = list(x)
    return weighted([a * stack.pop() for a in p["a"]]) + weighted(stack)


def sends(p, x, to):
    def means():
        total, n = 0, 0
        while True:
            total, n = total + (yield total / max(n, 1)), n + 1

    mean = means()
    next(mean)
    return weighted([mean.send(a * p["s"]) for a in x])


def draws(p, x, to):
    return weighted([a * p["s"] * to.random.random() for a in x]) + to.random.random()


def drops_out(p, x, to):
    return weighted([a * p["s"] * (to.random.random() < 0.5) for a in x]) + to.random.random()


def draws_with_numpy(p, x, to):
    rng = np.random.default_rng(0)
    return weighted([a * p["s"] * rng.normal() for a in x]) + rng.normal()


def prints(p, x, to):
    return weighted([print("at", i, end=";") or a * p["s"] for i, a in enumerate(x)]) + sum(p["c"])


def prints_in_a_function(p, x, to):
    def shown(a):
        print("seen")
        return a * a

    return sum(shown(a) for a in x) * sum(map(shown, p["c"]))


def looks_at_the_calls(p, x, to):
    def depth():
        to.log.append(currentframe().f_code.co_name)
        return 1.0

    return weighted([a * depth() for a in x]) * p["s"]


def makes_objects(p, x, to):
    class Node:
        made = 0

        def __init__(self, a):
            Node.made += 1
            self.a, self.i = a, Node.made

    return weighted([Node(a).a * Node.made for a in x]) + sum(node.i * node.a for node in [Node(a) for a in p["c"]])


def sorts(p, x, to):
    places = [2, 0, 1]

    def sort(a):
        places.sort(key=lambda i: (i * 2 + len(to.log)) % 3)
        to.log.append(tuple(places))
        return a * places[0]

    return weighted([sort(a) for a in x]) * p["s"]


def updates(p, x, to):
    seen, entries, queue = set(), {}, deque(maxlen=2)
    rows = [
        (seen.add(i % 2), entries.update({i: a}), queue.appendleft(a * p["s"])) and len(seen) * a
        for i, a in enumerate(x)
    ]
    return weighted(rows) + weighted(entries.values()) + weighted(queue)


def deletes(p, x, to):
    entries = {i: a * p["s"] for i, a in enumerate(x)}
    return weighted([entries.pop(i) * len(entries) for i in range(4)]) + entries.popitem()[1]


def closes_generators(p, x, to):
    def guarded(row):
        try:
            for a in row:
                to.log.append("open")
                yield a * p["s"]
        finally:
            to.log.append("closed")

    first = [next(guarded([a, a])) for a in x]
    to.log.append("between")
    generator = guarded(x)
    return weighted(first) + next(generator) + (generator.close() or p["s"]) + sum(a for a in guarded(x[:2]))


class Watched:
    def __init__(self, row, to):
        self.row, self.to = row, to

    def __getitem__(self, i):
        self.to.log.append(("item", i))
        return self.row[i]

    def __len__(self):
        self.to.log.append("length")
        return len(self.row)

    def __getattr__(self, name):
        self.to.log.append(name)
        return len(name)

    @property
    def first(self):
        self.to.log.append("property")
        return self.row[0]

    def __enter__(self):
        self.to.log.append("enter")
        return self.row

    def __exit__(self, *_):
        self.to.log.append("exit")


def watched_containers(p, x, to):
    row = Watched(x, to)
    total = weighted([row[i] * i for i in range(len(row))]) + weighted([a * 2 for a in row]) + dot(row, row)
    return total + sum(row.first * a for a in p["c"]) + sum(a * row.anything for a in p["c"]) + bool(row) * p["s"]


def watched_contexts(p, x, to):
    def entered(a):
        with Watched([a, p["s"]], to) as row:
            return sum(row)

    return weighted([entered(a) for a in x])


def extends_in_place(p, x, to):
    seen = []

    def keep(row, a):
        row += [a]
        row *= 1
        return len(row) * a

    return weighted([keep(seen, a * p["s"]) for a in x]) + weighted(seen)


def changes_its_elements(p, x, to):
    rows = [[a, p["s"]] for a in x]
    sums = [row.append(row[0] * 2) or sum(row) for row in rows]
    more = [[row.pop(0), row.extend(row[:1])][0] for row in rows]
    return weighted(sums) + weighted(more) + weighted([sum(row) * len(row) for row in rows])


def changes_an_array(p, x, to):
    found = np.zeros(3)

    def mark(a, i):
        found[i % 3] += i
        return a * found[i % 3]

    total = weighted([mark(a, i) for i, a in enumerate(x)]) * p["s"]
    to.log.append(found.tolist())
    return total


def changes_by_functions_in_c(p, x, to):
    heap, stream, places, numbers = [], StringIO(), [0, 1, 2, 3], array("d")

    def change(a, i):
        heappush(heap, -i)
        insort(places, i % 3)
        stream.write(str(i))
        numbers.append(i)
        to.random.shuffle(places)
        return a * places[0] * heap[0]

    total = weighted([change(a, i) for i, a in enumerate(x)]) * p["s"] + sum(p["c"])
    list(map(to.log.append, range(3)))
    to.log.extend(i * i for i in range(2))
    to.log += [heap, stream.getvalue(), places, numbers.tolist()]
    return total


def changes_by_reflection(p, x, to):
    def change(a, i):
        vars(to)["count"] = to.count + i
        globals()["CALLS"] = i
        exec("log.append('executed')", {"log": to.log})
        return a * eval("to.count", {"to": to})

    return weighted([change(a, i) for i, a in enumerate(x)]) * p["s"] + CALLS


def remembers_calls(p, x, to):
    @cache
    def noted(i):
        to.log.append(i)
        return i + 1

    return weighted([a * noted(i % 2) * noted(2) for i, a in enumerate(x)]) * p["s"]


def warns(p, x, to):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        total = weighted([a * p["s"] * (warnings.warn(f"at {i}", stacklevel=1) is None) for i, a in enumerate(x)])
    to.log += [str(warning.message) for warning in caught]
    return total


CALLS = 0
EFFECTS = [
    appends, appends_in_a_called_function, appends_in_a_function_called_by_that, appends_elements,
    appends_in_nested_loops, appends_in_the_inner_loop_only, appends_at_the_last_element_only, appends_in_a_condition,
    appends_in_the_iterable, appends_in_a_generator, generators_in_step, stops_early, assigns_items, assigns_attributes,
    assigns_entries, assigns_slices, counts, counts_globally, takes_from_an_iterator, pops, sends, draws, drops_out,
    draws_with_numpy, prints, prints_in_a_function, looks_at_the_calls, makes_objects, sorts, updates, deletes,
    closes_generators, watched_containers, watched_contexts, extends_in_place, changes_its_elements, changes_an_array,
    changes_by_functions_in_c, changes_by_reflection, remembers_calls, warns,
]  # fmt: skip


def done(function, engine, capsys, x=X[:1]):
    """What a function with side effects gives and does."""
    to = Recorder()
    loss, gradients = value_and_grad(lambda p, x: function(p, x, to), engine, verify=False)(PARAMS, x)
    left = to.count, len(to.kept), list(to.entries), next(to.numbers), to.random.random()
    return loss, gradients, (to.log, left, capsys.readouterr().out)


@loops_of(*EFFECTS)
def test_side_effects_happen_as_often_and_in_the_same_order(function, capsys):
    expected, expected_gradients, expected_traces = done(function, "scalar", capsys)
    found, gradients, traces = done(function, "compiled", capsys)
    assert traces == expected_traces
    assert found == pytest.approx(expected, rel=1e-12)
    for name in PARAMS:
        np.testing.assert_allclose(gradients[name], expected_gradients[name], atol=1e-12, rtol=1e-10)


# Errors


class ExpectedError(Exception):
    pass


def raises_at_the_third(p, x, to):
    def checked(a, i):
        if i == 2:
            raise ExpectedError(i)
        return to.note(a, i)

    return sum(checked(a, i) for i, a in enumerate(x)) * p["s"]


def an_index_too_large(p, x, to):
    return sum(to.note(x[i + 2], i) for i in range(5)) * p["s"]


def an_entry_that_is_not_there(p, x, to):
    return sum({0: a, 1: p["s"]}[to.note(i, i)] for i, a in enumerate(x))


def a_division_by_zero(p, x, to):
    return sum(a * (1 / to.note(3 - i, i)) for i, a in enumerate(x)) * p["s"]


def lists_of_different_lengths(p, x, to):
    return sum(to.note(a * b, 0) for a, b in zip(x, p["a"], strict=True))


def wrong_unpacking(p, x, to):
    return sum(a * b for a, b in [(p["s"], x[0]), (x[1], x[2], to.note(x[3], 0))])


def a_name_that_is_not_there(p, x, to):
    return sum(to.note(a, i) * missing if i == 3 else a for i, a in enumerate(x))


def an_attribute_that_is_not_there(p, x, to):
    return sum(to.note(a, 0).missing for a in x) * p["s"]


def not_a_number(p, x, to):
    return sum(to.note(a, i) * "two" for i, a in enumerate(x)) * p["s"]


def an_assertion(p, x, to):
    for i, a in enumerate(x):
        assert to.note(i, i) < 3, "too many"
    return p["s"]


def an_iterator_that_ends(p, x, to):
    other = iter(p["c"])
    return weighted([to.note(a, 0) * next(other) for a in x])


def an_iterator_that_ends_in_a_generator(p, x, to):
    other = iter(p["c"])
    return sum(to.note(a, 0) * next(other) for a in x)


def endless_recursion(p, x, to):
    def again(row):
        return sum(again([a]) for a in row)

    return again(x)


@loops_of(
    raises_at_the_third, an_index_too_large, an_entry_that_is_not_there, a_division_by_zero, lists_of_different_lengths,
    wrong_unpacking, a_name_that_is_not_there, an_attribute_that_is_not_there, not_a_number, an_assertion,
    an_iterator_that_ends, an_iterator_that_ends_in_a_generator, endless_recursion,
)  # fmt: skip
def test_errors_of_a_body_pass_through(function):
    caught = {}
    for engine in ("scalar", "compiled"):
        to = Recorder()
        with pytest.raises(Exception) as error:  # noqa: PT011
            value_and_grad(lambda p, x, to=to: function(p, x, to), engine, verify=False)(PARAMS, X[:1])
        caught[engine] = error, to.log
    (expected, expected_log), (found, log) = caught.values()
    assert issubclass(found.type, expected.type)
    assert log == expected_log
    lines = [(entry.filename, entry.lineno) for entry in traceback.extract_tb(found.tb)]
    last = [
        (entry.filename, entry.lineno) for entry in traceback.extract_tb(expected.tb) if entry.filename == __file__
    ][-1]
    assert last in lines


def test_errors_can_be_caught():
    def loss(p, x):
        kept = []
        try:
            kept += [a * TABLE[i + 2] for i, a in enumerate(x)]
        except IndexError:
            for i, a in enumerate(x):
                try:
                    kept.append(a * TABLE[i + 2])
                except IndexError:
                    kept.append(p["s"])
                finally:
                    kept.append(a)
        return weighted(kept)

    assert_equal_engines(loss, PARAMS, X)


def line_of(text):
    """The only line of this file that has this text and is marked with `# here`."""
    with open(__file__, encoding="utf-8") as file:
        (line,) = [n for n, line in enumerate(file, 1) if text in line and line.rstrip().endswith("# here")]
    return line


def decides(p, x):
    rows = [[a * b for b in p["c"]] for a in x]
    return sum([a if a else b for a, b in rows])  # here


def decides_in_a_function(p, x):
    def positive(a):
        y = a * p["s"]
        return y if bool(y) else 0.0  # here

    return sum(positive(a) for a in x)


def decides_on_several_lines(p, x):
    return sum(
        a * p["s"] * float(a * 3)  # here
        for a in x
    )


def decides_in_a_for_statement(p, x):
    total = 0
    for a in x:
        total = total + a
        if total and p["s"]:  # here
            total = total * 2
    return total


def takes_the_maximum(p, x):
    return sum(a * max(a, p["s"]) for a in x)  # here


def sorts_elements(p, x):
    return sum(a * p["s"] for a in sorted([a * 4 for a in x]))  # here


def counts_by_an_element(p, x):
    return sum(p["s"] for a in x for _ in range(a))  # here


def takes_an_absolute_value(p, x):
    return weighted([p["s"] * abs(a + 1) for a in x])  # here


RECORDING_ERRORS = {
    decides: "a if a else b",
    decides_in_a_function: "bool(y)",
    decides_on_several_lines: "float(a * 3)",
    decides_in_a_for_statement: "total and",
    takes_the_maximum: "max(a, p",
    sorts_elements: "sorted([a * 4",
    counts_by_an_element: "range(a)",
    takes_an_absolute_value: "abs(a + 1)",
}


@loops_of(*RECORDING_ERRORS)
def test_what_cannot_be_recorded_in_a_loop_is_refused_at_its_line(function):
    inputs = X[:, :2] if function is decides else X
    params = PARAMS | {"c": PARAMS["c"][:2]}
    with pytest.raises(TypeError) as caught:
        value_and_grad(function)(params, inputs)
    assert f"test_loops.py:{line_of(RECORDING_ERRORS[function])}" in str(caught.value)


def test_an_integer_used_as_a_number_in_a_loop_is_refused_at_its_line():
    def loss(p, tokens):
        return sum(p["a"][i] * (token + 7) for i, token in enumerate(tokens))  # here

    with pytest.raises(TypeError) as caught:
        value_and_grad(loss)(PARAMS, TOKENS)
    assert "the integer tokens[0] was used as a number" in str(caught.value)
    assert f"test_loops.py:{line_of('(token + 7)')}" in str(caught.value)


def test_an_integer_out_of_range_in_a_loop_is_named():
    with pytest.raises(IndexError, match=r"tokens\[2\] is 9 in row 1"):
        value_and_grad(lambda p, tokens: sum(p["a"][token] for token in tokens))(
            PARAMS, np.array([[0, 1, 2], [3, 3, 9]])
        )


UNDEFINED = {
    "one element": lambda p, x: sum(log(a) for a in x) * p,
    "one power": lambda p, x: sum((a * p) ** 0.5 for a in x),
}


@pytest.mark.parametrize("name", UNDEFINED)
def test_what_is_undefined_at_one_element_is_not_finite(name):
    params, x = np.array(0.5), np.array([[1.0, 2.0, -3.0]])
    with pytest.raises(ValueError, match=r"log|\*\*|domain"):
        value_and_grad(UNDEFINED[name], "scalar")(params, x)
    mean_loss, gradient = value_and_grad(UNDEFINED[name])(params, x)
    assert not (np.isfinite(mean_loss) and np.isfinite(gradient))


def test_what_no_round_of_a_loop_computes_is_not_undefined():
    assert_equal_engines(lambda p, x: sum(log(a) for i, a in enumerate(x) if i < 2) * p, np.array(0.5), X**2 + 0.1)
    assert_equal_engines(lambda p, x: p + sum(log(x[i] - 5) for i in range(0)), np.array(0.5), X)
    assert_equal_engines(lambda p, x: sum(log(x[j]) for i in range(4) for j in range(i)) * p, np.array(0.5),
                         np.array([[1.0, 2.0, 3.0, -1.0]]))  # fmt: skip


@loops_of(*RAGGED)
def test_what_a_ragged_loop_leaves_out_may_be_undefined(function):
    assert_equal_engines(function, np.array(0.5), RAGGED_X)


# Generated programs


def assert_same(writer, seed, batch, directory):
    """A program does the same on both engines; if not, the fewest of its statements that show it are shown."""
    arguments = numbers(seed, batch)

    def differs(statements):
        expected = outcome(module(statements), directory, "scalar", *arguments)
        return difference(expected, outcome(module(statements), directory, "compiled", *arguments))

    statements = writer.statements()
    if differs(statements):
        fewest = smallest(statements, differs)
        pytest.fail(f"{differs(fewest)}\n{module(fewest)[len(PRELUDE) :]}")


generated = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
seeds = st.integers(0, 2**32 - 1)


@generated
@given(seeds)
def test_random_loops(tmp_path, seed):
    assert_same(Writer(Random(seed)), seed, 2, tmp_path)


@pytest.mark.slow
@generated
@given(seeds)
def test_random_loops_without_source(seed):
    assert_same(Writer(Random(seed)), seed, 2, None)


@pytest.mark.slow
@generated
@given(seeds, st.booleans())
def test_random_loops_with_side_effects(tmp_path, seed, has_source):
    assert_same(Writer(Random(seed), effects=True), seed, 1, tmp_path if has_source else None)


@pytest.mark.slow
@generated
@given(seeds, st.booleans())
def test_random_loops_that_may_fail(tmp_path, seed, effects):
    assert_same(Writer(Random(seed), effects, failing=True), seed, 1, tmp_path)
