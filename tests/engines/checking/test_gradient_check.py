"""`check` calls right gradients right and wrong ones wrong, and says what is wrong, where, and by how much."""

import random
import re
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from breaks import BREAKS, SOURCE
from helpers import TINY, random_parameters
from running import assert_refused, call

from microgpt import (
    DisagreementError,
    DivergenceError,
    GPTConfig,
    Value,
    check,
    exp,
    initial_parameters,
    largest,
    log,
    loss,
    pick,
    value_and_grad,
)
from microgpt.engines.checking import gradient_check
from microgpt.engines.compiled.api import Compiled
from microgpt.functions import cross_entropy, linear, softmax
from microgpt.learning import model_check
from microgpt.learning.model_check import check_model

FILE = Path(__file__).name
RNG = np.random.default_rng(0)


def line_of(text):
    """The number of the line of this file that has a text."""
    lines = Path(__file__).read_text().splitlines()
    return f"line {next(i for i, line in enumerate(lines, start=1) if text in line)} of {FILE}"


def relu(x):
    return x * (x > 0)


# What is right


def perceptron(params, x, label):
    hidden = [relu(h) for h in linear(x, params["w1"], params["b1"])]
    return cross_entropy(linear(hidden, params["w2"], params["b2"]), label)


PERCEPTRON = {
    "w1": RNG.normal(size=(2, 16)),
    "b1": RNG.normal(size=16),
    "w2": RNG.normal(size=(16, 2)),
    "b2": np.ones(2),
}


def surprise(params, i):
    return -log(pick(softmax([w * 3.0 for w in params["w"]]), i))


def steep(params, x):
    return exp(30.0 * params["w"][0] * x) + params["w"][1] ** 7


def cancelled(params, x):
    large = sum(w * x_i for w, x_i in zip(params["w"][:50], x, strict=True))
    return (large + sum(params["w"][50:]) - sum(x_i * w for w, x_i in zip(params["w"][:50], x, strict=True))) ** 2


GPT = partial(loss, config=TINY)
TOKENS = np.array([[0, 1, 2, 3, 4, 0], [0, 4, 4, 1, 0, 0]])

RIGHT = {
    "gpt": (GPT, random_parameters(TINY), TOKENS, np.full((2, 5), 0.2)),
    "gpt in float32": (GPT, initial_parameters(TINY, 0), TOKENS, np.full((2, 5), 0.2, np.float32)),
    "perceptron": (perceptron, PERCEPTRON, RNG.normal(size=(20, 2)), RNG.integers(0, 2, 20)),
    "softmax of equal numbers": (surprise, {"w": np.zeros(8)}, np.array([3, 0])),
    "softmax of many": (surprise, {"w": RNG.normal(size=100)}, np.array([3, 0])),
    "relu near its edge": (lambda p, x: relu(p["w"] * x), {"w": np.array(2e-5)}, np.array([1.0, -1.0])),
    "large and small": (lambda p: log(p[0]) + exp(-p[1]) + p[2] ** 2, [np.array(x) for x in (1e-7, 300.0, 1e5)]),
    "steep": (steep, {"w": np.array([0.4, -3.0])}, np.array([1.0, 2.0])),
    "rounded": (lambda p, x: (p["w"] + 1e9) - 1e9, {"w": np.array(0.5)}, np.array([1.0])),
    "cancelled": (cancelled, {"w": np.r_[1e8 * RNG.normal(size=50), RNG.normal(size=50)]}, RNG.normal(size=(2, 50))),
    "no gradient": (lambda p, x: p["w"] * 0 + x, {"w": np.array(0.5)}, np.array([1.0])),
    "a parameter that is not used": (lambda p: p[0] ** 2, [np.array(3.0), np.array(1.0)]),
    "comparisons of constants": (lambda p, x: p["w"][0] * x + (x >= x) * 2.0, {"w": np.zeros(2)}, np.array([0.5, 1.0])),
    "a jump times 0": (lambda p: p["w"][0] ** 3 * (p["w"][0] > 0) + p["w"][1], {"w": np.zeros(2)}),
    "a jump that is rounded": (lambda p: (p["w"][0] + 1e9) - 1e9 + 0.0 * (p["w"][1] > 0), {"w": np.zeros(2)}),
    "no examples": (lambda p: p["a"][0][1] * p["a"][1][0] ** 2, {"a": np.arange(6.0).reshape(2, 3)}),
    "a tiny loss": (lambda p, x: 1e-12 * p["w"] ** 2 * x, {"w": np.array(0.5)}, np.array([1.0])),
    "lists that are written to": (lambda p, x: p["w"].append(x) or sum(p["w"]) ** 2, {"w": np.ones(3)}, np.ones(2)),
}  # fmt: skip


@pytest.mark.parametrize("problem", RIGHT.values(), ids=RIGHT.keys())
def test_a_right_gradient_is_called_right(problem, capsys):
    found = check(*problem)
    assert found, found.report
    assert (found.cause, found.parameter, found.line) == ("", "", "")
    assert found.report.startswith("gradient checked")
    assert "engines to" in found.report
    assert capsys.readouterr().out == f"{found.report}\n"


# What is wrong


def greatest(params, x):
    products = [w * x for w in params["w"]]
    best = largest(products)
    return best**2


def bent(params, x):
    return sum(w * (w > 0) for w in params["w"]) * x


def noisy(params, x):
    scaled = params["w"][0] * x
    return scaled * random.random()


def cut(params, x):
    return params["w"][0] * max(w.data for w in params["w"]) * x


def bent_softmax(params, x):
    chance = softmax([x, params["w"][0] * x, 0.5])[1]
    return relu(params["w"][1]) + chance


WRONG = {
    "edge beside a softmax": (bent_softmax, [0.3, 0.0], "edge", "", "return x * (x > 0)", 0.0),
    "largest": (greatest, [0.5, 2.0], "largest", 'params["w"][1]', "best = largest(products)", 4.0),
    "edge": (bent, [0.5, 0.0], "edge", "", "return sum(w * (w > 0)", 0.0),
    "random": (noisy, [0.5, 2.0], "random", "", "return scaled * random", 0.0),
    "constant": (cut, [0.5, 2.0], "constant", 'params["w"][1]', "max(w.data for w", 0.5),
}  # fmt: skip


@pytest.mark.parametrize(
    ("function", "w", "cause", "parameter", "line", "difference"), WRONG.values(), ids=WRONG.keys()
)
def test_a_wrong_gradient_is_found_with_cause(function, w, cause, parameter, line, difference):
    found = check(function, {"w": np.array(w)}, np.array([1.0, 1.0]))
    assert not found
    assert (found.cause, found.parameter) == (cause, parameter), found.report
    assert found.line.startswith(line_of(line))
    assert found.difference == pytest.approx(difference)
    assert found.line in found.report


JUMPS = {
    "beside a slope": lambda p, x: p["w"][0] + 1.0 * (p["w"][0] > 0),
    "alone": lambda p, x: 3.0 * (p["w"][1] >= p["w"][0]),
    "at another number": lambda p, x: p["w"][1] * x + 0.01 * (p["w"][0] + x < x),
    "among small numbers": lambda p, x: exp(p["w"][1]) * (1.0 + 1e-3 * (p["w"][0] > 0)),
}


@pytest.mark.parametrize("function", JUMPS.values(), ids=JUMPS.keys())
@pytest.mark.parametrize("size", [2, 100])
def test_a_loss_that_jumps_is_at_an_edge(function, size):
    found = check(function, {"w": np.zeros(size)}, np.array([0.5, 1.0]), engine="scalar")
    assert (found.ok, found.cause) == (False, "edge"), found.report
    assert "is at its edge" in found.report
    assert found.line


def test_the_row_and_the_parameter_are_named():
    found = check(greatest, {"w": np.array([0.5, 2.0])}, np.array([0.0, 0.0, 3.0]), engine="scalar")
    assert "row 2 of the batch" in found.report
    found = check(greatest, {"w": np.r_[RNG.uniform(size=300), 2.0, np.zeros(20)]}, np.ones(2), engine="scalar")
    assert (found.cause, found.parameter) == ("largest", 'params["w"][300]')


def test_an_unexplained_parameter_is_found_by_halves():
    kept = []

    def forgotten(params, x):  # one parameter is taken from another call
        kept[:] = [getattr(params["w"][40], "data", params["w"][40])]
        return sum(w * x for w in params["w"]) + kept[0] ** 2

    found = check(forgotten, {"w": np.linspace(0.5, 1.5, 100)}, np.array([1.0]), engine="scalar")
    assert (found.ok, found.parameter) == (False, 'params["w"][40]')


FAILS = {
    "a logarithm": (lambda p, x: log(p["w"] * x) * 2, "log(-1.0) in", FILE, "row 1", '-1.0 is params["w"] * x'),
    "a power": (lambda p, x: (p["w"] * (x + 2)) ** -1, "0.0 ** -1 in", "row 1", '0.0 is params["w"] * (x + 2)'),
    "a derivative": (lambda p, x: (p["w"] * (x + 2)) ** 0.5, "the derivative of 0.0 ** 0.5 in", "row 1"),
    "an overflow": (lambda p, x: p["w"] * x * 1e200 * 1e200, "1e+200 * 1e+200 in", "row 0", "is inf"),
    "its own error": (lambda p, x: p["w"] * [1.0][int(x + 5)], "IndexError", f" of {FILE}"),
    "its own ValueError": (lambda p, x: p["w"] * int("x"), "ValueError: invalid literal", f" of {FILE}"),
    "no scalar": (lambda p, x: [p["w"]], "the loss returned a list: expected a single scalar"),
    "no float": (lambda p, x: str(p["w"]), "the loss returned a str"),
}


@pytest.mark.parametrize(("function", "expected"), [(f, e) for f, *e in FAILS.values()], ids=FAILS.keys())
def test_a_loss_that_fails_is_told(function, expected):
    found = check(function, {"w": np.array(0.5)}, np.array([2.0, -2.0]))
    raises = "the loss r" in expected[0] or "Error" in expected[0]
    assert (found.ok, found.cause) == (False, "raises" if raises else "not finite")
    assert len(found.report.splitlines()) == 1
    for text in expected:
        assert text in found.report
    assert found.line in found.report
    assert found.line.endswith(f" of {FILE}") == (FILE in found.report)


def test_an_operation_of_the_package_names_callers():
    found = check(lambda params, x: cross_entropy(params["w"], 0) * log(x), {"w": np.ones(2)}, np.array([-1.0]))
    assert (found.cause, found.line) == ("not finite", line_of('cross_entropy(params["w"], 0) *'))


def test_a_function_of_value_and_grad_is_checked():
    found = check(value_and_grad(greatest, "scalar"), {"w": np.array([0.5, -1.0, 2.0])}, np.array([1.0, 2.0]))
    assert found.cause == "largest"


# A class of one's own


class Micro:
    """A class of scalars as people write it who follow micrograd."""

    def __init__(self, data, children=()):
        self.data, self.grad, self._prev, self._backward = data, 0.0, set(children), lambda: None

    def lift(self, other):
        return other if isinstance(other, Micro) else type(self)(other)

    def made(self, data, *inputs):
        """A result with its inputs, each with its derivative."""
        out = type(self)(data, [x for x, _ in inputs])

        def _backward():
            for x, derivative in inputs:
                x.grad += derivative * out.grad

        out._backward = _backward
        return out

    def __add__(self, other):
        other = self.lift(other)
        return self.made(self.data + other.data, (self, 1.0), (other, 1.0))

    def __mul__(self, other):
        other = self.lift(other)
        return self.made(self.data * other.data, (self, other.data), (other, self.data))

    def __pow__(self, k):
        return self.made(self.data**k, (self, k * self.data ** (k - 1)))

    def relu(self):
        return self.made(max(0.0, self.data), (self, float(self.data > 0)))

    def exp(self):
        return self.made(exp(self.data), (self, exp(self.data)))

    def log(self):
        return self.made(log(self.data), (self, 1 / self.data))

    def backward(self):
        order, visited = [], set()

        def build(v):
            if v not in visited:
                visited.add(v)
                for child in v._prev:
                    build(child)
                order.append(v)

        build(self)
        self.grad = 1
        for v in reversed(order):
            v._backward()

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + (-other)

    def __truediv__(self, other):
        return self * other**-1

    def __gt__(self, other):
        return self.data > getattr(other, "data", other)

    def __rsub__(self, other):
        return other + (-self)

    def __rtruediv__(self, other):
        return other * self**-1

    __radd__, __rmul__ = __add__, __mul__


def with_methods(params, x, y):
    hidden = [(w * x + 0.1).relu() for w in params["w"]]
    return ((sum(hidden) - y) / 3 + hidden[0].exp()) ** 2


MICRO = {"w": np.array([0.5, -0.7, 1.5])}, np.array([1.0, 2.0, -0.5]), np.array([0.3, 0.2, 0.1])


def by_functions(params, x, y):
    """The same with functions of the class's module, as some write it."""
    return micro_log(micro_exp(params["w"][0] * x) + 1.0) * params["w"][1] * y


def micro_exp(x):
    out = Micro(exp(x.data), (x,))
    out._backward = lambda: setattr(x, "grad", x.grad + out.data * out.grad)
    return out


def micro_log(x):
    out = Micro(log(x.data), (x,))
    out._backward = lambda: setattr(x, "grad", x.grad + out.grad / x.data)
    return out


def test_a_class_of_ones_own_is_checked():
    for function in (with_methods, by_functions):
        found = check(function, *MICRO, value=Micro)
        assert found, found.report
    assert check(GPT, initial_parameters(TINY, 0), TOKENS[:1, :3], np.full((1, 2), 0.5), value=Micro)


def test_a_fault_behind_its_module_is_found(monkeypatch):
    monkeypatch.setitem(globals(), "micro_log", lambda x: Micro(log(x.data)))
    found = check(by_functions, *MICRO, value=Micro)
    assert (found.ok, found.parameter) == (False, 'params["w"][0]')


class WrongRelu(Micro):
    def relu(self):
        return self.made(max(0.0, self.data), (self, 1.0))


class WrongMinus(Micro):
    def __sub__(self, other):
        other = self.lift(other)
        return self.made(self.data - other.data, (self, 1.0), (other, 1.0))


class Overwrites(Micro):
    def made(self, data, *inputs):
        out = super().made(data, *inputs)
        out._backward = lambda: [setattr(x, "grad", derivative * out.grad) for x, derivative in inputs]
        return out


class WrongNumber(Micro):
    def exp(self):
        return self.made(1 + self.data, (self, 1.0))


def minus(params, x, y):
    return params["w"][0] * x + (params["w"][1] - params["w"][2] * y)


def used_twice(params, x, y):
    return params["w"][0] * x + params["w"][0] * params["w"][1]


def only_exp(params, x, y):
    return params["w"][0].exp() + params["w"][1]


def with_constants_of_the_class(params, x, y):
    return sum((w * x for w in params["w"]), WrongRelu(0.25) * 2.0).relu() - y


SLIPS = {
    "relu": (WrongRelu, with_methods, "derivative", "hidden = [(w * x + 0.1).relu()", "the derivative of relu"),
    "constants": (WrongRelu, with_constants_of_the_class, "derivative", "WrongRelu(0.25) * 2.0)", "derivative of relu"),
    "minus": (WrongMinus, minus, "derivative", '(params["w"][1] - ', "the derivative of -"),
    "twice": (Overwrites, used_twice, "backward", "", "backward of Overwrites"),
    "number": (WrongNumber, only_exp, "number", 'return params["w"][0].exp()', "plain numbers"),
}


@pytest.mark.parametrize(("kind", "function", "cause", "line", "text"), SLIPS.values(), ids=SLIPS.keys())
def test_the_slip_in_ones_own_class_is_named(kind, function, cause, line, text):
    found = check(function, *MICRO, value=kind)
    assert (found.ok, found.cause) == (False, cause), found.report
    assert text in found.report
    assert not line or found.line == line_of(line)


# What is wrong with value.py, and between engines


def broken(right, wrong):
    """The class Value with one line of its file changed."""
    module = ModuleType("microgpt_value")
    exec(SOURCE.replace(right, wrong), module.__dict__)
    return module.Value


@pytest.fixture
def check_model_with(monkeypatch):
    """A function that checks a model, as train.py does, where value.py is broken."""

    def checked(kind):
        for module in (gradient_check, model_check):
            monkeypatch.setattr(module, "Value", kind)
        return check_model(GPT, initial_parameters(TINY, 0), [0, 1, 2, 3, 0], "scalar")

    return checked


@pytest.mark.parametrize(("right", "wrong"), BREAKS.values(), ids=BREAKS.keys())
def test_every_broken_value_is_found_and_named(check_model_with, right, wrong):
    kind = broken(right, wrong)
    operation = operation_broken(right)
    named = f"the derivative of {operation} in {{}} is wrong" if operation else "backward of {} is wrong"
    found = check(with_all_five, *MICRO, value=kind)
    assert (found.ok, found.cause) == (False, "derivative" if operation else "backward")
    assert named.format("Value") in found.report
    with pytest.raises(DisagreementError) as caught:
        check_model_with(kind)
    assert str(caught.value).startswith(named.format("value.py"))
    assert "\n" not in str(caught.value)


def test_train_py_refuses_a_broken_value(check_model_with, tmp_path):
    with pytest.raises(DisagreementError):
        check_model_with(broken(*BREAKS["product rule swapped"]))
    refused = call("train.py", "--steps", "1", cwd=tmp_path)
    assert_refused(refused, "error: the derivative of * in value.py is wrong", code=1)
    assert "checked" not in refused.stdout
    assert list(tmp_path.iterdir()) == []


NUMBERS = {
    "power": ("power, derivative = x**k,", "power, derivative = x**k * 1.0001,", "computes -0.7 / 1.5 as"),
    "log": ("Value(log(self.data),", "Value(log(self.data) / 0.7,", "computes log(4.24) as"),
    "minus": ("return self + -self.lift(other)", "return self + self.lift(other)", "computes 0.5 - "),
    "over": ("return self * self.lift(other) ** -1", "return self * self.lift(other)", "computes -0.7 / 1.5 as"),
    "backwards minus": ("return self.lift(other) - self", "return self - self.lift(other)", "computes 2 - "),
    "greater": ("self.data > self.lift(other)", "self.data < self.lift(other)", "computes 0.966667 > 0 as"),
}


BACKWARD = {
    "it begins with two": ("self.grad += 1.0", "self.grad += 2.0", "gets the gradient 2, by the chain rule 1"),
    "it begins with nothing": ("self.grad += 1.0", "pass", "backward of Value is wrong: it passes nothing on"),
    "it ends there": (
        "made_of.grad += derivative * node.grad",
        "pass",
        "backward of Value is wrong: it passes nothing",
    ),
}


@pytest.mark.parametrize(("right", "wrong", "text"), (NUMBERS | BACKWARD).values(), ids=NUMBERS | BACKWARD)
def test_a_wrong_number_or_backward_is_named(right, wrong, text):
    assert SOURCE.count(right) == 1
    found = check(with_all_signs, *MICRO, value=broken(right, wrong))
    cause = "number" if "computes" in text else "backward"
    assert (found.ok, found.cause) == (False, cause)
    assert text in found.report, found.report
    assert "the derivative of" not in found.report


def with_all_signs(params, x, y):
    a, b, c = params["w"]
    h = a * x - b / c
    return (2 - h) * (h > 0) + 3 * h + log(exp(h * 0) * 4.24) * a + 3 / (y + 1.0) + (a + 0.8) ** -1


def test_a_wrong_number_is_found_without_plain_floats():
    point = {"w": np.array([0.3, 0.1, 0.5])}, np.ones(2), np.ones(2)
    kind = type("MinusIsPlus", (Micro,), {"__sub__": lambda self, other: self + other})
    found = check(lambda params, x, y: (params["w"][0] - params["w"][2]).relu(), *point, value=kind)
    assert (found.ok, found.cause) == (False, "number")
    assert "MinusIsPlus computes 0.3 - 0.5 as 0.8, plain numbers as -0.2" in found.report


def operation_broken(right):
    """The operation whose derivative a text of value.py has; None for a line of `backward`."""
    texts = {'"+"': "+", "(other.data, self.data)": "*", "x**k": "**", "1 / self.data": "log", '"exp"': "exp"}
    return next((operation for text, operation in texts.items() if text in right), None)


def with_all_five(params, x, y):
    a, b, c = params["w"]
    hidden = a * x + b
    return log(hidden**2 + 1.0) * exp(c * y) + hidden * hidden


def test_value_as_it_is_has_no_fault():
    assert gradient_check.small_fault(Value) is None
    assert check(with_all_five, *MICRO, value=broken("", ""))


@pytest.fixture
def wrong_engine(monkeypatch):
    """An engine whose gradient of a parameter is multiplied."""

    def made_wrong(name, factor):
        right = Compiled.value_and_grad

        def slightly_wrong(engine, params, *batch):
            value, gradients = right(engine, params, *batch)
            gradients[name] = gradients[name] * factor
            return value, gradients

        monkeypatch.setattr(Compiled, "value_and_grad", slightly_wrong)

    return made_wrong


@pytest.mark.parametrize(("by", "said"), [(1e-3, "the engine compiled is wrong"), (1e-9, "cannot tell which is right")])
def test_engines_that_differ_are_named(wrong_engine, by, said):
    wrong_engine("b1", 1 + by)
    found = check(perceptron, PERCEPTRON, RNG.normal(size=(20, 2)), RNG.integers(0, 2, 20))
    assert (found.ok, found.cause, found.parameter[:12]) == (False, "engine", 'params["b1"]')
    assert said in found.report
    assert found.difference == pytest.approx(by, rel=0.1)


# A model before it is trained


LARGE = GPTConfig(vocab_size=27, n_positions=4, n_embd=64, n_layer=4, n_head=4)


@pytest.mark.parametrize(
    ("config", "tokens", "engine", "said", "operations"),
    [
        (TINY, [0, 1, 2, 3, 0], "compiled", r"to \d+ digits, engines to 1\d", (1_000, 10_000)),
        (TINY, [0, 1, 2, 3, 0], "scalar", r"to \d+ digits", None),
        (GPTConfig(5, 64, 16, 1, 2), [0] + [1, 2, 3, 4] * 15, "compiled", r".*engines to \d+", (30_000, 120_000)),
        (LARGE, [0, 1, 2, 3], "compiled", r"to \d+ digits", (300_000, 600_000)),
    ],
    ids=["compiled", "scalar", "a long sequence is cut", "one position of a large one"],
)  # fmt: skip
def test_a_model_is_checked_in_a_line(config, tokens, engine, said, operations):
    report = check_model(partial(loss, config=config), initial_parameters(config, 0), tokens, engine)
    found = re.fullmatch(r"gradient checked(?: on ([\d,]+) operations)?: slope agrees " + said, report)
    assert found, report
    assert (found[1] is None) == (operations is None)
    assert not operations or operations[0] < int(found[1].replace(",", "")) < operations[1]


@pytest.mark.parametrize(
    ("config", "name", "factor", "said"),
    [
        (TINY, "h.0.ln_1.bias", 1 + 1e-9, r"the engines do not agree in params\[\"h\.0\.ln_1\.bias\"\]"),
        (LARGE, "h.3.mlp.c_fc.weight", 1.01, "differs from the slope"),
    ],
)
def test_a_wrong_engine_trains_no_model(wrong_engine, config, name, factor, said):
    wrong_engine(name, factor)
    with pytest.raises(DisagreementError, match=said):
        check_model(partial(loss, config=config), initial_parameters(config, 0), [0, 1, 2, 3], "compiled")


def test_a_model_that_is_not_finite_diverges():
    parameters = initial_parameters(TINY, 0)
    parameters["wte.weight"][:] = np.inf
    with pytest.raises(DivergenceError, match="numbers are not finite in this model"):
        check_model(GPT, parameters, [0, 1, 2, 3, 0], "compiled")


@pytest.mark.parametrize("seed", range(10))
def test_no_right_model_is_refused(seed):
    rng = np.random.default_rng(seed)
    config = GPTConfig(int(rng.integers(2, 9)), 5, 4, int(rng.integers(1, 6)), 2)
    parameters = {n: a * 10.0 ** rng.uniform(-2, 2) for n, a in random_parameters(config, seed).items()}
    tokens = rng.integers(0, config.vocab_size, 6).tolist()
    assert check_model(partial(loss, config=config), parameters, tokens, "scalar").startswith("gradient checked")
