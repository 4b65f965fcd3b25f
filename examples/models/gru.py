"""A recurrent network with gates, the GRU (Cho et al. 2014): what it knows of the text so far is one vector a layer.

A GPT keeps a key and a value of every position and asks all of them. This model keeps only a state of a fixed size.
Each character updates it, and gates decide how much of the old state stays. So a position costs the same however long
the text is, but what the state has lost cannot be looked up again. Names and layouts are those of torch.nn.GRU.
"""

from dataclasses import dataclass

import numpy as np

from microgpt import exp, pick
from microgpt.functions import Matrix, Scalar, Vector, dot, tanh
from microgpt.gpt import Parameters


@dataclass(frozen=True)
class Config:
    """The shape of a GRU."""

    vocab_size: int
    n_positions: int
    n_embd: int = 32  # numbers for each character
    n_hidden: int = 64  # numbers in the state of a layer
    n_layer: int = 1  # layers, each of which reads the states of the one below


def initial_parameters(config: Config, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Random weights, and biases of 0."""
    hidden, params = config.n_hidden, {"embedding.weight": random.normal(0.0, 0.3, (config.vocab_size, config.n_embd))}
    for layer in range(config.n_layer):
        below = hidden if layer else config.n_embd
        params[f"gru.weight_ih_l{layer}"] = random.normal(0.0, below**-0.5, (3 * hidden, below))
        params[f"gru.weight_hh_l{layer}"] = random.normal(0.0, hidden**-0.5, (3 * hidden, hidden))
        params[f"gru.bias_ih_l{layer}"], params[f"gru.bias_hh_l{layer}"] = np.zeros(3 * hidden), np.zeros(3 * hidden)
    params["head.weight"] = random.normal(0.0, hidden**-0.5, (config.vocab_size, hidden))
    return params | {"head.bias": np.zeros(config.vocab_size)}


@dataclass
class Memory:
    """What one layer knows of the text so far."""

    hidden: Vector  # [n_hidden]


def empty_state(config: Config) -> list[Memory]:
    """Nothing is known before the first position: zeros for each layer."""
    return [Memory([0.0] * config.n_hidden) for _ in range(config.n_layer)]


def affine(x: Vector, weight: Matrix, bias: Vector) -> Vector:  # [n], [m, n], [m] -> [m]
    """Weighted sums of all inputs, plus a bias; row j of the weight makes output j."""
    return [dot(x, row) + b for row, b in zip(weight, bias, strict=True)]


def sigmoid(x: Scalar) -> Scalar:  # scalar -> scalar
    """Squash any number into (0, 1)."""
    return (1 + exp(-x)) ** -1


def gru(params: Parameters, layer: int, x: Vector, hidden: Vector) -> Vector:  # ..., [n], [n_hidden] -> [n_hidden]
    """The next state of a layer: between the old one and a new proposal, by a gate for each number."""
    n = len(hidden)
    from_input = affine(x, params[f"gru.weight_ih_l{layer}"], params[f"gru.bias_ih_l{layer}"])  # [3 * n_hidden]
    from_state = affine(hidden, params[f"gru.weight_hh_l{layer}"], params[f"gru.bias_hh_l{layer}"])  # [3 * n_hidden]
    reset = [sigmoid(a + b) for a, b in zip(from_input[:n], from_state[:n], strict=True)]
    update = [sigmoid(a + b) for a, b in zip(from_input[n : 2 * n], from_state[n : 2 * n], strict=True)]
    new = [tanh(a + r * b) for a, r, b in zip(from_input[2 * n :], reset, from_state[2 * n :], strict=True)]
    return [(1 - z) * new_i + z * old for z, new_i, old in zip(update, new, hidden, strict=True)]


def logits(params: Parameters, config: Config, token: int, position: int, state: list[Memory]) -> Vector:
    """The logits [vocab_size] for the token after `token`, given the state, which moves on by this token."""
    x = pick(params["embedding.weight"], token)  # [n_embd]
    for layer, memory in enumerate(state):
        memory.hidden = gru(params, layer, x, memory.hidden)
        x = memory.hidden  # [n_hidden]
    return affine(x, params["head.weight"], params["head.bias"])
