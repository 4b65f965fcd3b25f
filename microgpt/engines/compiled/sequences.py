"""Sequences of integers that a compiled step continues: turn by turn in machine code, without Python in between.

    step(params, item, place, here, random, *memory) -> (next item, its score, *what is new in the memory)

The step reads one item of a sequence and chooses the next. `here` is the integer `place` as a float: `place` picks, and
`here` is there to be calculated with. `random` is a number that the caller has drawn for this choice. Each lane of a
block continues one sequence, in a memory of its own that is changed where it lies. When a sequence ends, its lane
begins the next one, so that few lanes idle.
"""

from collections.abc import Callable, Sequence
from ctypes import CFUNCTYPE, POINTER, c_int64
from dataclasses import dataclass
from functools import cache
from math import prod
from time import perf_counter
from typing import Any

import numpy as np
from llvmlite import ir

from microgpt.engines.compiled.api import Compiled, examples
from microgpt.engines.compiled.expressions import CELLS, INTEGERS, PARAMETERS
from microgpt.engines.compiled.llvm.emit import FRAME, I64, Driver
from microgpt.engines.compiled.llvm.machine import machine
from microgpt.engines.compiled.llvm.run import Frame, Plan, aligned, block_size_for
from microgpt.engines.compiled.llvm.threads import LOCK, POOL
from microgpt.engines.trees import address, checked_arguments

SECONDS = 0.03  # that a call into machine code may take, so that Ctrl-C acts and the caller sees what was chosen
DOUBLE = np.dtype(np.float64)  # the precision, whatever that of the parameters is
FAILED = -1  # in the place of an item that is none, or whose score is not finite

# What the turns are given beside the frame of a driver. The first ones are pointers to integers, then some to numbers.
# `news` has three integers for each number of the memory that is new after a turn: the output that it is, where it goes
# in the memory at place 0, and how far from there for each place.
TABLES = ("items", "known", "sequence_of", "at", "place_of", "news", "following")
NUMBERS = ("scores", "randoms")
COUNTS = ("turns", "last", "most", "places", "again", "end", "choices", "new", "replaced")
NAMES = (*FRAME, *TABLES, *NUMBERS, *COUNTS)


@dataclass(frozen=True)
class TurnsShape:
    """The shape of the code of the turns, of which there is one."""

    def emit(self, module: ir.Module, name: str) -> None:
        Turns(module, name, double=True)


class Turns(Driver):
    """The function that takes turns: in each, every lane reads an item, and chooses the next one if it is not known."""

    names = NAMES

    def body(self) -> None:
        for names, kind in ((TABLES, I64), (NUMBERS, self.scalar)):
            self.pointer |= {name: self.inttoptr(self.frame[name], kind.as_pointer()) for name in names}
        self.lanes = self.frame["block_size"]
        self.busy = self.alloca(I64)
        self.each(I64(0), self.frame["turns"], 1, self.turn)

    def get(self, table: str, index: Any) -> Any:
        return self.load(self.gep(self.pointer[table], [index]))

    def set(self, table: str, index: Any, value: Any) -> None:
        self.store(value, self.gep(self.pointer[table], [index]))

    def turn(self, _: Any) -> None:
        self.store(I64(0), self.busy)
        self.up_to(self.lanes, self.begin)
        with self.if_then(self.icmp_signed(">", self.load(self.busy), I64(0))):
            self.call(self.rows, [self.frame_pointer, I64(0), self.frame["rows"]])
            self.up_to(self.frame["output_count"], lambda output: self.copy_out(I64(0), output))
            self.up_to(self.frame["new"], self.remember)
            self.up_to(self.lanes, self.advance)

    def begin(self, lane: Any) -> None:
        """Give a lane that has no sequence the next one, and every lane its item."""
        following, sequence = self.get("following", I64(0)), self.get("sequence_of", lane)
        none_yet = self.icmp_signed("<", sequence, I64(0))
        with self.if_then(self.and_(none_yet, self.icmp_signed("<", following, self.frame["last"]))):
            self.set("sequence_of", lane, following)
            self.set("at", lane, I64(0))
            self.set("place_of", lane, I64(0))
            self.set("following", I64(0), self.add(following, I64(1)))
        sequence, place = self.get("sequence_of", lane), self.get("place_of", lane)
        with self.if_then(self.icmp_signed(">=", sequence, I64(0))):
            self.store(self.add(self.load(self.busy), I64(1)), self.busy)
            with self.if_then(self.icmp_signed("==", place, I64(0))):
                self.up_to(self.frame["replaced"], lambda new: self.store_new(new, lane, place, self.number(0.0)))
            where = self.add(self.mul(sequence, self.frame["most"]), self.get("at", lane))
            for number, integer in enumerate((self.get("items", where), place)):
                self.set(INTEGERS, self.add(self.mul(self.lanes, I64(number)), lane), integer)
            self.set(CELLS, lane, self.sitofp(place, self.scalar))
            self.set(CELLS, self.add(self.lanes, lane), self.get("randoms", self.add(where, I64(1))))

    def remember(self, new: Any) -> None:
        """Put a new number of every lane where its memory has it."""
        source = self.mul(self.get("news", self.mul(new, I64(3))), self.lanes)

        def of_lane(lane: Any) -> None:
            self.store_new(new, lane, self.get("place_of", lane), self.get("results", self.add(source, lane)))

        self.up_to(self.lanes, of_lane)

    def store_new(self, new: Any, lane: Any, place: Any, value: Any) -> None:
        start, step = (self.get("news", self.add(self.mul(new, I64(3)), I64(i))) for i in (1, 2))
        self.set(CELLS, self.add(self.add(start, self.mul(step, place)), lane), value)

    def advance(self, lane: Any) -> None:
        """Go on by one item: one that is known, or the one that was chosen now."""
        sequence, following = self.get("sequence_of", lane), self.add(self.get("at", lane), I64(1))
        with self.if_then(self.icmp_signed(">=", sequence, I64(0))):
            place = self.add(self.get("place_of", lane), I64(1))
            self.set("at", lane, following)
            self.set("place_of", lane, place)
            with self.if_then(self.icmp_signed("==", following, self.get("known", sequence))):
                self.append(lane, sequence, following)
                with self.if_then(self.icmp_signed("==", place, self.frame["places"])):
                    begin = self.sub(self.add(following, I64(1)), self.frame["again"])
                    self.set("at", lane, begin)
                    self.set("place_of", lane, I64(0))

    def append(self, lane: Any, sequence: Any, where: Any) -> None:
        """Append the item that was chosen. The lane leaves a sequence that ends with it."""
        chosen, score = (self.get("results", place) for place in (lane, self.add(self.lanes, lane)))
        zero = self.number(0.0)
        is_one = self.fcmp_ordered("<", chosen, self.sitofp(self.frame["choices"], self.scalar))
        is_one = self.and_(is_one, self.fcmp_ordered(">=", chosen, zero))
        is_one = self.and_(is_one, self.fcmp_ordered("==", self.fsub(score, score), zero))
        item = self.select(is_one, self.fptosi(self.select(is_one, chosen, zero), I64), I64(FAILED))
        place, known = self.add(self.mul(sequence, self.frame["most"]), where), self.add(where, I64(1))
        self.set("items", place, item)
        self.set("scores", place, score)
        self.set("known", sequence, known)
        ends = self.icmp_signed("==", known, self.frame["most"])
        for last in (self.frame["end"], I64(FAILED)):
            ends = self.or_(ends, self.icmp_signed("==", item, last))
        self.set("sequence_of", lane, self.select(ends, I64(-1), sequence))


class TurnsFrame(Frame):
    """The arguments of the turns, by name."""

    __slots__ = ()
    _fields_ = tuple((name, c_int64) for name in NAMES[len(FRAME) :])


class Continuation:
    """Continues sequences of integers with a compiled step.

    Args:
        step: the function, as above.
        memory: for each argument of the memory its shape, and the axis along which what is new goes to the present
            place. From this place on it has what other sequences left, so the step must not look there. None instead of
            an axis: what is new replaces all, and the memory begins with zeros.
        places: how many items are read, at most, until a sequence begins anew at place 0, with its last `again` items.
        end: the item that ends a sequence.
        threads: the most to use; None for one a core. The results do not depend on it.
    """

    def __init__(
        self,
        step: Callable[..., Any],
        memory: Sequence[tuple[tuple[int, ...], int | None]],
        places: int,
        again: int,
        end: int = FAILED,
        threads: int | None = None,
    ):
        if any(axis is not None and shape[axis] < places for shape, axis in memory):
            raise ValueError(
                f"the memory has shapes {[shape for shape, _ in memory]}: expected {places} places in each"
            )
        self.compiled = Compiled(step, threads)
        self.memory, self.places, self.again, self.end = memory, places, again, end

    def begin(self, params: Any, items: np.ndarray, given: int, randoms: np.ndarray) -> "Sequences":
        """Begin to continue sequences.

        Args:
            items: their integers, [count, most]: the first `given` of each are known.
            randoms: a number for the choice of each other one, [count, most - given].

        Raises IndexError for an item or a place that is beyond what it picks from.
        """
        given_params, known, places = self.compiled.parameters(params), items[:, :given], np.full(2, self.places - 1)
        first = [np.array([known.min(), known.max()]), places, 1.0 * places, np.full(2, 0.5)]
        arrays = checked_arguments((*first, *(np.zeros((2, *shape)) for shape, _ in self.memory)))
        with LOCK:
            program = self.compiled.program(params, given_params.structure, arrays)
            examples(program, arrays, DOUBLE)  # checks the integers
            parts = min(self.compiled.threads, len(items))
            size = program.memory(False).size * DOUBLE.itemsize
            lanes = block_size_for(-(-len(items) // parts), size)
            vector = given_params.vector()
            narrow = lanes == 1 and vector.dtype == np.float32  # a single lane waits for its parameters
            narrow = narrow and PARAMETERS not in [space for space, _ in program.groups.outputs]
            vector, plan = vector if narrow else vector.astype(DOUBLE), program.plan(lanes, DOUBLE, False, narrow)
            if self.compiled.engine not in program.verified_on:
                rng = np.random.default_rng(0)
                arrays = [*arrays[: len(first)], *(rng.normal(size=array.shape) for array in arrays[len(first) :])]
                _, integers, floats = examples(program, arrays, DOUBLE)
                results = plan.run(vector, integers, floats, np.zeros((1, 0)), 1)
                self.compiled.check(program, params, arrays, results)
        return Sequences(self, plan, parts, vector, items, given, randoms)

    def news(self, form: Any) -> np.ndarray:
        """For each number that is new after a turn: the output that it is, its place in the memory, and the step."""
        first, rows = 2, [np.zeros((0, 3), np.int64)]
        for outputs, (shape, axis) in zip(form[2:], self.memory, strict=True):
            cells = first + np.arange(prod(shape)).reshape(shape)
            first += cells.size
            places = cells if axis is None else cells.take(0, axis)
            step = 0 if axis is None else prod(shape[axis + 1 :])
            rows.append(np.stack([np.array(outputs).ravel(), places.ravel(), np.full(places.size, step)], 1))
        found = np.concatenate(rows)
        return found[np.argsort(found[:, 2] > 0, kind="stable")]  # what is replaced comes first


class Sequences:
    """Sequences that are being continued.

    Attributes:
        items, scores: the integers [count, most], of which the first `known` of each are known, and the scores of those
            that were chosen. An item is FAILED where what was chosen is none, or its score is not finite.
    """

    def __init__(
        self, of: Continuation, plan: Plan, parts: int, vector: np.ndarray, items: np.ndarray, given: int,
        randoms: np.ndarray,
    ):  # fmt: skip
        self.of, self.plan, self.vector, count = of, plan, vector, len(items)
        self.items, self.randoms = np.array(items, np.int64), np.zeros(items.shape, plan.dtype)
        self.randoms[:, given:] = randoms
        self.scores, self.known = np.zeros(items.shape, plan.dtype), np.full(count, given)
        self.kernel, self.turns = turns_kernel(), 1  # so many in a call: soon as many as take about SECONDS
        lanes, self.news = plan.block_size, of.news(plan.program.form)
        new, self.news = len(self.news), self.news * [1, lanes, lanes]
        whole = TurnsFrame(
            items=address(self.items), known=address(self.known), scores=address(self.scores),
            randoms=address(self.randoms), news=address(self.news), new=new, replaced=int((self.news[:, 2] == 0).sum()),
            most=items.shape[1], places=of.places, again=of.again, end=of.end,
            choices=int(plan.program.integer_limits[0]), width=lanes,
            **{name: getattr(plan.frame, name) for name in FRAME if name != "width"},
        )  # fmt: skip
        whole.p = address(vector)
        self.parts = [
            Part(plan, whole, count * i // parts, count * (i + 1) // parts) for i in range(parts if randoms.size else 0)
        ]

    def go_on(self) -> bool:
        """Take some more turns; return whether there are more to take."""
        left = [part for part in self.parts if part.left()]

        def run_part(part: int, _: int) -> None:
            left[part].frame.turns = self.turns
            self.kernel(left[part].frame)

        start = perf_counter()
        with LOCK:
            POOL.run(run_part, len(left), min(len(left), self.of.compiled.threads))
        seconds, more = perf_counter() - start, any(part.left() for part in left)
        if more and 2 * seconds < SECONDS:
            self.turns *= 2
        elif seconds > 2 * SECONDS:
            self.turns = max(self.turns // 2, 1)
        return more

    def window(self) -> list[int]:
        """The items of a single sequence that is full, from the one at place 0 on: from there, another one goes on."""
        _, at, place = self.parts[0].lanes[:, 0]
        found: list[int] = self.items[0, at - place :].tolist()
        return found


class Part:
    """The sequences that one thread continues, one in each lane of a block."""

    def __init__(self, plan: Plan, whole: TurnsFrame, first: int, last: int):
        lanes = plan.block_size
        self.cells, self.integers = aligned(plan.cells, plan.dtype), np.zeros(2 * lanes, np.int64)
        self.results, self.arguments = np.zeros((len(plan.outputs), lanes), plan.dtype), plan.arguments.copy()
        self.following, self.lanes = np.array([first]), np.array([np.full(lanes, -1), *np.zeros((2, lanes))], np.int64)
        self.frame = TurnsFrame.from_buffer_copy(whole)
        self.frame.last, self.last = last, last
        self.frame.x, self.frame.i, self.frame.a = map(address, (self.cells, self.integers, self.arguments))
        self.frame.results, self.frame.following = address(self.results), address(self.following)
        self.frame.sequence_of, self.frame.at, self.frame.place_of = map(address, self.lanes)

    def left(self) -> bool:
        """Whether there are more turns to take."""
        return bool(self.following[0] < self.last or self.lanes[0].max() >= 0)


@cache
def turns_kernel() -> Any:
    """The code of the turns."""
    (kernel,) = machine().prepare([TurnsShape()])
    return CFUNCTYPE(None, POINTER(TurnsFrame))(kernel)
