"""The operations on numbers, as LLVM instructions whose results are the same bits on every processor.

Nothing here calls a function of the system: exp, log and powers are made of operations that IEEE 754 defines. A few old
processors cannot round a product and a sum at once. There both are rounded, unless MICROGPT_SAME_DIGITS is set: then
several instructions do the same, which takes about ten times as long.
"""

import os
import sys
from dataclasses import dataclass
from math import factorial, inf, nan
from typing import Any

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features

I64, I32 = ir.IntType(64), ir.IntType(32)
DOUBLE, FLOAT = ir.DoubleType(), ir.FloatType()
FEATURES = get_host_cpu_features()
FUSES = FEATURES.get("fma", True)  # only processors with the instructions of x86 may lack this one
SAME_DIGITS = FUSES or bool(os.environ.get("MICROGPT_SAME_DIGITS"))
REGISTER_BYTES = 64 if FEATURES.get("avx512f") else 32 if FEATURES.get("avx2") else 16
CAN_MASK = REGISTER_BYTES > 16  # whether one instruction loads or stores some lanes of a vector

Pair = tuple[Any, Any]  # a number as the sum of two: itself, rounded, and the rest


@dataclass(frozen=True)
class ExpNumbers:
    """What exp needs in one precision. e ** r is a polynomial for r from -log(2) / 2 to log(2) / 2."""

    bits: int  # of the fraction of a number
    high: float  # above the logarithm of the greatest number
    low: float  # the logarithm of 2 ** -twice
    twice: int  # the bias of an exponent, twice
    log_2: tuple[float, float]  # its first bits, whose product with a whole number is exact, and the rest
    coefficients: tuple[float, ...]  # of the highest power first
    greatest: float


EXP = {
    FLOAT: ExpNumbers(
        23, 89.0, -176.06, 254, (0.693145751953125, 1.428606765330187e-06),
        (0.00139261761, 0.00836317307, 0.0416665547, 0.16666577, 0.5, 1.0, 1.0),  # those of the least error
        (2 - 2**-23) * 2.0**127,
    ),
    DOUBLE: ExpNumbers(
        52, 710.0, -1418.16, 2046, (0.6931471803691238, 1.9082149292705877e-10),
        tuple([1 / factorial(n) for n in range(13, -1, -1)]),  # those of the series of Taylor
        sys.float_info.max,
    ),
}  # fmt: skip
THIRD = 1 / 3, 2.0**-54 / 3  # a third, in two numbers
ATANH = tuple([1 / n for n in range(25, 3, -2)])  # atanh(s) = s + s ** 3 / 3 + s ** 5 / 5 + ...
NORMAL = sys.float_info.min  # the least float of full precision
LEAST_ROOT = 0x3FE6A09E667F3BCD  # the bits of the square root of 1/2
ROUNDER = 1.5 * 2.0**52  # added to so large a number, a number is rounded to a whole one
SPLITTER = 2.0**27 + 1  # times this, a number shows its upper half


def of_kind(number: Any, like: Any) -> Any:
    """The type of numbers of a kind, as many as another type has."""
    return ir.VectorType(number, like.count) if isinstance(like, ir.VectorType) else number


def number_of(kind: Any) -> Any:
    """The type of a number, or of those in a vector."""
    return kind.element if isinstance(kind, ir.VectorType) else kind


class Operations(ir.IRBuilder):
    """Writes the instructions of operations on single numbers, or on vectors, in either precision."""

    def intrinsic(self, name: str, *arguments: Any) -> Any:
        kind = arguments[0].type
        suffix = f"v{kind.count}" if isinstance(kind, ir.VectorType) else ""
        full = f"llvm.{name}.{suffix}f{64 if number_of(kind) == DOUBLE else 32}"
        function = self.module.globals.get(full)
        if function is None:
            function = ir.Function(self.module, ir.FunctionType(kind, [kind] * len(arguments)), full)
        return self.call(function, arguments)

    # A product and a sum, rounded once

    def multiply_add(self, x: Any, y: Any, z: Any) -> Any:
        """x * y + z, rounded once, if the digits are to be the same everywhere."""
        if FUSES:
            return self.intrinsic("fma", x, y, z)
        if not SAME_DIGITS:
            return self.fadd(self.fmul(x, y), z)
        if number_of(x.type) == DOUBLE:
            return self.fused_double(x, y, z)
        kind = of_kind(DOUBLE, x.type)
        x, y, z = (self.fpext(one, kind) for one in (x, y, z))
        return self.fptrunc(self.odd(*self.exact_sum(self.fmul(x, y), z)), of_kind(FLOAT, kind))

    def fused_double(self, x: Any, y: Any, z: Any) -> Any:
        """The same in double precision: exact unless a part of the product has no float (Boldo and Melquiond 2008)."""
        plain = self.fadd(self.fmul(x, y), z)
        product, rest = self.exact_product(x, y)
        low, lowest = self.exact_sum(z, rest)
        high, middle = self.exact_sum(product, low)
        result = self.fadd(high, self.odd(*self.exact_sum(middle, lowest)))
        return self.select(self.fcmp_ordered("ord", result, result), result, plain)

    def exact_sum(self, x: Any, y: Any) -> Pair:
        """x + y, rounded, and what that lacks."""
        total = self.fadd(x, y)
        second = self.fsub(total, x)
        return total, self.fadd(self.fsub(x, self.fsub(total, second)), self.fsub(y, second))

    def exact_product(self, x: Any, y: Any) -> Pair:
        """x * y, rounded, and what that lacks: of numbers in double precision."""
        product = self.fmul(x, y)
        if FUSES:
            return product, self.multiply_add(x, y, self.fneg(product))
        (a, b), (c, d) = self.halves(x), self.halves(y)
        rest = self.fsub(self.fmul(a, c), product)
        for one, other in ((a, d), (b, c), (b, d)):
            rest = self.fadd(rest, self.fmul(one, other))
        return product, rest

    def halves(self, x: Any) -> Pair:
        """The upper and the lower half of a number."""
        scaled = self.fmul(x, x.type(SPLITTER))
        upper = self.fsub(scaled, self.fsub(scaled, x))
        return upper, self.fsub(x, upper)

    def odd(self, x: Any, rest: Any) -> Any:
        """x + rest, where it is no float, as the one beside it whose last bit is 1: rounded again, it rounds right."""
        kind = of_kind(I64, x.type)
        bits = self.bitcast(x, kind)
        away = self.ashr(self.xor(bits, self.bitcast(rest, kind)), kind(63))  # -1 if the rest makes x smaller
        inexact = self.fcmp_ordered("!=", rest, x.type(0.0))
        even = self.icmp_signed("==", self.and_(bits, kind(1)), kind(0))
        moved = self.add(bits, self.or_(away, kind(1)))
        return self.bitcast(self.select(self.and_(inexact, even), moved, bits), x.type)

    # Exp and log

    def exp(self, x: Any) -> Any:
        """e ** x, at most the largest finite number."""
        greatest = x.type(EXP[number_of(x.type)].greatest)
        result = self.exp_of(x)
        return self.select(self.fcmp_ordered(">", result, greatest), greatest, result)

    def exp_of(self, x: Any, rest: Any = None) -> Any:
        """e ** x, or e ** (x + rest) for a small rest; infinite where it is too large."""
        of = EXP[number_of(x.type)]
        high, low = x.type(of.high), x.type(of.low)
        limited = self.select(self.fcmp_ordered(">", x, high), high, x)
        limited = self.select(self.fcmp_ordered("<", limited, low), low, limited)
        # Added to so large a number, x / log(2) is rounded: it ends with the bits of the whole number plus `twice`.
        shift = x.type(1.5 * 2.0**of.bits + of.twice)
        shifted = self.multiply_add(limited, x.type(1.4426950408889634), shift)
        whole, r = self.fsub(shifted, shift), limited
        for part in of.log_2:
            r = self.multiply_add(whole, x.type(-part), r)
        r = r if rest is None else self.fadd(r, rest)
        result = self.polynomial(of.coefficients, r)
        # Times 2 ** whole, as two powers of 2 of half as many: each is a float, also where the result is subnormal.
        integer = of_kind(I64 if number_of(x.type) == DOUBLE else I32, x.type)
        bits = self.bitcast(shifted, integer)
        half = self.lshr(bits, integer(1))
        for exponent in (half, self.sub(bits, half)):
            result = self.fmul(result, self.bitcast(self.shl(exponent, integer(of.bits)), x.type))
        return result

    def polynomial(self, coefficients: tuple[float, ...], x: Any) -> Any:
        """A polynomial at x, by its coefficients, the highest power first."""
        result = x.type(coefficients[0])
        for coefficient in coefficients[1:]:
            result = self.multiply_add(result, x, x.type(coefficient))
        return result

    def log(self, x: Any) -> Any:
        """The logarithm, and NaN of what has none."""
        found, _ = self.logarithm(self.in_double(x))
        positive = self.fcmp_ordered(">", x, x.type(0.0))
        return self.select(positive, self.narrowed(found, x.type), x.type(nan))

    def in_double(self, x: Any) -> Any:
        """Numbers in double precision."""
        return x if number_of(x.type) == DOUBLE else self.fpext(x, of_kind(DOUBLE, x.type))

    def narrowed(self, x: Any, kind: Any) -> Any:
        """Numbers in double precision as numbers of a kind."""
        return x if x.type == kind else self.fptrunc(x, kind)

    def logarithm(self, x: Any) -> Pair:
        """The logarithm of what is positive, in two numbers, and minus infinity for 0.

        x = m * 2 ** n with m about 1, and log(m) = 2 atanh(s) with s = (m - 1) / (m + 1), less than 0.172 from 0.
        """
        kind, integer = x.type, of_kind(I64, x.type)
        subnormal = self.fcmp_ordered("<", x, kind(NORMAL))
        bits = self.bitcast(self.select(subnormal, self.fmul(x, kind(2.0**54)), x), integer)
        whole = self.ashr(self.sub(bits, integer(LEAST_ROOT)), integer(52))
        m = self.bitcast(self.sub(bits, self.shl(whole, integer(52))), kind)
        rounder = self.bitcast(kind(ROUNDER), integer)
        n = self.fsub(self.bitcast(self.add(whole, rounder), kind), kind(ROUNDER))
        n = self.select(subnormal, self.fsub(n, kind(54.0)), n)
        s = self.quotient(self.fsub(m, kind(1.0)), self.first_larger(kind(1.0), m))
        square = self.product(s, s)
        rest = self.fmul(square[0], self.polynomial(ATANH, square[0]))
        third = self.first_larger(kind(THIRD[0]), rest)
        cubic = self.product(square, (third[0], self.fadd(third[1], kind(THIRD[1]))))
        twice = self.fmul(s[0], kind(2.0)), self.fmul(s[1], kind(2.0))
        more = self.product(twice, cubic)
        upper, lower = (self.fmul(n, kind(part)) for part in EXP[DOUBLE].log_2)
        first, second = self.first_larger(twice[0], more[0])
        total, third = self.first_larger(upper, first)
        for one in (second, self.fadd(twice[1], more[1]), lower):
            third = self.fadd(third, one)
        total, third = self.first_larger(total, third)
        for special, known in ((0.0, -inf), (inf, inf)):
            total = self.select(self.fcmp_ordered("==", x, kind(special)), kind(known), total)
        return total, third

    # Numbers in two parts

    def first_larger(self, x: Any, y: Any) -> Pair:
        """x + y, rounded, and what that lacks, where y is the smaller one or x is 0."""
        total = self.fadd(x, y)
        return total, self.fsub(y, self.fsub(total, x))

    def product(self, x: Pair, y: Pair) -> Pair:
        """The product of two numbers in two parts each."""
        total, rest = self.exact_product(x[0], y[0])
        return total, self.fadd(rest, self.fadd(self.fmul(x[0], y[1]), self.fmul(x[1], y[0])))

    def quotient(self, x: Any, y: Pair) -> Pair:
        """A number through one in two parts."""
        total = self.fdiv(x, y[0])
        product, lacks = self.exact_product(total, y[0])
        rest = self.fsub(self.fsub(self.fsub(x, product), lacks), self.fmul(total, y[1]))
        return total, self.fdiv(rest, y[0])

    # Powers

    def inverse(self, x: Any) -> Any:
        return self.fdiv(x.type(1.0), x)

    def whole_power(self, x: Any, exponent: int) -> Any:
        result = None
        while exponent:
            if exponent & 1:
                result = x if result is None else self.fmul(result, x)
            exponent >>= 1
            if exponent:
                x = self.fmul(x, x)
        return result

    def power(self, x: Any, k: float, checked: str) -> Any:
        """x ** k, and NaN where what is `checked` is not finite: "power", or "derivative", which is both."""
        if k == 0:
            return self.fadd(self.fmul(x, x.type(0.0)), x.type(1.0))
        test = None
        if k == int(k) and abs(k) <= 16:
            y = self.whole_power(x, int(k)) if k > 0 else self.whole_power(self.inverse(x), int(-k))
            test = y if k > 0 else None  # its derivative is finite if it is itself
        elif 2 * k == int(2 * k) and abs(k) <= 4:
            root = self.intrinsic("sqrt", x)
            y = self.whole_power(root if k > 0 else self.inverse(root), int(abs(2 * k)))
        else:
            y = self.narrowed(self.any_power(self.in_double(x), k), x.type)
        if not checked:
            return y
        if checked == "power":
            test = y
        elif test is None:
            test = self.power(x, k - 1, "")
        y = self.fadd(y, self.fsub(test, test))
        return y if k < 0 or test is y else self.fadd(y, self.fsub(y, y))

    def any_power(self, x: Any, k: float) -> Any:
        """x ** k for an exponent of any size: e ** (k * log(x)); NaN where x is negative, and k no whole number."""
        kind = x.type
        size = self.select(self.fcmp_ordered("<", x, kind(0.0)), self.fneg(x), x)
        log = self.logarithm(size)
        high, low = self.product(log, (kind(k), kind(0.0)))
        small = self.and_(*(self.fcmp_ordered(order, high, kind(limit)) for order, limit in (("<", 1e4), (">", -1e4))))
        y = self.exp_of(high, self.select(small, low, kind(0.0)))
        y = self.select(self.fcmp_ordered("ord", x, x), y, x)
        if k != int(k):
            negative = self.and_(self.fcmp_ordered("<", x, kind(0.0)), self.fcmp_ordered(">", x, kind(-inf)))
            return self.select(negative, kind(nan), y)
        negative = self.icmp_signed("<", self.bitcast(x, of_kind(I64, kind)), of_kind(I64, kind)(0))
        return self.select(negative, self.fneg(y), y) if k % 2 == 1 else y
