"""The gates of an LSTM, a loss at each step, and a state of two lists."""

import numpy as np

from microgpt import exp, log, pick
from microgpt.functions import tanh


def sigmoid(x):
    return 1 / (1 + exp(-x))


class LSTM:
    def __init__(self, p):
        self.p, self.width = p, len(p["b_forget"])

    def layer(self, name, z, activation=lambda x: x):
        weights, biases = self.p["w_" + name], self.p["b_" + name]
        return [activation(sum([w * v for w, v in zip(row, z)]) + b) for row, b in zip(weights, biases)]

    def step(self, token, h, c):
        z = pick(self.p["embedding"], token) + h
        keep, add, show = (self.layer(name, z, sigmoid) for name in ("forget", "input", "output"))
        new = self.layer("cell", z, tanh)
        c = [k * old + a * n for k, old, a, n in zip(keep, c, add, new)]
        return [s * tanh(v) for s, v in zip(show, c)], c


def loss(p, tokens):
    model, total = LSTM(p), 0.0
    h, c = [0.0] * model.width, [0.0] * model.width
    for token, following in zip(tokens, tokens[1:]):
        h, c = model.step(token, h, c)
        logits = model.layer("logits", h)
        total += log(sum([exp(z) for z in logits])) - pick(logits, following)
    return total / (len(tokens) - 1)


def torch_loss(p, tokens):
    import torch

    h = c = p["b_forget"].new_zeros(len(tokens), len(p["b_forget"]))
    total = 0.0
    for token, following in zip(tokens[:, :-1].unbind(1), tokens[:, 1:].unbind(1)):
        z = torch.cat([p["embedding"][token], h], 1)
        keep, add, show, new = (z @ p["w_" + k].T + p["b_" + k] for k in ("forget", "input", "output", "cell"))
        c = keep.sigmoid() * c + add.sigmoid() * new.tanh()
        h = show.sigmoid() * c.tanh()
        total = total + torch.nn.functional.cross_entropy(h @ p["w_logits"].T + p["b_logits"], following)
    return total / (tokens.shape[1] - 1)


def make(scale):
    rng, steps, n, characters = np.random.default_rng(0), 12, 8 * scale, 27
    shapes = dict.fromkeys(("forget", "input", "output", "cell"), (n, 2 * n)) | {"logits": (characters, n)}
    params = {"w_" + name: rng.normal(0, n**-0.5, shape) for name, shape in shapes.items()}
    params |= {"b_" + name: rng.normal(0, 0.1, shape[0]) for name, shape in shapes.items()}
    params["embedding"] = rng.normal(size=(characters, n))
    return {"loss": loss, "params": params, "args": (rng.integers(0, 27, (32, steps + 1)),), "torch": torch_loss}
