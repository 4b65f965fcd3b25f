"""Replacements of comprehensions, subscripts and builtins such as `sum` and `zip`, in a recorded function.

    [exp(x_i - shift) for x_i in x]

is one line about all elements of a list, and it is recorded as one. The body runs once, on a scalar that stands for
every x_i and carries the index i as an axis. So the record does not grow with the list.

Reading a loop as an axis must not change what it means. So the body may only calculate and index with its index, may
only use the operations on an element, and may change nothing outside of itself. Before it does anything else, it raises
`NotTraceable`: what was recorded of it is dropped, and the loop runs in Python. docs/axes.md has a table.
"""

import itertools
import operator
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from math import prod
from types import FunctionType, MemberDescriptorType, ModuleType
from typing import Any

import numpy as np

from microgpt.engines.compiled import kinds
from microgpt.engines.compiled.frames import Unknown
from microgpt.engines.compiled.kinds import KindOfScalar, is_truth
from microgpt.engines.compiled.lists import Lazy, RecordedList, holds_index, holds_lists, items_down_from
from microgpt.engines.compiled.loops import by_statement, source_of, trace, whole_of
from microgpt.engines.compiled.objects import note_made, refuse_fixed
from microgpt.engines.compiled.record import (
    CARRY,
    CONSTANT,
    EVERYWHERE,
    LARGEST,
    LIST,
    PICK,
    SUM,
    WHERE,
    Axis,
    Index,
    IndexTest,
    Lost,
    NotTraceable,
    Record,
    RecordedInteger,
    RecordedScalar,
    RecordedText,
    RecordingError,
    at,
    calling_line,
    tracing_depth,
)
from microgpt.engines.compiled.stacking import must_stack, stacked
from microgpt.value import Value

KNOWN_KINDS: frozenset[Any] = frozenset((
    list, tuple, dict, str, range, set, frozenset, RecordedList, Lazy, type({}.keys()), type({}.values()),
    type({}.items()), int, float, bool, type(None), RecordedScalar, RecordedInteger, Index, IndexTest, np.ndarray,
    defaultdict, OrderedDict,
    Unknown,  # which raises an error of its own
))  # fmt: skip
DICTS = (dict, defaultdict, OrderedDict)
PROTOCOL = {"exp", "log", "pick", "largest"}  # by which functions of the book ask
NOT_IN_PYTHON: dict[Any, set[str]] = {  # attributes that the compiler alone knows
    kind: {*dir(kind)} - {*dir(seen)} - PROTOCOL
    for kind, seen in ((RecordedScalar, Value), (RecordedInteger, int), (RecordedList, list))
}
Of = Callable[[Any], Any]  # a function of an item
MOST_TURNS = 1000  # of a loop that a recorded scalar ends
SYMBOLIC = (RecordedScalar, RecordedInteger, Index, list, tuple, int)  # one of these may stand for many objects


def every(_: Any) -> bool:
    return True


def mapped(function: Of, items: Iterable[Any], site: Any, keeps: Of = every) -> Any:
    """[function(item) for item in items if keeps(item)], by one call for all items where that is possible."""
    record = Record.current
    if record is None:
        return [function(item) for item in items if keeps(item)]
    given = opened(items)
    if keeps is not every:
        found = by_statement(function, given, record, site, keeps) if record.loops.frames else None
        return made([function(item) for item in iterated(given) if keeps(item)]) if found is None else found
    items = whole_of(given, record)
    source = None if record.loops.runs_in_python(site) else source_of(items, record)
    if source is not None:
        known = set(record.loops.untraceable)
        found = trace(function, source, given, record, site)
        if found is not None:
            if type(given) is Lazy:
                given.use_up()
            return found
        record.loops.untraceable = {*known, site}  # loops within it may be read now
    return made([function(item) for item in iterated(given)])


def generated_list(items: Any) -> Any:
    """The items of a generator expression as a symbolic list, if they can be one; anything else as it is."""
    if type(items) is Lazy and items.runs_code:
        found = items.look()
        if found is not None:
            items.use_up()
            return found
    return items


def generated(function: Of, items: Iterable[Any], site: Any, keeps: Of = every) -> Any:
    """(function(item) for item in items if keeps(item))"""
    if Record.current is None:
        return (function(item) for item in items if keeps(item))
    items = opened(items)
    source = items if type(items) in KNOWN_KINDS else iter(iterated(items))

    def everything() -> Any:
        try:
            return mapped(function, source, site, keeps)
        except StopIteration as error:  # as in a generator
            raise RuntimeError("generator raised StopIteration") from error

    each = lambda: (function(item) for item in iterated(source) if keeps(item))  # noqa: E731
    return Lazy(each, everything, True, (source,))


def iterated(items: Any) -> Any:
    """The iterable of a loop. Raises NotTraceable for an iterator from elsewhere, which the loop would use up."""
    items = opened(items)
    if type(items) not in KNOWN_KINDS and tracing_depth():
        raise NotTraceable
    return items


def ended(done: Any, items: Any) -> bool:
    """Whether a loop over some items ends now: not where a recorded scalar says so, which goes on without effect."""
    if type(done) is bool:
        return done
    whole = (RecordedList, list, tuple, range)
    made_of = items.made_of if type(items) is Lazy and not items.runs_code else ()
    if type(items) not in whole and not (made_of and all(type(one) in whole for one in made_of)):
        raise RecordingError(
            f"a recorded scalar ends the loop at {calling_line()}, and others may take what is left of its iterator: "
            "let the loop go through a list or a range"
        )
    if any(len(one) > MOST_TURNS for one in (made_of or [items])):
        raise RecordingError(
            f"a recorded scalar ends the loop at {calling_line()}, so all of its turns are recorded: let there be at "
            f"most {MOST_TURNS} of them"
        )
    return False


def attribute(owner: Any, name: str) -> Any:
    """owner.name. Raises NotTraceable where that runs code of the class."""
    if name == "__class__":
        return kind_of(owner)
    if name == "data" and type(owner) is RecordedScalar:
        return kinds.data_of(owner)
    if type(owner) in NOT_IN_PYTHON and name in NOT_IN_PYTHON[type(owner)]:
        if type(owner) is RecordedList:
            raise AttributeError(f"'list' object has no attribute {name!r}")
        return owner.__getattr__(name)  # which raises the error that fits
    if tracing_depth():
        if runs_code(owner, name) or name == "__dict__":
            raise NotTraceable
        assert Record.current is not None
        for frame in reversed(Record.current.loops.frames):
            if (id(owner), name) in frame.attributes:
                return frame.attributes[id(owner), name][1]
    return getattr(owner, name)


def set_attribute(value: Any, owner: Any, name: str) -> None:
    """owner.name = value. Raises NotTraceable within an axis where that is no statement of a loop, or runs code."""
    if type(owner) is RecordedScalar:
        raise RecordingError(
            f".{name} of a recorded scalar is set at {calling_line()}: a number does not change; calculate another one"
        )
    if not tracing_depth():
        refuse_fixed(owner)
        set_now = setattr if Record.current is None else Record.current.effects.set
        set_now(owner, name, value)
        return
    assert Record.current is not None
    kind = type(owner)
    found = [vars(one)[name] for one in kind.__mro__ if name in vars(one)]
    descriptors = [one for one in found if hasattr(type(one), "__set__") and type(one) is not MemberDescriptorType]
    if isinstance(owner, (type, ModuleType)) or kind.__setattr__ is not object.__setattr__ or descriptors:
        raise NotTraceable
    Record.current.loops.frames[-1].set_attribute(owner, name, value)


def runs_code(owner: Any, name: str) -> bool:
    """Whether Python code computes this attribute: a descriptor, such as a property, or `__getattr__`."""
    kind = type(owner)
    if kind in KNOWN_KINDS:
        return False
    if kind is ModuleType:
        return name not in vars(owner) and "__getattr__" in vars(owner)
    classes = kind.__mro__ + (owner.__mro__ if isinstance(owner, type) else ())
    found = [vars(one)[name] for one in classes if name in vars(one)]
    return (
        any(isinstance(one, property) or isinstance(getattr(type(one), "__get__", None), FunctionType) for one in found)
        or isinstance(kind.__getattribute__, FunctionType)
        or (not found and name not in getattr(owner, "__dict__", ()) and hasattr(kind, "__getattr__"))
    )


def is_seen(kind: Any) -> bool:
    """Whether the compiler sees what operators on objects of this kind do: it reads those of a user's class."""
    return kind in KNOWN_KINDS or Record.current is None or Record.current.operators.are_read(kind)


def opened(items: Any) -> Any:
    """What a loop goes through: for an object of a user's class what its `__iter__` gives, if that is not used up."""
    kind = type(items)
    if kind in KNOWN_KINDS or not is_seen(kind) or not isinstance(getattr(kind, "__iter__", None), FunctionType):
        return items
    return iter(items)


def operand(item: Any) -> Any:
    """The operand of an operator or a builtin. Raises NotTraceable where that would run code of its class unseen."""
    kind: Any = type(item)
    if kind is Value and Record.current is not None:
        return Record.current.scalar(item.data)
    if not is_seen(kind) and tracing_depth():
        raise NotTraceable
    return item


def unpacked(item: Any, pattern: Any) -> list[Any]:
    """The values of several loop variables: the entries of an item in the nesting of the variables."""
    entries = list(iter(item))
    if len(entries) != len(pattern):
        what = "not enough values" if len(entries) < len(pattern) else "too many values"
        raise ValueError(f"{what} to unpack (expected {len(pattern)})")
    return [
        value
        for entry, inner in zip(entries, pattern, strict=True)
        for value in (unpacked(entry, inner) if inner else [entry])
    ]


def changing(owner: Any) -> None:
    """Note that an object is changed now. Raises NotTraceable within an axis."""
    changes()
    refuse_fixed(owner)
    if Record.current is not None:
        Record.current.effects.change(owner)


def changes() -> None:
    """Raise NotTraceable within an axis: the function changes something outside of itself."""
    if tracing_depth():
        raise NotTraceable


def added_to(target: Any, more: Any) -> Any:
    """`more`, which an augmented assignment adds to `target`. Raises NotTraceable if that changes an object."""
    if type(target) in DICTS:
        updated(target, more)  # which `|=` will do once more
        return more
    known = (int, float, str, tuple, RecordedScalar, RecordedInteger, Index, RecordedList)
    if type(target) not in known and (type(target) in KNOWN_KINDS or not is_seen(type(target))):
        changing(target)
    return more


def made(items: list[Any]) -> Any:
    """A list that the function writes out, as one that knows when it was made."""
    record = Record.current
    return items if record is None else RecordedList.written_out(record, items)


def changeable(items: Any) -> Any:
    """A list of which an item is set. Raises NotTraceable within an axis for anything that does not know of axes."""
    if type(items) is not RecordedList:
        changing(items)
    return items


def stored(value: Any, items: Any, key: Any) -> None:
    """items[key] = value"""
    frames = Record.current.loops.frames if Record.current is not None else []
    if frames and type(items) in DICTS:
        frames[-1].set_entry(items, key, value)
    else:
        changeable(items)[key] = value


def new_dict(items: Any) -> Any:
    """A dict that the function makes, which a loop may change if it has made it itself; anything else as it is."""
    if type(items) in DICTS and Record.current is not None and Record.current.loops.frames:
        note_made(items)
    return items


def updated(items: Any, /, *more: Any, **named: Any) -> None:
    """dict.update(items, *more, **named)"""
    for key, value in dict(*map(operand, more), **named).items():
        stored(value, items, key)


def by_default(items: Any, key: Any, value: Any = None, /) -> Any:
    """dict.setdefault(items, key, value)"""
    if key not in items:
        stored(value, items, key)
    return items[key]


def measured(items: Any) -> Any:
    """len(items), which may depend on an axis."""
    return items.length() if type(items) is RecordedList else len(operand(items))


def ranged(*bounds: Any) -> Any:
    """range(*bounds), of which the end may depend on an axis."""
    if all(type(bound) is not Index for bound in bounds):
        return range(*bounds)
    start, stop, step = (0, *bounds, 1) if len(bounds) == 1 else (*bounds, 1)[:3]
    length = stop - start
    if step != 1 or type(length) is not Index:
        if step != 1 or type(length) is not int or length < 1:
            raise NotTraceable
        axis = Axis(length)
    else:
        ((other, slope), *more) = length.terms
        low, high = length.span()
        if more or low < 0 or high < 2 or other.bound is not None:
            raise NotTraceable
        axis = Axis(high, bound=(other, length.constant, slope))
    record = Record.current
    assert record is not None
    return RecordedList(record, axis, at(axis) + start)


def counted(first: Any, bound: Any, step: int, test: str) -> Any:
    """The values of a counter, as long as it is so to a bound; None if they are no range.

    Args:
        test: "<", "<=", ">", ">=" or "!=".
    """
    if Record.current is None or type(first) not in (int, Index) or type(bound) not in (int, Index):
        return None
    if test == "!=" and (type(distance := bound - first) is not int or distance % step or distance * step < 0):
        return None
    if test != "!=" and (test[0] == "<") != (step > 0):
        return None
    return ranged(first, bound + (step > 0) - (step < 0) if test.endswith("=") and test != "!=" else bound, step)


def same_bound(before: Any, now: Any) -> None:
    """Raise NotTraceable if the bound of a loop is another one after a turn."""
    if not (type(before) is type(now) is int and before == now):
        raise NotTraceable


def longer(first: Any, second: Any, in_front: bool) -> Any:
    """first + second, which from now on has the name of the first, or of the second, in front of which the first is."""
    record = Record.current
    if record is not None and record.loops.frames:
        items, more = (second, first) if in_front else (first, second)
        if type(items) is RecordedList and isinstance(more, list) and record.loops.frames[-1].makes_longer(items):
            return added_to_list(items, more, in_front)
    return operand(first) + operand(second)


def longer_list(first: Any, second: Any, in_front: bool) -> Any:
    """[*first, *second], which has such a name."""
    first, second = spread(first), spread(second)
    items = second if in_front else first
    return longer(first, second, in_front) if type(items) is RecordedList else made([*first, *second])


def added_to_list(items: RecordedList, more: Any, in_front: bool) -> RecordedList:
    if in_front:
        for one in reversed([*more]):
            items.insert(0, one)
    else:
        items.extend(more)
    return items


def added_in_place(target: Any, more: Any) -> Any:
    """operator.iadd(target, more)"""
    target += added_to(target, more)
    return target


def same(a: Any, b: Any) -> bool:
    """a is b"""
    a, b = held(a), held(b)
    scalars = type(a) is type(b) is RecordedScalar
    if Record.current is None:
        return a is b
    if a is b and type(a) is float and not Record.current.loops.all_in_python():
        raise Lost({EVERYWHERE})  # each turn might have made another one
    if a is b and not scalars:
        return True
    if type(a) is Unknown or type(b) is Unknown or KindOfScalar in (type(a), type(b)):
        return bool(a == b)
    symbolic = isinstance(a, SYMBOLIC) and isinstance(b, SYMBOLIC)
    if RecordedInteger in (type(a), type(b)) and bool in (type(a), type(b)):
        return False
    for one, other in ((a, b), (b, a)):
        if type(one) is type(other):
            refuse_fixed(one)
    may_be = symbolic or {type(a), type(b)} == {RecordedScalar, float}
    if a is b and is_one_object(a):
        return True
    if may_be and any(not frame.alone for frame in Record.current.loops.frames):  # one object may stand for many
        raise NotTraceable
    differs = a is not b and (depends_on_example(a) or depends_on_example(b))
    compares = is_truth(a) or is_truth(b)
    if (symbolic or (may_be and not compares)) and differs and not is_same_integer(a, b):
        what = "a comparison" if compares else "an integer of the example, or what an integer or a scalar of it chose"
        instead = "a if x > 0 else b" if compares else "such as pick([1.0, 0.0], i)"
        raise RecordingError(
            f"{calling_line()} asks by `is` about {what}: which one that is differs from example to example; choose a "
            f"number by the same, {instead}"
        )
    origins = [origin(one) for one in (a, b) if type(one) is RecordedScalar] if scalars or not symbolic else []
    places = [(one.node, one.index) for one in origins]
    unsure = any(one.record.kind[one.node] in (CARRY, CONSTANT) for one in origins)  # it may be an object from before
    unsure = unsure or (scalars and places[0] == places[1] and not is_one_object(origins[0]))
    if may_be and unsure and not Record.current.loops.all_in_python():
        raise Lost({EVERYWHERE})
    if scalars:
        return a is b or (places[0] == places[1] and bool(places[0][1]))
    return is_same_integer(a, b)


def is_one_object(scalar: RecordedScalar) -> bool:
    """Whether a scalar at an index is one object: each loop that made it in each of its turns is an axis of it."""
    record = scalar.record
    points = prod(axis.turns() for axis in record.axes.get(scalar.node, ()))
    return record.kind[scalar.node] not in (LIST, CARRY) and record.repeats.get(scalar.node, 1) <= points


def is_same_integer(a: Any, b: Any) -> bool:
    """Whether two objects stand for one integer of the example."""
    return type(a) is type(b) is RecordedInteger and type(a.place) is type(b.place) is int and a.place == b.place


def is_not(a: Any, b: Any) -> bool:
    """operator.is_not(a, b)"""
    return not same(a, b)


def identity(thing: Any) -> int:
    """id(thing)"""
    if tracing_depth():
        raise NotTraceable
    if depends_on_example(thing):
        same(thing, 0)
    thing = held(thing)
    if type(thing) in (RecordedScalar, float):
        same(thing, thing)
    refuse_fixed(thing)
    return id(thing)


def held(thing: Any) -> Any:
    """The object that a plain list held, if this was read from it after it became symbolic."""
    while type(thing) is RecordedScalar and not thing.free and thing.node in thing.record.gathered:
        found = thing.record.gathered[thing.node][thing.index[0]]
        if type(found) is RecordedScalar and found.free:
            break
        thing = found
    return thing


def origin(scalar: RecordedScalar) -> RecordedScalar:
    """A scalar as it was before loops have gathered it in lists."""
    record = scalar.record
    while record.kind[scalar.node] == LIST:
        place, *others = scalar.index
        items = iter(record.lists[record.right[scalar.node]])
        row, own, length = next(items)
        while place >= length:
            place -= length
            row, own, length = next(items)
        places = dict(zip(record.axes[scalar.node][1:], others, strict=True)) | ({} if own is None else {own: place})
        scalar = record.view(row, tuple([places[axis] for axis in record.axes.get(row, ())]))
    return scalar


def depends_on_example(thing: Any) -> bool:
    """Whether it differs from example to example which object this is: an integer of it, or what one of them chose."""
    if type(thing) is RecordedScalar:
        return thing.record.kind[thing.node] in (PICK, WHERE, LARGEST) or is_truth(thing)
    return type(thing) is RecordedInteger or (type(thing) is RecordedList and thing.chosen_from is not None)


def kind_of(thing: Any, *more: Any) -> Any:
    """type(thing), where symbolic lists and integers answer as plain ones do."""
    if more:
        return type(thing, *more)
    if type(thing) is RecordedScalar:
        return kinds.kind_of(thing)
    return {RecordedList: list, Index: int, RecordedInteger: int, RecordedText: str}.get(type(thing), type(thing))


def is_kind(thing: Any, kind: Any) -> bool:
    """isinstance(thing, kind), where symbolic lists and integers answer as plain ones do."""
    return kinds.is_kind(thing, kind) if type(thing) is RecordedScalar else isinstance(thing, kind)


def truth_as(kind: Any) -> Any:
    """bool, int or float, which give a number for a comparison, too."""

    def converted(*arguments: Any, **options: Any) -> Any:
        if len(arguments) == 1 and is_truth(arguments[0]):
            return arguments[0] if kind is bool else arguments[0] * 1.0
        return kind(*map(operand, arguments if kind is bool else map(member, arguments)), **options)

    return converted


def member(item: Any) -> Any:
    """An item that `in` looks for, of which the content matters."""
    if type(item) is RecordedText:
        hash(item)  # which is refused
    return item


def matched(subject: Any) -> Any:
    """What `match` looks at, in which patterns ask for kinds of numbers. Raises RecordingError for a recorded one."""
    for one in subject if isinstance(subject, (list, tuple)) else (subject,):
        if type(one) is RecordedScalar:
            raise RecordingError(
                f"`match` asks what kind of number a recorded scalar is at {calling_line()}: it has no value yet; "
                "compare it, by a if x > 0 else b, or ask by isinstance whether it is a list"
            )
    return subject


def subscript(items: Any, key: Any) -> Any:
    """items[key]"""
    record = Record.current
    if record is not None and record.loops.depth:
        if type(items) in (list, tuple) and holds_index(key):
            return must_stack(items, record)[key]
        if not is_seen(type(items)) and getattr(type(items), "__getitem__", None) is not tuple.__getitem__:
            raise NotTraceable
        operand(key)
        if type(items) is defaultdict and key not in items and items.default_factory is not None:
            if items.default_factory not in (int, float, list):
                raise NotTraceable
            stored(made([]) if items.default_factory is list else items.default_factory(), items, key)
    try:
        return items[key]
    except IndexError:
        if type(items) is np.ndarray and type(key) in (RecordedInteger, RecordedList, RecordedScalar):
            raise RecordingError(
                f"an array of numpy is read at a recorded index at {calling_line()}: it differs from example to "
                "example; make the array a list, and choose from it by pick(array.tolist(), i)"
            ) from None
        raise


def entry(items: Any, key: Any) -> Any:
    """operand(subscript(items, key))"""
    record = Record.current
    if type(items) is np.ndarray or (record is not None and record.loops.depth):
        return operand(subscript(items, key))
    return items[key]


def taken(items: Any) -> Any:
    """The items of a Lazy as a symbolic list, if they can be one and hold no lists, of which it would have copies."""
    items = generated_list(opened(items))
    if type(items) is Lazy and not items.runs_code:
        found = items.look()
        if found is not None and not holds_lists(found.item):
            items.use_up()
            return found
    return items


def in_a_row(*parts: Any) -> Lazy:
    """itertools.chain(*parts)"""
    return parts_in_a_row(parts)


def parts_in_a_row(parts: Any) -> Lazy:
    """itertools.chain.from_iterable(parts)"""

    def everything() -> Any:
        whole = taken(parts)
        lists = [taken(part) for part in (iter(whole) if type(whole) is RecordedList else iterated(whole))]
        return made(
            [one for items in lists for one in (iter(items) if type(items) is RecordedList else iterated(items))]
        )

    return Lazy(lambda: itertools.chain.from_iterable(iterated(parts)), everything, True, (parts,))


def made_of_each(items: Iterable[Any]) -> Lazy:
    """The items of an iterator, one by one."""
    return Lazy(lambda: iter(items), lambda: None)


def total(items: Any, start: Any = 0) -> Any:
    """sum(items, start)"""
    assert Record.current is not None
    items = taken(items)
    source = stacked(items, Record.current)
    if source is None or type(source.item) is not RecordedScalar:
        return sum(iterated(items) if type(items) is not RecordedList else iter(items), start)
    found = Record.current.over(SUM, source.item, source.axis)
    return found if type(start) in (int, float) and start == 0 else found + start


def zipped(*lists: Any, strict: bool = False) -> Any:
    """zip(*lists)"""
    record: Any = Record.current
    lists = tuple(map(opened, lists))
    iterators = [id(one) for one in lists if type(one) is Lazy]
    known = all(type(one) in (RecordedList, list, tuple, range, Lazy) for one in lists)
    if not lists or not known or len({*iterators}) < len(iterators):  # of one iterator it takes items in turn
        return made_of_each(zip(*map(iterated, lists), strict=strict))

    def everything() -> RecordedList | None:
        sources = [source_of(whole_of(one, record), record) for one in lists]
        known = [source for source in sources if source is not None]
        lengths = {source.axis.n for source in known}
        uses_a_part = len(lengths) > 1 and any([type(one) is Lazy for one in lists])  # of an iterator
        if len(known) < len(sources) or uses_a_part or (strict and len(lengths) > 1):
            return None
        bounds = {source.axis.bound for source in known}
        if len(bounds) > 1:
            raise NotTraceable
        axis = Axis(min(lengths), any(source.axis.ragged for source in known), *bounds)
        return RecordedList(record, axis, tuple([source.at(at(axis)) for source in known]))

    return Lazy(lambda: zip(*lists, strict=strict), everything, made_of=lists)


def enumerated(items: Any, start: Any = 0) -> Any:
    """enumerate(items, start)"""
    record: Any = Record.current
    items = opened(items)
    if type(items) not in (RecordedList, list, tuple, range, Lazy) or type(start) not in (int, Index):
        return made_of_each(enumerate(iterated(items), start))

    def everything() -> RecordedList | None:
        source = stacked(items, record)
        if source is None:
            return None
        return RecordedList(record, source.axis, (at(source.axis) + start, source.at(at(source.axis))))

    return Lazy(lambda: enumerate(items, start), everything, made_of=(items,))


def iterator(items: Any, *end: Any) -> Any:
    """iter(items)"""
    record: Any = Record.current
    if end or type(items) not in (RecordedList, list, tuple, range):
        return iter(items, *end) if end else iter(iterated(items))
    return Lazy(lambda: iter(items), lambda: stacked(items, record), True, (items,))


def searched(items: Any) -> Any:
    """What `in` looks through. Raises NotTraceable for an iterator from elsewhere, which it would use up."""
    kind = type(items)
    return items if kind not in KNOWN_KINDS and is_seen(kind) and hasattr(kind, "__contains__") else iterated(items)


def backwards(items: Any) -> Any:
    """reversed(items)"""
    if type(items) in (range, tuple):
        record: Any = Record.current
        return Lazy(lambda: reversed(items), lambda: stacked(items[::-1], record), made_of=(items,), in_order=False)
    if type(items) is not RecordedList:
        return made_of_each(reversed(iterated(items)))
    length = len(items)

    def everything() -> RecordedList | None:
        return stacked(items[::-1], items.record) if len(items) == length else None

    return Lazy(lambda: items_down_from(length - 1, items), everything, made_of=(items,), in_order=False)


def all_of(items: Any) -> Any:
    """What an object goes through, of which all items are taken at once: Python asks it how many there are."""
    found = opened(items)
    if found is not items:
        operator.length_hint(items)
    return found


def listed(items: Any = ()) -> Any:
    """list(items)"""
    items = taken(all_of(items))
    if type(items) is RecordedList and items.plain is None and not holds_lists(items.item):
        return items.with_item(items.at(at(items.axis)))
    return made(list(iterated(items if type(items) is not RecordedList else iter(items))))


def spread(items: Any) -> Any:
    """The iterable of *items, of which all are taken at once."""
    items = all_of(items)
    return listed(items) if type(items) is Lazy else iterated(items)


def tupled(items: Any = ()) -> Any:
    """tuple(items)"""
    items = taken(all_of(items))
    return tuple(iterated(items) if type(items) is not RecordedList else iter(items))
