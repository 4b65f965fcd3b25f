"""Step 5 of the compiler: run the instructions on blocks of examples.

Storage is one flat array: row r of a block of `lanes` examples is `x[r * lanes : (r + 1) * lanes]`, and `g` holds the
gradients in the same places. An instruction is a few loops over long stretches of it, which Numba and LLVM turn into
SIMD. The instructions are interpreted: these functions are compiled once, for float32 and for float64, cached on
disk, and run every program. They are all in this file, because Numba looks at one file to tell a stale cache.

Backward goes through the instructions in reverse. Each passes the gradient of its rows on to its operands, then sets
it to zero. So gradients are added to from the start, and all are zero again at the end.

Rules that make these loops fast: indices are unsigned (a signed one might count from the end, so LLVM would have to
check each); sums may be reassociated, but nothing may assume that there are no NaNs and infinities.
"""

from itertools import product
from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import njit, prange, types
from numba.extending import intrinsic, overload

LOAD, SUM, PRODUCT, POWER, LOGARITHM, EXPONENTIAL, PICK_PARAMETER, PICK_ROW, GREATEST = range(9)
OPERATIONS = {
    "load": LOAD,
    "sum": SUM,
    "product": PRODUCT,
    "pow": POWER,
    "log": LOGARITHM,
    "exp": EXPONENTIAL,
    "pick parameter": PICK_PARAMETER,
    "pick": PICK_ROW,
    "largest": GREATEST,
}

EXACT: Any = {"cache": True, "nogil": True, "error_model": "numpy"}
FAST: Any = EXACT | {"fastmath": {"reassoc", "contract", "nsz"}}
U = np.uint64

# mypy: disable-error-code="no-untyped-def"


@njit(**FAST)
def fill(x, o, m, c):
    for j in range(m):
        x[o + j] = c


@njit(**FAST)
def one(x, o, m, c, k0, a0):
    for j in range(m):
        x[o + j] = c + k0 * x[a0 + j]


@njit(**FAST)
def two(x, o, m, c, k0, a0, k1, a1):
    for j in range(m):
        x[o + j] = c + k0 * x[a0 + j] + k1 * x[a1 + j]


# The heart of a fast kernel is a piece of the result that stays in registers while all its terms go by. Loops in
# Python do not compile to that, so a few are put together as LLVM's own instructions:
#   tile     of a matrix product: 6 rows, 4 vectors wide
#   corner   of a product of rows with rows: 4 by 4 numbers, each summed in a vector and then across it
#   add_up   of a sum: 4 vectors of a run of rows, over all the terms
#   pass_on  the gradient of such a piece, to all operands of the terms
#   power_of_e   of a vector of float32

FEATURES = get_host_cpu_features()
VECTOR_BYTES = 64 if FEATURES.get("avx512f") else 32 if FEATURES.get("avx2") else 16
TILE_VECTORS = 2 if VECTOR_BYTES == 32 else 4  # AVX2 has half as many registers as the others
TILE_ROWS, CORNER = 6, 4 if VECTOR_BYTES != 32 else 3


class VectorCode:
    """Emits LLVM instructions on vectors of the element type of an array."""

    def __init__(self, context: Any, builder: Any, element: Any, width: int):
        self.context, self.builder, self.element, self.width = context, builder, element, width
        self.type = ir.VectorType(element, width)
        self.zero = ir.Constant(self.type, [0.0] * width)
        self.undefined = ir.Constant(self.type, ir.Undefined)

    def integer(self, value: int) -> Any:
        return ir.Constant(ir.IntType(64), value)

    def at(self, start: Any, steps: int, step: Any) -> Any:
        return self.builder.add(start, self.builder.mul(step, self.integer(steps)))

    def pointer(self, data: Any, offset: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(data, [offset]), self.type.as_pointer())

    def load(self, data: Any, offset: Any) -> Any:
        return self.builder.load(self.pointer(data, offset), align=self.align)

    def store(self, vector: Any, data: Any, offset: Any) -> None:
        self.builder.store(vector, self.pointer(data, offset), align=self.align)

    @property
    def align(self) -> int:
        return 4 if self.element == ir.FloatType() else 8

    def shuffle(self, a: Any, b: Any, places: list[int]) -> Any:
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places))

    def spread(self, scalar: Any) -> Any:
        first = self.builder.insert_element(self.undefined, scalar, ir.Constant(ir.IntType(32), 0))
        return self.shuffle(first, self.undefined, [0] * self.width)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        flags = ("reassoc", "contract", "nsz")
        return self.builder.fadd(c, self.builder.fmul(a, b, flags=flags), flags=flags)

    def loop(self, count: Any, start: list[Any], body: Any) -> list[Any]:
        """Run the body `count` times: it takes the index and some values, and returns the values that follow."""
        builder = self.builder
        before, head = builder.block, builder.append_basic_block()
        inside, after = builder.append_basic_block(), builder.append_basic_block()
        builder.branch(head)
        builder.position_at_end(head)
        index = builder.phi(ir.IntType(64))
        values = [builder.phi(value.type) for value in start]
        builder.cbranch(builder.icmp_unsigned("<", index, count), inside, after)
        builder.position_at_end(inside)
        results = body(index, values)
        index.add_incoming(self.integer(0), before)
        index.add_incoming(builder.add(index, self.integer(1)), builder.block)
        for value, first, result in zip(values, start, results, strict=True):
            value.add_incoming(first, before)
            value.add_incoming(result, builder.block)
        builder.branch(head)
        builder.position_at_end(after)
        return values

    def sums(self, vectors: list[Any]) -> list[Any]:
        """The sum across each vector, two vectors at a time in each step of halving."""
        half, groups = self.width // 2, [[i] for i in range(len(vectors))]
        lanes = [[0] for _ in vectors]  # where in its vector each sum of a group begins
        while half:
            paired, paired_groups, paired_lanes = [], [], []
            even = [i // half % 2 == 0 for i in range(self.width)]
            for i in range(0, len(vectors), 2):
                a = vectors[i]
                b = vectors[i + 1] if i + 1 < len(vectors) else a
                low = self.shuffle(a, b, [i if e else self.width + i - half for i, e in enumerate(even)])
                high = self.shuffle(a, b, [i + half if e else self.width + i for i, e in enumerate(even)])
                paired.append(self.builder.fadd(low, high))
                paired_groups.append(groups[i] + (groups[i + 1] if i + 1 < len(vectors) else []))
                moved = [lane + half for lane in lanes[i + 1]] if i + 1 < len(vectors) else []
                paired_lanes.append(lanes[i] + moved)
            vectors, groups, lanes, half = paired, paired_groups, paired_lanes, half // 2
        found = {}
        for vector, group, places in zip(vectors, groups, lanes, strict=True):
            for number, place in zip(group, places, strict=True):
                found[number] = self.builder.extract_element(vector, ir.Constant(ir.IntType(32), place))
        return [found[number] for number in sorted(found)]


class SumCode(VectorCode):
    """Emits what the kernels of sums need: terms from their table, and some vectors of the rows they name."""

    def __init__(
        self, context: Any, builder: Any, dtype: Any, share: int, vectors: int, operands: Any, coefficients: Any
    ):
        width = VECTOR_BYTES // share // (dtype.bitwidth // 8)
        super().__init__(context, builder, context.get_value_type(dtype), width)
        self.vectors, self.operands, self.coefficients = vectors, operands, coefficients

    def term(self, t: Any) -> tuple[Any, Any, Any]:
        """The coefficient and the two operands of term t."""
        b = self.builder
        first = b.mul(t, self.integer(2))
        left = b.load(b.gep(self.operands, [first]))
        right = b.load(b.gep(self.operands, [b.add(first, self.integer(1))]))
        return b.load(b.gep(self.coefficients, [t])), left, right

    def row(self, number: Any, lanes: Any, begin: Any) -> Any:
        return self.builder.add(self.builder.mul(number, lanes), begin)

    def across(self, start: Any) -> list[Any]:
        return [self.builder.add(start, self.integer(v * self.width)) for v in range(self.vectors)]

    def add_scaled(self, sums: list[Any], k: Any, x: Any, row: Any) -> list[Any]:
        k = self.spread(k)
        return [self.multiply_add(k, self.load(x, at), s) for at, s in zip(self.across(row), sums, strict=True)]


def arrays_in(context: Any, builder: Any, kinds: Any, values: Any) -> Any:
    """Arguments of an intrinsic with the pointer to the data in place of each array."""
    return [
        context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
        for kind, value in zip(kinds, values, strict=True)
    ]


def make_tile(rows: int, vectors: int, share: int) -> Any:
    """An intrinsic for a tile of a product: some rows, and some vectors (of a share of the whole width) wide."""

    @intrinsic
    def tile(typing_context, y, yo, y_step, w, wo, w_row, w_term, x, xo, x_step, terms, accumulate):
        """y[rows, width] = (or +=) w[rows, terms] · x[terms, width]."""
        u = types.uint64

        def emit(context, builder, signature, values):
            y, yo, y_step, w, wo, w_row, w_term, x, xo, x_step, terms, accumulate = arrays_in(
                context, builder, signature.args, values
            )
            width = VECTOR_BYTES // share // (signature.args[0].dtype.bitwidth // 8)
            code = VectorCode(context, builder, context.get_value_type(signature.args[0].dtype), width)
            places = [
                builder.add(code.at(yo, r, y_step), code.integer(v * width))
                for r in range(rows)
                for v in range(vectors)
            ]

            def step(t, sums):
                start = builder.add(xo, builder.mul(t, x_step))
                across = [code.load(x, builder.add(start, code.integer(v * width))) for v in range(vectors)]
                at = builder.add(wo, builder.mul(t, w_term))
                down = [code.spread(builder.load(builder.gep(w, [code.at(at, r, w_row)]))) for r in range(rows)]
                return [code.multiply_add(d, c, s) for s, (d, c) in zip(sums, product(down, across), strict=True)]

            sums = code.loop(terms, [code.zero] * len(places), step)
            with builder.if_else(accumulate) as (more, anew):
                with more:
                    for place, s in zip(places, sums, strict=True):
                        code.store(builder.fadd(code.load(y, place), s), y, place)
                with anew:
                    for place, s in zip(places, sums, strict=True):
                        code.store(s, y, place)
            return context.get_dummy_value()

        return types.void(y, u, u, w, u, u, u, x, u, u, u, types.boolean), emit

    return tile


def make_corner(rows: int, terms: int) -> Any:
    """An intrinsic for a corner of a product of rows with rows."""

    @intrinsic
    def corner(typing_context, d, do, d_row, d_term, g, go, g_step, x, xo, x_step, steps):
        """d[rows, terms] += g[rows, n] · x[terms, n]ᵀ, n being a number of whole vectors."""
        u = types.uint64

        def emit(context, builder, signature, values):
            d, do, d_row, d_term, g, go, g_step, x, xo, x_step, steps = arrays_in(
                context, builder, signature.args, values
            )
            width = VECTOR_BYTES // (signature.args[0].dtype.bitwidth // 8)
            code = VectorCode(context, builder, context.get_value_type(signature.args[0].dtype), width)

            def step(i, sums):
                offset = builder.mul(i, code.integer(width))
                down = [code.load(g, builder.add(code.at(go, r, g_step), offset)) for r in range(rows)]
                across = [code.load(x, builder.add(code.at(xo, t, x_step), offset)) for t in range(terms)]
                return [code.multiply_add(a, b, s) for s, (a, b) in zip(sums, product(down, across), strict=True)]

            sums = code.sums(code.loop(steps, [code.zero] * (rows * terms), step))
            for (r, t), s in zip(product(range(rows), range(terms)), sums, strict=True):
                place = builder.gep(d, [code.at(code.at(do, r, d_row), t, d_term)])
                builder.store(builder.fadd(builder.load(place), s), place)
            return context.get_dummy_value()

        return types.void(d, u, u, u, g, u, u, x, u, u, u), emit

    return corner


def make_add_up(vectors: int, share: int) -> Any:
    """An intrinsic for a piece of a run of sums."""

    @intrinsic
    def add_up(
        typing_context, x, o, p, operands, coefficients, t, singles, pairs, weighted, begin, lanes, c, accumulate
    ):
        """x[o + begin :][:width] = (or +=) c + Σ k·x[a] + Σ k·x[a]·x[b] + Σ k·p[w]·x[b], over terms from t on."""
        u = types.uint64

        def emit(context, builder, signature, values):
            x, o, p, operands, coefficients, t, singles, pairs, weighted, begin, lanes, c, accumulate = arrays_in(
                context, builder, signature.args, values
            )
            code = SumCode(context, builder, signature.args[0].dtype, share, vectors, operands, coefficients)
            places = code.across(builder.add(o, begin))
            c = code.spread(c)
            start = [builder.select(accumulate, builder.fadd(code.load(x, place), c), c) for place in places]

            def single(i, sums):
                k, a, _ = code.term(builder.add(t, i))
                return code.add_scaled(sums, k, x, code.row(a, lanes, begin))

            def pair(i, sums):
                k, a, b = code.term(builder.add(builder.add(t, singles), i))
                left = [code.load(x, place) for place in code.across(code.row(a, lanes, begin))]
                scaled = [builder.fmul(code.spread(k), v, flags=("contract",)) for v in left]
                right = [code.load(x, place) for place in code.across(code.row(b, lanes, begin))]
                return [code.multiply_add(v, w, s) for v, w, s in zip(scaled, right, sums, strict=True)]

            def parameter(i, sums):
                k, w, b = code.term(builder.add(builder.add(builder.add(t, singles), pairs), i))
                k = builder.fmul(k, builder.load(builder.gep(p, [w])))
                return code.add_scaled(sums, k, x, code.row(b, lanes, begin))

            sums = code.loop(singles, start, single)
            sums = code.loop(pairs, sums, pair)
            sums = code.loop(weighted, sums, parameter)
            for place, s in zip(places, sums, strict=True):
                code.store(s, x, place)
            return context.get_dummy_value()

        signature = types.void(x, u, p, operands, coefficients, u, u, u, u, u, u, coefficients.dtype, types.boolean)
        return signature, emit

    return add_up


def make_pass_on(vectors: int, share: int) -> Any:
    """An intrinsic for the gradient of a piece of a run of sums."""

    @intrinsic
    def pass_on(typing_context, g, o, x, p, operands, coefficients, t, singles, pairs, weighted, begin, lanes):
        """Add g[o + begin :][:width] times each term's derivative to the gradient of its operands, then make it 0."""
        u = types.uint64

        def emit(context, builder, signature, values):
            g, o, x, p, operands, coefficients, t, singles, pairs, weighted, begin, lanes = arrays_in(
                context, builder, signature.args, values
            )
            code = SumCode(context, builder, signature.args[0].dtype, share, vectors, operands, coefficients)
            places = code.across(builder.add(o, begin))
            d = [code.load(g, place) for place in places]

            def give(k, row):
                for v, place in zip(d, code.across(row), strict=True):
                    code.store(code.multiply_add(code.spread(k), v, code.load(g, place)), g, place)

            def single(i, _):
                k, a, _ = code.term(builder.add(t, i))
                give(k, code.row(a, lanes, begin))
                return []

            def pair(i, _):
                k, a, b = code.term(builder.add(builder.add(t, singles), i))
                scaled = [builder.fmul(code.spread(k), v, flags=("contract",)) for v in d]
                a, b = code.across(code.row(a, lanes, begin)), code.across(code.row(b, lanes, begin))
                left, right = [code.load(x, place) for place in a], [code.load(x, place) for place in b]
                for to, others in ((a, right), (b, left)):  # one after the other: they may be the same row
                    for place, other, v in zip(to, others, scaled, strict=True):
                        code.store(code.multiply_add(other, v, code.load(g, place)), g, place)
                return []

            def parameter(i, _):
                k, w, b = code.term(builder.add(builder.add(builder.add(t, singles), pairs), i))
                give(builder.fmul(k, builder.load(builder.gep(p, [w]))), code.row(b, lanes, begin))
                return []

            code.loop(singles, [], single)
            code.loop(pairs, [], pair)
            code.loop(weighted, [], parameter)
            for place in places:
                code.store(code.zero, g, place)
            return context.get_dummy_value()

        return types.void(g, u, x, p, operands, coefficients, u, u, u, u, u, u), emit

    return pass_on


@intrinsic
def power_of_e(typing_context, x, o, a):
    """x[o :][:width] = e ** x[a :][:width] in float32, to 2 units in the last place; at most the largest float32.

    e ** x is 2 ** k * e ** r with x = k ln 2 + r: the first is put together from k as an exponent, the second is a
    polynomial (Cody and Waite 1980).
    """
    u = types.uint64

    def emit(context, builder, signature, values):
        x, o, a = arrays_in(context, builder, signature.args, values)
        code = VectorCode(context, builder, ir.FloatType(), 8)

        def constant(value: float) -> Any:
            return ir.Constant(code.type, [float(np.float32(value))] * code.width)

        def fused(a, b, c):
            return builder.fadd(builder.fmul(a, b, flags=("contract",)), c, flags=("contract",))

        z = code.load(x, a)
        limit, lowest = constant(88.72283), constant(-87.33)
        above = builder.fcmp_ordered(">", z, limit)
        clipped = builder.select(above, limit, z)
        clipped = builder.select(builder.fcmp_ordered("<", clipped, lowest), lowest, clipped)  # not a number stays
        shifter = constant(12582912.0)  # 1.5 * 2 ** 23: adding it rounds to an integer, in the low bits
        shifted = fused(clipped, constant(1.4426950408889634), shifter)
        k = builder.fsub(shifted, shifter)
        r = fused(k, constant(-0.693359375), clipped)
        r = fused(k, constant(2.12194440e-4), r)
        s = constant(1 / 5040)
        for factorial in (720, 120, 24, 6, 2, 1, 1):
            s = fused(s, r, constant(1 / factorial))
        # half of 2 ** k, for which an exponent always has room, and twice the result
        integers = ir.VectorType(ir.IntType(32), code.width)
        bits = builder.sub(builder.bitcast(shifted, integers), ir.Constant(integers, [0x4B400000 - 126] * code.width))
        bits = builder.shl(bits, ir.Constant(integers, [23] * code.width))
        s = builder.fmul(builder.fmul(s, builder.bitcast(bits, code.type)), constant(2.0))
        code.store(builder.select(above, constant(np.finfo(np.float32).max), s), x, o)
        return context.get_dummy_value()

    return types.void(x, u, u), emit


add_up_four, add_up_two = make_add_up(4, 1), make_add_up(2, 1)
add_up_one, add_up_half = make_add_up(1, 1), make_add_up(1, 2)
pass_on_four, pass_on_two = make_pass_on(4, 1), make_pass_on(2, 1)
pass_on_one, pass_on_half = make_pass_on(1, 1), make_pass_on(1, 2)
tile_wide, row_wide = make_tile(TILE_ROWS, TILE_VECTORS, 1), make_tile(1, TILE_VECTORS, 1)
four_wide, two_wide = make_tile(4, TILE_VECTORS, 1), make_tile(2, TILE_VECTORS, 1)
tile_vector, row_vector = make_tile(TILE_ROWS, 1, 1), make_tile(1, 1, 1)
row_half = make_tile(1, 1, 2)
corner, corner_row, corner_one = make_corner(CORNER, CORNER), make_corner(1, CORNER), make_corner(1, 1)


@njit(**FAST)
def one_product(x, o, m, c, k, a, b):
    for j in range(m):
        x[o + j] = c + k * x[a + j] * x[b + j]


@njit(**FAST)
def total(g, o, m):
    s = g.dtype.type(0)
    for j in range(m):
        s += g[o + j]
    return s


@njit(**FAST)
def dot(g, o, x, a, m):
    s = g.dtype.type(0)
    for j in range(m):
        s += g[o + j] * x[a + j]
    return s


@njit(**FAST)
def sums_forward(x, p, lanes, runs, constants, operands, coefficients, accumulate):
    """Each run of rows is constant + Σ k·x + Σ k·x·y + Σ k·p·x + Σ k·p, added to what is there or put in its place."""
    vector = U(VECTOR_BYTES // x.itemsize)
    for r in range(U(len(runs))):
        singles, pairs, weighted, alone = U(runs[r, 3]), U(runs[r, 4]), U(runs[r, 5]), U(runs[r, 6])
        t = U(runs[r, 2])
        t_alone = t + singles + pairs + weighted
        c = constants[r]
        for s in range(t_alone, t_alone + alone):
            c += coefficients[s] * p[operands[s, U(0)]]
        o, m = U(runs[r, 0]) * lanes, U(runs[r, 1]) * lanes
        begin = U(0)
        if m >= U(256) and not accumulate and not weighted and singles + pairs <= U(2) and pairs * singles == U(0):
            # Long and simple: loops that LLVM makes into SIMD by itself.
            if singles == U(1):
                one(x, o, m, c, coefficients[t], U(operands[t, U(0)]) * lanes)
                begin = m
            elif singles == U(2):
                a0, a1 = U(operands[t, U(0)]) * lanes, U(operands[t + U(1), U(0)]) * lanes
                two(x, o, m, c, coefficients[t], a0, coefficients[t + U(1)], a1)
                begin = m
            elif pairs == U(1):
                a0, b0 = U(operands[t, U(0)]) * lanes, U(operands[t, U(1)]) * lanes
                one_product(x, o, m, c, coefficients[t], a0, b0)
                begin = m
        while begin < m:
            if begin + U(4) * vector <= m:
                add_up_four(x, o, p, operands, coefficients, t, singles, pairs, weighted, begin, lanes, c, accumulate)
                begin += U(4) * vector
            elif begin + U(2) * vector <= m:
                add_up_two(x, o, p, operands, coefficients, t, singles, pairs, weighted, begin, lanes, c, accumulate)
                begin += U(2) * vector
            elif begin + vector <= m:
                add_up_one(x, o, p, operands, coefficients, t, singles, pairs, weighted, begin, lanes, c, accumulate)
                begin += vector
            else:
                add_up_half(x, o, p, operands, coefficients, t, singles, pairs, weighted, begin, lanes, c, accumulate)
                begin += vector // U(2)


@njit(**FAST)
def sums_backward(x, g, p, gp, lanes, runs, operands, coefficients):
    """Pass the gradient of each run on to all operands of its terms, then set it to zero."""
    vector = U(VECTOR_BYTES // x.itemsize)
    for r in range(U(len(runs))):
        singles, pairs, weighted, alone = U(runs[r, 3]), U(runs[r, 4]), U(runs[r, 5]), U(runs[r, 6])
        t = U(runs[r, 2])
        t_weighted = t + singles + pairs
        t_alone = t_weighted + weighted
        o, m = U(runs[r, 0]) * lanes, U(runs[r, 1]) * lanes
        for s in range(t_weighted, t_alone):
            gp[operands[s, U(0)]] += coefficients[s] * dot(g, o, x, U(operands[s, U(1)]) * lanes, m)
        if alone:
            d = total(g, o, m)
            for s in range(t_alone, t_alone + alone):
                gp[operands[s, U(0)]] += coefficients[s] * d
        begin = U(0)
        while begin < m:
            if begin + U(4) * vector <= m:
                pass_on_four(g, o, x, p, operands, coefficients, t, singles, pairs, weighted, begin, lanes)
                begin += U(4) * vector
            elif begin + U(2) * vector <= m:
                pass_on_two(g, o, x, p, operands, coefficients, t, singles, pairs, weighted, begin, lanes)
                begin += U(2) * vector
            elif begin + vector <= m:
                pass_on_one(g, o, x, p, operands, coefficients, t, singles, pairs, weighted, begin, lanes)
                begin += vector
            else:
                pass_on_half(g, o, x, p, operands, coefficients, t, singles, pairs, weighted, begin, lanes)
                begin += vector // U(2)


@njit(**FAST)
def multiply(y, yo, w, wo, w_row, w_term, x, xo, rows, terms, n, accumulate):
    """y[rows, n] = (or +=) w[rows, terms] · x[terms, n]; w begins at wo, with its steps; n is a multiple of 8."""
    vector = U(VECTOR_BYTES // y.itemsize)
    wide = U(TILE_VECTORS) * vector
    j = U(0)
    while j < n:
        i = U(0)
        if j + wide <= n:
            while i + U(TILE_ROWS) <= rows:
                tile_wide(y, yo + i * n + j, n, w, wo + i * w_row, w_row, w_term, x, xo + j, n, terms, accumulate)
                i += U(TILE_ROWS)
            if i + U(4) <= rows:
                four_wide(y, yo + i * n + j, n, w, wo + i * w_row, w_row, w_term, x, xo + j, n, terms, accumulate)
                i += U(4)
            if i + U(2) <= rows:
                two_wide(y, yo + i * n + j, n, w, wo + i * w_row, w_row, w_term, x, xo + j, n, terms, accumulate)
                i += U(2)
            while i < rows:
                row_wide(y, yo + i * n + j, n, w, wo + i * w_row, w_row, w_term, x, xo + j, n, terms, accumulate)
                i += U(1)
            j += wide
        elif j + vector <= n:
            while i + U(TILE_ROWS) <= rows:
                tile_vector(y, yo + i * n + j, n, w, wo + i * w_row, w_row, w_term, x, xo + j, n, terms, accumulate)
                i += U(TILE_ROWS)
            while i < rows:
                row_vector(y, yo + i * n + j, n, w, wo + i * w_row, w_row, w_term, x, xo + j, n, terms, accumulate)
                i += U(1)
            j += vector
        else:
            while i < rows:
                row_half(y, yo + i * n + j, n, w, wo + i * w_row, w_row, w_term, x, xo + j, n, terms, accumulate)
                i += U(1)
            j += vector // U(2)


@njit(**FAST)
def outer(d, do, d_row, d_term, g, go, x, xo, rows, terms, n):
    """d[rows, terms] += g[rows, n] · x[terms, n]ᵀ; d is d[do + row * d_row + term * d_term]."""
    vector = U(VECTOR_BYTES // g.itemsize)
    steps = n // vector
    if steps:
        i = U(0)
        while i < rows:
            t = U(0)
            if i + U(CORNER) <= rows:
                while t + U(CORNER) <= terms:
                    corner(d, do + i * d_row + t * d_term, d_row, d_term, g, go + i * n, n, x, xo + t * n, n, steps)
                    t += U(CORNER)
            up = min(i + U(CORNER), rows) if i + U(CORNER) <= rows else i + U(1)
            for r in range(i, up):
                s = t
                while s + U(CORNER) <= terms:
                    corner_row(d, do + r * d_row + s * d_term, d_row, d_term, g, go + r * n, n, x, xo + s * n, n, steps)
                    s += U(CORNER)
                while s < terms:
                    corner_one(d, do + r * d_row + s * d_term, d_row, d_term, g, go + r * n, n, x, xo + s * n, n, steps)
                    s += U(1)
            i = up
    rest = n - steps * vector
    if rest:
        for i in range(rows):
            for t in range(terms):
                o, a = go + i * n + steps * vector, xo + t * n + steps * vector
                d[do + i * d_row + t * d_term] += dot(g, o, x, a, rest)


@njit(**FAST)
def gather(packed, x, lanes, index, first, count):
    """Copy scattered rows into one piece."""
    for i in range(count):
        a = U(index[first + i]) * lanes
        for j in range(lanes):
            packed[i * lanes + j] = x[a + j]


@njit(**FAST)
def scatter(g, packed, lanes, index, first, count):
    """Add the rows of one piece to scattered rows."""
    for i in range(count):
        a = U(index[first + i]) * lanes
        for j in range(lanes):
            g[a + j] += packed[i * lanes + j]


def exponentials(x: Any, o: Any, m: Any, a: Any) -> Any:
    """e ** x for m numbers, at most the largest finite one: exact in float64, fast in float32."""
    raise NotImplementedError("only inside compiled code")


@overload(exponentials, jit_options=EXACT)
def exponentials_of(x, o, m, a):
    if x.dtype == types.float64:
        greatest, limit = np.finfo(np.float64).max, np.log(np.finfo(np.float64).max)

        def exact(x, o, m, a):
            for j in range(m):
                z = x[a + j]
                x[o + j] = greatest if z > limit else np.exp(z)

        return exact

    def fast(x, o, m, a):
        for j in range(U(0), m, U(8)):
            power_of_e(x, o + j, a + j)

    return fast


@njit(**EXACT)
def logarithms(x, o, m, a):
    """NaN where the scalar engine raises."""
    nan = x.dtype.type(np.nan)
    for j in range(m):
        x[o + j] = np.log(x[a + j]) if x[a + j] > 0 else nan


@njit(**EXACT)
def powers(x, o, m, a, exponent):
    """x ** exponent; NaN where the scalar engine raises because it is not finite."""
    zero, unit = x.dtype.type(0), x.dtype.type(1)
    if exponent == -1.0:
        for j in range(m):
            y = unit / x[a + j]
            x[o + j] = y + zero * y  # an infinity becomes NaN, all else stays
    elif exponent == -0.5:
        for j in range(m):
            y = unit / np.sqrt(x[a + j])
            x[o + j] = y + zero * y
    elif exponent == 0.5:
        for j in range(m):
            x[o + j] = np.sqrt(x[a + j])
    elif exponent == 2.0:
        for j in range(m):
            y = x[a + j] * x[a + j]
            x[o + j] = y + zero * y
    elif exponent == 3.0:
        for j in range(m):
            y = x[a + j] * x[a + j] * x[a + j]
            x[o + j] = y + zero * y
    elif exponent == 0.0:
        for j in range(m):
            x[o + j] = unit + zero * x[a + j]
    else:
        k = x.dtype.type(exponent)
        for j in range(m):
            y = x[a + j] ** k
            x[o + j] = y + zero * y


@njit(**FAST)
def powers_backward(x, g, o, m, a, exponent):
    """The derivative is exponent * x ** (exponent - 1), in terms of the result where that is simpler."""
    k = x.dtype.type(exponent)
    if exponent == -1.0:
        for j in range(m):
            g[a + j] -= g[o + j] * x[o + j] * x[o + j]
    elif exponent == -0.5:
        for j in range(m):
            y = x[o + j]
            g[a + j] += k * g[o + j] * y * y * y
    elif exponent == 0.5:
        for j in range(m):
            g[a + j] += k * g[o + j] / x[o + j]
    elif exponent == 2.0:
        for j in range(m):
            g[a + j] += k * g[o + j] * x[a + j]
    elif exponent == 3.0:
        for j in range(m):
            g[a + j] += k * g[o + j] * x[a + j] * x[a + j]
    elif exponent != 0.0:
        for j in range(m):
            g[a + j] += g[o + j] * (k * x[a + j] ** (k - x.dtype.type(1)))


@njit(**EXACT)
def forward(code, runs, constants, operands, coefficients, index, p, x, lanes, integers, lane, scratch, weights):
    """Compute all rows of a block from its inputs. `lane` is where the block begins among the integers' columns."""
    for i in range(U(len(code))):
        line = code[i]
        operation, start, size = line[0], U(line[1]), U(line[2])
        first_run, end_run, d0, d1, d2 = line[3], line[4], U(line[5]), U(line[6]), U(line[7])
        if operation == SUM:
            sums_forward(
                x, p, lanes, runs[first_run:end_run], constants[first_run:end_run], operands, coefficients, False
            )
        elif operation == PRODUCT:
            rows, columns, terms = d0, d1, d2
            n = columns * lanes
            source, at = x, U(line[12]) * lanes
            if line[12] < 0:
                gather(scratch, x, lanes, index, U(line[13]), terms * columns)
                source, at = scratch, U(0)
            if line[11] >= 0:  # scattered or scaled parameters
                k = constants[line[14]]
                for j in range(rows * terms):
                    weights[j] = k * p[index[U(line[11]) + j]]
                multiply(x, start * lanes, weights, U(0), terms, U(1), source, at, rows, terms, n, False)
            else:
                w, w_row, w_term = U(line[8]), U(line[9]), U(line[10])
                multiply(x, start * lanes, p, w, w_row, w_term, source, at, rows, terms, n, False)
            if end_run > first_run:
                sums_forward(
                    x, p, lanes, runs[first_run:end_run], constants[first_run:end_run], operands, coefficients, True
                )
        elif operation == LOAD:
            for r in range(size):
                w = index[d0 + r]
                fill(x, (start + r) * lanes, lanes, p[w] if w >= 0 else constants[len(constants) + w])
        elif operation == PICK_PARAMETER:
            for r in range(size):
                stride, base, column = index[d0 + r], index[d1 + r], U(index[d2 + r])
                o = (start + r) * lanes
                for j in range(lanes):
                    x[o + j] = p[U(base + stride * integers[column, lane + j])]
        elif operation == PICK_ROW:
            count = d0
            for r in range(size):
                column = U(index[d2 + r])
                o = (start + r) * lanes
                for j in range(lanes):
                    chosen = U(index[d1 + r * count + U(integers[column, lane + j])])
                    x[o + j] = x[chosen * lanes + j]
        else:
            for r in range(first_run, end_run):
                o, m = U(runs[r, 0]) * lanes, U(runs[r, 1]) * lanes
                t = U(runs[r, 2])
                a = U(operands[t, 0]) * lanes
                if operation == EXPONENTIAL:
                    exponentials(x, o, m, a)
                elif operation == LOGARITHM:
                    logarithms(x, o, m, a)
                elif operation == POWER:
                    powers(x, o, m, a, constants[line[14]])
                else:  # GREATEST; not a number is greater than all
                    one(x, o, m, x.dtype.type(0), x.dtype.type(1), a)
                    for s in range(t + U(1), t + U(runs[r, 3])):
                        a = U(operands[s, 0]) * lanes
                        for j in range(m):
                            v = x[a + j]
                            if v > x[o + j] or v != v:
                                x[o + j] = v


@njit(**EXACT)
def backward(
    code, runs, constants, operands, coefficients, index, p, gp, x, g, lanes, integers, lane, scratch, weights
):
    """Add the gradients of all parameters to gp, given those of the outputs in g; leaves g zero."""
    for back in range(len(code)):
        line = code[len(code) - 1 - back]
        operation, start, size = line[0], U(line[1]), U(line[2])
        first_run, end_run, d0, d1, d2 = line[3], line[4], U(line[5]), U(line[6]), U(line[7])
        if operation == SUM:
            sums_backward(x, g, p, gp, lanes, runs[first_run:end_run], operands, coefficients)
        elif operation == PRODUCT:
            rows, columns, terms = d0, d1, d2
            n = columns * lanes
            source, target, at = x, g, U(line[12]) * lanes
            if line[12] < 0:
                gather(scratch, x, lanes, index, U(line[13]), terms * columns)
                source, at = scratch, U(0)
            if line[11] >= 0:
                k = constants[line[14]]
                for j in range(rows * terms):
                    weights[j] = 0
                outer(weights, U(0), terms, U(1), g, start * lanes, source, at, rows, terms, n)
                for j in range(rows * terms):
                    gp[index[U(line[11]) + j]] += k * weights[j]
                    weights[j] = k * p[index[U(line[11]) + j]]
                w, w_row, w_term, matrix = U(0), terms, U(1), weights
            else:
                w, w_row, w_term, matrix = U(line[8]), U(line[9]), U(line[10]), p
                outer(gp, w, w_row, w_term, g, start * lanes, source, at, rows, terms, n)
            if line[12] < 0:
                target = scratch
            multiply(target, at, matrix, w, w_term, w_row, g, start * lanes, terms, rows, n, line[12] >= 0)
            if line[12] < 0:
                scatter(g, scratch, lanes, index, U(line[13]), terms * columns)
            if end_run > first_run:
                sums_backward(x, g, p, gp, lanes, runs[first_run:end_run], operands, coefficients)
            else:
                fill(g, start * lanes, size * lanes, g.dtype.type(0))
        elif operation == LOAD:
            for r in range(size):
                w = index[d0 + r]
                if w >= 0:
                    gp[w] += total(g, (start + r) * lanes, lanes)
            fill(g, start * lanes, size * lanes, g.dtype.type(0))
        elif operation == PICK_PARAMETER:
            for r in range(size):
                stride, base, column = index[d0 + r], index[d1 + r], U(index[d2 + r])
                o = (start + r) * lanes
                for j in range(lanes):
                    gp[U(base + stride * integers[column, lane + j])] += g[o + j]
            fill(g, start * lanes, size * lanes, g.dtype.type(0))
        elif operation == PICK_ROW:
            count = d0
            for r in range(size):
                column = U(index[d2 + r])
                o = (start + r) * lanes
                for j in range(lanes):
                    chosen = U(index[d1 + r * count + U(integers[column, lane + j])])
                    g[chosen * lanes + j] += g[o + j]
            fill(g, start * lanes, size * lanes, g.dtype.type(0))
        else:
            for r in range(first_run, end_run):
                o, m = U(runs[r, 0]) * lanes, U(runs[r, 1]) * lanes
                a = U(operands[U(runs[r, 2]), 0]) * lanes
                if operation == EXPONENTIAL:
                    for j in range(m):
                        g[a + j] += g[o + j] * x[o + j]
                elif operation == LOGARITHM:
                    for j in range(m):
                        g[a + j] += g[o + j] / x[a + j]
                elif operation == POWER:
                    powers_backward(x, g, o, m, a, constants[line[14]])
                fill(g, o, m, g.dtype.type(0))  # a largest passes nothing on: it is a constant


@njit(**EXACT)
def run_part(
    code, runs, constants, operands, coefficients, index, p, gp, x, g, lanes, integers, inputs, scratch, weights,
    outputs, watched, results, seeds, first_block, end_block,
):  # fmt: skip
    """Run the blocks of one part of a batch: inputs in, results out and, where there are seeds, gradients added.

    Args:
        integers: [integers of an example, examples]. inputs: [floats of an example, examples].
        outputs: the storage rows of the results. results: [outputs, examples].
        watched: rows that, where they are not a number, make the results so.
        seeds: [examples], the gradient of each example's one result; empty to compute no gradients.
    """
    for block in range(first_block, end_block):
        lane = U(block) * lanes
        for i in range(U(len(inputs))):
            for j in range(lanes):
                x[i * lanes + j] = inputs[i, lane + j]
        forward(code, runs, constants, operands, coefficients, index, p, x, lanes, integers, lane, scratch, weights)
        for i in range(U(len(outputs))):
            o = U(outputs[i]) * lanes
            for j in range(lanes):
                results[i, lane + j] = x[o + j]
            for r in range(len(watched)):
                w = U(watched[r]) * lanes
                for j in range(lanes):
                    results[i, lane + j] += x.dtype.type(0) * x[w + j]
        if len(seeds):
            o = U(outputs[0]) * lanes
            for j in range(lanes):
                g[o + j] = seeds[lane + j]
            backward(
                code, runs, constants, operands, coefficients, index, p, gp, x, g, lanes, integers, lane, scratch,
                weights,
            )  # fmt: skip
            fill(g, U(0), U(len(inputs)) * lanes, g.dtype.type(0))


@njit(**EXACT)
def run(
    code, runs, constants, operands, coefficients, index, p, gradients, x, g, lanes, integers, inputs, scratch,
    weights, outputs, watched, results, seeds, blocks, thread, threads,
):  # fmt: skip
    """Run every so many-th part of a batch, those of one thread, in its own storage; each part has its own gradient."""
    parts = len(gradients)
    for part in range(thread, parts, threads):
        gradients[part] = 0
        run_part(
            code, runs, constants, operands, coefficients, index, p, gradients[part], x[thread], g[thread], lanes,
            integers, inputs, scratch[thread], weights[thread], outputs, watched, results, seeds,
            part * blocks // parts, (part + 1) * blocks // parts,
        )  # fmt: skip


@njit(**(EXACT | {"parallel": True}))
def run_parallel(
    code, runs, constants, operands, coefficients, index, p, gradients, x, g, lanes, integers, inputs, scratch,
    weights, outputs, watched, results, seeds, blocks, threads,
):  # fmt: skip
    """Run all parts of a batch on several threads."""
    for thread in prange(threads):
        run(
            code, runs, constants, operands, coefficients, index, p, gradients, x, g, lanes, integers, inputs, scratch,
            weights, outputs, watched, results, seeds, blocks, thread, threads,
        )  # fmt: skip
