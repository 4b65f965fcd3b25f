"""Steps 3 and 4 of the compiler: instructions become loop nests, forward and backward.

What is cheap is not kept: the instructions of a chain such as gelu, each of which makes as many numbers as the next,
become one expression, computed where it is needed while all in between stays in registers. What remains are the
results that lie in memory: sums, products, what several others need, and what is expensive to compute twice.

Backward is more of the same. The gradient of each result is made from those of the results that use it, by the
derivative rules of value.py: again loop nests over expressions.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from microgpt.engines.compiled.expressions import (
    CELLS,
    CONSTANTS,
    GRADIENTS,
    INTEGERS,
    PARAMETERS,
    Expression,
    Load,
    Table,
    as_expression,
    constant,
    differentiate,
    loads_of,
    nodes_of,
    rebuilt,
    shared,
)
from microgpt.engines.compiled.groups import Access, Array, Bound, Groups, Instruction
from microgpt.engines.compiled.record import FUNCTIONS

ELEMENTWISE = ("terms", "pow", *FUNCTIONS, "less", "less or equal")
BATCH = -1  # the axis of every nest that is the batch
LARGEST_EXPRESSION = 60  # nodes
SMALL = 4000  # cells; a program of so few is over before a kernel of its own has been compiled


@dataclass
class Nest:
    """For each index of some axes: an expression, stored or added somewhere.

    Axes along which `target` has the stride 0 are summed over. `reduction` is "sum" or "largest".
    """

    lengths: tuple[int, ...]
    bounds: tuple[Bound | None, ...]
    target: Load
    expression: Expression
    add: bool = False
    reduction: str = "sum"
    instruction: int = -1  # which it comes from
    backward: bool = False

    def over(
        self, lengths: Sequence[int], bounds: Sequence[Bound | None], moved: Any, known: dict[Any, Expression]
    ) -> "Nest":
        """The same nest over other axes. `moved` tells how a load moves along these."""

        def of(load: Load) -> Load:
            new = moved(load)
            return new if load.chooser is None else replace(new, chooser=moved(load.chooser))

        expression = rebuilt(self.expression, lambda load: Expression("load", (), of(load)), known)
        return replace(
            self, lengths=tuple(lengths), bounds=tuple(bounds), target=of(self.target), expression=expression
        )

    def product(self) -> "Product | None":
        """The matrix product that a nest is; None if it is none."""
        factor, (a, b) = two_factors(self.expression)
        if a is None or b is None or self.reduction != "sum":
            return None
        if any(load.table is not None or load.chooser is not None for load in (self.target, a, b)):
            return None
        if a.space != PARAMETERS and b.space == PARAMETERS:
            a, b = b, a
        in_target, in_a, in_b = (moving(load, self.lengths) for load in (self.target, a, b))
        rows, columns, terms = in_target & in_a - in_b, in_target & in_b - in_a, in_a & in_b - in_target
        outer = in_target & in_a & in_b
        if not (rows and columns and terms) or rows | columns | terms | outer != in_target | in_a | in_b:
            return None
        return Product(factor, a, b, rows, columns, terms, outer)

    def axes_summed(self) -> list[int]:
        """The axes along which the target stays where it is."""
        chooser = self.target.chooser
        moves = [s != 0 or (chooser is not None and chooser.strides[i] != 0) for i, s in enumerate(self.target.strides)]
        return [i for i, n in enumerate(self.lengths) if n > 1 and not moves[i]]


@dataclass(frozen=True)
class Product:
    """A matrix product: a factor times the sum over some terms of a * b. The batch is one of the axes."""

    factor: float
    a: Load
    b: Load
    rows: frozenset[int]  # axes of a and the target
    columns: frozenset[int]  # of b and the target
    terms: frozenset[int]  # of a and b
    outer: frozenset[int]  # of all three


@dataclass
class Region:
    """Cells of one array, result or gradient, as they are numbered."""

    start: int
    size: int
    masked: bool = False  # some of its cells are never written and stay zero: it shares its place with none


def load_of(access: Access, chooser: Load | None = None, step: int = 0) -> Load:
    table = None if access.table is None else Table(access.table)
    return Load(access.space, access.start, access.strides, chooser, step, 1, table)


@dataclass
class Nests:
    """All loop nests of some groups: first forward, then backward."""

    groups: Groups
    forward: list[Nest] = field(default_factory=list)
    backward: list[Nest] = field(default_factory=list)

    def __post_init__(self) -> None:
        g = self.groups
        self.made = [g.array_at(instruction.array.start) for instruction in g.instructions]  # the array that each makes
        self.makers: dict[int, list[int]] = {}  # of each array the instructions that make it
        for i, array in enumerate(self.made):
            self.makers.setdefault(array, []).append(i)
        self.seed = g.size  # the cell of the gradient of the result
        self.size = g.size + 1
        self.choose_what_is_kept()
        self.known: dict[Any, Expression] = {}
        self.make_forward()
        self.roots = self.roots_of_instructions()
        self.make_backward()

    # Forward

    def arrays_read(self, access: Access) -> list[int]:
        """The arrays in which an operand lies."""
        if access.space != CELLS:
            return []
        if access.table is None:
            return [self.groups.array_at(access.start)] if access.start >= self.groups.inputs else []
        return sorted({self.groups.array_at(int(s)) for s in access.table if s >= self.groups.inputs})

    def choose_what_is_kept(self) -> None:
        """Which arrays lie in memory; the others are computed where they are needed."""
        g = self.groups
        readers = self.readers = dict[int, list[tuple[int, Access]]]()  # of each array the instructions that read it
        for i, instruction in enumerate(g.instructions):
            for operand in instruction.operands:
                for array in self.arrays_read(operand):
                    readers.setdefault(array, []).append((i, operand))
        self.kept = [True] * len(g.arrays)
        roots: dict[int, set[int]] = {}  # as they would be if no expression were too large
        results = {g.array_at(start) for space, start in g.outputs if space == CELLS}
        for i in range(len(g.instructions) - 1, -1, -1):
            instruction, array = g.instructions[i], self.made[i]
            if len(self.makers[array]) > 1:
                roots[i] = {i}
                continue
            within: set[int] = set()
            whole = instruction.operation in ELEMENTWISE and array not in results
            if g.size <= SMALL:  # only products into the sums of them
                whole = whole and all(g.instructions[reader].operation == "sum" for reader, _ in readers.get(array, []))
            for reader, access in readers.get(array, []):
                other = g.instructions[reader]
                within |= roots[reader]
                whole = whole and self.may_be_inlined(instruction, other, access)
            if whole and within and not self.worth_keeping(instruction, len(within)):
                self.kept[array] = False
                roots[i] = within
            else:
                roots[i] = {i}

    def may_be_inlined(self, instruction: Instruction, reader: Instruction, access: Access) -> bool:
        if reader.operation in ("pick", "copy") or access.table is not None:
            return False
        if any(operand.table is not None for operand in instruction.operands):
            return False
        if prod(reader.lengths) != prod(instruction.lengths):
            return False  # it would be computed several times
        indices = decoded(access, reader.lengths, instruction.array)
        if indices is None:
            return False
        for axis, bound in enumerate(instruction.bounds):
            if bound is None:
                continue
            same = [i for i, place in enumerate(indices[1]) if place[axis] and reader.lengths[i] > 1]
            others = [i for i, place in enumerate(indices[1]) if place[bound.of] and reader.lengths[i] > 1]
            if len(same) != 1 or len(others) > 1 or reader.bounds[same[0]] is None:
                return False
            own = reader.bounds[same[0]]
            if own is None or (own.constant, own.step) != (bound.constant, bound.step) or [own.of] != others:
                return False
        return True

    def worth_keeping(self, instruction: Instruction, roots: int) -> bool:
        if roots == 1:
            return False
        if instruction.operation in ("pow", *FUNCTIONS):
            return instruction.operation != "pow" or instruction.exponent not in (2, 3)
        full = {
            (operand.space, operand.start)
            for operand in instruction.operands
            if operand.space == CELLS
            and all(s for s, n in zip(operand.strides, instruction.lengths, strict=True) if n > 1)
        }
        return len(full) > 1

    def inlined_array(self, access: Access) -> int:
        """The array that is computed where it is needed, and that an operand reads; -1 if it lies in memory."""
        found = self.arrays_read(access)
        return found[0] if len(found) == 1 and not self.kept[found[0]] else -1

    def expression_of(self, instruction: Instruction) -> Expression:
        """What an instruction computes, of what lies in memory."""
        arguments = []
        for operand in instruction.operands:
            array = self.inlined_array(operand)
            if array < 0:
                arguments.append(self.loaded(instruction, operand))
                continue
            maker = self.groups.instructions[self.makers[array][0]]
            indices = decoded(operand, instruction.lengths, maker.array)
            assert indices is not None
            there = {load: moved(load, *indices) for load in loads_of(self.expressions[array])}
            if all([load == place for load, place in there.items()]):
                arguments.append(self.expressions[array])
            else:
                leaves = {load: Expression("load", (), place) for load, place in there.items()}
                arguments.append(rebuilt(self.expressions[array], leaves.__getitem__, self.known))
        return shared(combined(instruction, arguments), self.known)

    def loaded(self, instruction: Instruction, operand: Access) -> Expression:
        if operand.space == CONSTANTS and operand.table is None and not any(operand.strides):
            return constant(self.groups.constants[operand.start])
        load = load_of(operand)
        if instruction.integer is not None:
            choices, step = instruction.choices
            load = replace(load, chooser=load_of(instruction.integer), step=step, choices=choices)
        return Expression("load", (), load)

    def make_forward(self) -> None:
        g = self.groups
        self.expressions: dict[int, Expression] = {}
        for i, instruction in enumerate(g.instructions):
            array = self.made[i]
            expression = self.expression_of(instruction)
            if not self.kept[array]:
                if len(nodes_of(expression)) <= LARGEST_EXPRESSION:
                    self.expressions[array] = expression
                    continue
                self.kept[array] = True
            reduction = "largest" if instruction.operation == "largest" else "sum"
            target = load_of(instruction.result)
            nest = Nest(instruction.lengths, instruction.bounds, target, expression, False, reduction, i)
            self.forward.append(nest)

    def roots_of_instructions(self) -> dict[int, set[int]]:
        """Of each instruction those in whose expressions it is computed; itself if its result lies in memory."""
        roots: dict[int, set[int]] = {}
        for i in range(len(self.made) - 1, -1, -1):  # readers come after what they read
            readers = [reader for reader, _ in self.readers.get(self.made[i], [])]
            roots[i] = {i} if self.kept[self.made[i]] else {root for reader in readers for root in roots[reader]}
        return roots

    def regions(self) -> list[Region]:
        """All cells that something may be stored in, array by array."""
        g = self.groups
        found = [Region(0, g.inputs), Region(self.seed, 1)]
        found += [Region(a.start, a.size, bool(a.bounds)) for a, kept in zip(g.arrays, self.kept, strict=True) if kept]
        for start, array in zip(self.gradient_starts, self.gradient_arrays, strict=True):
            found.append(Region(start, g.arrays[array].size, bool(g.arrays[array].bounds)))
        return [region for region in found + [Region(start, size) for start, size in self.waste] if region.size]

    # Backward

    def make_backward(self) -> None:
        g = self.groups
        self.needs = self.what_needs_gradients()
        self.gradient_at: dict[int, tuple[int, tuple[int, ...]]] = {}  # of each array
        self.waiting: dict[Any, list[Nest]] = {}  # gradients of parameters, by their expressions
        self.waste: list[tuple[int, int]] = []  # where nothing is read: start and size
        self.gradient_starts: list[int] = []
        self.gradient_arrays: list[int] = []
        self.given: dict[int, list[Nest]] = {}  # what each array gets
        space, start = g.outputs[0] if len(g.outputs) else (CONSTANTS, 0)
        seed = Expression("load", (), Load(CELLS, self.seed, ()))
        self.give(Nest((), (), Load(space, start, ()), seed, True, backward=True))
        for nest in reversed(self.forward):
            array = self.array_written(nest.target)
            if array not in self.needs or self.makers[array][-1] != nest.instruction:
                if array in self.needs and array in self.gradient_at:
                    self.pass_on(nest, array)
                continue
            if array not in self.given:
                continue
            self.complete(array)
            self.add_waiting(array)
            self.pass_on(nest, array)
        self.backward += [nest for nests in self.waiting.values() for nest in nests]

    def add_waiting(self, array: int) -> None:
        """Add to the gradients of parameters that get the same as an array: they read it there.

        What else waits and costs little to compute is added now, too, while its operands are at hand.
        """
        start, _ = self.gradient_at[array]
        last = self.backward[-1] if self.backward else None
        if last is not None and last.target.start == start and not last.axes_summed() and not last.add:
            for nest in self.waiting.pop((id(last.expression), last.lengths), []):
                if last.expression.operation != "load":
                    nest = replace(nest, expression=Expression("load", (), replace(last.target, space=CELLS)))
                self.backward.append(nest)
        now = [key for key, nests in self.waiting.items() if not is_expensive(nests[0].expression)]
        for key in now:
            self.backward += self.waiting.pop(key)

    def is_masked(self, load: Load) -> bool:
        """Whether a load is of an array whose cells beyond its bounds are never written, and so are zero."""
        if load.start < self.groups.size:
            found = self.arrays_of(load)
            return len(found) == 1 and bool(self.groups.arrays[found[0]].bounds)
        place = bisect_right(self.gradient_starts, load.start) - 1
        return place >= 0 and bool(self.groups.arrays[self.gradient_arrays[place]].bounds)

    def array_written(self, load: Load) -> int:
        start = load.start if load.table is None else int(load.table.starts[0])
        return self.groups.array_at(start)

    def what_needs_gradients(self) -> set[int]:
        """The arrays in memory that depend on a parameter."""
        needs: set[int] = set()
        for nest in self.forward:
            if nest.reduction == "largest":
                continue
            for load in differentiable(nest.expression):
                if load.space == PARAMETERS or any(a in needs for a in self.arrays_of(load)):
                    needs.add(self.array_written(nest.target))
        return needs

    def arrays_of(self, load: Load) -> list[int]:
        table = None if load.table is None else load.table.starts
        return self.arrays_read(Access(load.space, load.start, load.strides, table))

    def give(self, nest: Nest) -> None:
        """Note what a load of the forward pass gets of a gradient; of a parameter, add it to its gradient."""
        target = nest.target
        if target.space == PARAMETERS:
            own = replace(nest, target=replace(target, space=GRADIENTS), add=True)
            self.waiting.setdefault((id(nest.expression), nest.lengths), []).append(own)
        elif target.space == CELLS:
            arrays = [a for a in self.arrays_of(target) if a in self.needs]
            for array in arrays:
                self.given.setdefault(array, []).append(nest)

    def complete(self, array: int) -> None:
        """Make the gradient of an array from all that it was given."""
        shape = self.groups.arrays[array]
        whole: list[tuple[Nest, Expression]] = []
        rest: list[Any] = []
        for nest in self.given[array]:
            expression = self.in_order(nest, shape)
            (rest if expression is None else whole).append((nest, expression))  # type: ignore[arg-type]
        last_maker = self.makers[array][-1]
        instruction = self.groups.instructions[last_maker]
        none = (None,) * len(shape.lengths)
        bounds = none if instruction.operation == "copy" else instruction.bounds[: len(shape.lengths)]
        if len(whole) == 1 and not rest and whole[0][1].operation == "load":
            load = whole[0][1].what
            plain = load.space == CELLS and not load.table and not load.chooser
            if plain and load.strides == shape.strides and load.start > self.seed:  # that gradient is this one, too
                self.gradient_at[array] = (load.start, shape.strides)
                return
        start = self.size
        self.size += shape.size
        self.gradient_at[array] = (start, shape.strides)
        self.gradient_starts.append(start)
        self.gradient_arrays.append(array)
        target = Load(CELLS, start, shape.strides)
        if whole:
            total = whole[0][1]
            for _, expression in whole[1:]:
                total = total + expression
            self.backward.append(
                Nest(
                    shape.lengths,
                    bounds,
                    target,
                    shared(total, self.known),
                    instruction=whole[0][0].instruction,
                    backward=True,
                )
            )
        stores, additions = ([], [nest for nest, _ in rest]) if whole else parted([nest for nest, _ in rest], shape)
        if not whole and not stores:
            self.backward.append(
                Nest(shape.lengths, none, target, constant(0.0), instruction=last_maker, backward=True)
            )
        for nest in (*stores, *additions):
            if nest.target.table is not None:
                moved_target = self.part_of_table(nest, shape, start)
            else:
                moved_target = replace(nest.target, start=nest.target.start - shape.start + start)
            self.backward.append(replace(nest, target=moved_target, add=not any(nest is store for store in stores)))

    def part_of_table(self, nest: Nest, shape: Array, start: int) -> Load:
        """A table of cells as one of their gradients. Cells of other arrays go where nothing is read."""
        assert nest.target.table is not None
        cells = nest.target.table.starts
        inside = (cells >= shape.start) & (cells < shape.start + shape.size)
        if not inside.all():
            width = sum(s * (n - 1) for s, n in zip(nest.target.strides[1:], nest.lengths[1:], strict=True)) + 1
            width += nest.target.step * (nest.target.choices - 1)
            waste = self.size
            self.size += width
            self.waste.append((waste, width))
            return replace(nest.target, table=Table(np.where(inside, cells - shape.start + start, waste)))
        return replace(nest.target, table=Table(cells - shape.start + start))

    def in_order(self, nest: Nest, shape: Array) -> Expression | None:
        """The expression of a nest over the axes of the array that it gives to, if it gives to each cell once."""
        if nest.target.table is not None or nest.target.chooser is not None or nest.axes_summed():
            return None
        if prod(nest.lengths) != shape.size:
            return None
        indices = decoded(Access(CELLS, nest.target.start, nest.target.strides), nest.lengths, shape)
        if indices is None or any(indices[0]):
            return None
        back: list[int] = []  # for each axis of the array that of the nest
        for axis, length in enumerate(shape.lengths):
            found = [i for i, place in enumerate(indices[1]) if place[axis] and nest.lengths[i] > 1]
            if length == 1 and not found:
                back.append(-1)
                continue
            if len(found) != 1 or indices[1][found[0]][axis] != 1 or nest.lengths[found[0]] != length:
                return None
            back.append(found[0])
        if len({i for i in back if i >= 0}) != sum(i >= 0 for i in back):
            return None
        if any(load.table is not None or (load.chooser and load.chooser.table) for load in loads_of(nest.expression)):
            return None
        instruction = self.groups.instructions[self.makers[self.groups.array_at(shape.start)][-1]]
        for axis, bound in enumerate(instruction.bounds[: len(shape.lengths)]):
            own = nest.bounds[back[axis]] if back[axis] >= 0 else None
            if (bound is None) != (own is None):
                return None
            if bound is None or own is None:
                continue
            if (own.constant, own.step) != (bound.constant, bound.step) or back[bound.of] != own.of:
                return None

        def turned(load: Load) -> Load:
            chooser = turned(load.chooser) if load.chooser is not None else None
            return replace(load, strides=tuple(load.strides[i] if i >= 0 else 0 for i in back), chooser=chooser)

        return rebuilt(nest.expression, lambda load: Expression("load", (), turned(load)), self.known)

    def pass_on(self, nest: Nest, array: int) -> None:
        """Give all operands of a nest what they get of the gradient of its result."""
        if nest.reduction == "largest":
            return
        start, _ = self.gradient_at[array]
        shape = self.groups.arrays[array]
        wanted = {
            load
            for load in differentiable(nest.expression)
            if load.space == PARAMETERS or any(a in self.needs for a in self.arrays_of(load))
        }
        if not wanted:
            return
        table = None if nest.target.table is None else Table(nest.target.table.starts - shape.start + start)
        gradient = Load(CELLS, nest.target.start - shape.start + start, nest.target.strides, table=table)
        found = differentiate(nest.expression, Expression("load", (), gradient), wanted)
        for load in loads_of(nest.expression):
            if load in found:
                self.give(
                    replace(
                        nest,
                        target=load,
                        expression=shared(found[load], self.known),
                        add=True,
                        reduction="sum",
                        backward=True,
                    )
                )


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
    """The cells of an array that a nest writes; None if that depends on integers, tables or bounds."""
    target, summed = nest.target, nest.axes_summed()
    if target.table is not None or target.chooser is not None:
        return None
    if any(bound is not None and bound.of not in summed for bound in nest.bounds):
        return None
    cells = np.array([target.start - shape.start])
    for i, (length, stride) in enumerate(zip(nest.lengths, target.strides, strict=True)):
        if i not in summed and length > 1:
            cells = (cells[:, None] + stride * np.arange(length)).ravel()
    return cells


def combined(instruction: Instruction, arguments: list[Expression]) -> Expression:
    """The operation of an instruction on its operands."""
    operation = instruction.operation
    if operation in ("sum", "largest", "pick", "copy"):
        return arguments[0]
    if operation == "terms":
        total: Any = 0.0
        for coefficient, factors in instruction.terms:
            product: Any = coefficient
            for factor in arguments[:factors]:
                product = factor * product
            arguments = arguments[factors:]
            total = as_expression(product) + total
        return as_expression(total)
    if operation == "pow":
        return arguments[0] ** instruction.exponent
    if operation in ("less", "less or equal"):
        return Expression("<" if operation == "less" else "<=", (arguments[0], arguments[1]))
    return getattr(arguments[0], operation)()


@dataclass(frozen=True)
class Part:
    """An axis of a loop nest, or a part of it, as it walks along an axis of an array."""

    of: int  # the axis of the array
    step: int
    length: int


def delinearize(load: Load, lengths: tuple[int, ...], array: Array) -> tuple[list[int], list[list[Part]]] | None:
    """Where a load lies in an array: the index of its first element, and for each axis of a nest its parts.

    The innermost part comes first. None if the load lies in no grid.
    """
    if load.table is not None or any(s < 0 for s in load.strides):
        return None
    order = sorted((i for i, n in enumerate(array.lengths) if n > 1), key=lambda i: array.strides[i], reverse=True)
    first, rest = [0] * len(array.lengths), load.start - array.start
    for axis in order:
        first[axis], rest = divmod(rest, array.strides[axis])
    last = list(first)
    found: list[list[Part]] = []
    for length, stride in zip(lengths, load.strides, strict=True):
        parts: list[Part] = []
        while length > 1 and stride:
            own = next((i for i in order if stride % array.strides[i] == 0), None)
            if own is None:
                return None
            step, size = stride // array.strides[own], array.lengths[own]
            within = length if first[own] + (length - 1) * step < size else size // step
            if within < length and (size % step or first[own] or within < 2 or length % within):
                return None
            parts.append(Part(own, step, within))
            last[own] += (within - 1) * step
            length, stride = length // within, stride * within
        found.append(parts)
    if rest or any(i >= max(n, 1) for i, n in zip(last, array.lengths, strict=True)):
        return None
    return first, found


def moving(load: Load, lengths: tuple[int, ...]) -> frozenset[int]:
    """The axes of a nest along which a load moves; the batch is one of them."""
    found = {i for i, n in enumerate(lengths) if n > 1 and (load.strides[i] or (load.table is not None and i == 0))}
    if load.space in (CELLS, INTEGERS):
        found.add(BATCH)
    return frozenset(found) if load.chooser is None else frozenset(found) | moving(load.chooser, lengths)


def squeezed(nest: Nest, known: dict[Any, Expression]) -> Nest:
    """A nest without its axes of length 1."""
    keep = [i for i, n in enumerate(nest.lengths) if n > 1]

    def moved(load: Load) -> Load:
        start, table = load.start, load.table
        if table is not None and 0 not in keep:
            start, table = int(table.starts[0]), None
        return replace(load, start=start, strides=tuple([load.strides[i] for i in keep]), table=table)

    bounds = [nest.bounds[i] for i in keep]
    new = [bound and replace(bound, of=keep.index(bound.of)) for bound in bounds]
    return nest if len(keep) == len(nest.lengths) else nest.over([nest.lengths[i] for i in keep], new, moved, known)


def cut(nest: Nest, axis: int, inner: int, known: dict[Any, Expression]) -> Nest:
    """A nest with two axes in place of one, the inner one of this length."""

    def moved(load: Load) -> Load:
        stride = load.strides[axis]
        return replace(load, strides=(*load.strides[:axis], stride * inner, stride, *load.strides[axis + 1 :]))

    lengths = [*nest.lengths[:axis], nest.lengths[axis] // inner, inner, *nest.lengths[axis + 1 :]]
    bounds = [bound and replace(bound, of=bound.of + (bound.of > axis)) for bound in nest.bounds]
    return nest.over(lengths, [*bounds[:axis], None, *bounds[axis:]], moved, known)


def two_factors(expression: Expression) -> tuple[float, tuple[Load | None, Load | None]]:
    """The two loads that are multiplied, and a constant factor."""
    factor = 1.0
    while expression.operation == "*" and "constant" in (x.operation for x in expression.arguments):
        x, y = expression.arguments
        if x.operation == "constant":
            x, y = y, x
        expression, factor = x, factor * y.what
    if expression.operation != "*" or any(x.operation != "load" for x in expression.arguments):
        return factor, (None, None)
    x, y = expression.arguments
    return factor, (x.what, y.what)


Indices = tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]


def decoded(access: Access, lengths: tuple[int, ...], array: Array) -> Indices | None:
    """Which element of an array is read, by its axes: the first one's index, and the steps for each axis of the reader.

    None if an index would leave the array, or run over from one axis into the next.
    """
    order = sorted(range(len(array.lengths)), key=lambda i: (-array.strides[i], -array.lengths[i]))

    def digits(cells: int) -> list[int] | None:
        found = [0] * len(order)
        for axis in order:
            if array.lengths[axis] > 1:
                found[axis], cells = divmod(cells, array.strides[axis])
        return found if cells == 0 else None

    first = digits(access.start - array.start)
    if first is None or any(s < 0 for s in access.strides):
        return None
    steps = []
    last = list(first)
    for stride, length in zip(access.strides, lengths, strict=True):
        step = digits(stride) if length > 1 else [0] * len(order)
        if step is None:
            return None
        steps.append(tuple(step))
        last = [i + s * (length - 1) for i, s in zip(last, step, strict=True)]
    if any(i >= n for i, n in zip(last, array.lengths, strict=True)):
        return None
    return tuple(first), tuple(steps)


def moved(load: Load, first: tuple[int, ...], steps: tuple[tuple[int, ...], ...]) -> Load:
    """A load over the axes of an array as one over those of a reader."""
    pad = len(first)
    strides = load.strides[:pad]
    chooser = None if load.chooser is None else moved(load.chooser, first, steps)
    return replace(
        load,
        start=load.start + sum(s * i for s, i in zip(strides, first, strict=True)),
        strides=tuple(sum(s * i for s, i in zip(strides, step, strict=True)) for step in steps),
        chooser=chooser,
    )
