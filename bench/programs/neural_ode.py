"""A network as a vector field, and steps by Runge and Kutta: functions of functions."""

from functools import partial

import numpy as np

from microgpt import exp


def tanh(x):
    return 2 / (1 + exp(-2 * x)) - 1


def field(p, time, state):
    hidden = []
    for weights, bias, slope in zip(p["w1"], p["b1"], p["time"]):
        hidden.append(tanh(sum(w * s for w, s in zip(weights, state)) + bias + slope * time))
    return [sum(w * h for w, h in zip(weights, hidden)) for weights in p["w2"]]


def ahead(state, direction, h):
    return [s + h * d for s, d in zip(state, direction)]


def solve(f, state, steps):
    h, time = 1 / steps, 0.0
    for _ in range(steps):
        k1 = f(time, state)
        k2 = f(time + h / 2, ahead(state, k1, h / 2))
        k3 = f(time + h / 2, ahead(state, k2, h / 2))
        k4 = f(time + h, ahead(state, k3, h))
        state = [s + h / 6 * (a + 2 * b + 2 * c + d) for s, a, b, c, d in zip(state, k1, k2, k3, k4)]
        time += h
    return state


def loss(p, start, end, steps):
    return sum((a - b) ** 2 for a, b in zip(solve(partial(field, p), start, steps), end))


def torch_loss(p, start, end, steps):
    def f(time, state):
        return (state @ p["w1"].T + p["b1"] + p["time"] * time).tanh() @ p["w2"].T

    h, state = 1 / steps, start
    for i in range(steps):
        k1 = f(i * h, state)
        k2 = f((i + 0.5) * h, state + h / 2 * k1)
        k3 = f((i + 0.5) * h, state + h / 2 * k2)
        k4 = f((i + 1) * h, state + h * k3)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return ((state - end) ** 2).sum(1).mean()


def make(scale):
    rng, steps = np.random.default_rng(0), 8 * scale
    params = {"w1": rng.normal(0, 0.5, (12, 3)), "b1": rng.normal(size=12), "time": rng.normal(size=12)}
    params["w2"] = rng.normal(0, 0.3, (3, 12))
    made = {"loss": partial(loss, steps=steps), "torch": partial(torch_loss, steps=steps), "params": params}
    return made | {"args": (rng.normal(size=(32, 3)), rng.normal(size=(32, 3)))}
