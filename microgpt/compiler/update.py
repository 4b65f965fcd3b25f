"""The optimizer at the speed of the rest: the function `adam` of microgpt/adam.py, in one loop over all parameters.

The function is the one from the book, unchanged: Numba compiles it for single floats, and the loop calls it.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from microgpt.adam import adam
from microgpt.compiler.kernels import FAST

# mypy: disable-error-code="no-untyped-def"

FLAGS: Any = FAST | {"fastmath": {"reassoc", "contract", "nsz", "arcp", "afn"}}
adam_of_floats = njit(adam, **(FLAGS | {"cache": False}))


def adam_loop(source: str) -> Callable[..., None]:
    """The loop. The source that it closes over is part of Numba's key for its cache: an edit of `adam` is noticed."""

    @njit(**FLAGS)
    def loop(parameter, gradient, m, v, step, learning_rate, weight_decay):
        assert len(source) > 0
        for i in range(len(parameter)):
            parameter[i], m[i], v[i] = adam_of_floats(
                parameter[i], gradient[i], m[i], v[i], step, learning_rate, weight_decay=weight_decay[i]
            )

    return loop


LOOP = adam_loop(inspect.getsource(adam))


def compiled_adam(
    parameter: np.ndarray,
    gradient: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    step: int,
    learning_rate: float,
    weight_decay: np.ndarray,
) -> None:
    """One step of Adam on flat vectors, in place: the same as `microgpt.training.adam_in_chunks`."""
    LOOP(parameter, gradient, m, v, float(step), float(learning_rate), weight_decay)
