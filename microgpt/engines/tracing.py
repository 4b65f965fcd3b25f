"""Trace a function of scalars: what every operation computed, from what, and on which line of the source.

Whoever has to say why a number is wrong runs the function once more, on numbers that are wrapped:

>>> from microgpt.engines.tracing import trace
>>> found = trace(lambda params, x: params["w"][0] * x - 1.0, {"w": [2.0]}, (3.0,))
>>> found.result.number
5.0
>>> [(step.operation, step.number) for step in found.steps]
[('*', 6.0), ('+', 5.0)]
>>> expression(found.result)
'params["w"][0] * x - 1.0'

The wrapped numbers are floats, Values, or what else has the operators. Where an operation fails, the trace ends there:

>>> found = trace(lambda params, x: log(params["w"][0] * x), {"w": [2.0]}, (-0.5,))
>>> found.failed.operation, found.failed.inputs[0].number, str(found.error)
('log', -1.0, 'log(-1.0): a logarithm needs a positive number')
"""

import operator
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from math import inf
from numbers import Real
from pathlib import Path
from threading import RLock
from types import FunctionType
from typing import Any

from microgpt import value
from microgpt.engines.trees import argument_names
from microgpt.value import Value, exp, largest, log

Place = tuple[str, int]  # a file and a line
PACKAGE = str(Path(__file__).parents[1]) + os.sep
CHOICES = {"<", "<=", ">", ">=", "==", "!=", "largest", "float", "data"}  # operations that carry no gradient
CHANGED = RLock()  # held while a class has other operators


BINARY = [f"__{way}{name}__" for name in ("add", "sub", "mul", "truediv", "pow") for way in ("", "r", "i")]
BINARY += [f"__{name}__" for name in ("lt", "le", "gt", "ge", "eq", "ne")]


class Trace:
    """What a function did: `steps` in the order of making, and its `result` or the `error` it raised.

    `failed` is the last step where an operation raised that error. Its number is NaN. Where there are more steps than
    `most`, the function is stopped, and `too_long` is true.
    """

    def __init__(self, most: float = inf) -> None:
        self.most, self.too_long = most, False
        self.steps: list[Traced] = []
        self.result: Any = None
        self.error: Exception | None = None
        self.failed: Traced | None = None

    def step(self, operation: str, apply: Callable[..., Any], *inputs: Any) -> Any:
        """Do one operation on the wrapped numbers, and note it."""
        step = Traced(float("nan"), self, operation=operation, inputs=inputs, apply=apply)
        step.place, step.called_from = calling_places()
        if len(self.steps) >= self.most:
            self.too_long = True
            raise OverflowError(f"more than {self.most:,} operations")
        try:
            number = apply(*map(unwrapped, inputs))
            if isinstance(number, complex):
                raise ValueError(f"{' '.join([str(plain(i)) for i in inputs])}: {operation} has no real result")
        except (ArithmeticError, ValueError) as error:
            self.steps.append(step)
            self.error, self.failed = error, step
            raise
        if not is_scalar(number):
            return number  # such as NotImplemented, or what a method of a learner's class returns
        step.number = number
        self.steps.append(step)
        return step


class Traced:
    """A number, and how it was made.

    Attributes:
        number: the float, Value or other scalar that is wrapped.
        operation: "+", "*", "**", "log", "exp", one of CHOICES, or a method of a learner's class; "" for a leaf.
        inputs: the operands, each a Traced or a plain number.
        apply: the operation as a function of wrapped numbers.
        place: the file and the line that made it, in functions.py and gpt.py, too; None for a leaf.
        called_from: the innermost line outside of this package, if there is one.
        name: of a leaf, such as `params["w"][0]` or `x[2]`.
    """

    __slots__ = ("apply", "called_from", "inputs", "name", "number", "operation", "place", "trace")
    __array_ufunc__ = None

    def __init__(
        self,
        number: Any,
        trace: Trace,
        name: str = "",
        operation: str = "",
        inputs: tuple[Any, ...] = (),
        apply: Callable[..., Any] | None = None,
    ):
        self.number, self.trace, self.name = number, trace, name
        self.operation, self.inputs, self.apply = operation, inputs, apply
        self.place: Place | None = None
        self.called_from: Place | None = None

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # a function that asks gets the answer of the wrapped number
        return type(self.number)

    def __add__(self, other: Any) -> Any:
        return self.trace.step("+", operator.add, self, other)

    def __radd__(self, other: Any) -> Any:
        return self.trace.step("+", operator.add, other, self)

    def __mul__(self, other: Any) -> Any:
        return self.trace.step("*", operator.mul, self, other)

    def __rmul__(self, other: Any) -> Any:
        return self.trace.step("*", operator.mul, other, self)

    def __pow__(self, exponent: Any) -> Any:
        return self.trace.step("**", operator.pow, self, exponent)

    def __rpow__(self, base: Any) -> Any:
        return self.trace.step("**", operator.pow, base, self)

    def exp(self) -> Any:
        return self.trace.step("exp", exp, self)

    def log(self) -> Any:
        return self.trace.step("log", log, self)

    # Composed of the five, as in value.py. A learner's class may do these in its own way, which is what is traced.

    def __neg__(self) -> Any:
        return self * -1 if self.is_ours() else self.trace.step("-", operator.neg, self)

    def __sub__(self, other: Any) -> Any:
        return self + -other if self.is_ours() else self.trace.step("-", operator.sub, self, other)

    def __rsub__(self, other: Any) -> Any:
        return other + -self if self.is_ours() else self.trace.step("-", operator.sub, other, self)

    def __truediv__(self, other: Any) -> Any:
        if not self.is_ours():
            return self.trace.step("/", operator.truediv, self, other)
        return self * (other if type(other) is Traced else Traced(other, self.trace)) ** -1

    def __rtruediv__(self, other: Any) -> Any:
        return other * self**-1 if self.is_ours() else self.trace.step("/", operator.truediv, other, self)

    def is_ours(self) -> bool:
        return isinstance(self.number, (Real, Value))

    # Choices, which carry no gradient.

    def __lt__(self, other: Any) -> Any:
        return self.trace.step("<", operator.lt, self, other)

    def __le__(self, other: Any) -> Any:
        return self.trace.step("<=", operator.le, self, other)

    def __gt__(self, other: Any) -> Any:
        return self.trace.step(">", operator.gt, self, other)

    def __ge__(self, other: Any) -> Any:
        return self.trace.step(">=", operator.ge, self, other)

    def __eq__(self, other: Any) -> Any:
        return self.trace.step("==", operator.eq, self, other)

    def __ne__(self, other: Any) -> Any:
        return self.trace.step("!=", operator.ne, self, other)

    def largest(self, items: Sequence[Any]) -> Any:
        return self.trace.step("largest", lambda *numbers: largest(numbers), *items)

    # What leaves the graph, and what any other number can do.

    def __float__(self) -> float:
        return float(self.trace.step("float", float, self).number)

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self.number, name)
        if name == "data":
            return self.trace.step("data", lambda number: number.data, self).number
        if name.startswith("__") or not callable(attribute) or isinstance(self.number, Real):
            return attribute
        return lambda *others: self.trace.step(name, lambda n, *rest: getattr(n, name)(*rest), self, *others)

    def __abs__(self) -> Any:
        return self.trace.step("abs", abs, self)

    def __bool__(self) -> bool:
        return bool(self.number)

    def __int__(self) -> int:
        return int(self.number)

    def __index__(self) -> int:
        return operator.index(self.number)

    def __hash__(self) -> int:
        return hash(self.number)

    def __repr__(self) -> str:
        return repr(self.number)

    def __format__(self, how: str) -> str:
        return format(self.number, how)

    def __deepcopy__(self, _: Any) -> "Traced":
        return self

    def __copy__(self) -> "Traced":
        return self


def trace(
    function: Callable[..., Any], params: Any, example: tuple[Any, ...], scalar: Any = float, most: float = inf
) -> Trace:
    """Run a function for one example, on wrapped numbers.

    Args:
        function: of (params, *example), as for `value_and_grad`.
        params: a nesting of dicts and lists of arrays or numbers. Each becomes `scalar(number)`, wrapped.
        example: one row of each argument: numbers and nested lists. Floats are wrapped; integers stay as they are.
        scalar: float, Value, or a class of scalars like it.
        most: operations after which the function is stopped.

    Returns: the trace. What the function raises is its `error`.
    """
    found = Trace(most)
    names = argument_names(function, len(example))
    numbers = leaves(params, "params", lambda number, name: Traced(scalar(float(number)), found, name))
    rows = [leaves(row, name, lambda x, at: Traced(x, found, at)) for row, name in zip(example, names, strict=True)]
    try:
        with left_to_traced(scalar):
            found.result = function(numbers, *rows)
        found.error = found.failed = None
    except Exception as error:
        found.failed = found.failed if found.error is error else None
        found.error = error
    return found


@contextmanager
def left_to_traced(scalar: type) -> Iterator[None]:
    """The operators of a class refuse a Traced, so that Python asks the Traced, which notes the operation."""
    with CHANGED:
        methods = [(kind, name, vars(kind)[name]) for kind in scalar.__mro__ for name in BINARY if name in vars(kind)]
        ours = [(kind, name, method) for kind, name, method in methods if isinstance(method, FunctionType)]
        try:
            for kind, name, method in ours:
                setattr(kind, name, refusing_traced(method))
            yield
        finally:
            for kind, name, method in ours:
                setattr(kind, name, method)


def refusing_traced(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def operator_of_class(self: Any, other: Any, *more: Any) -> Any:
        return NotImplemented if type(other) is Traced else method(self, other, *more)

    return operator_of_class


def leaves(tree: Any, name: str, make: Callable[[float, str], Any]) -> Any:
    """The same nesting, with `make(number, its name)` for every float. Integers stay as they are."""
    if isinstance(tree, dict):
        quoted = {key: f'"{key}"' if isinstance(key, str) else repr(key) for key in tree}
        return {key: leaves(entry, f"{name}[{quoted[key]}]", make) for key, entry in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [leaves(entry, f"{name}[{i}]", make) for i, entry in enumerate(tree)]
    if hasattr(tree, "tolist"):  # an array or a number of numpy
        return leaves(tree.tolist(), name, make)
    return make(tree, name) if isinstance(tree, float) else tree


def unwrapped(x: Any) -> Any:
    return x.number if type(x) is Traced else x


def is_scalar(number: Any) -> bool:
    return isinstance(number, Real) or hasattr(number, "grad")


def plain(x: Any) -> float:
    """The float in a Traced, a Value or a number."""
    number = unwrapped(x)
    return float(number if isinstance(number, Real) else number.data)


def short(x: Any) -> str:
    """A number, with at most 6 digits."""
    number = x if type(x) is int else plain(x)
    return str(number) if len(str(number)) <= 8 else f"{number:.6g}"


def calling_places() -> tuple[Place | None, Place | None]:
    """The innermost line outside of the engine, and the innermost line outside of this package."""
    frame = sys._getframe(1)
    inner = None
    while frame.f_back is not None and frame.f_code is not trace.__code__:
        file = frame.f_code.co_filename
        if file not in (__file__, value.__file__):
            inner = inner or (file, frame.f_lineno)
            if not file.startswith(PACKAGE):
                return inner, (file, frame.f_lineno)
        frame = frame.f_back
    return inner, None


def where(step: Traced) -> str:
    """The line of a step: "line 12 of mine.py", or "line 44 of functions.py, called from line 12 of mine.py"."""
    places = [place for place in (step.place, step.called_from) if place is not None]
    texts = dict.fromkeys(f"line {line} of {Path(file).name}" for file, line in places)
    return ", called from ".join(texts)


def expression(x: Any, depth: int = 3) -> str:
    """How a number was made, as one would write it. More than `depth` operations up it is only a number."""
    return written(x, depth)[0]


# How strongly each operator binds; a + b * -1 is written a - b, and a * b ** -1 is a / b.
BINDING = {"<": 0, "<=": 0, ">": 0, ">=": 0, "==": 0, "!=": 0, "+": 1, "-": 1, "*": 2, "/": 2, "**": 3}
INVERSES = {("+", "*"): "-", ("*", "**"): "/"}


def written(x: Any, depth: int) -> tuple[str, int]:
    """An expression, and how strongly its outermost operator binds."""
    if type(x) is not Traced or not (x.name or (x.operation and depth)):
        return short(x), 4
    if x.name:
        return x.name, 4
    sign, operands = x.operation, list(x.inputs)
    if sign not in BINDING or len(operands) == 1:
        parts = [expression(i, depth - 1) for i in operands[:3]] + ["..."] * (len(operands) > 3)
        return f"{sign}({', '.join(parts)})", 4
    left, right = operands
    if sign == "+" and type(left) is int and left == 0:
        return written(right, depth)  # sum() begins with 0
    if type(right) is Traced and (sign, right.operation) in INVERSES and plain(right.inputs[1]) == -1:
        sign, right = INVERSES[sign, right.operation], right.inputs[0]
    elif sign == "+" and type(right) is not Traced and plain(right) < 0:
        sign, right = "-", -right
    (first, first_binds), (second, second_binds) = written(left, depth - 1), written(right, depth - 1)
    mine = BINDING[sign]
    if first_binds < mine + (sign == "**"):
        first = f"({first})"
    if second_binds < mine + (sign not in "+*"):
        second = f"({second})"
    return f"{first} {sign} {second}", mine
