"""A transformer that yields its numbers, position by position, with caches that grow."""

from itertools import islice

from bench.contenders.torch_transformer import task
from microgpt import exp, largest, log, pick


def matvec(matrix, x):
    x = list(x)
    for column in zip(*matrix):
        yield sum(w * v for w, v in zip(column, x))


def norm(x):
    scale = (sum(v * v for v in x) / len(x) + 1e-5) ** -0.5
    yield from (v * scale for v in x)


def chunks(values, size):
    values = iter(values)
    while chunk := list(islice(values, size)):
        yield chunk


def head(query, keys, values):
    weights = [exp(sum(a * b for a, b in zip(query, key)) / len(query) ** 0.5) for key in keys]
    for column in zip(*values):
        yield sum(w * v for w, v in zip(weights, column)) / sum(weights)


def logits(p, tokens, heads):
    past = [([], []) for _ in range(heads)]
    for token, position in zip(tokens, p["positions"]):
        x = [a + b for a, b in zip(pick(p["tokens"], token), position)]
        normed = list(norm(x))
        queries, keys, values = (chunks(matvec(p[n], normed), len(x) // heads) for n in ("query", "key", "value"))
        attended = []
        for (old_keys, old_values), query, key, value in zip(past, queries, keys, values):
            old_keys.append(key)
            old_values.append(value)
            attended.extend(head(query, old_keys, old_values))
        x = [a + b for a, b in zip(x, matvec(p["out"], attended))]
        hidden = [v * (v > 0) for v in matvec(p["up"], norm(x))]
        x = [a + b for a, b in zip(x, matvec(p["down"], hidden))]
        yield list(matvec(p["head"], norm(x)))


def loss(p, tokens):
    total = count = 0
    for scores, target in zip(logits(p, tokens, heads=2), tokens[1:]):
        top = largest(scores)
        total += top + log(sum(exp(s - top) for s in scores)) - pick(scores, target)
        count += 1
    return total / count


def make(scale):
    return task(loss, scale, heads=2)
