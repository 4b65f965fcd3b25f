"""What the body of a loop that is being traced reads and changes of lists that were there before.

A list is a *root*, and a part of it has a *path*: an index for each level. What a turn stores at a path is noted, and
read there again. Where another turn may meet it, `NotTraceable` is raised.
"""

from collections.abc import Iterator
from fractions import Fraction
from math import gcd
from typing import Any, NamedTuple

from microgpt.engines.compiled.lists import WHOLE, RecordedList, read_at, within_bound
from microgpt.engines.compiled.objects import as_made, has_parts, is_tuple, parts_of, refuse_fixed, with_parts
from microgpt.engines.compiled.record import (
    Axis,
    Index,
    Lost,
    NotTraceable,
    Record,
    RecordedInteger,
    RecordedScalar,
    RecordingError,
    Split,
    at,
    replaced,
    untested,
)

LENGTH = object()  # at the end of a path: the length of the list there
MANY_STORES = 200  # in one turn; each read looks through all of them, so a loop with more runs in Python
MANY_ITEMS, FEW_ITEMS = 32, 4  # in a list of so many, so few carry state one by one, and the others do not
MANY_PARTS = 48  # of a list that turns extend; fewer, such as the heads of a GPT, are better written out
STORABLE = (RecordedScalar, RecordedList, float, int)
ANY = object()  # in a path: an index that another loop went through


class Range(NamedTuple):
    """In a path: the indices that one has along axes of loops, each of them once."""

    levels: tuple[tuple[Axis, int], ...]  # the axes, and how far apart the indices are along each
    start: Any
    whole: bool  # whether these are all indices of the list

    def size(self) -> int:
        """How far it is from the first index to that after the last."""
        return 1 + sum([(axis.n - 1) * step for axis, step in self.levels])

    def along(self) -> Any:
        """The index, along its axes."""
        found = self.start
        for axis, step in self.levels:
            found = at(axis) * step + found
        return found

    def at(self, i: int) -> Any:
        """The index, or the range, at an index of the first axis."""
        (_, step), *others = self.levels
        first = self.start + step * i
        return Range(tuple(others), first, False) if others else first

    def places(self, apart: Any) -> list[tuple[Axis, Any]] | None:
        """An index of each axis for what is so far behind the start; None if there is none, or not surely one."""
        found = []
        for axis, step in sorted(self.levels, key=lambda level: -level[1]):
            whole = tuple([(one, c // step) for one, c in terms_of(apart) if not c % step])
            constant = (apart.constant if type(apart) is Index else apart) // step
            place = Index(constant, whole) if whole else constant
            low, high = span(place)
            if low < 0 or high >= axis.n:
                return None
            found.append((axis, place))
            apart = apart - place * step
        return found if is_zero(apart) else None

    def lengths(self) -> dict[int, int]:
        """How many indices there are, by how far they are apart."""
        return {step: axis.n for axis, step in self.levels}

    def is_like(self, other: "Range") -> bool:
        """Whether it has the same indices as another one."""
        return is_zero(other.start - self.start) and self.lengths() == other.lengths()


def are_apart(lengths: dict[int, int]) -> bool:
    """Whether an index is another one for each choice of places, so many for each step."""
    size = 1
    for step in sorted(lengths):
        if step < size:
            return False
        size += step * (lengths[step] - 1)
    return True


def ranged(one: Any, axis: Axis, length: int = -1) -> Range | None:
    """An index, or a range, along an axis of a loop; None if several turns may meet there.

    Args:
        length: how many items the list has.
    """
    start = start_of(one)
    levels = ((axis, dict(terms_of(start)).get(axis, 0)), *levels_of(one))
    lengths = {step: axis.n for axis, step in levels}
    if len(lengths) < len(levels) or not are_apart(lengths):
        return None
    rest = replaced(start, axis, 0)
    return Range(levels, rest, is_zero(rest) and lengths == {1: length})


class Store(NamedTuple):
    """What a list has at a path, an index for each level: since it was stored there, or from the turn before."""

    root: RecordedList
    path: tuple[Any, ...]
    value: Any
    level: int  # the length of the path that was assigned to: the lists above it stay the same objects


class Read(NamedTuple):
    """What a turn reads of a list that was there before it."""

    root: RecordedList
    path: tuple[Any, ...]
    through: RecordedList | None  # as a part of this one, of which it is noted what is read


class Appended(NamedTuple):
    """What each turn appends to a list."""

    root: RecordedList
    values: list[Any]  # in order
    before: int  # the length of the list before the turn
    in_front: bool = False


class Spread(NamedTuple):
    """A list of scalars, of which a turn appends each."""

    items: RecordedList


class Found(NamedTuple):
    value: Any


class MoreState(NotTraceable):
    """A list turned out to carry state from turn to turn: the body is to be read again with that in mind.

    What carries it is what the list has at a path: one list whose items change, or (`is_new`) another one in each turn.
    """

    def __init__(self, frame: "Frame", root: RecordedList, path: tuple[Any, ...], is_new: bool = False):
        super().__init__()
        self.frame, self.root, self.path, self.is_new = frame, root, path, is_new


class Refused(MoreState):
    """A loop changes a list in a way that the loop around it, or the choice, cannot follow: that one is no line."""

    def __init__(self, frame: "Frame"):
        NotTraceable.__init__(self)
        self.frame = frame


class Entry(NamedTuple):
    """In the place of the name of an attribute: a key of a dict."""

    key: Any


class MoreAttributes(MoreState):
    """An attribute, or an Entry of a dict, turned out to carry state from turn to turn."""

    def __init__(self, frame: "Frame", owner: Any, name: Any):
        NotTraceable.__init__(self)
        self.frame, self.owner, self.name = frame, owner, name


class MorePast(MoreState):
    """What a turn stores in a list turned out to be read by a later turn, so many turns later.

    It may also append it. Then what a turn reads of the list, if only its length, depends on the turns before.
    """

    def __init__(self, frame: "Frame", store: Store, turns: int, grows: bool = False):
        super().__init__(frame, store.root, store.path)
        self.level, self.turns, self.grows = store.level, turns, grows


class MoreRows(MoreState):
    """A turn changes several parts of a list in a list, the one at a path: it is to be changed as a whole."""


class Itself(MoreState):
    """A turn changes a list or an object that it finds in a variable: it must be the very one, and no copy of it."""

    def __init__(self, frame: "Frame", value: Any):
        NotTraceable.__init__(self)
        self.frame, self.value = frame, value


class Longer(MoreState):
    """Each turn takes a longer list in the place of the one that it finds in a variable."""

    def __init__(self, frame: "Frame", items: RecordedList):
        NotTraceable.__init__(self)
        self.frame, self.items = frame, items


class Unknown:
    """A variable without a value: before a loop that assigns it, or after one that cannot tell it.

    Args:
        site: of the loop; or else the words of the error for whoever reads it.
    """

    def __init__(self, site: Any):
        object.__setattr__(self, "site", site)

    def lost(self, *_: Any) -> Any:
        record, site = Record.current, object.__getattribute__(self, "site")
        if type(site) is str:
            raise RecordingError(site)
        if record is not None and record.loops.frames and not record.loops.frames[-1].alone:
            raise NotTraceable
        raise Lost({site})

    __getattribute__ = __setattr__ = __call__ = __bool__ = __len__ = __iter__ = __contains__ = __getitem__ = lost
    __setitem__ = __delitem__ = __reversed__ = lost
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = lost
    __pow__ = __rpow__ = __neg__ = __pos__ = __abs__ = __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = lost
    __hash__ = __index__ = __int__ = __float__ = __str__ = __repr__ = __format__ = __iadd__ = __isub__ = lost
    __imul__ = __itruediv__ = __floordiv__ = __mod__ = __and__ = __or__ = __enter__ = __exit__ = __next__ = lost


class Frame:
    """A loop that is being traced.

    Args:
        axis: its index.
        statement: whether its body may change lists that were there before.
    """

    alone = False  # a branch of a choice, around which no loop is being traced

    def __init__(self, record: Record, axis: Axis, statement: bool = False):
        self.record, self.axis, self.statement = record, axis, statement
        self.lists_made = record.lists_made
        self.reads: dict[Any, Read] = {}
        self.stores: list[Store] = []
        self.past: set[int] = set()  # which of these are of turns before
        self.is_statement = False  # a comprehension turned out to change what a `for` statement may
        self.growing: dict[int, tuple[int, int]] = {}  # to these each turn appends: length before, turns back
        self.attributes: dict[tuple[int, Any], tuple[Any, Any]] = {}  # that carry state: their owner, and what they are
        self.held: dict[int, tuple[Any, Any]] = {}  # dicts that have other entries within a turn, and what they had
        self.appended: dict[int, Appended] = {}
        self.may_grow = True  # whether a variable with a list may take longer ones in its place, as one that grows
        self.grows: set[int] = set()  # copies of such lists, which nobody else has
        self.looked: set[int] = set()  # to which of these a turn has looked after that
        self.saved: dict[int, tuple[RecordedList, Any]] = {}  # the items of lists that have others within a turn
        self.apart: dict[int, RecordedList] = {}  # lists that share nothing with those that have changed so far
        self.inside: list[tuple[RecordedList, set[int]]] = []  # these, each with the lists in it that may have changed

    # Reading

    def read(self, items: RecordedList, key: tuple[Any, ...]) -> Found | None:
        """Note that a list is read at a key. Returns what a turn has stored there; if all is read, the list gets it."""
        root, path = items.place or (items, ())
        if root.born > self.lists_made and not self.has_changed(root):
            return None  # all of it is there
        self.refuse_replaced(root, path)
        path, found = (*path, *key), None
        for frame in reversed(self.record.loops.frames):
            changes = frame.appended or frame.stores
            found = (frame.appended_item(root, path) or frame.stored(root, path)) if changes else None
            if found is not None or root.born > frame.lists_made:
                break
            if frame.growing:
                frame.look_further_back(root, path)
            if changes and path and not is_reference(root, path):
                frame.refuse_parts(root)
        if found is None or frame is not self:
            self.note(root, path if key else (*path, LENGTH), self.record.loops.through)
        if found is None or (key and key is not WHOLE):
            return found
        if type(found.value) is not RecordedList:
            raise NotTraceable
        self.save(items)
        items.axis, items.item, items.plain = found.value.axis, found.value.item, found.value.plain
        items.elements, items.changed = {}, True
        return None

    def note(self, root: RecordedList, path: tuple[Any, ...], through: RecordedList | None) -> None:
        if root.born <= self.lists_made and id(root) not in self.appended:
            key = (id(root), *map(key_of, path))
            if key not in self.reads:
                self.reads[key] = Read(root, path, through)
            elif through is None:  # it is read for itself, too
                self.reads[key] = Read(root, path, None)

    def stored(self, root: RecordedList, path: tuple[Any, ...]) -> Found | None:
        """What this frame has stored at a path. Raises NotTraceable where it may or may not have."""
        for store in reversed(self.stores):
            if store.root is root:
                found = value_at(store, path)
                if found is False:
                    raise self.unsure(store, path)
                if found is not None:
                    return found
        return None

    def unsure(self, store: Store, path: tuple[Any, ...]) -> NotTraceable:
        """The error where a path may or may not be one at which a turn has stored something."""
        is_new = store.level == len(store.path) and type(store.value) is RecordedList
        row, *inside = store.path or (None,)
        own = type(row) is Index and self.axis in axes_of((row,)) - axes_of((*inside,))
        if own and inside and not is_new and path and type(path[0]) is Index and is_zero(path[0] - row):
            past = any(self.stores[i] is store for i in self.past)
            return MoreRows(self, store.root, (row + dict(row.terms)[self.axis] if past else row,))
        if is_new or self.axis in axes_of(store.path):
            return NotTraceable()
        return MoreState(self, store.root, common(store.path, path))

    def has_all(self, items: RecordedList) -> bool:
        """Whether all of a list is there: the turn has made it."""
        return items.place is None and items.born > self.lists_made and not self.has_changed(items)

    def has_changed(self, root: RecordedList) -> bool:
        """Whether the turn has appended to a list, or stored something in it."""
        return id(root) in self.appended or (bool(self.stores) and any([store.root is root for store in self.stores]))

    def changed(self) -> list[RecordedList]:
        """The lists that the turn has changed."""
        return [store.root for store in self.stores] + [one.root for one in self.appended.values()]

    def refuse_replaced(self, root: RecordedList, path: tuple[Any, ...]) -> None:
        """Raise NotTraceable if a view was of a list that has another one in its place by now."""
        for frame in self.record.loops.frames if path else ():
            for store in frame.stores:
                set_there = store.root is root and len(path) >= len(store.path) == store.level
                if set_there and prefix_of(store.path, path) is not None:
                    raise NotTraceable

    def refuse_parts(self, root: RecordedList) -> None:
        """Raise NotTraceable if a list has changed that is a part of this one, or of which this is one."""
        through = self.record.loops.through
        if id(root) in self.apart:
            return
        if not self.inside:
            outside = [len(store.path) == store.level == 1 for store in self.stores]  # not what a list holds
            alone = {id(store.root) for store, own in zip(self.stores, outside, strict=True) if own}
            alone -= {id(store.root) for store, own in zip(self.stores, outside, strict=True) if not own}
            self.inside = [(one, {id(one)} if id(one) in alone else all_in(one)) for one in self.changed()]
        own = all_in(root) if self.inside else set()
        if any([one is not root and one is not through and not own.isdisjoint(inside) for one, inside in self.inside]):
            raise NotTraceable
        if through is None:
            self.apart[id(root)] = root

    def grow(self, root: RecordedList, turns: int) -> None:
        """Let a list be as long as it is before each turn, if each appends an item. So many of the last are known."""
        n = len(root)
        self.save(root)
        self.growing[id(root)] = n, turns
        root.axis, root.item = Axis(self.axis.n + n - 1, bound=(self.axis, n, 1)), Unknown(None)
        root.plain, root.elements, root.changed = None, {}, True

    def look_further_back(self, root: RecordedList, path: tuple[Any, ...]) -> None:
        """Raise MorePast for an item that a turn before has appended, if it is not known yet."""
        if id(root) not in self.growing or not path or type(path[0]) not in (int, Index):
            return
        n, known = self.growing[id(root)]
        turns = at(self.axis) + n - path[0]
        if type(turns) is int and turns > known:
            raise MorePast(self, Store(root, (at(self.axis) + n,), None, 1), turns, grows=True)

    def will_grow(self, root: RecordedList, n: int, key: Any) -> None:
        """Raise MorePast for an item that is not there before the loop: each turn may append one to the list."""
        turns = at(self.axis) + n - key
        known = root.view or root.owner is not None or root.born > self.lists_made or id(root) in self.growing
        if self.statement and self.axis.bound is None and type(turns) is int and turns > 0 and not known:
            raise MorePast(self, Store(root, (at(self.axis) + n,), None, 1), turns, grows=True)

    def may_store(self, items: RecordedList, key: Index) -> None:
        """Raise MorePast for an item of a list whose items are not alike before the loop: turns before may store it."""
        step = dict(key.terms).get(self.axis, 0)
        root, path = items.where()
        if not self.statement or self.axis.bound is not None or not step or root.born > self.lists_made:
            return
        # the paths of the turns before, the last one first
        before = [self.stores[i].path for i in sorted(self.past) if self.stores[i].root is root]
        if before and (len(before[0]) != len(path) + 1 or type(before[0][-1]) not in (int, Index)):
            return
        apart: Any = before[0][-1] - key if before else 0
        if type(apart) is int and apart * step >= 0 and not apart % step:
            turns = 1 + apart // step
            raise MorePast(self, Store(root, (*path, key + turns * step), None, 1), turns)

    def appended_item(self, root: RecordedList, path: tuple[Any, ...]) -> Found | None:
        """The item that a turn has appended to a list, if that is what is read; else the list gets all up to it."""
        if id(root) not in self.appended:
            return None
        self.looked.add(id(root))
        _, (value, *more), n, in_front = self.appended[id(root)]
        if more or type(value) is Spread:
            raise NotTraceable
        if not path or path[0] is LENGTH:
            return None
        if in_front:
            raise NotTraceable
        if path[0] is not None and is_zero(path[0] - (at(self.axis) + n)):
            found = Found(value)
            for one in path[1:]:
                found = found if one is None else Found(found.value[one])
            return found
        if id(root) in self.growing:
            return None
        if n or self.axis.bound is not None:
            raise NotTraceable
        freeze(value)
        if type(value) is RecordedList and value.plain and all(type(one) is RecordedScalar for one in value.plain):
            whole = self.record.stack(value.plain)  # now: later it would be put together for each turn that reads it
            value = RecordedList(self.record, whole.axis, whole.item)
        root.item, root.elements = read_at(value, self.axis, at(root.axis)), {}
        if type(root.item) is RecordedList:
            root.item.view = False
        return None

    def note_change(self) -> None:
        """Forget which lists share nothing with those that have changed: one changes now."""
        for frame in self.record.loops.frames:
            frame.apart, frame.inside = {}, []

    def save(self, root: RecordedList) -> None:
        self.note_change()
        self.saved.setdefault(id(root), (root, (root.axis, root.item, root.plain, root.elements, root.changed)))

    def restore(self) -> None:
        if self.saved:
            self.note_change()
        for root, content in self.saved.values():
            root.axis, root.item, root.plain, root.elements, root.changed = content
            root.changed = True
        for owner, entries in self.held.values():
            owner.clear()
            owner.update(entries)

    # Changing

    def append(self, items: RecordedList, value: Any, in_front: bool = False) -> None:
        """Note that each turn adds such an item to a list, at its end or in front."""
        value = untested(value)
        items.refuse_if_chosen()
        self.refuse_comprehension()
        self.refuse_carried(items)
        if items.view or items.frozen or type(value) is Unknown or id(items) in self.looked:
            raise NotTraceable
        if id(items) in self.appended:
            _, values, n, mixed = self.appended[id(items)]
            mixed = mixed or in_front or id(items) in self.growing
            if mixed or self.axis.bound is not None or len(values) == MANY_STORES:
                raise NotTraceable
            self.appended[id(items)] = Appended(items, [*values, value], n)
            return
        n, _ = self.growing.get(id(items), (items.axis.length() if items.plain is None else len(items.plain), 0))
        if type(n) is not int:
            raise NotTraceable
        own, bounded = all_in(items), self.axis.bound is not None
        read = {id(root): root for root, path, _ in self.reads.values() if id(root) in own or not finds(root, path)}
        stored = {id(store.root): store.root for i, store in enumerate(self.stores) if i not in self.past}
        met = [root for root in read.values() if id(root) in own or not own.isdisjoint(all_in(root))]
        if any(not own.isdisjoint(all_in(root)) for root in stored.values()) or (met and bounded):
            raise NotTraceable
        if any(id(root) not in own for root in met):  # a list that has this one in it
            raise NotTraceable
        if in_front and (met or id(items) in self.growing or bounded):
            raise NotTraceable
        if met and id(items) not in self.growing:
            raise MorePast(self, Store(items, (at(self.axis) + n,), value, 1), 0, grows=True)
        self.save(items)
        self.appended[id(items)] = Appended(items, [value], n, in_front)
        items.axis, items.item = Axis(self.axis.n + n, bound=(self.axis, n + 1, 1)), Unknown(None)
        items.plain, items.elements, items.changed = None, {}, True

    def makes_longer(self, items: RecordedList) -> bool:
        """Whether a list that nobody else has may grow in the place of one that is made longer."""
        if self.may_grow and items.carried_by is self.axis:
            raise Longer(self, items)
        return id(items) in self.grows

    def extend(self, items: RecordedList, more: Any) -> None:
        """Note that each turn appends all items of a list to another one."""
        more = stacked_scalars(more)
        if type(more) is RecordedList and self.axis.n < MANY_PARTS:
            raise NotTraceable
        for one in [Spread(more)] if type(more) is RecordedList else more:
            self.append(items, one)

    def store(self, items: RecordedList, key: Any, value: Any) -> None:
        value = untested(value)
        items.refuse_if_chosen()
        root, path = items.where()
        self.refuse_carried(root)
        self.refuse_replaced(root, path)
        n = items.length()
        if type(key) is slice and type(n) is int and key.indices(n) == (0, n, 1) and not items.frozen:
            put(self.record, Store(root, path, self.all_items(value, n), len(path) + 1))
            return
        if type(key) not in (int, Index) or (items.view and items.place is None) or type(n) is not int:
            raise NotTraceable
        low, high = key.span() if type(key) is Index else (key, key)
        if high < 0:
            key, low, high = key + n, low + n, high + n
        inside = list(map(id, lists_within(root)))
        if (
            low < 0 or high >= n or not (type(value) in STORABLE or is_tuple(type(value)))
            or (type(value) is RecordedList and not value.is_own()) or items.frozen
            or len(set(inside)) < len(inside)
        ):  # fmt: skip
            raise NotTraceable
        put(self.record, Store(root, (*path, key), value, len(path) + 1))

    def all_items(self, items: Any, n: int) -> RecordedList:
        """A list of n numbers, as a list of its own."""
        if type(items) is not RecordedList or items.plain is not None or type(items.item) is not RecordedScalar:
            raise NotTraceable
        if items.length() != n:
            raise NotTraceable
        return RecordedList(self.record, items.axis, items.item)

    def put(self, store: Store) -> None:
        """Note a store of the body."""
        self.refuse_comprehension()
        if store.root.view or store.root.is_own():
            raise NotTraceable
        for i in range(len(self.stores) - 1, -1, -1):
            other = self.stores[i]
            if other.root is not store.root:
                if related(other.root, store.root):
                    raise NotTraceable
                continue
            same = prefix_of(other.path, store.path)
            if i in self.past and same is not None:
                raise NotTraceable
            if same is None:
                if i not in self.past and self.meet_in_other_turns(other.path, store.path):
                    raise NotTraceable  # the later turn has the last word, not the later line
                continue
            if same is False:
                raise self.unsure(other, store.path)
            rest = store.path[len(other.path) :]
            if not rest and store.level < other.level:  # it sets a list of which the turn has set the items
                raise NotTraceable
            if not rest and store.level == other.level:
                self.stores[i] = other._replace(value=along_others(store, other.path))
            elif type(other.value) is RecordedList and other.value.frozen:
                raise NotTraceable
            else:
                put_real(self.record, store._replace(root=other.value, path=rest, level=store.level - len(other.path)))
            return
        self.refuse_state(store)
        self.add_store(store)
        if len(self.stores) > MANY_STORES:
            raise NotTraceable

    def add_store(self, store: Store) -> None:
        self.note_change()
        self.stores.append(store)

    def meet_in_other_turns(self, a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
        """Whether two paths, which differ in each turn, may be the same place in different turns."""
        for x, y in zip(a, b, strict=False):
            if Range in (type(x), type(y)) and self.apart_in_turns(x, y):
                return False
            if type(x) not in (int, Index) or type(y) not in (int, Index):
                continue
            apart = y - x
            step = dict(x.terms).get(self.axis, 0) if type(x) is Index else 0
            if type(apart) is int and (not apart if step else apart):
                return False  # only in the same turn, or never
            if type(apart) is int and step and (apart % step or abs(apart // step) >= self.axis.n):
                return False
        return True

    def refuse_state(self, store: Store) -> None:
        """Raise MoreState if all turns store at one path."""
        if self.axis not in axes_of(store.path):
            an_item = store.level == len(store.path) and type(store.path[-1]) is int  # of the list that carries state
            is_new = an_item and type(store.value) is RecordedList
            others = sum([one.root is store.root and len(one.path) == store.level for one in self.stores])
            alone = len(store.path) == 1 and len(store.root.plain or ()) > MANY_ITEMS and others < FEW_ITEMS
            path = store.path[:-1] if an_item and not is_new and not alone else store.path
            raise MoreState(self, store.root, path, is_new)

    def may_change(self, items: RecordedList) -> bool:
        """Whether a list that was there before may change now, for real."""
        return False

    def refused(self, site: Any) -> BaseException:
        """The error where a loop within this one, at a place in the source, changes lists that this cannot follow."""
        self.is_statement = not self.statement
        return Refused(self)

    def refuse_comprehension(self) -> None:
        """Raise NotTraceable, and note why, for a comprehension whose body changes something."""
        self.is_statement = not self.statement
        if self.is_statement:
            raise NotTraceable

    def set_attribute(self, owner: Any, name: str, value: Any) -> None:
        if self.has_made(owner):
            setattr(owner, name, value)
            return
        self.refuse_comprehension()
        if (id(owner), name) not in self.attributes:
            raise MoreAttributes(self, owner, name)
        self.attributes[id(owner), name] = owner, value

    def has_made(self, owner: Any) -> bool:
        """Whether the turn has made an object or a dict. Raises an error for one that nobody may change."""
        self.refuse_carried(owner)
        refuse_fixed(owner)
        made = self.record.made.get(id(owner))
        return made is not None and bool(made.born > self.lists_made)

    def refuse_carried(self, value: Any) -> None:
        """Raise Itself for a list or an object that stands for what a variable holds when a turn begins."""
        axis = getattr(as_made(value), "carried_by", None)
        for frame in self.record.loops.frames if axis is not None else ():
            if frame.axis is axis:
                raise Itself(frame, value)

    def set_entry(self, items: Any, key: Any, value: Any) -> None:
        """items[key] = value, of a dict."""
        if not self.has_made(items):
            self.refuse_comprehension()
            if key not in items:
                raise Split(self.axis, 1)  # the first turn finds other keys than all others
            if (id(items), Entry(key)) not in self.attributes:
                raise MoreAttributes(self, items, Entry(key))
            self.attributes[id(items), Entry(key)] = items, value
        items[key] = value

    def begin_with(self, owner: Any, name: Any, value: Any) -> None:
        """Let an attribute, or an entry of a dict, have a value at the beginning of a turn."""
        self.attributes[id(owner), name] = owner, value
        if type(name) is Entry:
            self.held.setdefault(id(owner), (owner, {**owner}))
            owner[name.key] = value

    # After the turn

    def check(self) -> None:
        """Raise NotTraceable if a turn reads what another one stores; MorePast if that is so many turns before."""
        stores = [store for i, store in enumerate(self.stores) if i not in self.past]
        inside: dict[int, set[int]] = {}  # lists, each with those in it
        for root, path, through in self.reads.values():
            for store in stores:
                if path[-1] is LENGTH or store.root is through:
                    continue
                if store.root is root:
                    meets = (path[-1] is None or len(path) >= store.level) and not self.own_turn(store.path, path)
                    turns = self.turns_between(store.path, path) if meets else None
                    if turns is not None and turns > 0 and turns.denominator == 1:
                        if any(type(one) is Range for one in store.path) and self.axis in axes_of(store.path[:1]):
                            raise MoreRows(self, root, store.path[:1])
                        raise MorePast(self, store, int(turns))
                    meets = meets and turns is None  # else it is stored later, or never
                else:  # an item of a list of lists is not yet what is in it
                    for one in (root, store.root):
                        inside[id(one)] = inside.get(id(one)) or all_in(one)
                    reads = path[-1] is None or len(path) > 1 or id(store.root) not in inside[id(root)]
                    meets = reads and not inside[id(root)].isdisjoint(inside[id(store.root)])
                if meets:
                    raise NotTraceable

    def own_turn(self, stored: tuple[Any, ...], read: tuple[Any, ...]) -> bool:
        """Whether a read never meets what another turn stores."""
        for a, b in zip(stored, read, strict=False):
            if b is None or b is ANY:
                continue
            if Range in (type(a), type(b)):
                if self.apart_in_turns(a, b):
                    return True
            else:
                apart = a - b
                if type(apart) is int and (self.axis in axes_of((a,))) == (not apart):
                    return True  # only in the turn that stores it, or in none
            (low, high), (least, most) = extent(a), extent(b)
            if high < least or most < low:
                return True
        return self.axis not in axes_of(stored) and prefix_of(stored, read) is True

    def apart_in_turns(self, a: Any, b: Any) -> bool:
        """Whether one index or range never meets another one in another turn."""
        apart, step = start_of(b) - start_of(a), dict(terms_of(start_of(a))).get(self.axis, 0)
        if step < 1 or self.axis in axes_of((apart,)):
            return False
        low, high = span(apart)
        if high + size_of(b) <= step and low >= size_of(a) - step:
            return True
        lengths: dict[int, int] = {}
        for each, n in [level for one in (a, b) if type(one) is Range for level in one.lengths().items()]:
            lengths[each] = max(n, lengths.get(each, 1))
        others = [each for each in lengths if type(apart) is int and not apart % each]
        if step in lengths or not (others or is_zero(apart)):
            return False
        if apart:
            lengths[max(others)] += abs(apart) // max(others)
        return are_apart(lengths | {step: self.axis.n})

    def turns_between(self, stored: tuple[Any, ...], read: tuple[Any, ...]) -> Fraction | None:
        """How many turns after it is stored something is read, if that is the same for all turns; else None."""
        for a, b in zip(stored, read, strict=False):
            if type(a) not in (int, Index) or type(b) not in (int, Index):
                return None
            apart = a - b
            if self.axis in axes_of((a,)):
                return Fraction(apart, dict(a.terms)[self.axis]) if type(apart) is int else None
            if not is_zero(apart):
                return None
        return None

    def leave(self) -> None:
        """Pass on what was read to the loop around this one, which sees any item along the axis."""
        frames = self.record.loops.frames
        if not frames:
            return
        for root, path, through in self.reads.values():
            path = tuple([(ranged(one, self.axis) or ANY) if goes_along(one, self.axis) else one for one in path])
            if frames[-1].covered(root, path):
                continue
            frames[-1].note(root, path, through)

    def covered(self, root: RecordedList, path: tuple[Any, ...]) -> bool:
        """Whether something stored covers all of a path."""
        return any(store.root is root and prefix_of(store.path, path) is True for store in self.stores)


def is_reference(root: RecordedList, path: tuple[Any, ...]) -> bool:
    """Whether what is read is a list in another, which is read for itself when its items are."""
    if len(path) != 1 or type(path[0]) is not int:
        return False
    item = root.item if root.plain is None else root.plain[path[0]]
    return type(item) is RecordedList or has_parts(item)


def finds(root: RecordedList, path: tuple[Any, ...]) -> bool:
    """Whether what is read of a list says nothing of what the lists in it hold."""
    return is_reference(root, path) or (len(path) == 1 and path[0] is LENGTH)


def key_of(one: Any) -> Any:
    """A part of a path as a key of a dict."""
    if type(one) is Range:
        return one.levels, key_of(one.start)
    return (one.constant, one.terms) if type(one) is Index else one


def goes_along(one: Any, axis: Axis) -> bool:
    """Whether an index, or the start of a range, depends on an axis."""
    return any([other is axis for other, _ in terms_of(start_of(one))])


def axes_of(path: tuple[Any, ...]) -> set[Axis]:
    starts = [start_of(one) for one in path if type(one) in (Index, Range)]
    return {axis for one in starts if type(one) is Index for axis, _ in one.terms}


def terms_of(index: Any) -> tuple[tuple[Axis, int], ...]:
    return index.terms if type(index) is Index else ()


def start_of(one: Any) -> Any:
    return one.start if type(one) is Range else one


def levels_of(one: Any) -> tuple[tuple[Axis, int], ...]:
    return one.levels if type(one) is Range else ()


def size_of(one: Any) -> int:
    return one.size() if type(one) is Range else 1


def extent(one: Any) -> tuple[int, int]:
    """The least and the greatest index."""
    low, high = span(start_of(one))
    return low, high + size_of(one) - 1


def span(one: Any) -> tuple[int, int]:
    return one.span() if type(one) is Index else (one, one)


def is_zero(index: Any) -> bool:
    return type(index) is int and index == 0


def common(a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
    """The indices with which two paths begin."""
    found = []
    for one, other in zip(a, b, strict=False):
        if any(part in (None, LENGTH, ANY) or type(part) is Range for part in (one, other) if type(part) is not Index):
            break
        if not is_zero(one - other):
            break
        found.append(one)
    return tuple(found)


def prefix_of(stored: tuple[Any, ...], path: tuple[Any, ...]) -> bool | None:
    """Whether a path leads to, or into, what is stored at another: None if surely not, False if it may or may not."""
    sure = len(stored) <= len(path)
    for a, b in zip(stored, path, strict=False):
        if b is None or b is ANY:
            sure = False
        elif b is LENGTH:
            return None
        elif Range in (type(a), type(b)):
            apart = start_of(b) - start_of(a)
            low, high = span(apart)
            steps = gcd(*[c for one in (a, b) for _, c in levels_of(one)], *[c for _, c in terms_of(apart)])
            if low >= size_of(a) or high + size_of(b) <= 0 or (apart.constant if terms_of(apart) else apart) % steps:
                return None
            sure = sure and type(a) is Range and (a.is_like(b) if type(b) is Range else a.places(apart) is not None)
        else:
            apart = a - b
            if not is_zero(apart):
                low, high = span(apart)
                if low > 0 or high < 0:
                    return None
                sure = False
    return sure


def value_at(store: Store, path: tuple[Any, ...]) -> Any:
    """What is stored at a path, as Found: None if nothing, False if it may or may not be something."""
    part = bool(path) and (path[-1] is None or path[-1] is LENGTH)
    inside = path[:-1] if part else path
    found = prefix_of(store.path, inside)
    if found is False and len(store.path) > len(inside) and not part:
        return None  # the length of a list above it
    if not found:
        return found
    value = store.value
    for a, b in zip(store.path, inside, strict=False):
        for axis, place in (a.places(b - a.start) or ()) if type(a) is Range else ():
            value = read_at(value, axis, place)
    for one in inside[len(store.path) :]:
        value = value[one]
    return Found(value)


def along_others(store: Store, path: tuple[Any, ...]) -> Any:
    """What is stored, along the axes of another path to the same places."""
    value = store.value
    for a, b in zip(store.path, path, strict=True):
        own, others = (sorted(levels_of(one), key=lambda level: level[1]) for one in (a, b))
        for (axis, _), (other, _) in zip(own, others, strict=True):
            value = read_at(value, axis, at(other))
    return value


def there(root: RecordedList, path: tuple[Any, ...]) -> Any:
    """What a list has at a path now: of a range, the item at each place along its axes."""
    found: Any = root
    frames = root.record.loops.frames[-1:]
    noted = [{**frame.reads} for frame in frames]
    for one in path:
        found = found[one.along() if type(one) is Range else one]
    for frame, reads in zip(frames, noted, strict=True) if any(type(one) is Range for one in path) else ():
        frame.reads = reads
        frame.note(root, path, None)
    return found


def related(a: RecordedList, b: RecordedList) -> bool:
    """Whether two lists have a list in common: one of them, or one within both."""
    return not all_in(a).isdisjoint(all_in(b))


def all_in(items: RecordedList) -> set[int]:
    """The identities of a list and of those within it."""
    return {id(items), *map(id, lists_within(items))}


def lists_within(items: Any) -> Iterator[Any]:
    if type(items) is RecordedList:
        inside = all_of(items.plain, items.elements)
    else:
        inside = list(items) if type(items) is list else parts_of(items)
    for frame in items.record.loops.frames if type(items) is RecordedList else ():
        if id(items) in frame.saved:
            _, (_, _, plain, elements, _) = frame.saved[id(items)]
            inside += all_of(plain, elements)  # these are in it, too
    for one in inside:
        if type(one) in (RecordedList, list) or has_parts(one):
            yield one
            yield from lists_within(one)


def stacked_scalars(items: Any) -> Any:
    """A symbolic list of scalars as one of its own; the items of any other list."""
    if type(items) is not RecordedList or items.plain is not None or type(items.item) is not RecordedScalar:
        return items.all_elements() if type(items) is RecordedList else [*items]
    if type(items.length()) is not int:
        raise NotTraceable
    return RecordedList(items.record, items.axis, items.item)


def all_of(plain: list[Any] | None, elements: dict[int, Any]) -> list[Any]:
    """The items of a list, and those that it had when it was symbolic."""
    if not plain or not elements:
        return [*(plain or ()), *elements.values()]
    known = set(map(id, plain))
    return [*plain, *[one for one in elements.values() if id(one) not in known]]


def holds_rows(items: RecordedList) -> bool:
    """Whether a list holds lists that are objects of their own."""
    return any(True for _ in lists_within(items))


def freeze(value: Any) -> None:
    """See to it that a list does not change any more within this turn: others read it."""
    if type(value) is RecordedList:
        value.frozen = True
        for one in lists_within(value):
            freeze(one)
    elif has_parts(value):
        for part in parts_of(value):
            freeze(part)


# Storing for real, or in the loop around


def put(record: Record, store: Store) -> None:
    """Store something: in a list that the innermost loop has made, or there is no loop, for real."""
    path, value = store.path, store.value
    while path and type(path[-1]) is Range and path[-1].whole:
        value, path = RecordedList(record, path[-1].levels[0][0], value), path[:-1]
    store = store._replace(path=path, value=value)
    frames = record.loops.frames
    if frames and not store.root.is_own():
        frames[-1].put(store)
    else:
        put_real(record, store)


def put_real(record: Record, store: Store) -> None:
    root, path, value, level = store
    if not path and level > 1 and holds_rows(root):  # which stay the same lists
        rows = zip([*root], [*value], strict=True)
        for row, new in rows:
            put(record, Store(row, (), new, level - 1))
        return
    if not path:
        if level > 1 and (root.held() or (root.picked and root.owner is not None)):  # they stay the same objects
            for i in range(len(root)):
                put_real(record, Store(root, (i,), value[i], level))
        else:
            root.become(value, level)
        return
    first, *rest = path
    if type(first) is Range:
        axis = first.levels[0][0]
        for i in range(axis.n):
            own = at_turn(value, axis, i, record)
            put_real(record, Store(root, (first.at(i), *rest), own, level))
    elif type(first) is not int:
        raise NotTraceable
    elif not rest and level == 1:
        root.as_plain()[first] = value
    else:
        inner = root.element(first) if root.plain is None else root.plain[first]
        if type(inner) is not RecordedList:
            raise NotTraceable
        put(record, Store(inner, tuple(rest), value, level - 1))


def at_turn(value: Any, axis: Axis, index: Any, record: Record) -> Any:
    """What a value of all turns is in one of them; lists are new."""
    kind = type(value)
    if kind is RecordedScalar:
        found = value.read_at(axis, index)
        return record.elements.setdefault((found.node, found.index), found) if not found.free else found
    if kind is RecordedInteger:
        return value.read_at(axis, index)
    if has_parts(value):
        return with_parts(value, [at_turn(one, axis, index, record) for one in parts_of(value)])
    if kind is RecordedList:
        if value.plain is not None:
            return RecordedList.written_out(record, [at_turn(one, axis, index, record) for one in value.plain])
        own, item = within_bound(value, axis, index)
        found = RecordedList(record, own, at_turn(item, axis, index, record))
        found.made_anew, found.chosen_from = value.made_anew, value.chosen_from
        return found
    return replaced(value, axis, index)
