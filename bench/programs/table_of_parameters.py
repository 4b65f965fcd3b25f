"""A table of parameters, close to measurements and to its neighbours, by two indices."""

import numpy as np


def loss(p, seen):
    u = p["table"]
    n, m = len(u), len(u[0])
    fit = rough = 0.0
    for i in range(n):
        for j in range(m):
            fit = fit + (u[i][j] - seen[i][j]) ** 2
            if i > 0:
                rough = rough + (u[i][j] - u[i - 1][j]) ** 2
            if j > 0:
                rough = rough + (u[i][j] - u[i][j - 1]) ** 2
    return fit / (n * m) + 0.5 * rough / (n * m)


def torch_loss(p, seen):
    u = p["table"]
    rough = ((u[1:] - u[:-1]) ** 2).sum() + ((u[:, 1:] - u[:, :-1]) ** 2).sum()
    return ((u - seen) ** 2).mean() + 0.5 * rough / u.numel()


def make(scale):
    rng, n = np.random.default_rng(0), 20 * scale
    params = {"table": rng.normal(size=(n, n))}
    return {"loss": loss, "params": params, "args": (rng.normal(size=(32, n, n)),), "torch": torch_loss}
