"""The forward algorithm of a hidden Markov model, in logarithms."""

import numpy as np

from microgpt import exp, largest, log


def log_sum_exp(xs):
    top = largest(xs)
    return top + log(sum([exp(x - top) for x in xs]))


def log_probabilities(xs):
    total = log_sum_exp(xs)
    return [x - total for x in xs]


def loss(p, observed):
    start = log_probabilities(p["start"])
    move = [log_probabilities(row) for row in p["move"]]
    emit = [log_probabilities(row) for row in p["emit"]]
    states = range(len(start))
    alpha = [start[s] + emit[s][observed[0]] for s in states]
    for seen in observed[1:]:
        arrived = []
        for s in states:
            arrived.append(log_sum_exp([alpha[before] + move[before][s] for before in states]) + emit[s][seen])
        alpha = arrived
    return -log_sum_exp(alpha) / len(observed)


def torch_loss(p, observed):
    start, move, emit = (p[name].log_softmax(-1) for name in ("start", "move", "emit"))
    alpha = start + emit.T[observed[:, 0]]
    for seen in observed[:, 1:].unbind(1):
        alpha = (alpha[:, :, None] + move).logsumexp(1) + emit.T[seen]
    return -alpha.logsumexp(1).mean() / observed.shape[1]


def make(scale):
    rng, states, symbols = np.random.default_rng(0), 10, 16
    params = {"start": rng.normal(size=states), "move": rng.normal(size=(states, states))}
    params["emit"] = rng.normal(size=(states, symbols))
    return {"loss": loss, "params": params, "args": (rng.integers(0, symbols, (32, 15 * scale)),), "torch": torch_loss}
