"""What lies in the lanes of the vectors that a kernel computes with.

The examples of a block lie side by side, and fill the lanes. With one example an axis of the nest does: one along which
most loads walk from a number to the next. Where one axis is too short, a vector has several groups of lanes, each at
another index of a second axis.

What lies in the lanes decides in which order sums are added. So it is chosen for one size of vector and with masks, on
every processor: LLVM cuts a vector into those of the processor.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import mul
from typing import Any

from microgpt.engines.compiled.expressions import CELLS, GRADIENTS, INTEGERS, Load, has_tables
from microgpt.engines.compiled.nest import BATCH, Nest

VECTOR_BYTES = 64  # of the vectors for which lanes are chosen, whatever the processor has
WEIGHTS = {"exp": 20, "log": 60, "**": 12}  # of an operation, where that of an addition is 1
NONE = -2  # no axis


@dataclass
class Lanes:
    """The lanes of the vectors of a kernel."""

    axis: int  # along which the lanes of a group lie, or BATCH
    length: int  # of the vector loop
    count: int  # of lanes in a group
    joined: int = NONE  # the axis that lies beside the examples, and is part of the vector loop
    groups: int = 1
    along: int = NONE  # the axis of the groups
    tail: bool = False  # whether the last vector has lanes beyond the end

    def stride(self, load: Load) -> int:
        """The distance from lane to lane of a group."""
        return int(load.space in (CELLS, INTEGERS)) if self.axis == BATCH else load.strides[self.axis]

    def by_lane(self, load: Load) -> bool:
        """Whether a load differs from lane to lane of a group."""
        return self.stride(load) != 0 or (load.chooser is not None and self.by_lane(load.chooser))

    def by_group(self, load: Load) -> bool:
        """Whether a load differs from group to group."""
        if self.groups == 1:
            return False
        return load.strides[self.along] != 0 or (load.chooser is not None and self.by_group(load.chooser))

    def scatters(self, target: Load) -> bool:
        """Whether the lanes of a group write to cells that do not lie side by side: then none may be beyond the end."""
        return self.stride(target) not in (0, 1) or (target.chooser is not None and self.by_lane(target.chooser))

    def is_whole(self, load: Load, scale: int) -> bool:
        """Whether the groups of a load lie one after the other; `scale` is how far it moves where its stride is 1."""
        stride = self.stride(load)
        chosen = load.chooser is not None and (self.by_lane(load.chooser) or self.by_group(load.chooser))
        if self.groups == 1 or chosen or stride not in (0, 1) or (stride and self.tail):
            return False
        return load.strides[self.along] * scale == (self.count if stride else 1)


def sums_examples(target: Load) -> bool:
    """Whether a nest sums its results over the examples. Where integers choose, each example adds its own."""
    return target.space == GRADIENTS and target.chooser is None


def bounded_axes(nest: Nest) -> set[int]:
    """The axes that are bounded, and those that bound them."""
    bounds = [(i, bound) for i, bound in enumerate(nest.bounds) if bound is not None]
    return {i for i, _ in bounds} | {bound.of for _, bound in bounds}


def joined_axis(nest: Nest, loads: Sequence[Load]) -> int:
    """The longest axis that lies beside the examples in all loads and in the target; NONE if none does."""
    bounded = bounded_axes(nest)

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
    return max(axes, key=lambda axis: nest.lengths[axis], default=NONE)


def loop_order(nest: Nest, loads: Sequence[Load], lanes: Lanes) -> tuple[list[int], set[int]]:
    """The axes in the order of their loops, and those that are summed over; BATCH for a vector loop of examples."""
    gone = {lanes.axis, lanes.joined}
    tables = has_tables(loads)
    axes = [i for i, n in enumerate(nest.lengths) if i not in gone and (n != 1 or (tables and i == 0))]
    summed = set(nest.axes_summed())
    if lanes.axis == BATCH and sums_examples(nest.target):
        summed |= {BATCH}
    outermost = 0 if nest.target.table is not None else NONE
    kept = sorted((i for i in axes if i not in summed), key=lambda i: (i != outermost, -abs(nest.target.strides[i])))
    inner = [i for i in axes if i in summed]
    return [*kept, *inner, lanes.axis] if lanes.axis in summed else [*kept, lanes.axis, *inner], summed


def chosen_lanes(
    nest: Nest, loads: Sequence[Load], operations: Sequence[Any], block_size: int, double: bool, fits: bool
) -> Lanes:
    """What the lanes of a kernel's vectors hold. `loads` begin with the target.

    `fits` tells whether what lies beyond the bounds of the nest may be read, and written as it was.
    """
    if block_size > 1:
        joined = joined_axis(nest, loads)
        length = block_size * (nest.lengths[joined] if joined >= 0 else 1)
        count = next(w for w in (32, 16, 8, 4, 2, 1) if length % w == 0 and w <= (16 if double else 32))
        return Lanes(BATCH, length, count, joined)
    register = VECTOR_BYTES // (8 if double else 4)
    found = [Lanes(BATCH, 1, 1), *possible_lanes(nest, loads, 2 * register, fits)]
    return min(found, key=lambda lanes: cost(nest, loads, operations, lanes, register))


def possible_lanes(nest: Nest, loads: Sequence[Load], most: int, fits: bool) -> Iterator[Lanes]:
    """All that the lanes may hold where there is one example: at most so many numbers, which fill two registers."""
    bounded, tables = bounded_axes(nest), has_tables(loads)
    axes = [i for i, n in enumerate(nest.lengths) if n > 1 and not (tables and i == 0)]
    for axis in axes if fits else ():
        length, own = nest.lengths[axis], nest.bounds[axis]
        count = min((most, most // 2, most // 4), key=lambda n: -(-length // n) * max(n, most // 2))
        short = most // 4  # all axes that are as short share their kernels
        count = min(count, max(1 << (length - 1).bit_length(), short))
        tail = length % count != 0 or (own is not None and nest.lengths[own.of] == 1)
        alone = Lanes(axis, length, count, tail=tail)
        if (tail or axis in bounded) and alone.scatters(loads[0]):
            continue
        yield alone
        for other in axes:
            groups = most // count
            while groups > 1 and nest.lengths[other] % groups:
                groups //= 2
            if groups > 1 and other != axis and other not in bounded:
                yield Lanes(axis, length, count, groups=groups, along=other, tail=tail)


def part_of_lanes(lanes: Lanes, nest: Nest) -> Lanes:
    """The same lanes for a part of the nest for which they were chosen, with fewer groups if they do not fill it.

    So it is with the lanes of a group, if they write to cells that do not lie side by side.
    """
    if lanes.axis == BATCH:
        return lanes
    groups, length, count = lanes.groups, nest.lengths[lanes.axis], lanes.count
    while lanes.scatters(nest.target) and length % count:
        count //= 2
    while groups > 1 and nest.lengths[lanes.along] % groups:
        groups //= 2
    return replace(
        lanes, length=length, count=count, tail=lanes.tail or length % count != 0,
        groups=groups, along=lanes.along if groups > 1 else NONE,
    )  # fmt: skip


def cost(nest: Nest, loads: Sequence[Load], operations: Sequence[Any], lanes: Lanes, register: int) -> float:
    """About how many instructions a kernel runs, where a register has so many numbers."""
    order, summed = loop_order(nest, loads, lanes)
    turns = []
    for axis in order:
        length = lanes.length if axis == lanes.axis else nest.lengths[axis]
        step = lanes.count if axis == lanes.axis else lanes.groups if axis == lanes.along else 1
        bounded = axis != BATCH and nest.bounds[axis] is not None
        turns.append(-(-length // step) / (2 if bounded and step == 1 else 1))
    times = [1.0, *accumulate(turns, mul)]  # that a loop at each depth begins
    registers = max(1.0, lanes.count * lanes.groups / register)

    def depth(load: Load) -> int:
        own = [loop + 1 for loop, axis in enumerate(order) if axis != BATCH and load.strides[axis]]
        own += [order.index(lanes.axis) + 1] if lanes.by_lane(load) else []
        return max([0, *own, *([depth(load.chooser)] if load.chooser else [])])

    def access(load: Load) -> float:
        if lanes.is_whole(load, 1):
            return registers
        by_lane = lanes.stride(load) not in (0, 1) or (load.chooser is not None and lanes.by_lane(load.chooser))
        one = 1.5 * lanes.count if by_lane else max(1.0, lanes.count / register)
        return lanes.groups * (one + 0.5) if lanes.by_group(load) else one

    work = sum(WEIGHTS.get(operation, 1) for operation, _, arguments in operations if arguments) * registers
    total = sum(times[depth(load)] * access(load) for load in loads[1:])
    kept = times[len([axis for axis in order if axis not in summed])]
    total += kept * access(loads[0]) * 2
    if lanes.axis in summed and lanes.axis != BATCH:
        total += kept * 3 * lanes.count.bit_length() * registers
    if lanes.along in summed:
        total += kept * 3 * lanes.groups.bit_length() * registers
    return total + times[-1] * (3 + max(work, 4 if order[-1] in summed else 0))
