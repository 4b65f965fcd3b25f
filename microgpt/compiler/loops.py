"""How loops are read: a comprehension is one line about all elements of a list at once.

    [exp(x_i - shift) for x_i in x]

Who reads this does not go through it element by element, and neither does the recording: it runs the body once, on a
scalar that stands for every x_i and carries the index i as an axis. What is recorded does not grow with the list.

To come between a comprehension and Python, the functions are reached through their source: before one runs it is
rewritten so that its comprehensions, calls and subscripts pass through this module (`mapped`, `call`, `subscript`).
The functions themselves are not touched, and where there is no source they run as they are, loop by loop.

Reading a loop as an axis must not change what it means. So the body may do with its index nothing but calculate and
index with it, with an element nothing but the operations, and it may change nothing outside of itself. Whatever else
it is about to do raises `NotAnAxis` before it is done: then what was recorded of it is dropped, and the loop is run as
a loop. docs/axes.md has it in a table.
"""

import ast
import builtins
import functools
import inspect
import linecache
import math
import operator
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from microgpt import value
from microgpt.compiler.record import (
    LIST,
    SUM,
    Axis,
    Index,
    NotAnAxis,
    Record,
    RecordedInteger,
    RecordedScalar,
    RecordingError,
    at,
    new,
    replaced,
    union,
)

RECORD: Record | None = None  # what is being recorded now


@contextmanager
def recording(record: Record) -> Iterator[None]:
    """Let what this module reads be written down in a record."""
    global RECORD
    before, RECORD = RECORD, record
    try:
        yield
    finally:
        RECORD = before


# Lists with an axis


class RecordedList:
    """A list of which one item is known, that stands for all: item number i is `item` with i in place of the axis.

    It is a list in every other way. What changes it makes it a plain list of its items first.
    """

    __slots__ = ("axis", "changed", "given", "item", "made_anew", "parent", "record")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, record: Record, axis: Axis, item: Any):
        self.record = record
        self.axis = axis
        self.item = item
        self.given: dict[int, Any] = {}  # items that someone has, and might change
        self.changed: list[Any] | None = None
        self.parent: RecordedList | None = None
        self.made_anew = False  # each item is an object of its own, though all may be the same scalar

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # what `isinstance` asks
        return list

    def with_item(self, item: Any) -> "RecordedList":
        return RecordedList(self.record, self.axis, item)

    def at(self, index: Any) -> Any:
        """The item at an index that may depend on axes, which is within the list."""
        return read_at(self.item, self.axis, index)

    def __len__(self) -> int:
        return self.axis.n if self.changed is None else len(self.changed)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, RecordedInteger):
            return key.pick(self)
        if self.changed is not None:
            if holds_index(key):
                return known_list(self.changed, self.record)[key]
            return self.changed[key]
        n = self.axis.n
        if type(key) is int:
            if not -n <= key < n:
                raise IndexError(f"list index {key} is out of range for a list of {n}")
            key %= n
            if key not in self.given:
                item = self.at(key)
                if type(item) is RecordedList:
                    item.parent = self
                elif self.made_anew and item is self.item:
                    item = item.another()
                elif type(item) is RecordedScalar and not item.free:
                    item = self.record.elements.setdefault((item.node, item.index), item)
                self.given[key] = item
            return self.given[key]
        if type(key) is Index:
            low, high = key.span()
            if low < 0 or high >= n:
                raise NotAnAxis
            return self.at(key)
        if isinstance(key, slice):
            return self._slice(key)
        return self[operator.index(key)]

    def _slice(self, key: slice) -> Any:
        if holds_index(key):
            start, stop = (0 if key.start is None else key.start), (self.axis.n if key.stop is None else key.stop)
            length = stop - start
            if key.step is not None or type(length) is Index:
                raise NotAnAxis
            for bound in (start, stop):
                low, high = bound.span() if type(bound) is Index else (bound, bound)
                if low < 0 or high > self.axis.n:
                    raise NotAnAxis
            places = range(length)
        else:
            places = range(*key.indices(self.axis.n))
            start = 0
        if (
            not places
            or self.made_anew
            or self.gave_lists()
            or any(type(item) is RecordedList for item in self.given.values())
        ):
            return [self[start + i] for i in places]
        axis = Axis(len(places))
        return RecordedList(self.record, axis, self.at(at(axis) * places.step + (places.start + start)))

    def __iter__(self) -> Iterator[Any]:
        i = 0
        while i < len(self):
            yield self[i]
            i += 1

    def __reversed__(self) -> Iterator[Any]:
        return iter([self[i] for i in reversed(range(len(self)))])

    def __contains__(self, wanted: Any) -> bool:
        return wanted in list(iter(self))

    def __repr__(self) -> str:
        return repr(list(iter(self)))

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, list) and list(iter(self)) == list(iter(other))

    def __add__(self, other: Any) -> list[Any]:
        return list(iter(self)) + (list(iter(other)) if type(other) is RecordedList else other)

    def __radd__(self, other: Any) -> list[Any]:
        return other + list(iter(self))

    def __mul__(self, times: Any) -> list[Any]:
        return list(iter(self)) * times

    __rmul__ = __mul__

    def copy(self) -> list[Any]:
        return list(iter(self))

    def index(self, *arguments: Any) -> int:
        return list(iter(self)).index(*arguments)

    def count(self, wanted: Any) -> int:
        return list(iter(self)).count(wanted)

    def gave_lists(self) -> bool:
        """Whether someone has an item that may have changed without our knowing."""
        return type(self.item) is list and bool(self.given)

    def as_plain(self) -> list[Any]:
        """The items as a plain list, which from now on is this list: it is about to change."""
        if self.record.depth:
            raise NotAnAxis
        if self.changed is None:
            items = list(iter(self))
            self.changed = items
        if self.parent is not None:
            self.parent.as_plain()
        return self.changed

    def __iadd__(self, other: Any) -> "RecordedList":
        self.as_plain().extend(list(iter(other)))
        return self

    def __imul__(self, times: Any) -> "RecordedList":
        self.as_plain().__imul__(times)
        return self


def changing(name: str) -> Callable[..., Any]:
    def change(self: RecordedList, *arguments: Any, **options: Any) -> Any:
        return getattr(self.as_plain(), name)(*arguments, **options)

    return change


for method in ("append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse", "__setitem__", "__delitem__"):
    setattr(RecordedList, method, changing(method))


Sequence.register(RecordedList)  # for `match`


def read_at(item: Any, axis: Axis, by: Any) -> Any:
    """An item, or several in lists and tuples, with an index in place of an axis."""
    kind = type(item)
    if kind is RecordedScalar or kind is RecordedInteger:
        return item.read_at(axis, by)
    if kind is RecordedList:
        if item.changed is not None:
            return [read_at(one, axis, by) for one in item.changed]
        found = RecordedList(item.record, item.axis, read_at(item.item, axis, by))
        found.made_anew = item.made_anew
        return found
    if kind is tuple:
        return tuple([read_at(one, axis, by) for one in item])
    if kind is list:
        return [read_at(one, axis, by) for one in item]
    return replaced(item, axis, by)


def nested(leaf: Any, axes: tuple[Axis, ...], record: Record) -> Any:
    """A scalar or an integer with some axes as nested lists."""
    for axis in reversed(axes):
        leaf = RecordedList(record, axis, leaf)
    return leaf


def holds_index(key: Any) -> bool:
    """Whether a subscript depends on an axis."""
    if type(key) is slice:
        return Index in (type(key.start), type(key.stop), type(key.step))
    return type(key) is Index


class Lazy:
    """What zip, enumerate, reversed, map or a generator expression give: items that are made when they are asked for.

    Asked for all at once, by `sum` or a comprehension, they may be had as a list with an axis.
    """

    __slots__ = ("_all", "_each", "_items", "runs_code")

    def __init__(self, each: Callable[[], Iterator[Any]], everything: Callable[[], Any], runs_code: bool = False):
        self._each = each
        self._all = everything
        self.runs_code = runs_code  # to make the items, so not more of them than are asked for
        self._items: Iterator[Any] | None = None

    def __iter__(self) -> "Lazy":
        return self

    def __next__(self) -> Any:
        if self._items is None:
            self._items = self._each()
        return next(self._items)

    def all(self) -> Any:
        """All items, as a list with an axis if they can be had so; else itself. They are used up by that."""
        if self._items is None:
            everything = self._all()
            if everything is not None:
                self._items = iter(())
                return everything
        return self

    def fresh(self) -> bool:
        """Whether nobody has asked for an item yet."""
        return self._items is None


def as_list(items: Any, record: Record) -> RecordedList | None:
    """A list as one with an axis; None if its items are not alike."""
    kind = type(items)
    if kind is RecordedList:
        if items.changed is not None:
            return rolled(items.changed, record)
        return rolled(list(iter(items)), record) if items.gave_lists() else items
    if kind is Lazy:  # not used up by being looked at
        return as_list(items._all(), record) if items.fresh() and not items.runs_code else None
    if kind is range:
        if len(items) == 0:
            return None
        axis = Axis(len(items))
        return RecordedList(record, axis, at(axis) * items.step + items.start)
    if kind is list or kind is tuple:
        return rolled(items, record)
    return None


def known_list(items: Any, record: Record) -> RecordedList:
    """A list as one with an axis. Raises NotAnAxis if it cannot be."""
    found = as_list(items, record)
    if found is None:
        raise NotAnAxis
    return found


def as_rows(items: Any, record: Record) -> RecordedList:
    """What an integer is to choose from: scalars, or rows of the same length. Raises RecordingError if it is not."""
    found = items if type(items) is RecordedList and items.changed is None else None
    if found is None:
        entries = list(iter(items))
        if not entries:
            raise RecordingError("pick needs something to choose from, found an empty list")
        if any(isinstance(entry, (list, tuple)) for entry in entries):
            if len({len(entry) for entry in entries}) != 1:
                raise RecordingError("pick needs rows of the same length to choose from")
            entries = [as_rows(entry, record) for entry in entries]
        else:
            entries = [record.scalar(entry) for entry in entries]
        found = rolled(entries, record)
    if found is None:
        raise RecordingError("pick needs scalars, or rows of scalars, to choose from")
    item = found.item
    while type(item) is RecordedList and item.changed is None:
        item = item.item
    if type(item) is not RecordedScalar:
        return as_rows([list(iter(row)) if isinstance(row, (list, tuple)) else row for row in found], record)
    return found


def rolled(items: Any, record: Record) -> RecordedList | None:
    """A plain list as one with an axis, if its items are alike: scalars, lists of the same length, equal numbers."""
    if not items:
        return None
    key = tuple(map(id, items))
    seen = record.seen_lists.get(key)
    if seen is None:
        seen = len(record), roll(items, record), list(items)
        if type(items[0]) is not list:  # which may change
            record.seen_lists[key] = len(record), seen[1], seen[2]
    return seen[1]


def roll(items: Any, record: Record) -> RecordedList | None:
    kinds = set(map(type, items))
    if len(kinds) > 1 and not kinds <= {RecordedList, list, tuple}:
        return None
    kind = type(items[0])
    if kind is RecordedScalar:
        return roll_scalars(items, record)
    if kind in (RecordedList, list, tuple):
        if len({len(item) for item in items}) != 1 or not len(items[0]):
            return None
        inner = [as_list(item, record) for item in items]
        axis = Axis(len(items[0]), any(one is not None and one.axis.grows for one in inner))
        together = None
        if None not in inner:
            together = rolled([one.at(at(axis)) for one in inner if one is not None], record)
        if together is None:
            return None
        return RecordedList(record, together.axis, RecordedList(record, axis, together.item))
    if kind is RecordedInteger:
        places = [item.place for item in items]
        step = places[1] - places[0] if len(places) > 1 else 0
        if any(type(place) is not int for place in places) or any(b - a != step for a, b in pairwise(places)):
            return None
        axis = Axis(len(items))
        return RecordedList(record, axis, RecordedInteger(record, at(axis) * step + places[0]))
    if kind in (int, float, str, bool, type(None)) and all(item == items[0] for item in items):
        return RecordedList(record, Axis(len(items)), items[0])
    if kind is float and all(map(math.isfinite, items)):
        return roll_scalars([record.scalar(item) for item in items], record)
    return None


def roll_scalars(items: list[RecordedScalar], record: Record) -> RecordedList:
    """Scalars as a list with an axis. Neighbours in a family that stay neighbours are one piece of it."""
    pieces: list[list[RecordedScalar]] = []
    steps: list[tuple[int, int] | None] = []  # in which index neighbours differ, and by how much
    for item in items:
        if pieces:
            step = difference(pieces[-1][-1], item)
            if step is not None and (steps[-1] is None or steps[-1] == step):
                pieces[-1].append(item)
                steps[-1] = step
                continue
        pieces.append([item])
        steps.append(None)
    axis = Axis(len(items), grows=all(len(piece) == 1 for piece in pieces))
    parts = [
        piece_of(piece, step, axis if len(pieces) == 1 else None) for piece, step in zip(pieces, steps, strict=True)
    ]
    if len(pieces) == 1 and steps[0] is not None:
        axis.grows = False
        return RecordedList(record, axis, parts[0][0])
    axes: tuple[Axis, ...] = (axis,)
    listed = []
    for (part, own), piece in zip(parts, pieces, strict=True):
        listed.append((record.row_of(part), own, len(piece)))
        axes = union(axes, tuple(a for a in part.free if a is not own))
    record.lists.append(listed)
    return RecordedList(record, axis, record.add_family(LIST, 0, len(record.lists) - 1, axes))


def piece_of(
    piece: list[RecordedScalar], step: tuple[int, int] | None, axis: Axis | None
) -> tuple[RecordedScalar, Axis | None]:
    """Some neighbours as one scalar with an axis; a single one as it is."""
    first = piece[0]
    if step is None:
        return first, None
    place, by = step
    axis = axis or Axis(len(piece))
    scalar = new(RecordedScalar)
    scalar.record, scalar.row, scalar.node = first.record, -1, first.node
    scalar.index = (*first.index[:place], at(axis) * by + first.index[place], *first.index[place + 1 :])
    scalar.free = union(first.free, (axis,))
    return scalar, axis


def difference(a: RecordedScalar, b: RecordedScalar) -> tuple[int, int] | None:
    """Which one of its indices differs from a to b, both in the same family, and by how much."""
    if a.node != b.node or not a.index:
        return None
    found = None
    for place, (i, j) in enumerate(zip(a.index, b.index, strict=True)):
        if i is j:
            continue
        if type(i) is Index or type(j) is Index:
            if type(i) is Index and type(j) is Index and i.constant == j.constant and i.terms == j.terms:
                continue
            return None
        if i != j:
            if found is not None:
                return None
            found = place, j - i
    return found


# What stands in for a comprehension and for Python's own functions in a rewritten function


def mapped(function: Callable[[Any], Any], items: Iterable[Any], site: Any) -> Any:
    """[function(item) for item in items], on one item that stands for all if that can be."""
    record = RECORD
    if record is None:
        return [function(item) for item in items]
    if type(items) is Lazy and items.runs_code:
        items = items.all()
    source = as_list(items, record) if site not in record.loops else None
    if source is not None:
        found = tried(function, source, record)
        if found is not None:
            if type(items) is Lazy:
                items.all()
            return found
        record.loops.add(site)
    return [function(item) for item in iterated(items)]


def tried(function: Callable[[Any], Any], source: RecordedList, record: Record) -> RecordedList | None:
    """The list that a body makes of every item of another, or None, with nothing recorded, if it is no axis."""
    axis = Axis(source.axis.n, source.axis.grows)
    item = source.at(at(axis))
    mark, given_up = record.mark(), record.given_up
    slowly = record.slowly
    record.depth += 1
    record.given_up, record.slowly = False, True
    record.times *= axis.n
    try:
        result = function(item)
        read = not record.given_up and readable(result)
    except NotAnAxis:
        read = False
    except Exception:  # the loop will raise it, if it is a fault of the function
        read = False
    finally:
        record.depth -= 1
        record.given_up, record.slowly = given_up, slowly
        record.times //= axis.n
    if not read:
        record.take_back(mark)
        return None
    found = RecordedList(record, axis, result)
    found.made_anew = type(result) is RecordedScalar and axis not in result.free and result.node >= mark[0]
    return found


def readable(result: Any) -> bool:
    """Whether a result of a body can stand for all: scalars, plain values, tuples and lists of them."""
    kind = type(result)
    if kind in (RecordedScalar, RecordedInteger, Index, int, float, str, bool, type(None)):
        return True
    if kind is RecordedList:
        return result.changed is None and readable(result.item)
    return kind in (tuple, list) and all(map(readable, result))


def generated(function: Callable[[Any], Any], items: Iterable[Any], site: Any) -> Any:
    """(function(item) for item in items)"""
    if RECORD is None:
        return (function(item) for item in items)
    source = iter(items) if type(items) is not RecordedList and not isinstance(items, (list, tuple, range)) else items

    def everything() -> Any:
        try:
            return mapped(function, source, site)
        except StopIteration as error:  # as in a generator
            raise RuntimeError("generator raised StopIteration") from error

    return Lazy(lambda: (function(item) for item in iterated(source)), everything, True)


KNOWN_KINDS: tuple[Any, ...] = (
    list, tuple, dict, str, range, set, frozenset, RecordedList, Lazy, zip, enumerate, reversed, map, filter,
    type({}.keys()), type({}.values()), type({}.items()), int, float, bool, type(None), RecordedScalar,
    RecordedInteger, Index, np.ndarray,
)  # fmt: skip


def iterated(items: Any) -> Any:
    """What a loop goes through. An iterator from elsewhere is used up by that, which an axis must not do."""
    if RECORD is not None and RECORD.depth and type(items) not in KNOWN_KINDS:
        give_up()
    return items


def attribute(owner: Any, name: str) -> Any:
    """owner.name, which may run code if the class of the owner says so."""
    if (
        RECORD is not None
        and RECORD.depth
        and type(owner) not in KNOWN_KINDS
        and not isinstance(owner, (ModuleType, type))
    ):
        kind = type(owner)
        if (
            hasattr(kind, "__getattr__")
            or kind.__getattribute__ is not object.__getattribute__
            or isinstance(getattr(kind, name, None), property)
        ):
            give_up()
    return getattr(owner, name)


def unpacked(item: Any, pattern: Any) -> list[Any]:
    """The values of several loop variables: the entries of an item, nested as the variables are."""
    entries = list(iter(item))
    if len(entries) != len(pattern):
        what = "not enough values" if len(entries) < len(pattern) else "too many values"
        raise ValueError(f"{what} to unpack (expected {len(pattern)})")
    return [
        value
        for entry, inner in zip(entries, pattern, strict=True)
        for value in (unpacked(entry, inner) if inner else [entry])
    ]


def give_up() -> Any:
    """This cannot be done within an axis."""
    assert RECORD is not None
    RECORD.given_up = True  # should someone catch what is raised
    raise NotAnAxis


def changes() -> None:
    """Something outside of the function is about to change."""
    if RECORD is not None and RECORD.depth:
        give_up()


def changes_in_place(target: Any) -> None:
    """`target` is about to be changed by an augmented assignment, if it is of a kind that can be."""
    if RECORD is not None and RECORD.depth and not isinstance(target, (int, float, str, tuple, RecordedScalar)):
        give_up()


def same(a: Any, b: Any) -> bool:
    """a is b"""
    if RECORD is not None and RECORD.depth and a is not b and type(a) is type(b) is RecordedScalar:
        give_up()
    return a is b


def subscript(items: Any, key: Any) -> Any:
    """items[key]"""
    if RECORD is not None and RECORD.depth:
        if type(items) in (list, tuple) and holds_index(key):
            return known_list(items, RECORD)[key]
        if type(items) not in KNOWN_KINDS:
            give_up()
    return items[key]


def total(items: Any, start: Any = 0) -> Any:
    """sum(items, start)"""
    assert RECORD is not None
    if type(items) is Lazy:
        items = items.all()
    source = as_list(items, RECORD)
    if source is None or type(source.item) is not RecordedScalar:
        return sum(iterated(items) if type(items) is not RecordedList else iter(items), start)
    found = RECORD.over(SUM, source.item, source.axis)
    return found if type(start) in (int, float) and start == 0 else found + start


def zipped(*lists: Any, strict: bool = False) -> Any:
    """zip(*lists)"""
    assert RECORD is not None
    record = RECORD
    lists = tuple(one.all() if type(one) is Lazy and not one.runs_code else one for one in lists)
    if not lists or any(type(one) not in (RecordedList, list, tuple, range) for one in lists):
        return zip(*lists, strict=strict)
    sources = [as_list(one, record) for one in lists]
    lengths = {len(one) for one in lists}
    if None in sources or (strict and len(lengths) > 1):
        return zip(*lists, strict=strict)

    def everything() -> RecordedList:
        axis = Axis(min(lengths), any(source is not None and source.axis.grows for source in sources))
        return RecordedList(record, axis, tuple([source.at(at(axis)) for source in sources if source is not None]))

    return Lazy(lambda: zip(*lists, strict=strict), everything)


def zipped_rows(function: Any, rows: Any, **options: Any) -> Any:
    """zip(*rows), a matrix transposed; or another function of rows."""
    if RECORD is None or function is not zip or type(rows) not in (RecordedList, list, tuple, Lazy):
        return call(function, *rows, **options)
    record = RECORD
    source = as_list(rows, record)
    if source is None or options not in ({}, {"strict": True}, {"strict": False}):
        return zipped(*iter(rows), **options)
    inner = source.item
    if type(inner) is not RecordedList or inner.changed is not None:
        return zipped(*iter(source), **options)
    if type(rows) is Lazy:
        rows.all()
    columns = RecordedList(record, inner.axis, RecordedList(record, source.axis, inner.item))
    return Lazy(lambda: (tuple(iter(column)) for column in columns), lambda: columns)


def enumerated(items: Any, start: Any = 0) -> Any:
    """enumerate(items, start)"""
    assert RECORD is not None
    source = as_list(items, RECORD) if type(items) in (RecordedList, list, tuple, range) else None
    if source is None or type(start) not in (int, Index):
        return enumerate(items, start)
    numbered = RecordedList(RECORD, source.axis, (at(source.axis) + start, source.item))
    return Lazy(lambda: enumerate(items, start), lambda: numbered)


def backwards(items: Any) -> Any:
    """reversed(items)"""
    if type(items) is RecordedList and items.changed is None and len(items):
        return Lazy(lambda: iter([items[i] for i in reversed(range(len(items)))]), lambda: items[::-1])
    return reversed(items)


def listed(items: Any = ()) -> Any:
    """list(items)"""
    assert RECORD is not None
    if type(items) is Lazy:
        items = items.all()
    if type(items) is RecordedList and items.changed is None and type(items.item) is not RecordedList:
        return items.with_item(items.item)
    return list(iterated(items if type(items) is not RecordedList else iter(items)))


def tupled(items: Any = ()) -> Any:
    """tuple(items)"""
    if type(items) is Lazy:
        items = items.all()
    return tuple(iterated(items) if type(items) is not RecordedList else iter(items))


def applied(function: Any, *lists: Any) -> Any:
    """map(function, *lists)"""
    if len(lists) != 1:
        return map(functools.partial(call, function), *lists)
    return generated(functools.partial(call, function), lists[0], ("map", id(function)))


STAND_INS: dict[Any, Callable[..., Any]] = {
    sum: total, zip: zipped, enumerate: enumerated, reversed: backwards, list: listed, tuple: tupled, map: applied,
}  # fmt: skip
PURE = {
    len, range, min, max, abs, int, float, bool, str, repr, isinstance, issubclass, type, dict, set, frozenset, sorted,
    filter, any, all, hasattr, getattr, round, divmod, pow, slice, callable, format, ord, chr, complex, hash, id,
    value.exp, value.log, value.pick, value.largest, value.number,
}  # fmt: skip
PURE_METHODS = {"index", "count", "copy", "keys", "values", "items", "get", "join", "format", "startswith", "endswith",
                "split", "strip", "lower", "upper", "read_at", "pick", "exp", "log", "largest"}  # fmt: skip
FOREIGN = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def call(function: Any, *arguments: Any, **options: Any) -> Any:
    """function(*arguments, **options), which is rewritten first if it is one of Python and has a source."""
    record = RECORD
    if record is None:
        return function(*arguments, **options)
    kind = type(function)
    if kind is FunctionType:
        if function in PURE:
            return function(*arguments, **options)
        return rewritten(function, record)(*arguments, **options)
    if kind is MethodType:
        if type(function.__func__) is FunctionType and type(function.__self__) not in (RecordedScalar, RecordedInteger):
            return changing_or(function, record)(function.__self__, *arguments, **options)
        if record.depth and not is_pure(function):
            give_up()
        return function(*arguments, **options)
    if kind is functools.partial:
        return call(function.func, *function.args, *arguments, **{**function.keywords, **options})
    try:
        stand_in = STAND_INS.get(function)
    except TypeError:
        stand_in = None
    if stand_in is not None:
        return stand_in(*arguments, **options)
    method = getattr(type(function), "__call__", None) if not isinstance(function, type) else None  # noqa: B004
    if isinstance(method, FunctionType):
        return rewritten(method, record)(function, *arguments, **options)
    if record.depth and not is_pure(function):
        give_up()
    return function(*arguments, **options)


def changing_or(method: MethodType, record: Record) -> Any:
    """A method of Python's, rewritten; those of a recorded list change it or not, as they are."""
    if type(method.__self__) is RecordedList:
        return method.__func__
    return rewritten(method.__func__, record)  # type: ignore[arg-type]


def is_pure(function: Any) -> bool:
    """Whether a function that is not Python's is known to change nothing."""
    try:
        if function in PURE:
            return True
    except TypeError:
        return False
    if isinstance(function, type):
        return issubclass(function, BaseException)
    owner = getattr(function, "__self__", None)
    if getattr(function, "__module__", None) in ("math", "_operator"):
        return True
    return owner is not None and owner is not builtins and getattr(function, "__name__", "") in PURE_METHODS


# Rewriting


class Rewriting(ast.NodeTransformer):
    """Lets comprehensions, calls, subscripts and changes of a function pass through this module."""

    def __init__(self, file: str):
        self.file = file
        self.outer: set[str] = set()  # names of the function that belong to others

    def through(self, name: str, node: ast.AST, *arguments: ast.expr) -> ast.expr:
        return ast.copy_location(ast.Call(ast.Name(HELPER + name, ast.Load()), list(arguments), []), node)

    def visit_comprehension_of(self, node: Any, helper: str) -> ast.expr:
        loop = node.generators[0]
        names: list[str] = []
        pattern = pattern_of(loop.target, names)
        if (
            len(node.generators) != 1 or loop.ifs or loop.is_async or pattern is None
            or any(isinstance(inner, STAYS) for inner in ast.walk(node.elt))
            or any(isinstance(inner, ast.Name) and inner.id in SEES_FRAME for inner in ast.walk(node))
        ):  # fmt: skip
            self.generic_visit(node)
            for loop in node.generators:
                loop.iter = self.through("iterated", loop.iter, loop.iter)
            return node
        place: Any = (self.file, node.lineno, node.col_offset)
        site = ast.Constant(place)
        iterable, body = self.visit(loop.iter), self.visit(node.elt)
        parameters = [ast.arg(name) for name in names]
        function: ast.expr = ast.Lambda(ast.arguments([], parameters, None, [], [], None, []), body)
        if pattern:
            item = ast.Name("_item", ast.Load())
            entries = self.through("unpacked", node, item, ast.Constant(pattern))
            function = ast.Lambda(
                ast.arguments([], [ast.arg("_item")], None, [], [], None, []),
                ast.Call(function, [ast.Starred(entries, ast.Load())], []),
            )
        return self.through(helper, node, function, iterable, site)

    def visit_ListComp(self, node: ast.ListComp) -> ast.expr:
        return self.visit_comprehension_of(node, "mapped")

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.expr:
        return self.visit_comprehension_of(node, "generated")

    def visit_Call(self, node: ast.Call) -> ast.expr:
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name in SEES_FRAME:
            return ast.copy_location(ast.BoolOp(ast.Or(), [self.through("changes", node), node]), node)
        self.generic_visit(node)
        if len(node.args) == 1 and isinstance(node.args[0], ast.Starred) and isinstance(node.func, ast.Name):
            rows = self.through("zipped_rows", node, node.func, node.args[0].value)
            rows.keywords = node.keywords  # type: ignore[attr-defined]
            return rows
        through = self.through("call", node, node.func, *node.args)
        through.keywords = node.keywords  # type: ignore[attr-defined]
        return through

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load) or isinstance(node.slice, ast.Constant):
            return node
        key = node.slice
        if isinstance(key, ast.Slice):
            parts = [part or ast.Constant(None) for part in (key.lower, key.upper, key.step)]
            key = ast.copy_location(ast.Call(ast.Name(HELPER + "slice", ast.Load()), parts, []), node)
        return self.through("subscript", node, node.value, key)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        private = node.attr.startswith("__") and not node.attr.endswith("__")  # Python renames it within a class
        if private or not isinstance(node.ctx, ast.Load):
            return node
        return self.through("attribute", node, node.value, ast.Constant(node.attr))

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        right = node.comparators[0]
        if len(node.ops) == 1 and isinstance(node.ops[0], (ast.Is, ast.IsNot)) and not isinstance(right, ast.Constant):
            found = self.through("same", node, node.left, right)
            return (
                ast.copy_location(ast.UnaryOp(ast.Not(), found), node) if isinstance(node.ops[0], ast.IsNot) else found
            )
        return node

    def visit_For(self, node: ast.For) -> Any:
        self.generic_visit(node)
        node.iter = self.through("iterated", node.iter, node.iter)
        return node

    def visit_changes(self, node: Any, targets: list[Any]) -> Any:
        self.generic_visit(node)
        inner = [part for target in targets for part in ast.walk(target)]
        if any(
            isinstance(part, (ast.Subscript, ast.Attribute)) and not isinstance(part.ctx, ast.Load) for part in inner
        ) or any(isinstance(part, ast.Name) and part.id in self.outer for part in inner):
            return [ast.copy_location(ast.Expr(self.through("changes", node)), node), node]
        return node

    def visit_Assign(self, node: ast.Assign) -> Any:
        return self.visit_changes(node, node.targets)

    def visit_Delete(self, node: ast.Delete) -> Any:
        return self.visit_changes(node, node.targets)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if node.value is not None:
            node.value = self.visit(node.value)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        changed = self.visit_changes(node, [node.target])
        if isinstance(changed, list) or not isinstance(node.target, ast.Name):
            return changed
        before = self.through("changes_in_place", node, ast.Name(node.target.id, ast.Load()))
        return [ast.copy_location(ast.Expr(before), node), node]

    def visit_Global(self, node: ast.Global) -> Any:
        self.outer |= set(node.names)
        return node

    visit_Nonlocal = visit_Global  # type: ignore[assignment]  # noqa: N815

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        before, self.outer = self.outer, set()
        node.body = [one for statement in node.body for one in as_statements(self.visit(statement))]
        self.outer = before
        return node


HELPER = "_microgpt_"
HELPERS: dict[str, Any] = {
    HELPER + function.__name__: function
    for function in (
        mapped, generated, call, subscript, attribute, zipped_rows, iterated, unpacked, changes,
        changes_in_place, same, slice,
    )
}  # fmt: skip
STAYS = (ast.Lambda, ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)  # what keeps a comprehension as it is
SEES_FRAME = {
    "super",
    "locals",
    "globals",
    "vars",
    "dir",
    "eval",
    "exec",
    "__class__",
    "currentframe",
    "_getframe",
    "stack",
}


def as_statements(visited: Any) -> list[Any]:
    return visited if isinstance(visited, list) else [visited]


def pattern_of(target: ast.expr, names: list[str]) -> Any:
    """The nesting of loop variables: () for a single one, a tuple of patterns for several; None for anything else."""
    if isinstance(target, ast.Name):
        names.append(target.id)
        return ()
    if isinstance(target, (ast.Tuple, ast.List)) and target.elts:
        patterns = tuple(pattern_of(one, names) for one in target.elts)
        return None if None in patterns else patterns
    return None


REWRITTEN: dict[CodeType, CodeType | None] = {}
DONE: set[CodeType] = set()


def rewritten(function: FunctionType, record: Record) -> Callable[..., Any]:
    """A function as it passes through this module. One without a source stays as it is, and is no part of an axis."""
    code = function.__code__
    if code in DONE:
        return function
    if code not in REWRITTEN:
        REWRITTEN[code] = rewritten_code(function)
        note_done(REWRITTEN[code])
    replacement = REWRITTEN[code]
    if replacement is None:
        if record.depth:
            give_up()
        return function
    cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
    closure = tuple(cells[name] if name in cells else CellType(HELPERS[name]) for name in replacement.co_freevars)
    same_function = FunctionType(replacement, function.__globals__, function.__name__, function.__defaults__, closure)
    same_function.__kwdefaults__ = function.__kwdefaults__
    return same_function


def note_done(code: CodeType | None) -> None:
    """Remember a code, and that of the functions within it, as rewritten."""
    if code is not None:
        DONE.add(code)
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                note_done(constant)


def rewritten_code(function: FunctionType) -> CodeType | None:
    """The code of a function with its comprehensions passing through this module; None if that cannot be had."""
    code = function.__code__
    names = {*code.co_names, *code.co_varnames, *code.co_freevars}
    private = any(name.startswith("__") and not name.endswith("__") for name in names)
    if code.co_filename.startswith(FOREIGN) and not code.co_filename.startswith(
        str(value.__file__)[: -len("value.py")]
    ):
        return None
    if (
        private
        or "__class__" in code.co_freevars
        or code.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR)
    ):
        return None
    for node in definitions(code.co_filename, function.__globals__).get((code.co_name, code.co_firstlineno), []):
        try:
            if compiled(node, code).co_code != code.co_code:
                continue
            changed = Rewriting(code.co_filename).visit(parsed_again(node))
            return compiled(ast.fix_missing_locations(changed), code)
        except (SyntaxError, ValueError):
            continue
    return None


def parsed_again(node: Any) -> Any:
    """A copy of a definition, to be changed."""
    import copy

    return copy.deepcopy(node)


def compiled(node: Any, code: CodeType) -> CodeType:
    """The code of a definition, with the variables that it has from around it."""
    parameters = [ast.arg(name) for name in (*code.co_freevars, *HELPERS)]
    if isinstance(node, ast.Lambda):
        result: ast.stmt = ast.Return(node)
        body: list[ast.stmt] = [result]
    else:
        bare = type(node)(**{**dict(ast.iter_fields(node)), "decorator_list": [], "returns": None})
        bare.args = without_annotations(bare.args)
        body = [ast.copy_location(bare, node), ast.Return(ast.Name(node.name, ast.Load()))]
    around = ast.FunctionDef("around", ast.arguments([], parameters, None, [], [], None, []), body, [], None)
    if sys.version_info >= (3, 12):
        around.type_params = []
    module = ast.fix_missing_locations(ast.Module([around], []))
    flags = code.co_flags & 0x1FF0000  # what the file took from __future__
    outer = compile(module, code.co_filename, "exec", flags, dont_inherit=True)
    inside = next(constant for constant in outer.co_consts if isinstance(constant, CodeType))
    return next(
        constant for constant in inside.co_consts if isinstance(constant, CodeType) and constant.co_name == code.co_name
    )


def without_annotations(arguments: ast.arguments) -> ast.arguments:
    """Parameters without annotations and defaults, which the function has already."""
    bare = {
        name: [ast.copy_location(ast.arg(one.arg), one) for one in getattr(arguments, name)]
        for name in ("posonlyargs", "args", "kwonlyargs")
    }
    rest = [one and ast.copy_location(ast.arg(one.arg), one) for one in (arguments.vararg, arguments.kwarg)]
    return ast.arguments(
        bare["posonlyargs"], bare["args"], rest[0], bare["kwonlyargs"], [None] * len(bare["kwonlyargs"]), rest[1], []
    )


FILES: dict[str, tuple[list[str], dict[tuple[str, int], list[Any]]]] = {}


def definitions(file: str, module_globals: dict[str, Any]) -> dict[tuple[str, int], list[Any]]:
    """All functions in a file by their name and first line."""
    lines = linecache.getlines(file, module_globals)
    if file not in FILES or FILES[file][0] is not lines:
        found: dict[tuple[str, int], list[Any]] = {}
        try:
            tree = ast.parse("".join(lines))
        except SyntaxError:
            tree = ast.Module([], [])
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                found.setdefault((node.name, first), []).append(node)
            elif isinstance(node, ast.Lambda):
                found.setdefault(("<lambda>", node.lineno), []).append(node)
        FILES[file] = lines, found
    return FILES[file][1]
