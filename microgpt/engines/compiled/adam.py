"""The optimizer at the speed of the rest: the function `adam` of microgpt/adam.py, compiled for all parameters at once.

The function is the one from the book, unchanged. It is called once, on expressions in place of numbers; what it
computes of them becomes three kernels: the new parameter, the new m and the new v.
"""

import ctypes
import operator
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np

from microgpt.adam import adam
from microgpt.engines.compiled.expressions import CELLS, CONSTANTS, Expression, Load, loads_of, rebuilt
from microgpt.engines.compiled.llvm.emit import LeafShape, LoopShape, NestShape, function_type, structure_of
from microgpt.engines.compiled.llvm.machine import machine
from microgpt.engines.compiled.llvm.schedule import WIDTHS
from microgpt.engines.trees import address, check_array
from microgpt.errors import InputError

VECTORS = ("parameter", "gradient", "m", "v", "weight_decay")


class Recorded:
    """Numbers that are the same for all parameters, but change from step to step."""

    def __init__(self) -> None:
        self.of_step: list[Any] = []  # functions of the step and the learning rate

    def number(self, function: Any) -> Expression:
        self.of_step.append(function)
        return Expression("load", (), Load(CONSTANTS, len(self.of_step) - 1, ()))


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
    leaves = {name: Expression("load", (), Load(CELLS, i, ())) for i, name in enumerate(VECTORS)}
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
                (NestShape((LoopShape(-1),), leaf_shapes, LeafShape(CELLS, ()), structure_of(expression, numbers),
                           False, "sum", "", width, double), [(load.space, load.start) for load in loads])
            )  # fmt: skip
    m = machine()
    m.prepare([shape for shape, _ in shapes])
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
    """One step of Adam on flat vectors, in place: the same as `microgpt.learning.training.adam_in_chunks`.

    Raises InputError, naming it, for a vector that is not as long as the parameters, or of another dtype.
    """
    global LAST
    prepared = LAST
    if prepared is None or not prepared.serves(parameter, m, v, weight_decay):
        prepared = LAST = Prepared(parameter, m, v, weight_decay)
    prepared.run(gradient, step, learning_rate)


class Prepared:
    """The kernels with their arguments, for vectors that stay where they are from step to step."""

    def __init__(self, parameter: np.ndarray, m: np.ndarray, v: np.ndarray, weight_decay: np.ndarray):
        self.vectors = (parameter, m, v, weight_decay)
        self.dtype, self.shape = parameter.dtype, (parameter.size,)
        if self.dtype not in (np.float32, np.float64):
            raise InputError(f"parameter has dtype {self.dtype}: expected float32 or float64")
        for name, vector in zip(("parameter", "m", "v", "weight_decay"), self.vectors, strict=True):
            check_array(name, vector, self.shape, self.dtype, written=name != "weight_decay")
        self.starts = [self.start(vector) for vector in self.vectors]
        if any(abs(a - b) < parameter.size for a, b in combinations(self.starts, 2)):
            raise InputError("parameter, m, v and weight_decay of Adam share memory: give each an array of its own")
        functions, self.recorded = kernels(self.dtype == np.float64)
        self.made_of = functions
        at = dict(zip(("parameter", "m", "v", "weight_decay"), self.starts, strict=True))
        starts = [at.get(name, 0) for name in VECTORS]
        whole = len(parameter) - len(parameter) % WIDTHS[1]
        self.calls = []  # (function, arguments, where in them the gradient begins, with which element)
        for result, of_vectors, of_numbers in functions:
            pieces = (*of_vectors, 0, whole), (*of_numbers, whole, len(parameter) - whole)
            for function, loads, first, count in pieces:
                if count:
                    reads = [place if space == CONSTANTS else starts[place] + first for space, place in loads]
                    arguments = (ctypes.c_int64 * (len(reads) + 2))(count, starts[result] + first, *reads)
                    gradient = [i + 2 for i, load in enumerate(loads) if load == (CELLS, VECTORS.index("gradient"))]
                    self.calls.append((function, arguments, gradient, first))

    def start(self, vector: np.ndarray) -> int:
        """Where a vector begins, in elements."""
        return address(vector) // self.dtype.itemsize

    def serves(self, *vectors: np.ndarray) -> bool:
        """Whether these are the same vectors, and the rule is the same."""
        return (
            all(map(operator.is_, vectors, self.vectors))
            and all([vector.shape == self.shape for vector in vectors])
            and kernels(self.dtype == np.float64)[0] is self.made_of
        )

    def run(self, gradient: np.ndarray, step: int, learning_rate: float) -> None:
        flags = gradient.flags
        if gradient.dtype != self.dtype or not (flags.c_contiguous and flags.aligned):
            gradient = np.array(gradient, self.dtype, order="C")
        if gradient.shape != self.shape:
            raise InputError(f"gradient has shape {gradient.shape}: expected {self.shape}, as the parameters")
        start = self.start(gradient)
        if any([abs(start - other) < gradient.size for other in self.starts]):
            gradient = gradient.copy()  # what is written must not change it
            start = self.start(gradient)
        numbers = [function(step, learning_rate) for function in self.recorded.of_step]
        with np.errstate(all="ignore"):  # what is not finite shows in the next loss
            constants = np.array(numbers).astype(self.dtype)
        where = address(constants)
        for function, arguments, places, first in self.calls:
            for place in places:
                arguments[place] = start + first
            function(None, None, None, where, None, None, arguments)


LAST: Prepared | None = None
