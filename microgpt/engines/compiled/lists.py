"""Symbolic lists: one known item stands for all, so a list of a thousand takes no more than a list of two.

The recorded function sees an ordinary list. It reads items, slices it and goes through it, and gets the one item at the
index it asked for. `Lazy` is the same for what makes its items on demand, such as `zip`.

In Python a list may change, and two names may share it. Two rules keep a symbolic list true:

- A list within an item belongs to one list alone. Before it changes, its owner becomes a plain list of its elements.
- A list that a body only looks at (a `view`) is never kept. A body that would keep one runs in Python.
"""

import dis
import operator
import sys
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any

from microgpt.engines.compiled.objects import Copied, has_parts, parts_of, with_parts
from microgpt.engines.compiled.record import (
    Axis,
    Index,
    NotTraceable,
    Record,
    RecordedInteger,
    RecordedScalar,
    RecordingError,
    at,
    calling_line,
    replaced,
    tracing_depth,
)

ADD_IN_PLACE = next(
    bytes((one.opcode, one.arg or 0))
    for one in dis.get_instructions(compile("a += b", "", "exec"))
    if one.argrepr == "+="
)


WHOLE = (None,)  # a key for all items


class RecordedList(Copied):
    """A list with one known item: item number i is `item` with i in place of the axis.

    It is a list in every other way. Before it changes, or a list in it does, it becomes `plain`: its elements, each by
    itself. Lists whose items are not alike are so from the beginning (`written_out`).
    """

    __slots__ = ("__dict__", "axis", "born", "elements", "item", "owner", "record")  # few have more than these
    __hash__ = None  # type: ignore[assignment]
    plain: list[Any] | None = None
    view = False  # a body looks at it: its index or its elements are no objects
    place: Any = None  # of a view: the list that it is a part of, and at which indices
    chosen_from: Any = None  # a Chosen, which may be read as long as it is what it was
    picked = False  # an integer chose a row of it
    changed = False  # it has had other items before
    frozen = False  # others have read it, so that it may not change within this turn of a loop
    made_anew = False  # each item is an object of its own, even if all are one scalar
    rows: Any = None  # stands for the lists in it, as long as these stay the same objects and nobody reads them as such

    def __init__(self, record: Record, axis: Any, item: Any, owner: "RecordedList | None" = None):
        self.record = record
        self.axis = axis
        self.item = item
        self.elements: dict[int, Any] = {}  # those that were read as objects
        self.owner = owner  # the list that has this one as an element
        record.lists_made += 1
        self.born: int = record.lists_made if owner is None else owner.born
        if axis is not None and not axis.n:
            self.plain = []

    @classmethod
    def written_out(cls, record: Record, items: list[Any], owner: "RecordedList | None" = None) -> "RecordedList":
        """A list whose items are not alike."""
        found = cls(record, None, None, owner)
        found.plain = items
        return found

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # `isinstance` asks this
        return list

    def with_item(self, item: Any) -> "RecordedList":
        return RecordedList(self.record, self.axis, item)

    def at(self, index: Any) -> Any:
        """A view of the item at an index within the list, which may depend on axes."""
        found = self.check((index,))
        if found is not None:
            return found.value
        item = read_at(self.item, self.axis, index)
        if type(item) is RecordedList and item.place is None and (self.place is not None or not self.view):
            root, path = self.where()
            item.place = root, (*path, index)
        self.note_part(item)
        return item

    def note_part(self, item: Any) -> None:
        """Note of a list in this one that a loop carries it, too."""
        if self.carried_by is not None and type(item) is RecordedList:
            item.given, item.carried_by = self, self.carried_by

    def where(self) -> tuple["RecordedList", tuple[Any, ...]]:
        """The list of which this is a part, and at which indices: itself, at none, if it is no view."""
        return self.place or (self, ())

    def element(self, i: int) -> Any:
        """Item number i, always as the same object."""
        found = self.check((i,))
        if found is not None:
            return found.value
        if i not in self.elements:
            item = read_at(self.item, self.axis, i, self)
            if self.made_anew and item is self.item:
                item = item.another()
            elif type(item) is RecordedScalar and not item.free:
                item = self.record.elements.setdefault((item.node, item.index), item)
            if type(item) is not RecordedScalar and self.record.loops.frames:
                self.record.loops.frames[-1].note_change()
            self.note_part(item)
            self.elements[i] = item
        return self.elements[i]

    def all_elements(self) -> list[Any]:
        """All items at once, each always as the same object."""
        record, frames = self.record, self.record.loops.frames
        if self.plain is not None or type(self.item) is not RecordedScalar or self.made_anew:
            return [*self]
        if self.elements or self.axis.bound or self.chosen_from or (frames and not frames[-1].has_all(self)):
            return [*self]
        found = self.item.along(self.axis)
        if found and not found[0].free:
            found = [record.elements.setdefault((one.node, one.index), one) for one in found]
        self.elements = dict(enumerate(found))
        return found

    def check(self, key: tuple[Any, ...] = WHOLE) -> Any:
        """Note, before it is read, that a list, or the item at a key, is read where it is.

        Returns what the loops that are being traced have stored there, if they have. Raises RecordingError if an
        integer chose this row, or a list that holds it, from a list that has changed.
        """
        if self.chosen_from is not None:
            self.chosen_from.check()
        loops = self.record.loops
        return loops.frames[-1].read(self, key) if loops.frames and loops.noting else None

    def noted(self) -> Any:
        """The same for all items, without a look at what it was chosen from."""
        loops = self.record.loops
        return loops.frames[-1].read(self, WHOLE) if loops.frames and loops.noting else None

    def is_own(self) -> bool:
        """Whether the innermost loop that is being traced has made this list itself, or may change it for real."""
        if self.view or self.frozen or self.chosen_from is not None:
            return False
        frames = self.record.loops.frames
        return not frames or self.born > frames[-1].lists_made or frames[-1].may_change(self)

    def copied(self, axis: Axis, by: Any, owner: "RecordedList | None") -> "RecordedList":
        """This list as an item of another list, with an index in place of the axis of that list."""
        owner = None if self.place is not None else owner  # an item of a part of a list is one of that list
        if self.plain is None:
            own, item = within_bound(self, axis, by)
            found = RecordedList(self.record, own, read_at(item, axis, by), owner)
        else:
            found = RecordedList.written_out(self.record, [], owner)
            found.plain = [read_at(one, axis, by, found) for one in self.plain]
        found.view, found.made_anew, found.changed = owner is None, self.made_anew, self.changed
        if self.place is not None:
            root, path = self.place
            found.place = root, tuple([replaced(one, axis, by) for one in path])
        found.chosen_from = self.chosen_from if owner is None else owner.chosen_from or self.chosen_from
        return found

    def length(self) -> Any:
        """How many items there are: an Index where that depends on one."""
        self.check(())
        return self.axis.length() if self.plain is None else len(self.plain)

    def __len__(self) -> int:
        n = self.length()
        if type(n) is Index:
            raise NotTraceable
        return n

    def __bool__(self) -> bool:
        return bool(self.length() > 0)  # where it depends on a turn, this splits the loop

    def __getitem__(self, key: Any) -> Any:
        if type(key) is int and self.chosen_from is None and not self.record.loops.frames:  # the most frequent case
            if self.plain is not None:
                return self.plain[key]
            if key in self.elements:
                return self.elements[key]
        if isinstance(key, RecordedInteger):
            return key.pick(self)
        n = self.length()
        if type(n) is Index:
            return self._within_bound(key, n)
        if type(key) is int:
            if not -n <= key < n:
                raise IndexError(f"list index {key} is out of range for a list of {n}")
            return self.element(key % n) if self.plain is None else self.plain_element(key % n)
        if self.plain is not None and not holds_index(key):
            self.check()
            found = self.plain[key]
            return RecordedList.written_out(self.record, found) if isinstance(key, slice) else found
        if self.plain is not None:
            if type(key) is Index and key.span()[1] >= n:
                for frame in self.record.loops.frames:
                    frame.will_grow(self, n, key)
            known = self.check((key,)) if type(key) is Index else None
            if known is not None:
                return known.value
            try:
                found = self.stacked_copy()
            except NotTraceable as error:
                for frame in self.record.loops.frames if type(error) is NotTraceable and type(key) is Index else ():
                    frame.may_store(self, key)
                raise
            found.check(())
            if found.plain is not None:  # a loop has stored single items
                raise NotTraceable
            return found[key]
        if type(key) is Index:
            low, high = key.span()
            if high < 0:
                key, low, high = key + n, low + n, high + n
            if low < 0 or high >= n:
                for frame in self.record.loops.frames:
                    frame.will_grow(self, n, key)
                raise NotTraceable
            return self.at(key)
        if isinstance(key, slice):
            return self._slice(key)
        return self[operator.index(key)]

    def plain_element(self, i: int) -> Any:
        found = self.check((i,))
        assert self.plain is not None
        return self.plain[i] if found is None else found.value

    def stacked_copy(self) -> "RecordedList":
        """A view of this plain list as a symbolic one. Raises NotTraceable if its items are not alike."""
        self.check(())
        if self.record.loops.frames:
            self.check_parts()
        with self.record.loops.unnoted():
            return self.seen_as(self.record.stack(self.plain))

    def check_parts(self) -> None:
        """Note that the lists in it are read through this one: what is stored in it meets what is read of it."""
        loops = self.record.loops
        before, (loops.through, _) = loops.through, self.where()
        try:
            check_all(self.plain, self)
        finally:
            loops.through = before

    def seen_as(self, symbolic: "RecordedList") -> "RecordedList":
        """A view of this plain list, by a symbolic list of the same items."""
        found = RecordedList(self.record, symbolic.axis, symbolic.item)
        found.view, found.place, found.changed, found.made_anew = True, self.where(), True, symbolic.made_anew
        return found

    def _within_bound(self, key: Any, n: Index) -> Any:
        """An item of a list whose length depends on an index: one that is there whatever the index, or the last."""
        if type(key) is int and key < 0:
            key = n + key
        if type(key) in (int, Index):
            low = key.span()[0] if type(key) is Index else key
            beyond = n - key - 1
            if low >= 0 and (beyond.span()[0] if type(beyond) is Index else beyond) >= 0:
                return self.at(key)
        raise NotTraceable

    def _slice(self, key: slice) -> Any:
        if holds_index(key):
            start, stop = (0 if key.start is None else key.start), (self.axis.n if key.stop is None else key.stop)
            length = stop - start
            if key.step is not None or type(length) is Index:
                raise NotTraceable
            for bound in (start, stop):
                low, high = bound.span() if type(bound) is Index else (bound, bound)
                if low < 0 or high > self.axis.n:
                    raise NotTraceable
            places = range(length)
        else:
            places = range(*key.indices(self.axis.n))
            start = 0
        self.check()
        if not places or self.made_anew or (holds_lists(self.item) and not self.record.loops.depth):
            return RecordedList.written_out(self.record, [self[start + i] for i in places])
        axis = Axis(len(places))
        return RecordedList(self.record, axis, self.at(at(axis) * places.step + (places.start + start)))

    def __iter__(self) -> Iterator[Any]:
        n, i = self.length(), 0
        if type(n) is Index:  # the first one is there, and no more is known
            yield self[0]
        while i < len(self):
            yield self[i]
            i += 1

    def __reversed__(self) -> Iterator[Any]:
        return items_down_from(len(self) - 1, self)

    def __contains__(self, wanted: Any) -> bool:
        return wanted in [*self]

    def __repr__(self) -> str:
        return repr([*self])

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, list) and [*self] == [*other]

    def __add__(self, other: Any) -> Any:
        if not isinstance(other, list):
            return NotImplemented
        return RecordedList.written_out(self.record, [*self, *other])

    def __radd__(self, other: Any) -> list[Any]:
        """other + self. Python also calls this for other += self, which changes the other list."""
        caller = sys._getframe(1)
        if caller.f_code.co_code[caller.f_lasti : caller.f_lasti + 2] == ADD_IN_PLACE and type(other) is list:
            other.extend(self.all_elements())
            return other
        return [*other, *self]

    def __mul__(self, times: Any) -> Any:
        if type(times) is RecordedScalar:
            times.ask_python()
        return RecordedList.written_out(self.record, [*self] * times)

    __rmul__ = __mul__

    def __matmul__(self, other: Any) -> Any:
        raise RecordingError(f"@ between lists at {calling_line()}: write sum(a_i * b_i for a_i, b_i in zip(a, b))")

    __rmatmul__ = __matmul__

    def copy(self) -> Any:
        return RecordedList.written_out(self.record, [*self])

    __copy__ = copy

    def __deepcopy__(self, memo: Any) -> list[Any]:
        return deepcopy([*self], memo)

    def __reduce_ex__(self, _: Any) -> Any:
        return list, ([*self],)

    def index(self, *arguments: Any) -> int:
        return [*self].index(*arguments)

    def count(self, wanted: Any) -> int:
        return [*self].count(wanted)

    def as_plain(self) -> list[Any]:
        """The elements as a plain list, which this list is from now on: it is about to change."""
        if self.record.loops.frames and not self.is_own():
            raise NotTraceable
        self.refuse_if_chosen()
        if self.owner is not None:
            self.owner.as_plain()
        if self.plain is None:
            self.plain = self.all_elements()
        return self.plain

    def become(self, other: "RecordedList", level: int = 1) -> None:
        """Take the items of another list, which nobody else has; beyond level 1 its rows stay the same objects."""
        if self.owner is not None or (self.picked and level == 1) or self.held():
            self.as_plain()[:] = other.all_elements()
            return
        self.refuse_if_chosen()
        self.axis, self.item, self.plain, self.made_anew = other.axis, other.item, other.plain, other.made_anew
        self.elements, self.changed = {}, True
        self.rows = self.rows if level > 1 else None

    def held(self) -> list[Any]:
        """The lists in it that are objects, which others may hold."""
        elements = self.elements.values() if self.plain is None else self.plain
        return [one for one in elements if type(one) in (RecordedList, list, tuple)]

    def refuse_if_chosen(self) -> None:
        if self.chosen_from is not None:
            self.chosen_from.check()
            raise RecordingError(
                f"a row that {self.chosen_from.by} chose is changed at {calling_line()}, and with it the list that "
                "it was chosen from; change a copy of it: list(row)"
            )

    def append(self, item: Any) -> None:
        frames = self.record.loops.frames
        if frames and not self.is_own():
            frames[-1].append(self, item)
        else:
            self.as_plain().append(item)

    def insert(self, place: Any, item: Any) -> None:
        frames = self.record.loops.frames
        if frames and not self.is_own() and type(place) is int and place == 0:
            frames[-1].append(self, item, in_front=True)
        else:
            self.as_plain().insert(place, item)

    def __setitem__(self, key: Any, item: Any) -> None:
        frames = self.record.loops.frames
        if frames and (type(key) is Index or not self.is_own()):
            frames[-1].store(self, key, item)
        else:
            self.as_plain()[key] = item

    def __iadd__(self, other: Any) -> "RecordedList":
        self.extend(other)
        return self

    def __imul__(self, times: Any) -> "RecordedList":
        self.as_plain().__imul__(times)
        return self

    def extend(self, items: Any) -> None:
        frames = self.record.loops.frames
        if frames and not self.is_own():
            frames[-1].extend(self, items)
        else:
            self.as_plain().extend(items.all_elements() if type(items) is RecordedList else [*items])


def items_down_from(i: int, items: RecordedList) -> Iterator[Any]:
    """The items from number i down, each as it is when its turn comes."""
    while 0 <= i < len(items):
        yield items[i]
        i -= 1


def changing(name: str) -> Callable[..., Any]:
    def change(self: RecordedList, *arguments: Any, **options: Any) -> Any:
        return getattr(self.as_plain(), name)(*arguments, **options)

    return change


for method in ("pop", "remove", "clear", "sort", "reverse", "__delitem__"):
    setattr(RecordedList, method, changing(method))


def in_order(name: str) -> Callable[..., Any]:
    def compare(self: RecordedList, other: Any) -> Any:
        return getattr(list, name)([*self], [*other] if isinstance(other, list) else other)

    return compare


for method in ("__lt__", "__le__", "__gt__", "__ge__"):
    setattr(RecordedList, method, in_order(method))


Sequence.register(RecordedList)  # for `match`
NESTED = {RecordedList, list, tuple}


class Chosen:
    """The rows among which the example chose. It is unknown which one, so none of them may change.

    The content of each row is kept, to be compared. A symbolic list becomes plain before a single row of it changes.

    Args:
        items: the rows. by: what chose among them, for people.
    """

    def __init__(self, items: Any, by: str):
        self.items, self.by = items, by
        if type(items) is RecordedList:
            items.picked = True
        self.held = contents(items) if is_symbolic(items) else [(row, contents(row)) for row in iter(items)]

    def check(self) -> None:
        """Note that the rows are read, which one of them is. Raises RecordingError if one has changed.

        So it is for what these rows were chosen from, each once: rows that were chosen again and again share it.
        """
        waiting, seen = [self], dict[int, Any]()
        while waiting:
            one = waiting.pop()
            if id(one) in seen:
                continue
            seen[id(one)] = one
            if type(one) is not Chosen:
                one.check()
                continue
            for row in one.rows():
                row.noted()
                waiting += [row.chosen_from] if row.chosen_from is not None else []
            one.refuse_changed()

    def rows(self) -> list[RecordedList]:
        """The lists that are read with the row."""
        rows = [self.items, *([] if type(self.held) is tuple else [row for row, _ in self.held])]
        return [row for row in rows if type(row) is RecordedList]

    def refuse_changed(self) -> None:
        """Raise RecordingError if a row has changed."""
        if type(self.held) is tuple:
            same = self.items.plain is not None or same_contents(self.held, contents(self.items))
            same = same and all(map(is_as_made, self.items.elements.values()))
        else:
            same = all([same_contents(before, contents(row)) for row, before in self.held])
        if not same:
            raise RecordingError(
                f"a row that {self.by} chose is read at {calling_line()} after one of those that it was chosen from "
                "has changed: choose it again, or a copy of it before: list(row)"
            )


def is_symbolic(items: Any) -> bool:
    return type(items) is RecordedList and items.plain is None


def is_as_made(element: Any) -> bool:
    """Whether an element of a symbolic list has not changed: it would be plain."""
    if has_parts(element):
        return all(map(is_as_made, parts_of(element)))
    return type(element) is not RecordedList or element.plain is None


def contents(items: Any) -> Any:
    """What a list and the lists in it hold, or what an iterator goes through, as nested tuples of objects."""
    kind = type(items)
    if kind is Lazy:
        items = (*items.made_of, items.columns_of)
    elif kind is RecordedList:
        items = (items.axis, items.item) if items.plain is None else items.plain
    return tuple(map(contents, items)) if type(items) in (list, tuple) else items


def same_contents(a: Any, b: Any) -> bool:
    """Whether two contents are the same objects in the same nesting."""
    if type(a) is tuple and type(b) is tuple:
        return len(a) == len(b) and all(map(same_contents, a, b))
    return a is b


def holds_lists(item: Any) -> bool:
    """Whether an item is a list, or a tuple or an object with one."""
    return type(item) is RecordedList or (has_parts(item) and any(map(holds_lists, parts_of(item))))


def within_bound(items: RecordedList, axis: Axis, by: Any) -> tuple[Axis, Any]:
    """The axis and the item of a list, whose length may depend on another axis, with an index in place of that."""
    own = items.axis
    if own.bound is None or own.bound[0] is not axis:
        return own, items.item
    length = replaced(own.length(), axis, by)
    if type(length) is Index:
        ((other, step), *more) = length.terms
        if more:
            raise NotTraceable
        new = Axis(length.span()[1], bound=(other, length.constant, step))
    else:
        new = Axis(length)
    return new, read_at(items.item, own, at(new))


def read_at(item: Any, axis: Axis, by: Any, owner: RecordedList | None = None) -> Any:
    """An item with an index in place of an axis, also within what has parts. The lists get this owner."""
    kind = type(item)
    if kind is RecordedScalar or kind is RecordedInteger:
        return item.read_at(axis, by)
    if kind is RecordedList:
        return item.copied(axis, by, owner)
    if has_parts(item):
        return with_parts(item, [read_at(one, axis, by, owner) for one in parts_of(item)])
    return replaced(item, axis, by)


def nested(leaf: Any, axes: tuple[Axis, ...], record: Record) -> Any:
    """A scalar or an integer with some axes, as nested lists."""
    for axis in reversed(axes):
        leaf = RecordedList(record, axis, leaf)
    return leaf


def holds_index(key: Any) -> bool:
    """Whether a subscript depends on an axis."""
    if type(key) is slice:
        return Index in (type(key.start), type(key.stop), type(key.step))
    return type(key) is Index


def check_all(items: Any, owner: RecordedList | None = None) -> None:
    """Note that lists within some items are read, but for the parts of an owner, of which that is noted."""
    if NESTED.isdisjoint(map(type, items)):
        return
    for item in items:
        kind = type(item)
        if kind is list or kind is tuple:
            check_all(item, owner)
        elif kind is RecordedList:
            if owner is None or item.owner is not owner:
                item.check()
            if item.plain is not None:
                check_all(item.plain, item)


class Lazy:
    """The result of zip, enumerate, reversed, map or a generator expression: it makes its items on demand.

    `sum` and comprehensions ask for all at once, and may get them as a symbolic list.
    """

    __slots__ = (
        "_all", "_each", "_items", "call", "columns_of", "depth", "in_order", "made_of", "runs_code", "whole",
    )  # fmt: skip

    def __init__(
        self, each: Callable[[], Iterator[Any]], everything: Callable[[], Any], runs_code: bool = False,
        made_of: tuple[Any, ...] = (), columns_of: RecordedList | None = None, in_order: bool = True,
    ):  # fmt: skip
        self._each = each
        self._all = everything
        self.made_of, self.columns_of, self.in_order = made_of, columns_of, in_order
        self.runs_code = runs_code  # making items runs code, so no more are made than are asked for
        self.whole: Any = (
            None  # all items, if they were made at once and none has been taken; they may not be these if lists change
        )
        self._items: Iterator[Any] | None = None
        self.call = 0 if Record.current is None else Record.current.loops.calls
        self.depth = tracing_depth(self.call)  # how many loops were being traced when it was made

    def __iter__(self) -> "Lazy":
        return self

    def check(self, ahead: int = 0) -> None:
        """Raise NotTraceable in the body of a loop if it was made outside: the first turn uses it up."""
        if tracing_depth(self.call) - ahead > self.depth:
            raise NotTraceable

    def __next__(self) -> Any:
        self.check()
        if self._items is None:
            self._items, self.whole = self._each(), None
        return next(self._items)

    def __getattr__(self, name: str) -> Any:
        if name not in ("close", "send", "throw"):
            raise AttributeError(f"an iterator has no attribute {name!r}")
        self.check()
        if self._items is None:
            self._items, self.whole = self._each(), None
        return getattr(self._items, name)

    def look(self) -> Any:
        """All items as a symbolic list, or None if that cannot be. For generators this runs their code."""
        self.check(Record.current.loops.ahead if Record.current is not None else 0)
        if self._items is not None:
            return None
        return self._all() if self.whole is None else self.whole

    def use_up(self) -> None:
        """Note that all items have been taken; not within a trial, which looks at them."""
        if Record.current is not None and tracing_depth(self.call) > self.depth:
            return
        self._items, self.whole = iter(()), None
        for one in self.made_of:
            if type(one) is Lazy:
                one.use_up()
