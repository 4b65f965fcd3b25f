"""What has parts: tuples, dicts, and objects of a user's plain classes, which are nothing but their attributes.

An object or a dict that a turn of a loop makes stands for those of all turns, as a symbolic list does. What is read of
them is a copy, and *fixed*. Where the function would notice that, because it changes the copy or asks which object it
is, the loop that made it runs in Python.
"""

from abc import ABC, ABCMeta
from dataclasses import is_dataclass
from functools import cache
from types import FunctionType, MemberDescriptorType
from typing import Any, Generic, NamedTuple

from microgpt.engines.compiled.classes import is_of_user
from microgpt.engines.compiled.record import (
    Axis,
    Index,
    Lost,
    NotTraceable,
    Record,
    RecordedScalar,
    RecordingError,
    calling_line,
)

SINGLE = frozenset((RecordedScalar, Index, int, float))


class Made(NamedTuple):
    """An object or a dict that a loop has made."""

    value: Any
    born: int  # how many lists there were; 0 if it is fixed
    site: Any  # the place of the loop in the source
    parts: list[Any]
    given: Any = None  # of which it is a copy
    carried_by: Axis | None = None  # the loop of which a turn finds it, in place of what was there before


def has_parts(value: Any) -> bool:
    """Whether this is a tuple, or an object or a dict that a loop has made."""
    kind: Any = type(value)
    if kind in SINGLE:
        return False
    return is_tuple(kind) or (Record.current is not None and id(value) in Record.current.made and is_plain(kind))


def is_object(value: Any) -> bool:
    """Whether this is an object or a dict that a loop has made."""
    return has_parts(value) and not isinstance(value, tuple)


def is_tuple(kind: Any) -> bool:
    """Whether this is the class of tuples, or one of named tuples that have nothing but their fields."""
    return kind is tuple or (kind not in SINGLE and is_named_tuple(kind))


@cache
def is_named_tuple(kind: Any) -> bool:
    is_one = isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_make") and not kind.__dictoffset__
    return is_one and kind.__new__.__module__.startswith("namedtuple_")


@cache
def is_plain(kind: Any) -> bool:
    """Whether objects of a class are nothing but their attributes or entries, and those are as they were set."""
    if kind is dict:
        return True
    own = [one for one in getattr(kind, "__mro__", ()) if one not in (object, ABC, Generic)]
    sets: Any = getattr(kind, "__setattr__", None)
    return (
        bool(own) and all(type(one) in (type, ABCMeta) and is_of_user(one) for one in own)
        and kind.__new__ is object.__new__ and kind.__getattribute__ is object.__getattribute__
        and not any(hasattr(kind, name) for name in ("__getattr__", "__next__", "__del__"))
        and (sets is object.__setattr__ or (is_dataclass(kind) and is_generated(sets)))
    )  # fmt: skip


def is_generated(function: Any) -> bool:
    """Whether a method was made by `dataclass`."""
    return isinstance(function, FunctionType) and function.__code__.co_filename == "<string>"


def names_of(value: Any) -> list[Any]:
    """The attributes that an object has, or the keys of a dict."""
    if type(value) is dict:
        return [*value]
    slots = [(name, one) for kind in type(value).__mro__ for name, one in vars(kind).items()]
    set_there = [name for name, one in slots if type(one) is MemberDescriptorType and hasattr(value, name)]
    return [*set_there, *getattr(value, "__dict__", ())]


def parts_of(value: Any) -> list[Any]:
    """The parts of what has them, as the loops that are being traced have left them."""
    if isinstance(value, tuple):
        return [*value]
    if type(value) is dict:
        return [*value.values()]
    frames = [] if Record.current is None else Record.current.loops.frames
    found = {name: getattr(value, name) for name in names_of(value)}
    for frame in frames:
        found |= {name: part for (owner, name), (_, part) in frame.attributes.items() if owner == id(value)}
    return list(found.values())


def with_parts(given: Any, parts: list[Any], is_chosen: bool = False, carried_by: Axis | None = None) -> Any:
    """What something is with other parts; whether a scalar chose these, or which loop carries them."""
    kind = type(given)
    if isinstance(given, tuple):
        return tuple(parts) if kind is tuple else kind._make(parts)
    record, named = Record.current, dict(zip(names_of(given), parts, strict=True))
    assert record is not None
    found: Any = named if kind is dict else object.__new__(kind)
    for name, part in named.items() if kind is not dict else ():
        object.__setattr__(found, name, part)
    known, frames = record.made.get(id(given)), record.loops.frames
    site = (known.site if known else None) or (frames[-1].axis.site if frames else None)
    record.made[id(found)] = Made(found, 0, None if is_chosen else site, parts, given, carried_by)
    if kind is not dict:
        record.operators.guard(kind)
    return found


def note_made(value: Any) -> None:
    """Note that a turn has made an object or a dict: until it ends, it may change it."""
    record = Record.current
    assert record is not None
    record.lists_made += 1
    record.made[id(value)] = Made(value, record.lists_made, record.loops.frames[-1].axis.site, [])


def may_stay(value: Any, lists_made: int) -> bool:
    """Whether a turn may leave this: it has made it, as an object, or it is a copy of what a loop has made.

    What carries state may be an object that was there before the loop.
    """
    made = Record.current.made.get(id(value)) if Record.current is not None else None
    return made is None or (made.carried_by is None and (not made.born or made.born > lists_made))


class Copied:
    """A list that may be a copy of another one."""

    __slots__ = ()
    given: Any = None  # the other one
    carried_by: Axis | None = None  # the loop of which a turn finds this in its place


def as_made(value: Any) -> Any:
    """A Copied itself, or what is known of an object that a loop has made; None for anything else."""
    if issubclass(type(value), Copied):
        return value
    return None if Record.current is None else Record.current.made.get(id(value))


def originals(value: Any) -> list[Any]:
    """A list or an object, then what it is a copy of, and so on."""
    found, made = [value], as_made(value)
    while made is not None and made.given is not None:
        found.append(made.given)
        made = as_made(made.given)
    return found


def note_choice(value: Any) -> None:
    """Note that a scalar may have chosen an object, which must not change any more."""
    record = Record.current
    assert record is not None
    for one in (value, originals(value)[-1]):
        record.chosen_from[id(one)] = one, parts_of(one)


def is_fixed(value: Any) -> bool:
    """Whether an object is one of those for which another one stood in a loop."""
    made = Record.current.made.get(id(value)) if Record.current is not None else None
    return made is not None and not made.born


def refuse_fixed(value: Any) -> None:
    """See to it that the loop that made an object runs in Python, if it has been one line."""
    record = Record.current
    if record is not None and id(value) in record.chosen_from:
        raise changed_choice(value)
    if record is None or not is_fixed(value):
        return
    if record.loops.frames and not record.loops.frames[-1].alone:
        raise NotTraceable
    raise lost(record.made[id(value)])


def lost(made: Made) -> Lost | RecordingError:
    """The error where it matters that an object is one of many."""
    return changed_choice(made.value) if made.site is None else Lost({made.site})


def changed_choice(value: Any) -> RecordingError:
    """The error where an object or a dict changes that a recorded scalar may have chosen."""
    return RecordingError(
        f"a {type(value).__name__} that a recorded scalar may have chosen is changed at {calling_line()}, or asked "
        "which one it is: that differs from example to example; make a new one"
    )


def check_fixed(record: Record) -> None:
    """The same, at the end, for what has changed an object unseen."""
    for made in record.made.values():
        if not made.born and not same_objects(parts_of(made.value), made.parts):
            raise lost(made)
    for value, parts in record.chosen_from.values():
        if not same_objects(parts_of(value), parts):
            raise changed_choice(value)


def same_objects(some: list[Any], others: list[Any]) -> bool:
    return list(map(id, some)) == list(map(id, others))
