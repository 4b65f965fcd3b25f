"""A plain recurrent network over time: a list that each step replaces."""

import numpy as np

from microgpt import exp


def tanh(x):
    return 1 - 2 / (exp(2 * x) + 1)


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def loss(params, sequence, target):
    state = [0.0] * len(params["bias"])
    for x in sequence:
        state = [
            tanh(dot(w_in, x) + dot(w_state, state) + b)
            for w_in, w_state, b in zip(params["input"], params["state"], params["bias"])
        ]
    return (dot(params["output"], state) - target) ** 2


def torch_loss(p, sequence, target):
    state = p["bias"].new_zeros(len(sequence), len(p["bias"]))
    for x in sequence.unbind(1):
        state = (x @ p["input"].T + state @ p["state"].T + p["bias"]).tanh()
    return ((state @ p["output"] - target) ** 2).mean()


def make(scale):
    rng, steps, width, features = np.random.default_rng(0), 10 * scale, 32, 4
    params = {
        "input": rng.normal(0, 0.4, (width, features)),
        "state": rng.normal(0, 0.15, (width, width)),
        "bias": rng.normal(0, 0.1, width),
        "output": rng.normal(0, 0.3, width),
    }
    args = rng.normal(size=(32, steps, features)), rng.normal(size=32)
    return {"loss": loss, "params": params, "args": args, "torch": torch_loss}
