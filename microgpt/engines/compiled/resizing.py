"""A program for examples of other lengths, where a record differs from an earlier one in nothing but sizes.

The *structure* of a record is all of it but the lengths of its axes. Of these it has only whether they are 0, 1 or
more. Records of one structure become the same instructions and the same loop nests, over other lengths. So the nests of
the first one are taken, and each place that they read or write is found anew: it keeps its index along each axis of its
array, and the array gets other lengths.

Where this is not certain, nothing is taken: where a loop carries a state, where tables say what is read or it is read
backwards, where what is stored fills an axis part by part, or where an axis was as long as something else by chance.
"""

import marshal
from bisect import bisect_right
from hashlib import sha256
from itertools import accumulate, pairwise
from math import prod
from typing import Any

import numpy as np

from microgpt.engines.compiled.expressions import CELLS, INTEGERS, Load, Promised, replace, structure_of
from microgpt.engines.compiled.fuse import SMALL
from microgpt.engines.compiled.groups import Groups
from microgpt.engines.compiled.members import constant_of, row_major
from microgpt.engines.compiled.nest import Array, Nest
from microgpt.engines.compiled.nests import Nests
from microgpt.engines.compiled.record import CARRY, INPUT, LIST, PARAMETER, Argument, Axis, Index, Record

MANY_ROWS = 20_000  # of a record: it consists of single scalars, and each length has others


class Places:
    """Where the numbers of an example begin and end, argument by argument."""

    def __init__(self, arguments: list[Argument]):
        sizes = {
            space: [prod(shape) for _, own, shape in arguments if own == kind]
            for space, kind in ((CELLS, "float"), (INTEGERS, "int"))
        }
        self.ends = {space: [0, *accumulate(own)] for space, own in sizes.items()}

    def argument(self, space: str, place: int) -> tuple[int, int]:
        """The number of the argument in which a place lies, among those of a kind, and which of its numbers it is."""
        number = bisect_right(self.ends[space], place) - 1
        return number, place - self.ends[space][number]


class Numbers(dict[Axis, int]):
    """A number for each axis, in the order in which they are first asked for."""

    def __missing__(self, axis: Axis) -> int:
        self[axis] = number = len(self)
        return number


def structure_of_record(record: Record, places: Places) -> tuple[bytes | None, list[int]]:
    """The structure of a record, None if no other lengths can be taken, and the lengths of its axes."""
    if len(record) > MANY_ROWS or record.returned or CARRY in record.kind:
        return None, []
    number = Numbers()

    def plain(index: Any) -> Any:
        return (index.constant, [(number[a], c) for a, c in index.terms]) if type(index) is Index else int(index)

    left = record.left[:]
    for row in np.flatnonzero(np.asarray(record.kind) == INPUT).tolist():
        left[row] = places.argument(CELLS, left[row])[0]
    given = {row: axes for row, axes in record.axes.items() if record.kind[row] in (PARAMETER, INPUT)}
    tables = (
        [column.tobytes() for column in (record.kind, left, record.right, np.array(record.constants, float))],
        [(row, [number[axis] for axis in axes]) for row, axes in record.axes.items() if row not in given],
        [(row, number[axis]) for row, axis in record.closed.items()],
        [list(map(plain, index)) for index in record.indices],
        [[(row, axis and number[axis], length) for row, axis, length in items] for items in record.lists],
        [(places.argument(INTEGERS, constant_of(one)), plain(one - constant_of(one))) for one in record.integers],
        [(row, list(map(plain, index))) for row, index in record.outputs],
        (record.choices, record.branches),
        [(row, row_major([axis.n for axis in axes]), [number.get(a, -1) for a in axes]) for row, axes in given.items()],
    )
    about, axes = list[Any](), list(number)
    for axis in axes:
        if axis.bound is not None:
            other, constant, step = axis.bound
            if other not in number:
                axes.append(other)
            last = constant + step * (other.n - 1)
            about.append((number[other], constant, step, last <= axis.n))
        about.append((axis.ragged and axis.n, axis.statement))
    lengths = [axis.n for axis in axes]
    return sha256(marshal.dumps((tables, about, [min(n, 2) for n in lengths]), 2)).digest(), lengths


class UnlikeError(Exception):
    """It is not certain that a program for other lengths is the same."""


class Layout:
    """How arrays of some lengths lie in the cells, and how they do with other lengths."""

    def __init__(self, array: Array, lengths: dict[int, int]):
        self.lengths = lengths
        self.axes: list[tuple[int, int, int]] = []  # the outermost first: the stride, the length, and the new stride
        strides, changed = [0] * len(array.lengths), list[int]()
        before = after = 1
        for axis in sorted([i for i, n in enumerate(array.lengths) if n > 1], key=array.strides.__getitem__):
            n = array.lengths[axis]
            if array.strides[axis] != before:
                raise UnlikeError
            strides[axis] = after
            if self.axes and n not in lengths and changed[-1:] != [len(self.axes) - 1]:
                inner = self.axes[-1]
                self.axes[-1] = inner[0], inner[1] * n, inner[2]  # they stay one after the other, as one axis
            else:
                changed += [len(self.axes)] if n in lengths else []
                self.axes.append((before, n, after))
            before, after = before * n, after * lengths.get(n, n)
        self.changed = [self.axes[i] for i in changed]
        self.axes.reverse()
        self.new = replace(array, lengths=ResizedLengths(lengths)[array.lengths], strides=tuple(strides))
        self.known: dict[Any, tuple[int, tuple[int, ...]]] = {}  # what `moved` has found

    def moved(self, start: int, steps: tuple[int, ...], lengths: tuple[int, ...], stored: bool) -> tuple[int, Any]:
        """A start and steps, of so many each, within the array, as they are in the new one: at the same indices.

        What is `stored` goes along the whole of each axis that has another length, and of no other axis along another
        part than before: so nothing is left out.
        """
        key = start, steps, lengths, stored
        if key not in self.known:
            if min(steps) < 0:
                raise UnlikeError
            first, *moves = (self.digits(step) for step in (start, *steps))
            whole = {(stride, n) for stride, n, _ in self.changed}
            walks = {(step, n) for step, n in zip(steps, lengths, strict=True) if step}
            if stored and (not whole <= walks or any(n in self.lengths for _, n in walks - whole)):
                raise UnlikeError
            for i, (_, length, _) in enumerate(self.axes):
                if first[i] + sum([(n - 1) * move[i] for n, move in zip(lengths, moves, strict=True)]) >= length:
                    raise UnlikeError
            self.known[key] = self.cells(first), tuple(map(self.cells, moves))
        return self.known[key]

    def digits(self, cells: int) -> list[int]:
        """A distance in cells along each of the axes."""
        found = []
        for stride, _, _ in self.axes:
            digit, cells = divmod(cells, stride)
            found.append(digit)
        if cells:
            raise UnlikeError
        return found

    def cells(self, digits: list[int]) -> int:
        """A distance along each of the axes in cells of the new array."""
        return sum([digit * new for digit, (_, _, new) in zip(digits, self.axes, strict=True)])


class ResizedLengths(dict[tuple[int, ...], tuple[int, ...]]):
    """The new lengths in place of some old ones."""

    def __init__(self, lengths: dict[int, int]):
        super().__init__()
        self.lengths = lengths

    def __missing__(self, old: tuple[int, ...]) -> tuple[int, ...]:
        self[old] = new = tuple([self.lengths.get(n, n) for n in old])
        return new


def resized(
    groups: Groups, nests: Nests, old: tuple[list[int], Places], new: tuple[list[int], Places]
) -> tuple[Groups, Nests] | None:
    """What a record of the same structure becomes, with the new lengths in place of the old ones; None if unsure."""
    lengths: dict[int, int] = {}
    if any(lengths.setdefault(before, after) != after for before, after in zip(old[0], new[0], strict=True)):
        return None  # axes that were as long as each other only by chance
    try:
        changed = {before: after for before, after in lengths.items() if before != after}
        return Resizing(groups, nests, changed, old[1], new[1]).found
    except UnlikeError:
        return None


class Resizing:
    """The groups and nests of a program with other lengths. Raises UnlikeError where this is not certain."""

    def __init__(self, groups: Groups, nests: Nests, lengths: dict[int, int], old: Places, new: Places):
        self.lengths, self.old, self.new, inputs = lengths, old, new, new.ends[CELLS][-1]
        self.resized = ResizedLengths(lengths)
        if nests.gathered.size or self.is_ambiguous(groups):
            raise UnlikeError
        size = inputs + sum([prod(self.resized[array.lengths]) for array in groups.arrays])
        if (size > SMALL) != (groups.size > SMALL):
            raise UnlikeError
        given = [Array(start, (end - start,), (1,)) for start, end in pairwise(old.ends[CELLS])]
        made = [array for array in nests.arrays if array.start >= groups.inputs]
        self.starts = [array.start for array in (*given, *made)]
        self.layouts = [Layout(array, {}) for array in given]
        self.arrays = [replace(array, start=start) for array, start in zip(given, new.ends[CELLS], strict=False)]
        end, alike = inputs, dict[Any, Layout]()
        for array in made:
            key = array.lengths, array.strides, array.bounds
            if key not in alike:
                alike[key] = Layout(array, lengths)
            self.layouts.append(alike[key])
            self.arrays.append(replace(alike[key].new, start=end))
            end += self.arrays[-1].size
        arrays = [*([Array(0, (inputs,), (1,))] if inputs else []), *self.arrays[len(given) :]]
        self.known: dict[tuple[int, ...], Any] = {}  # for the lengths of nests the new ones, and their loads so far
        found = replace(
            nests, forward=[self.nest(nest) for nest in nests.forward], known={},
            backward=[self.nest(nest) for nest in nests.backward],
            arrays=arrays, starts=[array.start for array in arrays],
            seed=self.load(Load(CELLS, nests.seed, ()), ()).start,
        )  # fmt: skip
        outputs = [(space, self.load(Load(space, start, ()), ()).start) for space, start in groups.outputs]
        self.found = replace(groups, inputs=inputs, outputs=outputs), found

    def is_ambiguous(self, groups: Groups) -> bool:
        """Whether so many members as an axis was long are an axis, or instructions that were unlike become alike."""
        axes, closed, kind = groups.nodes.axes, groups.nodes.closed, groups.nodes.kind
        known: dict[Any, tuple[int, ...]] = {}
        for one in groups.instructions:
            row = int(one.rows[0])
            kept = len(axes.get(row, ()))
            own = kept + (row in closed)
            if one.operation == "copy":
                own = kept - 1 if kind[row] == LIST else 0
            outer, array = len(one.lengths) - own, one.array.lengths
            if not self.lengths.keys().isdisjoint((*one.lengths[:outer], *array[: len(array) - kept])):
                return True
            before, bounds = one.lengths[outer:], [bound and (bound.constant, bound.step) for bound in one.bounds]
            after = self.resized[before]
            key = one.operation, one.terms, one.exponent, after, *bounds[outer:]
            if known.setdefault(key, before) != before:
                return True
        return False

    def nest(self, nest: Nest) -> Nest:
        """A nest over the new lengths."""
        program, loads = structure_of(nest.expression)
        lengths, known = self.known.setdefault(nest.lengths, (self.resized[nest.lengths], {}))
        for load in loads:
            if id(load) not in known:
                known[id(load)] = self.load(load, nest.lengths)
        expression = Promised((program, tuple([known[id(load)] for load in loads])))
        return replace(
            nest, lengths=lengths, target=self.load(nest.target, nest.lengths, not nest.add), expression=expression
        )

    def load(self, load: Load, lengths: tuple[int, ...], stored: bool = False) -> Load:
        """Where a load of a nest of these lengths lies now."""
        if load.table is not None:
            raise UnlikeError
        choices = self.lengths.get(load.choices, load.choices)
        if load.space == INTEGERS:
            return replace(load, start=self.integer(load, lengths))
        if load.space != CELLS:
            chooser = None if load.chooser is None else self.load(load.chooser, lengths)
            return load if chooser is load.chooser else replace(load, chooser=chooser, choices=choices)
        place = bisect_right(self.starts, load.start) - 1
        steps, counts = (*load.strides, load.step), (*lengths, load.choices)
        start, moves = self.layouts[place].moved(load.start - self.starts[place], steps, counts, stored)
        start += self.arrays[place].start
        chooser = None if load.chooser is None else self.load(load.chooser, lengths)
        return replace(load, start=start, strides=moves[:-1], chooser=chooser, step=moves[-1], choices=choices)

    def integer(self, load: Load, lengths: tuple[int, ...]) -> int:
        """Where a load of integers begins now: it stays within an argument."""
        number, place = self.old.argument(INTEGERS, load.start)
        last = load.start + sum([stride * (n - 1) for stride, n in zip(load.strides, lengths, strict=True)])
        if min(load.strides, default=0) < 0 or last >= self.old.ends[INTEGERS][number + 1]:
            raise UnlikeError
        return self.new.ends[INTEGERS][number] + place
