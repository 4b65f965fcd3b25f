"""Check a gradient against the slope of the loss, which needs nothing but the loss.

>>> import numpy as np
>>> from microgpt import check, largest
>>> point = {"w": np.array([0.5, -1.0])}, np.array([3.0, 4.0])
>>> found = check(lambda params, x: (params["w"][0] * x + params["w"][1]) ** 2, *point, engine="scalar")
gradient checked: slope agrees to 11 digits
>>> found = check(lambda params, x: largest(params["w"]) * x, *point, engine="scalar")
the gradient is wrong: params["w"][0] has 0, the slope of the loss is 3; row 0 of the batch
line 1 of ...: largest(params["w"][0], params["w"][1]) carries no gradient, and the loss depends on it; ...
>>> found.cause, found.parameter
('largest', 'params["w"][0]')
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite, isnan, log10
from pathlib import Path
from traceback import extract_tb
from typing import Any

import numpy as np

from microgpt.engines.checking.chain_rule import Fault, edge_fault, find_fault, wrong_number
from microgpt.engines.checking.replay import example_not_finite
from microgpt.engines.checking.slopes import Problem, Slope
from microgpt.engines.collector import collector_paused
from microgpt.engines.select import engine_for
from microgpt.engines.tracing import PACKAGE, Traced, plain, trace, where
from microgpt.engines.trees import rows, vector_of
from microgpt.errors import DisagreementError
from microgpt.surroundings import facts_as_html
from microgpt.value import Value, exp, log

LOSS_TOLERANCE, GRADIENT_TOLERANCE, TINY = 1e-12, 1e-10, 1e-12  # between two engines
ROUNDINGS = 1000  # by how many roundings of the parameters two engines may differ, where that is more


@dataclass(frozen=True)
class Check:
    """The result of `check`. It counts as true if all is right.

    Attributes:
        ok: whether the slope of the loss and the engines agree.
        report: the printed text.
        cause: "" if all is right; else "derivative", "number", "backward", "largest", "edge", "constant", "random",
            "not finite", "raises", "engine" or "unknown".
        parameter: the one that differs most, such as `params["w"][0]`.
        difference: how much its gradient differs from the slope, or one engine's from the other's.
        line: where the chain rule and the slope part, or the loss fails: "line 12 of mine.py"; "" if unknown.
    """

    ok: bool
    report: str
    cause: str = ""
    parameter: str = ""
    difference: float = 0.0
    line: str = ""

    def __bool__(self) -> bool:
        return self.ok

    def _repr_html_(self) -> str:
        """Return the verdict as a notebook draws it; the report is printed above."""
        if self.ok:
            return facts_as_html({"gradient check": "all is right"})
        by = f"{self.difference:.3g}" if self.difference else ""
        found = {"cause": self.cause, "at": self.parameter, "difference": by, "line": self.line}
        return facts_as_html({"gradient check": "not right", **{name: said for name, said in found.items() if said}})


def check(
    loss: Callable[..., Any],
    params: Any,
    *arrays: Any,
    engine: str = "compiled",
    device: str | None = None,
    value: type = Value,
) -> Check:
    """Compare the gradient of a loss with the slope of the loss, and two engines with each other; print the result.

    The slope, (f(x + h) - f(x - h)) / 2h, needs no derivatives: it is the referee. All of it runs in double precision.
    Up to 64 parameters are moved one by one. With more, each array is moved in a random direction. The loss runs at
    least twice for each, so a few examples are enough.

    Args:
        loss, params, arrays: as for `value_and_grad`, whose result may also stand for the loss. The mean over all
            examples is checked.
        engine: the engine to compare with "scalar"; "scalar" for none.
        device: of the engine "torch".
        value: a class of scalars of your own in place of `Value`, with data, grad, the operators, exp(), log() and
            backward(). Then this class is checked, and no engine.

    Raises TypeError or InputError as `value_and_grad` does.
    """
    problem = Problem(loss, params, arrays, value)
    with np.errstate(all="ignore"):
        found = compare(problem, list(problem.directions()), engine, device)
    print(found.report)
    return found


def compare(
    problem: Problem, directions: list[np.ndarray], engine: str, device: str | None, values: bool = True
) -> Check:
    """Return what `check` finds. Without `values` only the gradient of the engine is compared with the slope."""
    try:
        mean = problem.settled_loss()
        if not isfinite(mean):
            return not_finite(problem)
        if problem.loss(problem.point) != mean:
            return changing(problem, mean)
        small = small_fault(problem.value)
        if small is not None and runs_away(problem.value):
            return Check(False, small.text, small.cause)
        engines = {"scalar": problem.by_class()} if values else {}
        if values and not np.isfinite(engines["scalar"][1]).all():
            return not_finite(problem)
    except Exception as error:
        return not_finite(problem, error)
    slopes: list[Slope] = []
    if values:
        slopes = [problem.slope(direction, engines["scalar"][1]) for direction in directions]
        for slope, direction in zip(slopes, directions, strict=True):
            if slope.differs:
                return diagnosis(problem, direction)
            if isnan(slope.error) and problem.jumps(direction):
                edge = jump_fault(problem)
                if edge is not None:
                    return failed(edge)
        fault = found_fault(problem) if small is not None else None
        fault = fault or (number_fault(problem) if problem.value is not Value else None)
        if fault is not None:
            return failed(fault)
    operations = ""
    if problem.value is Value and (engine != "scalar" or not values):
        from microgpt.engines.compiled.llvm.machine import briefly  # only now, because this imports LLVM

        try:
            made = engine_for(problem.function, engine, threads=1, device=device, verify=True)
            with briefly():
                found_mean, gradients = made.value_and_grad(problem.params, *problem.arrays)
        except DisagreementError as error:
            return Check(False, str(error), "engine")
        except (AttributeError, IndexError, TypeError) as error:
            return Check(False, f"the engine {engine} does not compute this loss: {error}", "engine")
        engines[engine] = found_mean, vector_of(gradients)
        count = list(made.programs.values())[-1].operations
        operations = f" on {count * problem.examples:,} operations"
    if not values:
        slopes = [problem.slope(direction, engines[engine][1]) for direction in directions]
        if any(slope.differs for slope in slopes):
            return Check(False, f"the gradient of the engine {engine} differs from the slope of the loss", "engine")
    apart = differing(problem, engines, mean)
    if isinstance(apart, Check):
        return apart
    errors = [slope.error for slope in slopes if not isnan(slope.error)]
    known = f"to {digits(max(errors))} digits" if errors else "as far as rounding shows"
    report = f"gradient checked{operations}: slope agrees {known}"
    if len(engines) == 2:
        report += f", engines to {digits(apart)}"
    return Check(True, report)


def differing(problem: Problem, engines: dict[str, Any], mean: float) -> Check | float:
    """Return how far the engines are apart, or a failed Check if that is too far."""
    for name, (found, _) in engines.items():
        if not abs(found - mean) <= 1e-9 * max(1.0, abs(mean)):
            text = f"the loss is {mean:.12g} on plain numbers, by the engine {name} it is {found:.12g}"
            fault = found_fault(problem) if name == "scalar" else None
            return failed(fault or Fault("engine", ""), text)
    if len(engines) == 1:
        return 0.0
    (true_loss, true), (name, (found_loss, found)) = engines["scalar"], list(engines.items())[-1]
    worst = abs(found_loss - true_loss) / max(1.0, abs(true_loss))
    if not worst <= LOSS_TOLERANCE and not abs(found_loss - true_loss) <= ROUNDINGS * abs(
        rounded(problem)[0] - true_loss
    ):
        text = f"the engines do not agree: the loss is {true_loss!r} by scalar, {found_loss!r} by {name}"
        return Check(False, text, "engine", difference=worst)
    for start, end in pairwise([0, *problem.ends.tolist()]):
        apart = np.abs(found[start:end] - true[start:end])
        error = float(apart.max(initial=0.0) / (np.abs(true[start:end]).max(initial=0.0) + TINY / GRADIENT_TOLERANCE))
        worst = max(worst, error)
        if not error <= GRADIENT_TOLERANCE:
            by_rounding = np.abs(rounded(problem)[1][start:end] - true[start:end]).max()
            if not apart.max() <= ROUNDINGS * by_rounding:
                return between(problem, start + int(apart.argmax()), engines, error)
    return worst


def rounded(problem: Problem) -> tuple[float, np.ndarray]:
    """Return the loss and gradient of the scalar engine after a change in the last digit of every parameter."""
    signs = np.random.default_rng(0).choice([-1, 1], problem.point.size)
    moved = problem.tree(problem.point * (1 + 2.0**-52 * signs))
    return Problem(problem.function, moved, problem.arrays, problem.value).by_class()


def between(problem: Problem, place: int, engines: dict[str, Any], error: float) -> Check:
    """Return a failed Check that says which engine is wrong about a parameter, if the slope of the loss can tell."""
    (_, true), (name, (_, found)) = engines["scalar"], list(engines.items())[-1]
    alone = problem.along(place)
    text = f"{problem.name(place)}: {found[place]:.12g} by {name}, {true[place]:.12g} by scalar"
    if problem.slope(alone, true).differs:
        return diagnosis(problem, alone)
    if problem.slope(alone, found).differs:
        text = f"the gradient of the engine {name} is wrong in {text}, which is also the slope of the loss"
    else:
        text = f"the engines do not agree in {text}; the slope of the loss cannot tell which is right"
    return Check(False, text, "engine", problem.name(place), error)


def diagnosis(problem: Problem, direction: np.ndarray) -> Check:
    """Return why a gradient does not promise the slope along a direction."""
    for row in range(problem.examples):
        alone = problem.example(row)
        _, gradient = alone.by_class()
        if alone.slope(direction, gradient).differs:
            break
    fault = found_fault(alone) or Fault("unknown", "no single operation was found that explains it")
    if fault.cause == "edge":
        return failed(fault)
    apart = np.abs(gradient - [fault.right.get(name, 0.0) for name in alone.all_names()])
    explained = bool(fault.right) and apart.max() > GRADIENT_TOLERANCE * np.abs(gradient).max()
    place = int(apart.argmax()) if explained else one_that_differs(alone, direction, gradient)
    slope = alone.slope(alone.along(place), gradient).slope
    text = (
        f"the gradient is wrong: {alone.name(place)} has {gradient[place]:.6g}, the slope of the loss is {slope:.6g}; "
        f"row {row} of the batch"
    )
    return failed(fault, text, alone.name(place), float(abs(gradient[place] - slope)))


def one_that_differs(problem: Problem, direction: np.ndarray, gradient: np.ndarray) -> int:
    """Return a parameter with a wrong gradient, among those that a direction moves, by bisection."""
    moved = np.flatnonzero(direction)
    while len(moved) > 1:
        middle, half = len(moved) // 2, np.zeros(direction.size)
        half[moved[:middle]] = direction[moved[:middle]]
        moved = moved[:middle] if problem.slope(half, gradient).differs else moved[middle:]
    return int(moved[0])


def found_fault(problem: Problem) -> Fault | None:
    """Return the fault at which the gradient of the first example goes wrong."""
    with collector_paused():
        found = trace(problem.function, problem.params, rows(tuple(problem.arrays))[0], problem.value)
        if type(found.result) is not Traced:
            return None
        if hasattr(found.result.number, "backward"):
            try:
                found.result.number.backward()
            except AttributeError:  # a function of the class's own has made Values of what is wrapped
                return None
        return find_fault(found, owner_of(problem.value))


def number_fault(problem: Problem) -> Fault | None:
    """Return the fault of the first operation of a class that computes another number than plain floats."""
    for example in rows(tuple(problem.arrays)):
        with collector_paused():
            steps = trace(problem.function, problem.params, example, problem.value).steps
            wrong = next(filter(None, (wrong_number(step, owner_of(problem.value)) for step in steps)), None)
        if wrong is not None:
            return wrong
    return None


def jump_fault(problem: Problem) -> Fault | None:
    """Return the fault of the first comparison of two equal numbers, in any example."""
    traces = (
        trace(problem.function, problem.params, example, problem.scalar) for example in rows(tuple(problem.arrays))
    )
    return next(filter(None, (edge_fault(found.steps, {}) for found in traces)), None)


def failed(fault: Fault, text: str = "", parameter: str = "", difference: float = 0.0) -> Check:
    """Return a failed Check whose report has the finding, the reason and the line."""
    line = where(fault.step) if fault.step is not None else ""
    why = f"{line}: {fault.text}" if line and fault.text else fault.text
    report = "\n".join(part for part in (text, why) if part)
    return Check(False, report, fault.cause, parameter, difference, line)


def not_finite(problem: Problem, error: Exception | None = None) -> Check:
    """Return a failed Check for an operation that fails or makes a number that is not finite, or for another error."""
    if error is None or isinstance(error, (ArithmeticError, ValueError)):
        for row, example in enumerate(rows(tuple(problem.arrays))):
            try:
                numbers = np.array([problem.example(row).loss(problem.point), *problem.example(row).by_class()[1]])
            except Exception:
                numbers = np.array(np.nan)
            if not np.isfinite(numbers).all():
                why = example_not_finite(problem.function, problem.params, example, row)
                if not why.startswith("it begins"):  # where no operation is to blame
                    named = re.search(r" in (line \d+ of [^,;]+(, called from line \d+ of [^,;]+)?)", why)
                    return Check(False, why, "not finite", line=named[1] if named else "")
    said = "the loss is not finite" if error is None else f"the loss raises {type(error).__name__}: {error}"
    places = [f for f in extract_tb(error.__traceback__) if not f.filename.startswith(PACKAGE)] if error else []
    line = f"line {places[-1].lineno} of {Path(places[-1].filename).name}" if places else ""
    cause = "not finite" if error is None or isinstance(error, ArithmeticError) else "raises"
    return Check(False, f"{said}: {line}" if line else said, cause, line=line)


def changing(problem: Problem, mean: float) -> Check:
    """Return a failed Check for a loss with a number that changes, and its line."""
    text = (
        f"the loss is another at each call, {mean:.12g} and {problem.loss(problem.point):.12g} at the same parameters"
    )
    step = None
    for example in rows(tuple(problem.arrays)):
        first, second = (trace(problem.function, problem.params, example, problem.scalar) for _ in range(2))
        pairs = zip(first.steps, second.steps, strict=False)
        step = step or next((a for a, b in pairs if plain(a) != plain(b)), None)
    return failed(Fault("random", "draw random numbers outside of the loss, and pass them as an argument", step), text)


def small_fault(value: type) -> Fault | None:
    """Return the fault of a class of scalars on small expressions of all five operations, if it has one."""
    for expression_of in (five_operations, sums_and_products):
        found = trace(expression_of, {"a": 0.8, "b": 1.3}, (), value)
        if found.error is None and type(found.result) is Traced:
            found.result.number.backward()
            return find_fault(found, owner_of(value))
    return None


def five_operations(params: Any) -> Any:
    a, b = params["a"], params["b"]
    shared = a * b + a
    return log(shared) * exp(b) + shared**3 * (shared + b) ** -1


def sums_and_products(params: Any) -> Any:  # for a class that has not all of the five
    a, b = params["a"], params["b"]
    shared = a * b + a
    return shared * b + shared


def runs_away(value: type) -> bool:
    """Return whether `backward` repeats a shared part for each of its uses, which in a large graph never ends."""
    x = value(1.0)
    doubled = x
    for _ in range(10):
        doubled = doubled + doubled
    doubled.backward()
    return x.grad > 10 * 2**10  # where 2**10 is right


def owner_of(value: type) -> str:
    return "value.py" if value is Value else value.__name__


def digits(error: float) -> int:
    """Return the number of equal digits."""
    return min(15, int(-log10(max(error, 1e-16))))
