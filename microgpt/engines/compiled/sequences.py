"""Sequences of integers that a compiled step continues: turn by turn in machine code, without Python in between.

    step(params, item, place, here, random, *memory) -> (next item, its score, *what is new in the memory)

The step reads one item of a sequence and chooses the next. `here` is the integer `place` as a float: `place` picks, and
`here` is there to be calculated with. `random` is a number that the caller has drawn for this choice. Each lane of a
block continues one sequence, in a memory of its own that is changed where it lies. When a sequence ends, its lane
begins the next one, so that few lanes idle.

What was recorded of a step, and verified, is kept on the disk as its kernels are: under a digest of all that it depends
on. So most processes record nothing, and import no compiler.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from time import perf_counter
from typing import Any

import numpy as np

from microgpt.engines.compiled.llvm.machine import digest, machine
from microgpt.engines.compiled.llvm.threads import LOCK, POOL
from microgpt.engines.compiled.meaning import meaning_of, sources
from microgpt.engines.compiled.turns import DOUBLE, FAILED, TurnsFrame, TurnsPlan
from microgpt.engines.trees import FlatParameters, address, aligned

Memory = Sequence[tuple[tuple[int, ...], int | None]]
SECONDS = 0.03  # that a call into machine code may take, so that Ctrl-C acts and the caller sees what was chosen
MANY = 33  # sequences of a thread: with more, blocks are the same


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
        memory: Memory,
        places: int,
        again: int,
        end: int = FAILED,
        threads: int | None = None,
    ):
        if any(axis is not None and shape[axis] < places for shape, axis in memory):
            raise ValueError(
                f"the memory has shapes {[shape for shape, _ in memory]}: expected {places} places in each"
            )
        self.step, self.threads = step, threads or os.cpu_count() or 1
        self.memory, self.places, self.again, self.end = memory, places, again, end
        self.plans: dict[Any, TurnsPlan] = {}

    def begin(self, params: Any, items: np.ndarray, given: int, randoms: np.ndarray) -> "Sequences":
        """Begin to continue sequences.

        Args:
            items: their integers, [count, most]: the first `given` of each are known.
            randoms: a number for the choice of each other one, [count, most - given].

        Raises IndexError for an item or a place that is beyond what it picks from.
        """
        parameters, parts = FlatParameters(params), min(self.threads, len(items))
        most = min(-(-len(items) // parts), MANY)
        with LOCK:
            plan = self.plan(params, parameters, items[:, :given], most)
        vector = parameters.vector() if plan.narrow else parameters.vector().astype(DOUBLE)
        return Sequences(self, plan, parts, vector, items, given, randoms)

    def plan(self, params: Any, parameters: FlatParameters, items: np.ndarray, most: int) -> TurnsPlan:
        """The plan of the turns: known, found on the disk, or made now."""
        key = parameters.structure, parameters.dtype.str, most
        plan = self.plans.get(key) or self.kept(key)
        if plan is None or not plan.takes(items, self.places):
            from microgpt.engines.compiled.turns_code import facts_of  # only now, because this imports the compiler

            facts, kernels, verified = facts_of(self.compiled, params, items, self.places, self.memory, most)
            name = self.name(key)
            if name and verified:
                machine().save(name, json.dumps(facts).encode())
            plan = TurnsPlan(facts, kernels)
        self.plans[key] = plan
        return plan

    def kept(self, key: tuple[Any, ...]) -> TurnsPlan | None:
        """The plan that another process has made of the same step, if it has."""
        name = self.name(key)
        found = machine().load(name) if name else None
        facts = json.loads(found) if found else {"kernels": []}
        kernels = machine().known(facts["kernels"])
        return TurnsPlan(facts, kernels) if kernels else None

    def name(self, key: tuple[Any, ...]) -> str | None:
        """The name of the plan on the disk: a digest of all that it depends on. None if that cannot be told."""
        try:
            return digest("turns", meaning_of(self.step), self.memory, key, sources(), machine().processor, sys.version)
        except (TypeError, ValueError, RecursionError):
            return None

    @cached_property
    def compiled(self) -> Any:
        from microgpt.engines.compiled.api import Compiled  # only now, because most steps were recorded before

        return Compiled(self.step, self.threads)


class Sequences:
    """Sequences that are being continued.

    Attributes:
        items, scores: the integers [count, most], of which the first `known` of each are known, and the scores of those
            that were chosen. An item is FAILED where what was chosen is none, or its score is not finite.
    """

    def __init__(
        self, of: Continuation, plan: TurnsPlan, parts: int, vector: np.ndarray, items: np.ndarray, given: int,
        randoms: np.ndarray,
    ):  # fmt: skip
        self.of, self.plan, self.vector, count = of, plan, vector, len(items)
        self.items, self.randoms = np.array(items, np.int64), np.zeros(items.shape)
        self.randoms[:, given:] = randoms
        self.scores, self.known = np.zeros(items.shape), np.full(count, given, np.int64)
        self.turns = 1  # in a call: soon as many as take about SECONDS
        whole = TurnsFrame.from_buffer_copy(plan.frame)
        whole.p, whole.items, whole.known = address(vector), address(self.items), address(self.known)
        whole.scores, whole.randoms, whole.most = address(self.scores), address(self.randoms), items.shape[1]
        whole.places, whole.again, whole.end = of.places, of.again, of.end
        self.parts = [
            Part(plan, whole, count * i // parts, count * (i + 1) // parts) for i in range(parts if randoms.size else 0)
        ]

    def go_on(self) -> bool:
        """Take some more turns; return whether there are more to take."""
        left = [part for part in self.parts if part.left()]

        def run_part(part: int, _: int) -> None:
            left[part].frame.turns = self.turns
            self.plan.kernel(left[part].frame)

        start = perf_counter()
        with LOCK:
            POOL.run(run_part, len(left), min(len(left), self.of.threads))
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

    def __init__(self, plan: TurnsPlan, whole: TurnsFrame, first: int, last: int):
        lanes = plan.lanes
        self.cells, self.integers = aligned(plan.cells, DOUBLE), np.zeros(2 * lanes, np.int64)
        self.results, self.arguments = np.zeros((len(plan.outputs), lanes)), plan.arguments.copy()
        self.following = np.array([first], np.int64)
        self.lanes = np.array([np.full(lanes, -1), *np.zeros((2, lanes))], np.int64)
        self.frame = TurnsFrame.from_buffer_copy(whole)
        self.frame.last, self.last = last, last
        self.frame.x, self.frame.i, self.frame.a = map(address, (self.cells, self.integers, self.arguments))
        self.frame.results, self.frame.following = address(self.results), address(self.following)
        self.frame.sequence_of, self.frame.at, self.frame.place_of = map(address, self.lanes)

    def left(self) -> bool:
        """Whether there are more turns to take."""
        return bool(self.following[0] < self.last or self.lanes[0].max() >= 0)
