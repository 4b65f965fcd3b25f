"""What kind of number a recorded scalar is in Python, where the function asks.

It runs on floats, or on Values where gradients are wanted. `x > 0` is a bool there, and what is made of such may be an
int. So there is an answer only where all of these would give the same one.
"""

from collections.abc import Iterable
from typing import Any

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
    Record,
    RecordedScalar,
    RecordingError,
    calling_line,
)
from microgpt.value import Value

Kinds = frozenset[type]
EVERY = (bool, int, float, Value)
OF_PARAMETERS: Kinds = frozenset((float, Value))
OF_ROWS: dict[int, Kinds] = {
    PARAMETER: OF_PARAMETERS, INPUT: frozenset((float,)), LESS: frozenset((bool,)), LESS_EQUAL: frozenset((bool,)),
}  # fmt: skip


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


def kinds_of(scalar: RecordedScalar) -> Kinds:
    """The types that a recorded scalar may have in Python."""
    record, left, known = scalar.record, [scalar.node], scalar.record.kinds
    while left:
        row = left[-1]
        kind = record.kind[row]
        before = [] if kind in (CARRY, *OF_ROWS) else record.operands(row)[kind == WHERE :]
        waiting = [one for one in before if one not in known]
        if waiting and row not in known:
            left += waiting
        else:
            known[left.pop()] = kinds_of_row(record, row, [known[one] for one in before])
    return known[scalar.node]


def kinds_of_row(record: Record, row: int, operands: list[Kinds]) -> Kinds:
    """The types of what an operation gives, for those of its operands."""
    kind = record.kind[row]
    if kind == CONSTANT:
        x = record.constants[record.right[row]]
        return frozenset((float, *([int] if x == x // 1 else []), *([bool] if x in (0, 1) else [])))
    if kind == CARRY:  # what it is next may be unknown yet
        return frozenset(EVERY)
    if kind in OF_ROWS:
        return OF_ROWS[kind]
    found = frozenset[type]().union(*operands)
    if kind in (VIEW, LIST, PICK, WHERE):
        return found
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
            if scalar is another or kinds_of(scalar) == kinds_of(another) == OF_PARAMETERS:
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
    return next(iter(kinds)) if len(kinds) == 1 else KindOfScalar(scalar)


def is_kind(scalar: RecordedScalar, kinds: Any) -> bool:
    """isinstance(scalar, kinds). Raises RecordingError where the types that it may have would answer differently."""
    if type(kinds) is KindOfScalar:
        return bool(kind_of(scalar) == kinds)
    answers = {one: issubclass(one, kinds) for one in EVERY}
    if len({*answers.values()}) > 1:
        scalar.ask_python()
        answers = {one: answers[one] for one in EVERY if one in kinds_of(scalar)}
    if len({*answers.values()}) > 1:
        raise many_kinds(scalar, kinds if isinstance(kinds, tuple) else getattr(kinds, "__args__", (kinds,)))
    return answers.popitem()[1]
