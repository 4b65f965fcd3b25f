"""A loss as a list of operations that can be run on any text: what the engine in the page sweeps over.

The function of the book runs once, on scalars without a value that write down what is done with them, and on tokens
that write down where they choose. What comes out are flat arrays:

node      0 to P - 1 are the parameters, in their order; then the weights of the predictions; then constants and what is
          computed, operands first
kind      what made it: an index of KINDS
left      the first operand's node (-1: none); of the largest of some numbers, where they begin in `items`
right     the second operand's node; of a power, the node of its constant exponent; of the largest, how many there are
choices   where a token chooses an operand: (LEFT, RIGHT, a strip's MEMBER or an ITEM; which node, member or item; which
          token; the table of nodes to choose from)

A text is a walk from position to position, so a shorter text is a beginning of the same arrays: its loss is an entry of
`totals`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from microgpt.value import Scalar, number

KINDS = ("parameter", "constant", "+", "*", "**", "log", "exp", "largest")
PARAMETER, CONSTANT, ADD, MUL, POW, LOG, EXP, LARGEST = range(len(KINDS))
LEFT, RIGHT, MEMBER, ITEM = range(4)


class TooLongError(Exception):
    """The limit of operations was reached; `positions` of the text were complete by then."""

    def __init__(self, positions: int):
        super().__init__(positions)
        self.positions = positions


@dataclass
class Program:
    """What was written down; see the module."""

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
        """A new parameter or constant."""
        self.kind.append(kind)
        self.left.append(-1)
        self.right.append(-1)
        return Recorded(self, len(self.kind) - 1)

    def constant(self, x: float) -> "Recorded":
        """The node of a plain number; equal ones are one node."""
        if x not in self.constants:
            self.constants[x] = self.leaf(CONSTANT).node
        return Recorded(self, self.constants[x])

    def append(self, kind: int, left: "Recorded", right: "Recorded | None" = None) -> "Recorded":
        """A new operation."""
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
        """How many times a text of so many predictions uses each of the five operations."""
        found = np.bincount(self.kind[: self.totals[positions - 1] + 1], minlength=len(KINDS))
        return {KINDS[i]: int(found[i]) for i in range(ADD, LARGEST)}


class Recorded(Scalar):
    """A scalar without a value: the methods are those of Value, and say what Value's do."""

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
    """A token that is not known yet: number `index` of the text."""

    def __init__(self, program: Program, index: int):
        self.program, self.index = program, index

    def pick(self, items: Sequence[Any]) -> Any:
        """What `microgpt.value.pick` asks it for: one of some scalars, or one of some rows of them."""
        if isinstance(items[0], Recorded):
            return Picked(items, self.index)
        self.program.complete = self.index  # an embedding is where a position begins
        return [Picked(column, self.index) for column in zip(*items, strict=True)]


def record(
    loss: Callable[..., Any], shapes: dict[str, tuple[int, ...]], positions: int, limit: int
) -> tuple[Program, Recorded]:
    """Write down a loss of `positions` predictions, with parameters of these shapes: the program, and its result.

    Raises TooLongError where it has more nodes than the limit.
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
