"""Find the operation at which a gradient goes wrong.

Each operation of a trace (tracing.py) is repeated alone. Its derivatives are compared with its slopes, (f(x + h) - f(x
- h)) / 2h. If all are right, the chain rule is applied here, without the `backward` of the class. The two gradients are
then compared from the result to the parameters.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import isclose, isfinite
from typing import Any

from microgpt.engines.checking.replay import written
from microgpt.engines.tracing import CHOICES, Trace, Traced, expression, plain, trace, unwrapped

MANY_STEPS = 500_000  # more operations than these take too long to be done one by one
OFTEN = 100  # how often the slopes of an operation on one line are measured
STEPS = (1e-4, 1e-6, 1e-2)  # of a difference quotient, times the size of the number or absolute
TINY = 1e-9  # a gradient beside the largest
MEASURED = 1e-5  # how exactly a slope of an operation is known
COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")


@dataclass(frozen=True)
class Fault:
    """A fault in a gradient: its `cause` in a word, a `text` that names the operation, and its step of the trace.

    `right` has the slope of the loss for each parameter it depends on, by name.
    """

    cause: str
    text: str
    step: Traced | None = None
    right: dict[str, float] = field(default_factory=dict)


def find_fault(found: Trace, owner: str) -> Fault | None:
    """Return the first reason why the gradient of a traced loss differs from its slope; None if there is none.

    Args:
        found: a trace on Values or a class like it, whose `backward` was called.
        owner: the place of the derivatives: "value.py", or the name of a class.
    """
    result, steps = found.result, found.steps
    if type(result) is not Traced or len(steps) > MANY_STEPS:
        return None
    given, slopes, done = {}, {}, Counter[Any]()
    wrong = kink = None
    for step in steps:
        given[id(step)] = derivatives(step) if step.operation not in CHOICES else [0.0] * len(step.inputs)
        done[step.operation, step.place] += 1
        if done[step.operation, step.place] > OFTEN and all(has_gradient(i) for i in step.inputs if type(i) is Traced):
            slopes[id(step)] = given[id(step)]
            continue
        number = wrong_number(step, owner)
        if number is not None:
            return number
        slopes[id(step)], has_kink = slopes_of(step, given[id(step)])
        if step.operation not in CHOICES:
            kink = kink or (step if has_kink else None)
            pairs = zip(step.inputs, given[id(step)], slopes[id(step)], strict=True)
            if not has_kink and any(has_gradient(i) and said != slope for i, said, slope in pairs):
                wrong = wrong or step
    right = gradients(steps, slopes, result)
    leaves = {i.name: i for i in chain.from_iterable(step.inputs for step in steps) if type(i) is Traced and i.name}
    at_leaves = {name: right[key(leaf)] for name, leaf in leaves.items() if has_gradient(leaf)}

    if wrong is not None and passes_nothing_on(type(result.number)):
        text = f"backward of {owner} is wrong: it passes nothing on, as if the result did not begin with the gradient 1"
        return Fault("backward", text, None, at_leaves)
    if wrong is not None:
        said, slope = (tuple_of(d[id(wrong)], wrong) for d in (given, slopes))
        which = f"the derivative of {wrong.operation} in {owner} is wrong"
        text = f"{which}: of {written(wrong)} it is {said}, the slope is {slope}"
        return Fault("derivative", text, wrong, at_leaves)
    chained = gradients([step for step in steps if step.operation not in CHOICES], given, result)
    largest_gradient = max(map(abs, right.values()))
    apart = [x for x in (*reversed(steps), *leaves.values()) if differs(x, chained, largest_gradient)]
    if any(x.name for x in apart):
        text = (
            f"backward of {owner} is wrong, the derivatives of all operations are right: {expression(apart[0])} gets "
            f"the gradient {apart[0].number.grad:.6g}, by the chain rule {chained[key(apart[0])]:.6g}"
        )
        return Fault("backward", text, apart[0], at_leaves)
    matters = [  # a shift that cancels, as in softmax, has a slope of 0 up to what was measured
        step
        for step in steps
        if step.operation == "largest"
        and any(map(has_gradient, step.inputs))
        and abs(right[key(step)]) > MEASURED * largest_gradient
    ]
    return choice_at_fault(steps, matters, kink, at_leaves)


def choice_at_fault(
    steps: list[Traced], matters: list[Traced], kink: Traced | None, right: dict[str, float]
) -> Fault | None:
    """Return the fault of a choice, which has no gradient, if the loss depends on a parameter through it."""
    for step in matters:
        text = (
            f"{expression(step, 1)} carries no gradient, and the loss depends on it; for a maximum that does, write "
            "max(a, b)"
        )
        return Fault("largest", text, step, right)
    edge = edge_fault(steps, right, kink)
    if edge is not None:
        return edge
    for step in steps:
        if step.operation in ("data", "float"):
            text = (
                f"{step.operation} of {expression(step.inputs[0])} is a plain number, through which no gradient flows"
            )
            return Fault("constant", text, step, right)
    return None


def edge_fault(steps: list[Traced], right: dict[str, float], kink: Traced | None = None) -> Fault | None:
    """Return the fault of a comparison of equal numbers, or of a step with different slopes on its two sides."""
    compared = [step for step in steps if step.operation in COMPARISONS]
    edges = [step for step in compared if isclose(*map(plain, step.inputs), rel_tol=1e-9, abs_tol=1e-12)]
    for step in edges if kink is None else [*edges, kink]:
        at = " and ".join(f"{plain(i):g}" for i in step.inputs)
        text = f"{expression(step)} is at its edge, at {at}, where the loss has no slope; move the parameters a little"
        return Fault("edge", text, step, right)
    return None


def wrong_number(step: Traced, owner: str) -> Fault | None:
    """Return the fault of an operation that computes another number than plain floats; None if there is none.

    Args:
        owner: as for `find_fault`.
    """
    try:
        expected = step.apply(*map(as_plain, step.inputs))  # type: ignore[misc]
        if isclose(expected, plain(step), rel_tol=1e-9, abs_tol=1e-300):
            return None
    except (ArithmeticError, AttributeError, TypeError, ValueError):
        return None
    text = f"{owner} computes {written(step)} as {plain(step):.12g}, plain numbers as {expected:.12g}"
    return Fault("number", text, step)


def as_plain(x: Any) -> Any:
    """Return the float in a scalar; a plain number as it is."""
    return plain(x) if type(x) is Traced or has_gradient(x) else x


def derivatives(step: Traced) -> list[float]:
    """Return the derivatives of one operation to its inputs, by the class itself; 0 for plain numbers."""
    operands = again(step)
    result = step.apply(*operands)  # type: ignore[misc]
    begun = 1.0
    if hasattr(result, "backward"):
        result.backward()
        begun = float(result.grad) or 1.0  # the gradient of the result to itself, where it is not forgotten to be 1
    return [float(o.grad) / begun if has_gradient(i) else 0.0 for o, i in zip(operands, step.inputs, strict=True)]


def passes_nothing_on(scalar: Any) -> bool:
    """Return whether `backward` of a class gives all inputs of + and * the gradient 0."""
    steps = trace(lambda a, b: (a + b, a * b), 2.0, (scalar(3.0),), scalar).steps
    return bool(steps) and not any(any(derivatives(step)) for step in steps)


def again(step: Traced, place: int = -1, by: float = 0.0) -> list[Any]:
    """Return the inputs of a step as new leaves, one of them moved."""
    moved = [as_plain(i) + by if place == at else as_plain(i) for at, i in enumerate(step.inputs)]
    return [type(unwrapped(i))(m) if has_gradient(i) else m for i, m in zip(step.inputs, moved, strict=True)]


def slopes_of(step: Traced, given: list[float]) -> tuple[list[float], bool]:
    """Return the slopes of one operation to its inputs, and whether one differs on its left and right.

    Where a derivative agrees with the slope, it stands for the slope, because it has more digits.
    """
    found, kink = list(given), False
    for place, operand in enumerate(step.inputs):
        if type(operand) is not Traced or step.operation in (*COMPARISONS, "float", "data"):
            continue
        x = plain(operand)
        measured = []
        for h in chain([h * abs(x) for h in STEPS if x], STEPS):
            try:
                below, here, above = (plain(step.apply(*again(step, place, by))) for by in (-h, 0.0, h))  # type: ignore[misc]
            except (ArithmeticError, ValueError):
                continue
            left, right = (here - below) / h, (above - here) / h
            size = max(abs(left), abs(right), abs(given[place]))
            if isfinite(size):
                measured.append((left, right, size))
                if abs((left + right) / 2 - given[place]) <= MEASURED * size + 1e-8:
                    break
        else:
            if measured:
                left, right, size = measured[0]
                found[place] = (left + right) / 2
                kink = kink or abs(left - right) > 0.1 * size
    return found, kink


def gradients(steps: Sequence[Traced], derivatives: dict[int, list[float]], result: Traced) -> dict[Any, float]:
    """Return the derivative of the result to every number, by the chain rule from the last step to the first."""
    found: dict[Any, float] = defaultdict(float)
    found[key(result)] = 1.0
    for step in reversed(steps):
        for operand, derivative in zip(step.inputs, derivatives[id(step)], strict=True):
            if type(operand) is Traced and key(operand) != key(step):
                found[key(operand)] += derivative * found[key(step)]
    return found


def key(x: Traced) -> int:
    """Return the identity of a number, because a class may return one of its inputs."""
    return id(x.number) if has_gradient(x) else id(x)


def has_gradient(x: Any) -> bool:
    return hasattr(unwrapped(x), "grad")


def differs(x: Traced, right: dict[Any, float], largest_gradient: float) -> bool:
    """Return whether `backward` gave a number another gradient than the chain rule."""
    if not has_gradient(x):
        return False
    found, expected = float(x.number.grad), right.get(key(x), 0.0)
    return not abs(found - expected) <= 1e-6 * max(abs(found), abs(expected)) + TINY * largest_gradient


def tuple_of(derivatives: list[float], step: Traced) -> str:
    """Return the derivatives to all inputs that are not plain numbers, as text."""
    texts = [f"{d:.6g}" for d, i in zip(derivatives, step.inputs, strict=True) if type(i) is Traced]
    return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"
