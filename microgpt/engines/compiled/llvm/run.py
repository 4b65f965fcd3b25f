"""Runs a compiled function on batches.

A `Program` is a function compiled for one shape of example. It has a `Plan` for each size of block and each precision
that it meets: the kernels to run, in order, with their arguments.
"""

import ctypes
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from math import prod
from typing import Any

import numpy as np

from microgpt.engines.collector import collector_paused
from microgpt.engines.compiled.expressions import CELLS, CONSTANTS, GRADIENTS
from microgpt.engines.compiled.groups import Groups
from microgpt.engines.compiled.llvm.arguments import ARGUMENTS, FRAME, ROW, TABLES, Frame, packed
from microgpt.engines.compiled.llvm.emit import AT_ONCE, OUTPUT_SPACES, DriverShape
from microgpt.engines.compiled.llvm.machine import machine
from microgpt.engines.compiled.llvm.matmul import product_step
from microgpt.engines.compiled.llvm.memory import Memory
from microgpt.engines.compiled.llvm.schedule import Schedule, Step
from microgpt.engines.compiled.llvm.sharing import (
    MUCH_IN_ALL,
    STOP,
    TABLE,
    WaitShape,
    axis_to_share,
    offer,
    part_of,
)
from microgpt.engines.compiled.llvm.threads import LOCK, POOL, Tuner
from microgpt.engines.compiled.nest import BATCH, Nest, Turns, at_turn, in_loops
from microgpt.engines.compiled.nests import Nests
from microgpt.engines.compiled.record import Argument, Index, Record, Shapes
from microgpt.engines.compiled.recording import record_function
from microgpt.engines.compiled.resizing import Places, resized, structure_of_record
from microgpt.engines.trees import address, aligned, check_array

INTEGER = np.dtype(np.int64)
CACHE = 8_000_000  # bytes; with larger blocks an example takes longer than with blocks of half the size
KEPT = 1 << 28  # bytes of a block, at most, where loops keep what their turns have made
PLACE = {name: i for i, name in enumerate(FRAME)}  # of a field of the driver's frame
ALONE, SHARED = "alone", "shared"  # whether what is before was run by one thread, or by all
FEW = 3  # programs for other lengths that are tried
PARTS = 8  # of a batch, at most; each is some blocks, and has a gradient of its own
MANY = 64  # numbers of one example side by side: as good as those of many examples
CALL = 4000  # so many numbers could be computed in the time that it takes to begin with a kernel
FEW_PARTS, LARGE = 4, 8_000_000  # the same where a gradient has so many bytes: more of them take long to add up


class Program:
    """A function of one example, compiled for one shape of example.

    Args:
        function: takes the parameters and one example, and uses the five operations on scalars.
        shapes: the nesting of the parameters with shapes in place of arrays.
        arguments: the name, the type ("int" or "float") and the shape of each argument of an example.
        with_sources: whether to record the line of the function behind each operation, for a listing.
        statements: whether to read `for` statements as one line, too, and not turn by turn.
        others: programs that may be the same with other lengths, which are then taken from there (resizing.py).
    """

    def __init__(
        self, function: Callable[..., Any], shapes: Shapes, arguments: list[Argument], with_sources: bool = False,
        statements: bool = True, others: Iterable["Program"] = (),
    ):  # fmt: skip
        with LOCK, collector_paused():
            record = record_function(function, shapes, arguments, with_sources, statements)
            self.arguments = arguments
            self.verified_on: set[tuple[str, bool]] = set()  # the engines, each with whether it is the gradient
            self.form = record.form
            self.integers = record.names
            self.parameters = record.parameters
            self.returned = record.returned
            self.sources = record.sources
            self.asked_kind = record.asked_kind
            self.operations = record.operations()
            self.integer_limits = integer_limits(record)
            self.limits_in_all = integer_limits(record, record.branches)  # whatever scalars choose
            self.places = Places(arguments)
            self.structure, self.lengths = structure_of_record(record, self.places)
            found = self.like(others)
            self.is_resized = found is not None
            self.groups, self.nests = found or made_of(record)
            record.forget()
        self.memories: dict[bool, Memory] = {}
        self.plans: dict[Any, Plan] = {}
        self.alone: dict[bool, bool] = {}  # see suits_one

    def like(self, others: Iterable["Program"]) -> tuple[Groups, Nests] | None:
        """The groups and nests of another program of the same structure, with the lengths of this one."""
        alike = [one for one in others if one.structure == self.structure is not None and not one.is_resized][:FEW]
        own = self.lengths, self.places
        found = (resized(one.groups, one.nests, (one.lengths, one.places), own) for one in alike)
        return next((one for one in found if one is not None), None)

    def live_outside(self) -> list[int]:
        """The results that are written before the first kernel, or read after the last."""
        outputs = [start for space, start in self.groups.outputs if space == CELLS]
        return [*outputs, self.nests.seed, *([0] if self.groups.inputs else [])]

    def memory(self, with_gradient: bool) -> Memory:
        """Where each result lies in the memory of a block."""
        if with_gradient not in self.memories:
            nests = self.nests
            everything = nests.forward + (nests.backward if with_gradient else [])
            self.memories[with_gradient] = Memory(nests.arrays, everything, self.live_outside())
        return self.memories[with_gradient]

    def suits_one(self, with_gradient: bool) -> bool:
        """Whether an example takes no longer alone in a block: its own numbers fill the vectors of nearly all work."""
        if with_gradient not in self.alone:
            nests, work, alone = self.nests, 0.0, 0.0
            for nest in nests.forward + (nests.backward if with_gradient else []):
                points = prod(nest.lengths)
                work += points
                alone += points * MANY / min(beside(nest), MANY) + CALL * prod(turns.length for turns, _ in nest.within)
            self.alone[with_gradient] = alone < 1.2 * work
        return self.alone[with_gradient]

    def plan_for(self, batch: int, dtype: Any, with_gradient: bool) -> tuple["Plan", int]:
        """The plan for a batch of so many examples, and the number of its parts."""
        size = self.memory(with_gradient).size * np.dtype(dtype).itemsize
        block_size = 1 if self.suits_one(with_gradient) else block_size_for(batch, size)
        while self.groups.states and block_size > 1 and block_size * size > KEPT:
            block_size //= 2
        most = FEW_PARTS if self.parameters * np.dtype(dtype).itemsize >= LARGE else PARTS
        return self.plan(block_size, dtype, with_gradient), min(-(-batch // block_size), most)

    def plan(self, block_size: int, dtype: Any, with_gradient: bool, narrow: bool = False, threads: int = 1) -> "Plan":
        key = (block_size, dtype, with_gradient, narrow, threads)
        if key not in self.plans:
            with collector_paused():
                self.plans[key] = Plan(self, block_size, dtype, with_gradient, narrow, threads)
        return self.plans[key]

    def run(
        self, p: np.ndarray, integers: np.ndarray, floats: np.ndarray, batch: int, threads: int, with_gradient: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Run the program on a batch.

        Args:
            p: all parameters, flat.
            integers, floats: those of each example in a row, [batch, count].

        Returns:
            The results [outputs, batch], and the gradient of the mean of the first result, flat as p, if wanted.
        """
        check_array("the vector of parameters", p, (self.parameters,), p.dtype)
        check_array("the array of integers", integers, (batch, len(self.integers)), INTEGER)
        check_array("the array of floats", floats, (batch, self.groups.inputs), p.dtype)
        with LOCK:
            plan, parts = self.plan_for(batch, p.dtype, with_gradient)
            gradients = storage(p.dtype, 0).for_gradients(parts, len(p) if with_gradient else 0)
            results = plan.run(p, integers, floats, gradients, threads)
            gradient = gradients[0].copy() if parts == 1 else gradients[0] + gradients[1]
            for another in gradients[2:]:  # in this order, whichever thread computed them
                gradient += another
        return results[:, :batch], gradient


class Plan:
    """A program for blocks of one size, in one precision. If it is `narrow`, its parameters are in single precision.

    Several `threads` share each block (sharing.py).
    """

    def __init__(
        self, program: Program, block_size: int, dtype: Any, with_gradient: bool, narrow: bool = False, threads: int = 1
    ):
        self.program, self.block_size, self.dtype = program, block_size, np.dtype(dtype)
        self.key = block_size, dtype, with_gradient, narrow
        self.memory = program.memory(with_gradient)
        self.masked = np.array(self.memory.masked, np.int64).reshape(-1, 2) * block_size  # where, and how many numbers
        self.tuner = Tuner()
        double = self.dtype == np.float64
        schedule = Schedule(block_size, double, self.memory, program.groups.constants, narrow)
        nests = program.nests.forward + (program.nests.backward if with_gradient else [])
        self.is_large = sum(prod(nest.lengths) for nest in nests) >= MUCH_IN_ALL
        schedule.reserve_table(TABLE if threads > 1 else 0)
        codes = []
        for number in range(threads):
            checked = "derivative" if with_gradient else "power"
            codes.append(Code(nests, program.nests, schedule, checked, number, threads))
            schedule.next_thread()
        self.shapes = [shape for code in codes for shape in code.shapes]  # of the kernels
        *kernels, driver = machine().prepare([*self.shapes, DriverShape(double)])
        self.cells, addresses = schedule.cells, iter(kernels)
        (self.code, self.arguments), *self.others = [
            (code.rows_with(addresses), np.array(code.arguments, np.int64)) for code in codes
        ]
        self.increments = codes[0].increments
        self.tables = np.concatenate([*schedule.tables, np.zeros(0, np.int64)])
        self.waiting = self.tables[: TABLE if threads > 1 else 0]
        with np.errstate(over="ignore"):  # a constant too large for float32 becomes an infinity, for all to see
            self.constants = np.array(schedule.constants).astype(self.dtype)
        self.outputs = np.array([
            (OUTPUT_SPACES.index(space), self.memory(start) * block_size if space == CELLS else start)
            for space, start in program.groups.outputs
        ], np.int64)  # fmt: skip
        self.driver_address, self.driver = driver, ctypes.CFUNCTYPE(None, ctypes.POINTER(Frame))(driver)
        self.frame = Frame(
            code=address(self.code), rows=len(self.code), block_size=block_size,
            input_count=program.groups.inputs, integer_count=len(program.integers),
            seed=self.memory(program.nests.seed) * block_size,
            outputs=address(self.outputs), output_count=len(self.outputs),
            **{CONSTANTS: address(self.constants), TABLES: address(self.tables), ARGUMENTS: address(self.arguments)},
        )  # fmt: skip

    def frames(
        self, p: np.ndarray, integers: np.ndarray, floats: np.ndarray, batch: int, gradients: np.ndarray, batches: int
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """Prepare to run some batches of one size, without the memory of a block.

        Args:
            integers, floats: of the examples of all batches, one after the other.
            batch: the number of examples of each.
            gradients: [parts, parameters]: each part of a batch has one to add to.

        Returns:
            The frames of the driver, [batches, parts, fields], and the results that they will write, [batches, outputs,
            examples of whole blocks].
        """
        parts, blocks = len(gradients), -(-batch // self.block_size)
        results = np.empty((batches, len(self.outputs), blocks * self.block_size), self.dtype)
        frames = np.empty((batches, parts, len(FRAME)), np.int64)
        frames[:] = np.frombuffer(bytes(self.frame), np.int64)
        part, following = np.arange(parts), np.arange(batches)[:, None]
        values = {
            "batch": batch, "p": address(p), "width": results.shape[2],
            "first_block": part * blocks // parts, "end_block": (part + 1) * blocks // parts,
            GRADIENTS: address(gradients) + part * gradients.strides[0],
            "inputs": address(floats) + following * (batch * floats.strides[0]),
            "integers": address(integers) + following * (batch * integers.strides[0]),
            "results": address(results) + following * results.strides[0],
        }  # fmt: skip
        for name, value in values.items():
            frames[..., PLACE[name]] = value
        return frames, results

    def run(
        self, p: np.ndarray, integers: np.ndarray, floats: np.ndarray, gradients: np.ndarray, threads: int
    ) -> np.ndarray:
        """Return the results of a batch, [outputs, examples of whole blocks]. Each part fills a gradient."""
        if len(gradients) == 1 and threads > 1 and self.is_large and not self.others:
            return self.tuner.either(
                lambda: self.run_alone(p, integers, floats, gradients, 1),
                lambda: self.program.plan(*self.key, threads=threads).run_alone(
                    p, integers, floats, gradients, threads
                ),
                threads,
            )
        return self.run_alone(p, integers, floats, gradients, threads)

    def run_alone(
        self, p: np.ndarray, integers: np.ndarray, floats: np.ndarray, gradients: np.ndarray, threads: int
    ) -> np.ndarray:
        """The same with this plan, whatever is faster."""
        batch, parts = len(floats), len(gradients)
        blocks = -(-batch // self.block_size)
        results = np.empty((len(self.outputs), blocks * self.block_size), self.dtype)
        whole = Frame.from_buffer_copy(self.frame)
        whole.batch, whole.p, whole.g = batch, address(p), address(gradients)
        whole.inputs, whole.integers, whole.results = address(floats), address(integers), address(results)
        whole.width = results.shape[1]
        frames = [whole, *(Frame.from_buffer_copy(whole) for _ in range(1, parts))]
        for part, frame in enumerate(frames):
            frame.g += part * gradients.strides[0]
            frame.first_block, frame.end_block = part * blocks // parts, (part + 1) * blocks // parts
        self.run_parts(frames, gradients, threads)
        return results

    def run_parts(self, frames: list[Frame], gradients: np.ndarray, threads: int) -> None:
        """Run the parts of a batch, each with a frame and a gradient."""
        parts = len(frames)
        longest_first = sorted(range(parts), key=lambda part: frames[part].first_block - frames[part].end_block)

        def run_part(turn: int, slot: int) -> None:
            part = longest_first[turn]  # so that all threads end at about the same time
            frame = frames[part]
            frame.x, frame.i = storage(self.dtype, slot).for_plan(self)
            if self.increments:  # a loop changes the arguments
                arguments = self.arguments.copy()
                frame.a = address(arguments)
            gradients[part] = 0
            self.driver(frame)

        if self.others:
            self.run_shared(frames[0], gradients)
        elif parts == 1:
            run_part(0, 0)
        else:
            self.tuner.run(run_part, parts, threads)

    def run_shared(self, whole: Frame, gradients: np.ndarray) -> None:
        """Run a part on several threads, which share its blocks."""
        self.waiting[:] = 0
        gradients[0] = 0
        whole.x, whole.i = storage(self.dtype, 0).for_plan(self)
        frames = [whole]
        for code, arguments in self.others:
            frame = Frame.from_buffer_copy(whole)
            frame.code, frame.rows, frame.a = address(code), len(code), address(arguments)
            frame.input_count = frame.integer_count = frame.output_count = 0
            frames.append(frame)
        if self.increments:
            arguments = self.arguments.copy()
            whole.a = address(arguments)

        def stop() -> None:
            self.waiting[STOP] = 1

        POOL.run(lambda part, _: self.driver(frames[part]), len(frames), len(frames), stop)


class Code:
    """The rows of code that run some nests (see emit.py), with the arguments of their kernels.

    If several threads share them, these are the rows of one.
    """

    def __init__(
        self, nests: list[Nest], program: Nests, schedule: Schedule, checked: str, number: int = 0, threads: int = 1
    ):
        self.number, self.threads, self.before = number, threads, ALONE
        self.program, self.schedule, self.checked = program, schedule, checked
        self.shapes: list[Any] = []
        self.rows: list[dict[str, int]] = []  # without the addresses of kernels
        self.arguments: list[int] = []
        self.increments: list[np.ndarray] = []  # of each loop: they are kept, because rows have their addresses
        if threads == 1:
            self.append(nests, [])
        else:
            self.append_shared(nests)

    def append_shared(self, nests: list[Nest]) -> None:
        """Append the rows of one of several threads: it runs its part of some nests, and the first one all others."""
        for turns, some in in_loops(nests):
            for nest in some if turns is None else [None]:
                axis = None if nest is None else axis_to_share(nest, self.threads)
                if self.before == SHARED or (axis is not None and self.before == ALONE):
                    self.append_wait()
                self.before = ALONE if axis is None else SHARED
                if axis is not None and nest is not None:
                    self.append_kernel(part_of(nest, axis, self.number, self.threads, self.program.known))
                elif self.number == 0:
                    self.append(some if nest is None else [nest], [])
        if self.before == SHARED:
            self.append_wait()

    def append_wait(self) -> None:
        """Append a row that waits for the other threads."""
        shape = WaitShape(self.schedule.double)
        self.rows.append(dict.fromkeys(ROW, 0) | {"arguments": len(self.arguments)})
        self.shapes.append(shape)
        self.arguments += packed(shape.argument_names(), {"table": 0, "threads": self.threads, "offer": offer()})

    def append(self, nests: list[Nest], around: list[Turns]) -> list[list[list[int]]]:
        """Append rows for nests within some loops; return by how much the arguments of each change in each loop."""
        changes = []
        for turns, some in in_loops(nests, len(around)):
            if turns is None:
                changes += [self.append_kernel(nest) for nest in some]
                continue
            row = dict.fromkeys(ROW, 0) | {"arguments": len(self.arguments), "turns": turns.length}
            self.rows.append(row)
            first = len(self.rows)
            inside = self.append(some, [*around, turns])
            padding = [0] * (-(len(self.arguments) - row["arguments"]) % AT_ONCE)
            self.arguments += padding
            inside.append([padding] * (len(around) + 1))
            own = np.array([change for one in inside for change in one[-1]], np.int64)
            self.increments.append(own)
            row |= {"rows": len(self.rows) - first, "increments": address(own), "size": len(own)}
            changes += [one[:-1] for one in inside]
        return changes

    def append_kernel(self, nest: Nest) -> list[list[int]]:
        """Append the row of a nest; return by how much its arguments change from turn to turn of each loop."""
        first = [turns.length - 1 if turns.reverse else 0 for turns, _ in nest.within]
        shape, arguments = self.kernel(nest, first)
        changes = []
        for i, (turns, _) in enumerate(nest.within):
            following = [*first[:i], first[i] + (-1 if turns.reverse else 1), *first[i + 1 :]]
            after = self.kernel(nest, following)[1] if turns.length > 1 else arguments
            changes.append([b - a for a, b in zip(arguments, after, strict=True)])
        self.rows.append(dict.fromkeys(ROW, 0) | {"arguments": len(self.arguments)})
        self.shapes.append(shape)
        self.arguments += arguments
        return changes

    def kernel(self, nest: Nest, turn: list[int]) -> tuple[Any, list[int]]:
        """The kernel that runs a nest, or the part of it in a turn of the loops around it: its shape and arguments."""
        own = at_turn(nest, turn, self.program.known) if turn else nest

        def step() -> Step:
            product = product_step(own, self.schedule, self.program.is_zero_beyond)
            checked = "" if nest.backward else "power" if nest.of_data else self.checked
            return product or self.schedule.step(own, checked, bool(turn))

        return self.schedule.kernel(own, bool(turn), step, self.program.is_zero_beyond)

    def rows_with(self, addresses: Iterator[int]) -> np.ndarray:
        """The rows, with the next addresses of kernels."""
        filled = [row if row["turns"] else row | {"kernel": next(addresses)} for row in self.rows]
        return np.array([[row[name] for name in ROW] for row in filled], np.int64).reshape(-1, len(ROW))


class Storage:
    """The memory of a block for one thread, in one precision."""

    def __init__(self, dtype: np.dtype[Any]):
        self.elements = np.zeros(0, dtype)
        self.integers = np.zeros(0, np.int64)
        self.gradients = np.zeros(0, dtype)
        self.owner: Any = None

    def for_plan(self, plan: Plan) -> tuple[int, int]:
        """The addresses of the results and the integers, ready for a plan: zero where it reads but never writes."""
        if self.owner is not plan:
            self.addresses = self.for_plans([plan])
            for start, size in plan.masked.tolist():
                self.elements[start : start + size] = 0
            self.owner = plan
        return self.addresses

    def for_plans(self, plans: list[Plan]) -> tuple[int, int]:
        """The same, with room for several plans: each has to zero what it never writes."""
        elements = max(plan.cells for plan in plans)
        integers = max(len(plan.program.integers) * plan.block_size for plan in plans)
        if len(self.elements) < elements:
            self.elements = aligned(elements, self.elements.dtype)
        if len(self.integers) < integers:
            self.integers = np.zeros(integers, np.int64)
        self.owner = None
        return address(self.elements), address(self.integers)

    def for_gradients(self, parts: int, count: int) -> np.ndarray:
        """Room for the gradients of so many parts of a batch, [parts, count]."""
        if len(self.gradients) < parts * count:
            self.gradients = np.zeros(parts * count, self.gradients.dtype)
        return self.gradients[: parts * count].reshape(parts, count)


@cache
def storage(dtype: np.dtype[Any], slot: int) -> Storage:
    """The storage of a thread. All programs share it: they run one after another, and memory in the cache is faster."""
    return Storage(dtype)


def block_size_for(batch: int, size: int) -> int:
    """How many examples of so many bytes a block holds.

    Few lanes stay empty, two threads have something to do, and a block fits into the cache.
    """
    for most, block_size in ((1, 1), (4, 4), (8, 8), (12, 12), (16, 8), (32, 16)):
        if batch <= most:
            return block_size
    return 32 if 32 * size <= CACHE else 16


def beside(nest: Nest) -> int:
    """How many numbers of one example lie side by side, or share what a nest reads of the parameters."""
    product = nest.product()
    for axes in (product.columns, product.terms) if product else ():
        if BATCH in axes:
            return prod(nest.lengths[axis] for axis in axes - {BATCH})
    return max((n for n, stride in zip(nest.lengths, nest.target.strides, strict=True) if stride == 1), default=1)


def made_of(record: Record) -> tuple[Groups, Nests]:
    groups = Groups(record)
    return groups, Nests(groups)


def integer_limits(record: Record, branches: Sequence[tuple[int, int]] = ()) -> np.ndarray:
    """For each integer of an example, the length of the shortest list that it picks from, if not in these branches."""
    limits = np.full(len(record.names), np.iinfo(np.int64).max)
    for place, count, row in record.picks:
        if any(first <= row < end for first, end in branches):
            continue
        places = np.array([place.constant if type(place) is Index else place])
        for axis, step in place.terms if type(place) is Index else ():
            places = (places[:, None] + step * np.arange(axis.n)).ravel()
        limits[places] = np.minimum(limits[places], count)
    return limits
