"""One position of the GPT as a compiled function, to write long texts fast.

`gpt` extends its cache, so it is another program at every position. Here the cache has a fixed size and is an argument,
with a mask for the places from this one on. So one program serves all positions. The other lines are those of gpt.py,
which is the definition: both give the same logits.
"""

from functools import lru_cache, partial
from math import sqrt
from typing import Any

from microgpt.engines.engine import continuation
from microgpt.functions import Matrix, Scalar, Vector, dot, layer_norm, linear
from microgpt.gpt import GPTConfig, Parameters, add, mlp, named
from microgpt.learning.choosing import Choice, next_token
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
    here: Scalar,
    keys: list[Matrix],
    values: list[Matrix],
    config: GPTConfig,
) -> tuple[
    Vector, Matrix, Matrix
]:  # ..., [n_layer, n_positions, n_embd] twice -> [vocab_size], [n_layer, n_embd] twice
    """Return the logits for the token after `token`, and the keys and values of this position in every layer.

    `here` is the position as a float. What lies in the cache from there on does not count.
    """
    n = config.n_embd
    unseen = [UNSEEN * (place >= here) for place in range(config.n_positions)]
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


def writing_step(
    params: Parameters,
    token: int,
    position: int,
    here: Scalar,
    random: Scalar,
    keys: list[Matrix],
    values: list[Matrix],
    config: GPTConfig,
    choice: Choice,
) -> tuple[Scalar, Scalar, Matrix, Matrix]:
    """Return the next token and its log-probability, and the keys and values of this position."""
    logits, *news = cached_step(params, token, position, here, keys, values, config)
    return *next_token(logits, random, choice), *news


@lru_cache(maxsize=8)
def compiled_writing(config: GPTConfig, choice: Choice, end: int) -> Any:
    """Return what writes in compiled code: past the context it reads the later half again, as `generate` does."""
    memory = (config.n_layer, config.n_positions, config.n_embd), 1  # what is new has its place along axis 1
    step = partial(writing_step, config=config, choice=choice)
    return continuation(step, [memory, memory], config.n_positions, (config.n_positions + 1) // 2, end)
