"""What a case gives: numbers, derivatives or an error, of the learner's lines and of the book's in the same way."""

import math
import traceback
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from microgpt.workshop.exercise import Case

REFUSALS = {"ValueError", "IndexError", "AssertionError"}  # each says that an input cannot be
MOST_SLOPES = 80  # of more of them, only those of a weighted sum are looked at
CLOSE, TINY = 1e-9, 1e-12

Namespace = dict[str, Any]


@dataclass
class Seen:
    """What came of a case."""

    error: str = ""  # the type of an exception
    message: str = ""
    trace: list[tuple[str, int, str]] = field(default_factory=list)  # file, line and function of each frame
    plain: Any = None  # the result for plain numbers
    data: Any = None  # the result for Values
    graph: bool = False  # whether that result has Values in it
    operation: str | None = None  # of a result that is one operation on leaves: of more there are several right orders
    slopes: dict[tuple[str, str], float] = field(default_factory=dict)  # (output, input) -> derivative
    changed: str = ""  # an input that is another one afterwards


def observe(namespace: Namespace, make: Any, one: Case) -> Seen:
    """Run a case in a namespace, with inputs made by `make`, and return what is seen."""
    seen = Seen()
    if not one.own and not one.plain:
        try:
            seen.plain = told(run(namespace, one, deepcopy(one.given)))
        except Exception as error:
            kind = type(error).__name__
            seen.plain = f"{'an' if kind[0] in 'AEIO' else 'a'} {kind}"
    try:
        leaves: dict[str, Any] = {}
        given = {name: deepcopy(x) if one.plain else made(x, name, make, leaves) for name, x in one.given.items()}
        before = told(given)
        result = run(namespace, one, given)
        seen.data, after = told(result), told(given)
        seen.changed = next((name for name in before if before[name] != after[name]), "")
        seen.changed = seen.changed or next((f"{name}.grad" for name, leaf in leaves.items() if leaf.grad), "")
        outputs = {name: output for name, output in named_numbers(result, "") if hasattr(output, "inputs")}
        seen.graph = bool(outputs)
        for output in outputs.values():
            check_node(output)
        if not any(getattr(made_of, "inputs", ()) for made_of in getattr(result, "inputs", ())):
            seen.operation = str(getattr(result, "operation", ""))
        if leaves and outputs:
            seen.slopes = slopes_of(outputs, leaves, one.own)
    except Exception as error:
        report = traceback.TracebackException.from_exception(error)
        seen.error, seen.message = type(error).__name__, message_of(report)
        seen.trace = [(frame.filename, frame.lineno or 0, frame.name) for frame in report.stack]
    return seen


def message_of(report: traceback.TracebackException) -> str:
    """Return what an exception says; with the name that may have been meant, where Python has a guess."""
    return "".join(report.format_exception_only()).strip().partition(": ")[2]


def run(namespace: Namespace, one: Case, given: dict[str, Any]) -> Any:
    """Return the value of a case's expression."""
    variables = {**namespace, **given}
    if one.before:
        exec(one.before, variables)
    return eval(one.call, variables)


def made(x: Any, name: str, make: Any, leaves: dict[str, Any]) -> Any:
    """Return an input with a Value in place of each float, and collect these by name."""
    if isinstance(x, list):
        return [made(item, f"{name}[{i}]", make, leaves) for i, item in enumerate(x)]
    if isinstance(x, dict):
        return {key: made(item, f"{name}[{key!r}]", make, leaves) for key, item in x.items()}
    if isinstance(x, float):
        leaves[name] = make(x)
        return leaves[name]
    return x


def named_numbers(x: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield each item of nested lists with its place, such as "[0][2]"."""
    if isinstance(x, list | tuple):
        for i, item in enumerate(x):
            yield from named_numbers(item, f"{name}[{i}]")
    else:
        yield name, x


def told(x: Any) -> Any:
    """Return a result as plain numbers, texts and lists, which can be compared and shown."""
    if hasattr(x, "inputs") and hasattr(x, "data"):
        return x.data if isinstance(x.data, int | float) else f"a Value of {named(x.data)}"
    if x is None or isinstance(x, str | int | float):
        return x
    if isinstance(x, list | tuple):
        return [told(item) for item in x]
    if isinstance(x, dict):
        return {str(key): told(item) for key, item in x.items()}
    if x is NotImplemented:
        return "NotImplemented"
    return f"a {type(x).__name__}"


def named(x: Any) -> str:
    """Return a result as a short text, which says what it is."""
    known = told(x)
    if hasattr(x, "inputs") and not isinstance(known, str):
        return f"a Value, {known}"
    return known if isinstance(known, str) and not isinstance(x, str) else f"{known!r:.60}"


def slopes_of(outputs: dict[str, Any], leaves: dict[str, Any], own: bool) -> dict[tuple[str, str], float]:
    """Return the derivative of each output to each input."""
    if own:
        for leaf in leaves.values():
            leaf.grad = 0.0
        output = next(iter(outputs.values()))
        output.backward()
        return {("", name): leaf.grad for name, leaf in leaves.items()}
    together = len(outputs) * len(leaves) > MOST_SLOPES
    seeds = [(name, {id(output): 1.0}, [output]) for name, output in outputs.items()]
    if together:
        weights: dict[int, float] = {}
        for i, output in enumerate(outputs.values(), 1):
            weights[id(output)] = weights.get(id(output), 0.0) + i
        seeds = [("1 * [0] + 2 * [1] + ...", weights, list(outputs.values()))]
    slopes = {}
    for name, seed, results in seeds:
        gradients = walked(results, seed)
        slopes.update({(name, leaf): gradients.get(id(value), 0.0) for leaf, value in leaves.items()})
    return slopes


def walked(results: list[Any], gradients: dict[int, float]) -> dict[int, float]:
    """Return the gradient of each Value, by its id, from what each Value says of its inputs: a walk of our own."""
    order: list[Any] = []
    seen: set[int] = set()
    stack = [(result, False) for result in results]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            check_node(node)
            stack.append((node, True))
            stack += [(made_of, False) for made_of in node.inputs]
    for node in reversed(order):
        for made_of, derivative in zip(node.inputs, node.derivatives, strict=True):
            passed = derivative * gradients.get(id(node), 0.0)
            gradients[id(made_of)] = gradients.get(id(made_of), 0.0) + passed
    return gradients


class NoGraphError(Exception):
    """A Value whose inputs and derivatives cannot be walked."""


def check_node(node: Any) -> None:
    """Raise NoGraphError if a Value does not keep one derivative for each input."""
    for name in ("inputs", "derivatives"):
        kept = getattr(node, name)
        if not isinstance(kept, tuple | list):
            comma = "one in parentheses needs a comma, `(x,)`"
            raise NoGraphError(f"the {name} of a {node.operation!r} are {named(kept)}, which is no tuple ({comma})")
    for made_of in node.inputs:
        if not hasattr(made_of, "inputs"):
            raise NoGraphError(f"among the inputs of a {node.operation!r} is {named(made_of)}, which is no Value")
    if len(node.inputs) != len(node.derivatives):
        count = f"{len(node.inputs)} inputs and {len(node.derivatives)} derivatives"
        raise NoGraphError(f"a {node.operation!r} has {count}: there must be one derivative for each input")
    for derivative in node.derivatives:
        if not isinstance(derivative, int | float):
            raise NoGraphError(f"among the derivatives of a {node.operation!r} is {named(derivative)}: no plain number")


@dataclass(frozen=True)
class Difference:
    """The first thing in which two observations differ."""

    kind: str  # "error", "plain", "data", "graph", "operation", "slope" or "changed"
    got: Any = None
    expected: Any = None
    of: tuple[str, str] = ("", "")  # the output and the input of a slope


def difference(got: Seen, expected: Seen) -> Difference | None:
    """Return in what two observations differ; None if they agree."""
    if got.error != expected.error and not {got.error, expected.error} <= REFUSALS:
        return Difference("error", got.error, expected.error)
    if got.error:
        other = got.error == "NoGraphError" and got.message != expected.message
        return Difference("error", got.error, expected.error) if other else None
    if not same(got.plain, expected.plain):
        return Difference("plain", got.plain, expected.plain)
    if not same(got.data, expected.data):
        return Difference("data", got.data, expected.data)
    if got.graph != expected.graph:
        return Difference("graph", got.graph, expected.graph)
    if got.changed != expected.changed:
        return Difference("changed", got.changed, expected.changed)
    for key, slope in expected.slopes.items():
        if not same(got.slopes.get(key, 0.0), slope):
            return Difference("slope", got.slopes.get(key, 0.0), slope, key)
    names = got.operation, expected.operation
    if None not in names and str(names[0]).split()[:1] != str(names[1]).split()[:1]:
        return Difference("operation", got.operation, expected.operation)
    return None


def same(a: Any, b: Any) -> bool:
    """Return whether two results are equal: numbers within rounding."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, int | float) and isinstance(b, int | float):
        if math.isnan(a) or math.isnan(b):
            return math.isnan(a) and math.isnan(b)
        return a == b or abs(a - b) <= CLOSE * max(abs(a), abs(b)) + TINY
    return type(a) is type(b) and a == b
