"""How loops are read: a comprehension is one line about all elements of a list at once.

    [exp(x_i - shift) for x_i in x]

Who reads this does not go through it element by element, and neither does the recording: it runs the body once, on a
scalar that stands for every x_i and carries the index i as an axis. What is recorded does not grow with the list.

Here is what a rewritten function calls in the place of its comprehensions (`mapped`, `generated`), its subscripts, and
Python's `sum`, `zip`, `enumerate`, ...

Reading a loop as an axis must not change what it means. So the body may do with its index nothing but calculate and
index with it, with an element nothing but the operations, and it may change nothing outside of itself. Whatever else
it is about to do raises `NotAnAxis` before it is done: then what was recorded of it is dropped, and the loop is run as
a loop. docs/axes.md has it in a table.
"""

from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import numpy as np

from microgpt.compiler import current
from microgpt.compiler.current import give_up
from microgpt.compiler.lists import Lazy, RecordedList, holds_index
from microgpt.compiler.record import SUM, Axis, Index, NotAnAxis, Record, RecordedInteger, RecordedScalar, at
from microgpt.compiler.rolling import as_list, known_list

KNOWN_KINDS: tuple[Any, ...] = (
    list, tuple, dict, str, range, set, frozenset, RecordedList, Lazy, zip, enumerate, reversed, map, filter,
    type({}.keys()), type({}.values()), type({}.items()), int, float, bool, type(None), RecordedScalar,
    RecordedInteger, Index, np.ndarray,
)  # fmt: skip


def mapped(function: Callable[[Any], Any], items: Iterable[Any], site: Any) -> Any:
    """[function(item) for item in items], on one item that stands for all if that can be."""
    record = current.RECORD
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
    if current.RECORD is None:
        return (function(item) for item in items)
    source = iter(items) if type(items) is not RecordedList and not isinstance(items, (list, tuple, range)) else items

    def everything() -> Any:
        try:
            return mapped(function, source, site)
        except StopIteration as error:  # as in a generator
            raise RuntimeError("generator raised StopIteration") from error

    return Lazy(lambda: (function(item) for item in iterated(source)), everything, True)


def iterated(items: Any) -> Any:
    """What a loop goes through. An iterator from elsewhere is used up by that, which an axis must not do."""
    if current.RECORD is not None and current.RECORD.depth and type(items) not in KNOWN_KINDS:
        give_up()
    return items


def attribute(owner: Any, name: str) -> Any:
    """owner.name, which may run code if the class of the owner says so."""
    if (
        current.RECORD is not None
        and current.RECORD.depth
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


def changes() -> None:
    """Something outside of the function is about to change."""
    if current.RECORD is not None and current.RECORD.depth:
        give_up()


def changes_in_place(target: Any) -> None:
    """`target` is about to be changed by an augmented assignment, if it is of a kind that can be."""
    if (
        current.RECORD is not None
        and current.RECORD.depth
        and not isinstance(target, (int, float, str, tuple, RecordedScalar))
    ):
        give_up()


def same(a: Any, b: Any) -> bool:
    """a is b"""
    if current.RECORD is not None and current.RECORD.depth and a is not b and type(a) is type(b) is RecordedScalar:
        give_up()
    return a is b


def subscript(items: Any, key: Any) -> Any:
    """items[key]"""
    if current.RECORD is not None and current.RECORD.depth:
        if type(items) in (list, tuple) and holds_index(key):
            return known_list(items, current.RECORD)[key]
        if type(items) not in KNOWN_KINDS:
            give_up()
    return items[key]


def total(items: Any, start: Any = 0) -> Any:
    """sum(items, start)"""
    assert current.RECORD is not None
    if type(items) is Lazy:
        items = items.all()
    source = as_list(items, current.RECORD)
    if source is None or type(source.item) is not RecordedScalar:
        return sum(iterated(items) if type(items) is not RecordedList else iter(items), start)
    found = current.RECORD.over(SUM, source.item, source.axis)
    return found if type(start) in (int, float) and start == 0 else found + start


def zipped(*lists: Any, strict: bool = False) -> Any:
    """zip(*lists)"""
    assert current.RECORD is not None
    record = current.RECORD
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


def enumerated(items: Any, start: Any = 0) -> Any:
    """enumerate(items, start)"""
    assert current.RECORD is not None
    source = as_list(items, current.RECORD) if type(items) in (RecordedList, list, tuple, range) else None
    if source is None or type(start) not in (int, Index):
        return enumerate(items, start)
    numbered = RecordedList(current.RECORD, source.axis, (at(source.axis) + start, source.item))
    return Lazy(lambda: enumerate(items, start), lambda: numbered)


def backwards(items: Any) -> Any:
    """reversed(items)"""
    if type(items) is RecordedList and items.changed is None and len(items):
        return Lazy(lambda: iter([items[i] for i in reversed(range(len(items)))]), lambda: items[::-1])
    return reversed(items)


def listed(items: Any = ()) -> Any:
    """list(items)"""
    assert current.RECORD is not None
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
