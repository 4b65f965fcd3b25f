"""Matrix products: loop nests that sum products of two loads, by kernels that keep a tile of the result in registers.

    cells       [I, columns] = parameters [I, K] · cells [K, columns]         a linear map; its gradient to the input
    gradients   [I, J]      += cells [I, columns] · cells [J, columns]        its gradient to the parameters
    cells       [I, J] = cells [I, K] · cells [K, J] for every example        attention, and its gradients

Nobody wrote a matrix product. A nest is one if it sums `a * b` over one axis, a moves along a second and b along a
third; what other axes there are, both move along.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import product
from typing import Any

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features, get_process_triple

from microgpt.engines.compiled.expressions import CELLS, GRADIENTS, PARAMETERS, Load
from microgpt.engines.compiled.llvm.emit import I64, Kernel
from microgpt.engines.compiled.llvm.schedule import Step, vector_axis
from microgpt.engines.compiled.nests import Nest

FEATURES = get_host_cpu_features()
VECTOR_BYTES = 64 if FEATURES.get("avx512f") else 32 if FEATURES.get("avx2") else 16
MANY_REGISTERS = VECTOR_BYTES == 64 or get_process_triple().startswith(("aarch64", "arm64"))
ROWS, VECTORS = 4, 4 if MANY_REGISTERS else 2  # of a tile
CORNER = 4 if MANY_REGISTERS else 2
LENGTHS, LOADS = ("rows", "columns", "terms"), ("target", "a", "b")
FIXED = {"map": ("target column", "b column"), "weights": ("a term", "b term"), "each": ()}  # strides that are 1


@dataclass(frozen=True)
class ProductShape:
    """The structure of a matrix product: all that its kernel depends on."""

    kind: str  # "map", "weights" or "each"
    outer: int  # loops around it
    bound: str  # of "each": "", "square" (I stays below a limit by J), "end" (K by I) or "start" (I by K)
    add: bool
    factor: float
    width: int
    double: bool

    def argument_names(self) -> list[str]:
        names = [*LENGTHS, *(f"{load} start" for load in LOADS)]
        strides = ("target row", "target column", "a row", "a term", "b column", "b term")
        names += [stride for stride in strides if stride not in FIXED[self.kind]]
        if self.kind == "each":
            names.append("examples")
        if self.bound:
            names += ["constant", "step"]
        for level in range(self.outer):
            names += [f"outer {level}", *(f"{load} outer {level}" for load in LOADS)]
        return names

    def emit(self, module: ir.Module, name: str) -> None:
        ProductKernel(module, name, self)


def product_step(nest: Nest, block_size: int, double: bool, place: Any, is_masked: Any) -> Step | None:
    """The kernel of a nest that is a matrix product, with its arguments; None if it is none.

    `place` is where a load begins in memory; `is_masked` tells whether what is beyond the bound of a load is zero.
    """
    factor, (a, b) = two_factors(nest)
    if a is None or b is None or nest.reduction != "sum":
        return None
    if any(load.table is not None or load.chooser is not None for load in (nest.target, a, b)):
        return None
    left, right = (b, a) if a.space != PARAMETERS and b.space == PARAMETERS else (a, b)
    return product_of_loads(nest, factor, left, right, block_size, double, place, is_masked)


def product_of_loads(
    nest: Nest, factor: float, a: Load, b: Load, block_size: int, double: bool, place: Any, is_masked: Any
) -> Step | None:
    """The kernel of a nest that sums a · b, with its arguments; None if it is no matrix product."""
    target = nest.target
    if b.space != CELLS or a.space not in (PARAMETERS, CELLS) or target.space not in (CELLS, GRADIENTS):
        return None
    merged = vector_axis(nest, [target, a, b])
    axes = [i for i, n in enumerate(nest.lengths) if n > 1 and i != merged]

    def moves(i: int) -> tuple[bool, bool, bool]:
        return target.strides[i] != 0, a.strides[i] != 0, b.strides[i] != 0

    rows = [i for i in axes if moves(i) == (True, True, False)]
    columns = [i for i in axes if moves(i) == (True, False, True)]
    inner = [i for i in axes if moves(i) == (False, True, True)]
    bounded = {i for i, bound in enumerate(nest.bounds) if bound is not None and nest.lengths[i] > 1}
    count = block_size * (nest.lengths[merged] if merged >= 0 else 1)
    width = next(w for w in (16, 8, 4, 2, 1) if count % w == 0 and w * (8 if double else 4) <= max(VECTOR_BYTES, 8))

    def longest(of: list[int]) -> int:
        return max(of, key=lambda axis: nest.lengths[axis])

    def step(kind: str, i: int, j: int, k: int, bound: str = "", **limits: int) -> Step:
        """The kernel whose rows, columns and terms are these axes; -1 for the examples."""
        scale = {CELLS: block_size, PARAMETERS: 1, GRADIENTS: 1}
        outer = [axis for axis in axes if axis not in (i, j, k)]
        directions = {"row": i, "column": j, "term": k} | {f"outer {n}": axis for n, axis in enumerate(outer)}
        arguments = limits | {
            name: nest.lengths[axis] if axis >= 0 else count for name, axis in zip(LENGTHS, (i, j, k), strict=True)
        }
        for name, load in zip(LOADS, (target, a, b), strict=True):
            arguments[f"{name} start"] = place(load)
            for direction, axis in directions.items():
                if axis >= 0 and (load.strides[axis] or axis in outer):
                    arguments[f"{name} {direction}"] = load.strides[axis] * scale[load.space]
        arguments |= {f"outer {n}": nest.lengths[axis] for n, axis in enumerate(outer)}
        shape = ProductShape(kind, len(outer), bound, nest.add or kind == "weights", factor, width, double)
        return Step(shape, arguments)

    if a.space == PARAMETERS and target.space == CELLS:
        if not rows or len(inner) != 1 or bounded or any(not target.strides[i] for i in axes if i not in inner):
            return None
        return step("map", longest(rows), -1, inner[0])
    if a.space == CELLS and target.space == GRADIENTS:
        return step("weights", longest(rows), longest(columns), -1) if rows and columns and not bounded else None
    if a.space == CELLS and target.space == CELLS:
        if not rows or not columns or len(inner) != 1 or merged >= 0 or len(bounded) > 1:
            return None
        i, j, k = longest(rows), longest(columns), inner[0]
        if not bounded:
            return step("each", i, j, k, examples=count)
        axis = bounded.pop()
        limit = nest.bounds[axis]
        assert limit is not None
        if (axis, limit.of) in ((j, i), (k, j), (j, k)):  # the rows are to be bounded, or to bound
            a, b, i, j = b, a, j, i
        bound = {(i, j): "square", (k, i): "end", (i, k): "start"}.get((axis, limit.of))
        if bound is None or limit.step <= 0 or (bound != "square" and not is_masked(a)):
            return None
        return step("each", i, j, k, bound, examples=count, constant=limit.constant, step=limit.step)
    return None


def two_factors(nest: Nest) -> tuple[float, tuple[Load | None, Load | None]]:
    """The two loads that are multiplied, and a constant factor."""
    expression, factor = nest.expression, 1.0
    while expression.operation == "*" and "constant" in (x.operation for x in expression.arguments):
        x, y = expression.arguments
        if x.operation == "constant":
            x, y = y, x
        expression, factor = x, factor * y.what
    if expression.operation != "*" or any(x.operation != "load" for x in expression.arguments):
        return factor, (None, None)
    x, y = expression.arguments
    return factor, (x.what, y.what)


class ProductKernel(Kernel):
    """target[I, J] = factor * the sum over K of a[I, K] * b[J, K], in tiles whose sums stay in registers.

    A vector holds examples. They lie along J in a "map", along K in "weights", and beside all three in "each".
    """

    def __init__(self, module: ir.Module, name: str, shape: ProductShape):
        super().__init__(module, name, shape)
        self.outer_loop(0, [self.argument[f"{load} start"] for load in LOADS])
        self.ret_void()

    def along(self, start: Any, stride: str, index: Any) -> Any:
        """The offset `index` strides further; a stride that the kind of the kernel fixes is 1."""
        step = self.argument.get(stride)
        return self.add(start, index if step is None else self.mul(step, index))

    def limit(self, index: Any) -> Any:
        return self.along(self.argument["constant"], "step", index)

    def if_in_square(self, row: Any, column: Any) -> Any:
        """Where the target is bounded, the code in this context runs only within the bound."""
        if self.shape.bound != "square":
            return nullcontext()
        return self.if_then(self.icmp_signed("<", row, self.limit(column)))

    def outer_loop(self, level: int, starts: list[Any]) -> None:
        """The loops along which all three loads move, around the tiles."""
        if level == self.shape.outer:
            self.tiles(starts)
            return

        def inside(index: Any) -> None:
            strides = [f"{load} outer {level}" for load in LOADS]
            self.outer_loop(level + 1, [self.along(*at, index) for at in zip(starts, strides, strict=True)])

        self.each(I64(0), self.argument[f"outer {level}"], 1, inside)

    def in_pieces(self, name: str, unit: int, most: int, body: Callable[[Any, int], None]) -> None:
        """body(index, count) for pieces of `most` units, then for what is left unit by unit."""
        length = self.argument[name]
        whole = self.sub(length, self.srem(length, I64(most * unit)))
        self.each(I64(0), whole, most * unit, lambda index: body(index, most))
        if most > 1:
            self.each(whole, length, unit, lambda index: body(index, 1))

    def tiles(self, starts: list[Any]) -> None:
        """Cut the target into tiles."""

        def of_columns(j: Any, across: int) -> None:
            height = ROWS if across > 1 else 2 * ROWS  # so many sums that none waits for the one before
            self.in_pieces("rows", 1, height, lambda i, height: self.tile(starts, i, height, j, across))

        def of_rows(i: Any, height: int) -> None:
            self.in_pieces("columns", 1, CORNER, lambda j, across: self.tile(starts, i, height, j, across))

        if self.shape.kind == "map":
            self.in_pieces("columns", self.width, VECTORS, of_columns)
        else:
            self.in_pieces("rows", 1, CORNER, of_rows)

    def tile(self, starts: list[Any], i: Any, height: int, j: Any, across: int) -> None:
        """Compute the tile of `height` rows from i and `across` columns, or vectors of columns, from j."""
        rows = [self.add(i, I64(r)) for r in range(height)]
        columns = [self.add(j, I64(c * (self.width if self.shape.kind == "map" else 1))) for c in range(across)]
        with self.if_in_square(i, columns[-1]):
            terms = self.terms(i, rows[-1])
            if self.shape.kind == "each":
                self.each(
                    I64(0), self.argument["examples"], self.width,
                    lambda example: self.sums([self.add(start, example) for start in starts], rows, columns, terms),
                )  # fmt: skip
            else:
                self.sums(starts, rows, columns, terms)

    def terms(self, first_row: Any, last_row: Any) -> tuple[Any, Any]:
        """The first term of the sums of a tile, and the end of its terms."""
        first, end = I64(0), self.argument["terms"]
        if self.shape.bound == "end":  # K stays below the limit of the last row
            end = self.minimum(end, self.limit(last_row))
        elif self.shape.bound == "start":  # the first row stays below the limit of K
            beyond = self.sub(first_row, self.argument["constant"])
            first = self.ceiling(self.add(beyond, I64(1)), self.argument["step"])
        return first, end

    def sums(self, starts: list[Any], rows: list[Any], columns: list[Any], terms: tuple[Any, Any]) -> None:
        """Sum the products of all rows and columns over the terms, and store the sums."""
        target, left, right = starts
        lefts = [self.along(left, "a row", row) for row in rows]
        rights = [self.along(right, "b column", column) for column in columns]
        space, kind = (PARAMETERS, self.scalar) if self.shape.kind == "map" else (CELLS, self.vector)

        def term(k: Any, sums: list[Any]) -> list[Any]:
            theirs = [self.read(self.pointer[CELLS], self.along(at, "b term", k)) for at in rights]
            found: list[Any] = []
            for at in lefts:
                ours = self.spread(self.read(self.pointer[space], self.along(at, "a term", k), kind))
                found += [
                    self.multiply_add(ours, y, so_far) for y, so_far in zip(theirs, sums[len(found) :], strict=False)
                ]
            return found

        zeros = [self.vector(0.0)] * (len(rows) * len(columns))
        sums = self.loop(*terms, self.width if self.shape.kind == "weights" else 1, zeros, term)
        for (row, column), result in zip(product(rows, columns), sums, strict=True):
            where = self.along(self.along(target, "target row", row), "target column", column)
            with self.if_in_square(row, column):
                self.put(result, where)

    def put(self, result: Any, where: Any) -> None:
        space = CELLS
        if self.shape.kind == "weights":
            space, result = GRADIENTS, self.across(result)
        if self.shape.factor != 1.0:
            result = self.fmul(result, self.number(self.shape.factor, result))
        self.write(result, self.pointer[space], where, self.shape.add)
