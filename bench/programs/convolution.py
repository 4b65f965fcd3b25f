"""A convolution in five nested loops, a maximum over each square of four, and a classifier."""

import numpy as np

from microgpt import exp, log, pick


def convolve(image, kernels, biases):
    size, k = len(image), len(kernels[0])
    maps = []
    for f in range(len(kernels)):
        rows = []
        for y in range(size - k + 1):
            row = []
            for x in range(size - k + 1):
                acc = biases[f]
                for i in range(k):
                    for j in range(k):
                        acc += kernels[f][i][j] * image[y + i][x + j]
                row.append(acc)
            rows.append(row)
        maps.append(rows)
    return maps


def max_pool(m):
    pooled = []
    for y in range(0, len(m) - 1, 2):
        for x in range(0, len(m[0]) - 1, 2):
            best = m[y][x]
            for other in (m[y][x + 1], m[y + 1][x], m[y + 1][x + 1]):
                best += (other - best) * (other > best)
            pooled.append(best)
    return pooled


def loss(p, image, label):
    features = []
    for m in convolve(image, p["kernels"], p["biases"]):
        features.extend(max_pool(m))
    logits = [sum(w * f for w, f in zip(row, features)) for row in p["head"]]
    return log(sum(exp(z) for z in logits)) - pick(logits, label)


def torch_loss(p, image, label):
    from torch.nn import functional

    maps = functional.conv2d(image[:, None], p["kernels"][:, None], p["biases"])
    return functional.cross_entropy(functional.max_pool2d(maps, 2).flatten(1) @ p["head"].T, label)


def make(scale):
    rng, size, filters = np.random.default_rng(0), 8 * scale, 3
    params = {
        "kernels": rng.normal(0, 0.3, (filters, 3, 3)),
        "biases": rng.normal(0, 0.1, filters),
        "head": rng.normal(0, 0.3 / scale, (10, filters * ((size - 2) // 2) ** 2)),
    }
    args = rng.normal(size=(32, size, size)), rng.integers(0, 10, 32)
    return {"loss": loss, "params": params, "args": args, "torch": torch_loss}
