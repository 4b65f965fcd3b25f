"""The workshop in a notebook: look_at(Value) answers to a class or a function that was defined in a cell."""

import inspect
from typing import Any

from microgpt.errors import InputError
from microgpt.workshop.course import EXERCISES
from microgpt.workshop.exercise import Exercise
from microgpt.workshop.judge import book, judge
from microgpt.workshop.talk import say


def look_at(thing: Any) -> bool:
    """Print what is right and what is not about a function, or about the methods of a class; return whether all is.

    It is known by its name, which is that of the book: `softmax`, or `Value`. A class need not have all methods yet.
    Raises InputError for a name that no exercise has.
    """
    names = {"Value": book("value.py")["Value"], **getattr(thing, "__globals__", {}), thing.__name__: thing}
    found = exercises_of(thing)
    if not found:
        known = sorted({name.split(".")[0] for exercise in EXERCISES for name in exercise.writes})
        raise InputError(f"no exercise asks for {thing.__name__}: look_at knows {', '.join(known)}")
    for exercise in found:
        verdict = judge(exercise, {**book(exercise.file), **names}, names["Value"])
        if verdict.kind != "right":
            say(f"{exercise.name}: not yet.", *verdict.paragraphs)
            return False
        say(f"{exercise.name} is right. {verdict.paragraphs[-1]}")
    return True


def exercises_of(thing: Any) -> list[Exercise]:
    """Return the exercises whose functions are all there."""
    if not inspect.isclass(thing):
        return [exercise for exercise in EXERCISES if thing.__name__ in exercise.writes]
    there = {f"{thing.__name__}.{name}" for name in vars(thing)}
    return [exercise for exercise in EXERCISES if set(exercise.writes) <= there]
