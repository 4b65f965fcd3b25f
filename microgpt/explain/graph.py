"""All Values of a calculation as flat arrays: the graph, its numbers and its gradients.

node      0 to P - 1 are the parameters, in their order; then constants; then what was computed, operands first
kind      what made it: an index of KINDS
left      the first operand's node (-1: none)
right     the second operand's node; of a power, the node of its constant exponent
data      the number, as the engine computed it
gradient  the derivative of the result to it, as `backward` left it
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from microgpt.value import Value

KINDS = ("parameter", "constant", "+", "*", "**", "log", "exp")
PARAMETER, CONSTANT = 0, 1


@dataclass
class Graph:
    """A calculation that has been walked backward; see the module for the arrays."""

    kind: np.ndarray
    left: np.ndarray
    right: np.ndarray
    data: np.ndarray
    gradient: np.ndarray
    node_of: dict[Value, int]

    def counts(self) -> dict[str, int]:
        """How many times each of the five operations was used."""
        found = np.bincount(self.kind, minlength=len(KINDS))
        return {KINDS[i]: int(found[i]) for i in range(2, len(KINDS))}


def graph_of(result: Value, parameters: list[Value]) -> Graph:
    """The graph of a result on which `backward` was called.

    Equal constants are one node; its gradient is the sum of theirs.
    """
    node_of = {parameter: i for i, parameter in enumerate(parameters)}
    kind, left, right = [PARAMETER] * len(parameters), [-1] * len(parameters), [-1] * len(parameters)
    data = [parameter.data for parameter in parameters]
    gradient = [parameter.grad for parameter in parameters]
    constants: dict[float, int] = {}

    def append(operation: int, a: int, b: int, number: float, slope: float) -> int:
        kind.append(operation)
        left.append(a)
        right.append(b)
        data.append(number)
        gradient.append(slope)
        return len(kind) - 1

    def constant(number: float) -> int:
        if number not in constants:
            constants[number] = append(CONSTANT, -1, -1, number, 0.0)
        return constants[number]

    for value in in_order(result):
        if value in node_of:
            continue
        if not value.inputs:
            node_of[value] = constant(value.data)
            gradient[node_of[value]] += value.grad
            continue
        name, _, exponent = value.operation.partition(" ")
        a, *others = (node_of[operand] for operand in value.inputs)
        if exponent:
            others = [constant(exponent_of(value))]
        node_of[value] = append(KINDS.index(name), a, others[0] if others else -1, value.data, value.grad)
    return Graph(
        np.array(kind, np.uint8),
        np.array(left, np.int32),
        np.array(right, np.int32),
        np.array(data, np.float64),
        np.array(gradient, np.float64),
        node_of,
    )


def exponent_of(power: Value) -> float:
    """The constant exponent of a power."""
    return float(power.operation.split()[1])


def in_order(result: Value) -> list[Value]:
    """All that a value was made of, operands first, and at last the value."""
    order: list[Value] = []
    seen: set[Value] = set()
    stack: list[Any] = [(result, False)]
    while stack:
        value, ready = stack.pop()
        if ready:
            order.append(value)
        elif value not in seen:
            seen.add(value)
            stack.append((value, True))
            stack.extend((operand, False) for operand in reversed(value.inputs) if operand not in seen)
    return order
