"""A number that remembers how it was made.

Read this file first. When you have read it you know how every gradient in this project is computed.

A `Value` holds a number. Calculate with Values and each result keeps its inputs, and the derivative of
the result to each of them. So a calculation leaves a graph behind, and `backward()` walks that graph from
the result to the beginning, applying the chain rule at every step:

>>> a, b = Value(2.0), Value(-3.0)
>>> c = a * b + a**2
>>> c
Value(data=-2.0, grad=0.0, operation='+')
>>> c.backward()
>>> a.grad, b.grad  # dc/da = b + 2a, dc/db = a
(1.0, 2.0)

Five operations know their derivative: `+`, `*`, `**`, `log` and `exp`. All else is composed of them. A comparison
such as `x > 0` only chooses, it is a plain True or False: `x * (x > 0)` lets x through where it is positive.
"""

import math
import sys
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

LARGEST_FLOAT = sys.float_info.max
LARGEST_EXPONENT = math.log(LARGEST_FLOAT)  # 709.78: exp of anything above it has no float


class Scalar:
    """Minus and division, composed of `+`, `*` and `**`: for every kind of number that has these three.

    Its method `lift` turns a plain number into one of its kind.
    """

    __slots__ = ()

    def __neg__(self: Any) -> Any:
        return self * -1

    def __sub__(self: Any, other: Any) -> Any:
        return self + -self.lift(other)

    def __truediv__(self: Any, other: Any) -> Any:
        return self * self.lift(other) ** -1

    # A plain number on the left: 2 + v, 2 * v, 2 - v, 2 / v, and sum(), which begins with 0 + v.

    def __radd__(self: Any, other: Any) -> Any:
        return self.lift(other) + self

    def __rmul__(self: Any, other: Any) -> Any:
        return self.lift(other) * self

    def __rsub__(self: Any, other: Any) -> Any:
        return self.lift(other) - self

    def __rtruediv__(self: Any, other: Any) -> Any:
        return self.lift(other) / self


class Value(Scalar):
    """A scalar with a gradient: `data` is the number, `grad` the derivative of the result to it after `backward()`."""

    __slots__ = ("data", "grad", "operation", "inputs", "derivatives")
    __array_ufunc__ = None  # tells numpy's numbers to leave `number * value` to us

    def __init__(self, data: Any, operation: str = "", inputs: "tuple[Value, ...]" = (), derivatives: Any = ()):
        self.data: float = data if inputs else number(data)
        self.grad = 0.0
        self.operation = operation  # what made it; nothing did for a leaf, such as a parameter
        self.inputs = inputs  # the Values it was computed from
        self.derivatives: tuple[float, ...] = derivatives  # d self / d input, for each input

    def __repr__(self) -> str:
        made_by = f", operation={self.operation!r}" if self.operation else ""
        return f"Value(data={self.data}, grad={self.grad}{made_by})"

    def lift(self, x: Any) -> "Value":
        """A Value as it is; a plain number as a new Value, a leaf of the graph."""
        return x if isinstance(x, Value) else Value(x)

    # The five operations: each line computes a value and, beside it, its derivative to each input.

    def __add__(self, other: Any) -> "Value":
        """a + b: if either input grows a little, so does the sum."""
        other = self.lift(other)
        return Value(self.data + other.data, "+", (self, other), (1.0, 1.0))

    def __mul__(self, other: Any) -> "Value":
        """a * b: if one input grows a little, the product grows by that times the other input."""
        other = self.lift(other)
        return Value(self.data * other.data, "*", (self, other), (other.data, self.data))

    def __pow__(self, exponent: Any) -> "Value":
        """x ** k for a constant k: the derivative is k * x ** (k - 1). A ValueError where either is not finite."""
        if isinstance(exponent, Value):
            raise TypeError("the exponent of ** must be a plain number, not a Value: write exp(y * log(x))")
        x, k = self.data, number(exponent)
        try:
            power, derivative = x**k, k * x ** (k - 1) if k else 0.0
        except (ZeroDivisionError, OverflowError):
            power = derivative = math.inf
        if not is_finite(power) or not is_finite(derivative):
            raise ValueError(f"{x} ** {k}: the power or its derivative is not a finite real number")
        return Value(power, f"** {k:.17g}", (self,), (derivative,))

    def log(self) -> "Value":
        """The natural logarithm: its derivative is 1 / x. A ValueError unless x is positive."""
        return Value(log(self.data), "log", (self,), (1 / self.data,))

    def exp(self) -> "Value":
        """e ** x: its own derivative. See the function `exp` below for what happens to a very large x."""
        power = exp(self.data)
        return Value(power, "exp", (self,), (power,))

    def __rpow__(self, base: Any) -> "Value":
        return self.lift(base) ** self  # which is refused there

    # Comparisons are choices: True or False, which count as 1 or 0, with no gradient. (`==` asks for the same object.)

    def __lt__(self, other: Any) -> bool:
        return self.data < self.lift(other).data

    def __le__(self, other: Any) -> bool:
        return self.data <= self.lift(other).data

    def __gt__(self, other: Any) -> bool:
        return self.data > self.lift(other).data

    def __ge__(self, other: Any) -> bool:
        return self.data >= self.lift(other).data

    def backward(self) -> None:
        """Set the `grad` of everything that this value was made of: the derivative of this value to it.

        The chain rule, one step at a time: what reaches a value is passed on to each of its inputs, times
        the derivative to that input. It may pass on only what is complete, so everything that was made of
        it must have had its turn before: we go through the graph in reverse topological order.

        Called again, it adds to the gradients of leaves, and all between starts afresh. (For those who know PyTorch:
        as there with a retained graph.)
        """
        order: list[Value] = []  # topological: a value stands after all that it was made of
        seen: set[Value] = set()
        stack = [(self, False)]  # a list, not recursion: a graph may be millions of values deep
        while stack:
            node, inputs_are_ordered = stack.pop()
            if inputs_are_ordered:
                order.append(node)
            elif node not in seen:
                seen.add(node)
                stack.append((node, True))
                for made_of in node.inputs:
                    if made_of.inputs:  # leaves have nothing to pass on
                        stack.append((made_of, False))
        for node in order:
            if node.inputs:
                node.grad = 0.0
        self.grad += 1.0  # the derivative of this value to itself
        for node in reversed(order):
            for made_of, derivative in zip(node.inputs, node.derivatives, strict=True):
                made_of.grad += derivative * node.grad  # += : a value used twice gets both contributions


def number(x: Any) -> float:
    """A plain real number as a float; a TypeError for anything else."""
    if not isinstance(x, (float, int, Real)):
        raise TypeError(f"expected a Value or a real number, found {type(x).__name__}: {x!r:.80}")
    return float(x)


# The same for Values, for plain floats, and for any other kind of scalar that has the methods: so one function
# serves to train (on Values) and to evaluate without a graph (on floats).


def exp(x: Any) -> Any:
    """e ** x, of a Value or a plain number.

    Where that is too large for a float it stays at the largest finite one, where `math.exp` would raise.
    An infinity would do no better: the gradient of, say, (exp(x) + 1) ** -1 would be 0 * infinity, which is
    not a number, and one such number makes all others so. With the largest float it is 0, as it should be.
    """
    if hasattr(x, "exp"):
        return x.exp()
    return LARGEST_FLOAT if x > LARGEST_EXPONENT else math.exp(x)


def log(x: Any) -> Any:
    """The natural logarithm of a Value or a plain number; a ValueError unless it is positive."""
    if hasattr(x, "log"):
        return x.log()
    if not x > 0:
        raise ValueError(f"log({x}): a logarithm needs a positive number")
    return math.log(x)


def is_finite(x: Any) -> bool:
    """Whether x is a finite real number. (A symbolic number of the compiler counts as one.)"""
    return math.isfinite(x) if isinstance(x, float) else not isinstance(x, complex)


def pick(items: Sequence[Any], index: int) -> Any:
    """items[index], the choice by an integer: a token's row of an embedding, a target's logit.

    The index carries no gradient. A negative or too large one raises an IndexError, and no integer a TypeError.
    """
    if hasattr(index, "pick"):  # an integer that is being recorded, by the compiler
        return index.pick(items)
    if not isinstance(index, Integral):
        raise TypeError(f"pick(items, {index}) chooses by an integer, found a {type(index).__name__}: give integers")
    if not 0 <= index < len(items):
        raise IndexError(f"index {index} is out of range: expected 0 to {len(items) - 1}")
    return items[index]


def largest(items: Sequence[Any]) -> Any:
    """The greatest of some scalars, as a constant: no gradient flows through it.

    (For those who know PyTorch: it is detached.) It is NaN, not a number, if one of them is.
    """
    for item in items:
        if hasattr(item, "largest"):  # a scalar that is being recorded
            return item.largest(items)
    numbers = [item.data if hasattr(item, "grad") else item for item in items]  # of any class of scalars
    return math.nan if any(map(math.isnan, numbers)) else max(numbers)  # max alone would depend on their order
