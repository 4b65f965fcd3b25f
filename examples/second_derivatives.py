"""Derivatives of derivatives, from numbers that carry their own: python examples/second_derivatives.py

A `Jet` is the beginning of a Taylor series in one variable: a value, its first and its second derivative. It has the
five operations, so it passes through any function of scalars, and every engine compiles it unchanged. The gradient of
the result is then a derivative of a derivative. Three uses:

- the curvature of a function along a line;
- the product of the Hessian, the matrix of all second derivatives, with a vector (Pearlmutter 1994);
- a differential equation, which a small network learns to solve (Lagaris, Likas and Fotiadis 1998).
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from microgpt import Schedule, adam_update, evaluate, exp, largest, log, train, value_and_grad
from microgpt.commands.options import COUNT, POSITIVE, Options, option, parse
from microgpt.commands.script import run_script
from microgpt.functions import gelu, linear, softmax, tanh
from microgpt.value import Scalar


class Jet(Scalar):
    """A number that depends on a variable t: its value, its first and its second derivative to t."""

    def __init__(self, value: Any, first: Any = 0.0, second: Any = 0.0):
        self.value, self.first, self.second = value, first, second

    def through(self, value: Any, slope: Any, curvature: Any) -> "Jet":
        """f of this jet, by the chain rule, from f, f' and f'' at its value."""
        return Jet(value, slope * self.first, curvature * self.first * self.first + slope * self.second)

    def lift(self, x: Any) -> "Jet":
        return jet(x)

    def __add__(self, other: Any) -> "Jet":
        other = jet(other)
        return Jet(self.value + other.value, self.first + other.first, self.second + other.second)

    def __mul__(self, other: Any) -> "Jet":
        a, b = self, jet(other)
        second = a.second * b.value + 2 * a.first * b.first + a.value * b.second
        return Jet(a.value * b.value, a.first * b.value + a.value * b.first, second)

    def __pow__(self, k: float) -> "Jet":
        x = self.value
        return self.through(x**k, k * x ** (k - 1) if k else 0.0, k * (k - 1) * x ** (k - 2) if k * (k - 1) else 0.0)

    def exp(self) -> "Jet":
        return self.through(exp(self.value), exp(self.value), exp(self.value))

    def log(self) -> "Jet":
        return self.through(log(self.value), self.value**-1, -(self.value**-2))

    # Choices, which look at the value alone.

    def __lt__(self, other: Any) -> Any:
        return self.value < jet(other).value

    def __le__(self, other: Any) -> Any:
        return self.value <= jet(other).value

    def __gt__(self, other: Any) -> Any:
        return self.value > jet(other).value

    def __ge__(self, other: Any) -> Any:
        return self.value >= jet(other).value

    def largest(self, items: Any) -> Any:
        return largest([jet(item).value for item in items])


def jet(x: Any) -> Jet:
    """A jet as it is; any other number as one that does not depend on t."""
    return x if isinstance(x, Jet) else Jet(x)


# Along a line


def curvature(params, x, direction):  # [3], [3] -> scalar
    """The second derivative of a function at x + t * direction, at t = 0."""
    return sum(gelu(p) for p in softmax([Jet(x_i, d) for x_i, d in zip(x, direction, strict=True)])).second


# The Hessian times a vector


def energy(x):  # [n] -> scalar
    """Any function of several numbers; this one is Rosenbrock's valley."""
    return sum(100 * (b - a**2) ** 2 + (1 - a) ** 2 for a, b in pairwise(x))


def slope(params):  # two vectors [n] -> scalar
    """Return how fast the energy changes where the point moves in a direction.

    Its gradient to the point is the Hessian times the direction. Its gradient to the direction is the gradient of the
    energy.
    """
    return energy([Jet(x, d) for x, d in zip(params["point"], params["direction"], strict=True)]).first


# A differential equation: y'' = -y, with y(0) = 0 and y'(0) = 1. Its solution is the sine.


def solution(params, t):  # scalar or jet -> the same
    """Return a network of t with the right beginning: t + t^2 * N(t) is 0 at 0, with slope 1."""
    hidden = [tanh(h) for h in linear([t], params["hidden.weight"], params["hidden.bias"])]
    return t + t * t * linear(hidden, params["out.weight"], params["out.bias"])[0]


def residual(params, t):  # scalar -> scalar
    """Return the squared error in the equation at a point."""
    y = solution(params, Jet(t, 1.0))
    return (y.second + y.value) ** 2


@dataclass
class Settings(Options):
    steps: int = option(1500, "training steps for the equation", must=POSITIVE)
    seed: int = option(0, "for random numbers", must=COUNT)


def solve(steps: int, seed: int, engine: str = "compiled", hidden: int = 12) -> tuple[dict[str, np.ndarray], float]:
    """Learn to solve the equation between 0 and 6: the parameters, and the largest error against the sine."""
    rng = np.random.default_rng(seed)
    params = {
        "hidden.weight": rng.normal(0, 1.0, (1, hidden)),
        "hidden.bias": rng.normal(0, 2.0, hidden),
        "out.weight": rng.normal(0, 0.1, (hidden, 1)),
        "out.bias": np.zeros(1),
    }
    points = ((rng.uniform(0, 6, 64),) for _ in range(steps))
    for _ in train(value_and_grad(residual, engine), params, points, Schedule(steps, 0.03, 50), adam_update(engine)):
        pass
    t = np.linspace(0, 6, 61)
    return params, float(np.abs(evaluate(solution, engine)(params, t) - np.sin(t)).max())


def main() -> int:
    settings = parse(Settings, __doc__)
    x, direction = np.array([[1.0, 2.0, 0.5]]), np.array([[1.0, -1.0, 0.0]])
    print(f"curvature {evaluate(curvature)({}, x, direction)[0]:.6f}")
    params = {"point": np.array([0.5, 1.0, -1.0]), "direction": np.array([1.0, 0.0, 2.0])}
    _, gradients = value_and_grad(slope)(params)
    print("the Hessian times a vector", gradients["point"].round(6).tolist())
    print("the gradient of the energy", gradients["direction"].round(6).tolist())
    _, error = solve(settings.steps, settings.seed)
    print(f"y'' = -y learned in {settings.steps} steps: at most {error:.4f} away from the sine between 0 and 6")
    return 0


if __name__ == "__main__":
    run_script(main)
