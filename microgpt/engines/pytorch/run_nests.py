"""PyTorch as an interpreter of loop nests: a graph of operations on tensors, read off the nests.

    load      a strided view of a tensor; an index or a gather where a table or an integer says which
    product   a matrix product
    bound     torch.where
    target    a new tensor where one nest, or several side by side, write all of an array; else a write in place, or a
              scatter

A tensor holds an array, [batch, *its axes], contiguous. The parameters are one tensor without a batch. An axis with a
bound has its full length; beyond the bound an array is zero.

A loop that runs turn by turn is a node that calls the graph of a turn (see loop.py).

The graph is a `torch.fx.Graph`: it computes equal values once, and frees a tensor after the last operation on it.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf, prod
from operator import add, getitem, le, lt, mul
from typing import Any

import numpy as np
import torch
from torch import fx

from microgpt.engines.compiled.expressions import (
    CELLS,
    CONSTANTS,
    GRADIENTS,
    INTEGERS,
    PARAMETERS,
    Expression,
    Load,
    Table,
    constant,
    loads_of,
    nodes_of,
    rebuilt,
)
from microgpt.engines.compiled.nest import (
    BATCH,
    Array,
    Nest,
    Turns,
    at_turn,
    cells_of,
    cut,
    delinearize,
    in_loops,
    moving,
    single,
    squeezed,
)
from microgpt.engines.pytorch.graph import (
    Graph,
    Tensor,
    added_at,
    copied,
    exp,
    log,
    not_finite_as_nan,
    power,
    scaled_sum,
    where,
    written_at,
)
from microgpt.engines.pytorch.loop import Loop, taken

OWN = 1 << 40  # where the parts of loads begin that are arrays in a turn
LARGE = 1e38  # what is larger than a float32 can hold


@dataclass(eq=False)
class Stored:
    """An array and the tensor that holds it."""

    array: Array
    batched: bool = True
    node: Any = None  # None while it is all zeros
    sizes: tuple[Any, ...] = ()  # of the tensor
    own: bool = False  # whether it may be changed in place
    clean: bool = True  # whether the tensor is zero beyond the bounds already

    def strides(self) -> list[int]:
        """The stride of each axis in the tensor."""
        return [prod(self.array.lengths[i + 1 :]) for i in range(len(self.array.lengths))]

    def places(self, cells: np.ndarray) -> np.ndarray:
        """Where cells of the array lie in its tensor, flat; those outside of it, beyond a bound, lie anywhere."""
        table, offsets = np.empty(self.array.size, np.int64), np.zeros(self.array.lengths, np.int64)
        for index, stride in zip(np.indices(self.array.lengths, sparse=True), self.array.strides, strict=True):
            offsets += index * stride
        table[offsets.ravel()] = np.arange(self.array.size)
        return table[np.clip(cells - self.array.start, 0, self.array.size - 1)]


def read_nests(program: Any, shapes: list[tuple[int, ...]], with_gradient: bool, dtype: Any) -> fx.GraphModule:
    """A program as a module that is called with (parameters, floats, integers, share).

    All parameters come flat; the floats and the integers of the examples in rows; and for each example its share in
    the mean. It returns the results [outputs, batch] and, with the gradient, that of the mean of the first one, flat
    as the parameters. `shapes` are those of the parameters, in order.
    """
    reader = Reader(program, shapes, with_gradient, dtype)
    return reader.finished(reader.results(), reader.gradient() if with_gradient else None)


class Reader(Graph):
    """Reads nest after nest into a graph."""

    depth = 0  # how many loops are around it

    def __init__(self, program: Any, shapes: list[tuple[int, ...]], with_gradient: bool, dtype: Any):
        super().__init__(dtype)
        self.groups, self.nests, self.with_gradient = program.groups, program.nests, with_gradient
        given: dict[int, Any] = {self.nests.seed: (self.share, (self.batch,))}
        given |= {0: (self.floats, (self.batch, self.groups.inputs))} if self.groups.inputs else {}
        cells = [Stored(array, True, *given.get(array.start, (None, ()))) for array in self.nests.arrays]
        sizes = [prod(shape) for shape in shapes]
        count = len(program.integers)
        self.stored = {
            CELLS: cells,
            PARAMETERS: [Stored(Array(0, (sum(sizes),), (1,)), False, self.p, (sum(sizes),))],
            GRADIENTS: [
                Stored(row_major_array(sum(sizes[:i]), shape), False) for i, shape in enumerate(shapes) if sizes[i]
            ],
            INTEGERS: [Stored(Array(0, (count,), (1,)), True, self.integers, (self.batch, count))],
        }
        self.starts = {space: [s.array.start for s in stored] for space, stored in self.stored.items()}
        self.scattered = Stored(Array(0, (sum(sizes),), (1,)), False)  # gradients that lie in no grid
        self.read_all([*self.nests.forward, *(self.nests.backward if with_gradient else [])])

    def read_all(self, nests: Sequence[Nest]) -> None:
        for turns, some in in_loops(nests):
            if turns is not None:
                LoopReader(self, turns, some).read_loop()
                continue
            for nest in some:
                self.read(self.refined(squeezed(nest, self.nests.known)))

    # Loads

    def stored_at(self, load: Load) -> Stored:
        return self.stored[load.space][bisect_right(self.starts[load.space], load.start) - 1]

    def tensor(self, stored: Stored) -> fx.Node:
        if stored.node is None:
            sizes = ((self.batch,) if stored.batched else ()) + stored.array.lengths
            stored.node, stored.sizes, stored.own = self.zeros(*sizes), sizes, True
        return stored.node

    def grid(self, load: Load, lengths: tuple[int, ...]) -> tuple[int, list[int]] | None:
        """Where a load begins in the tensor of its array, and its strides there; None if it lies in no grid."""
        if load.chooser or load.space == CONSTANTS:
            return None
        stored = self.stored_at(load)
        found = delinearize(load, lengths, stored.array)
        parts = None if found is None else single(found[1])
        if found is None or parts is None:
            return None
        strides = stored.strides()
        steps = [part.step * strides[part.of] if part else 0 for part in parts]
        return sum(i * stride for i, stride in zip(found[0], strides, strict=True)), steps

    def refined(self, nest: Nest) -> Nest:
        """A nest with its axes cut, so that each walks along one axis of an array where it can."""
        loads = [nest.target, *loads_of(nest.expression)]
        fixed = {i for axis, bound in bounds_of(nest).items() for i in (axis, bound.of)}
        fixed |= {0} if any(load.table for load in loads) else set()
        for load in loads:
            plain = load.chooser is None and load.space != CONSTANTS
            found = delinearize(load, nest.lengths, self.stored_at(load).array) if plain else None
            for axis, parts in enumerate(found[1] if found else []):
                if len(parts) > 1 and axis not in fixed:
                    return self.refined(cut(nest, axis, parts[0].length, self.nests.known))
        return nest

    def strided(self, load: Load, lengths: tuple[int, ...], groups: list[list[int]]) -> Tensor | None:
        """A view of an array with a dimension for each group of axes of a nest; None if it lies in no grid."""
        grid = self.grid(load, lengths)
        if grid is None:
            return None
        stored = self.stored_at(load)
        steps = {BATCH: stored.array.size * stored.batched, **dict(enumerate(grid[1]))}
        dimensions: list[tuple[list[int], int]] = []  # axes that are one, and the stride
        for group in groups:
            pieces: list[tuple[list[int], int]] = []
            for i in group:
                if pieces and pieces[-1][1] == lengths[i] * steps[i]:
                    pieces[-1] = ([*pieces[-1][0], i], steps[i])
                elif steps[i]:
                    pieces.append(([i], steps[i]))
            dimensions += pieces or [([], 0)]
        if len(dimensions) > len(groups) and groups != sorted(groups):  # one copy for all orders of groups
            found = self.strided(load, lengths, sorted(groups))
            assert found is not None
            place = [sorted(groups).index(group) for group in groups]
            return Tensor(self.permute(found.node, place), found.axes, False)
        node = self.tensor(stored)
        order = sorted(range(len(dimensions)), key=lambda j: -dimensions[j][1])
        strides = [stride for _, stride in dimensions if stride]
        ordered = strides == sorted(set(strides), reverse=True)  # of equal ones PyTorch puts the longer axis first
        part = extent(grid[1], lengths) != stored.array.size
        if part:
            sizes = tuple([self.size(axes, lengths) for axes, _ in dimensions])
            node = self.method("as_strided", node, sizes, tuple([stride for _, stride in dimensions]), grid[0])
        else:
            order = list(range(len(dimensions))) if ordered else order
            sizes = tuple([self.size(dimensions[j][0], lengths) for j in order])
            node = node if sizes == stored.sizes else self.method("reshape", node, sizes)
            node = self.permute(node, [order.index(j) for j in range(len(order))])
        if len(dimensions) > len(groups):
            sizes = tuple([self.size([i for i in group if steps[i]], lengths) for group in groups])
            return Tensor(self.method("reshape", node, sizes))
        return Tensor(node, moving(load, lengths), ordered, part)

    def load(self, load: Load, lengths: tuple[int, ...]) -> Tensor:
        axes = moving(load, lengths)
        if load.space == CONSTANTS:
            known = np.array(self.groups.constants)
            cells = np.clip(cells_of(load, lengths), 0, len(known) - 1)  # beyond a bound there may be none
            if load.chooser is None:
                return Tensor(self.constant(known[cells][None]), axes)
            where = self.chosen(cells, load, lengths)
            return Tensor(self.call(getitem, self.constant(known), where.node), axes)
        groups = [[i] if i in axes else [] for i in range(BATCH, len(lengths))]
        found = self.strided(load, lengths, groups) if load.chooser is None else self.rows(load, lengths)
        if found is not None:
            return found
        flat, places = self.pool(load.space, cells_of(load, lengths))
        where = self.chosen(places, load, lengths)
        if load.space == PARAMETERS:
            return Tensor(self.call(getitem, flat, where.node), axes)
        if BATCH in where.axes:
            node = self.method("gather", flat, 1, self.method("reshape", where.node, (self.batch, -1)))
        else:
            node = self.method("index_select", flat, 1, self.method("reshape", where.node, (-1,)))
        return Tensor(self.method("reshape", node, self.sizes(axes, lengths)), axes)

    def rows(self, load: Load, lengths: tuple[int, ...]) -> Tensor | None:
        """Rows of parameters that integers choose; None if they are none."""
        assert load.chooser is not None
        every = replace(load, chooser=None, strides=(*load.strides, load.step))  # with an axis of all choices
        index, own = self.load(load.chooser, lengths), sorted(moving(replace(load, chooser=None), lengths))
        rows = self.strided(every, (*lengths, load.choices), [[len(lengths)], *[[i] for i in own]])
        if load.space != PARAMETERS or not load.step or index.axes & set(own) or rows is None:
            return None
        node = self.method("index_select", rows.node, 0, self.method("reshape", index.node, (-1,)))
        return self.unfolded(node, [*sorted(index.axes), *own], lengths)

    def pool(self, space: str, cells: np.ndarray) -> tuple[Any, np.ndarray]:
        """All arrays in which some cells lie, flat and side by side; and the places of the cells in it."""
        which = np.searchsorted(self.starts[space], cells, side="right") - 1
        places, nodes, before = np.zeros(cells.shape, np.int64), [], 0
        for i in np.unique(which).tolist():
            stored = self.stored[space][i]
            places[which == i] = before + stored.places(cells[which == i])
            before += stored.array.size
            sizes = (self.batch, -1) if stored.batched else (-1,)
            node = self.tensor(stored)
            nodes.append(node if len(stored.sizes) == len(sizes) else self.method("reshape", node, sizes))
        return nodes[0] if len(nodes) == 1 else self.call(torch.cat, tuple(nodes), -1), places

    def chosen(self, places: np.ndarray, load: Load, lengths: tuple[int, ...]) -> Tensor:
        """Places, or with a chooser of those along the last axis the one that an integer chooses."""
        own = moving(replace(load, chooser=None), lengths) - {BATCH}
        if load.chooser is None:
            return Tensor(self.constant(places[None]), own)
        index = self.load(load.chooser, lengths)
        axes, steps = own | index.axes, np.unique(np.diff(places, axis=-1))
        if len(steps) < 2:
            step = self.call(mul, index.node, int(steps.sum()))
            return Tensor(self.call(add, step, self.constant(places[None, ..., 0])), axes)
        sizes = self.sizes(axes, lengths)
        every = self.method("expand", self.constant(places[None]), (*sizes, places.shape[-1]))
        which = self.method("expand", self.method("unsqueeze", index.node, -1), (*sizes, 1))
        return Tensor(self.method("squeeze", self.method("gather", every, -1, which), -1), axes)

    # Expressions

    def compute(self, nest: Nest) -> Tensor:
        """The expression of a nest."""
        done: dict[int, Any] = {}  # a tensor or a number
        for node in nodes_of(nest.expression):
            if node.operation == "load":
                done[id(node)] = self.load(node.what, nest.lengths)
            elif node.operation == "constant":  # in the precision of the tensors it may be an infinity
                done[id(node)] = node.what if abs(node.what) < LARGE else Tensor(self.constant(node.what))
            else:
                arguments = [done[id(argument)] for argument in node.arguments]
                if all(isinstance(argument, float) for argument in arguments):
                    arguments[0] = Tensor(self.constant(arguments[0]))
                tensors = [argument for argument in arguments if isinstance(argument, Tensor)]
                axes = frozenset[int]().union(*(tensor.axes for tensor in tensors))
                x = [argument.node if isinstance(argument, Tensor) else argument for argument in arguments]
                result = self.operation(node, x, not nest.backward, nest.of_data)
                done[id(node)] = Tensor(result, axes, all(tensor.ordered for tensor in tensors))
        result = done[id(nest.expression)]
        return Tensor(self.constant(result)) if isinstance(result, float) else result

    def operation(self, node: Expression, x: list[Any], checked: bool, of_data: bool) -> fx.Node:
        """An operation on nodes of the graph and numbers."""
        if node.operation == "+":
            for a, b in ((x[0], x[1]), (x[1], x[0])):
                if a is not b and all(isinstance(one, fx.Node) for one in x) and b.target is mul:  # in one pass
                    return self.call(torch.addcmul if isinstance(b.args[1], fx.Node) else scaled_sum, a, *b.args)
            return self.call(add, *x)
        if node.operation == "*":
            return self.call(mul, *(x if isinstance(x[0], fx.Node) else x[::-1]))
        if node.operation in ("<", "<="):
            return self.method("to", self.call(lt if node.operation == "<" else le, *x), self.dtype)
        if node.operation == "where":
            return self.call(where, *x)
        if node.operation != "**":
            return self.call({"exp": exp, "log": log}.get(node.operation) or getattr(torch, node.operation), *x)
        k, y = node.what, self.call(power, x[0], node.what)
        if not checked or k == 0 or (k < 0 and at_least_one(node.arguments[0])):
            return y
        no_slope = (k > 0 and k == int(k)) or of_data or not self.with_gradient
        return self.call(not_finite_as_nan, y, y if no_slope else self.call(power, x[0], k - 1))

    # Bounds

    def masked(self, value: Tensor, nest: Nest, over: list[int], otherwise: float = 0.0) -> Tensor:
        """A value, and something else beyond the bounds of some axes of a nest."""
        for axis in over:
            node = self.call(torch.where, self.below(nest, axis), value.node, otherwise)
            value = Tensor(node, value.axes | {axis, bounds_of(nest)[axis].of}, value.ordered)
        return value

    def below(self, nest: Nest, axis: int) -> fx.Node:
        """Whether the index of an axis is below its bound."""
        bound = bounds_of(nest)[axis]
        index, limit = (self.index(i, nest.lengths) for i in (axis, bound.of))
        limit = self.call(add, self.call(mul, limit, bound.step), bound.constant)
        return self.call(lt, index, limit)

    def is_zero_beyond(self, load: Load, nest: Nest) -> bool:
        """Whether a load is zero beyond the bounds of a nest; if its array has to be, its tensor now is."""
        if not self.nests.is_zero_beyond(load, nest):
            return False
        stored = self.stored_at(load)
        if not stored.clean:
            sizes = (self.batch, *stored.array.lengths)
            node = stored.node if stored.sizes == sizes else self.method("reshape", stored.node, sizes)
            whole = Nest(stored.array.lengths, stored.array.bounds, load, Expression("load", (), load))
            stored.node = self.masked(Tensor(node), whole, list(bounds_of(whole))).node
            stored.sizes, stored.own, stored.clean = sizes, True, True
        return True

    # Nests

    def read(self, nest: Nest) -> None:
        target, expression = nest.target, nest.expression
        if expression.key == ("constant", 0.0) and not nest.add and self.stored_at(target).node is None:
            return  # an array begins as zeros
        summed = frozenset(nest.axes_summed())
        if target.space == GRADIENTS and target.chooser is None:
            summed |= {BATCH}
        bounds = bounds_of(nest)
        inside = [i for i, bound in bounds.items() if i in summed or bound.of in summed]
        largest = nest.reduction == "largest" and bool(summed)  # zeros may be greater
        if inside and not largest and expression.operation == "load" and self.is_zero_beyond(expression.what, nest):
            inside, bounds = [], {}
        value = self.product(nest, inside)
        if value is None:
            value = self.masked(self.compute(nest), nest, inside, -inf if largest else 0.0)
            value = self.reduced("amax" if largest else "sum", value, summed, nest.lengths)
        if self.nests.is_zero_beyond(target, nest):
            self.stored_at(target).clean = False
        else:
            value = self.masked(value, nest, [i for i in bounds if i not in inside])
        grid = self.grid(target, nest.lengths)
        if grid is None or not extent(grid[1], nest.lengths):
            self.scatter(nest, value)
        else:
            self.store(nest, value, grid[1])

    def product(self, nest: Nest, inside: list[int]) -> Tensor | None:
        """The result of a nest that is a matrix product; None if it is none."""
        product = nest.product()
        if product is None:
            return None
        lengths, grid = nest.lengths, self.grid(nest.target, nest.lengths)
        place = sorted(range(BATCH, len(lengths)), key=lambda i: -inf if i == BATCH else -grid[1][i] if grid else i)
        outer, rows, columns = (
            sorted(axes, key=place.index) for axes in (product.outer, product.rows, product.columns)
        )
        terms, sides = sorted(product.terms), [(product.a, rows), (product.b, columns)]
        sides.sort(key=lambda side: place.index(side[1][0]))  # as they lie in the target
        to_mask = None
        if inside and not any(self.is_zero_beyond(load, nest) for load, _ in sides):
            bounded = {i for axis in inside for i in (axis, bounds_of(nest)[axis].of)}
            to_mask = next((load for load, _ in sides if bounded <= moving(load, lengths)), None)
            if to_mask is None:
                return None
        matrices = []
        for i, (load, axes) in enumerate(sides):
            groups = [*([outer] if outer else []), *([axes, terms] if i == 0 else [terms, axes])]
            value = None if load is to_mask else self.strided(load, lengths, groups)
            if value is None:
                value = self.masked(self.load(load, lengths), nest, inside if load is to_mask else [])
                value = self.folded(value, groups, lengths)
            matrices.append(value.node)
        node = self.call(torch.bmm if outer else torch.mm, *matrices)
        if product.factor != 1:
            node = self.call(mul, node, product.factor)
        return self.unfolded(node, [*outer, *sides[0][1], *sides[1][1]], lengths)

    # Targets

    def store(self, nest: Nest, value: Tensor, strides: list[int]) -> None:
        """Write where there is a grid: a whole array anew, a part of one in place."""
        stored, lengths = self.stored_at(nest.target), nest.lengths
        wanted = moving(nest.target, lengths)
        if extent(strides, lengths) != stored.array.size:
            self.make_own(stored)
            place = self.strided(nest.target, lengths, [[i] for i in range(BATCH, len(lengths))])
            change = added_at if nest.add else written_at
            stored.node = self.graph.call_function(change, (stored.node, place.node, value.node))  # type: ignore[union-attr]
            self.join(stored)
            return
        value = self.expanded(value, wanted, lengths)
        node, sizes, ordered = value.node, self.sizes(wanted, lengths), value.ordered
        order = sorted(range(len(lengths)), key=lambda i: -strides[i])
        if [i for i in order if strides[i]] != [i for i in range(len(lengths)) if strides[i]]:
            node, ordered = self.permute(node, [0, *(i + 1 for i in order)]), False
            sizes = (sizes[0], *[sizes[i + 1] for i in order])
        if value.part or not ordered:
            node = self.call(copied, node) if value.part else self.method("contiguous", node)
        if nest.add and stored.node is not None:
            old = stored.node if stored.sizes == sizes else self.method("reshape", stored.node, sizes)
            node = self.call(add, old, node)
        stored.node, stored.sizes, stored.own = node, sizes, False

    def join(self, stored: Stored) -> None:
        """Put the parts of an array side by side, in place of zeros written over, where they tile it along an axis."""
        node, parts = stored.node, []
        while node.target in (added_at, written_at) and len(node.users) < 3:  # nothing else reads it
            node, place, value = node.args
            _, (batch, *sizes), (_, *strides), start = place.args
            order = np.argsort(-np.array(strides), kind="stable").tolist()
            places = start + sum(np.ix_(*[strides[i] * np.arange(sizes[i]) for i in order]))
            whole = self.permute(self.method("expand", value, (batch, *sizes)), [0, *(i + 1 for i in order)])
            parts.append((np.ravel(places), whole))
        outer = 1 + int(np.count_nonzero(np.diff(parts[-1][0]) != 1))  # of how many pieces each part is
        if node.target != "new_zeros" or any(len(places) % outer for places, _ in parts):
            return
        parts.sort(key=lambda part: part[0][0])
        together = np.concatenate([places.reshape(outer, -1) for places, _ in parts], 1)
        if np.array_equal(together.ravel(), np.arange(stored.array.size)):
            nodes = tuple([self.method("reshape", whole, (batch, outer, -1)) for _, whole in parts])
            stored.node, stored.sizes, stored.own = self.call(torch.cat, nodes, 2), (batch, *together.shape), False

    def make_own(self, stored: Stored) -> None:
        """Let the tensor of an array be one that may be changed in place."""
        if stored.node is not None and not stored.own:
            stored.node, stored.own = self.graph.call_method("clone", (stored.node,)), True
        self.tensor(stored)

    def scatter(self, nest: Nest, value: Tensor) -> None:
        """Write where integers choose, or where there is no grid."""
        target, lengths = nest.target, nest.lengths
        cells, batched = cells_of(target, lengths), target.space == CELLS
        which = np.unique(np.searchsorted(self.starts[target.space], cells, side="right") - 1).tolist()
        arrays = [self.stored[target.space][i] for i in which]
        stored = arrays[0] if batched or len(arrays) == 1 else self.scattered
        start, size = stored.array.start, stored.array.size
        inside = (cells >= start) & (cells < start + size)
        places = np.where(inside, stored.places(cells), size)  # the last: nobody reads it
        where = self.chosen(places, target, lengths)
        axes = where.axes | ({BATCH} if batched else set())
        value = self.reduced("sum", value, value.axes - axes, lengths)
        flat = (self.batch, -1) if batched else (-1,)
        index, more = (self.method("reshape", self.expanded(one, axes, lengths).node, flat) for one in (where, value))
        whole = inside.all()
        node = self.method("scatter_add_", self.zeros(*flat[:-1], size + (not whole)), -1, index, more)
        node = node if whole else self.method("contiguous", self.method("narrow", node, -1, 0, size))
        if stored.node is not None:
            old = self.method("reshape", stored.node, flat)
            written = self.constant(np.isin(np.arange(size), places)[(None,) * batched])
            node = self.call(add, old, node) if nest.add else self.call(torch.where, written, node, old)
        stored.node, stored.sizes, stored.own = node, (*flat[:-1], size), False

    # The end

    def results(self) -> fx.Node:
        """The results [outputs, batch]."""
        outputs, nodes, order = self.groups.outputs, list[fx.Node](), list[int]()
        for space in dict.fromkeys(space for space, _ in outputs):
            which = [i for i, (other, _) in enumerate(outputs) if other == space]
            table = Table(np.array([outputs[i][1] for i in which]))
            found = self.load(Load(space, 0, (0,), table=table), (len(which),))
            nodes.append(self.method("expand", found.node, (self.batch, len(which))))
            order += which
        if not nodes:
            return self.zeros(0, self.batch)
        every = nodes[0] if len(nodes) == 1 else self.call(torch.cat, tuple(nodes), 1)
        if order != sorted(order):
            every = self.method("index_select", every, 1, self.constant(np.argsort(order)))
        return self.method("t", every)

    def gradient(self) -> fx.Node:
        """The gradients of all parameters, flat."""
        flat = tuple([self.method("reshape", self.tensor(stored), (-1,)) for stored in self.stored[GRADIENTS]])
        gradient = self.call(torch.cat, flat) if flat else self.zeros(0)
        return gradient if self.scattered.node is None else self.call(add, gradient, self.scattered.node)


class LoopReader(Reader):
    """Reads a loop into the graph around it, and the nests of the loop into the graph of a turn.

    For a turn, its part of an array is an array: a slot. So is, for each load that goes from turn to turn through what
    the loop does not write, its part of that.
    """

    def __init__(self, outer: Reader, turns: Turns, nests: Sequence[Nest]):
        Graph.__init__(self, outer.dtype)
        self.outer, self.turns, self.depth = outer, turns, outer.depth + 1
        self.groups, self.nests, self.with_gradient = outer.groups, outer.nests, outer.with_gradient
        self.scattered = Stored(Array(0, (0,), (1,)), False)
        self.stored = {space: [] for space in (CELLS, PARAMETERS, GRADIENTS, INTEGERS)}
        targets = {id(one): one for nest in nests for one in self.around(nest.target, nest.lengths)}
        self.arrays = list(targets.values())  # that the loop writes
        self.parts: dict[Any, tuple[Load, Stored, fx.Node, int]] = {}  # what of a tensor, along which dimension
        self.of_turn = [self.in_turn(nest) for nest in nests]
        self.loads = [(load, nest.lengths) for nest in self.of_turn for load in all_loads(nest)]

    # What a turn reads and writes

    def around(self, load: Load, lengths: tuple[int, ...]) -> list[Stored]:
        """The arrays around the loop in which a load lies."""
        if load.space == CONSTANTS or load.start >= self.depth * OWN:
            return []
        starts, stored = self.outer.starts[load.space], self.outer.stored[load.space]
        which = np.unique(np.searchsorted(starts, cells_of(load, lengths), side="right") - 1)
        return [stored[i] for i in which.tolist()]

    def in_turn(self, nest: Nest) -> Nest:
        """A nest for a turn, which has index 0."""
        axis = nest.within[0][1]

        def moved(load: Load) -> Load:
            own = [one for one in self.around(load, nest.lengths) if load.space == CELLS and one in self.arrays]
            if own and load.strides[axis] != own[0].array.strides[own[0].array.within[0][1]]:
                return self.within_slot(load, nest.lengths, axis, own[0].array)
            if own:
                return load if load.chooser is None else replace(load, chooser=moved(load.chooser))
            if axis not in moving(load, nest.lengths):
                return load
            return self.part(load.space, (load, nest.lengths), axis, lambda: self.outer.load(load, nest.lengths))

        expression = rebuilt(nest.expression, lambda x: Expression("load", (), moved(x)), self.nests.known)
        bounds = list(nest.bounds)
        for bounded, bound in bounds_of(nest).items():
            if bound.of == axis:  # it differs from turn to turn, so it becomes a choice
                within = self.part(PARAMETERS, (bound, nest.lengths), axis, partial(self.within, nest, bounded))
                otherwise = constant(-inf if nest.reduction == "largest" else 0.0)
                expression = Expression("where", (Expression("load", (), within), expression, otherwise))
                bounds[bounded] = None
        changed = replace(nest, expression=expression, target=moved(nest.target), bounds=tuple(bounds))
        return at_turn(changed, [0], self.nests.known)

    def within_slot(self, load: Load, lengths: tuple[int, ...], axis: int, array: Array) -> Load:
        """A load that moves within its slot from turn to turn, as a list does at the index of the turn.

        In a turn an integer chooses the place: how far from the first that may be the load has moved.
        """
        slot, outer = array.strides[array.within[0][1]], self.outer
        step, n = load.strides[axis] - slot, lengths[axis]
        first = min(0, step * (n - 1)) + min(0, load.step * (load.choices - 1))
        last = max(0, step * (n - 1)) + max(0, load.step * (load.choices - 1))

        def places() -> Tensor:
            node, axes = outer.call(add, outer.call(mul, outer.index(axis, lengths), step), -first), frozenset({axis})
            if load.chooser is not None:
                chosen = outer.load(load.chooser, lengths)
                node, axes = outer.call(add, node, outer.call(mul, chosen.node, load.step)), axes | chosen.axes
            return outer.expanded(Tensor(node, axes), axes | {BATCH}, lengths)

        chooser = self.part(INTEGERS, (load, lengths), axis, places)
        strides = tuple([slot if i == axis else stride for i, stride in enumerate(load.strides)])
        return replace(
            load, start=load.start + first, strides=strides, chooser=chooser, step=1, choices=last - first + 1
        )

    def within(self, nest: Nest, axis: int) -> Tensor:
        """For each index of an axis with a bound whether it is below that: 1 or 0."""
        inside = self.outer.below(nest, axis)
        return Tensor(self.outer.method("to", inside, self.dtype), frozenset({axis, bounds_of(nest)[axis].of}))

    def part(self, space: str, what: Any, axis: int, whole: Callable[[], Tensor]) -> Load:
        """A load, in a turn, of its part of a tensor that goes from turn to turn along an axis. `what` tells which."""
        key, lengths = (*what, axis), what[-1]
        if key not in self.parts:
            value = whole()
            value = self.outer.expanded(value, value.axes | {axis}, lengths)
            batched, inner = BATCH in value.axes, sorted(value.axes - {BATCH, axis})
            groups = [*([[BATCH]] if batched else []), [axis], *[[i] for i in inner]]
            node = self.outer.folded(value, groups, lengths).node
            space = INTEGERS if space == INTEGERS else CELLS if batched else PARAMETERS
            start = self.depth * OWN + sum(stored.array.size for stored in self.stored[space])
            array = row_major_array(start, tuple([lengths[i] for i in inner]))
            strides = dict(zip(inner, array.strides, strict=True))
            stored = Stored(array, batched)
            self.stored[space].append(stored)
            new = Load(space, start, tuple([strides.get(i, 0) for i in range(len(lengths))]))
            self.parts[key] = new, stored, node, int(batched)
        return self.parts[key][0]

    def slots(self, loads: Iterable[tuple[Load, tuple[int, ...]]]) -> list[tuple[int, int]]:
        """In which slots some loads lie: the numbers of arrays, and how far they are from the turn."""
        found = set()
        for load, lengths in loads:
            if not any(one in self.arrays for one in self.around(load, lengths)):
                continue
            cells = cells_of(load, lengths).ravel()
            for number, stored in enumerate(self.arrays):
                offsets = cells - stored.array.start
                stride = stored.array.strides[stored.array.within[0][1]]
                offsets = offsets[(offsets >= 0) & (offsets < stored.array.size)]
                found |= {(number, distance) for distance in np.unique(offsets // stride).tolist()}
        return sorted(found)

    # The loop

    def given(self, stored: Stored) -> fx.Node:
        """An argument of the graph of a turn: an array."""
        with self.graph.inserting_before(self.batch):
            stored.node = self.graph.placeholder(f"array_{len(self.graph.nodes)}")
        stored.sizes = stored.sizes or (*([self.batch] if stored.batched else []), *stored.array.lengths)
        return stored.node

    def read_loop(self) -> None:
        """Read the nests, and let the arrays that they write be what the turns have made."""
        whole, slots = self.read_arguments()
        self.read_all(self.of_turn)
        written = self.slots((nest.target, nest.lengths) for nest in self.of_turn)
        made = [slots[key] for key in written]
        self.graph.output(
            tuple([self.method("reshape", self.tensor(one), (self.batch, *one.array.lengths)) for one in made])
        )
        self.graph.eliminate_dead_code()
        arguments = {key: node for key, node in self.slot_nodes.items() if node.users}
        for key in self.slot_nodes.keys() - arguments.keys():  # which a turn writes first
            self.graph.erase_node(self.slot_nodes[key])
        axes = [stored.array.within[0][1] for stored in self.arrays]
        n, arrays = self.turns.length, [stored.array for stored in self.arrays]
        shapes = [
            (axis + 1, array.lengths[axis], slot_of(array, 0).lengths) for axis, array in zip(axes, arrays, strict=True)
        ]
        order = range(n - 1, -1, -1) if self.turns.reverse else range(n)
        loop = Loop(fx.GraphModule(self.module, self.graph), order, list(arguments), written, shapes)
        self.place(loop, whole)

    def read_arguments(self) -> tuple[list[Stored], dict[tuple[int, int], Stored]]:
        """Let the graph of a turn begin with what it reads; return the arrays that it reads whole, and the slots."""
        whole = {
            id(one): (load.space, one) for load, lengths in self.loads for one in self.around(load, lengths)
            if one not in self.arrays
        }  # fmt: skip
        for space, one in whole.values():
            self.outer.tensor(one)
            sizes = tuple([self.batch if size is self.outer.batch else size for size in one.sizes])
            own = Stored(one.array, one.batched, None, sizes, False, one.clean)
            self.given(own)
            self.stored[space].append(own)
        for _, stored, _, _ in self.parts.values():
            self.given(stored)
        slots = {key: Stored(slot_of(self.arrays[key[0]].array, key[1])) for key in self.slots(self.loads)}
        self.slot_nodes = {key: self.given(stored) for key, stored in slots.items()}
        self.stored[CELLS] += slots.values()
        for some in self.stored.values():
            some.sort(key=lambda one: one.array.start)
        self.starts = {space: [one.array.start for one in some] for space, some in self.stored.items()}
        return [one for _, one in whole.values()], slots

    def place(self, loop: Loop, whole: list[Stored]) -> None:
        """Call the loop in the graph around it."""
        outer = self.outer
        name = f"loop_{sum(1 for _ in outer.module.children())}"
        outer.module.add_module(name, loop)
        sizes = [(outer.batch, *stored.array.lengths) for stored in self.arrays]
        before = [
            None if stored.node is None else outer.method("reshape", stored.node, size)
            for stored, size in zip(self.arrays, sizes, strict=True)
        ]
        arguments = (
            (outer.p, outer.floats, outer.integers, outer.share), tuple([outer.tensor(one) for one in whole]),
            tuple([(node, dimension) for _, _, node, dimension in self.parts.values()]), tuple(before),
        )  # fmt: skip
        made = outer.graph.call_function(taken, (outer.graph.get_attr(name), *arguments))
        for i, (stored, size) in enumerate(zip(self.arrays, sizes, strict=True)):
            stored.node, stored.sizes, stored.own = outer.call(getitem, made, i), size, False


def all_loads(nest: Nest) -> list[Load]:
    """The target and the loads of a nest, and what chooses in them."""
    loads = [nest.target, *loads_of(nest.expression)]
    return [*loads, *(load.chooser for load in loads if load.chooser is not None)]


def slot_of(array: Array, distance: int) -> Array:
    """The part of an array for the turn so far from the first one."""
    axis = array.within[0][1]

    def without(entries: Sequence[Any]) -> tuple[Any, ...]:
        return (*entries[:axis], *entries[axis + 1 :])

    bounds = [
        None if bound is None or bound.of == axis else replace(bound, of=bound.of - (bound.of > axis))
        for bound in array.bounds
    ]
    within = tuple([(turns, own - (own > axis)) for turns, own in array.within[1:]])
    start = array.start + distance * array.strides[axis]
    return Array(start, without(array.lengths), without(array.strides), without(bounds), within)


def row_major_array(start: int, lengths: tuple[int, ...]) -> Array:
    return Array(start, lengths, tuple([prod(lengths[i + 1 :]) for i in range(len(lengths))]))


def at_least_one(expression: Expression) -> bool:
    """Whether this is 1 or more, by its form, and finite: 1 + exp(x)."""
    return {a.operation for a in expression.arguments} == {"constant", "exp"} and any(
        a.operation == "constant" and 1 <= a.what < 2 for a in expression.arguments
    )


def bounds_of(nest: Nest) -> dict[int, Any]:
    """The bounds of a nest, by their axes."""
    return {i: bound for i, bound in enumerate(nest.bounds) if bound is not None}


def extent(strides: list[int], lengths: tuple[int, ...]) -> int:
    """How many numbers a grid has; 0 if some of them are the same."""
    count = span = 1
    for stride, n in sorted((s, n) for s, n in zip(strides, lengths, strict=True) if s):
        if stride < span:
            return 0
        count, span = count * n, span + stride * (n - 1)
    return count
