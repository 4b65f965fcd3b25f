"""Where numbers leave the finite ones, the operation, its numbers, its line, the row and the parameters are named."""

import importlib.util
from functools import partial
from itertools import repeat
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest
from helpers import TINY

import microgpt.engines.checking.replay
from microgpt.engines.checking.replay import example_not_finite, why_not_finite
from microgpt.engines.engine import evaluate, value_and_grad
from microgpt.errors import DivergenceError
from microgpt.functions import cross_entropy, dot, layer_norm, softmax
from microgpt.gpt import loss
from microgpt.learning.batches import padded
from microgpt.learning.parameters import initial_parameters
from microgpt.learning.training import Schedule, mean_loss, train
from microgpt.value import exp, log, pick

TORCH = pytest.param("torch", marks=[pytest.mark.slow, pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not there")])  # fmt: skip
FILE = Path(__file__)


def line_of(text):
    """The number of the only line of this file that ends with a text, as a reader counts them."""
    (found,) = [i for i, line in enumerate(FILE.read_text().splitlines(), start=1) if line.endswith(text)]
    return f"in line {found} of {FILE.name}"


def why(function, params, *batch, engine="compiled", dtype=np.float64):
    arrays = {name: np.array(numbers, dtype) for name, numbers in params.items()}
    return why_not_finite(value_and_grad(function, engine), arrays, batch)


def logarithm(params, x):
    product = params["w"][0] * x
    return log(product) + 1.0


def root(params, x):
    return (params["w"][1] - x) ** 0.5


def quotient(params, x):
    return params["w"][0] / (params["w"][1] - x)


@pytest.mark.parametrize(("engine", "dtype"), [("scalar", np.float64), ("compiled", np.float32)])
@pytest.mark.parametrize(
    ("function", "x", "said", "line", "operand"),
    [
        (logarithm, [1.0, 2.0, -0.5, -1.0], "log(-1.0) {}, row 2", "log(product) + 1.0", '-1.0 is params["w"][0] * x'),
        (logarithm, [0.0], "log(0.0) {}, row 0", "log(product) + 1.0", '0.0 is params["w"][0] * x'),
        (root, [1.0, 7.0], "(-4.0) ** 0.5 {}, row 1, is not a real number", ' ** 0.5', 'is params["w"][1] - x'),
        (root, [1.0, 3.0], "the derivative of 0.0 ** 0.5 {}, row 1, is not finite", " ** 0.5", 'params["w"][1] - x'),
        (quotient, [1.0, 3.0], "0.0 ** -1 {}, row 1, is a division by 0", '["w"][1] - x)', 'params["w"][1] - x'),
    ],
)  # fmt: skip
def test_the_operation_is_named_with_its_circumstances(function, x, said, line, operand, engine, dtype):
    found = why(function, {"w": [2.0, 3.0]}, np.array(x), engine=engine, dtype=dtype)
    assert found.startswith(said.format(line_of(line)))
    assert operand in found


def square(params, x):
    return (params["w"] * 1e25 * x) ** 2


@pytest.mark.parametrize("engine", ["compiled", TORCH])
def test_an_overflow_in_float32_alone_is_found(engine):
    batch = np.array([1e-20, 1.0])
    found = why(square, {"w": 2.0}, batch, engine=engine, dtype=np.float32)
    assert found.startswith(f"2e+25 ** 2 {line_of('* 1e25 * x) ** 2')}, row 1, is beyond 3.4e+38, the largest float32")
    assert np.isfinite(value_and_grad(square, engine)({"w": np.array(2.0)}, batch)[0])
    found = why(square, {"w": 2.0}, batch * 1e200, engine=engine)
    assert found.startswith("2e+205 ** 2 in line")
    assert "float32" not in found


def test_a_gradient_beyond_its_dtype_is_named():
    found = why(square, {"w": 2.0}, np.array([1.0]), engine="scalar", dtype=np.float32)
    assert found.startswith('the gradient of params["w"] is 4e+50, row 0, more than its dtype can hold')


def masked(params, x):
    scores = [w * x if i >= 1 else w * x + -inf for i, w in enumerate(params["w"])]
    return log(softmax(scores)[1] - 1.0)


def line(params, x):
    return params["w"][0] * x[1] + params["w"][1]


def deep(params, token):
    x = pick(params["w"], token)
    for _ in range(3):
        x = layer_norm(x, [1.0, 1.0], [0.0, 0.0])
    return log(cross_entropy(x, 0) - 10)


def steep(params, x):
    return (params["w"] - 1.0) * 1e200 * x


def late(params, x):
    return log(sum(params["w"] for _ in range(200)) * x)


def early(params, x):
    return sum([params["w"] * 1e200 * x * 1e200 for _ in range(200)])


SAID = {
    "an infinite derivative": (
        lambda p, x: log(p["w"] * x), 1.0, [1.0, 1e-310], ("the derivative of log(1e-310)", "row 1, is inf")),
    "an infinite chain": (
        steep, 1.0, [1.0, 1e200],
        ("the gradient becomes inf at 0.0 * 1e+200 ", ", row 1: its derivative is 1e+200, and 1e+200 arrives from")),
    "an argument": (line, [1.0, 2.0], [[1.0, 1.0], [1.0, nan]], ("x[1] is nan, row 1",)),
    "a parameter": (line, [1.0, nan], np.ones((2, 2)), ('params["w"][1] is nan, row 0',)),
    "an infinite parameter": (line, [inf, 1.0], np.ones((2, 2)), ("inf",)),
    "a masked score": (masked, [1.0, 2.0], [1.0], ("log(0.0)",)),
    "the nearest parameters": (
        lambda p, x: log(exp(exp(exp(p["w"] * 0) * 1) * 1) * 0 - x), 1.0, [1.0],
        ("log(-1.0)", '; the nearest parameters are params["w"]')),
    "a deep network": (deep, [[1.0, 2.0], [3.0, 5.0]], [1], ("log(", "params[")),
    "a library function": (
        lambda p, x: dot(p["w"], p["w"]) * x, [1.0, 1e155], [1.0], ("", "of functions.py, called from line")),
    "a sum of rows": (lambda p, x: p["w"] * x, 1.0, [1e308, 1e308], ("each row alone is finite",)),
    "too many steps": (late, 1.0, [1.0, -1.0], ("it begins in row 1, after its first 100 operations",)),
    "early enough": (early, 1.0, [1.0], ("1e+200 * 1e+200 in line",)),
}  # fmt: skip


@pytest.mark.parametrize("engine", ["scalar", "compiled"])
@pytest.mark.parametrize(("function", "w", "x", "said"), SAID.values(), ids=SAID.keys())
def test_the_reason_is_said(monkeypatch, function, w, x, said, engine):
    if function in (late, early):
        monkeypatch.setattr(microgpt.engines.checking.replay, "MANY_STEPS", 100)
    found = why(function, {"w": w}, np.array(x), engine=engine)
    assert found.startswith(said[0])
    assert said[-1] in found


def test_a_batch_without_arrays_has_no_row():
    found = why(lambda params: log(params["w"]), {"w": -1.0})
    assert found.startswith("log(-1.0) in line")
    assert "row" not in found


@pytest.mark.parametrize("in_single", [True, False])
def test_a_number_beyond_float32_is_named(in_single):
    why = example_not_finite(lambda params, x: params["w"] * x, {"w": np.array(3e38)}, (1.0,), 0, in_single)
    assert ("float32 ends at 3.4e38" in why) == in_single
    assert "stays finite" in why


def test_a_step_made_by_hand_has_no_reason():
    assert why_not_finite(lambda params, x: (nan, {"w": np.array(nan)}), {"w": np.array(1.0)}, (np.ones(2),)) == ""


# What training says


@pytest.mark.parametrize("engine", ["scalar", "compiled"])
def test_training_says_why_it_diverged(engine):
    def falls(params, x):
        return log(params["w"] - x)

    params, batch = {"w": np.array(1.0)}, np.array([-5.0, 0.0])
    with pytest.raises(
        DivergenceError, match=r"at step \d+: .*log\(-.*\) in line \d+ of test_replay.py, row 1; -.* is"
    ):
        list(train(value_and_grad(falls, engine), params, repeat((batch,)), Schedule(9, 0.3, 0)))


@pytest.mark.parametrize("engine", ["scalar", "compiled"])
def test_validation_says_why_it_is_not_finite(engine):
    parameters = initial_parameters(TINY, 0, np.float64)
    parameters["h.0.mlp.c_fc.bias"][3] = 1e200
    evaluated = evaluate(partial(loss, config=TINY), engine)
    with pytest.raises(DivergenceError, match=r"after step 7: .*1e\+200 \*\* 3 in line .* of functions.py, row 0"):
        mean_loss(evaluated, parameters, [[0, 1, 0], [0, 1, 2, 3, 0]], step=7)
    assert 'params["h.0.mlp.c_fc.bias"][3]' in why_not_finite(
        evaluated, parameters, padded([[0, 1, 2, 3, 0]], np.float64)
    )
