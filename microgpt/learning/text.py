"""From a text file to batches of integers, and back.

A character is an integer: its place in the vocabulary, which is the characters of the text. Newline is always
among them, as number 0. It is the boundary of documents: every document begins and ends with it, so the model
learns how documents begin and when they are over.

What the model is trained on are sequences: lists of at most n_positions + 1 integers, in which each but the first
is to be predicted from those before it. Where every line of the text fits in one, each line is a document
("lines": names), and empty lines are left out. Otherwise the whole text is one document ("stream": prose), and the
sequences are windows of it.
The vocabulary of prose has one character more than the text, as its last: END, the end of the text. The sequences
never reach it, so the model learns that it does not come; where it comes nevertheless, writing ends. Other programs
need it to fill up texts of different lengths (runs/hugging_face.py), as they use GPT-2's <|endoftext|>.
"""

import codecs
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain, count
from pathlib import Path
from typing import Any
from unicodedata import category, normalize

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from microgpt.errors import InputError, counted

BOUNDARY = "\n"
END = "\x03"  # U+0003, which ASCII calls "end of text"
# Batches that are drawn together, so that each can be filled with sequences of like length. Validation loss on names
# (train.py, mean of seeds 0 to 4) with pools of 1 (no sorting), 2, 4, 8 and 16: 1.926, 1.927, 1.935, 1.938, 1.940.
POOL = 2
FEW = 0.05  # of all lines: so many exceptions do not decide what a text is
LONGEST, MANY = 64, 100  # characters of a line, and lines, at which `room_for_lines` makes room
STOP = "[\u3002\uff01\uff1f]"  # the full stop, the exclamation and the question mark of Chinese and Japanese
SHORT = 100  # characters of a text that an error can show
CHUNK = 1_000_000  # characters of a long text that are encoded at a time
PART = 20_000  # characters of the held-out text that are enough for a look at how training goes
# What a text in another encoding begins with. Those of UTF-32 come first: one of them begins like one of UTF-16.
MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def read_text(path: str | Path) -> str:
    """The text of a UTF-8 file, with or without a byte-order mark, with every kind of line end turned into a newline.

    A file of UTF-16 or UTF-32 with a byte-order mark, as Notepad and PowerShell write it, will do as well.
    Raises InputError if there is no such file, or if it is empty, binary, or in another encoding.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the data file {path}: {error.strerror}") from None
    return decode_text(data, str(path))


def decode_text(data: bytes, name: str) -> str:
    """The text of a file's bytes (see `read_text`); `name` is what the errors call it."""
    encoding = next((name for mark, name in MARKS if data.startswith(mark)), "UTF-8")
    try:
        text = data.decode("utf-8-sig" if encoding == "UTF-8" else encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name} is not {encoding}: byte {data[error.start]:#04x} at offset {error.start}; save it as UTF-8"
        ) from None
    if "\0" in text:
        raise InputError(
            f"{name} is not a text file: it holds a zero byte at offset {data.index(0)}; if it is text in UTF-16 or "
            "UTF-32, save it as UTF-8"
        )
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise InputError(f"{name} is empty: expected some lines of text")
    return text


def vocabulary_of(text: str, documents: str = "lines") -> str:
    r"""All characters of the text, each once: newline first, then the others in the order of Unicode; of prose END too.

    In prose END cannot stand (see `make_corpus`): there it is not one of the others.

    >>> vocabulary_of("banana"), vocabulary_of("banana", "stream")
    ('\nabn', '\nabn\x03')
    """
    vocabulary = BOUNDARY + "".join(sorted(set(text) - {BOUNDARY}))
    return vocabulary if documents == "lines" else vocabulary.replace(END, "") + END


def closing(vocabulary: str, documents: str) -> str | None:
    """The character at which writing ends: of a line the newline, of prose END.

    None where END is not the last of a vocabulary of prose, as in runs that were begun before there was END.
    """
    if documents == "lines":
        return BOUNDARY
    return END if vocabulary.endswith(END) else None


def characters_of(vocabulary: str, documents: str) -> str:
    """The characters of a vocabulary that can stand in a text: all, but in prose not END."""
    return vocabulary if documents == "lines" else vocabulary.removesuffix(END)


def _check_no_end(text: str) -> None:
    """Raise InputError, saying where, if END stands in a text."""
    place = text.find(END)
    if place >= 0:
        line, column = text.count(BOUNDARY, 0, place) + 1, place - text.rfind(BOUNDARY, 0, place)
        raise InputError(
            f"the text has the character U+0003 on line {line:,}, as character {column:,} of it; for prose that is the "
            "end of the text, and cannot stand in it: delete it, or put a newline in its place"
        )


def encode(text: str, vocabulary: str, whose: str = "the model") -> list[int]:
    r"""The integer of each character. Raises InputError, naming it, for one that the vocabulary does not have.

    If the text would do with other small and capital letters, or with its accents composed or decomposed, the error
    says so.

    >>> encode("ban", "\nabn")
    [2, 1, 3]
    """
    ids = _ids(vocabulary)
    try:
        return [ids[character] for character in text]
    except KeyError as error:
        unknown, known = error.args[0], vocabulary.replace(BOUNDARY, "")
        shown = visible(known) if len(known) <= SHORT else f"{len(known):,} others"
        code = "" if unknown.isascii() else f" (U+{ord(unknown):04X})"
        raise InputError(
            f"{whose} has never seen the character {visible(unknown)}{code}; it knows {shown}{_remedy(text, ids)}"
        ) from None


def _encode_long(text: str, vocabulary: str) -> np.ndarray:
    """As `encode`, but as an array of the smallest integers that will do: a byte a character, where a list takes 8."""
    ids = np.empty(len(text), np.min_scalar_type(len(vocabulary)))
    codes = np.array([ord(character) for character in vocabulary])
    of_code = np.full(codes.max() + 2, len(vocabulary), ids.dtype)  # the last stands for all that is higher
    of_code[codes] = range(len(vocabulary))
    for start in range(0, len(text), CHUNK):
        part = text[start : start + CHUNK]
        found = np.frombuffer(part.encode("utf-32-le", "surrogatepass"), "<u4")
        ids[start : start + CHUNK] = of_code[found.clip(max=len(of_code) - 1)]
        if (ids[start : start + CHUNK] == len(vocabulary)).any():
            encode(part, vocabulary)  # which says what is unknown
    return ids


def _remedy(text: str, ids: dict[str, int]) -> str:
    """Another spelling of a text with an unknown character, in the characters that are known, if there is one."""
    composed, decomposed = normalize("NFC", text), normalize("NFD", text)
    for spelled, how in (
        (text, ""),
        (composed, ", with composed accents,"),
        (decomposed, ", with decomposed accents,"),
    ):
        respelled = "".join(character if character in ids else character.swapcase() for character in spelled)
        if len(text) <= SHORT and all(character in ids for character in respelled):
            return f"; {respelled.strip(BOUNDARY)!r}{how} would do"
    return ""


def visible(text: str) -> str:
    """The text in quotes, with codes for the marks and skin tones that would melt into the character before them."""
    melts = {c for c in text if not c.isascii() and category(c) in ("Mn", "Mc", "Me", "Sk")}
    return "".join(c.encode("unicode_escape").decode() if c in melts else c for c in repr(text))


@lru_cache(maxsize=8)
def _ids(vocabulary: str) -> dict[str, int]:
    return {character: i for i, character in enumerate(vocabulary)}


def decode(ids: list[int], vocabulary: str) -> str:
    """The text of some integers: the inverse of `encode`."""
    return "".join(vocabulary[i] for i in ids)


@dataclass(frozen=True)
class Corpus:
    """A text made ready: its vocabulary, what its documents are, and the sequences to train on and to validate on.

    A sequence is a list of integers, the places of its characters in the vocabulary. The long one of a stream, to train
    on, is an array of integers.
    """

    vocabulary: str
    documents: str  # "lines" or "stream"
    training: list[list[int]]  # of a stream a single one, as long as it is: `windows` draws from it
    validation: list[list[int]]

    @property
    def characters(self) -> str:
        """The characters that can stand in the sequences: all of the vocabulary but END."""
        return characters_of(self.vocabulary, self.documents)

    @property
    def part(self) -> list[list[int]]:
        """A fixed part of the sequences to validate on, evenly spread: all of them, or about 20,000 predictions."""
        return self.validation[:: -(-predictions(self.validation) // PART)]

    def usual(self, n_positions: int) -> list[int]:
        """A sequence to train on that is as long as most, cut to so many positions to predict from."""
        return sorted(self.training, key=len)[len(self.training) // 2][: n_positions + 1]

    def batches(
        self,
        n_positions: int,
        batch_size: int,
        seed: int,
        dtype: Any = np.float32,
        drawn_before: int = 0,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Endless batches to train on: see the functions `batches`, for lines, and `windows`, for a stream."""
        if self.documents == "lines":
            return batches(self.training, batch_size, seed, dtype, drawn_before)
        return windows(self.training[0], n_positions, batch_size, seed, dtype, drawn_before)


def predictions(sequences: list[list[int]]) -> int:
    """How many characters are predicted in some sequences: all but the first of each."""
    return sum(len(sequence) - 1 for sequence in sequences)


def kind_of_documents(text: str, n_positions: int) -> str:
    """What the documents of a text are: "lines", if `why_prose` finds nothing against it, or "stream"."""
    return "stream" if why_prose(text, n_positions) else "lines"


def why_prose(text: str, n_positions: int) -> str:
    """Why the lines of a text cannot be its documents, in words; empty if they can.

    They can if all of them fit in the context and hardly any is empty, or an empty line stands between all of them.
    """
    for number, line in enumerate(text.split(BOUNDARY), start=1):
        if len(line) >= n_positions:
            return f"line {number:,} has {counted(len(line), 'character')} ({n_positions - 1:,} at most for lines)"
    blocks = [block.split(BOUNDARY) for block in re.split("\n\n+", text.strip(BOUNDARY))]
    lines, all_lines = sum(map(len, blocks)), text.strip(BOUNDARY).count(BOUNDARY) + 1
    empty, close = all_lines - lines, lines - len(blocks)  # close: without an empty one before it
    if empty < FEW * all_lines or close <= FEW * lines:
        return ""
    return f"{empty:,} of {all_lines:,} lines are empty, but do not separate all others"


def room_for_lines(text: str, n_positions: int) -> int:
    """The context in which lines can be documents: so many positions or, if the lines clearly are documents, more.

    That takes at least `MANY` different lines of at most `LONGEST` characters. Either hardly any is longer than usual;
    or they look like names, and not like sentences or rows of a table: hardly any has a space, a comma, a semicolon or
    a bar. Chinese and Japanese sentences have no spaces; so few lines may go on behind the end of a sentence, unless
    most stop at one.
    """
    lines = text.split(BOUNDARY)
    longest = max(map(len, lines))
    if not n_positions <= longest <= LONGEST:
        return n_positions
    different = set(lines) - {""}

    def share(pattern: str) -> float:
        return sum(re.search(pattern, line) is not None for line in different) / len(different)

    wrapped = share(f"{STOP}.") > FEW and share(rf"{STOP}\W*$") < 0.5
    named = share(r"[\s,;|]") <= FEW and not wrapped
    usual = share(f".{{{n_positions}}}") <= FEW
    return longest + 1 if len(different) >= MANY and (named or usual) else n_positions


def make_corpus(
    text: str, n_positions: int, seed: int, documents: str = "auto", vocabulary: str | None = None
) -> Corpus:
    """Cut a text into sequences, and hold a tenth of it out.

    `n_positions` is the longest context: the sequences have one character more at most. `documents` is "lines",
    "stream" or, to let the text decide, "auto"; the vocabulary is that of the text, or a given one that has all its
    characters. Of lines a tenth of the distinct ones is held out, chosen by the seed: equal lines are never on both
    sides. Of a stream it is the last tenth, in one piece, as the field does it. Raises InputError for a text in which
    there is nothing to learn or nothing to hold out, a line too long, an unknown character, or in prose END, and for
    another kind of documents.
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
    """The lines to train on and those to validate on, each between two newlines."""
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
    """The text to train on, and the windows of its last tenth: in them each character but the first is predicted."""
    stream = BOUNDARY + text.strip(BOUNDARY) + BOUNDARY
    held_out = len(stream) // 10
    if held_out <= n_positions:
        remedy = f"use --block-size {held_out - 1} or less, or" if held_out > 1 else "use"
        raise InputError(
            f"the text has {counted(len(stream) - 2, 'character')}, and the tenth of it that is held out is no longer "
            f"than the context, {n_positions}, which is how many the model can look back on: {remedy} a text of at "
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
    """Endless batches of shuffled sequences as (tokens, weights): all sequences are drawn before any is drawn again.

    Sequences are drawn for POOL batches at once, or for one epoch if that is less, and dealt out by length, so
    that little is wasted on padding; these batches then come in random order. See `padded` for the arrays and
    `padded_length` for their lengths. Each pool has random numbers of its own, so the batches after the first
    `drawn_before` can be had without drawing those.
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
    """The integers 0 to n - 1 in the random order of an epoch."""
    return np.random.default_rng([seed, 0, epoch]).permutation(n)


def windows(
    sequence: list[int], n_positions: int, batch_size: int, seed: int, dtype: Any = np.float32, drawn_before: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Endless batches of windows of a long sequence: tokens [batch, n_positions + 1] and weights [batch, n_positions].

    Every epoch cuts the sequence anew, from a random place on, and shuffles the windows. So a window may begin
    anywhere, and yet all of the sequence is drawn before any of it is drawn again. The batches after the first
    `drawn_before` can be had without drawing those.
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
    """From the endless list order(0), order(1), ..., each of length n: `size` entries at a time, from `start` on."""
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
    """The predictions that a batch is padded to if its longest sequence has `longest`; `most` is never exceeded.

    A program is compiled for every length, so there are few: all up to 16, then 8 for every doubling. Padding takes
    less than an eighth of a batch.

    >>> sorted({padded_length(n, 100) for n in range(1, 101)})[12:]
    [13, 14, 15, 16, 18, 20, 22, 24, 26, 28, 30, 32, 36, 40, 44, 48, 52, 56, 60, 64, 72, 80, 88, 96, 100]
    """
    step = 2 ** max(0, (int(longest) - 1).bit_length() - 4)
    return min(-(-longest // step) * step, most)


def padded(
    sequences: list[list[int]], dtype: Any = np.float32, most: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    r"""Some sequences as arrays: tokens [batch, t + 1], integers, and weights [batch, t], for t predictions.

    There t is that of the longest sequence or, with `most`, its `padded_length`. Shorter sequences are filled up with
    predictions of weight 0. All others weigh the same, and so much that the
    mean over the batch of the weighted sums is the mean over all predicted characters.

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
