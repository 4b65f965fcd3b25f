"""Many training steps in one call of machine code: forward, backward, clipping and Adam, without Python in between.

The numbers are those of single steps, to the bit. A call ends before the first step whose loss or gradient may not be
finite: taken alone, that step names what went wrong.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import sqrt
from typing import Any

import numpy as np
from llvmlite import ir

from microgpt.engines.compiled.adam import VECTORS, WIDTH, CompiledAdam
from microgpt.engines.compiled.api import Compiled, examples, program_key
from microgpt.engines.compiled.expressions import CELLS, INTEGERS
from microgpt.engines.compiled.llvm.arguments import FRAME, Frame, loaded, packed
from microgpt.engines.compiled.llvm.emit import I64, Builder
from microgpt.engines.compiled.llvm.machine import machine
from microgpt.engines.compiled.llvm.run import PLACE, Program, storage
from microgpt.engines.compiled.llvm.threads import LOCK
from microgpt.engines.trees import address, checked_arguments

# The arguments of a call, and those of each of its steps: 64-bit integers, most of them addresses. A call takes the
# steps from the first to the end. Where the plan changes, a step zeroes the results that its plan reads but never
# writes. A step without frames has its gradient from several threads: only the first step may be such a one.
CALL = (
    "first",
    "end",
    "table",
    "numbers",
    "number_count",
    "norms",
    "clip",
    "driver",
    "squares",
    "update",
    "size",
    *VECTORS,
)
STEP = ("frames", "parts", "results", "batch", "x", "masked", "masked_count")
FINITE = 1e300  # a sum of sizes below it overflows in no order


class Vectors(Builder):
    """Writes loops over vectors of any length."""

    def over(self, count: Any, body: Callable[[Any, Any], None]) -> None:
        """body(index, kind) for each whole vector, then for each single number of the rest."""
        whole = self.sub(count, self.srem(count, I64(self.width)))
        self.each(I64(0), whole, self.width, lambda i: body(i, self.vector))
        self.each(whole, count, 1, lambda i: body(i, self.scalar))

    def zero(self, numbers: Any, count: Any) -> None:
        self.over(count, lambda i, kind: self.write(kind(0.0), numbers, i))


@dataclass(frozen=True)
class SquaresShape:
    """The kernel that sums the squares of a vector: number(numbers, count)."""

    double: bool

    def emit(self, module: ir.Module, name: str) -> None:
        number = ir.DoubleType() if self.double else ir.FloatType()
        function = ir.Function(module, ir.FunctionType(number, [number.as_pointer(), I64]), name)
        build = Vectors(function.append_basic_block(), self.double, WIDTH)
        numbers, count = function.args
        sums, first = [build.vector(0.0)] * 4, I64(0)  # several, because an addition waits for the one before
        for width in (WIDTH * len(sums), WIDTH):

            def body(index: Any, sums: list[Any]) -> list[Any]:
                places = [build.add(index, I64(WIDTH * i)) for i in range(len(sums))]
                return [
                    build.multiply_add(x, x, so_far)
                    for x, so_far in zip([build.read(numbers, place) for place in places], sums, strict=True)
                ]

            end = build.sub(count, build.srem(count, I64(width)))
            sums, first = build.loop(first, end, width, sums, body), end
            if len(sums) == 4:
                sums = [build.fadd(build.fadd(sums[0], sums[1]), build.fadd(sums[2], sums[3]))]

        def rest(index: Any, so_far: list[Any]) -> list[Any]:
            x = build.read(numbers, index, build.scalar)
            return [build.multiply_add(x, x, so_far[0])]

        (total,) = build.loop(first, count, 1, [build.across(sums[0])], rest)
        build.ret(total)


@dataclass(frozen=True)
class StepsShape:
    """The function that takes the steps of a call: it gets the call's arguments, and returns the step where it ends."""

    double: bool

    def emit(self, module: ir.Module, name: str) -> None:
        StepsKernel(module, name, self.double)


class StepsKernel(Vectors):
    def __init__(self, module: ir.Module, name: str, double: bool):
        function = ir.Function(module, ir.FunctionType(I64, [I64.as_pointer()]), name)
        super().__init__(function.append_basic_block(), double, WIDTH)
        self.given = loaded(self, function.args[0], CALL)
        self.vectors = [self.pointer(self.given[name]) for name in VECTORS]
        self.gradient = self.vectors[VECTORS.index("gradient")]
        self.each(self.given["first"], self.given["end"], 1, self.step)
        self.ret(self.given["end"])

    def pointer(self, integer: Any, kind: Any = None) -> Any:
        return self.inttoptr(integer, (kind or self.scalar).as_pointer())

    def called(self, name: str, result: Any, arguments: list[Any]) -> Any:
        """Call one of the given functions."""
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        return self.call(self.pointer(self.given[name], kind), arguments)

    def step(self, index: Any) -> None:
        """Take a step, or return from the function before what is not finite changes anything."""
        table = self.pointer(self.given["table"], I64)
        step = loaded(self, self.gep(table, [self.mul(index, I64(len(STEP)))]), STEP)
        with self.if_else(self.icmp_signed("==", step["frames"], I64(0))) as (several_threads, one_thread):
            with several_threads, self.if_then(self.icmp_signed("!=", index, self.given["first"])):
                self.ret(index)
            with one_thread:
                self.zero_masked(step)
                self.zero(self.gradient, self.mul(step["parts"], self.given["size"]))
                self.each(I64(0), step["parts"], 1, lambda part: self.run_part(step, part))
        self.each(I64(1), step["parts"], 1, self.add_part)
        square = self.called("squares", self.scalar, [self.gradient, self.given["size"]])
        norm = self.root(square if self.double else self.fpext(square, ir.DoubleType()))
        finite = self.and_(self.below(norm, float("inf")), self.below(self.sizes(step), FINITE))
        with self.if_then(self.not_(finite)):
            self.ret(index)
        self.store(norm, self.gep(self.pointer(self.given["norms"], ir.DoubleType()), [index]))
        self.shorten(norm)
        numbers = self.gep(self.pointer(self.given["numbers"]), [self.mul(index, self.given["number_count"])])
        self.called("update", ir.VoidType(), [*self.vectors, numbers, self.given["size"]])

    def below(self, x: Any, limit: float) -> Any:
        return self.fcmp_ordered("<", x, x.type(limit))

    def root(self, x: Any) -> Any:
        return self.call(self.module.declare_intrinsic("llvm.sqrt", [x.type]), [x])

    def zero_masked(self, step: dict[str, Any]) -> None:
        """Zero the regions that a table names."""
        table, x = self.pointer(step["masked"], I64), self.pointer(step["x"])

        def region(i: Any) -> None:
            start, count = (
                self.load(self.gep(table, [self.add(self.mul(i, I64(2)), I64(column))])) for column in range(2)
            )
            self.zero(self.gep(x, [start]), count)

        self.each(I64(0), step["masked_count"], 1, region)

    def run_part(self, step: dict[str, Any], part: Any) -> None:
        frame = self.gep(self.pointer(step["frames"], I64), [self.mul(part, I64(len(FRAME)))])
        self.called("driver", ir.VoidType(), [frame])

    def add_part(self, part: Any) -> None:
        """Add the gradient of a part to that of the first."""
        own = self.gep(self.gradient, [self.mul(part, self.given["size"])])

        def some(i: Any, kind: Any) -> None:
            self.write(self.fadd(self.read(self.gradient, i, kind), self.read(own, i, kind)), self.gradient, i)

        self.over(self.given["size"], some)

    def sizes(self, step: dict[str, Any]) -> Any:
        """The sum of the sizes of all losses of a batch."""

        def body(i: Any, so_far: list[Any]) -> list[Any]:
            loss = self.read(self.pointer(step["results"]), i, self.scalar)
            loss = loss if self.double else self.fpext(loss, ir.DoubleType())
            return [self.fadd(so_far[0], self.select(self.below(loss, 0.0), self.fneg(loss), loss))]

        return self.loop(I64(0), step["batch"], 1, [ir.DoubleType()(0.0)], body)[0]

    def shorten(self, norm: Any) -> None:
        """Multiply the gradient by clip / norm if its norm is beyond the limit, which is infinite if there is none."""
        clip = self.bitcast(self.given["clip"], ir.DoubleType())
        with self.if_then(self.fcmp_ordered(">", norm, clip)):
            factor = self.fdiv(clip, norm)
            factor = factor if self.double else self.fptrunc(factor, self.scalar)

            def some(i: Any, kind: Any) -> None:
                x = self.read(self.gradient, i, kind)
                self.write(self.fmul(*self.alike(x, factor)), self.gradient, i)

            self.over(self.given["size"], some)


@cache
def compiled(double: bool) -> tuple[Any, Any, int]:
    """The function that takes steps, and the one that sums squares, with its address."""
    steps, squares = machine().prepare([StepsShape(double), SquaresShape(double)])
    number, integer = ctypes.c_double if double else ctypes.c_float, ctypes.c_int64
    return ctypes.CFUNCTYPE(integer, integer)(steps), ctypes.CFUNCTYPE(number, integer, integer)(squares), squares


class Group:
    """The steps of a call whose batches have one form: the same dtypes and shapes. There may be room for some."""

    def __init__(
        self, program: Program, batch: list[np.ndarray], dtype: Any, threads: int, room: list[np.ndarray] | None
    ):
        self.program, self.size = program, len(batch[0]) if batch else 1
        self.plan, self.parts = program.plan_for(self.size, dtype, True)
        self.threads = threads if self.plan.tuner.choose(min(threads, self.parts)) > 1 else 1
        self.places: list[int] = []  # of its steps in the call
        self.arrays = room or [np.empty((16, *array.shape), array.dtype) for array in batch]  # the batches of its steps

    def append(self, place: int, batch: list[np.ndarray]) -> None:
        """Copy a batch: who draws the next one may change its arrays."""
        count, arrays = len(self.places), self.arrays
        if arrays and count == len(arrays[0]):
            self.arrays = arrays = [np.concatenate([array, np.empty_like(array)]) for array in arrays]
        for i, given in enumerate(batch):
            arrays[i][count] = given
        self.places.append(place)

    def prepare(self, p: np.ndarray, gradients: np.ndarray) -> None:
        """Make the frames of all steps. Raises IndexError, which names no row of a batch, as `examples` does."""
        count = len(self.places)
        arrays = [array[:count].reshape(-1, *array.shape[2:]) for array in self.arrays]
        _, self.integers, self.floats = examples(self.program, arrays, p.dtype)
        self.gradients = gradients[: self.parts]
        self.frames, self.results = self.plan.frames(p, self.integers, self.floats, self.size, self.gradients, count)
        self.left = iter(self.frames)  # of the steps that several threads run

    def run_next(self) -> None:
        """Compute the gradient of its next step on several threads."""
        frames = [Frame.from_buffer(row) for row in next(self.left)]
        self.plan.run_parts(frames, self.gradients, self.threads)

    def fill(self, table: np.ndarray, memory: tuple[int, int]) -> None:
        """Fill its steps into the table of a call, all but what depends on the steps before."""
        self.frames[..., PLACE[CELLS]], self.frames[..., PLACE[INTEGERS]] = memory
        following = np.arange(len(self.places))
        frames = address(self.frames) + following * self.frames.strides[0]
        values = {
            "frames": frames if self.threads == 1 else 0, "parts": self.parts,
            "results": address(self.results) + following * self.results.strides[0], "batch": self.size,
            "x": memory[0], "masked": address(self.plan.masked), "masked_count": len(self.plan.masked),
        }  # fmt: skip
        rows = np.empty((len(following), len(STEP)), np.int64)
        for column, value in enumerate(packed(STEP, values)):
            rows[:, column] = value
        table[self.places] = rows

    def losses(self) -> np.ndarray:
        """The mean loss of each step, to the bit as of a single one."""
        return np.add.reduce(self.results[:, 0, : self.size].astype(np.float64), axis=1) / self.size


class ManySteps:
    """Takes training steps together: `take` the batches that can go together, then `run` their steps.

    Attributes:
        waiting: the number of batches that wait.
    """

    def __init__(self, engine: Compiled, adam: CompiledAdam, clip: float):
        self.engine, self.adam, self.clip = engine, adam, np.array(clip or np.inf, np.float64)
        self.groups: dict[Any, Group | None] = {}
        self.rooms: dict[Any, list[np.ndarray]] = {}  # of earlier groups, by form: new memory would take longer
        self.begin()

    def begin(self) -> None:
        """Let no batch wait."""
        self.rooms |= {form: group.arrays for form, group in self.groups.items() if group is not None}
        self.groups = {}
        self.waiting = 0

    def batches(self, first: int) -> list[tuple[np.ndarray, ...]]:
        """The batches that wait, from one on."""
        found = {
            place: tuple([array[i] for array in group.arrays])
            for group in self.groups.values()
            if group is not None
            for i, place in enumerate(group.places)
        }
        return [found[place] for place in range(first, self.waiting)]

    def norm(self, gradient: np.ndarray) -> float:
        """The root of the sum of squares of a flat gradient, to the bit as in steps that go together."""
        _, squares, _ = compiled(gradient.dtype == np.float64)
        return sqrt(squares(address(gradient), gradient.size))

    def take(self, parameters: Any, batch: tuple[Any, ...]) -> bool:
        """Whether a batch can go with those that wait. Then it waits, too."""
        try:
            arrays = [array if type(array) is np.ndarray else np.asarray(array) for array in batch]
            form = tuple([(array.shape, array.dtype) for array in arrays])
            if form not in self.groups:
                self.groups[form] = self.group(parameters, arrays, self.rooms.get(form))
        except (TypeError, ValueError):  # its step raises the same, when it is taken alone
            return False
        group = self.groups[form]
        if group is None:
            return False
        group.append(self.waiting, arrays)
        self.waiting += 1
        return True

    def group(self, parameters: Any, batch: list[np.ndarray], room: list[np.ndarray] | None) -> Group | None:
        """A group for batches of this form, if their program is known."""
        given = self.engine.parameters(parameters)
        with LOCK:
            program = self.engine.known(program_key(given.structure, checked_arguments(tuple(batch))))
        if program is None or (self.engine.engine, True) not in program.verified_on:
            return None
        return Group(program, batch, given.dtype, self.engine.threads, room)

    def run(
        self, parameters: Any, vectors: tuple[np.ndarray, ...], first: int, rates: list[float]
    ) -> tuple[list[float], list[float]]:
        """Take the steps of the batches that wait, with these learning rates, and change the vectors in place.

        Args:
            vectors: the parameters, the two moments and the weight decay, flat.
            first: the number of the first step.

        Returns:
            The losses and the norms of the gradients: fewer than the batches, if a step has to be taken alone.
        """
        groups = [group for group in self.groups.values() if group is not None]
        with LOCK, np.errstate(all="ignore"):
            if self.engine.parameters(parameters).whole is not vectors[0]:
                return [], []
            self.adam.hold(vectors)
            gradients = storage(vectors[0].dtype, 0).for_gradients(
                max(group.parts for group in groups), vectors[0].size
            )
            try:
                for group in groups:
                    group.prepare(vectors[0], gradients)
            except IndexError:
                return [], []
            norms, losses = np.zeros((2, self.waiting))
            done = self.call(groups, norms, gradients, self.adam.numbers_of(first, rates))
            for group in groups:
                losses[group.places] = group.losses()
        return losses[:done].tolist(), norms[:done].tolist()

    def call(self, groups: list[Group], norms: np.ndarray, gradients: np.ndarray, numbers: np.ndarray) -> int:
        """Call the machine code, and again after each gradient of several threads; return the steps that are taken."""
        count, memory = len(norms), storage(gradients.dtype, 0)
        of, table = np.zeros(count, np.int64), np.zeros((count, len(STEP)), np.int64)
        addresses = memory.for_plans([group.plan for group in groups])
        for i, group in enumerate(groups):
            of[group.places] = i
            group.fill(table, addresses)
        table[1:][of[1:] == of[:-1], STEP.index("masked_count")] = 0
        steps, _, squares = compiled(gradients.dtype == np.float64)
        arguments = {
            "first": 0, "end": count, "table": address(table), "numbers": address(numbers),
            "number_count": numbers.shape[1], "norms": address(norms), "clip": int(self.clip.view(np.int64)),
            "driver": groups[0].plan.driver_address, "squares": squares, "update": self.adam.kernel_address,
            "size": gradients.shape[1],
            **dict(zip(VECTORS, (*self.adam.addresses, address(gradients)), strict=True)),
        }  # fmt: skip
        given, done, first = np.array(packed(CALL, arguments), np.int64), 0, -1
        # The machine code stops before steps of several threads, and for good before one that may not be finite.
        while first < done < count and (done == 0 or groups[of[done]].threads > 1):
            if groups[of[done]].threads > 1:
                if of[done] != of[done - 1]:
                    memory.owner = None
                groups[of[done]].run_next()
            given[CALL.index("first")] = first = done
            done = int(steps(address(given)))
        memory.owner = None
        return done
