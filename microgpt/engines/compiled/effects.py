"""What a function does outside of itself while it is recorded, so that it does so once if it is recorded anew.

Lists, dicts, sets and generators of random numbers become again what they were before. What was printed or logged is
not printed again, and an iterator gives again what it gave.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from copy import copy
from random import Random
from typing import Any

CHANGE = frozenset((list, dict, set, deque, Random))  # kinds of objects that can be what they were


class Effects:
    """What a recording has done outside of the function."""

    def __init__(self) -> None:
        self.before: dict[int, tuple[Any, Any]] = {}  # what it has changed, and a copy of that before
        self.items: dict[int, tuple[Any, list[Any]]] = {}  # iterators, and what they gave
        self.taken: dict[int, int] = {}  # how many of these this recording has taken
        self.said = self.said_before = 0  # how often it has printed, and how often a recording before did

    def take_back(self) -> None:
        """Take back what can be taken back, because the function is recorded anew."""
        for owner, content in self.before.values():
            if type(owner) is Random:
                owner.setstate(content.getstate())
            else:
                owner.clear()
                (owner.extend if isinstance(owner, (list, deque)) else owner.update)(content)
        self.before.clear()
        self.taken.clear()
        self.said, self.said_before = 0, max(self.said, self.said_before)

    def change(self, owner: Any) -> None:
        """Note that something may be changed now."""
        if type(owner) in CHANGE and id(owner) not in self.before:
            self.before[id(owner)] = owner, copy(owner)

    def set(self, owner: Any, name: str, value: Any) -> None:
        """owner.name = value"""
        if name in getattr(owner, "__dict__", ()):
            self.change(vars(owner))
        setattr(owner, name, value)

    def say(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        """Call a function that prints or logs, unless a recording before has done so."""
        self.said += 1
        if self.said > self.said_before:
            function(*arguments, **options)

    def following(self, items: Iterator[Any], *default: Any) -> Any:
        """next(items, default). A generator, which has an end of its own, is not kept."""
        if isinstance(items, Generator):
            return next(items, *default)
        _, given = self.items.setdefault(id(items), (items, []))
        i = self.taken.get(id(items), 0)
        if i == len(given):
            given.append(next(items, *default))
        self.taken[id(items)] = i + 1
        return given[i]
