"""Choices by a recorded scalar: both branches are recorded, and the record selects one of their values.

    x ** 0.5 if x > 0 else 0.0

Here `x > 0` has no value yet. So the function takes both branches, one after the other. In Python only one of them is
taken, so a branch may calculate, assign variables and return. What it changes of lists and objects is selected, too
(see changes.py). Where the test is a plain value, Python decides as ever.
"""

import math
import operator
from collections.abc import Callable
from copy import copy
from numbers import Real
from types import CellType
from typing import Any

from microgpt.engines.compiled.changes import UNBOUND, Branch, merge
from microgpt.engines.compiled.frames import MoreState, Unknown
from microgpt.engines.compiled.kinds import is_truth, with_value
from microgpt.engines.compiled.lists import RecordedList
from microgpt.engines.compiled.objects import is_plain, is_tuple, names_of, note_choice, parts_of, with_parts
from microgpt.engines.compiled.record import (
    ADD,
    CONSTANT,
    INPUT,
    LARGEST,
    LESS,
    LESS_EQUAL,
    LOG,
    PARAMETER,
    POW,
    SUM,
    VIEW,
    WHERE,
    Axis,
    Index,
    IndexTest,
    NoAttributeError,
    NotTraceable,
    Record,
    RecordedScalar,
    RecordingError,
    Split,
    Stripes,
    at,
    calling_line,
    compared,
    is_of_another_kind,
    new,
    number_at,
)
from microgpt.engines.compiled.replacements import kind_of, operand
from microgpt.engines.compiled.stacking import as_chosen, stacked

DEEPEST = 50  # choices within choices
FEW = 8  # scalars, of which the greatest is found one by one
OF_RECORDING = (RecordingError, MemoryError, RecursionError)  # other errors matter where Python raises them
Returned = tuple[Any] | None  # what a branch returned, if it did
Arm = Any  # the code of a branch, a function without arguments, which shares variables with the one around it


def selected(test: Any, a: Any, b: Any) -> Any:
    """a if test else b, for a recorded test and what it can choose among: scalars, and tuples and lists of them.

    A list that was chosen is one that an integer could have chosen: it cannot change.
    """
    if type(test) is IndexTest:
        test = test.scalar()
    if type(test) is not RecordedScalar:
        return a if test else b
    if a is b or (type(a) is type(b) is str and a == b):
        return a
    if isinstance(a, (RecordedScalar, Real)) and isinstance(b, (RecordedScalar, Real)):
        if isinstance(a, Real) and isinstance(b, Real) and type(a) is type(b) and not may_differ(a, b):
            return a
        record = test.record
        return record.where(test, record.scalar(a), record.scalar(b))
    if type(a) is type(b) and is_tuple(type(a)) and len(a) == len(b):
        return with_parts(a, [selected(test, *pair) for pair in zip(a, b, strict=True)])
    objects = [one for one in (a, b) if is_of_another_kind(one)]
    if objects and len({type(one) for one in (a, b)}) > 1 and hasattr(objects[0], "lift"):
        a, b = map(objects[0].lift, (a, b))
    if objects and type(a) is type(b):
        found = copy(a)
        for name in vars(a):
            setattr(found, name, selected(test, getattr(a, name), getattr(b, name)))
        return found
    kind: Any = type(a)
    if is_plain(kind) and kind is type(b) and names_of(a) == names_of(b):
        for one in (a, b):
            note_choice(one)
        pairs = zip(parts_of(a), parts_of(b), strict=True)
        return with_parts(a, [selected(test, *pair) for pair in pairs], is_chosen=True)
    if isinstance(a, list) and isinstance(b, list):
        rows = [stacked(one, test.record) for one in (a, b)]
        if len(a) == len(b) and None in rows:  # such as a list of integers
            each = [selected(test, *pair) for pair in zip(a, b, strict=True)]
            return as_chosen(RecordedList.written_out(test.record, each), [a, b], "a recorded scalar")
        if len(a) == len(b):
            axis = Axis(len(a))
            items = [row.at(at(axis)) for row in rows if row is not None]
            return as_chosen(RecordedList(test.record, axis, selected(test, *items)), [a, b], "a recorded scalar")
    one, other = map(named, (a, b))
    raise RecordingError(
        f"a recorded scalar chooses between {one} and {other} at {calling_line()}: it can only choose "
        "among scalars, and tuples or lists of equally many of them, or dicts with the same keys"
    )


def may_differ(a: Any, b: Any) -> bool:
    """Whether two numbers, or two indices, are not surely the same."""
    apart = a - b if type(a) is Index else a != b
    return type(apart) is Index or bool(apart)


def named(thing: Any) -> str:
    """What kind of thing it is, for people."""
    if isinstance(thing, (RecordedScalar, Real)):
        return "a scalar"
    return f"a {kind_of(thing).__name__}" + (f" of {len(thing)}" if isinstance(thing, (list, tuple)) else "")


def branch(function: Callable[[], Any], record: Record) -> tuple[Any, Branch]:
    """What a branch gives, and what it changes."""
    loops, first = record.loops, len(record)
    if loops.depth > DEEPEST:
        raise RecordingError(
            f"there are {DEEPEST} choices within choices at {calling_line()}: a recorded scalar has no value yet, so "
            "it cannot end a recursion"
        )
    aborted, loops.aborted = loops.aborted, False
    frame = begin(record)
    try:
        result = function()
        done = not loops.aborted
    except (Split, Stripes, MoreState):  # of a loop around the choice
        raise
    except NotTraceable:
        done = False
    except Exception as error:  # such as 1 / 0 of plain numbers, max of nothing, a name that nothing has
        if not is_of_python(error):
            if error not in record.refusals:  # it is raised again if the function catches it
                record.refusals.append(error)
            raise
        frame.failed = error
        loops.failed.append(error)
        result, done = math.nan, True
    finally:
        end(record, frame)
        loops.aborted = aborted
    if not done:
        raise cannot_choose(record, calling_line())
    record.branches.append((first, len(record)))
    return result, frame


def is_of_python(error: Exception) -> bool:
    """Whether Python would raise an error, too, where it gets there."""
    return isinstance(error, NoAttributeError) or not isinstance(error, OF_RECORDING)


def begin(record: Record, early: int | None = None) -> Branch:
    """From here on changes are noted; with the number of a call, in the rest of a function that may have returned."""
    frame = Branch(record, early is not None)
    record.loops.depth += 1
    record.loops.frames.append(frame)
    if early is not None:
        record.loops.early.append(early)
    return frame


def end(record: Record, frame: Branch) -> None:
    """End a branch, and those within it that an exception has left."""
    last = None
    while last is not frame:
        last = record.loops.frames.pop()
        record.loops.depth -= 1
        if last.early:
            record.loops.early.pop()
        last.finish()


def cannot_choose(record: Record, line: str) -> BaseException:
    """The error for a branch that cannot be selected. In a loop that is traced, the loop runs in Python first."""
    if record.loops.depth:
        return NotTraceable()
    return RecordingError(
        f"a branch of a choice by a recorded scalar at {line} does more than calculate: both branches are recorded, so "
        "print, take from iterators, and make or change what is no list, dict or attribute, outside of it"
    )


def merged(test: Any, one: Branch | None, other: Branch | None) -> None:
    """Change everything as the branch does that a test selects. None stands for one without changes."""
    record = test.record
    for frame, holds in ((one, True), (other, False)):
        if frame is not None and frame.failed is not None:
            failing(test if holds else negated(test), record)
    if not any(frame is not None and frame.has_changes() for frame in (one, other)):
        return
    try:
        merge(test, one or Branch(record), other or Branch(record), selected_variable)
    except (Split, Stripes, MoreState):
        raise
    except NotTraceable:
        raise cannot_choose(record, calling_line()) from None


def failing(condition: Any, record: Record) -> None:
    """Let the function give nan where a condition holds: Python would have raised an error."""
    record.failures[0] = record.failures[0] + selected(condition, math.nan, 0.0)


# Errors that are caught


class Tried:
    """What a function does in a `try`. Raises RecordingError if some examples may raise an error that it catches.

    Args:
        caught: returns the classes of these errors, once they are needed.
    """

    def __init__(self, caught: Callable[[], Any]):
        self.caught, self.record = caught, Record.current
        if self.record is not None:
            self.rows, self.failed = len(self.record), len(self.record.loops.failed)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, *_: Any) -> Any:
        if self.record is None or (kind is not None and not issubclass(kind, Exception)):
            return None
        raised = {type(error) for error in self.record.loops.failed[self.failed :]}
        raised |= {error for row in range(self.rows, len(self.record)) for error in errors_of(self.record, row)}
        caught = self.caught() if raised else ()
        which = sorted([error.__name__ for error in raised if issubclass(error, caught)])
        if which:
            raise RecordingError(
                f"the `try` at {calling_line()} catches {' and '.join(which)}, which some examples may raise: recorded "
                "scalars have no value yet; choose by a if x > 0 else b"
            )
        return None


class Suppressed(Tried):
    """contextlib.suppress(*errors)"""

    def __init__(self, *errors: Any):
        super().__init__(lambda: errors)

    def __exit__(self, kind: Any, *_: Any) -> Any:
        super().__exit__(kind)
        return kind is not None and issubclass(kind, self.caught())


def errors_of(record: Record, row: int) -> tuple[Any, ...]:
    """The errors that an operation may raise in Python, on floats or Values."""
    if record.kind[row] == LOG:
        return (ValueError,)
    exponent = record.constants[record.right[row]] if record.kind[row] == POW else 1
    if exponent in (0, 1):
        return ()
    return (
        ValueError,
        OverflowError,
        *([ZeroDivisionError] if exponent < 0 else []),
        *([TypeError] if exponent % 1 else []),
    )


# Expressions


def by_indices(choose: Callable[..., Any], test: IndexTest, *branches: Any) -> Any:
    """A choice by a comparison of indices. Where both branches cannot be recorded, Python is asked for its value."""
    try:
        return choose(test.scalar(), *branches)
    except (Split, Stripes, MoreState):
        raise
    except (NotTraceable, RecordingError):
        return choose(bool(test), *branches)


def chosen(test: Any, first: Callable[[], Any], second: Callable[[], Any]) -> Any:
    """first() if test else second()"""
    test = with_value(test)
    if type(test) is IndexTest:
        return by_indices(chosen, test, first, second)
    if not is_truth(test):
        return first() if operand(test) else second()
    (a, one), (b, other) = branch(first, test.record), branch(second, test.record)
    merged(test, one, other)
    return selected(test, a, b)


def truth(test: Any) -> Any:
    """Whether a test holds, or the recorded scalar that says it."""
    test = with_value(test)
    return test if is_truth(test) or type(test) is IndexTest else bool(operand(test))


def both(test: Any, second: Callable[[], Any]) -> Any:
    """test and second()"""
    test = with_value(test)
    if type(test) is IndexTest:
        return IndexTest(test.index, test.holds, both(test.scalar(), second))
    if not is_truth(test):
        return operand(test) and operand(second())
    found, frame = branch(second, test.record)
    merged(test, frame, None)
    return selected(test, found, False)


def either(test: Any, second: Callable[[], Any]) -> Any:
    """test or second()"""
    test = with_value(test)
    if type(test) is IndexTest:
        return IndexTest(test.index, test.holds, either(test.scalar(), second))
    if not is_truth(test):
        return operand(test) or operand(second())
    found, frame = branch(second, test.record)
    merged(test, None, frame)
    return selected(test, True, found)


def negated(test: Any) -> Any:
    """not test"""
    if type(test) is IndexTest:
        known = test.known if test.known is None else negated(test.known)
        return IndexTest(test.index, lambda i: not test.holds(i), known)
    return selected(test, False, True) if is_truth(test) else not operand(test)


def chained(names: tuple[str, ...], left: Any, right: Any, *more: Callable[[], Any]) -> Any:
    """left < right < more[0]() < ...; the names of the comparisons are those of the module operator."""
    found = getattr(operator, names[0])(operand(left), operand(right))
    return both(found, lambda: chained(names[1:], right, more[0](), *more[1:])) if more else found


def best_of(items: Any, better: Callable[[Any, Any], Any]) -> Any:
    """The greatest or the least of some scalars, as `better` has it: the first one of equals."""
    best, *others = items
    for one in others:
        best = selected(better(one, best), one, best)
    return best


def best_along(items: RecordedList, better: Callable[[Any, Any], Any]) -> Any:
    """The same of a symbolic list: of each pair of neighbours the better one, and so on."""
    reverse = better is operator.lt
    if not (has_gradient(items.record, items.item.node) or is_truth(items.item)):
        return signed(largest_of(items, reverse), reverse)
    if items.axis.bound is not None:
        return first_best(items, reverse)
    left_over = []
    while items.axis.n > 1:
        pairs = Axis(items.axis.n // 2, items.axis.ragged)
        if items.axis.n % 2:
            left_over.append(items.at(items.axis.n - 1))
        a, b = items.at(at(pairs) * 2), items.at(at(pairs) * 2 + 1)
        items = RecordedList(items.record, pairs, selected(better(b, a), b, a))
    return best_of([items.at(0), *reversed(left_over)], better)


def signed(scalar: RecordedScalar, reverse: bool) -> RecordedScalar:
    return -scalar if reverse else scalar


def largest_of(items: RecordedList, reverse: bool = False) -> Any:
    """The greatest of all items, or of their negatives."""
    shortest = items.length()
    if (shortest.span()[0] if type(shortest) is Index else shortest) < 1:
        raise NotTraceable  # in Python it may raise
    axis = items.axis.another()
    return items.record.over(LARGEST, signed(items.at(at(axis)), reverse), axis)


def first_best(items: RecordedList, reverse: bool) -> Any:
    """The same of a list as long as an index says: the first item that is as great as the greatest."""
    record, none = items.record, items.record.scalar(0.0)
    one, other = items.axis.another(), items.axis.another()
    size = record.over(LARGEST, signed(items.at(at(one)), reverse), Axis(1))  # in memory, so equal ones stay equal
    sizes = RecordedList(record, one, size)
    best = largest_of(sizes)
    falling = record.where(best <= size, number_at(at(one), lambda i: -float(i)), record.scalar(-math.inf))
    first = record.over(LARGEST, falling, one)
    is_first = record.where(first <= number_at(at(other), lambda i: -float(i)), best <= sizes.at(at(other)), none)
    found = record.over(SUM, record.where(is_first, items.at(at(other)), none), other)
    return record.where(best <= best, found, best)  # nan is below nothing


def absolute(x: Any) -> Any:
    """abs(x), of what depends on no parameter: a Value has none."""
    plain = type(x) is RecordedScalar and not has_gradient(x.record, x.node)
    return selected(x >= 0, x, -x) if plain else abs(operand(x))


def has_gradient(record: Record, row: int) -> bool:
    """Whether a row depends on a parameter, other than by choices without a gradient."""
    seen, left = set[int](), [row]
    while left:
        row = left.pop()
        kind = record.kind[row] if row >= 0 else PARAMETER  # the next state of a loop that is being recorded
        if kind == PARAMETER:
            return True
        if row not in seen and kind not in (CONSTANT, INPUT, LESS, LESS_EQUAL, LARGEST):
            seen.add(row)
            left += record.operands(row)[kind == WHERE :]
    return False


# Statements


class Returns:
    """What a function returns early where a recorded scalar says so: conditions, each with a value.

    What follows one of them is a branch, up to the end of the function, or of the branch around it.
    """

    def __init__(self) -> None:
        self.early: list[tuple[Any, Any]] = []
        self.rests: list[tuple[Branch, int, int]] = []  # such branches: the number of a condition, the first row
        self.line = ""

    def __enter__(self) -> "Returns":
        self.record: Any = Record.current
        if self.record is not None:
            self.record.loops.calls += 1
            self.call = self.record.loops.calls
        return self

    def add(self, condition: Any, value: Any) -> None:
        self.line = self.line or calling_line()
        self.early.append((condition, value))

    def narrow(self, first: int, condition: Any) -> None:
        """Let the conditions from a number on hold only where another one does, too."""
        self.early[first:] = [(selected(condition, one, False), value) for one, value in self.early[first:]]

    def go_on(self, known: int) -> None:
        """Begin what follows the conditions from a number on, unless nothing has changed since those before it."""
        if len(self.early) > known and (not self.rests or self.rests[-1][0].has_changes()):
            self.rests.append((begin(self.record, self.call), known, len(self.record)))

    def result(self, value: Any) -> Any:
        """What the function returns: this, where none of the conditions holds."""
        for condition, early in reversed(self.early):
            value = selected(condition, early, value)
        return value

    def close(self) -> None:
        """End what followed the conditions: it changes something only where none of them holds."""
        last = len(self.early)
        while self.rests:
            frame, known, first = self.rests.pop()
            end(self.record, frame)
            self.record.branches.append((first, len(self.record)))
            if frame.has_changes() or frame.failed is not None:
                gone: Any = False
                for condition, _ in reversed(self.early[known:last]):
                    gone = selected(condition, True, gone)
                merged(gone, None, frame)
            last = known

    def __exit__(self, kind: Any, error: Any, _: Any) -> bool:
        """End what follows the last condition. Whether that has raised an error, which Python may never reach."""
        if not self.rests:
            return False
        cannot = kind is NotTraceable or self.record.loops.aborted
        failed = not cannot and isinstance(error, Exception) and is_of_python(error)
        if failed:
            self.rests[-1][0].failed = error
            self.record.loops.failed.append(error)
        if failed or (kind is None and not cannot):
            self.close()
            return failed
        end(self.record, self.rests[0][0])
        if cannot:
            raise cannot_choose(self.record, self.line)
        return False


def decided(test: Any, first: Arm, second: Arm, names: tuple[str, ...], returns: Any = None) -> Returned:
    """if test: first() else: second(); they share the variables with these names, and return what is in a tuple.

    What only one of them returns goes to `returns`.
    """
    test = with_value(test)
    if type(test) is IndexTest:
        return by_indices(decided, test, first, second, names, returns)
    if not is_truth(test):
        return first() if operand(test) else second()
    cells = dict(zip(first.__code__.co_freevars, first.__closure__ or (), strict=True))
    variables = [cells[name] for name in names]
    before, known = list(map(contents, variables)), len(returns.early) if returns else 0
    one, after_one, changes_one = take(first, variables, returns, test)
    fill(variables, before)
    other, after_other, changes_other = take(second, variables, returns, test, False)
    merged(test, changes_one, changes_other)
    if one is not None and other is not None:
        return (selected(test, one[0], other[0]),)
    if one is not None:
        returns.add(test, one[0])
    elif other is not None:
        returns.add(negated(test), other[0])
        fill(variables, after_one)
    else:
        found = zip(names, before, after_one, after_other, strict=True)
        fill(variables, [variable_after(test, *values) for values in found])
    if returns:
        returns.go_on(known)
    return None


def within(indices: list[Any], turn: Callable[..., Any], item: Any, values: tuple[Any, ...]) -> Any:
    """What a turn of a loop leaves in variables if no index is negative, else what it finds there."""
    test = True
    for index in indices:
        test = both(test, lambda index=index: compared(index, lambda i: i >= 0))  # type: ignore[misc]
    if type(test) is not IndexTest:
        return turn(item, *values) if test else values
    scalar = test.scalar()
    found, frame = branch(lambda: turn(item, *values), scalar.record)
    if type(found) is not tuple or frame.failed is not None:  # it ends the loop
        raise NotTraceable
    merged(scalar, frame, None)
    names = [""] * len(values)  # none is without a value
    return tuple(map(variable_after, [scalar] * len(values), names, values, found, values))


def take(
    function: Arm, variables: list[CellType], returns: Any, test: Any, holds: bool = True
) -> tuple[Returned, list[Any], Branch]:
    """What a branch returns, the variables after it, and what else it changes.

    What is returned early within it, is so only where the test holds, or does not hold.
    """
    known, rests = len(returns.early) if returns else 0, returns.rests if returns else []

    def up_to_its_end() -> Any:
        found = function()
        if returns:
            returns.close()
        return found

    if returns:
        returns.rests = []
    try:
        result, frame = branch(up_to_its_end, test.record)
    finally:
        if returns:
            returns.rests = rests
    if frame.failed is not None:
        fill(variables, [math.nan] * len(variables))
        result = (math.nan,) if returns else None
    if returns and len(returns.early) > known:
        returns.narrow(known, test if holds else negated(test))
    return result, list(map(contents, variables)), frame


def variable_after(test: Any, name: str, before: Any, a: Any, b: Any) -> Any:
    """A variable after two branches. Where it cannot be selected, whoever reads it raises the error."""
    if (a is UNBOUND) != (b is UNBOUND):
        return Unknown(
            f"only one branch of a choice by a recorded scalar at {calling_line()} sets {name}, which is read later: "
            "set it in the other branch, too, or before"
        )
    for value in (a, b):
        if type(value) is Unknown:
            return value
    refusals = len(test.record.refusals)
    try:
        return selected_variable(test, before, a, b)
    except RecordingError as error:
        del test.record.refusals[refusals:]
        return Unknown(str(error))


def selected_variable(test: Any, before: Any, a: Any, b: Any) -> Any:
    """A variable after two branches; none if one of them does not assign it.

    Where they add to it, one of two terms is selected, so that a sum over the turns of a loop stays a sum.
    """
    if a is UNBOUND or b is UNBOUND:
        return UNBOUND
    if type(before) is RecordedScalar and a is not b:
        terms = added(a, before), added(b, before)
        if not any(term is None for term in terms):
            return before + selected(test, *terms)
    return selected(test, a, b)


def added(value: Any, before: RecordedScalar) -> Any:
    """What was added to a scalar, if this is the sum; else None."""
    if value is before:
        return 0.0
    if type(value) is not RecordedScalar or value.record.kind[value.node] != ADD:
        return None
    record, row = value.record, value.node
    whole = [(0, ((axis, 1),)) for axis in record.axes.get(row, ())]
    if places(value) != whole:
        return None
    first, second = operand_of(record, record.left[row]), operand_of(record, record.right[row])
    if first.node == before.node and places(first) == places(before):
        return second
    more = added(first, before)
    return None if more is None else more + second


def operand_of(record: Record, row: int) -> RecordedScalar:
    """A row that an operation reads, as a scalar."""
    scalar = new(RecordedScalar)
    scalar.record, scalar.row, scalar.node, scalar.index, scalar.free = record, row, row, (), ()
    if record.kind[row] == VIEW:
        scalar.node, scalar.index = record.left[row], record.indices[record.right[row]]
        scalar.free = record.axes.get(row, ())
    return scalar


def places(scalar: RecordedScalar) -> list[Any]:
    """The indices of a scalar in its family, to be compared."""
    return [(index.constant, index.terms) if type(index) is Index else (index, ()) for index in scalar.index]


def contents(variable: CellType) -> Any:
    """What a variable holds, or UNBOUND."""
    try:
        return variable.cell_contents
    except ValueError:
        return UNBOUND


def fill(variables: list[CellType], values: list[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        if value is not UNBOUND:
            variable.cell_contents = value
        elif contents(variable) is not UNBOUND:
            del variable.cell_contents
