"""Matrix products, by a kernel that keeps a tile of the result in registers.

    results   [I, J]  = parameters [I, K] · results [K, J]     a linear map, and its gradient to its input
    gradients [I, J] += results [I, K] · results [K, J]        its gradient to the parameters
    results   [I, J]  = results [I, K] · results [K, J]        attention, and its gradients

The examples of a batch lie along J in the first, along K in the second; the third is one product for each example.
Nobody wrote a matrix product: a nest is one if it sums `a * b` over an axis K, where a moves along a second axis I and
b along a third, J. Along all other axes a, b and the result move together, in loops outside.

A vector holds numbers that lie side by side along J: a number of a meets a vector of b. Where b lies along K instead, a
panel of it is transposed before. Where each example has a product of its own, a vector holds examples.
"""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import product
from typing import Any

from llvmlite import ir
from llvmlite.binding import get_process_triple

from microgpt.engines.compiled.expressions import CELLS, GRADIENTS, PARAMETERS, Load, loads_of, replace
from microgpt.engines.compiled.llvm.emit import I32, I64, Kernel
from microgpt.engines.compiled.llvm.lanes import VECTOR_BYTES, joined_axis
from microgpt.engines.compiled.llvm.operations import CAN_MASK, REGISTER_BYTES
from microgpt.engines.compiled.llvm.schedule import Schedule, Step
from microgpt.engines.compiled.nest import BATCH, Nest, Product

MANY_REGISTERS = REGISTER_BYTES == 64 or get_process_triple().startswith(("aarch64", "arm64"))
ROWS, VECTORS = 4, 4 if MANY_REGISTERS else 2  # of a tile
CORNER = 4 if MANY_REGISTERS else 2
STREAMS = 8  # terms that are added together
AT_ONCE = 1024  # terms of a panel: it stays in the cache
LONG, OFTEN = 256, 64  # terms of a sum and rows: numbers far apart are read so often that they displace each other
LENGTHS, LOADS = ("rows", "columns", "terms"), ("target", "a", "b")
SPACES_OF_LOADS = {(CELLS, PARAMETERS, CELLS), (GRADIENTS, CELLS, CELLS), (CELLS, CELLS, CELLS)}
EXAMPLES, NONE = -1, -2  # in place of an axis: the examples with the axis beside them, or a single index


@dataclass(frozen=True)
class ProductShape:
    """The structure of a matrix product: all that its kernel depends on."""

    vectors: str  # along what they lie in b: "columns", "terms", or "outer", where they hold examples
    spaces: tuple[str, ...]  # of the loads
    outer: int  # the number of outer loops
    bound: tuple[str, ...]  # which index stays below a limit, and by which other
    add: bool
    scattered: bool  # whether the columns of the target do not lie side by side
    whole: bool  # whether vectors fill the columns
    copied: bool  # whether a panel of b is copied before it is read, though it lies along the columns
    factor: float
    width: int
    double: bool
    narrow: bool = False  # as in NestShape
    streamed: bool = False  # whether the single row is summed term by term, so that b is read as it lies

    def argument_names(self) -> list[str]:
        names = [*LENGTHS, *(f"{load} start" for load in LOADS), "target row", "a row", "a term"]
        names += ["target column"] if self.scattered or self.vectors == "outer" else []
        names += ["b column"] if self.vectors != "columns" else []
        names += ["b term"] if self.vectors != "terms" else []
        names += ["examples"] if self.vectors == "outer" else ["scratch"]
        names += ["constant", "step"] if self.bound else []
        for level in range(self.outer):
            names += [f"outer {level}", *(f"{load} outer {level}" for load in LOADS)]
        return names

    def emit(self, module: ir.Module, name: str) -> None:
        ProductKernel(module, name, self)


@dataclass(frozen=True)
class Layout:
    """Which axes of a nest a kernel takes as rows, columns and terms, and how it reads b."""

    vectors: str
    loads: tuple[Load, Load, Load]
    tile: tuple[int, int, int]


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
    if product is None or (nest.target.space, product.a.space, product.b.space) not in SPACES_OF_LOADS:
        return None
    joined = joined_axis(nest, [nest.target, product.a, product.b]) if schedule.block_size > 1 else -1
    layout = layout_of_one(nest, product) if schedule.block_size == 1 else None
    layout = layout or layout_of_examples(nest, product, joined)
    others = [axis for axis, n in enumerate(nest.lengths) if n > 1 and axis not in (joined, *layout.tile)]
    add = nest.add or nest.target.space == GRADIENTS
    if not add and not all(nest.target.strides[axis] for axis in others):
        return None
    found = bound_of(nest, layout, is_zero_beyond)
    if found is None or (found[0] and schedule.block_size > 1 and layout.vectors != "outer"):
        return None
    bound, arguments = found
    count = schedule.block_size * (nest.lengths[joined] if joined >= 0 else 1)
    lengths = [nest.lengths[axis] if axis >= 0 else count if axis == EXAMPLES else 1 for axis in layout.tile]
    whole = nest.whole or nest
    single = lengths[0] == 1 and schedule.block_size == 1
    if single and layout.vectors == "terms":
        return None  # a panel that is read once takes longer to transpose than its sums
    column, across = layout.tile[1], count if layout.vectors == "outer" else lengths[1]
    divides = layout.vectors == "outer" or layout.loads[2].space == PARAMETERS
    width = width_of(across, divides, schedule.double)
    scattered = column >= 0 and nest.target.strides[column] != 1
    copied = layout.vectors == "columns" and lengths[2] >= LONG and lengths[0] >= OFTEN and not bound
    shape = ProductShape(
        layout.vectors, tuple([load.space for load in layout.loads]), len(others), bound, add,
        scattered, across % width == 0, copied, product.factor, width, schedule.double,
        schedule.is_narrow(layout.loads),
        single and layout.vectors == "columns" and is_streamed(whole.lengths[column], divides, schedule.double)
        and not (bound or scattered),
    )  # fmt: skip
    arguments |= dict(zip(LENGTHS, lengths, strict=True))
    if layout.vectors == "outer":
        arguments["examples"] = count
    else:
        terms = lengths[2] if copied or (layout.vectors == "terms" and not add) else AT_ONCE
        terms = 0 if layout.vectors == "columns" and not copied else min(terms, lengths[2])
        arguments["scratch"] = schedule.scratch(width * (1 + VECTORS * (terms + width)))
    arguments |= strides_of(layout, nest, others, shape, schedule)
    return Step(shape, arguments, dict(zip(LOADS, layout.loads, strict=True)))


def bound_of(
    nest: Nest, layout: Layout, is_zero_beyond: Callable[[Load, Nest], bool]
) -> tuple[tuple[str, ...], dict[str, int]] | None:
    """Which index of a product stays below a limit, and by which other, with the limit; None if it is no such bound."""
    bounds = [(axis, bound) for axis, bound in enumerate(nest.bounds) if bound is not None and nest.lengths[axis] > 1]
    if not bounds:
        return (), {}
    axis, bound = bounds[0]
    if len(bounds) > 1 or axis not in layout.tile or bound.of not in layout.tile or bound.step <= 0:
        return None
    names = tuple([LENGTHS[layout.tile.index(one)] for one in (axis, bound.of)])
    if "terms" in names and not is_zero_beyond(layout.loads[1 if "rows" in names else 2], nest):
        return None
    return names, {"constant": bound.constant, "step": bound.step}


def strides_of(
    layout: Layout, nest: Nest, others: list[int], shape: ProductShape, schedule: Schedule
) -> dict[str, int]:
    """The arguments that say where the loads of a product begin, and how they move."""
    found, names = {}, set(shape.argument_names())
    directions = [*zip(("row", "column", "term"), layout.tile, strict=True)]
    directions += [(f"outer {level}", axis) for level, axis in enumerate(others)]
    for level, axis in enumerate(others):
        found[f"outer {level}"] = nest.lengths[axis]
    for name, load in zip(LOADS, layout.loads, strict=True):
        found[f"{name} start"] = schedule.start(load)
        for direction, axis in directions:
            stride = load.strides[axis] * schedule.scale(load.space) if axis >= 0 else int(axis == EXAMPLES)
            found[f"{name} {direction}"] = stride
    return {name: value for name, value in found.items() if name in names}


def width_of(count: int, divides: bool, double: bool, register: int = REGISTER_BYTES) -> int:
    """How many numbers a vector holds: as many as a register, or the power of 2 that so many numbers fill."""
    width = register // (8 if double else 4)
    while width > 1 and (count % width if divides else 2 * count <= width):
        width //= 2
    return width


def is_streamed(columns: int, divides: bool, double: bool) -> bool:
    """Whether so many columns of a single row are summed term by term: the same on all processors."""
    return columns >= LONG and columns % width_of(columns, divides, double, VECTOR_BYTES) == 0


def by_length(axes: Iterable[int], nest: Nest) -> list[int]:
    """Axes of a nest without the batch, the longest first."""
    return sorted({*axes} - {BATCH}, key=lambda axis: (-(nest.whole or nest).lengths[axis], axis))


def along(axes: list[int], nest: Nest) -> list[int]:
    """Axes in the order in which they suit vectors: the target should lie beside itself, and fill them."""

    def fitness(axis: int) -> int:
        return min((nest.whole or nest).lengths[axis], VECTOR_BYTES // 4) * (4 if nest.target.strides[axis] == 1 else 1)

    return sorted(axes, key=fitness, reverse=True)


def layout_of_examples(nest: Nest, product: Product, joined: int) -> Layout:
    """The layout in which the examples lie side by side, with the axis that is joined to them."""
    rows, columns, terms = (by_length(axes - {joined}, nest) for axes in (product.rows, product.columns, product.terms))
    a, b = product.a, product.b
    if BATCH in product.columns:
        return Layout("columns", (nest.target, a, b), (first(rows), EXAMPLES, first(terms)))
    if BATCH not in product.terms:
        return Layout("outer", (nest.target, a, b), (first(rows), first(columns), first(terms)))
    best = along([*columns, *rows], nest)[0]
    if best in rows:
        a, b, rows, columns = b, a, columns, rows
    return Layout("terms", (nest.target, a, b), (first(rows), best, EXAMPLES))


def layout_of_one(nest: Nest, product: Product) -> Layout | None:
    """The layout for a block of one example, whose vectors hold numbers side by side; None if there are none."""
    rows, columns, terms = (by_length(axes, nest) for axes in (product.rows, product.columns, product.terms))
    for best in along([*columns, *rows], nest):
        a, b = (product.b, product.a) if best in rows else (product.a, product.b)
        row = first(columns if best in rows else rows)
        if b.strides[best] == 1:
            return Layout("columns", (nest.target, a, b), (row, best, first(terms)))
        for term in terms:
            if b.strides[term] == 1:
                return Layout("terms", (nest.target, a, b), (row, best, term))
    return None


def first(axes: list[int]) -> int:
    return axes[0] if axes else NONE


class ProductKernel(Kernel):
    """target[I, J] = factor * the sum over K of a[I, K] * b[J, K], in tiles whose sums stay in registers."""

    def __init__(self, module: ir.Module, name: str, shape: ProductShape):
        super().__init__(module, name, shape)
        self.examples = shape.vectors == "outer"
        self.unit = 1 if self.examples else self.width  # so many columns has a vector
        self.of_target, self.of_a, self.of_b = (self.pointer[space] for space in shape.spaces)
        # Whether each vector of a tile is stored at once.
        self.whole = shape.whole and not shape.scattered and (not shape.bound or "terms" in shape.bound)
        self.of_rows = self.vector if self.examples else self.scalar  # what is read of a
        self.outer_loop(0, [self.argument[f"{load} start"] for load in LOADS])
        self.ret_void()

    def along(self, start: Any, stride: str, index: Any) -> Any:
        """The offset `index` strides further; a stride that the kind of the kernel fixes is 1."""
        step = self.argument.get(stride)
        return self.add(start, index if step is None else self.mul(step, index))

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
        """Cut the target into tiles, and where b is transposed, a long sum into parts, which add to the target."""
        all_terms = self.argument["terms"]
        if self.shape.streamed:
            self.stream(*starts)
            return

        def of_columns(j: Any, across: int) -> None:
            if self.shape.vectors == "terms" and self.shape.add:
                self.each(I64(0), all_terms, AT_ONCE, lambda k: part(j, across, k, self.add(k, I64(AT_ONCE))))
            else:
                part(j, across, I64(0), all_terms)

        def part(j: Any, across: int, begin: Any, end: Any) -> None:
            self.part = begin, self.minimum(end, all_terms)
            if self.shape.vectors == "terms":
                self.transpose(starts[2], j, across)
            elif self.shape.copied:
                self.copy(starts[2], j, across)
            height = CORNER if self.examples else ROWS if across == VECTORS else 2 * ROWS  # no sum waits for another
            self.in_pieces("rows", 1, height, lambda i, height: self.tile(starts, i, height, j, across))

        most = CORNER if self.examples else 2 if self.shape.bound else VECTORS  # narrow where some is beyond a bound
        self.in_pieces("columns", self.unit, most, of_columns)

    def stream(self, target: Any, left: Any, right: Any) -> None:
        """Add several terms at a time to all columns of a single row. What is read of b lies side by side."""
        if not self.shape.add:
            zero = self.vector(0.0)
            columns = I64(0), self.argument["columns"], self.width
            self.each(*columns, lambda j: self.write(zero, self.of_target, self.add(target, j)))

        def some(k: Any, count: int) -> None:
            terms = [self.add(k, I64(i)) for i in range(count)]
            factors = [self.read(self.of_a, self.along(left, "a term", term), self.scalar) for term in terms]
            spread = [self.spread(self.fmul(x, self.number(self.shape.factor))) for x in factors]
            rows = [self.along(right, "b term", term) for term in terms]

            def column(j: Any) -> None:
                place = self.add(target, j)
                total = self.read(self.of_target, place)
                for x, row in zip(spread, rows, strict=True):
                    total = self.multiply_add(x, self.read(self.of_b, self.add(row, j)), total)
                self.write(total, self.of_target, place)

            self.each(I64(0), self.argument["columns"], self.width, column)

        self.in_pieces("terms", 1, STREAMS, some)

    def tile(self, starts: list[Any], i: Any, height: int, j: Any, across: int) -> None:
        """Compute the tile of `height` rows from i and `across` columns, or vectors of columns, from j."""
        rows = [self.add(i, I64(r)) for r in range(height)]
        columns = [self.add(j, I64(c * self.unit)) for c in range(across)]
        last = self.add(j, I64(across * self.unit - 1))
        with self.if_within(i, rows[-1], j, last):
            terms = self.terms({"rows": i, "columns": j}, {"rows": rows[-1], "columns": last})
            if self.examples:
                self.each(
                    I64(0), self.argument["examples"], self.width,
                    lambda example: self.sums([self.add(start, example) for start in starts], rows, columns, terms),
                )  # fmt: skip
            else:
                self.sums(starts, rows, columns, terms)

    # Bounds

    def limit(self, index: Any) -> Any:
        return self.along(self.argument["constant"], "step", index)

    def least(self, index: Any) -> Any:
        """The first index whose limit is above another."""
        beyond = self.sub(index, self.argument["constant"])
        return self.ceiling(self.add(beyond, I64(1)), self.argument["step"])

    def if_within(self, first_row: Any, last_row: Any, first_column: Any, last_column: Any) -> Any:
        """The code in this context runs only if some of a tile lies within the bound of the target."""
        if self.shape.bound == ("rows", "columns"):
            return self.if_then(self.icmp_signed("<", first_row, self.limit(last_column)))
        if self.shape.bound == ("columns", "rows"):
            return self.if_then(self.icmp_signed("<", first_column, self.limit(last_row)))
        return nullcontext()

    def terms(self, first: dict[str, Any], last: dict[str, Any]) -> tuple[Any, Any]:
        """The first term of the sums of some rows and columns, and the end of their terms."""
        begin, end = self.part
        for bounded, other in [self.shape.bound] if self.shape.bound else []:
            if bounded == "terms" and other in last:
                end = self.minimum(end, self.limit(last[other]))
            elif other == "terms" and bounded in first:
                begin = self.maximum(begin, self.least(first[bounded]))
        return begin, end

    def lanes(self, row: Any, column: Any) -> tuple[Any, Any]:
        """The first lane of a vector from a column on that is a column of this row, and the end of these lanes."""
        begin, end = I64(0), self.minimum(I64(self.width), self.sub(self.argument["columns"], column))
        if self.shape.bound == ("columns", "rows"):
            end = self.minimum(end, self.sub(self.limit(row), column))
        elif self.shape.bound == ("rows", "columns"):
            begin = self.maximum(begin, self.sub(self.least(row), column))
        return begin, end

    # Sums

    def in_panel(self, k: Any, across: int) -> Any:
        """Where the panel has what meets a term: a row of so many vectors, after the vector that put_lanes stores."""
        row = self.mul(self.sub(k, self.part[0]), I64(across * self.width))
        return self.add(self.add(self.argument["scratch"], I64(self.width)), row)

    def copy(self, start: Any, j: Any, across: int) -> None:
        """Fill the panel with columns of b from j on, as they lie."""

        def row(k: Any) -> None:
            of_b, here = self.along(self.add(start, j), "b term", k), self.in_panel(k, across)
            for place in range(0, across * self.width, self.width):
                vector = self.read(self.of_b, self.add(of_b, I64(place)))
                self.write(vector, self.pointer[CELLS], self.add(here, I64(place)))

        self.each(*self.part, 1, row)

    def transpose(self, start: Any, j: Any, across: int) -> None:
        """Fill the panel with columns of b from j on, so that a row of it holds one number of each.

        Beyond the last column it has that column again.
        """
        panel, last = I64(across * self.width), self.sub(self.argument["columns"], I64(1))
        begin, end = self.terms({"columns": j}, {"columns": self.add(j, self.sub(panel, I64(1)))})
        whole = self.sub(end, self.srem(self.sub(end, begin), I64(self.width)))

        def squares(k: Any, read: Callable[[Any], Any]) -> None:
            def square(c: Any) -> None:
                columns = [self.minimum(self.add(j, self.add(c, I64(lane))), last) for lane in range(self.width)]
                vectors = [read(self.along(self.along(start, "b column", one), "b term", k)) for one in columns]
                for lane, vector in enumerate(self.transposed(vectors)):
                    row = self.in_panel(self.add(k, I64(lane)), across)
                    self.write(vector, self.pointer[CELLS], self.add(row, c))

            self.each(I64(0), panel, self.width, square)

        def some(k: Any) -> None:  # of a square: the panel has room for all of it
            squares(k, lambda where: self.masked_read(self.of_b, where, self.width, None, self.sub(end, k)))

        if not CAN_MASK or self.width == 1:
            self.each(begin, whole, self.width, lambda k: squares(k, lambda where: self.read(self.of_b, where)))
            begin = whole
        if self.width > 1:
            self.each(begin, end, self.width, some)

    def transposed(self, rows: list[Any]) -> list[Any]:
        """The columns of a square of numbers: in each square of squares, two change places, from large to small."""
        count, size = len(rows), len(rows) // 2
        while size:
            for upper in range(count):
                if upper & size == 0:
                    x, y = rows[upper], rows[upper + size]
                    left = [lane if lane & size == 0 else count + lane - size for lane in range(count)]
                    right = [lane + size if lane & size == 0 else count + lane for lane in range(count)]
                    rows[upper], rows[upper + size] = (
                        self.shuffle_vector(x, y, ir.VectorType(I32, count)(lanes)) for lanes in (left, right)
                    )
            size //= 2
        return rows

    def sums(self, starts: list[Any], rows: list[Any], columns: list[Any], terms: tuple[Any, Any]) -> None:
        """Sum the products of all rows and columns over the terms, and store the sums."""
        target, left, right = starts
        lefts = [self.along(left, "a row", row) for row in rows]
        targets = [(self.along(target, "target row", row), row, column) for row, column in product(rows, columns)]
        if self.shape.add and not self.examples:
            for start, _, column in targets:  # until the sums are there
                self.prefetch(self.of_target, self.along(start, "target column", column))

        def vectors_of_b(k: Any) -> list[Any]:
            if self.shape.vectors == "terms" or self.shape.copied:
                row = self.in_panel(k, len(columns))
                return [self.read(self.pointer[CELLS], self.add(row, I64(c * self.width))) for c in range(len(columns))]
            row = self.along(right, "b term", k)
            return [self.read(self.of_b, self.along(row, "b column", column)) for column in columns]

        def term(k: Any, sums: list[Any]) -> list[Any]:
            if self.shape.spaces[1] == PARAMETERS and len(rows) > 1:  # what the second tile after this one reads
                ahead = self.along(left, "a row", self.add(rows[0], I64(2 * len(rows))))
                self.prefetch(self.of_a, self.along(ahead, "a term", k))
            theirs = vectors_of_b(k)
            ours = [self.read(self.of_a, self.along(at, "a term", k), self.of_rows) for at in lefts]
            factors = [(self.spread(x), y) for x, y in product(ours, theirs)]
            return [self.multiply_add(x, y, so_far) for (x, y), so_far in zip(factors, sums, strict=True)]

        sums = self.loop(*terms, 1, [self.vector(0.0)] * len(targets), term)
        for result, where in zip(sums, targets, strict=True):
            self.put(result, *where)

    def prefetch(self, base: Any, offset: Any) -> None:
        """Begin to fetch a number into the cache, which is read or written later."""
        name, byte = "llvm.prefetch.p0", ir.IntType(8).as_pointer()
        kinds = [byte, I32, I32, I32]
        function = self.module.globals.get(name) or ir.Function(
            self.module, ir.FunctionType(ir.VoidType(), kinds), name
        )
        self.call(function, [self.bitcast(self.gep(base, [offset]), byte), I32(0), I32(3), I32(1)])

    def put(self, result: Any, start: Any, row: Any, column: Any) -> None:
        """Store the sums of a row in one or, if a vector holds several columns, these columns."""
        if self.shape.factor != 1.0:
            result = self.fmul(result, self.number(self.shape.factor, result))
        where = self.along(start, "target column", column)
        if self.examples:
            with self.if_within(row, row, column, column):
                self.write(result, self.of_target, where, self.shape.add)
        elif self.whole:
            self.write(result, self.of_target, where, self.shape.add)
        elif self.shape.scattered:
            self.put_lanes(result, start, row, column)
        else:
            self.masked_write(result, self.of_target, where, *self.lanes(row, column), self.shape.add)

    def put_lanes(self, result: Any, start: Any, row: Any, column: Any) -> None:
        """Store those lanes of a vector that are columns of this row."""
        self.write(result, self.pointer[CELLS], self.argument["scratch"])

        def lane(index: Any) -> None:
            number = self.read(self.pointer[CELLS], self.add(self.argument["scratch"], index), self.scalar)
            where = self.along(start, "target column", self.add(column, index))
            self.write(number, self.of_target, where, self.shape.add)

        self.each(*self.lanes(row, column), 1, lane)
