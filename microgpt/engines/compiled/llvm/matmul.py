"""Matrix products: loop nests that sum products of two loads, by kernels that keep a tile of the result in registers.

    cells       [I, columns] = parameters [I, K] · cells [K, columns]         a linear map; its gradient to the input
    gradients   [I, J]      += cells [I, columns] · cells [J, columns]        its gradient to the parameters
    cells       [I, J] = cells [I, K] · cells [K, J] for every example        attention, and its gradients

Nobody wrote a matrix product. A nest is one if it sums `a * b` over one axis, a moves along a second and b along a
third; what other axes there are, both move along.
"""

from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features, get_process_triple

from microgpt.engines.compiled.expressions import CELLS, GRADIENTS, PARAMETERS, Load
from microgpt.engines.compiled.llvm.emit import ARGUMENTS, Builder, minimum, new_function
from microgpt.engines.compiled.llvm.schedule import Step, merged_axis
from microgpt.engines.compiled.nests import Nest

FEATURES = get_host_cpu_features()
VECTOR_BYTES = 64 if FEATURES.get("avx512f") else 32 if FEATURES.get("avx2") else 16
MANY_REGISTERS = VECTOR_BYTES == 64 or get_process_triple().startswith(("aarch64", "arm64"))
ROWS, VECTORS = 4, 4 if MANY_REGISTERS else 2  # of a tile
CORNER = 4 if MANY_REGISTERS else 2


@dataclass(frozen=True)
class ProductShape:
    """All that a kernel of a matrix product is made of."""

    kind: str  # "map", "weights" or "each"
    outer: int  # loops around it
    bound: str  # of "each": "", "square" (I stays below a limit by J), "end" (K by I) or "start" (I by K)
    add: bool
    factor: float
    width: int
    double: bool


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
    merged = merged_axis(nest, [target, a, b])
    axes = [i for i, n in enumerate(nest.lengths) if n > 1 and i != merged]

    def moves(i: int) -> tuple[bool, bool, bool]:
        return target.strides[i] != 0, a.strides[i] != 0, b.strides[i] != 0

    rows = [i for i in axes if moves(i) == (True, True, False)]
    columns = [i for i in axes if moves(i) == (True, False, True)]
    inner = [i for i in axes if moves(i) == (False, True, True)]
    bounded = {i for i, bound in enumerate(nest.bounds) if bound is not None and nest.lengths[i] > 1}
    count = block_size * (nest.lengths[merged] if merged >= 0 else 1)
    width = next(w for w in (16, 8, 4, 2, 1) if count % w == 0 and w * (8 if double else 4) <= max(VECTOR_BYTES, 8))
    scale = {CELLS: block_size, PARAMETERS: 1, GRADIENTS: 1}

    def stride(load: Load, axis: int) -> int:
        return load.strides[axis] * scale[load.space]

    def outer_of(used: list[int]) -> tuple[list[int], list[int]]:
        outer = [i for i in axes if i not in used]
        numbers = []
        for i in outer:
            numbers += [nest.lengths[i], stride(target, i), stride(a, i), stride(b, i)]
        return outer, numbers

    starts = [place(target), place(a), place(b)]
    if a.space == PARAMETERS and target.space == CELLS:
        if not rows or not inner or bounded or any(not target.strides[i] for i in axes if i not in inner):
            return None
        i, k = max(rows, key=lambda r: nest.lengths[r]), max(inner, key=lambda r: nest.lengths[r])
        if len(inner) > 1:
            return None
        outer, numbers = outer_of([i, k])
        shape = ProductShape("map", len(outer), "", nest.add, factor, width, double)
        sizes = [count, nest.lengths[i], nest.lengths[k]]
        strides = [stride(target, i), stride(a, i), stride(a, k), stride(b, k)]
        return Step(shape, [*sizes, *starts, *strides, *numbers])
    if a.space == CELLS and target.space == GRADIENTS:
        if not rows or not columns or bounded:
            return None
        i, j = max(rows, key=lambda r: nest.lengths[r]), max(columns, key=lambda r: nest.lengths[r])
        outer, numbers = outer_of([i, j])
        shape = ProductShape("weights", len(outer), "", True, factor, width, double)
        sizes = [count, nest.lengths[i], nest.lengths[j]]
        strides = [stride(target, i), stride(target, j), stride(a, i), stride(b, j)]
        return Step(shape, [*sizes, *starts, *strides, *numbers])
    if a.space == CELLS and target.space == CELLS:
        if not rows or not columns or len(inner) != 1 or merged >= 0 or len(bounded) > 1:
            return None
        k = inner[0]
        i, j = max(rows, key=lambda r: nest.lengths[r]), max(columns, key=lambda r: nest.lengths[r])
        bound, limits = "", [0, 0]
        if bounded:
            axis = bounded.pop()
            limit = nest.bounds[axis]
            assert limit is not None
            if limit.step <= 0:
                return None
            limits = [limit.constant, limit.step]
            pair = (axis, limit.of)
            kinds = {(i, j): "square", (k, i): "end", (i, k): "start", (k, j): "end of J", (j, k): "start of J"}
            if pair == (j, i):  # the bounded axis is to be I
                a, b, i, j = b, a, j, i
                starts = [starts[0], starts[2], starts[1]]
                pair = (i, j)
                kinds[pair] = "square"
            if pair not in kinds:
                return None
            bound = kinds[pair]
            if bound.endswith("of J"):
                a, b, i, j = b, a, j, i
                starts = [starts[0], starts[2], starts[1]]
                bound = bound.removesuffix(" of J")
            if bound != "square" and not is_masked(a):
                return None
        outer, numbers = outer_of([i, j, k])
        shape = ProductShape("each", len(outer), bound, nest.add, factor, width, double)
        sizes = [count, nest.lengths[i], nest.lengths[j], nest.lengths[k]]
        strides = [stride(target, i), stride(target, j), stride(a, i), stride(a, k), stride(b, j), stride(b, k)]
        return Step(shape, [*sizes, *starts, *strides, *limits, *numbers])
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


class Kernel:
    """What the three kernels share: their arguments, and the loops around them."""

    def __init__(self, module: ir.Module, name: str, shape: ProductShape):
        function, self.pointer = new_function(module, name, shape.double)
        self.shape = shape
        self.build = Builder(ir.IRBuilder(function.append_basic_block()), shape.double, shape.width)
        self.b = self.build.b
        self.taken = 0

    def take(self, count: int) -> list[Any]:
        b = self.b
        found = []
        for _ in range(count):
            found.append(b.load(b.gep(self.pointer[ARGUMENTS], [self.build.integer(self.taken)])))
            self.taken += 1
        return found

    def integer(self, value: int) -> Any:
        return self.build.integer(value)

    def plus(self, start: Any, stride: Any, times: Any) -> Any:
        return self.b.add(start, self.b.mul(stride, times))

    def around(self, starts: list[Any], body: Any) -> None:
        """Run a body for all indices of the outer loops, with the starts of the three loads there."""
        loops = [self.take(4) for _ in range(self.shape.outer)]

        def level(i: int, at: list[Any]) -> None:
            if i == len(loops):
                body(at)
                return
            length, *strides = loops[i]

            def inside(index: Any, _: list[Any]) -> list[Any]:
                level(i + 1, [self.plus(start, s, index) for start, s in zip(at, strides, strict=True)])
                return []

            self.build.loop(self.integer(0), length, 1, [], inside)

        level(0, starts)
        self.b.ret_void()

    def each(self, first: Any, end: Any, step: int, body: Any) -> None:
        def inside(index: Any, _: list[Any]) -> list[Any]:
            body(index)
            return []

        self.build.loop(first, end, step, [], inside)

    def in_steps(self, length: Any, step: int, body: Any) -> None:
        """body(start, size) for pieces of a size, and one by one for what is left."""
        whole = self.b.sub(length, self.b.srem(length, self.integer(step)))
        self.each(self.integer(0), whole, step, lambda i: body(i, step))
        if step > 1:
            self.each(whole, length, 1, lambda i: body(i, 1))

    def zeros(self, count: int) -> list[Any]:
        return [self.build.number(0.0, self.build.spread(self.build.number(0.0)))] * count

    def put(self, value: Any, base: Any, where: Any) -> None:
        b = self.b
        if self.shape.factor != 1.0:
            value = b.fmul(value, self.build.number(self.shape.factor, value))
        if self.shape.add:
            value = b.fadd(self.build.load(base, where, value.type), value)
        self.build.store(value, base, where)


def emit_product(module: ir.Module, name: str, shape: ProductShape) -> None:
    {"map": emit_map, "weights": emit_weights, "each": emit_each}[shape.kind](module, name, shape)


def emit_map(module: ir.Module, name: str, shape: ProductShape) -> None:
    """[I, columns] = parameters [I, K] · cells [K, columns]."""
    k = Kernel(module, name, shape)
    count, rows, terms, *rest = k.take(3 + 3 + 4)
    starts, (target_row, a_row, a_term, b_term) = rest[:3], rest[3:]
    b, build, width = k.b, k.build, shape.width
    x, p = k.pointer[CELLS], k.pointer[PARAMETERS]

    def body(at: list[Any]) -> None:
        target, weights, cells = at

        def tile(column: Any, vectors: int, row: Any, height: int) -> None:
            parameter = [k.plus(weights, a_row, b.add(row, k.integer(r))) for r in range(height)]
            first = b.add(cells, column)

            def term(index: Any, sums: list[Any]) -> list[Any]:
                here = k.plus(first, b_term, index)
                loaded = [build.load(x, b.add(here, k.integer(v * width))) for v in range(vectors)]
                found = []
                for r in range(height):
                    weight = build.spread(build.load(p, k.plus(parameter[r], a_term, index), build.scalar))
                    found += [build.fma(weight, loaded[v], sums[r * vectors + v]) for v in range(vectors)]
                return found

            sums = build.loop(k.integer(0), terms, 1, k.zeros(height * vectors), term)
            for r in range(height):
                row_at = b.add(k.plus(target, target_row, b.add(row, k.integer(r))), column)
                for v in range(vectors):
                    k.put(sums[r * vectors + v], x, b.add(row_at, k.integer(v * width)))

        def columns(column: Any, vectors: int) -> None:
            most = ROWS if vectors > 1 else 2 * ROWS  # so many sums that none waits for the one before
            k.in_steps(rows, most, lambda row, height: tile(column, vectors, row, height))

        whole = b.sub(count, b.srem(count, k.integer(VECTORS * width)))
        k.each(k.integer(0), whole, VECTORS * width, lambda column: columns(column, VECTORS))
        k.each(whole, count, width, lambda column: columns(column, 1))

    k.around(starts, body)


def emit_weights(module: ir.Module, name: str, shape: ProductShape) -> None:
    """[I, J] += cells [I, columns] · cells [J, columns]."""
    k = Kernel(module, name, shape)
    count, rows, columns, *rest = k.take(3 + 3 + 4)
    starts, (target_row, target_column, a_row, b_row) = rest[:3], rest[3:]
    b, build, width = k.b, k.build, shape.width
    x, g = k.pointer[CELLS], k.pointer[GRADIENTS]

    def body(at: list[Any]) -> None:
        target, left, right = at

        def corner(i: Any, height: int, j: Any, across: int) -> None:
            a_at = [k.plus(left, a_row, b.add(i, k.integer(r))) for r in range(height)]
            b_at = [k.plus(right, b_row, b.add(j, k.integer(c))) for c in range(across)]

            def term(index: Any, sums: list[Any]) -> list[Any]:
                ours = [build.load(x, b.add(at, index)) for at in a_at]
                theirs = [build.load(x, b.add(at, index)) for at in b_at]
                return [
                    build.fma(ours[r], theirs[c], sums[r * across + c]) for r in range(height) for c in range(across)
                ]

            sums = build.loop(k.integer(0), count, width, k.zeros(height * across), term)
            for r in range(height):
                for c in range(across):
                    where = k.plus(
                        k.plus(target, target_row, b.add(i, k.integer(r))), target_column, b.add(j, k.integer(c))
                    )
                    k.put(build.across(sums[r * across + c]), g, where)

        k.in_steps(
            rows, CORNER,
            lambda i, height: k.in_steps(columns, CORNER, lambda j, across: corner(i, height, j, across)),
        )  # fmt: skip

    k.around(starts, body)


def emit_each(module: ir.Module, name: str, shape: ProductShape) -> None:
    """[I, J] = cells [I, K] · cells [K, J], for every example by itself."""
    k = Kernel(module, name, shape)
    count, rows, columns, terms, *rest = k.take(4 + 3 + 6 + 2)
    starts, (target_row, target_column, a_row, a_term, b_column, b_term, constant, step) = rest[:3], rest[3:]
    b, build, width = k.b, k.build, shape.width
    x = k.pointer[CELLS]

    def limit(index: Any) -> Any:
        return k.plus(constant, step, index)

    def body(at: list[Any]) -> None:
        target, left, right = at

        def tile(i: Any, height: int, j: Any, across: int) -> None:
            first, end = k.integer(0), terms
            if shape.bound == "end":  # K below the limit of the last row
                end = minimum(b, end, limit(b.add(i, k.integer(height - 1))))
            elif shape.bound == "start":  # the first row below the limit of K
                beyond = b.sub(i, constant)
                least = b.sdiv(b.add(beyond, step), step)
                first = b.select(b.icmp_signed("<", beyond, k.integer(0)), k.integer(0), least)

            def vector(offset: Any) -> None:
                a_at = [b.add(k.plus(left, a_row, b.add(i, k.integer(r))), offset) for r in range(height)]
                b_at = [b.add(k.plus(right, b_column, b.add(j, k.integer(c))), offset) for c in range(across)]

                def term(index: Any, sums: list[Any]) -> list[Any]:
                    a_by, b_by = b.mul(a_term, index), b.mul(b_term, index)
                    ours = [build.load(x, b.add(at, a_by)) for at in a_at]
                    theirs = [build.load(x, b.add(at, b_by)) for at in b_at]
                    return [
                        build.fma(ours[r], theirs[c], sums[r * across + c])
                        for r in range(height)
                        for c in range(across)
                    ]

                sums = build.loop(first, end, 1, k.zeros(height * across), term)
                for r in range(height):
                    row = b.add(i, k.integer(r))
                    for c in range(across):
                        column = b.add(j, k.integer(c))
                        where = b.add(k.plus(k.plus(target, target_row, row), target_column, column), offset)
                        if shape.bound == "square":
                            with b.if_then(b.icmp_signed("<", row, limit(column))):
                                k.put(sums[r * across + c], x, where)
                        else:
                            k.put(sums[r * across + c], x, where)

            k.each(k.integer(0), count, width, vector)

        def tile_within(i: Any, height: int, j: Any, across: int) -> None:
            if shape.bound == "square":
                with b.if_then(b.icmp_signed("<", i, limit(b.add(j, k.integer(across - 1))))):
                    tile(i, height, j, across)
            else:
                tile(i, height, j, across)

        k.in_steps(
            rows, CORNER,
            lambda i, height: k.in_steps(columns, CORNER, lambda j, across: tile_within(i, height, j, across)),
        )  # fmt: skip

    k.around(starts, body)
