"""A kernel for one example computes what its nest says, whichever axes its vectors lie along."""

import ctypes
from math import exp
from random import Random

import numpy as np
import pytest

from microgpt.engines.compiled.expressions import CELLS, GRADIENTS, INTEGERS, PARAMETERS, Expression, Load, loads_of
from microgpt.engines.compiled.llvm.emit import SPACES
from microgpt.engines.compiled.llvm.lanes import Lanes, possible_lanes
from microgpt.engines.compiled.llvm.machine import machine
from microgpt.engines.compiled.llvm.schedule import Schedule
from microgpt.engines.compiled.nest import BATCH, Bound, Nest
from microgpt.engines.trees import address

CHOICES = 3  # of an integer


class Writer:
    """Writes nests at random. `sizes` says how many numbers each space has by then."""

    def __init__(self, seed: int):
        self.random = Random(seed)
        self.sizes = dict.fromkeys((CELLS, PARAMETERS, GRADIENTS, INTEGERS), 0)
        axes = self.random.randint(1, 3)
        self.lengths = tuple([self.random.choice((1, 2, 3, 4, 5, 7, 8, 9, 16, 19, 33)) for _ in range(axes)])

    def load(self, space: str, axes: list[int], chosen: bool = False) -> Load:
        """An array over some axes, at the end of a space; maybe integers choose among several."""
        self.random.shuffle(axes)
        strides, size = [0] * len(self.lengths), 1
        for axis in axes:
            strides[axis] = size
            size *= self.lengths[axis] + self.random.randint(0, 1)
        chooser = self.load(INTEGERS, self.some_axes()) if chosen else None
        start = self.sizes[space]
        self.sizes[space] += size * (CHOICES if chosen else 1)
        for axis in axes:
            if self.random.random() < 0.1:  # from its end to its beginning
                start += strides[axis] * (self.lengths[axis] - 1)
                strides[axis] = -strides[axis]
        return Load(space, start, tuple(strides), chooser, size if chosen else 0, CHOICES if chosen else 1)

    def some_axes(self) -> list[int]:
        return [axis for axis in range(len(self.lengths)) if self.random.random() < 0.7]

    def nest(self) -> Nest:
        choose, long = self.random.random, [axis for axis, n in enumerate(self.lengths) if n > 1]
        bounds: list[Bound | None] = [None] * len(self.lengths)
        if len(long) > 1 and choose() < 0.5:
            bounded, other = self.random.sample(long, 2)
            bounds[bounded] = Bound(other, self.random.choice((1, 3, 8)), self.random.choice((1, 1, 2, -1)))
        apart = 0.1 if any(bounds) else 1.0  # vectors of bounded axes are made of results only
        target = self.load(CELLS if choose() > 0.5 * apart else GRADIENTS, self.some_axes(), choose() < 0.1 * apart)
        add = target.space == GRADIENTS or target.chooser is not None or choose() < 0.3
        expression = Expression("constant", (), 1.0)
        for _ in range(self.random.randint(1, 3)):
            space = CELLS if choose() > 0.5 * apart else PARAMETERS
            load = self.load(space, self.some_axes(), choose() < 0.2 * apart)
            leaf = Expression("load", (), load)
            leaf = leaf.exp() if choose() < 0.2 else leaf
            expression = expression * leaf if choose() < 0.5 else expression + leaf
        reduction = "sum" if add or choose() < 0.6 else "largest"
        return Nest(self.lengths, tuple(bounds), target, expression, add, reduction)


class Places:
    """Memory in which each array lies where it begins."""

    def __init__(self, loads: list[Load], lengths: tuple[int, ...]):
        self.size = 0
        self.ends = [(load.start + reach(load, lengths, -1), load.start + reach(load, lengths, 1)) for load in loads]

    def __call__(self, offset: int) -> int:
        return offset

    def in_one_region(self, first: int, last: int) -> bool:
        return any(start <= first and last <= end for start, end in self.ends)


def reach(load: Load, lengths: tuple[int, ...], sign: int) -> int:
    """How far a load goes from where it begins, up (1) or down (-1)."""
    return sum(stride * (n - 1) for stride, n in zip(load.strides, lengths, strict=True) if stride * sign > 0)


def place(load: Load, index: tuple[int, ...], memory: dict[str, np.ndarray]) -> int:
    """Where a load lies at an index."""
    where = load.start + sum(stride * i for stride, i in zip(load.strides, index, strict=True))
    return where + (load.step * int(memory[INTEGERS][place(load.chooser, index, memory)]) if load.chooser else 0)


def value(node: Expression, index: tuple[int, ...], memory: dict[str, np.ndarray]) -> float:
    """An expression at an index, computed number by number."""
    if node.operation == "load":
        return float(memory[node.what.space][place(node.what, index, memory)])
    if node.operation == "constant":
        return float(node.what)
    a, *b = [value(argument, index, memory) for argument in node.arguments]
    return exp(a) if node.operation == "exp" else a + b[0] if node.operation == "+" else a * b[0]


def indices(nest: Nest) -> list[tuple[int, ...]]:
    """The indices within the bounds."""
    limits = [(i, bound) for i, bound in enumerate(nest.bounds) if bound]
    found = np.ndindex(nest.lengths)
    return [index for index in found if all(index[i] < b.constant + b.step * index[b.of] for i, b in limits)]


def memory_for(nest: Nest, sizes: dict[str, int], seed: int, dtype: type) -> dict[str, np.ndarray]:
    """Random numbers where the nest reads and writes within its bounds, and NaN everywhere else."""
    rng = np.random.default_rng(seed)
    found = {space: np.full(size + 40, np.nan, dtype) for space, size in sizes.items()}
    found[INTEGERS] = rng.integers(0, CHOICES, sizes[INTEGERS] + 1)
    for load in (nest.target, *loads_of(nest.expression)):
        inside = np.ndindex(nest.lengths) if load is nest.target and nest.axes_summed() else indices(nest)
        for index in inside:
            found[load.space][place(load, index, found)] = rng.uniform(-1.0, 1.0)
    return found


def expected(nest: Nest, memory: dict[str, np.ndarray]) -> np.ndarray:
    """The space of the target after the nest, by its definition."""
    summed = nest.axes_summed()
    largest = nest.reduction == "largest" and bool(summed)
    found: dict[int, float] = {}
    kept_only = [bound is None or i in summed or bound.of in summed for i, bound in enumerate(nest.bounds)]
    for index in np.ndindex(nest.lengths) if all(kept_only) and summed else indices(nest):
        found[place(nest.target, index, memory)] = -np.inf if largest else 0.0
    for index in indices(nest):
        where, result = place(nest.target, index, memory), value(nest.expression, index, memory)
        found[where] = max(found[where], result) if largest else found[where] + result
    after = memory[nest.target.space].astype(np.float64)
    for where, result in found.items():
        after[where] = after[where] + result if nest.add else result
    return after


def assert_computed(seed: int, double: bool) -> None:
    """All kernels of a random nest, for all that its lanes may hold, compute what it says."""
    writer = Writer(seed)
    nest = writer.nest()
    loads = [load for load in (nest.target, *loads_of(nest.expression)) if load.space == CELLS]
    schedule = Schedule(1, double, Places(loads, nest.lengths), [])
    program, everything = schedule.structure(nest)
    fits = not any(nest.bounds) or all(schedule.fits(load, nest.lengths) for load in everything)
    possible = [Lanes(BATCH, 1, 1), *possible_lanes(nest, everything, 16 if double else 32, fits)]
    steps = [schedule.step_in(lanes, nest, program, everything, "") for lanes in possible]
    for lanes, step, kernel in zip(possible, steps, machine().prepare([step.shape for step in steps]), strict=True):
        memory = memory_for(nest, writer.sizes, seed, np.float64 if double else np.float32)
        after, nothing = expected(nest, memory), np.zeros(1)
        arrays = memory | {"a": np.array(step.packed(), np.int64)}
        pointers = [ctypes.c_void_p(address(arrays.get(space, nothing))) for space in SPACES]
        ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(SPACES))(kernel)(*pointers)
        tolerance = 1e-12 if double else 1e-4
        np.testing.assert_allclose(memory[nest.target.space], after, tolerance, tolerance, err_msg=f"{lanes}\n{nest}")


@pytest.mark.parametrize("double", [True, False], ids=["double", "single"])
@pytest.mark.parametrize("seed", range(6))
def test_random_nests_of_one_example(seed, double):
    assert_computed(seed, double)


@pytest.mark.slow
def test_more_random_nests_of_one_example():
    for seed in range(6, 100):
        assert_computed(seed, seed % 2 == 0)
