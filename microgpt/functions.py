"""The functions of a neural network, over lists of plain scalars.

Read after value.py. Each function is built from the ones above it, and in the end from nothing but
`+`, `*`, `**`, `log` and `exp`. They do not care what kind of number flows through them: given floats
they evaluate, given `Value`s they also build the graph that `backward()` walks. The comment after each
signature gives the shapes, in the order of the arguments; `scalar` is a single number.
"""

from collections.abc import Sequence
from math import pi, sqrt
from typing import Any, TypeAlias

from microgpt.value import exp, largest, log, pick

Scalar: TypeAlias = Any  # a Value, a float, or anything else that knows the five operations
Vector: TypeAlias = list[Scalar]
Matrix: TypeAlias = list[Vector]  # a table of numbers: its rows


def dot(a: Sequence[Scalar], b: Sequence[Scalar]) -> Scalar:  # [n], [n] -> scalar
    """The sum of products: how well two vectors agree."""
    return sum(a_i * b_i for a_i, b_i in zip(a, b, strict=True))


def linear(x: Vector, weight: Matrix, bias: Vector) -> Vector:  # [n], [n, m], [m] -> [m]
    """Every output is a weighted sum of all inputs, plus a bias; column j of the weight makes output j."""
    return [dot(x, column) + b for column, b in zip(zip(*weight, strict=True), bias, strict=True)]


def tanh(x: Scalar) -> Scalar:  # scalar -> scalar
    """Squash any number into (-1, 1): (e^x - e^-x) / (e^x + e^-x), written so that no exp can overflow it."""
    return 1 - 2 * (exp(2 * x) + 1) ** -1


def gelu(x: Scalar) -> Scalar:  # scalar -> scalar
    """Let positive numbers through and stop negative ones, smoothly: GPT-2's tanh form (Hendrycks and Gimpel 2016)."""
    return 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))


def softmax(x: Vector) -> Vector:  # [n] -> [n]
    """Turn any numbers into probabilities: positive, with sum 1. Shifting all of them by their largest changes
    nothing in the result, and keeps exp in range."""
    shift = largest(x)
    exps = [exp(x_i - shift) for x_i in x]
    scale = sum(exps) ** -1
    return [e * scale for e in exps]


def layer_norm(x: Vector, gain: Vector, bias: Vector) -> Vector:  # [n], [n], [n] -> [n]
    """Bring a vector to mean 0 and variance 1, then let the model choose a gain and a bias (Ba et al. 2016)."""
    mean = sum(x) * (1 / len(x))
    centred = [x_i - mean for x_i in x]
    variance = dot(centred, centred) * (1 / len(x))
    scale = (variance + 1e-5) ** -0.5
    return [c * scale * g + b for c, g, b in zip(centred, gain, bias, strict=True)]


def attention(query: Vector, keys: Matrix, values: Matrix) -> Vector:  # [d], [t, d], [t, d] -> [d]
    """Ask t positions at once: a mean of their values, weighted by how well each key fits the query
    (Vaswani et al. 2017, equation 1)."""
    scale = 1 / sqrt(len(query))
    weights = softmax([dot(query, key) * scale for key in keys])  # [t]
    return [dot(weights, column) for column in zip(*values, strict=True)]  # [d]


def cross_entropy(logits: Vector, target: int) -> Scalar:  # [n], integer -> scalar
    """The surprise at seeing `target`: -log(softmax(logits)[target]). It is in nats, natural units, because
    the logarithm is the natural one."""
    shift = largest(logits)
    shifted = [logit - shift for logit in logits]
    return log(sum(exp(s) for s in shifted)) - pick(shifted, target)  # -log(exp(s) / sum) is log(sum) - s
