"""A GPT that adds: thirty of them learn side by side, and the best is asked for sums that it has never seen.

    python examples/addition.py --explain

A line is a sum, such as 457+685=2411. The answer, 1142, comes from the right, as one adds on paper: ones first, because
that is where a carry begins. The model is the book's own GPT with a few hundred parameters. Only the characters of the
answer count in its loss. What is so small learns by luck, so many begin at different random numbers. They are one
function: the sum of their losses, whose gradient is the gradients of all. With --explain every number of the best one
is on a page, addition.html, at a few sums.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from microgpt import GPTConfig, Schedule, adam_update, evaluate, explain, initial_parameters, train, value_and_grad
from microgpt.commands.options import COUNT, POSITIVE, POSITIVE_NUMBER, Options, option, parse, require
from microgpt.commands.script import run_script
from microgpt.gpt import empty_cache, gpt
from microgpt.gpt import loss as loss_of_gpt
from microgpt.learning.parameters import Arrays

CHARACTERS = "0123456789+="
HELD_OUT = 10  # one pair of so many is never trained
WANTED = 0.99  # of the sums
SOME = 1000  # sums that choose the best model
LOOKS = 20  # times that they are asked
SHOWN = 5  # sums on the page


@dataclass
class Settings(Options):
    digits: int = option(3, "digits of the numbers that are added", must=POSITIVE)
    n_embd: int = option(6, "numbers for each position; a multiple of --n-head", must=POSITIVE)
    n_head: int = option(2, "attention heads", must=POSITIVE)
    models: int = option(30, "models that learn side by side", must=POSITIVE)
    steps: int = option(6000, "training steps, if no model is good enough before", must=POSITIVE)
    batch_size: int = option(64, "sums in a step", must=POSITIVE)
    learning_rate: float = option(0.01, "the largest step", must=POSITIVE_NUMBER)
    seed: int = option(0, "for random numbers", must=COUNT)
    explain: str | None = option(None, "write a page with the best model, addition.html", alone="addition.html")

    def __post_init__(self) -> None:
        super().__post_init__()
        require("n_embd", self.n_embd, self.n_embd % self.n_head == 0, f"a multiple of --n-head {self.n_head}")
        require("digits", self.digits, 2 <= self.digits <= 8, "from 2 to 8")


def digits_of(numbers: np.ndarray, count: int) -> np.ndarray:  # [n] -> [n, count]
    """The digits of some numbers, the ones first."""
    return numbers[:, None] // 10 ** np.arange(count) % 10


def sums(a: np.ndarray, b: np.ndarray, digits: int) -> np.ndarray:  # [n], [n] -> [n, 3 * digits + 3]
    """Each sum as integers: the two numbers as one reads them, and the answer from the right."""
    plus, equals = (np.full((len(a), 1), CHARACTERS.index(sign)) for sign in "+=")
    numbers = digits_of(a, digits)[:, ::-1], plus, digits_of(b, digits)[:, ::-1], equals
    return np.concatenate([*numbers, digits_of(a + b, digits + 1)], axis=1)


def is_held_out(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether a pair is among those that no model learns from: about every tenth, whichever number comes first."""
    return (7919 * (a + b) + 104729 * a * b) // 97 % HELD_OUT == 0


def pairs(digits: int, count: int, held_out: bool, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Some random pairs of numbers, all held out or none."""
    a, b = rng.integers(0, 10**digits, (2, 2 * HELD_OUT * count if held_out else 2 * count))
    fitting = np.flatnonzero(is_held_out(a, b) == held_out)[:count]
    return a[fitting], b[fitting]


def others(known: tuple[np.ndarray, np.ndarray], s: Settings) -> tuple[np.ndarray, np.ndarray]:
    """Up to a hundred thousand other pairs that are held out, each once, in a random order."""
    rng = np.random.default_rng([s.seed, 3])
    (a, b), (c, d), base = pairs(s.digits, 100 * SOME, True, rng), known, 10**s.digits
    return np.divmod(rng.permutation(np.setdiff1d(a * base + b, c * base + d)), base)


def weights_of(digits: int) -> np.ndarray:  # -> [3 * digits + 2]
    """The weight of each prediction: 0 where the next character is given, and 1 in all for the answer."""
    given, answer = 2 * digits + 1, digits + 1
    return np.array([0.0] * given + [1 / answer] * answer, np.float32)


def drawn(s: Settings) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """A batch for each step: sums, and the weights of their predictions."""
    rng = np.random.default_rng([s.seed, 1])
    weights = np.tile(weights_of(s.digits), (s.batch_size, 1))
    for _ in range(s.steps):
        yield sums(*pairs(s.digits, s.batch_size, False, rng), s.digits), weights


def each_model(models: Arrays) -> list[dict[str, Any]]:
    """The parameters of each model, from arrays with one row a model."""
    return [dict(zip(models, tensors, strict=True)) for tensors in zip(*models.values(), strict=True)]


def loss(models, tokens, weights, config):
    """The losses of all models on one sum, added up. The parameters of one do not enter the loss of another."""
    return sum([loss_of_gpt(params, tokens, weights, config) for params in each_model(models)])


def answer_logits(models, tokens, config, asked):
    """What each model expects at each character of the answer: its logits."""
    return [answer_of_one(params, tokens, config, asked) for params in each_model(models)]


def answer_of_one(params, tokens, config, asked):
    cache = empty_cache(config)
    logits = [gpt(params, config, token, position, cache) for position, token in enumerate(tokens)]
    return logits[asked:]


def exact(evaluated: Any, models: Arrays, found: np.ndarray, digits: int) -> np.ndarray:  # -> [models]
    """The share of sums that each model writes without a fault, when it takes the likeliest character each time.

    (If one is wrong, it does not matter what it would have written after it. So the right ones can be given.)
    """
    right = np.zeros(len(next(iter(models.values()))))
    for start in range(0, len(found), SOME):
        some = found[start : start + SOME]
        likeliest = evaluated(models, some[:, :-1]).argmax(axis=-1)  # [sums, models, digits + 1]
        right += (likeliest == some[:, None, -digits - 1 :]).all(axis=-1).sum(axis=0)
    return right / len(found)


def written(row: np.ndarray) -> str:
    """A sum as characters."""
    return "".join(CHARACTERS[i] for i in row)


def main() -> int:
    s = parse(Settings, "Train many tiny GPTs to add, side by side.")
    config = GPTConfig(len(CHARACTERS), 3 * s.digits + 2, s.n_embd, 1, s.n_head)
    beginnings = [initial_parameters(config, seed=s.seed * s.models + i) for i in range(s.models)]
    models = {name: np.stack([one[name] for one in beginnings]) for name in beginnings[0]}
    size = sum(array[0].size for array in models.values())
    example = written(sums(*np.array([[457], [685]]) % 10**s.digits, s.digits)[0])
    print(f"{s.models} models of {size} parameters learn sums such as {example}")

    step = value_and_grad(partial(loss, config=config))
    evaluated = evaluate(partial(answer_logits, config=config, asked=2 * s.digits + 1))
    choosing = pairs(s.digits, SOME, True, np.random.default_rng([s.seed, 2]))
    chosen_by = sums(*choosing, s.digits)
    every = max(1, s.steps // LOOKS)
    # No clipping: it would let the gradient of one model shorten the steps of all.
    schedule = Schedule(s.steps, s.learning_rate, min(200, s.steps // 4), grad_clip=0)
    start = time.perf_counter()
    for update in train(step, models, drawn(s), schedule, adam_update(), looks=lambda number: number % every == 0):
        if update.step % every == 0 or update.step == s.steps:
            right = exact(evaluated, models, chosen_by, s.digits)
            seconds = time.perf_counter() - start
            good = int((right >= WANTED).sum())
            print(
                f"step {update.step:5}  {seconds:5.1f} s  mean loss {update.loss / s.models:.3f}  "
                f"right: best {right.max():.1%}, median {np.median(right):.1%}; {good} with {WANTED:.0%} or more",
                flush=True,
            )
            if right.max() > (1 + WANTED) / 2:  # a margin, since the best is chosen by these sums
                break

    best = int(right.argmax())
    one = {name: array[best : best + 1] for name, array in models.items()}
    asked = sums(*others(choosing, s), s.digits)
    share = exact(evaluated, one, asked, s.digits)[0]
    print(f"model {best} writes {share:.2%} of {len(asked):,} other sums that none has seen, with {size} parameters:")
    for row in asked[:3]:
        logits = evaluated(one, row[None, :-1])[0, 0]
        print("   ", written([*row[: 2 * s.digits + 2], *logits.argmax(axis=-1)]))
    if s.explain is not None:
        params = {name: array[best] for name, array in models.items()}
        weights = np.tile(weights_of(s.digits), (SHOWN, 1))
        of_one = partial(loss_of_gpt, config=config)
        page = explain(of_one, params, asked[:SHOWN], weights, out=s.explain, title="A GPT that adds")
        print(f"{page.examples} sums take {page.operations:,} operations forward; open {page.path} in a browser")
    return 0


if __name__ == "__main__":
    run_script(main)
