"""GPT-2 (Radford et al. 2019), position by position.

Read after functions.py. Parameters are GPT-2's own: a flat dict from its names to nested lists in its
layout, so a line of code reads like the checkpoint, the file of a trained model. The model sees one character at a
time; what later positions need of earlier ones, their keys and values, is kept in a cache. No position can look
ahead, because what lies ahead has not been computed yet. Training and sampling are this one function.

GPT-2's names are short for: wte, word token embedding; wpe, word position embedding; h, the hidden layers; ln, layer
norm, and ln_f the final one; attn, attention; mlp, multi-layer perceptron; fc, fully connected; proj, projection.
The c_ before a linear map comes from conv1d, the name of such a map in GPT-2's code.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

from microgpt.functions import Matrix, Scalar, Vector, attention, cross_entropy, dot, gelu, layer_norm, linear
from microgpt.value import pick

Parameters: TypeAlias = dict[str, Any]  # a name of GPT-2's -> a list or a list of lists of scalars


@dataclass(frozen=True)
class GPTConfig:
    """The shape of a GPT, in GPT-2's own names (`n_positions` is the longest context)."""

    vocab_size: int
    n_positions: int
    n_embd: int
    n_layer: int
    n_head: int


@dataclass
class Cache:
    """What one layer remembers of the positions so far: a key and a value for each, all heads side by side."""

    keys: Matrix  # [t, n_embd]
    values: Matrix  # [t, n_embd]


def empty_cache(config: GPTConfig) -> list[Cache]:
    """One empty cache a layer: the state before the first position."""
    return [Cache([], []) for _ in range(config.n_layer)]


def named(params: Parameters, name: str) -> tuple[Any, Vector]:
    """The weight and the bias of one part of the network."""
    return params[f"{name}.weight"], params[f"{name}.bias"]


def add(a: Vector, b: Vector) -> Vector:  # [n], [n] -> [n]
    """Add two vectors: how every part of the network writes to the residual stream, which all later parts read."""
    return [a_i + b_i for a_i, b_i in zip(a, b, strict=True)]


def self_attention(params: Parameters, name: str, x: Vector, n_head: int, cache: Cache) -> Vector:  # [n_embd] -> same
    """Let this position read from itself and all before it, with several heads at once."""
    n = len(x)
    qkv = linear(x, *named(params, f"{name}.c_attn"))  # [3 * n_embd]
    query, key, value = qkv[:n], qkv[n : 2 * n], qkv[2 * n :]  # [n_embd] each
    cache.keys.append(key)
    cache.values.append(value)
    heads: Vector = []
    for h in range(n_head):
        head = slice(h * n // n_head, (h + 1) * n // n_head)  # this head's share of the n_embd numbers
        heads += attention(query[head], [k[head] for k in cache.keys], [v[head] for v in cache.values])
    return linear(heads, *named(params, f"{name}.c_proj"))  # [n_embd]


def mlp(params: Parameters, name: str, x: Vector) -> Vector:  # [n_embd] -> [n_embd]
    """Think about what was read, at this position alone."""
    hidden = [gelu(h) for h in linear(x, *named(params, f"{name}.c_fc"))]  # [4 * n_embd]
    return linear(hidden, *named(params, f"{name}.c_proj"))  # [n_embd]


def block(params: Parameters, name: str, x: Vector, n_head: int, cache: Cache) -> Vector:  # [n_embd] -> [n_embd]
    """One layer: read from the past, then think; each adds its result to the residual stream x."""
    x = add(x, self_attention(params, f"{name}.attn", layer_norm(x, *named(params, f"{name}.ln_1")), n_head, cache))
    return add(x, mlp(params, f"{name}.mlp", layer_norm(x, *named(params, f"{name}.ln_2"))))


def gpt(params: Parameters, config: GPTConfig, token: int, position: int, cache: list[Cache]) -> Vector:
    """The logits [vocab_size] for the token after `token`, given all that the cache remembers; extends the cache.

    The output head is tied to the embedding: both are one table, wte, so a logit says how well x agrees with a token.
    """
    x = add(pick(params["wte.weight"], token), pick(params["wpe.weight"], position))  # [n_embd]
    for layer in range(config.n_layer):
        x = block(params, f"h.{layer}", x, config.n_head, cache[layer])  # [n_embd]
    x = layer_norm(x, *named(params, "ln_f"))  # [n_embd]
    return [dot(x, row) for row in params["wte.weight"]]  # [vocab_size]: the head is tied to the embedding


def loss(params: Parameters, tokens: list[int], weights: Vector, config: GPTConfig) -> Scalar:  # [t + 1], [t] -> scalar
    """The weighted sum of the cross-entropies of tokens[1:], each predicted from all tokens before it."""
    cache = empty_cache(config)
    total = 0
    for position, weight in enumerate(weights):
        logits = gpt(params, config, tokens[position], position, cache)  # [vocab_size]
        total += weight * cross_entropy(logits, tokens[position + 1])
    return total
