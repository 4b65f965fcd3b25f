"""Check a GPT before it is trained: gradients against the slope of the loss, and engine against engine."""

from collections.abc import Callable
from typing import Any

import numpy as np

from microgpt.engines.checking.gradient_check import compare, small_fault
from microgpt.engines.checking.slopes import Problem
from microgpt.errors import DisagreementError, DivergenceError
from microgpt.learning.batches import padded
from microgpt.learning.parameters import Arrays
from microgpt.value import Value

OPERATIONS = 60_000  # about how many train.py checks
MANY_OPERATIONS = 300_000  # more than these take too long on Values


def check_model(
    loss: Callable[..., Any], parameters: Arrays, sequence: list[int], engine: str, device: str | None = None
) -> str:
    """Check a model before it is trained, on a part of a sequence that takes about 60,000 operations.

    If a single position takes more than 300,000, the model is too large for the gradient of the scalar engine.

    Args:
        loss: a function of (params, tokens, weights), as in gpt.py.
        sequence: the tokens of one document.
        engine, device: as in `check`.

    Returns the finding, in a line. Raises DisagreementError if something is wrong, and DivergenceError if the loss is
    not finite.
    """
    small = small_fault(Value)
    if small is not None:
        raise DisagreementError(f"{small.text}; so the gradients of every model are wrong")
    at_a_position = 2 * sum(array.size for array in parameters.values())  # of operations, about
    length = max(1, min(len(sequence) - 1, OPERATIONS // at_a_position))
    problem = Problem(loss, parameters, padded([sequence[: length + 1]], np.float64))
    with np.errstate(all="ignore"):
        values = engine == "scalar" or length * at_a_position <= MANY_OPERATIONS
        found = compare(problem, list(problem.directions(few=0)), engine, device, values)
    if found.cause == "not finite":
        raise DivergenceError(f"numbers are not finite in this model: {found.report}")
    if not found:
        raise DisagreementError("; ".join(found.report.splitlines()))
    return found.report
