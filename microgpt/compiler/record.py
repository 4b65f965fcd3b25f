"""Step 1 of the compiler: run the function once and write down every operation.

In goes a function of scalars and the shapes of its arguments; out comes a `Record`, a table with one row for each
operation, in the order in which they happened. A row names the rows of its operands, so the table is the graph.

>>> record = record_function(lambda params, x: params["w"] * x + 1.0, {"w": ()}, [("x", "float", ())])
>>> for row in record.rows():
...     print(*row)
parameter 0
input 0
mul 0 1
constant 1.0
add 2 3

What flows through the function is a `RecordedScalar`: the number of a row, and nothing more. It has no value, so
nothing can depend on one: `if x > 0` cannot be recorded, and says so.
"""

import inspect
from array import array
from collections.abc import Callable, Iterator, Sequence
from math import prod
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from microgpt.value import __file__ as value_file
from microgpt.value import number

KINDS = ("constant", "parameter", "input", "add", "mul", "pow", "log", "exp", "pick", "largest")
CONSTANT, PARAMETER, INPUT, ADD, MUL, POW, LOG, EXP, PICK, LARGEST = range(len(KINDS))

Shapes = Any  # what remains of params: the same nesting of dicts and lists, with shapes for arrays
Argument = tuple[str, str, tuple[int, ...]]  # its name, "int" or "float", and the shape of one example


new = object.__new__


class RecordingError(TypeError):
    """The function did something with a recorded number that cannot be written down as one of the five operations."""


class Record:
    """A function as a table of operations: `kind`, `left` and `right` for each row, and what they refer to.

    Of a constant or a power, `right` is an index into `constants`; of a parameter, `left` is its place in the flat
    vector of all; of an input, its place among all floats of an example. Of a pick, `left` is a table of candidates
    and `right` the place of the choosing integer; of a largest, `left` is a table.
    """

    def __init__(self, with_sources: bool = False) -> None:
        self.kind, self.left, self.right = array("b"), array("i"), array("i")
        self.constants: list[float] = []
        self.tables: list[list[int]] = []  # rows to pick from
        self.picks: set[tuple[int, int]] = set()  # which integer picks, and from how many
        self.integers: list[str] = []  # the name of each integer of an example, such as "tokens[3]"
        self.outputs: list[int] = []  # the rows of what the function returned
        self.form: Any = None  # how the outputs are nested
        # the file and the line of the function behind each row
        self.sources: list[tuple[str, int]] | None = [] if with_sources else None
        self._constant_rows: dict[float, int] = {}
        self._parameter_tables: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self.kind)

    def add(self, kind: int, left: int, right: int) -> "RecordedScalar":
        """Write down one operation."""
        self.kind.append(kind)
        self.left.append(left)
        self.right.append(right)
        if self.sources is not None:
            self.sources.append(calling_place())
        return RecordedScalar(self, len(self.kind) - 1)

    def scalar(self, x: Any) -> "RecordedScalar":
        """A recorded scalar as it is, a plain number as the row of a constant; equal constants share a row."""
        if isinstance(x, RecordedScalar):
            return x
        x = self.plain(x)
        if x not in self._constant_rows or x != x:
            self.constants.append(x)
            self._constant_rows[x] = self.add(CONSTANT, 0, len(self.constants) - 1).index
        return RecordedScalar(self, self._constant_rows[x])

    def plain(self, x: Any) -> float:
        """A plain number as a float. Raises RecordingError for anything else."""
        if isinstance(x, RecordedInteger):
            x._only_picks()
        if not isinstance(x, Real):
            raise RecordingError(
                f"expected a scalar or a real number, found {type(x).__name__} {x!r:.80} at {calling_line()}"
            )
        return number(x)

    def pick(self, items: Any, integer: int) -> Any:
        """The item that an integer of the example chooses; of rows, a row of such choices."""
        cacheable = isinstance(items, RecordedList)
        tables = self._parameter_tables.get(id(items)) if cacheable else None
        if tables is None:
            tables = self._tables(list(items))
            if cacheable:
                self._parameter_tables[id(items)] = tables
        self.picks.add((integer, len(items)))
        return map_nested(lambda table: self.add(PICK, table, integer), tables)

    def _tables(self, items: Sequence[Any]) -> Any:
        if items and isinstance(items[0], (list, tuple)):
            if len({len(item) for item in items}) != 1:
                raise RecordingError("pick needs rows of the same length to choose from")
            return [self._tables(column) for column in zip(*items, strict=True)]
        self.tables.append([self.scalar(item).index for item in items])
        return len(self.tables) - 1

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The table for people: a name and its operands."""
        for kind, left, right in zip(self.kind, self.left, self.right, strict=True):
            if kind == CONSTANT:
                yield KINDS[kind], self.constants[right]
            elif kind == POW:
                yield KINDS[kind], left, self.constants[right]
            elif kind in (ADD, MUL, PICK):
                yield KINDS[kind], left, right
            else:
                yield KINDS[kind], left


class RecordedScalar:
    """A scalar of which only is known how it was made: a row of a record. It has the five operations and no value."""

    __slots__ = ("record", "index")
    __array_ufunc__ = None

    def __init__(self, record: Record, index: int):
        self.record = record
        self.index = index

    def __repr__(self) -> str:
        return f"<a {KINDS[self.record.kind[self.index]]} that is being recorded>"

    # Almost all of what is recorded are sums and products, so these two write their row themselves.

    def __add__(self, other: Any) -> "RecordedScalar":
        record = self.record
        if other.__class__ is not RecordedScalar:
            other = record.scalar(other)
        if record.sources is not None:
            return record.add(ADD, self.index, other.index)
        scalar = new(RecordedScalar)
        scalar.record = record
        scalar.index = len(record.kind)
        record.kind.append(ADD)
        record.left.append(self.index)
        record.right.append(other.index)
        return scalar

    def __mul__(self, other: Any) -> "RecordedScalar":
        record = self.record
        if other.__class__ is not RecordedScalar:
            other = record.scalar(other)
        if record.sources is not None:
            return record.add(MUL, self.index, other.index)
        scalar = new(RecordedScalar)
        scalar.record = record
        scalar.index = len(record.kind)
        record.kind.append(MUL)
        record.left.append(self.index)
        record.right.append(other.index)
        return scalar

    __radd__, __rmul__ = __add__, __mul__

    def __pow__(self, exponent: Any) -> "RecordedScalar":
        if not isinstance(exponent, Real):
            raise RecordingError(f"the exponent of ** must be a plain number, found {type(exponent).__name__}")
        self.record.constants.append(number(exponent))
        return self.record.add(POW, self.index, len(self.record.constants) - 1)

    def log(self) -> "RecordedScalar":
        return self.record.add(LOG, self.index, 0)

    def exp(self) -> "RecordedScalar":
        return self.record.add(EXP, self.index, 0)

    def largest(self, items: Sequence[Any]) -> "RecordedScalar":
        self.record.tables.append([self.record.scalar(item).index for item in items])
        return self.record.add(LARGEST, len(self.record.tables) - 1, 0)

    def __neg__(self) -> "RecordedScalar":
        return self * -1.0

    def __sub__(self, other: Any) -> "RecordedScalar":
        return self + (-other if isinstance(other, RecordedScalar) else -self.record.plain(other))

    def __rsub__(self, other: Any) -> "RecordedScalar":
        return -self + other

    def __truediv__(self, other: Any) -> "RecordedScalar":
        return self * (other if isinstance(other, RecordedScalar) else self.record.plain(other)) ** -1

    def __rtruediv__(self, other: Any) -> "RecordedScalar":
        return self**-1 * other

    def _no_value(self, what: str, instead: str) -> Any:
        raise RecordingError(f"{what} on a recorded scalar at {calling_line()}: it has no value yet; {instead}")

    def __bool__(self) -> bool:
        return self._no_value(
            "a test for truth (if, while, and, or)", "decide by a plain integer, or compute both ways"
        )

    def __lt__(self, other: Any) -> bool:
        return self._no_value(
            "a comparison (==, <, >, in, max, min, sorted)",
            "use a smooth function of it, or largest(items), which has no gradient",
        )

    __gt__ = __le__ = __ge__ = __eq__ = __ne__ = __lt__
    __hash__ = object.__hash__

    def __rpow__(self, base: Any) -> Any:
        return self._no_value("a power with it as the exponent", "write exp(x * log(base))")

    def __float__(self) -> float:
        return self._no_value("float() or a function of the module math", "use exp and log of microgpt")

    def __int__(self) -> int:
        return self._no_value("int()", "pass integers as an integer argument of the function")

    def __index__(self) -> int:
        return self._no_value("an index or range()", "pass integers as an integer argument of the function")

    def __abs__(self) -> Any:
        return self._no_value("abs()", "use (x ** 2 + epsilon) ** 0.5")


class RecordedInteger:
    """An integer of an example, of which only is known which one it is. It can choose from a list, and no more."""

    __slots__ = ("record", "place")

    def __init__(self, record: Record, place: int):
        self.record = record
        self.place = place

    def pick(self, items: Any) -> Any:
        return self.record.pick(items, self.place)

    def _only_picks(self, *_: Any) -> Any:
        raise RecordingError(
            f"the integer {self.record.integers[self.place]} was used as a number at {calling_line()}: it differs from "
            "example to example and can only choose, by pick(items, index) or params[...][index]; "
            "pass it as a float to calculate with it"
        )

    __index__ = __int__ = __float__ = __bool__ = __add__ = __radd__ = __mul__ = __rmul__ = __sub__ = _only_picks
    __rsub__ = __truediv__ = __rtruediv__ = __pow__ = __neg__ = __lt__ = __le__ = __gt__ = __ge__ = _only_picks
    __eq__ = __ne__ = __mod__ = __rmod__ = __floordiv__ = __rfloordiv__ = _only_picks
    __hash__ = None  # type: ignore[assignment]


class RecordedList(list[Any]):
    """A list of parameters, which a recorded integer can choose from as a plain one would: `params["wte"][token]`."""

    def __getitem__(self, index: Any) -> Any:
        return index.pick(self) if isinstance(index, RecordedInteger) else super().__getitem__(index)


def map_nested(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same nesting of lists with the function applied to what is in it."""
    return [map_nested(function, entry) for entry in tree] if isinstance(tree, list) else function(tree)


def nested(shape: tuple[int, ...], items: Iterator[Any]) -> Any:
    """The next items as nested lists of a shape; a single one for the shape ()."""
    if not shape:
        return next(items)
    return RecordedList(nested(shape[1:], items) for _ in range(shape[0]))


def record_function(
    function: Callable[..., Any], shapes: Shapes, arguments: list[Argument], with_sources: bool = False
) -> Record:
    """Run a function once on recorded numbers and return the record.

    Args:
        function: what to record; it gets the parameters and one example, as lists of scalars.
        shapes: the nesting of the parameters, with a shape in place of each array.
        arguments: name, "int" or "float", and shape of each argument of one example.
        with_sources: whether to note the line of the function behind each operation, which takes twice the time.
    """
    record = Record(with_sources)
    count = 0

    def leaves(shape: tuple[int, ...]) -> Any:
        nonlocal count
        start, count = count, count + prod(shape)
        return nested(shape, (record.add(PARAMETER, i, 0) for i in range(start, count)))

    params = map_shapes(leaves, shapes)
    example, floats = [], 0
    for name, kind, shape in arguments:
        if kind == "int":
            start = len(record.integers)
            record.integers += [name + "".join(f"[{i}]" for i in place) for place in np.ndindex(*shape)]
            places = range(start, len(record.integers))
            example.append(nested(shape, (RecordedInteger(record, place) for place in places)))
        else:
            size = prod(shape)
            example.append(nested(shape, (record.add(INPUT, floats + i, 0) for i in range(size))))
            floats += size
    result = function(params, *example)
    record.form = form_of(result, record)
    return record


def form_of(result: Any, record: Record) -> Any:
    """How the result is nested, with the number of an output in place of each scalar; notes the outputs."""
    if isinstance(result, dict):
        return {key: form_of(entry, record) for key, entry in result.items()}
    if isinstance(result, tuple):
        return tuple(form_of(entry, record) for entry in result)
    if isinstance(result, list):
        return [form_of(entry, record) for entry in result]
    if not isinstance(result, (RecordedScalar, Real)):
        raise RecordingError(f"the function returned a {type(result).__name__}: expected a scalar, or lists of scalars")
    record.outputs.append(record.scalar(result).index)
    return len(record.outputs) - 1


def map_shapes(function: Callable[[tuple[int, ...]], Any], shapes: Shapes) -> Any:
    """The nesting of the parameters with the function applied to every shape (a tuple) in it."""
    if isinstance(shapes, dict):
        return {key: map_shapes(function, entry) for key, entry in shapes.items()}
    if isinstance(shapes, list):
        return [map_shapes(function, entry) for entry in shapes]
    return function(shapes)


def calling_place() -> tuple[str, int]:
    """Where in the recorded function we are, as a file and a line: the innermost one outside of the engines."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename in (__file__, value_file):
        frame = frame.f_back
    return (frame.f_code.co_filename, frame.f_lineno) if frame is not None else ("", 0)


def calling_line() -> str:
    """Where in the recorded function we are, for people."""
    path, line = calling_place()
    return f"{Path(path).name}:{line}"
