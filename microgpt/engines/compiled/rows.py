"""A compiled function of one row of numbers, for few rows or many: without a gradient and with few checks."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from microgpt.engines.compiled.llvm.run import INTEGER, Program, block_size_for
from microgpt.engines.compiled.llvm.threads import LOCK
from microgpt.engines.compiled.record import Argument, Shapes


class Rows:
    """A function of one row. The rows of a call lie side by side, so that they share what is read of the parameters.

    Args:
        function: takes the parameters, and the arguments of one row.
        shapes, arguments: those of `Program`; no argument may pick from beyond a list.
        threads: the most to use; None for one a core.
    """

    def __init__(
        self, function: Callable[..., Any], shapes: Shapes, arguments: list[Argument], threads: int | None = None
    ):
        self.program, self.threads = Program(function, shapes, arguments), threads or os.cpu_count() or 1

    def __call__(
        self, p: np.ndarray, floats: np.ndarray | None = None, integers: np.ndarray | None = None
    ) -> np.ndarray:
        """The results of some rows, [rows, results], for the parameters as one vector and all arguments of each row."""
        count = len(next(some for some in (floats, integers) if some is not None))
        none = np.zeros((count, 0))
        floats = np.ascontiguousarray(none if floats is None else floats, p.dtype)
        integers = np.ascontiguousarray(none if integers is None else integers, INTEGER)
        with LOCK:
            size = self.program.memory(False).size * p.dtype.itemsize
            block = block_size_for(-(-count // self.threads) if count > 1 else 1, size)
            plan = self.program.plan(block, p.dtype, False)
            parts = min(-(-count // block), self.threads)
            return plan.run(p, integers, floats, np.zeros((parts, 0), p.dtype), self.threads)[:, :count].T
