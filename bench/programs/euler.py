"""Three numbers, and thousands of steps of time: Lorenz's equations, by Euler's method."""

from functools import partial

import numpy as np


def loss(p, start, target, steps):
    sigma, rho, beta = p["sigma"], p["rho"], p["beta"]
    x, y, z = start
    dt = 1 / steps
    for _ in range(steps):
        dx = sigma * (y - x)
        dy = x * (rho - z) - y
        dz = x * y - beta * z
        x, y, z = x + dt * dx, y + dt * dy, z + dt * dz
    return (x - target[0]) ** 2 + (y - target[1]) ** 2 + (z - target[2]) ** 2


def torch_loss(p, start, target, steps):
    return loss(p, start.unbind(1), target.unbind(1), steps).mean()


def make(scale):
    rng, steps = np.random.default_rng(0), 375 * scale
    params = {"sigma": np.array(10.0), "rho": np.array(28.0), "beta": np.array(8 / 3)}
    made = {"loss": partial(loss, steps=steps), "torch": partial(torch_loss, steps=steps), "params": params}
    return made | {"args": (rng.normal(size=(32, 3)), rng.normal(size=(32, 3)))}
