"""The way through the workshop: all exercises, in order."""

from microgpt.errors import InputError
from microgpt.workshop import part_gpt, part_learning, part_network, part_value
from microgpt.workshop.exercise import Exercise

PARTS = {1: "A number that remembers", 2: "A network", 3: "A GPT", 4: "Learning"}
EXERCISES: list[Exercise] = [
    *part_value.EXERCISES,
    *part_network.EXERCISES,
    *part_gpt.EXERCISES,
    *part_learning.EXERCISES,
]


def exercise_named(name: str) -> Exercise:
    """Return an exercise by its name."""
    for exercise in EXERCISES:
        if exercise.name == name:
            return exercise
    raise InputError(f"there is no exercise {name!r}: `python learn.py --list` names them")
