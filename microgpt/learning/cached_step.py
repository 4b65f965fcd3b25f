"""One position of the GPT as a compiled function, to write long texts fast.

`gpt` extends its cache, so it is another program at every position. Here the cache has a fixed size and is an argument,
with a mask for its empty places. So one program serves all positions. The other lines are those of gpt.py, which is the
definition: both give the same logits.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from math import sqrt
from typing import Any

import numpy as np

from microgpt.engines.engine import evaluate
from microgpt.functions import Matrix, Scalar, Vector, dot, layer_norm, linear
from microgpt.gpt import GPTConfig, Parameters, add, mlp, named
from microgpt.learning.parameters import Arrays, flatten, views
from microgpt.value import exp, largest, pick

UNSEEN = -1e6  # added to the score of a place where nothing is remembered yet: its exp becomes 0


def attention(
    query: Vector, key: Vector, value: Vector, keys: Matrix, values: Matrix, unseen: Vector
) -> Vector:  # [d], [d], [d], [t, d], [t, d], [t] -> [d]
    """Return the attention of functions.py over a cache of t places, some of them empty, and this position."""
    scale = 1 / sqrt(len(query))
    scores = [dot(query, k) * scale + u for k, u in zip(keys, unseen, strict=True)]  # [t]
    own_score = dot(query, key) * scale
    shift = largest([largest(scores), own_score])
    weights = [exp(score - shift) for score in scores]  # [t]
    own_weight = exp(own_score - shift)
    total = (sum(weights) + own_weight) ** -1
    read = [dot(weights, column) for column in zip(*values, strict=True)]  # [d]
    return [(r + own_weight * v) * total for r, v in zip(read, value, strict=True)]


def cached_step(
    params: Parameters,
    token: int,
    position: int,
    keys: list[Matrix],
    values: list[Matrix],
    unseen: Vector,
    config: GPTConfig,
) -> tuple[Vector, Matrix, Matrix]:  # ..., [n_layer, t, n_embd] twice, [t] -> [vocab_size], [n_layer, n_embd] twice
    """Return the logits for the token after `token`, and the keys and values of this position in every layer."""
    n = config.n_embd
    heads = [slice(h * n // config.n_head, (h + 1) * n // config.n_head) for h in range(config.n_head)]
    new_keys, new_values = [], []
    x = add(pick(params["wte.weight"], token), pick(params["wpe.weight"], position))  # [n_embd]
    for layer in range(config.n_layer):
        name = f"h.{layer}"
        qkv = linear(layer_norm(x, *named(params, f"{name}.ln_1")), *named(params, f"{name}.attn.c_attn"))
        query, key, value = qkv[:n], qkv[n : 2 * n], qkv[2 * n :]  # [n_embd] each
        read: list[Scalar] = []
        for head in heads:
            of_head = [k[head] for k in keys[layer]], [v[head] for v in values[layer]]
            read += attention(query[head], key[head], value[head], *of_head, unseen)
        x = add(x, linear(read, *named(params, f"{name}.attn.c_proj")))
        x = add(x, mlp(params, f"{name}.mlp", layer_norm(x, *named(params, f"{name}.ln_2"))))
        new_keys.append(key)
        new_values.append(value)
    x = layer_norm(x, *named(params, "ln_f"))  # [n_embd]
    return [dot(x, row) for row in params["wte.weight"]], new_keys, new_values


@lru_cache(maxsize=8)
def _compiled_step(config: GPTConfig) -> Callable[..., Any]:
    """Return `cached_step` on arrays, with one text in each row of the batch."""
    return evaluate(partial(cached_step, config=config))


class Reader:
    """Reads several texts in parallel, character by character, in compiled code and double precision."""

    def __init__(self, parameters: Arrays, config: GPTConfig, rows: int):
        """Begin to read so many texts at once."""
        shapes = {name: array.shape for name, array in parameters.items()}
        self.parameters = views(flatten(parameters).astype(np.float64), shapes)
        self.step = _compiled_step(config)
        memory = (rows, config.n_layer, config.n_positions, config.n_embd)
        self.keys, self.values = np.zeros(memory), np.zeros(memory)
        self.unseen = np.full((rows, config.n_positions), UNSEEN)
        self.position = 0

    def forget(self) -> None:
        """Go back to the first position."""
        self.unseen[:] = UNSEEN
        self.position = 0

    def read(self, tokens: list[int]) -> list[Vector]:
        """Read one more token of each text; return the logits [rows, vocab_size] for the next one."""
        here = self.position
        memory = self.keys, self.values, self.unseen
        logits, keys, values = self.step(self.parameters, np.array(tokens), np.full(len(tokens), here), *memory)
        self.keys[:, :, here], self.values[:, :, here], self.unseen[:, here] = keys, values, 0.0
        self.position += 1
        found: list[Vector] = logits.tolist()
        return found
