"""Chooses the kernel that runs a loop nest, and its arguments.

The shape of a kernel holds the order of the loops. The arguments are lengths, strides and starts: they alone depend on
the size of the model.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from microgpt.engines.compiled.expressions import (
    CELLS,
    CONSTANTS,
    GRADIENTS,
    INTEGERS,
    Expression,
    Load,
)
from microgpt.engines.compiled.llvm.arguments import packed
from microgpt.engines.compiled.llvm.emit import LeafShape, LoopShape, NestShape, structure_of
from microgpt.engines.compiled.llvm.memory import Memory
from microgpt.engines.compiled.nest import Nest

USUAL = (-2.0, -1.0, 0.0, 1.0, 2.0)  # constants that are part of a kernel
WIDTHS = (32, 16, 8, 4, 2, 1)
ALIGNED = 64  # numbers


@dataclass
class Step:
    """A kernel to run: its shape, and its arguments by name."""

    shape: Any
    arguments: dict[str, int]

    def packed(self) -> list[int]:
        return packed(self.shape.argument_names(), self.arguments)


class Schedule:
    """Turns nests into steps, for blocks of one size."""

    def __init__(self, block_size: int, double: bool, memory: Memory, constants: list[float]):
        self.block_size = block_size
        self.double = double
        self.memory = memory  # where a result lies in that of a block
        self.constants = list(constants)
        self.constant_at: dict[float, int] = {}
        self.tables: list[np.ndarray] = []
        self.table_at: dict[Any, int] = {}
        self.table_size = 0
        self.cells = memory.size * block_size  # so many numbers has a block, and after them its kernels scratch

    def scratch(self, size: int) -> int:
        """Where a kernel finds room for so many numbers, which no other kernel reads."""
        start = -(-self.memory.size * self.block_size // ALIGNED) * ALIGNED
        self.cells = max(self.cells, start + size)
        return start

    def scale(self, space: str) -> int:
        """How many numbers of a space lie side by side where one example has one."""
        return self.block_size if space in (CELLS, INTEGERS) else 1

    def start(self, load: Load) -> int:
        """Where a load begins in memory."""
        return (self.memory(load.start) if load.space == CELLS else load.start) * self.scale(load.space)

    def table(self, load: Load) -> int:
        """Where the starts of a load begin among all tables."""
        assert load.table is not None
        key = (load.space, load.table)
        if key not in self.table_at:
            starts = load.table.starts
            if load.space == CELLS:
                starts = self.memory.of_table(starts)
            self.table_at[key] = self.table_size
            self.tables.append(starts * self.scale(load.space))
            self.table_size += len(starts)
        return self.table_at[key]

    def load_of(self, node: Expression, axes: int) -> Load | None:
        """The load that a leaf of an expression is; None for a constant that is part of the kernel.

        Other constants are loaded from memory, so that models of all widths share their kernels.
        """
        if node.operation == "load":
            return node.what
        if node.what in USUAL:
            return None
        if node.what not in self.constant_at:
            self.constant_at[node.what] = len(self.constants)
            self.constants.append(node.what)
        return Load(CONSTANTS, self.constant_at[node.what], (0,) * axes)

    def step(self, nest: Nest, checked: str) -> Step:
        """The kernel of a nest that is no matrix product."""
        program, loads = structure_of(nest.expression, lambda node: self.load_of(node, len(nest.lengths)))
        everything = [nest.target, *loads]
        joined = vector_axis(nest, everything)
        order, summed = loop_order(nest, everything, joined)
        count = self.block_size * (nest.lengths[joined] if joined >= 0 else 1)
        width = next(w for w in WIDTHS if count % w == 0 and w <= (16 if self.double else 32))
        arguments: dict[str, int] = {}
        shape = NestShape(
            tuple([loop_shape(nest, order, i, count, summed, arguments) for i in range(len(order))]),
            tuple([self.leaf(load, f"load {i}", order, arguments) for i, load in enumerate(loads)]),
            self.leaf(nest.target, "target", order, arguments),
            program, nest.add, nest.reduction if nest.axes_summed() else "sum",
            checked if any(operation == "**" for operation, _, _ in program) else "", width, self.double,
        )  # fmt: skip
        return Step(shape, arguments)

    def leaf(self, load: Load, name: str, order: list[int], arguments: dict[str, int]) -> LeafShape:
        """The shape of a load. Adds its arguments to those of the kernel."""
        moved = 0 if load.table is None else (load.start - int(load.table.starts[0])) * self.scale(load.space)
        arguments[f"{name} start"] = self.start(load) if load.table is None else moved
        moving = []
        for loop, axis in enumerate(order):
            in_table = load.table is not None and axis == 0
            if axis >= 0 and (in_table or load.strides[axis]):
                moving.append(loop)
                stride = self.table(load) if in_table else load.strides[axis] * self.scale(load.space)
                arguments[f"{name} stride {loop}"] = stride
        chooser = None
        if load.chooser is not None:
            arguments[f"{name} step"] = load.step * self.scale(load.space)
            chooser = self.leaf(load.chooser, f"{name} chooser", order, arguments)
        return LeafShape(load.space, tuple(moving), chooser, load.table is not None)


def loop_order(nest: Nest, loads: list[Load], joined: int) -> tuple[list[int], set[int]]:
    """The axes in the order of their loops, with -1 for the vector loop, and those that are summed over."""
    tables = any(load.table is not None or (load.chooser and load.chooser.table) for load in loads)
    axes = [i for i, n in enumerate(nest.lengths) if i != joined and (n != 1 or (tables and i == 0))]
    summed = set(nest.axes_summed())
    outermost = 0 if nest.target.table is not None else -1
    kept = sorted((i for i in axes if i not in summed), key=lambda i: (i != outermost, -abs(nest.target.strides[i])))
    inner = [i for i in axes if i in summed]
    if sums_examples(nest.target):
        return [*kept, *inner, -1], summed | {-1}
    return [*kept, -1, *inner], summed


def loop_shape(
    nest: Nest, order: list[int], loop: int, count: int, summed: set[int], arguments: dict[str, int]
) -> LoopShape:
    """The shape of a loop. Adds its arguments to those of the kernel; `count` is the length of the vector loop."""
    axis = order[loop]
    arguments[f"length {loop}"] = count if axis < 0 else nest.lengths[axis]
    if axis < 0:
        return LoopShape(-1, -1 in summed)
    own = nest.bounds[axis]
    if own is not None and nest.lengths[own.of] == 1:
        arguments[f"length {loop}"] = min(nest.lengths[axis], own.constant)
    bounds = [(i, bound) for i, bound in enumerate(nest.bounds) if bound is not None]
    below = [(bound.of, bound) for i, bound in bounds if i == axis and bound.of in order]
    above = [(i, bound) for i, bound in bounds if bound.of == axis and i in order]
    if below and above:
        raise AssertionError("an axis within a bound that bounds another")
    rising = True
    for _, bound in below or above[:1]:
        arguments[f"constant {loop}"], arguments[f"step {loop}"] = bound.constant, bound.step
        rising = bound.step > 0
    limit, limited = (order.index(found[0][0]) if found else -1 for found in (below, above))
    return LoopShape(0 if axis == 0 else 1, axis in summed, limit, limited, rising)


def sums_examples(target: Load) -> bool:
    """Whether a nest sums its results over the examples. Where integers choose, each example adds its own."""
    return target.space == GRADIENTS and target.chooser is None


def vector_axis(nest: Nest, loads: list[Load]) -> int:
    """The longest axis that lies beside the examples in all loads and in the target; -1 if none does."""
    bounded = {i for i, bound in enumerate(nest.bounds) if bound is not None}
    bounded |= {bound.of for bound in nest.bounds if bound is not None}

    def lies_beside(load: Load, axis: int) -> bool:
        if load.table is not None and axis == 0:
            return False
        if load.chooser is not None and not lies_beside(load.chooser, axis):
            return False
        return load.strides[axis] == (1 if load.space in (CELLS, INTEGERS) else 0)

    axes = [
        axis for axis, length in enumerate(nest.lengths)
        if length > 1 and axis not in bounded and all(lies_beside(load, axis) for load in loads)
        and not (sums_examples(nest.target) and nest.target.strides[axis])
    ]  # fmt: skip
    return max(axes, key=lambda axis: nest.lengths[axis], default=-1)
