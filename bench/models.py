"""The model and the batch of all contenders."""

import numpy as np

from microgpt.gpt import GPTConfig
from microgpt.learning.parameters import Arrays, initial_parameters

LEARNING_RATE = 1e-7  # so small that thousands of steps on one batch do not change the work of a step
CHARACTERS = 27
BATCH = 64  # samples a step, where nothing else is said
MODELS = {
    "16x1x8": (16, 1, 8),  # n_embd, n_layer, positions
    "32x1x8": (32, 1, 8),
    "64x1x8": (64, 1, 8),
    "32x1x16": (32, 1, 16),  # the default for names
    "64x4x16": (64, 4, 16),
    "64x4x64": (64, 4, 64),
    "128x4x64": (128, 4, 64),
    "256x6x128": (256, 6, 128),
    "384x6x256": (384, 6, 256),  # ten million parameters
}
TINY, NAMES, PROSE, LARGE = "16x1x8", "32x1x16", "64x4x64", "128x4x64"
LARGER = ("256x6x128", "384x6x256")


def task(model: str, batch_size: int) -> tuple[GPTConfig, Arrays, tuple[np.ndarray, np.ndarray]]:
    """Return the shape of a model, its first parameters, and a batch of names without padding."""
    n_embd, n_layer, positions = MODELS[model]
    config = GPTConfig(CHARACTERS, max(16, positions), n_embd, n_layer, 4)
    tokens = np.zeros((batch_size, positions + 1), np.int64)
    tokens[:, 1:-1] = np.random.default_rng(0).integers(1, 27, (batch_size, positions - 1))
    weights = np.full((batch_size, positions), 1 / positions, np.float32)
    return config, initial_parameters(config, 0), (tokens, weights)


def multiply_adds(model: str) -> int:
    """Return the multiply-adds of one sample's forward pass: linear maps, attention and the head."""
    n, n_layer, positions = MODELS[model]
    linear_maps = positions * 12 * n * n
    attention = positions * (positions + 1) * n  # a query with each key so far, and as many weights with values
    return n_layer * (linear_maps + attention) + positions * n * CHARACTERS
