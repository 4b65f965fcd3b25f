"""From logits to text: the model writes, one character at a time.

One text at a time runs on plain floats: the same `gpt` function as in training, without a graph. Each character costs
one position, because the cache remembers the keys and values of those before. Many texts are written by compiled code.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Any

import numpy as np

from microgpt.engine import evaluate
from microgpt.errors import DivergenceError, InputError
from microgpt.functions import Vector, cross_entropy, softmax
from microgpt.gpt import GPTConfig, Parameters, empty_cache, gpt
from microgpt.run_directory import Run
from microgpt.text import BOUNDARY, encode


@dataclass(frozen=True)
class Choice:
    """How the next character is chosen from its probabilities."""

    temperature: float = 1.0  # below 1 more careful, above 1 more daring; 0 always takes the likeliest
    top_k: int | None = None  # choose among so many of the likeliest only


def probabilities(logits: Vector, choice: Choice) -> list[float]:  # [vocab_size] -> [vocab_size]
    """The chance of each character to be the next one."""
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


def finite(logits: Vector) -> Vector:
    """The logits. Raises DivergenceError if one of them is not a finite number."""
    if not all(map(isfinite, logits)):
        raise DivergenceError("this model's logits are not finite numbers: its parameters are too large")
    return logits


def choose(chances: list[float], rng: np.random.Generator) -> int:
    """Draw an index with the given chances."""
    point = rng.random() * sum(chances)
    for i, chance in enumerate(chances):
        point -= chance
        if point < 0:
            return i
    return max(range(len(chances)), key=chances.__getitem__)  # only when rounding has left a little over


def generate(
    params: Parameters, config: GPTConfig, tokens: list[int], rng: np.random.Generator, choice: Choice
) -> Iterator[tuple[int, float]]:
    """Endless next tokens after some first ones, which must be at least one and fit in the context.

    Each comes with its log-probability: the model's own, whatever the choice makes of it. Past the context, the
    window slides: the model reads the later half of the window again, as positions 0, 1, ..., and goes on from there.
    """
    half = (config.n_positions + 1) // 2
    window, read = list(tokens), 0
    cache = empty_cache(config)
    while True:
        if len(window) > config.n_positions:
            window, read = window[-half:], 0
            cache = empty_cache(config)
        while read < len(window):
            logits = gpt(params, config, window[read], read, cache)  # [vocab_size]
            read += 1
        window.append(choose(probabilities(finite(logits), choice), rng))
        yield window[-1], -cross_entropy(logits, window[-1])


def sample(run: Run, prompt: str = "", **options: Any) -> str:
    """One new document, the prompt included: see `stream` for the options and the errors."""
    return prompt + "".join(text for text, _ in stream(run, prompt, **options))


def sample_many(
    run: Run,
    count: int,
    prompt: str = "",
    seed: int = 0,
    choice: Choice | None = None,
    max_new_tokens: int | None = None,
) -> list[tuple[str, float]]:
    """The same as `sample` for index 0 to count - 1, all at once in compiled code: texts and their log-probabilities.

    The texts include the prompt, the log-probabilities do not (see `stream`). Every sample has random numbers of its
    own, and both ways compute in double precision: the texts are the same.
    """
    n = run.config.n_positions
    half = (n + 1) // 2
    tokens = prompt_tokens(run, prompt)
    limit = new_tokens(run, tokens, max_new_tokens)
    parameters = {name: array.astype(np.float64) for name, array in run.parameters.items()}
    logits_of = evaluate(partial(logits_everywhere, config=run.config))
    texts, log_probabilities = [prompt] * count, [0.0] * count
    rngs = [np.random.default_rng([seed, index]) for index in range(count)]
    windows = [list(tokens) for _ in range(count)]
    writing = list(range(count))
    for _ in range(limit):
        for i in writing:
            if len(windows[i]) > n:
                windows[i] = windows[i][-half:]
        filled = [windows[i] + [0] * (n - len(windows[i])) for i in writing]  # what comes later changes nothing
        logits = logits_of(parameters, np.array(filled))  # [writing, n_positions, vocab_size]
        for i, of_one in zip(list(writing), logits, strict=True):
            of_last = of_one[len(windows[i]) - 1].tolist()  # [vocab_size]
            token = choose(probabilities(finite(of_last), choice or Choice()), rngs[i])
            windows[i].append(token)
            log_probabilities[i] -= cross_entropy(of_last, token)
            character = run.vocabulary[token]
            if run.documents == "lines" and character == BOUNDARY:
                writing.remove(i)
            else:
                texts[i] += character
        if not writing:
            break
    return list(zip(texts, log_probabilities, strict=True))


def logits_everywhere(params: Parameters, tokens: list[int], config: GPTConfig) -> list[Vector]:
    """The logits after each token of a sequence: [t] -> [t, vocab_size]."""
    cache = empty_cache(config)
    return [gpt(params, config, token, position, cache) for position, token in enumerate(tokens)]


def stream(
    run: Run,
    prompt: str = "",
    seed: int = 0,
    index: int = 0,
    choice: Choice | None = None,
    max_new_tokens: int | None = None,
) -> Iterator[tuple[str, float]]:
    """The characters of one new document, one by one as they are chosen, without the prompt.

    Each comes with its natural log-probability (the model's own, at temperature 1 and among all characters); the
    newline that closes a line comes as an empty text, with its own. Sample number `index` of a seed has its own random
    numbers, however many are drawn. A line ends before its closing newline or where the context is full; prose ends
    after `max_new_tokens` (default: 500) characters. Raises InputError for a prompt with a character the model never
    saw, or one longer than the context.
    """
    tokens = prompt_tokens(run, prompt)
    limit = new_tokens(run, tokens, max_new_tokens)
    params = {name: array.tolist() for name, array in run.parameters.items()}
    rng = np.random.default_rng([seed, index])
    chosen = generate(params, run.config, tokens, rng, choice or Choice())
    for _, (token, log_probability) in zip(range(limit), chosen, strict=False):
        character = run.vocabulary[token]
        if run.documents == "lines" and character == BOUNDARY:
            yield "", log_probability
            return
        yield character, log_probability


def new_tokens(run: Run, tokens: list[int], wanted: int | None) -> int:
    """How many characters to write at most: for lines no more than the context has room for."""
    if run.documents == "lines":
        room = run.config.n_positions + 1 - len(tokens)  # the last one chosen needs no position of its own
        return room if wanted is None else min(room, wanted)
    return 500 if wanted is None else wanted


def prompt_tokens(run: Run, prompt: str) -> list[int]:
    """What the model reads before it writes: for lines a newline and the prompt, for prose the prompt or a newline."""
    if run.documents == "lines" and BOUNDARY in prompt:
        raise InputError(f"the prompt {prompt!r} has a newline in it: this model writes single lines")
    text = BOUNDARY + prompt if run.documents == "lines" else prompt or BOUNDARY
    if len(text) > run.config.n_positions:
        room = run.config.n_positions - len(text) + len(prompt)
        raise InputError(f"the prompt has {len(prompt)} characters, the context has room for {room}")
    return encode(text, run.vocabulary)
