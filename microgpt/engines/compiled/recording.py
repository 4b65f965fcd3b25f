"""A function is recorded: it runs once on symbolic scalars, with its loops read as axes.

Every function that it calls is rewritten from its source first, and so on all the way down. Builtins are replaced
(REPLACEMENTS) or known to be pure (PURE). A loop that calls any other function of C, or one without a source, runs as a
Python loop.
"""

import contextlib
import dataclasses
import functools
import inspect
import itertools
import operator
import re
import sys
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from math import prod
from numbers import Real
from pathlib import Path
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any

import numpy as np

from microgpt import value
from microgpt.engines.compiled.branches import HELPER
from microgpt.engines.compiled.choices import (
    FEW,
    Returns,
    Suppressed,
    Tried,
    absolute,
    best_along,
    best_of,
    both,
    chained,
    chosen,
    decided,
    either,
    negated,
    truth,
    within,
)
from microgpt.engines.compiled.classes import Bound
from microgpt.engines.compiled.effects import Effects
from microgpt.engines.compiled.frames import Unknown
from microgpt.engines.compiled.kinds import EVERY, answer, as_value, kinds_of, of_example
from microgpt.engines.compiled.lists import Lazy, RecordedList, is_symbolic, nested
from microgpt.engines.compiled.loops import LastTurn, loop
from microgpt.engines.compiled.objects import (
    check_fixed,
    is_generated,
    is_object,
    is_plain,
    is_tuple,
    note_made,
    refuse_fixed,
)
from microgpt.engines.compiled.record import (
    ENGINE_FILES,
    FUNCTIONS,
    INPUT,
    OF_NUMBERS,
    OTHERWISE,
    PARAMETER,
    Argument,
    Axis,
    Index,
    IndexLike,
    Lost,
    NotTraceable,
    Record,
    RecordedInteger,
    RecordedScalar,
    RecordingError,
    Shapes,
    at,
    has_no_file,
    in_library,
    is_of_another_kind,
    text,
    tracing_depth,
)
from microgpt.engines.compiled.recorded_numbers import tabled
from microgpt.engines.compiled.replacements import (
    DICTS,
    KNOWN_KINDS,
    added_in_place,
    added_to,
    backwards,
    by_default,
    changeable,
    changes,
    changing,
    counted,
    ended,
    entry,
    enumerated,
    generated,
    generated_list,
    identity,
    in_a_row,
    is_kind,
    is_not,
    iterated,
    iterator,
    kind_of,
    listed,
    longer,
    longer_list,
    made,
    made_of_each,
    mapped,
    matched,
    measured,
    member,
    new_dict,
    operand,
    parts_in_a_row,
    ranged,
    same,
    same_bound,
    searched,
    set_attribute,
    spread,
    stored,
    subscript,
    taken,
    total,
    truth_as,
    tupled,
    unpacked,
    updated,
    zipped,
)
from microgpt.engines.compiled.replacements import attribute as plain_attribute
from microgpt.engines.compiled.source import Sources
from microgpt.engines.compiled.stacking import as_chosen, must_stack, stack_choices, stacked
from microgpt.engines.trees import check_form, check_returned

SYMBOLIC_NUMBERS = (RecordedScalar, Index)
LOGS = {"debug", "info", "warning", "error", "critical", "exception", "log"}  # functions and methods of logging
RECORDED = re.compile(r"(?:\ba )?'?\bRecorded(\w+)'?")  # classes of the compiler, in a message
WORDS = {"Scalar": "a recorded scalar", "Integer": "an integer of the example", "List": "a list", "Text": "a text"}
dispatcher: Any = functools.singledispatch(print)
DISPATCHES, CACHES = dispatcher.__code__, type(functools.cache(print))  # of what these decorators make
PLUS = (lambda a, b: a + b).__code__.co_code, 2
PATIENCE = 2.0  # seconds of recording after which one is told why it takes so long


def record_function(
    function: Callable[..., Any], shapes: Shapes, arguments: list[Argument], with_sources: bool = False,
    statements: bool = True,
) -> Record:  # fmt: skip
    """Run a function once on symbolic scalars and return the record.

    Args:
        function: what to record; it gets the parameters and one example, as lists of scalars.
        shapes: the nesting of the parameters, with a shape in place of each array.
        arguments: name, "int" or "float", and shape of each argument of one example.
        with_sources: whether to note the line of the function behind each operation, which takes twice the time.
        statements: whether to read `for` statements as one line, too, and not turn by turn.
    """
    in_python: set[Any] = set()  # loops that are no axes, because something after them asks for more
    start, effects = time.monotonic(), Effects()
    while True:
        effects.take_back()
        try:
            record = Record(with_sources, must_stack, stack_choices, as_chosen, tabled, within, run, refuse_fixed)
            record.loops.statements, record.loops.untraceable, record.effects = statements, set(in_python), effects
            recorded(function, shapes, arguments, record)
        except Lost as lost:
            in_python |= lost.sites
        except NotTraceable:  # of a loop that has ended: none of those that were read is one line now
            if not record.loops.lines:
                raise
            in_python |= record.loops.lines
        else:
            tell_of_functions_without_a_source(record, time.monotonic() - start)
            return record


def recorded(function: Callable[..., Any], shapes: Shapes, arguments: list[Argument], record: Record) -> None:
    """Run a function on symbolic scalars of a record."""

    def leaf(kind: int, shape: tuple[int, ...], start: int) -> Any:
        axes = tuple(Axis(n) for n in shape)
        return nested(record.add_family(kind, start, 0, axes), axes, record)

    def parameters(shape: tuple[int, ...]) -> Any:
        start = record.parameters
        record.parameters += prod(shape)
        return leaf(PARAMETER, shape, start)

    params = map_shapes(parameters, shapes)
    example = []
    for name, kind, shape in arguments:
        if kind == "int":
            start = len(record.names)
            record.names += [name + "".join(f"[{i}]" for i in place) for place in np.ndindex(*shape)]
            axes = tuple(Axis(n) for n in shape)
            steps = [prod(shape[i + 1 :]) for i in range(len(shape))]
            place: IndexLike = Index(start, tuple(zip(axes, steps, strict=True))) if axes else start
            example.append(nested(RecordedInteger(record, place), axes, record))
        else:
            example.append(leaf(INPUT, shape, record.floats))
            record.floats += prod(shape)
    record.failures = RecordedList.written_out(record, [0.0])
    with record.active(), deeper_recursion():
        try:
            result = call(function, params, *example)
        except (TypeError, ValueError, AttributeError) as error:
            if isinstance(error, RecordingError) or not RECORDED.search(str(error)):
                raise
            raise in_words(error).with_traceback(error.__traceback__) from None
        finally:
            record.operators.restore()
        check_returned(result)
        check_fixed(record)
        if record.refusals:  # the function has caught it
            raise record.refusals[0]
        record.form = form_of(result, record)
        record.end()
        check_form(record.form, int)


def in_words(error: Exception) -> RecordingError:
    """The error that Python raised because it has met something of the compiler, in terms of the function."""
    trace, line = error.__traceback__, ""
    while trace is not None:
        path = trace.tb_frame.f_code.co_filename
        if path not in ENGINE_FILES and not in_library(path):
            line = f"{Path(path).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    said = RECORDED.sub(lambda found: WORDS[found[1]], str(error))
    return RecordingError(f"{said} at {line}: recorded numbers have no value yet; {OTHERWISE}")


def tell_of_functions_without_a_source(record: Record, seconds: float) -> None:
    """Say, once, which function made recording slow: one that was typed into Python's prompt, or made by exec."""
    if seconds <= PATIENCE or SOURCES.told or sys.stderr is None:
        return
    for code in record.unread:
        made_by_a_class = code.co_name.startswith("__")  # as a dataclass does
        if not made_by_a_class and has_no_file(code):
            told = f"note: recording took {seconds:.0f} s, because {code.co_name} has no source"
            print(f"{told}, so that loops run turn by turn: put it into a file", file=sys.stderr)
            SOURCES.told = True
            return


@contextmanager
def deeper_recursion() -> Iterator[None]:
    """Allow as deep a recursion as Python does, though each call of the function takes several of ours."""
    limit = sys.getrecursionlimit()
    if sys.platform != "win32" or sys.version_info >= (3, 12):  # its stack was too small, and a full one was the end
        sys.setrecursionlimit(10 * limit)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def form_of(result: Any, record: Record) -> Any:
    """The nesting of the result, with the number of an output in place of each scalar. Notes the outputs."""
    if isinstance(result, dict):
        return {key: form_of(entry, record) for key, entry in result.items()}
    if isinstance(result, tuple):
        return tuple(form_of(entry, record) for entry in result)
    if isinstance(result, list):
        return [form_of(entry, record) for entry in result]
    if isinstance(result, RecordedInteger):
        record.returned.append(result.place)
        result = record.add(INPUT, record.floats + len(record.returned) - 1, 0)
    if not isinstance(result, (RecordedScalar, Real)):
        kind = "generator" if isinstance(result, Lazy) else type(result).__name__
        raise RecordingError(f"the function returned a {kind}: expected a scalar, or lists of scalars")
    failures = record.failures[0]
    scalar = record.scalar(result if type(failures) is float else result + failures)
    record.outputs.append((scalar.node, scalar.index))
    return len(record.outputs) - 1


def map_shapes(function: Callable[[tuple[int, ...]], Any], shapes: Shapes) -> Any:
    """The nesting of the parameters with the function applied to every shape (a tuple) in it."""
    if isinstance(shapes, dict):
        return {key: map_shapes(function, entry) for key, entry in shapes.items()}
    if isinstance(shapes, list):
        return [map_shapes(function, entry) for entry in shapes]
    return function(shapes)


# Calls within the function


def zipped_rows(function: Any, rows: Any, **options: Any) -> Any:
    """function(*rows): for zip, the transposed matrix."""
    record = Record.current
    if record is None or function is not zip or type(rows) not in (RecordedList, list, tuple, Lazy):
        return call(function, *rows, **options)
    rows = generated_list(rows)
    if type(rows) is not RecordedList:
        rows = made(list(iter(rows)))
    grows = type(rows) is RecordedList and type(rows.length()) is Index
    if options.keys() - {"strict"} or not (grows or len(rows)):
        return zipped(*iter(rows), **options)
    strict = bool(options.get("strict"))

    def everything() -> RecordedList | None:
        source = stacked(rows, record)
        inner: Any = None if source is None else source.at(at(source.axis))
        if source is None or not is_symbolic(inner):
            return None
        return RecordedList(record, inner.axis, RecordedList(record, source.axis, inner.at(at(inner.axis))))

    return Lazy(lambda: zip(*iter(rows), strict=strict), everything, columns_of=rows)


def applied(function: Any, *lists: Any) -> Any:
    """map(function, *lists)"""
    site = "map", getattr(function, "__code__", type(function))
    if len(lists) == 1:
        return generated(functools.partial(call, function), lists[0], site)
    return generated(lambda items: call(function, *items), zipped(*lists), site)


def folded(function: Any, items: Any, *first: Any) -> Any:
    """functools.reduce(function, items, first)"""
    items = taken(items)
    if adds(function) and is_symbolic(items) and type(items.item) is RecordedScalar:
        return total(items, *first)
    found = folds(function, items, first, lambda value: None)
    return found[0] if found else functools.reduce(functools.partial(call, function), iterated(items), *first)


def adds(function: Any) -> bool:
    """Whether a function of two is their sum."""
    code = getattr(function, "__code__", None)
    return function is operator.add or (code is not None and (code.co_code, code.co_argcount) == PLUS)


def running(items: Any, function: Any = None, *, initial: Any = None) -> Lazy:
    """itertools.accumulate(items, function, initial=initial)"""
    source = items if type(items) in KNOWN_KINDS else iter(iterated(items))
    add = operator.add if function is None else function
    first = () if initial is None else (initial,)

    def everything() -> Any:
        found = made([])
        return found if folds(add, source, first, found.append) else None

    each = functools.partial(call, add)
    return Lazy(lambda: itertools.accumulate(iterated(source), each, initial=initial), everything, True, (source,))


def folds(function: Any, items: Any, first: tuple[Any, ...], see: Callable[[Any], Any]) -> tuple[Any, ...]:
    """What a function makes of a value and each item in turn, in a tuple; () if that is no loop. Each value is seen."""
    items = taken(items)
    if type(items) not in (RecordedList, list, tuple, range) or type(measured(items)) is not int or not len(items):
        return ()
    value, rest = (first[0], items) if first else (items[0], items[1:])
    see(value)

    def turn(item: Any, value: Any) -> tuple[Any, ...]:
        value = call(function, value, item)
        see(value)
        return (value,)

    site = "fold", getattr(function, "__code__", type(function))
    found = loop(turn, rest, (), (lambda: value,), site)
    if found is None:
        found = [value]
        for item in iter(rest):
            found = list(turn(item, *found))
    return tuple(found)


def added(items: Any, start: Any = 0) -> Any:
    """sum(items, start), of objects as of scalars."""
    items = taken(items)
    if not is_symbolic(items) or not is_object(items.item):
        return total(items, start)
    found = folds(operator.add, items, (start,), lambda value: None)
    return found[0] if found else total(items, start)


def refuse_unknown(things: Iterable[Any]) -> None:
    """Raise what a variable without a value raises when it is read, for functions that look at its class alone."""
    for one in things:
        if type(one) is Unknown:
            Unknown.lost(one)


def replaced_fields(given: Any, /, **changes: Any) -> Any:
    """dataclasses.replace(given, **changes)"""
    refuse_unknown([given])
    kind: Any = type(given)
    known = dataclasses.fields(given) if is_plain(kind) and dataclasses.is_dataclass(kind) else ()
    if not known or len(known) < len(kind.__dataclass_fields__) or not all(field.init for field in known):
        changing(given)
        return dataclasses.replace(given, **changes)
    return call(kind, **({field.name: attribute(given, field.name) for field in known} | changes))


def filtered(function: Any, items: Any) -> Lazy:
    """filter(function, items)"""
    return made_of_each(filter(function and functools.partial(call, function), iterated(items)))


def got(owner: Any, name: str, *default: Any) -> Any:
    """getattr(owner, name, default)"""
    return attribute(owner, name) if not default or has(owner, name) else default[0]


def attribute(owner: Any, name: str) -> Any:
    """owner.name; a property is a function as any other."""
    kind: Any = type(owner)
    getter = getter_of(kind, name) if Record.current is not None else None
    return plain_attribute(owner, name) if getter is None else call(getter, owner)


@functools.cache
def getter_of(kind: Any, name: str) -> FunctionType | None:
    """The function that computes an attribute of objects of a class, if it is a property."""
    found = next((vars(one)[name] for one in kind.__mro__ if name in vars(one)), None)
    if type(found) is not property or hasattr(kind, "__getattr__") or isinstance(kind.__getattribute__, FunctionType):
        return None
    return found.fget if type(found.fget) is FunctionType else None


def has(owner: Any, name: str) -> bool:
    """hasattr(owner, name)"""
    if type(owner) is RecordedScalar and name in OF_NUMBERS and name not in FUNCTIONS:  # by exp and log the book asks
        return bool(answer(owner, lambda kind: name in dir(kind), [kind for kind in EVERY if name in dir(kind)]))
    try:
        attribute(owner, name)
    except AttributeError:
        return False
    return True


def extreme(function: Any, better: Callable[[Any, Any], Any], *arguments: Any, **options: Any) -> Any:
    """max(*arguments, **options), or min: of recorded scalars the one that comparisons choose."""
    record: Any = Record.current
    if arguments and options.get("key") is None:
        items: Any = taken(arguments[0]) if len(arguments) == 1 else arguments
        if type(items) not in (list, tuple, RecordedList):
            items = list(iterated(items))
        source = stacked(items, record) if is_symbolic(items) else None
        if source is not None and type(source.item) is RecordedScalar and (source.axis.bound or source.axis.n > FEW):
            return best_along(source, better)
        found = list(iter(items))
        if any(type(one) is RecordedScalar or is_of_another_kind(one) for one in found):
            if all(isinstance(one, (RecordedScalar, Real)) for one in found):
                found = list(map(record.scalar, found))
            source = stacked(found, record) if len(found) > FEW else None
            return best_of(found, better) if source is None else best_along(source, better)
        arguments = (found,)
    if tracing_depth():
        arguments = tuple(map(operand, arguments))
        options = {name: calling(one) if type(one) is FunctionType else one for name, one in options.items()}
    return function(*arguments, **options)


def greatest(*arguments: Any, **options: Any) -> Any:
    """max(*arguments, **options)"""
    return extreme(max, operator.gt, *arguments, **options)


def least(*arguments: Any, **options: Any) -> Any:
    """min(*arguments, **options)"""
    return extreme(min, operator.lt, *arguments, **options)


def printed(*arguments: Any, **options: Any) -> None:
    """print(*arguments, **options)"""
    record: Any = Record.current
    changes()
    if "file" in options:
        print(*arguments, **options)
    else:
        record.effects.say(print, *arguments, **options)


def following(items: Any, *default: Any) -> Any:
    """next(items, default)"""
    record: Any = Record.current
    changes()
    return next(items, *default) if type(items) is Lazy else record.effects.following(items, *default)


def calling(decorator: Any) -> Any:
    """A decorator or a key that calls a function as recorded code does."""
    return functools.partial(call, decorator)


REPLACEMENTS: dict[Any, Callable[..., Any]] = {
    bool: truth_as(bool), int: truth_as(int), float: truth_as(float),
    sum: added, zip: zipped, enumerate: enumerated, reversed: backwards, list: listed, tuple: tupled, map: applied,
    type: kind_of, isinstance: is_kind, filter: filtered, getattr: got, hasattr: has,
    iter: iterator, max: greatest, min: least, abs: absolute, len: measured, range: ranged,
    print: printed, next: following, id: identity, contextlib.suppress: Suppressed,
    operator.is_: same, operator.is_not: is_not, operator.iadd: added_in_place,
    functools.reduce: folded, itertools.accumulate: running,
    itertools.chain: in_a_row, itertools.chain.from_iterable: parts_in_a_row,
    value.Value: as_value,
}  # fmt: skip
PURE = {
    min, max, abs, int, float, bool, str, repr, issubclass, dict, set, frozenset, sorted,
    any, all, round, divmod, pow, slice, callable, format, ord, chr, complex, hash, defaultdict, OrderedDict,
    *[entry for entry in vars(value).values() if inspect.isfunction(entry)],
}  # fmt: skip
MAKE_DICTS = {dict, defaultdict, OrderedDict}
CHANGE_DICTS = {"update": updated, "setdefault": by_default}
PURE_METHODS = {"index", "count", "copy", "keys", "values", "items", "get", "join", "format", "startswith", "endswith",
                "split", "strip", "lower", "upper", "read_at", "pick", "largest", *FUNCTIONS}  # fmt: skip


def call(function: Any, /, *arguments: Any, **options: Any) -> Any:
    """function(*arguments, **options), rewritten first if it is a Python function with a source."""
    record = Record.current
    if record is None:
        return function(*arguments, **options)
    kind = type(function)
    if kind is FunctionType:
        if function is dataclasses.replace:
            return replaced_fields(*arguments, **options)
        if function in PURE:
            return function(*map(operand, arguments), **options)
        if function.__code__ is DISPATCHES:
            function = dispatched(function, *arguments[:1])
            return call(function, *arguments, **options)
        return run(function, record, arguments, options)
    if kind is MethodType:
        if type(function.__func__) is FunctionType and type(function.__self__) not in (RecordedScalar, RecordedInteger):
            made_as = function.__self__ if isinstance(function.__self__, type) else type(function.__self__)
            of_tuple = function.__name__ in ("_make", "_replace", "_asdict") and is_tuple(made_as)
            if type(function.__self__) is RecordedList or of_tuple:
                return function(*map(operand, arguments), **options)
            return run(function.__func__, record, (function.__self__, *arguments), options)
        if record.loops.depth and not is_pure(function):
            raise NotTraceable
        return function(*arguments, **options)
    if kind is Bound:
        return function(*arguments, **options)
    if kind is functools.partial:
        return call(function.func, *function.args, *arguments, **{**function.keywords, **options})
    method = getattr(kind, "__call__", None) if not isinstance(function, type) else None  # noqa: B004
    if isinstance(method, FunctionType):
        return run(method, record, (function, *arguments), options)
    try:
        replacement = REPLACEMENTS.get(function)
    except TypeError:
        replacement = None
    if replacement is not None:
        return replacement(*arguments, **options)
    if arguments and type(arguments[0]) is RecordedList:
        if getattr(function, "__objclass__", None) is list:  # list.append(x, y) is x.append(y)
            return getattr(arguments[0], function.__name__)(*arguments[1:], **options)
        if getattr(function, "__module__", None) == "_heapq":  # which takes nothing else for a list
            return function(arguments[0].as_plain(), *arguments[1:], **options)
    owner, name = getattr(function, "__self__", None), getattr(function, "__name__", None)
    if type(owner) in DICTS and name in CHANGE_DICTS:
        return CHANGE_DICTS[name](owner, *arguments, **options)
    if type(owner) in DICTS and name not in PURE_METHODS:
        refuse_fixed(owner)
    in_math = getattr(function, "__module__", None) == "math" or type(function) is np.ufunc
    if in_math and any(type(one) in SYMBOLIC_NUMBERS for one in arguments):
        found = None if options else record.tabled(function, arguments)
        found = of_example(function, arguments) if found is None else found
        if found is not None:
            return found
    if isinstance(function, type) and record.operators.are_read(function) and is_made(function, record):
        return new_object(function, record, arguments, options)
    if record.loops.depth:
        if not is_pure(function):
            raise NotTraceable
        arguments = tuple(map(operand, arguments))
        options = {name: calling(one) if type(one) is FunctionType else one for name, one in options.items()}  # key
    if kind is CACHES and any(type(one) is RecordedScalar for one in arguments):
        return remembered(function, record, arguments, options)
    record.effects.change(owner)
    found = text(function(*arguments, **options))
    is_new = type(found) in DICTS and (function in MAKE_DICTS or name == "copy")
    return new_dict(found) if is_new else found


def run(function: FunctionType, record: Record, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """A Python function, rewritten and called. A generator makes its items one by one, or all when it is asked so."""
    own = rewritten(function, record)
    if own is function and in_library(function.__code__.co_filename):
        refuse_unknown(arguments)
    if function.__module__ == "logging" and function.__name__ in LOGS:
        return record.effects.say(own, *arguments, **options)
    if function.__code__.co_flags & inspect.CO_GENERATOR:
        code = SOURCES.all_at_once(function)
        if code is not None:
            at_once = with_helpers(function, code)
            return Lazy(lambda: own(*arguments, **options), lambda: at_once(*arguments, **options), True)
    return own(*arguments, **options)


def dispatched(function: Any, first: Any) -> Any:
    """The function that functools.singledispatch takes for a first argument."""
    if type(first) is not RecordedScalar:
        return function.dispatch(kind_of(first))
    return answer(first, function.dispatch, kinds_of(first) & function.registry.keys())


def remembered(function: Any, record: Record, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """function(*arguments), by functools.cache, once for the very same scalars: nothing stays after the recording."""
    scalars = [id(one) if type(one) is RecordedScalar else None for one in arguments]
    others = [None if type(one) is RecordedScalar else one for one in arguments]
    key = (id(function), *scalars, *others, *options.items())
    if key not in record.remembered:
        record.remembered[key] = call(function.__wrapped__, *arguments, **options), arguments  # kept, for their ids
    return record.remembered[key][0]


def is_read(kind: type, sources: Sources) -> bool:
    """Whether objects of a class begin with nothing but an `__init__` that has a source."""
    begin: Any = kind.__init__  # type: ignore[misc]
    plain = kind.__new__ is object.__new__ and isinstance(begin, FunctionType)
    return plain and not getattr(kind, "__abstractmethods__", None) and sources.rewritten(begin) is not None


def is_made(kind: Any, record: Record) -> bool:
    """Whether all is seen that happens when an object of a class is made; in an axis it has to be a plain class."""
    if not is_plain(kind):
        return not record.loops.depth and type(kind) is type and is_read(kind, SOURCES)
    return kind.__init__ is object.__init__ or made_by_dataclass(kind) or is_read(kind, SOURCES)


@functools.cache
def made_by_dataclass(kind: Any) -> bool:
    """Whether `dataclass` has made the `__init__` of a class, which sets attributes, and calls nothing unknown."""
    begin: Any = kind.__init__
    if not is_generated(begin) or not dataclasses.is_dataclass(kind):
        return False
    factories = [one.default_factory for one in dataclasses.fields(kind)]
    return all(one is dataclasses.MISSING or one in (list, dict, set, tuple) for one in factories)


def new_object(kind: Any, record: Record, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """kind(*arguments, **options)"""
    begin: Any = kind.__init__
    found = object.__new__(kind)
    if record.loops.depth:
        note_made(found)
    generated = made_by_dataclass(kind)
    if generated or begin is object.__init__:
        begin(found, *arguments, **options)
    else:
        call(begin, found, *arguments, **options)
    for field in dataclasses.fields(kind) if generated else ():
        if field.default_factory is list and type(getattr(found, field.name)) is list:
            object.__setattr__(found, field.name, made(getattr(found, field.name)))
    return found


def is_pure(function: Any) -> bool:
    """Whether a builtin, a class or a function of C is known to change nothing."""
    try:
        if function in PURE:
            return True
    except TypeError:
        return False
    if isinstance(function, type):
        return issubclass(function, BaseException) or is_tuple(function)
    owner = getattr(function, "__self__", None)
    module, name = getattr(function, "__module__", None), getattr(function, "__name__", "")
    if module == "_operator":
        return not name.startswith(("i", "setitem", "delitem", "call"))  # such as iadd
    return module == "math" or (type(owner) in KNOWN_KINDS and name in PURE_METHODS)


HELPERS: dict[str, Any] = {
    HELPER + function.__name__: function
    for function in (
        mapped, generated, call, subscript, attribute, zipped_rows, iterated, spread, unpacked, changes,
        added_to, same, searched, slice, operand, entry, calling, chosen, both, either, negated, chained, decided,
        truth, loop, made, stored, changeable, counted, same_bound, set_attribute, ended, text, matched, member,
        new_dict, longer, longer_list,
    )
} | {HELPER + "returns": Returns, HELPER + "tried": Tried, HELPER + "last_turn": LastTurn}  # fmt: skip
CELLS_OF_HELPERS = {name: CellType(helper) for name, helper in HELPERS.items()}
SOURCES = Sources(HELPERS)  # shared by all records, because code belongs to the process


def rewritten(function: FunctionType, record: Record) -> Callable[..., Any]:
    """A function with the helpers in it. Without a source it stays as it is, and raises NotTraceable in an axis."""
    code = function.__code__
    replacement = SOURCES.rewritten(function)
    if replacement is code:
        return function
    if replacement is None:
        if record.loops.depth:
            raise NotTraceable
        record.unread[code] = None
        return function
    return with_helpers(function, replacement)


def with_helpers(function: FunctionType, replacement: CodeType) -> FunctionType:
    """A function with another code, which has the helpers as variables from around it."""
    # They are closure variables, because the globals belong to the function's module.
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    closure = tuple([cells[name] if name in cells else CELLS_OF_HELPERS[name] for name in replacement.co_freevars])
    same_function = FunctionType(replacement, function.__globals__, function.__name__, function.__defaults__, closure)
    same_function.__kwdefaults__ = function.__kwdefaults__
    return same_function
