"""The machine code of the turns that continue sequences, and the facts that they need of a step. See sequences.py."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from llvmlite import ir

from microgpt.engines.compiled.api import Compiled, examples
from microgpt.engines.compiled.expressions import CELLS, INTEGERS, PARAMETERS
from microgpt.engines.compiled.llvm.arguments import ROW
from microgpt.engines.compiled.llvm.emit import I64, Driver
from microgpt.engines.compiled.llvm.machine import machine
from microgpt.engines.compiled.llvm.run import block_size_for
from microgpt.engines.compiled.turns import DOUBLE, FAILED, NAMES, NUMBERS, TABLES
from microgpt.engines.trees import address, checked_arguments

Memory = Sequence[tuple[tuple[int, ...], int | None]]


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


def facts_of(
    compiled: Compiled, params: Any, items: np.ndarray, places: int, memory: Memory, most: int
) -> tuple[dict[str, Any], list[int], bool]:
    """Record a step; return what its turns need, the addresses of their kernels, and whether the step was verified.

    Args:
        items: those that are known.
        most: sequences that a thread continues.

    Raises IndexError for an item or a place that is beyond what it picks from.
    """
    first = [np.array([items.min(), items.max()]), np.full(2, places - 1), np.full(2, places - 1.0), np.full(2, 0.5)]
    arrays = checked_arguments((*first, *(np.zeros((2, *shape)) for shape, _ in memory)))
    parameters = compiled.parameters(params)
    program = compiled.program(params, parameters.structure, arrays)
    examples(program, arrays, DOUBLE)  # checks the integers
    lanes = block_size_for(most, program.memory(False).size * DOUBLE.itemsize)
    narrow = lanes == 1 and parameters.dtype == np.float32  # a single lane waits for its parameters
    narrow = narrow and PARAMETERS not in [space for space, _ in program.groups.outputs]
    plan = program.plan(lanes, DOUBLE, False, narrow)
    if (compiled.engine, False) not in program.verified_on:
        rng = np.random.default_rng(0)
        arrays = [*arrays[: len(first)], *(rng.normal(size=array.shape) for array in arrays[len(first) :])]
        _, integers, floats = examples(program, arrays, DOUBLE)
        vector = parameters.vector().astype(np.float32 if narrow else DOUBLE)
        compiled.check(program, params, arrays, plan.run(vector, integers, floats, np.zeros((1, 0)), 1))
    shapes, code = [*plan.shapes, TurnsShape()], plan.code.copy()
    increments = [address(one) for one in plan.increments]
    for row in code:  # what is an address here is a place there
        if row[ROW.index("turns")]:
            row[ROW.index("increments")] = increments.index(row[ROW.index("increments")])
    lists = {name: getattr(plan, name).tolist() for name in ("arguments", "tables", "constants", "outputs")}
    facts = {
        "lanes": lanes, "cells": plan.cells, "limits": program.integer_limits.tolist(), "narrow": narrow,
        "kernels": [machine().name_of(shape) for shape in shapes], "code": code.tolist(),
        "increments": [one.tolist() for one in plan.increments], "news": news(program.form, memory).tolist(), **lists,
    }  # fmt: skip
    return facts, machine().prepare(shapes), (compiled.engine, False) in program.verified_on


def news(form: Any, memory: Memory) -> np.ndarray:
    """For each number that is new after a turn: the output that it is, its place in the memory, and the step."""
    first, rows = 2, [np.zeros((0, 3), np.int64)]
    for outputs, (shape, axis) in zip(form[2:], memory, strict=True):
        cells = first + np.arange(prod(shape)).reshape(shape)
        first += cells.size
        places = cells if axis is None else cells.take(0, axis)
        step = 0 if axis is None else prod(shape[axis + 1 :])
        rows.append(np.stack([np.array(outputs).ravel(), places.ravel(), np.full(places.size, step)], 1))
    found = np.concatenate(rows)
    return found[np.argsort(found[:, 2] > 0, kind="stable")]  # what is replaced comes first
