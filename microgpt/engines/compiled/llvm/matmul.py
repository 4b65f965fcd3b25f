"""Matrix products, by a kernel that keeps a tile of the result in registers.

    results   [I, J]  = parameters [I, K] · results [K, J]     a linear map, and its gradient to its input
    gradients [I, J] += results [I, K] · results [K, J]        its gradient to the parameters
    results   [I, J]  = results [I, K] · results [K, J]        attention, and its gradients

The examples of the batch lie along J in the first, along K in the second; the third is one product for each example.
Nobody wrote a matrix product: a nest is one if it sums `a * b` over an axis K, where a moves along a second axis I and
b along a third, J. Along all other axes a, b and the result move together, in loops outside.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import product
from typing import Any

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features, get_process_triple

from microgpt.engines.compiled.expressions import CELLS, GRADIENTS, PARAMETERS, Load, loads_of, replace
from microgpt.engines.compiled.llvm.emit import I64, Kernel
from microgpt.engines.compiled.llvm.schedule import Schedule, Step, vector_axis
from microgpt.engines.compiled.nest import BATCH, Nest

FEATURES = get_host_cpu_features()
VECTOR_BYTES = 64 if FEATURES.get("avx512f") else 32 if FEATURES.get("avx2") else 16
MANY_REGISTERS = VECTOR_BYTES == 64 or get_process_triple().startswith(("aarch64", "arm64"))
ROWS, VECTORS = 4, 4 if MANY_REGISTERS else 2  # of a tile
CORNER = 4 if MANY_REGISTERS else 2
LENGTHS, LOADS = ("rows", "columns", "terms"), ("target", "a", "b")
# Along what the examples lie, by the spaces of the loads, and the strides that are 1 then.
ALONG: dict[tuple[str, ...], str] = {
    (CELLS, PARAMETERS, CELLS): "columns",
    (GRADIENTS, CELLS, CELLS): "terms",
    (CELLS, CELLS, CELLS): "outer",
}
FIXED = {"columns": ("target column", "b column"), "terms": ("a term", "b term"), "outer": ()}


@dataclass(frozen=True)
class ProductShape:
    """The structure of a matrix product: all that its kernel depends on."""

    examples: str  # along what they lie: "columns", "terms" or "outer"
    outer: int  # the number of outer loops
    inner: int  # the number of loops over terms around that over examples
    bound: str  # which index stays below a limit by which other: "rows by columns", "terms by rows", "rows by terms"
    add: bool
    factor: float
    width: int
    double: bool

    def argument_names(self) -> list[str]:
        names = [*LENGTHS, *(f"{load} start" for load in LOADS)]
        strides = ("target row", "target column", "a row", "a term", "b column", "b term")
        names += [stride for stride in strides if stride not in FIXED[self.examples]]
        if self.examples == "outer":
            names.append("examples")
        if self.bound:
            names += ["constant", "step"]
        for level in range(self.outer):
            names += [f"outer {level}", *(f"{load} outer {level}" for load in LOADS)]
        for level in range(self.inner):
            names += [f"inner {level}", f"a inner {level}", f"b inner {level}"]
        return names

    def emit(self, module: ir.Module, name: str) -> None:
        ProductKernel(module, name, self)


def product_step(nest: Nest, schedule: Schedule, is_zero_beyond: Callable[[Load, Nest], bool]) -> Step | None:
    """The kernel of a nest that is a matrix product, with its arguments; None if no kernel fits the nest.

    The axes along which one load moves `alone` become outer loops, around the product without them. `is_zero_beyond`
    tells whether a load reads zeros beyond the bounds of a nest.
    """
    factors = loads_of(nest.expression)
    alone = {
        i for i, n in enumerate(nest.lengths) if n > 1 and sum(x.strides[i] != 0 for x in (nest.target, *factors)) == 1
    }
    product = replace(nest, lengths=tuple([1 if i in alone else n for i, n in enumerate(nest.lengths)])).product()
    if product is None:
        return None
    loads = [nest.target, product.a, product.b]
    examples = ALONG.get(tuple([load.space for load in loads]), "")
    joined = vector_axis(nest, loads)
    rows, columns, terms = (axes - {BATCH, joined} for axes in (product.rows, product.columns, product.terms))
    bounds = {i: bound for i, bound in enumerate(nest.bounds) if bound is not None and nest.lengths[i] > 1}
    if not examples or (bounds and examples != "outer") or (examples != "terms" and len(terms) != 1):
        return None
    if examples == "outer" and (joined >= 0 or len(bounds) > 1):
        return None
    if examples != "terms" and not all(nest.target.strides[i] for i in alone):
        return None
    tile = rows, columns if examples != "columns" else [], terms if examples != "terms" else []
    i, j, k = (max(sorted(axes), key=lambda axis: nest.lengths[axis], default=-1) for axes in tile)
    bound, limits = "", {}
    for axis, limit in bounds.items():
        if (axis, limit.of) in ((j, i), (k, j), (j, k)):  # the rows are to be bounded, or to bound
            loads, i, j = [loads[0], loads[2], loads[1]], j, i
        known = {(i, j): "rows by columns", (k, i): "terms by rows", (i, k): "rows by terms"}
        bound, limits = known.get((axis, limit.of), ""), {"constant": limit.constant, "step": limit.step}
        if not bound or limit.step <= 0 or (k in (axis, limit.of) and not is_zero_beyond(loads[1], nest)):
            return None
    count = schedule.block_size * (nest.lengths[joined] if joined >= 0 else 1)
    most = max(VECTOR_BYTES, 8) // (8 if schedule.double else 4)
    width = next(w for w in (16, 8, 4, 2, 1) if count % w == 0 and w <= most)
    others = [axis for axis, n in enumerate(nest.lengths) if n > 1 and axis not in (joined, i, j, k)]
    inner = [axis for axis in others if axis in terms and examples == "terms"]
    outer = [axis for axis in others if axis not in inner]
    add = nest.add or examples == "terms"
    shape = ProductShape(examples, len(outer), len(inner), bound, add, product.factor, width, schedule.double)
    return Step(shape, limits | product_arguments(nest, loads, (i, j, k), outer, inner, count, schedule))


def product_arguments(
    nest: Nest,
    loads: list[Load],
    tile: tuple[int, int, int],
    outer: list[int],
    inner: list[int],
    count: int,
    schedule: Schedule,
) -> dict[str, int]:
    """The arguments of a matrix product whose rows, columns and terms are these axes; -1 for the examples."""
    found = {name: nest.lengths[axis] if axis >= 0 else count for name, axis in zip(LENGTHS, tile, strict=True)}
    found |= {} if -1 in tile else {"examples": count}
    loops = [(f"outer {n}", axis) for n, axis in enumerate(outer)] + [
        (f"inner {n}", axis) for n, axis in enumerate(inner)
    ]
    found |= {name: nest.lengths[axis] for name, axis in loops}
    directions = [*zip(("row", "column", "term"), tile, strict=True), *loops]
    for name, load in zip(LOADS, loads, strict=True):
        found[f"{name} start"] = schedule.start(load)
        for direction, axis in directions:
            if axis in outer or (axis in inner and name != "target") or (axis >= 0 and load.strides[axis]):
                found[f"{name} {direction}"] = load.strides[axis] * schedule.scale(load.space)
    return found


class ProductKernel(Kernel):
    """target[I, J] = factor * the sum over K of a[I, K] * b[J, K], in tiles whose sums stay in registers.

    A vector holds examples, which lie along J, along K, or beside all three.
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
        if self.shape.bound != "rows by columns":
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

        if self.shape.examples == "columns":
            self.in_pieces("columns", self.width, VECTORS, of_columns)
        else:
            self.in_pieces("rows", 1, CORNER, of_rows)

    def tile(self, starts: list[Any], i: Any, height: int, j: Any, across: int) -> None:
        """Compute the tile of `height` rows from i and `across` columns, or vectors of columns, from j."""
        rows = [self.add(i, I64(r)) for r in range(height)]
        columns = [self.add(j, I64(c * (self.width if self.shape.examples == "columns" else 1))) for c in range(across)]
        with self.if_in_square(i, columns[-1]):
            terms = self.terms(i, rows[-1])
            if self.shape.examples == "outer":
                self.each(
                    I64(0), self.argument["examples"], self.width,
                    lambda example: self.sums([self.add(start, example) for start in starts], rows, columns, terms),
                )  # fmt: skip
            else:
                self.sums(starts, rows, columns, terms)

    def terms(self, first_row: Any, last_row: Any) -> tuple[Any, Any]:
        """The first term of the sums of a tile, and the end of its terms."""
        first, end = I64(0), self.argument["terms"]
        if self.shape.bound == "terms by rows":  # up to the limit of the last row
            end = self.minimum(end, self.limit(last_row))
        elif self.shape.bound == "rows by terms":  # from where the limit is above the first row
            beyond = self.sub(first_row, self.argument["constant"])
            first = self.ceiling(self.add(beyond, I64(1)), self.argument["step"])
        return first, end

    def sums(self, starts: list[Any], rows: list[Any], columns: list[Any], terms: tuple[Any, Any]) -> None:
        """Sum the products of all rows and columns over the terms, and store the sums."""
        target, left, right = starts
        space, kind = (PARAMETERS, self.scalar) if self.shape.examples == "columns" else (CELLS, self.vector)

        def loops(level: int, left: Any, right: Any, sums: list[Any]) -> list[Any]:
            if level == self.shape.inner:
                lefts = [self.along(left, "a row", row) for row in rows]
                rights = [self.along(right, "b column", column) for column in columns]
                step = self.width if self.shape.examples == "terms" else 1
                return self.loop(*terms, step, sums, lambda k, sums: term(k, sums, lefts, rights))

            def inside(index: Any, sums: list[Any]) -> list[Any]:
                a, b = (self.along(at, f"{load} inner {level}", index) for load, at in (("a", left), ("b", right)))
                return loops(level + 1, a, b, sums)

            return self.loop(I64(0), self.argument[f"inner {level}"], 1, sums, inside)

        def term(k: Any, sums: list[Any], lefts: list[Any], rights: list[Any]) -> list[Any]:
            theirs = [self.read(self.pointer[CELLS], self.along(at, "b term", k)) for at in rights]
            found: list[Any] = []
            for at in lefts:
                ours = self.spread(self.read(self.pointer[space], self.along(at, "a term", k), kind))
                found += [
                    self.multiply_add(ours, y, so_far) for y, so_far in zip(theirs, sums[len(found) :], strict=False)
                ]
            return found

        zeros = [self.vector(0.0)] * (len(rows) * len(columns))
        sums = loops(0, left, right, zeros)
        for (row, column), result in zip(product(rows, columns), sums, strict=True):
            where = self.along(self.along(target, "target row", row), "target column", column)
            with self.if_in_square(row, column):
                self.put(result, where)

    def put(self, result: Any, where: Any) -> None:
        space = CELLS
        if self.shape.examples == "terms":
            space, result = GRADIENTS, self.across(result)
        if self.shape.factor != 1.0:
            result = self.fmul(result, self.number(self.shape.factor, result))
        self.write(result, self.pointer[space], where, self.shape.add)
