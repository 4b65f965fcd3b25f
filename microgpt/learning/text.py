"""From a text file to integers, and back.

A character is an integer: its place in the vocabulary, which is the characters of the text. Newline is always
among them, as number 0. It is the boundary of documents: every document begins and ends with it, so the model
learns how documents begin and when they are over.

Where every line of the text fits in the context, each line is a document ("lines": names), and empty lines are left
out. Otherwise the whole text is one document ("stream": prose).

The vocabulary of prose has one character more than the text, as its last: END, the end of the text. The sequences
never reach it, so the model learns that it does not come. If it comes nevertheless, writing ends. Other programs
need it to pad texts of different lengths (runs/hugging_face.py), as they use GPT-2's <|endoftext|>.
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
FEW = 0.05  # of all lines: so many exceptions do not decide what a text is
LONGEST, MANY = 64, 100  # characters of a line, and lines, at which `room_for_lines` makes room
STOP = "[\u3002\uff01\uff1f]"  # the full stop, the exclamation and the question mark of Chinese and Japanese
SHORT = 100  # characters of a text that an error can show
CHUNK = 1_000_000  # characters of a long text that are encoded at a time
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
            f"{name} is not a text file: it has a zero byte at offset {data.index(0)}; if it is text in UTF-16 or "
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
            f"the text has the character U+0003 on line {line:,}, as character {column:,}; in prose that is the "
            "end of the text: delete it, or replace it by a newline"
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
            f"{whose} does not know the character {visible(unknown)}{code}; it knows {shown}{_remedy(text, ids)}"
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
            return f"; {respelled.strip(BOUNDARY)!r}{how} would work"
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
