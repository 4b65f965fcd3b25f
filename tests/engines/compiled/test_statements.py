"""`for` statements are read as one line about all turns, and mean what they mean in Python.

Each case is a loop. Before it, `total` is 0.0 and `out` is an empty list; both make the loss. The parameters are s, a
scalar, w [n] and m [n, n]; the example is x [n].
"""

from functools import partial

import numpy as np
import pytest
from helpers import assert_equal_engines
from random_programs import load

from microgpt.engines.compiled.record import CONSTANT
from microgpt.engines.compiled.recording import record_function
from microgpt.engines.engine import value_and_grad
from microgpt.gpt import GPTConfig, loss
from microgpt.learning.parameters import parameter_shapes

AROUND = """
import math
from collections import defaultdict, namedtuple
from functools import reduce
from itertools import accumulate

from microgpt.functions import softmax, tanh
from microgpt.value import exp


TABLE = [[math.cos(i * k) for k in (1, 2, 3)] for i in range(40)]


Pair = namedtuple("Pair", "first second")


class Counter:
    turns = 0


class Cell:
    # a recurrent net that keeps its state
    def __init__(self, weights):
        self.weights, self.state, self.history = weights, [0.0] * len(weights), []

    def read(self, a):
        self.state = [tanh(b * w + a) for b, w in zip(self.state, self.weights, strict=True)]
        self.history.append(sum(self.state))


def weighed(items):
    # a sum in which no two items count the same, of lists within lists, too
    if not isinstance(items, list):
        return items
    return sum([(1 + 0.3 * i) * weighed(one) for i, one in enumerate(items)])


def decayed(row, s):
    total = 0.0
    for a in row:
        total = total * s + a
    return total


def loss(p, x):
    s, w, m, n, total, out = p["s"], p["w"], p["m"], len(x), 0.0, []
%s
    return total * (2 + s) + weighed(out)
"""

ONE_LINE = """
# keys of several layers
keys = [[], []]
for a in x:
    h = [a * b + s for b in w]
    for layer in range(2):
        keys[layer].append(h)
        scores = [sum(h[j] * keys[layer][t][j] for j in range(3)) for t in range(len(keys[layer]))]
        exps = [exp(score - max(scores)) for score in scores]
        h = [sum(exps[t] * keys[layer][t][j] for t in range(len(exps))) / sum(exps) for j in range(len(h))]
    total += sum(h)

# fields of a named tuple
pair = Pair(s, w)
for i, a in enumerate(x):
    total += pair.first * a if a > 0 else pair[0] * pair.second[i]

# a sum
for a, b in zip(x, w, strict=True):
    total += a * b

# sums that begin elsewhere
squares, total = 1, s
for i in range(n):
    total = total - x[i] * w[i]
    squares += x[i] ** 2 * (i + 1)
total *= squares

# sums in a list
out = [0.0, s]
for a in w:
    out[0] += a
    out[1] += a * a

# an object that keeps its state
cell = Cell([s, 0.5, s])
for a in x:
    cell.read(a)
out = [cell.state, sum(cell.history)]

# more objects that keep a state
cells = [Cell([s, 0.1 * k]) for k in range(5)]
for a in x:
    for cell in cells:
        cell.read(a)
out = [cell.state for cell in cells]

# keys made piece by piece
keys = []
for a, b in zip(x, w, strict=True):
    key = []
    for c in (a, b):
        key += [c * s, c + 1]
    keys.append(key)
    total += sum([sum([a * (c + d) for c, d in zip(key[:2], key[2:], strict=True)]) for key in keys])

# angles by functions of math
for i, a in enumerate(x):
    angles = [i * 100 ** (-k / 3) for k in range(3)]
    total += a * sum([w[k] * math.cos(angle) - math.sin(angle) for k, angle in enumerate(angles)]) / math.sqrt(i + 2)

# a table of numbers from elsewhere
for i, a in enumerate(x):
    total += a * sum([b * c for b, c in zip(TABLE[i], w[:3], strict=True)])

# powers of plain numbers
for i in range(n):
    total += x[i] * w[i] * 0.9**i

# an inner loop that appends to a list from outside of both
for k in range(3):
    for a in x:
        out.append(a * w[k])

# single items of a list
out = [0.0] * n
for i in range(n):
    for j in range(n):
        out[i] += m[i][j] * x[j]

# a counter
k = 0
for a in x:
    total += a * w[k]
    k += 1
total *= k

# rows appended
for row in m:
    new = []
    for a, b in zip(row, x, strict=True):
        new.append(a * b)
    out.append(new)

# stored
out = [s] + [0.0] * n
for i in range(n):
    out[i + 1] = x[i] * w[i]

# stored by rows
out = [[0.0] * n for _ in range(n)]
for i in range(n):
    for j in range(n):
        out[i][j] = m[i][j] * x[j]

# stored by columns
out = [[0.0] * n for _ in range(n)]
for j in range(n):
    for i in range(n):
        out[i][j] = m[i][j] * x[j]

# added to the items of a list
out = [0.0] * n
for i in range(n):
    for j in range(n):
        out[j] += x[i] * m[i][j]

# a matrix product
out = [[s] * n for _ in range(n)]
for i in range(n):
    for k in range(n):
        for j in range(n):
            out[i][j] += m[i][k] * m[k][j] * x[k]

# attention over all so far
keys = []
for row in m:
    keys.append([a * b for a, b in zip(row, x, strict=True)])
    scores = []
    for key in keys:
        scores.append(sum([a * b for a, b in zip(row, key, strict=True)]))
    weights = softmax(scores)
    out.append([sum([b * key[j] for b, key in zip(weights, keys, strict=True)]) for j in range(n)])

# a triangle
for i in range(n):
    y = 0.0
    for j in range(i + 1):
        y += m[i][j] * x[j]
    out.append(y)

# the ends differ
for i in range(n):
    y = x[i] * w[i]
    if i > 0:
        y += x[i - 1]
    if i == n - 1:
        y *= s
    out.append(y)

# every third differs
for i in range(n):
    if i % 3 == 0:
        total += x[i] * s
    else:
        total += tanh(x[i] * w[i]) * i

# turns left out
for i, a in enumerate(x):
    if i % 2:
        continue
    total += a * w[i]

# a scalar as state
for a in x:
    total = tanh(total * s + a)
    out.append(total)

# scalars that change places
u, v = 0.1, s
for a in x:
    u, v = v * a, u + v * 0.5
total = u + 2 * v

# a tuple as state
state = s, 0.0
for a in x:
    u, v = state
    state = v * 0.9 + a, u * v * 0.1 + s
total = state[0] * state[1]

# a list as state
out = [0.0, 0.1, s]
for a in x:
    out = [tanh(out[2 - i] + out[i] * a) for i in range(3)]

# a list as state and as a row
row = [0.1, s]
for a in x:
    new = [tanh(b * s + a) for b in row]
    out.append(new)
    row = new
row[0] = x[0]
total = new[0] * (row is out[-1])

# a list changed in place
out = [0.0, 0.1, s]
for a in x:
    for i in range(3):
        out[i] = tanh(out[i] * s + a)

# a state within a state
for row in m:
    y = total
    for a, b in zip(row, x, strict=True):
        y = tanh(y * a + b)
    total = total * s + y

# loops in functions
total = sum([decayed(row, s) * a for row, a in zip(m, x, strict=True)])
for row in m:
    total = total * s + decayed(row, 0.3)

# loops within one in Python
u, out = [a * s for a in x], [0.0] * n
for k in range(4):
    for i in range(n):
        out[i] = u[n - 1 - i] * x[k]
    u, out = out, u

# choices by scalars
most = x[0]
for a in x:
    y = a * s
    if y > 0.2:
        total += y
    most = max(most, y)
    out.append(y if y < 0.5 else abs(a) * y)
total *= most

# what the last turn set
for i, a in enumerate(x):
    y = a * w[i]
total = y * i * a

# neighbours in place
out = [a * s for a in x]
for i in range(1, n):
    out[i] += 0.5 * out[i - 1]

# a fold over numbers, and one over rows
total = reduce(lambda h, a: tanh(h * s + a), x) * reduce(lambda h, a: h + a * a, x, s)
out = reduce(lambda h, a: [tanh(b * s + a) for b in h], x, [s, 0.1])

# a fold of which every value is seen
out = [*accumulate(x, lambda h, a: tanh(h * s + a), initial=0.5)]
*_, total = accumulate(a * s for a in x)

# a generator that keeps its state
def states():
    h = [s, 0.1]
    for a in x:
        h = [tanh(b * s + a) for b in h]
        yield h
for h in states():
    total += h[0] * h[1]
total += sum(sum(h) for h in states())

# a comprehension that reads an object on
cell = Cell([s, 0.5, s])
total = sum([cell.read(a) or cell.state[0] for a in x])
out = [sum(cell.history), [a * s for a in cell.state]]

# nothing before the first turn
h, best = None, None
for a, b in zip(x, w, strict=True):
    h = a if h is None else tanh(h * s + b)
    best = h if best is None or h > best else best
total = h * best

# layers of which each has a list of its own
states = [[s, 0.2], [0.1, s]]
first = states[0]
for a in x:
    for k in range(2):
        states[k] = [tanh(b * s + a) for b in states[k]]
        a = states[k][0]
    y = states[1]
out = [states, y, first]

# all items of a list at once
out = [s, 0.2, 0.1]
same = out
for a in x:
    out[:] = [b * s + a for b in same]
    same[1] *= a
total = sum(same)

# items of a dict set
seen = {"n": 0, "h": s}
for a in x:
    seen["h"] = seen["h"] * 0.5 + a
    seen["n"], total = seen["n"] + 1, total + a * seen["n"]
total *= seen["h"] * seen["n"]

# a dict that each turn makes, and one whose entry the first turn makes
sums = defaultdict(float)
for a in x:
    gates = {"in": a * s}
    for name in ("out", "on"):
        gates[name] = tanh(a + gates["in"])
    sums["all"] += gates["on"] * gates["out"]
    total += sums["all"]

# a named tuple that each turn makes anew, and one that it changes
pair, other = Pair(s, [0.1, s]), Pair(0.2, None)
for a in x:
    pair = Pair(tanh(pair.first + a), [b * s + a for b in pair.second])
    other = other._replace(first=other.first * s + pair[0])
    total += Pair(a, s).first * other.first
out = [*pair, other.first]

# a property
class Mean(Cell):
    @property
    def mean(self):
        return sum(self.state) / len(self.state)
cell = Mean([s, 0.5, s])
for a in x:
    cell.read(a)
    total += cell.mean * a

# attributes that count
counter = Counter()
for a in x:
    counter.turns += 2
    counter.last, total = a * s, total + a * counter.turns
total = total * counter.last + counter.turns

# the two items before, and the next one
out = [s, 0.3, *([0.0] * (n - 2))]
for i in range(2, n - 1):
    out[i] = out[i - 1] * x[i] - 0.5 * out[i - 2] + out[i + 1]

# from the last item down
out = [0.0] * n + [s]
for i in range(n - 1, -1, -1):
    out[i] = x[i] * out[i + 1] + w[i]

# rows that need the row before
out = [[0.0] * 3 for _ in range(n + 1)]
for i in range(n):
    for j in range(3):
        out[i + 1][j] = 0.5 * out[i][2 - j] + x[i] * (j + s)

# two lists that need each other
out, other = [0.0] * n, [s] * n
for i in range(1, n):
    out[i] = other[i - 1] * x[i] if out[i - 1] > 0.1 else w[i]
    other[i] = out[i] * s - 0.1 * other[i - 1]
out += other

# what the last turn but one set
for i, a in enumerate(x):
    if i == n - 1:
        continue
    y = a * w[i]
total = y * a

# a triangle of angles
for i in range(n):
    for j in range(i + 1):
        total += x[i] * w[j] * math.cos(i - 2 * j)

# a counter that goes down
k = n
for a in x:
    k -= 1
    total += a * w[k]

# counted by a while
k = 0
while k < len(x):
    total += x[k] * w[k]
    k += 1

# counted down by a while
k, state = len(x) - 1, s
while k >= 0:
    state = state * 0.5 + x[k]
    k -= 1
total += state * k

# counted at the beginning of each turn, and up to a number
k, j, out = 0, n, [s, 1.0]
while k != n:
    k = k + 1
    out[0] += x[k - 1] * out[1]
while j:
    j -= 1
    out[1] = out[1] * 0.5 + x[j]

# ended by a break at its beginning
k, state = 0, s
while True:
    if k >= len(x) - 1:
        break
    state = state * 0.5 + x[k]
    k += 1
total += state * k

# ended by a break at a turn
state, kept = s, 0
for k in range(3 * n):
    if k == n:
        break
    state = state * 0.5 + x[k]
    kept = k
    if k > 2 * n:
        break
total += state * kept * k

# from the last one to the first
state = s
for i, k in enumerate(reversed(range(n))):
    state = state * 0.5 + x[k] * i
total += state

# a number that grows by halves
k, kept = 0, list()
for a in x:
    kept.append(a * k)
    k += 0.5
total = sum(kept) * k

# the last ones of a list
out = [1.0, s]
for a in x:
    out.append(a * out[-1] - out[-2] + len(out))

# the last one of a list that begins with none
for a, b in zip(x, w, strict=True):
    out.append(tanh(a + b * out[-1]) if out else s)

# rows that are read by their number, and the row before
rows = [[s, 0.3]]
for i in range(n):
    row = [b * s + x[i] for b in rows[i]]
    rows.append(row)
    total += rows[-1][0] * rows[-2][1]
    row[0] *= 0.5
out = rows[-1]
"""

TURN_BY_TURN = """
# a fold over pairs, of which every value is seen
pairs = [(a, b) for a, b in zip(x, w, strict=True)]
out = [b for _, b in accumulate(pairs, lambda old, new: (old[0] * new[0], new[0] * old[1] + new[1]))]

# a state by all that it has been
state, seen = s, []
for a in x:
    seen.append(state)
    state = tanh(sum(seen) + a)
total = state

# two states, one of which looks at the other's past
one, other, seen = s, 0.0, []
for i, a in enumerate(x):
    seen.append(one)
    one, other = tanh(other * a), tanh(sum([b * w[i] for b in seen]) + other)
total, out = one + other, seen

# scalars that become something else
one, other = s, 0
for a in x:
    total += a * (2 if one is None else s) + (a * s if type(other) is int else 0)
    one, other = None, a

# matrices that are turned round
turned, other = m, [list(row) for row in zip(*m)]
for i in range(n):
    turned = [list(row) for row in zip(*turned)]
for a in x:
    turned, other = other, [[b + a for b in row] for row in zip(*turned)]
out = [turned, other]

# the first state
state, seen = s, []
for a in x:
    state = tanh(state + a)
    seen.append(state)
    state = state * seen[0]
total = state

# a tuple that holds no scalar first
last, times = (None, 0), ["a", "bb"]
for i, a in enumerate(x):
    total += a * (s if last[0] is None else w[i]) * len(times[0])
    last, times = (a, 0), [times[1], "ccc"]
total += last[0]

# lists within a list that exchange their lengths
rows = [[s], [s, s]]
for a in x:
    total += a * len(rows[0])
    rows = [[a] * len(rows[1]), [a] * len(rows[0])]
out = rows

# a scalar that becomes a list
last = 0.0
for i, a in enumerate(x):
    total += a * s if isinstance(last, list) else a * w[i]
    last = [a]
total += last[0]

# the list with which a list of states begins changes
row = [s, 0.3]
out = [row]
for a in x:
    row[0] += a
    out.append([b * s + a * row[0] for b in out[-1]])

# a window
window, total = [], s
for a in x:
    window.append(a)
    if len(window) > 2:
        total = total * sum(window) + window.pop(0)
total *= len(window)

# a name that a comprehension sets
for row in m:
    total += sum([(last := a * s) + last * last for a in row])
total *= last

# attributes set together
cell = Cell([s, 0.5])
for a in x:
    [cell.state[0], cell.last] = (a * cell.state[1] + s, a)
    [cell.more, *cell.state] = (a, cell.state[1] * a, cell.last)
out = [cell.state, cell.last + cell.more]

# counted at the beginning of each turn
k, out = 0, [s]
while k < n - 1:
    k += 1
    out[0] += x[k] * out[0]

# left where there is no more
for k in range(2 * n):
    try:
        a = x[k]
    except IndexError:
        break
    total += a * s

# left by break at a turn
for i, a in enumerate(x):
    if i == 5:
        break
    total += a * s

# a list read in a branch
k, out, row = 0, [0.2, x[0]], [s, 0.1]
for i, a in enumerate(x):
    if i > 1:
        k += 1
    if k < 2:
        out = [b * s + a for b in row]
    row[1] *= row[0]
    out = [b * c for b, c in zip(row, out, strict=True)]

# ended by else
for i in range(3):
    total += x[i] * s
else:
    total *= x[i]

# left by return
for i, a in enumerate(x):
    for b in x[1:]:
        if i == 2:
            return a * b * s

# rows that are one
rows, row = [[0.0] * 3] * 3, [s]
for i in range(3):
    rows[i][i] += x[i] * s
    out.append(row)
    row[0] += x[i]
total = weighed(rows)

# two names for a list
out = [s, x[0]]
same, ends = out, [out]
for a in x[:4]:
    out[0] += a * same[1]
    ends[0][1] *= a
    out += [a]
total = weighed(same) * len(same)

# a list that changes by another name and is replaced
out = [0.0, s]
same = out
for a in x:
    same[0] += a
    out = [b * s + a for b in out]
out += same

# a list that grows by another name and is replaced
same = out
for a in x:
    same.append(a)
    total += a * len(out)
    out = []

# a state that changes by another name and is replaced
cell = Cell([s, 0.5, s])
out = cell.state
for a in x:
    out[1] = a * out[0] + s
    cell.read(a)
out += cell.history

# a list that changes by another name and some turns replace
out = [0.0, s]
same = out
for i, a in enumerate(x):
    same[0] += a
    total = total * s + out[0]
    if i > n:
        out = [s, s]

# a list that is chosen after it has changed
out, row = [0.1, s], [s, 0.2]
for a in x:
    out[0] += a
    same = out if a > 0 else row
total = weighed(same)

# rows kept in two lists
rows = []
for a in x:
    row = [a, s]
    rows.append(row)
    out.append(row)
    row[0] *= a
rows[1].append(x[0])
row[1] = x[2]

# a list that changes under its loop
out = [s, x[0]]
for a in out:
    if len(out) < 6:
        out.append(a * x[len(out)])
    out[-1] = out[-1] + a
    total += a

# iterators that turns use up
generator, pairs = (a * s for a in x), iter(w)
for a in x[:3]:
    total += a * next(generator)
for a, b in zip(pairs, pairs, strict=False):
    total += a * b
total += sum(generator)

# some turns assign
y, seen = s, None
for i, a in enumerate(x):
    if i % 2:
        y = a * i
    if i == 2:
        z = a
    if seen is None:
        seen = a
total = y * z * seen
"""

NUMBERS = """
# an integer that adds up
k = 0
for i in range(4):
    k += i
out = [x[k % 4] * s, x[-k], *x[:k], *([s] * k), sum(a**k for a in x), float(f"{k}"), isinstance(k, int), type(k) is int]

# a table of angles
angles, scale = [], 1.0
for k in range(n):
    angles.append(k / 4)
    scale *= 0.9
total = sum([math.cos(angles[i]) * a * s for i, a in enumerate(x)]) / math.sqrt(1 - scale)

# a table by a comprehension
powers = [k / 4 for k in range(n)]
total = sum([(1 + a * a) ** power for a, power in zip(x, powers, strict=True)]) * {power: s for power in powers}[0.5]

# a list of counts
counts, sums = [0, 0], [0] * 4
for i in range(n):
    counts[i % 2] += 1
for i in range(1, 4):
    sums[i] = sums[i - 1] + i
total = x[counts[1]] * x[sums[-1]] * s * counts[0]

# turns counted by an inner loop
k, zeros = 0, [[0.0] * 5 for _ in range(5)]
for row in zip(*zeros):
    for i, a in enumerate(row):
        k += 1
        if i > 9:
            continue
        y = [sum(c for c in (a, b)) for b in x]
    y = [s]
total = x[k % 4] * y[0]
"""

ERRORS = """
# a store too far
out = [s] * 3
for i, a in enumerate(x):
    out[i] = a

# a division by zero
for i, a in enumerate(x):
    total += a * (1 / (i - 2))

# read before it is set
for a in x:
    total += a * before
    before = a

# set by no turn
for a in x[9:]:
    y = a * s
total = y

# set by no turn that there is
for i, a in enumerate(x):
    total += a
    if i == 9:
        y = a * s
total *= y
"""


def cases(text):
    """Parameters of a test: the loops in a text, by the name above each."""
    bodies = [body.strip() for body in text.split("\n\n")]
    return pytest.mark.parametrize("body", bodies, ids=[body.partition("\n")[0][2:] for body in bodies])


def function_of(body, directory):
    return load(AROUND % "\n".join(f"    {line}" for line in body.splitlines()), directory).loss


def inputs(n):
    rng = np.random.default_rng(0)
    params = {"s": np.array(0.7), "w": rng.uniform(-1, 1, n), "m": rng.uniform(-1, 1, (n, n))}
    return params, rng.uniform(-1, 1, (2, n))


@cases(ONE_LINE)
def test_a_longer_loop_is_recorded_in_as_many_rows(body, tmp_path):
    function, rows = function_of(body, tmp_path), []
    for n in (12, 36):
        record = record_function(function, {"s": (), "w": (n,), "m": (n, n)}, [("x", "float", (n,))])
        rows.append(sum(kind != CONSTANT for kind in record.kind))  # the numbers of an index are constants
    assert rows[0] == rows[1]


def test_a_longer_text_is_recorded_in_as_many_rows():
    config = GPTConfig(vocab_size=5, n_positions=64, n_embd=4, n_layer=1, n_head=2)
    shapes, rows = parameter_shapes(config), []
    for n in (8, 64):
        arguments = [("tokens", "int", (n + 1,)), ("weights", "float", (n,))]
        rows.append(len(record_function(partial(loss, config=config), shapes, arguments)))
    assert rows[0] == rows[1]


@cases(ONE_LINE + TURN_BY_TURN + NUMBERS)
def test_loops_compute_what_they_do_in_python(body, tmp_path):
    assert_equal_engines(function_of(body, tmp_path), *inputs(7))


@pytest.mark.slow
@cases("\n\n".join(ONE_LINE.split("\n\n")[9:20:2]))
def test_loops_compute_the_same_in_torch(body, tmp_path):
    pytest.importorskip("torch")
    assert_equal_engines(function_of(body, tmp_path), *inputs(5), engine="torch")


@cases(ERRORS)
def test_errors_of_a_turn_are_those_of_python(body, tmp_path):
    caught = []
    for engine in ("scalar", "compiled"):
        with pytest.raises(Exception) as error:  # noqa: PT011
            value_and_grad(function_of(body, tmp_path), engine)(*inputs(7))
        caught.append(error.type)
    assert caught[0] is caught[1]
