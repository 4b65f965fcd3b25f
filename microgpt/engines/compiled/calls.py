"""How a function calls another one while it is recorded: what is called is rewritten first, and so all the way down.

Python's own functions have stand-ins or are known to change nothing; of those that are neither, nobody knows what they
do, so a loop that calls one is run as a loop. Functions without a source run as they are, loop by loop.
"""

import functools
import operator
from collections.abc import Callable
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any

from microgpt import value
from microgpt.engines.compiled import current
from microgpt.engines.compiled.current import NotAnAxis
from microgpt.engines.compiled.lists import Lazy, RecordedList, is_symbolic
from microgpt.engines.compiled.record import Record, RecordedInteger, RecordedScalar, at
from microgpt.engines.compiled.replacements import (
    KNOWN_KINDS,
    added_in_place,
    attribute,
    backwards,
    changes,
    changes_in_place,
    enumerated,
    generated,
    generated_list,
    is_kind,
    iterated,
    kind_of,
    listed,
    made_of_each,
    mapped,
    operand,
    same,
    subscript,
    total,
    tupled,
    unpacked,
    zipped,
)
from microgpt.engines.compiled.rolling import as_list
from microgpt.engines.compiled.source import HELPER, rewritten_code


def zipped_rows(function: Any, rows: Any, **options: Any) -> Any:
    """zip(*rows), a matrix transposed; or another function of rows."""
    record = current.RECORD
    if record is None or function is not zip or type(rows) not in (RecordedList, list, tuple, Lazy):
        return call(function, *rows, **options)
    rows = generated_list(rows)
    if type(rows) is not RecordedList:
        rows = list(iter(rows))
    if not rows or options.keys() - {"strict"}:
        return zipped(*iter(rows), **options)
    strict = bool(options.get("strict"))

    def everything() -> RecordedList | None:
        source = as_list(rows, record)
        inner: Any = None if source is None else source.at(at(source.axis))
        if source is None or not is_symbolic(inner):
            return None
        return RecordedList(record, inner.axis, RecordedList(record, source.axis, inner.at(at(inner.axis))))

    return Lazy(lambda: zip(*iter(rows), strict=strict), everything)


def applied(function: Any, *lists: Any) -> Any:
    """map(function, *lists)"""
    if len(lists) != 1:
        return made_of_each(map(functools.partial(call, function), *map(iterated, lists)))
    return generated(functools.partial(call, function), lists[0], ("map", id(function)))


def filtered(function: Any, items: Any) -> Lazy:
    """filter(function, items)"""
    return made_of_each(filter(function and functools.partial(call, function), iterated(items)))


def got(owner: Any, name: str, *default: Any) -> Any:
    """getattr(owner, name, default)"""
    return attribute(owner, name) if not default or has(owner, name) else default[0]


def has(owner: Any, name: str) -> bool:
    """hasattr(owner, name)"""
    try:
        attribute(owner, name)
    except AttributeError:
        return False
    return True


def calling(decorator: Any) -> Any:
    """A decorator, which is called as any other function is."""
    return functools.partial(call, decorator)


STAND_INS: dict[Any, Callable[..., Any]] = {
    sum: total, zip: zipped, enumerate: enumerated, reversed: backwards, list: listed, tuple: tupled, map: applied,
    type: kind_of, isinstance: is_kind, filter: filtered, getattr: got, hasattr: has,
    operator.iadd: added_in_place,
}  # fmt: skip
PURE = {
    len, range, min, max, abs, int, float, bool, str, repr, issubclass, dict, set, frozenset, sorted,
    any, all, round, divmod, pow, slice, callable, format, ord, chr, complex, hash,
    value.exp, value.log, value.pick, value.largest, value.number,
}  # fmt: skip
PURE_METHODS = {"index", "count", "copy", "keys", "values", "items", "get", "join", "format", "startswith", "endswith",
                "split", "strip", "lower", "upper", "read_at", "pick", "exp", "log", "largest"}  # fmt: skip


def call(function: Any, *arguments: Any, **options: Any) -> Any:
    """function(*arguments, **options), which is rewritten first if it is one of Python and has a source."""
    record = current.RECORD
    if record is None:
        return function(*arguments, **options)
    kind = type(function)
    if kind is FunctionType:
        if function in PURE:
            return function(*map(operand, arguments), **options)
        return rewritten(function, record)(*arguments, **options)
    if kind is MethodType:
        if type(function.__func__) is FunctionType and type(function.__self__) not in (RecordedScalar, RecordedInteger):
            return changing_or(function, record)(function.__self__, *arguments, **options)
        if record.depth and not is_pure(function):
            raise NotAnAxis
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
    if arguments and type(arguments[0]) is RecordedList:
        if getattr(function, "__objclass__", None) is list:  # list.append(x, y) is x.append(y)
            return getattr(arguments[0], function.__name__)(*arguments[1:], **options)
        if getattr(function, "__module__", None) == "_heapq":  # which takes nothing else for a list
            return function(arguments[0].as_plain(), *arguments[1:], **options)
    if record.depth:
        if not is_pure(function):
            raise NotAnAxis
        arguments = tuple(map(operand, arguments))
        options = {name: calling(one) if type(one) is FunctionType else one for name, one in options.items()}  # key
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
    module, name = getattr(function, "__module__", None), getattr(function, "__name__", "")
    if module == "_operator":
        return not name.startswith(("i", "setitem", "delitem", "call"))  # such as iadd
    return module == "math" or (type(owner) in KNOWN_KINDS and name in PURE_METHODS)


HELPERS: dict[str, Any] = {
    HELPER + function.__name__: function
    for function in (
        mapped, generated, call, subscript, attribute, zipped_rows, iterated, unpacked, changes,
        changes_in_place, same, slice, operand, calling,
    )
}  # fmt: skip
REWRITTEN: dict[CodeType, CodeType | None] = {}  # None: there is no source
DONE: set[CodeType] = set()  # what has been rewritten is not rewritten again


def rewritten(function: FunctionType, record: Record) -> Callable[..., Any]:
    """A function with the helpers in it. One without a source stays as it is, and is no part of an axis."""
    code = function.__code__
    if code in DONE:
        return function
    if code not in REWRITTEN:
        REWRITTEN[code] = rewritten_code(function, HELPERS)
        note_done(REWRITTEN[code])
    replacement = REWRITTEN[code]
    if replacement is None:
        if record.depth:
            raise NotAnAxis
        return function
    # The helpers are given as variables from around the function: its module, whose globals it shares, stays as it is.
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
