"""The workshop in a notebook: what is written in a cell is looked at, questions are answered, patients visited."""

import dis
import inspect
from pathlib import Path
from types import CellType, FunctionType
from typing import Any

from microgpt.errors import InputError
from microgpt.surroundings import along
from microgpt.workshop.clinic.visit import Clinic
from microgpt.workshop.course import EXERCISES, exercise_named
from microgpt.workshop.exercise import Exercise
from microgpt.workshop.judge import book, judge, variant_names
from microgpt.workshop.lines import book_text
from microgpt.workshop.talk import is_right, say

MINE = Path("mine")
NAMES = along("data/names.txt")
NOTHING = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE"}  # what a function of three dots does


def look_at(thing: Any, exercise: str | None = None) -> bool:
    """Print what is right and what is not about a function, or about the methods of a class; return whether all is.

    It is known by its name, which is that of the book: `softmax`, or `Value`. A class need not have all methods yet:
    `class Value(Value)` goes on with those of the cells before. The name of an exercise tells which of several
    functions of one name is meant.

    Raises InputError for a name that no exercise has.
    """
    found = exercises_of(thing) if exercise is None else [exercise_named(exercise)]
    if not found:
        known = sorted({name.split(".")[0] for one in EXERCISES for name in one.writes})
        raise InputError(f"no exercise asks for {thing.__name__}: look_at knows {', '.join(known)}")
    if inspect.isclass(thing):
        names = in_one_class(thing)
    else:
        names = {**getattr(thing, "__globals__", {}), thing.__name__: thing}
        if not calculates(names.get("Value")):  # a Value of an earlier cell may be unfinished
            names["Value"] = book("value.py")["Value"]
    for one in found:
        empty = [name for name in one.writes if is_hole(vars(thing).get(name.split(".")[-1], thing))]
        if empty:
            say(f"{one.name}: the hole of {empty[0].split('.')[-1]} is still empty.")
            return False
        theirs = {**book(one.file), **names}
        verdict = judge(one, theirs, names["Value"])
        if verdict.kind == "right" and one.finish is not None:
            MINE.mkdir(exist_ok=True)
            good, said = one.finish(theirs, MINE)
            say(said)
            if not good:
                return False
        if verdict.kind != "right":
            say(f"{one.name}: not yet.", *verdict.paragraphs)
            return False
        say(f"{one.name} is right. {verdict.paragraphs[-1]}")
    return True


def calculates(value: Any) -> bool:
    """Return whether a class has all operations, so that functions can be tried on it."""
    needed = {name.split(".")[1] for exercise in EXERCISES if exercise.file == "value.py" for name in exercise.writes}
    return all(hasattr(value, name) for name in needed - {"topological_order", "backward"})


def in_one_class(thing: type) -> dict[str, Any]:
    """Return the names of value.py, with a Value that has the methods of this class and of those that it goes on with.

    They are put into one class, because Python treats an operator of a subclass in another way.
    """
    names = variant_names("value.py", book_text("value.py"))
    own = [one for one in thing.__mro__ if one.__module__ == thing.__module__]
    for one in reversed(own):
        for name, method in vars(one).items():
            if isinstance(method, FunctionType):
                setattr(names["Value"], name, meaning(method, thing.__name__, names["Value"]))
    return names


def meaning(method: FunctionType, name: str, value: Any) -> FunctionType:
    """Return a function in which an outer name stands for another value."""
    free, cells = method.__code__.co_freevars, method.__closure__ or ()
    closure = tuple(CellType(value) if one == name else cell for one, cell in zip(free, cells, strict=True))
    inner = {**method.__globals__, name: value}
    return FunctionType(method.__code__, inner, method.__name__, method.__defaults__, closure)


def exercises_of(thing: Any) -> list[Exercise]:
    """Return the exercises whose functions are all there. What minus is may stand in Value, too."""
    if not inspect.isclass(thing):
        return [exercise for exercise in EXERCISES if thing.__name__ in exercise.writes]
    owners = {thing.__name__, *(["Scalar"] if thing.__name__ == "Value" else [])}
    there = {f"{owner}.{name}" for owner in owners for name in vars(thing)}
    return [exercise for exercise in EXERCISES if set(exercise.writes) <= there]


def is_hole(thing: Any) -> bool:
    """Return whether a function does nothing at all."""
    return isinstance(thing, FunctionType) and {one.opname for one in dis.get_instructions(thing)} <= NOTHING


def answer(name: str, typed: Any = "") -> None:
    """Mark an answer to a question of the workshop, with a reason; without one, ask it. Raises InputError if there is
    no such question."""
    questions = {question.name: question for exercise in EXERCISES for question in exercise.questions}
    if name not in questions:
        raise InputError(f"there is no question {name!r}: expected one of {', '.join(questions)}")
    question = questions[name]
    if not str(typed).strip():
        say(question.asks)
    elif is_right(question, str(typed)):
        say(f"Right. {question.because}")
    else:
        say(dict(question.wrong).get(str(typed).strip(), "That is not it."))


def patient(number: int, guess: int | None = None) -> None:
    """Visit a patient of the clinic: see how it trains, say what is suspected, or see whether it is cured.

    Its program is in mine/clinic/, to be mended in any editor.
    """
    typed = iter([] if guess is None else [str(guess)])
    Clinic(MINE, NAMES, read=lambda _: next(typed, "")).visit(number)
