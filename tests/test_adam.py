"""Adam takes the steps that PyTorch's Adam takes, and its learning rate goes up, then down."""

import numpy as np
import pytest
from helpers import assert_close

from microgpt.adam import adam, scheduled_learning_rate

torch = pytest.importorskip("torch")


def gradients(steps=20, n=6):
    """Gradients of very different sizes, and some that are 0."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(steps, n)) * np.array([1e-9, 1e-3, 1.0, 1e3, 1.0, 0.0])


def start(n=6):
    return np.linspace(-2.0, 2.0, n)


@pytest.mark.parametrize(
    ("optimizer", "weight_decay"), [(torch.optim.Adam, 0.0), (torch.optim.AdamW, 0.0), (torch.optim.AdamW, 0.1)]
)
def test_every_step_is_that_of_pytorch(optimizer, weight_decay):
    theirs = torch.tensor(start(), requires_grad=True)
    step_of_theirs = optimizer([theirs], lr=0.01, weight_decay=weight_decay)
    ours, m, v = start(), np.zeros(6), np.zeros(6)
    for step, gradient in enumerate(gradients(), 1):
        theirs.grad = torch.tensor(gradient)
        step_of_theirs.step()
        ours, m, v = adam(ours, gradient, m, v, step, 0.01, weight_decay=weight_decay)
        assert_close(ours, theirs.detach())


def test_betas_and_epsilon_are_those_of_pytorch():
    theirs = torch.tensor(start(), requires_grad=True)
    step_of_theirs = torch.optim.Adam([theirs], lr=0.1, betas=(0.5, 0.7), eps=1e-2)
    ours, m, v = start(), np.zeros(6), np.zeros(6)
    for step, gradient in enumerate(gradients(), 1):
        theirs.grad = torch.tensor(gradient)
        step_of_theirs.step()
        ours, m, v = adam(ours, gradient, m, v, step, 0.1, 0.5, 0.7, 1e-2)
    assert_close(ours, theirs.detach())


def test_an_array_moves_as_its_floats():
    array, ms, vs = start(), np.zeros(6), np.zeros(6)
    floats = [(x, 0.0, 0.0) for x in start().tolist()]
    for step, gradient in enumerate(gradients(), 1):
        array, ms, vs = adam(array, gradient, ms, vs, step, 0.01, weight_decay=0.1)
        floats = [
            adam(x, g, m, v, step, 0.01, weight_decay=0.1)
            for (x, m, v), g in zip(floats, gradient.tolist(), strict=True)
        ]
    assert array == pytest.approx(np.array([x for x, _, _ in floats]), rel=1e-13)


def test_a_step_leaves_its_arguments_as_they_were():
    parameter, gradient, m, v = (np.ones(2) for _ in range(4))
    adam(parameter, gradient, m, v, 1, 0.1, weight_decay=0.1)
    assert all((array == 1).all() for array in (parameter, gradient, m, v))


def test_the_first_step_has_the_learning_rate():
    for gradient in (1e-3, 1.0, 1e6):
        moved, _, _ = adam(1.0, gradient, 0.0, 0.0, 1, 0.01)
        assert moved == pytest.approx(1.0 - 0.01, rel=1e-5)


def test_weight_decay_pulls_towards_zero_without_a_gradient():
    assert adam(2.0, 0.0, 0.0, 0.0, 1, 0.1, weight_decay=0.5)[0] == pytest.approx(2.0 * (1 - 0.1 * 0.5), rel=1e-15)


# The schedule


def rates(steps, warmup, peak=0.5):
    return [scheduled_learning_rate(step, steps, warmup, peak) for step in range(1, steps + 1)]


def test_the_rate_rises_in_a_straight_line():
    assert rates(100, warmup=10)[:10] == pytest.approx([0.05 * i for i in range(1, 11)], rel=1e-15)


def test_the_rate_falls_in_a_straight_line():
    assert rates(14, warmup=10)[9:] == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.1], rel=1e-15)


@pytest.mark.parametrize(("steps", "warmup"), [(1, 1), (5, 5), (300, 20), (300, 1)])
def test_the_peak_is_reached_after_the_warmup(steps, warmup):
    assert rates(steps, warmup)[warmup - 1] == max(rates(steps, warmup)) == 0.5


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (1, 1), (1, 5), (2, 2), (300, 0), (300, 20), (5, 6), (5, 100)])
def test_rates_lie_between_zero_and_the_peak(steps, warmup):
    assert all(0 < rate <= 0.5 for rate in rates(steps, warmup))


def test_without_a_warmup_the_rate_only_falls():
    assert rates(4, warmup=0) == pytest.approx([0.4, 0.3, 0.2, 0.1], rel=1e-15)


def test_a_warmup_longer_than_the_training_only_rises():
    assert rates(4, warmup=10) == pytest.approx([0.05, 0.1, 0.15, 0.2], rel=1e-15)


def test_another_adam_is_compiled_as_it_stands():
    from microgpt.engines.compiled.adam import CompiledAdam

    def other_adam(parameter, gradient, m, v, step, learning_rate, beta1=0.5, weight_decay=0.0):
        m = beta1 * m + gradient
        return parameter - learning_rate * (m + weight_decay * parameter), m, v

    x, m = np.ones(3), np.ones(3)
    CompiledAdam(other_adam)(x, np.full(3, 2.0), m, np.zeros(3), 1, 0.1, np.zeros(3))
    assert m == pytest.approx(2.5)  # 0.5 * 1 + 2: the default of the function, not a number of the compiler
    assert x == pytest.approx(0.75)
