"""The optimizer at the speed of the rest: the function `adam` of microgpt/adam.py, compiled for all parameters at once.

The function is the one from the book, unchanged. It is called once, on expressions in place of numbers; what it
computes of them becomes three kernels: the new parameter, the new m and the new v.
"""

import ctypes
from functools import lru_cache
from typing import Any

import numpy as np

from microgpt.adam import adam
from microgpt.compiler.emit import LeafShape, LoopShape, NestShape, emit_nest, function_type, structure_of
from microgpt.compiler.expressions import Expression, Load, loads_of, rebuilt
from microgpt.compiler.lower import WIDTHS
from microgpt.compiler.machine import machine

VECTORS = ("parameter", "gradient", "m", "v", "weight_decay")


class Recorded:
    """Numbers that are the same for all parameters, but change from step to step."""

    def __init__(self) -> None:
        self.of_step: list[Any] = []  # functions of the step and the learning rate

    def number(self, function: Any) -> Expression:
        self.of_step.append(function)
        return Expression("load", (), Load("c", len(self.of_step) - 1, ()))


class Step:
    """The number of the step, of which only powers are taken: base ** step."""

    def __init__(self, recorded: Recorded):
        self.recorded = recorded

    def __rpow__(self, base: float) -> Expression:
        return self.recorded.number(lambda step, _: base**step)


@lru_cache(maxsize=2)
def kernels(double: bool) -> tuple[list[Any], Recorded]:
    """For each of the three results which vector it is, and its kernel for whole vectors and for single numbers.

    A kernel is a function and what it reads: (space, place).
    """
    recorded = Recorded()
    leaves = {name: Expression("load", (), Load("x", i, ())) for i, name in enumerate(VECTORS)}
    rate = recorded.number(lambda _, learning_rate: learning_rate)
    results = adam(
        leaves["parameter"], leaves["gradient"], leaves["m"], leaves["v"], Step(recorded), rate,  # type: ignore[arg-type]
        weight_decay=leaves["weight_decay"],
    )  # fmt: skip
    shapes = []
    known: dict[Any, Expression] = {}
    for result in results:
        expression = rebuilt(result, lambda load: Expression("load", (), load), known)
        loads = loads_of(expression)
        numbers = {load: i for i, load in enumerate(loads)}
        leaf_shapes = tuple(LeafShape(load.space, ()) for load in loads)
        for width in (WIDTHS[1], 1):
            shapes.append(
                (NestShape((LoopShape(-1),), leaf_shapes, LeafShape("x", ()), structure_of(expression, numbers),
                           False, "sum", False, width, double), [(load.space, load.start) for load in loads])
            )  # fmt: skip
    m = machine()
    m.prepare([shape for shape, _ in shapes], lambda shape: emit_nest)
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(function_type(double).args))
    ready = [(call(m.addresses[shape]), loads) for shape, loads in shapes]
    results_are = [VECTORS.index(name) for name in ("parameter", "m", "v")]  # the first is made of the others before
    return [(r, ready[2 * i], ready[2 * i + 1]) for i, r in enumerate(results_are)], recorded


def compiled_adam(
    parameter: np.ndarray,
    gradient: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    step: int,
    learning_rate: float,
    weight_decay: np.ndarray,
) -> None:
    """One step of Adam on flat vectors, in place: the same as `microgpt.training.adam_in_chunks`."""
    vectors = (parameter, gradient, m, v, weight_decay)
    if not all(vector.dtype == parameter.dtype and vector.flags.c_contiguous for vector in vectors):
        raise TypeError("the vectors of Adam must be contiguous, and of one dtype")
    functions, recorded = kernels(parameter.dtype == np.float64)
    numbers = [function(step, learning_rate) for function in recorded.of_step]
    with np.errstate(all="ignore"):  # what is not finite shows in the next loss
        constants = np.array(numbers).astype(parameter.dtype)
    where = constants.__array_interface__["data"][0]
    starts = [vector.__array_interface__["data"][0] // vector.itemsize for vector in vectors]
    size, width = len(parameter), WIDTHS[1]
    whole = size - size % width
    for result, of_vectors, of_numbers in functions:
        for function, loads, first, count in ((*of_vectors, 0, whole), (*of_numbers, whole, size - whole)):
            if count:
                reads = [place if space == "c" else starts[place] + first for space, place in loads]
                arguments = (ctypes.c_int64 * (len(reads) + 2))(count, starts[result] + first, *reads)
                function(None, None, None, where, None, None, arguments)
