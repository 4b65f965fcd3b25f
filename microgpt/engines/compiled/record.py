"""A function of scalars as a table of operations, and the symbolic scalars that write it.

A `Record` has one row for each operation, in the order in which they happened. A row names the rows of its operands,
so the table is the graph.

>>> from microgpt.engines.compiled.recording import record_function
>>> record = record_function(lambda params, x: params["w"] * x + 1.0, {"w": ()}, [("x", "float", ())])
>>> for row in record.rows():
...     print(*row)
parameter 0
input 0
mul 0 1
constant 1.0
add 2 3

A row may stand for many scalars. Where a loop over a list is read as one line about all its elements, the element
carries an *axis*, an index without a value, and so does everything made of it. Such a row is a *family* of scalars, one
for each value of its axes. `sum` closes an axis again.

>>> record = record_function(lambda p, x: sum([w * x for w in p]), (1000,), [("x", "float", ())])
>>> for row in record.rows():
...     print(*row)
parameter 0 [1000]
input 0
view 0 [1000]
mul 2 1 [1000]
view 3 [1000]
sum 4 over 1000

A `RecordedScalar` flows through the function. It is the number of a row and has no value, so Python cannot decide by
it. `x > 0` is recorded as 1 or 0. Where both branches of `a if x > 0 else b` can be recorded, so is the choice, as a
`where`. Anything else that needs a value cannot be recorded, and the error says so.
"""

import inspect
import linecache
import sysconfig
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from fractions import Fraction
from functools import cache, partial
from math import gcd, inf
from numbers import Real
from pathlib import Path
from types import CodeType
from typing import Any, ClassVar

import numpy as np

from microgpt.engines.compiled.branches import asker_at
from microgpt.engines.compiled.classes import Operators
from microgpt.engines.compiled.effects import Effects
from microgpt.value import Value, number
from microgpt.value import __file__ as value_file

KINDS = (
    "constant", "parameter", "input", "view", "list", "add", "mul", "pow", "log", "exp", "less", "less or equal",
    "where", "sum", "largest", "pick", "carry",
)  # fmt: skip
(
    CONSTANT, PARAMETER, INPUT, VIEW, LIST, ADD, MUL, POW, LOG, EXP, LESS, LESS_EQUAL, WHERE, SUM, LARGEST, PICK, CARRY,
) = range(len(KINDS))  # fmt: skip
BINARY = (ADD, MUL, LESS, LESS_EQUAL)
LEAVES = {CONSTANT, PARAMETER, INPUT}
TWO_ROWS = {*BINARY, CARRY}  # `left` and `right` are both rows
FUNCTIONS = {KINDS[kind]: kind for kind in (LOG, EXP)}  # of one scalar, by name
CALCULATES = (ADD, MUL, POW, *FUNCTIONS.values(), SUM)

Shapes = Any  # the nesting of the parameters, with shapes in place of arrays
Argument = tuple[str, str, tuple[int, ...]]  # its name, "int" or "float", and the shape of one example

MANY_NUMBERS = 200_000  # in the table of a function of indices
new = object.__new__
FLOATS = {float, int}  # by `type`, because an Index says that it is an int


class RecordingError(TypeError):
    """The function did something with a recorded number that cannot be written down as one of the five operations.

    The record remembers it, because a function that catches it goes on in another way than its numbers would. But a
    function may ask what a scalar has, so an AttributeError is not remembered.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        if Record.current is not None and not isinstance(self, AttributeError):
            Record.current.refusals.append(self)


class NoAttributeError(RecordingError, AttributeError):
    """The function asked a recorded scalar for what it does not have, which `hasattr` may find out."""


class BranchIndexError(RecordingError, IndexError):
    """An integer picks beyond a list, if a branch is chosen that Python might not have run."""


class NotTraceable(BaseException):
    """The body of a loop does what only a Python loop can do. It is no Exception, so `except Exception` lets it pass.

    The record remembers it, in case a bare `except:` or a `finally:` that returns swallows it.
    """

    def __init__(self) -> None:
        super().__init__()
        if Record.current is not None:
            Record.current.loops.aborted = True


ABS = "write x if x > 0 else -x"
NUMBER = "x itself serves where its number is meant, and largest(items) is the greatest of some"
DERIVATIVE = "return the loss alone; for a derivative within a loss see docs/library.md, derivatives of derivatives"
INSTEAD = {  # remedies for a method of a scalar, or a function of numpy
    "exp": "write exp(x) of microgpt", "log": "write log(x) of microgpt", "sqrt": "write x ** 0.5",
    "tanh": "write tanh(x) of microgpt.functions", "gelu": "write gelu(x) of microgpt.functions",
    "relu": "write x * (x > 0)", "sigmoid": "write 1 / (1 + exp(-x))", "square": "write x ** 2", "absolute": ABS,
    "maximum": "write max(a, b)", "minimum": "write min(a, b)", "where": "write a if x > 0 else b",
    "data": NUMBER, "item": NUMBER, "grad": DERIVATIVE, "backward": DERIVATIVE,
}  # fmt: skip
TRUTH = {  # remedies for what asks for the truth of a scalar
    "any or all": "count, as in sum([a > 0 for a in x]) > 0 for any, and sum([a <= 0 for a in x]) < 1 for all",
    "filter": "keep every item, and choose: sum([a if a > 0 else 0.0 for a in x])",
    "break": "a `break` or `continue` by a scalar may stand in a `for` without `else`; elsewhere choose in each turn",
    "assert": "leave the assert out, or check the numbers that evaluate returns",
    "while": "let a `for` take as many turns as are ever needed, and choose in each: x = f(x) if x > 1 else x",
    "if": "such an `if` may only assign, append, return, or hold such `if`s and loops; choose by a if x > 0 else b",
    "sorted": "put two in order by min(a, b) and max(a, b)",
    "if, and, or, not": "compare it and choose, by a if x > 0 else b, or by max, min or x * (x > 0); or decide by a "
    "plain integer",
}  # fmt: skip
OF_NUMBERS = {*dir(Value), *dir(float), *dir(bool)}  # names of attributes
KEPT = (
    "the function uses numbers that it kept from an earlier call, in a list, an attribute or a cache outside of it: "
    "it must not depend on earlier calls; make them anew in each call, or pass them as an argument"
)
CHOOSE = "a if x > 0 else b"
OTHERWISE = "write it with + - * / **, exp, log and comparisons"
REFLECTED = {
    "add": "__radd__", "subtract": "__rsub__", "multiply": "__rmul__", "divide": "__rtruediv__", "power": "__rpow__",
    "less": "__gt__", "less_equal": "__ge__", "greater": "__lt__", "greater_equal": "__le__",
}  # fmt: skip


class Split(NotTraceable):
    """A loop is one line only in parts: from this turn on, a test by its index has another outcome.

    The turn may be an index of loops around it.
    """

    def __init__(self, axis: "Axis", turn: "IndexLike"):
        super().__init__()
        self.axis, self.turn = axis, turn


class Stripes(NotTraceable):
    """A loop is one line only if so many turns are taken together: its body asks for its index modulo their number."""

    def __init__(self, axis: "Axis", turns: int):
        super().__init__()
        self.axis, self.turns = axis, turns


class Lost(BaseException):
    """The value of something that loops made is needed: the function is recorded anew, with these loops in Python.

    Args:
        sites: the places of the loops in the source, or {EVERYWHERE}.
    """

    def __init__(self, sites: set[Any]):
        super().__init__()
        self.sites = sites


EVERYWHERE = object()


class Axis:
    """The index of a loop that is read as one line: it stands for 0, 1, ..., n - 1.

    With a bound (another axis, a constant and a step) it stays below constant + step * (the index of the other axis).
    """

    __slots__ = ("bound", "n", "ragged", "site", "statement")

    def __init__(self, n: int, ragged: bool = False, bound: "tuple[Axis, int, int] | None" = None):
        self.n = n
        self.site: Any = None  # of the loop, in the source
        self.statement = 0  # of a `for` statement: its number in the order in which they begin
        self.ragged = ragged and bound is None  # over a list that was put together piece by piece, and may be longer
        self.bound = bound

    def turns(self) -> int | Fraction:
        """How many indices it has: within a bound, on average over the other axis."""
        if self.bound is None:
            return self.n
        other, constant, step = self.bound
        return turns_within(self.n, other.n, constant, step)

    def another(self) -> "Axis":
        """An axis of the same length."""
        return Axis(self.n, self.ragged, self.bound)

    def length(self) -> "IndexLike":
        """How many indices there are: within a bound that depends on another index."""
        if self.bound is None:
            return self.n
        other, constant, step = self.bound
        return at(other) * step + constant


class Index:
    """An integer that depends on axes: constant + the sum of coefficient * axis. It supports only such arithmetic.

    A loop over `range` gets one as its variable. A body that does anything else with it needs its value, so it runs as
    a Python loop.
    """

    __slots__ = ("constant", "terms")

    def __init__(self, constant: int, terms: tuple[tuple[Axis, int], ...]):
        self.constant = constant
        self.terms = terms

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # `isinstance` asks this
        return int

    def span(self) -> tuple[int, int]:
        """Its least and its greatest value."""
        return self._least(1), -self._least(-1)

    def _least(self, sign: int) -> int:
        """The least value of this index, or of its negative."""
        for axis, coefficient in self.terms:
            if axis.bound is not None and sign * coefficient < 0:  # the last index below the bound
                inside = replaced(self, axis, axis.length() - 1)
                return inside._least(sign) if type(inside) is Index else sign * inside
        return sign * self.constant + sum(min(0, sign * c * (axis.n - 1)) for axis, c in self.terms)

    def __add__(self, other: Any) -> "IndexLike":
        if type(other) in (float, RecordedScalar):
            return other + number_at(self)
        if type(other) is Index:
            terms = dict(self.terms)
            for axis, coefficient in other.terms:
                terms[axis] = terms.get(axis, 0) + coefficient
            left_over = tuple([term for term in terms.items() if term[1]])
            return Index(self.constant + other.constant, left_over) if left_over else self.constant + other.constant
        if type(other) is not int:
            raise NotTraceable
        return Index(self.constant + other, self.terms)

    def __mul__(self, other: Any) -> Any:
        if type(other) in (float, RecordedScalar):
            return other * number_at(self)
        if type(other) is not int:
            raise NotTraceable
        return Index(self.constant * other, tuple([(a, c * other) for a, c in self.terms])) if other else 0

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Any:
        return self * -1

    def __pos__(self) -> "Index":
        return self

    def __sub__(self, other: Any) -> Any:
        return self + -other

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def __truediv__(self, other: Any) -> Any:
        if type(other) not in (int, float, RecordedScalar):
            raise NotTraceable
        return number_at(self) / other

    def __rtruediv__(self, other: Any) -> Any:
        low, high = self.span()
        if type(other) not in (int, float, RecordedScalar) or low <= 0 <= high:
            raise NotTraceable
        return other / number_at(self)

    def __pow__(self, exponent: Any) -> Any:
        if type(exponent) not in (int, float) or self.span()[0] <= 0:
            raise NotTraceable
        return number_at(self) ** exponent

    def __rpow__(self, base: Any) -> Any:
        if type(base) not in (int, float) or (base == 0 and self.span()[0] < 0):
            raise NotTraceable
        return number_at(self, lambda i: float(base**i))

    def __floordiv__(self, other: Any) -> "IndexLike":
        self._divides(other)
        return Index(self.constant // other, tuple((a, c // other) for a, c in self.terms))

    def __mod__(self, other: Any) -> int:
        self._divides(other)
        return self.constant % int(other)

    def _divides(self, other: Any) -> None:
        """Raise Stripes, or NotTraceable, unless a number divides all steps of this index."""
        if type(other) is not int or other < 1:
            raise NotTraceable
        left = [(axis, step) for axis, step in self.terms if step % other]
        if left:
            (axis, step), *more = left
            raise NotTraceable if more or axis.bound or axis.n < other else Stripes(axis, other // gcd(step, other))

    def pick(self, items: Any) -> Any:
        """The item at this index."""
        record = Record.current
        assert record is not None
        return record.stack(items)[self]

    # Comparisons: where all indices give one answer, that; else the loop is split where the answer changes.

    def _compared(self, other: Any, holds: Callable[[int], bool]) -> Any:
        if type(other) is float and other.is_integer():
            other = int(other)
        if type(other) not in (int, bool, Index):
            raise NotTraceable
        return compared(self - other, holds)

    def __lt__(self, other: Any) -> Any:
        return self._compared(other, lambda apart: apart < 0)

    def __gt__(self, other: Any) -> Any:
        return self._compared(other, lambda apart: apart > 0)

    def __le__(self, other: Any) -> Any:
        return self._compared(other, lambda apart: apart <= 0)

    def __ge__(self, other: Any) -> Any:
        return self._compared(other, lambda apart: apart >= 0)

    def __eq__(self, other: Any) -> Any:
        if other is None or type(other) is str:
            return False
        return self._compared(other, lambda apart: apart == 0)

    def __ne__(self, other: Any) -> Any:
        if other is None or type(other) is str:
            return True
        return self._compared(other, lambda apart: apart != 0)

    def __bool__(self) -> bool:
        return bool(self != 0)

    def _needs_value(self, *_: Any) -> Any:
        raise NotTraceable

    __index__ = __int__ = __float__ = __hash__ = __str__ = __repr__ = __format__ = __abs__ = _needs_value
    __round__ = __trunc__ = __floor__ = __ceil__ = __rfloordiv__ = __rmod__ = _needs_value
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = __lshift__ = __rshift__ = __invert__ = _needs_value
    __divmod__ = __rdivmod__ = __rlshift__ = __rrshift__ = __getattr__ = _needs_value


IndexLike = Any  # an int or an Index


@cache
def turns_within(n: int, others: int, constant: int, step: int) -> Fraction:
    """How many of n turns there are on average over the turns of another axis, which bounds them."""
    return Fraction(sum([min(max(constant + step * i, 0), n) for i in range(others)]), others)


def at(axis: Axis) -> Index:
    """The index that runs over an axis."""
    return Index(0, ((axis, 1),))


def replaced(index: IndexLike, axis: Axis, by: IndexLike) -> IndexLike:
    """An index with another one in place of an axis."""
    if type(index) is not Index:
        return index
    terms = index.terms
    for other, coefficient in terms:
        if other is axis:
            if coefficient == 1 and not index.constant and len(terms) == 1:
                return by
            rest = Index(index.constant, tuple([term for term in terms if term[0] is not axis]))
            result = rest + by * coefficient
            return result if type(result) is not Index or result.terms else result.constant
    return index


class IndexTest:
    """A comparison by indices of several loops that holds for some of them only. It has no value that Python knows.

    A choice takes it as a scalar that is 1 or 0 at each of the indices.

    Args:
        index: what is compared with 0.
        holds: whether the comparison holds, for a value of the index.
        scalar: if it is made of several tests.
    """

    __slots__ = ("holds", "index", "known")

    def __init__(self, index: Index, holds: Callable[[int], bool], scalar: "RecordedScalar | None" = None):
        self.index, self.holds, self.known = index, holds, scalar

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # `isinstance` asks this
        return bool

    def scalar(self) -> "RecordedScalar":
        if self.known is None:
            self.known = number_at(self.index, lambda i: 0.0 if self.holds(i) else 1.0) < 0.5
            self.known.record.index_tests.add(self.known.node)
        return self.known

    def __add__(self, other: Any) -> Any:
        return self.scalar() + other

    def __mul__(self, other: Any) -> Any:
        return self.scalar() * other

    __radd__, __rmul__ = __add__, __mul__

    def __bool__(self) -> bool:
        record = Record.current
        assert record is not None
        steps = dict(self.index.terms)
        (innermost, *_) = [frame.axis for frame in reversed(record.loops.frames) if frame.axis in steps] or [None]
        raise NotTraceable if innermost is None or abs(steps[innermost]) != 1 else self.split(innermost)

    def split(self, axis: Axis) -> NotTraceable:
        """The error where one of the loops is a line only in parts, before and after an index of the loops around."""
        for one in turns_of_change(self.index, self.holds):
            step = dict(one.terms)[axis]
            rest = replaced(one, axis, 0)
            turn = -(rest // step) if step > 0 else rest // -step + 1
            for place in (turn, axis.length() - turn):
                if compared(place, lambda apart: apart < 0):  # it may be undecided, too: then another loop is split
                    return NotTraceable()
            return Split(axis, turn)
        return NotTraceable()

    def _needs_value(self, *_: Any) -> Any:
        raise NotTraceable

    __index__ = __int__ = __float__ = __hash__ = __str__ = __repr__ = __format__ = _needs_value
    __lt__ = __gt__ = __le__ = __ge__ = __eq__ = __ne__ = __sub__ = __rsub__ = __neg__ = __pow__ = __rpow__ = (
        _needs_value
    )
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = __invert__ = __truediv__ = __getattr__ = _needs_value


def compared(index: IndexLike, holds: Callable[[int], bool]) -> Any:
    """Whether a comparison with 0 holds, by the sign of an index. Where it does for some of its values only, a test.

    Raises Split where these are the turns of one loop.
    """
    if type(index) is int:
        return holds(index)
    low, high = index.span()
    signs = [-1] * (low < 0) + [0] * (low <= 0 <= high) + [1] * (high > 0)
    (first, *others) = {holds(sign) for sign in signs}
    if not others:
        return first
    test, axis = IndexTest(index, holds), index.terms[0][0]
    if len(index.terms) > 1 or axis.bound is not None:
        return test
    raise test.split(axis)


def turns_of_change(index: Index, holds: Callable[[int], bool]) -> Iterator[Index]:
    """Indices that are negative up to where the outcome of a comparison changes, or from there on."""
    for one, changes in ((index, holds(-1) != holds(0)), (-index, holds(0) != holds(1))):
        low, high = one.span()
        if changes and low < 0 <= high:
            yield one


def untested(value: Any) -> Any:
    """A value that a list may get: a test of indices as a scalar."""
    return value.scalar() if type(value) is IndexTest else value


def number_at(index: Index, number: Callable[[int], float] = float) -> "RecordedScalar":
    """A number for each index as a scalar, the index itself if no other: of a list of all, the one at its place."""
    record = Record.current
    assert record is not None
    low, high = index.span()
    if number is not float and high - low > MANY_NUMBERS:
        raise NotTraceable
    values = record.stack([number(i) for i in range(low, high + 1)])
    found = values.at(index + -low)
    assert isinstance(found, RecordedScalar)
    return found


class Loops:
    """The loops that are being traced as axes, one within the other."""

    def __init__(self) -> None:
        self.depth = 0
        self.frames: list[Any] = []  # what each of them reads and changes, the innermost last (see frames.py)
        self.times: int | Fraction = 1  # how often the scalar engine does what is recorded now
        self.aborted = False  # the innermost one turned out not to be traceable
        self.statements = True  # are read, too, and not only comprehensions
        self.begun = 0  # how many `for` statements have been
        self.noting = True  # what lists are read
        self.through: Any = None  # the list through which those in it are read
        self.untraceable: set[Any] = set()  # places in the source of loops that run in Python
        self.lines: set[Any] = set()  # places of `for` statements that are read as one line
        self.filled: dict[Any, list[Any]] = {}  # the lists of which each of these makes items of those before
        self.calls = 0  # of functions that may return early, by a scalar
        self.ahead = 0  # how many of those traced are no turns, but all items of a generator: iterators go on there
        self.failed: list[Exception] = []  # the errors that branches of choices have raised, or examples may raise
        self.early: list[int] = []  # the numbers of those that did, and go on: what follows is a branch

    def runs_in_python(self, site: Any) -> bool:
        """Whether the loop at a place in the source does not become an axis."""
        return site in self.untraceable or self.all_in_python()

    def all_in_python(self) -> bool:
        return EVERYWHERE in self.untraceable

    @contextmanager
    def unnoted(self) -> Iterator[None]:
        """Let it not be noted that lists are read."""
        before, self.noting = self.noting, False
        try:
            yield
        finally:
            self.noting = before


class Record:
    """A function as a table of operations: `kind`, `left` and `right` for each row, and the tables they refer to.

    The `right` of a constant or a power is an index into `constants`; the `left` of a parameter or an input is the
    place of its first number among all. A view reads the row `left` at `indices[right]`, one index for each axis of
    that row. The items of a list are `lists[right]`. A where has the value of one of the rows `choices[right]`: of the
    first where the row `left` is not 0. A sum, a largest or a pick closes the axis `closed[row]` of the row `left`;
    along it, a pick takes the item that the integer at `integers[right]` chooses. A carry is the state of a loop: the
    row `left` at index 0 of its first axis, and at any other what the row `right` is one index before.

    Args:
        with_sources: whether to note the file and the line of the function behind each row.
        stack, stack_choices, as_chosen: how lists of scalars, and of rows of them, become an axis (see stacking.py).
        tabled: how functions of plain numbers are computed at all indices (see recorded_numbers.py).
        within: how a turn of a loop is recorded that is one only where a test holds (see choices.py).
        run, ask: how methods are called that Python calls for operators, and for identity (see classes.py).
    """

    current: ClassVar["Record | None"] = None  # the one that is being written: the functions that write it find it here

    def __init__(
        self, with_sources: bool, stack: Callable[..., Any], stack_choices: Callable[..., Any],
        as_chosen: Callable[..., Any], tabled: Callable[..., Any], within: Callable[..., Any],
        run: Callable[..., Any], ask: Callable[[Any], None],
    ) -> None:  # fmt: skip
        self.stack, self.stack_choices = partial(stack, record=self), partial(stack_choices, record=self)
        self.as_chosen, self.tabled, self.within = as_chosen, partial(tabled, record=self), within
        self.operators = Operators(self, run, ask)
        # The table
        self.kind, self.left, self.right = array("b"), array("i"), array("i")
        self.axes: dict[int, tuple[Axis, ...]] = {}  # of each family
        self.closed: dict[int, Axis] = {}
        self.constants: list[float] = []
        self.indices: list[tuple[IndexLike, ...]] = []
        self.lists: list[list[tuple[int, Axis | None, int]]] = []  # items: the row, its axis or None, the length
        self.choices: list[tuple[int, int]] = []
        self.branches: list[tuple[int, int]] = []  # from row to row, what is computed even if a choice goes elsewhere
        self.integers: list[IndexLike] = []  # the places of choosing integers
        self.sources: list[tuple[str, int]] | None = [] if with_sources else None
        self.repeats: dict[int, int | Fraction] = {}  # of rows within axes, how often the scalar engine does them
        # The example
        self.parameters = 0  # how many numbers there are in all of them
        self.floats = 0  # how many numbers an example has
        self.names: list[str] = []  # of each integer of an example, such as "tokens[3]"
        self.picks: list[tuple[IndexLike, int, int]] = []  # which integer picks, from how many, and in which row
        # The result
        self.outputs: list[tuple[int, tuple[int, ...]]] = []  # rows, and an index for each of their axes
        self.form: Any = None  # how the outputs are nested
        self.returned: list[IndexLike] = []  # the places of integers that come back, as floats after all others
        # While it is being written
        self.loops = Loops()
        self.effects = Effects()
        self.annotated = with_sources  # an operation notes more than its row
        self.failures: Any = [0.0]  # nan in its place where a branch is chosen in which Python would raise an error
        self.refusals: list[Exception] = []  # all that were raised, even if the function caught them
        self.unread: dict[CodeType, None] = {}  # functions that were called as they are, without a source of their own
        self.lists_made = 0
        self.made: dict[int, Any] = {}  # objects that loops have made, by their identities (see objects.py)
        self.chosen_from: dict[int, Any] = {}  # objects among which a scalar has chosen
        self.elements: dict[Any, RecordedScalar] = {}  # single scalars of families: each is one object
        self.seen_lists: dict[Any, Any] = {}  # lists that have been stacked, by the identities of their items
        self.gathered: dict[int, list[Any]] = {}  # the items that a row holds which was made of a plain list
        self.remembered: dict[Any, Any] = {}  # what functions with a cache gave
        self.index_tests: set[int] = set()  # the rows of comparisons of indices
        self.known: dict[int, np.ndarray] = {}  # the numbers of rows of plain numbers that were asked for
        self.orders: dict[Any, Any] = {}  # what in_order gave
        self.constant_rows: dict[float, int] = {}
        self.exponents: dict[float, int] = {}  # their places among the constants
        self.kinds: dict[int, frozenset[type]] = {}  # what rows may be in Python (see kinds.py)
        self.asked_kind = ""  # the line at which the function asks whether a scalar is a float or a Value

    @contextmanager
    def active(self) -> Iterator[None]:
        """Write down in this record what is done from here on."""
        before, Record.current = Record.current, self
        try:
            yield
        finally:
            Record.current = before

    def __len__(self) -> int:
        return len(self.kind)

    def row(self, kind: int, left: int, right: int) -> int:
        """Write a row, and return its number."""
        row = len(self.kind)
        self.kind.append(kind)
        self.left.append(left)
        self.right.append(right)
        if self.sources is not None:
            self.sources.append(calling_place())
        if self.loops.depth:
            self.repeats[row] = self.loops.times
        return row

    def add(self, kind: int, left: int, right: int) -> "RecordedScalar":
        """Write down one operation on single scalars."""
        row = self.row(kind, left, right)
        scalar = new(RecordedScalar)
        scalar.record, scalar.row, scalar.node = self, row, row
        scalar.index = scalar.free = ()
        return scalar

    def add_family(self, kind: int, left: int, right: int, axes: tuple[Axis, ...], closed: Any = None) -> Any:
        """Write down one operation on families."""
        scalar = self.add(kind, left, right)
        if closed is not None:
            self.closed[scalar.row] = closed
        if axes or closed is not None:
            key = kind in (LIST, CARRY), axes, closed
            if key not in self.orders:
                self.orders[key] = in_order(*key)
            axes, index = self.orders[key]
        if axes:
            self.axes[scalar.row] = axes
            scalar.index, scalar.free = index, axes
            scalar.row = -1  # as an operand it is a view of the family, at its axes
        return scalar

    def row_of(self, scalar: "RecordedScalar") -> int:
        """The row of a scalar as an operand: its own, or that of a view."""
        if scalar.record is not self:
            raise RecordingError(KEPT)
        if scalar.row >= 0:
            return scalar.row
        if any([axis.bound is not None for axis in scalar.free]):
            self.check_first(scalar)
        self.indices.append(scalar.index)
        view = self.row(VIEW, scalar.node, len(self.indices) - 1)
        if scalar.free:
            self.axes[view] = scalar.free
        if not self.loops.depth:
            scalar.row = view  # while an axis is being tried the row may be taken back
        return view

    def check_first(self, scalar: "RecordedScalar") -> None:
        """Raise NotTraceable if a view does not begin within its family: of a loop without a first turn, for some."""
        for index, axis in zip(scalar.index, self.axes[scalar.node], strict=True):
            if type(index) is Index and not 0 <= index.constant < axis.n and self.kind[scalar.node] != PARAMETER:
                for one in [one for one, _ in index.terms if one.bound is not None]:
                    bool(compared(one.length(), lambda turns: turns == 0))  # it may split a loop around that one
                raise NotTraceable

    def operation(self, kind: int, left: "RecordedScalar", right: "RecordedScalar | None", detail: int = 0) -> Any:
        """One of the operations, on scalars or on families: the result has the axes of all its operands."""
        if right is None and left.row >= 0 and not self.annotated:
            return self.add(kind, left.row, detail)
        first = self.row_of(left)
        if right is None:
            axes = left.free
        else:
            detail = self.row_of(right)
            axes = union(left.free, right.free)
        return self.add_family(kind, first, detail, axes)

    def where(self, condition: "RecordedScalar", a: "RecordedScalar", b: "RecordedScalar") -> "RecordedScalar":
        """a where the condition is not 0, else b; the gradient goes to the one that is chosen."""
        row, *of_choices = map(self.row_of, (condition, a, b))
        self.choices.append((of_choices[0], of_choices[1]))
        axes = union(union(condition.free, a.free), b.free)
        return self.add_family(WHERE, row, len(self.choices) - 1, axes)

    def over(self, kind: int, item: "RecordedScalar", axis: Axis, integer: Any = None) -> Any:
        """A sum, a largest or a pick along an axis."""
        row = self.row_of(item)
        axes = tuple(a for a in item.free if a is not axis)
        if integer is None:
            return self.add_family(kind, row, 0, axes, axis)
        self.integers.append(integer.place)
        if type(integer.place) is Index:
            axes = union(axes, tuple(a for a, _ in integer.place.terms))
        return self.add_family(kind, row, len(self.integers) - 1, axes, axis)

    def carry(self, initial: "RecordedScalar", axis: Axis, others: tuple[Axis, ...] = ()) -> Any:
        """The state of a loop over an axis, at the beginning of each turn. Say by `carried` what it is next.

        It has the axes of the initial state, which does not depend on `axis`, and these others.
        """
        axes = union((axis, *initial.free), others)
        return self.add_family(CARRY, self.row_of(initial), -1, axes)

    def carried(self, carry: "RecordedScalar", following: "RecordedScalar") -> None:
        """Say what a state is after each turn: a scalar with axes that the carry has, too."""
        self.right[carry.node] = self.row_of(following)

    def view(self, row: int, index: tuple[IndexLike, ...]) -> "RecordedScalar":
        """The scalar of a row at an index for each of its axes."""
        while self.kind[row] == VIEW:
            places = dict(zip(self.axes.get(row, ()), index, strict=True))
            index = tuple([composed(one, places) for one in self.indices[self.right[row]]])
            row = self.left[row]
        scalar = new(RecordedScalar)
        scalar.record, scalar.row, scalar.node, scalar.index = self, -1 if index else row, row, index
        scalar.free = free_axes(index)
        return scalar

    def end(self) -> None:
        """End the record: a state that no turn changes is a view of the first one."""
        kind, right = np.asarray(self.kind), np.asarray(self.right)
        same = np.flatnonzero((kind == CARRY) & (right < 0)).tolist()
        for row in same:
            self.indices.append(tuple([at(axis) for axis in self.axes.get(self.left[row], ())]))
            self.kind[row], self.right[row] = VIEW, len(self.indices) - 1
        for row in np.flatnonzero(kind == VIEW).tolist() if same else []:
            if self.kind[self.left[row]] == VIEW:  # no view is of a view
                of = self.view(self.left[row], self.indices[self.right[row]])
                self.indices.append(of.index)
                self.left[row], self.right[row] = of.node, len(self.indices) - 1

    def forget(self) -> None:
        """Forget the scalars, which know the record: they are freed now, and not when Python looks for cycles."""
        self.elements.clear()
        self.seen_lists.clear()
        self.gathered.clear()
        self.remembered.clear()
        self.known.clear()
        self.made.clear()
        self.chosen_from.clear()
        del self.stack, self.stack_choices, self.tabled, self.operators, self.failures

    def scalar(self, x: Any) -> "RecordedScalar":
        """A recorded scalar as it is, a plain number as the row of a constant; equal constants share a row."""
        if x.__class__ is RecordedScalar:
            if x.record is not self:
                raise RecordingError(KEPT)
            return x
        if type(x) in (Index, IndexTest):
            return number_at(x) if type(x) is Index else x.scalar()
        if type(x) not in FLOATS or x not in self.constant_rows:
            x = self.plain(x)
        if x not in self.constant_rows or x != x:
            self.constants.append(x)
            self.constant_rows[x] = self.add(CONSTANT, 0, len(self.constants) - 1).row
        scalar = new(RecordedScalar)
        scalar.record, scalar.row, scalar.index, scalar.free = self, self.constant_rows[x], (), ()
        scalar.node = scalar.row
        return scalar

    def exponent(self, x: Any) -> int:
        """The index of an exponent among the constants; equal ones share it."""
        if type(x) not in FLOATS or x not in self.exponents:
            x = self.plain(x)
            self.constants.append(x)
            self.exponents[x] = len(self.constants) - 1
        return self.exponents[x]

    def plain(self, x: Any) -> float:
        """A plain number as a float. Raises TypeError for anything else, as a Value does."""
        if type(x) is Index:
            raise NotTraceable
        if isinstance(x, RecordedInteger):
            x._only_picks()
        if isinstance(x, Value):  # from elsewhere: no gradient of it is wanted
            return x.data
        if not isinstance(x, Real):
            raise TypeError(
                f"expected a scalar or a real number, found {type(x).__name__} {x!r:.80} at {calling_line()}"
            )
        return number(x)

    def operations(self) -> int:
        """How many of the five operations the scalar engine does; `sum` adds each of its items to what it has."""
        kinds = np.frombuffer(self.kind, np.int8) if len(self.kind) else np.zeros(0, np.int8)
        calculates = np.isin(kinds, CALCULATES)
        total: int | Fraction = int(calculates.sum())
        each = {id(times): times for times in self.repeats.values()}  # rows of one loop share theirs
        for one, rows in Counter([id(times) for row, times in self.repeats.items() if calculates[row]]).items():
            total += (each[one] - 1) * rows
        for row, axis in self.closed.items():
            total += (axis.turns() - 1) * self.repeats.get(row, 1) if kinds[row] == SUM else 0
        return int(total)

    def is_plain(self, row: int) -> bool:
        """Whether a row is computed of plain numbers alone."""
        left, seen = [row], set[int]()
        while left:
            one = left.pop()
            if self.kind[one] in (PARAMETER, INPUT, PICK):
                return False
            if one not in seen:
                seen.add(one)
                left += [operand for operand in self.operands(one) if operand >= 0]
        return True

    def operands(self, row: int) -> list[int]:
        """The rows that a row is computed from."""
        kind = self.kind[row]
        if kind in TWO_ROWS:
            return [self.left[row], self.right[row]]
        if kind in LEAVES:
            return []
        if kind == LIST:
            return [part for part, _, _ in self.lists[self.right[row]]]
        return [self.left[row], *(self.choices[self.right[row]] if kind == WHERE else [])]

    def tables(self) -> tuple[Any, ...]:
        return (
            self.kind, self.left, self.right, self.constants, self.indices, self.lists, self.choices, self.branches,
            self.integers, self.picks, self.sources or [],
        )  # fmt: skip

    def mark(self) -> list[int]:
        """Where the record is, to come back to."""
        return [len(self.elements), *map(len, self.tables())]

    def take_back(self, mark: list[int]) -> None:
        """Forget everything that was recorded after a mark."""
        elements, rows = mark[:2]
        for table, end in zip(self.tables(), mark[1:], strict=True):
            del table[end:]
        while len(self.elements) > elements:
            self.elements.popitem()
        for by_row in (self.axes, self.closed, self.repeats, self.kinds, self.gathered, self.known):
            for row in [row for row in by_row if row >= rows]:
                del by_row[row]
        self.index_tests = {row for row in self.index_tests if row < rows}
        self.constant_rows = {x: row for x, row in self.constant_rows.items() if row < rows}
        self.exponents = {x: place for x, place in self.exponents.items() if place < len(self.constants)}
        self.seen_lists = {key: seen for key, seen in self.seen_lists.items() if seen[0] <= rows}

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The table for people: a name, the operands, and the lengths of the axes."""
        for i, (kind, left, right) in enumerate(zip(self.kind, self.left, self.right, strict=True)):
            lengths = [[axis.n for axis in self.axes[i]]] if i in self.axes else []
            if kind == CONSTANT:
                yield KINDS[kind], self.constants[right]
            elif kind == POW:
                yield KINDS[kind], left, self.constants[right], *lengths
            elif kind in TWO_ROWS:
                yield KINDS[kind], left, right, *lengths
            elif kind == LIST:
                yield KINDS[kind], [row for row, _, _ in self.lists[right]], *lengths
            elif kind == WHERE:
                yield KINDS[kind], left, *self.choices[right], *lengths
            elif kind in (SUM, LARGEST, PICK):
                yield KINDS[kind], left, "over", self.closed[i].n, *lengths
            else:
                yield KINDS[kind], left, *lengths


def tracing_depth(call: int = 0) -> int:
    """How many loops, and branches, are being traced now; without the rest of a function up to this number of call."""
    if Record.current is None:
        return 0
    loops = Record.current.loops
    return loops.depth - sum([early <= call for early in loops.early])


def union(a: tuple[Axis, ...], b: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """The axes of a, and those of b that a does not have."""
    if not b or a is b:
        return a
    return a + tuple([axis for axis in b if axis not in a])


def in_order(
    own: bool, axes: tuple[Axis, ...], closed: Axis | None
) -> tuple[tuple[Axis, ...], tuple[IndexLike, ...]]:  # fmt: skip
    """The axes of a family that closes one of them, or none, and an index over each; if it is its own, the first stays.

    Those of `for` statements come first.
    """
    if closed is not None:
        axes = tuple([axis for axis in with_bounds((*axes, closed)) if axis is not closed])
    else:
        axes = (*axes[:own], *with_bounds(axes[own:]))
    if not own:
        axes = tuple(sorted(axes, key=lambda axis: axis.statement or inf))
    return axes, tuple([at(axis) for axis in axes])


def with_bounds(axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """The axes, after those on which their bounds depend."""
    for axis in axes:
        if axis.bound is not None and axis.bound[0] not in axes:
            return with_bounds((axis.bound[0], *axes))
    return axes


def composed(index: IndexLike, places: dict[Axis, IndexLike]) -> IndexLike:
    """An index with others in place of its axes."""
    if type(index) is not Index:
        return index
    found: IndexLike = index.constant
    for axis, step in index.terms:
        found = places[axis] * step + found
    return found


def free_axes(index: tuple[IndexLike, ...]) -> tuple[Axis, ...]:
    """The axes on which some indices depend."""
    return tuple(dict.fromkeys([axis for entry in index if type(entry) is Index for axis, _ in entry.terms]))


def sum_or_product(kind: int) -> Callable[["RecordedScalar", Any], "RecordedScalar"]:
    """The operator for one of these two kinds. Most rows are of these kinds, so it writes them itself."""

    def operator(self: "RecordedScalar", other: Any) -> "RecordedScalar":
        record = self.record
        if other.__class__ is RecordedScalar:
            right = other.row
            if other.record is not record:
                raise RecordingError(KEPT)
        elif type(other) in FLOATS and other in record.constant_rows:
            right = record.constant_rows[other]
        elif is_of_another_kind(other):
            return NotImplemented  # and Python asks the other
        else:
            other = record.scalar(other)
            right = other.row
        left = self.row
        if left < 0 or right < 0 or record.annotated:
            return record.operation(kind, self, record.scalar(other))
        scalar, kinds = new(RecordedScalar), record.kind
        scalar.record = record
        scalar.node = scalar.row = len(kinds)
        scalar.index = scalar.free = ()
        kinds.append(kind)
        record.left.append(left)
        record.right.append(right)
        return scalar

    return operator


def needs_value(what: str, instead: str) -> Callable[..., Any]:
    """A method that refuses what needs the value of a scalar, with the remedy."""

    def refuse(self: "RecordedScalar", *_: Any) -> Any:
        chooses = self.record.kind[self.node] in (LESS, LESS_EQUAL, WHERE) and CHOOSE not in instead
        self._no_value(what, f"choose among the results, {CHOOSE}; or {instead}" if chooses else instead)

    return refuse


class RecordedScalar:
    """A symbolic scalar: it has the five operations but no value, only the row that computes it.

    It is the `row` or, where that is -1, the family `node` at an `index` for each of its axes. These depend on the axes
    `free`.
    """

    __slots__ = ("free", "index", "node", "record", "row")

    record: Record
    row: int
    node: int
    index: tuple[IndexLike, ...]
    free: tuple[Axis, ...]

    def __repr__(self) -> str:
        return RecordedText(f"<a {KINDS[self.record.kind[self.node]]}{BEING_RECORDED}")

    def another(self) -> "RecordedScalar":
        """The same scalar as another object."""
        scalar = new(RecordedScalar)
        scalar.record, scalar.row, scalar.node = self.record, self.row, self.node
        scalar.index, scalar.free = self.index, self.free
        return scalar

    def read_at(self, axis: Axis, by: IndexLike) -> "RecordedScalar":
        """The same with an index in place of an axis."""
        if axis not in self.free:
            return self
        scalar = new(RecordedScalar)
        scalar.record, scalar.row, scalar.node = self.record, -1, self.node
        scalar.index = tuple([replaced(entry, axis, by) if type(entry) is Index else entry for entry in self.index])
        if type(by) is int:
            scalar.free = tuple([one for one in self.free if one is not axis])
        elif len(by.terms) == 1 and by.terms[0][0] not in self.free:
            scalar.free = tuple([by.terms[0][0] if one is axis else one for one in self.free])
        else:
            scalar.free = free_axes(scalar.index)
        return scalar

    def along(self, axis: Axis) -> list["RecordedScalar"]:
        """The same at each index of an axis."""
        places = [place for place, entry in enumerate(self.index) if type(entry) is Index and axis in dict(entry.terms)]
        if len(places) != 1 or len(self.index[places[0]].terms) > 1:
            return [self.read_at(axis, i) for i in range(axis.n)]
        (place,), record, node = places, self.record, self.node
        before, entry, after = self.index[:place], self.index[place], self.index[place + 1 :]
        start, step, free = entry.constant, entry.terms[0][1], free_axes((*before, *after))
        found = []
        for i in range(axis.n):
            scalar = new(RecordedScalar)
            scalar.record, scalar.row, scalar.node, scalar.free = record, -1, node, free
            scalar.index = (*before, start + step * i, *after)
            found.append(scalar)
        return found

    __add__ = __radd__ = sum_or_product(ADD)
    __mul__ = __rmul__ = sum_or_product(MUL)

    def __pow__(self, exponent: Any) -> "RecordedScalar":
        if type(exponent) is Index:
            raise NotTraceable
        if type(exponent) is RecordedScalar:
            exponent._no_value("** with an exponent that is no plain number", "write exp(y * log(x)) for x ** y")
        return self.record.operation(POW, self, None, self.record.exponent(exponent))

    def log(self) -> "RecordedScalar":
        return self.record.operation(LOG, self, None)

    def exp(self) -> "RecordedScalar":
        return self.record.operation(EXP, self, None)

    def __neg__(self) -> "RecordedScalar":
        return self * -1.0

    def __pos__(self) -> "RecordedScalar":
        return self * 1.0

    def __sub__(self, other: Any) -> "RecordedScalar":
        if other.__class__ is RecordedScalar:
            return self + other * -1.0
        if is_of_another_kind(other):
            return NotImplemented
        return self + (-number_at(other) if type(other) is Index else -self.record.plain(other))

    def __rsub__(self, other: Any) -> "RecordedScalar":
        return -self + other

    def __truediv__(self, other: Any) -> "RecordedScalar":
        if other.__class__ is RecordedScalar:
            return self * other**-1
        if is_of_another_kind(other):
            return NotImplemented
        return self * (number_at(other) if type(other) is Index else self.record.plain(other)) ** -1

    def __rtruediv__(self, other: Any) -> "RecordedScalar":
        return self**-1 * other

    # Comparisons are choices, like `pick` and `largest`: 1 or 0, without a gradient.

    def __lt__(self, other: Any) -> "RecordedScalar":
        return self._compared(LESS, other)

    def __gt__(self, other: Any) -> "RecordedScalar":
        return self._compared(LESS, other, swapped=True)

    def __le__(self, other: Any) -> "RecordedScalar":
        return self._compared(LESS_EQUAL, other)

    def __ge__(self, other: Any) -> "RecordedScalar":
        return self._compared(LESS_EQUAL, other, swapped=True)

    def _compared(self, kind: int, other: Any, swapped: bool = False) -> "RecordedScalar":
        if other.__class__ is not RecordedScalar:
            if is_of_another_kind(other):
                return NotImplemented
            other = self.record.scalar(other)
        return self.record.operation(kind, *((other, self) if swapped else (self, other)))

    def ask_python(self) -> None:
        """Raise Lost if loops made this scalar of plain numbers alone: in Python it would have a value."""
        sites, left, seen, record = set[Any](), [self.node], set[int](), self.record
        while left and not self.free:
            row = left.pop()
            if row < 0 or record.kind[row] in (PARAMETER, INPUT, PICK):
                return
            if row not in seen:
                seen.add(row)
                sites |= {axis.site for axis in (*record.axes.get(row, ()), record.closed.get(row)) if axis is not None}
                left += record.operands(row)
        lost = sites - {None} or record.loops.lines
        if lost and not self.free:
            raise Lost(lost)

    def largest(self, items: Sequence[Any]) -> "RecordedScalar":
        everything = self.record.stack(items)
        return self.record.over(LARGEST, everything.item, everything.axis)

    def __rpow__(self, base: Any) -> Any:
        found = self.record.tabled(pow, (base, self))
        if found is not None:
            return found
        return self._no_value("a power with it as the exponent", "write exp(x * log(base))")

    def _no_value(self, what: str, instead: str) -> Any:
        self.ask_python()
        raise RecordingError(f"{what} on a recorded scalar at {calling_line()}: it has no value yet; {instead}")

    def __bool__(self) -> bool:
        function, place = unread_caller(self.record), calling_place(in_library)
        if function:
            instead = f"{function} has no source, so its choices cannot be rewritten: put it into a file"
            return self._no_value("a test for truth", instead)
        asker = asker_at(*place)
        return self._no_value(f"a test for truth ({asker})", TRUTH[asker])

    __eq__ = __ne__ = needs_value("a comparison (==, !=, in)", "compare by <, <=, > or >=, which give 1 or 0")
    __float__ = needs_value(
        "float() or a function of the module math",
        "use exp and log of microgpt, x ** 0.5 for sqrt(x), tanh of microgpt.functions",
    )
    __int__ = __round__ = __trunc__ = __floor__ = __ceil__ = __floordiv__ = __rfloordiv__ = __mod__ = needs_value(
        "int(), round(), // or %",
        "compare, as in x > 0.5, which is 1 or 0; pass integers as an integer argument of the function",
    )
    __rmod__ = __divmod__ = __rdivmod__ = __mod__
    __index__ = needs_value("an index or range()", "pass integers as an integer argument of the function")
    pick = needs_value(
        "pick(items, x)",
        "pass integers as an integer argument of the function (of an array of floats, such as tokens, give "
        "tokens.astype(int)), or choose by comparisons: a if x > 0 else b",
    )
    __abs__ = needs_value("abs(), which a Value does not have,", ABS)
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = __invert__ = needs_value(
        "&, |, ^ or ~", "write (a > 0) * (b > 0) for and, 1 - (a > 0) for not"
    )
    __copy__ = __deepcopy__ = __reduce_ex__ = needs_value(
        "a copy", "copy lists by list(row) or row[:]: a copied scalar would have no gradient"
    )

    __hash__ = needs_value(
        "hash(), which a key of a dict or set needs,",
        "let its place in a list be the key; or choose by a comparison, a if x > 0 else b",
    )

    def __format__(self, form: str) -> str:
        if form:
            self._no_value(
                f"the format {form!r}", 'return it and print what evaluate gives, or print it with engine="scalar"'
            )
        self.ask_python()
        return repr(self)

    def __getattr__(self, name: str) -> Any:
        kind = RecordingError if name in OF_NUMBERS else NoAttributeError  # hasattr must not deny what numbers have
        raise kind(f".{name} of a recorded scalar at {calling_line()}: there is none; {INSTEAD.get(name, OTHERWISE)}")

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, **_: Any) -> Any:
        """An operator with a number of numpy on its left is ours. Numpy can do nothing else with it."""
        name = function.__name__
        if name in REFLECTED and len(inputs) == 2 and inputs[1] is self:
            left = inputs[0]
            return getattr(self, REFLECTED[name])(left.item() if np.ndim(left) == 0 else left)
        return self._no_value(f"{name} of numpy", INSTEAD.get(name, OTHERWISE))


class RecordedInteger:
    """A symbolic integer of an example. It can choose from a list, and no more."""

    __slots__ = ("place", "record")

    def __init__(self, record: Record, place: IndexLike):
        self.record = record
        self.place = place

    def read_at(self, axis: Axis, by: IndexLike) -> "RecordedInteger":
        return RecordedInteger(self.record, replaced(self.place, axis, by))

    def pick(self, items: Any) -> Any:
        """The item that this integer chooses; of rows, a row of such choices; of objects, one with such attributes."""
        first = leaf_of(items)
        if is_of_another_kind(first):  # such as one that carries its own derivatives
            return self._choose_object(items, first)
        rows = self.record.stack_choices(items)
        self.record.picks.append((self.place, rows.axis.n, len(self.record)))
        return self.record.as_chosen(self._choose(rows.item, rows.axis), items)

    def _choose_object(self, items: Any, first: Any) -> Any:
        if isinstance(items[0], (list, tuple)):
            return [self.pick(list(column)) for column in zip(*items, strict=True)]
        chosen = copy(first)
        for name in vars(first):
            setattr(chosen, name, self.pick([getattr(item, name) for item in items]))
        return chosen

    def _choose(self, item: Any, axis: Axis) -> Any:
        if isinstance(item, RecordedScalar):
            return self.record.over(PICK, item, axis, self)
        return item.with_item(self._choose(item.item, axis))

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # `isinstance` asks this
        return int

    def __deepcopy__(self, _: Any) -> "RecordedInteger":
        return self  # it never changes

    def __reduce_ex__(self, _: Any) -> Any:
        return self._only_picks()

    def __repr__(self) -> str:
        return RecordedText(f"<the integer {self._name()}{BEING_RECORDED}")

    def _name(self) -> str:
        return self.record.names[self.place if type(self.place) is int else self.place.span()[0]]

    def _refuse(self, use: str, instead: str) -> Any:
        raise RecordingError(
            f"the integer {self._name()} was used as {use} at {calling_line()}: it differs from example to example and "
            f"can only choose, by pick(items, index) or params[...][index]; {instead}"
        )

    def _only_picks(self, *_: Any) -> Any:
        return self._refuse("a number", "pass it as a float to calculate with it")

    def __index__(self) -> int:
        return self._refuse(
            "a number",
            "pass it as a float to calculate with it; and let range() and slices go over the longest there may be, "
            "times 0 where an example has less",
        )

    def __hash__(self) -> int:
        return self._refuse("a key of a dict or set", "put the entries into a list to pick from")

    def __format__(self, form: str) -> str:
        return self._only_picks() if form else repr(self)

    def __getattr__(self, name: str) -> Any:
        if not hasattr(int, name):
            raise AttributeError(f"'int' object has no attribute {name!r}")
        return self._only_picks()

    __int__ = __float__ = __bool__ = __add__ = __radd__ = __mul__ = __rmul__ = __sub__ = _only_picks
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = __invert__ = __lshift__ = __rlshift__ = _only_picks
    __rshift__ = __rrshift__ = __divmod__ = __rdivmod__ = __abs__ = __pos__ = __round__ = __rpow__ = _only_picks
    __trunc__ = __floor__ = __ceil__ = _only_picks
    __rsub__ = __truediv__ = __rtruediv__ = __pow__ = __neg__ = __lt__ = __le__ = __gt__ = __ge__ = _only_picks
    __eq__ = __ne__ = __mod__ = __rmod__ = __floordiv__ = __rfloordiv__ = _only_picks


BEING_RECORDED = " that is being recorded>"
BUILDS_TEXT = {
    "__add__", "__mul__", "__rmul__", "__mod__", "format", "format_map", "join", "ljust", "rjust", "center", "upper",
    "lower", "title", "capitalize", "strip", "lstrip", "rstrip", "replace",
}  # fmt: skip


class RecordedText(str):
    """A text with something in it that is being recorded. It may be shown; what else it says is not known yet."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return True

    def __radd__(self, other: str) -> str:
        return text(str.__add__(other, self))


def text(made: Any) -> Any:
    """A text as it is, or as one that may only be shown, if there is something in it that is being recorded."""
    return RecordedText(made) if type(made) is str and BEING_RECORDED in made else made


def method_of_text(name: str) -> Callable[..., Any]:
    """A method of a text: one that builds another, or one that asks what it says, which is refused."""
    own = getattr(str, name)

    def method(self: RecordedText, *arguments: Any, **options: Any) -> Any:
        if Record.current is None or name in BUILDS_TEXT:
            found = own(self, *arguments, **options)
            return RecordedText(found) if type(found) is str else found
        raise RecordingError(
            f"what the text of a recorded number says was asked at {calling_line()}: it has no value yet, so its text "
            "may only be printed; compare the number itself, by <, <=, > or >="
        )

    return method


COMPARES = {"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__"}
for name_of_method in {*dir(str)} - {*dir(object)} | COMPARES:
    setattr(RecordedText, name_of_method, method_of_text(name_of_method))


def is_of_another_kind(x: Any) -> bool:
    """Whether this is a scalar of a class of its own, such as one that carries derivatives: it has the methods."""
    return hasattr(type(x), "exp") and not isinstance(x, (RecordedScalar, Value))


def leaf_of(items: Any) -> Any:
    """The first item of plain lists in lists."""
    while isinstance(items, (list, tuple)):
        items = items if type(items) in (list, tuple) else getattr(items, "plain", None)  # None of a symbolic list
        if not items:
            return items
        items = items[0]
    return items


LIBRARIES = sysconfig.get_path("stdlib"), str(Path(np.__file__).parent)  # of Python, and numpy
FILES = (
    "classes.py",
    "kinds.py",
    "lists.py",
    "stacking.py",
    "replacements.py",
    "changes.py",
    "choices.py",
    "effects.py",
    "source.py",
    "recording.py",
    "loops.py",
    "objects.py",
    "frames.py",
)
ENGINE_FILES = {__file__, value_file, *(str(Path(__file__).with_name(name)) for name in FILES)}


def calling_place(also: Callable[[str], bool] = lambda file: False) -> tuple[str, int]:
    """Where in the recorded function we are, as a file and a line: the innermost one outside of the engines.

    Files of which `also` is true are left out, too.
    """
    frame = inspect.currentframe()
    while frame is not None and (
        frame.f_code.co_filename in ENGINE_FILES or also(frame.f_code.co_filename) or is_of_a_class(frame.f_code)
    ):
        frame = frame.f_back
    return (frame.f_code.co_filename, frame.f_lineno) if frame is not None else ("", 0)


def is_of_a_class(code: CodeType) -> bool:
    """Whether code was made for a class, as a dataclass makes it."""
    return code.co_filename == "<string>" and code.co_name.startswith("__")


def in_library(file: str) -> bool:
    """Whether a file is of Python's own modules, or of numpy."""
    return file.startswith(LIBRARIES)


def has_no_file(code: CodeType) -> bool:
    """Whether a function was typed into Python's prompt, or made by exec."""
    return code.co_filename.startswith("<") or not linecache.getlines(code.co_filename)


def unread_caller(record: Record) -> str:
    """The function without a source in which we are; nothing if there is none."""
    frame = inspect.currentframe()
    while frame is not None and (frame.f_code.co_filename in ENGINE_FILES or in_library(frame.f_code.co_filename)):
        frame = frame.f_back
    while frame is not None and frame.f_code.co_filename not in ENGINE_FILES:  # what it calls is not read, either
        if frame.f_code in record.unread and has_no_file(frame.f_code):
            return frame.f_code.co_name
        frame = frame.f_back
    return ""


def calling_line() -> str:
    """Where in the recorded function we are, for people: not in what it calls of Python's own modules."""
    path, line = calling_place(also=in_library)
    return f"{Path(path).name}:{line}"
