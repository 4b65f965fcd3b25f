"""From characters to integers, and back.

A character becomes an integer: its index in the vocabulary, which has all characters of the text. The newline is always
number 0. It begins and ends every document, so the model learns how documents begin and end.

The vocabulary of prose has one more character, the last: END, the end of the text. Training sequences never contain it,
so the model learns to avoid it. If it comes nevertheless, writing ends. Other programs use it to pad texts of different
lengths (runs/hugging_face.py), like GPT-2's <|endoftext|>.
"""

from functools import lru_cache
from typing import Any, TypeAlias
from unicodedata import category, normalize

from microgpt.errors import InputError
from microgpt.learning.byte_pairs import BytePairs

Vocabulary: TypeAlias = Any  # a str, the characters in the order of their integers, or BytePairs

BOUNDARY = "\n"
END = "\x03"  # U+0003, which ASCII calls "end of text"
SHORT = 100  # characters of a text that an error can show


def vocabulary_of(text: str, documents: str = "lines") -> str:
    r"""Return each character of the text once: newline first, the others in Unicode order, for prose END last.

    Prose cannot contain END otherwise (see `make_corpus`).

    >>> vocabulary_of("banana"), vocabulary_of("banana", "stream")
    ('\nabn', '\nabn\x03')
    """
    vocabulary = BOUNDARY + "".join(sorted(set(text) - {BOUNDARY}))
    return vocabulary if documents == "lines" else vocabulary.replace(END, "") + END


def closing(vocabulary: Vocabulary, documents: str) -> str | None:
    """Return the text at which writing ends: the newline of a line, END of prose, the token that ends a text.

    Returns None for prose without END in its vocabulary, as in older runs.
    """
    if isinstance(vocabulary, BytePairs):
        return None if vocabulary.end is None else vocabulary[vocabulary.end]
    if documents == "lines":
        return BOUNDARY
    return END if vocabulary.endswith(END) else None


def end_of(vocabulary: Vocabulary, documents: str) -> int | None:
    """Return the integer at which writing ends, if there is one."""
    if isinstance(vocabulary, BytePairs):
        return vocabulary.end
    end = closing(vocabulary, documents)
    return None if end is None else vocabulary.index(end)


def characters_of(vocabulary: Vocabulary, documents: str) -> Vocabulary:
    """Return what can occur in a text: the vocabulary, for prose without END."""
    whole = documents == "lines" or isinstance(vocabulary, BytePairs)
    return vocabulary if whole else vocabulary.removesuffix(END)


def encode(text: str, vocabulary: Vocabulary, whose: str = "the model") -> list[int]:
    r"""Return the integer of each character. Raises InputError, naming it, for one that the vocabulary lacks.

    The error suggests another spelling if that would work: other small and capital letters, or other accents.

    >>> encode("ban", "\nabn")
    [2, 1, 3]
    """
    if isinstance(vocabulary, BytePairs):
        return vocabulary.encode(text)
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


def decode(ids: list[int], vocabulary: Vocabulary) -> str:
    """Return the text of some integers: the inverse of `encode`."""
    if isinstance(vocabulary, BytePairs):
        return vocabulary.decode(ids)
    return "".join(vocabulary[i] for i in ids)
