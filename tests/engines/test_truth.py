"""The engines "compiled" and "torch" compute what the scalar engine computes, for the GPT and for other functions."""

import importlib.util
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
    MLP,
    PROGRAMS,
    RAGGED,
    RAGGED_X,
    RESULTS,
    RNG,
    UNDEFINED,
    X3,
    M,
    W,
    X,
    gpt_case,
    mlp,
    run_instructions,
)

import microgpt
from microgpt.functions import dot, softmax, tanh
from microgpt.learning.parameters import flatten, views
from microgpt.value import exp, log, pick

ENGINES = {"compiled": {"engine": "compiled"}}
if importlib.util.find_spec("torch"):
    import torch

    ENGINES["torch"] = {"engine": "torch", "device": "cpu"}
    if torch.cuda.is_available():
        ENGINES["torch on a GPU"] = {"engine": "torch", "device": "cuda"}


@pytest.fixture(params=ENGINES)
def engine(request):
    """Which engine it is and where, as keywords."""
    return ENGINES[request.param]


@pytest.fixture
def same(engine):
    return partial(assert_equal_engines, **engine)


@pytest.fixture
def value_and_grad(engine):
    return partial(microgpt.value_and_grad, **engine)


@pytest.fixture
def evaluate(engine):
    return partial(microgpt.evaluate, **engine)


# The GPT


@pytest.mark.parametrize("positions", [1, 2, 5])
def test_a_gpt_of_any_length_and_heads(same, positions):
    for n_head in (1, 2, 4):
        same(*gpt_case(positions, 3, n_head=n_head))


@pytest.mark.parametrize("batch", [1, 69])
def test_a_gpt_on_batches_of_any_size(same, batch):
    same(*gpt_case(2, batch, n_embd=4))


@pytest.mark.parametrize(("n_embd", "n_head"), [(4, 4), (12, 3), (10, 2)])
def test_a_gpt_of_two_layers_and_other_widths(same, n_embd, n_head):
    same(*gpt_case(3, 2, n_embd, 2, n_head, vocab_size=5))


def test_float32_is_close_to_float64(value_and_grad):
    function, params, *batch = gpt_case(8, 16, n_embd=16, n_head=4, dtype=np.float32, noise=0.0)
    step = value_and_grad(function)

    def error(params):
        single = flatten(step(params, *batch)[1])
        double = flatten(step({name: a.astype(np.float64) for name, a in params.items()}, *batch)[1])
        assert (single.dtype, double.dtype) == (np.float32, np.float64)
        return np.linalg.norm(single - double) / np.linalg.norm(double)

    assert error(params) <= 1e-4
    losses = []
    for _ in range(10):
        mean_loss, gradients = step(params, *batch)
        losses.append(mean_loss)
        params = {name: array - np.float32(0.1) * gradients[name] for name, array in params.items()}
    assert losses[-1] < losses[0]
    assert error(params) <= 1e-4


def test_any_number_of_threads_gives_the_same_bits():
    steps = [microgpt.value_and_grad(gpt_case(3, 1)[0], threads=threads) for threads in (1, 2, 3)]
    for batch in (1, 64, 100, 300):
        _, *arguments = gpt_case(3, batch, dtype=np.float32)
        results = [step(*arguments) for step in (*steps, *steps)]  # and every one of them twice
        assert len({mean_loss for mean_loss, _ in results}) == 1
        assert len({flatten(gradients).tobytes() for _, gradients in results}) == 1


# Other functions


@pytest.mark.parametrize("name", PROGRAMS)
def test_functions_of_every_kind(same, name):
    function, params, *arguments = PROGRAMS[name]
    same(function, params, *arguments)


@pytest.mark.parametrize("name", RAGGED)
def test_what_ragged_loops_leave_out_may_be_undefined(same, name):
    same(RAGGED[name], np.array(0.5), RAGGED_X)


def test_powers(same):
    for exponent in [0, 1, 2, 3, 4, -1, -2, -3, -0.5, 0.5, 0.3, -1.7]:
        same(lambda p, x, k=exponent: p[0] ** k * (x * x * p[3] + 0.1) ** k, W, X)


def test_comparisons(same):
    x = np.array([[0.5, -1.5, 0.5], [2.0, 0.0, -1.0], [1.0, 1.0, 1.0]])
    for batch in (1, 3):
        same(lambda p, x: sum(a * (a > p[1]) + (a <= b) * p[0] * b for a, b in pairwise(x)), W, x[:batch])


def test_what_lies_in_no_grid(same):
    same(lambda p, x: sum([p[i] * x[j] for i, j in [(0, 2), (5, 0), (1, 1), (5, 2), (2, 0)]]), W, X3)
    same(lambda p, x: (lambda y: sum([y[i] * y[j] for i, j in [(0, 2), (2, 0), (1, 1), (2, 1), (0, 1)]]))(
        [tanh(a * w) for a, w in zip(x, p, strict=False)]), W, X3)  # fmt: skip


def test_overlapping_windows_and_reversed_lists(same):
    same(lambda p, x: sum(tanh(dot(x[i : i + 2], p[:2])) for i in range(2)) * p[2], W, X3)
    same(lambda p, x: dot([tanh(a) for a in x[::-1]], p[:3]) + dot(x, p[2::-1]), W, X3)


def test_rows_that_grow(same):
    def running(p, x):
        seen, total = [], 0
        for a in x:
            seen.append(tanh(a * p[0]))
            total += dot(softmax([s * p[1] for s in seen]), seen) * p[2]
        return total

    same(running, W, np.random.default_rng(0).normal(size=(4, 7)))


def test_picks(same):
    same(lambda p, i: exp(p[0]) + pick(p, i), W, np.array([1, 2]))
    same(lambda p, i: exp(p[0][0]) + sum(p[i]) * log(p[3][2] ** 2), M, np.array([1, 0, 3]))
    same(lambda p, i, j: exp(pick(p, i)) * pick([a * pick(p, j) for a in p], i), W, I3, I3[::-1].copy())
    same(lambda p, x, i: pick([[tanh(a * w) for a in x] for w in p], i)[1] * pick(p, i), W, X3, I3)
    same(lambda p, i: sum(dot(p[0], pick(p, i)) for _ in range(2)), M, I3)


def test_many_sums_of_two(same, evaluate):
    params, x = np.array(2.0), RNG.normal(size=(2, 3000))

    def neighbours(p, x):
        return sum(tanh(a + b) for a, b in pairwise(x)) * p

    def second_differences(p, x):
        first = [a + b for a, b in pairwise(x)]
        return [a + b for a, b in pairwise(first)] + [p]

    same(neighbours, params, x)
    expected = microgpt.evaluate(second_differences, "scalar")(params, x)
    np.testing.assert_allclose(evaluate(second_differences)(params, x), expected, atol=1e-12)


def test_batches_of_every_size_up_to_seventy():
    x = RNG.normal(size=(70, 3))
    scalar, compiled = (microgpt.value_and_grad(mlp, engine) for engine in ("scalar", "compiled"))
    for batch in range(1, 71):
        (a, da), (b, db) = scalar(MLP, x[:batch]), compiled(MLP, x[:batch])
        assert a == pytest.approx(b, rel=1e-12)
        np.testing.assert_allclose(db["w1"], da["w1"], rtol=0, atol=1e-10 * np.abs(da["w1"]).max())


def test_views_of_one_vector_serve_as_parameters(same):
    params = views(np.arange(1.0, 10.0), {"w": (2, 3), "b": (3,)})
    same(lambda p, x: sum(dot(row, x) for row in p["w"]) + dot(p["b"], p["b"]), params, X3)


@pytest.mark.parametrize("name", RESULTS)
def test_evaluate_gives_the_same_form(evaluate, name):
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

    check(evaluate(RESULTS[name])(W, X3), microgpt.evaluate(RESULTS[name], "scalar")(W, X3))


# Where the scalar engine raises, the others give something that is not finite


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_undefined_is_not_finite(value_and_grad, dtype):
    params, x = np.array(0.5, dtype), np.array([0.0])
    for name, function in UNDEFINED.items():
        with pytest.raises(ValueError, match=r"log|\*\*"):
            microgpt.value_and_grad(function, "scalar")(params, x)
        mean_loss, gradient = value_and_grad(function)(params, x)
        assert not (np.isfinite(mean_loss) and np.isfinite(gradient)), name


def test_one_undefined_example_leaves_the_others(evaluate):
    results = evaluate(lambda p, x: log(p * x))(np.array(0.5), np.array([1.0, 0.0, 4.0, -1.0, 2.0]))
    np.testing.assert_allclose(results, [np.log(0.5), np.nan, np.log(2.0), np.nan, 0.0], atol=1e-15)


# Random programs


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
def test_random_programs(engine):
    @settings(max_examples=60 if engine["engine"] == "compiled" else 30)
    @given(
        st.lists(INSTRUCTION, min_size=1, max_size=25), st.sampled_from([1, 2, 7, 9, 17, 40]), st.integers(0, 2**32 - 1)
    )
    def equal(instructions, batch, seed):
        rng = np.random.default_rng(seed)
        params = {"matrix": rng.uniform(-1.5, 1.5, (4, 3)), "vector": rng.uniform(-1.5, 1.5, 3)}

        def function(params, floats, integers):
            return sum(run_instructions(instructions, params, floats, integers)[-12:])

        floats, integers = rng.uniform(-1.5, 1.5, (batch, 3)), rng.integers(0, 4, (batch, 2))
        assert_equal_engines(function, params, floats, integers, **engine)

    equal()
