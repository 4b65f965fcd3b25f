"""From integers to batches: sequences to train on and to validate on, and arrays of several of them.

A sequence has at most n_positions + 1 integers. The model predicts each but the first from those before it. For
"lines", each line is a sequence. For a "stream", the training data are windows of one long sequence.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from microgpt.errors import InputError, counted
from microgpt.learning.text import (
    BOUNDARY,
    END,
    _check_no_end,
    _encode_long,
    characters_of,
    closing,
    encode,
    kind_of_documents,
    vocabulary_of,
)

# The number of batches that are drawn together and sorted by length. Validation loss on names (train.py, mean of seeds
# 0 to 4) with 1 (no sorting), 2, 4, 8 and 16: 1.926, 1.927, 1.935, 1.938, 1.940.
POOL = 2
PART = 20_000  # held-out characters that are enough for a validation during training


@dataclass(frozen=True)
class Corpus:
    """A text ready for training: its vocabulary, its kind of documents, and its sequences.

    A sequence is a list of integers, the indices of its characters in the vocabulary. The long training sequence of a
    stream is an array.
    """

    vocabulary: str
    documents: str  # "lines" or "stream"
    training: list[list[int]]  # a stream has a single one, from which `windows` draws
    validation: list[list[int]]

    @property
    def characters(self) -> str:
        """The characters that may occur in the sequences: the vocabulary without END."""
        return characters_of(self.vocabulary, self.documents)

    @property
    def part(self) -> list[list[int]]:
        """A fixed part of the validation sequences, evenly spread, with about 20,000 predictions or all."""
        return self.validation[:: -(-predictions(self.validation) // PART)]

    def usual(self, n_positions: int) -> list[int]:
        """Return a training sequence of median length, cut to so many predictions."""
        return sorted(self.training, key=len)[len(self.training) // 2][: n_positions + 1]

    def batches(
        self,
        n_positions: int,
        batch_size: int,
        seed: int,
        dtype: Any = np.float32,
        drawn_before: int = 0,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Return endless training batches: see `batches`, for lines, and `windows`, for a stream."""
        if self.documents == "lines":
            return batches(self.training, batch_size, seed, dtype, drawn_before)
        return windows(self.training[0], n_positions, batch_size, seed, dtype, drawn_before)


def predictions(sequences: list[list[int]]) -> int:
    """Return the number of predicted characters in some sequences: all but the first of each."""
    return sum(len(sequence) - 1 for sequence in sequences)


def make_corpus(
    text: str, n_positions: int, seed: int, documents: str = "auto", vocabulary: str | None = None
) -> Corpus:
    """Cut a text into sequences, and hold a tenth of it out.

    For lines, a random tenth of the distinct lines is held out, so none is on both sides. For a stream, it is the last
    tenth, as in nanoGPT. A sequence has at most `n_positions` + 1 characters. `documents` is "lines", "stream", or
    "auto" to let the text decide. A given vocabulary must have all characters of the text.

    Raises InputError for a text with nothing to learn or nothing to hold out, a line that is too long, an unknown
    character, END in prose, or another kind of documents.
    """
    if documents == "auto":
        documents = kind_of_documents(text, n_positions)
    if documents not in ("lines", "stream"):
        raise InputError(f"documents is {documents!r}: expected 'lines', 'stream' or 'auto'")
    vocabulary = vocabulary or vocabulary_of(text, documents)
    if closing(vocabulary, documents) == END:
        _check_no_end(text)
    characters = characters_of(vocabulary, documents)
    if len(characters) < 3:
        raise InputError(f"the text has only one distinct character, {characters[-1]!r}: there is nothing to learn")
    parts = _parts_of_lines(text, n_positions, seed) if documents == "lines" else _parts_of_stream(text, n_positions)
    encoded: Any = encode if documents == "lines" else _encode_long
    training = [encoded(part, vocabulary) for part in parts[0]]
    return Corpus(vocabulary, documents, training, [encode(part, vocabulary) for part in parts[1]])


def _parts_of_lines(text: str, n_positions: int, seed: int) -> tuple[list[str], list[str]]:
    """Return the lines to train on and those to validate on, each between two newlines."""
    lines = [line for line in text.split(BOUNDARY) if line]
    longest = max(lines, key=len)
    if len(longest) >= n_positions:
        raise InputError(
            f"the line {longest[:40]!r} has {counted(len(longest), 'character')}, the context has room for "
            f"{n_positions - 1}: use --block-size {len(longest) + 1} or --documents stream"
        )
    texts = [BOUNDARY + line + BOUNDARY for line in lines]
    distinct = sorted(set(texts))
    if len(distinct) < 2:
        raise InputError("the text has only one distinct line: expected at least two, one to hold out")
    chosen = np.random.default_rng([seed, len(distinct)]).permutation(len(distinct))[: max(1, len(distinct) // 10)]
    held_out = {distinct[i] for i in chosen}
    return [text for text in texts if text not in held_out], [text for text in texts if text in held_out]


def _parts_of_stream(text: str, n_positions: int) -> tuple[list[str], list[str]]:
    """Return the text to train on, and windows of its last tenth that predict each of its characters once."""
    stream = BOUNDARY + text.strip(BOUNDARY) + BOUNDARY
    held_out = len(stream) // 10
    if held_out <= n_positions:
        remedy = f"use --block-size {held_out - 1} or less, or" if held_out > 1 else "use"
        raise InputError(
            f"the text has {counted(len(stream) - 2, 'character')}, and its held-out tenth is no longer "
            f"than the context of {n_positions}: {remedy} a text of at "
            f"least {10 * (n_positions + 1):,} characters"
        )
    training, held = stream[:-held_out], stream[-held_out:]
    return [training], [held[i : i + n_positions + 1] for i in range(0, len(held) - 1, n_positions)]


def batches(
    sequences: list[list[int]],
    batch_size: int,
    seed: int,
    dtype: Any = np.float32,
    drawn_before: int = 0,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield batches of shuffled sequences as (tokens, weights), without end. Each epoch draws all sequences once.

    POOL batches (or one epoch, if that is less) are drawn at once, sorted by length to save padding, and come in random
    order. See `padded` for the arrays and `padded_length` for their lengths. Each pool has its own random numbers, so
    `drawn_before` batches can be skipped without drawing them.
    """
    pool_size = min(POOL, -(-len(sequences) // batch_size))
    first, skipped = divmod(drawn_before, pool_size)
    size, shuffled = pool_size * batch_size, partial(_shuffled, len(sequences), seed)
    tokens, weights = padded(sequences, dtype)
    predicts = (weights > 0).astype(dtype)  # [sequences, t]: 1, or 0 where there is padding
    lengths = predicts.sum(axis=1, dtype=np.int64)  # in predictions
    for pool, drawn in zip(count(first), _in_turn(shuffled, len(sequences), size, first * size), strict=False):
        by_length = drawn[lengths[drawn].argsort(kind="stable")]
        increasing = lengths[by_length]
        for i in np.random.default_rng([seed, 1, pool]).permutation(pool_size)[skipped if pool == first else 0 :]:
            batch = slice(i * batch_size, (i + 1) * batch_size)
            rows, characters = by_length[batch], int(increasing[batch].sum())
            length, share = padded_length(increasing[batch][-1], predicts.shape[1]), batch_size / characters
            yield tokens.take(rows, axis=0)[:, : length + 1], predicts.take(rows, axis=0)[:, :length] * share


def _shuffled(n: int, seed: int, epoch: int) -> np.ndarray:
    """Return the integers 0 to n - 1 in the random order of an epoch."""
    return np.random.default_rng([seed, 0, epoch]).permutation(n)


def windows(
    sequence: list[int], n_positions: int, batch_size: int, seed: int, dtype: Any = np.float32, drawn_before: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield batches of windows of a long sequence without end: tokens [batch, n_positions + 1], weights [batch,
    n_positions].

    Every epoch cuts the sequence anew, from a random start, and shuffles the windows. So windows begin anywhere, and
    each epoch draws all of the sequence once. `drawn_before` batches can be skipped without drawing them.
    """
    from_every_place = sliding_window_view(np.asarray(sequence), n_positions + 1)  # a view: it takes no memory
    n = len(from_every_place) // n_positions
    weights = np.full((batch_size, n_positions), 1 / n_positions, dtype)

    def places(epoch: int) -> np.ndarray:
        rng = np.random.default_rng([seed, 0, epoch])
        return rng.permutation(n) * n_positions + rng.integers(n_positions)

    for drawn in _in_turn(places, n, batch_size, drawn_before * batch_size):
        yield from_every_place[drawn].astype(np.int64), weights


def _in_turn(order: Callable[[int], np.ndarray], n: int, size: int, start: int) -> Iterator[np.ndarray]:
    """Yield `size` entries at a time of the endless list order(0), order(1), ..., each of length n, from `start` on."""
    epoch, before = divmod(start, n)
    rest = order(epoch)[before:]
    while True:
        if len(rest) < size:
            more = -(-(size - len(rest)) // n)
            rest = np.concatenate([rest, *(order(epoch + i) for i in range(1, more + 1))])
            epoch += more
        yield rest[:size]
        rest = rest[size:]


def padded_length(longest: int, most: int) -> int:
    """Return the number of predictions to which a batch is padded if its longest sequence has `longest`; at most
    `most`.

    The compiler makes a program for every length, so there are few lengths: all up to 16, then 8 for every doubling.
    Padding takes less than an eighth of a batch.

    >>> sorted({padded_length(n, 100) for n in range(1, 101)})[12:]
    [13, 14, 15, 16, 18, 20, 22, 24, 26, 28, 30, 32, 36, 40, 44, 48, 52, 56, 60, 64, 72, 80, 88, 96, 100]
    """
    step = 2 ** max(0, (int(longest) - 1).bit_length() - 4)
    return min(-(-longest // step) * step, most)


def padded(
    sequences: list[list[int]], dtype: Any = np.float32, most: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return sequences as arrays: integer tokens [batch, t + 1] and weights [batch, t], for t predictions.

    t is the length of the longest sequence or, with `most`, its `padded_length`. Padding has weight 0. All other
    predictions have equal weights. With these, the mean over the batch of the weighted sums is the mean over all
    predicted characters.

    >>> tokens, weights = padded([[0, 2, 1, 0], [0, 1, 0]])
    >>> print(tokens, weights, sep="\n")
    [[0 2 1 0]
     [0 1 0 0]]
    [[0.4 0.4 0.4]
     [0.4 0.4 0. ]]
    """
    lengths = np.array([len(sequence) for sequence in sequences])
    longest = lengths.max() - 1
    places = np.arange((longest if most is None else padded_length(longest, most)) + 1)
    tokens = np.zeros((len(sequences), len(places)), np.int64)
    tokens[places < lengths[:, None]] = np.fromiter(chain.from_iterable(sequences), np.int64, lengths.sum())
    share = len(sequences) / (lengths.sum() - len(sequences))
    return tokens, np.where(places[1:] < lengths[:, None], share, 0.0).astype(dtype)
