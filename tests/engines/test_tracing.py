"""A trace knows every operation of a function: its numbers, the line that did it, and how to write it."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from microgpt.engines.tracing import expression, plain, trace, where
from microgpt.engines.trees import rows
from microgpt.functions import softmax, tanh
from microgpt.gpt import GPTConfig, loss
from microgpt.learning.parameters import initial_parameters
from microgpt.value import Value, exp, largest, log, pick

FILE = Path(__file__).name


def line_of(text):
    """The number of the line of this file that has a text."""
    return next(i for i, line in enumerate(Path(__file__).read_text().splitlines(), start=1) if text in line)


def several(params, x, i):
    y = [w * x[0] - x[1] / 3 for w in params["w"]]
    chosen = pick(params["table"], i)
    return sum(softmax(y)) * tanh(chosen[1]) + (y[0] > 0) * log(exp(y[1])) ** 2 - largest(y)


PARAMS = {"w": np.array([0.5, -2.0]), "table": np.arange(6.0).reshape(3, 2)}
ROW = rows((np.array([[0.25, 2.0]]), np.array([2])))[0]


@pytest.mark.parametrize("scalar", [float, Value])
def test_a_trace_has_the_numbers_of_the_function(scalar):
    found = trace(several, PARAMS, ROW, scalar)
    expected = several({name: array.tolist() for name, array in PARAMS.items()}, *ROW)
    assert plain(found.result) == pytest.approx(expected, rel=1e-14)
    assert type(found.result.number) is scalar
    assert {step.operation for step in found.steps} == {"+", "*", "**", "exp", "log", ">", "largest"}


def test_the_wrapped_values_carry_the_gradients():
    found = trace(several, PARAMS, ROW, Value)
    found.result.number.backward()
    expected = {name: [Value(x) for x in array.ravel().tolist()] for name, array in PARAMS.items()}
    several({"w": expected["w"], "table": [[], [], expected["table"][4:]]}, *ROW).backward()
    product = found.steps[0]
    assert product.inputs[0].number.grad == expected["w"][0].grad != 0


def test_every_gpt_is_traced_as_floats_compute_it():
    config = GPTConfig(vocab_size=5, n_positions=4, n_embd=4, n_layer=1, n_head=2)
    params = initial_parameters(config, 0, np.float64)
    found = trace(partial(loss, config=config), params, ([0, 1, 2], [1.0, 1.0]))
    expected = loss({name: array.tolist() for name, array in params.items()}, [0, 1, 2], [1.0, 1.0], config)
    assert found.result.number == pytest.approx(expected, rel=1e-14)
    assert {Path(step.place[0]).name for step in found.steps} == {"functions.py", "gpt.py"}


def fails(params, x):
    product = params["w"][0] * x
    return log(product) + 1.0


def test_the_operation_that_fails_is_known():
    found = trace(fails, {"w": np.array([2.0])}, (-0.5,))
    assert (found.failed.operation, plain(found.failed.inputs[0])) == ("log", -1.0)
    assert expression(found.failed.inputs[0]) == 'params["w"][0] * x'
    assert where(found.failed) == f"line {line_of('return log(product)')} of {FILE}"
    assert found.failed is found.steps[-1]
    assert isinstance(found.error, ValueError)
    assert found.result is None


@pytest.mark.parametrize("scalar", [float, Value])
@pytest.mark.parametrize("wrong", [lambda x: (x * 0) ** -1, lambda x: 1 / (x * 0), lambda x: x / 0, lambda x: x**0.5])
def test_a_power_that_is_not_real_is_known(wrong, scalar):
    found = trace(lambda params: wrong(params["w"]), {"w": np.array(-2.0)}, (), scalar)
    assert found.failed.operation == "**"
    assert plain(found.failed.inputs[0]) in (0.0, -2.0)


def test_an_error_of_the_function_is_no_operation():
    found = trace(lambda params: [params["w"] * 2][3], {"w": np.array(1.0)}, ())
    assert isinstance(found.error, IndexError)
    assert found.failed is None


def guarded(params):
    try:
        return log(params["w"])
    except ValueError:
        return params["w"] * 2.0


def test_an_error_that_the_function_handles_is_none():
    found = trace(guarded, {"w": np.array(-1.0)}, ())
    assert found.result.number == -2.0
    assert found.error is found.failed is None


def test_a_line_of_the_package_names_its_caller():
    found = trace(lambda params: tanh(params["w"]), {"w": np.array(1.0)}, ())
    here = line_of("trace(lambda params: tanh(")
    assert where(found.steps[0]).endswith(f" of functions.py, called from line {here} of {FILE}")


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda p, x: p["w"][0] - p["w"][1] * x, 'params["w"][0] - params["w"][1] * x'),
        (lambda p, x: (p["w"][0] + 1.0) / x, '(params["w"][0] + 1.0) / x'),
        (lambda p, x: (p["w"][0] - 1.0) ** 2, '(params["w"][0] - 1.0) ** 2'),
        (lambda p, x: p["w"][0] - (p["w"][1] - x), 'params["w"][0] - (params["w"][1] - x)'),
        (lambda p, x: exp(sum([p["w"][0], x])), 'exp(params["w"][0] + x)'),
        (lambda p, x: 2.0 / p["h"][1][1][0], '2.0 / params["h"][1][1][0]'),
        (lambda p, x: p["w"][0] > 0, 'params["w"][0] > 0'),
        (lambda p, x: 1 + exp(exp(exp(exp(p["w"][0] * 0)))), "1 + exp(exp(2.71828))"),
    ],
)
def test_an_expression_is_written_as_in_the_source(function, text):
    found = trace(function, {"w": np.array([0.5, 2.0]), "h": [np.zeros(1), np.ones((2, 1))]}, (4.0,))
    assert expression(found.result) == text


class Own:
    """A class of scalars as a learner writes it."""

    def __init__(self, data):
        self.data, self.grad = data, 0.0

    def __mul__(self, other):
        return Own(self.data * getattr(other, "data", other))

    def __sub__(self, other):
        return Own(self.data - getattr(other, "data", other))

    def relu(self):
        return Own(max(0.0, self.data))


def test_a_class_of_ones_own_keeps_its_operations():
    found = trace(lambda params, x: (params["w"] * x - 1.0).relu(), {"w": np.array(2.0)}, (3.0,), Own)
    assert [(step.operation, plain(step)) for step in found.steps] == [("*", 6.0), ("-", 5.0), ("relu", 5.0)]


@pytest.mark.parametrize("kind", [Own, Value])
def test_an_operation_with_a_class_left_is_traced(kind):
    before = dict(vars(kind))
    found = trace(lambda params: kind(2.0) - kind(3.0) * params["w"], {"w": np.array(2.0)}, (), kind)
    assert type(found.result.number) is kind
    assert plain(found.result) == -4.0
    assert found.steps[0].inputs[1].name == 'params["w"]'
    assert vars(kind) == before


def test_a_class_may_be_compared_and_begin_sums():
    found = trace(
        lambda params: (Value(3.0) > params["w"][0]) * sum(params["w"], Value(1.0)), {"w": np.ones(2)}, (), Value
    )
    assert [(step.operation, plain(step)) for step in found.steps] == [("<", 1.0), ("+", 2.0), ("+", 3.0), ("*", 3.0)]


def test_the_operators_are_restored_after_an_error():
    before = dict(vars(Value))
    assert isinstance(trace(lambda params: params["v"], {"w": np.ones(2)}, (), Value).error, KeyError)
    assert vars(Value) == before


def test_what_leaves_the_graph_is_noted():
    found = trace(lambda params: params["w"] * max(params["w"].data, 0.0), {"w": np.array(2.0)}, (), Value)
    assert [step.operation for step in found.steps] == ["data", "*"]


def test_a_traced_number_answers_as_a_number():
    found = trace(lambda params, x: 1.0 if isinstance(params["w"], Value) and isinstance(x, float) else 0.0,
                  {"w": np.array(2.0)}, (1.0,), Value)  # fmt: skip
    assert found.result == 1.0
