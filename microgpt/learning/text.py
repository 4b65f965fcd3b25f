"""From a text file to integers, and back.

A character becomes an integer: its index in the vocabulary, which has all characters of the text. The newline is always
number 0. It begins and ends every document, so the model learns how documents begin and end.

If every line of the text fits in the context, each line is a document ("lines", such as names), and empty lines are
left out. Otherwise the whole text is one document ("stream", that is prose).

The vocabulary of prose has one more character, the last: END, the end of the text. Training sequences never contain it,
so the model learns to avoid it. If it comes nevertheless, writing ends. Other programs use it to pad texts of different
lengths (runs/hugging_face.py), like GPT-2's <|endoftext|>.
"""

import codecs
import re
from functools import lru_cache
from pathlib import Path
from unicodedata import category, normalize

import numpy as np

from microgpt.errors import InputError, counted

BOUNDARY = "\n"
END = "\x03"  # U+0003, which ASCII calls "end of text"
FEW = 0.05  # of all lines: so many exceptions do not change the kind of a text
LONGEST, MANY = 64, 100  # characters of a line, and lines, for `room_for_lines`
STOP = "[\u3002\uff01\uff1f]"  # the full stop, exclamation mark and question mark of Chinese and Japanese
SHORT = 100  # characters of a text that an error can show
CHUNK = 1_000_000  # characters of a long text that are encoded at a time
# The byte-order marks of other encodings. Those of UTF-32 come first, because one begins like one of UTF-16.
MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def read_text(path: str | Path) -> str:
    """Return the text of a UTF-8 file, with newlines for line ends of every kind and without a byte-order mark.

    UTF-16 and UTF-32 work, too, if they have a byte-order mark, as from Notepad and PowerShell. Raises InputError if
    the file is missing, empty, binary, or in another encoding.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the data file {path}: {error.strerror}") from None
    return decode_text(data, str(path))


def decode_text(data: bytes, name: str) -> str:
    """Return the text of a file's bytes (see `read_text`). Errors call it `name`."""
    encoding = next((name for mark, name in MARKS if data.startswith(mark)), "UTF-8")
    try:
        text = data.decode("utf-8-sig" if encoding == "UTF-8" else encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name} is not {encoding}: byte {data[error.start]:#04x} at offset {error.start}; save it as UTF-8"
        ) from None
    if "\0" in text:
        raise InputError(
            f"{name} is not a text file: it has a zero byte at offset {data.index(0)}; if it is text in UTF-16 or "
            "UTF-32, save it as UTF-8"
        )
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise InputError(f"{name} is empty: expected some lines of text")
    return text


def vocabulary_of(text: str, documents: str = "lines") -> str:
    r"""Return each character of the text once: newline first, the others in Unicode order, for prose END last.

    Prose cannot contain END otherwise (see `make_corpus`).

    >>> vocabulary_of("banana"), vocabulary_of("banana", "stream")
    ('\nabn', '\nabn\x03')
    """
    vocabulary = BOUNDARY + "".join(sorted(set(text) - {BOUNDARY}))
    return vocabulary if documents == "lines" else vocabulary.replace(END, "") + END


def closing(vocabulary: str, documents: str) -> str | None:
    """Return the character at which writing ends: the newline of a line, END of prose.

    Returns None for prose without END in its vocabulary, as in older runs.
    """
    if documents == "lines":
        return BOUNDARY
    return END if vocabulary.endswith(END) else None


def characters_of(vocabulary: str, documents: str) -> str:
    """Return the characters that can occur in a text: the vocabulary, for prose without END."""
    return vocabulary if documents == "lines" else vocabulary.removesuffix(END)


def _check_no_end(text: str) -> None:
    """Raise InputError, with the place, if END occurs in a text."""
    place = text.find(END)
    if place >= 0:
        line, column = text.count(BOUNDARY, 0, place) + 1, place - text.rfind(BOUNDARY, 0, place)
        raise InputError(
            f"the text has the character U+0003 on line {line:,}, as character {column:,}; in prose that is the "
            "end of the text: delete it, or replace it by a newline"
        )


def encode(text: str, vocabulary: str, whose: str = "the model") -> list[int]:
    r"""Return the integer of each character. Raises InputError, naming it, for one that the vocabulary lacks.

    The error suggests another spelling if that would work: other small and capital letters, or other accents.

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
            f"{whose} does not know the character {visible(unknown)}{code}; it knows {shown}{_remedy(text, ids)}"
        ) from None


def _encode_long(text: str, vocabulary: str) -> np.ndarray:
    """Do the same as `encode`, but return an array of small integers: a byte a character, where a list takes 8."""
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
    """Return another spelling of a text that has only known characters, if there is one."""
    composed, decomposed = normalize("NFC", text), normalize("NFD", text)
    for spelled, how in (
        (text, ""),
        (composed, ", with composed accents,"),
        (decomposed, ", with decomposed accents,"),
    ):
        respelled = "".join(character if character in ids else character.swapcase() for character in spelled)
        if len(text) <= SHORT and all(character in ids for character in respelled):
            return f"; {respelled.strip(BOUNDARY)!r}{how} would work"
    return ""


def visible(text: str) -> str:
    """Return the text in quotes, with codes for marks that would combine with the character before them."""
    melts = {c for c in text if not c.isascii() and category(c) in ("Mn", "Mc", "Me", "Sk")}
    return "".join(c.encode("unicode_escape").decode() if c in melts else c for c in repr(text))


@lru_cache(maxsize=8)
def _ids(vocabulary: str) -> dict[str, int]:
    return {character: i for i, character in enumerate(vocabulary)}


def decode(ids: list[int], vocabulary: str) -> str:
    """Return the text of some integers: the inverse of `encode`."""
    return "".join(vocabulary[i] for i in ids)


def kind_of_documents(text: str, n_positions: int) -> str:
    """Return the kind of documents in a text: "lines" unless `why_prose` has a reason against it, else "stream"."""
    return "stream" if why_prose(text, n_positions) else "lines"


def why_prose(text: str, n_positions: int) -> str:
    """Return why the lines of a text cannot be its documents; empty if they can.

    They can if all fit in the context, and if hardly any is empty or an empty line separates all others.
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
    """Return the context for lines: `n_positions`, or more if the lines clearly are documents.

    For more, there must be at least `MANY` different lines of at most `LONGEST` characters. Hardly any may be longer
    than usual, or they must look like names, not sentences or table rows. Hardly any name has a space, a comma, a
    semicolon or a bar. Chinese and Japanese sentences have no spaces. So few lines may go on after a full stop, unless
    most lines stop at one.
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
