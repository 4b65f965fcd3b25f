"""A first network: tell two moons apart.

Read after functions.py. A neuron weighs its inputs and squashes the sum. Two layers of them draw a bent line between
two half circles that grip each other. Training is the same few lines again and again: compute the loss, set the
gradients to 0, call backward(), and move each parameter a little against its gradient.
"""

from typing import Any

from microgpt.functions import dot, linear, tanh
from microgpt.value import exp, log


def neuron(x: list[Any], weight: list[Any], bias: Any) -> Any:  # [n], [n], scalar -> scalar
    """Weigh the inputs, add the bias, and squash the sum into (-1, 1)."""
    return tanh(dot(x, weight) + bias)


def score(params: dict[str, Any], point: list[Any]) -> Any:  # [2] -> scalar
    """Two layers: above 0 for one moon, below 0 for the other."""
    hidden = [tanh(h) for h in linear(point, params["hidden.weight"], params["hidden.bias"])]
    return linear(hidden, params["out.weight"], params["out.bias"])[0]


def loss(params: dict[str, Any], point: list[Any], label: int) -> Any:  # [2], -1 or 1 -> scalar
    """The surprise, in nats, at the right answer."""
    return log(1 + exp(-label * score(params, point)))


def step(parameters: list[Any], result: Any, rate: float) -> None:
    """Move each parameter against its gradient of the result, a little: by the rate times the gradient."""
    for p in parameters:
        p.grad = 0.0
    result.backward()
    for p in parameters:
        p.data -= rate * p.grad
