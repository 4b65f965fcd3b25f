"""Find the operation that made a loss infinite or NaN, by a replay of one example on scalars.

>>> from microgpt import log
>>> def loss(params, x):
...     return log(params["w"][0] * x)
>>> params = {"w": np.array([2.0])}
>>> example_not_finite(loss, params, (-0.5,), row=3)
'log(-1.0) in line 2 of <doctest microgpt.engines.checking.replay[1]>, row 3; -1.0 is params["w"][0] * x'

For an engine in float32, the replay rounds every number to float32, so that it overflows in the same place.
"""

from collections.abc import Callable
from ctypes import c_float
from math import isfinite, isnan
from typing import Any

import numpy as np

from microgpt.engines.collector import collector_paused
from microgpt.engines.tracing import BINDING, CHOICES, Traced, expression, plain, short, trace, unwrapped, where
from microgpt.engines.trees import leaves_of, precision, rows
from microgpt.value import Value

LONGEST = 80  # characters of an expression, if fewer operations make it shorter
MANY_STEPS = 500_000  # operations of one example that are replayed; more take too much time and memory
LARGEST_SINGLE = float(np.finfo(np.float32).max)


def why_not_finite(step: Callable[..., Any], params: Any, batch: tuple[Any, ...]) -> str:
    """Return which operation made the loss or the gradient of a batch infinite or NaN, in a sentence.

    Args:
        step: the result of `value_and_grad` or `evaluate`. It finds the first row that is not finite by itself.
        params, batch: its arguments.

    Returns "" if `step` was made in another way, so that the loss itself is unknown.
    """
    function = getattr(step, "of_one", None)
    if function is None:
        return ""
    for row in range(len(batch[0]) if batch else 1):
        alone = tuple(np.asarray(array)[row : row + 1] for array in batch)
        if not is_finite_alone(step, params, alone):
            in_single = step.engine != "scalar" and precision(params) == np.float32  # type: ignore[attr-defined]
            return example_not_finite(function, params, rows(alone)[0], row if batch else None, in_single)
    return "each row alone is finite, but their sum or the square of the norm is too large"


def is_finite_alone(step: Callable[..., Any], params: Any, batch: tuple[Any, ...]) -> bool:
    """Return whether the results of a batch, such as the loss and all gradients, are finite."""
    try:
        with np.errstate(all="ignore"):
            return all(np.isfinite(array).all() for array in leaves_of(step(params, *batch)))
    except (ValueError, ArithmeticError):  # what value.py raises
        return False


def example_not_finite(
    function: Callable[..., Any], params: Any, example: tuple[Any, ...], row: int | None, in_single: bool = False
) -> str:
    """Return which operation made the loss or the gradient of one example infinite or NaN, in a sentence.

    Args:
        function: a function of (params, *example), as for `value_and_grad`.
        example: one row of each argument: numbers and nested lists.
        row: its number in the batch, for the text.
        in_single: whether to round every number to float32.
    """
    scalar = Single if in_single else Value
    at_row = "" if row is None else f", row {row}"
    begins = "" if row is None else f"it begins in row {row}"
    with collector_paused():
        found = trace(function, params, example, scalar, MANY_STEPS)
        if found.too_long:
            begun = next((step for step in found.steps if overflows(step)), None)
            return of_number(begun, scalar, at_row) if begun else f"{begins}, after its first {MANY_STEPS:,} operations"
        last = found.failed or found.result
        if type(last) is not Traced:
            return begins
        ours = steps_before(last)
        steps = [step for step in found.steps if id(step) in ours]
        text = of_values(steps, last, scalar, at_row) or of_gradients(steps, scalar, at_row)
        if text or not steps:
            return text or begins
        size = {id(step): abs(plain(step)) for step in steps}
        largest = max((step for step in steps if step.operation != "exp"), key=lambda step: size[id(step)])
        number = f"its largest number is {short(largest)}, {written(largest)}{place(largest, '')}"
        if in_single and size[id(largest)] > LARGEST_SINGLE / 2:
            number += " (float32 ends at 3.4e38)"
        return f"{begins}, but a replay on scalars stays finite; {number}"


def steps_before(result: Traced) -> set[int]:
    """Return the identities of all steps that a result depends on, with its own."""
    ours: set[int] = set()
    stack = [result]
    while stack:
        step = stack.pop()
        if id(step) not in ours:
            ours.add(id(step))
            stack += [i for i in step.inputs if type(i) is Traced]
    return ours


def overflows(step: Traced) -> bool:
    """Return whether a step made a number that is not finite from finite ones."""
    return not isfinite(plain(step)) and all(isfinite(plain(i)) for i in step.inputs)


def of_values(steps: list[Traced], last: Traced, scalar: type, at_row: str) -> str:
    """Describe the step that made the first number that is not finite; "" if the last one is finite."""
    if isfinite(plain(last)):
        return ""
    for step in [*steps, last]:
        for leaf in [step, *step.inputs]:
            if type(leaf) is Traced and leaf.name and isnan(plain(leaf)):
                return f"{leaf.name} is nan{at_row}"
        if step is not last and overflows(step):
            return of_number(step, scalar, at_row)
    if last.trace.failed is last:
        return of_failure(last, at_row)
    becomes_nan = [step for step in steps if isnan(plain(step)) and not any(isnan(plain(i)) for i in step.inputs)]
    not_finite = [step for step in steps if not isfinite(plain(step))]
    return of_number((becomes_nan or not_finite)[0], scalar, at_row) if not_finite else f"{last.name} is {last}"


def of_gradients(steps: list[Traced], scalar: type, at_row: str) -> str:
    """Describe the step at which the chain rule, from the loss back, left the finite numbers; "" if it did not."""
    rounded: Callable[[float], float] = single if scalar is Single else float
    gradients = {id(unwrapped(steps[-1])): 1.0} if steps else {}
    for step in reversed(steps):
        value = unwrapped(step)
        if step.operation in CHOICES or not isinstance(value, Value):
            continue
        arrived = gradients.get(id(value), 0.0)
        for made_of, derivative in zip(value.inputs, value.derivatives, strict=True):
            passed_on = rounded(derivative * arrived)
            total = rounded(gradients.get(id(made_of), 0.0) + passed_on)
            if not isfinite(total):
                what, at = written(step), place(step, at_row)
                if not isfinite(rounded(derivative)):
                    return f"the derivative of {what}{at}, is {short(rounded(derivative))}{operands(step)}"
                return (
                    f"the gradient becomes {short(total)} at {what}{at}: its derivative is {short(derivative)}, and "
                    f"{short(arrived)} arrives from the loss{operands(step)}"
                )
            gradients[id(made_of)] = total
    for leaf in (i for step in steps for i in step.inputs if type(i) is Traced and i.name):
        gradient = gradients.get(id(unwrapped(leaf)), 0.0)
        if not isfinite(single(gradient)):
            return f"the gradient of {leaf.name} is {short(gradient)}{at_row}, more than its dtype can hold"
    return ""


def of_failure(step: Traced, at_row: str) -> str:
    """Describe an operation that fails."""
    of, verdict = "", ""
    if step.operation == "**" and len(step.inputs) == 2:
        base, exponent = map(plain, step.inputs)
        try:
            if isinstance(base**exponent, complex):
                verdict = ", is not a real number"
            else:
                of, verdict = "the derivative of ", ", is not finite"
        except ZeroDivisionError:
            verdict = ", is a division by 0"
        except OverflowError:
            verdict = ", is too large for a float"
    return f"{of}{written(step)}{place(step, at_row)}{verdict}{operands(step)}"


def of_number(step: Traced, scalar: type, at_row: str) -> str:
    """Describe a step that made a number that is not finite, with its operands."""
    verdict = f"is beyond {LARGEST_SINGLE:.2g}, the largest float32" if scalar is Single and overflows(step) else ""
    return f"{written(step)}{place(step, at_row)}, {verdict or f'is {plain(step)}'}{operands(step)}"


def place(step: Traced, at_row: str) -> str:
    """Describe the place of a step in the source and in the batch."""
    line = where(step)
    return (f" in {line}" if line else "") + at_row


def operands(step: Traced) -> str:
    """Describe how the operands of a step were made, and the parameters nearest to them."""
    made = []
    for operand in {id(i): i for i in step.inputs if type(i) is Traced}.values():
        how = next(how for depth in (3, 2, 1) if len(how := expression(operand, depth)) <= LONGEST or depth == 1)
        if how != short(operand):
            made.append(f"; {short(operand)} is {how}")
    return "".join(made) + ("" if any("params" in how for how in made) else nearest_parameters(step))


def nearest_parameters(step: Traced) -> str:
    """Return the parameters that are the fewest operations away, as text."""
    level, seen = [step], {id(step)}
    while level:
        names = list(dict.fromkeys(s.name for s in level if s.name.startswith("params")))
        if names:
            return f"; the nearest parameters are {' and '.join(names[:2])}"
        above = [i for s in level for i in s.inputs if type(i) is Traced]
        level = [i for i in {id(i): i for i in above}.values() if id(i) not in seen]
        seen |= {id(i) for i in level}
    return ""


def written(step: Traced) -> str:
    """Return an operation with its operands as text."""
    numbers = [short(i) for i in step.inputs]
    if step.operation in BINDING and len(numbers) == 2:
        first = f"({numbers[0]})" if step.operation == "**" and numbers[0][0] == "-" else numbers[0]
        return " ".join([first, *(f"{step.operation} {number}" for number in numbers[1:])])
    return f"{step.operation}({', '.join(numbers)})"


def single(x: float) -> float:
    """Return a number rounded to float32."""
    return c_float(x).value


class Single(Value):
    """A Value whose numbers are rounded to float32."""

    __slots__ = ()

    def __init__(self, data: float):
        super().__init__(single(data))

    def __add__(self, other: Any) -> "Value":
        return as_single(super().__add__(other))

    def __mul__(self, other: Any) -> "Value":
        return as_single(super().__mul__(other))

    def __pow__(self, exponent: Any) -> "Value":
        return as_single(super().__pow__(exponent))

    def log(self) -> "Value":
        return as_single(super().log())

    def exp(self) -> "Value":
        found = super().exp()
        found.data = min(found.data, LARGEST_SINGLE)
        found.derivatives = (found.data,)
        return as_single(found)

    __radd__, __rmul__ = __add__, __mul__


def as_single(found: Value) -> Value:
    """Return a Value, rounded."""
    found.__class__ = Single
    found.data = single(found.data)
    found.derivatives = tuple(map(single, found.derivatives))
    return found
