"""From logits to text: the model writes one character at a time.

Each character costs one position, because a cache keeps the keys and values of earlier ones. The definition runs on
plain floats: the same `gpt` function as in training, without a graph. Compiled code (cached_step.py) does the same
faster, where there is much to write.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from math import isfinite
from typing import Any

import numpy as np

from microgpt.errors import DivergenceError, InputError, counted
from microgpt.functions import Vector
from microgpt.gpt import Parameters
from microgpt.learning.architecture import GPT, Architecture, values_of
from microgpt.learning.byte_pairs import BytePairs
from microgpt.learning.cached_step import compiled_writing
from microgpt.learning.choosing import Choice, next_token
from microgpt.learning.layers import Reader, generated
from microgpt.learning.own_writing import NOT_RECORDED, OwnWriting
from microgpt.learning.parameters import Arrays, count_of
from microgpt.learning.randoms import random_numbers
from microgpt.learning.text import BOUNDARY, Vocabulary, characters_of, encode, end_of

FIRST, MOST = 128, 100_000  # samples of a group, at first, and its characters, at most
PIECE = 10_000  # characters of one text that are written without a look at the limit
WIDE = f"utf-32-{sys.byteorder[0]}e"  # four bytes a character
MUCH = 6_000_000  # parameters to go through: from so many on, compiled code is done sooner than plain floats


@dataclass(frozen=True)
class Model:
    """A trained model: all that writing needs."""

    config: Any  # a GPTConfig, or the settings of another architecture
    vocabulary: Vocabulary  # the characters, in the order of their tokens, or parts of words
    documents: str  # "lines" or "stream"
    parameters: Arrays  # by name
    architecture: Architecture = field(default=GPT, kw_only=True)

    @property
    def named(self) -> str:
        """How messages call it."""
        return "the model"


def _finite(logits: Vector) -> Vector:
    """Return the logits. Raises DivergenceError if one of them is not finite."""
    if not all(map(isfinite, logits)):
        raise _diverged()
    return logits


def _diverged() -> DivergenceError:
    return DivergenceError("this model's logits are not finite numbers: its parameters are too large")


def generate(
    params: Parameters, config: Any, tokens: list[int], rng: np.random.Generator, choice: Choice,
    architecture: Architecture = GPT,
) -> Iterator[tuple[int, float]]:  # fmt: skip
    """Yield next tokens without end, after at least one first token. The first tokens must fit in the context.

    Each comes with its log-probability: the model's own, whatever the choice does. Past the context, the window slides.
    The model reads the later half of the window again, as positions 0, 1, ..., and goes on from there.
    """
    half = (config.n_positions + 1) // 2
    window, read = list(tokens), 0
    state = architecture.empty_state(config)
    while True:
        if len(window) > config.n_positions:
            window, read = window[-half:], 0
            state = architecture.empty_state(config)
        while read < len(window):
            logits = architecture.logits(params, config, window[read], read, state)  # [vocab_size]
            read += 1
        token, log_probability = next_token(_finite(logits), rng.random(), choice)
        window.append(token)
        yield token, log_probability


def _writer(model: Model, tokens: list[int], randoms: np.ndarray, choice: Choice) -> Any:
    """Return sequences that do the same as `generate` in compiled code, one for each row of random numbers."""
    rows, limit = randoms.shape
    items = np.zeros((rows, len(tokens) + limit), np.int64)
    items[:, : len(tokens)] = tokens
    end = end_of(model.vocabulary, model.documents)
    return writing_of(model, choice, -1 if end is None else end).begin(model.parameters, items, len(tokens), randoms)


def writing_of(model: Model, choice: Choice, end: int) -> Any:
    """Return what writes with a model in compiled code."""
    if model.architecture.is_the_book:
        return compiled_writing(model.config, choice, end)
    kept, key = model.architecture.writing, (tuple(values_of(model.config).items()), choice, end)
    if key not in kept:
        kept[key] = OwnWriting(model.architecture, model.config, choice, end)
    return kept[key]


def _begun(model: Model, tokens: list[int], randoms: np.ndarray, choice: Choice) -> Any:
    """Return what `_writer` returns; None for a model of one's own that cannot be compiled."""
    try:
        return _writer(model, tokens, randoms, choice)
    except NOT_RECORDED:
        if model.architecture.is_the_book:
            raise
        return None


def _write(
    model: Model, tokens: list[int], limit: int, rng: np.random.Generator, choice: Choice
) -> Iterator[tuple[int, float]]:
    """Yield what `generate` yields, up to a limit, from compiled code."""
    while limit > 0:
        some = min(limit, PIECE)
        sequences = _begun(model, tokens, rng.random((1, some)), choice)
        more, done = True, len(tokens)
        while more:
            more, known = sequences.go_on(), sequences.known[0]
            chosen, scores = (of_all[0, done:known].tolist() for of_all in (sequences.items, sequences.scores))
            for token, log_probability in zip(chosen, scores, strict=True):
                if token < 0:
                    raise _diverged()
                yield token, log_probability
            done = known
        tokens, limit = sequences.window(), limit - some


def worth_compiling(parameters: Arrays, characters: int) -> bool:
    """Return whether compiled code writes so many characters sooner, with the time for compiling."""
    return count_of(parameters) * characters >= MUCH


def sample(
    model: Model,
    prompt: str = "",
    seed: int = 0,
    index: int = 0,
    choice: Choice | None = None,
    max_new_tokens: int | None = None,
    compiled: bool = False,
) -> str:
    """Return one new document with its prompt: see `stream` for the arguments and the errors.

    The same model, prompt, seed, index and choice give the same text.
    """
    return prompt + "".join(text for text, _ in stream(model, prompt, seed, index, choice, max_new_tokens, compiled))


def sample_many(
    model: Model,
    count: int,
    prompt: str = "",
    seed: int = 0,
    choice: Choice | None = None,
    max_new_tokens: int | None = None,
) -> list[tuple[str, float]]:
    """Return what `sample` returns for index 0 to count - 1, with log-probabilities, written together in compiled code.

    The texts include the prompt, the log-probabilities do not (see `stream`). Both ways give the same texts, because
    they compute in double precision and every sample has its own random numbers.
    """
    return list(chain(*samples_in_groups(model, count, prompt, seed, choice, max_new_tokens)))


def samples_in_groups(
    model: Model,
    count: int,
    prompt: str = "",
    seed: int = 0,
    choice: Choice | None = None,
    max_new_tokens: int | None = None,
) -> Iterator[list[tuple[str, float]]]:
    """Yield the results of `sample_many` in groups, small ones first."""
    tokens, choice = prompt_tokens(model, prompt), choice or Choice()
    limit, first, size = new_tokens(model, tokens, max_new_tokens), 0, FIRST
    while first < count:
        indices = range(first, min(first + size, count))
        sequences = None
        if not isinstance(model.vocabulary, BytePairs):
            sequences = _begun(model, tokens, random_numbers(seed, indices, limit), choice)
        if sequences is not None:
            while sequences.go_on():
                pass
            yield _texts(sequences, model, prompt, len(tokens))
        else:
            parts = [list(stream(model, prompt, seed, index, choice, max_new_tokens)) for index in indices]
            yield [(prompt + "".join(text for text, _ in one), sum(p for _, p in one)) for one in parts]
        first, size = first + size, max(min(2 * size, MOST // max(limit, 1)), 1)


def _texts(sequences: Any, model: Model, prompt: str, begun: int) -> list[tuple[str, float]]:
    """Return the texts and log-probabilities of sequences, which begin with so many tokens of the prompt."""
    items, (count, width) = sequences.items[:, begun:], sequences.items[:, begun:].shape
    if (items < 0).any():
        raise _diverged()
    letters = np.frombuffer(model.vocabulary.encode(WIDE), np.uint32)
    written = letters[items].tobytes().decode(WIDE)
    end = end_of(model.vocabulary, model.documents)
    ended = (items == (-1 if end is None else end)).any(1)
    starts = np.arange(count) * width
    stops = starts + sequences.known - begun - ended
    texts = [prompt + written[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
    return list(zip(texts, sequences.scores.sum(1).tolist(), strict=True))


def stream(
    model: Model,
    prompt: str = "",
    seed: int = 0,
    index: int = 0,
    choice: Choice | None = None,
    max_new_tokens: int | None = None,
    compiled: bool = False,
) -> Iterator[tuple[str, float]]:
    """Yield the characters of one new document without the prompt, one by one as they are chosen.

    Each comes with its natural log-probability: the model's own, at temperature 1 and among all characters. The end of
    a document (the newline of a line, END in prose) comes as an empty text. A token of byte pairs comes as the
    characters that it completes, which may be none. Sample number `index` of a seed has its own
    random numbers, however many are drawn.

    A line ends at a newline, or where the context is full. Prose ends at END, or after `max_new_tokens` (default: 500)
    characters. Past the context, the model goes on from the later half of what it has read. `compiled` code gives the
    same, sooner if there is much to write (see `worth_compiling`).

    Raises InputError for a prompt with an unknown character, and for one that is longer than a line can be.
    """
    tokens = prompt_tokens(model, prompt)
    limit, end = new_tokens(model, tokens, max_new_tokens), end_of(model.vocabulary, model.documents)
    rng, choice = np.random.default_rng([seed, index]), choice or Choice()
    shown = _shown(model.vocabulary)
    if isinstance(model.vocabulary, BytePairs) and model.architecture.is_the_book:
        chosen = generated(Reader(model.config, model.parameters), tokens, iter(rng.random, None), choice)
    elif compiled and _begun(model, tokens, np.zeros((1, 1)), choice) is not None:
        chosen = _write(model, tokens, limit, rng, choice)
    else:
        params = {name: array.tolist() for name, array in model.parameters.items()}
        chosen = generate(params, model.config, tokens, rng, choice, model.architecture)
    for _, (token, log_probability) in zip(range(limit), chosen, strict=False):
        if not isfinite(log_probability):
            raise _diverged()
        yield shown(None if token == end else token), log_probability
        if token == end:
            return
    if rest := shown(None):
        yield rest, 0.0


def _shown(vocabulary: Vocabulary) -> Callable[[int | None], str]:
    """Return a function that turns one token after the other into text; None ends it."""
    if isinstance(vocabulary, BytePairs):
        return vocabulary.whole_characters()
    return lambda token: "" if token is None else vocabulary[token]


def new_tokens(model: Model, tokens: list[int], wanted: int | None) -> int:
    """Return how many characters to write at most. A line is limited by the context."""
    if model.documents == "lines":
        room = model.config.n_positions + 1 - len(tokens)  # the last one chosen needs no position of its own
        return room if wanted is None else max(min(room, wanted), 0)
    usual = 100 if isinstance(model.vocabulary, BytePairs) else 500
    return usual if wanted is None else max(wanted, 0)


def prompt_tokens(model: Model, prompt: str) -> list[int]:
    """Return the tokens that the model reads first: for lines a newline and the prompt, for prose the prompt.

    An empty prompt of prose becomes a newline or, for byte pairs, the token that ends a text, which also begins one.
    Only the end of a long prompt of prose is read.
    """
    if isinstance(model.vocabulary, BytePairs):
        return (model.vocabulary.encode(prompt) or [model.vocabulary.end or 0])[-model.config.n_positions :]
    known, whose = characters_of(model.vocabulary, model.documents), model.named
    if model.documents == "stream":
        return encode(prompt or BOUNDARY, known, whose)[-model.config.n_positions :]
    if BOUNDARY in prompt:
        raise InputError(f"the prompt {prompt!r:.80} has a newline, but this model writes single lines")
    tokens, room = encode(BOUNDARY + prompt, known, whose), model.config.n_positions - 1
    if len(prompt) > room:
        raise InputError(
            f"the prompt has {counted(len(prompt), 'character')}, the context has room for {room}: give a shorter one"
        )
    return tokens


def as_typed(prompt: str, known: str) -> str:
    r"""Return a typed prompt, in which \n and \t are a newline and a tab, unless the model knows the backslash."""
    return prompt if "\\" in known else prompt.replace("\\n", "\n").replace("\\t", "\t")
