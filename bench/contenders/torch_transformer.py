"""The small transformer of three of the programs: its parameters, a batch, and its loss in PyTorch."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

CHARACTERS, POSITIONS = 27, 16


def task(loss: Callable[..., Any], scale: int, heads: int) -> dict[str, Any]:
    """Return what a program with this loss makes."""
    rng, n = np.random.default_rng(0), 8 * scale
    shapes = {
        "tokens": (CHARACTERS, n),
        "positions": (POSITIONS, n),
        "up": (n, 4 * n),
        "down": (4 * n, n),
        "head": (n, CHARACTERS),
    }
    shapes |= dict.fromkeys(("query", "key", "value", "out"), (n, n))
    params = {name: rng.normal(0, n**-0.5, shape) for name, shape in shapes.items()}
    tokens = rng.integers(0, CHARACTERS, (32, POSITIONS + 1))
    return {"loss": loss, "params": params, "args": (tokens,), "torch": partial(torch_loss, heads=heads)}


def torch_loss(p: Any, tokens: Any, heads: int) -> Any:
    import torch.nn.functional as F  # noqa: N812

    def norm(x):
        return F.rms_norm(x, x.shape[-1:], eps=1e-5)

    def split(x):
        return x.unflatten(2, (heads, -1)).transpose(1, 2)

    x = p["tokens"][tokens[:, :-1]] + p["positions"]
    query, key, value = (split(norm(x) @ p[name]) for name in ("query", "key", "value"))
    attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    x = x + attended.transpose(1, 2).flatten(2) @ p["out"]
    x = x + (norm(x) @ p["up"]).relu() @ p["down"]
    logits = norm(x) @ p["head"]
    return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
