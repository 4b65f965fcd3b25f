"""The operations of an example, as arrays: those that something needs, in an order in which operands come first.

Examples often take the same way, on other numbers. Then they share its arrays.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from microgpt.explain.following import Followed
from microgpt.explain.program import CONSTANT, LARGEST, LESS, LESS_EQUAL, PARAMETER, POW, WHERE
from microgpt.explain.tape import Tape, node_of


@dataclass
class Way:
    """The operations that one or more examples take: arrays as in program.py.

    Its nodes are numbered from the number of parameters on: first the numbers of the example and the constants.
    `order` has the nodes in the order of Value.backward.
    """

    run: Followed
    number: dict[int, int]  # of a node on the tape, its number here
    kind: np.ndarray
    left: np.ndarray
    right: np.ndarray
    items: list[int]
    constants: list[tuple[int, float]]
    given: list[int]
    order: list[int]
    result: int

    def key(self) -> tuple[Any, ...]:
        """Return what two ways of the same operations have in common."""
        relative = (self.left.tobytes(), self.right.tobytes(), tuple(self.items))
        return self.kind.tobytes(), *relative, tuple(self.constants), tuple(self.given), self.result


def ordered(run: Followed, parameters: int) -> Way:
    """Return the operations of a run, without those that nothing needs."""
    tape = run.tape
    leaves = [node for node in range(parameters, len(tape.kind)) if tape.kind[node] == CONSTANT]
    number = {node: node for node in range(parameters)}
    number |= {node: parameters + i for i, node in enumerate(leaves)}
    result: Any = node_of(run.result)
    roots = [result, *noted_nodes(run), *(guard[0] for guard in run.tape.guards)]
    inner = [node for node in topological(roots, lambda node: operands(tape, node)) if node not in number]
    number |= {node: parameters + len(leaves) + i for i, node in enumerate(inner)}
    order = [*leaves, *inner]
    kind = np.array([tape.kind[node] for node in order], np.uint8)
    items: list[int] = []
    left, right = [], []
    for node in order:
        a, b = tape.left[node], tape.right[node]
        if tape.kind[node] in (LARGEST, WHERE):
            first, count = (a, b) if tape.kind[node] == LARGEST else (b, 2)
            place = len(items)
            items += [number[item] for item in tape.items[first : first + count]]
            a, b = (place, count) if tape.kind[node] == LARGEST else (number[a], place)
        else:
            a, b = number.get(a, -1), number.get(b, -1)
        left.append(a)
        right.append(b)
    constants = [(number[node], tape.numbers[node]) for node in sorted(set(leaves) - set(tape.given_nodes))]
    given = [number[node] for node in tape.given_nodes]
    back = [number[node] for node in topological([result], lambda node: sources(tape, node))]
    return Way(run, number, kind, np.array(left, np.int32), np.array(right, np.int32), items, constants, given, back,
               number[result])  # fmt: skip


@dataclass
class Batch:
    """The examples that the page holds: which way each takes, and its numbers."""

    ways: list[Way] = field(default_factory=list)
    examples: list[tuple[int, list[float]]] = field(default_factory=list)
    operations: int = 0


def topological(roots: list[Any], operands: Callable[[int], list[int]]) -> list[int]:
    """Return all that some nodes are computed from, operands first, as Value.backward orders them."""
    found: dict[int, None] = {}
    for root in roots:
        stack = [(root, False)]
        while stack:
            node, done = stack.pop()
            if done:
                found[node] = None
            elif node not in found:
                stack.append((node, True))
                stack += [(operand, False) for operand in operands(node) if operand not in found]
    return list(found)


def sources(tape: Tape, node: int) -> list[int]:
    """Return the operands to which a gradient flows from a node, without leaves."""
    kind = tape.kind[node]
    if kind in (LARGEST, LESS, LESS_EQUAL):
        return []
    found = operands(tape, node)
    found = found[1:] if kind == WHERE else found[:1] if kind == POW else found
    return [one for one in found if tape.kind[one] not in (PARAMETER, CONSTANT)]


def operands(tape: Tape, node: int) -> list[int]:
    """Return the nodes from which a node of a tape is computed."""
    kind, a, b = tape.kind[node], tape.left[node], tape.right[node]
    if kind == LARGEST:
        return tape.items[a : a + b]
    if kind == WHERE:
        return [a, *tape.items[b : b + 2]]
    return [one for one in (a, b) if one >= 0]


def noted_nodes(run: Followed) -> list[int]:
    """Return the nodes that some line has made."""
    found: dict[int, None] = {}

    def visit(value: Any) -> None:
        if isinstance(value, (list, dict)):
            for one in value.values() if isinstance(value, dict) else value:
                visit(one)
        elif node_of(value) is not None:
            found[value.node] = None

    for note in run.notes:
        for value in note.values:
            visit(value)
    for _, test, _ in run.choices:
        found[test] = None
    return list(found)
