"""From integers to batches: sequences to train on and to validate on, and arrays of several of them.

A sequence has at most n_positions + 1 integers. The model predicts each but the first from those before it. For
"lines", each line is a sequence. For a "stream", the training data are windows of one long sequence.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from microgpt.errors import InputError, counted
from microgpt.learning.byte_pairs import BytePairs
from microgpt.learning.documents import kind_of_documents
from microgpt.learning.lines import lines_of
from microgpt.learning.randoms import coins
from microgpt.learning.reading import Text, text_of
from microgpt.learning.sequences import Sequences, lines_apart, windows_apart
from microgpt.learning.text import BOUNDARY, END, Vocabulary, characters_of, closing, vocabulary_of

# The number of batches that are drawn together and sorted by length. Validation loss on names (train.py, mean of seeds
# 0 to 4) with 1 (no sorting), 2, 4, 8 and 16: 1.926, 1.927, 1.935, 1.938, 1.940.
POOL = 2
TOGETHER, EPOCHS = 10_000, 4  # sequences that are drawn at once, because many take less time together; and epochs
PIECE = 100_000  # integers that are taken at once
POOLS = 1000  # whose order is drawn at once
PART = 20_000  # held-out characters that are enough for a validation during training
WHOLE = 4_000_000  # integers that are kept as rows of one array, from which batches are taken fastest
LISTED = 4_000_000  # sequences whose random order is kept as a list
AHEAD = 8192  # numbers of any other order that are computed together
CHUNK = 1_000_000  # characters that are looked at together


@dataclass(frozen=True)
class Corpus:
    """A text ready for training: its vocabulary, its kind of documents, and its sequences.

    A sequence is a list of integers, the indices of its characters in the vocabulary. The long training sequence of a
    stream is an array.
    """

    vocabulary: Vocabulary
    documents: str  # "lines" or "stream"
    training: Sequence[Any]  # a stream has a single one, from which `windows` draws
    validation: Sequences

    @property
    def characters(self) -> Vocabulary:
        """The characters that may occur in the sequences: the vocabulary without END."""
        return characters_of(self.vocabulary, self.documents)

    @property
    def part(self) -> Sequences:
        """A fixed part of the validation sequences, evenly spread, with about 20,000 predictions or all.

        Of tokens that are parts of words it has 2,000: their models are large.
        """
        most = PART // 10 if self.unit == "token" else PART
        return self.validation[:: -(-predictions(self.validation) // most)]

    @property
    def unit(self) -> str:
        """What is predicted: a character or a token."""
        return "token" if isinstance(self.vocabulary, BytePairs) else "character"

    def usual(self, n_positions: int) -> list[int]:
        """Return a training sequence of median length, cut to so many predictions."""
        return by_length(self.training)[len(self.training) // 2][: n_positions + 1]

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


def predictions(sequences: Sequence[Any]) -> int:
    """Return the number of predicted characters in some sequences: all but the first of each."""
    if isinstance(sequences, Sequences):
        return sequences.predictions
    return sum(len(sequence) - 1 for sequence in sequences)


def by_length(sequences: Sequence[Any]) -> Sequence[Any]:
    """Return some sequences by increasing length; those of one length stay in their order."""
    if isinstance(sequences, Sequences):
        return sequences[sequences.lengths.argsort(kind="stable")]
    return sorted(sequences, key=len)


def make_corpus(
    text: str | Text, n_positions: int, seed: int, documents: str = "auto", vocabulary: Vocabulary | None = None
) -> Corpus:
    """Cut a text into sequences, and hold a tenth of it out.

    For lines, a random tenth of the distinct lines is held out, so none is on both sides. For a stream, it is the last
    tenth, as in nanoGPT. A sequence has at most `n_positions` + 1 characters. `documents` is "lines", "stream", or
    "auto" to let the text decide. A given vocabulary must have all characters of the text, and be that of an encoded
    one.

    Raises InputError for a text with nothing to learn or nothing to hold out, a line that is too long, an unknown
    character, END in prose, or another kind of documents.
    """
    if isinstance(text, str):
        text = text_of(text, vocabulary)
    if documents == "auto":
        documents = kind_of_documents(text, n_positions)
    if documents not in ("lines", "stream"):
        raise InputError(f"documents is {documents!r}: expected 'lines', 'stream' or 'auto'")
    vocabulary = vocabulary or vocabulary_of(text.vocabulary, documents)
    if isinstance(vocabulary, BytePairs):
        training, validation = windows_apart(text, n_positions)
        return Corpus(vocabulary, documents, [training], validation)
    if closing(vocabulary, documents) == END:
        check_no_end(text)
    characters = characters_of(vocabulary, documents)
    if len(characters) < 3:
        raise InputError(f"the text has only one distinct character, {characters[-1]!r}: there is nothing to learn")
    if documents == "lines":
        check_lengths(text, n_positions)
        return Corpus(vocabulary, documents, *lines_apart(text, seed))
    training, validation = windows_apart(text, n_positions)
    return Corpus(vocabulary, documents, [training], validation)


def check_no_end(text: Text) -> None:
    """Raise InputError, with the place, if END occurs in a text."""
    number = text.vocabulary.find(END)
    for start in range(0, len(text.ids), CHUNK) if number >= 0 else ():
        found = np.flatnonzero(text.ids[start : start + CHUNK] == number)
        if len(found):
            before = text.between(1, start + int(found[0]))
            line, column = before.count(BOUNDARY) + 1, len(before) - before.rfind(BOUNDARY)
            raise InputError(
                f"the text has the character U+0003 on line {line:,}, as character {column:,}; in prose that is the "
                "end of the text: delete it, or replace it by a newline"
            )


def check_lengths(text: Text, n_positions: int) -> None:
    """Raise InputError if the longest line is too long for the context."""
    longest = text.lines.longest
    if longest < n_positions:
        return
    starts, lengths = next(lines for lines in lines_of(text.ids) if lines[1].max() == longest)
    start = int(starts[lengths.argmax()]) + 1
    raise InputError(
        f"the line {text.between(start, start + min(40, longest))!r} has {counted(longest, 'character')}, the context "
        f"has room for {n_positions - 1}: use --block-size {longest + 1} or --documents stream"
    )


def batches(
    sequences: Sequence[Any],
    batch_size: int,
    seed: int,
    dtype: Any = np.float32,
    drawn_before: int = 0,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield batches of shuffled sequences as (tokens, weights), without end. Each epoch draws all sequences once.

    POOL batches (or one epoch, if that is less) are a pool, sorted by length to save padding, and come in random
    order. See `padded` for the arrays and `padded_length` for their lengths. Each pool has its own random numbers, so
    `drawn_before` batches can be skipped without drawing them.
    """
    pool_size = min(POOL, -(-len(sequences) // batch_size))
    first, skipped = divmod(drawn_before, pool_size)
    size, shuffled = pool_size * batch_size, partial(_shuffled, len(sequences), seed)
    lengths, rows = _rows_of(sequences, dtype)
    most = int(lengths.max()) - 1
    pools = max(1, min(TOGETHER, EPOCHS * len(sequences)) // size)
    orders = _orders(seed, first, pool_size)
    for drawn in _in_turn(shuffled, len(sequences), pools * size, first * size):
        of_drawn = lengths[drawn.reshape(pools, size)].astype(np.int64) - 1  # in predictions
        order = of_drawn.argsort(axis=1, kind="stable")
        parts = (pools * pool_size, batch_size)
        in_turn = (np.arange(0, pools * pool_size, pool_size)[:, None] + [next(orders) for _ in range(pools)]).ravel()
        numbers = np.take_along_axis(drawn.reshape(pools, size), order, 1).reshape(parts)[in_turn]
        increasing = np.take_along_axis(of_drawn, order, 1).reshape(parts)[in_turn]
        some = max(1, PIECE // (batch_size * (int(increasing[:, -1].max()) + 1)))
        for start in range(skipped, len(numbers), some):
            part = slice(start, start + some)
            longest = [padded_length(n, most) for n in increasing[part, -1].tolist()]
            tokens, weights = rows(numbers[part], max(longest))
            weights *= (batch_size / increasing[part].sum(axis=1)).astype(dtype)[:, None, None]
            for i, length in enumerate(longest):
                yield tokens[i, :, : length + 1], weights[i, :, :length]
        skipped = 0


def _orders(seed: int, first: int, size: int) -> Iterator[Any]:
    """Yield the random order in which the batches of each pool come, from one pool on."""
    while size == 2:  # as below, in less time
        ones = coins([seed, 1], range(first, first + POOLS)).tolist()
        yield from ([one, 1 - one] for one in ones)
        first += POOLS
    for pool in count(first):
        yield np.random.default_rng([seed, 1, pool]).permutation(size)


def _rows_of(sequences: Sequence[Any], dtype: Any) -> tuple[np.ndarray, Callable[..., tuple[np.ndarray, np.ndarray]]]:
    """Return the lengths of some sequences, and a function of (numbers, length) that returns those with such numbers:
    their tokens, for so many predictions at least, and for each prediction 1, or 0 where there is padding.
    """
    if isinstance(sequences, Sequences) and len(sequences) * int(sequences.lengths.max()) > WHOLE:

        def taken(numbers: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
            some, shape = sequences[numbers.ravel()], (*numbers.shape, -1)
            predicts = np.arange(1, length + 1) < some.lengths[:, None]
            return some.tokens(length + 1).reshape(shape), predicts.astype(dtype).reshape(shape)

        return sequences.lengths, taken
    tokens, weights = padded(sequences, dtype)
    predicts = (weights > 0).astype(dtype)  # [sequences, t]
    return (weights > 0).sum(axis=1) + 1, lambda numbers, _: (
        tokens.take(numbers, axis=0),
        predicts.take(numbers, axis=0),
    )


def _shuffled(n: int, seed: int, epoch: int) -> Any:
    """Return the integers 0 to n - 1 in the random order of an epoch."""
    return Order(n, np.random.default_rng([seed, 0, epoch]))


class Order:
    """The multiples of a step, n from 0 on, in random order and moved by a random part of the step: read by slices.

    Of many no list is made. A Feistel cipher turns a place into the number that is there.
    """

    def __init__(self, n: int, rng: np.random.Generator, step: int = 1):
        self.n, self.step = n, step
        if n <= LISTED:
            self.listed = rng.permutation(n)
        else:
            self.half = np.uint64(((n - 1).bit_length() + 1) // 2)  # bits
            self.keys = rng.integers(2**64, size=4, dtype=np.uint64) | np.uint64(1)
            self.begin, self.known = 0, np.empty(0, np.int64)
        self.shift = rng.integers(step)

    def __getitem__(self, part: slice) -> np.ndarray:
        return (self.listed[part] if self.n <= LISTED else self.computed(part)) * self.step + self.shift

    def computed(self, part: slice) -> np.ndarray:
        """Return a part of the order, without the step. What follows it is computed with it, for the next one."""
        start, stop, _ = part.indices(self.n)
        if not self.begin <= start <= stop <= self.begin + len(self.known):
            self.begin, self.known = start, self.from_cipher(start, min(max(stop, start + AHEAD), self.n))
        return self.known[start - self.begin : stop - self.begin]

    def from_cipher(self, start: int, stop: int) -> np.ndarray:
        """Return a part of the order, as the cipher makes it."""
        found = self.enciphered(np.arange(start, stop, dtype=np.uint64))
        while (beyond := found >= self.n).any():  # the cipher is of all numbers with so many bits
            found[beyond] = self.enciphered(found[beyond])
        return found.astype(np.int64)

    def enciphered(self, numbers: np.ndarray) -> np.ndarray:
        """Return another number for each, with as many bits."""
        left, right = numbers >> self.half, numbers & ((np.uint64(1) << self.half) - np.uint64(1))
        for key in self.keys:
            mixed = (right + key) * key
            left, right = right, left ^ ((mixed ^ (mixed >> np.uint64(29))) * key >> (np.uint64(64) - self.half))
        return left << self.half | right


def windows(
    sequence: Sequence[int] | np.ndarray,
    n_positions: int,
    batch_size: int,
    seed: int,
    dtype: Any = np.float32,
    drawn_before: int = 0,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield batches of windows of a long sequence without end: tokens [batch, n_positions + 1], weights [batch,
    n_positions].

    Every epoch cuts the sequence anew, from a random start, and shuffles the windows. So windows begin anywhere, and
    each epoch draws all of the sequence once. `drawn_before` batches can be skipped without drawing them.
    """
    from_every_place = sliding_window_view(np.asarray(sequence), n_positions + 1)  # a view: it takes no memory
    n = len(from_every_place) // n_positions
    weights = np.full((batch_size, n_positions), 1 / n_positions, dtype)

    def places(epoch: int) -> Order:
        return Order(n, np.random.default_rng([seed, 0, epoch]), n_positions)

    for drawn in _in_turn(places, n, batch_size, drawn_before * batch_size):
        yield from_every_place[drawn].astype(np.int64), weights


def _in_turn(order: Callable[[int], Any], n: int, size: int, start: int) -> Iterator[np.ndarray]:
    """Yield `size` entries at a time of the endless list order(0), order(1), ..., each of length n, from `start` on."""
    epoch, place = divmod(start, n)
    drawn = order(epoch)
    while True:
        parts = [drawn[place : place + size]]
        place += len(parts[0])
        while missing := size - sum(map(len, parts)):
            epoch += 1
            drawn = order(epoch)
            parts.append(drawn[:missing])
            place = len(parts[-1])
        yield parts[0] if len(parts) == 1 else np.concatenate(parts)


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
    sequences: Sequence[Any], dtype: Any = np.float32, width: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return sequences as arrays: integer tokens [batch, t + 1] and weights [batch, t], for t predictions.

    t is that of the longest sequence, or `width`. Padding has weight 0. All other
    predictions have equal weights. With these, the mean over the batch of the weighted sums is the mean over all
    predicted characters.

    >>> tokens, weights = padded([[0, 2, 1, 0], [0, 1, 0]])
    >>> print(tokens, weights, sep="\n")
    [[0 2 1 0]
     [0 1 0 0]]
    [[0.4 0.4 0.4]
     [0.4 0.4 0. ]]
    """
    parts = sequences if isinstance(sequences, Sequences) else None
    lengths = parts.lengths if parts else np.array([len(sequence) for sequence in sequences])
    longest, characters = int(lengths.max()) - 1, int(lengths.sum(dtype=np.int64))
    places = np.arange((width or longest) + 1)
    if parts:
        tokens = parts.tokens(len(places))
    else:
        tokens = np.zeros((len(sequences), len(places)), np.int64)
        tokens[places < lengths[:, None]] = np.fromiter(chain.from_iterable(sequences), np.int64, characters)
    share = len(sequences) / (characters - len(sequences))
    return tokens, np.where(places[1:] < lengths[:, None], share, 0.0).astype(dtype)
