"""Numbers that carry derivatives of their own go through any function, on all engines, and are PyTorch's."""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers import assert_close, assert_equal_engines, double

from microgpt import evaluate, exp, log, pick, value_and_grad
from microgpt.functions import attention, cross_entropy, dot, gelu, layer_norm, linear, softmax, tanh
from microgpt.gpt import GPTConfig, loss
from microgpt.learning.batches import padded
from microgpt.learning.parameters import initial_parameters

EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

import second_derivatives as example  # noqa: E402
from second_derivatives import Jet  # noqa: E402

RNG = np.random.default_rng(0)
X, DIRECTION = RNG.normal(size=6), RNG.normal(size=6)
FUNCTIONS = {
    "sum, product, quotient": lambda x: x[0] * x[1] - x[2] / (x[3] ** 2 + 1) + 2 * x[4] - 3 / (2 - x[5] * x[5] - 9) - 1,
    "powers": lambda x: sum((x_i * x_i + 1) ** k for x_i, k in zip(x, [0, 1, 2, 3, -1, 0.5], strict=True)),
    "a power at 0": lambda x: (x[0] - x[0]) ** 1 + (x[0] - x[0]) ** 2 + x[1] ** 0,
    "exp and log": lambda x: exp(x[0] * x[1]) + log(1 + exp(x[2])) * log(x[3] * x[3]),
    "a comparison": lambda x: sum(x_i * x_i * (x_i > 0) + x_i * (x_i >= 1) - x_i * (x_i < 0.5) for x_i in x),
    "a choice": lambda x: max(x) * x[0] + min(x[1] * x[2], x[3] * x[3], 0.5 * x[4]) ** 2 + max(x[5] * x[5], 0.001),
    "dot": lambda x: dot(x[:3], x[3:]) ** 2,
    "linear": lambda x: sum(y * y for y in linear(x[:2], [x[2:4], x[3:5]], x[4:])),
    "tanh": lambda x: tanh(x[0] * x[1]),
    "gelu": lambda x: gelu(x[0] * x[1]),
    "softmax": lambda x: softmax(x)[2],
    "layer_norm": lambda x: layer_norm(x[:3], x[3:], x[2:5])[1],
    "attention": lambda x: attention(x[:2], [x[2:4], x[4:]], [x[1:3], x[3:5]])[0],
    "cross_entropy": lambda x: cross_entropy(x, 3),
    "pick": lambda x: pick([x[:3], x[3:]], 1)[2] ** 3,
}


class Tensor:
    """A scalar of PyTorch with the methods that our functions ask for."""

    def __init__(self, tensor):
        self.tensor = tensor

    exp = lambda self: Tensor(self.tensor.exp())  # noqa: E731
    log = lambda self: Tensor(self.tensor.log())  # noqa: E731
    largest = lambda self, items: Tensor(max(item.tensor.detach() for item in items))  # noqa: E731
    __pow__ = lambda self, k: Tensor(self.tensor**k)  # noqa: E731
    __neg__ = lambda self: Tensor(-self.tensor)  # noqa: E731


def tensor_of(x):
    return x.tensor if isinstance(x, Tensor) else x


for name in ("add", "mul", "sub", "truediv", "radd", "rmul", "rsub", "rtruediv"):
    setattr(Tensor, f"__{name}__", lambda a, b, name=f"__{name}__": Tensor(getattr(a.tensor, name)(tensor_of(b))))
for name in ("lt", "le", "gt", "ge"):
    setattr(Tensor, f"__{name}__", lambda a, b, name=f"__{name}__": bool(getattr(a.tensor, name)(tensor_of(b))))


def pytorch_along(function, x, direction):
    """The value and two derivatives of t -> function(x + t * direction) at 0, by PyTorch."""
    torch = pytest.importorskip("torch")
    t = double(0.0)
    value = function([Tensor(x_i + t * d) for x_i, d in zip(x, direction, strict=True)]).tensor
    (first,) = torch.autograd.grad(value, t, create_graph=True)
    second = torch.autograd.grad(first, t)[0] if first.requires_grad else torch.tensor(0.0)
    return [float(number) for number in (value, first, second)]


def along(function, params, x, direction):
    result = function([Jet(x_i, d) for x_i, d in zip(x, direction, strict=True)])
    return [result.value, result.first, result.second]


@pytest.mark.parametrize("engine", ["scalar", "compiled", pytest.param("torch", marks=pytest.mark.slow)])
@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_a_jet_has_the_derivatives_of_pytorch(function, engine):
    expected = pytorch_along(function, X.tolist(), DIRECTION.tolist())
    assert_close(evaluate(partial(along, function), engine)({}, X[None], DIRECTION[None])[0], expected)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_second_derivatives_have_gradients_on_all_engines(function):
    params = {"x": X, "direction": DIRECTION}
    assert_equal_engines(lambda p: along(function, {}, p["x"], p["direction"])[2] + 0 * p["x"][0], params)


@pytest.mark.parametrize("engine", ["scalar", "compiled"])
def test_numbers_meet_jets_from_either_side(engine):
    def mixed(params, x):
        y = Jet(params["w"], 1.0)
        z = x * y + x / y - (x - y) + (x < y) * y + (x >= y) * y
        return (z * z).second

    w, x = 1.5, np.array([0.5, 2.0])
    z, slope, curvature = x * w + x / w - x + w + w, x - x / w**2 + 2, 2 * x / w**3
    expected = 2 * slope**2 + 2 * z * curvature
    assert_close(evaluate(mixed, engine)({"w": np.array(w)}, x), expected)
    assert value_and_grad(mixed, engine)({"w": np.array(w)}, x)[0] == pytest.approx(expected.mean())


def test_rows_of_jets_can_be_picked():
    def chosen(params, i):
        table = [[Jet(w, 1.0) for w in row] for row in params["table"]]
        return sum(y**3 for y in pick(table, i)).second

    params = {"table": RNG.normal(size=(4, 3))}
    assert_equal_engines(chosen, params, np.array([2, 0, 3]))
    assert_close(evaluate(chosen)(params, np.array([2, 0])), 6 * params["table"][[2, 0]].sum(1))


def test_the_hessian_product_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    point, direction = RNG.normal(size=4), RNG.normal(size=4)
    params = {"point": point, "direction": direction}
    _, found = value_and_grad(example.slope)(params)
    expected = torch.autograd.functional.hvp(lambda x: example.energy(list(x)), double(point), double(direction))[1]
    assert_close(found["point"], expected)
    gradient = torch.autograd.functional.vjp(lambda x: example.energy(list(x)), double(point))[1]
    assert_close(found["direction"], gradient)
    assert_equal_engines(example.slope, params)


@pytest.mark.slow
def test_the_hessian_product_is_how_gradients_change():
    config = GPTConfig(vocab_size=5, n_positions=4, n_embd=4, n_layer=1, n_head=2)
    of_gpt, batch = partial(loss, config=config), padded([[0, 1, 2, 0], [0, 4, 3, 0]], np.float64)
    point = initial_parameters(config, 0, np.float64)
    direction = {name: RNG.normal(size=array.shape) for name, array in point.items()}

    def slope(params, tokens, weights):
        jets = {name: jets_of(params["point"][name], params["direction"][name]) for name in params["point"]}
        return of_gpt(jets, tokens, weights).first

    _, found = value_and_grad(slope)({"point": point, "direction": direction}, *batch)
    near = [
        value_and_grad(of_gpt)({n: a + h * direction[n] for n, a in point.items()}, *batch)[1] for h in (1e-5, -1e-5)
    ]
    for name, array in found["point"].items():
        assert array == pytest.approx((near[0][name] - near[1][name]) / 2e-5, rel=1e-4, abs=1e-4)


def jets_of(numbers, directions):
    if isinstance(numbers, (list, tuple)):
        return [jets_of(*both) for both in zip(numbers, directions, strict=True)]
    return Jet(numbers, directions)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["scalar", "torch"])
def test_all_engines_take_the_same_steps(engine):
    params, _ = example.solve(3, 0, engine)
    expected, _ = example.solve(3, 0, "compiled")
    for name, array in params.items():
        assert array == pytest.approx(expected[name], rel=1e-9)


@pytest.mark.slow
def test_the_example_solves_its_equation(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["second_derivatives.py"])
    assert example.main() == 0
    said = capsys.readouterr().out
    assert "the Hessian times a vector [-98.0, -1000.0, 400.0]" in said
    assert float(said.split("at most ")[1].split()[0]) < 0.1
