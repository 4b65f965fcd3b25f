"""The likelihood of a Gaussian process: Cholesky's factors, and a triangular system."""

import numpy as np

from microgpt import exp, log


def cholesky(a):
    n = len(a)
    factor = [[0.0] * n for _ in range(n)]
    for j in range(n):
        pivot = a[j][j]
        for k in range(j):
            pivot -= factor[j][k] ** 2
        factor[j][j] = pivot**0.5
        for i in range(j + 1, n):
            rest = a[i][j]
            for k in range(j):
                rest -= factor[i][k] * factor[j][k]
            factor[i][j] = rest / factor[j][j]
    return factor


def forward_substitution(factor, b):
    z = []
    for i, row in enumerate(factor):
        z.append((b[i] - sum(row[k] * z[k] for k in range(i))) / row[i])
    return z


def loss(p, x, y):
    n, height, width, noise = len(x), exp(p["height"]), exp(p["width"]), exp(p["noise"])
    covariance = [[height * exp(-0.5 * (a - b) ** 2 / width**2) for b in x] for a in x]
    for i in range(n):
        covariance[i][i] = covariance[i][i] + noise
    factor = cholesky(covariance)
    z = forward_substitution(factor, y)
    return 0.5 * sum(v * v for v in z) + sum(log(factor[i][i]) for i in range(n))


def torch_loss(p, x, y):
    import torch

    height, width, noise = (p[name].exp() for name in ("height", "width", "noise"))
    covariance = height * torch.exp(-0.5 * (x[:, :, None] - x[:, None]) ** 2 / width**2)
    factor = torch.linalg.cholesky(covariance + noise * torch.eye(x.shape[1], dtype=x.dtype))
    z = torch.linalg.solve_triangular(factor, y[:, :, None], upper=False)
    return (0.5 * (z**2).sum((1, 2)) + factor.diagonal(dim1=1, dim2=2).log().sum(1)).mean()


def make(scale):
    rng, n = np.random.default_rng(0), 6 * scale
    params = {"height": np.array(0.1), "width": np.array(0.0), "noise": np.array(-1.0)}
    args = rng.normal(size=(32, n)), rng.normal(size=(32, n))
    return {"loss": loss, "params": params, "args": args, "torch": torch_loss}
