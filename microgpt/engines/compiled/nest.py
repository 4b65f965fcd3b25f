"""The loop nest: what a program consists of, and what machine code, PyTorch and C are made from.

    i < 16, j < 96: x6[16 j + i] = sum over k < 32: weight[96 k + j]·x5[16 k + i]

For each index of some axes it computes an expression of loads, and stores or adds the result. Loads and the target are
strided: rows, columns, slices and transposes look alike. A nest knows the matrix product that it is, and how its axes
walk through an array. Along all of them runs the batch, an axis that is not written down.

A loop that carries a state is an axis of its nests, too: `within` names it. Each turn runs one nest after the other,
each at the index of the turn.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import prod
from string import ascii_lowercase
from typing import Any

import numpy as np

from microgpt.engines.compiled.expressions import (
    CELLS,
    INTEGERS,
    PARAMETERS,
    Expression,
    Load,
    rebuilt,
    replace,
    structure_of,
    text_of,
)

BATCH = -1  # the batch as an axis


@dataclass(frozen=True)
class Bound:
    """An index stays below `constant + step * (index of axis `of`)`."""

    of: int
    constant: int
    step: int


@dataclass(frozen=True, eq=False)
class Turns:
    """A loop whose turns run one after the other, because each begins with what the one before has made."""

    length: int
    reverse: bool = False  # the last turn first


Within = tuple[tuple[Turns, int], ...]  # the loops around something, the outermost first, and the axis of each


@dataclass(frozen=True)
class Array:
    """The cells of a result: from `start` on, with the lengths and strides of its axes, the outermost first."""

    start: int
    lengths: tuple[int, ...]
    strides: tuple[int, ...]
    bounds: tuple[Bound | None, ...] = ()  # of its axes, if there are any: beyond them it is zero
    within: Within = ()  # a turn makes the part of the array at its index; a state has one index more

    @property
    def size(self) -> int:
        return prod(self.lengths)

    def state(self) -> bool:
        """Whether it is a state of the innermost loop around it: what one turn has made, and the next begins with."""
        return bool(self.within) and self.lengths[self.within[-1][1]] != self.within[-1][0].length


@dataclass
class Nest:
    """For each index of some axes: an expression, which is stored or added.

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
    within: Within = ()  # each turn of these loops computes the part at its index
    whole: "Nest | None" = None  # which it is a part of: its kernel is chosen for that one
    of_data: bool = False  # no power in it depends on a parameter: what it is at 0 matters, but not its derivative

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
        factor, loads = factors_of(self.expression)
        if not loads or self.reduction != "sum" or any(x.table or x.chooser for x in (self.target, *loads)):
            return None
        a, b = sorted(loads, key=lambda load: load.space != PARAMETERS)
        turns = [axis for _, axis in self.within]
        lengths = tuple([1 if i in turns else n for i, n in enumerate(self.lengths)]) if turns else self.lengths
        in_target, in_a, in_b = (moving(load, lengths) for load in (self.target, a, b))
        rows, columns, terms = in_target & in_a - in_b, in_target & in_b - in_a, in_a & in_b - in_target
        outer = in_target & in_a & in_b
        if not (rows and columns and terms) or rows | columns | terms | outer != in_target | in_a | in_b:
            return None
        return Product(factor, a, b, rows, columns, terms, outer)

    def axes_summed(self) -> list[int]:
        """The axes along which the target stays where it is."""
        moves = moving(self.target, self.lengths)
        return [i for i, n in enumerate(self.lengths) if n > 1 and i not in moves]

    def text(self, name: Callable[[str, int], tuple[str, int]]) -> str:
        """The nest as a line. `name` returns the name of the array in which a start lies, and where in it."""
        letters = dict(zip([i for i, n in enumerate(self.lengths) if n > 1], ascii_lowercase[8:], strict=False))

        def place(load: Load) -> str:
            array, start = name(load.space, load.start) if load.table is None else (f"{load.space} table[i]", 0)
            steps = [(s, letters[i]) for i, s in enumerate(load.strides) if i in letters and s]
            parts = [letter if step == 1 else f"{step} {letter}" for step, letter in sorted(steps, reverse=True)]
            parts += [f"{load.step} {place(load.chooser)}"] if load.chooser else []
            return f"{array}[{' + '.join([*parts, *([str(start)] if start or not parts else [])])}]"

        def axes(numbers: Sequence[int]) -> str:
            limits = []
            for i in numbers:
                bound = self.bounds[i]
                limit = f"{bound.step} {letters[bound.of]} + {bound.constant}" if bound else str(self.lengths[i])
                limits.append(f"{letters[i]} < {limit.removeprefix('1 ')}")
            return ", ".join(limits)

        summed = self.axes_summed()
        over = f"{self.reduction} over {axes(summed)}: " if summed else ""
        stored = f"{place(self.target)} {'+=' if self.add else '='} {over}{text_of(self.expression, place)}"
        outside = axes([i for i in letters if i not in summed])
        return f"{outside}: {stored}" if outside else stored

    def __str__(self) -> str:
        return self.text(lambda space, start: (space, start))


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


def cells_of(load: Load, lengths: tuple[int, ...]) -> np.ndarray:
    """Where a load lies for each index of a nest; of length 1 along the axes along which it does not move.

    If an integer chooses, the last axis has all choices.
    """
    found = np.full([1] * len(lengths), load.start if load.table is None else 0, np.int64)
    for i, (n, stride) in enumerate(zip(lengths, load.strides, strict=True)):
        along = load.table.starts if load.table is not None and i == 0 else stride * np.arange(n if stride else 1)
        found = found + along.reshape([-1 if j == i else 1 for j in range(len(lengths))])
    return found if load.chooser is None else found[..., None] + load.step * np.arange(load.choices)


def at_turn(nest: Nest, turn: Sequence[int], known: dict[Any, Expression]) -> Nest:
    """The part of a nest that a turn computes, given the indices of the outermost loops: 0 along their axes."""
    index = {axis: i for (_, axis), i in zip(nest.within, turn, strict=False)}

    def moved(load: Load) -> Load:
        return replace(load, start=load.start + sum(load.strides[axis] * i for axis, i in index.items()))

    lengths, bounds = list(nest.lengths), list(nest.bounds)
    for axis, bound in enumerate(nest.bounds):
        if bound is not None and bound.of in index:
            bounds[axis] = replace(bound, constant=bound.constant + bound.step * index[bound.of])
    for axis in index:
        lengths[axis] = 1
    return replace(nest.over(lengths, bounds, moved, known), within=nest.within[len(index) :])


def in_loops(nests: Sequence[Nest], depth: int = 0) -> Iterator[tuple[Turns | None, list[Nest]]]:
    """Nests in order, those of one loop together: the loop around them at a depth, or None."""

    def loop(nest: Nest) -> Turns | None:
        return nest.within[depth][0] if len(nest.within) > depth else None

    return ((turns, list(group)) for turns, group in groupby(nests, loop))


def loops_of(one: Any) -> list[Turns]:
    """The loops around a nest, or around what makes an array."""
    return [turns for turns, _ in one.within]


def squeezed(nest: Nest, known: dict[Any, Expression]) -> Nest:
    """A nest without its axes of length 1."""
    keep = [i for i, n in enumerate(nest.lengths) if n > 1]

    def moved(load: Load) -> Load:
        table = load.table if 0 in keep else None
        return replace(load, strides=tuple([load.strides[i] for i in keep]), table=table)

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


def factors_of(expression: Expression) -> tuple[float, list[Load]]:
    """The constant and the two loads whose product an expression is; no loads if it is none."""
    program, loads = structure_of(expression)
    factor, (operation, _, arguments) = 1.0, program[-1]
    while operation == "*" and program[arguments[1]][0] == "constant":
        factor, (operation, _, arguments) = factor * program[arguments[1]][1], program[arguments[0]]
    found = [loads[program[one][1]] for one in arguments if program[one][0] == "load"] if operation == "*" else []
    return factor, found if len(found) == 2 else []


def single(parts: list[list[Part]]) -> list[Part | None] | None:
    """The only part of each axis, or None where it does not move; None if an axis has several parts."""
    return None if any(len(own) > 1 for own in parts) else [own[0] if own else None for own in parts]


def is_zero_beyond(load: Load, nest: Nest, array: Array) -> bool:
    """Whether a load reads zeros beyond the bounds of a nest: they are bounds of its array."""
    grid = None if load.chooser or not array.bounds else delinearize(load, nest.lengths, array)
    parts = grid and single(grid[1])
    if not grid or not parts:
        return False
    for axis, bound in enumerate(nest.bounds):
        if bound is None or nest.lengths[axis] == 1:
            continue
        own, other = parts[axis], parts[bound.of]
        if own is None or other is None or (own.step, other.step) != (1, 1) or grid[0][own.of] or grid[0][other.of]:
            return False
        if array.bounds[own.of] != replace(bound, of=other.of):
            return False
    return True
