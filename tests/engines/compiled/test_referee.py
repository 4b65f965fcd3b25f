"""Nothing compiled is used unverified: the function itself, on plain numbers, and the slope are the referees."""

import random
from functools import reduce

import numpy as np
import pytest

from microgpt import DisagreementError, InputError, adam_update, evaluate, exp, value_and_grad
from microgpt.engines.compiled import backward, record, referee
from microgpt.engines.compiled.expressions import PARAMETERS
from microgpt.engines.engine import many_steps
from microgpt.functions import softmax
from microgpt.value import largest, log

W, X = {"w": np.array([0.5, -1.0, 2.0])}, np.array([[1.0, 2.0, 3.0], [0.5, 0.1, -0.2]])


@pytest.fixture
def faulty(monkeypatch):
    """A compiler that takes the square of a number for its double."""
    right = record.RecordedScalar.__mul__
    monkeypatch.setattr(record.RecordedScalar, "__mul__", lambda a, b: right(a, 2.0 if b is a else b))


def loss(p, x):
    products = [w * v for w, v in zip(p["w"], x)]  # noqa: B905
    total = sum(products)
    return total * total + exp(total)  # here


def line_of_the_square():
    with open(__file__, encoding="utf-8") as file:
        return next(n for n, line in enumerate(file, 1) if line.endswith("# here\n"))


@pytest.mark.parametrize("engine", ["compiled", "torch"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_wrong_number_is_refused_with_its_line(faulty, engine, dtype):
    if engine == "torch":
        pytest.importorskip("torch")
    for made in (value_and_grad(loss, engine), evaluate(loss, engine)):
        with pytest.raises(DisagreementError, match=rf'line {line_of_the_square()} of .*engine="scalar"'):
            made({"w": W["w"].astype(dtype)}, X)


def test_it_is_asked_for_every_shape(faulty):
    step = value_and_grad(lambda p, x: sum(x) if len(x) == 3 else x[0] * x[0] * p["w"][0])
    assert step(W, X)[0] == X.sum(1).mean()
    with pytest.raises(DisagreementError):
        step(W, X[:, :2] + 2)


def test_who_measures_can_do_without(faulty):
    assert value_and_grad(loss, verify=False)(W, X)[0] != value_and_grad(loss, "scalar")(W, X)[0]


def test_large_functions_are_verified_on_request(faulty, monkeypatch):
    monkeypatch.setattr(referee, "OPERATIONS", 3)
    monkeypatch.setattr("microgpt.engines.compiled.api.OPERATIONS", 3)
    value_and_grad(loss)(W, X)
    with pytest.raises(DisagreementError):
        value_and_grad(loss, verify=True)(W, X)


def test_a_function_must_repeat_its_results():
    with pytest.raises(InputError, match="random numbers"):
        value_and_grad(lambda p, x: p["w"][0] * random.random())(W, X)


def test_a_function_must_keep_no_numbers():
    kept = []

    def first_of_all(p, x):
        kept.append(p["w"][0] * 2)
        return kept[0] * x[0]

    with pytest.raises(InputError, match="kept from an earlier call"):
        value_and_grad(first_of_all)(W, X)
    with pytest.raises(TypeError, match="kept from an earlier call"):  # by another recording, even without a referee
        value_and_grad(first_of_all, verify=False)(W, X)


def test_an_undefined_example_is_verified_by_the_next(faulty):
    step = value_and_grad(lambda p, x: (x[0] * x[0]) ** 0.5 * (x[0] ** 0.5))
    assert not np.isfinite(step(W, np.array([[-1.0]]))[0])
    with pytest.raises(DisagreementError):
        step(W, np.array([[9.0]]))


def test_rounding_that_a_function_magnifies_is_no_fault():
    def steep(p, x):
        return (sum([v * 1.1 for v in p["w"]]) - p["w"][0] * 1.1 - p["w"][1] * 1.1 - p["w"][2] * 1.1 + 1e-16) * 1e9

    value_and_grad(steep)(W, X)


def test_methods_of_values_are_verified_on_values(faulty):
    assert np.isfinite(value_and_grad(lambda p, x: (p["w"][0] * x[0]).exp())(W, X)[0])
    with pytest.raises(DisagreementError):
        value_and_grad(lambda p, x: (p["w"][0] * p["w"][0]).exp())(W, X)


def test_every_kind_of_row_can_be_replayed(faulty):
    def everything(p, x, tokens):
        rows = [[v * 2, v + 1, -v] for v in p["w"]]
        chosen = [rows[token] if False else p["w"][token] for token in tokens]
        columns = [sum(a * b for a, b in zip(column, x)) for column in zip(*rows)]  # noqa: B905
        positive = sum([c * (c > 0) + c * (c <= 1) for c in columns])
        return sum(softmax(columns)) + positive + sum(chosen) + (x[0] * x[0] + 1) ** -0.5  # here too

    with open(__file__, encoding="utf-8") as file:
        line = next(n for n, text in enumerate(file, 1) if text.endswith("# here too\n"))
    with pytest.raises(DisagreementError, match=f"line {line} of test_referee"):
        value_and_grad(everything)(W, X, np.array([[0, 1], [1, 2]]))


def test_constants_of_float32_are_no_fault():
    table = np.linspace(0, 1, 3, dtype=np.float32)

    def weighted(p, x):
        return sum(a * b for a, b in zip(table, p["w"], strict=True)) + x[0]

    def rounded(p, x):
        return sum(a * b for a, b in zip(table, x, strict=True)) * p["w"][0] / 3

    params = {"w": np.array([0.1, 0.2, 0.3])}
    assert value_and_grad(weighted)(params, X)[0] == pytest.approx(value_and_grad(weighted, "scalar")(params, X)[0])
    if isinstance(table[0] * 0.1, np.float64):  # before NumPy 2 nothing is rounded
        mean_loss = np.mean((X + 0.1) @ table.astype(float)) * 0.1 / 3
        assert value_and_grad(rounded)(params, X + 0.1)[0] == pytest.approx(mean_loss)
    else:
        with pytest.raises(InputError, match=r"float32 or float16 rounds .* write float\(c\)"):
            value_and_grad(rounded)(params, X + 0.1)


# The gradient


@pytest.fixture
def wrong_backward(monkeypatch):
    """A function that breaks the backward pass: what the parameter at a place gets is multiplied."""

    def broken(place, factor):
        right = backward.differentiate

        def differentiate(*arguments):
            found = right(*arguments)
            return {
                load: one * factor if (load.space, load.start) == (PARAMETERS, place) else one
                for load, one in found.items()
            }

        monkeypatch.setattr(backward, "differentiate", differentiate)

    return broken


def scaled(p, x):
    return exp(p["a"] * x[0]) + p["b"] * p["c"] * x[1] ** 2


ABC = {"a": 0.5, "b": 2.0, "c": 0.0}  # in the order of places; a c of 0 hides the gradient of b


def arrays_of(numbers, dtype=np.float64):
    return {name: np.array(number, dtype) for name, number in numbers.items()}


@pytest.mark.parametrize("engine", ["compiled", "torch"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_wrong_gradient_is_refused_with_its_parameter(wrong_backward, engine, dtype):
    if engine == "torch":
        pytest.importorskip("torch")
    wrong_backward(0, 1.001)
    step = value_and_grad(scaled, engine)
    params, x = arrays_of(ABC, dtype), X.astype(dtype)
    for _ in range(2):
        with pytest.raises(
            DisagreementError, match=r'gradient of params\["a"\] is .* right.*engine="scalar"'
        ) as refused:
            step(params, x)
        assert "\n" not in str(refused.value)
    assert np.isfinite(evaluate(step)(params, x)).all()


def test_a_gradient_that_zeros_hide_is_refused(wrong_backward):
    wrong_backward(1, -1.0)
    x = np.concatenate([np.zeros((1, 3)), X])
    assert value_and_grad(scaled, verify=False)(arrays_of(ABC), x)[1]["b"] == 0
    with pytest.raises(DisagreementError, match=r'params\["b"\]'):
        value_and_grad(scaled)(arrays_of(ABC), x)


def test_who_evaluated_has_the_gradient_verified_later(wrong_backward):
    wrong_backward(0, 2.0)
    results = evaluate(scaled)
    assert np.isfinite(results(arrays_of(ABC), X)).all()
    with pytest.raises(DisagreementError):
        value_and_grad(results)(arrays_of(ABC), X)


def test_no_step_of_many_is_taken_unverified():
    step = value_and_grad(scaled)

    def can_be_taken():
        return many_steps(step, adam_update(), 0.0).take(arrays_of(ABC), (X,))

    evaluate(step)(arrays_of(ABC), X)
    assert not can_be_taken()
    step(arrays_of(ABC), X)
    assert can_be_taken()


def test_a_nan_in_place_of_a_gradient_is_refused(monkeypatch):
    def rooted(p, x):
        return x[0] * p["a"] + ((x[1] * p["b"]) ** 0.5 if x[1] > 0 else 0.0)

    x = np.array([[1.0, -1.0], [2.0, 4.0]])
    assert np.isfinite(value_and_grad(rooted)(arrays_of(ABC), x)[1]["b"])
    monkeypatch.setattr(backward.Backward, "is_guarded", lambda *_: False)
    with pytest.raises(DisagreementError, match=r'params\["b"\] is nan where 0\.'):
        value_and_grad(rooted)(arrays_of(ABC), x)


RIGHT = {  # each has another slope than its gradient, or none, or one that rounding hides
    "a shift that matters": lambda p, x: (largest([p["a"] * x[0], p["b"] * x[1]]) - 1 + p["a"]) ** 2,
    "a gradient of rounding alone": lambda p, x: p["a"] * 0.1 + p["a"] * 0.2 - p["a"] * 0.1 - p["a"] * 0.2,
    "chaos": lambda p, x: reduce(lambda z, _: p["b"] * 1.9 * z - p["b"] * 1.9 * z * z, range(60), p["a"] * 0.9),
    "no value beside the parameters": lambda p, x: log((p["a"] - 0.5) * 1e4 + 1) + log(1 - 1e4 * (p["a"] - 0.5)),
    "no gradient anywhere": lambda p, x: (p["c"] * 0) ** 0.5 + p["a"],
}
USUAL = {  # the slope is enough, and costs no run of the function
    "a maximum of equal numbers": lambda p, x: max(p["c"] * x[0], p["c"] * x[1]) + p["a"],
    "jumps": lambda p, x: (p["a"] * x[0] > 0) * 3.0 + (p["c"] > 0) * 5.0 + p["b"] * x[0],
    "edges": lambda p, x: sum([max(0, p["a"] - 0.5000002 - i * 1e-6) for i in range(300)]) + p["b"] * x[0],
    "a small part of a large number": lambda p, x: 1e4 + 1e-2 * p["a"] * x[0],
    "no parameter": lambda p, x: x[0] * x[1],
    "few digits in float32": lambda p, x: (1e4 * x[0] + p["a"] - 1e4 * x[0]) ** 2,
    "large": lambda p, x: exp(p["b"] * 200 * x[0]) * 1e-200,
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", RIGHT | USUAL)
def test_no_right_gradient_is_refused(name, dtype):
    runs = []

    def loss(p, x):
        runs.append(name)
        return (RIGHT | USUAL)[name](p, x)

    step = value_and_grad(loss)
    step(arrays_of(ABC, dtype), X.astype(dtype))
    first = len(runs)
    assert name in RIGHT or first == 2  # it is recorded, and verified
    step(arrays_of(ABC, dtype), X.astype(dtype))
    assert (len(runs) > first) == (name == "no gradient anywhere")  # which may come later


def test_what_was_evaluated_is_not_run_again():
    runs = []

    def loss(p, x):
        runs.append(x)
        return p["a"] * x[0]

    results = evaluate(loss)
    results(arrays_of(ABC), X)
    value_and_grad(results)(arrays_of(ABC), X)
    assert len(runs) == 2
