"""The functions of the network, compared with PyTorch's in double precision."""

import math

import numpy as np
import pytest
from helpers import assert_close, assert_like_torch, data_of, to_values

from microgpt.functions import attention, cross_entropy, dot, gelu, layer_norm, linear, softmax, tanh

torch = pytest.importorskip("torch")
functional = torch.nn.functional


def random(*shape, seed=0):
    """Random numbers as nested lists."""
    return np.random.default_rng([seed, *shape]).normal(0.0, 1.5, shape).tolist()


NUMBERS = [-1e4, -30.0, -1.3, -1e-5, 0.0, 1e-5, 0.4, 1.0, 30.0, 1e4]


def torch_attention(query, keys, values):
    return functional.scaled_dot_product_attention(query[None], keys, values)[0]


# Values and gradients are PyTorch's


@pytest.mark.parametrize("n", [1, 5])
def test_dot_agrees_with_pytorch(n):
    assert_like_torch(dot, torch.dot, random(n), random(n, seed=1))


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 4), (4, 1), (3, 5)])
def test_linear_agrees_with_pytorch(n, m):
    assert_like_torch(linear, lambda x, w, b: functional.linear(x, w.T, b), random(n), random(n, m), random(m, seed=1))


@pytest.mark.parametrize("x", NUMBERS)
def test_tanh_agrees_with_pytorch(x):
    assert_like_torch(tanh, torch.tanh, x)


@pytest.mark.parametrize("x", NUMBERS)
def test_gelu_agrees_with_pytorch(x):
    assert_like_torch(gelu, lambda t: functional.gelu(t, approximate="tanh"), x)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_softmax_agrees_with_pytorch(n):
    assert_like_torch(softmax, lambda t: functional.softmax(t, dim=0), random(n))


@pytest.mark.parametrize("n", [1, 2, 7])
def test_layer_norm_agrees_with_pytorch(n):
    def theirs(x, gain, bias):
        return functional.layer_norm(x, (n,), gain, bias, eps=1e-5)

    assert_like_torch(layer_norm, theirs, random(n), random(n, seed=1), random(n, seed=2))


@pytest.mark.parametrize(("t", "d"), [(1, 1), (1, 3), (4, 1), (4, 3)])
def test_attention_agrees_with_pytorch(t, d):
    assert_like_torch(attention, torch_attention, random(d), random(t, d), random(t, d, seed=1))


@pytest.mark.parametrize(("n", "target"), [(1, 0), (2, 1), (7, 0), (7, 6)])
def test_cross_entropy_agrees_with_pytorch(n, target):
    assert_like_torch(
        lambda x: cross_entropy(x, target), lambda t: functional.cross_entropy(t, torch.tensor(target)), random(n)
    )


# Far from zero


EXTREMES = [[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, -1e4]]


@pytest.mark.parametrize("logits", EXTREMES)
def test_softmax_of_extreme_numbers_agrees_with_pytorch(logits):
    assert_like_torch(softmax, lambda t: functional.softmax(t, dim=0), logits)


@pytest.mark.parametrize("target", [0, 1, 2])
@pytest.mark.parametrize("logits", EXTREMES)
def test_cross_entropy_of_extreme_numbers_agrees_with_pytorch(logits, target):
    assert_like_torch(
        lambda x: cross_entropy(x, target), lambda t: functional.cross_entropy(t, torch.tensor(target)), logits
    )


def test_an_impossible_target_has_a_finite_loss():
    assert cross_entropy([1e4, -1e4], 1) == 2e4


def test_layer_norm_of_equal_numbers_is_the_bias():
    assert layer_norm([1e4, 1e4], [3.0, 3.0], [0.5, -0.5]) == [0.5, -0.5]


def test_attention_with_extreme_scores_reads_the_best_key():
    assert attention([1e2], [[1e2], [-1e2]], [[7.0], [8.0]]) == [7.0]


def test_probabilities_sum_to_one():
    assert sum(softmax(random(50))) == pytest.approx(1.0, abs=1e-14)


# Shapes that do not fit


def test_dot_refuses_vectors_of_different_lengths():
    with pytest.raises(ValueError, match="zip"):
        dot(random(2), random(3))


@pytest.mark.parametrize(("x", "weight", "bias"), [(2, (3, 4), 4), (3, (3, 4), 3), (4, (3, 4), 4)])
def test_linear_refuses_shapes_that_do_not_fit(x, weight, bias):
    with pytest.raises(ValueError, match="zip"):
        linear(random(x), random(*weight), random(bias))


def test_linear_refuses_a_ragged_weight():
    with pytest.raises(ValueError, match="zip"):
        linear(random(2), [[1.0, 2.0], [1.0]], random(2))


@pytest.mark.parametrize(("gain", "bias"), [(2, 3), (3, 2), (4, 3)])
def test_layer_norm_refuses_shapes_that_do_not_fit(gain, bias):
    with pytest.raises(ValueError, match="zip"):
        layer_norm(random(3), random(gain), random(bias))


@pytest.mark.parametrize(("query", "keys", "values"), [(2, (4, 3), (4, 3)), (3, (4, 3), (5, 3)), (3, (4, 3), (3, 3))])
def test_attention_refuses_shapes_that_do_not_fit(query, keys, values):
    with pytest.raises(ValueError, match="zip"):
        attention(random(query), random(*keys), random(*values))


@pytest.mark.parametrize("target", [-1, 3])
def test_cross_entropy_refuses_what_is_no_index(target):
    with pytest.raises(IndexError, match=f"{target}"):
        cross_entropy(random(3), target)


# Floats and Values


CALLS = {
    "dot": (dot, [random(3), random(3, seed=1)]),
    "linear": (linear, [random(3), random(3, 2), random(2)]),
    "tanh": (tanh, [0.7]),
    "gelu": (gelu, [0.7]),
    "softmax": (softmax, [random(3)]),
    "layer_norm": (layer_norm, [random(3), random(3, seed=1), random(3, seed=2)]),
    "attention": (attention, [random(3), random(4, 3), random(4, 3, seed=1)]),
    "cross_entropy": (lambda logits: cross_entropy(logits, 1), [random(3)]),
}


@pytest.mark.parametrize(("function", "inputs"), CALLS.values(), ids=CALLS.keys())
def test_floats_give_the_numbers_that_values_give(function, inputs):
    assert_close(function(*inputs), data_of(function(*map(to_values, inputs))))


@pytest.mark.parametrize(("function", "inputs"), CALLS.values(), ids=CALLS.keys())
def test_functions_leave_their_inputs_as_they_were(function, inputs):
    before = repr(inputs)
    function(*inputs)
    assert repr(inputs) == before


def test_gelu_stops_negative_numbers():
    assert (gelu(1e4), gelu(-1e4)) == (1e4, 0.0)


def test_equal_logits_have_the_loss_of_guessing():
    assert cross_entropy([0.0] * 5, 2) == pytest.approx(math.log(5), rel=1e-15)
