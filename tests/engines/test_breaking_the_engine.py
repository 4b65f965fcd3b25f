"""A gradient check is worth something if it fails on a wrong engine: we break the engine, one line at a time."""

from types import ModuleType

import pytest
from breaks import BREAKS, SOURCE


def engine(source: str) -> ModuleType:
    """The module that this source makes."""
    module = ModuleType("engine")
    exec(source, module.__dict__)
    return module


def gradient_check(module: ModuleType) -> None:
    """Compare the gradients of a small expression of all five operations with finite differences."""

    def expression(a, b):
        shared = a * b + a
        return module.log(shared) * module.exp(b) + shared**3 * (shared + b) ** -1

    point, h = (0.8, 1.3), 1e-5
    a, b = (module.Value(x) for x in point)
    expression(a, b).backward()
    slope_a = (expression(point[0] + h, point[1]) - expression(point[0] - h, point[1])) / (2 * h)
    slope_b = (expression(point[0], point[1] + h) - expression(point[0], point[1] - h)) / (2 * h)
    assert (a.grad, b.grad) == pytest.approx((slope_a, slope_b), rel=1e-6), "the gradients are wrong"


def test_the_check_passes_on_the_engine():
    gradient_check(engine(SOURCE))


@pytest.mark.parametrize(("right", "wrong"), BREAKS.values(), ids=BREAKS.keys())
def test_the_check_catches_a_broken_engine(right, wrong):
    assert SOURCE.count(right) == 1
    with pytest.raises(AssertionError, match="the gradients are wrong"):
        gradient_check(engine(SOURCE.replace(right, wrong)))
