"""What kind of number a recorded scalar is in Python, where the function asks.

Where gradients are wanted, what depends on a parameter is a Value, and other scalars are floats. `x > 0` is a bool, and
what is made of such may be an int. There is an answer where all that a scalar may be would give the same one. Where
floats in place of Values would give another one, the record notes the line: no result may depend on it.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from microgpt.engines.compiled.record import (
    ADD,
    CARRY,
    CONSTANT,
    EXP,
    INPUT,
    LARGEST,
    LESS,
    LESS_EQUAL,
    LIST,
    LOG,
    MUL,
    PARAMETER,
    PICK,
    POW,
    SUM,
    VIEW,
    WHERE,
    Axis,
    NoAttributeError,
    NotTraceable,
    Record,
    RecordedScalar,
    RecordingError,
    calling_line,
)
from microgpt.engines.compiled.recorded_numbers import plain_numbers
from microgpt.value import LARGEST_EXPONENT, Value

Kinds = frozenset[type]
EVERY = (bool, int, float, Value)
VALUE: Kinds = frozenset((Value,))
OF_ROWS: dict[int, Kinds] = {
    PARAMETER: VALUE, INPUT: frozenset((float,)), LESS: frozenset((bool,)), LESS_EQUAL: frozenset((bool,)),
}  # fmt: skip


def exp_of_math(x: Any) -> Any:
    """math.exp(x), which raises OverflowError for a large x: a `try` around it may not catch that."""
    x.record.loops.failed.append(OverflowError())
    return x.exp()


def exp_of_numpy(x: Any) -> Any:
    """np.exp(x), which is infinite for a large x."""
    return x.record.where(x > LARGEST_EXPONENT, x.record.scalar(math.inf), x.exp())


OPERATIONS: dict[Any, Callable[..., Any]] = {
    math.exp: exp_of_math,
    np.exp: exp_of_numpy,
    **{function: lambda x: x.log() for function in (math.log, np.log)},
    **{function: lambda x: x**0.5 for function in (math.sqrt, np.sqrt)},
    math.pow: lambda x, k: x**k,
}


def is_truth(test: Any) -> bool:
    """Whether a test is a recorded scalar that is 1 or 0: a comparison, or several with `and`, `or` and `not`."""
    return type(test) is RecordedScalar and is_truth_row(test.record, test.node)


def is_truth_row(record: Record, row: int) -> bool:
    """Whether a row is a comparison, or chooses among such and the constants 1 and 0."""
    rows, seen = [row], {row}
    for one in rows:
        kind = record.kind[one]
        if kind not in (VIEW, WHERE):
            if kind not in (LESS, LESS_EQUAL) and not (
                kind == CONSTANT and record.constants[record.right[one]] in (0, 1)
            ):
                return False
            continue
        inner = [record.left[one]] if kind == VIEW else record.choices[record.right[one]]
        rows += [each for each in inner if each not in seen]
        seen.update(inner)
    return True


def with_value(test: Any) -> Any:
    """A test as it is, or its value if it is made of comparisons of indices alone and depends on no axis any more."""
    if type(test) is not RecordedScalar or test.free or not test.record.index_tests:
        return test
    record, rows, seen = test.record, [test.node], {test.node}
    for row in rows:
        kind = record.kind[row]
        if kind in (VIEW, WHERE):
            inner = record.operands(row)
            rows += [one for one in inner if one not in seen]
            seen.update(inner)
        elif kind != CONSTANT and row not in record.index_tests:
            return test
    found = plain_numbers(record, test, ())
    return test if found is None or seen.isdisjoint(record.index_tests) else bool(found)


def kinds_of(scalar: RecordedScalar) -> Kinds:
    """The types that a recorded scalar may have in Python."""
    record, left, known = scalar.record, [scalar.node], scalar.record.kinds
    while left:
        row = left[-1]
        if row in known:
            left.pop()
            continue
        kind = record.kind[row]
        before = [] if kind in OF_ROWS else record.operands(row)[kind == WHERE :]
        before = before if kind != CARRY else [] if is_carried(record, row) else before[:1]
        waiting = [one for one in before if one not in known]
        if waiting:
            left += waiting
        else:
            known[left.pop()] = kinds_of_row(record, row, [known[one] for one in before])
    return known[scalar.node]


def is_carried(record: Record, row: int) -> bool:
    """Whether the turn is over that says what a state is next."""
    return record.right[row] >= 0


def check_kinds(symbol: RecordedScalar, value: Any) -> None:
    """Raise NotTraceable if a turn has asked what kind of number a state is, and leaves another kind."""
    known = symbol.record.kinds.get(symbol.node)
    if known is not None and kinds_of(symbol.record.scalar(value)) != known:
        raise NotTraceable


def kinds_of_row(record: Record, row: int, operands: list[Kinds]) -> Kinds:
    """The types of what an operation gives, for those of its operands."""
    kind = record.kind[row]
    if kind == CONSTANT:
        x = record.constants[record.right[row]]
        return frozenset((float, *([int] if x == x // 1 else []), *([bool] if x in (0, 1) else [])))
    if kind == CARRY:  # within a turn: what it begins as, and each turn must leave the same
        return frozenset(EVERY) if is_carried(record, row) else operands[0]
    if kind in OF_ROWS:
        return OF_ROWS[kind]
    found = frozenset[type]().union(*operands)
    if kind in (VIEW, LIST, PICK, WHERE):
        return found
    if VALUE in operands and kind != LARGEST:
        return VALUE
    if kind == LARGEST:
        return found - {Value} | ({float} if Value in found else set())
    if bool in found:
        found = found - {bool} | {int}
    exponent = record.constants[record.right[row]] if kind == POW else 1.0
    if kind in (LOG, EXP) or exponent < 0 or exponent % 1:
        return found - {int} | ({float} if int in found else set())
    if kind == POW and int in found:
        return found | {float}  # of a float that is a whole number
    assert kind in (ADD, MUL, POW, SUM)
    sure = any(not one & {int, bool} for one in operands)
    return found - {int} if sure else found


class KindOfScalar:
    """What `type` gives for a recorded scalar that may be one of several kinds."""

    def __init__(self, scalar: RecordedScalar):
        self.scalar = scalar

    def __eq__(self, other: Any) -> bool:
        scalar = scalar_of(self)
        if type(other) is KindOfScalar:
            another = scalar_of(other)
            if scalar is another:
                return True
            raise many_kinds(scalar, kinds_of(another))
        if other in kinds_of(scalar):
            raise many_kinds(scalar, (other,))
        return False

    def refuse(self, *_: Any) -> Any:
        raise many_kinds(scalar_of(self), kinds_of(scalar_of(self)))

    __getattribute__ = __call__ = __repr__ = __instancecheck__ = __subclasscheck__ = refuse
    __hash__ = refuse


def scalar_of(kind: KindOfScalar) -> RecordedScalar:
    found: RecordedScalar = object.__getattribute__(kind, "scalar")
    return found


def many_kinds(scalar: RecordedScalar, asked: Iterable[type]) -> RecordingError:
    """The error where the answer depends on which of several kinds a scalar is."""
    names, may_be = (
        " or ".join([f"{'an' if kind is int else 'a'} {kind.__name__}" for kind in kinds])
        for kinds in (asked, [kind for kind in EVERY if kind in kinds_of(scalar)])
    )
    return RecordingError(
        f"a recorded scalar was asked whether it is {names} at {calling_line()}: it may be {may_be}, so do not let "
        "anything depend on that; ask whether it is a list, or pass a flag"
    )


def kind_of(scalar: RecordedScalar) -> Any:
    """type(scalar)"""
    scalar.ask_python()
    kinds = kinds_of(scalar)
    return answer(scalar, lambda kind: kind, kinds) if len(kinds) == 1 else KindOfScalar(scalar)


def is_kind(scalar: RecordedScalar, kinds: Any) -> bool:
    """isinstance(scalar, kinds)"""
    if type(kinds) is KindOfScalar:
        return bool(kind_of(scalar) == kinds)
    if len({issubclass(one, kinds) for one in EVERY}) > 1:
        scalar.ask_python()
    asked = kinds if isinstance(kinds, tuple) else getattr(kinds, "__args__", (kinds,))
    return bool(answer(scalar, lambda kind: issubclass(kind, kinds), asked))


def answer(scalar: RecordedScalar, ask: Callable[[type], Any], asked: Iterable[type]) -> Any:
    """What a question about its kind gives. Raises RecordingError where the kinds that it may be answer differently.

    It notes the line where a float, which is there if no gradients are wanted, answers otherwise than a Value.
    """
    kinds = kinds_of(scalar)
    found, *others = {ask(one) for one in kinds}
    if others:
        raise many_kinds(scalar, asked)
    if kinds == VALUE and ask(float) != found:
        scalar.record.asked_kind = scalar.record.asked_kind or calling_line()
    return found


def as_value(data: Any) -> RecordedScalar:
    """Value(data): the same number. It has a row of its own, because it is another kind of number."""
    record = Record.current
    assert record is not None
    if type(data) is RecordedScalar and kinds_of(data) == VALUE:
        raise RecordingError(f"Value(x) of a Value at {calling_line()}: it takes a plain number; write x, or x.data")
    found = record.scalar(data) * 1.0
    record.kinds[found.node], record.repeats[found.node] = VALUE, 0  # no operation of the function
    return found


def data_of(scalar: RecordedScalar) -> RecordedScalar:
    """The number of a Value, through which no gradient flows: the largest of one."""
    kinds = kinds_of(scalar)
    if Value not in kinds:
        raise NoAttributeError(f".data of a recorded scalar at {calling_line()}: a float has none; write x itself")
    if len(kinds) > 1:
        raise many_kinds(scalar, VALUE)
    return scalar.record.over(LARGEST, scalar, Axis(1))


def of_example(function: Any, arguments: tuple[Any, ...]) -> RecordedScalar | None:
    """A function of math or numpy by the five operations, where no parameter is in it; None if it has no such form."""
    if function not in OPERATIONS or any(type(one) is RecordedScalar and Value in kinds_of(one) for one in arguments):
        return None
    try:
        return OPERATIONS[function](*arguments)
    except TypeError:
        return None
