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

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

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
CHUNK = 2048  # elements that a sum goes through at once, so that they stay in the nearest cache

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


@njit(**FAST)
def four_more(x, o, m, k0, a0, k1, a1, k2, a2, k3, a3):
    for j in range(m):
        x[o + j] += k0 * x[a0 + j] + k1 * x[a1 + j] + k2 * x[a2 + j] + k3 * x[a3 + j]


@njit(**FAST)
def one_product(x, o, m, c, k, a, b):
    for j in range(m):
        x[o + j] = c + k * x[a + j] * x[b + j]


@njit(**FAST)
def one_product_more(x, o, m, k, a, b):
    for j in range(m):
        x[o + j] += k * x[a + j] * x[b + j]


@njit(**FAST)
def four_products_more(x, o, m, k, a0, b0, a1, b1, a2, b2, a3, b3):
    for j in range(m):
        x[o + j] += k * (x[a0 + j] * x[b0 + j] + x[a1 + j] * x[b1 + j] + x[a2 + j] * x[b2 + j] + x[a3 + j] * x[b3 + j])


@njit(**FAST)
def sums_forward(x, p, lanes, runs, constants, operands, coefficients, accumulate):
    """Each run of rows is constant + Σ k·x + Σ k·x·y + Σ k·p·x + Σ k·p, added to what is there or put in its place."""
    for r in range(U(len(runs))):
        singles, pairs, weighted, alone = U(runs[r, 3]), U(runs[r, 4]), U(runs[r, 5]), U(runs[r, 6])
        t_single = U(runs[r, 2])
        t_pair = t_single + singles
        t_weighted = t_pair + pairs
        t_alone = t_weighted + weighted
        c = constants[r]
        for t in range(t_alone, t_alone + alone):
            c += coefficients[t] * p[operands[t, U(0)]]
        start, size = U(runs[r, 0]) * lanes, U(runs[r, 1]) * lanes
        for begin in range(U(0), size, U(CHUNK)):
            m = min(U(CHUNK), size - begin)
            o = start + begin
            t, linear_end = t_single, t_pair
            begun = accumulate
            if begun:
                if c != 0:
                    one(x, o, m, c, x.dtype.type(1), o)
            elif singles >= U(2):
                a0 = U(operands[t, U(0)]) * lanes + begin
                a1 = U(operands[t + U(1), U(0)]) * lanes + begin
                two(x, o, m, c, coefficients[t], a0, coefficients[t + U(1)], a1)
                t += U(2)
                begun = True
            elif singles == U(1):
                one(x, o, m, c, coefficients[t], U(operands[t, U(0)]) * lanes + begin)
                t += U(1)
                begun = True
            while t + U(4) <= linear_end:
                a0 = U(operands[t, U(0)]) * lanes + begin
                a1 = U(operands[t + U(1), U(0)]) * lanes + begin
                a2 = U(operands[t + U(2), U(0)]) * lanes + begin
                a3 = U(operands[t + U(3), U(0)]) * lanes + begin
                k0, k1, k2, k3 = coefficients[t], coefficients[t + U(1)], coefficients[t + U(2)], coefficients[t + U(3)]
                four_more(x, o, m, k0, a0, k1, a1, k2, a2, k3, a3)
                t += U(4)
            while t < linear_end:
                two(x, o, m, x.dtype.type(0), x.dtype.type(1), o, coefficients[t],
                    U(operands[t, U(0)]) * lanes + begin)  # fmt: skip
                t += U(1)
            t = t_weighted
            if not begun and weighted:
                k = coefficients[t] * p[operands[t, U(0)]]
                one(x, o, m, c, k, U(operands[t, U(1)]) * lanes + begin)
                t += U(1)
                begun = True
            while t < t_alone:
                k = coefficients[t] * p[operands[t, U(0)]]
                two(x, o, m, x.dtype.type(0), x.dtype.type(1), o, k, U(operands[t, U(1)]) * lanes + begin)
                t += U(1)
            t = t_pair
            if not begun and pairs:
                a0, b0 = U(operands[t, U(0)]) * lanes + begin, U(operands[t, U(1)]) * lanes + begin
                one_product(x, o, m, c, coefficients[t], a0, b0)
                t += U(1)
                begun = True
            while t + U(4) <= t_weighted:
                k = coefficients[t]
                if coefficients[t + U(1)] != k or coefficients[t + U(2)] != k or coefficients[t + U(3)] != k:
                    break
                a0, b0 = U(operands[t, U(0)]) * lanes + begin, U(operands[t, U(1)]) * lanes + begin
                a1, b1 = U(operands[t + U(1), U(0)]) * lanes + begin, U(operands[t + U(1), U(1)]) * lanes + begin
                a2, b2 = U(operands[t + U(2), U(0)]) * lanes + begin, U(operands[t + U(2), U(1)]) * lanes + begin
                a3, b3 = U(operands[t + U(3), U(0)]) * lanes + begin, U(operands[t + U(3), U(1)]) * lanes + begin
                four_products_more(x, o, m, k, a0, b0, a1, b1, a2, b2, a3, b3)
                t += U(4)
            while t < t_weighted:
                a0, b0 = U(operands[t, U(0)]) * lanes + begin, U(operands[t, U(1)]) * lanes + begin
                one_product_more(x, o, m, coefficients[t], a0, b0)
                t += U(1)
            if not begun:
                fill(x, o, m, c)


@njit(**FAST)
def pass_on(g, o, m, k, a):
    for j in range(m):
        g[a + j] += k * g[o + j]


@njit(**FAST)
def pass_on_four(g, o, m, k0, a0, k1, a1, k2, a2, k3, a3):
    for j in range(m):
        d = g[o + j]
        g[a0 + j] += k0 * d
        g[a1 + j] += k1 * d
        g[a2 + j] += k2 * d
        g[a3 + j] += k3 * d


@njit(**FAST)
def pass_on_product(x, g, o, m, k, a, b):
    if a == b:
        k = k + k
        for j in range(m):
            g[a + j] += k * g[o + j] * x[a + j]
    else:
        for j in range(m):
            d = k * g[o + j]
            g[a + j] += d * x[b + j]
            g[b + j] += d * x[a + j]


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
def sums_backward(x, g, p, gp, lanes, runs, operands, coefficients):
    """Pass the gradient of each run on to all operands of its terms, then set it to zero."""
    for r in range(U(len(runs))):
        singles, pairs, weighted, alone = U(runs[r, 3]), U(runs[r, 4]), U(runs[r, 5]), U(runs[r, 6])
        t_single = U(runs[r, 2])
        t_pair = t_single + singles
        t_weighted = t_pair + pairs
        t_alone = t_weighted + weighted
        start, size = U(runs[r, 0]) * lanes, U(runs[r, 1]) * lanes
        for begin in range(U(0), size, U(CHUNK)):
            m = min(U(CHUNK), size - begin)
            o = start + begin
            t = t_single
            while t + U(4) <= t_pair:
                a0 = U(operands[t, U(0)]) * lanes + begin
                a1 = U(operands[t + U(1), U(0)]) * lanes + begin
                a2 = U(operands[t + U(2), U(0)]) * lanes + begin
                a3 = U(operands[t + U(3), U(0)]) * lanes + begin
                k0, k1, k2, k3 = coefficients[t], coefficients[t + U(1)], coefficients[t + U(2)], coefficients[t + U(3)]
                pass_on_four(g, o, m, k0, a0, k1, a1, k2, a2, k3, a3)
                t += U(4)
            while t < t_pair:
                pass_on(g, o, m, coefficients[t], U(operands[t, U(0)]) * lanes + begin)
                t += U(1)
            while t < t_weighted:
                a0, b0 = U(operands[t, U(0)]) * lanes + begin, U(operands[t, U(1)]) * lanes + begin
                pass_on_product(x, g, o, m, coefficients[t], a0, b0)
                t += U(1)
            while t < t_alone:
                k, w, a0 = coefficients[t], operands[t, U(0)], U(operands[t, U(1)]) * lanes + begin
                pass_on(g, o, m, k * p[w], a0)
                gp[w] += k * dot(g, o, x, a0, m)
                t += U(1)
            if alone:
                s = total(g, o, m)
                while t < t_alone + alone:
                    gp[operands[t, U(0)]] += coefficients[t] * s
                    t += U(1)
            fill(g, o, m, g.dtype.type(0))


@njit(**FAST)
def multiply(y, yo, w, wo, w_row, w_term, x, xo, rows, terms, n, accumulate):
    """y[rows, n] = (or +=) w[rows, terms] · x[terms, n]; w is w[wo + row * w_row + term * w_term]."""
    for begin in range(U(0), n, U(1024)):
        m = min(U(1024), n - begin)
        i = U(0)
        while i + U(2) <= rows:
            y0 = yo + i * n + begin
            y1 = y0 + n
            w0 = wo + i * w_row
            w1 = w0 + w_row
            if not accumulate:
                fill(y, y0, m, y.dtype.type(0))
                fill(y, y1, m, y.dtype.type(0))
            t = U(0)
            while t + U(4) <= terms:
                s0, s1 = w0 + t * w_term, w1 + t * w_term
                a0, a1, a2, a3 = w[s0], w[s0 + w_term], w[s0 + U(2) * w_term], w[s0 + U(3) * w_term]
                b0, b1, b2, b3 = w[s1], w[s1 + w_term], w[s1 + U(2) * w_term], w[s1 + U(3) * w_term]
                x0 = xo + t * n + begin
                x1, x2, x3 = x0 + n, x0 + U(2) * n, x0 + U(3) * n
                for j in range(m):
                    v0, v1, v2, v3 = x[x0 + j], x[x1 + j], x[x2 + j], x[x3 + j]
                    y[y0 + j] += a0 * v0 + a1 * v1 + a2 * v2 + a3 * v3
                    y[y1 + j] += b0 * v0 + b1 * v1 + b2 * v2 + b3 * v3
                t += U(4)
            while t < terms:
                a0, b0 = w[w0 + t * w_term], w[w1 + t * w_term]
                x0 = xo + t * n + begin
                for j in range(m):
                    y[y0 + j] += a0 * x[x0 + j]
                    y[y1 + j] += b0 * x[x0 + j]
                t += U(1)
            i += U(2)
        while i < rows:
            y0 = yo + i * n + begin
            if not accumulate:
                fill(y, y0, m, y.dtype.type(0))
            for t in range(terms):
                a0 = w[wo + i * w_row + t * w_term]
                x0 = xo + t * n + begin
                for j in range(m):
                    y[y0 + j] += a0 * x[x0 + j]
            i += U(1)


@njit(**FAST)
def outer(d, do, d_row, d_term, g, go, x, xo, rows, terms, n):
    """d[rows, terms] += g[rows, n] · x[terms, n]ᵀ; d is d[do + row * d_row + term * d_term]."""
    zero = g.dtype.type(0)
    for begin in range(U(0), n, U(1024)):
        m = min(U(1024), n - begin)
        i = U(0)
        while i + U(2) <= rows:
            g0 = go + i * n + begin
            g1 = g0 + n
            d0 = do + i * d_row
            d1 = d0 + d_row
            t = U(0)
            while t + U(4) <= terms:
                x0 = xo + t * n + begin
                x1, x2, x3 = x0 + n, x0 + U(2) * n, x0 + U(3) * n
                a0, a1, a2, a3, b0, b1, b2, b3 = zero, zero, zero, zero, zero, zero, zero, zero
                for j in range(m):
                    u, v = g[g0 + j], g[g1 + j]
                    v0, v1, v2, v3 = x[x0 + j], x[x1 + j], x[x2 + j], x[x3 + j]
                    a0 += u * v0
                    a1 += u * v1
                    a2 += u * v2
                    a3 += u * v3
                    b0 += v * v0
                    b1 += v * v1
                    b2 += v * v2
                    b3 += v * v3
                s0, s1 = d0 + t * d_term, d1 + t * d_term
                d[s0] += a0
                d[s0 + d_term] += a1
                d[s0 + U(2) * d_term] += a2
                d[s0 + U(3) * d_term] += a3
                d[s1] += b0
                d[s1 + d_term] += b1
                d[s1 + U(2) * d_term] += b2
                d[s1 + U(3) * d_term] += b3
                t += U(4)
            while t < terms:
                x0 = xo + t * n + begin
                d[d0 + t * d_term] += dot(g, g0, x, x0, m)
                d[d1 + t * d_term] += dot(g, g1, x, x0, m)
                t += U(1)
            i += U(2)
        while i < rows:
            for t in range(terms):
                d[do + i * d_row + t * d_term] += dot(g, go + i * n + begin, x, xo + t * n + begin, m)
            i += U(1)


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


def exp_of(x: Any) -> Any:
    """e ** x, at most the largest finite number: exact in float64; in float32 to 2 units in the last place, as SIMD."""
    raise NotImplementedError("only inside compiled code")


@overload(exp_of, jit_options={"error_model": "numpy"})
def _exp_of(x):
    if x == types.float64:
        greatest, limit = np.finfo(np.float64).max, np.log(np.finfo(np.float64).max)

        def exact(x):
            return greatest if x > limit else np.exp(x)

        return exact

    greatest32, limit32, lowest32 = np.finfo(np.float32).max, np.float32(88.72283), np.float32(-87.33)
    log2e, ln2_high, ln2_low = np.float32(1.4426950408889634), np.float32(0.693359375), np.float32(-2.12194440e-4)
    shifter, half, one32 = np.float32(12582912.0), np.float32(0.5), np.float32(1.0)  # 1.5 * 2 ** 23
    two32, bits, magic = np.float32(2.0), np.int32(23), np.int32(0x4B400000 - 126)
    c5, c4, c3 = np.float32(1 / 5040), np.float32(1 / 720), np.float32(1 / 120)
    c2, c1 = np.float32(1 / 24), np.float32(1 / 6)

    def polynomial(x):
        # x = k ln 2 + r: 2 ** k is put together from k as an exponent, e ** r is a polynomial (Cody and Waite 1980).
        z = lowest32 if x < lowest32 else (limit32 if x > limit32 else x)
        shifted = z * log2e + shifter  # adding so large a number rounds to an integer, in the low bits
        k = shifted - shifter
        r = (z - k * ln2_high) - k * ln2_low
        s = ((((c5 * r + c4) * r + c3) * r + c2) * r + c1) * r + half
        s = s * r * r + r + one32
        # half of 2 ** k, for which the exponent always has room, and twice the result
        power = np.int32((np.float32(shifted).view(np.int32) - magic) << bits).view(np.float32)
        return greatest32 if x > limit32 else s * power * two32

    return polynomial


@njit(**EXACT)
def exponentials(x, o, m, a):
    for j in range(m):
        x[o + j] = exp_of(x[a + j])


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
def run(
    code, runs, constants, operands, coefficients, index, p, gp, x, g, lanes, integers, inputs, scratch, weights,
    outputs, results, seeds, first_block, end_block,
):  # fmt: skip
    """Run some blocks of examples: their inputs in, their results out and, where there are seeds, gradients added.

    Args:
        integers: [integers of an example, examples]. inputs: [floats of an example, examples].
        outputs: the storage rows of the results. results: [outputs, examples].
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
        if len(seeds):
            o = U(outputs[0]) * lanes
            for j in range(lanes):
                g[o + j] = seeds[lane + j]
            backward(
                code, runs, constants, operands, coefficients, index, p, gp, x, g, lanes, integers, lane, scratch,
                weights,
            )  # fmt: skip
            fill(g, U(0), U(len(inputs)) * lanes, g.dtype.type(0))
