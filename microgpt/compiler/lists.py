"""Lists with an axis: one known item stands for all, so a list of a thousand takes no more than one of two.

The function that is being recorded sees an ordinary list: it reads items, slices and goes through it, and gets the one
item at that index. What it changes becomes a plain list of its items first. `Lazy` is the same for what is made when it
is asked for, such as `zip`.
"""

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from microgpt.compiler.record import Axis, Index, NotAnAxis, Record, RecordedInteger, RecordedScalar, at, replaced


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
                return self.record.as_axis(self.changed)[key]
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
