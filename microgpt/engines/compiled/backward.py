"""The backward pass: loop nests that compute gradients, by the derivative rules of value.py.

The cotangent of a result, the gradient of the loss with respect to it, is made from those of the results that read it.
The last nest is differentiated first. A nest adds to the cotangent of each array that it loads; when all that read an
array have done so, its cotangent is finalized, and the nest that makes the array is next.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
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
    loads_of,
    nodes_of,
    rebuilt,
    shared,
)
from microgpt.engines.compiled.fuse import Fusion
from microgpt.engines.compiled.groups import is_regular
from microgpt.engines.compiled.nest import Array, Nest, cells_of, delinearize, single
from microgpt.engines.compiled.record import FUNCTIONS


class Backward:
    """The nests of the backward pass, and the cotangents that they compute."""

    def __init__(self, fusion: Fusion):
        self.fusion, self.groups, self.known = fusion, fusion.groups, fusion.known
        self.nests: list[Nest] = []
        self.seed = self.groups.size  # the cell of the cotangent of the loss
        self.size = self.groups.size + 1
        self.cotangents: dict[int, Array] = {}  # by the arrays that they are of
        self.starts: dict[int, int] = {}  # where the cotangent of each array begins: two may share one
        self.received: dict[int, list[Nest]] = {}  # what each array gets from those that read it
        self.deferred: dict[Any, list[Nest]] = {}  # gradients of parameters, by their expressions
        self.needed = self.arrays_that_need_cotangents()
        space, start = self.groups.outputs[0] if self.groups.outputs else (CONSTANTS, 0)
        seed = Expression("load", (), Load(CELLS, self.seed, ()))
        self.accumulate(Nest((), (), Load(space, start, ()), seed, True, backward=True))
        for nest in reversed(fusion.nests):
            array = fusion.made[nest.instruction]
            if array in self.received and fusion.makers[array][-1] == nest.instruction:
                self.finalize(array)
                self.add_deferred(array)
            if array in self.starts:
                self.propagate(nest, array)
        self.nests += [nest for nests in self.deferred.values() for nest in nests]

    def arrays_that_need_cotangents(self) -> set[int]:
        """The materialized arrays that depend on a parameter."""
        needed: set[int] = set()
        self.needed = needed
        for nest in self.fusion.nests:
            if self.differentiable_loads(nest):
                needed.add(self.fusion.made[nest.instruction])
        return needed

    def differentiable_loads(self, nest: Nest) -> set[Load]:
        """The loads of a nest through which a gradient flows to a parameter."""
        loads = [] if nest.reduction == "largest" else differentiable(nest.expression)
        return {
            load
            for load in loads
            if load.space == PARAMETERS or not self.needed.isdisjoint(self.fusion.arrays_of(load))
        }

    def accumulate(self, nest: Nest) -> None:
        """Note what a load of the forward pass, the target, gets of a cotangent."""
        target = nest.target
        if target.space == PARAMETERS:
            own = replace(nest, target=replace(target, space=GRADIENTS))
            self.deferred.setdefault((id(nest.expression), nest.lengths), []).append(own)
        for array, part in self.parts(nest):
            if array in self.needed:
                self.received.setdefault(array, []).append(part)

    def parts(self, nest: Nest) -> Iterator[tuple[int, Nest]]:
        """A nest by the arrays that its target lies in: for each, only the members of axis 0 that lie there."""
        table, arrays = nest.target.table, self.fusion.arrays_of(nest.target)
        if table is None or not arrays or (len(arrays) == 1 and table.starts.min() >= self.groups.inputs):
            yield from [(array, nest) for array in arrays]
            return
        of = self.fusion.arrays_at(table.starts)
        order = np.argsort(of, kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(of[order])) + 1):
            if int(of[members[0]]) in self.needed:
                moved = partial(self.of_members, members)
                lengths = len(members), *nest.lengths[1:]
                yield int(of[members[0]]), nest.over(lengths, nest.bounds, moved, self.known)

    def of_members(self, members: np.ndarray, load: Load) -> Load:
        """A load for these members of axis 0 alone: strided, if they lie one step apart."""
        if load.table is None and not load.strides[0]:
            return load
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
                self.nests.append(nest)
        for key in [key for key, nests in self.deferred.items() if not is_expensive(nests[0].expression)]:
            self.nests += self.deferred.pop(key)

    def finalize(self, array: int) -> None:
        """Make the cotangent of an array from all that it received."""
        shape, maker = self.groups.arrays[array], self.fusion.makers[array][-1]
        whole: list[Expression] = []
        rest: list[Nest] = []
        for nest in self.received[array]:
            expression = self.over_array(nest, shape)
            if expression is None:
                rest.append(nest)
            else:
                whole.append(expression)
                maker = nest.instruction if len(whole) == 1 else maker
        if len(whole) == 1 and not rest and whole[0].operation == "load":
            load = whole[0].what
            plain = load.space == CELLS and not load.table and not load.chooser
            if plain and load.strides == shape.strides and load.start > self.seed:  # they share one cotangent
                self.starts[array] = load.start
                return
        cotangent = self.cotangents[array] = replace(shape, start=self.size)
        self.starts[array] = cotangent.start
        self.size += shape.size
        stores, additions = ([], rest) if whole else parted(rest, shape)
        if whole or not stores:
            total = sum(whole[1:], whole[0]) if whole else constant(0.0)
            bounds = shape.bounds if whole and shape.bounds else (None,) * len(shape.lengths)
            target, expression = Load(CELLS, cotangent.start, shape.strides), shared(total, self.known)
            self.nests.append(Nest(shape.lengths, bounds, target, expression, instruction=maker, backward=True))
        for i, nest in enumerate([*stores, *additions]):
            target = shifted(nest.target, cotangent.start - shape.start)
            self.nests.append(replace(nest, target=target, add=i >= len(stores)))

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
        if any(load.table is not None or (load.chooser and load.chooser.table) for load in loads_of(nest.expression)):
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

    def propagate(self, nest: Nest, array: int) -> None:
        """Pass the cotangent of a result on to all that its nest loads."""
        wanted = self.differentiable_loads(nest)
        if not wanted:
            return
        cotangent = shifted(nest.target, self.starts[array] - self.groups.arrays[array].start)
        found = differentiate(nest.expression, Expression("load", (), cotangent), wanted)
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
        stack.extend(node.arguments)
    return list(found)


def shifted(load: Load, by: int) -> Load:
    """A load that begins so many cells further on."""
    return replace(load, start=load.start + by, table=load.table and Table(load.table.starts + by))


def parted(nests: list[Nest], shape: Array) -> tuple[list[Nest], list[Nest]]:
    """Nests that together write every cell of an array once, and the rest, which add to that; else all in the rest."""
    covered = np.zeros(shape.size, bool)
    stores, additions = [], []
    for nest in nests:
        cells = cells_written(nest, shape)
        if cells is None or covered[cells].any() or len(np.unique(cells)) < len(cells):
            additions.append(nest)
        else:
            covered[cells] = True
            stores.append(nest)
    return (stores, additions) if covered.all() else ([], nests)


def cells_written(nest: Nest, shape: Array) -> np.ndarray | None:
    """The cells of an array that a nest writes; None if that depends on integers or bounds."""
    target, summed = nest.target, nest.axes_summed()
    if target.chooser is not None:
        return None
    if any(bound is not None and bound.of not in summed for bound in nest.bounds):
        return None
    return cells_of(target, nest.lengths).ravel() - shape.start
