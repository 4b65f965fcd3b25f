"""The judge: are these lines right, and if not, which mistake is it?

A mistake is known by what it does. The learner's lines and each known wrong variant of the book's run on the same
inputs: where they agree everywhere, the words of that mistake are the answer, however the lines are spelled.
"""

import sys
import types
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any

from microgpt.workshop.exercise import Case, Exercise
from microgpt.workshop.lines import book_text, variant
from microgpt.workshop.observation import Difference, Namespace, Seen, difference, observe
from microgpt.workshop.sentences import evidence, general, shown


@dataclass
class Verdict:
    """What became of an exercise, and the paragraphs that say so."""

    kind: str  # "right", "empty", "missing", "error", "known", "unknown", "stopped"; "file": it does not run at all
    paragraphs: list[str] = field(default_factory=list)
    mistake: int = -1  # the index of a known one
    trace: list[tuple[str, int, str]] = field(default_factory=list)


@cache
def book(file: str) -> Namespace:
    """Return the names that a file of the book defines."""
    return variant_names(file, book_text(file))


def variant_names(file: str, source: str) -> Namespace:
    """Return the names that a changed source of the book defines."""
    module = types.ModuleType("microgpt.variant")
    sys.modules[module.__name__] = module  # a dataclass looks for its module
    exec(compile(source, f"<the book's {file}>", "exec"), vars(module))
    return vars(module)


def judge(exercise: Exercise, learner: Namespace, make: Any) -> Verdict:
    """Return the verdict on the names that a learner's file defines; `make` is the class Value of the learner."""
    theirs = with_helpers(exercise, {**learner, "Value": make})
    right = expected(exercise)
    for index, one in enumerate(exercise.cases):
        seen = observe(theirs, make, one)
        found = difference(seen, right[index])
        if found is not None:
            return wrong_verdict(exercise, theirs, make, right, index, seen, found)
    return Verdict("right", [exercise.good_for])


@cache
def expected(exercise: Exercise) -> list[Seen]:
    """Return what each case gives with the book's lines."""
    names = with_helpers(exercise, book(exercise.file))
    return observations(exercise, names, names["Value"])


def with_helpers(exercise: Exercise, names: Namespace) -> Namespace:
    """Return the names with the class Value, the book's if there is none, and the helpers of an exercise."""
    names = {"Value": import_module("microgpt.value").Value, **names}
    if exercise.helpers:
        exec(exercise.helpers, names)
    return names


def observations(exercise: Exercise, names: Namespace, make: Any) -> list[Seen]:
    """Return what each case of an exercise gives."""
    return [observe(names, make, one) for one in exercise.cases]


def wrong_verdict(
    exercise: Exercise, names: Namespace, make: Any, right: list[Seen], first: int, seen: Seen, found: Difference
) -> Verdict:
    """Return the verdict on wrong lines, whose first difference from the book is given."""
    told = {first: seen}
    one = exercise.cases[first]
    paragraphs = [evidence(one, found, seen, right[first], lambda case: observe_book(exercise, case))]

    def agrees(mistake: int, case: int) -> bool:
        if case not in told:
            told[case] = right[case] if case < first else observe(names, make, exercise.cases[case])
        return difference(told[case], mistaken(exercise, mistake, case)) is None

    def is_a_part(mistake: int) -> bool:
        return all(
            difference(mistaken(exercise, mistake, i), right[i]) is None or agrees(mistake, i) or told[i].error
            for i in in_turn[1:]
        )

    in_turn = [first, *(case for case in range(len(exercise.cases)) if case != first)]
    candidates = [index for index in range(len(exercise.mistakes)) if agrees(index, first)]
    whole = [index for index in candidates if all(agrees(index, case) for case in in_turn)]
    for index in whole[:1] or [index for index in candidates if is_a_part(index)][:1]:
        fields = {name: shown(x) for name, x in one.given.items()}
        came, due = (seen.data, right[first].data) if found.kind in ("error", "graph") else (found.got, found.expected)
        fields |= {"got": shown(came), "expected": shown(due), "call": one.shown or one.call}
        words = exercise.mistakes[index].words.format(**fields)
        words = words[:1].upper() + words[1:]
        more = [] if whole else ["There may be more that is not right yet."]
        return Verdict("known", [*paragraphs, words, *more], index, seen.trace)
    guess = general(found, seen)
    return Verdict("error" if seen.error else "unknown", [*paragraphs, *([guess] if guess else [])], trace=seen.trace)


def observe_book(exercise: Exercise, one: Case) -> Seen:
    """Return what the book's lines give for a case."""
    names = with_helpers(exercise, book(exercise.file))
    return observe(names, names["Value"], one)


@cache
def mistaken_names(exercise: Exercise, mistake: int) -> Namespace:
    """Return the names of a known wrong variant."""
    return with_helpers(exercise, variant_names(exercise.file, variant(exercise, exercise.mistakes[mistake])))


@cache
def mistaken(exercise: Exercise, mistake: int, case: int) -> Seen:
    """Return what a known wrong variant gives for a case."""
    names = mistaken_names(exercise, mistake)
    return observe(names, names["Value"], exercise.cases[case])
