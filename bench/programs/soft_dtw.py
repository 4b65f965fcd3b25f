"""Dynamic time warping, made smooth: a table of which each entry needs three others."""

import numpy as np

from microgpt import exp, largest, log

GAMMA = 0.5
FAR = 1e6


def soft_minimum(a, b, c):
    top = largest([-a / GAMMA, -b / GAMMA, -c / GAMMA])
    return -GAMMA * (top + log(exp(-a / GAMMA - top) + exp(-b / GAMMA - top) + exp(-c / GAMMA - top)))


def loss(p, x, y):
    rows, columns = len(x), len(y)
    table = [[FAR for _ in range(columns + 1)] for _ in range(rows + 1)]
    table[0][0] = 0.0
    for i in range(1, rows + 1):
        moved = p["scale"] * x[i - 1] + p["shift"]
        for j in range(1, columns + 1):
            cost = (moved - y[j - 1]) ** 2
            table[i][j] = cost + soft_minimum(table[i - 1][j], table[i][j - 1], table[i - 1][j - 1])
    return table[rows][columns]


def make(scale):
    rng, n = np.random.default_rng(0), 8 * scale
    params = {"scale": np.array(1.2), "shift": np.array(-0.1)}
    return {"loss": loss, "params": params, "args": (rng.normal(size=(32, n)), rng.normal(size=(32, n)))}
