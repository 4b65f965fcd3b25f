"""Adam as it stands in the book, compiled: one kernel that takes a step for all parameters.

The function `adam` is called once, on expressions in place of numbers. It returns three more, for the new parameter, m
and v, and the kernel computes these for every parameter.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import cache, lru_cache, partial
from itertools import combinations
from operator import is_
from typing import Any

import numpy as np
from llvmlite import ir

from microgpt.adam import adam
from microgpt.engines.compiled.expressions import CELLS, CONSTANTS, Expression, Load, shared, structure_of
from microgpt.engines.compiled.llvm.emit import I64, Builder, fused
from microgpt.engines.compiled.llvm.machine import machine
from microgpt.engines.compiled.llvm.threads import LOCK
from microgpt.engines.trees import address, check_array
from microgpt.errors import InputError

VECTORS = ("parameter", "m", "v", "weight_decay", "gradient")  # the first three change
WIDTH = 16  # numbers that are computed side by side
DIGITS = Context(prec=40)


class StepNumbers:
    """Numbers that are the same for all parameters, but change from step to step.

    In the place of the step it gives its powers, base ** step, which is all that Adam takes of it.
    """

    def __init__(self, double: bool) -> None:
        self.power = exact_power if double else pow  # rounded to single precision, both are the same
        self.functions: list[Callable[[int, float], float]] = []  # of the step and the learning rate

    def number(self, function: Callable[[int, float], float]) -> Expression:
        self.functions.append(function)
        return Expression("load", (), Load(CONSTANTS, len(self.functions) - 1, ()))

    def __rpow__(self, base: float) -> Expression:
        return self.number(lambda step, _: self.power(base, step))


@lru_cache(1024)
def digits(base: float, exponent: int) -> Decimal:
    return DIGITS.power(Decimal(base), exponent)


def exact_power(base: float, step: int) -> float:
    """base ** step, rounded right. That of the system differs from one to the next in the last bit."""
    if not 0 < base < 1:
        return float(base**step)
    low = step % 256
    return float(DIGITS.multiply(digits(base, step - low), digits(base, low)))


@dataclass(frozen=True)
class RuleShape:
    """The structure of an update rule. Its kernel gets the vectors, the numbers of the step, and a length."""

    program: tuple[Any, ...]  # the nodes of its results, as in NestShape
    loads: tuple[Load, ...]
    results: tuple[int, ...]  # the nodes that are the new parameter, m and v
    double: bool

    def emit(self, module: ir.Module, name: str) -> None:
        number = (ir.DoubleType() if self.double else ir.FloatType()).as_pointer()
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [*[number] * (len(VECTORS) + 1), I64]), name)
        *pointers, count = function.args
        for pointer in pointers:
            pointer.add_attribute("noalias")
        block, first = function.append_basic_block(), I64(0)
        for width in (WIDTH, 1):
            build = Builder(block, self.double, width)
            end = build.sub(count, build.srem(count, I64(width)))
            build.each(first, end, width, partial(self.emit_step, build, pointers))
            block, first = build.block, end
        build.ret_void()

    def fused(self) -> list[Any]:
        """The program, with products that are part of sums. What no vector changes stays by itself."""
        depths: list[int] = []
        for operation, what, arguments in self.program:
            own = 0 if operation == "load" and self.loads[what].space == CELLS else -1
            depths.append(max((depths[a] for a in arguments), default=own))
        *nodes, _ = fused([*self.program, ("results", None, self.results)], [*depths, 0])
        return nodes

    def emit_step(self, build: Builder, pointers: list[Any], i: Any) -> None:
        """Compute the results for the parameters from i on, and store them."""
        *vectors, numbers = pointers
        values: list[Any] = []
        for node in self.fused():
            if node is None:
                values.append(None)
                continue
            operation, what, arguments = node
            if operation == "load" and self.loads[what].space == CELLS:
                values.append(build.read(vectors[self.loads[what].start], i))
            elif operation == "load":
                values.append(build.read(numbers, I64(self.loads[what].start), build.scalar))
            elif operation == "constant":
                values.append(build.number(what))
            else:
                values.append(build.apply(operation, what, [values[a] for a in arguments], ""))
        for vector, result in zip(vectors, self.results, strict=False):
            build.write(build.spread(values[result]), vector, i)


@cache
def compiled(rule: Callable[..., Any], double: bool) -> tuple[int, Any, list[Callable[[int, float], float]]]:
    """The kernel of an update rule: its address, how to call it, and the numbers of a step that it is given."""
    numbers = StepNumbers(double)
    rate = numbers.number(lambda _, learning_rate: learning_rate)
    leaves = {name: Expression("load", (), Load(CELLS, i, ())) for i, name in enumerate(VECTORS)}
    results = shared(Expression("results", rule(**leaves, step=numbers, learning_rate=rate)), {})
    (*program, (_, _, places)), loads = structure_of(results)
    (kernel,) = machine().prepare([RuleShape(tuple(program), loads, places, double)])
    pointers = [ctypes.c_void_p] * (len(VECTORS) + 1)
    return kernel, ctypes.CFUNCTYPE(None, *pointers, ctypes.c_int64)(kernel), numbers.functions


class CompiledAdam:
    """An update rule for `train`: takes one step of Adam on flat vectors, in place.

    It keeps the addresses of the vectors, which are the same from step to step, and checks new ones. Raises InputError,
    naming it, for a vector that is not as long as the parameters, or of another dtype.
    """

    def __init__(self, rule: Callable[..., Any] = adam) -> None:
        self.rule = rule
        self.vectors: tuple[np.ndarray, ...] = ()
        self.shape = (0,)

    def __call__(
        self,
        parameter: np.ndarray,
        gradient: np.ndarray,
        m: np.ndarray,
        v: np.ndarray,
        step: int,
        learning_rate: float,
        weight_decay: np.ndarray,
    ) -> None:
        vectors = (parameter, m, v, weight_decay)
        with LOCK:  # another thread may train with the same rule
            self.hold(vectors)
            flags = gradient.flags
            if gradient.dtype != self.dtype or not (flags.c_contiguous and flags.aligned):
                gradient = np.array(gradient, self.dtype, order="C")
            if gradient.shape != self.shape:
                raise InputError(f"gradient has shape {gradient.shape}: expected {self.shape}, as the parameters")
            if any([np.may_share_memory(gradient, vector) for vector in vectors]):
                gradient = gradient.copy()  # what is written must not change it
            numbers = self.numbers_of(step, [learning_rate])
            self.kernel(*self.addresses, address(gradient), address(numbers), parameter.size)

    def numbers_of(self, first: int, rates: list[float]) -> np.ndarray:
        """The numbers of some steps, [steps, count], from a first one on, with their learning rates."""
        with np.errstate(all="ignore"):  # what is not finite shows in the next loss
            steps = range(first, first + len(rates))
            columns = np.array([list(map(function, steps, rates)) for function in self.numbers])
            return columns.T.astype(self.dtype, order="C")

    def hold(self, vectors: tuple[np.ndarray, ...]) -> None:
        """Keep the addresses of the vectors, and check those that are new."""
        if self.vectors and all(map(is_, vectors, self.vectors)) and all([x.shape == self.shape for x in vectors]):
            return
        self.vectors = ()
        self.dtype, self.shape = vectors[0].dtype, (vectors[0].size,)
        if self.dtype not in (np.float32, np.float64):
            raise InputError(f"parameter has dtype {self.dtype}: expected float32 or float64")
        for name, vector in zip(VECTORS, vectors, strict=False):
            check_array(name, vector, self.shape, self.dtype, written=name != "weight_decay")
        if any(np.may_share_memory(a, b) for a, b in combinations(vectors, 2)):
            raise InputError("parameter, m, v and weight_decay of Adam share memory: give each an array of its own")
        self.kernel_address, self.kernel, self.numbers = compiled(self.rule, self.dtype == np.float64)
        self.addresses = [address(vector) for vector in vectors]
        self.vectors = vectors
