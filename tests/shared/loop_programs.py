"""Functions of scalars at random, as source text: loops, nested and mixed, in all the ways in which people write them.

`module(Writer(random).statements())` is the text of a module with a function `loss(p, x, grid, tokens)`. It is put
together from the templates below. In them a capital letter stands for something chosen at random:

    U V W   a list of scalars: a name, or again one of these expressions
    M N     a list of such lists, which may be ragged
    S T     the name of a scalar
    P Q     a list that is not empty
    G       a rectangular matrix that is not empty
    K       a small integer
    Z       a scalar's name, to be used again for something else
    E(...)  an expression of what stands in it; i, j, k and h are integers, all else are scalars
    BODY    some statements, NEW the name of the result

Everything stays between about -10 and 10, and no logarithm or power is undefined.
"""

import io
import re
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from textwrap import indent
from types import ModuleType
from typing import Any
from zlib import crc32

import numpy as np
from helpers import leaves

from microgpt.engines.engine import value_and_grad

PRELUDE = '''\
"""A program made at random."""
import itertools
import operator
import random
from collections import deque, namedtuple
from dataclasses import dataclass
from functools import cache, partial, reduce, wraps
from itertools import accumulate, chain, cycle, islice, pairwise, product, repeat, starmap, zip_longest
from math import prod, sqrt

from microgpt.functions import attention, cross_entropy, dot, gelu, layer_norm, linear, softmax, tanh
from microgpt.value import exp, largest, log, pick

LOG = []
COUNTER = itertools.count(1)
RANDOM = random.Random(0)
TABLE = [0.5, -1.25, 0.75, 1.0]
Pair = namedtuple("Pair", "first second")


class Failure(Exception):
    pass


def calm(z):
    return z * (1 + 0.1 * z * z) ** -0.5


def mix(y, z=0.5, *others, share=0.3, **options):
    return y * (1 - share) + z * share + sum(others) * 0.1


def twice(function):
    @wraps(function)
    def both(*arguments, **options):
        return function(function(*arguments, **options), **options)

    return both


@twice
def damped(z, rate=0.9):
    return z * rate + 0.1


@cache
def power(n):
    return 1 if n == 0 else 2 * power(n - 1)


mostly = partial(mix, share=0.1)
flip = lambda z: 0.2 - z  # noqa: E731


@dataclass
class Layer:
    scale: float = 0.8
    calls: int = 0

    def __call__(self, z):
        return z * self.scale + 0.05

    def squash(self, row):
        return [tanh(z * self.scale) for z in row]

    def count(self, z):
        self.calls += 1
        return z * (0.5 + 0.1 * (self.calls % 3))


layer = Layer()


def fold(row):
    return calm(row[0] + 0.5 * fold(row[1:])) if row else 0.0


def every_other(row):
    for i, z in enumerate(row):
        if i % 2 == 0:
            yield z


def running(row):
    total = 0
    for z in row:
        total = calm(total + z)
        yield total
    return total


def flat(result):
    if isinstance(result, (list, tuple)):
        return sum(flat(entry) * (1 + 0.1 * (i % 3)) for i, entry in enumerate(result)) * 0.3
    return result


def note(z, i):
    LOG.append(i)
    return z


def counted(z):
    return z * (0.5 + 0.2 * (next(COUNTER) % 3))


def shaken(z):
    return z * RANDOM.random()


def shouted(z, i):
    print("at", i)
    return z


def fail(z, i):
    if i == 2:
        raise Failure(i)
    return z


'''

# Expressions of the scalars A and B, which grow at most by a little; and of a plain integer I, too.
FORMS = """
A
-A
A + 0.2
1 - A
A - 0.3 * B
0.5 * (A + B)
0.2 * A * B
calm(A * B)
calm(2 * A - B)
calm(A**3)
tanh(A * B)
tanh(A)
gelu(A)
exp(-(A**2))
exp(tanh(A))
log(1 + A**2)
A / (1 + B**2)
(1 + A**2) ** -0.5
A * largest([A, B, 0.5]) * 0.3
mix(A, B)
mix(B, z=A)
mix(*[A, B], 0.5)
mix(A, **{"z": B})
mostly(A, B)
damped(A)
flip(A)
layer(A)
(lambda z: z * tanh(z))(A)
sum([A, B]) * 0.5
sum(z * 0.3 for z in (A, B))
calm(sum(E(c, A) for c in U))
calm(dot([A, B], [B, S]))
max([A, B], key=lambda z: z is A)
operator.mul(A, 0.5)
Pair(A, B).second * 0.9
""".strip().splitlines()
INTEGER_FORMS = """
A if I == 0 else B
A if I % 2 else 0.5 * B
A if I in (0, 3) else S
A * (1 + I % 3) * 0.3
A * (I / 8)
A * TABLE[I % 4]
A + 0.1 * I
calm(A ** (I % 3 + 1))
A * sqrt(1 + I) * 0.4
A / (1 + I)
calm(A * power(I % 4))
pick([A, B], I % 2)
[A, B, S][I % 3]
{0: A, 1: B}.get(I, S)
0.5 * A + 0.3 * P[I % len(P)]
calm(A * P[-1 - I % len(P)])
A - 0.2 * P[I % len(P) - 1]
0.5 * A + 0.3 * G[I % len(G)][-1]
calm(A + sum(P[:I]))
calm(A + sum(P[j] for j in range(I % (len(P) + 1))))
A * len(f"{I:03d}") * 0.3
A * bool(I) + 0.1 * B
A * (0.5 if isinstance(I, int) else 1.5)
A * min(I, 2) * 0.4
A * (0.3 * (I // 2) % 1 + 0.1 * divmod(I, 3)[1])
""".strip().splitlines()
KEEPING_FORMS = ["keep(A)", "keep(A) * 0.5 + 0.3 * B", "calm(A + keep(B))"]
EFFECTS = """
note(A, len(LOG))
note(A, repr(A) > "")
note(A, isinstance(A, (list, str)))
counted(A)
shaken(A)
layer.count(A)
A * next(COUNTER) ** -1
A * len(LOG) ** 0.1
(LOG.append(0), A)[1]
""".strip().splitlines()
INTEGER_EFFECTS = ["note(A, I)", "shouted(A, I)", "calm(counted(A) + 0.1 * I)", "(LOG.append(-I) or A)"]
INTEGER_FAILURES = ["fail(A, I)", "A * TABLE[I]", "A * (1 / (3 - I))", "A * {0: 1.0, 1: 0.5, 2: 0.3}[I]", "P[I]"]

LISTS = """
[E(a) for a in U]
[E(a, b) for a, b in zip(U, V)]
[E(a, b) for a, b in zip(P, P[::-1], strict=True)]
[E(a, b, c) for a, b, c in zip(U, V, W)]
[E(a, S) for a in U]
[E(Z) for Z in U]
[E(a, i) for i, a in enumerate(U)]
[E(a, i) for i, a in enumerate(U, K)]
[E(a, b, i) for i, (a, b) in enumerate(zip(U, V))]
[E(a, b) for a in U for b in V][:5]
[E(a) for a in reversed(U)]
[E(P[i], i) for i in range(len(P))]
[E(P[i], P[i - 1], i) for i in range(len(P))]
[E(P[-i - 1]) for i in range(len(P))]
[E(P[len(P) - 1 - i], S) for i in range(len(P))]
[E(P[i]) for i in range(len(P) - 1, -1, -1)]
[E(P[i], i) for i in range(0, len(P), 2)]
[E(P[i], P[i + 1]) for i in range(len(P) - 1)]
[E(P[i // 2], Q[i % len(Q)]) for i in range(2 * len(P))][:6]
[E(P[(2 * i + K) % len(P)]) for i in range(4)]
[calm(sum(P[h * (len(P) // 2) + j] * Q[j % len(Q)] for j in range(len(P) // 2))) for h in range(2)]
[calm(sum(G[i][j] * P[j % len(P)] for j in range(len(G[i])))) for i in range(len(G))]
[calm(sum(G[i][j] for i in range(len(G)))) for j in range(len(G[0]))]
[E(G[j][i], i) for i in range(len(G[0])) for j in range(len(G))][:6]
[E(G[i][i], i) for i in range(min(len(G), len(G[0])))]
[calm(sum(P[j] for j in range(min(i, len(P))))) for i in range(4)]
[calm(sum(a * b for a, b in zip(P[: i + 1], Q))) for i in range(len(P))]
[P[i] for i in [len(P) - 1, 0, K % len(P)]]
U[K:]
U[:K]
U[-K:]
U[::2]
U[::-1]
U[1:] + U[:1]
(U + V)[:5]
list(U)
[*U, S][:5]
[S, *U][:5]
[S] * K
tuple(U)
list(reversed(U))
[sum(row) * 0.3 for row in M]
[calm(sum(a * b for a, b in zip(row, U))) for row in M]
[calm(sum(column)) for column in zip(*M)]
[calm(dot(column, column)) for column in zip(*G, strict=True)]
[calm(sum(E(a, b) for b in U)) for a in V]
[calm(sum([E(a, b, i) for i, b in enumerate(U)])) for a in V]
[E(a) for row in M for a in row][:6]
[E(a, i) for i, row in enumerate(M) for a in row][:6]
[E(first, a) for first, *rest in G for a in rest][:6]
[E(row[0], row[-1]) for row in G]
[E(a, i) for i, a in enumerate(U) if i % 2 == 0]
[E(a) for i, a in enumerate(U) if i != K]
[E(a, b) for a in U for b in V if a is not b][:6]
[E(a) for row in M if len(row) > K for a in row][:6]
[E(a) if i == 0 else E(a, S) for i, a in enumerate(U)]
[E(a, i, j) for i in range(3) for j, a in enumerate(U) if i <= j][:6]
[E(a) for _, a in zip(range(K), U)]
[E(S, i) for i in range(K)]
list(map(calm, U))
list(map(lambda a: E(a), U))
list(map(lambda a, b: E(a, b), U, V))
list(map(operator.mul, U, repeat(0.5)))
[P[i] for i in filter(lambda i: i % 2, range(len(P)))]
list(accumulate(U, lambda a, b: calm(a + b)))
[E(a, b) for a, b in pairwise(U)]
[E(a) for a in chain(U, V)][:6]
[E(a) for a in chain.from_iterable(M)][:6]
[E(a) for a in islice(cycle(P), 5)]
[E(a, b) for a, b in product(U, V)][:6]
[E(a, b) for a, b in zip_longest(U, V, fillvalue=0.5)]
list(starmap(mix, zip(U, V)))
[f(a) for a in U for f in (tanh, calm, gelu)][:6]
[f(S) for f in [lambda z: calm(z * a) for a in U]]
[f() for f in [lambda a=a: E(a, S) for a in U]]
[f() for f in [partial(mix, a, share=0.2) for a in U]]
list({i: E(a, i) for i, a in enumerate(U)}.values())
[d[i] for d in [dict(enumerate(P))] for i in sorted(d, reverse=True)]
[E(P[i]) for i in sorted(range(len(P)), key=lambda i: -i * i % 3)]
[P[i] for i in {P[j]: j for j in range(len(P))}.values()]
list(E(a) for a in U)
list(tuple(E(a, S) for a in U))
list(every_other(U))
[E(a) for a in running(U)]
layer.squash(U)
[E(a) for a in softmax(P)]
softmax([E(P[i], i) for i in range(len(P))])
layer_norm(P, P, P[::-1])
linear(p["a"], p["g"], p["c"])
attention(p["c"], p["g"], p["g"])
attention(p["c"], [[E(a) for a in row] for row in p["g"]], [[E(a, S) for a in row] for row in p["g"]])
[pick(p["a"], t) * 0.5 for t in tokens]
[E(a) for t in tokens for a in p["g"][t]][:6]
[E(sum(pick(p["g"], t))) for t in tokens]
[calm(sum(a * b for a, b in zip(pick(p["g"], t), row))) for t, row in zip(tokens, M)]
sum([[E(a), a] for a in U], [])[:5]
[pair.first * 0.5 + pair.second * 0.2 for pair in map(Pair, U, V)]
[d["a"] * 0.5 + d["i"] * 0.1 for d in [{"a": a, "i": i} for i, a in enumerate(U)]]
[E(a) for a in deque(U, maxlen=3)]
[E(a, b) for b, a in [(b, a) for a, b in zip(U, V)]]
""".strip().splitlines()
MATRICES = """
[[E(a, b) for b in U] for a in V]
[[E(a) for a in row] for row in M]
[[E(a, b) for a, b in zip(row, U)] for row in M]
[[E(a, i, j) for j, a in enumerate(row)] for i, row in enumerate(M)]
[[E(a, b) for a, b in zip(row, column)] for row, column in zip(M, zip(*N))]
[list(column) for column in zip(*M)]
[[E(a) for a in column] for column in zip(*M)]
list(zip(U, V))
list(map(list, zip(*M)))
[U, V]
[U, *M][:4]
M[::-1]
M[K:]
[row[:K] for row in M]
[row[::-1] for row in M]
[U[: i + 1] for i in range(len(U))]
[[E(P[j % len(P)], i) for j in range(i)] for i in range(4)]
[[E(G[i][j], j) for i in range(len(G))] for j in range(len(G[0]))]
[[E(a, S) for a in row if a is not row[0]] for row in M]
[P[h * 2 : (h + 1) * 2] for h in range(3)]
[softmax(row) for row in G]
[[E(a)] * 2 for a in U]
[U] * 2
[tuple(E(a, i) for a in row) for i, row in enumerate(M)]
[layer.squash(row) for row in M]
[pick(p["g"], t) for t in tokens]
[[calm(dot(row, column)) for column in zip(*[row[::-1] for row in zip(*G)])] for row in zip(*zip(*G))]
""".strip().splitlines()
SCALARS = """
E(S, T)
calm(sum(U))
calm(sum(E(a) for a in U))
calm(sum(E(a, i) for i, a in enumerate(U)))
calm(sum(a * b for a, b in zip(U, V)))
calm(sum(sum(row) for row in M))
calm(sum(E(a) for row in M for a in row))
calm(sum(U, S))
calm(prod(U, start=S))
calm(reduce(lambda a, b: calm(a + b), U, S))
sum(U) / (1 + len(U))
S * len([E(a) for a in U]) * 0.2
S * sum(1 for a in U if a is not S) * 0.2
S * 0.1 * sum(i % 2 == 0 for i in range(len(U)))
S * any(i == K for i in range(len(U))) + 0.1
S * all(len(row) > K for row in M) + 0.1
S * any(a is P[-1] for a in U)
S * (0.5 if all(isinstance(row, (list, tuple)) for row in M) else 1.0)
next(iter(P))
next((E(a) for i, a in enumerate(U) if i == K), S)
next(E(a) for a in P)
{a: i for i, a in enumerate(P)}[P[-1]] * 0.1 * S
dict(enumerate(U)).get(K, S)
dict((i, E(a)) for i, a in enumerate(P))[0]
len({a for a in P}) * 0.1 * S
(P[0] in {a for a in Q}) * 0.3 + S
max((len(row) for row in M), default=0) * 0.1 * S
max(i * i % 5 for i in range(1 + K)) * 0.1 * S
P[sum(1 for i in range(K)) % len(P)]
P[[i * i for i in range(5)][K] % len(P)]
E(*sorted([0, 1], key=lambda i: -i)[:0], S)
largest(P) * S * 0.3
cross_entropy(P, K % len(P)) * 0.5
cross_entropy(p["a"], tokens[0])
pick(P[:1] + U, 0)
fold(U)
calm(dot(U, U))
calm(sum(a * b for row in M for a, b in zip(row, row[1:])))
""".strip().splitlines()
STATEMENTS = """
list
NEW = U

list
NEW = U

matrix
NEW = M

scalar
NEW = SCALAR

scalar
NEW = S
for a in U:
    NEW = E(NEW, a)

scalar
NEW = 0
for i, a in enumerate(U):
    BODY
    NEW += E(a, i) * 0.5

scalar
NEW = 0
for i, row in enumerate(M):
    for j, a in enumerate(row):
        if i == j:
            NEW = NEW + E(a)
        elif j > i:
            continue
        else:
            NEW = calm(NEW + E(a, i))

scalar
NEW = S
for i in range(len(P)):
    BODY
    if i == K:
        break
    NEW = calm(NEW + E(P[i], i))
else:
    NEW = NEW * 0.5

scalar
NEW = S
i = 0
while i < K:
    NEW, i = E(NEW, i), i + 1

list
NEW = []
for i, a in enumerate(U):
    NEW.append(E(a, i))
    BODY

list
NEW = []
for i, row in enumerate(M):
    NEW += [E(a, i) for a in row]
NEW = NEW[:6]

list
NEW = U
for row in M:
    NEW = [calm(a + 0.5 * b) for a, b in zip(NEW, row)]

list
cache, NEW = [], []
for row in G:
    cache.append([E(a) for a in row])
    NEW.append(calm(sum(dot(row, key) for key in cache)))

list
keys, values, NEW = [], [], []
for t in range(len(G)):
    keys.append([E(a) for a in G[t]])
    values.append([E(a, S) for a in G[t]])
    NEW += attention(G[t], [key[:] for key in keys], values[: t + 1])
NEW = NEW[:6]

list
cache, NEW = [], []
for i, a in enumerate(U):
    cache = [*cache, E(a)][-2:]
    NEW.append(calm(sum(E(b, i) for b in cache)))

list
NEW = list(P)
for i in range(1, len(NEW)):
    NEW[i] = calm(NEW[i] + NEW[i - 1])

list
NEW = list(P)
[NEW.__setitem__(i, E(P[i], i)) for i in range(len(P))]

list
NEW = [*P, *Q]
NEW[: len(P)] = [E(a) for a in P]
NEW[::2] = [calm(a) for a in NEW[::2]]
del NEW[K:]

list
NEW = list(P)
NEW.reverse()
NEW.insert(K, S)
NEW[0] = NEW.pop() * 0.5

matrix
NEW = [[0.5] * 2 for _ in range(3)]
for i, row in enumerate(NEW):
    for j, a in zip(range(2), P):
        row[j] = E(a, i, j)

matrix
NEW = [list(P)] * 2
NEW[0][0] = E(S, T)

list
entries = {}
for i, a in enumerate(U):
    entries[i % 2] = entries.get(i % 2, 0) + E(a, i)
NEW = [calm(a) for a in entries.values()]

list
entries = {}
NEW = [calm(entries.setdefault(i // 2, a) + 0.5 * a) for i, a in enumerate(U)]

list
total = S
NEW = [total := calm(total + E(a, b)) for a, b in zip(P, Q)]

list
NEW = [(half := 0.5 * a) + 0.2 * half * half for a in P] + [half]

list
queue = [S]
NEW = [queue.append(calm(a + 0.5 * queue[-1])) or queue[-1] for a in U]

list
queue, NEW = [S, 0.5 * S], []
for a in queue:
    NEW.append(E(a))
    if len(queue) < 5:
        queue.append(calm(a * a + 0.1))

list
iterator = iter([*P, *Q])
NEW = [E(a, b) for a, b in zip(iterator, iterator)] + list(iterator)

list
iterator = iter([*P, *Q])
NEW = [next(iterator)]
NEW += [E(a, next(iterator, S)) for a in iterator]
NEW = NEW[:6]

scalar
generator = (E(a) for a in P)
NEW = next(generator) + 0.5 * calm(sum(generator)) + sum(generator)

scalar
factor = 0.5
generator = (a * factor for a in U)
factor = -0.25
NEW = calm(sum(generator))

list
def count_up():
    nonlocal number
    number += 1
    return number
number = K
NEW = [calm(a * count_up()) for a in U] + [0.1 * number * S]

list
def NEW_function(y, *others, z=S, **options):
    BODY
    return E(y, z) if not others else 0.3 * E(y, others[0])
NEW = [NEW_function(a) for a in U] + [NEW_function(*P[:2]), NEW_function(S, z=T)]
NEW = NEW[-6:]

list
def NEW_function(row):
    BODY
    for i, a in enumerate(row):
        yield E(a, i)
NEW = [*NEW_function(U), *map(calm, NEW_function(P))][:6]

scalar
def NEW_function(row, depth):
    if depth == 0:
        return calm(sum(E(a, depth * j) for j, a in enumerate(row)))
    return calm(sum(NEW_function([E(a) for a in row], depth - 1) for _ in range(2)))
NEW = NEW_function(P[:2], K % 3)

list
class NEW_class:
    bias = S
    def __init__(self, scale):
        self.scale, self.__seen = scale, 0
    def apply(self, row):
        self.__seen += 1
        return [calm(z * self.scale + self.bias * self.__seen) for z in row]
    def __iter__(self):
        return iter(self.apply([self.scale, self.bias]))
NEW = [NEW_class(a).apply([a])[0] for a in U] + list(NEW_class(S))
NEW = NEW[-6:]

list
def sum_(items):
    for a in items:
        return 0.5 * a
    return 0.5
def NEW_function(sum, range):
    return [sum([E(a), a]) for a in U] + [sum(P) for _ in range(3)]
NEW = NEW_function(sum_, lambda *n: [0])

list
functions = []
for a in U:
    functions.append(lambda z: calm(z + a))
NEW = [function(S) for function in functions]

scalar
try:
    NEW = calm(sum(fail(E(a, i), i) for i, a in enumerate(U)))
except Failure:
    NEW = E(S, T)

list
NEW = []
try:
    for i, a in enumerate(U):
        NEW.append(fail(E(a, i), i))
except Failure as error:
    NEW.append(calm(S * len(error.args)))
finally:
    NEW.append(0.5)

list
match M:
    case []:
        NEW = [S]
    case [row]:
        NEW = [E(a) for a in row]
    case [row, *others]:
        NEW = [E(a, i) for i, a in enumerate(row)] + [len(others) * 0.1]

list
first, *middle = P
NEW = [E(first, a) for a in middle]
first, second = S, first
NEW += [E(first, second)]

scalar
NEW = S
if len(U) > K:
    BODY
    NEW = calm(sum(E(a) for a in U))
elif any(len(row) == K for row in M):
    NEW = E(NEW, T)

list
layers = [Layer(0.5 + 0.1 * i) for i in range(3)]
NEW = [function(a) for a, function in zip(U, layers)] + [0.1 * layers[0].calls]

matrix
NEW = []
for row in M:
    for a in row[:2]:
        BODY
    NEW.append([E(a) for a in row])

list
names = [f"{i}:{len(row)}" for i, row in enumerate(M)]
NEW = [0.1 * S * len(",".join(names)), *[0.1 * int(name[0]) for name in names]]
""".strip().split("\n\n")


class Writer:
    """Writes one program. With `effects` it also changes things outside of the function, with `failing` it may raise.

    Args:
        random: where the choices come from.
    """

    def __init__(self, random: Random, effects: bool = False, failing: bool = False):
        self.random = random
        self.effects = effects
        self.failing = failing
        self.made = 0
        self.names = {
            "scalar": ['p["s"]', "x[0]", 'p["a"][-1]'],
            "list": ['p["a"]', 'p["c"]', "x", 'p["g"][0]', "grid[-1]"],
            "matrix": ['p["g"]', "grid", 'p["g"][1:]'],
        }
        self.filled = {"P": self.names["list"][:], "G": self.names["matrix"][:2]}

    def statements(self) -> list[tuple[str, str]]:
        """One to seven statements, each with the name of what it makes; `module` makes a program of them."""
        return [self.statement(2) for _ in range(self.random.randint(1, 7))]

    def choose(self, options: list[str]) -> str:
        return options[self.random.randrange(len(options))]

    def name(self, kind: str) -> str:
        """A name in reach, more often one that was made later."""
        names = self.names[kind]
        return self.choose(names[len(names) // 2 :]) if self.random.random() < 0.5 else self.choose(names)

    def items(self, kind: str, depth: int) -> str:
        """A list or a matrix: a name or, down to some depth, an expression."""
        if depth > 0 and self.random.random() < 0.5:
            return bracketed(self.fill(self.choose(LISTS if kind == "list" else MATRICES), depth - 1))
        return self.name(kind)

    def form(self, integers: bool) -> str:
        """The form of an expression."""
        dice = self.random.random()
        if self.failing and integers and dice < 0.25:
            return self.choose(INTEGER_FAILURES)
        if self.effects and dice < 0.3:
            return self.choose(INTEGER_EFFECTS if integers and dice < 0.15 else EFFECTS)
        if dice > 0.95:
            return self.choose(KEEPING_FORMS)
        return self.choose(INTEGER_FORMS if integers and dice < 0.6 else FORMS)

    def expression(self, arguments: list[str], depth: int) -> str:
        """An expression of these names, of other scalars in reach, and of constants."""
        integers = [a for a in arguments if re.fullmatch(r"[ijkh]|depth \* j", a)]
        scalars = [a for a in arguments if a not in integers] or [self.name("scalar")]

        def operand(_: re.Match[str]) -> str:
            dice = self.random.random()
            if dice < 0.15 and depth > 0:
                return f"({self.expression(arguments, depth - 1)})"
            if dice < 0.25:
                return self.name("scalar")
            return self.choose(scalars)

        form = self.fill(self.form(bool(integers)), min(depth, 1) - 1)
        if integers:
            form = re.sub(r"\bI\b", self.choose(integers), form)
        return re.sub(r"\b[AB]\b", operand, form)

    def fill(self, template: str, depth: int) -> str:
        """The template with something in place of each capital; the same in place of the same."""
        fillers = {
            "[UVW]": lambda: self.items("list", depth),
            "[MN]": lambda: self.items("matrix", depth),
            "[ST]": lambda: self.name("scalar"),
            "[PQ]": lambda: self.choose(self.filled["P"]),
            "G": lambda: self.choose(self.filled["G"]),
            "K": lambda: str(self.random.randrange(5)),
            "Z": lambda: self.choose([n for n in self.names["scalar"] if n.isidentifier()] or ["a"]),
        }
        chosen: dict[str, str] = {}
        for pattern, filler in fillers.items():
            for letter in sorted(set(re.findall(rf"\b{pattern}\b", template))):
                chosen[letter] = filler()
        template = re.sub(r"\bSCALAR\b", lambda _: self.fill(self.choose(SCALARS), depth), template)
        template = re.sub(r"\b[UVWMNSTPQGKZ]\b", lambda match: chosen.get(match[0], match[0]), template)
        while match := re.search(r"\bE\(", template):
            end = closing(template, match.end())
            arguments = [a for a in split(template[match.end() : end]) if not a.startswith("*")]
            template = template[: match.start()] + f"({self.expression(arguments, depth)})" + template[end + 1 :]
        return template

    def statement(self, depth: int) -> tuple[str, str]:
        """The name of something new, which is in reach from then on, and the statement that makes it."""
        kind, template = self.choose(STATEMENTS).split("\n", 1)
        new = f"{kind}_{self.made}"
        self.made += 1
        lines = []
        for line in self.fill(template, depth).replace("NEW", new).split("\n"):
            if line.strip() == "BODY":
                before = {k: names[:] for k, names in self.names.items()}
                body = self.statement(depth - 1)[1] if depth > 0 else "pass"
                self.names = before  # what a body makes need not exist after it
                line = indent(body, line[: -len("BODY")]).rstrip()
            lines.append(line)
        self.names[kind].append(new)
        return new, "\n".join(lines) + "\n"


def module(statements: list[tuple[str, str]]) -> str:
    """The text of a module with a loss: the sum of all that these statements, each with a name, make."""
    body = "".join(text for _, text in statements)
    results = ", ".join(name for name, _ in statements)
    return f"{PRELUDE}def loss(p, x, grid, tokens):\n{indent(BEFORE + body + AFTER.format(results), '    ')}"


BEFORE = """\
kept = []

def keep(z):
    kept.append(z)
    return z

"""
AFTER = """
total = 0.01 * sum(kept) + 0.1 * p["s"]
for result in [{}]:
    total = total + calm(flat(result))
return total
"""


def bracketed(text: str) -> str:
    """An expression that may stand before a subscript or after a star."""
    return text if re.fullmatch(r"[\w\"\[\]-]+", text) else f"({text})"


def closing(text: str, start: int) -> int:
    """The place of the parenthesis that closes the one before `start`."""
    depth = 1
    for place in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0:
            return place
    raise ValueError(f"nothing closes the parenthesis before {text[start:]!r}")


def split(arguments: str) -> list[str]:
    """The arguments between the parentheses of a call."""
    parts, depth = [""], 0
    for character in arguments:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


# Running a program on both engines


@dataclass
class Outcome:
    """All that can be seen of a run: what it gives, what it raises, and what it does besides."""

    loss: float = 0.0
    gradients: list[Any] = field(default_factory=list)
    error: BaseException | None = None
    log: list[Any] = field(default_factory=list)
    printed: str = ""


def load(source: str, directory: Path | None) -> ModuleType:
    """The program as a module: imported from a file in the directory, or executed, so that it has no source."""
    module = ModuleType(f"program_{crc32(source.encode())}")
    path = directory / f"{module.__name__}.py" if directory else Path("no file")
    if directory:
        path.write_text(source, encoding="utf-8")
        module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where dataclasses look for it
    exec(compile(source, path, "exec"), module.__dict__)
    del sys.modules[module.__name__]
    return module


def numbers(seed: int, batch: int) -> tuple[Any, ...]:
    """Parameters, and the arguments x, grid and tokens, of random shapes."""
    rng = np.random.default_rng(seed)
    n, m, length, rows, columns, some = rng.integers(1, 5, 6)
    shapes = {"s": (), "a": (n,), "c": (m,), "g": (n, m)}
    params = {name: rng.uniform(-1.5, 1.5, shape) for name, shape in shapes.items()}
    x, grid = rng.uniform(-1.5, 1.5, (batch, length)), rng.uniform(-1.5, 1.5, (batch, rows, columns))
    return params, x, grid, rng.integers(0, n, (batch, some))


def outcome(source: str, directory: Path | None, engine: str, *arguments: Any) -> Outcome:
    """What the loss of a program does on an engine; the program is loaded anew, so that nothing remains of before."""
    program, printed, found = load(source, directory), io.StringIO(), Outcome()
    try:
        with redirect_stdout(printed):
            found.loss, gradients = value_and_grad(program.loss, engine, threads=1, verify=False)(*arguments)
        found.gradients = leaves(gradients)
    except Exception as error:
        found.error = error
    found.log, found.printed = program.LOG, printed.getvalue()
    return found


def difference(expected: Outcome, found: Outcome) -> str:
    """What of the second is not as in the first, in a line; nothing if they are alike."""
    if type(expected.error).__name__ not in [kind.__name__ for kind in type(found.error).__mro__]:
        return f"raised {found.error!r}, expected {expected.error!r}"
    if expected.log != found.log:
        return f"logged {found.log}, expected {expected.log}"
    if expected.printed != found.printed:
        return f"printed {found.printed!r}, expected {expected.printed!r}"
    if not abs(found.loss - expected.loss) <= 1e-12 * max(1.0, abs(expected.loss)):
        return f"loss {found.loss!r}, expected {expected.loss!r}"
    for a, b in zip(expected.gradients, found.gradients, strict=True):
        error = np.abs(a - b).max(initial=0.0)
        if a.shape != b.shape or not error <= 1e-10 * np.abs(a).max(initial=0.0) + 1e-12:
            return f"gradient {b.tolist()}, expected {a.tolist()}"
    return ""


def smallest(
    statements: list[tuple[str, str]], differs: Callable[[list[tuple[str, str]]], str]
) -> list[tuple[str, str]]:
    """As few of the statements as are needed to see a difference; what others need raises the same on both engines."""
    for statement in reversed(statements):
        fewer = [other for other in statements if other is not statement]
        if differs(fewer):
            statements = fewer
    return statements
