"""Chooses the kernel that runs a loop nest, and its arguments.

The shape of a kernel holds the order of the loops. The arguments are lengths, strides and starts: they alone depend on
the size of the model.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from microgpt.engines.compiled.expressions import CELLS, CONSTANTS, INTEGERS, PARAMETERS, Load, has_tables, structure_of
from microgpt.engines.compiled.llvm.arguments import packed
from microgpt.engines.compiled.llvm.emit import APART, BESIDE, LeafShape, LoopShape, NestShape
from microgpt.engines.compiled.llvm.lanes import Lanes, chosen_lanes, loop_order, part_of_lanes
from microgpt.engines.compiled.llvm.memory import Memory
from microgpt.engines.compiled.nest import BATCH, Nest

USUAL = (-2.0, -1.0, 0.0, 1.0, 2.0)  # constants that are part of a kernel
ALIGNED = 64  # numbers


@dataclass
class Step:
    """A kernel to run: its shape, its arguments by name, and the loads that it takes, by names as well."""

    shape: Any
    arguments: dict[str, int]
    loads: dict[str, Load]

    def packed(self) -> list[int]:
        return packed(self.shape.argument_names(), self.arguments)

    def starts(self, everything: list[Load]) -> list[tuple[int, int, bool]]:
        """Which of the packed arguments are starts: of which load among all, and whether of its chooser."""
        places = {name: place for place, name in enumerate(self.shape.argument_names())}
        number = {load: i for i, load in enumerate(everything) if i}  # not of the constants that a schedule adds
        found = []
        for name, load in self.loads.items():
            own = 0 if name == "target" else number.get(load)
            for chooser, start in enumerate((f"{name} start", f"{name} chooser start")):
                if own is not None and start in places:
                    found.append((places[start], own, bool(chooser)))
        return found


class Schedule:
    """Turns nests into steps, for blocks of one size."""

    def __init__(self, block_size: int, double: bool, memory: Memory, constants: list[float], narrow: bool = False):
        self.block_size = block_size
        self.double, self.narrow = double, narrow  # the precision, and whether parameters are in single precision
        self.memory = memory  # where a result lies in that of a block
        self.constants = list(constants)
        self.constant_at: dict[float, int] = {}
        self.tables: list[np.ndarray] = []
        self.table_at: dict[Any, int] = {}
        self.table_size = 0
        self.cells = memory.size * block_size  # so many numbers has a block, and after them its kernels scratch
        self.scratch_at = -(-self.cells // ALIGNED) * ALIGNED  # where that of the present thread begins
        self.known: dict[Any, Any] = {}  # the kernels of nests that differ in their starts alone

    def scratch(self, size: int) -> int:
        """Where a kernel finds room for so many numbers, which no other kernel reads."""
        self.cells = max(self.cells, self.scratch_at + size)
        return self.scratch_at

    def reserve_table(self, size: int) -> None:
        """Let the tables begin with so many integers for the threads."""
        self.tables.append(np.zeros(size, np.int64))
        self.table_size += size

    def next_thread(self) -> None:
        """Keep the scratch so far for one thread: the kernels that follow run on another."""
        self.scratch_at = -(-self.cells // ALIGNED) * ALIGNED
        self.known = {}

    def is_narrow(self, loads: Iterable[Load]) -> bool:
        """Whether a kernel reads parameters in single precision."""
        return self.narrow and any(load.space == PARAMETERS for load in loads)

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

    def load_of(self, number: float, axes: int) -> Load:
        """The load of a constant."""
        if number not in self.constant_at:
            self.constant_at[number] = len(self.constants)
            self.constants.append(number)
        return Load(CONSTANTS, self.constant_at[number], (0,) * axes)

    def fits(self, load: Load, lengths: tuple[int, ...]) -> bool:
        """Whether a load stays within its array beyond the bounds of a nest, too."""
        if load.table is not None or load.chooser is not None:
            return False
        if load.space != CELLS:
            return not any(load.strides)
        ends = [stride * (n - 1) for stride, n in zip(load.strides, lengths, strict=True)]
        first, last = (load.start + sum(filter(sign, ends)) for sign in (lambda x: x < 0, lambda x: x > 0))
        return self.memory.in_one_region(first, last)

    def kernel(
        self, nest: Nest, in_turns: bool, step: Callable[[], Step], is_zero_beyond: Callable[[Load, Nest], bool]
    ) -> tuple[Any, list[int]]:
        """The shape of the kernel of a nest, as `step` finds it, and its arguments.

        Layers are alike: where a nest differs from an earlier one in its starts alone, so do the arguments.
        """
        program, loads = structure_of(nest.expression)
        everything = [nest.target, *loads]
        if nest.whole is not None or has_tables(everything):
            found = step()
            return found.shape, found.packed()
        ways: list[Any] = [way_of(load) for load in everything]
        if any(nest.bounds):
            ways += [(self.fits(load, nest.lengths), is_zero_beyond(load, nest)) for load in everything]
        key = (
            program,
            tuple(ways),
            nest.lengths,
            nest.bounds,
            nest.add,
            nest.reduction,
            nest.backward,
            in_turns,
            nest.of_data,
        )
        if key not in self.known:
            found = step()
            self.known[key] = found.shape, found.packed(), found.starts(everything)
        shape, arguments, starts = self.known[key]
        arguments = arguments.copy()
        for place, i, of_chooser in starts:
            load = everything[i]
            arguments[place] = self.start(load.chooser if of_chooser and load.chooser else load)
        return shape, arguments

    def step(self, nest: Nest, checked: str, in_turns: bool = False) -> Step:
        """The kernel of a nest that is no matrix product, or of the part of it that one of many turns computes."""
        lanes, program, everything = self.lanes(nest.whole or nest, in_turns)
        if nest.whole is not None:
            program, everything = self.structure(nest)
            lanes = part_of_lanes(lanes, nest) if self.block_size == 1 else self.lanes(nest, in_turns)[0]
        return self.step_in(lanes, nest, program, everything, checked)

    def structure(self, nest: Nest) -> tuple[tuple[Any, ...], list[Load]]:
        """The nodes of a nest's expression, and what it reads and writes: the target comes first.

        Unusual constants are loaded from memory, so that models of all widths share their kernels.
        """
        program, loads = structure_of(nest.expression)
        number: dict[Load, int] = {}
        nodes = []
        for operation, what, arguments in program:
            load = loads[what] if operation == "load" else None
            if operation == "constant" and what not in USUAL:
                load = self.load_of(what, len(nest.lengths))
            own = (operation, what) if load is None else ("load", number.setdefault(load, len(number)))
            nodes.append((*own, arguments))
        return tuple(nodes), [nest.target, *number]

    def lanes(self, nest: Nest, in_turns: bool) -> tuple[Lanes, tuple[Any, ...], list[Load]]:
        """What the lanes hold, and the structure of the nest."""
        program, everything = self.structure(nest)
        fits = not any(nest.bounds) or (not in_turns and all(self.fits(load, nest.lengths) for load in everything))
        return chosen_lanes(nest, everything, program, self.block_size, self.double, fits), program, everything

    def step_in(self, lanes: Lanes, nest: Nest, program: tuple[Any, ...], loads: list[Load], checked: str) -> Step:
        """The kernel of a nest with these lanes; `loads` begin with the target."""
        order, summed = loop_order(nest, loads, lanes)
        arguments: dict[str, int] = {}
        loops = tuple([loop_shape(nest, order, i, lanes, summed, arguments) for i in range(len(order))])
        names = ["target", *(f"load {i}" for i in range(len(loads) - 1))]
        leaves = [self.leaf(load, name, order, lanes, arguments) for name, load in zip(names, loads, strict=True)]
        shape = NestShape(
            loops, tuple(leaves[1:]), leaves[0], program, nest.add, nest.reduction if nest.axes_summed() else "sum",
            checked if any(operation == "**" for operation, _, _ in program) else "",
            lanes.count * lanes.groups, self.double, lanes.groups,
            order.index(lanes.along) if lanes.groups > 1 else -1, lanes.tail, self.is_narrow(loads),
        )  # fmt: skip
        return Step(shape, arguments, dict(zip(names, loads, strict=True)))

    def leaf(self, load: Load, name: str, order: list[int], lanes: Lanes, arguments: dict[str, int]) -> LeafShape:
        """The shape of a load. Adds its arguments to those of the kernel."""
        moved = 0 if load.table is None else (load.start - int(load.table.starts[0])) * self.scale(load.space)
        arguments[f"{name} start"] = self.start(load) if load.table is None else moved
        moving = []
        for loop, axis in enumerate(order):
            in_table = load.table is not None and axis == 0
            if axis not in (BATCH, lanes.axis) and (in_table or load.strides[axis]):
                moving.append(loop)
                stride = self.table(load) if in_table else load.strides[axis] * self.scale(load.space)
                arguments[f"{name} stride {loop}"] = stride
        stride = lanes.stride(load)
        how = "" if stride == 0 else BESIDE if stride == 1 else APART
        if how == APART:
            arguments[f"{name} lane"] = stride
        chooser = None
        if load.chooser is not None:
            arguments[f"{name} step"] = load.step * self.scale(load.space)
            chooser = self.leaf(load.chooser, f"{name} chooser", order, lanes, arguments)
        return LeafShape(
            load.space,
            tuple(moving),
            chooser,
            load.table is not None,
            how,
            lanes.is_whole(load, self.scale(load.space)),
        )


def way_of(load: Load) -> tuple[Any, ...]:
    """All of a load but its start."""
    return load.space, load.strides, load.step, load.choices, load.chooser and way_of(load.chooser)


def loop_shape(
    nest: Nest, order: list[int], loop: int, lanes: Lanes, summed: set[int], arguments: dict[str, int]
) -> LoopShape:
    """The shape of a loop. Adds its arguments to those of the kernel."""
    axis = order[loop]
    if axis == BATCH:
        arguments[f"length {loop}"] = lanes.length
        return LoopShape(-1, BATCH in summed)
    arguments[f"length {loop}"] = nest.lengths[axis]
    own = nest.bounds[axis]
    if own is not None and nest.lengths[own.of] == 1:
        arguments[f"length {loop}"] = min(nest.lengths[axis], own.constant)
    bounds = [(i, bound) for i, bound in enumerate(nest.bounds) if bound is not None]
    below = [(bound.of, bound) for i, bound in bounds if i == axis and bound.of in order]
    above = [(i, bound) for i, bound in bounds if bound.of == axis and i in order]
    if below and above:
        raise AssertionError("an axis within a bound that bounds another")
    step = 0
    for _, bound in below or above[:1]:
        arguments[f"constant {loop}"], step = bound.constant, bound.step
    limit, limited = (order.index(found[0][0]) if found else -1 for found in (below, above))
    kind = -1 if axis == lanes.axis else 0 if axis == 0 else 1
    return LoopShape(kind, axis in summed, limit, limited, step)
