"""Compiled code computes the same bits on every processor, with operations that are exact to about a unit."""

import math
import os
import subprocess
import sys
from ctypes import CFUNCTYPE, c_int64
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from llvmlite import ir
from processors import LACKS

from microgpt import evaluate
from microgpt.engines.compiled.adam import exact_power
from microgpt.engines.compiled.llvm import operations
from microgpt.engines.compiled.llvm.emit import Builder
from microgpt.engines.compiled.llvm.machine import machine
from microgpt.engines.trees import address
from microgpt.value import log

DIGITS = Context(prec=60)
X86 = "fma" in operations.FEATURES
DTYPES = [np.float32, np.float64]
UNUSUAL = -math.inf, -1.0, 0.0, math.inf


@pytest.mark.slow
def test_other_processors_train_to_the_same_bits():
    script, found = Path(__file__).parents[2] / "shared" / "processors.py", {}
    for processor in LACKS if X86 else ("this",):
        environment = os.environ | {"MICROGPT_SAME_DIGITS": "1"}
        given = [sys.executable, script, processor]
        found[processor] = subprocess.run(given, env=environment, capture_output=True, text=True, check=True).stdout
    assert len(found["this"].splitlines()) == 2
    assert {processor: said for processor, said in found.items() if said != found["this"]} == {}


def positive(dtype, count=100):
    """Numbers of all sizes, some near 1."""
    rng, limits = np.random.default_rng(0), np.finfo(dtype)
    wide = np.exp2(rng.uniform(limits.minexp - limits.nmant + 2, limits.maxexp - 0.01, count))
    near = 1 + rng.normal(size=count) * 10.0 ** rng.uniform(-8, -1, count)
    return np.concatenate([wide, near, rng.uniform(0.1, 10, count), [1.0]]).astype(dtype)


def units(found, exact):
    """The greatest error, in units of the last place."""
    spacing = np.spacing(np.abs(np.array([float(x) for x in exact], found.dtype)))
    errors = [
        abs(Decimal(float(x)) - y) / Decimal(float(unit)) for x, y, unit in zip(found, exact, spacing, strict=True)
    ]
    return float(max(errors))


def of_each(function, x):
    return np.ravel(evaluate(lambda p, x: p * function(x))(np.ones((), x.dtype), x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_logarithm_is_exact_to_one_unit(dtype):
    x = positive(dtype)
    assert units(of_each(log, x), [DIGITS.ln(Decimal(float(one))) for one in x]) <= 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("exponent", [-0.7, 17.0, 1000.5])
def test_a_power_is_exact_to_two_units(dtype, exponent):
    x, high = positive(dtype), 0.98 * math.log(np.finfo(dtype).max) / abs(exponent)
    x = x[np.abs(np.log(x)) < high]
    exact = [DIGITS.power(Decimal(float(one)), Decimal(exponent)) for one in x]
    assert len(x) > 50
    assert units(of_each(lambda a: a**exponent, x), exact) <= 2


@dataclass(frozen=True)
class Fused:
    """A kernel of x * y + z, without the instruction for it."""

    double: bool

    def emit(self, module, name):
        number = ir.DoubleType() if self.double else ir.FloatType()
        kinds = [number.as_pointer()] * 4
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [*kinds, ir.IntType(64)]), name)
        build = Builder(function.append_basic_block(), self.double, 4)
        *given, result, count = function.args

        def some(i):
            build.write(build.multiply_add(*[build.read(pointer, i) for pointer in given]), result, i)

        build.each(count.type(0), count, 4, some)
        build.ret_void()


def fused(x, y, z, monkeypatch):
    """x * y + z of arrays, rounded once by several instructions."""
    monkeypatch.setattr(operations, "FUSES", False)
    monkeypatch.setattr(operations, "SAME_DIGITS", True)
    (kernel,) = machine().prepare([Fused(x.dtype == np.float64)])
    result = np.empty_like(x)
    CFUNCTYPE(None, *[c_int64] * 5)(kernel)(*map(address, (x, y, z, result)), len(x))
    return result


@pytest.mark.parametrize("dtype", DTYPES)
def test_several_instructions_round_once(dtype, monkeypatch):
    rng, bits = np.random.default_rng(0), np.finfo(dtype).nmant
    x, y = rng.normal(size=(2, 1000))
    z = rng.normal(size=1000) * np.exp2(rng.integers(-2 * bits, bits, 1000))
    few = np.round(np.array([x, y, z]) * 2.0**5) / 2.0**5  # whose results lie between two numbers
    few[2] *= 2.0**bits
    x, y, z = (np.concatenate([a, -a, b]).astype(dtype) for a, b in zip((x, y, z), few, strict=True))
    exact = [Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c)) for a, b, c in zip(x, y, z, strict=True)]
    found = fused(x, y, z, monkeypatch)
    near = [[np.nextafter(one, dtype(side)) for one in found] for side in (-np.inf, np.inf)]
    for one, wanted, *others in zip(found, exact, *near, strict=True):
        assert all(abs(Fraction(float(one)) - wanted) <= abs(Fraction(float(other)) - wanted) for other in others)


@pytest.mark.parametrize("dtype", DTYPES)
def test_several_instructions_keep_what_is_infinite(dtype, monkeypatch):
    x, y, z = np.array([[a, b, c] for a in UNUSUAL for b in UNUSUAL for c in UNUSUAL], dtype).T.copy()
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(fused(x, y, z, monkeypatch), x * y + z)


def test_a_sum_rounds_its_product_with_itself():
    x = np.random.default_rng(0).normal(size=(64, 3))
    plus, minus = evaluate(lambda p, x: [x[0] * x[1] + x[2], x[2] - x[0] * x[1]])(np.ones(()), x).T
    for (a, b, c), with_product, without in zip(x, plus, minus, strict=True):
        product = Fraction(a) * Fraction(b) if operations.SAME_DIGITS else Fraction(a * b)
        assert (with_product, without) == (float(product + Fraction(c)), float(Fraction(c) - product))


@pytest.mark.parametrize("base", [0.9, 0.999, 0.5])
def test_powers_of_a_step_are_rounded_right(base):
    for step in (1, 2, 255, 256, 257, 2000):
        assert exact_power(base, step) == float(Fraction(base) ** step)
