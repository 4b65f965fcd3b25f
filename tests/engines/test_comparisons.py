"""Comparisons are choices: relu, abs, maximum, clipping and gates, with their gradients, in both engines."""

import numpy as np
import pytest

from microgpt.engines.engine import evaluate, value_and_grad
from microgpt.functions import dot
from microgpt.value import exp, pick

torch = pytest.importorskip("torch")


@pytest.fixture(params=["scalar", "compiled"])
def engine(request):
    return request.param


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


def test_functions_with_choices_agree_with_pytorch(engine):
    for ours, theirs in FUNCTIONS.values():
        compare_with_torch(
            lambda p, x, f=ours: sum(f(w * x_i) for w, x_i in zip(p, x, strict=True)),
            lambda p, x, f=theirs: f(p * x).sum(1).mean(),
            W,
            X,
            engine,
        )


def test_at_the_edge_one_side_has_the_gradient(engine):
    loss, gradient = value_and_grad(lambda p: relu(p[0]) + relu(p[1]) * p[2], engine)(np.zeros(3))
    assert (loss, gradient.tolist()) == (0.0, [0.0, 0.0, 0.0])
    _, gradient = value_and_grad(lambda p: p[0] * (p[0] >= 0), engine)(np.zeros(1))
    assert gradient.tolist() == [1.0]
    _, gradient = value_and_grad(lambda p: maximum(p[0], p[1]), engine)(np.ones(2))
    assert gradient.sum() == 1.0


def test_a_comparison_has_no_gradient(engine):
    loss, gradient = value_and_grad(lambda p, x: 3.0 * (p[0] > x) + p[1] * (p[0] < x), engine)(W, np.array([0.5, 1.0]))
    assert loss == pytest.approx((3.0 - 1.3) / 2, rel=1e-15)
    np.testing.assert_allclose(gradient, [0.0, 0.5, 0.0], atol=1e-15)


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


def test_comparisons_can_be_counted(engine):
    loss, gradient = value_and_grad(lambda p, x: sum(x_i > 0 for x_i in x) * p, engine)(np.array(2.0), X)
    assert loss == pytest.approx(2.0 * (2 + 1 + 2) / 3, rel=1e-15)
    assert gradient == pytest.approx((2 + 1 + 2) / 3, rel=1e-15)


def test_a_comparison_with_nan_chooses_nothing(engine):
    found = evaluate(lambda p, x: [1.0 * (x > p), 1.0 * (x <= p)], engine)(np.array(0.0), np.array([np.nan, 1.0]))
    assert found.tolist() == [[0.0, 0.0], [1.0, 0.0]]


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
