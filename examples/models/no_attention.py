"""A network without attention and without memory: a window of characters, side by side (Bengio et al. 2003).

One of the first neural language models. Each character is a vector. Those of the last few lie side by side and
predict the next character, through a hidden layer and also directly (equation 1 of the paper). What lies before the
window does not exist for the model, and a wider window needs more weights.
"""

from dataclasses import dataclass

import numpy as np

from microgpt import pick
from microgpt.functions import Vector, linear, tanh
from microgpt.gpt import Parameters, add


@dataclass(frozen=True)
class Config:
    """The shape of the network."""

    vocab_size: int
    n_positions: int
    n_embd: int = 16  # numbers for each character
    n_hidden: int = 128  # numbers in the hidden layer
    window: int = 8  # how many characters it sees


def initial_parameters(config: Config, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Random weights; the direct ones and the biases begin at 0."""
    seen = config.window * config.n_embd
    return {
        "C": random.normal(0.0, 0.3, (config.vocab_size, config.n_embd)),  # the letters of the paper
        "H": random.normal(0.0, seen**-0.5, (seen, config.n_hidden)),
        "d": np.zeros(config.n_hidden),
        "U": random.normal(0.0, config.n_hidden**-0.5, (config.n_hidden, config.vocab_size)),
        "b": np.zeros(config.vocab_size),
        "W": np.zeros((seen, config.vocab_size)),
    }


@dataclass
class Window:
    """The vectors of the last characters, side by side."""

    x: Vector  # [window * n_embd]


def empty_state(config: Config) -> Window:
    """Before the text there are zeros."""
    return Window([0.0] * (config.window * config.n_embd))


def logits(params: Parameters, config: Config, token: int, position: int, state: Window) -> Vector:
    """The logits [vocab_size] for the token after `token`: b + W x + U tanh(d + H x)."""
    state.x = state.x[config.n_embd :] + pick(params["C"], token)  # the oldest character leaves
    x = state.x
    hidden = [tanh(h) for h in linear(x, params["H"], params["d"])]  # [n_hidden]
    return add(linear(x, params["W"], params["b"]), linear(hidden, params["U"], [0.0] * config.vocab_size))
