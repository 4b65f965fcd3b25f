"""Comparisons are choices: relu, abs, maximum, clipping and gates, with their gradients, in both engines."""

import numpy as np
import pytest

from microgpt.engines.engine import evaluate, value_and_grad
from microgpt.functions import cross_entropy, dot, linear
from microgpt.value import exp, pick

torch = pytest.importorskip("torch")

ENGINES = ["scalar", "compiled"]
both_engines = pytest.mark.parametrize("engine", ENGINES)

W = np.array([0.7, -1.3, 0.4])
X = np.array([[0.5, -1.5, 2.0], [-0.25, 0.75, -3.0], [1.0, 1.25, -0.5]])


def relu(x):
    return x * (x > 0)


def absolute(x):
    return x * (x > 0) - x * (x < 0)


def maximum(a, b):
    return a * (a > b) + b * (a <= b)


def clip(x, low, high):
    return x * (x >= low) * (x <= high) + low * (x < low) + high * (x > high)


FUNCTIONS = {
    "relu": (relu, torch.relu),
    "relu with the number on the left": (lambda y: (0 < y) * y, torch.relu),
    "relu with >=": (lambda y: y * (y >= 0), torch.relu),
    "leaky relu": (lambda y: maximum(y, 0.1 * y), lambda t: torch.nn.functional.leaky_relu(t, 0.1)),
    "abs": (absolute, torch.abs),
    "maximum with a number": (lambda y: maximum(y, 0.5), lambda t: t.clamp(min=0.5)),
    "minimum with a number": (lambda y: -maximum(-y, 0.5), lambda t: t.clamp(max=-0.5)),
    "clipping": (lambda y: clip(y, -1, 0.75), lambda t: t.clamp(-1, 0.75)),
    "a hard gate": (lambda y: exp(y) * (y > 0.3), lambda t: t.exp() * (t > 0.3)),
    "the other way": (lambda y: y * y * (1 - (y > 0)), lambda t: t * t * (t <= 0)),
    "hard sigmoid": (lambda y: clip(y / 6 + 0.5, 0, 1), torch.nn.functional.hardsigmoid),
    "huber": (
        lambda y: 0.5 * y * y * (absolute(y) <= 1) + (absolute(y) - 0.5) * (absolute(y) > 1),
        lambda t: torch.nn.functional.huber_loss(t, torch.zeros_like(t), reduction="none"),
    ),
}


def compare_with_torch(ours, theirs, params, x, engine):
    """The mean loss and its gradient are those of PyTorch in double precision."""
    tensor = torch.tensor(params, requires_grad=True)
    expected = theirs(tensor, torch.tensor(x))
    expected.backward()
    loss, gradient = value_and_grad(ours, engine)(params, x)
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(gradient, tensor.grad, atol=1e-12)


@both_engines
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_with_choices_agree_with_pytorch(name, engine):
    ours, theirs = FUNCTIONS[name]
    compare_with_torch(
        lambda p, x: sum(ours(w * x_i) for w, x_i in zip(p, x, strict=True)),
        lambda p, x: theirs(p * x).sum(1).mean(),
        W,
        X,
        engine,
    )


@both_engines
def test_the_maximum_of_two_agrees_with_pytorch(engine):
    compare_with_torch(
        lambda p, x: maximum(p[0] * x[0], p[1] * x[1]) * maximum(p[2], x[2]),
        lambda p, x: (torch.maximum(p[0] * x[:, 0], p[1] * x[:, 1]) * torch.maximum(p[2], x[:, 2])).mean(),
        W,
        X,
        engine,
    )


@both_engines
def test_the_gradient_at_the_edge_is_that_of_the_side_that_was_chosen(engine):
    loss, gradient = value_and_grad(lambda p: relu(p[0]) + relu(p[1]) * p[2], engine)(np.zeros(3))
    assert (loss, gradient.tolist()) == (0.0, [0.0, 0.0, 0.0])
    _, gradient = value_and_grad(lambda p: p[0] * (p[0] >= 0), engine)(np.zeros(1))
    assert gradient.tolist() == [1.0]
    _, gradient = value_and_grad(lambda p: maximum(p[0], p[1]), engine)(np.ones(2))
    assert gradient.sum() == 1.0


@both_engines
def test_a_comparison_has_no_gradient(engine):
    loss, gradient = value_and_grad(lambda p, x: 3.0 * (p[0] > x) + p[1] * (p[0] < x), engine)(W, np.array([0.5, 1.0]))
    assert loss == pytest.approx((3.0 - 1.3) / 2, rel=1e-15)
    np.testing.assert_allclose(gradient, [0.0, 0.5, 0.0], atol=1e-15)


@both_engines
def test_comparisons_of_all_four_kinds(engine):
    found = evaluate(lambda p, x: [x > p, x >= p, x < p, x <= p, p > x, 0.5 >= x, 1 < x, x <= 1], engine)(
        np.array(0.5), np.array([0.25, 0.5, 1.0, 2.0])
    )
    assert np.asarray(found, float).tolist() == [
        [0, 0, 1, 1, 1, 1, 0, 1],
        [0, 1, 0, 1, 0, 1, 0, 1],
        [1, 1, 0, 0, 0, 0, 0, 1],
        [1, 1, 0, 0, 0, 0, 1, 0],
    ]


@both_engines
def test_comparisons_can_be_counted(engine):
    loss, gradient = value_and_grad(lambda p, x: sum(x_i > 0 for x_i in x) * p, engine)(np.array(2.0), X)
    assert loss == pytest.approx(2.0 * (2 + 1 + 2) / 3, rel=1e-15)
    assert gradient == pytest.approx((2 + 1 + 2) / 3, rel=1e-15)


@both_engines
def test_a_comparison_with_what_is_not_a_number_chooses_nothing(engine):
    found = evaluate(lambda p, x: [1.0 * (x > p), 1.0 * (x <= p)], engine)(np.array(0.0), np.array([np.nan, 1.0]))
    assert found.tolist() == [[0.0, 0.0], [1.0, 0.0]]


@both_engines
def test_a_network_of_relus_agrees_with_pytorch(engine):
    rng = np.random.default_rng(0)
    params = {"w1": rng.normal(size=(3, 8)), "b1": rng.normal(size=8), "w2": rng.normal(size=(8, 3)), "b2": np.zeros(3)}
    targets = np.array([2, 0, 1])

    def loss(p, x, target):
        hidden = [relu(h) for h in linear(x, p["w1"], p["b1"])]
        return cross_entropy(linear(hidden, p["w2"], p["b2"]), target)

    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in params.items()}
    hidden = torch.relu(torch.tensor(X) @ tensors["w1"] + tensors["b1"])
    logits = hidden @ tensors["w2"] + tensors["b2"]
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor(targets))
    expected.backward()
    found, gradients = value_and_grad(loss, engine)(params, X, targets)
    assert found == pytest.approx(expected.item(), rel=1e-12)
    for name, tensor in tensors.items():
        np.testing.assert_allclose(gradients[name], tensor.grad, atol=1e-12)


@both_engines
def test_choices_and_picks_work_together(engine):
    def loss(p, x, i):
        gated = [w * (x_j > w) for w, x_j in zip(p, x, strict=True)]
        return pick(gated, i) + dot(gated, x)

    def theirs(p, x):
        gated = p * (x > p)
        return (gated.gather(1, torch.tensor([[2], [0], [1]]))[:, 0] + (gated * x).sum(1)).mean()

    tensor = torch.tensor(W, requires_grad=True)
    expected = theirs(tensor, torch.tensor(X))
    expected.backward()
    found, gradient = value_and_grad(loss, engine)(W, X, np.array([2, 0, 1]))
    assert found == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(gradient, tensor.grad, atol=1e-12)
