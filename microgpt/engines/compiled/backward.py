"""The backward pass: loop nests that compute gradients, by the derivative rules of value.py.

The cotangent of a result, the gradient of the loss with respect to it, is made from those of the results that read it.
The last nest is differentiated first. A nest adds to the cotangent of each array that it loads; when all that read an
array have done so, its cotangent is finalized, and the nest that makes the array is next.

A loop that runs turn by turn becomes one that runs from the last turn to the first. What its nests add to cotangents
from outside of the loop, or to gradients of parameters, is left until after it: it is one nest over all turns.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import takewhile
from math import prod
from typing import Any

import numpy as np

from microgpt.engines.compiled.expressions import (
    CELLS,
    CONSTANTS,
    GRADIENTS,
    PARAMETERS,
    Expression,
    Load,
    Table,
    constant,
    differentiate,
    has_tables,
    loads_of,
    nodes_of,
    rebuilt,
    replace,
    shared,
)
from microgpt.engines.compiled.fuse import Fusion
from microgpt.engines.compiled.members import is_regular
from microgpt.engines.compiled.nest import Array, Nest, Turns, cells_of, delinearize, loops_of, single
from microgpt.engines.compiled.record import FUNCTIONS

MANY_ARRAYS, FEW_MEMBERS = 4, 16  # of a table over more arrays, with fewer members for each, no parts are made


class Backward:
    """The nests of the backward pass, and the cotangents that they compute."""

    def __init__(self, fusion: Fusion):
        self.fusion, self.groups, self.known = fusion, fusion.groups, fusion.known
        self.nests: list[Nest] = []
        self.seed = self.groups.size  # the cell of the cotangent of the loss
        self.gathered = Array(self.seed + 1, (0,), (1,))  # what arrays get that are gathered with many others
        self.moves = np.zeros(len(self.groups.arrays), np.int64)  # from such an array to its place there, if not 0
        self.size = self.gathered.start + self.groups.size
        self.cotangents: dict[int, Array] = {}  # by the arrays that they are of
        self.starts: dict[int, int] = {}  # where the cotangent of each array begins: two may share one
        self.received: dict[int, list[Nest]] = {}  # what each array gets from those that read it
        self.deferred: dict[Any, list[Nest]] = {}  # gradients of parameters, by their expressions
        self.cheap: list[Any] = []  # of these the ones that are not expensive
        self.reverse: dict[Turns, Turns] = {}  # of each loop the one that goes back
        self.around: list[Turns] = []  # the loops around the nest that is differentiated now
        self.lists = [self.nests]  # the nests outside of all loops, and within each of these
        self.written: dict[Any, Nest] = {}  # what is written in loops, by its expression and its lengths
        self.begun: set[int] = set()  # states whose cotangents were written before the loop
        self.needed: set[int] = self.arrays_that_need_cotangents()
        space, start = self.groups.outputs[0] if self.groups.outputs else (CONSTANTS, 0)
        self.reached = self.arrays_that_reach(Load(space, start, ()))
        self.states: dict[Turns, list[int]] = {}  # of each loop those through which gradients flow
        for array in self.groups.states:
            if array in self.needed and array in self.reached:
                self.states.setdefault(self.groups.arrays[array].within[-1][0], []).append(array)
        seed = Expression("load", (), Load(CELLS, self.seed, ()))
        self.accumulate(Nest((), (), Load(space, start, ()), seed, True, backward=True))
        for nest in reversed(fusion.nests):
            self.enter(loops_of(nest))
            array = fusion.made[nest.instruction]
            last = fusion.makers[array][-1] == nest.instruction
            if last and array in self.received and not self.groups.arrays[array].state():
                self.finalize(array)
                if not self.around:
                    self.add_deferred(array)
            if array in self.starts:
                self.propagate(nest, array)
        self.enter([])
        self.nests += [self.after_loops(nest) for nests in self.deferred.values() for nest in nests]
        if self.gathered.size:
            target = Load(CELLS, self.gathered.start, self.gathered.strides)
            self.nests.insert(0, Nest(self.gathered.lengths, (None,), target, constant(0.0), backward=True))

    def arrays_that_need_cotangents(self) -> set[int]:
        """The materialized arrays that depend on a parameter."""
        self.needed, before = set(), -1
        while len(self.needed) > before:  # a loop may need it because of what a later nest makes
            before = len(self.needed)
            for nest in self.fusion.nests:
                if self.differentiable_loads(nest):
                    self.needed.add(self.fusion.made[nest.instruction])
            if not self.groups.states:
                break
        return self.needed

    def arrays_that_reach(self, loss: Load) -> set[int]:
        """The materialized arrays on which the loss depends, if there are loops that carry a state."""
        found, before = set(self.fusion.arrays_of(loss)), -1
        while self.groups.states and len(found) > before:
            before = len(found)
            for nest in reversed(self.fusion.nests):
                if self.fusion.made[nest.instruction] in found:
                    found |= {
                        array for load in self.differentiable_loads(nest) for array in self.fusion.arrays_of(load)
                    }
        return found

    # Loops that run turn by turn

    def enter(self, loops: list[Turns]) -> None:
        """Go to a nest within these loops, the outermost first: out of others, then into these."""
        common = len(shared_loops(self.around, loops))
        while len(self.around) > common:
            turns = self.around[-1]
            for array in self.states.get(turns, ()):
                self.end_state(array)
            self.around.pop()
            inside = self.lists.pop()
            self.lists[-1] += inside
        for turns in loops[common:]:
            self.around.append(turns)
            self.lists.append([])
            self.reverse[turns] = replace(turns, reverse=True)
            for array in self.states.get(turns, ()):
                self.begin_state(array)

    def begin_state(self, array: int) -> None:
        """Write what the cotangent of a state gets from outside of its loop; zeros to its end if that is nothing."""
        state, depth = self.groups.arrays[array], len(self.around)
        self.new_cotangent(array)
        end = part_of_state(state, self.around[-1].length, 1)
        levels = list(self.by_level(array, 0, depth))
        only_end = all(lies_in(nest, end, state) for _, nests in levels for nest in nests)
        shape = end if only_end else state
        for i, (level, nests) in enumerate(levels):
            pairs = [(nest, self.over_array(nest, shape)) for nest in nests]
            self.add_up(array, shape, pairs, level, i > 0)
        if not levels:
            self.write(array, end, constant(0.0), self.fusion.makers[array][-1], depth - 1, False)
        elif not only_end:
            self.begun.add(array)

    def end_state(self, array: int) -> None:
        """Add what the cotangent of a state gets within its loop."""
        depth = len(self.around)
        shape = part_of_state(self.groups.arrays[array], 0, self.around[-1].length)
        nests = [nest for _, nests in self.by_level(array, depth, depth + 1) for nest in nests]
        pairs = [(nest, self.over_array(nest, shape)) for nest in nests]
        if pairs or array not in self.begun:
            self.add_up(array, shape, pairs, depth, array in self.begun)

    def by_level(self, array: int, first: int, end: int) -> Iterator[tuple[int, list[Nest]]]:
        """What an array received, by the number of loops that are around both it and what reads it."""
        own = loops_of(self.groups.arrays[array])
        levels: dict[int, list[Nest]] = {}
        for nest in self.received.get(array, []):
            levels.setdefault(len(shared_loops(own, loops_of(nest))), []).append(nest)
        return ((level, levels[level]) for level in range(first, end) if level in levels)

    def emit(self, nest: Nest, level: int) -> None:
        """Append a nest within the first so many loops."""
        within = tuple([(self.reverse[turns], axis) for turns, axis in nest.within[:level]])
        self.lists[level].append(replace(nest, within=within))

    def differentiable_loads(self, nest: Nest) -> set[Load]:
        """The loads of a nest through which a gradient flows to a parameter."""
        loads = [] if nest.reduction == "largest" else differentiable(nest.expression)
        return {load for load in loads if self.flows_through(load)}

    def flows_through(self, load: Load) -> bool:
        """Whether a gradient flows through a load to a parameter."""
        return load.space == PARAMETERS or not self.needed.isdisjoint(self.fusion.arrays_of(load))

    def noted(self, nest: Nest) -> Nest:
        """A nest of the forward pass, which knows if no power in it depends on a parameter."""
        powers = [node for node in nodes_of(nest.expression) if node.operation == "**"]
        if not any(0 < node.what < 1 for node in powers):
            return nest
        flows = any(self.flows_through(load) for node in powers for load in differentiable(node))
        return nest if flows else replace(nest, of_data=True)

    def accumulate(self, nest: Nest) -> None:
        """Note what a load of the forward pass, the target, gets of a cotangent."""
        target = nest.target
        if target.space == PARAMETERS:
            own = replace(nest, target=replace(target, space=GRADIENTS))
            key = id(nest.expression), nest.lengths
            if key not in self.deferred and not is_expensive(nest.expression):
                self.cheap.append(key)
            self.deferred.setdefault(key, []).append(own)
        for array, part in self.parts(nest):
            if array in self.needed:
                self.received.setdefault(array, []).append(part)

    def parts(self, nest: Nest) -> Iterator[tuple[int, Nest]]:
        """A nest by the arrays that its target lies in: for each, only the members of axis 0 that lie there.

        Few members in each of many arrays stay together.
        """
        table, arrays = nest.target.table, self.fusion.arrays_of(nest.target)
        if table is None or not arrays or (len(arrays) == 1 and table.starts.min() >= self.groups.inputs):
            yield from [(array, nest) for array in arrays]
            return
        of = self.fusion.arrays_at(table.starts)
        order = np.argsort(of, kind="stable")
        parts = [part for part in np.split(order, np.flatnonzero(np.diff(of[order])) + 1) if of[part[0]] in self.needed]
        if len(parts) > MANY_ARRAYS and len(of) < FEW_MEMBERS * len(parts) and not nest.within:
            members = np.sort(np.concatenate(parts))
            yield from self.gather(self.members_of(nest, members), of[members])
            return
        for members in parts:
            yield int(of[members[0]]), self.members_of(nest, members)

    def gather(self, nest: Nest, of: np.ndarray) -> Iterator[tuple[int, Nest]]:
        """Add what some arrays, one for each member, get of a nest to the cells where they gather all that.

        Returns for each array that is new there a nest that reads them.
        """
        for array in np.unique(of[self.moves[of] == 0]).tolist():
            shape, end = self.groups.arrays[array], self.gathered.start + self.gathered.size
            self.moves[array] = end - shape.start
            self.gathered = replace(self.gathered, lengths=(self.gathered.size + shape.size,))
            bounds = shape.bounds or (None,) * len(shape.lengths)
            gathered = Expression("load", (), Load(CELLS, end, shape.strides))
            own = Load(CELLS, shape.start, shape.strides)
            yield array, Nest(shape.lengths, bounds, own, gathered, True, "sum", self.fusion.makers[array][-1], True)
        target = nest.target
        own_cells = target.start + target.strides[0] * np.arange(len(of))
        cells = (own_cells if target.table is None else target.table.starts) + self.moves[of]
        target = replace(target, start=int(cells[0]), strides=(0, *target.strides[1:]), table=Table(cells))
        self.emit(replace(nest, target=target), 0)

    def members_of(self, nest: Nest, members: np.ndarray) -> Nest:
        """A nest for these members of axis 0 alone."""
        if len(members) == nest.lengths[0]:
            return nest
        lengths = len(members), *nest.lengths[1:]
        return nest.over(lengths, nest.bounds, partial(self.of_members, members), self.known)

    def of_members(self, members: np.ndarray, load: Load) -> Load:
        """A load for these members of axis 0 alone: strided, if they lie one step apart."""
        starts = load.start + load.strides[0] * members if load.table is None else load.table.starts[members]
        first, last = int(starts[0]), int(starts[-1])
        if is_regular(starts) and self.groups.in_one_array(load.space, first, last):
            step = int(starts[1]) - first if len(starts) > 1 else 0
            return replace(load, start=first, strides=(step, *load.strides[1:]), table=None)
        return replace(load, start=first, strides=(0, *load.strides[1:]), table=Table(starts))

    def add_deferred(self, array: int) -> None:
        """Emit the deferred gradients of parameters that equal the cotangent of an array: they load it.

        Then emit all cheap ones, while their operands are in cache.
        """
        last = self.nests[-1] if self.nests else None
        if last and last.target.start == self.starts[array] and not last.axes_summed() and not last.add:
            for nest in self.deferred.pop((id(last.expression), last.lengths), []):
                if last.expression.operation != "load":
                    nest = replace(nest, expression=Expression("load", (), last.target))
                self.nests.append(self.after_loops(nest))
        for key in self.cheap:
            self.nests += map(self.after_loops, self.deferred.pop(key, []))
        self.cheap.clear()

    def finalize(self, array: int) -> None:
        """Make the cotangent of an array from all that it received."""
        shape = self.groups.arrays[array]
        levels = [
            (level, [(nest, self.over_array(nest, shape)) for nest in map(self.known_in_loop, nests)])
            for level, nests in self.by_level(array, 0, len(self.around) + 1)
        ]
        expression = levels[0][1][0][1] if len(levels) == len(levels[0][1]) == 1 else None
        if expression is not None and expression.operation == "load":
            load = expression.what
            plain = load.space == CELLS and not load.table and not load.chooser
            if plain and load.strides == shape.strides and load.start > self.seed:  # they share one cotangent
                self.starts[array] = load.start
                return
        self.new_cotangent(array)
        for i, (level, pairs) in enumerate(levels):
            self.add_up(array, shape, pairs, level, i > 0)

    def new_cotangent(self, array: int) -> Array:
        """Room for the cotangent of an array."""
        cotangent = self.cotangents[array] = replace(self.groups.arrays[array], start=self.size)
        self.starts[array] = cotangent.start
        self.size += cotangent.size
        return cotangent

    def add_up(
        self, array: int, shape: Array, nests: list[tuple[Nest, Expression | None]], level: int, begun: bool
    ) -> None:
        """Write to the cotangent of an array what it gets within so many loops; add it if that was `begun`.

        `shape` is that of the array; of a state in its loop, without the last index. Each nest comes with its
        expression over the axes of the array, if it has one.
        """
        whole = [(nest, expression) for nest, expression in nests if expression is not None]
        rest = [nest for nest, expression in nests if expression is None]
        maker = whole[0][0].instruction if whole else self.fusion.makers[array][-1]
        stores, additions = ([], rest) if whole or begun else parted(rest, shape)
        if whole:
            total = sum([expression for _, expression in whole[1:]], whole[0][1])
            found = self.write(array, shape, shared(total, self.known), maker, level, begun, shape.bounds)
            if 0 < level == len(shape.within) and not (begun or rest or shape.bounds):  # nothing is added to it
                self.written[id(found.expression), shape.lengths] = found
        elif not (stores or begun):
            self.write(array, shape, constant(0.0), maker, level, False)
        for i, nest in enumerate([*stores, *additions]):
            target = shifted(nest.target, self.starts[array] - self.groups.arrays[array].start)
            self.emit(replace(nest, target=target, add=i >= len(stores)), level)

    def write(
        self, array: int, shape: Array, expression: Expression, maker: int, level: int, add: bool, bounds: Any = ()
    ) -> Nest:
        """Emit, and return, a nest that stores or adds an expression over the axes of an array to its cotangent."""
        bounds = bounds or (None,) * len(shape.lengths)
        target = Load(CELLS, self.starts[array] + shape.start - self.groups.arrays[array].start, shape.strides)
        nest = Nest(shape.lengths, bounds, target, expression, add, "sum", maker, True, shape.within)
        self.emit(nest, level)
        return nest

    def known_in_loop(self, nest: Nest) -> Nest:
        """A nest that loads its expression, if a loop around it has written that."""
        found = self.written.get((id(nest.expression), nest.lengths))
        if found is None or len(shared_loops(loops_of(found), loops_of(nest))) < len(found.within):
            return nest
        return replace(nest, expression=Expression("load", (), found.target))

    def after_loops(self, nest: Nest) -> Nest:
        """A nest after all loops, over all turns of its own."""
        return replace(self.known_in_loop(nest), within=())

    def over_array(self, nest: Nest, shape: Array) -> Expression | None:
        """The expression of a nest over the axes of its target's array; None if it does not write each cell once."""
        target = nest.target
        if target.chooser or nest.axes_summed() or prod(nest.lengths) != shape.size:
            return None
        grid = delinearize(target, nest.lengths, shape)
        parts = None if grid is None else single(grid[1])
        if grid is None or parts is None or any(grid[0]):
            return None
        axes = [part.of if part and part.step == 1 else None for part in parts]
        back = [axes.index(i) if i in axes else None for i in range(len(shape.lengths))]  # for each axis of the array
        for i, (axis, length) in enumerate(zip(back, shape.lengths, strict=True)):
            if length > 1 and (axis is None or axes.count(i) != 1 or nest.lengths[axis] != length):
                return None
        if has_tables(loads_of(nest.expression)):
            return None
        bounds = shape.bounds or (None,) * len(shape.lengths)
        own = [None if axis is None else nest.bounds[axis] for axis in back]
        if own != [bound and replace(bound, of=back[bound.of] or 0) for bound in bounds]:
            return None

        def turned(load: Load) -> Load:
            chooser = turned(load.chooser) if load.chooser is not None else None
            strides = tuple([0 if axis is None else load.strides[axis] for axis in back])
            return replace(load, strides=strides, chooser=chooser)

        return rebuilt(nest.expression, lambda load: Expression("load", (), turned(load)), self.known)

    def is_guarded(self, nest: Nest) -> bool:
        """Whether a nest computes what a choice may leave out, so that its derivatives may be no finite numbers."""
        left_out = self.groups.left_out
        if any(node.operation == "where" for node in nodes_of(nest.expression)):
            return True
        rows = self.groups.instructions[nest.instruction].rows if left_out else []
        return any(row < len(left_out) and left_out[row] for row in rows)

    def propagate(self, nest: Nest, array: int) -> None:
        """Pass the cotangent of a result on to all that its nest loads."""
        wanted = self.differentiable_loads(nest)
        if not wanted:
            return
        cotangent = shifted(nest.target, self.starts[array] - self.groups.arrays[array].start)
        found = differentiate(nest.expression, Expression("load", (), cotangent), wanted, self.is_guarded(nest))
        for load in loads_of(nest.expression):
            if load in found:
                own = replace(nest, target=load, expression=shared(found[load], self.known))
                self.accumulate(replace(own, add=True, reduction="sum", backward=True))


def is_expensive(expression: Expression) -> bool:
    return any(node.operation in ("**", *FUNCTIONS) for node in nodes_of(expression))


def differentiable(expression: Expression) -> list[Load]:
    """The loads through which a gradient flows: not those that are only compared."""
    seen: dict[int, Expression] = {}
    stack, found = [expression], dict[Load, None]()
    while stack:
        node = stack.pop()
        if id(node) in seen or node.operation in ("<", "<="):
            continue
        seen[id(node)] = node
        if node.operation == "load":
            found.setdefault(node.what)
        stack.extend(node.arguments[1:] if node.operation == "where" else node.arguments)
    return list(found)


def shifted(load: Load, by: int) -> Load:
    """A load that begins so many cells further on."""
    return replace(load, start=load.start + by, table=load.table and Table(load.table.starts + by))


def parted(nests: list[Nest], shape: Array) -> tuple[list[Nest], list[Nest]]:
    """Nests that together write every cell of an array once, and the rest, which add to that; else all in the rest."""
    whole = cells_of(Load(CELLS, 0, shape.strides), shape.lengths)
    covered = np.ones(int(whole.max(initial=0)) + 1, bool)
    covered[whole] = False
    stores, additions = [], []
    for nest in nests:
        cells = cells_written(nest, shape)
        if cells is not None and not covered[cells].any():
            before = np.count_nonzero(covered)
            covered[cells] = True
            if np.count_nonzero(covered) - before == len(cells):  # each cell once
                stores.append(nest)
                continue
            covered[cells] = False
        additions.append(nest)
    return (stores, additions) if covered.all() else ([], nests)


def shared_loops(a: Sequence[Turns], b: Sequence[Turns]) -> list[Turns]:
    """The outermost loops that are around both of two nests."""
    return [x for x, y in takewhile(lambda pair: pair[0] is pair[1], zip(a, b, strict=False))]


def lies_in(nest: Nest, end: Array, state: Array) -> bool:
    """Whether a nest writes only what a state is after the last turn."""
    axis = state.within[-1][1]
    grid = None if nest.target.chooser else delinearize(nest.target, nest.lengths, state)
    last = (end.start - state.start) // state.strides[axis]
    return grid is not None and grid[0][axis] == last and all(part.of != axis for parts in grid[1] for part in parts)


def part_of_state(state: Array, first: int, turns: int) -> Array:
    """A state at the beginning of some turns of its loop."""
    axis = state.within[-1][1]
    lengths = (*state.lengths[:axis], turns, *state.lengths[axis + 1 :])
    return replace(state, start=state.start + first * state.strides[axis], lengths=lengths)


def cells_written(nest: Nest, shape: Array) -> np.ndarray | None:
    """The cells of an array that a nest writes; None if that depends on integers or bounds."""
    target, summed = nest.target, nest.axes_summed()
    if target.chooser is not None:
        return None
    if any(bound is not None and bound.of not in summed for bound in nest.bounds):
        return None
    return cells_of(target, nest.lengths).ravel() - shape.start
