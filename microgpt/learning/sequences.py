"""Sequences of integers as parts of one long array, and their choice: which are held out."""

import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np

from microgpt.errors import InputError, counted
from microgpt.learning.lines import lines_of
from microgpt.learning.reading import Text
from microgpt.learning.text import BOUNDARY

EXACT = 10_000_000  # characters of a text of which an exact tenth of the distinct lines is held out
TENTH = np.uint64(2**64 // 10)


class Sequences(Sequence[list[int]]):
    """Some sequences, each a list of integers when it is taken out. A slice is Sequences again.

    Attributes:
        ids: the long array.
        places: a record for each sequence, its `start` in the long array and its `length`.
    """

    def __init__(self, ids: np.ndarray, places: np.ndarray):
        self.ids, self.places = ids, places

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, i: int) -> list[int]: ...

    @overload
    def __getitem__(self, i: "slice | np.ndarray") -> "Sequences": ...

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, (slice, np.ndarray)):
            return Sequences(self.ids, self.places[i])
        start, length = map(int, self.places[i])
        return self.ids[start : start + length].tolist()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(list.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]

    @property
    def lengths(self) -> np.ndarray:
        """The length of each."""
        return self.places["length"]

    @cached_property
    def predictions(self) -> int:
        """The number of predicted characters: all but the first of each."""
        return int(self.lengths.sum(dtype=np.int64)) - len(self)

    def tokens(self, width: int) -> np.ndarray:
        """Return all as rows of so many integers, filled up with 0."""
        across = np.arange(width)
        places = self.places["start"][:, None].astype(np.int64) + across
        found = self.ids.take(places, mode="clip").astype(np.int64)
        found[across >= self.lengths[:, None]] = 0
        return found


def places_type(ids: np.ndarray, longest: int) -> np.dtype:
    """Return the smallest type of the records of sequences."""
    return np.dtype([("start", np.min_scalar_type(len(ids))), ("length", np.min_scalar_type(longest))])


def records(kind: np.dtype, starts: Any, lengths: Any) -> np.ndarray:
    """Return records of sequences."""
    found = np.empty(len(starts), kind)
    found["start"], found["length"] = starts, lengths
    return found


class Growing:
    """An array that grows: in memory or, with a directory, in a file that has no name and ends with the process."""

    def __init__(self, kind: np.dtype, directory: Path | None):
        self.kind, self.parts = kind, [np.empty(0, kind)]
        self.file = tempfile.TemporaryFile(dir=directory) if directory else None  # noqa: SIM115  # arrays map it

    def add(self, part: np.ndarray) -> None:
        """Add some entries."""
        if self.file:
            self.file.write(part.data)
        else:
            self.parts.append(part)

    def array(self) -> np.ndarray:
        """Return all entries; those of a file are mapped, which keeps it."""
        if self.file is None:
            return np.concatenate(self.parts)
        with self.file as file:
            file.flush()
            return np.memmap(file, self.kind, "r").view(np.ndarray) if file.tell() else np.empty(0, self.kind)


def lines_apart(text: Text, seed: int) -> tuple[Sequences, Sequences]:
    """Return the lines that are not empty, each between two newlines: those to train on, and those held out.

    A random tenth of the distinct lines is held out. In a long text that is about a tenth: those with a low hash.
    Raises InputError if all lines are the same.
    """
    kind, done = places_type(text.ids, text.lines.longest + 2), 0
    exact = exact_tenth(text, seed) if len(text) <= EXACT else None
    tables = Hashes(text, seed)
    training, held_out = Growing(kind, text.directory), Growing(kind, text.directory)
    for starts, lengths in lines_of(text.ids):
        full = lengths > 0
        starts, lengths = starts[full], lengths[full]
        if not len(starts):
            continue
        chosen = tables.of_lines(starts, lengths) < TENTH if exact is None else exact[done : done + len(starts)]
        lines, done = records(kind, starts, lengths + 2), done + len(starts)
        training.add(lines[~chosen])
        held_out.add(lines[chosen])
    parts = Sequences(text.ids, training.array()), Sequences(text.ids, held_out.array())
    if not all(parts):
        raise InputError("the text has only one distinct line: expected at least two, one to hold out")
    return parts


def exact_tenth(text: Text, seed: int) -> np.ndarray:
    """Return for each line that is not empty whether it is held out."""
    lines = [line for line in str(text).split(BOUNDARY) if line]
    distinct = sorted(set(lines), key=lambda line: line + BOUNDARY)
    chosen = np.random.default_rng([seed, len(distinct)]).permutation(len(distinct))[: max(1, len(distinct) // 10)]
    held_out = {distinct[i] for i in chosen}
    return np.array([line in held_out for line in lines])


class Hashes:
    """Random 64-bit numbers for lines, the same for equal lines.

    A line is a polynomial: a random number for each character, times a power of another one for its place.
    """

    def __init__(self, text: Text, seed: int):
        rng = np.random.default_rng([seed, 2, len(text.vocabulary)])
        self.ids = text.ids
        self.of_character = rng.integers(2**64, size=len(text.vocabulary), dtype=np.uint64)
        self.of_character[0] = 0
        self.base = int(rng.integers(2**63)) * 2 + 1  # odd, so it has an inverse
        self.powers: np.ndarray = np.empty(0, np.uint64)
        self.inverses = self.powers

    def of_lines(self, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return the hashes of lines, one after the other, none of them empty."""
        begins = starts - starts[0]
        size = int(begins[-1] + lengths[-1]) + 1
        if size > len(self.powers):
            self.powers, self.inverses = (
                np.cumprod(np.full(2 * size, base, np.uint64)) for base in (self.base, pow(self.base, -1, 2**64))
            )
        products = self.of_character.take(self.ids[starts[0] : starts[0] + size])
        products *= self.powers[:size]
        return np.add.reduceat(products, begins) * self.inverses[begins]


def windows_apart(text: Text, n_positions: int) -> tuple[np.ndarray, Sequences]:
    """Return the prose to train on, and windows of its last tenth that predict each of its characters once.

    Raises InputError if this tenth is too short.
    """
    stream = text.stream
    held_out = len(stream) // 10
    if held_out <= n_positions:
        remedy = f"use --block-size {held_out - 1} or less, or" if held_out > 1 else "use"
        length, least = len(stream) - len(text.ids) + len(text), 10 * (n_positions + 1)
        raise InputError(
            f"the text has {counted(length, text.unit)}, and its held-out tenth is no longer than the context of "
            f"{n_positions}: {remedy} a text of at least {least:,} {text.unit}s"
        )
    held = stream[-held_out:]
    return stream[:-held_out], windows_of(held, n_positions)


def windows_of(ids: np.ndarray, n_positions: int) -> Sequences:
    """Return windows of a long sequence that predict each of its integers but the first once."""
    starts = np.arange(0, len(ids) - 1, n_positions)
    lengths = np.minimum(n_positions + 1, len(ids) - starts)
    return Sequences(ids, records(places_type(ids, n_positions + 1), starts, lengths))


def whole(text: Text, documents: str, n_positions: int) -> Sequences:
    """Return all of a text as sequences: its lines, each between two newlines, or windows of prose."""
    if documents == "stream":
        return windows_of(text.stream, n_positions)
    starts, lengths = (np.concatenate(parts) for parts in zip(*lines_of(text.ids), strict=True))
    return Sequences(
        text.ids, records(places_type(text.ids, n_positions + 1), starts[lengths > 0], lengths[lengths > 0] + 2)
    )
