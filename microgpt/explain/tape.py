"""A tape of operations: numbers that calculate as ever, and write down what they do.

>>> tape = Tape(limit=100)
>>> w, x = tape.parameter(0.5), tape.given(3.0)
>>> y = (w * x - 1) ** 2
>>> y.data, [KINDS[kind] for kind in tape.kind]
(0.25, ['parameter', 'constant', '*', 'constant', 'constant', '*', '+', 'constant', '**'])

A `Recorded` is a Value: it stands for what depends on a parameter. The numbers of the data are `Given`: floats and
integers, with which Python does what it ever does. A comparison gives a `Truth`, which is an integer, 1 or 0. Only what
Python decides by such a truth is fixed: the tape keeps it as a guard.
"""

import math
import operator
import sys
from collections.abc import Callable, Sequence
from typing import Any

from microgpt import value
from microgpt.explain.program import (
    ADD,
    CONSTANT,
    DIVIDE,
    EXP,
    KINDS,
    LARGEST,
    LESS,
    LESS_EQUAL,
    LOG,
    MUL,
    PARAMETER,
    POW,
    WHERE,
    TooLongError,
)
from microgpt.value import Value, number

__all__ = ["KINDS", "Given", "GivenInteger", "Recorded", "Tape", "Truth", "node_of"]
CALCULATES = (ADD, MUL, POW, LOG, EXP, DIVIDE)
SIZE_OF_EXACT_INTEGERS = 2**53


class Tape:
    """The operations so far: `kind`, `left` and `right` of each node, as in program.py, and the numbers as they ran.

    Besides, a comparison has two operands. A `where` has its test at the left, and at the right the place of its two
    choices in `items`. `given_nodes` are the numbers of the example. `guards` are truths by which Python decided, with
    what they were and the file and line.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self.kind: list[int] = []
        self.left: list[int] = []
        self.right: list[int] = []
        self.numbers: list[float] = []
        self.items: list[int] = []
        self.constants: dict[Any, int] = {}
        self.given_nodes: list[int] = []
        self.guards: list[tuple[int, bool, str, int]] = []
        self.may_fail = 0  # how many choices are around, of which Python would not go this way

    def add(self, kind: int, left: int, right: int, number: float) -> int:
        """Write down a node; return it. Raises TooLongError at the limit."""
        if len(self.kind) >= self.limit:
            raise TooLongError(0)
        self.kind.append(kind)
        self.left.append(left)
        self.right.append(right)
        self.numbers.append(number)
        return len(self.kind) - 1

    def parameter(self, x: float) -> "Recorded":
        """Return a parameter."""
        return Recorded(self, self.add(PARAMETER, -1, -1, x), x)

    def given(self, x: Any) -> Any:
        """Return a number of the example."""
        node = self.add(CONSTANT, -1, -1, float(x))
        self.given_nodes.append(node)
        return self.plain(node, x)

    def constant(self, x: Any) -> int:
        """Return the node of a plain number; equal ones share it."""
        key = x if x else repr(x)  # -0.0 is another number than 0.0
        if key not in self.constants:
            self.constants[key] = self.add(CONSTANT, -1, -1, number(x))
        return self.constants[key]

    def node(self, x: Any) -> int:
        """Return the node of any number."""
        own = node_of(x)
        return self.constant(x) if own is None else own

    def plain(self, node: int, x: Any) -> Any:
        """Return a number that depends on no parameter, as a float or integer."""
        if type(x) is int and abs(x) > SIZE_OF_EXACT_INTEGERS:
            return x
        found = GivenInteger(x) if type(x) is int else Given(x)
        found.tape, found.node = self, node
        return found

    def truth(self, kind: int, a: Any, b: Any) -> "Truth":
        """Return whether a < b, or a <= b."""
        compare = operator.lt if kind == LESS else operator.le
        found = Truth(compare(plain(a), plain(b)))
        found.tape, found.node = self, self.add(kind, self.node(a), self.node(b), float(found.holds))
        return found

    def where(self, test: "Truth", a: Any, b: Any) -> Any:
        """Return a where the test holds, else b: numbers of any kind."""
        chosen = a if test.holds else b
        nodes = self.node(a), self.node(b)
        self.items += nodes
        node = self.add(WHERE, test.node, len(self.items) - 2, float(plain(chosen)))
        if isinstance(a, Value) or isinstance(b, Value):
            recorded = Recorded(self, node, float(plain(chosen)))
            recorded.choice = test, chosen
            return recorded
        if isinstance(a, (bool, Truth)) and isinstance(b, (bool, Truth)):
            truth = Truth(plain(chosen))
            truth.tape, truth.node = self, node
            return truth
        both_whole = isinstance(a, int) and isinstance(b, int)
        return self.plain(node, int(plain(chosen)) if both_whole else float(plain(chosen)))

    def largest(self, numbers: Sequence[Any]) -> int:
        """Return the node of the greatest of some numbers."""
        nodes = [self.node(x) for x in numbers]
        start = len(self.items)
        self.items += nodes
        return self.add(LARGEST, start, len(nodes), float(value.largest([plain(x) for x in numbers])))

    def guard(self, test: "Truth", frame: Any) -> bool:
        """Note that Python decides by a truth, in the line of a frame; return it."""
        self.guards.append((test.node, test.holds, frame.f_code.co_filename, frame.f_lineno))
        return test.holds

    def or_none(self, calculate: Callable[[], float]) -> float:
        """Return a number; NaN where there is none, if Python would not have asked for it."""
        try:
            return calculate()
        except (ArithmeticError, ValueError):
            if self.may_fail:
                return math.nan
            raise


def node_of(x: Any) -> int | None:
    """Return the node of a number that has one."""
    return x.node if isinstance(x, (Recorded, Plain)) else None


def plain(x: Any) -> Any:
    """Return any number as a plain float, integer or bool."""
    if isinstance(x, Recorded):
        return x.data
    if isinstance(x, Truth):
        return x.holds
    return x.bare() if isinstance(x, Plain) else x


class Recorded(Value):
    """A Value that is on a tape."""

    __slots__ = ("choice", "node", "tape")
    __array_ufunc__ = None

    def __init__(self, tape: Tape, node: int, data: float):
        self.tape, self.node, self.data, self.grad = tape, node, data, 0.0
        self.operation, self.inputs, self.derivatives = "", (), ()
        self.choice: tuple[Truth, Any] | None = None  # of a choice: its test, and the object that it took

    def lift(self, x: Any) -> "Recorded":
        """Return any number as a Recorded."""
        if isinstance(x, Recorded):
            return x
        return Recorded(self.tape, self.tape.node(x), number(plain(x)))

    def made(self, kind: int, right: int, calculate: Callable[[], Any]) -> "Recorded":
        x = self.tape.or_none(calculate)
        return Recorded(self.tape, self.tape.add(kind, self.node, right, x), x)

    def __add__(self, other: Any) -> "Recorded":
        other = self.lift(other)
        return self.made(ADD, other.node, lambda: self.data + other.data)

    def __mul__(self, other: Any) -> "Recorded":
        other = self.lift(other)
        return self.made(MUL, other.node, lambda: self.data * other.data)

    def __pow__(self, exponent: Any) -> "Recorded":
        if isinstance(exponent, Recorded):
            raise TypeError("the exponent of ** must be a plain number, not a Value: write exp(y * log(x))")
        k = number(plain(exponent))
        return self.made(POW, self.tape.node(exponent), lambda: (Value(self.data) ** k).data)

    def log(self) -> "Recorded":
        return self.made(LOG, -1, lambda: value.log(self.data))

    def exp(self) -> "Recorded":
        return self.made(EXP, -1, lambda: value.exp(self.data))

    def largest(self, items: Sequence[Any]) -> "Recorded":
        node = self.tape.largest(items)
        return Recorded(self.tape, node, self.tape.numbers[node])

    def __lt__(self, other: Any) -> Any:
        return self.tape.truth(LESS, self, self.lift(other))

    def __le__(self, other: Any) -> Any:
        return self.tape.truth(LESS_EQUAL, self, self.lift(other))

    def __gt__(self, other: Any) -> Any:
        return self.tape.truth(LESS, self.lift(other), self)

    def __ge__(self, other: Any) -> Any:
        return self.tape.truth(LESS_EQUAL, self.lift(other), self)


class Plain:
    """A number of the data, or made of such alone: a float or integer that is on a tape."""

    tape: Tape
    node: int

    def bare(self) -> Any:
        """Return it as Python has it."""
        return int(self) if isinstance(self, int) else float.__float__(self)  # type: ignore[arg-type]

    def done(self, calculate: Callable[[Any, Any], Any], a: Any, b: Any, write: Callable[[Tape], int]) -> Any:
        """Return what Python makes of two plain numbers, on the tape if that is a number."""
        if isinstance(a, Recorded) or isinstance(b, Recorded) or not isinstance(a, (int, float)):
            return NotImplemented
        if not isinstance(b, (int, float)):
            return NotImplemented
        x = self.tape.or_none(lambda: calculate(plain(a), plain(b)))
        if isinstance(x, complex):
            return x
        return self.tape.plain(write(self.tape), x)

    def operated(self, kind: int, calculate: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
        def write(tape: Tape) -> int:
            return tape.add(
                kind, tape.node(a), tape.node(b), float(tape.or_none(lambda: calculate(plain(a), plain(b))))
            )

        return self.done(calculate, a, b, write)

    def subtracted(self, a: Any, b: Any) -> Any:
        def write(tape: Tape) -> int:
            minus = tape.add(MUL, tape.node(b), tape.constant(-1.0), -float(plain(b)))
            return tape.add(ADD, tape.node(a), minus, float(plain(a) - plain(b)))

        return self.done(operator.sub, a, b, write)

    def __add__(self, other: Any) -> Any:
        return self.operated(ADD, operator.add, self, other)

    def __radd__(self, other: Any) -> Any:
        return self.operated(ADD, operator.add, other, self)

    def __mul__(self, other: Any) -> Any:
        return self.operated(MUL, operator.mul, self, other)

    def __rmul__(self, other: Any) -> Any:
        return self.operated(MUL, operator.mul, other, self)

    def __sub__(self, other: Any) -> Any:
        return self.subtracted(self, other)

    def __rsub__(self, other: Any) -> Any:
        return self.subtracted(other, self)

    def __truediv__(self, other: Any) -> Any:
        return self.operated(DIVIDE, operator.truediv, self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self.operated(DIVIDE, operator.truediv, other, self)

    def __neg__(self) -> Any:
        return self * -1

    def __pos__(self) -> Any:
        return self

    def __pow__(self, exponent: Any) -> Any:
        return self.operated(POW, operator.pow, self, exponent)

    def __abs__(self) -> Any:
        return self.tape.where(self >= 0, self, -self)

    def log(self) -> Any:
        """Return the logarithm, as microgpt.log does."""
        x = self.tape.or_none(lambda: value.log(plain(self)))
        return self.tape.plain(self.tape.add(LOG, self.node, -1, x), x)

    def exp(self) -> Any:
        """Return e to the power of it, as microgpt.exp does."""
        x = value.exp(plain(self))
        return self.tape.plain(self.tape.add(EXP, self.node, -1, x), x)

    def largest(self, items: Sequence[Any]) -> Any:
        """Return the greatest of some numbers, as microgpt.largest does."""
        for item in items:
            if isinstance(item, Recorded):
                return item.largest(items)
        node = self.tape.largest(items)
        return self.tape.plain(node, self.tape.numbers[node])

    def compared(self, kind: int, a: Any, b: Any) -> Any:
        known = all(isinstance(x, (int, float)) for x in (a, b))
        return self.tape.truth(kind, a, b) if known else NotImplemented

    def __lt__(self, other: Any) -> Any:
        return self.compared(LESS, self, other)

    def __le__(self, other: Any) -> Any:
        return self.compared(LESS_EQUAL, self, other)

    def __gt__(self, other: Any) -> Any:
        return self.compared(LESS, other, self)

    def __ge__(self, other: Any) -> Any:
        return self.compared(LESS_EQUAL, other, self)


class Given(Plain, float):  # type: ignore[misc]
    """A plain float on a tape."""


class GivenInteger(Plain, int):  # type: ignore[misc]
    """A plain integer on a tape. It still chooses from lists, and bounds a range."""


class Truth(Plain, int):  # type: ignore[misc]
    """The result of a comparison: 1 or 0. Where Python asks for it, that becomes a guard."""

    @property
    def holds(self) -> bool:
        """Whether it is 1, without asking."""
        return int.__int__(self) != 0

    def __bool__(self) -> bool:
        return self.tape.guard(self, sys._getframe(1))

    def __repr__(self) -> str:
        return repr(self.holds)

    __hash__ = int.__hash__


# Messages of Python then name what the function was given.
Recorded.__name__, Given.__name__, GivenInteger.__name__, Truth.__name__ = "Value", "float", "int", "bool"
