"""The cost of transport by Sinkhorn's method: rows and columns that are scaled in turn."""

import numpy as np

from microgpt import exp

ROUNDS = 20


def loss(p, x, y):
    n, m = len(x), len(y)
    cost = [[(p["scale"] * x[i] - y[j]) ** 2 for j in range(m)] for i in range(n)]
    kernel = [[exp(-2 * c) for c in row] for row in cost]
    v = [1.0] * m
    for _ in range(ROUNDS):
        u = [1 / (n * sum(kernel[i][j] * v[j] for j in range(m))) for i in range(n)]
        v = [1 / (m * sum(kernel[i][j] * u[i] for i in range(n))) for j in range(m)]
    total = 0.0
    for i, (costs, row) in enumerate(zip(cost, kernel)):
        for j, (c, k) in enumerate(zip(costs, row)):
            total += u[i] * k * v[j] * c
    return total


def torch_loss(p, x, y):
    cost = (p["scale"] * x[:, :, None] - y[:, None]) ** 2
    kernel = (-2 * cost).exp()
    v = y.new_ones(y.shape)
    for _ in range(ROUNDS):
        u = 1 / (x.shape[1] * (kernel @ v[:, :, None]).squeeze(2))
        v = 1 / (y.shape[1] * (u[:, None] @ kernel).squeeze(1))
    return (u[:, :, None] * kernel * v[:, None] * cost).sum((1, 2)).mean()


def make(scale):
    rng, n = np.random.default_rng(0), 6 * scale
    args = rng.normal(size=(32, n)), rng.normal(size=(32, n))
    return {"loss": loss, "params": {"scale": np.array(0.8)}, "args": args, "torch": torch_loss}
