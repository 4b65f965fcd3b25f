"""Random functions of scalars, as source text: expressions over lists, which are mapped, shared, copied and changed.

`module(Writer(Random(seed), seed).statements())` is the text of a module with a function `loss(p, x, grid, tokens)`.
Each statement comes from a template below. Capital letters in it stand for what the program has by then:

    S T     a scalar                    L H     a list of scalars       U V     such a list, or an expression of one
    R Q     a list of such lists        M N     the same, or an expression of one       G       a matrix
    D       a dict                      I J     a small integer         BODY    another statement
    X Y     a scalar that a loop sets   O       a list that it appends to   K       its counter     C   a test
    W P     a list that a loop sets         F       a list of lists that it sets
    Z       a tuple that a loop sets, of a string or None and a scalar
    PAIR    a test by the indices i and j of two loops              JUMP    break or continue
    NEW     the name of the result      E(...)  an expression of these; i, j and k are integers, all else are scalars

A statement is taken only if the program still runs on plain floats, and its numbers and lists stay small.
"""

import io
import re
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from textwrap import indent
from types import ModuleType
from typing import Any
from zlib import crc32

import numpy as np

from microgpt.engines.compiled.record import RecordingError
from microgpt.engines.compiled.recorded_numbers import numbers_of
from microgpt.engines.compiled.recording import record_function
from microgpt.engines.engine import value_and_grad
from microgpt.engines.trees import leaves_of

PRELUDE = '''\
"""A program made at random."""
import copy
import itertools
import operator
import random
from collections import deque, namedtuple
from dataclasses import dataclass
from functools import partial, reduce, wraps
from itertools import accumulate, chain, islice, pairwise, product, zip_longest
from math import sqrt
from microgpt.functions import attention, cross_entropy, dot, layer_norm, linear, softmax, tanh
from microgpt.value import exp, largest, log, pick
LOG, COUNTER, RANDOM = [], itertools.count(1), random.Random(0)
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
mostly = partial(mix, share=0.1)
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
class Box:
    def __init__(self, rows):
        self.rows = rows
    def put(self, i, z):
        self.rows[i] = z
        return self
    def __getitem__(self, i):
        return self.rows[i]
    def __len__(self):
        return len(self.rows)
    def __enter__(self):
        return self.rows
    def __exit__(self, *_):
        self.rows.reverse()
class Vector:
    def __init__(self, x, y):
        self.x, self.y = x, y
    def __add__(self, other):
        return Vector(calm(self.x + other.x), calm(self.y + other.y))
    def __mul__(self, z):
        return Vector(*[calm(a * z) for a in self])
    def __iter__(self):
        return iter([self.x, self.y])
@dataclass
class State:
    row: list
    z: float = 0.0
    def step(self, a):
        return State([calm(b + 0.3 * a) for b in self.row], calm(self.z - a))
def larger(y, z):
    if y < z + 0.017:
        return z
    y = y * 0.9
    return y
def gated(y, z):
    y = tanh(z) if -0.517 < y < 0.817 and not z > 0.317 or z - y > 1.017 else y * 0.5
    return max(y, z + 0.017, y * z) * (y > 0.017 or z > 0.017)
def stretched(row, z):
    for a in row:
        if a > z:
            row = [calm(b + a * z) for b in row]
        elif a < -0.517:
            return [b * 0.5 for b in row]
    return row
def rooted(z):
    return log(z) * z**0.5 if z > 0.117 else (0.217 - z) ** -0.5 if z < -0.317 else z
def settled(y, z):
    for factor in (0.7, -0.3):
        if y > 0.317:
            y = y * factor
        elif z - y > 1.017:
            return y * z * 0.3
        else:
            y, z = z * factor, y
    return y
def fold(row):
    return calm(row[0] + 0.5 * fold(row[1:])) if row else 0.0
def products(*rows):
    total = 0.0
    for items in zip(*rows):
        total += items[0] * items[-1]
    return total
def every_other(row):
    for i, z in enumerate(row):
        if i % 2 == 0:
            yield z
def running(row):
    total = 0
    for z in row:
        total = calm(total + z)
        yield total
def put(row, i, z):
    row[i] = z
    return row
def walk(row, i, z):
    if i < len(row):
        row[i] = calm(row[i] + z)
        return walk(row, i + 1, row[i])
    return z
def damp(rows):
    for i in range(len(rows)):
        for j in range(len(rows[i])):
            rows[i][j] = rows[i][j] * 0.5 + 0.1 * i - 0.1 * j
    return rows
def memo(i, rows, seen):
    if i not in seen:
        seen[i] = [z * 0.7 for z in rows[i]]
    return seen[i]
def by_index(rows):
    return sum(rows[i][j] * (1 + 0.3 * i - 0.2 * j) for i in range(len(rows)) for j in range(len(rows[i])))
def by_row(rows):
    return sum([calm(sum(row)) * (1 + 0.2 * i) for i, row in enumerate(rows)])
def by_column(rows):
    return sum([calm(sum(column)) * (1 + 0.3 * i) for i, column in enumerate(zip(*rows))])
def everything(tree):
    if isinstance(tree, Box):
        return everything(tree.rows)
    if isinstance(tree, dict):
        return everything(list(tree.values()))
    if isinstance(tree, (list, tuple)):
        return sum([everything(branch) * (1 + 0.17 * (i % 5)) for i, branch in enumerate(tree)])
    if tree is None or isinstance(tree, str):
        return len(tree or "none")
    return calm(tree)
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
LOSS = """\
def loss(p, x, grid, tokens):
    kept = []
    def keep(z):
        kept.append(z)
        return z
{}
    return {}
"""


def options(text: str) -> list[str]:
    """Templates, some in a line."""
    return [option.strip() for option in re.split(r" \| |\n", text) if option.strip()]


# Expressions of the scalars A and B, which grow at most by a little; and of a plain integer I, too.
FORMS = options("""
A | -A | A + 0.2 | 1 - A | A - 0.3 * B | 0.5 * (A + B) | 0.2 * A * B | calm(A * B) | calm(A**3) | tanh(A * B)
tanh(A) | exp(-(A**2)) | log(1 + A**2) | A / (1 + B**2) | (1 + A**2) ** -0.5 | A * largest([A, B, 0.5]) * 0.3
A * (B > 0) | S | mix(A, z=B) | mix(*[A, B], 0.5) | mix(A, **{"z": B}) | mostly(A, B) | damped(A) | layer(A)
(lambda z: z * tanh(z))(A) | sum(z * 0.3 for z in (A, B)) | calm(sum([c * A for c in L]))
max([A, B], key=lambda z: z is A) | Pair(A, B).second | calm(A + keep(B)) | keep(A) * 0.5 | calm(dot([A, B], [B, S]))
operator.mul(A, 0.5) | calm(sum([a * b for a, b in zip(*(L, H))])) | calm(products(L, H)) | calm(products(H, L, H))
calm(sum([sum([c * A for c in r]) for r in [L, H]])) | calm(sum([sum([r[0] for r in q]) for q in ([L], [L, H])]))
calm(sum([sum(q) for q in zip(L, H, L)])) | calm(sum([sum(r) for r in R])) | calm(sum([r[0] * r[-1] for r in zip(*M)]))
calm(sum([c * b for r in M for c, b in zip(r, L)])) | calm(sum([a[0] * b[-1] for a, b in pairwise(M)]))
""")
CHOICES = options("""
max(A, B + 0.017) | min(A, 0.3 * B, 0.517) | S if A > 0.017 else T | larger(A, B) | settled(A, B) | gated(A, B)
rooted(A) | calm(max(A + 0.3 * c for c in L)) | calm(min([A, *L, *L, *L])) | calm(sum(max(c, A) for c in L))
""")  # which need the source
INTEGER_FORMS = options("""
A if I == 0 else B | A if I % 2 else 0.5 * B | A if I in (0, 3) else S | A * (1 + I % 3) * 0.3 | A + 0.1 * I
A * TABLE[I % 4] | calm(A ** (I % 3 + 1)) | A * sqrt(1 + I) * 0.4 | A / (1 + I) | pick([A, B], I % 2)
[A, B, S][I % 3] | {0: A, 1: B}.get(I, S) | 0.5 * A + 0.3 * L[I % len(L)] | calm(A * L[-1 - I % len(L)])
A - 0.2 * L[I - 1] | L[-1 - I] | calm(A + sum(L[:I])) | calm(A + sum(L[h] for h in range(I)))
A * len(f"{I:03d}") * 0.3 | A * min(I, 2) * 0.4 | 0.5 * A + 0.3 * G[I % len(G)][-1]
A * (0.5 if isinstance(I, int) else 1.5) | A * (0.3 * (I // 2) % 1)
""")
EFFECTS = options("""
note(A, len(LOG)) | note(A, isinstance(A, list)) | counted(A) | shaken(A) | layer.count(A) | (LOG.append(0), A)[1]
A * next(COUNTER) ** -1
""")
INTEGER_EFFECTS = options("note(A, I) | shouted(A, I) | calm(counted(A) + 0.1 * I) | (LOG.append(-I) or A)")
FAILURES = options("fail(A, I) | A * TABLE[I] | A * (1 / (3 - I)) | A * {0: 1.0, 1: 0.5}[I] | L[I + 1] | A * (1 / I)")

LISTS = options("""
[E(a) for a in U] | [E(a, b) for a, b in zip(U, V)] | [E(a, b) for a, b in zip(L, L[::-1], strict=True)]
[E(a, S) for a in U] | [E(a, i) for i, a in enumerate(U)] | [E(a, i) for i, a in enumerate(U, I)] | [E(S) for _ in U]
[E(a, b, i) for i, (a, b) in enumerate(zip(U, V))] | [E(a, b) for a in U for b in V][:5] | [E(a) for a in reversed(U)]
[E(L[i], i) for i in range(len(L))] | [E(L[i], L[i - 1]) for i in range(len(L))]
[E(L[-i - 1]) for i in range(len(L))] | [E(L[i]) for i in range(len(L) - 1, -1, -1)]
[E(L[i], i) for i in range(0, len(L), 2)] | [L[i] for i in [-1, 0, I]]
[E(L[i], L[i + 1]) for i in range(len(L) - 1)] | [E(L[i // 2]) for i in range(2 * len(L))][:6]
[L[(2 * i + 1) % 3] for i in range(4)] | [calm(sum(G[i][j] * L[j] for j in range(len(G[i])))) for i in range(len(G))]
[E(G[j][i], i) for i in range(len(G[0])) for j in range(len(G))][:6]
[calm(sum(G[i][j] for i in range(len(G)))) for j in range(len(G[0]))]
[E(G[i][i], i) for i in range(min(len(G), len(G[0])))]
[calm(sum(L[j] for j in range(min(i, len(L))))) for i in range(4)]
[calm(sum(a * b for a, b in zip(L[: i + 1], H))) for i in range(len(L))]
[calm(sum(L[h * 2 + j] for j in range(2))) for h in range(len(L) // 2)] | L[I:] | L[:I] | L[-2:] | L[::2] | L[::-1]
U[1:] + U[:1] | list(U) | [*U, S][:5] | [S] * 3 | tuple(U) | list(reversed(U)) | [S * I] | [0.0] * 3
[calm(a) for a in (E(b) for b in U)] | [sum(r) * 0.3 for r in M] | [calm(sum(a * b for a, b in zip(r, U))) for r in M]
[calm(sum(column)) for column in zip(*M)] | [calm(dot(column, column)) for column in zip(*G, strict=True)]
[calm(sum(E(a, b) for b in U)) for a in V] | [E(a) for r in M for a in r][:6]
[E(a, b) for a, *rest in G for b in rest][:6] | [E(r[0], r[-1]) for r in R]
[E(a, i) for i, a in enumerate(U) if i % 2 == 0] | [E(a, b) for a in U for b in V if a is not b][:6]
[E(a) if i == 0 else E(a, S) for i, a in enumerate(U)] | [E(a) for _, a in zip(range(I), U)] | list(map(calm, U))
list(map(lambda a, b: E(a, b), U, V)) | [L[i] for i in filter(lambda i: i % 2, range(len(L)))]
list(accumulate(U, lambda a, b: calm(a + b))) | [E(a, b) for a, b in pairwise(U)] | [E(a) for a in chain(U, V)][:6]
[E(a) for a in running(U)] | [E(a, b) for a, b in zip_longest(U, V, fillvalue=0.5)]
[E(a, b) for a, b in product(U, V)][:6] | [f(a) for a in U for f in (tanh, calm)][:6]
[f(S) for f in [lambda z: calm(z * a) for a in U]] | [f() for f in [lambda a=a: E(a, S) for a in U]]
list({i: E(a, i) for i, a in enumerate(U)}.values()) | list(tuple(E(a, S) for a in U)) | list(every_other(U))
layer.squash(U) | [E(a) for a in softmax(L)] | layer_norm(L, L, L[::-1]) | linear(p["a"], p["g"], p["c"])
attention(p["c"], [[E(a) for a in r] for r in p["g"]], [[E(a, S) for a in r] for r in p["g"]])
sum([[E(a), a] for a in U], [])[:5] | [pick(p["a"], t) * 0.5 for t in tokens]
[E(sum(pick(p["g"], t))) for t in tokens] | [pick(L, t) for t in tokens] | [sum(pick(R, t)) for t in tokens]
[E(r[I], r[J]) for r in R] | [R[i][I] for i in range(len(R))]
[sum(R[j][I] for j in range(i)) for i in range(len(R))] | [calm(sum([r[I] * a for r in R])) for a in U]
[by_index(R), by_row(R), by_column(R)] | [S * (r is R[0]) + E(r[0]) for r in R]
[sum(r is q for q in Q) * S for r in R] | [S * len(r) * 0.2 for r in R] | [r.append(S) or sum(r) for r in R]
[walk(r, 0, S) for r in R] | [len(L) * 0.1 * S, any(r is L for r in R) * S] | [a for r in R for a in r]
[E(a) for a in deque(U, maxlen=3)]
[calm(sum([E(a, b) for j, a in enumerate(U) if PAIR])) for i, b in enumerate(V)]
[calm(sum(E(a) if PAIR else b for j, a in enumerate(U))) for i, b in enumerate(V)]
[calm(sum([L[i - j - 1] * a for j, a in enumerate(U) if j < i])) for i in range(len(L))]
[calm(sum([L[i - j - 1] for j in range(i)])) for i in range(len(L))]
""")
CHOSEN_LISTS = options("""
L if S > 0.017 else [calm(a + S) for a in L] | [0.5 * a for a in L] if S > T else L[::-1] | stretched(L, S)
""")
ROWS = options("""
[[E(a, b) for b in U] for a in V] | [[E(a) for a in r] for r in M] | [[E(a, b) for a, b in zip(r, U)] for r in M]
[[E(a, i, j) for j, a in enumerate(r)] for i, r in enumerate(M)]
[[E(a, b) for a, b in zip(r, column)] for r, column in zip(M, zip(*N))] | [list(column) for column in zip(*M)]
[[E(a) for a in column] for column in zip(*M)] | [U, V] | [U, *M][:4] | M[::-1] | M[I:] | [r[:I] for r in M]
[r[::-1] for r in M] | [U[: i + 1] for i in range(len(U))] | [L[h * 2 : (h + 1) * 2] for h in range(2)]
[softmax(r) for r in G] | [[E(L[j % len(L)], i) for j in range(i)] for i in range(4)]
[[E(G[i][j], j) for i in range(len(G))] for j in range(len(G[0]))] | [[E(a)] * 2 for a in U] | [U] * 2
[layer.squash(r) for r in M] | [[0.0] * 3 for _ in range(2)] | [[S for _ in range(2)] for _ in range(3)]
[[E(a, b) for j, a in enumerate(U) if PAIR] for i, b in enumerate(V)] | [[PAIR for j in range(3)] for i in range(4)]
[softmax([E(a, b) if PAIR else -9.0 for j, a in enumerate(U)]) for i, b in enumerate(V)]
[[] for _ in range(2)] | [[0.5 * a, E(a)] for a in U]
[[E(R[j][i]) for j in range(len(R))] for i in range(len(R[0]))] | [L for _ in range(3)] | [L, [E(a) for a in L], L]
[([E(a), S], 0.5 * a) for a in U] | [(r, sum(r)) for r in R] | [[r, r[:]] for r in R] | [Box(r) for r in R]
{i: r for i, r in enumerate(R)} | {"a": L, "b": [S, T]} | Box(R) | list(R) | R[:] | R[::2] | R[::-1] | R.copy()
copy.copy(R) | copy.copy(L) | [r for r in R] | [*R, L] | R + [L] | R * 2 | sorted(R, key=len) | L | R | R[I] | D
[R[-1 - i] for i in range(len(R))] | [R[i - 1] for i in range(len(R))] | [R[I] for _ in R]
[R[i][: i + 1] for i in range(len(R))] | [list(r) for r in R] | [r.copy() for r in R] | [r + [S] for r in R]
list(map(list, R)) | list(zip(*R)) | list(zip(R, Q)) | list(zip(R, L)) | list(enumerate(R))
[r if i % 2 else R[0] for i, r in enumerate(R)] | [r for r in R if len(r) > 1]
[put(r, I, E(r[I], i)) for i, r in enumerate(R)] | [memo(I, R, D) for _ in range(2)]
[D.setdefault(i, r) for i, r in enumerate(R)] | damp(R) | [pick(G, t) for t in tokens]
[list(pick(G, t)) for t in tokens] | [r[i] for i in range(2) for r in R]
""")
SCALARS = options("""
E(S, T) | calm(sum(U)) | calm(sum(E(a, i) for i, a in enumerate(U))) | calm(sum(sum(r) for r in M)) | calm(sum(U, S))
calm(reduce(lambda a, b: calm(a + b), U, S)) | sum(U) / (1 + len(U)) | S * sum(1 for a in U if a is not S) * 0.2
S * any(i == I for i in range(len(U))) + 0.1 | S * (0.5 if all(isinstance(r, (list, tuple)) for r in M) else 1.0)
next((E(a) for i, a in enumerate(U) if i == I), S) | dict(enumerate(U)).get(I, S)
max((len(r) for r in M), default=0) * 0.1 * S | largest(L) * S * 0.3 | cross_entropy(p["a"], tokens[0])
pick(L[:1] + U, 0) | fold(U) | L[sum(1 for i in range(I)) % len(L)]
""")
CHANGES = options("""
L[I] = S | L[I] += S | L[I] *= 0.5 | L[I] = E(L[J], L[I]) | L[I], L[J] = L[J], L[I] | L.append(E(L[I], S))
L.insert(I, S) | L.pop() | L.pop(I) | del L[I] | L.reverse() | L.extend(L) | L += [S, T] | L *= 2
L[:] = [E(a) for a in L] | L[::2] = [E(a, S) for a in L[::2]] | L.clear() | R[I][J] = S | R[I][J] += S | R[I] = L
R[I] = R[J] | R[I] = [E(a) for a in L] | R[I], R[J] = R[J], R[I] | R.append(L) | R.append(R[I])
R.append([E(a, S) for a in L]) | R.insert(I, L) | R.pop(I) | R.extend(Q) | R += [L, H] | R[I:J] = [L, H]
R[:] = R[::-1] | R.reverse() | R.sort(key=len) | D["n"] = L | D[0] = D.pop(I) | D[I][J] = S | damp(R) | walk(L, 0, S)
[r.reverse() for r in R] | [put(r, I, S) for r in R] | NEW, L[I] = L[I], S | p["s"] = E(S, T) | p["a"] = L | L += H
""")
# Loops: what is there before and as which kinds of place, the heads, and what a turn does. A list may have another name
# by which it changes. The variables of a head have other names in a loop within it.
BEGINNINGS = {
    "x": ("scalar variable", "0 | S | E(S)"), "y": ("scalar variable", "0.0 | S"), "k": ("index counter", "0 | 1"),
    "o": ("grown", "[] | [] | [S] | [E(a) for a in L]"),
    "h": ("list row", "[0.0] * 5 | [E(a) for a in L] | L | L[:]"), "g": ("list row", "L | [E(S), T, 0.1] | [0.0] * 6"),
    "w": ("rows matrix table", "[[0.0] * 5 for _ in range(5)] | [[E(a) for a in r] for r in M] | M | [L] * 2 | [L, H]"),
    "z": ("state", "(None, S) | ('a', T)"), "t[0]": ("list", "(L, S) | [L, H] | R"),
    "b.rows": ("list row", "Box(L) | Box(H[:])"), "d[0]": ("rows table", "{0: R}"),
}  # fmt: skip
HEADS = options("""
i in range(len(L)) | i in range(len(R)) | i in range(1, len(L)) | i in range(len(L) - 1, -1, -1) | i in range(5)
i in range(0, len(L), 2) | i in range(I) | i in range(I + 1, 5) | i, a in enumerate(U) | i, a in enumerate(L) | a in L
a in reversed(L) | a in L[1:] | a in list(L) | i, a in enumerate(reversed(L), 1) | a, b in zip(L, H)
a, b in zip(L, L[1:]) | i, (a, b) in enumerate(zip(L, H)) | i, r in enumerate(R) | r in R | r in (L, H) | r in zip(*M)
i, r in enumerate(R[::-1]) | r, q in zip(R, Q) | r, a in zip(R, L) | a in (E(c) for c in L) | a in map(calm, L)
i in reversed(range(len(L))) | a in running(L) | r in map(list, zip(*M)) | r in [p["g"][t] for t in tokens]
""")
TURNS = options("""
X = E(X, S) | X = calm(X + S) | X += E(S, T) * 0.5 | X, Y = Y, E(X, S) | X *= 0.5 | X = calm(sum(L)) | K += 1
X = calm(sum([c * S for c in L[:I]])) | X += 0.1 * len(L) | X = S if C else T | NEW = E(S, T) | O.append(E(S, T))
X = S if Z[0] is None else E(Z[1], S) | X += len(Z[0] or "none") * 0.1 | Z = "bb", E(S) | Z = None, E(Z[1], S)
O.append(X) | X = E(calm(sum(O)), S) | R[:] = [list(column) for column in zip(*R)]
O = O + [E(S, T)] | O = [*O, E(X, S)] | O += [E(S, T), X] | O.extend(W[:3]) | O.insert(0, E(S, T)) | O = [E(S)] + O
O.append(E(O[-1], S)) | O.append(calm(sum(O))) | L[I] = E(S, T) | L[I] += E(S, T) | L[I] = E(L[I], L[J])
L[I] *= 0.5 | R[I][J] = E(S, T) | R[I][J] += E(S) | R[I][J] = E(R[J][I], S) | NEW = [E(c, S) for c in L] | NEW = L
NEW = R[I] | NEW = [0.0] * 3 | NEW = [S, E(S)] | put(L, I, E(S, T)) | X = calm(walk(L, I, S) + X) | damp(R)
W = [E(c, S) for c in W] | W = W[1:] + [E(S)] | W, P = P, [E(c) for c in W] | W = [E(c, d) for c, d in zip(W, L)]
W = L | W[I], W[J] = W[J], E(W[I]) | F = [[E(c, S) for c in r] for r in F] | F = F[1:] + [[E(c) for c in L]]
F[I] = [E(c, S) for c in W]
""")
GENTLE = [change for change in CHANGES if not re.search("extend|[*+]=", change)]  # no list doubles in each turn
# A loop of states: a turn reads two of the READS, and takes two of the STEPS by them.
STATES = """
state, other, grown, z = [0.1] * 4, [S, T, 0.2, 0.3], [0.1], 0.2
table, box = [[0.3 * S] * 4 for _ in range(4)], Box([0.5] * 3)
for i, row in enumerate([[calm(a * (j + 1)) for j in range(4)] for a in [*x, *x]]):
    c = (READ + READ) * p["s"]
    STEP
    STEP
NEW = [z, *state, *other, *grown, *table[1], *box.rows]
""".strip()
READS = options("""
sum([a * b for a, b in zip(*(state, row))]) | sum([sum([a * 0.3 for a in r]) for r in [state, row]]) | sum(state[::2])
sum([sum([sum(r) for r in q]) for q in [[state], [row]]]) | state[0] * row[1] | state[1] + state[-1] | state[i % 4]
sum([a * b for a, b in zip(state[1:], state)]) | sum([a * b for a, b in zip(state, reversed(state))])
products(state, row) | products(row, table[0]) | sum([r[0] for r in [state, row]]) | table[0][1] + table[1][0]
sum([sum(r) for r in table]) | sum([r[1] for r in zip(*table)]) | sum([a * b for r in table for a, b in zip(r, state)])
z | z * state[1] | grown[-1] | sum([sum(q) for q in zip(state, row)]) | sum([a[0] * b[-1] for a, b in pairwise(table)])
sum([a * z for a in state]) | sum([a * b for a, b in zip(grown, row)]) | box.rows[1] | sum(box.rows)
sum([state[j - 1] * row[j] for j in range(4)])
""")
STEPS = options("""
for j in range(4): state[j] = calm(state[j] + c * row[j]) | state = [calm(a + c * S) for a in state]
z = calm(z * 0.5 + c) | for j in range(1, 4): state[j] = calm(state[j - 1] * 0.5 + c) | state[2] = calm(c + row[1] * S)
state[I] += 0.1 * calm(c) | table[0][1] += 0.1 * calm(c) | table = [[calm(a + c) for a in r] for r in table]
table = list(map(list, zip(*table))) | state = state[1:] + [calm(c + S)]
state, other = other, [calm(a + c) for a in state] | grown.append(calm(c + grown[-1]))
box.rows = [calm(a * 0.9 + c) for a in box.rows] | state[0], state[1] = calm(state[1] * S), calm(state[0] + c)
table[i % 4] = [calm(a * 0.5 + c) for a in state] | for r in table: r[I] = calm(r[1] + c) | if i % 2: state[0] = calm(c)
for r in table: r[:] = [calm(a + c * b) for a, b in zip(r, row)] | box.put(1, calm(c))
state = [z * a + c * 0.1 for a in state]
""")
TESTS = options("""
I > 0 | I == J | I % 2 | I % 2 == 0 | I != J | I < J | I + 1 < 3 | not I | I in (0, 2) | 0 < I < 3 | len(O) > 1
""")
PAIRS = options("""
j <= i | j < i | i == j | j != i | j - i > 1 | i - j < 2 | i + j > 2 | 0 <= i - j < 2 | not j > i | j > i or not j
i + j == 3 | 2 * j <= i | j == len(U) - 1 - i | i % 2 and j <= i | i > 0 and j >= i | j in (0, i)
j <= i and j % 2 == 0
""")  # tests by the indices of two loops
SCALAR_TESTS = options("""
S > 0.017 | S < T + 0.017 | S >= -0.317 | not S > 0.317 | S > 0.017 and T < 0.517 | -0.517 < S < 0.317
""")  # which need the source
CHOSEN_STATEMENTS = """
if S > 0.017:
    BODY
elif S < T - 0.317:
    L[I] = E(S, T)
else:
    BODY

def function(y, row):
    kept, z, n = list(row), y, 0
    for i, a in enumerate(row):
        if a > y + 0.017:
            kept[i] = E(a, i)
            if a > 0.517:
                return [calm(b) for b in kept]
        elif a < -0.317:
            z = E(z, a)
            n += 1
            continue
        z = calm(z + a)
    return [z + 0.1 * n] + kept[1:]
NEW = function(S, L) + function(T, U)

def function(y, entries):
    if y > 0.017:
        entries["z"], entries["row"][0] = E(y), y
    elif y > -0.517:
        entries["row"][-1] *= 0.5
        return y
    entries["z"] += y
    return entries["z"]
entries = {"z": S, "row": [S, T]}
NEW = [function(a, entries) for a in U]
NEW += [entries["z"], *entries["row"]]

NEW = Layer(S)
for a in U:
    if a > 0.017:
        NEW.scale = calm(NEW.scale + a)
    elif a > -0.317:
        continue
    NEW.calls += a * 0.5
NEW = [NEW.scale, NEW.calls]

NEW = Vector(S, T)
for a in U:
    other = Vector(a, E(a, NEW.y))
    NEW = other if a > NEW.x + 0.017 else NEW * 0.5
NEW = [*NEW]

NEW, left, z = [], [], S
for i, a in enumerate(U):
    if a > z + 0.017:
        NEW.append(E(a, z))
        left.append(0.0)
    elif z < -0.817:
        break
    else:
        NEW += [z]
        left.append(E(a, i))
    z = calm(a - z)
NEW = [z, *[0.1 * i + S for i in range(2)]]

NEW = list(U)
for i in range(len(NEW)):
    for j in range(len(NEW) - 1 - i):
        if NEW[j] > NEW[j + 1] + 0.017:
            NEW[j], NEW[j + 1] = NEW[j + 1], NEW[j]
""".strip().split("\n\n")
STATEMENTS = """
NEW, i = S, 0
while i < I + 2:
    NEW, i = E(NEW, i), i + 1
    if i == 3:
        break
else:
    NEW = NEW * 0.5

NEW = U
for r in M:
    NEW = [calm(a + 0.5 * b) for a, b in zip(NEW, r)]

keys, values, NEW = [], [], []
for t in range(len(G)):
    keys.append([E(a) for a in G[t]])
    values.append([E(a, S) for a in G[t]])
    NEW += attention(G[t], [key[:] for key in keys], values[: t + 1])
NEW = NEW[:6]

NEW = list(L)
[NEW.__setitem__(i, E(L[i], i)) for i in range(len(L))]

total = S
NEW = [total := calm(total + E(a, b)) for a, b in zip(L, H)]

queue = [S]
NEW = [queue.append(calm(a + 0.5 * queue[-1])) or queue[-1] for a in U]

iterator = iter([*L, *H])
NEW = [next(iterator)] + [E(a, b) for a, b in zip(iterator, iterator)] + list(iterator)

generator = (E(a) for a in L)
NEW = next(generator) + 0.5 * calm(sum(generator)) + sum(generator)

factor = 0.5
generator = (a * factor for a in U)
factor = -0.25
NEW = calm(sum(generator))

def count_up():
    nonlocal number
    number += 1
    return number
number = I
NEW = [calm(a * count_up()) for a in U] + [0.1 * number * S]

def function(y, *others, z=S, **options):
    BODY
    return E(y, z) if not others else 0.3 * E(y, others[0])
NEW = [function(a) for a in U] + [function(*L[:2]), function(S, z=T)]

def function(rows, depth):
    if depth == 0:
        return calm(sum(E(a, j) for j, a in enumerate(rows)))
    return calm(sum(function([E(a) for a in rows], depth - 1) for _ in range(2)))
NEW = function(L[:2], 2)

NEW = []
try:
    for i, a in enumerate(U):
        NEW.append(fail(E(a, i), i))
except Failure as error:
    NEW.append(calm(S * len(error.args)))
finally:
    NEW.append(0.5)

match M:
    case []:
        NEW = [S]
    case [row, *others]:
        NEW = [E(a, i) for i, a in enumerate(row)] + [len(others) * 0.1]

for r in R:
    r.append(E(r[0]))
    BODY

while len(L) > 1:
    BODY
    L.pop()

if L is R[I]:
    BODY
else:
    R[I][J] = S

try:
    L[I] = S
    R[len(R)].append(S)
except IndexError:
    L[J] = T
finally:
    R[I][J] = E(S, L[0])

with Box(R) as rows:
    rows[I][J] = S
rows[J][I] = T

NEW = [lambda r=r: sum(r) for r in R]
R[I][J] = S
BODY
NEW = [function() for function in NEW]

def function(rows):
    for r in rows:
        r[0] = calm(r[0] + S)
        yield r
NEW = []
for r in function(R):
    NEW.append(r)
    r[J] = T

NEW = (E(a, S) for a in L)
L[I] = S
NEW = list(NEW)

NEW = iter(L)
L[I] = next(NEW)
NEW = list(NEW)

NEW = zip(R, Q)
R[I][J] = S
NEW = [[sum(r), sum(q)] for r, q in NEW]

NEW = reversed(L)
L[I] = S
NEW = list(NEW)

NEW = [L]
for i, r in enumerate(R):
    NEW.append([E(a, b) for a, b in zip(NEW[-1], r)])
    NEW[0] = NEW[-1]

NEW = other = [E(a) for a in U]
other += L

NEW = sum(pick(G, tokens[0]))
G[I][J] = S
NEW = [NEW, sum(pick(G, tokens[0]))]

NEW = Vector(S, T)
for i, a in enumerate(U):
    NEW = NEW * 0.7 + Vector(E(a, i), NEW.x)
NEW = [NEW.x, *NEW, *sum([Vector(a, S) for a in U], NEW)]

NEW = [State(L, S)]
for a in U:
    NEW.append(State([E(b, a) for b in NEW[-1].row], calm(NEW[-1].z + a)))
NEW = [E(sum(one.row), one.z) for one in NEW]

state, before, rows = State(list(L)), State(L, S), []
for i, a in enumerate([*U]):
    before, state = state, State([E(b, a) for b in state.row], calm(before.z + a))
    rows.append(state.row)
    BODY
state.row[I] = S
NEW = [state.z, before.z, *before.row, *[calm(sum(r)) for r in rows]]

NEW = [Vector(E(a, S), a) for a in U]
for i, one in enumerate([*NEW]):
    one.x = E(one.x, one.y)
    BODY
NEW = [one.x for one in NEW] + [calm(sum([one.y for one in NEW]))]

NEW, other = [], Vector(S, T)
for i, a in enumerate(U):
    other = Vector(a, E(other.x, a))
    other.y = E(other.y, S)
    NEW.append(other)
other.x = S
NEW = [E(one.x, one.y) for one in NEW] + [NEW[-1].x, 0.1 * (other is NEW[-1]) * S]

state = State([Vector(a, S) for a in U], T)
for i, a in enumerate(L):
    state = State([one + Vector(E(a, i), state.z) for one in state.row], a)
NEW = [one.y for one in state.row] + [state.z]

state = State([*U], S)
for a in [*L]:
    state = state.step(a)
    BODY
NEW = [*state.row, state.z]

entries = {"row": L, "z": S}
for a in U:
    entries = {"row": [E(b, a) for b in entries["row"]], "z": calm(entries["z"] - a)}
    BODY
NEW = [*entries["row"], entries["z"]]

state, before, rows = {"row": list(L), "z": S}, {"row": L, "z": T}, []
for i, a in enumerate([*U]):
    before, state = state, {**state, "row": [E(b, a) for b in state["row"]]} | {"z": calm(before["z"] + a)}
    rows.append(state)
    BODY
state["row"][I] = S
NEW = [state["z"], *before["row"], *[calm(sum(one["row"])) for one in rows], 0.1 * (state is rows[-1]) * S]

NEW = [{"x": E(a, S), "y": a} for a in U]
for i, one in enumerate([*NEW]):
    one["x"] = E(one["x"], one["y"])
    BODY
NEW = [one["x"] for one in NEW] + [calm(sum([one["y"] for one in NEW]))]

def function(entries, a):
    entries["z"] = E(entries["z"], a)
    entries.update(row=[E(b, entries["z"]) for b in entries["row"]])
    BODY
    return entries if I else {**entries, "z": a}
other = entries = {"row": [*L], "z": S}
for a in [*U]:
    entries = function(entries, a)
NEW = [*entries["row"], entries["z"], *other["row"], other["z"]]

def function(rows, row, a):
    for i in range(len(rows)):
        rows[i][J] = E(rows[i][0], a)
    row[I] = E(row[J], a)
    BODY
    return rows, row
held, rows, row = Q, Q, H
for a in [*U]:
    rows, row = function(rows, row, a)
    BODY
NEW = [*[calm(sum(r)) for r in rows], *row, 0.1 * (rows is held) * S]

rows = [[E(a) for a in L], *[None for _ in U]]
for i, a in enumerate(U):
    rows[i + 1] = [E(b, a) for b in rows[i]]
    BODY
NEW = [calm(sum(r)) for r in rows]

rows = [[0.1 * S] * 3 for _ in range(len(U) + 1)]
rows[0] = [S, T, 0.2]
for i, a in enumerate([*U]):
    for j in range(3):
        rows[i + 1][j] = E(rows[i][j], a) + 0.3 * rows[i][j - 1]
    BODY
NEW = [calm(sum(r)) for r in rows]

number, found = S, []
for i, a in enumerate([*U]):
    if i == I + 2:
        break
    number = E(number, a)
    found = [*found, number]
    BODY
    if len(found) > 3:
        break
NEW = [number, *found, 0.1 * i * S]

rows = [[E(a, b) for a in U] for b in L]
held = [*rows]
for a in [*U]:
    for i, r in enumerate(rows):
        rows[i] = [E(b, a) for b in r]
    BODY
held[I][0] = S
NEW = [*[calm(sum(r)) for r in rows], *[calm(sum(r)) for r in held]]

entries = {"a": {"row": [*U]}, "b": {"row": [S, T]}}
for a in [*L]:
    entries = {name: {"row": [E(b, a) for b in one["row"]]} for name, one in entries.items()}
    BODY
NEW = [*entries["a"]["row"], *entries["b"]["row"]]

NEW = []
for i, b in enumerate(U):
    row, total = [], S
    for j, a in enumerate(V):
        if PAIR:
            row.append(E(a, b, i, j))
        total = calm(total + E(a, j) * (PAIR) + (E(b, i) if PAIR else a))
    NEW.append([calm(sum(row)), total, 0.1 * len(row)])

rows = [[0.1 * S] * len(V) for _ in U]
for i, b in enumerate([*U]):
    row = []
    for j, a in enumerate([*V]):
        if PAIR:
            JUMP
        row.append(E(a, b, j))
        if PAIR:
            rows[i][j] = E(a, b)
        else:
            rows[i][j] += a
        BODY
    rows.append(row)
NEW = [calm(sum(r)) for r in rows]

NEW = []
for i, b in enumerate(U):
    for j in range(i, len(V)):
        if PAIR and S > 0.017:
            NEW.append(E(b, i))
        elif PAIR:
            NEW.append(E(b, j))
    NEW = NEW[-6:]

NEW = [0.1 * S] * (len(U) * len(V))
for i, b in enumerate([*U]):
    for j, a in enumerate([*V]):
        if PAIR:
            NEW[i * len(V) + j] = E(a, b)
        NEW[i * len(V) + j] += calm(b)
    for j in range(min(i + 1, len(V))):
        NEW[i * len(V) + j] = E(NEW[i * len(V) + j], NEW[i * len(V)])
    BODY
NEW = NEW[-5:]

rows = [[0.1 * S] * 4 for _ in range(4)]
for i, b in enumerate([S, T, 0.2, *U][:4]):
    for j in range(i, 4):
        rows[i][j] += E(b, i)
    for j in range(i):
        rows[i][j] = E(rows[j][i], rows[i][j])
    BODY
NEW = [calm(sum(r)) for r in rows]
""".strip().split("\n\n")

KINDS = {"S": "scalar", "T": "scalar", "L": "list", "H": "list", "U": "list", "V": "list", "R": "rows", "Q": "rows",
         "M": "matrix", "N": "matrix", "G": "grid", "D": "dict", "X": "variable", "Y": "variable",
         "O": "grown", "K": "counter", "Z": "state", "W": "row", "P": "row", "F": "table"}  # fmt: skip
CONSTANTS = ["0", "0", "1", "1", "2", "-1", "-2"]  # as indices
EXPECTED = "Failure", "IndexError", "KeyError", "ZeroDivisionError"


class Writer:
    """Writes one program. It is run on floats all the while, so what there is to share and to change is known.

    Args:
        seed: of the choices, and of the numbers on which the program has to run.
        effects: it also changes things outside of the function. failing: it may raise in the end.
        choices: scalars decide.
    """

    def __init__(self, seed: int, effects: bool = False, failing: bool = False, choices: bool = True):
        self.random, self.effects, self.failing, self.choices = Random(seed), effects, failing, choices
        params, *arrays = numbers(seed, 2)
        self.examples = [[{k: a.tolist() for k, a in params.items()}, *[a[i].tolist() for a in arrays]] for i in (0, 1)]
        self.made = 0
        self.look(self.run(""))

    def statements(self) -> list[tuple[str, str]]:
        """Three to nine statements, each with the name of what it makes, or none."""
        found: list[tuple[str, str]] = []
        wanted = self.random.randint(3, 9)
        for _ in range(10 * wanted):
            new, statement = self.statement(2)
            if re.search(r"\bmissing\b|\bE\(", statement):  # which matters only where it is reached
                continue
            try:
                reached = self.run("".join([text for _, text in found]) + statement)
            except Exception as error:
                if self.failing and type(error).__name__ in EXPECTED and self.random.random() < 0.3:
                    return [*found, ("", statement)]
                continue
            found.append((new if new in reached else "", statement))
            self.look(reached)
            if len(found) == wanted:
                break
        return found

    def run(self, text: str) -> dict[str, Any]:
        """The variables of a program after it ran on floats. Raises an exception if it fails, or if they are large."""
        program, found = prelude(), dict[str, Any]()
        code = LOSS.format(indent(text, "    "), "locals()")
        exec(compile(code, "a program", "exec"), program.__dict__)
        for example in self.examples:
            with redirect_stdout(io.StringIO()):
                found = limited(program.loss, *deepcopy(example))
            if size([value for name, value in found.items() if name != "tokens"]) > 300:
                raise ValueError("it is large")
        return found

    def look(self, reached: dict[str, Any]) -> None:
        """Note all places where these variables hold scalars, lists, lists of lists and dicts."""
        self.places: dict[str, list[str]] = {kind: [] for kind in ("scalar", "list", "rows", "matrix", "grid")}
        self.places["dict"] = ["{}"]
        self.places |= {kind: [] for kind in ("index", "variable", "grown", "counter", "state", "row", "table")}
        for name, value in reached.items():
            if name not in ("tokens", "kept", "i", "j", "a", "b", "r", "q"):
                self.find(name, value, 3)

    def find(self, place: str, value: Any, depth: int) -> None:
        """Note a place that holds a value, and one within it."""
        if type(value).__name__ == "Box":
            place, value = f"{place}.rows", value.rows
        if type(value) is float:
            self.places["scalar"].append(place)
        elif isinstance(value, dict):
            self.places["dict"].append(place)
            for key in value:
                self.find(f"{place}[{key!r}]".replace("'", '"'), value[key], depth - 1)
        elif isinstance(value, (list, tuple)) and value:
            if all(type(item) is float for item in value):
                self.places["list"].append(place)
            rows = [row for row in value if isinstance(row, (list, tuple))]
            if rows:
                self.places["rows"].append(place)
            if rows and all(isinstance(row, (list, tuple)) and {type(x) for x in row} <= {float} for row in value):
                self.places["matrix"].append(place)
                if len({len(row) for row in rows}) == 1 and rows[0]:
                    self.places["grid"].append(place)
            if depth > 0:
                i = self.random.randrange(len(value))
                self.find(f"{place}[{i - len(value) * self.random.randrange(2)}]", value[i], depth - 1)

    def statement(self, depth: int) -> tuple[str, str]:
        """The name of something new, and the statement that makes it or changes something."""
        new, dice = f"made_{self.made}", self.random.random()
        self.made += 1
        if 0.7 < dice < 0.9 and depth == 2:
            return new, self.loops(new)
        made = LISTS if dice < 0.25 else ROWS if dice < 0.45 else SCALARS if dice < 0.5 else []
        made = CHOSEN_LISTS if made is LISTS and self.choices and dice < 0.02 else made
        others = CHANGES if dice < 0.65 else CHOSEN_STATEMENTS if self.by_scalars() else STATEMENTS
        template = "NEW = " + self.choose(made) if made else self.choose(others)
        if dice > 0.9 and depth == 2:
            template = re.sub("READ|STEP", lambda one: self.choose(READS if one[0] == "READ" else STEPS), STATES)
        text = self.fill(template, depth).replace("NEW", new)
        while found := re.search(r"^( *)BODY$", text, re.MULTILINE):
            before = {kind: names[:] for kind, names in self.places.items()}
            if re.search(r"for (i, )?r in", template):  # the row that the loop is at
                self.places["list"] += ["r"] * (1 + len(self.places["list"]) // 2)
            body = self.statement(depth - 1)[1] if depth > 0 and self.random.random() < 0.7 else "pass\n"
            self.places = before  # what a body makes need not exist after it
            text = text[: found.start()] + indent(body, found[1]).rstrip() + text[found.end() :]
        return new, text + "\n"

    def loops(self, new: str) -> str:
        """One or two loops, and what they have changed as a list of this name."""
        before = {kind: names[:] for kind, names in self.places.items()}
        lines, made = [], []
        for name, (kinds, options) in BEGINNINGS.items():
            if name == "x" or self.random.random() < 0.5:
                variable = f"{name[0]}_{new}"
                lines.append(f"{variable} = {self.fill(self.choose(options.split(' | ')), 0)}")
                self.add(variable + name[1:], kinds)
                made.append(variable)
        lines += [
            line for _ in range(self.random.choice([1, 1, 2])) for line in self.loop(self.random.randint(0, 2), 0)
        ]
        made += self.random.sample(["i", "a", "k", "r", "NEW"], self.random.random() < 0.3)
        self.places = before
        return "\n".join([*lines, f"NEW = [{', '.join(made)}]\n"]).replace("NEW", new)

    def add(self, name: str, kinds: str) -> None:
        """Note a place in a loop, where it is taken more often than others."""
        forms = (
            [name]
            if "index" not in kinds
            else [name] * 6 + [f"{name} - 1", f"{name} + 1", f"-1 - {name}", f"{name} % 2"]
        )
        for kind in kinds.split() + ["list"] * (kinds == "grown"):
            self.places[kind] += (forms if kind == "index" else [name]) * (1 + len(self.places[kind]) // 4)

    def loop(self, within: int, level: int) -> list[str]:
        """A loop with some others within it."""
        before = {kind: names[:] for kind, names in self.places.items()}
        head = re.sub(r"\b[iabcrq]\b", lambda found: found[0] + "123"[level] * (level > 0), self.choose(HEADS))
        filled = self.fill(head, 0)
        for name in set(re.findall(r"\b[iabrq]\d?\b", head.partition(" in ")[0])):
            self.add(name, {"i": "index", "r": "list", "q": "list"}.get(name[0], "scalar"))
        body: list[str] = []
        for _ in range(self.random.randint(1, 3)):
            dice = self.random.random()
            turn = [self.fill(self.choose(TURNS if dice < 0.9 else GENTLE), 0)]
            if within and dice < 0.4:
                body += self.loop(within - 1, level + 1)
            elif dice < 0.6:
                body += self.choice(turn[0], dice)
            else:
                body += turn
        self.places = before
        body = ["    " + line for line in body]
        counter = re.fullmatch(r"(\w+) in range\(([^,]*)\)", filled)
        if counter and self.random.random() < 0.3:
            name, bound = counter.groups()
            return [f"{name} = 0", f"while {name} < {bound}:", *body, f"    {name} += 1"]
        return [f"for {filled}:", *body]

    def choice(self, turn: str, dice: float) -> list[str]:
        """An `if` in a loop, by its index or by scalars."""
        scalars = self.by_scalars()
        lines = []
        for word in ("if", "elif")[: 1 + (scalars and self.random.random() < 0.4)]:
            test, other = (self.fill(self.choose(one), 0) for one in (SCALAR_TESTS if scalars else TESTS, TURNS))
            lines += [f"{word} {test}:", f"    {turn if word == 'if' else other}"]
        if dice > 0.55:
            jump = self.choose(["continue", "continue", "break"]) if scalars else "continue"
            lines[-1:] = [f"    {jump}"] if self.random.random() < 0.5 else [lines[-1], f"    {jump}"]
        elif dice < 0.5:
            lines += ["else:", f"    {self.fill(self.choose(TURNS), 0)}"]
        return [re.sub(r"^( +)NEW = .*", r"\1pass", line) for line in lines] if scalars else lines

    def by_scalars(self) -> bool:
        """Whether scalars are to decide: not where it may fail, because an error in their branches becomes nan."""
        return self.choices and not self.failing and not self.effects and self.random.random() < 0.4

    def choose(self, options: list[str]) -> str:
        return self.random.choice(options)

    def place(self, kind: str) -> str:
        """A place that holds such a thing, more often one that was made later."""
        places = self.places[kind] or ["missing"]
        return self.choose(places[len(places) // 2 :] if self.random.random() < 0.5 else places)

    def fill(self, template: str, depth: int) -> str:
        """The template with something in place of each capital letter, the same for the same."""
        for name, some in (("C", TESTS), ("PAIR", PAIRS), ("JUMP", ["break", "continue"])):
            template = re.sub(rf"\b{name}\b", lambda _, some=some: self.choose(some), template)  # type: ignore[misc]
        for letter in sorted(set(re.findall(r"\b[STLHUVRQMNGDIJKXYZOWPF]\b", template))):
            if letter in "IJ":
                what = self.choose([*CONSTANTS, *self.places["index"] * 2, *["i % 2"] * ("for i" in template)])
            elif letter in "UVMN" and depth > 0 and self.random.random() < 0.4:
                what = f"({self.fill(self.choose(LISTS if letter in 'UV' else ROWS), depth - 1)})"
            else:
                what = self.place(KINDS[letter])
            template = re.sub(rf"\b{letter}\b", lambda _, what=what: what, template)
        return re.sub(r"\bE\(([^()]*)\)", lambda found: self.expression(found[1].split(", "), depth), template)

    def expression(self, arguments: list[str], depth: int) -> str:
        """An expression of scalars, and of integers if there are some among these."""
        integers = [a for a in arguments if a in ("i", "j", "k")]
        scalars = [a for a in arguments if a not in integers] or [self.place("scalar")]
        dice = self.random.random()
        forms = FORMS if not integers or self.random.random() < 0.4 else INTEGER_FORMS
        if self.failing and integers and dice < 0.25:
            forms = FAILURES
        elif self.effects and dice < 0.3:
            forms = INTEGER_EFFECTS if integers and dice < 0.15 else EFFECTS
        elif self.choices and dice > 0.85:
            forms = CHOICES
        form = re.sub(r"\bI\b", self.choose(integers), self.choose(forms)) if integers else self.choose(forms)

        def operand(_: re.Match[str]) -> str:
            inner = depth > 0 and self.random.random() < 0.15
            known = [*scalars, *scalars, self.place("scalar")]
            return self.expression(arguments, depth - 1) if inner else self.choose(known)

        return "(" + re.sub(r"\b[AB]\b", operand, self.fill(form, 0)) + ")"


@cache
def prelude() -> ModuleType:
    return load(PRELUDE, None)


def size(tree: Any, depth: int = 8) -> int:
    """How many numbers there are in lists, dicts and objects; those of a list are counted wherever it is."""
    if isinstance(tree, (int, float)):
        if not abs(tree) < 100:
            raise ValueError("it is large")
        return 1
    tree = tree.rows if type(tree).__name__ == "Box" else tree
    branches = tree if isinstance(tree, (list, tuple)) else tree.values() if isinstance(tree, dict) else ()
    if depth == 0 and branches:
        raise ValueError("it is deep")
    return sum([size(branch, depth - 1) for branch in branches])


def limited(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function gives. Raises TimeoutError if it runs through some thousand lines."""
    lines = 0

    def count(*_: Any) -> Any:
        nonlocal lines
        lines += 1
        if lines > 5000:
            raise TimeoutError
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        return function(*arguments)
    finally:
        sys.settrace(before)


def module(statements: list[tuple[str, str]]) -> str:
    """The text of a module with a loss of all that these statements make, and of what they were given."""
    names = ", ".join([name for name, _ in statements if name] + ["p", "x", "grid"])
    text = indent("".join([text for _, text in statements]), "    ")
    return PRELUDE + LOSS.format(text, f"0.01 * sum(kept) + everything([{names}])")


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
    n, m, length, rows, columns, some = rng.integers(1, 7, 6)
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
        found.gradients = leaves_of(gradients)
    except Exception as error:
        found.error = error
    found.log, found.printed = program.LOG, printed.getvalue()
    return found


def recorded(source: str, directory: Path, params: Any, *arrays: Any) -> Outcome:
    """The loss alone, by the numbers of what the compiler records: quicker than to compile it."""
    names = zip(("x", "grid", "tokens"), ("float", "float", "int"), arrays, strict=True)
    given = [(name, kind, array.shape[1:]) for name, kind, array in names]
    found, losses = Outcome(), []
    try:
        record = record_function(
            load(source, directory).loss, {name: array.shape for name, array in params.items()}, given
        )
        flat = np.concatenate([np.ravel(array) for array in params.values()])
        node, index = record.outputs[0]
        for x, grid, tokens in zip(*arrays, strict=True):
            known = numbers_of(record, flat, tokens, np.concatenate([x, np.ravel(grid)]))
            losses.append(float(known[node][tuple(index)]))
        found.loss = float(np.mean(losses))
    except Exception as error:
        found.error = error
    return found


def difference(expected: Outcome, found: Outcome) -> str:
    """What of the second is not as in the first, in a line; nothing if they are alike, or if a choice is refused."""
    refused = str(found.error) if isinstance(found.error, RecordingError) else ""
    if any(
        words in refused
        for words in (
            "of the example",
            "a recorded scalar chose",
            "branch of a choice",
            "branches of a choice",
            "a test for truth",
            "scalar chooses",
            "scalar ends the loop",
            "choices within choices",
            "an index or range",
            "int(), round()",
            "a comparison (==, !=, in)",
        )
    ):
        return ""
    if type(expected.error).__name__ not in [kind.__name__ for kind in type(found.error).__mro__]:
        return f"raised {found.error!r}, expected {expected.error!r}"
    if not abs(found.loss - expected.loss) <= 1e-12 * max(1.0, abs(expected.loss)):
        return f"loss {found.loss!r}, expected {expected.loss!r}"
    if expected.log != found.log:
        return f"logged {found.log}, expected {expected.log}"
    if expected.printed != found.printed:
        return f"printed {found.printed!r}, expected {expected.printed!r}"
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
