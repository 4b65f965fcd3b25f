"""Functions of every kind, on which every engine computes what the scalar engine computes."""

from functools import partial

import numpy as np
from hypothesis import strategies as st
from loops import LOOPS

from microgpt.functions import cross_entropy, dot, layer_norm, linear, softmax, tanh
from microgpt.gpt import GPTConfig, loss
from microgpt.learning.parameters import initial_parameters
from microgpt.value import exp, largest, log, pick

RNG = np.random.default_rng(0)
W = np.array([0.7, -1.3, 0.4, 1.9, -0.2, 0.9])
M = RNG.normal(size=(4, 3))
X = np.array([0.5, -1.5, 2.0])
I3 = np.array([2, 0, 2])
X3 = RNG.normal(size=(3, 3))
X23 = RNG.normal(size=(5, 2, 3))


def gpt_case(positions, batch, n_embd=8, n_layer=1, n_head=2, vocab_size=7, dtype=np.float64, noise=0.1):
    """The loss of a GPT, its parameters, and a batch of tokens and weights."""
    config = GPTConfig(vocab_size, max(positions, 2), n_embd, n_layer, n_head)
    rng = np.random.default_rng(positions + batch)
    params = initial_parameters(config, 1, dtype)
    params = {name: (a + noise * rng.normal(size=a.shape)).astype(dtype) for name, a in params.items()}
    tokens = rng.integers(0, vocab_size, (batch, positions + 1))
    return partial(loss, config=config), params, tokens, rng.uniform(0.1, 1.0, (batch, positions))


def bigram(params, tokens):
    return cross_entropy(params["wte"][tokens[0]], tokens[1])


def mlp(params, x):
    hidden = [tanh(h) for h in linear(x, params["w1"], params["b1"])]
    return sum((y - 1) ** 2 for y in linear(hidden, params["w2"], params["b2"]))


def recurrent(params, x):
    state = [0.0] * 3
    for x_t in x:
        state = [tanh(dot(row, state) + w * x_t) for row, w in zip(params["m"][:3], params["w"], strict=False)]
    return sum(state)


def neighbours(params, x):
    """A weighted sum of each number and of those beside it, where there are some."""
    total = 0.0
    for i in range(len(x)):
        near = 0.0
        for j in range(3):
            if 0 <= i + j - 1 < len(x):
                near += params[j] * x[i + j - 1]
        total += near * (i + 1)
    return total


def long_loop(params, x):
    for _ in range(10_000):
        x = x * 0.999 + params * 0.001
    return x * x


def used_often(params, x):
    y = tanh(params[0] * x)
    total = 0
    for i in range(1000):
        total += y * (i * 1e-3) if i % 2 else y * params[1]
    return total


def parallel_maps(params, x):
    """Maps of the same level, of different inputs with different and with the same weights."""
    a, b = [exp(x_i) for x_i in x], [x_i**2 for x_i in x]
    return dot(
        [dot(row, a) for row in params[:2]] + [dot(row, a) for row in params[2:]],
        [dot(row, b) for row in params[2:]] + [dot(row, b) for row in params[2:]],
    )


def transposed(params, x):
    """A matrix that maps there, back, and there again."""
    there = [tanh(dot(row, x)) for row in params]
    back = [tanh(dot(there, column)) for column in zip(*params, strict=True)]
    return sum(dot(row, back) for row in params) * dot(there, there)


def nested_params(params, x):
    return params["a"][0] * x + dot(params["a"][1]["b"], params["c"][0][1]) + params["c"][1] ** 2


def of_shapes(params, scalar, vector, matrix, i, some, table):
    """Arguments of floats and of integers, of the shapes (), (3,) and (2, 3)."""
    chosen = pick(params, i) + sum(pick(params, s) for s in some) * scalar
    return chosen * dot(vector, matrix[0]) + sum(params[t] * x for r, s in zip(table, matrix, strict=True)
                                                 for t, x in zip(r, s, strict=True))  # fmt: skip


def branches(params, x):
    """Statements and expressions that choose: where one branch has no value, nothing of it is seen."""
    total = 0
    for w in params:
        h = w * x
        if 0 < h < 1:
            total += log(h) * h**0.5
        elif h > 0 or x < -1:
            total += max(h, w, 0.5)
    return total if total > 0 else min(params) * total


SHAPES = (
    RNG.normal(size=2), RNG.normal(size=(2, 3)), RNG.normal(size=(2, 2, 3)),
    RNG.integers(0, 6, 2), RNG.integers(0, 6, (2, 3)), RNG.integers(0, 6, (2, 2, 3)),
)  # fmt: skip
NESTED = {"a": [np.array(0.5), {"b": W[:3]}], "c": [M, np.array(-2.0)]}
MLP = {"w1": M.T, "b1": W[:4], "w2": M, "b2": W[:3]}
PROGRAMS = {
    **LOOPS,
    "bigram": (bigram, {"wte": RNG.normal(size=(5, 5))}, RNG.integers(0, 5, (9, 2))),
    "mlp": (mlp, MLP, X3),
    "recurrent net": (recurrent, {"m": M, "w": W}, RNG.normal(size=(2, 6))),
    "neighbours": (neighbours, W, np.linspace(-1, 1, 14).reshape(2, 7)),
    "ten thousand steps": (long_loop, np.array(1.5), X),
    "parameters ignored": (lambda p, x: p["w"][1] * x, {"w": W, "unused": M, "scalar": np.array(1.0)}, X),
    "a constant": (lambda p, x: 2.5, {"w": W}, X),
    "an input": (lambda p, x: x, {"w": W}, X),
    "a parameter": (lambda p, x: p[2], W, X),
    "used a thousand times": (used_often, W, X),
    "x * x": (lambda p, x: (x * p[0]) * (x * p[0]) + x * x, W, X),
    "one row times itself": (lambda p, x: (lambda y: y * y)(x * p[0]), W, X),
    "w * w": (lambda p, x: p[1] * p[1], W, X),
    "parameter times parameter": (lambda p, x: p[0] * p[1] * p[2] + p[3] * p[0], W, X),
    "exp of a parameter": (lambda p, x: exp(p[1]) * x, W, X),
    "log of a parameter": (lambda p, x: log(p[0]) * x, W, X),
    "tanh": (lambda p, x: tanh(p[0] * x), W, X),
    "x ** 0": (lambda p, x: (x * p[0]) ** 0 + p[1] ** 0 + (x - x) ** 0, W, X),
    "logarithms": (lambda p, x: log(x * x + p[0] ** 2) * log(exp(x)), W, X),
    "pick of computed values": (lambda p, x, i: pick([x * p[0], x**2 * p[1], exp(p[2])], i), W, X, I3),
    "pick of constants": (lambda p, x, i: pick([1.0, -2.0, 0.5], i) * p[0], W, X, I3),
    "pick of rows of constants": (lambda p, x, i: sum(pick([[0.5, 1.5], [3.0, x * p[0]], [2.0, 5.0]], i)) + p[1] * sum(
        pick([[0.5, 1.5, 2.5], [3.0, 2.0, 5.0], [0.5, 1.5, 1.0]], i)), W, X, I3),
    "pick of all sorts": (lambda p, x, i: pick([p[0], x, 3.0], i) * pick([x * x, 2.0, p[1]], i), W, X, I3),
    "pick of rows": (lambda p, x, i: sum(pick([[x, 1.0], [p[0], x * p[1]], [p[1], p[2]]], i)), W, X, I3),
    "pick of rows that are the same": (
        lambda p, x, i: sum(pick([[p[1] for _ in range(2)] for _ in range(3)], i)) * x, W, X, I3,
    ),
    "pick of parameters of two arrays": (
        lambda p, i: pick([p["w"][2], p["m"][1][2], p["w"][5], p["m"][3][0]], i), {"w": W, "m": M}, I3),
    "pick of one": (lambda p, i: pick([p[1]], i) * p[i], W, np.array([0, 0])),
    "pick of parameters in any order": (lambda p, i: pick([p[4], p[0], p[1]], i), W, I3),
    "largest of activations": (lambda p, x: largest([x * p[0], x * p[1], x]) * p[2], W, X),
    "largest of parameters": (lambda p, x: largest(p) * p[0] * x, W, X),
    "largest with floats": (lambda p, x: largest([0.25, x * p[0], -3]) * p[2], W, X),
    "largest of one": (lambda p, x: largest([x * p[0]]) * p[0], W, X),
    "sum of one term": (lambda p, x: sum([p[0]]) * sum([x]), W, X),
    "softmax of huge logits": (lambda p, x: dot(softmax([p[0] * 1e4, x * 1e4, -1e4 * p[1]]), p[:3]), W, X),
    "cross_entropy of huge logits": (lambda p, x, i: cross_entropy([1e4 * p[0], x * 1e4, p[1] * -1e4], i), W, X, I3),
    "saturated exp": (lambda p, x: (exp(1e4 * x * p[0]) + 1) ** -1 + (exp(-1e4 * x * p[0]) + 1) ** -1, W, X),
    "saturated tanh of many": (lambda p, x: sum([tanh(1e4 * w * x) * w for w in p]), RNG.normal(size=5000), X),
    "divisions": (lambda p, x: x / p[0] + 2 / (x * p[1]) + p[2] / 4 + p[3] / p[4] + 1 / x, W, X),
    "subtractions": (lambda p, x: -p[0] - x - (1 - p[1]) * (x - 2), W, X),
    "nested parameters": (nested_params, NESTED, X),
    "a parameter without axes": (lambda p, x: p * x, np.array(3.0), X),
    "arguments of all shapes": (of_shapes, W, *SHAPES),
    "no arguments": (lambda p: p[0] ** 2 * p[1], W),
    "parallel maps": (parallel_maps, M, X3),
    "scaled products": (lambda p, x: sum(tanh(dot(w, x) * 0.5) * dot(w, x) for w in p), M, X3),
    "factors within products": (lambda p, x: sum(tanh(dot([2 * w for w in r], x) - 1) for r in p), M, X3),
    "a matrix transposed": (transposed, M, X3),
    "a repeated parameter": (lambda p, x: p[0] * x + p[0] * x * x + p[0] + 2 * p[0] - p[0] * 0.5, W, X),
    "a repeated parameter in a product": (
        lambda p, x: sum(tanh(w[0] * x[0] + w[0] * x[1] + w[1] * x[2]) for w in p), M, X3),
    "maps of one column": (lambda p, x: sum(exp(dot(r, x) * 0.1) for r in zip(p, p, strict=True)), W, X23[:, :, 0]),
    "layer norm": (lambda p, x: dot(layer_norm(x, p["g"], p["b"]), p["b"]), {"g": W[:3], "b": W[3:]}, X3),
    "branches": (branches, W, X),
    "choices for each element": (
        lambda p, x: sum([log(w * x_i) if w * x_i > 0 else max(w, -x_i) for w in p for x_i in x]), W, X3),
    "matrix arguments": (lambda p, x: sum(tanh(dot(w, x_i)) for w in p for x_i in x), M, X23),
}  # fmt: skip


RESULTS = {
    "nothing": lambda p, x: [],
    "scalar": lambda p, x: p[0] * x[0],
    "list": lambda p, x: [p[0] * x[0], x[1], p[2], 1.5],
    "nested list": lambda p, x: [[x_i * w for x_i in x] for w in p[:2]],
    "tuple": lambda p, x: (x[0], [x[1], p[0]], (p[1],)),
    "dict": lambda p, x: {"a": x[0] ** 2, "b": [x[1]], "c": (2.0, {"d": p[0]})},
    "one scalar twice": lambda p, x: [x[0] * p[0]] * 2,
    "sums and their sums": lambda p, x: (lambda sums: (sums, [sum(row) for row in sums]))(
        [[sum([p[o + c + k] * x[c + k] for k in range(2)]) for c in range(2)] for o in range(4)]
    ),
}


# Where the scalar engine raises, the others give something that is not finite

UNDEFINED = {
    "log of zero": lambda p, x: log(p * x),
    "log of a negative": lambda p, x: log(p * x - 1),
    "log of a negative parameter": lambda p, x: log(-p),
    "zero ** -1": lambda p, x: (p * x) ** -1,
    "zero ** -0.5": lambda p, x: (p * x) ** -0.5,
    "zero ** 0.5": lambda p, x: (p * x) ** 0.5,
    "zero ** 0.3": lambda p, x: (p * x) ** 0.3,
    "zero ** -2": lambda p, x: (p * x) ** -2,
    "negative ** 0.5": lambda p, x: (p * x - 1) ** 0.5,
    "negative ** -0.5": lambda p, x: (p * x - 1) ** -0.5,
    "negative ** 0.3": lambda p, x: (p * x - 1) ** 0.3,
    "a large power": lambda p, x: (p * 1e300 + x) ** 2,
    "a large cube": lambda p, x: (p * 1e200 + x) ** 3,
    "power 400": lambda p, x: (p * 1000 + x) ** 400,
    "exp of log of zero": lambda p, x: exp(log(p * x)),
    "(zero ** -1) ** -1": lambda p, x: ((p * x) ** -1) ** -1,
    "(zero ** -2) ** -0.5": lambda p, x: ((p * x) ** -2) ** -0.5,
    "(large ** 2) ** -1": lambda p, x: ((p * 1e200 + x) ** 2) ** -1,
    "(large ** 200) ** -1": lambda p, x: ((p * 1e3 + x) ** 200) ** -1,
    "saturated zero ** -1": lambda p, x: (exp((p * x) ** -1) + 1) ** -1,
    "zero times log of zero": lambda p, x: 0 * log(p * x),
    "the largest of undefined": lambda p, x: p * largest([1.0, log(p * x)]),
    "the largest of undefined first": lambda p, x: p * largest([log(p * x), 1.0]),
}


# Random programs: every instruction appends a scalar between -3 and 3 to a list of them.

OPERATIONS = ("+", "-", "*", "/", "**", "exp", "log", "tanh", "pick", "dot", "weighted", "largest", "shift")
INSTRUCTION = st.tuples(
    st.sampled_from(OPERATIONS), *[st.integers(0, 999)] * 3, st.sampled_from([-1, -0.5, 0.5, 2, 3]), st.booleans()
)


def run_instructions(instructions, params, floats, integers):
    """The scalars that these instructions make of parameters, inputs and constants, all in a safe range."""
    matrix, vector = params["matrix"], params["vector"]
    scalars = [*floats, *vector, *matrix[0], 0.5, -1.25]
    for operation, i, j, k, exponent, squash in instructions:
        a, b = scalars[i % len(scalars)], scalars[j % len(scalars)]
        n = 2 + k % 3
        row = matrix[k % 4]
        if operation == "dot":
            y = dot(scalars[-n:], scalars[-2 * n : -n])
        elif operation == "weighted":  # some rows of a map, perhaps scaled
            rows = [tanh(dot(r, scalars[-3:]) * (0.5 if squash else 1)) for r in (row, matrix[j % 4])]
            scalars += rows
            y = sum(rows)
        elif operation == "pick":
            choices = [a, b, *scalars[:3], *row] if squash else [r[j % 3] for r in matrix]
            y = pick(choices, integers[i % len(integers)])
        else:
            y = {
                "+": lambda a=a, b=b: a + b,
                "-": lambda a=a, b=b: a - b,
                "*": lambda a=a, b=b: a * b,
                "/": lambda a=a, b=b: a / (1 + b * b),
                "**": lambda a=a, exponent=exponent: (1 + a * a) ** exponent,
                "exp": lambda a=a: exp(a),
                "log": lambda a=a: log(1 + a * a),
                "tanh": lambda a=a: tanh(a),
                "largest": lambda a=a, b=b: a * largest([a, b, 0.1]),
                "shift": lambda a=a, k=k: a * (k % 7 - 3) + 0.25,
            }[operation]()
        scalars.append(2 * tanh(y * 0.5) if squash or operation in ("exp", "**", "*", "dot", "shift") else y * 0.5)
    return scalars


# Ragged loops: 1 / 0 on the diagonal of a matrix and logarithms of negative numbers above it, if these were computed.


def all_that_came_before(p, x):
    seen, total = [], 0
    for a in x:
        total = total + sum((a - b) ** -0.5 * p for b in seen)
        seen.append(a)
    return total


RAGGED_X = np.cumsum(RNG.uniform(0.1, 2.0, (2, 5)), axis=1)
RAGGED = {
    "half a matrix": lambda p, x: sum(p * log(x[i] - x[j]) ** -1 for i in range(len(x)) for j in range(i)),
    "row by row": lambda p, x: sum([sum(row) for row in [[log((a - b) * p) for b in x[:i]] for i, a in enumerate(x)]]),
    "all that came before": all_that_came_before,
    "all but itself": lambda p, x: sum(log(((a - b) * p) ** 2) for i, a in enumerate(x) for b in x[:i] + x[i + 1 :]),
    "the neighbours": lambda p, x: sum([log((x[i] - x[i - 1]) * p) if i > 0 else x[i] * p for i in range(len(x))]),
}
