"""The parameters of a GPT: names, shapes and first values of its tensors.

Names and layouts are GPT-2's own (gpt.py begins with the names in full). So the dict in memory, the file on disk and
the lines of gpt.py use the same words. All tensors are views of one flat vector: an optimizer sees a vector, the model
sees names.
"""

from math import prod, sqrt
from typing import Any

import numpy as np

from microgpt.gpt import GPTConfig

Arrays = dict[str, np.ndarray]

# The standard deviation of the initial weights. GPT-2 takes 0.02, at width 768; small models learn faster from larger
# ones. Validation loss on names (one layer, learning rate 0.01), by the scale:
#                                                       0.02   0.05   0.1    0.15   0.2
#   n_embd 16, 400 steps of 4 names, mean of 5 seeds    2.387  2.365  2.315  2.289  2.293
#   n_embd 32, 2,000 steps of 64, mean of 3 seeds       1.982  1.974  1.969  1.972  1.984
INITIAL_SCALE = 0.15


def parameter_shapes(config: GPTConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor by GPT-2's names, in GPT-2's order. A linear map n -> m is stored as [n, m]."""
    n = config.n_embd
    shapes: dict[str, tuple[int, ...]] = {"wte.weight": (config.vocab_size, n), "wpe.weight": (config.n_positions, n)}

    def weight_and_bias(name: str, *shape: int) -> None:
        shapes[f"{name}.weight"] = shape
        shapes[f"{name}.bias"] = shape[-1:]

    for layer in range(config.n_layer):
        weight_and_bias(f"h.{layer}.ln_1", n)
        weight_and_bias(f"h.{layer}.attn.c_attn", n, 3 * n)
        weight_and_bias(f"h.{layer}.attn.c_proj", n, n)
        weight_and_bias(f"h.{layer}.ln_2", n)
        weight_and_bias(f"h.{layer}.mlp.c_fc", n, 4 * n)
        weight_and_bias(f"h.{layer}.mlp.c_proj", 4 * n, n)
    weight_and_bias("ln_f", n)
    return shapes


def parameter_count(config: GPTConfig) -> int:
    """Return the number of parameters."""
    n = config.n_embd
    return (config.vocab_size + config.n_positions) * n + config.n_layer * (12 * n * n + 13 * n) + 2 * n


def views(vector: np.ndarray, shapes: dict[str, tuple[int, ...]]) -> Arrays:
    """Cut a flat vector into named arrays without copying, so that they share its numbers."""
    arrays, start = {}, 0
    for name, shape in shapes.items():
        size = prod(shape)
        arrays[name] = vector[start : start + size].reshape(shape)
        start += size
    return arrays


def shapes_of(arrays: Arrays) -> dict[str, tuple[int, ...]]:
    """Return the shapes of named arrays."""
    return {name: array.shape for name, array in arrays.items()}


def count_of(arrays: Arrays) -> int:
    """Return how many numbers there are in named arrays."""
    return sum(array.size for array in arrays.values())


def flatten(arrays: Arrays) -> np.ndarray:
    """Copy named arrays into one flat vector, in their order: the inverse of `views`."""
    return np.concatenate([array.ravel() for array in arrays.values()])


def as_vector(arrays: Arrays) -> np.ndarray:
    """Return named arrays as one flat vector: the one of which they are `views`, if there is one, else a copy.

    The order of the views is not checked, because that takes long: see `one_vector`.
    """
    vector = next(iter(arrays.values())).base
    if (
        vector is None
        or vector.ndim != 1
        or any([array.base is not vector or not array.flags.c_contiguous for array in arrays.values()])
        or vector.size != sum([array.size for array in arrays.values()])
    ):
        return flatten(arrays)
    return vector


def initial_parameters(config: GPTConfig, seed: int, dtype: Any = np.float32) -> Arrays:
    """Return GPT-2's initialization (Radford et al. 2019, section 2.3) at our scale, as views of one flat vector.

    Weights come from a normal distribution. Those of the maps into the residual stream (c_proj) are smaller by the
    square root of their number, so that the stream does not grow with depth. Biases start at 0 and gains at 1. The same
    seed gives the same numbers in every dtype, up to rounding.
    """
    rng = np.random.default_rng(seed)
    shapes = parameter_shapes(config)
    parameters = views(np.zeros(parameter_count(config), dtype), shapes)
    for name, array in parameters.items():
        if name.endswith(".bias"):
            array[...] = 0.0
        elif array.ndim == 1:  # the gain of a layer norm
            array[...] = 1.0
        else:
            scale = INITIAL_SCALE / sqrt(2 * config.n_layer) if "c_proj" in name else INITIAL_SCALE
            array[...] = rng.normal(0.0, scale, array.shape)
    return parameters
