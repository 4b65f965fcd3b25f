"""Functions of scalars at random whose lists are shared, copied and changed, as source text.

`text_of(Changer(random).statements())` is the text of a module with a function `loss(p, x, grid, tokens)`. Each
statement comes from one of the templates below, or of those of `loop_programs`. In them, besides the capital letters
that are explained there, these stand for something that the program has by then:

    L H     a list of scalars that may change: a name, or a place within another list, a dict or an object
    O R     a list of such lists, or of tuples that hold some; its rows may be of different lengths, or the same one
    D       a dict of lists
    I J     a small integer, as an index

A statement is taken only if the program still runs on plain floats, and its lists and numbers stay small.
"""

import re
import sys
from collections.abc import Callable
from functools import cache
from random import Random
from textwrap import indent
from types import ModuleType
from typing import Any

import numpy as np
from loop_programs import AFTER, BEFORE, LISTS, MATRICES, PRELUDE, Writer, load, numbers

from microgpt.engines.compiled.recorded_numbers import numbers_of
from microgpt.engines.compiled.recording import record_function

HELPERS = """\
import copy


class Box:
    def __init__(self, rows, label=0):
        self.rows, self.label = rows, label

    def put(self, i, j, z):
        self.rows[i][j] = z
        return self

    def add(self, row):
        self.rows.append(row)
        self.label += 1
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i]

    def __len__(self):
        return len(self.rows)

    def __enter__(self):
        return self.rows

    def __exit__(self, *_):
        self.rows.reverse()


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


def turned(rows):
    return [list(column) for column in zip(*rows)]


def everything(tree):
    if isinstance(tree, Box):
        return everything(tree.rows)
    if isinstance(tree, dict):
        return everything(list(tree.values()))
    if isinstance(tree, (list, tuple)):
        return sum([everything(branch) * (1 + 0.17 * (i % 5)) for i, branch in enumerate(tree)])
    return calm(tree)


"""

NEW_LISTS = """
[[0.0] * 3 for _ in range(2)]
[[0.0 for _ in range(2)] for _ in range(3)]
[[S for _ in range(2)] for _ in range(3)]
[[] for _ in range(2)]
[[E(a, S) for a in U] for _ in range(3)]
[[0.5 * a, E(a)] for a in U]
[[E(a, b) for b in L] for a in H]
[[E(a, i) for a in r] for i, r in enumerate(O)]
[[O[j][i] for j in range(len(O))] for i in range(len(O[0]))]
[0.0] * 3
[S] * 3
[U] * 2
[L] * 3
[L for _ in range(3)]
[L, H]
[L, [E(a) for a in L], L]
(L, H)
(L, S)
([E(a) for a in U], 0.5 * S)
[([E(a), S], 0.5 * a) for a in U]
[(r, sum(r)) for r in O]
[[r, r[:]] for r in O]
[Box(r) for r in O]
{"a": L, "b": [S, T]}
{i: r for i, r in enumerate(O)}
{i: [E(a, i)] for i, a in enumerate(U)}
dict(zip("abc", O))
Box(O)
Box(L)
list(O)
O[:]
O[I:]
O[::2]
O[::-1]
O.copy()
copy.copy(O)
copy.copy(L)
tuple(O)
[r for r in O]
[r for r in reversed(O)]
[*O, L]
O + R
O + [L]
O * 2
list(reversed(O))
sorted(O, key=len)
[O[i] for i in sorted(range(len(O)), key=lambda i: -i)]
[O[-1 - i] for i in range(len(O))]
[O[i - 1] for i in range(len(O))]
[O[I] for _ in O]
[O[i][1:] for i in range(len(O))]
[O[i][: i + 1] for i in range(len(O))]
[r[:] for r in O]
[list(r) for r in O]
[r.copy() for r in O]
[r + [S] for r in O]
[[*r, *L] for r in O]
list(map(list, O))
list(map(list, zip(*O)))
turned(O)
list(zip(*O))
list(zip(O, R))
list(zip(O, L))
list(enumerate(O))
[(i, r) for i, r in enumerate(O)]
[r if i % 2 else O[0] for i, r in enumerate(O)]
[r for r in O if len(r) > 1]
[r for i, r in enumerate(O) if i]
[a for r in O for a in r]
[put(r, I, S) for r in O]
[put(r, I, E(r[I], i)) for i, r in enumerate(O)]
[r.append(S) or sum(r) for r in O]
[walk(r, 0, S) for r in O]
[memo(I, O, D) for _ in range(2)]
[D.setdefault(i, r) for i, r in enumerate(O)]
damp(O)
L
O
O[I]
D
[pick(G, t) for t in tokens]
[list(pick(G, t)) for t in tokens]
[sum(pick(G, t)) for t in tokens]
[pick(L, t) for t in tokens]
[sum(r) for r in O]
[E(r[I], r[J]) for r in O]
[O[i][I] for i in range(len(O))]
[sum(O[j][I] for j in range(i)) for i in range(len(O))]
[sum([r[I] * a for r in O]) for a in U]
[calm(sum(a * b for a, b in zip(r, q))) for r in O for q in R]
[by_index(O), by_row(O), by_column(O)]
[sum(r is q for q in R) * S for r in O]
[S * (r is O[0]) + E(r[0]) for r in O]
[S * len(r) * 0.2 for r in O]
[largest(r) * S * 0.3 for r in O]
[by_index([r, L]) for r in O]
[r[i] for i in range(2) for r in O]
list(D.values())
[sum(r) for r in D.values()]
[len(L) * 0.1 * S, len(O) * 0.1 * S, any(r is L for r in O) * S]
""".strip().splitlines()

CHANGES = """
L[I] = S
L[I] += S
L[I] *= 0.5
L[I] = E(L[J], L[I])
L[I], L[J] = L[J], L[I]
L.append(S)
L.append(E(L[I], S))
L.insert(I, S)
L.pop()
L.pop(I)
del L[I]
L.reverse()
L.extend(H) if len(L) < 9 else None
L.extend(L) if len(L) < 9 else None
L += [S, T]
L *= 2 if len(L) < 9 else 1
L[:] = [E(a) for a in L]
L[::2] = [E(a, S) for a in L[::2]]
L.clear()
O[I][J] = S
O[I][J] += S
O[I] = L
O[I] = O[J]
O[I] = [E(a) for a in L]
O[I], O[J] = O[J], O[I]
O.append(L)
O.append(O[I])
O.append([E(a, S) for a in L])
O.insert(I, L)
O.pop(I)
del O[I]
O.extend(O) if len(O) < 9 else None
O.extend(R) if len(O) < 9 else None
O += [L, H]
O[I:J] = [L, H]
O[:] = O[::-1]
O.reverse()
O.sort(key=len)
D["n"] = L
D[0] = D.pop(I)
D[I][J] = S
D.update({I: L})
damp(O)
walk(L, 0, S)
[r.reverse() for r in O]
[put(r, I, S) for r in O]
NEW, L[I] = L[I], S
p["s"] = E(S, T)
p["a"] = L
""".strip().splitlines()
SEVERAL_LINES = """
if len(L) < 9:
    L += H

if len(L) < 9:
    L[I:J] = H

for i in range(len(O)):
    O[i][I] = E(O[i][J], i)

for i, r in enumerate(O):
    r[I] = E(r[J], S, i)
    BODY

for i, r in enumerate(O):
    O[i] = [E(a, i) for a in r]

for i, r in enumerate(O):
    for j in range(len(r)):
        r[j] += 0.1 * O[i - 1][j % len(O[i - 1])]

for i in range(len(O)):
    for j in range(len(O[i])):
        O[i][j] = E(O[i][j], i)
    BODY

for r, a in zip(O, U):
    r[I] = E(a, r[J])

for r, q in zip(O, reversed(R)):
    r[I] = q[J]

for r in O:
    r.append(E(r[0]))
    BODY

for i, r in enumerate(O):
    if len(O) < 5:
        O.append([E(a, i) for a in r])
    BODY

for (r, _) in list(zip(O, R)):
    r[I] = S

for i, (r, a) in enumerate(zip(O, U)):
    if i % 2:
        r[I] = a
    else:
        O[I] = r
    BODY

r = O[0]
for q in O[1:]:
    r = [E(a, b) for a, b in zip(r, q)]
    O[0] = r
    BODY

q = L
for i in range(2):
    q = q + [S]
    BODY
q[0] = E(S, T)

for i in range(3):
    O[i % len(O)] = L
    BODY

while len(L) > 1:
    BODY
    L.pop()

if len(O) > len(L):
    O[I] = L
else:
    L[I] = sum(O[J])

if L is O[I]:
    BODY
else:
    O[I][J] = S

try:
    BODY
    L[I] = S
    O[len(O)].append(S)
except IndexError:
    L[J] = T
finally:
    O[I][J] = E(S, L[0])

with Box(O) as rows:
    rows[I][J] = S
    BODY
rows[J][I] = T

NEW = Box(O).put(I, J, S)
NEW.rows[J][I] = T

NEW = Box(O)
NEW.add(L)
L[I] = S

NEW = Box(O[I])
O[I][J] = S
NEW.rows[I] += S

def NEW_function(z, seen=[]):
    seen.append(z)
    return sum(seen)
NEW = [NEW_function(a) for a in U]

def NEW_function(z, kept=L):
    kept[I] = calm(kept[J] + z)
    return kept
NEW = [NEW_function(S), NEW_function(T)]

def NEW_function():
    return by_index(NEW_rows)
NEW_rows = O
NEW = [NEW_function()]
O[I][J] = S
NEW.append(NEW_function())
NEW_rows = [L, H]
NEW.append(NEW_function())

NEW = [lambda r=r: sum(r) for r in O]
O[I][J] = S
BODY
NEW = [function() for function in NEW]

def NEW_function(rows, n):
    if n == 0:
        return [S]
    rows[n % len(rows)][0] += 0.1 * n
    return [*NEW_function(rows, n - 1), sum(rows[0])]
NEW = NEW_function(O, 3)

def NEW_function(rows):
    for r in rows:
        r[0] = calm(r[0] + S)
        yield r
NEW = []
for r in NEW_function(O):
    NEW.append(r)
    r[J] = T
    BODY

def NEW_function():
    nonlocal NEW
    NEW = NEW + [L]
    return sum(NEW[0])
NEW = [H]
NEW.append([NEW_function(), NEW_function()])

NEW = (E(a, S) for a in L)
L[I] = S
NEW = list(NEW)

NEW = (sum(r) for r in O)
O[I][J] = S
NEW = [next(NEW)]

iterator = iter(L)
NEW = [next(iterator)]
L[I] = S
NEW += list(iterator)

pairs = zip(O, R)
O[I][J] = S
NEW = [[sum(r), sum(q)] for r, q in pairs]

NEW = enumerate(O)
O[I] = L
NEW = list(NEW)

NEW = reversed(L)
L[I] = S
NEW = list(NEW)

NEW = map(sum, O)
O[I][J] = S
NEW = list(NEW)

NEW = D
for i in range(3):
    memo(i % len(O), O, NEW)[0] += S
    BODY

NEW = [L]
for i, r in enumerate(O):
    NEW.append([E(a, b) for a, b in zip(NEW[-1], r)])
    NEW[0] = NEW[-1]
    BODY

NEW = [[] for _ in range(2)]
for i, r in enumerate(O):
    NEW[i % 2].append(sum(r))
    NEW[-1].append(by_index(NEW))

NEW = [r for r in O]
NEW[I] = L
NEW[J][I] = S

NEW = O[I:]
NEW[J][I] = S

NEW = L[I:]
NEW[0] = S

first, *NEW = O
first[I] = S

NEW, other = O[I], O[J]
other[0] = S

NEW = other = [E(a) for a in U]
other += L

NEW = sum(pick(G, tokens[0]))
G[I][J] = S
NEW = [NEW, sum(pick(G, tokens[0]))]

NEW = list(pick(G, tokens[0]))
NEW[I] = S

match O:
    case [r, *q]:
        r[I] = S
        NEW = q
    case _:
        NEW = []
""".strip().split("\n\n")

SOME = {"L": "list", "H": "list", "O": "rows", "R": "rows", "D": "dict"}  # what a letter stands for

SCALARS_AS_KEYS = re.compile(r"\{a\b|: j for j")  # where a float is its number, and a Value is itself


class TooLongError(Exception):
    """A program goes on and on."""


class Changer(Writer):
    """Writes one program. What it has made so far is run on floats, so it knows what there is to share and to change.

    Args:
        random: where the choices come from.
        seed: of the numbers on which the program has to run.
    """

    def __init__(self, random: Random, seed: int):
        super().__init__(random)
        params, *arrays = numbers(seed, 2)
        self.params = {name: array.tolist() for name, array in params.items()}
        self.examples = [[array[row].tolist() for array in arrays] for row in range(2)]
        self.text = ""
        self.look(self.run(""))

    def statements(self) -> list[tuple[str, str]]:
        """Three to twelve statements, each with the name of what it makes, or none."""
        found: list[tuple[str, str]] = []
        for _ in range(20 * self.random.randint(3, 12)):
            try:
                new, statement = self.statement(2)
                if SCALARS_AS_KEYS.search(statement):
                    continue
                reached = self.run(self.text + statement)
            except Exception:
                continue
            found.append((new if new in reached else "", statement))
            self.text += statement
            self.look(reached)
            if self.random.random() < 0.1:
                break
        return found

    def run(self, text: str) -> dict[str, Any]:
        """The variables of a program after it ran on floats. Raises an exception if it fails, or if they are large."""
        program = prelude()
        code = f"def run(p, x, grid, tokens):\n{indent(BEFORE + text, '    ')}    return locals()\n"
        exec(compile(code, "a program", "exec"), program.__dict__)
        found: dict[str, Any] = {}
        for example in self.examples:
            found = limited(program.run, copied(self.params), *copied(example))
            if size(list(found.values())) > 300:
                raise ValueError("it is large")
        return found

    def look(self, reached: dict[str, Any]) -> None:
        """Note all places where these variables hold scalars, lists, lists of lists and dicts."""
        self.names = {"scalar": [], "list": [], "matrix": [], "rows": [], "dict": ["{}"]}
        self.filled = {"P": self.names["list"], "G": []}
        for name, value in reached.items():
            if name not in ("tokens", "kept", "i"):
                self.find(name, value, 3)

    def find(self, place: str, value: Any, depth: int) -> None:
        """Note a place that holds a value, and one within it."""
        if type(value).__name__ == "Box":
            place, value = f"{place}.rows", value.rows
        if type(value) is float:
            self.names["scalar"].append(place)
        elif isinstance(value, dict):
            self.names["dict"].append(place)
            for key in value:
                if isinstance(key, (int, str)):
                    self.find(f'{place}["{key}"]' if isinstance(key, str) else f"{place}[{key}]", value[key], depth - 1)
        elif isinstance(value, (list, tuple)) and value:
            rows = [row for row in value if isinstance(row, (list, tuple))]
            if not rows and holds_floats(value):
                self.names["list"].append(place)
            elif rows:
                self.names["rows"].append(place)
                if len(rows) == len(value) and all(map(holds_floats, rows)):
                    self.names["matrix"].append(place)
                    if len({len(row) for row in rows}) == 1 and rows[0]:
                        self.filled["G"].append(place)
            if depth > 0:
                i = self.random.randrange(len(value))
                self.find(f"{place}[{i - len(value) * self.random.randrange(2)}]", value[i], depth - 1)

    def fill(self, template: str, depth: int) -> str:
        for letter in sorted(set(re.findall(r"\b[LHORDIJ]\b", template))):
            indices = ["0", "0", "1", "1", "2", "-1", "-2", "i % 2" if "for i" in template else "0"]
            what = self.name(SOME[letter]) if letter in SOME else self.choose(indices)
            template = re.sub(rf"\b{letter}\b", lambda _, what=what: what, template)
        return super().fill(template, depth)

    def statement(self, depth: int) -> tuple[str, str]:
        dice = self.random.random()
        if dice < 0.1:
            return super().statement(depth)
        new = f"made_{self.made}"
        self.made += 1
        made = NEW_LISTS if dice < 0.45 else LISTS + MATRICES if dice < 0.5 else []
        template = "NEW = " + self.choose(made) if made else self.choose(CHANGES if dice < 0.75 else SEVERAL_LINES)
        lines = []
        before = {kind: names[:] for kind, names in self.names.items()}
        for line in self.fill(template, depth).replace("NEW", new).split("\n"):
            if line.strip() == "BODY":
                if "for r in" in template or "for i, r in" in template:  # the row that the loop is at
                    self.names["list"] += ["r"] * (1 + len(self.names["list"]) // 2)
                body = self.statement(depth - 1)[1] if depth > 0 and self.random.random() < 0.7 else "pass"
                self.names = {kind: names[:] for kind, names in before.items()}
                line = indent(body, line[: -len("BODY")]).rstrip()
            lines.append(line)
        return new, "\n".join(lines) + "\n"


@cache
def prelude() -> ModuleType:
    return load(PRELUDE + HELPERS, None)


def holds_floats(row: Any) -> bool:
    return all(type(item) is float for item in row)


def copied(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: copied(branch) for key, branch in tree.items()}
    return [copied(branch) for branch in tree] if isinstance(tree, list) else tree


def size(tree: Any, depth: int = 8) -> int:
    """How many numbers there are in lists, dicts and objects; those of a list are counted wherever it is."""
    if isinstance(tree, (int, float)):
        if not abs(tree) < 100:
            raise ValueError("it is large")
        return 1
    if type(tree).__name__ == "Box":
        tree = tree.rows
    branches = tree if isinstance(tree, (list, tuple)) else tree.values() if isinstance(tree, dict) else ()
    if depth == 0 and branches:
        raise ValueError("it is deep")
    return sum([size(branch, depth - 1) for branch in branches])


def limited(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function gives. Raises TooLongError if it runs through some thousand lines."""
    lines = 0

    def count(*_: Any) -> Any:
        nonlocal lines
        lines += 1
        if lines > 5000:
            raise TooLongError
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        return function(*arguments)
    finally:
        sys.settrace(before)


def text_of(statements: list[tuple[str, str]]) -> str:
    """The text of a module with a loss of all that these statements make, and of what they were given."""
    body = "".join(text for _, text in statements)
    results = ", ".join([name for name, _ in statements if name] + ["p", "x", "grid"])
    ending = AFTER.format(results).replace("flat(result)", "everything(result)")
    return f"{PRELUDE}{HELPERS}def loss(p, x, grid, tokens):\n{indent(BEFORE + body + ending, '    ')}"


def recorded_losses(function: Any, params: Any, *arrays: Any) -> list[float]:
    """The loss of each example by what the compiler records of a function: quicker than to compile it."""
    names = zip(("x", "grid", "tokens"), ("float", "float", "int"), arrays, strict=True)
    given = [(name, kind, array.shape[1:]) for name, kind, array in names]
    record = record_function(function, {name: array.shape for name, array in params.items()}, given)
    flat = np.concatenate([np.ravel(array) for array in params.values()])
    node, index = record.outputs[0]
    losses = []
    for x, grid, tokens in zip(*arrays, strict=True):
        known = numbers_of(record, flat, tokens, np.concatenate([x, np.ravel(grid)]))
        losses.append(float(known[node][tuple(index)]))
    return losses
