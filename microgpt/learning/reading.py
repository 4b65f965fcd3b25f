"""From a file to a text: decoded and encoded part by part, so that a long text takes little memory.

A text is read twice. `scan` finds its characters and its length, `encoded` writes the integers, in memory or into a
file. Reading any part ends at once with Ctrl-C.
"""

import codecs
import hashlib
import io
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

from microgpt.errors import InputError
from microgpt.learning.byte_pairs import BytePairs
from microgpt.learning.lines import LineFacts, facts_of_lines
from microgpt.learning.text import BOUNDARY, Vocabulary, encode
from microgpt.surroundings import along

ALONG = ("data/names.txt", "data/shakespeare.txt")
CHUNK = 2**20  # bytes that are read at a time
IN_MEMORY = 10_000_000  # bytes of standard input that stay in memory
# The byte-order marks of encodings. Those of UTF-32 come first, because one begins like one of UTF-16.
MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32", "utf-32-le"),
    (codecs.BOM_UTF32_BE, "UTF-32", "utf-32-be"),
    (codecs.BOM_UTF16_LE, "UTF-16", "utf-16-le"),
    (codecs.BOM_UTF16_BE, "UTF-16", "utf-16-be"),
    (codecs.BOM_UTF8, "UTF-8", "utf-8"),
)


@dataclass
class Source:
    """A file with a text, which can be read again. Errors call it `name`."""

    file: IO[bytes]
    name: str

    def parts(self) -> Iterator[str]:
        """Yield the text in parts, with newlines for line ends of every kind and without a byte-order mark.

        Raises InputError if it is empty, binary, or in another encoding.
        """
        self.file.seek(0)
        part = self.file.read(CHUNK)
        mark, said, codec = next((found for found in MARKS if part.startswith(found[0])), (b"", "UTF-8", "utf-8"))
        inner = codecs.getincrementaldecoder(codec)()
        decoder = io.IncrementalNewlineDecoder(inner, translate=True)
        before, part, blank, ended = len(mark), part[len(mark) :], True, False
        while not ended:
            ended, begun = not part, before - len(inner.getstate()[0])  # where a character that was cut begins
            try:
                text = decoder.decode(part, final=ended)
            except UnicodeDecodeError as error:
                byte, place = error.object[error.start], begun + error.start
                raise InputError(
                    f"{self.name} is not {said}: byte {byte:#04x} at offset {place}; save it as UTF-8"
                ) from None
            if "\0" in text:
                raise InputError(
                    f"{self.name} is not a text file: it has a zero byte at offset {before + part.find(0)}; if it is "
                    "text in UTF-16 or UTF-32, save it as UTF-8"
                )
            blank = blank and not text.strip()
            yield text
            before += len(part)
            part = self.file.read(CHUNK)
        if blank:
            raise InputError(f"{self.name} is empty: expected some lines of text")


def source_of(path: str | Path) -> Source:
    """Return a file as a source. Raises InputError if it cannot be read.

    The texts that come along are found from everywhere, as data/names.txt and data/shakespeare.txt.
    """
    own = Path(path).as_posix() in ALONG and not Path(path).exists()
    try:
        file = (along(str(path)) if own else Path(path)).open("rb")  # the source keeps it open
        return Source(file if file.seekable() else spooled(file), str(path))
    except OSError as error:
        raise InputError(f"cannot read the data file {path}: {error.strerror}") from None


def spooled(stream: IO[bytes]) -> IO[bytes]:
    """Return all of a stream as a file that can be read again: in memory, or on the disk if there is much."""
    file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  # the source keeps it open
    shutil.copyfileobj(stream, file)
    return file


def read_text(path: str | Path) -> str:
    """Return the text of a UTF-8 file, with newlines for line ends of every kind and without a byte-order mark.

    UTF-16 and UTF-32 work, too, if they have a byte-order mark, as from Notepad and PowerShell. Raises InputError if
    the file is missing, empty, binary, or in another encoding.
    """
    source = source_of(path)
    with source.file:
        return "".join(source.parts())


@dataclass(frozen=True)
class Scan:
    """The findings of a first reading."""

    characters: str  # each once: newline first, the others in Unicode order
    length: int  # in characters
    size: int  # in bytes of UTF-8
    sha256: str  # of its UTF-8


def scan(parts: Iterator[str]) -> Scan:
    """Return the characters, the length and the SHA-256 of a text in parts."""
    digest, length, size, known = hashlib.sha256(), 0, 0, b""
    seen = np.zeros(0x110000, bool)  # for each code
    seen[ord(BOUNDARY)] = True
    for part in parts:
        content = part.encode("utf-8", "surrogatepass")
        digest.update(content)
        length, size = length + len(part), size + len(content)
        if part.isascii():
            new = set(content.translate(None, known))
            seen[list(new)] = True
            known += bytes(new)
        else:
            seen[codes_of(part)] = True
    characters = BOUNDARY + "".join(map(chr, np.flatnonzero(seen))).replace(BOUNDARY, "")
    return Scan(characters, length, size, digest.hexdigest())


def codes_of(text: str) -> np.ndarray:
    """Return the Unicode code of each character."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


@dataclass(frozen=True, eq=False)
class Text:
    """A text as integers: the places of its characters in a vocabulary.

    A newline stands before its first character and one after its last, so every line is between two.
    """

    ids: np.ndarray  # of the smallest type; if it is mapped from a file, it takes no memory
    vocabulary: Vocabulary  # all characters of the text; newline is number 0
    sha256: str  # of its UTF-8
    directory: Path | None = None  # where large arrays about it are mapped, too

    def __len__(self) -> int:
        return len(self.ids) - 2

    unit: ClassVar[str] = "character"

    @property
    def stream(self) -> np.ndarray:
        """The integers of prose, from the newline before its first full line on to that after the last one."""
        return self.ids[self.lines.begin : self.lines.end + 1]

    @cached_property
    def lines(self) -> LineFacts:
        """Facts about its lines."""
        return facts_of_lines(self.ids)

    def between(self, start: int, stop: int) -> str:
        """Return the characters of `ids[start:stop]`."""
        if self.ids.itemsize == 1 and self.vocabulary.isascii():
            return self.ids[start:stop].tobytes().translate(self.vocabulary.encode().ljust(256)).decode()
        codes = codes_of(self.vocabulary)[self.ids[start:stop]]
        return codes.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")

    def parts(self) -> Iterator[str]:
        """Yield the text in parts."""
        return (self.between(i, min(i + CHUNK, len(self) + 1)) for i in range(1, len(self) + 1, CHUNK))

    def __str__(self) -> str:
        return self.between(1, len(self.ids) - 1)


class TokenText(Text):
    """A text as tokens of byte pairs, without newlines around it."""

    unit = "token"

    def __len__(self) -> int:
        return len(self.ids)

    def __str__(self) -> str:
        return str(self.vocabulary.decode(self.ids.tolist()))

    @property
    def stream(self) -> np.ndarray:
        return self.ids


def type_of(vocabulary: str) -> Any:
    """Return the smallest type for the integers of a vocabulary. Files have it, too, so the order of bytes is fixed."""
    return np.min_scalar_type(len(vocabulary) - 1).newbyteorder("<")


def encoded(parts: Callable[[], Iterator[str]], found: Scan, vocabulary: Vocabulary, file: Path | None = None) -> Text:
    """Return a text as integers, from a second reading. A file keeps them, or else the memory.

    Raises InputError for a character that the vocabulary lacks.
    """
    if isinstance(vocabulary, BytePairs):
        return TokenText(np.concatenate(list(vocabulary.encoded(parts()))), vocabulary, found.sha256)
    if set(found.characters) - set(vocabulary):
        refuse_unknown(parts(), vocabulary)
    if file is None:
        return Text(np.concatenate(list(integers(parts(), vocabulary))), vocabulary, found.sha256)
    unfinished = file.with_name(f".{file.name}.tmp")
    with unfinished.open("wb") as out:
        for part in integers(parts(), vocabulary):
            out.write(part.data)
    unfinished.replace(file)
    return mapped(file, vocabulary, found.sha256)


def mapped(file: Path, vocabulary: str, sha256: str) -> Text:
    """Return the text whose integers are in a file, as `encoded` has written it."""
    ids = np.memmap(file, type_of(vocabulary), "r").view(np.ndarray)  # whose slices are made faster
    return Text(ids, vocabulary, sha256, file.parent)


def text_of(text: str, vocabulary: Vocabulary | None = None) -> Text:
    """Return a string as a text. Raises InputError for a character that the vocabulary lacks."""

    def parts() -> Iterator[str]:
        return (text[i : i + CHUNK] for i in range(0, len(text), CHUNK))

    found = scan(parts())
    return encoded(parts, found, vocabulary or found.characters)


def integers(parts: Iterator[str], vocabulary: str) -> Iterator[np.ndarray]:
    """Yield the integers of a text in parts, between two newlines."""
    dtype, codes = type_of(vocabulary), codes_of(vocabulary)
    of_code = np.zeros(max(128, int(codes.max()) + 1), dtype)
    of_code[codes] = np.arange(len(vocabulary))
    of_byte = of_code[:128].astype(np.uint8).tobytes() * 2  # for ASCII, where integers are bytes
    yield np.zeros(1, dtype)
    for part in parts:
        if dtype.itemsize == 1 and part.isascii():
            yield np.frombuffer(part.encode().translate(of_byte), dtype)
        else:
            yield of_code[codes_of(part)]
    yield np.zeros(1, dtype)


def refuse_unknown(parts: Iterator[str], vocabulary: str) -> None:
    """Raise InputError for the first line with a character that the vocabulary lacks."""
    known, rest = set(vocabulary), ""
    for part in parts:
        *lines, rest = (rest + part).split(BOUNDARY)
        for line in lines:
            if not known.issuperset(line):
                encode(line, vocabulary)
    encode(rest, vocabulary)
