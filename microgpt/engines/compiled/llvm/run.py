"""What ties the steps together: a function of scalars in, a program that runs on batches out.

A `Program` is made for one shape of example. For each size of block and each precision that it meets it has a `Plan`:
the kernels to run, in order, with their arguments.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from microgpt.engines.collector import collector_paused
from microgpt.engines.compiled.expressions import CELLS, CONSTANTS
from microgpt.engines.compiled.groups import Groups
from microgpt.engines.compiled.llvm.emit import FRAME, OUTPUT_SPACES, TABLES, DriverShape
from microgpt.engines.compiled.llvm.machine import machine
from microgpt.engines.compiled.llvm.matmul import product_step
from microgpt.engines.compiled.llvm.memory import Memory
from microgpt.engines.compiled.llvm.schedule import Schedule, Step
from microgpt.engines.compiled.llvm.threads import LOCK, Tuner
from microgpt.engines.compiled.nests import Nests
from microgpt.engines.compiled.record import Argument, Index, Record, Shapes
from microgpt.engines.compiled.recording import record_function
from microgpt.engines.trees import address, check_array

INTEGER = np.dtype(np.int64)
CACHE = 8_000_000  # bytes; a larger block is slower by an example than half of it
PARTS = 8  # into which the blocks of a batch are put at most, each with a gradient of its own


class Program:
    """A function of one example, compiled for one shape of it.

    Args:
        function: of the parameters and one example, in the five operations on scalars.
        shapes: the nesting of the parameters with shapes in place of arrays.
        arguments: the name, "int" or "float", and shape of each argument of an example.
        with_sources: whether to note the line of the function behind each operation, for a listing.
    """

    def __init__(
        self, function: Callable[..., Any], shapes: Shapes, arguments: list[Argument], with_sources: bool = False
    ):
        with LOCK, collector_paused():
            record = record_function(function, shapes, arguments, with_sources)
            self.arguments = arguments
            self.verified_on: set[str] = set()  # the engines on which it has computed what the function does
            self.form = record.form
            self.integers = record.names
            self.parameters = record.parameters
            self.returned = record.returned
            self.sources = record.sources
            self.operations = record.operations()
            self.integer_limits = integer_limits(record)
            self.groups = Groups(record)
            self.nests = Nests(self.groups)
        self.memories: dict[bool, Memory] = {}
        self.plans: dict[Any, Plan] = {}

    def always_there(self) -> list[int]:
        """Cells that have something before a program runs, or after it."""
        outputs = [cell for space, cell in self.groups.outputs if space == CELLS]
        return [*outputs, self.nests.seed, *([0] if self.groups.inputs else [])]

    def memory(self, with_gradient: bool) -> Memory:
        """Where everything lies."""
        if with_gradient not in self.memories:
            nests = self.nests
            everything = nests.forward + (nests.backward if with_gradient else [])
            self.memories[with_gradient] = Memory(nests.regions(), everything, self.always_there())
        return self.memories[with_gradient]

    def plan(self, block_size: int, dtype: Any, with_gradient: bool) -> "Plan":
        key = (block_size, dtype, with_gradient)
        if key not in self.plans:
            self.plans[key] = Plan(self, block_size, dtype, with_gradient)
        return self.plans[key]

    def run(
        self, p: np.ndarray, integers: np.ndarray, floats: np.ndarray, batch: int, threads: int, with_gradient: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Run the program on a batch.

        Args:
            p: all parameters, flat. integers, floats: those of each example, [batch, count], in rows.

        Returns:
            The results [outputs, batch] and, if wanted, the gradient of the mean of the first one, flat as p.
        """
        check_array("the vector of parameters", p, (self.parameters,), p.dtype)
        check_array("the array of integers", integers, (batch, len(self.integers)), INTEGER)
        check_array("the array of floats", floats, (batch, self.groups.inputs), p.dtype)
        with LOCK:
            block_size = block_size_for(batch, self.memory(with_gradient).size * p.itemsize)
            parts = min(-(-batch // block_size), PARTS)
            gradients = [np.zeros(len(p) if with_gradient else 0, p.dtype) for _ in range(parts)]
            results = self.plan(block_size, p.dtype, with_gradient).run(p, integers, floats, gradients, threads)
        for own in gradients[1:]:  # in this order, whichever thread computed them
            gradients[0] += own
        return results[:, :batch], gradients[0]


class Frame(ctypes.Structure):
    """What the driver is told. It has no attributes but its fields."""

    __slots__ = ()
    _fields_ = tuple((name, ctypes.c_int64) for name in FRAME)


class Plan:
    """A program for blocks of one size, in one precision."""

    def __init__(self, program: Program, block_size: int, dtype: Any, with_gradient: bool):
        self.program, self.block_size, self.dtype = program, block_size, np.dtype(dtype)
        self.memory = program.memory(with_gradient)
        self.tuner = Tuner()
        double = self.dtype == np.float64
        schedule = Schedule(block_size, double, self.memory, program.groups.constants)
        steps = steps_of(program.nests, schedule, with_gradient)
        packed = [step.packed() for step in steps]
        self.arguments = np.array([argument for step in packed for argument in step], np.int64)
        starts = address(self.arguments) + 8 * np.cumsum([0, *map(len, packed)])
        *kernels, driver = machine().prepare([*(step.shape for step in steps), DriverShape(double)])
        self.code = np.array([[kernel, start] for kernel, start in zip(kernels, starts, strict=False)], np.int64)
        self.tables = np.concatenate([*schedule.tables, np.zeros(0, np.int64)])
        with np.errstate(over="ignore"):  # a constant too large for float32 becomes an infinity, for all to see
            self.constants = np.array(schedule.constants).astype(self.dtype)
        self.outputs = np.array([
            (OUTPUT_SPACES.index(space), self.memory(start) * block_size if space == CELLS else start)
            for space, start in program.groups.outputs
        ], np.int64)  # fmt: skip
        self.driver = ctypes.CFUNCTYPE(None, ctypes.POINTER(Frame))(driver)
        self.frame = Frame(
            code=address(self.code), steps=len(steps), block_size=block_size, fill=with_gradient,
            input_count=program.groups.inputs, integer_count=len(program.integers),
            seed=self.memory(program.nests.seed) * block_size,
            outputs=address(self.outputs), output_count=len(self.outputs),
            **{CONSTANTS: address(self.constants), TABLES: address(self.tables)},
        )  # fmt: skip

    def run(
        self, p: np.ndarray, integers: np.ndarray, floats: np.ndarray, gradients: list[np.ndarray], threads: int
    ) -> np.ndarray:
        """The results of a batch, [outputs, examples of whole blocks]; its parts add to the gradients, one each."""
        batch, parts = len(floats), len(gradients)
        blocks = -(-batch // self.block_size)
        results = np.empty((len(self.outputs), blocks * self.block_size), self.dtype)
        whole = Frame.from_buffer_copy(self.frame)
        whole.batch, whole.p = batch, address(p)
        whole.inputs, whole.integers, whole.results = address(floats), address(integers), address(results)
        whole.width = results.shape[1]

        def run_part(part: int, slot: int) -> None:
            frame = Frame.from_buffer_copy(whole)
            frame.x, frame.i = storage(self.dtype, slot).for_plan(self)
            frame.g = address(gradients[part])
            frame.first_block, frame.end_block = part * blocks // parts, (part + 1) * blocks // parts
            self.driver(frame)

        if parts == 1:
            run_part(0, 0)
        else:
            self.tuner.run(run_part, parts, threads)
        return results


def steps_of(nests: Nests, schedule: Schedule, with_gradient: bool) -> list[Step]:
    """The kernels that run these nests."""
    checked = "derivative" if with_gradient else "power"
    steps = []
    for nest in nests.forward + (nests.backward if with_gradient else []):
        product = product_step(nest, schedule.block_size, schedule.double, schedule.start, nests.is_masked)
        steps.append(product or schedule.step(nest, "" if nest.backward else checked))
    return steps


class Storage:
    """The memory of a block for one thread, in one precision."""

    def __init__(self, dtype: np.dtype[Any]):
        self.cells = np.zeros(0, dtype)
        self.integers = np.zeros(0, np.int64)
        self.owner: Any = None

    def for_plan(self, plan: Plan) -> tuple[int, int]:
        """The addresses of cells and integers, made ready for a plan: what it never writes is zero."""
        if self.owner is not plan:
            cells, integers = plan.memory.size * plan.block_size, len(plan.program.integers) * plan.block_size
            if len(self.cells) < cells:
                self.cells = aligned(cells, plan.dtype)
            else:
                for start, size in plan.memory.masked:
                    self.cells[start * plan.block_size : (start + size) * plan.block_size] = 0
            if len(self.integers) < integers:
                self.integers = np.zeros(integers, np.int64)
            self.owner = plan
            self.addresses = address(self.cells), address(self.integers)
        return self.addresses


@cache
def storage(dtype: np.dtype[Any], slot: int) -> Storage:
    """The storage of a thread. All programs share it, because one runs after the other, and a warm cache is faster."""
    return Storage(dtype)


def aligned(size: int, dtype: np.dtype[Any]) -> np.ndarray:
    """Zeros that begin where a vector register's worth of memory begins."""
    array = np.zeros(size + 64, dtype)
    skipped = -address(array) % 256 // dtype.itemsize
    return array[skipped : skipped + size]


def block_size_for(batch: int, size: int) -> int:
    """How many examples go side by side, of so many bytes each.

    So many that few places stay empty, that two threads have something to do, and that a block fits into the cache.
    """
    for most, block_size in ((1, 1), (4, 4), (8, 8), (12, 12), (16, 8), (32, 16)):
        if batch <= most:
            return block_size
    return 32 if 32 * size <= CACHE else 16


def integer_limits(record: Record) -> np.ndarray:
    """For each integer of an example how many candidates the shortest list has that it picks from."""
    limits = np.full(len(record.names), np.iinfo(np.int64).max)
    for place, count in record.picks:
        places = np.array([place.constant if type(place) is Index else place])
        for axis, step in place.terms if type(place) is Index else ():
            places = (places[:, None] + step * np.arange(axis.n)).ravel()
        limits[places] = np.minimum(limits[places], count)
    return limits
