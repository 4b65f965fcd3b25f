"""A multilayer perceptron: index loops that append."""

import numpy as np

from microgpt import exp


def dense(inputs, weights, biases):
    outputs = []
    for j in range(len(biases)):
        total = biases[j]
        for i in range(len(inputs)):
            total += inputs[i] * weights[i][j]
        outputs.append(total)
    return outputs


def tanh(inputs):
    outputs = []
    for x in inputs:
        e = exp(2 * x)
        outputs.append((e - 1) / (e + 1))
    return outputs


def loss(p, x, y):
    h = tanh(dense(x, p["w1"], p["b1"]))
    h = tanh(dense(h, p["w2"], p["b2"]))
    out = dense(h, p["w3"], p["b3"])
    error = 0
    for k in range(len(y)):
        error += (out[k] - y[k]) ** 2
    return error / len(y)


def torch_loss(p, x, y):
    h = (x @ p["w1"] + p["b1"]).tanh()
    h = (h @ p["w2"] + p["b2"]).tanh()
    return ((h @ p["w3"] + p["b3"] - y) ** 2).mean()


def make(scale):
    rng, n = np.random.default_rng(0), 32 * scale
    weight = 1 / np.sqrt(n)
    params = {
        "w1": rng.normal(0, weight, (n, n)),
        "b1": rng.normal(0, 0.1, n),
        "w2": rng.normal(0, weight, (n, n)),
        "b2": rng.normal(0, 0.1, n),
        "w3": rng.normal(0, weight, (n, 10)),
        "b3": rng.normal(0, 0.1, 10),
    }
    args = rng.normal(size=(32, n)), rng.normal(size=(32, 10))
    return {"loss": loss, "params": params, "args": args, "torch": torch_loss}
