"""The lines of an encoded text, where the newline is number 0, in one pass over it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

BLOCK = 2**16  # characters that are looked at together: few enough for the cache


def lines_of(ids: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the lines, many at a time: the place of the newline before each, and their lengths.

    The text begins and ends with a newline.
    """
    last = 0
    for start in range(1, len(ids), BLOCK):
        ends = np.flatnonzero(ids[start : start + BLOCK] == 0) + start
        if len(ends):
            starts = np.concatenate([[last], ends[:-1]])
            yield starts, ends - starts - 1
            last = ends[-1]


@dataclass
class LineFacts:
    """Facts about the lines of a text. Empty lines at both ends do not count."""

    full: int = 0  # lines that are not empty
    empty: int = 0
    blocks: int = 0  # of full lines without an empty one between them
    records: list[tuple[int, int]] = field(default_factory=list)  # number, from 1, and length of each longest so far

    begin: int = 0  # the place of the newline before the first full line
    end: int = 0  # the place of the newline after the last one

    @property
    def longest(self) -> int:
        """The length of the longest line."""
        return self.records[-1][1]

    def too_long(self, n_positions: int) -> tuple[int, int] | None:
        """Return the number and the length of the first line that does not fit in the context."""
        return next((record for record in self.records if record[1] >= n_positions), None)


def facts_of_lines(ids: np.ndarray) -> LineFacts:
    """Return the facts about the lines of a text."""
    found, number, longest, before = LineFacts(), 0, -1, 0  # before: the length of the line before
    first, last = -1, 0  # the numbers of the first full line and of the last one
    for starts, lengths in lines_of(ids):
        if lengths.max() > longest:
            most = np.maximum.accumulate(lengths)
            new = np.flatnonzero(np.diff(most, prepend=longest) > 0)
            found.records += [(number + int(i) + 1, int(most[i])) for i in new]
            longest = int(most[-1])
        full = np.flatnonzero(lengths)
        if len(full):
            found.full += len(full)
            found.blocks += int(np.count_nonzero(np.concatenate([[before], lengths])[full] == 0))
            if first < 0:
                first, found.begin = number + int(full[0]), int(starts[full[0]])
            last, found.end = number + int(full[-1]), int(starts[full[-1]] + lengths[full[-1]]) + 1
        before, number = int(lengths[-1]), number + len(lengths)
    found.empty = last - first + 1 - found.full
    return found
