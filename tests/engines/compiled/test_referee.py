"""Nothing compiled is used unverified: the function itself, on plain numbers, is the referee."""

import random

import numpy as np
import pytest

from microgpt import DisagreementError, InputError, evaluate, exp, value_and_grad
from microgpt.engines.compiled import record, referee
from microgpt.functions import softmax

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
