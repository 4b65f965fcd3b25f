"""From logits to text: the model writes one character at a time.

Each character costs one position, because a cache keeps the keys and values of earlier ones. The definition runs on
plain floats: the same `gpt` function as in training, without a graph. Compiled code (cached_step.py) does the same
faster, where there is much to write.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np

from microgpt import gpt as the_book
from microgpt.errors import DivergenceError, InputError, counted
from microgpt.functions import Vector, cross_entropy, softmax
from microgpt.gpt import GPTConfig, Parameters
from microgpt.learning.cached_step import Reader
from microgpt.learning.parameters import Arrays, parameter_count
from microgpt.learning.text import BOUNDARY, characters_of, closing, encode

TOGETHER = 64  # texts that compiled code writes at once
MUCH = 10_000_000  # parameters to go through: from so many on, compiled code is done sooner than plain floats


@dataclass(frozen=True)
class Model:
    """A trained GPT: all that writing needs."""

    config: GPTConfig
    vocabulary: str  # the characters, in the order of their tokens
    documents: str  # "lines" or "stream"
    parameters: Arrays  # by GPT-2's names
    book: Any = field(default=the_book, kw_only=True)  # has `gpt` and `empty_cache`: gpt.py, or one of your own

    @property
    def named(self) -> str:
        """How messages call it."""
        return "the model"


@dataclass(frozen=True)
class Choice:
    """How to choose the next character from its probabilities. Raises InputError for impossible values.

    A temperature below 1 is more careful, above 1 more daring, and 0 always takes the likeliest character.
    """

    temperature: float = 1.0
    top_k: int | None = None  # choose among so many of the likeliest only

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise InputError(f"the temperature is {self.temperature}: expected 0 or a positive number")
        if self.top_k is not None and self.top_k < 1:
            raise InputError(f"top_k is {self.top_k}: expected a positive integer, or None to choose among all")

    @property
    def is_certain(self) -> bool:
        """Whether every sample of a prompt is the same, because the likeliest character is always taken."""
        return self.temperature == 0 or self.top_k == 1


def probabilities(logits: Vector, choice: Choice) -> list[float]:  # [vocab_size] -> [vocab_size]
    """Return the probability of each character to be the next one."""
    if choice.temperature == 0:
        likeliest = logits.index(max(logits))
        return [float(i == likeliest) for i in range(len(logits))]
    greatest = max(logits)
    scaled = [(logit - greatest) / choice.temperature for logit in logits]
    if choice.top_k is not None and choice.top_k < len(logits):
        kept = sorted(range(len(logits)), key=lambda i: -logits[i])[: choice.top_k]
        weights = softmax([scaled[i] for i in kept])
        chances = dict(zip(kept, weights, strict=True))
        return [chances.get(i, 0.0) for i in range(len(logits))]
    return softmax(scaled)


def _finite(logits: Vector) -> Vector:
    """Return the logits. Raises DivergenceError if one of them is not finite."""
    if not all(map(isfinite, logits)):
        raise DivergenceError("this model's logits are not finite numbers: its parameters are too large")
    return logits


def choose(chances: list[float], rng: np.random.Generator) -> int:
    """Draw an index with the given probabilities."""
    point = rng.random() * sum(chances)
    for i, chance in enumerate(chances):
        point -= chance
        if point < 0:
            return i
    return max(range(len(chances)), key=chances.__getitem__)  # only when rounding has left a little over


def generate(
    params: Parameters, config: GPTConfig, tokens: list[int], rng: np.random.Generator, choice: Choice,
    book: Any = the_book,
) -> Iterator[tuple[int, float]]:  # fmt: skip
    """Yield next tokens without end, after at least one first token. The first tokens must fit in the context.

    Each comes with its log-probability: the model's own, whatever the choice does. Past the context, the window slides.
    The model reads the later half of the window again, as positions 0, 1, ..., and goes on from there.
    """
    half = (config.n_positions + 1) // 2
    window, read = list(tokens), 0
    cache = book.empty_cache(config)
    while True:
        if len(window) > config.n_positions:
            window, read = window[-half:], 0
            cache = book.empty_cache(config)
        while read < len(window):
            logits = book.gpt(params, config, window[read], read, cache)  # [vocab_size]
            read += 1
        window.append(choose(probabilities(_finite(logits), choice), rng))
        yield window[-1], -cross_entropy(logits, window[-1])


def _generated(
    model: Model, tokens: list[int], rng: np.random.Generator, choice: Choice
) -> Iterator[tuple[int, float]]:
    """Return what `generate` yields for a model."""
    params = {name: array.tolist() for name, array in model.parameters.items()}
    return generate(params, model.config, tokens, rng, choice, model.book)


def _generate_together(
    model: Model, tokens: list[int], rngs: list[np.random.Generator], choice: Choice
) -> Iterator[Sequence[tuple[int, float]]]:
    """Do the same as `generate` for several texts: yield a list with an entry for each of the rngs.

    The model of the book does it in compiled code.
    """
    parameters, config = model.parameters, model.config
    if model.book is not the_book:
        yield from zip(*[_generated(model, tokens, rng, choice) for rng in rngs], strict=True)
    half = (config.n_positions + 1) // 2
    reader = Reader(parameters, config, len(rngs))
    windows = [list(tokens) for _ in rngs]  # all of one length
    while True:
        if len(windows[0]) > config.n_positions:
            windows = [window[-half:] for window in windows]
            reader.forget()
        while reader.position < len(windows[0]):
            logits = reader.read([window[reader.position] for window in windows])
        chosen = [choose(probabilities(_finite(of_one), choice), rng) for of_one, rng in zip(logits, rngs, strict=True)]
        for window, token in zip(windows, chosen, strict=True):
            window.append(token)
        yield [(token, -cross_entropy(of_one, token)) for token, of_one in zip(chosen, logits, strict=True)]


def worth_compiling(config: GPTConfig, characters: int) -> bool:
    """Return whether compiled code writes so many characters sooner, with the time for compiling."""
    return parameter_count(config) * characters >= MUCH


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
    return list(samples_in_turn(model, count, prompt, seed, choice, max_new_tokens))


def samples_in_turn(
    model: Model,
    count: int,
    prompt: str = "",
    seed: int = 0,
    choice: Choice | None = None,
    max_new_tokens: int | None = None,
) -> Iterator[tuple[str, float]]:
    """Yield the results of `sample_many` in order, after every `TOGETHER` samples."""
    tokens = prompt_tokens(model, prompt)
    limit, end = new_tokens(model, tokens, max_new_tokens), closing(model.vocabulary, model.documents)
    for first in range(0, count, TOGETHER):
        rngs = [np.random.default_rng([seed, index]) for index in range(first, min(first + TOGETHER, count))]
        texts, log_probabilities = [prompt] * len(rngs), [0.0] * len(rngs)
        writing = list(range(len(rngs)))
        chosen = _generate_together(model, tokens, rngs, choice or Choice())
        for _, chosen_now in zip(range(limit), chosen, strict=False):
            for i in list(writing):
                token, log_probability = chosen_now[i]
                log_probabilities[i] += log_probability
                character = model.vocabulary[token]
                if character == end:
                    writing.remove(i)
                else:
                    texts[i] += character
            if not writing:
                break
        yield from zip(texts, log_probabilities, strict=True)


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
    a document (the newline of a line, END in prose) comes as an empty text. Sample number `index` of a seed has its own
    random numbers, however many are drawn.

    A line ends at a newline, or where the context is full. Prose ends at END, or after `max_new_tokens` (default: 500)
    characters. Past the context, the model goes on from the later half of what it has read. `compiled` code gives the
    same, sooner if there is much to write (see `worth_compiling`).

    Raises InputError for a prompt with an unknown character, and for one that is longer than a line can be.
    """
    tokens = prompt_tokens(model, prompt)
    limit, end = new_tokens(model, tokens, max_new_tokens), closing(model.vocabulary, model.documents)
    rng, choice = np.random.default_rng([seed, index]), choice or Choice()
    chosen = (
        (row[0] for row in _generate_together(model, tokens, [rng], choice))
        if compiled
        else _generated(model, tokens, rng, choice)
    )
    for _, (token, log_probability) in zip(range(limit), chosen, strict=False):
        character = model.vocabulary[token]
        if character == end:
            yield "", log_probability
            return
        yield character, log_probability


def new_tokens(model: Model, tokens: list[int], wanted: int | None) -> int:
    """Return how many characters to write at most. A line is limited by the context."""
    if model.documents == "lines":
        room = model.config.n_positions + 1 - len(tokens)  # the last one chosen needs no position of its own
        return room if wanted is None else min(room, wanted)
    return 500 if wanted is None else wanted


def prompt_tokens(model: Model, prompt: str) -> list[int]:
    """Return the tokens that the model reads first: for lines a newline and the prompt, for prose the prompt.

    An empty prompt of prose becomes a newline. Only the end of a long prompt of prose is read.
    """
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
