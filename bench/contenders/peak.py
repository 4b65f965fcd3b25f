"""Only multiply-adds, as many as the processor can do."""

import ctypes
import timeit
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from llvmlite import ir

from bench.measure import Step
from microgpt.engines.compiled.llvm.machine import machine

CHAINS = 12  # sums that grow side by side, so that none waits for another
TOGETHER = 196_608_000  # multiply-adds of a thread in one call


def step(threads: int) -> Step:
    """Return a step of multiply-adds in registers, on each thread, in the fastest vectors of this machine."""
    return min((multiply_adds_step(lanes, threads) for lanes in (4, 8, 16)), key=seconds_of)


def seconds_of(step: Step) -> float:
    return min(timeit.repeat(step, number=1, repeat=5))


def multiply_adds_step(lanes: int, threads: int) -> Step:
    (address,) = machine().prepare([MultiplyAdds(CHAINS, lanes)])
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(address)
    pool = ThreadPoolExecutor(threads)
    sums = [np.ones((CHAINS + 1) * lanes, np.float32) for _ in range(threads)]
    turns = TOGETHER // (CHAINS * lanes)
    return lambda: list(pool.map(lambda own: run(own.ctypes.data, turns), sums))


@dataclass(frozen=True)
class MultiplyAdds:
    """A kernel of only multiply-adds."""

    chains: int
    lanes: int

    def emit(self, module: ir.Module, name: str) -> None:
        """For each turn: for each chain: sums[chain] = sums[chain] * factor + factor, in vectors"""
        vector, count = ir.VectorType(ir.FloatType(), self.lanes), ir.IntType(64)
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [vector.as_pointer(), count]), name)
        multiply_add = ir.Function(module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{self.lanes}f32")
        first, turn, last = (function.append_basic_block() for _ in range(3))
        b = ir.IRBuilder(first)
        places = [b.gep(function.args[0], [count(i)]) for i in range(self.chains + 1)]
        *starts, factor = (b.load(place, align=4) for place in places)
        b.branch(turn)
        b.position_at_end(turn)
        i, *sums = (b.phi(kind) for kind in (count, *[vector] * self.chains))
        grown = [b.call(multiply_add, [s, factor, factor]) for s in sums]
        following = b.add(i, count(1))
        for phi, start, later in zip((i, *sums), (count(0), *starts), (following, *grown), strict=True):
            phi.add_incoming(start, first)
            phi.add_incoming(later, turn)
        b.cbranch(b.icmp_signed("<", following, function.args[1]), turn, last)
        b.position_at_end(last)
        for place, s in zip(places, grown, strict=False):
            b.store(s, place, align=4)
        b.ret_void()
