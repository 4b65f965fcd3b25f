"""What ties the steps together: a function of scalars in, a program that runs on batches out.

A `Program` is made for one shape of example. For each size of block and each precision that it meets it has a `Plan`:
the kernels to run, in order, with their arguments.
"""

import ctypes
from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from microgpt.engines.collector import collector_paused
from microgpt.engines.compiled.expressions import CELLS, CONSTANTS, GRADIENTS, INTEGERS, PARAMETERS
from microgpt.engines.compiled.groups import Groups
from microgpt.engines.compiled.llvm import emit
from microgpt.engines.compiled.llvm.machine import machine
from microgpt.engines.compiled.llvm.matmul import product_step
from microgpt.engines.compiled.llvm.memory import Memory
from microgpt.engines.compiled.llvm.schedule import Schedule
from microgpt.engines.compiled.llvm.threads import Lock, Team
from microgpt.engines.compiled.nests import Nests
from microgpt.engines.compiled.record import Argument, Index, Record, Shapes
from microgpt.engines.compiled.recording import record_function
from microgpt.engines.trees import address, check_array

INTEGER = np.dtype(np.int64)
CACHE = 8_000_000  # bytes; a larger block is slower by an example than half of it
PARTS = 8  # into which the blocks of a batch are put at most, each with a gradient of its own
LOCK = Lock()  # one program is recorded, or runs, at a time


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
        block_size = block_size_for(batch, self.memory(with_gradient).size * p.itemsize)
        blocks = -(-batch // block_size)
        parts = min(blocks, PARTS)
        check_array("the vector of parameters", p, (self.parameters,), p.dtype)
        check_array("the array of integers", integers, (batch, len(self.integers)), INTEGER)
        check_array("the array of floats", floats, (batch, self.groups.inputs), p.dtype)
        results = np.empty((len(self.groups.outputs), blocks * block_size), p.dtype)
        size = len(p) if with_gradient else 0
        gradients = [np.zeros(size, p.dtype) for _ in range(parts)]
        with LOCK:
            plan = self.plan(block_size, p.dtype, with_gradient)
            borders = [part * blocks // parts for part in range(parts + 1)]

            def run_part(part: int, slot: int) -> None:
                plan.run(slot, p, gradients[part], integers, floats, batch, borders[part], borders[part + 1], results)

            if parts == 1:
                run_part(0, 0)
            else:
                plan.team.run(run_part, parts, threads)
        if with_gradient:
            for own in gradients[1:]:  # in this order, whoever computed them
                gradients[0] += own
        return results[:, :batch], gradients[0]


class Plan:
    """A program for blocks of one size, in one precision."""

    def __init__(self, program: Program, block_size: int, dtype: Any, with_gradient: bool):
        self.program = program
        self.block_size = block_size
        self.dtype = np.dtype(dtype)
        self.team = Team()
        double = self.dtype == np.float64
        nests = program.nests
        everything = nests.forward + (nests.backward if with_gradient else [])
        self.memory = memory = program.memory(with_gradient)
        schedule = Schedule(block_size, double, memory, program.groups.constants)

        checked = "derivative" if with_gradient else "power"

        def step_of(nest: Any) -> Any:
            found = product_step(nest, block_size, double, schedule.start, nests.is_masked)
            return schedule.step(nest, "" if nest.backward else checked) if found is None else found

        steps = [step_of(nest) for nest in everything]
        addresses = machine().prepare([step.shape for step in steps])
        packed = [step.packed() for step in steps]
        self.arguments = np.array([argument for step in packed for argument in step] or [0], np.int64)
        self.tables = np.concatenate([*schedule.tables, np.zeros(1, np.int64)])
        starts = np.cumsum([0] + [len(step) for step in packed[:-1]])
        self.code = np.empty((len(steps), 2), np.int64)
        for i, address_of_kernel in enumerate(addresses):
            self.code[i] = address_of_kernel, self.arguments.ctypes.data + 8 * starts[i]
        with np.errstate(over="ignore"):  # a constant too large for float32 becomes an infinity, for all to see
            self.constants = np.array(schedule.constants or [0.0]).astype(self.dtype)
        self.outputs = np.array(
            [
                (emit.OUTPUT_SPACES.index(space), memory(cell) * block_size if space == CELLS else cell)
                for space, cell in program.groups.outputs
            ],
            np.int64,
        ).reshape(-1, 2)
        self.driver = driver(double)
        known = {
            "code": self.code.ctypes.data, "steps": len(steps), CONSTANTS: self.constants.ctypes.data,
            emit.TABLES: self.tables.ctypes.data, "block_size": block_size, "input_count": program.groups.inputs,
            "integer_count": len(program.integers), "seed": memory(nests.seed) * block_size,
            "outputs": self.outputs.ctypes.data,
            "output_count": len(self.outputs), "fill": int(with_gradient),
        }  # fmt: skip
        self.frame = [known.get(field, 0) for field in emit.FRAME]
        self.frames: list[Any] = []
        self.places = {field: i for i, field in enumerate(emit.FRAME)}

    def run(
        self,
        slot: int,
        p: np.ndarray,
        gradient: np.ndarray,
        integers: np.ndarray,
        floats: np.ndarray,
        batch: int,
        first_block: int,
        end_block: int,
        results: np.ndarray,
    ) -> None:
        """Run some blocks of a batch, in the storage of one thread."""
        storage = Storage.of(self.dtype, slot)
        x, i = storage.for_plan(self)
        while len(self.frames) <= slot:  # each thread has one of its own
            self.frames.append((ctypes.c_int64 * len(self.frame))(*self.frame))
        frame, at = self.frames[slot], self.places
        frame[at[CELLS]], frame[at[INTEGERS]] = x, i
        frame[at[PARAMETERS]], frame[at[GRADIENTS]] = address(p), address(gradient)
        frame[at["inputs"]], frame[at["integers"]] = address(floats), address(integers)
        frame[at["batch"]], frame[at["first_block"]], frame[at["end_block"]] = batch, first_block, end_block
        frame[at["results"]], frame[at["width"]] = address(results), results.shape[1]
        self.driver(frame)


class Storage:
    """The cells of a block, for one thread and precision. Programs share it: one runs after the other."""

    ALL: ClassVar[dict[Any, "Storage"]] = {}

    def __init__(self, dtype: np.dtype[Any]):
        self.cells = np.zeros(0, dtype)
        self.integers = np.zeros(0, np.int64)
        self.owner: Any = None

    @staticmethod
    def of(dtype: np.dtype[Any], slot: int) -> "Storage":
        key = (dtype, slot)
        if key not in Storage.ALL:
            Storage.ALL[key] = Storage(dtype)
        return Storage.ALL[key]

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


def aligned(size: int, dtype: np.dtype[Any]) -> np.ndarray:
    """Zeros that begin where a vector register's worth of memory begins."""
    array = np.zeros(size + 64, dtype)
    skipped = -address(array) % 256 // dtype.itemsize
    return array[skipped : skipped + size]


@lru_cache(maxsize=2)
def driver(double: bool) -> Any:
    """The function that runs a program on some blocks."""
    (driver_at,) = machine().prepare([emit.DriverShape(double)])
    return ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_int64))(driver_at)


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
