"""Measure the slope of a loss without any derivative: the referee of every gradient.

A `Problem` is a loss at one point. `slope` moves its parameters a little to both sides, and compares the change of the
loss with the promise of a gradient.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite, nan, prod
from numbers import Real
from typing import Any

import numpy as np

from microgpt.engines.scalar import ScalarEngine
from microgpt.engines.select import loss_in
from microgpt.engines.tracing import leaves
from microgpt.engines.trees import (
    check_returned,
    checked_arguments,
    checked_parameters,
    in_new_lists,
    leaves_of,
    map_arrays,
    map_numbers,
    rows,
    unflatten,
    vector_of,
)
from microgpt.value import Value

FEW = 64  # parameters, or arrays of them, that each get a slope of their own
TOLERANCE = 1e-6  # of a slope
STEPS = (1e-5, 1e-6, 1e-4, 1e-7, 1e-3, 1e-8, 1e-9, 1e-10, 1e-11)  # in the order of trying

TINY = (1e-9, 1e-8)  # steps that tell a jump from a slope


@dataclass(frozen=True)
class Slope:
    """The slope of a loss along a direction.

    Attributes:
        slope: the number.
        error: its relative distance from the promised one; NaN where rounding hides that.
        differs: whether that is too far.
    """

    slope: float
    error: float
    differs: bool


class Problem:
    """A loss at one point: its parameters as one vector, its examples, and its class of scalars."""

    def __init__(self, function: Callable[..., Any], params: Any, arrays: Any, value: type = Value):
        self.function, self.value = loss_in(function), value
        self.scalar: Any = float  # what the loss is computed on
        self.params = map_arrays(lambda array: array.astype(np.float64), checked_parameters(params))
        self.arrays = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in checked_arguments(tuple(arrays))]
        self.examples = len(self.arrays[0]) if self.arrays else 1
        self.shapes = [array.shape for array in leaves_of(self.params)]
        self.point = vector_of(self.params)
        self.ends = np.cumsum([prod(shape) for shape in self.shapes])
        self.names: list[str] = []
        leaves(map_arrays(lambda _: 0.0, self.params), "params", lambda _, name: self.names.append(name))

    def tree(self, vector: np.ndarray) -> Any:
        """Return a vector as arrays in the nesting of the parameters."""
        return unflatten(vector, self.params)

    def name(self, place: int) -> str:
        """Return the name of a number of the vector, such as `params["w"][0]`."""
        tensor = int(np.searchsorted(self.ends, place, "right"))
        start = self.ends[tensor] - prod(self.shapes[tensor])
        index = np.unravel_index(place - start, self.shapes[tensor] or (1,)) if self.shapes[tensor] else ()
        return self.names[tensor] + "".join(f"[{i}]" for i in index)

    def example(self, row: int) -> "Problem":
        """Return the same problem for one example."""
        alone = Problem(self.function, self.params, [array[row : row + 1] for array in self.arrays], self.value)
        alone.scalar = self.scalar
        return alone

    def loss(self, vector: np.ndarray) -> float:
        """Return the mean loss, without a gradient."""
        arrays, total = self.tree(vector), 0.0
        examples = rows(tuple(self.arrays))
        for example in examples:
            numbers = map_arrays(lambda array: array.tolist(), arrays)
            if self.scalar is not float:
                numbers = map_arrays(lambda _, of_array: map_numbers(self.scalar, of_array), arrays, numbers)
            total += number_in(self.function(numbers, *example))
        return total / len(examples)

    def by_class(self) -> tuple[float, np.ndarray]:
        """Return the mean loss and its gradient, by the class of scalars."""
        if self.value is Value:
            mean, gradients = ScalarEngine(self.function).value_and_grad(self.params, *self.arrays)
            return mean, vector_of(gradients)
        examples, total, gradient = rows(tuple(self.arrays)), 0.0, np.zeros(self.point.size)
        for example in examples:
            numbers = map_arrays(lambda array: map_numbers(self.value, array.tolist()), self.params)
            result = self.function(in_new_lists(self.params, numbers), *example)
            if hasattr(result, "backward"):
                result.backward()
            total += number_in(result)
            found = map_arrays(lambda _, ours: np.array(map_numbers(lambda v: v.grad, ours)), self.params, numbers)
            gradient += vector_of(found)
        return total / len(examples), gradient / len(examples)

    def settled_loss(self) -> float:
        """Return the loss at the point: on plain floats, or on the class if the loss needs more than floats."""
        try:
            return self.loss(self.point)
        except (AttributeError, TypeError):
            self.scalar = self.value
            return self.loss(self.point)

    def along(self, place: int) -> np.ndarray:
        """Return the direction of one parameter."""
        return np.eye(1, self.point.size, place)[0]

    def all_names(self) -> list[str]:
        return [self.name(place) for place in range(self.point.size)]

    def directions(self, few: int = FEW) -> Iterator[np.ndarray]:
        """Yield directions for the parameters: each alone if they are few, else each array, else all together."""
        size, rng = self.point.size, np.random.default_rng(0)
        scales = np.maximum(1.0, np.abs(self.point))
        if size <= few:
            parts = [slice(i, i + 1) for i in range(size)]
        elif len(self.shapes) <= few:
            parts = [slice(*ends) for ends in pairwise([0, *self.ends.tolist()])]
        else:
            parts = [slice(0, size)]
        for part in parts:
            direction = np.zeros(size)
            drawn = rng.normal(size=part.stop - part.start) if size > few else np.ones(1)
            direction[part] = scales[part] * drawn / np.sqrt(np.add.reduce(drawn * drawn))
            yield direction

    def slope(self, direction: np.ndarray, gradient: np.ndarray) -> Slope:
        """Return the slope of the loss along a direction, compared with the promise of a gradient.

        A long step measures the curvature of the loss, too, and a short one the rounding. So several are tried. A
        gradient is right if one of them agrees with it. It is wrong only if two steps agree with each other far better
        than with the gradient.
        """
        terms = gradient * direction  # numpy adds them in the same order on every processor
        promised, size = float(np.add.reduce(terms)), float(np.sqrt(np.add.reduce(terms * terms)))
        found: list[tuple[float, float]] = []
        for step in STEPS:
            try:
                above, below = (self.loss(self.point + by * direction) for by in (step, -step))
            except (ArithmeticError, ValueError):
                continue  # such as the logarithm of a number that is no longer positive
            slope, noise = (above - below) / (2 * step), 1e-14 * max(abs(above), abs(below)) / step
            if not isfinite(slope):
                continue
            found.append((step, slope))
            scale = max(abs(slope), abs(promised), size)
            apart = abs(slope - promised)
            if apart == 0 or (apart <= TOLERANCE * scale + noise and noise <= 1e-3 * scale):
                return Slope(slope, apart / (scale or 1.0), False)
        plateau = sorted((step, slope) for step, slope in found if step >= 1e-8)
        pairs = [(abs(a - b), (a + b) / 2, short) for (short, a), (_, b) in pairwise(plateau)]
        if not pairs:
            return Slope(nan, nan, False)
        unsure, slope, step = min(pairs)
        apart, scale = abs(slope - promised), max(abs(slope), abs(promised), size)
        at_least = TOLERANCE * scale + 20 * unsure + 1e-13 * abs(self.loss(self.point)) / step
        return Slope(slope, apart / scale if apart > at_least else nan, apart > at_least)

    def jumps(self, direction: np.ndarray) -> bool:
        """Return whether the loss jumps along a direction: a tenth of a tiny step changes it as much as the whole."""
        try:
            near, far = (
                abs(self.loss(self.point + h * direction) - self.loss(self.point - h * direction)) for h in TINY
            )
        except (ArithmeticError, ValueError):
            return False
        return near > max(0.5 * far, 1e-12 * abs(self.loss(self.point)))


def number_in(result: Any) -> float:
    """Return the number in the result of a loss. Raises TypeError if it is not a scalar."""
    check_returned(result, "loss")
    if not isinstance(result, Real) and not hasattr(result, "data"):
        raise TypeError(f"the loss returned a {type(result).__name__}: expected a single scalar")
    return float(result if isinstance(result, Real) else result.data)
