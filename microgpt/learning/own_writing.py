"""Writing with a model of one's own in compiled code: the same texts as on plain floats, sooner.

A state that keeps its form, such as that of a recurrent network, becomes the memory of a compiled step. With any other,
such as one that grows, all that was written is read again for each character. That takes more operations, but they are
compiled, and many texts are written together.
"""

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

import numpy as np

from microgpt.engines.engine import continuation, evaluate
from microgpt.errors import DisagreementError
from microgpt.functions import Scalar
from microgpt.learning.architecture import Architecture
from microgpt.learning.choosing import Choice, next_token
from microgpt.value import pick

LOOKS = 3  # positions in which a state that keeps its form must have kept it
Key = tuple[str, Any]  # an attribute or an item of a part of the state
Part = tuple[tuple[Key, ...], tuple[int, ...]]  # where numbers are in a state, and the shape of their lists
NOT_RECORDED = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, DisagreementError)


def parts_of(state: Any, where: tuple[Key, ...] = ()) -> Iterator[Part]:
    """Yield all numbers in a state, as lists of one shape. Raises TypeError for anything else than numbers."""
    if isinstance(state, (list, int, float)):
        try:
            shape = np.array(state, float).shape
        except (TypeError, ValueError):
            pass
        else:
            yield where, shape
            return
    if isinstance(state, (list, dict)):
        items: Any = state.items() if isinstance(state, dict) else enumerate(state)
        inner = [(("item", key), part) for key, part in items]
    elif is_dataclass(state):
        inner = [(("attribute", entry.name), getattr(state, entry.name)) for entry in fields(state)]
    else:
        raise TypeError(f"a state with {type(state).__name__}: expected numbers in lists, dicts and dataclasses")
    for key, part in inner:
        yield from parts_of(part, (*where, key))


def found_at(state: Any, where: tuple[Key, ...]) -> Any:
    """A part of a state."""
    for kind, key in where:
        state = getattr(state, key) if kind == "attribute" else state[key]
    return state


def with_part(state: Any, where: tuple[Key, ...], part: Any) -> Any:
    """The state with another part in that place."""
    if not where:
        return part
    (kind, key), holder = where[-1], found_at(state, where[:-1])
    if kind == "attribute":
        setattr(holder, key, part)
    else:
        holder[key] = part
    return state


def added(numbers: Any, first: Any, start: Any) -> Any:
    """What was remembered or, at the first position, the beginning: then all that was remembered is 0."""
    if isinstance(start, list):
        return [added(n, first, s) for n, s in zip(numbers, start, strict=True)]
    return numbers + first * start


def step_with_state(
    params: Any, token: int, position: int, here: Scalar, random: Scalar, *memory: Any,
    empty_state: Any, logits: Any, config: Any, choice: Choice, parts: list[Part], starts: list[Any],
) -> tuple[Any, ...]:  # fmt: skip
    """Return the next token, its log-probability, and what the state is after this position."""
    state = empty_state(config)
    for (where, _), numbers, start in zip(parts, memory, starts, strict=True):
        state = with_part(state, where, numbers if start is None else added(numbers, here <= 0, start))
    found = logits(params, config, token, position, state)
    return *next_token(found, random, choice), *[found_at(state, where) for where, _ in parts]


def step_from_all(
    params: Any,
    tokens: list[int],
    place: int,
    random: Scalar,
    empty_state: Any,
    logits: Any,
    config: Any,
    choice: Choice,
) -> tuple[Scalar, Scalar]:
    """Return what follows the token at a place, and its log-probability, from all tokens before it."""
    state, rows = empty_state(config), []
    for position, token in enumerate(tokens):
        rows.append(logits(params, config, token, position, state))
    return next_token(pick(rows, place), random, choice)


class OwnWriting:
    """Writes with an architecture: it begins sequences as `Continuation` does."""

    def __init__(self, architecture: Architecture, config: Any, choice: Choice, end: int):
        self.architecture, self.config, self.end = architecture, config, end
        self.settings: dict[str, Any] = {"empty_state": architecture.empty_state, "logits": architecture.logits}
        self.settings |= {"config": config, "choice": choice}
        self.again = (config.n_positions + 1) // 2
        self.read_all: Callable[..., Any] = evaluate(partial(step_from_all, **self.settings))
        self.with_state: Any = None
        self.tried = False

    def begin(self, params: Any, items: np.ndarray, given: int, randoms: np.ndarray) -> Any:
        """Begin to continue sequences. Raises one of NOT_RECORDED if the model cannot be compiled."""
        if not self.tried:
            self.with_state, self.tried = self.continued(params), True
        if self.with_state is not None:
            try:
                return self.with_state.begin(params, items, given, randoms)
            except NOT_RECORDED:
                self.with_state = None
        return Rereading(self, params, items, given, randoms)

    def continued(self, params: Any) -> Any:
        """What continues with the state as memory; None if the state does not keep its form."""
        numbers = {name: array.tolist() for name, array in params.items()}
        state = self.architecture.empty_state(self.config)
        try:
            parts = list(parts_of(state))
            starts = [found_at(state, where) for where, _ in parts]
            if not all(np.isfinite(start).all() for start in starts):  # 0 times infinity would be no 0
                return None
            starts = [np.array(start).tolist() if np.any(start) else None for start in starts]
            for position in range(min(LOOKS, self.config.n_positions)):
                self.architecture.logits(numbers, self.config, 0, position, state)
                if list(parts_of(state)) != parts:
                    return None
        except TypeError:
            return None
        step = partial(step_with_state, parts=parts, starts=starts, **self.settings)
        memory = [(shape, None) for _, shape in parts]
        return continuation(step, memory, self.config.n_positions, self.again, self.end)


class Rereading:
    """Sequences that are continued together, character by character: see `Sequences` for what they have."""

    def __init__(self, of: OwnWriting, params: Any, items: np.ndarray, given: int, randoms: np.ndarray):
        self.of, self.items, self.given, self.randoms = of, np.array(items), given, randoms
        self.params = {name: array.astype(np.float64) for name, array in params.items()}
        self.scores, self.known = np.zeros(items.shape), np.full(len(items), given)
        self.left = np.arange(len(items) if randoms.size else 0)
        self.first = 0  # the item that is read at position 0
        if len(self.left):
            self.chosen(given)  # raises here what cannot be recorded

    def chosen(self, known: int) -> tuple[np.ndarray, np.ndarray]:
        """The next item of each sequence that is left, and its score, after so many items."""
        read, most = known - self.first, self.of.config.n_positions
        tokens = np.zeros((len(self.left), min(most, 2 ** (read - 1).bit_length())), np.int64)  # few lengths
        tokens[:, :read] = self.items[self.left, self.first : known]
        places, randoms = np.full(len(self.left), read - 1), self.randoms[self.left, known - self.given]
        item, score = self.of.read_all(self.params, tokens, places, randoms)
        return item, score

    def go_on(self) -> bool:
        """Take a turn; return whether there are more to take."""
        if not len(self.left):
            return False
        known = int(self.known[self.left[0]])
        item, score = self.chosen(known)
        item = np.where(np.isfinite(item) & np.isfinite(score), item, -1).astype(np.int64)
        self.items[self.left, known], self.scores[self.left, known] = item, score
        self.known[self.left] = known + 1
        self.left = self.left[(item >= 0) & (item != self.of.end)]
        if known + 1 - self.first > self.of.config.n_positions:
            self.first = known + 1 - self.of.again
        if known + 1 == self.items.shape[1]:
            self.left = self.left[:0]
        return bool(len(self.left))

    def window(self) -> list[int]:
        """The items of a single sequence that is full, from the one that is read at position 0 on."""
        found: list[int] = self.items[0, self.first :].tolist()
        return found
