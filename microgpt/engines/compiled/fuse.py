"""Fusion: which results are materialized, and the loop nests that compute them.

A result that is cheap becomes part of the expressions that read it. The instructions of a chain such as gelu, each of
which makes as many numbers as the next, become one expression, whose intermediate results stay in registers. What is
materialized, that is, lies in memory: sums, products, what several others read, and what is expensive to compute twice.
"""

from math import prod
from typing import Any

import numpy as np

from microgpt.engines.compiled.expressions import (
    CELLS,
    CONSTANTS,
    PARAMETERS,
    Expression,
    Load,
    Table,
    as_expression,
    constant,
    loads_of,
    nodes_of,
    rebuilt,
    replace,
    shared,
    where,
)
from microgpt.engines.compiled.groups import Groups, Instruction
from microgpt.engines.compiled.members import Access
from microgpt.engines.compiled.nest import Nest, Part, delinearize, loops_of, single
from microgpt.engines.compiled.record import FUNCTIONS

ELEMENTWISE = ("terms", "pow", *FUNCTIONS, "less", "less or equal", "where")
LARGEST_EXPRESSION = 60  # nodes
SMALL = 4000  # cells; a program of so few is over before a kernel of its own has been compiled


class Fusion:
    """The nests of the forward pass, and what each instruction became."""

    def __init__(self, groups: Groups):
        self.groups = groups
        self.starts = np.array(groups.starts, np.int64)
        self.arrays_in: dict[Table, list[int]] = {}  # the arrays that tables lie in
        self.made = [groups.array_at(instruction.array.start) for instruction in groups.instructions]
        self.makers: dict[int, list[int]] = {}  # of each array the instructions that make it
        for i, array in enumerate(self.made):
            self.makers.setdefault(array, []).append(i)
        self.readers: dict[int, list[tuple[int, Access]]] = {}  # of each array the instructions that read it
        for i, instruction in enumerate(groups.instructions):
            for operand in instruction.operands:
                for array in self.arrays_of(load_of(operand)):
                    self.readers.setdefault(array, []).append((i, operand))
        self.materialized = self.choose_materialized()
        self.known: dict[Any, Expression] = {}
        self.expressions: dict[int, Expression] = {}  # of each array that is not materialized
        self.nests = [nest for i in range(len(groups.instructions)) for nest in self.nest(i)]
        self.join_sums()
        self.roots = self.roots_of_instructions()

    def arrays_of(self, load: Load) -> list[int]:
        """The arrays in which a load lies; none for what no instruction makes."""
        if load.space != CELLS:
            return []
        if load.table is None:
            return [self.groups.array_at(load.start)] if load.start >= self.groups.inputs else []
        if load.table not in self.arrays_in:
            found = sorted({*self.arrays_at(load.table.starts).tolist()})
            self.arrays_in[load.table] = [array for array in found if array >= 0]
        return self.arrays_in[load.table]

    def arrays_at(self, cells: np.ndarray) -> np.ndarray:
        """The arrays that these cells belong to; -1 for the inputs."""
        return np.searchsorted(self.starts, cells, "right") - 1

    # Which results are materialized

    def choose_materialized(self) -> list[bool]:
        """For each array whether it lies in memory."""
        g = self.groups
        found = [True] * len(g.arrays)
        roots: dict[int, set[int]] = {}  # as they would be if no expression were too large
        results = {g.array_at(start) for space, start in g.outputs if space == CELLS}
        for i in range(len(g.instructions) - 1, -1, -1):
            instruction, array = g.instructions[i], self.made[i]
            readers = [(g.instructions[reader], access) for reader, access in self.readers.get(array, [])]
            within = {root for reader, _ in self.readers.get(array, []) for root in roots.get(reader, ())}
            inlined = (
                instruction.operation in ELEMENTWISE
                and array not in results
                and len(self.makers[array]) == 1
                and bool(within)
                # in a small program only products become part of something: of the sums of them
                and (g.size > SMALL or all(reader.operation == "sum" for reader, _ in readers))
                and all(can_be_inlined(instruction, reader, access) for reader, access in readers)
                and not worth_materializing(instruction, len(within))
            )
            found[array] = not inlined
            roots[i] = within if inlined else {i}
        return found

    def roots_of_instructions(self) -> dict[int, set[int]]:
        """For each instruction those that compute it in their expressions; itself if its result is materialized."""
        roots: dict[int, set[int]] = {}
        for i in range(len(self.made) - 1, -1, -1):  # readers come after what they read
            readers = [reader for reader, _ in self.readers.get(self.made[i], [])]
            whole = self.materialized[self.made[i]]
            roots[i] = {i} if whole else {root for reader in readers for root in roots[reader]}
        return roots

    # Expressions and nests

    def nest(self, i: int) -> list[Nest]:
        """The nest of an instruction; none if its result is not materialized."""
        instruction, array = self.groups.instructions[i], self.made[i]
        expression = self.expression(instruction)
        if not self.materialized[array] and len(nodes_of(expression)) <= LARGEST_EXPRESSION:
            self.expressions[array] = expression
            return []
        self.materialized[array] = True
        reduction = "largest" if instruction.operation == "largest" else "sum"
        target = load_of(instruction.result)
        shape = instruction.lengths, instruction.bounds
        return [Nest(*shape, target, expression, False, reduction, i, within=instruction.within)]

    def join_sums(self) -> None:
        """Make one nest of a sum of sums, where that is a matrix product: a sum over two axes."""
        outputs = {self.groups.array_at(start) for space, start in self.groups.outputs if space == CELLS}
        by_array = {self.made[nest.instruction]: i for i, nest in enumerate(self.nests)}
        gone = set()
        for i, nest in enumerate(self.nests):
            loads = loads_of(nest.expression)
            arrays = self.arrays_of(loads[0]) if nest.expression.operation == "load" else []
            if len(arrays) != 1 or arrays[0] in outputs or len(self.readers[arrays[0]]) > 1 or nest.reduction != "sum":
                continue
            inner = self.nests[by_array[arrays[0]]]
            one = None if len(self.makers[arrays[0]]) > 1 else self.joined(nest, inner, loads[0])
            if one is not None and one.product() is not None:
                self.nests[i] = one
                self.materialized[arrays[0]] = False
                gone.add(by_array[arrays[0]])
        self.nests = [nest for i, nest in enumerate(self.nests) if i not in gone]

    def joined(self, outer: Nest, inner: Nest, load: Load) -> Nest | None:
        """A sum of what another sum makes, as one nest; None if it reads that in another way than each cell once."""
        array = self.groups.arrays[self.made[inner.instruction]]
        plain = not (any(inner.bounds) or any(outer.bounds) or inner.within or outer.within or load.chooser)
        kept = len(array.lengths)
        if not plain or inner.reduction != "sum" or any(axis < kept for axis in inner.axes_summed()):
            return None
        found = walk_of(load, outer.lengths, array) if prod(outer.lengths) == array.size else None
        if found is None or not outer.axes_summed() or not inner.axes_summed():
            return None
        lengths = (*outer.lengths, *inner.lengths[kept:])

        def moved(one: Load) -> Load:
            own = remapped(one, *found)
            return replace(own, strides=(*own.strides, *one.strides[kept:]))

        loads = loads_of(inner.expression)
        if any(one.table is not None or one.chooser is not None for one in loads):
            return None
        expression = rebuilt(inner.expression, lambda one: Expression("load", (), moved(one)), self.known)
        more = (0,) * (len(inner.lengths) - kept)
        target = replace(outer.target, strides=(*outer.target.strides, *more))
        return replace(outer, lengths=lengths, bounds=(None,) * len(lengths), target=target, expression=expression)

    def expression(self, instruction: Instruction) -> Expression:
        """An instruction as an expression of materialized results."""
        return shared(combined(instruction, [self.operand(instruction, o) for o in instruction.operands]), self.known)

    def operand(self, instruction: Instruction, operand: Access) -> Expression:
        """An operand of an instruction: a constant, a load, or the expression of a result that is not materialized."""
        known = operand.space == CONSTANTS and operand.table is None and not any(operand.strides)
        if known and instruction.integer is None:
            return constant(self.groups.constants[operand.start])
        load = load_of(operand)
        arrays = self.arrays_of(load)
        if len(arrays) != 1 or self.materialized[arrays[0]]:
            if instruction.integer is not None:
                choices, step = instruction.choices
                load = replace(load, chooser=load_of(instruction.integer), step=step, choices=choices)
            return Expression("load", (), load)
        found = walk(operand, instruction.lengths, self.groups.arrays[arrays[0]])
        assert found is not None
        leaf = {load: remapped(load, *found) for load in loads_of(self.expressions[arrays[0]])}
        if all(load == new for load, new in leaf.items()):
            return self.expressions[arrays[0]]
        return rebuilt(self.expressions[arrays[0]], lambda load: Expression("load", (), leaf[load]), self.known)


def load_of(access: Access) -> Load:
    table = None if access.table is None else Table(access.table)
    return Load(access.space, access.start, access.strides, table=table)


def walk(access: Access, lengths: tuple[int, ...], array: Any) -> tuple[list[int], list[Part | None]] | None:
    """How the axes of an instruction walk through an array that it reads: from where, and each along which axis."""
    return walk_of(load_of(access), lengths, array)


def walk_of(load: Load, lengths: tuple[int, ...], array: Any) -> tuple[list[int], list[Part | None]] | None:
    grid = delinearize(load, lengths, array)
    parts = grid and single(grid[1])
    return (grid[0], parts) if grid and parts is not None else None


def remapped(load: Load, first: list[int], parts: list[Part | None]) -> Load:
    """A load over the axes of an array, as one over axes that walk through the array."""
    return replace(
        load,
        start=load.start + sum(stride * i for stride, i in zip(load.strides, first, strict=False)),
        strides=tuple([part.step * load.strides[part.of] if part else 0 for part in parts]),
        chooser=None if load.chooser is None else remapped(load.chooser, first, parts),
    )


def can_be_inlined(instruction: Instruction, reader: Instruction, access: Access) -> bool:
    """Whether an instruction can become part of one that reads it, which then computes it once, within its bounds."""
    if reader.operation in ("pick", "copy") or any(operand.table is not None for operand in instruction.operands):
        return False
    if prod(reader.lengths) != prod(instruction.lengths) or loops_of(reader) != loops_of(instruction):
        return False
    found = walk(access, reader.lengths, instruction.array)
    if found is None or any(part is None and n > 1 for part, n in zip(found[1], reader.lengths, strict=True)):
        return False
    axes = [part.of if part else None for part in found[1]]  # of the array, for each axis of the reader
    for axis, bound in enumerate(instruction.bounds):
        if bound is None:
            continue
        if axes.count(axis) != 1 or axes.count(bound.of) != 1:
            return False
        if reader.bounds[axes.index(axis)] != replace(bound, of=axes.index(bound.of)):
            return False
    return True


def worth_materializing(instruction: Instruction, roots: int) -> bool:
    """Whether an instruction that so many others would compute is better computed once."""
    if roots == 1:
        return False
    if instruction.operation in ("pow", *FUNCTIONS):
        return instruction.operation != "pow" or instruction.exponent not in (2, 3)
    full = {
        (operand.space, operand.start)
        for operand in instruction.operands
        if operand.space in (CELLS, PARAMETERS)
        and all(s for s, n in zip(operand.strides, instruction.lengths, strict=True) if n > 1)
    }
    return len(full) > 1


def combined(instruction: Instruction, arguments: list[Expression]) -> Expression:
    """The operation of an instruction, applied to expressions."""
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
    if operation == "where":
        return where(*arguments)
    return getattr(arguments[0], operation)()
