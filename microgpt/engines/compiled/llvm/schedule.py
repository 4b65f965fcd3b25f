"""Begin of step 5 of the compiler: which kernel runs each loop nest, and with which arguments.

The shape of a nest says which kernel it needs; the arguments are its lengths, strides and starts. Only these depend on
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
    loads_of,
    nodes_of,
)
from microgpt.engines.compiled.llvm.emit import LeafShape, LoopShape, NestShape, structure_of
from microgpt.engines.compiled.nests import Nest

USUAL = (-2.0, -1.0, 0.0, 1.0, 2.0)  # constants that are part of a kernel
WIDTHS = (32, 16, 8, 4, 2, 1)


@dataclass
class Step:
    """One kernel to run: its shape and its arguments."""

    shape: Any
    arguments: list[int]


class Lowering:
    """Turns nests into steps, for blocks of so many examples."""

    def __init__(self, block_size: int, double: bool, moved: Any, constants: list[float]):
        self.block_size = block_size
        self.double = double
        self.moved = moved  # from a cell among all to where it lies in memory
        self.constants = list(constants)
        self.constant_at: dict[float, int] = {}
        self.tables: list[np.ndarray] = []
        self.table_at: dict[Any, int] = {}
        self.table_size = 0

    def scale(self, space: str) -> int:
        return self.block_size if space in (CELLS, INTEGERS) else 1

    def table(self, load: Load) -> int:
        """Where the starts of a load begin among all tables."""
        assert load.table is not None
        key = (load.space, load.table)
        if key not in self.table_at:
            starts = load.table.starts
            if load.space == CELLS:
                starts = np.array([self.moved(int(s)) for s in starts])
            self.table_at[key] = self.table_size
            self.tables.append(starts * self.scale(load.space))
            self.table_size += len(starts)
        return self.table_at[key]

    def constant_load(self, number: float, axes: int) -> Load:
        """A constant as a number among the constants: models of all widths then share their kernels."""
        if number not in self.constant_at:
            self.constant_at[number] = len(self.constants)
            self.constants.append(number)
        return Load(CONSTANTS, self.constant_at[number], (0,) * axes)

    def with_loaded_constants(self, nest: Nest) -> Expression:
        """The expression of a nest, with loads in the place of constants that may differ from model to model."""
        done: dict[Any, Expression] = {}
        for node in nodes_of(nest.expression):
            if node.operation == "constant" and node.what not in USUAL:
                load = Expression("load", (), self.constant_load(node.what, len(nest.lengths)))
                done[id(node)] = done.setdefault(("constant", node.what), load)
            elif node.arguments:
                done[id(node)] = Expression(node.operation, tuple(done[id(a)] for a in node.arguments), node.what)
            else:
                done[id(node)] = node
        return done[id(nest.expression)]

    def step(self, nest: Nest, checked: str) -> Step:
        expression = self.with_loaded_constants(nest)
        loads = loads_of(expression)
        everything = [nest.target, *loads]
        merged = merged_axis(nest, everything)
        summed = set(nest.axes_summed())
        axes = [i for i, n in enumerate(nest.lengths) if i != merged and n != 1]
        if any(load.table is not None or (load.chooser and load.chooser.table) for load in everything):
            axes = [i for i, n in enumerate(nest.lengths) if i != merged and (n != 1 or i == 0)]
        kept = sorted((i for i in axes if i not in summed), key=lambda i: -abs(nest.target.strides[i]))
        if nest.target.table is not None and 0 in summed:  # a table moves along axis 0
            summed.discard(0)
            kept = [0, *kept]
        inside = [i for i in axes if i in summed]
        to_gradient = sums_examples(nest.target)
        order = [*kept, *inside, -1] if to_gradient else [*kept, -1, *inside]
        side_by_side = self.block_size * (nest.lengths[merged] if merged >= 0 else 1)
        width = next(w for w in WIDTHS if side_by_side % w == 0 and w <= (16 if self.double else 32))
        level = {axis: i for i, axis in enumerate(order)}
        loops = []
        arguments: list[int] = []
        for axis in order:
            if axis < 0:
                loops.append(LoopShape(-1, to_gradient))
                arguments.append(side_by_side)
                continue
            below = above = -1
            rising = True
            bound = nest.bounds[axis]
            if bound is not None and bound.of in level:
                below = level[bound.of]
            other = next((i for i, b in enumerate(nest.bounds) if b is not None and b.of == axis and i in level), -1)
            if other >= 0:
                above = level[other]
            if below >= 0 and above >= 0:
                raise AssertionError("an axis within a bound that bounds another")
            arguments.append(nest.lengths[axis])
            if below >= 0 or above >= 0:
                limits = nest.bounds[axis if below >= 0 else other]
                assert limits is not None
                arguments += [limits.constant, limits.step]
                rising = limits.step > 0
            loops.append(LoopShape(0 if axis == 0 else 1, axis in summed, below, above, rising))

        def leaf(load: Load) -> LeafShape:
            moving = []
            start = load.start
            if load.table is not None:
                arguments.append(0)
            else:
                arguments.append((self.moved(start) if load.space == CELLS else start) * self.scale(load.space))
            for i, axis in enumerate(order):
                if axis < 0:
                    continue
                if load.table is not None and axis == 0:
                    moving.append(i)
                    arguments.append(self.table(load))
                elif load.strides[axis]:
                    moving.append(i)
                    arguments.append(load.strides[axis] * self.scale(load.space))
            chosen = None
            if load.chooser is not None:
                arguments.append(load.step * self.scale(load.space))
                chosen = leaf(load.chooser)
            return LeafShape(load.space, tuple(moving), chosen, load.table is not None)

        target = leaf(nest.target)
        leaves = tuple(leaf(load) for load in loads)
        numbers = {load: i for i, load in enumerate(loads)}
        program = structure_of(expression, numbers)
        shape = NestShape(
            tuple(loops), leaves, target, program, nest.add, nest.reduction if nest.axes_summed() else "sum",
            checked if any(operation == "**" for operation, _, _ in program) else "", width, self.double,
        )  # fmt: skip
        return Step(shape, arguments)


def sums_examples(target: Load) -> bool:
    """Whether a result is the sum over the examples of a block; where integers choose, each adds its own."""
    return target.space == GRADIENTS and target.chooser is None


def merged_axis(nest: Nest, loads: list[Load]) -> int:
    """The longest axis that lies beside the examples in all that is read and written; -1 if none does."""
    bounded = {i for i, bound in enumerate(nest.bounds) if bound is not None}
    bounded |= {bound.of for bound in nest.bounds if bound is not None}

    def lies_beside(load: Load, axis: int) -> bool:
        if load.table is not None and axis == 0:
            return False
        if load.chooser is not None and not lies_beside(load.chooser, axis):
            return False
        return load.strides[axis] == (1 if load.space in (CELLS, INTEGERS) else 0)

    found = -1
    for axis, length in enumerate(nest.lengths):
        if length == 1 or axis in bounded or not all(lies_beside(load, axis) for load in loads):
            continue
        if sums_examples(nest.target) and nest.target.strides[axis] != 0:
            continue
        if found < 0 or length > nest.lengths[found]:
            found = axis
    return found
