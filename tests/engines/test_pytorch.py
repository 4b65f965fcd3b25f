"""The engine "torch" computes what the scalar engine computes, for the GPT and for every other function."""

import subprocess
import sys
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from helpers import assert_equal_engines
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import (
    I3,
    INSTRUCTION,
    PROGRAMS,
    RAGGED,
    RAGGED_X,
    RESULTS,
    UNDEFINED,
    X3,
    M,
    W,
    X,
    gpt_case,
    run_instructions,
)

from microgpt.engines.engine import evaluate, value_and_grad
from microgpt.errors import InputError
from microgpt.functions import dot, softmax, tanh
from microgpt.learning.parameters import flatten
from microgpt.value import exp, log, pick

torch = pytest.importorskip("torch")
from microgpt.engines.pytorch import engine as on_torch  # noqa: E402

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
DEVICES = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])
same = partial(assert_equal_engines, engine="torch", device="cpu")


# The GPT


@DEVICES
@pytest.mark.parametrize("positions", [1, 2, 5])
@pytest.mark.parametrize("n_head", [1, 2, 4])
def test_a_gpt_of_any_length_and_heads(positions, n_head, device):
    assert_equal_engines(*gpt_case(positions, 3, n_head=n_head), engine="torch", device=device)


@DEVICES
@pytest.mark.parametrize("batch", [1, 8, 33, 69])
def test_a_gpt_on_batches_of_any_size(batch, device):
    assert_equal_engines(*gpt_case(2, batch, n_embd=4), engine="torch", device=device)


@DEVICES
@pytest.mark.parametrize(("n_embd", "n_head"), [(4, 4), (12, 3), (10, 2)])
def test_a_gpt_of_two_layers_and_other_widths(n_embd, n_head, device):
    assert_equal_engines(*gpt_case(3, 2, n_embd, 2, n_head, vocab_size=5), engine="torch", device=device)


@DEVICES
def test_float32_is_close_to_float64(device):
    function, params, *batch = gpt_case(8, 16, n_embd=16, n_head=4, dtype=np.float32, noise=0.0)
    step = value_and_grad(function, "torch", device=device)
    single = flatten(step(params, *batch)[1])
    double = flatten(step({name: a.astype(np.float64) for name, a in params.items()}, *batch)[1])
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    assert np.linalg.norm(single - double) / np.linalg.norm(double) <= 1e-4


@pytest.mark.slow
def test_what_pytorch_compiles_computes_the_same():
    function, params, *batch = gpt_case(3, 2, n_embd=4)
    assert_equal_engines(function, params, *batch, engine="torch", device="cpu", torch_compile=True)
    step = value_and_grad(UNDEFINED["a large power"], "torch", device="cpu", torch_compile=True)
    assert not np.isfinite(step(np.array(0.5), np.array([0.0]))[0])


# Other functions


@DEVICES
@pytest.mark.parametrize("name", PROGRAMS)
def test_functions_of_every_kind(name, device):
    function, params, *arguments = PROGRAMS[name]
    assert_equal_engines(function, params, *arguments, engine="torch", device=device)


@pytest.mark.parametrize("name", RAGGED)
def test_what_a_ragged_loop_leaves_out_may_be_undefined(name):
    same(RAGGED[name], np.array(0.5), RAGGED_X)


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 4, -1, -2, -3, -0.5, 0.5, 0.3, -1.7])
def test_powers(exponent):
    same(lambda p, x: p[0] ** exponent * (x * x * p[3] + 0.1) ** exponent, W, X)


@pytest.mark.parametrize("batch", [1, 3])
def test_comparisons(batch):
    x = np.array([[0.5, -1.5, 0.5], [2.0, 0.0, -1.0], [1.0, 1.0, 1.0]])[:batch]
    same(lambda p, x: sum(a * (a > p[1]) + (a <= b) * p[0] * b for a, b in pairwise(x)), W, x)


def test_what_lies_in_no_grid_is_read_and_added_to_through_tables():
    same(lambda p, x: sum([p[i] * x[j] for i, j in [(0, 2), (5, 0), (1, 1), (5, 2), (2, 0)]]), W, X3)
    same(lambda p, x: (lambda y: sum([y[i] * y[j] for i, j in [(0, 2), (2, 0), (1, 1), (2, 1), (0, 1)]]))(
        [tanh(a * w) for a, w in zip(x, p, strict=False)]), W, X3)  # fmt: skip


def test_overlapping_windows_and_reversed_lists():
    same(lambda p, x: sum(tanh(dot(x[i : i + 2], p[:2])) for i in range(2)) * p[2], W, X3)
    same(lambda p, x: dot([tanh(a) for a in x[::-1]], p[:3]) + dot(x, p[2::-1]), W, X3)


def test_rows_that_grow():
    def running(p, x):
        seen, total = [], 0
        for a in x:
            seen.append(tanh(a * p[0]))
            total += dot(softmax([s * p[1] for s in seen]), seen) * p[2]
        return total

    same(running, W, np.random.default_rng(0).normal(size=(4, 7)))


def test_picks_among_what_was_computed_from_an_integer_each():
    same(lambda p, i, j: exp(pick(p, i)) * pick([a * pick(p, j) for a in p], i), W, I3, I3[::-1].copy())
    same(lambda p, x, i: pick([[tanh(a * w) for a in x] for w in p], i)[1] * pick(p, i), W, X3, I3)
    same(lambda p, i: sum(dot(p[0], pick(p, i)) for _ in range(2)), M, I3)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.lists(INSTRUCTION, min_size=1, max_size=25),
    st.sampled_from([1, 2, 7, 9, 17, 40]),
    st.integers(0, 2**32 - 1),
)
def test_random_programs(instructions, batch, seed):
    rng = np.random.default_rng(seed)
    params = {"matrix": rng.uniform(-1.5, 1.5, (4, 3)), "vector": rng.uniform(-1.5, 1.5, 3)}

    def function(params, floats, integers):
        return sum(run_instructions(instructions, params, floats, integers)[-12:])

    same(function, params, rng.uniform(-1.5, 1.5, (batch, 3)), rng.integers(0, 4, (batch, 2)))


@pytest.mark.parametrize("name", RESULTS)
def test_evaluate_gives_the_same_in_the_same_form(name):
    def check(found, expected):
        assert type(found) is type(expected)
        if isinstance(expected, dict):
            assert list(found) == list(expected)
            found, expected = tuple(found.values()), tuple(expected.values())
        if isinstance(expected, tuple):
            for a, b in zip(found, expected, strict=True):
                check(a, b)
        else:
            assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
            np.testing.assert_allclose(found, expected, rtol=1e-14)

    function = RESULTS[name]
    check(evaluate(function, "torch", device="cpu")(W, X3), evaluate(function, "scalar")(W, X3))


# Where the scalar engine raises, this one gives something that is not finite


@DEVICES
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", UNDEFINED)
def test_what_is_undefined_is_not_finite(name, dtype, device):
    params, x = np.array(0.5, dtype), np.array([0.0])
    mean_loss, gradient = value_and_grad(UNDEFINED[name], "torch", device=device)(params, x)
    assert not (np.isfinite(mean_loss) and np.isfinite(gradient))


def test_one_undefined_example_does_not_make_the_others_so():
    function = evaluate(lambda p, x: log(p * x), "torch", device="cpu")
    results = function(np.array(0.5), np.array([1.0, 0.0, 4.0, -1.0, 2.0]))
    np.testing.assert_allclose(results, [np.log(0.5), np.nan, np.log(2.0), np.nan, 0.0], atol=1e-15)


# What is refused


def test_an_integer_out_of_range_is_named():
    with pytest.raises(IndexError, match="i is 6 in row 1 of the batch: expected 0 to 5"):
        value_and_grad(lambda p, i: p[i], "torch", device="cpu")(W, np.array([0, 6]))


def test_a_loss_that_is_no_scalar_is_refused():
    with pytest.raises(TypeError, match="the loss returned a list"):
        value_and_grad(lambda p, x: [x], "torch", device="cpu")(W, X)


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="the device is 'abacus': expected one of cpu, cuda, mps"):
        value_and_grad(lambda p, x: x, "torch", device="abacus")
    missing = [name for name in ("cuda", "mps") if not getattr(torch, name).is_available()]
    with pytest.raises(InputError, match=f"the device is {missing[0]}, which PyTorch does not find here"):
        value_and_grad(lambda p, x: x, "torch", device=missing[0])


def test_without_a_name_the_fastest_device_is_taken():
    wanted = "cuda" if torch.cuda.is_available() else "mps" if torch.mps.is_available() else "cpu"
    assert on_torch.chosen_device().type == wanted


def test_without_pytorch_one_line_says_what_to_install(tmp_path):
    code = "import sys; sys.modules['torch'] = None\nfrom microgpt import value_and_grad\n"
    code += "try:\n    value_and_grad(lambda p: p, 'torch')\nexcept ValueError as error:\n    print(error)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "the engine 'torch' needs PyTorch: pip install -e \".[torch]\"\n"


def test_nothing_else_imports_pytorch():
    code = "import sys, train, sample, explain, microgpt.engines.compiled.listing, microgpt.engines.pytorch.code\n"
    code += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
