"""What an exercise is: plain data, which the files of the parts fill in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """One call of what the learner wrote. The same call of the book's lines says what must come."""

    call: str  # an expression, such as "a * b"
    given: dict[str, Any]  # its inputs by name; numbers with a point in them become Values
    before: str = ""  # statements that run first
    why: str = ""  # how the right answer comes about, for a case small enough to follow
    own: bool = False  # take gradients from the learner's backward(), not from a walk of ours
    plain: bool = False  # leave the inputs as plain numbers
    shown: str = ""  # what a learner would call it, if not by the expression


def case(
    call: str, before: str = "", why: str = "", own: bool = False, plain: bool = False, shown: str = "", **given: Any
) -> Case:
    """Return a case; the inputs of the call are given by name."""
    return Case(call, given, before, why, own, plain, shown)


@dataclass(frozen=True)
class Mistake:
    """A typical wrong answer: the book's lines with changes, and what to say about it.

    The words may hold {got} and {expected}, of the first case that shows the mistake, {call}, and its inputs by name.
    """

    words: str
    changes: tuple[tuple[str, str], ...] = ()  # in the book's lines: what stands there, and what takes its place
    body: str = ""  # or a whole other body, for the first function of the exercise


def wrong(words: str, *changes: tuple[str, str], body: str = "") -> Mistake:
    """Return a mistake, from its words and either changes or a body."""
    return Mistake(words, changes, body)


@dataclass(frozen=True)
class Question:
    """A question with a short answer, typed by the learner."""

    name: str
    asks: str
    right: tuple[str, ...]  # the accepted answers; numbers are compared as numbers
    because: str  # why they are right
    wrong: tuple[tuple[str, str], ...] = ()  # typical wrong answers, and what to say about each


@dataclass(frozen=True, eq=False)
class Exercise:
    """One step of the workshop."""

    name: str  # what --reset takes
    part: int
    file: str  # the learner's file, which has the name of the book's
    writes: tuple[str, ...]  # the functions it is about, by their names in the book: "Value.__mul__", "softmax"
    reading: str  # the page above the hole
    cases: tuple[Case, ...]  # from the smallest to the largest
    mistakes: tuple[Mistake, ...]
    hints: tuple[str, str, str]  # a question, a formula, almost the line
    good_for: str  # one sentence, said when it is right
    questions: tuple[Question, ...] = ()  # asked when it is right
    helpers: str = ""  # source of functions that the cases call
    trial: bool = False  # nothing new to write: what there is already is tried harder
    finish: Callable[[Any, Any], tuple[bool, str]] | None = None  # (namespace, folder) -> is it good, and what to print
    seconds: float = 5.0  # after so long it is stopped
