"""GPT-2's tokens: parts of words, found by byte-pair encoding (Sennrich et al. 2016, on bytes as in GPT-2).

A token is some bytes, which may be a part of a character. The library `tokenizers` cuts a text into tokens, as its file
tokenizer.json says.
"""

import codecs
import json
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from microgpt.errors import InputError

TOGETHER = 1_000_000  # characters of a text that are cut into tokens together, at least


class BytePairs:
    """A vocabulary of byte pairs.

    Args:
        content: the text of its tokenizer.json.
        size: the number of tokens that the model knows: some may have no text.
        end: the token that ends a text, if there is one.
    """

    def __init__(self, content: str, size: int, end: int | None):
        self.content, self.size, self.end = content, size, end

    def __len__(self) -> int:
        return self.size

    def __contains__(self, character: str) -> bool:
        return True  # every byte is a token

    def __getitem__(self, token: int) -> str:
        """Return a token as text; a part of a character becomes the mark U+FFFD."""
        return self.bytes_of(token).decode("utf-8", "replace")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BytePairs) and self.as_json() == other.as_json()

    def __hash__(self) -> int:
        return hash(self.content)

    def __deepcopy__(self, memo: Any) -> "BytePairs":
        return self  # it never changes

    def __getstate__(self) -> dict[str, Any]:
        return {"content": self.content, "size": self.size, "end": self.end}

    def as_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return self.__getstate__()

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "BytePairs":
        """Return a vocabulary from a checkpoint. Raises InputError if it is none."""
        content, size, end = (found.get(name) for name in ("content", "size", "end"))
        if not isinstance(content, str) or type(size) is not int or (end is not None and type(end) is not int):
            raise InputError(f"the vocabulary is {found!r:.80}: expected a tokenizer with its size and its end")
        return cls(content, size, end).checked("the tokenizer")

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer of the library."""
        return library().Tokenizer.from_str(self.content)

    def checked(self, whose: str) -> "BytePairs":
        """Return the vocabulary. Raises InputError unless it is one of byte pairs, with as many tokens as there are."""
        found = json.loads(self.content)
        decoder, model = found.get("decoder"), found.get("model")
        kinds = [part.get("type") if isinstance(part, dict) else None for part in (model, decoder)]
        if kinds != ["BPE", "ByteLevel"]:
            raise InputError(f"{whose}: its tokens are neither single characters nor byte pairs, as this GPT needs")
        try:
            most = max(self.tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
        except InputError:
            raise
        except Exception as error:  # the library's own have no common class
            raise InputError(f"{whose} is damaged: {' '.join(str(error).split())}") from None
        if most >= self.size:
            raise InputError(f"{whose}: has the token {most}, but vocab_size is {self.size}")
        return self

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text. Raises InputError for half a character, which a terminal can make of a byte."""
        half = next((character for character in text if "\ud800" <= character <= "\udfff"), None)
        if half is not None:
            raise InputError(f"the text has {half!r}, which is half of a character: no token stands for it")
        found: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return found

    def encoded(self, parts: Iterator[str]) -> Iterator[np.ndarray]:
        """Yield the tokens of a text in parts, which are the same as those of the whole."""
        for part in cut_between_lines(parts):
            yield np.array(self.encode(part), self.dtype)

    @property
    def dtype(self) -> Any:
        """The smallest type of its tokens."""
        return np.min_scalar_type(self.size - 1).newbyteorder("<")

    def bytes_of(self, token: int) -> bytes:
        """Return the bytes of a token; none for one without a text."""
        return self.all_bytes[token]

    @cached_property
    def all_bytes(self) -> list[bytes]:
        """The bytes of all tokens."""
        found, added = [b""] * self.size, self.tokenizer.get_added_tokens_decoder()
        for text, token in self.tokenizer.get_vocab(with_added_tokens=True).items():
            found[token] = text.encode() if token in added else bytes([BYTES.get(c, 0x3F) for c in text])
        return found

    def decode(self, tokens: list[int]) -> str:
        """Return the text of some tokens; what is no character becomes the mark U+FFFD."""
        return b"".join(map(self.bytes_of, tokens)).decode("utf-8", "replace")

    def whole_characters(self) -> Callable[[int | None], str]:
        """Return a function of one token after the other: it returns the text that each completes, as a token may be a
        part of a character. None instead of a token ends the text, and completes the rest.
        """
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return lambda token: decoder.decode(b"" if token is None else self.bytes_of(token), final=token is None)


def library() -> Any:
    """Return the module `tokenizers`. Raises InputError if it is not installed."""
    try:
        import tokenizers
    except ImportError:
        raise InputError('the tokens of GPT-2 need the library tokenizers: pip install -e ".[gpt2]"') from None
    return tokenizers


def from_two_files(vocabulary: dict[str, int], merges: str) -> str:
    """Return the tokenizer.json that vocab.json and merges.txt mean."""
    pairs = [tuple(line.split(" ")) for line in merges.split("\n") if line.strip() and not line.startswith("#version")]
    t = library()
    tokenizer = t.Tokenizer(t.models.BPE(vocabulary, pairs))
    tokenizer.pre_tokenizer = t.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder, tokenizer.post_processor = t.decoders.ByteLevel(), t.processors.ByteLevel(trim_offsets=False)
    if END_OF_TEXT in vocabulary:
        tokenizer.add_special_tokens([t.AddedToken(END_OF_TEXT, special=True, normalized=False)])
    return str(tokenizer.to_str())


END_OF_TEXT = "<|endoftext|>"


def cut_between_lines(parts: Iterator[str]) -> Iterator[str]:
    """Yield a text in other parts: each ends with a newline between two characters that are no white space.

    No token lies across such a place, so the parts have the tokens of the whole.
    """
    rest: list[str] = []
    length, wanted = 0, TOGETHER
    for part in parts:
        rest.append(part)
        length += len(part)
        if length < wanted:
            continue
        text = "".join(rest)
        place = next((i for i in range(len(text) - 1, 1, -1) if is_between(text, i)), 0)
        if place:
            yield text[:place]
        rest, length = [text[place:]], len(text) - place
        wanted = TOGETHER if place else 2 * length  # a text without such places is searched a few times, not often
    if rest:
        yield "".join(rest)


def is_between(text: str, place: int) -> bool:
    """Return whether a newline ends before a place, and neither it nor what follows touches other white space."""
    return text[place - 1] == "\n" and not text[place - 2].isspace() and not text[place].isspace()


def byte_of_character() -> dict[str, int]:
    """Return the byte for which each character of a token stands: GPT-2 moves those that do not print."""
    prints = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    moved = [byte for byte in range(256) if byte not in set(prints)]
    return {chr(code): byte for code, byte in chain(zip(prints, prints, strict=True), enumerate(moved, 256))}


BYTES = byte_of_character()
