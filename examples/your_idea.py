"""An idea in ten minutes: change a GPT and see what it is worth: python examples/your_idea.py

The GPT below uses the library's functions. It has four places for another idea: the norm, the MLP, the positions, and
the update rule. Each variant is a few lines of plain Python on scalars. None needs a kernel, a backward pass or a
change of the library: `value_and_grad` takes any of them.

To try your own idea, write it beside the others, give it a line in VARIANTS, and run this file. `initial` has the
parameters that an idea may need.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from math import cos, sin
from pathlib import Path
from typing import Any

import numpy as np

from microgpt import (
    Schedule,
    adam_update,
    batches,
    evaluate,
    exp,
    make_corpus,
    mean_loss,
    pick,
    read_text,
    train,
    value_and_grad,
)
from microgpt.commands.options import POSITIVE, Options, option, parse, require
from microgpt.commands.script import run_script
from microgpt.functions import attention, cross_entropy, dot, gelu, layer_norm, linear
from microgpt.gpt import add
from microgpt.learning.parameters import Arrays

NAMES = Path(__file__).parents[1] / "data" / "names.txt"
N_EMBD, HEADS, POSITIONS = 32, 4, 16
WIDTH = N_EMBD // HEADS


@dataclass
class Settings(Options):
    steps: int = option(600, "training steps of each variant", must=POSITIVE)
    seeds: int = option(3, "how often each variant is trained, with other random parameters", must=POSITIVE)
    only: str | None = option(None, "the name of one variant, to compare only it with the plain GPT")


# The plain parts.


def norm_of_layer(params, name, x):
    return layer_norm(x, params[f"{name}.weight"], params[f"{name}.bias"])


def mlp_with_gelu(params, x):
    hidden = [gelu(h) for h in linear(x, params["up.weight"], params["up.bias"])]
    return linear(hidden, params["down.weight"], params["down.bias"])


def no_rotation(vector, position):
    return vector


# The ideas.


def rms_norm(params, name, x):
    """Remove only the scale, not the mean (Zhang and Sennrich 2019)."""
    scale = (dot(x, x) * (1 / len(x)) + 1e-5) ** -0.5
    return [x_i * scale * gain for x_i, gain in zip(x, params[f"{name}.weight"], strict=True)]


def mlp_with_gate(params, x):
    """Let half of the hidden units decide how much of the other half passes: SwiGLU (Shazeer 2020)."""
    both = linear(x, params["up.weight"], params["up.bias"])
    values, gates = both[: len(both) // 2], both[len(both) // 2 :]
    hidden = [v * g / (1 + exp(-g)) for v, g in zip(values, gates, strict=True)]
    return linear(hidden, params["down.weight"], params["down.bias"])


def rotated(vector, position):
    """Turn pairs of numbers with the position, so that a score depends on the distance: RoPE (Su et al. 2021)."""
    turned = []
    for i in range(0, len(vector), 2):
        angle = position * 100 ** (-i / len(vector))
        x, y = vector[i], vector[i + 1]
        turned += [x * cos(angle) - y * sin(angle), x * sin(angle) + y * cos(angle)]
    return turned


def lion(parameter, gradient, m, v, step, learning_rate, weight_decay):
    """Move every parameter by the learning rate, against the sign of its mean gradient (Chen et al. 2023)."""
    direction = np.sign(0.9 * m + 0.1 * gradient)
    m[:] = 0.99 * m + 0.01 * gradient
    parameter -= learning_rate * (direction + weight_decay * parameter)


# The GPT with its four places.


@dataclass(frozen=True)
class Variant:
    """The choice for each place; by default, that of GPT-2."""

    norm: Callable[..., Any] = norm_of_layer
    mlp: Callable[..., Any] = mlp_with_gelu
    hidden: tuple[int, int] = (4 * N_EMBD, 4 * N_EMBD)  # numbers out of the MLP's first map, and into its second
    rotate: Callable[..., Any] = no_rotation
    positions: bool = True  # whether positions have an embedding
    update: Callable[..., None] = field(default_factory=adam_update)
    learning_rate: float = 0.01
    weight_decay: float = 0.3


PLAIN = Variant()
GATED = (2 * (8 * N_EMBD // 3), 8 * N_EMBD // 3)  # about as many parameters as the plain MLP
VARIANTS = {
    "GPT-2": PLAIN,
    "RMS norm": replace(PLAIN, norm=rms_norm),
    "gated MLP": replace(PLAIN, mlp=mlp_with_gate, hidden=GATED),
    "rotary positions": replace(PLAIN, rotate=rotated, positions=False),
    "Lion": replace(PLAIN, update=lion, learning_rate=0.004, weight_decay=3.0),
}


def gpt_loss(params, tokens, weights, variant):  # [t + 1], [t] -> scalar
    """Return the weighted surprise of a GPT of one block at each next character."""
    keys, values, total = [], [], 0
    for position, weight in enumerate(weights):
        x = pick(params["wte"], tokens[position])
        if variant.positions:
            x = add(x, params["wpe"][position])
        qkv = linear(variant.norm(params, "ln_1", x), params["qkv.weight"], params["qkv.bias"])
        heads = [qkv[i * WIDTH : (i + 1) * WIDTH] for i in range(3 * HEADS)]  # queries, keys, values
        keys.append([variant.rotate(key, position) for key in heads[HEADS : 2 * HEADS]])
        values.append(heads[2 * HEADS :])
        read = []
        for h in range(HEADS):
            query = variant.rotate(heads[h], position)
            read += attention(query, [key[h] for key in keys], [value[h] for value in values])
        x = add(x, linear(read, params["proj.weight"], params["proj.bias"]))
        x = add(x, variant.mlp(params, variant.norm(params, "ln_2", x)))
        x = variant.norm(params, "ln_f", x)
        total += weight * cross_entropy([dot(x, row) for row in params["wte"]], tokens[position + 1])
    return total


def initial(variant: Variant, vocab_size: int, seed: int) -> Arrays:
    """Return random parameters for a variant."""
    rng = np.random.default_rng(seed)
    up, down = variant.hidden
    shapes = {
        "wte": (vocab_size, N_EMBD),
        "wpe": (POSITIONS, N_EMBD),
        "qkv.weight": (N_EMBD, 3 * N_EMBD),
        "proj.weight": (N_EMBD, N_EMBD),
        "up.weight": (N_EMBD, up),
        "down.weight": (down, N_EMBD),
    }
    if not variant.positions:
        del shapes["wpe"]
    arrays = {name: rng.normal(0.0, 0.15, shape).astype(np.float32) for name, shape in shapes.items()}
    for name, size in (("qkv", 3 * N_EMBD), ("proj", N_EMBD), ("up", up), ("down", N_EMBD)):
        arrays[f"{name}.bias"] = np.zeros(size, np.float32)
    for name in ("ln_1", "ln_2", "ln_f"):
        arrays[f"{name}.weight"] = np.ones(N_EMBD, np.float32)
        if variant.norm is norm_of_layer:
            arrays[f"{name}.bias"] = np.zeros(N_EMBD, np.float32)
    return arrays


def learn(variant: Variant, steps: int, seeds: int, text: str) -> tuple[list[float], int]:
    """Train a variant from several beginnings, all on one split; return the validation losses and the number of
    parameters.
    """
    losses = []
    loss = partial(gpt_loss, variant=variant)
    step, evaluated = value_and_grad(loss), evaluate(loss)
    corpus = make_corpus(text, POSITIONS, seed=0)
    for seed in range(seeds):
        params = initial(variant, len(corpus.vocabulary), seed)
        schedule = Schedule(steps, variant.learning_rate, min(100, steps // 4), variant.weight_decay)
        for _ in train(step, params, batches(corpus.training, 64, seed), schedule, variant.update):
            pass
        losses.append(mean_loss(evaluated, params, corpus.validation, steps))
    return losses, sum(array.size for array in params.values())


def main() -> int:
    settings = parse(Settings, "Compare variants of a GPT over several seeds.")
    known = settings.only is None or settings.only in VARIANTS
    require("only", settings.only, known, f"one of {', '.join(VARIANTS)}")
    chosen = {name: v for name, v in VARIANTS.items() if settings.only in (None, name) or v is PLAIN}
    text = read_text(NAMES)
    print(f"{'':18} validation loss, mean and spread of {settings.seeds} seeds after {settings.steps} steps")
    plain = 0.0
    for name, variant in chosen.items():
        start = time.perf_counter()
        losses, parameters = learn(variant, settings.steps, settings.seeds, text)
        mean, spread = float(np.mean(losses)), float(np.max(losses) - np.min(losses))
        plain = mean if variant is PLAIN else plain
        against = "" if variant is PLAIN else f"   {mean - plain:+.4f} against GPT-2"
        seconds = time.perf_counter() - start
        print(
            f"{name:18} {mean:.4f}  spread {spread:.4f}  {parameters:,} parameters  {seconds:.1f} s{against}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    run_script(main)
