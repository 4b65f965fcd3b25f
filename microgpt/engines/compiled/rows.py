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

    def __call__(self, p: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """The results of some rows, [rows, results].

        Args:
            p: the parameters as one vector.
            numbers: all arguments of each row: either only integers or only floats, of the type of the parameters.
        """
        count, none = len(numbers), np.zeros((len(numbers), 0), p.dtype)
        if numbers.dtype == INTEGER:
            integers, floats = np.ascontiguousarray(numbers), none
        else:
            integers, floats = none.astype(INTEGER), np.ascontiguousarray(numbers, p.dtype)
        with LOCK:
            size = self.program.memory(False).size * p.dtype.itemsize
            block = block_size_for(-(-count // self.threads) if count > 1 else 1, size)
            plan = self.program.plan(block, p.dtype, False)
            parts = min(-(-count // block), self.threads)
            return plan.run(p, integers, floats, np.zeros((parts, 0), p.dtype), self.threads)[:, :count].T
