"""Do two engines agree? Asked of every model before it is trained, and answered with numbers."""

from collections.abc import Callable
from math import log10, sqrt
from typing import Any

import numpy as np

from microgpt.engine import evaluate, value_and_grad
from microgpt.parameters import Arrays
from microgpt.text import padded
from microgpt.training import divergence_named

OPERATIONS = 100_000  # about how many the scalar engine is asked to do
MANY_OPERATIONS = 300_000  # more than these take too long on Values
LOSS_TOLERANCE, GRADIENT_TOLERANCE, TINY = 1e-12, 1e-10, 1e-12
NUDGE, SLOPE_TOLERANCE = 5e-4, 1e-6  # of a difference quotient: the length of its step, over all parameters
FAULT = "; this is a fault of the program, not of your text: --engine scalar defines what is right, and is slow"


class DisagreementError(ArithmeticError):
    """An engine computes something else than the scalar one: a fault of the program."""


def compare_engines(
    loss: Callable[..., Any],
    parameters: Arrays,
    sequence: list[int],
    engine: str = "compiled",
    device: str | None = None,
) -> str:
    """Compute loss and gradients of a sequence with an engine and the scalar one in float64: how far are they apart?

    The sequence is cut so that it takes about 100,000 scalar operations. Raises DisagreementError if the losses differ
    by more than 1e-12 of theirs, or a gradient by more than 1e-10 of the largest in its tensor. Of a model so large
    that a single position takes more than 300,000, the scalar engine computes the loss alone, and how it changes along
    a random direction: the gradient must promise that to 1e-6.
    """
    exact = {name: array.astype(np.float64) for name, array in parameters.items()}
    compiled, scalar = value_and_grad(loss, engine, threads=1, device=device), value_and_grad(loss, "scalar")

    def operations(length: int) -> int:
        compiled(exact, *padded([sequence[: length + 1]], np.float64))
        program = list(compiled.compiled.programs.values())[-1]  # type: ignore[attr-defined]
        return int(program.operations)

    one = operations(1)
    length = max(1, min(len(sequence) - 1, OPERATIONS // one))
    count = one if length == 1 else operations(length)
    batch = padded([sequence[: length + 1]], np.float64)
    if count > MANY_OPERATIONS:
        return _compare_slopes(loss, exact, batch, compiled, count, engine)
    with divergence_named("in this model", "numbers are not finite"):
        (found_loss, found), (true_loss, true) = compiled(exact, *batch), scalar(exact, *batch)
    loss_error = abs(found_loss - true_loss) / max(1.0, abs(true_loss))
    errors = {
        name: float(np.abs(found[name] - true[name]).max() / (np.abs(true[name]).max() + TINY / GRADIENT_TOLERANCE))
        for name in true
    }
    worst = max(errors, key=lambda name: errors[name] if np.isfinite(errors[name]) else np.inf)
    report = f"loss {loss_error:.0e}, gradients {errors[worst]:.0e} at most apart on {count:,} operations in float64"
    if not loss_error <= LOSS_TOLERANCE or not errors[worst] <= GRADIENT_TOLERANCE:
        raise DisagreementError(f"the engines do not agree, most of all in {worst}: {report}{FAULT}")
    return _agreed(
        engine,
        count,
        f"results and derivatives (loss and gradients) equal to {_digits(max(loss_error, errors[worst]))} digits",
    )


def _agreed(engine: str, count: int, equal: str) -> str:
    """That the engines agree, and how well."""
    return (
        f"the fast engine ({engine}) computes the same as the plain one (scalar), which does one operation after the "
        f"other: tried on {count:,} operations of this model, {equal}"
    )


def _digits(error: float) -> int:
    """How many digits are equal."""
    return min(15, int(-log10(max(error, 1e-16))))


def _compare_slopes(
    loss: Callable[..., Any], exact: Arrays, batch: Any, compiled: Callable[..., Any], count: int, engine: str
) -> str:
    """Compare the losses, and the slope along a random direction with a difference quotient of the scalar engine."""
    scalar_loss = evaluate(loss, "scalar")
    rng = np.random.default_rng(0)
    direction = {name: rng.normal(size=array.shape) for name, array in exact.items()}
    step = NUDGE / sqrt(sum(array.size for array in exact.values()))  # of each parameter
    with divergence_named("in this model", "numbers are not finite"):
        found_loss, found = compiled(exact, *batch)
        true_loss, above, below = (
            float(scalar_loss({name: array + by * direction[name] for name, array in exact.items()}, *batch)[0])
            for by in (0.0, step, -step)
        )
    promised = sum(float((found[name] * direction[name]).sum()) for name in exact)
    slope = (above - below) / (2 * step)
    loss_error = abs(found_loss - true_loss) / max(1.0, abs(true_loss))
    slope_error = abs(promised - slope) / max(1.0, abs(slope))
    report = f"loss {loss_error:.0e}, slope {slope_error:.0e} apart on {count:,} operations in float64"
    if not loss_error <= LOSS_TOLERANCE or not slope_error <= SLOPE_TOLERANCE:
        raise DisagreementError(f"the engines do not agree: {report}{FAULT}")
    nudged = f"and how it changes with a small nudge to {_digits(slope_error)}"
    return _agreed(engine, count, f"the loss equal to {_digits(loss_error)} digits, {nudged}")
