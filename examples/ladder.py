"""From counting pairs of characters to a GPT, one rung at a time, and what each idea buys: python examples/ladder.py

Every rung is a function from characters to logits, a few lines in the five operations. All rungs train on the same
names, with the same trainer, batch size and number of steps. Each has the learning rate and weight decay that suit it.
Each can do something that the one before could not; the validation loss shows what that is worth.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import exp as e_to_the
from pathlib import Path
from typing import Any

import numpy as np

from microgpt import (
    Choice,
    GPTConfig,
    Schedule,
    adam_update,
    batches,
    decode,
    evaluate,
    initial_parameters,
    make_corpus,
    mean_loss,
    pick,
    read_text,
    train,
    value_and_grad,
)
from microgpt.commands.options import COUNT, POSITIVE, Options, option, parse
from microgpt.commands.script import run_script
from microgpt.functions import attention, cross_entropy, linear, tanh
from microgpt.gpt import add, empty_cache, gpt, named
from microgpt.learning.bigram import bigram_loss, bigram_probabilities
from microgpt.learning.choosing import choose, probabilities
from microgpt.learning.parameters import Arrays
from microgpt.runs.files import check_place
from microgpt.runs.loss_plot import save_picture

NAMES = Path(__file__).parents[1] / "data" / "names.txt"
N_EMBD, HIDDEN, POSITIONS, HEADS = 32, 64, 16, 4


@dataclass
class Settings(Options):
    steps: int = option(2000, "training steps of each rung", must=POSITIVE)
    batch_size: int = option(64, "names in a step", must=POSITIVE)
    seed: int = option(0, "for random numbers", must=COUNT)
    plot: str = option("ladder.svg", "the picture of the table, if matplotlib is installed")


@dataclass
class Rung:
    """A model of names: how its parameters begin, and how it goes from characters to logits."""

    name: str
    new: str  # its ability that the rung before lacks
    parameters: Arrays
    logits: Callable[..., Any]  # (params, tokens [t]) -> the logits [vocab_size] after each of them, [t, vocab_size]
    learning_rate: float = 0.01
    weight_decay: float = 0.0  # each rung has the better of 0 and 0.3


def loss(params, tokens, weights, logits):  # [t + 1], [t] -> scalar
    """Return the weighted surprise at each next character: the same for all rungs."""
    found = logits(params, tokens[:-1])
    return sum(w * cross_entropy(x, target) for w, x, target in zip(weights, found, tokens[1:], strict=True))


# The rungs.


def bigram(params, tokens):
    """Look up a row of logits for each previous character."""
    return [pick(params["table"], token) for token in tokens]


def mlp(params, tokens):
    """Three characters as vectors, side by side, through one hidden layer (Bengio et al. 2003)."""
    vectors = [pick(params["wte"], token) for token in [0, 0, *tokens]]  # before the name there are newlines
    logits = []
    for i in range(len(tokens)):
        hidden = [tanh(h) for h in linear(vectors[i] + vectors[i + 1] + vectors[i + 2], *named(params, "hidden"))]
        logits.append(linear(hidden, *named(params, "head")))
    return logits


def recurrent(params, tokens):
    """A state that is carried from character to character (Elman 1990)."""
    state, logits = params["start"], []
    for token in tokens:
        state = [tanh(h) for h in linear(pick(params["wte"], token) + state, *named(params, "hidden"))]
        logits.append(linear(state, *named(params, "head")))
    return logits


def attentive(params, tokens, heads):
    """Every character looks at all before it, by content and by position (Vaswani et al. 2017); nothing else."""
    size, logits = N_EMBD // heads, []
    keys, values = [], []
    for position, token in enumerate(tokens):
        x = add(pick(params["wte"], token), params["wpe"][position])
        qkv = linear(x, *named(params, "qkv"))
        query, key, value = qkv[:N_EMBD], qkv[N_EMBD : 2 * N_EMBD], qkv[2 * N_EMBD :]
        keys.append(key)
        values.append(value)
        read = []
        for h in range(heads):
            own = slice(h * size, (h + 1) * size)
            read += attention(query[own], [k[own] for k in keys], [v[own] for v in values])
        logits.append(linear(read, *named(params, "head")))
    return logits


def blocks(params, tokens, config):
    """GPT-2: attention and an MLP in turn, each behind a layer norm and added to what was there."""
    cache = empty_cache(config)
    return [gpt(params, config, token, position, cache) for position, token in enumerate(tokens)]


def rungs(vocab_size: int, seed: int) -> list[Rung]:
    """All rungs that are trained, from the lowest."""
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> np.ndarray:
        return rng.normal(0.0, shape[0] ** -0.5, shape).astype(np.float32)

    def layer(name: str, n: int, m: int) -> Arrays:
        return {f"{name}.weight": weights(n, m), f"{name}.bias": np.zeros(m, np.float32)}

    def embedding(rows: int) -> np.ndarray:
        return rng.normal(0.0, 0.3, (rows, N_EMBD)).astype(np.float32)

    def attention_parameters() -> Arrays:
        return {
            "wte": embedding(vocab_size),
            "wpe": embedding(POSITIONS),
            **layer("qkv", N_EMBD, 3 * N_EMBD),
            **layer("head", N_EMBD, vocab_size),
        }

    shapes = [GPTConfig(vocab_size, POSITIONS, N_EMBD, n_layer, HEADS) for n_layer in (1, 2)]
    return [
        Rung(
            "bigram table",
            "learns the same table from examples, by gradient descent alone",
            {"table": np.zeros((vocab_size, vocab_size), np.float32)},
            bigram,
            learning_rate=0.05,
        ),
        Rung(
            "MLP on three characters",
            "sees three characters instead of one, and that some are alike",
            {
                "wte": embedding(vocab_size),
                **layer("hidden", 3 * N_EMBD, HIDDEN),
                **layer("head", HIDDEN, vocab_size),
            },
            mlp,
        ),
        Rung(
            "recurrent net",
            "can remember the whole name so far, if it fits into its state",
            {
                "wte": embedding(vocab_size),
                "start": np.zeros(HIDDEN, np.float32),
                **layer("hidden", N_EMBD + HIDDEN, HIDDEN),
                **layer("head", HIDDEN, vocab_size),
            },
            recurrent,
        ),
        Rung(
            "attention, one head",
            "looks back at any character directly, however far; with nothing around it, that is less than a state",
            attention_parameters(),
            partial(attentive, heads=1),
        ),
        Rung(
            "attention, four heads",
            "looks for four different things at once",
            attention_parameters(),
            partial(attentive, heads=HEADS),
        ),
        Rung(
            "a block",
            "thinks about what it read (MLP), on top of what it knew (residuals), at a steady scale (layer norm)",
            initial_parameters(shapes[0], seed),
            partial(blocks, config=shapes[0]),
            weight_decay=0.3,
        ),
        Rung(
            "two blocks: a GPT",
            "reads again, now from positions that have already read and thought",
            initial_parameters(shapes[1], seed),
            partial(blocks, config=shapes[1]),
            weight_decay=0.3,
        ),
    ]


def write_names(logits: Callable[..., Any], params: Arrays, vocabulary: str, seed: int, count: int = 5) -> list[str]:
    """Some names, all at once: what stands after the end of a text changes nothing before it."""
    rngs = [np.random.default_rng([seed, i]) for i in range(count)]
    texts: list[list[int]] = [[0] for _ in range(count)]
    logits_of = evaluate(logits)
    for length in range(1, POSITIONS):
        filled = np.array([text + [0] * (POSITIONS - len(text)) for text in texts])
        for text, found, rng in zip(texts, logits_of(params, filled), rngs, strict=True):
            if text[-1] != 0 or len(text) == 1:
                text.append(choose(probabilities(found[length - 1].tolist(), Choice()), rng.random()).index(True))
    return [decode(text, vocabulary).strip("\n") for text in texts]


def main() -> int:
    settings = parse(Settings, "Climb from counting pairs to a GPT, and print what each rung buys.")
    check_place("plot", settings.plot, "ladder.svg")
    corpus = make_corpus(read_text(NAMES), POSITIONS, settings.seed)
    vocab_size = len(corpus.vocabulary)

    start = time.perf_counter()
    chances = bigram_probabilities(corpus.training, vocab_size)
    counted = bigram_loss(chances, corpus.validation)
    seconds = time.perf_counter() - start
    logs = np.log(chances)
    names = write_names(
        lambda params, tokens: bigram({"table": logs.tolist()}, tokens), {}, corpus.vocabulary, settings.seed
    )
    table = [("counts of pairs", counted, chances.size, seconds, names, "knows which character often follows which")]
    tell(*table[-1])

    for rung in rungs(vocab_size, settings.seed):
        start = time.perf_counter()
        rung_loss = partial(loss, logits=rung.logits)
        schedule = Schedule(settings.steps, rung.learning_rate, min(50, settings.steps // 4), rung.weight_decay)
        drawn = batches(corpus.training, settings.batch_size, settings.seed)
        for _ in train(value_and_grad(rung_loss), rung.parameters, drawn, schedule, adam_update()):
            pass
        found = mean_loss(evaluate(rung_loss), rung.parameters, corpus.validation, settings.steps)
        seconds = time.perf_counter() - start
        count = sum(array.size for array in rung.parameters.values())
        names = write_names(rung.logits, rung.parameters, corpus.vocabulary, settings.seed)
        table.append((rung.name, found, count, seconds, names, rung.new))
        tell(*table[-1])
    draw(table, Path(settings.plot))
    return 0


def tell(name: str, found: float, parameters: int, seconds: float, names: list[str], new: str) -> None:
    """One rung, for people."""
    choices = f"as unsure as among {e_to_the(found):.1f} characters"
    print(f"{name:24} {found:.4f}  {parameters:6,} parameters  {seconds:4.1f} s   {choices}")
    print(f"{'':24} {new}\n{'':24} {'  '.join(names)}", flush=True)


def draw(table: list[Any], path: Path) -> None:
    """The losses of all rungs as bars."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print('no picture without matplotlib: pip install -e ".[plot]"')
        return
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    names, losses = [row[0] for row in table], [row[1] for row in table]
    found = axes.barh(names[::-1], losses[::-1], color="#3f8fd2")
    axes.bar_label(found, fmt="%.3f", padding=4, color="#7d7d7d")
    axes.set_xlim(min(losses) - 0.1, max(losses) + 0.1)
    axes.set_xlabel("validation loss, nats per character", color="#7d7d7d")
    axes.tick_params(colors="#7d7d7d")
    axes.spines[:].set_visible(False)
    save_picture(figure, path, transparent=True)


if __name__ == "__main__":
    run_script(main)
