"""Runs a function for one example, on numbers that are on a tape, and notes what each of its lines made.

    found = follow(loss, {"w": np.array(0.5)}, (3.0,), limit=1000)
    found.tape, found.result, found.calls, found.notes

Python decides as ever. Where a recorded comparison decides between branches that only calculate, the other branch is
computed, too, and a `where` chooses: so the choice follows the numbers. Any other choice is kept as it ran, as a guard.
"""

import functools
import inspect
import operator
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CellType, FunctionType, MethodType
from typing import Any

from microgpt.engines.collector import collector_paused
from microgpt.engines.compiled.branches import HELPER
from microgpt.engines.compiled.changes import UNBOUND
from microgpt.engines.compiled.choices import contents, fill
from microgpt.engines.compiled.llvm.threads import LOCK
from microgpt.engines.compiled.recording import is_pure, is_read
from microgpt.engines.compiled.source import Sources
from microgpt.engines.trees import map_arrays, map_numbers
from microgpt.explain.noting import Noting
from microgpt.explain.program import TooLongError
from microgpt.explain.tape import Plain, Recorded, Tape, Truth, node_of, plain
from microgpt.value import Value, pick

DEEPEST = 12  # branches within branches that Python would not take
MOST_NOTES = 300_000
Place = tuple[str, int, str, int]  # file, first line, name, last line


class NoBranchError(BaseException):
    """A branch that Python does not take does more than calculate. It is no Exception: no function catches it."""


class EarlyError(BaseException):
    """What follows an early return does more than calculate, so only what was returned counts."""

    def __init__(self, value: Any):
        super().__init__()
        self.value = value


@dataclass
class Call:
    """A call of a function with a source: `at` is the number of the note before it, `by` the number of the caller."""

    place: Place
    by: int
    line: int
    at: int


@dataclass
class Note:
    """What a line made: `call` is the number of the call, `kind` one of "given", "note", "turn", "asked", "returned",
    "yielded".

    `under` is the number of the choice whose branch it stands in, or -1.
    """

    call: int
    kind: str
    line: int
    names: tuple[str, ...]
    values: list[Any]
    under: int


@dataclass
class Followed:
    """All that a run left: the tape, the parameters' and the result's nodes, the calls, and the notes."""

    tape: Tape
    result: Any = None
    calls: list[Call] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    choices: list[tuple[int, int, bool]] = field(default_factory=list)  # the choice around, the test, how it decides
    under: int = -1
    caller: tuple[int, int] = (-1, 0)  # the call and the line from which the next function is called

    def add(self, call: Any, kind: str, line: int, names: tuple[str, ...], *values: Any) -> None:
        if call is not None and len(self.notes) < MOST_NOTES:
            self.notes.append(Note(call, kind, line, names, [frozen(value) for value in values], self.under))

    @contextmanager
    def branch(self, test: Truth, holds: bool) -> Iterator[None]:
        """What is done in a branch of a choice."""
        before, caller, other = self.under, self.caller, test.holds != holds
        self.choices.append((before, test.node, holds))
        self.under = len(self.choices) - 1
        self.tape.may_fail += other
        try:
            yield
        finally:
            self.tape.may_fail -= other
            self.under, self.caller = before, caller

    def mark(self) -> tuple[int, int, int]:
        return len(self.notes), len(self.calls), len(self.tape.guards)

    def take_back(self, mark: tuple[int, int, int]) -> None:
        """Forget the notes since a mark."""
        del self.notes[mark[0] :], self.calls[mark[1] :], self.tape.guards[mark[2] :]


NOW: list[Followed] = []  # the run that is being followed, the innermost last


def frozen(value: Any, depth: int = 0) -> Any:
    """A value as it is now: numbers, lists of such, and a few words about anything else."""
    if isinstance(value, (list, tuple)) and depth < 4:
        return [frozen(one, depth + 1) for one in value]
    if isinstance(value, dict) and depth < 4:
        return {str(key): frozen(one, depth + 1) for key, one in value.items()}
    if isinstance(value, (Recorded, Plain)):
        return value
    if isinstance(value, (int, float, str, bool)) or value is None:
        return repr(value)[:40] if isinstance(value, str) else value
    named = getattr(value, "__name__", None)
    return named if isinstance(named, str) else f"a {type(value).__name__}"


def follow(function: Callable[..., Any], arrays: Any, example: tuple[Any, ...], limit: int) -> Followed:
    """Return what a function of (params, *example) does with these parameters, arrays, and one example.

    Raises TooLongError if it takes more nodes than the limit, and TypeError if it does not return a scalar.
    """
    tape = Tape(limit)
    params = map_arrays(lambda array: map_numbers(tape.parameter, array.tolist()), arrays)
    given = [map_numbers(tape.given, row) for row in example]
    found = Followed(tape)
    with LOCK, collector_paused():  # all threads share what follows
        NOW.append(found)
        limit_before = sys.getrecursionlimit()
        sys.setrecursionlimit(5 * limit_before)
        try:
            result = call(None, 0, function, params, *given)
            constant = isinstance(result, (int, float)) and node_of(result) is None
            found.result = tape.plain(tape.constant(result), float(result)) if constant else result
        finally:
            sys.setrecursionlimit(limit_before)
            NOW.pop()
    return found


# Calls


def call(here: Any, line: int, function: Any, /, *arguments: Any, **options: Any) -> Any:
    """function(*arguments, **options), rewritten first if it is a Python function with a source."""
    if not NOW:
        return function(*arguments, **options)
    found, kind = NOW[-1], type(function)
    if kind is functools.partial:
        return call(here, line, function.func, *function.args, *arguments, **{**function.keywords, **options})
    if kind is MethodType and type(function.__func__) is FunctionType:
        if isinstance(function.__self__, (Value, Plain)):
            return function(*arguments, **options)
        return run(found, here, line, function.__func__, (function.__self__, *arguments), options)
    if function is pick and len(arguments) == 2:  # which looks whether the index is there
        return function(arguments[0], plain(arguments[1]))
    if kind is FunctionType:
        return run(found, here, line, function, arguments, options)
    if function in (max, min) and not options.keys() - {"default"}:
        return extreme(function, *arguments, **options)
    if function is sum:
        return total(*arguments, **options)
    method = getattr(kind, "__call__", None)  # noqa: B004
    if not isinstance(function, type) and isinstance(method, FunctionType):
        return run(found, here, line, method, (function, *arguments), options)
    if kind is type and is_read(function, SOURCES):
        made = object.__new__(function)
        run(found, here, line, function.__init__, (made, *arguments), options)
        return made
    if found.tape.may_fail and not is_harmless(function):
        raise NoBranchError
    followed = [followed_function(here, line, one) for one in arguments]
    return function(*followed, **{name: followed_function(here, line, one) for name, one in options.items()})


def total(items: Any, /, start: Any = 0) -> Any:
    """sum(items, start). Of plain floats alone, newer Pythons make a more exact sum, which is then a constant."""
    known = list(items)
    found = sum(known, start)
    if all(isinstance(item, (float, int)) for item in (*known, start)):
        exact = sum(map(plain, known), plain(start))
        return found if plain(found) == exact else exact
    return found


def is_harmless(function: Any) -> bool:
    """Whether a builtin only calculates."""
    return is_pure(function) or function in (sum, zip, enumerate, reversed, list, tuple, map, len, range, isinstance)


def followed_function(here: Any, line: int, x: Any) -> Any:
    """A function that a builtin calls, as one that is followed."""
    return functools.partial(call, here, line, x) if type(x) in (FunctionType, MethodType) else x


def run(found: Followed, here: Any, line: int, function: FunctionType, arguments: Any, options: Any) -> Any:
    """A Python function with notes in it."""
    own = rewritten(function)
    if own is function and found.tape.may_fail and function.__module__ != "microgpt.value":
        raise NoBranchError
    before, found.caller = found.caller, (-1 if here is None else here, line)
    try:
        result = own(*arguments, **options)
    except EarlyError as early:
        result = early.value
    finally:
        after, found.caller = found.caller, before
    return begun_later(found, after, result) if function.__code__.co_flags & inspect.CO_GENERATOR else result


def begun_later(found: Followed, caller: tuple[int, int], items: Any) -> Iterator[Any]:
    """The items of a generator, which begins when the first one is asked for."""
    before, found.caller = found.caller, caller
    item = next(items, UNBOUND)
    found.caller = before
    while item is not UNBOUND:
        yield item
        item = next(items, UNBOUND)


def begin(place: Place) -> int | None:
    """The number of a call that begins."""
    if not NOW:
        return None
    found = NOW[-1]
    found.calls.append(Call(place, *found.caller, len(found.notes)))
    found.caller = (len(found.calls) - 1, place[1])  # for what is called without a helper
    return len(found.calls) - 1


# Notes


def note(here: Any, line: int, names: tuple[str, ...], *values: Any) -> None:
    """Note what variables have after a line."""
    if NOW:
        NOW[-1].add(here, "note", line, names, *values)


def given(here: Any, line: int, names: tuple[str, ...], *values: Any) -> None:
    """Note the arguments of a function."""
    if NOW:
        NOW[-1].add(here, "given", line, names, *values)


def turn(here: Any, line: int, names: tuple[str, ...], *values: Any) -> None:
    """Note that a turn of a loop begins."""
    if NOW:
        NOW[-1].add(here, "turn", line, names, *values)


def asked(here: Any, line: int, words: str, test: Any) -> Any:
    """Note how a test came out; return it."""
    if NOW:
        NOW[-1].add(here, "asked", line, (words,), test)
    return test


def returned(here: Any, line: int, value: Any) -> Any:
    """Note what is returned; return it."""
    if NOW:
        NOW[-1].add(here, "returned", line, ("return",), value)
    return value


def yielded(here: Any, line: int, value: Any) -> Any:
    """Note what is yielded; return it."""
    if NOW:
        NOW[-1].add(here, "yielded", line, ("yield",), value)
    return value


def changes() -> None:
    """An object is changed, which a branch that Python does not take must not do."""
    if NOW and NOW[-1].tape.may_fail:
        raise NoBranchError


# Choices


def selected(test: Truth, a: Any, b: Any) -> Any:
    """a if test else b, for numbers and tuples of such. (A list may be changed later, and has to be the very one.)"""
    if a is b or (type(a) is type(b) is str and a == b):
        return a
    if all(isinstance(one, (Value, int, float)) for one in (a, b)):
        return test.tape.where(test, a, b)
    if type(a) is type(b) is tuple and len(a) == len(b):
        return tuple([selected(test, *pair) for pair in zip(a, b, strict=True)])
    raise NoBranchError


def fork(test: Truth, first: Callable[[], Any], second: Callable[[], Any]) -> Any:
    """first() if test else second(), and what a `where` makes of both if the other one only calculates."""
    found = NOW[-1]
    taken, other = (first, second) if test.holds else (second, first)
    mark = found.mark()
    try:
        beside = aside(found, test, other)
    except NoBranchError:
        found.take_back(mark)
        guard(test)
        return taken()
    with found.branch(test, test.holds):
        value = taken()
    try:
        return selected(test, *((value, beside) if test.holds else (beside, value)))
    except NoBranchError:
        guard(test)
        return value


def aside(found: Followed, test: Truth, function: Callable[[], Any]) -> Any:
    """What a branch gives that Python does not take. Raises NoBranchError if it does more than calculate."""
    if found.tape.may_fail >= DEEPEST:
        raise NoBranchError
    with found.branch(test, not test.holds):
        try:
            return function()
        except (TooLongError, NoBranchError):
            raise
        except Exception as error:
            raise NoBranchError from error


def guard(test: Truth) -> None:
    """Keep a choice as it ran, in the innermost line that is not of ours."""
    frame: Any = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    test.tape.guard(test, frame)


def chosen(test: Any, first: Callable[[], Any], second: Callable[[], Any]) -> Any:
    """first() if test else second()"""
    if isinstance(test, Truth) and NOW:
        return fork(test, first, second)
    return first() if test else second()


def truth(test: Any) -> Any:
    """Whether a test holds."""
    return test if isinstance(test, Truth) else bool(test)


def both(test: Any, second: Callable[[], Any]) -> Any:
    """test and second()"""
    return fork(test, second, lambda: False) if isinstance(test, Truth) and NOW else test and second()


def either(test: Any, second: Callable[[], Any]) -> Any:
    """test or second()"""
    return fork(test, lambda: True, second) if isinstance(test, Truth) and NOW else test or second()


def negated(test: Any) -> Any:
    """not test"""
    return test.tape.where(test, False, True) if isinstance(test, Truth) else not test


def chained(names: tuple[str, ...], left: Any, right: Any, *more: Callable[[], Any]) -> Any:
    """left < right < more[0]() < ...; the names of the comparisons are those of the module operator."""
    found = getattr(operator, names[0])(left, right)
    return both(found, lambda: chained(names[1:], right, more[0](), *more[1:])) if more else found


def same(a: Any, b: Any) -> bool:
    """a is b, where a choice may have made another object of one of them"""
    return original(a) is original(b)


def original(x: Any) -> Any:
    """The object that a choice took."""
    while isinstance(x, Recorded) and x.choice is not None:
        guard(x.choice[0])
        x = x.choice[1]
    return x


def extreme(function: Any, *arguments: Any, **options: Any) -> Any:
    """max(*arguments) or min(*arguments): the first of equals, as Python has it."""
    items = list(arguments[0]) if len(arguments) == 1 else list(arguments)
    numbers = all(isinstance(item, (Value, int, float)) for item in items)
    if not items or not numbers or all(node_of(item) is None for item in items):
        return function(items, **options) if len(arguments) == 1 else function(*items, **options)
    best, *others = items
    for one in others:
        better = one > best if function is max else one < best
        best = better.tape.where(better, one, best) if isinstance(better, Truth) else one if better else best
    return best


class Returns:
    """What a function returns early where a truth says so. What follows is a branch, up to the end of the function.

    `early` has truths, each with a value; the first that holds decides.
    """

    def __init__(self) -> None:
        self.early: list[tuple[Truth, Any]] = []
        self.aside: Any = None  # the branch that Python does not take, because it has returned already
        self.under = -1  # the number of this branch
        self.at_first: Any = None

    def __enter__(self) -> "Returns":
        self.may_fail = NOW[-1].tape.may_fail if NOW else 0
        return self

    def add(self, test: Truth, holds: bool, value: Any, mark: Any) -> None:
        """Let a value be returned where the test decides so."""
        found = NOW[-1]
        self.early.append((test if holds else negated(test), value))
        if test.holds == holds and self.aside is None and found.tape.may_fail == self.may_fail:
            self.at_first = test, value, mark
            self.aside = found.branch(test, not holds)
            self.aside.__enter__()
            self.under = found.under

    def narrow(self, first: int, test: Truth, holds: bool) -> None:
        """Let what was added from a number on hold only where another test decides so, too."""
        own = test if holds else negated(test)
        self.early[first:] = [(test.tape.where(own, one, False), value) for one, value in self.early[first:]]

    def result(self, value: Any) -> Any:
        """What the function returns: this, where none of the tests decides otherwise."""
        for test, early in reversed(self.early):
            value = merged(test, *((early, value) if test.holds else (value, early)))
        return value

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if self.aside is None:
            return
        self.aside.__exit__(None, None, None)
        if kind is not None and not isinstance(error, TooLongError):
            test, value, mark = self.at_first
            NOW[-1].take_back(mark)
            guard(test)
            raise EarlyError(value) from None


def decided(test: Any, first: Any, second: Any, names: tuple[str, ...], returns: Any = None) -> tuple[Any] | None:
    """if test: first() else: second(); they share the variables with these names, and return what is in a tuple."""
    if not (isinstance(test, Truth) and NOW):
        return first() if test else second()
    found = NOW[-1]
    cells = dict(zip(first.__code__.co_freevars, first.__closure__ or (), strict=True))
    variables: list[CellType] = [cells[name] for name in names]
    before, mark = list(map(contents, variables)), found.mark()
    known = len(returns.early) if returns else 0
    taken, other = (first, second) if test.holds else (second, first)
    try:
        beside = aside(found, test, other)
        after_other = list(map(contents, variables))
        if returns:
            returns.narrow(known, test, not test.holds)
    except NoBranchError:
        if returns:
            del returns.early[known:]
        found.take_back(mark)
        fill(variables, before)
        guard(test)
        return taken()
    fill(variables, before)
    known = len(returns.early) if returns else 0
    with found.branch(test, test.holds):
        value = taken()
    if returns:
        returns.narrow(known, test, test.holds)
        found.under = returns.under if returns.aside else found.under
    mark = found.mark()
    return joined(test, variables, (value, list(map(contents, variables))), (beside, after_other), returns, mark)


def joined(test: Truth, variables: list[CellType], taken: Any, other: Any, returns: Any, mark: Any) -> Any:
    """What both branches of a choice give: each returned something or nothing, and left some variables."""
    (value, after), (beside, after_other) = taken, other
    if value is None and beside is None:
        for variable, a, b in zip(variables, after, after_other, strict=True):
            fill([variable], [merged(test, a, b)])
        return None
    if value is not None and beside is not None:
        return (merged(test, value[0], beside[0]),)
    if value is not None:
        returns.add(test, test.holds, value[0], mark)
        fill(variables, after_other)
    else:
        returns.add(test, not test.holds, beside[0], mark)
    return None


def merged(test: Truth, a: Any, b: Any) -> Any:
    """A variable after the branch that Python takes and the other one."""
    if a is UNBOUND or b is UNBOUND:
        return a
    try:
        return selected(test, *((a, b) if test.holds else (b, a)))
    except NoBranchError:
        guard(test)
        return a


HELPERS: dict[str, Any] = {
    HELPER + function.__name__: function
    for function in (
        call, begin, given, note, turn, asked, returned, yielded, changes,
        chosen, both, either, negated, chained, decided, truth, same,
    )
} | {HELPER + "returns": Returns, HELPER + "here": None}  # fmt: skip
SOURCES = Sources(HELPERS, Noting)


def rewritten(function: FunctionType) -> FunctionType:
    """A function with notes in it; itself if it has no source, or is of the engine."""
    if function.__module__ == "microgpt.value" or function.__code__.co_filename == __file__:
        return function
    code = SOURCES.rewritten(function)
    if code is None or code is function.__code__:
        return function
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    closure = tuple(cells[name] if name in cells else CellType(HELPERS[name]) for name in code.co_freevars)
    found = FunctionType(code, function.__globals__, function.__name__, function.__defaults__, closure)
    found.__kwdefaults__ = function.__kwdefaults__
    return found
