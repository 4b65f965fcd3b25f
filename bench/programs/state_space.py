"""A scan of states that decay, changed in place."""

import numpy as np

from microgpt import exp


def loss(p, signal, target):
    channels, states = len(p["rate"]), len(p["rate"][0])
    keep = [[exp(-exp(r)) for r in row] for row in p["rate"]]
    s = [[0] * states for _ in range(channels)]
    error = 0
    for u, y in zip(signal, target):
        out = p["skip"] * u
        for c in range(channels):
            for k in range(states):
                s[c][k] *= keep[c][k]
                s[c][k] += p["into"][c][k] * u
                out += p["from"][c][k] * s[c][k]
        error += (out - y) ** 2
    return error / len(signal)


def torch_loss(p, signal, target):
    keep = (-p["rate"].exp()).exp()
    s, error = 0, 0
    for u, y in zip(signal.unbind(1), target.unbind(1)):
        s = keep * s + p["into"] * u[:, None, None]
        error = error + (p["skip"] * u + (p["from"] * s).sum((1, 2)) - y) ** 2
    return error.mean() / signal.shape[1]


def make(scale):
    rng, shape = np.random.default_rng(0), (4, 8)
    params = {"rate": rng.normal(-2, 0.5, shape), "into": rng.normal(size=shape), "from": rng.normal(size=shape)}
    params["skip"] = rng.normal(size=())
    args = rng.normal(size=(32, 32 * scale)), rng.normal(size=(32, 32 * scale))
    return {"loss": loss, "params": params, "args": args, "torch": torch_loss}
