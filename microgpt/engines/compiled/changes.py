"""What a branch of a choice changes, so that the record can select it.

Both branches run, one after the other, and each of them finds everything as it was before. Where no loop is being
traced, a branch changes lists and dicts for real, and they become again what they were. In a loop, what it stores is
noted, and read there again, as in the body of a loop (see frames.py). In the end each place gets what is selected.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from microgpt.engines.compiled.frames import Frame, Store, is_zero, put, there
from microgpt.engines.compiled.lists import RecordedList
from microgpt.engines.compiled.record import (
    ADD,
    Axis,
    Index,
    Lost,
    NotTraceable,
    Record,
    RecordedScalar,
    RecordingError,
    at,
    calling_line,
)
from microgpt.engines.compiled.replacements import set_attribute, stored
from microgpt.engines.compiled.stacking import stacked

UNBOUND = object()  # in the place of what has no value
Select = Callable[[Any, Any, Any, Any], Any]  # of a test, what was before, and what the two branches make of it


class Content(NamedTuple):
    """What a list holds, or held."""

    axis: Any
    item: Any
    plain: list[Any] | None
    elements: dict[int, Any]
    changed: bool
    lost: Any = None  # an OtherLengths, if nobody may read it


class Branch(Frame):
    """A branch that is being recorded: its changes of what was there before are noted.

    Args:
        early: whether it is the rest of a function that may have returned.
    """

    def __init__(self, record: Record, early: bool = False):
        super().__init__(record, Axis(1), True)
        self.early = early
        self.alone = all(type(frame) is Branch for frame in record.loops.frames)  # no loop is being traced
        self.failed: Exception | None = None
        self.grown: dict[int, tuple[RecordedList, list[Any]]] = {}  # in a loop: what was appended to a list
        self.dicts: dict[int, tuple[dict[Any, Any], dict[Any, Any]]] = {}  # and what they were before
        self.lists: dict[int, tuple[RecordedList, Content, Content]] = {}  # what they were before and after
        self.entries: dict[int, tuple[dict[Any, Any], dict[Any, Any]]] = {}  # dicts, and what they were after

    # Lists and dicts that change for real

    def may_change(self, items: Any) -> bool:
        if not self.alone:
            return False
        if id(items) not in self.saved:
            self.save(items)
            items.plain = None if items.plain is None else [*items.plain]
        return True

    def set_entry(self, items: Any, key: Any, value: Any) -> None:
        if not self.has_made(items):
            self.dicts.setdefault(id(items), (items, {**items}))
        items[key] = value

    def finish(self) -> None:
        """Let everything be again as it was before; what it is now is kept."""
        if self.alone:
            for root, before in self.saved.values():
                after = Content(root.axis, root.item, root.plain, root.elements, root.changed, root.chosen_from)
                self.lists[id(root)], root.chosen_from = (root, Content(*before), after), None
        self.restore()
        for items, before in self.dicts.values():
            self.entries[id(items)] = items, {**items}
            items.clear()
            items.update(before)
        self.leave()

    def discard(self) -> None:
        """Forget all changes: the branch has failed."""
        for changes in (self.lists, self.entries, self.stores, self.grown, self.attributes):
            changes.clear()

    def makes_longer(self, items: RecordedList) -> bool:
        return False

    def has_changes(self) -> bool:
        return bool(self.saved or self.dicts or self.stores or self.grown or self.attributes)

    # In a loop

    def append(self, items: RecordedList, value: Any, in_front: bool = False) -> None:
        items.refuse_if_chosen()
        self.refuse_carried(items)
        if in_front or self.alone or items.view or items.frozen:
            raise NotTraceable
        self.note_change()
        self.grown.setdefault(id(items), (items, []))[1].append(value)

    def appended_item(self, root: RecordedList, path: tuple[Any, ...]) -> None:
        if id(root) in self.grown:
            raise NotTraceable

    def changed(self) -> list[RecordedList]:
        return [*super().changed(), *[root for root, _ in self.grown.values()]]

    def put(self, store: Store) -> None:
        if self.alone:
            raise NotTraceable
        super().put(store)

    def unsure(self, *_: Any) -> NotTraceable:
        return NotTraceable()

    def meet_in_other_turns(self, *_: Any) -> bool:
        return False

    def refuse_state(self, store: Store) -> None:
        pass

    def refused(self, site: Any) -> BaseException:
        return Lost({site})

    def set_attribute(self, owner: Any, name: str, value: Any) -> None:
        if self.has_made(owner):
            setattr(owner, name, value)
        else:
            self.attributes[id(owner), name] = owner, value


def merge(test: Any, one: Branch, other: Branch, select: Select) -> None:
    """Change everything as the first branch did where a test holds, and as the second did where it does not."""
    for branch in (one, other):
        if branch.failed is not None:
            branch.discard()
    for root, before, _ in union(one.lists, other.lists):
        a, b = [branch.lists[id(root)][2] if id(root) in branch.lists else before for branch in (one, other)]
        merge_list(test, root, before, a, b, select)
    for items, _ in union(one.entries, other.entries):
        a, b = [branch.entries.get(id(items), (items, items))[1] for branch in (one, other)]
        merge_dict(test, items, a, b, select)
    merge_stores(test, one, other, select)
    for items, _ in union(one.grown, other.grown):
        both = [branch.grown.get(id(items), (items, []))[1] for branch in (one, other)]
        if len(both[0]) != len(both[1]):
            raise NotTraceable
        for a, b in zip(*both, strict=True):
            items.append(select(test, UNBOUND, a, b))
    for owner, name in {key: (found[0], key[1]) for b in (one, other) for key, found in b.attributes.items()}.values():
        before = present(owner, name)
        a, b = [branch.attributes.get((id(owner), name), (owner, before))[1] for branch in (one, other)]
        if a is UNBOUND or b is UNBOUND:
            raise RecordingError(
                f"one branch of a choice by a recorded scalar at {calling_line()} sets .{name}, which is not there "
                "yet; set it before"
            )
        set_attribute(select(test, before, a, b), owner, name)


def union(one: dict[Any, Any], other: dict[Any, Any]) -> list[Any]:
    """The entries of two dicts; of those with one key that of the first."""
    return [*(one | {key: entry for key, entry in other.items() if key not in one}).values()]


class OtherLengths:
    """In the place of what a list was chosen from: the branches of a choice have left it with different lengths."""

    items = held = ()

    def __init__(self) -> None:
        self.line = calling_line()

    def check(self) -> None:
        """Raise RecordingError, because the list is read."""
        raise RecordingError(
            f"the branches of a choice by a recorded scalar at {self.line} leave a list with different lengths, and "
            f"{calling_line()} uses it: append in both branches, for example a 0"
        )


def present(owner: Any, name: str) -> Any:
    """An attribute as it is now, or UNBOUND."""
    assert Record.current is not None
    for frame in reversed(Record.current.loops.frames):
        if (id(owner), name) in frame.attributes:
            return frame.attributes[id(owner), name][1]
    return getattr(owner, name, UNBOUND)


# Lists and dicts that changed for real


def merge_list(test: Any, root: RecordedList, before: Content, a: Content, b: Content, select: Select) -> None:
    """Let a list hold what is selected of the two versions that it had."""
    if a.lost or b.lost:
        root.as_plain()
        root.chosen_from = a.lost or b.lost
        return
    together = None
    if not any(holds_objects(content) for content in (before, a, b)):
        lists = [RecordedList(root.record, content.axis, content.item) for content in (before, a, b)]
        together = selected_together(test, lists[0], lists[1], lists[2], select)
    if together is not None:
        if root.is_own():
            root.become(together, 2)
            return
        raise NotTraceable
    with root.record.loops.unnoted():
        old, *new = [items_of(root, content) for content in (before, a, b)]
    if len(new[0]) != len(new[1]):
        root.as_plain()
        root.chosen_from = OtherLengths()
        return
    old += [UNBOUND] * (len(new[0]) - len(old))
    found = [x if y is x and z is x else select(test, x, y, z) for x, y, z in zip(old, *new, strict=False)]
    root.as_plain()[:] = found


def holds_objects(content: Content) -> bool:
    """Whether a list has been read as objects, or is not symbolic."""
    return content.plain is not None or any(type(one) is not RecordedScalar for one in content.elements.values())


def items_of(root: RecordedList, content: Content) -> list[Any]:
    """The items of a list as it was, each as the same object."""
    if content.plain is not None:
        return [*content.plain]
    now = root.axis, root.item, root.plain, root.elements
    root.axis, root.item, root.plain, root.elements = content.axis, content.item, None, content.elements
    found = [root.element(i) for i in range(len(root))]
    root.axis, root.item, root.plain, root.elements = now
    return found


def merge_dict(test: Any, items: dict[Any, Any], a: dict[Any, Any], b: dict[Any, Any], select: Select) -> None:
    """Let a dict hold what is selected of the two versions that it had."""
    if a.keys() != b.keys():
        raise RecordingError(
            f"the branches of a choice by a recorded scalar at {calling_line()} leave a dict with different keys: set "
            "each of them before"
        )
    for key in a:
        before = items.get(key, UNBOUND)
        if a[key] is not before or b[key] is not before:
            stored(select(test, before, a[key], b[key]), items, key)


# What was noted in a loop


def merge_stores(test: Any, one: Branch, other: Branch, select: Select) -> None:
    left = [*other.stores]
    for store in one.stores:
        pair = next((each for each in left if is_same_place(store, each)), None)
        if pair is not None:
            left = [each for each in left if each is not pair]
        put_selected(test, store, True, pair, select)
    for store in left:
        put_selected(test, store, False, None, select)


def is_same_place(a: Store, b: Store) -> bool:
    """Whether two branches surely store at one place."""
    if a.root is not b.root or a.level != b.level or len(a.path) != len(b.path):
        return False
    pairs = list(zip(a.path, b.path, strict=True))
    return all(type(one) in (int, Index) for pair in pairs for one in pair) and all(is_zero(x - y) for x, y in pairs)


def put_selected(test: Any, store: Store, holds: bool, pair: Store | None, select: Select) -> None:
    """Store what one branch stores, or both of them at the same place."""
    adds = all(type(x) is RecordedScalar and x.record.kind[x.node] == ADD for x in (store.value, pair and pair.value))
    is_list = type(store.value) is RecordedList
    before = there(store.root, store.path) if pair is None or adds or is_list else UNBOUND
    a, b = store.value, before if pair is None else pair.value
    first, second = (a, b) if holds else (b, a)
    if is_list:
        if store.level <= len(store.path):  # another object
            raise NotTraceable
        found = selected_together(test, before, first, second, select)
        if found is None:
            raise NotTraceable
    else:
        found = select(test, before, first, second)
    put(test.record, store._replace(value=found))


def selected_together(test: Any, before: Any, a: Any, b: Any, select: Select) -> Any:
    """What is selected of lists of equal lengths, as one symbolic list; None if they are no such lists."""
    if type(a) is type(b) is RecordedList:
        lists = [None if type(one) is not RecordedList else stacked(one, one.record) for one in (before, a, b)]
        rows = [one for one in lists if one is not None and one.axis.bound is None]
        if len(rows) < 3 or len({one.axis.n for one in rows}) > 1:
            return None
        axis = Axis(rows[0].axis.n)
        old, first, second = [one.at(at(axis)) for one in rows]
        item = selected_together(test, old, first, second, select)
        return None if item is None else RecordedList(test.record, axis, item)
    if all(type(one) in (RecordedScalar, float, int) for one in (before, a, b)):
        return select(test, before, a, b)
    return None
