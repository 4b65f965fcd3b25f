"""A transformer of whole matrices, in nested comprehensions, with a mask."""

from bench.contenders.torch_transformer import task
from microgpt import exp, largest, log

HEADS = 2


def transpose(m):
    return [list(column) for column in zip(*m)]


def times(a, b):
    return [[sum(x * y for x, y in zip(row, column)) for column in transpose(b)] for row in a]


def plus(a, b):
    return [[x + y for x, y in zip(row, other)] for row, other in zip(a, b)]


def norm(m):
    return [[x * (sum(y**2 for y in row) / len(row) + 1e-5) ** -0.5 for x in row] for row in m]


def softmax(row):
    top = largest(row)
    exps = [exp(x - top) for x in row]
    return [e / sum(exps) for e in exps]


def head(q, k, v):
    scores = times(q, transpose(k))
    scale = len(q[0]) ** -0.5
    masked = [[s * scale if j <= i else -1e9 for j, s in enumerate(row)] for i, row in enumerate(scores)]
    return times([softmax(row) for row in masked], v)


def attention(p, x):
    size = len(x[0]) // HEADS
    parts = [slice(h * size, (h + 1) * size) for h in range(HEADS)]
    q, k, v = [times(x, p[name]) for name in ("query", "key", "value")]
    heads = [head([r[part] for r in q], [r[part] for r in k], [r[part] for r in v]) for part in parts]
    return [sum(rows, []) for rows in zip(*heads)]


def loss(p, tokens):
    x = plus([p["tokens"][token] for token in tokens[:-1]], p["positions"])
    x = plus(x, times(attention(p, norm(x)), p["out"]))
    hidden = [[v * (v > 0) for v in row] for row in times(norm(x), p["up"])]
    x = plus(x, times(hidden, p["down"]))
    probabilities = [softmax(row) for row in times(norm(x), p["head"])]
    return -sum(log(row[token]) for row, token in zip(probabilities, tokens[1:])) / len(probabilities)


def make(scale):
    return task(loss, scale, HEADS)
