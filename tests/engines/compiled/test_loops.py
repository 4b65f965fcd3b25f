"""The compiled engine computes and does what the scalar engine does, whatever loops a function is written in."""

import linecache
import operator
import re
import sys
import traceback
import types
import warnings
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
from helpers import assert_equal_engines, functions
from programs import RAGGED, RAGGED_X
from random_programs import PRELUDE, load

from microgpt.engines.compiled import recording
from microgpt.engines.compiled.recording import record_function
from microgpt.engines.engine import evaluate, value_and_grad
from microgpt.engines.trees import map_arrays
from microgpt.functions import attention, tanh
from microgpt.value import largest, log

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
    """Their sum with the weights 1, 2, 3, ..."""
    total, weight = 0, 1
    for scalar in scalars:
        total = total + weight * scalar
        weight += 1
    return total


def mix(y, z=0.5, *others, share=0.3, **options):
    return y * (1 - share) + z * share + sum(others) + options.get("bias", 0)


# Of p, x [5], g [3, 4] and t [3]; s, u, v, w, m and q are parameters: a scalar, [4], [4], [3], [4, 3] and [3, 3].
EXPRESSIONS = """
[weighted([tanh(a * b) for b in w]) for a in x]
[b + s for b in [a * a for a in [exp(a) for a in x]]]
[tanh(b) * r[0] for r in g for b in r[1:]] + [a * b for a in x for b in u]
[sum(a * b for b in r) * r[0] for a, r in zip(u, m, strict=True)]
[sum((a * a for a in x), s), sum([], s), sum(x, start=2), sum(tanh(a) for a in x[:1]), sum([s])]
sum([[a, a * s] for a in x], [])
[s * (1 + sum(a * a for a in x[5:])) + len([a for a in x[5:]]) + sum(())]
tuple(a * s for a in x) + tuple(dict(enumerate(x)).values())
[prod(1 + a * 0.5 for a in u), prod([b * b for b in x], start=s)]
[a * 2 for a in x] + [a * a for a in u] + x + [1.5] + [s] * 3
[s * sum([i * 0.5 for i in range(4)]) + sum(0.25 for _ in range(3)), sum(s for _ in range(3))] + [s * w[0] for _ in x]
[a * b - c for a, b, c in zip(u, v, g[0], strict=True)] + [a * b + c for (a, b), c in zip(zip(u, v), x)]
[a * b for a, b in zip(w, x)] + [len([a for a, _ in zip(x, g)]) + s] + [a * b for a, b in zip(x[:0], u)]
[a * b for a, b in zip(x, x)] + [a * b for a, b in zip(x[1:], x[:-1])] + [x[i] * a for i, a in zip(range(1, 5), u)]
[dot(c, u) for c in zip(*m, strict=True)] + [tanh(sum(r)) for r in [list(r) for r in zip(*zip(*g))]]
[sum(column) for column in zip(*[x, u, w])] + [tanh(a) for r in [[dot(r, c) for c in zip(*m)] for r in g] for a in r]
[a * i + x[i] for i, a in enumerate(u)] + [a * x[i] for i, a in enumerate(x[:3], 2)]
[a * b * (i + 1) for i, (a, b) in enumerate(zip(x, u))]
[a * rest[-1] for a, *rest in g] + [*x, *[a * 2 for a in u]]
[x[i] * x[i - 1] for i in range(5)] + [x[i] - x[i + 1] for i in range(4)]
[x[-i] * u[i] for i in range(4)] + [x[-i - 1] for i in range(5)]
[x[4 - i] * a for i, a in enumerate(u)] + [x[i] for i in range(4, -1, -1)]
[x[i] for i in range(0, 5, 2)] + [u[2 * i] * x[i] for i in range(2)]
[sum(u[h * 2 + j] * x[j + h] for j in range(2)) for h in range(2)]
[g[i][j] * m[j][i] for i in range(3) for j in range(4)] + [sum(m[j][i] * u[j] for j in range(4)) for i in range(3)]
[q[i][i] for i in range(3)] + [q[i][2 - i] for i in range(3)]
[sum(r) for r in [[q[i][j] * x[j] for j in range(i + 1)] for i in range(3)]]
[sum(x[i + j] * w[j] for j in range(3)) for i in range(len(x) - 2)]
[x[i] * u[[3, 0, 2, 2][i]] for i in [3, 0, 2, 2]]
[x[(3 * i + 1) % 5] * x[i // 2] * x[min(i, 2)] * x[divmod(i, 2)[1]] for i in range(5)]
[a * i + i / 3 - i**2 + sin(i) * a + TABLE[i] for i, a in enumerate(x)]
[a**i for i, a in enumerate(x)] + [(1 + s**2) ** (i / 2) for i in range(3)]
[exp(0.1 * i) * a * exp(-sqrt(i)) for i, a in enumerate(x)]
[x[sum(1 for i in range(5) if i % 2)] * x[len([a for a in x]) - 1] * x[max(i % 3 for i in range(5))]]
[a * (i > 2) for i, a in enumerate(x)] + [sum(i == 3 for i in range(5)) * x[True]]
x[1:] + x[:-1] + x[::2] + x[::-1] + x[-3:] + x[-2::-1] + x[1:4:2] + x[3:1] + x[-100:100] + x[4:0:-2] + x[slice(1, 3)]
[a * s for r in (x[1:], x[::-1], x[4:0:-2], x[3:1]) for a in r] + [a * b for a, b in zip(x[::2], x[-2::-1])]
[dot(u[h * 2 : (h + 1) * 2], x[:2]) for h in range(2)] + [sum(x[: i + 1]) for i in range(5)]
[sum(x[i : i + 4 : 2]) for i in range(2)]
[tanh(a) for r in [pick(m, i) for i in t] for a in r] + [sum(pick(x, i) * u[i] for i in t)]
[pick([tanh(a * s) for a in u], t[0]) * sum(u[i] for i in t[1:])]
[a * largest([a, s, 0.1]) for a in x] + [largest(r) * r[0] for r in g] + [largest([a * a for a in x]) * s]
softmax([a * b for a, b in zip(x, u)])[:2] + [s for _ in zip()]
[a if i % 2 else b * b for i, (a, b) in enumerate(zip(x, u))]
[a * i for i, a in enumerate(x) if i % 2 if i < 4] + [s * len([i for i in range(9) if i not in (2, 5)])]
[a for r in [x, [], u, x[:1]] if len(r) > 1 for a in r] + [s * len(g) * len(g[0]) * bool(x)]
[s * (any(i == 3 for i in range(5)) + 2 * all(len(r) == 4 for r in g) + 4 * any(r is x for r in g))]
[x[i] for i in sorted(range(5), key=lambda i: -i * i % 3)] + [x[min((abs(i - 2) for i in range(5)), default=3)]]
sorted(x, key=lambda a: {id(a): -i for i, a in enumerate(x)}[id(a)])
[a * b for a in u for b in u if a is not b] + [sum(a is u[2] for a in u) * s]
[s * sum(1 + (a is b) for d in [[a * 2 for a in x]] for a in d for b in d)]
[s * sum(len({id(a) for a in d}) for d in [[tanh(a) for a in x]])]
[x[{id(a): i for i, a in enumerate(d)}[id(a)]] * a for d in [[a * s for a in u]] for a in reversed(d)]
[s * sum(isinstance(d, list) + 2 * isinstance(d[0], (list, tuple)) for d in [[a * 2 for a in x]])]
[a * float(f"{i:02d}/{len(r)}"[1]) for i, (a, r) in enumerate(zip(x, g))] + [s * bool(f"{x[0]}{x[1]!r:>5}")]
[a * x[1] + tanh(a * s) for a in [x[0], 1.5, 2, s, True, np.float64(0.5)]]
[0.5 if a is None else a * 2 for a in [x[0], None, s, None]]
[sum(r) if isinstance(r, list) else w[0] for r in [x, s, [s, x[0]]]]
[(a if b > 0.3 else a * a) * round(b) + sin(b) * int(b * 4) for a, b in zip(x, TABLE)]
[x[i] * g[i][j] + m[j][i] * (i - j) for i, j in [(0, 1), (2, 3), (1, 1)]]
[sum(p[name]) * x[0] + len(p[name]) for name in "abc"]
[a * b for a, b in zip(x, np.array([0.5, -1.0]))] + [x[i] * i for i in np.arange(4)] + [sum(np.ones(3)) * s]
[dot(d["w"], d["w"]) * d["k"] for d in [{"w": r, "k": i + 1.0} for i, r in enumerate(g)]]
[f(a) for f, a in zip([tanh, exp, lambda a: a * a, partial(mix, share=0.5)], x)]
[(lambda a, b, *rest: a * b + sum(rest))(*r) + dot(r[:2], (r + r)[-2:]) for r in g]
[(([a for a in x] == x) + 2 * ([r for r in g] == g) + 8 * (x[0] in x) + x.index(x[0])) * s]
[*accumulate(x, lambda total, a: tanh(total + a)), *accumulate(u, operator.mul)]
[reduce(lambda total, a: total * 0.5 + a, x, s), reduce(operator.add, [a * a for a in x])]
[(half := a * 0.5) * half + s for a in x] + [half]
""".strip().splitlines()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions(expression, tmp_path):
    names = 's, u, v, w, m, q = p["s"], p["a"], p["b"], p["c"], p["m"], p["q"]'
    loss = f"def loss(p, x, g, t):\n    {names}\n    return weighted({expression})\n"
    program = load(f"{PRELUDE}import numpy as np\nfrom math import prod, sin\n{loss}", tmp_path)
    vars(program).update(weighted=weighted, TABLE=TABLE)
    assert_equal_engines(program.loss, *ARGUMENTS)


# Loops that carry something from one turn to the next


def a_growing_cache(p, x, grid, tokens):
    keys, values, outputs = [], [], []
    for row in grid:
        keys.append([a * p["s"] for a in row])
        values.append([a + b for a, b in zip(row, p["b"], strict=True)])
        outputs += attention(row, keys, values)
        outputs += attention(row[2:], [key[2:] for key in keys], [value[:2] for value in values])
    return weighted(outputs)


def a_growing_list_that_begins_elsewhere(p, x, grid, tokens):
    cache, total = [], 0
    for t in range(3):
        cache.append(x[t] * p["s"])
        row = grid[0][: t + 1] if t else [row[0] for row in grid][:1]
        total = total + sum([a * b for a, b in zip(cache, row)]) * (t + 1)
    return total


def a_while_loop(p, x, grid, tokens):
    total, i = p["s"], 4
    while len(rest := x[i - 3 :]) > 2:
        total, i = tanh(total + x[i - 1]), i + 1
    return total * len(rest)


def a_list_that_shrinks_under_its_loop(p, x, grid, tokens):
    rest = [p["s"], *x]
    return weighted([a * rest.pop() for a in rest])


def a_comprehension_that_carries(p, x, grid, tokens):
    total, seen = p["s"], [p["s"]]
    row = [seen.append(seen[-1] * 0.5 + a) or seen[-1] for a in x]
    return weighted(row) + sum(seen) + weighted([total := tanh(total + a) for a in x]) + total


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


# Names: what a variable refers to, and when
def shadowed(p, x, grid, tokens):
    a = p["s"]
    doubled = [a * 2 for a in x]
    x = [x * 2 for x in x]
    for b in [a * 2 for a in x]:
        pass
    nested = [x for x in [[x] for x in x] for x in x]
    return weighted(doubled) * a + sum(sum(a for a in row) * a[0] for row in grid for a in [row]) + weighted(nested) * b


def late_bound_functions(p, x, grid, tokens):
    late, functions = [lambda y: y * a for a in x], []
    early = [lambda y, a=a: y * a for a in x]
    for i, a in enumerate(x):

        def function(y):
            return y * a + i

        functions.append(function)
    return weighted([f(p["s"]) for f in late + early + functions]) + weighted(
        [f() for f in [lambda: x[i] for i in (0, 1)]]
    )


def iterators_are_used_up(p, x, grid, tokens):
    generator, iterator, other = (tanh(a) for a in x), iter(x), iter(grid[0])
    first = next(generator)
    pairs = [a * b for a, b in zip(iterator, iterator)]
    total = first * 2 + weighted(generator) + 10 * sum(generator) + next(generator, 5.0)
    return total + weighted(pairs) + sum(a * next(other) for a in other) + len(list(iterator))


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


def a_class_body(p, x, grid, tokens, sum=sum):
    class Row:
        scale = p["s"]
        items = [a * 2 for a in x]
        total = sum(items) * scale

    return Row.total * weighted(Row.items)


def sees_its_own_names(p, x, grid, tokens):
    row = [a * 2 for a in x]
    return weighted(locals()["row"]) * len(TABLE) * ("dot" in globals())


# Functions of all kinds, called from loops


def lambdas(p, x, grid, tokens):
    functions = {"a": lambda row: sum(a * 2 for a in row), "b": lambda row: sum(a * a for a in row)}
    return functions["b"](x) + 10 * functions["a"](p["a"]) + (lambda *row: sum(a + 1 for a in row))(*x)


def all_kinds_of_arguments(p, x, grid, tokens):
    def keep(a, kept=[]):
        kept.append(a)
        return sum(kept)

    rows = [
        [mix(a), mix(a, share=0.1), mix(a, p["s"], a, bias=a), mix(z=a, y=2.0), mix(*[a, a], **{"bias": a}), keep(a)]
        for a in x
    ]
    return weighted([weighted(row) for row in rows]) + weighted(map(partial(mix, p["s"], bias=1.0), x))


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
    layers, row = [Layer(p["a"], p["s"]), Deeper(p["b"]), Layer.of(p["a"])], x[:4]
    for layer in layers:
        row = layer(row)
    return weighted(row) + sum(a.total for a in layers) + sum(Layer.halves(x)) + sum(map(layers[0], [row] * 2), [])[0]


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


class Odd(list):
    def __iter__(self):
        return (a * 5 for a in super().__iter__())

    def __getitem__(self, i):
        return super().__getitem__(i) if isinstance(i, slice) else super().__getitem__(-1 - i)


def own_containers(p, x, grid, tokens):
    row, odd = Hidden(x), Odd(x)
    total = weighted([a + 1 for a in row]) + weighted([row[i] * i for i in range(len(row))])
    total += sum(a * b for a, b in zip(row, p["a"])) + weighted([a * 2 for a in odd])
    return total + weighted([odd[i] for i in range(3)]) + weighted(odd[1:]) + sum(odd)


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

    @cache
    def remembered(a):
        return a * a

    total = weighted([scaled(a) for a in x]) + summed(x) + weighted([summed(row) for row in grid]) * scaled.calls
    return total + weighted([remembered(a) for a in p["a"] * 2]) * (remembered(x[0]) is remembered(x[0]))


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


def tree(row):
    return tanh(row[0]) if len(row) == 1 else tree(row[: len(row) // 2]) + 0.5 * tree(row[len(row) // 2 :])


def recursion(p, x, grid, tokens):
    return tree(p["a"]) + sum(tree(row) for row in grid)


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


def iterators(p, x, grid, tokens):
    chained = [a * p["s"] for a in chain(x, p["a"], *grid)]
    steps = [a - b for a, b in pairwise(chained)] + [a * b for a, b in product(x[:2], p["a"])]
    groups = [sum(x[i] for i in group) * key for key, group in groupby(range(5), lambda i: i // 2)]
    mapped = weighted(map(lambda a, b: a * b + p["s"], x, p["a"])) + sum(
        x[i] for i in filter(lambda i: i % 2, range(5))
    )
    return weighted(steps) + weighted(groups) + mapped + sum(a * b for a, b in zip_longest(x, p["a"], fillvalue=0.5))


Pair = namedtuple("Pair", "first second")


@contextmanager
def scaled_by(factor):
    yield lambda row: [a * factor for a in row]


def records(p, x, grid, tokens):
    pairs = [Pair(a, b) for a, b in zip(x, p["a"], strict=False)]
    entries = OrderedDict((f"h.{i}", {"w": a, "b": p["s"]}) for i, a in enumerate(p["a"]))
    total = sum(pair.first * second for pair, (_, second) in zip(pairs, pairs, strict=True))
    with scaled_by(p["s"]) as scale:
        return total + weighted([entries[f"h.{i}"]["w"] * a for i, a in enumerate(x[:4])]) + weighted(scale(x))


@functions(
    a_growing_cache, a_growing_list_that_begins_elsewhere, a_while_loop, a_list_that_shrinks_under_its_loop,
    a_comprehension_that_carries, a_match_statement, shadowed, late_bound_functions, iterators_are_used_up,
    own_builtins, a_class_body, sees_its_own_names, lambdas, all_kinds_of_arguments, objects, own_containers,
    decorated, functions_by_type, functions_that_do_more_than_compute, recursion, generators, iterators, records,
)  # fmt: skip
def test_functions(function):
    assert_equal_engines(function, *ARGUMENTS)


LOSSES = {
    "a partial": partial(lambda scale, p, x: sum(a * b for a, b in zip(x, p["a"], strict=False)) * scale, 3.0),
    "an object": types.SimpleNamespace(loss=lambda p, x: sum(a * p["s"] for a in x)).loss,
    "a callable object": type("Loss", (), {"__call__": lambda self, p, x: sum(a * p["s"] for a in x)})(),
    "a bound method": type("Loss", (), {"of": lambda self, p, x: sum(a * p["s"] for a in x)})().of,
    "a decorated function": tripled(lambda p, x: sum(a * p["s"] for a in x)),
    "a function of all arguments": lambda *arguments: sum(a * arguments[0]["s"] for a in arguments[1]),
    "a loop over the parameters": lambda p, x: sum(sum(p[name]) * x[0] for name in sorted(p) if name in "abc"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_any_callable_may_be_the_loss(name):
    assert_equal_engines(LOSSES[name], PARAMS, X)


RESULTS = {
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


def test_a_function_without_a_source():
    assert_equal_engines(executed(SOURCE), PARAMS, X)
    assert_equal_engines(eval("lambda p, x: sum([a * b for a, b in zip(x, p['a'])])"), PARAMS, X)
    code = executed(SOURCE).__code__
    assert_equal_engines(types.FunctionType(code, {"sum": lambda items: list(items)[-1]}), PARAMS, X)


def test_slow_recording_without_a_source_is_told_once(monkeypatch, capsys):
    monkeypatch.setattr(recording.SOURCES, "told", False)
    monkeypatch.setattr(recording, "PATIENCE", 1000.0)
    value_and_grad(executed(SOURCE))(PARAMS, X)
    assert capsys.readouterr().err == ""  # it was fast
    monkeypatch.setattr(recording, "PATIENCE", -1.0)
    value_and_grad(lambda p, x: sum(a * p["s"] for a in x))(PARAMS, X)
    assert capsys.readouterr().err == ""  # it has a source
    helper = executed("def scaled(row, s):\n    return [a * s for a in row]", "scaled")
    for _ in range(2):
        value_and_grad(lambda p, x: weighted(helper(x, p["s"])))(PARAMS, X)
    told = r"note: recording took \d+ s, because scaled has no source, so that loops run turn by turn"
    assert re.fullmatch(told + ": put it into a file\n", capsys.readouterr().err)


def test_code_of_another_function_with_other_closures():
    def make(scale):
        def loss(p, x, power=2):
            return sum(a**power * scale for a in x) * p["s"]

        return loss

    loss = make(2.0)
    other = types.FunctionType(loss.__code__, globals(), "other", (3,), make(-5.0).__closure__)
    assert_equal_engines(loss, PARAMS, X)
    assert_equal_engines(other, PARAMS, X)
    assert value_and_grad(loss)(PARAMS, X)[0] != value_and_grad(other)(PARAMS, X)[0]


def test_a_file_that_changed_after_its_import(tmp_path):
    module = load(SOURCE, tmp_path)
    Path(module.__file__).write_text(SOURCE.replace("(i + 1)", "(i + 2)").replace("a * b", "a - b"))
    linecache.checkcache()
    assert_equal_engines(module.loss, PARAMS, X)
    Path(module.__file__).unlink()
    linecache.checkcache()
    assert_equal_engines(load(SOURCE, None).loss, PARAMS, X)
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
    assert_equal_engines(lambda p, x: sum(mix(a, p["s"]) for a in x), PARAMS, X)


# Bodies that change something outside of themselves run in Python: as often, and in the same order


class Traces:
    """What the bodies below change."""

    def __init__(self):
        self.log, self.kept, self.count, self.numbers = [], [], 0, count(1)
        self.random, self.rng, self.entries, self.array = Random(0), np.random.default_rng(0), {}, np.zeros(3)
        self.stack, self.queue, self.places, self.seen = list(range(20)), deque(maxlen=2), [2, 0, 1], set()
        self.heap, self.stream, self.mean = [], StringIO(), means()
        next(self.mean)

    def note(self, a, i):
        self.log.append(i)
        return a

    def __getattr__(self, name):
        self.log.append(name)
        return len(name)

    @property
    def first(self):
        self.log.append("property")
        return 2.0

    def left(self):
        """All that one can see afterwards."""
        seen = (self.log, self.count, len(self.kept), list(self.entries), next(self.numbers), self.random.random())
        lists = (self.stack, len(self.queue), self.places, sorted(self.seen), self.heap, self.array.tolist())
        return *seen, *lists, self.stream.getvalue(), self.rng.normal()


def means():
    total, n = 0, 0
    while True:
        total, n = total + (yield total / max(n, 1)), n + 1


class Node:
    made = 0

    def __init__(self, a):
        Node.made += 1
        self.a, self.i = a, Node.made


def assigns_attributes(a, i, p, to):
    to.count += i
    return a * to.count


def assigns_slices(a, i, p, to):
    to.kept[:0] = [a, a * p["s"]]
    to.entries[i % 2] = a
    del to.stack[0]
    return a * len(to.kept)


def extends_in_place(a, i, p, to):
    kept = to.kept
    kept += [a]
    kept *= 1
    return a * len(kept)


def counts_globally(a, i, p, to):
    global CALLS
    CALLS = i if i == 0 else CALLS + 1
    return a * CALLS


def sorts(a, i, p, to):
    to.places.sort(key=lambda k: (k * 2 + i) % 3)
    return a * to.places[0]


def changes_by_functions_in_c(a, i, p, to):
    heappush(to.heap, -i)
    insort(to.places, i % 3)
    to.stream.write(str(i))
    to.random.shuffle(to.places)
    return a * to.places[0] * to.heap[0]


def changes_by_reflection(a, i, p, to):
    vars(to)["count"] = to.count + i
    exec("log.append('executed')", {"log": to.log})
    return a * eval("to.count", {"to": to})


def looks_at_the_calls(a, i, p, to):
    to.log.append(currentframe().f_code.co_name)
    return a


def warns(a, i, p, to):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.warn(f"at {i}", stacklevel=1)
    return to.note(a, str(caught[0].message))


CALLS = 0
CHANGING = (
    assigns_attributes, assigns_slices, extends_in_place, counts_globally, sorts, changes_by_functions_in_c,
    changes_by_reflection, looks_at_the_calls, warns,
)  # fmt: skip
BODIES = {
    "append": lambda a, i, p, to: to.log.append(i) or a,
    "append an element": lambda a, i, p, to: to.kept.append(a * p["s"]) or sum(to.kept),
    "a function that appends": lambda a, i, p, to: to.note(a * p["s"], i),
    "an inner loop that appends": lambda a, i, p, to: sum(to.note(a * b, (i, j)) for j, b in enumerate(p["c"])),
    "append at the last alone": lambda a, i, p, to: a if i < 4 else to.note(a, i),
    "setattr": lambda a, i, p, to: setattr(to, "count", i) or a * to.count,
    "setitem": lambda a, i, p, to: operator.setitem(to.entries, i % 2, a) or to.entries[i % 2],
    "next": lambda a, i, p, to: a * next(to.numbers),
    "pop": lambda a, i, p, to: a * to.stack.pop(),
    "popitem": lambda a, i, p, to: to.entries.update({i: a}) or to.entries.popitem()[1],
    "send": lambda a, i, p, to: to.mean.send(a * p["s"]),
    "random": lambda a, i, p, to: a * to.random.random() * (to.rng.normal() < 0.5),
    "print": lambda a, i, p, to: print("at", i, end=";") or a,
    "an array": lambda a, i, p, to: a * np.add.at(to.array, i % 3, i) if i > 9 else a * (to.array.sort() is None),
    "a set and a queue": lambda a, i, p, to: (to.seen.add(i % 2), to.queue.appendleft(a)) and len(to.seen) * a,
    "objects": lambda a, i, p, to: Node(a).i * a,
    "a property": lambda a, i, p, to: a * to.first,
    "__getattr__": lambda a, i, p, to: a * to.anything,
    "map": lambda a, i, p, to: a * len(list(map(to.log.append, range(3)))),
    "stops early": lambda a, i, p, to: a * any(to.note(j == 2, j) for j in range(5)),
}
BODIES |= {function.__name__: function for function in CHANGING}


def done(function, engine, capsys):
    """What a function gives and changes."""
    to, Node.made = Traces(), 0
    loss, gradients = value_and_grad(lambda p, x: function(p, x, to), engine, verify=False)(PARAMS, X[:1])
    return loss, gradients, (to.left(), Node.made, capsys.readouterr().out)


def assert_same_changes(function, capsys):
    expected, expected_gradients, expected_traces = done(function, "scalar", capsys)
    found, gradients, traces = done(function, "compiled", capsys)
    assert traces == expected_traces
    assert found == pytest.approx(expected, rel=1e-12)
    for name in PARAMS:
        np.testing.assert_allclose(gradients[name], expected_gradients[name], atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("name", BODIES)
def test_side_effects_happen_as_often_as_in_python(name, capsys):
    body = BODIES[name]

    def loss(p, x, to):
        total = weighted([body(a, i, p, to) for i, a in enumerate(x)]) + sum(body(a, 0, p, to) for a in x) * p["s"]
        for i, a in enumerate(x):
            total += body(a, i, p, to) * i
        return total

    assert_same_changes(loss, capsys)


def generators_in_step(p, x, to):
    doubled = (to.note(a * 2, "double") for a in x)
    shifted = (to.note(a + p["s"], "shift") for a in doubled)
    to.log.append("nothing yet")
    return next(shifted) + sum(shifted)


def closed_generators(p, x, to):
    def guarded(row):
        try:
            for a in row:
                to.log.append("open")
                yield to.note(a, "body") * p["s"]
        finally:
            to.log.append("closed")

    first = [next(guarded([a, a])) for a in x]
    to.log.append("between")
    generator = guarded(x)
    return weighted(first) + next(generator) + (generator.close() or p["s"]) + sum(a for a, _ in zip(guarded(x), "ab"))


def remembered_calls(p, x, to):
    @cache
    def noted(i):
        return to.note(i + 1, i)

    row = [0.0] * 5
    [operator.setitem(row, i, a * noted(i % 2)) for i, a in enumerate(x) if to.note(i % 2, i)]
    return weighted(row) * p["s"] + sum(a * b for a in to.note(x, "x") for b in to.note(p["c"], "c"))


def changed_elements(p, x, to):
    rows = [[a, p["s"]] for a in x]
    sums = [row.append(row[0] * 2) or sum(row) for row in rows]
    more = [[row.pop(0), row.extend(row[:1])][0] for row in rows]
    return weighted(sums) + weighted(more) + weighted([sum(row) * len(row) for row in rows])


@functions(generators_in_step, closed_generators, remembered_calls, changed_elements)
def test_side_effects_happen_in_the_same_order(function, capsys):
    assert_same_changes(function, capsys)


def given_back(a, b):
    pair = (a, [b, a])
    return pair[1][0] * pair[0] if isinstance(pair, tuple) and b is not None else a


AN_AXIS = {
    "a function": lambda p, x: sum([mix(a, p["s"], a, share=0.2, bias=a) for a in x]),
    "lists of its own": lambda p, x: sum([given_back(a, p["s"]) * len([a, a]) for a in x]),
    "an index": lambda p, x: sum([x[i] * x[len(x) - 1 - i] * p["s"] for i in range(len(x))]),
    "an inner loop": lambda p, x: sum([sum(tanh(a * b) for b in x) for a in x]) * p["s"],
    "keys of plain numbers": lambda p, x: sum([a * {"k": 2.0}.get("k") * max(1, 2) * p["s"] for a in x]),
    "map": lambda p, x: sum(map(tanh, x)) * p["s"],
    "numbers among scalars": lambda p, x: sum([tanh(a * p["s"]) for a in [x[0], 0.5] * 15]),
    "a choice": lambda p, x: sum([a * (a > 0) * largest([a, p["s"]]) for a in x]),
    "zip and enumerate": lambda p, x: sum([a * b * p["s"] for _, (a, b) in enumerate(zip(x, reversed(x)))]),
}


@pytest.mark.parametrize("name", AN_AXIS)
def test_a_body_that_only_computes_is_an_axis(name):
    assert len(record_function(AN_AXIS[name], {"s": ()}, [("x", "float", (1000,))])) < 60


# Errors


class ExpectedError(Exception):
    pass


def raised(i):
    if i == 2:
        raise ExpectedError(i)
    return 1.0


def endless(row):
    return sum(endless([a]) for a in row)


def an_iterator_that_ends(p, x, to):
    other = iter(p["c"])
    return weighted([to.note(a, 0) * next(other) for a in x])


def an_iterator_that_ends_in_a_generator(p, x, to):
    other = iter(p["c"])
    return sum(to.note(a, 0) * next(other) for a in x)


def an_assertion(p, x, to):
    for i, _ in enumerate(x):
        assert to.note(i, i) < 3, "too many"
    return p["s"]


ERRORS = {
    "raise": lambda p, x, to: sum(to.note(a * raised(i), i) for i, a in enumerate(x)) * p["s"],
    "an index too large": lambda p, x, to: sum(to.note(x[i + 2], i) for i in range(5)) * p["s"],
    "no such entry": lambda p, x, to: sum({0: a, 1: p["s"]}[to.note(i, i)] for i, a in enumerate(x)),
    "a division by zero": lambda p, x, to: sum(a * (1 / to.note(3 - i, i)) for i, a in enumerate(x)) * p["s"],
    "other lengths": lambda p, x, to: sum(to.note(a * b, 0) for a, b in zip(x, p["a"], strict=True)),
    "unpacking": lambda p, x, to: sum(a * b for a, b in [(p["s"], x[0]), (x[1], x[2], to.note(x[3], 0))]),
    "no such name": lambda p, x, to: sum(to.note(a, i) * missing if i == 3 else a for i, a in enumerate(x)),
    "no such attribute": lambda p, x, to: sum(to.note(a, 0).missing for a in x) * p["s"],
    "not a number": lambda p, x, to: sum(to.note(a, i) * "two" for i, a in enumerate(x)) * p["s"],
    **{f.__name__: f for f in (an_assertion, an_iterator_that_ends, an_iterator_that_ends_in_a_generator)},
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_of_a_body_pass_through(name):
    caught = {}
    for engine in ("scalar", "compiled"):
        to = Traces()
        with pytest.raises(Exception) as error:  # noqa: PT011
            value_and_grad(lambda p, x, to=to: ERRORS[name](p, x, to), engine, verify=False)(PARAMS, X[:1])
        caught[engine] = error, to.log
    (expected, expected_log), (found, log) = caught.values()
    assert issubclass(found.type, expected.type)
    assert log == expected_log
    lines = [(entry.filename, entry.lineno) for entry in traceback.extract_tb(found.tb)]
    last = [
        (entry.filename, entry.lineno) for entry in traceback.extract_tb(expected.tb) if entry.filename == __file__
    ][-1]
    assert last in lines


@pytest.mark.slow
def test_endless_recursion_ends():
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(300)  # the deeper it goes, the longer each call takes
    try:
        with pytest.raises(RecursionError):
            value_and_grad(lambda p, x: endless(x))(PARAMS, X)
    finally:
        sys.setrecursionlimit(limit)


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


def on_several_lines(p, x):
    return sum(
        a * p["s"] * float(a * 3)  # here
        for a in x
    )


def in_a_statement(p, x):
    total = 0
    for a in x:
        if total and p["s"]:  # here
            total = total * 2
        total = total + a
    return total


REFUSED = {
    "a decision": lambda p, x: sum([a if a else b for a, b in zip(x, p["a"])]),
    "a function": lambda p, x: sum((lambda y: y if bool(y) else 0.0)(a * p["s"]) for a in x),
    "a maximum by a key": lambda p, x: sum(a * max(a, p["s"], key=lambda b: b * b) for a in x),
    "sorted": lambda p, x: sum(a * p["s"] for a in sorted([a * 4 for a in x])),
    "a count": lambda p, x: sum(p["s"] for a in x for _ in range(a)),
    "an absolute value": lambda p, x: weighted([p["s"] * abs(a + p["s"]) for a in x]),
    **{function.__name__: function for function in (on_several_lines, in_a_statement)},
}


@pytest.mark.parametrize("name", REFUSED)
def test_unrecordable_loops_are_refused_at_their_line(name):
    lines, first = linecache.getlines(__file__), REFUSED[name].__code__.co_firstlineno
    line = next((first + i for i in range(6) if lines[first - 1 + i].rstrip().endswith("# here")), first)
    with pytest.raises(TypeError, match=rf"test_loops\.py:{line}\b"):
        value_and_grad(REFUSED[name])(PARAMS, X)


def test_an_integer_used_as_a_number_is_refused():
    with pytest.raises(TypeError, match=r"the integer tokens\[0\] was used as a number at test_loops\.py"):
        value_and_grad(lambda p, tokens: sum(p["a"][i] * (t + 7) for i, t in enumerate(tokens)))(PARAMS, TOKENS)


def test_a_loop_names_an_integer_out_of_range():
    with pytest.raises(IndexError, match=r"tokens\[2\] is 9 in row 1"):
        value_and_grad(lambda p, tokens: sum(p["a"][token] for token in tokens))(
            PARAMS, np.array([[0, 1, 2], [3, 3, 9]])
        )


UNDEFINED = {
    "one element": lambda p, x: sum(log(a) for a in x) * p,
    "one power": lambda p, x: sum((a * p) ** 0.5 for a in x),
}


@pytest.mark.parametrize("name", UNDEFINED)
def test_one_undefined_element_is_not_finite(name):
    params, x = np.array(0.5), np.array([[1.0, 2.0, -3.0]])
    with pytest.raises(ValueError, match=r"log|\*\*|domain"):
        value_and_grad(UNDEFINED[name], "scalar")(params, x)
    mean_loss, gradient = value_and_grad(UNDEFINED[name])(params, x)
    assert not (np.isfinite(mean_loss) and np.isfinite(gradient))


def test_what_no_turn_computes_is_not_undefined():
    assert_equal_engines(lambda p, x: sum(log(a) for i, a in enumerate(x) if i < 2) * p, np.array(0.5), X**2 + 0.1)
    assert_equal_engines(lambda p, x: p + sum(log(x[i] - 5) for i in range(0)), np.array(0.5), X)
    assert_equal_engines(lambda p, x: sum(log(x[j]) for i in range(4) for j in range(i)) * p, np.array(0.5),
                         np.array([[1.0, 2.0, 3.0, -1.0]]))  # fmt: skip


@pytest.mark.parametrize("name", RAGGED)
def test_ragged_loops_compute_nothing_they_leave_out(name):
    assert_equal_engines(RAGGED[name], np.array(0.5), RAGGED_X)


def test_lengths_that_grow_in_two_ways_are_parted():
    def weighted(tree):
        if isinstance(tree, list):
            return sum([weighted(branch) * (1 + 0.17 * i) for i, branch in enumerate(tree)])
        return tree * (1 + 0.1 * tree * tree) ** -0.5

    def loss(p, x, m):
        columns = [list(column) for column in zip(*m)]
        return weighted([columns, [*m, m[3]], [p, [p], [p], [[p]]], x, m])

    assert_equal_engines(loss, np.array(0.5), np.full((2, 4), 0.3), np.random.default_rng(0).normal(size=(2, 4, 2)))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_sums_up_to_an_index_begin_with_none(n):
    def loss(p, x):
        seen, total = [], 0
        for v in x:
            total += (v + sum(seen) * p) ** 2
            seen.append(v)
        return total + sum([(v + sum(x[h] for h in range(i)) - sum(x[:i]) * p) ** 2 for i, v in enumerate(x)])

    assert_equal_engines(loss, np.array(0.5), np.random.default_rng(0).normal(size=(2, n)))
