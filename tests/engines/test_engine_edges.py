"""At the edges, too, all engines do the same: the same numbers in the same type of array, or the same error."""

import importlib.util
import traceback
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest

import microgpt
import microgpt.engines.compiled.llvm.run
from microgpt.errors import InputError
from microgpt.functions import softmax
from microgpt.value import exp, largest, log, pick

WITHOUT_TORCH = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
ENGINES = ["scalar", "compiled", pytest.param("torch", marks=WITHOUT_TORCH)]
PARAMS = {"b": np.array([1.0, 2.0, 4.0]), "m": np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])}
X = np.array([1.0, 3.0])
TOO_LARGE = np.array([0, 2**64 - 1], np.uint64)
LAST = -1


@pytest.fixture(params=ENGINES)
def evaluate(request):
    return lambda function, params, *arguments: microgpt.evaluate(function, request.param)(params, *arguments)


@pytest.fixture(params=ENGINES)
def value_and_grad(request):
    return lambda function, params, *arguments: microgpt.value_and_grad(function, request.param)(params, *arguments)


def assert_array(found, expected, dtype=np.float64):
    """The very numbers, in an array of this type."""
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, expected, strict=False)


# Negative indices


NEGATIVE = {
    "a parameter": (lambda p, x: p["b"][-1] * x, [4.0, 12.0]),
    "of a global": (lambda p, x: p["b"][LAST] * x, [4.0, 12.0]),
    "of numpy": (lambda p, x: p["b"][np.int64(-1)] * x, [4.0, 12.0]),
    "a row": (lambda p, x: p["m"][-1][-2] * x, [5.0, 15.0]),
    "of a loop": (lambda p, x: sum([p["b"][-i] * x * i for i in range(3)]), [8.0, 24.0]),
    "of a loop that crosses 0": (lambda p, x: sum([p["b"][i - 1] * x * (i + 1) for i in range(3)]), [12.0, 36.0]),
    "a list of its own": (lambda p, x: [x, p["b"][1]][-2], [1.0, 3.0]),
}


def test_a_negative_index_counts_from_the_end(evaluate):
    for function, expected in NEGATIVE.values():
        assert_array(evaluate(function, PARAMS, X), expected)


def test_a_negative_index_has_its_gradient(value_and_grad):
    mean_loss, gradients = value_and_grad(lambda p, x: p["b"][-1] * x + x * p["m"][-3][-1], PARAMS, X)
    assert mean_loss == 2 * 4 + 2 * 2
    assert gradients["b"].tolist() == [0.0, 0.0, 2.0]
    assert gradients["m"].tolist() == [[0.0, 2.0], [0.0, 0.0], [0.0, 0.0]]


def test_an_index_before_the_beginning_is_refused(evaluate):
    with pytest.raises(IndexError, match="out of range"):
        evaluate(lambda p, x: p["b"][-4] * x, PARAMS, X)


def test_a_pick_beyond_the_list_is_refused(evaluate):
    for index in [-1, np.int64(-1), 3]:
        with pytest.raises(IndexError, match=f"{index}.* expected 0 to 2"):
            evaluate(lambda p, x, i=index: pick(p["b"], i) * x, PARAMS, X)
    for indices in [np.array([0, -1]), np.array([0, 3], np.uint8), TOO_LARGE]:
        with pytest.raises(IndexError, match=f"{indices[1]}.* expected 0 to 2"):
            evaluate(lambda p, i: pick(p["b"], i), PARAMS, indices)


def test_a_large_integer_is_named_beside_others(evaluate):
    def function(p, i, tokens):
        return pick(p["b"], i) + pick(p["b"], tokens[1])

    with pytest.raises(IndexError, match=f"{2**64 - 1}.* expected 0 to 2"):
        evaluate(function, PARAMS, np.array([0, 1], np.int8), np.stack([TOO_LARGE[::-1], TOO_LARGE], 1))


def test_an_argument_beyond_its_list_is_refused(evaluate):
    with pytest.raises(IndexError):
        evaluate(lambda p, i: p["b"][i], PARAMS, np.array([0, 3]))
    with pytest.raises(IndexError):
        evaluate(lambda p, i: p["b"][i], PARAMS, TOO_LARGE)


# Tracebacks


ITEMS = [1.0, 2.0]


def scaled(row, k):
    return [w * ITEMS[k] for w in row] if k else scaled(row, 3)


def sum_of_rows(p, x):
    return sum([sum(scaled(row, 0)) for row in p["m"]]) * x


def sum_of_gradients(p, x):
    return sum([row[0].grad for row in p["m"]]) * x


def frames_of(function, engine, transform, error):
    """The frames of the error that a function raises, from its call to where it was raised."""
    with pytest.raises(error) as caught:
        transform(function, engine)(PARAMS, X)
    return traceback.extract_tb(caught.value.__traceback__)[1:]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("transform", [microgpt.evaluate, microgpt.value_and_grad])
def test_a_traceback_shows_the_functions_of_users(engine, transform):
    frames = frames_of(sum_of_rows, engine, transform, IndexError)
    first = [frame.name for frame in frames].index("sum_of_rows")
    assert first <= 3
    assert {frame.filename for frame in frames[first:]} == {__file__}
    assert [frame.name for frame in frames if frame.name == "scaled"] == ["scaled"] * 2
    assert frames[-1].lineno == scaled.__code__.co_firstlineno + 1


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_what_cannot_be_recorded_names_its_line(engine):
    frames = frames_of(sum_of_gradients, engine, microgpt.value_and_grad, TypeError)
    assert (frames[-1].filename, frames[-1].lineno) == (__file__, sum_of_gradients.__code__.co_firstlineno + 1)


def test_a_fault_of_the_engine_shows_everything(monkeypatch):
    monkeypatch.setattr(microgpt.engines.compiled.llvm.run, "Groups", lambda record: np.linalg.inv(np.zeros((2, 2))))
    with pytest.raises(np.linalg.LinAlgError) as caught:
        microgpt.evaluate(lambda p, x: x * 17)(PARAMS, X)
    assert "run.py" in [Path(frame.filename).name for frame in traceback.extract_tb(caught.value.__traceback__)]


# The largest of numbers of which one is none


def test_the_largest_is_nan_wherever_one_is(evaluate):
    for length in [1, 2, 3, 8, 33]:
        rows = np.tile(np.arange(float(length)), (length + 1, 1))
        rows[range(length), range(length)] = nan
        expected = [nan] * length + [length - 1.0]
        assert_array(evaluate(lambda p, x: largest(x), PARAMS, rows), expected)
        assert_array(evaluate(lambda p, x: largest([a * p["b"][0] for a in x]), PARAMS, rows), expected)


@pytest.mark.parametrize("place", range(3))
def test_the_largest_of_different_kinds_is_nan(evaluate, value_and_grad, place):
    def function(p, x):
        items = [x, p["b"][0], 0.5]
        items[place] = items[place] * nan
        return largest(items) * p["b"][1]

    assert_array(evaluate(function, PARAMS, X), [nan, nan])
    mean_loss, gradients = value_and_grad(function, PARAMS, X)
    assert np.isnan(mean_loss)
    assert np.isnan(gradients["b"][1])


def test_the_largest_of_infinities_is_no_nan(evaluate):
    assert_array(evaluate(lambda p, x: largest(x), PARAMS, np.array([[-inf, inf], [-inf, -inf]])), [inf, -inf])


# exp, log and ** at the ends of the floats


def ends_of(dtype):
    """Exponents beyond both ends of a dtype, and close to them, and what else is special."""
    limits = np.finfo(dtype)
    points = [np.log(float(limits.max)), np.log(float(limits.tiny)), np.log(float(limits.smallest_subnormal)), 0.0]
    near = np.concatenate([point + np.linspace(-3, 3, 301) for point in points])
    return np.concatenate([near, [-0.0, 1e-40, -1e-40, -133, -177, -1e9, 1e9, -inf, inf, nan]]).astype(dtype)


def assert_last_digits(found, expected, digits=2):
    """The numbers up to some units in their last place, also where they are subnormal."""
    with np.errstate(all="ignore"):
        expected = expected.astype(found.dtype)
        unit = np.nan_to_num(np.spacing(np.abs(expected)), nan=0, posinf=0)
        assert ((np.abs(found - expected) <= digits * unit) | (found == expected) | np.isnan(expected)).all()
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exp_ends_at_zero_and_the_largest_float(evaluate, dtype):
    x = ends_of(dtype)
    with np.errstate(all="ignore"):
        expected = np.exp(x.astype(np.longdouble))
    expected[expected > np.finfo(dtype).max] = np.finfo(dtype).max
    found = evaluate(lambda p, x: exp(x), {"b": PARAMS["b"].astype(dtype)}, x)
    assert_last_digits(np.minimum(found, np.finfo(dtype).max), expected)  # what has no float32 is infinite in it


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_takes_every_positive_float(evaluate, dtype):
    limits = np.finfo(dtype)
    x = np.concatenate([np.geomspace(limits.tiny, limits.max / 2, 300), [1, 1 + limits.eps, 1 - limits.epsneg, inf]])
    x = np.append(x.astype(dtype), limits.smallest_subnormal * np.array([1, 2, 3, 1000], dtype))
    found = evaluate(lambda p, x: log(x), {"b": PARAMS["b"].astype(dtype)}, x)
    assert_last_digits(found, np.log(x.astype(np.longdouble)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_power_is_finite_where_possible(evaluate, dtype):
    limits = np.finfo(dtype)
    positive = np.concatenate([np.geomspace(limits.tiny, limits.max / 2, 100), [1.0, 2.0]]).astype(dtype)
    positive = np.append(positive, limits.smallest_subnormal * np.array([1, 3, 1000], dtype))
    for exponent in [1, 2, 3, 16, 17, -1, -2, -3, -17, 0.5, -0.5, 1.5, -1.5, 0.25, -0.25, 2.5]:
        x = np.append(positive, np.zeros(int(exponent > 0), dtype))
        with np.errstate(all="ignore"):
            expected = x.astype(np.longdouble) ** exponent
        there = expected <= float(limits.max)
        found = evaluate(lambda p, x, k=exponent: x**k, {"b": PARAMS["b"].astype(dtype)}, x[there])
        assert_last_digits(found, expected[there], 8)


def test_a_root_of_data_at_zero_is_zero(value_and_grad):
    def distances(p, x):
        return sum([w * ((a - x[0]) ** 2) ** 0.5 for w, a in zip(p["b"], x, strict=True)])

    mean_loss, gradients = value_and_grad(distances, PARAMS, np.array([[1.0, 3.0, 0.5], [2.0, 2.0, 4.0]]))
    assert mean_loss == 7.0
    assert gradients["b"].tolist() == [0.0, 1.0, 1.25]


def test_surprise_does_not_saturate_in_float32():
    params = {"b": np.zeros(1, np.float32)}
    x = np.array([80.0, 87.0, 95.0, 100.0], np.float32)
    surprise = microgpt.evaluate(lambda p, x: -log(softmax([p["b"][0], x])[0]))(params, x)
    assert surprise == pytest.approx(x, rel=1e-3)


# Integers and comparisons as results


INTEGERS = {
    "an argument": (lambda p, i, t: i, [2.0, 5.0]),
    "an item of one": (lambda p, i, t: t[1], [7.0, -9.0]),
    "all of one": (lambda p, i, t: t, [[0.0, 7.0], [1.0, -9.0]]),
    "an argument twice": (lambda p, i, t: [i, t[0], i], [[2.0, 0.0, 2.0], [5.0, 1.0, 5.0]]),
    "an argument and a scalar": (lambda p, i, t: [i, p["b"][1]], [[2.0, 2.0], [5.0, 2.0]]),
    "a constant": (lambda p, i, t: 3, [3.0, 3.0]),
    "constants": (lambda p, i, t: [1, 2], [[1.0, 2.0], [1.0, 2.0]]),
    "a large constant": (lambda p, i, t: 2**70, [2.0**70, 2.0**70]),
    "a constant of numpy": (lambda p, i, t: np.int64(3), [3.0, 3.0]),
    "True": (lambda p, i, t: True, [1.0, 1.0]),
    "a comparison": (lambda p, i, t: p["b"][0] < p["b"][1], [1.0, 1.0]),
    "an empty sum": (lambda p, i, t: sum(p["b"][:0]), [0.0, 0.0]),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_integers_come_back_as_floats_like_parameters(evaluate, dtype):
    params = {key: array.astype(dtype) for key, array in PARAMS.items()}
    for function, expected in INTEGERS.values():
        assert_array(evaluate(function, params, np.array([2, 5]), np.array([[0, 7], [1, -9]])), expected, dtype)


def test_integers_keep_their_place_among_floats(evaluate):
    def function(p, x, i, y, t):
        return {"all": (i, [y[1], t[0]]), "x": x * pick(p["b"], i)}

    found = evaluate(function, PARAMS, X, np.array([2, 0]), np.array([[1.5, 2.5], [3.5, 4.5]]), np.array([[7], [8]]))
    assert_array(found["all"][0], [2.0, 0.0])
    assert_array(found["all"][1], [[2.5, 7.0], [4.5, 8.0]])
    assert_array(found["x"], [4.0, 3.0])


def test_integers_too_large_to_choose_come_back_too(evaluate):
    assert_array(evaluate(lambda p, i: i, PARAMS, TOO_LARGE), [0.0, 2.0**64])


def test_an_integer_as_loss_has_gradient_zero(value_and_grad):
    mean_loss, gradients = value_and_grad(lambda p, i: i, PARAMS, np.array([2, 5]))
    assert mean_loss == 3.5
    assert not gradients["b"].any()
    assert not gradients["m"].any()


def test_results_are_as_precise_as_any_parameter(evaluate):
    half = PARAMS["b"].astype(np.float32)
    assert evaluate(lambda p, x: x, {"b": half}, X).dtype == np.float32
    assert evaluate(lambda p, x: x, {"b": half, "m": PARAMS["m"]}, X).dtype == np.float64
    assert evaluate(lambda p, x: x, {}, X.astype(np.float32)).dtype == np.float64


def test_a_result_too_large_is_infinite(evaluate):
    function, params = (lambda p, x: [x, 1e300]), {"b": PARAMS["b"].astype(np.float32)}
    assert_array(evaluate(function, params, np.array([1.0, -2.0])), [[1.0, inf], [-2.0, inf]], np.float32)


# Other things as results and as arguments


def nothing(p, x):
    """Returns None."""


NO_RESULTS = {
    "ndarray": lambda p, x: np.array([1.0, 2.0]),
    "ndarray in a tuple": lambda p, x: (x, {"a": np.array(1.0)}),
    "ndarray in a list": lambda p, x: [np.array([1.0])],
    "dict in a list": lambda p, x: [{"a": x}, {"a": x}],
    "NoneType in a list": lambda p, x: [x, None],
    "str": lambda p, x: "a",
    "complex": lambda p, x: 1j,
    "set": lambda p, x: {1.0},
    "generator": lambda p, x: (y for y in [x]),
    "list of items of different shapes": lambda p, x: [[x], [x, x]],
    "list of items of different shapes, one of them a scalar": lambda p, x: (x, [x, [x]]),
}


def test_what_is_no_result_is_named(evaluate, value_and_grad):
    for name, function in NO_RESULTS.items():
        with pytest.raises(TypeError, match=rf"the function returned a {name.split(' in ')[0].split(',')[0]}"):
            evaluate(function, PARAMS, X)
        with pytest.raises(TypeError, match=r"returned a \w+"):
            value_and_grad(function, PARAMS, X)


def test_a_function_that_returns_nothing_is_told_so(evaluate, value_and_grad):
    for engine in (evaluate, value_and_grad):
        with pytest.raises(TypeError, match="returned None: is `return` missing"):
            engine(nothing, PARAMS, X)


def test_lists_and_tuples_may_hold_each_other(evaluate):
    assert_array(evaluate(lambda p, x: [(x, p["b"][0]), (2, x)], PARAMS, X), [[[1, 1], [2, 1]], [[3, 1], [2, 3]]])
    short, long, none = evaluate(lambda p, x: ([x], [x, x], []), PARAMS, X)
    assert [array.shape for array in (short, long, none)] == [(2, 1), (2, 2), (2, 0)]


def test_what_is_no_argument_is_named(evaluate, value_and_grad):
    for argument in ([{"a": 1.0}, {"a": 2.0}], {"a": X}, [2**70, 1], [True, False]):
        expected = f"argument 2 after params has dtype {np.asarray(argument).dtype}: expected integers or floats"
        for function in (evaluate, value_and_grad):
            with pytest.raises(TypeError, match=expected):
                function(lambda p, x, y: p["b"][0], PARAMS, X, argument)
    with pytest.raises(InputError, match="argument 2 after params is no array: it has lists of different lengths"):
        evaluate(lambda p, x, y: p["b"][0], PARAMS, X, [[1.0], [1.0, 2.0]])
