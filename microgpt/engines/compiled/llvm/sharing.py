"""One example on several threads: which part of each nest a thread runs, and where the threads wait for each other.

A nest with much work is cut along an axis of its target, so that no two threads write the same number. The first thread
runs all others. Before a nest that reads what another thread has written, all wait. Each number is computed as on one
thread.
"""

import ctypes
import sys
from dataclasses import dataclass, replace
from functools import cache
from math import prod
from typing import Any

from llvmlite import ir
from llvmlite.binding import get_process_triple

from microgpt.engines.compiled.expressions import Expression, Load, has_tables, loads_of
from microgpt.engines.compiled.llvm.arguments import TABLES
from microgpt.engines.compiled.llvm.emit import I32, I64, Kernel
from microgpt.engines.compiled.llvm.lanes import bounded_axes
from microgpt.engines.compiled.nest import Nest

MUCH = 1 << 15  # points of a nest that are worth sharing
MUCH_IN_ALL = 1 << 21  # points of a program that are
UNIT = 64  # numbers at whose multiples an axis is cut along which vectors may lie: they stay whole
PATIENCE = 2000  # looks at the others before a thread offers its core to somebody else
COUNT, ROUND, STOP = 0, 16, 32  # where the table of a plan has them, each in its own line of the cache
TABLE = 48


@dataclass(frozen=True)
class WaitShape:
    """The code with which threads wait for each other."""

    double: bool
    width: int = 1
    narrow: bool = False

    def argument_names(self) -> list[str]:
        return ["table", "threads", "offer"]

    def emit(self, module: ir.Module, name: str) -> None:
        Wait(module, name, self)


class Wait(Kernel):
    """The last thread that comes opens the next round, and the others look for it. All go on if one has stopped."""

    def __init__(self, module: ir.Module, name: str, shape: WaitShape):
        super().__init__(module, name, shape)
        table = self.gep(self.pointer[TABLES], [self.argument["table"]])
        count, rounds, stop = (self.gep(table, [I64(place)]) for place in (COUNT, ROUND, STOP))
        now = self.load_atomic(rounds, "acquire", 8)
        before = self.atomic_rmw("add", count, I64(1), "acq_rel")
        last = self.icmp_signed("==", before, self.sub(self.argument["threads"], I64(1)))
        with self.if_else(last) as (is_last, others):
            with is_last:
                self.store_atomic(I64(0), count, "release", 8)
                self.store_atomic(self.add(now, I64(1)), rounds, "release", 8)
            with others:
                self.look(rounds, stop, now)
        self.ret_void()

    def look(self, rounds: Any, stop: Any, now: Any) -> None:
        """Look until the next round is open, or somebody has stopped."""
        before = self.block
        head, again, tired, after = (self.append_basic_block(name) for name in ("head", "again", "tired", "after"))
        self.branch(head)
        self.position_at_end(head)
        looks = self.phi(I64)
        looks.add_incoming(I64(0), before)
        open_now = self.icmp_signed("!=", self.load_atomic(rounds, "acquire", 8), now)
        stopped = self.icmp_signed("!=", self.load_atomic(stop, "acquire", 8), I64(0))
        self.cbranch(self.or_(open_now, stopped), after, again)
        self.position_at_end(again)
        self.pause()
        looks.add_incoming(self.add(looks, I64(1)), again)
        self.cbranch(self.icmp_signed("<", looks, I64(PATIENCE)), head, tired)
        self.position_at_end(tired)
        offer = self.inttoptr(self.argument["offer"], ir.FunctionType(ir.IntType(32), []).as_pointer())
        self.call(offer, [])
        looks.add_incoming(looks, tired)
        self.branch(head)
        self.position_at_end(after)

    def pause(self) -> None:
        """Tell the processor that this thread only waits, where there is an instruction for it."""
        triple = get_process_triple()
        if triple.startswith(("x86_64", "i686")):
            self.call_by_name("llvm.x86.sse2.pause")
        elif triple.startswith(("aarch64", "arm64")):
            self.call_by_name("llvm.aarch64.hint", I32(1))

    def call_by_name(self, name: str, *arguments: Any) -> None:
        """Call an instruction of the processor."""
        kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
        self.call(ir.Function(self.module, kind, name), arguments)


@cache
def offer() -> int:
    """The address of the system's function that lets another thread run on this core."""
    system: Any = ctypes
    function = system.windll.kernel32.SwitchToThread if sys.platform == "win32" else system.CDLL(None).sched_yield
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def axis_to_share(nest: Nest, threads: int) -> int | None:
    """The axis along which threads share a nest: the longest one along which each has numbers of its own to write."""
    if prod(nest.lengths) < MUCH or nest.within:
        return None
    loads = [nest.target, *loads_of(nest.expression)]
    tables, bounded = has_tables(loads), bounded_axes(nest)
    chooser = nest.target.chooser
    axes = []
    for axis, length in enumerate(nest.lengths):
        beside = any(abs(load.strides[axis]) == 1 for load in loads)
        free = axis not in bounded and not (tables and axis == 0) and not (chooser and chooser.strides[axis])
        if free and nest.target.strides[axis] and length >= threads * (UNIT if beside else 2):
            axes.append(axis)
    return max(axes, key=lambda axis: nest.lengths[axis], default=None)


def part_of(nest: Nest, axis: int, number: int, threads: int, known: dict[Any, Expression]) -> Nest:
    """The part of a nest that a thread runs."""
    length = nest.lengths[axis]
    unit = UNIT if length >= UNIT * threads else 1
    first, end = (min(length, length * i // threads // unit * unit) if i < threads else length
                  for i in (number, number + 1))  # fmt: skip

    def moved(load: Load) -> Load:
        return replace(load, start=load.start + load.strides[axis] * first)

    lengths = [end - first if i == axis else n for i, n in enumerate(nest.lengths)]
    part = nest.over(lengths, nest.bounds, moved, known)
    part.whole = nest
    return part
