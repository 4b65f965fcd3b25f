"""What ties the steps together: a function of scalars in, a program that runs on batches out.

A `Program` is made for one shape of example. It keeps the encoded instructions, and storage for each thread.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock, Timer
from typing import Any

import numpy as np
from numba import config, set_num_threads

from microgpt.compiler import kernels
from microgpt.compiler.groups import Instruction, Layout, find_groups
from microgpt.compiler.record import ADD, CONSTANT, EXP, LOG, MUL, POW, Argument, Record, Shapes, record_function
from microgpt.compiler.sums import Sums, find_sums

LANES = (8, 16)  # examples a block, for small and large batches
PARTS = 8  # into which the blocks of a batch are put at most, each with a gradient of its own
LOCK = Lock()  # one program runs at a time, on as many threads as it likes, in the same storage
STORAGE: dict[Any, list[np.ndarray]] = {}
GRADIENTS: dict[Any, np.ndarray] = {}


@dataclass
class Encoded:
    """Instructions as the kernels read them.

    The columns of `code`, a row for each instruction:

        0        which operation, a number of kernels.OPERATIONS
        1, 2     the first row of storage that it makes, and how many
        3, 4     its sums: from and to which row of `runs`
        5 to 7   of a load: where in `index` the places of its numbers stand (a negative one is a constant, counted from
                 the end); of a pick: how many candidates, then where their rows and the choosing integers stand, or, of
                 a pick of parameters, strides, first places and integers; of a product: rows, columns, terms
        8 to 10  of a product: the place of its first parameter, and the steps to the next row and to the next term
        11       or where in `index` all of its parameters stand, if they lie irregularly or have a factor; else -1
        12, 13   of a product: the row of its first operand or, where that is -1, where in `index` all of them stand
        14       the place in `constants` of an exponent or of a product's factor; else -1
    """

    code: np.ndarray  # [instructions, 15]
    runs: np.ndarray  # [runs, 7]: sums alike that lie in a row; see groups.py
    constants: np.ndarray  # floats: of each run; then exponents, factors and loaded constants, counted from the end
    operands: np.ndarray  # [terms, 2]: the rows of the first sum of each run
    coefficients: np.ndarray  # a float for each term
    index: np.ndarray  # places that do not lie regularly
    scratch_rows: int  # rows that gathered operands of a product need at most
    weights: int  # parameters that gathered ones of a product need at most


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
        record = record_function(function, shapes, arguments, with_sources)
        sums = find_sums(record)
        layout = find_groups(sums)
        self.operations = sum(record.kind.count(kind) for kind in (ADD, MUL, POW, LOG, EXP))
        self.form = record.form
        self.integers = record.integers
        self.sources = record.sources
        self.layout = layout
        self.bounds = bounds(record)
        self.outputs = layout.row[np.array(record.outputs, np.int64)].astype(np.int64)
        self.watched = layout.row[sums.watched].astype(np.int64)
        self.encoded = encode(layout, sums)
        self.in_precision: dict[Any, tuple[np.ndarray, np.ndarray]] = {}

    def storage(self, dtype: Any, lanes: int, threads: int) -> list[np.ndarray]:
        """Rows, gradients, scratch rows and scratch parameters for each thread; gradients are zero between calls.

        All programs share them, since one runs at a time: they grow with the largest.
        """
        e = self.encoded
        sizes = (self.layout.size * lanes, self.layout.size * lanes, e.scratch_rows * lanes, e.weights)
        arrays = STORAGE.setdefault((dtype, threads), [np.zeros((threads, 1), dtype)] * len(sizes))
        for i, size in enumerate(sizes):
            if arrays[i].shape[1] < size:
                arrays[i] = np.zeros((threads, size), dtype)
        return arrays

    def run(
        self, p: np.ndarray, integers: np.ndarray, floats: np.ndarray, batch: int, threads: int, with_gradient: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Run the program on a batch.

        Args:
            p: all parameters, flat. integers, floats: those of each example, [count, batch], in rows.

        Returns:
            The results [outputs, batch] and, if wanted, the gradient of the mean of the first one, flat as p.
        """
        lanes = next((size for size in LANES if size >= batch), LANES[-1])
        blocks = -(-batch // lanes)
        padding = blocks * lanes - batch  # the last block is filled up with the last example
        if padding:
            integers, floats = (np.pad(array, ((0, 0), (0, padding)), "edge") for array in (integers, floats))
        results = np.empty((len(self.outputs), blocks * lanes), p.dtype)
        seeds = np.zeros(blocks * lanes if with_gradient else 0, p.dtype)
        seeds[:batch] = 1 / batch
        parts = min(blocks, PARTS)
        threads = min(threads, parts)
        e = self.encoded
        constants, coefficients = self.floats(p.dtype)
        with LOCK:
            x, g, scratch, weights = self.storage(p.dtype, lanes, threads)
            gradients = self.gradients(p.dtype, parts, len(p) if with_gradient else 0)
            arguments = (
                e.code, e.runs, constants, e.operands, coefficients, e.index, p, gradients, x, g, np.uint64(lanes),
                integers, floats, scratch, weights, self.outputs, self.watched, results, seeds, blocks,
            )  # fmt: skip
            with notice_of_compiling((p.dtype, threads == 1)):
                if threads == 1:
                    kernels.run(*arguments, 0, 1)
                else:
                    set_num_threads(min(threads, config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
                    kernels.run_parallel(*arguments, threads)
            gradient = gradients[0].copy()
            for part in range(1, parts):  # in this order, whoever computed them
                gradient += gradients[part]
        return results[:, :batch], gradient

    def gradients(self, dtype: Any, parts: int, size: int) -> np.ndarray:
        """Room for the gradients of each part of a batch, which the kernels set to zero."""
        key = (dtype, parts)
        if key not in GRADIENTS or GRADIENTS[key].shape[1] != size:
            GRADIENTS[key] = np.zeros((parts, size), dtype)
        return GRADIENTS[key]

    def floats(self, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
        """The constants and coefficients in a precision."""
        if dtype not in self.in_precision:
            with np.errstate(over="ignore"):  # a constant too large for float32 becomes an infinity, for all to see
                self.in_precision[dtype] = (
                    self.encoded.constants.astype(dtype),
                    self.encoded.coefficients.astype(dtype),
                )
        return self.in_precision[dtype]


COMPILED: set[Any] = set()


@contextmanager
def notice_of_compiling(kernel: Any) -> Iterator[None]:
    """Say so if a kernel that is used for the first time takes a while: then Numba is compiling it."""
    if kernel in COMPILED:
        yield
        return
    text = f"compiling the {kernel[0]} kernels for this machine, once; they are kept in a cache on disk"
    timer = Timer(1.5, lambda: print(text, file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
        COMPILED.add(kernel)
    finally:
        timer.cancel()


def bounds(record: Record) -> np.ndarray:
    """For each integer of an example how many candidates the shortest list has that it picks from."""
    limits = np.full(len(record.integers), np.iinfo(np.int64).max)
    for place, count in record.picks:
        limits[place] = min(limits[place], count)
    return limits


def encode(layout: Layout, sums: Sums) -> Encoded:
    """Turn instructions into the tables that the kernels read."""
    code = np.zeros((len(layout.instructions), 15), np.int64)
    runs, constants, operands, coefficients = [], [], [], []
    index: list[np.ndarray] = []
    extra: list[float] = []
    n_runs = n_terms = n_index = scratch = weights = 0

    def indexed(values: np.ndarray) -> int:
        nonlocal n_index
        index.append(np.asarray(values, np.int64).ravel())
        n_index += index[-1].size
        return n_index - index[-1].size

    for line, instruction in zip(code, layout.instructions, strict=True):
        line[:5] = kernels.OPERATIONS[instruction.operation], instruction.start, len(instruction.nodes), n_runs, n_runs
        line[14] = -1
        if instruction.runs is not None:
            table = instruction.runs.table.copy()
            table[:, 2] += n_terms
            if (table[:, 3:] == 0).all() and not instruction.runs.constants.any():
                table = table[:0]  # a product to which nothing is added
            else:
                runs.append(table)
                constants.append(instruction.runs.constants)
                operands.append(instruction.runs.operands)
                coefficients.append(instruction.runs.coefficients)
                n_terms += len(instruction.runs.operands)
            n_runs += len(table)
            line[4] = n_runs
        if instruction.operation == "pow":
            extra.append(instruction.exponent)
            line[14] = -len(extra)
        elif instruction.operation == "product":
            scratch, weights = encode_product(line, instruction, indexed, extra, scratch, weights)
        elif instruction.operation == "load":
            leaves = instruction.nodes
            numbers = np.array(sums.left[leaves], np.int64)
            for i in np.flatnonzero(sums.kind[leaves] == CONSTANT):
                extra.append(float(sums.constants[sums.right[leaves[i]]]))
                numbers[i] = -len(extra)
            line[5] = indexed(numbers)
        elif instruction.operation == "pick":
            assert instruction.candidates is not None
            assert instruction.integers is not None
            line[5:8] = instruction.candidates.shape[1], indexed(instruction.candidates), indexed(instruction.integers)
        elif instruction.operation == "pick parameter":
            candidates = instruction.candidates
            assert candidates is not None
            assert instruction.integers is not None
            strides = candidates[:, 1] - candidates[:, 0] if candidates.shape[1] > 1 else np.zeros(len(candidates))
            line[5:8] = indexed(strides), indexed(candidates[:, 0]), indexed(instruction.integers)
    all_constants = np.concatenate([*constants, np.array(extra[::-1])])
    code[:, 14] += len(all_constants) * (code[:, 14] < 0)
    flat_index = np.concatenate([*index, np.zeros(1, np.int64)])
    return Encoded(
        code,
        np.concatenate([*runs, np.zeros((0, 7), np.int64)]),
        all_constants,
        np.concatenate([*operands, np.zeros((0, 2), np.int64)]).astype(np.int64),
        np.concatenate([*coefficients, np.zeros(0)]),
        flat_index,
        scratch,
        weights,
    )


def encode_product(
    line: np.ndarray,
    instruction: Instruction,
    indexed: Callable[[np.ndarray], int],
    extra: list[float],
    scratch: int,
    weights: int,
) -> tuple[int, int]:
    """Encode a matrix product: where its parameters and operands lie, if regularly, or a list of their places."""
    product = instruction.product
    assert product is not None
    parameters, operands = product.parameters, product.operands
    (rows, terms), columns = parameters.shape, operands.shape[1]
    line[5:8] = rows, columns, terms
    row_step, term_step = parameters[1, 0] - parameters[0, 0], parameters[0, 1] - parameters[0, 0]
    regular = parameters[0, 0] + row_step * np.arange(rows)[:, None] + term_step * np.arange(terms)
    line[8:11] = parameters[0, 0], row_step, term_step
    line[11:14] = -1
    if product.coefficient != 1 or row_step < 0 or not np.array_equal(parameters, regular):
        line[11] = indexed(parameters)
        extra.append(product.coefficient)
        line[14] = -len(extra)
        weights = max(weights, parameters.size)
    line[12] = operands[0, 0]
    if not np.array_equal(operands.ravel(), operands[0, 0] + np.arange(operands.size)):
        line[12], line[13] = -1, indexed(operands)
        scratch = max(scratch, operands.size)
    return scratch, weights
