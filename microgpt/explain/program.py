"""A loss as a list of operations for any text: the program of the engine in the page.

The function of the book runs once, on symbolic scalars that record each operation, and on symbolic tokens that record
where they choose. The result is flat arrays:

node      0 to P - 1 are the parameters, in order; then the weights of the predictions; then constants and results,
          operands first
kind      the operation: an index of KINDS
left      the first operand's node (-1: none); for the largest of some numbers, where they begin in `items`
right     the second operand's node; for a power, the node of its constant exponent; for the largest, their number
choices   where a token chooses an operand: (LEFT, RIGHT, a strip's MEMBER or an ITEM; which node, member or item; which
          token; the table of nodes to choose from)

A text is read position by position, so a shorter text is a beginning of the same arrays. Its loss is an entry of
`totals`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from microgpt.value import Scalar, number

KINDS = ("parameter", "constant", "+", "*", "**", "log", "exp", "largest", "<", "<=", "where", "/")
PARAMETER, CONSTANT, ADD, MUL, POW, LOG, EXP, LARGEST, LESS, LESS_EQUAL, WHERE, DIVIDE = range(len(KINDS))
LEFT, RIGHT, MEMBER, ITEM = range(4)


class TooLongError(Exception):
    """The limit of operations was reached, after `positions` complete positions of the text."""

    def __init__(self, positions: int):
        super().__init__(positions)
        self.positions = positions


@dataclass
class Program:
    """The recorded arrays; see the module."""

    limit: int
    kind: list[int] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    constants: dict[float, int] = field(default_factory=dict)  # the node of each
    items: list[int] = field(default_factory=list)
    choices: list[tuple[int, int, int, int]] = field(default_factory=list)
    tables: dict[tuple[int, ...], int] = field(default_factory=dict)
    totals: list[int] = field(default_factory=list)  # the nodes of the loss of texts with 1, 2, ... predictions
    complete: int = 0  # positions that were passed so far

    def leaf(self, kind: int) -> "Recorded":
        """Add a parameter or constant."""
        self.kind.append(kind)
        self.left.append(-1)
        self.right.append(-1)
        return Recorded(self, len(self.kind) - 1)

    def constant(self, x: float) -> "Recorded":
        """Return the node of a plain number; equal ones share a node."""
        if x not in self.constants:
            self.constants[x] = self.leaf(CONSTANT).node
        return Recorded(self, self.constants[x])

    def append(self, kind: int, left: "Recorded", right: "Recorded | None" = None) -> "Recorded":
        """Add an operation."""
        node = len(self.kind)
        if node >= self.limit:
            raise TooLongError(self.complete)
        for side, operand in ((LEFT, left), (RIGHT, right)):
            if isinstance(operand, Picked):
                self.choices.append((side, node, operand.token, operand.table))
        self.kind.append(kind)
        self.left.append(left.node)
        self.right.append(-1 if right is None else right.node)
        return Recorded(self, node)

    def operations(self, positions: int) -> dict[str, int]:
        """Return how often a text of so many predictions uses each of the five operations."""
        found = np.bincount(self.kind[: self.totals[positions - 1] + 1], minlength=len(KINDS))
        return {KINDS[i]: int(found[i]) for i in range(ADD, LARGEST)}


class Recorded(Scalar):
    """A symbolic scalar, with the methods of Value."""

    __slots__ = ("node", "program")

    def __init__(self, program: Program, node: int):
        self.program, self.node = program, node

    def lift(self, x: Any) -> "Recorded":
        return x if isinstance(x, Recorded) else self.program.constant(number(x))

    def __add__(self, other: Any) -> "Recorded":
        return self.program.append(ADD, self, self.lift(other))

    def __mul__(self, other: Any) -> "Recorded":
        return self.program.append(MUL, self, self.lift(other))

    def __pow__(self, exponent: Any) -> "Recorded":
        return self.program.append(POW, self, self.program.constant(number(exponent)))

    def log(self) -> "Recorded":
        return self.program.append(LOG, self)

    def exp(self) -> "Recorded":
        return self.program.append(EXP, self)

    def largest(self, scalars: Sequence[Any]) -> "Recorded":
        start = len(self.program.items)
        for scalar in map(self.lift, scalars):
            if isinstance(scalar, Picked):
                self.program.choices.append((ITEM, len(self.program.items), scalar.token, scalar.table))
            self.program.items.append(scalar.node)
        chosen = self.program.leaf(LARGEST)
        self.program.left[-1], self.program.right[-1] = start, len(scalars)
        return chosen


class Picked(Recorded):
    """A scalar that a token chooses; until a text is read, the first one of its table."""

    __slots__ = ("table", "token")

    def __init__(self, candidates: Sequence[Recorded], token: int):
        program = candidates[0].program
        super().__init__(program, candidates[0].node)
        nodes = tuple(candidate.node for candidate in candidates)
        self.token, self.table = token, program.tables.setdefault(nodes, len(program.tables))


class Token:
    """A symbolic token: number `index` of the text."""

    def __init__(self, program: Program, index: int):
        self.program, self.index = program, index

    def pick(self, items: Sequence[Any]) -> Any:
        """Choose one of some scalars, or one of some rows of them, for `microgpt.value.pick`."""
        if isinstance(items[0], Recorded):
            return Picked(items, self.index)
        self.program.complete = self.index  # an embedding is where a position begins
        return [Picked(column, self.index) for column in zip(*items, strict=True)]


def record(
    loss: Callable[..., Any], shapes: dict[str, tuple[int, ...]], positions: int, limit: int
) -> tuple[Program, Recorded]:
    """Record a loss of `positions` predictions, with parameters of these shapes; return the program and its result.

    Raises TooLongError if it has more nodes than the limit.
    """
    program = Program(limit)

    def leaves(shape: tuple[int, ...]) -> Any:
        return [leaves(shape[1:]) for _ in range(shape[0])] if shape else program.leaf(PARAMETER)

    params = {name: leaves(shape) for name, shape in shapes.items()}
    weights = [program.leaf(CONSTANT) for _ in range(positions)]
    tokens = [Token(program, i) for i in range(positions + 1)]
    result = loss(params, tokens, weights)
    node = result.node
    while len(program.totals) < positions:  # the loss is a sum, and each of its partial sums the loss of a shorter text
        program.totals.insert(0, node)
        node = program.left[node]
    return program, result
