"""A Kalman filter: a position and a velocity in tuples, matrices written out."""

import numpy as np

from microgpt import exp, log

DT = 0.1


def predict(state, covariance, drift):
    (x, v), (a, b, d) = state, covariance
    moved = x + DT * v, v
    return moved, (a + 2 * DT * b + DT * DT * d + drift * DT**3 / 3, b + DT * d + drift * DT**2 / 2, d + drift * DT)


def correct(state, covariance, seen, noise):
    (x, v), (a, b, d) = state, covariance
    variance = a + noise
    error = seen - x
    gain_x, gain_v = a / variance, b / variance
    surprise = 0.5 * (log(variance) + error * error / variance)
    return (x + gain_x * error, v + gain_v * error), (a - gain_x * a, b - gain_x * b, d - gain_v * b), surprise


def loss(p, measurements):
    drift, noise = exp(p["drift"]), exp(p["noise"])
    state, covariance = (measurements[0], p["velocity"]), (1.0, 0.0, 1.0)
    total = 0.0
    for seen in measurements[1:]:
        state, covariance = predict(state, covariance, drift)
        state, covariance, surprise = correct(state, covariance, seen, noise)
        total += surprise
    return total / len(measurements)


def torch_loss(p, measurements):
    import torch

    drift, noise = p["drift"].exp(), p["noise"].exp()
    move = measurements.new_tensor([[1, DT], [0, 1]])
    growth = drift * measurements.new_tensor([[DT**3 / 3, DT**2 / 2], [DT**2 / 2, DT]])
    state = torch.stack([measurements[:, 0], p["velocity"].expand(len(measurements))], 1)
    covariance, total = torch.eye(2, dtype=state.dtype), 0.0
    for seen in measurements[:, 1:].unbind(1):
        state, covariance = state @ move.T, move @ covariance @ move.T + growth
        variance, error = covariance[0, 0] + noise, seen - state[:, 0]
        gain = covariance[:, 0] / variance
        state, covariance = state + error[:, None] * gain, covariance - torch.outer(gain, covariance[0])
        total = total + 0.5 * (variance.log() + error**2 / variance)
    return total.mean() / measurements.shape[1]


def make(scale):
    rng = np.random.default_rng(0)
    params = {"drift": np.array(-1.0), "noise": np.array(-2.0), "velocity": np.array(0.3)}
    return {"loss": loss, "params": params, "args": (rng.normal(size=(32, 50 * scale)),), "torch": torch_loss}
