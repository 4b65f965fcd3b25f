"""A GRU whose lists are filled item by item."""

import numpy as np

from microgpt import exp


def sigmoid(x):
    return 1.0 / (1.0 + exp(-x))


def loss(p, xs, y):
    h = [0.0] * len(p["bz"])
    for t in range(len(xs)):
        z = [0.0] * len(h)
        r = [0.0] * len(h)
        for i in range(len(h)):
            sz = p["bz"][i]
            sr = p["br"][i]
            for j in range(len(xs[t])):
                sz += p["wz"][i][j] * xs[t][j]
                sr += p["wr"][i][j] * xs[t][j]
            for j in range(len(h)):
                sz += p["uz"][i][j] * h[j]
                sr += p["ur"][i][j] * h[j]
            z[i] = sigmoid(sz)
            r[i] = sigmoid(sr)
        new = [0.0] * len(h)
        for i in range(len(h)):
            s = p["bn"][i]
            for j in range(len(xs[t])):
                s += p["wn"][i][j] * xs[t][j]
            for j in range(len(h)):
                s += p["un"][i][j] * r[j] * h[j]
            new[i] = 2.0 * sigmoid(2.0 * s) - 1.0
        for i in range(len(h)):
            h[i] = z[i] * h[i] + (1.0 - z[i]) * new[i]
    out = 0.0
    for i in range(len(h)):
        out += p["out"][i] * h[i]
    return (out - y) ** 2


def torch_loss(p, xs, y):
    h = p["bz"].new_zeros(len(xs), len(p["bz"]))
    for x in xs.unbind(1):
        z, r = ((x @ p["w" + k].T + h @ p["u" + k].T + p["b" + k]).sigmoid() for k in "zr")
        h = z * h + (1 - z) * (x @ p["wn"].T + (r * h) @ p["un"].T + p["bn"]).tanh()
    return ((h @ p["out"] - y) ** 2).mean()


def make(scale):
    rng, steps, n, d = np.random.default_rng(0), 6 * scale, 16, 4
    shapes = {"w": (n, d), "u": (n, n), "b": (n,)}
    params = {name + gate: rng.normal(0, 0.3, shape) for name, shape in shapes.items() for gate in "zrn"}
    params["out"] = rng.normal(size=n)
    args = rng.normal(size=(32, steps, d)), rng.normal(size=32)
    return {"loss": loss, "params": params, "args": args, "torch": torch_loss}
