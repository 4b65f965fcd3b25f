"""A GPT that learns names, in one file: the functions, the model, Adam, and the loop that trains it."""

from math import sqrt
from pathlib import Path

import numpy as np

from microgpt import evaluate, value_and_grad
from microgpt.functions import dot, gelu, linear
from microgpt.value import exp, largest, log, pick

WIDTH, HEADS, CONTEXT = 32, 2, 12
LAYERS, STEPS, BATCH, RATE = 1, 300, 32, 0.01
INITIAL_SCALE = 0.15


# Functions


def softmax(x):  # [n] -> [n]
    shift = largest(x)
    exps = [exp(x_i - shift) for x_i in x]
    scale = sum(exps) ** -1
    return [e * scale for e in exps]


def layer_norm(x, gain, bias):  # [n], [n], [n] -> [n]
    mean = sum(x) / len(x)
    centred = [x_i - mean for x_i in x]
    variance = dot(centred, centred) / len(x)
    scale = (variance + 1e-5) ** -0.5
    return [c * scale * g + b for c, g, b in zip(centred, gain, bias)]


def attention(query, keys, values):  # [d], [t, d], [t, d] -> [d]
    scale = 1 / sqrt(len(query))
    weights = softmax([dot(query, key) * scale for key in keys])
    return [dot(weights, column) for column in zip(*values)]


def cross_entropy(logits, target):  # [n], integer -> scalar
    shift = largest(logits)
    total = sum([exp(logit - shift) for logit in logits])
    return log(total) - (pick(logits, target) - shift)


# The model


def add(a, b):  # [t, width], [t, width] -> [t, width]
    return [[x + y for x, y in zip(row, other)] for row, other in zip(a, b)]


def norm(p, name, xs):  # [t, width] -> [t, width]
    return [layer_norm(x, p[f"{name}.gain"], p[f"{name}.bias"]) for x in xs]


def maps(p, name, xs):  # [t, n] -> [t, m]
    return [linear(x, p[f"{name}.weight"], p[f"{name}.bias"]) for x in xs]


def self_attention(p, name, xs):  # [t, width] -> [t, width]
    qkv = maps(p, f"{name}.qkv", xs)
    keys, values = [one[WIDTH : 2 * WIDTH] for one in qkv], [one[2 * WIDTH :] for one in qkv]
    read = []
    for t in range(len(xs)):
        heads = []
        for h in range(HEADS):
            head = slice(h * WIDTH // HEADS, (h + 1) * WIDTH // HEADS)
            seen = range(t + 1)
            heads += attention(qkv[t][:WIDTH][head], [keys[i][head] for i in seen], [values[i][head] for i in seen])
        read.append(heads)
    return maps(p, f"{name}.proj", read)


def mlp(p, name, xs):  # [t, width] -> [t, width]
    hidden = [[gelu(h) for h in x] for x in maps(p, f"{name}.up", xs)]
    return maps(p, f"{name}.down", hidden)


def block(p, name, xs):  # [t, width] -> [t, width]
    xs = add(xs, self_attention(p, name, norm(p, f"{name}.ln_1", xs)))
    return add(xs, mlp(p, name, norm(p, f"{name}.ln_2", xs)))


def gpt(p, tokens):  # [t] -> [t, vocabulary]
    xs = add([pick(p["token"], token) for token in tokens], p["position"])
    for layer in range(LAYERS):
        xs = block(p, f"h{layer}", xs)
    return [[dot(x, row) for row in p["token"]] for x in norm(p, "ln_f", xs)]


def loss(p, tokens, targets):  # [t], [t] -> scalar
    logits = gpt(p, tokens)
    return sum([cross_entropy(row, target) for row, target in zip(logits, targets)]) / len(logits)


def initial_parameters(vocabulary, rng):
    def weights(*shape):
        return rng.normal(0, INITIAL_SCALE, shape)

    p = {"token": weights(vocabulary, WIDTH), "position": weights(CONTEXT, WIDTH)}
    for h in [f"h{layer}" for layer in range(LAYERS)]:
        p |= {f"{h}.qkv.weight": weights(WIDTH, 3 * WIDTH), f"{h}.proj.weight": weights(WIDTH, WIDTH)}
        p |= {f"{h}.up.weight": weights(WIDTH, 2 * WIDTH), f"{h}.down.weight": weights(2 * WIDTH, WIDTH)}
        p |= {f"{h}.ln_1.gain": np.ones(WIDTH), f"{h}.ln_2.gain": np.ones(WIDTH)}
    p["ln_f.gain"] = np.ones(WIDTH)
    p |= {name.rpartition(".")[0] + ".bias": np.zeros(p[name].shape[-1]) for name in p if "." in name}
    return {name: array.astype(np.float32) for name, array in p.items()}


# Learning


def adam(p, gradient, m, v, step, rate):
    m[...] = 0.9 * m + 0.1 * gradient
    v[...] = 0.999 * v + 0.001 * gradient**2
    m_hat = m / (1 - 0.9**step)
    v_hat = v / (1 - 0.999**step)
    p -= rate * m_hat / (np.sqrt(v_hat) + 1e-8)


def windows(ids, rng):
    starts = rng.integers(0, len(ids) - CONTEXT - 1, BATCH)
    inputs = np.array([ids[s : s + CONTEXT] for s in starts])
    targets = np.array([ids[s + 1 : s + CONTEXT + 1] for s in starts])
    return inputs, targets


def train(text, watch):
    letters = sorted(set(text))
    ids = np.array([letters.index(letter) for letter in text])
    rng = np.random.default_rng(1)
    p = initial_parameters(len(letters), rng)
    moments = {name: (np.zeros_like(array), np.zeros_like(array)) for name, array in p.items()}
    step_of = value_and_grad(loss)
    for step in range(1, STEPS + 1):
        value, gradients = step_of(p, *windows(ids, rng))
        watch(step, value, p, gradients)
        for name in p:
            adam(p[name], gradients[name], *moments[name], step, RATE)
    logits_of = evaluate(gpt)
    return [write(p, letters, rng, logits_of) for _ in range(8)]


def write(p, letters, rng, logits_of):
    """Write a name, letter by letter, from the end of the one before it."""
    tokens = [letters.index("\n")]
    while len(tokens) < CONTEXT and (len(tokens) == 1 or letters[tokens[-1]] != "\n"):
        padded = np.array([tokens + [0] * (CONTEXT - len(tokens))])
        logits = logits_of(p, padded)[0, len(tokens) - 1]
        chances = np.exp(logits - logits.max())
        tokens.append(int(rng.choice(len(letters), p=chances / chances.sum())))
    return "".join(letters[token] for token in tokens).strip("\n")


if __name__ == "__main__":
    names = Path("data/names.txt").read_text(encoding="utf-8")

    def watch(step, value, p, gradients):
        if step == 1 or step % 50 == 0:
            print(f"step {step:3}   loss {value:.3f}")

    print(*train(names, watch), sep="  ")
