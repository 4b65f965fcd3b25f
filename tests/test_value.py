"""The five operations and their gradients, compared with PyTorch in double precision."""

import math
import operator
import re
import sys
from fractions import Fraction
from functools import partial
from itertools import permutations

import numpy as np
import pytest
from helpers import assert_close, assert_like_torch, data_of, double, gradients_of, to_values
from hypothesis import given
from hypothesis import strategies as st

from microgpt.value import Value, exp, largest, log, pick

torch = pytest.importorskip("torch")

# A value


def test_a_value_shows_number_gradient_and_operation():
    v = Value(3)
    assert (v.data, v.grad, type(v.data)) == (3.0, 0.0, float)
    assert repr(v) == "Value(data=3.0, grad=0.0)"
    assert repr(v.log()) == f"Value(data={math.log(3.0)}, grad=0.0, operation='log')"


# Every operation gives the value and the gradients that PyTorch gives


def test_operations_on_two_values_agree_with_pytorch():
    for operation in (operator.add, operator.mul, operator.sub, operator.truediv):
        for x, y in [(2.0, 3.0), (-1.5, 0.25), (0.0, 7.0), (1e-3, -1e3)]:
            assert_like_torch(operation, operation, x, y)


def test_powers_agree_with_pytorch():
    for x, exponents in {0.1: POWERS, 1.0: POWERS, 2.5: POWERS, -2.5: WHOLE_POWERS}.items():
        for k in exponents:
            assert_like_torch(lambda v, k=k: v**k, lambda t, k=k: t**k, x)


WHOLE_POWERS = [-2, -1, 0, 1, 2, 3]
POWERS = [*WHOLE_POWERS, -0.5, 0.5, 1.7]


def test_log_exp_and_minus_agree_with_pytorch():
    for x in [1e-6, 0.5, 1.0, 2.5, 1e6]:
        assert_like_torch(log, torch.log, x)
    for x in [-700.0, -1.0, 0.0, 2.5, 700.0]:
        assert_like_torch(exp, torch.exp, x)
        assert_like_torch(operator.neg, operator.neg, x)


# Plain numbers on either side

NUMBERS = [2, 2.0, True, Fraction(1, 2), np.float32(0.5), np.float64(0.5), np.int64(2), np.uint8(2)]
ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv]
each_number = pytest.mark.parametrize("number", NUMBERS, ids=lambda number: type(number).__name__)


@each_number
def test_a_plain_number_may_stand_anywhere(number):
    for operation in ARITHMETIC:
        right, left = operation(Value(3.0), number), operation(number, Value(3.0))
        assert type(right) is type(left) is Value
        assert right.data == pytest.approx(operation(3.0, float(number)), rel=1e-15)
        assert left.data == pytest.approx(operation(float(number), 3.0), rel=1e-15)
    assert (Value(3.0) ** number).data == 3.0 ** float(number)
    assert Value(number).data == float(number)
    assert type(Value(number).data) is float


def test_the_gradient_flows_past_plain_numbers():
    for operation in ARITHMETIC:

        def both(x, operation=operation):
            return operation(2, x) + operation(x, 2)

        assert_like_torch(both, both, 3.0)


# Anything else is a TypeError that names what it found

COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge]
STRANGERS = ["a", None, 1j, [1.0], np.array([1.0]), torch.tensor([1.0])]


@pytest.mark.parametrize("stranger", STRANGERS, ids=lambda stranger: type(stranger).__name__)
def test_other_types_are_refused(stranger):
    for operation in [*ARITHMETIC, operator.pow, *COMPARISONS]:
        with pytest.raises(TypeError, match=type(stranger).__name__):
            operation(Value(2.0), stranger)
        if operation not in COMPARISONS:  # an array on the left compares item by item
            with pytest.raises(TypeError, match=type(stranger).__name__):
                operation(stranger, Value(2.0))
    with pytest.raises(TypeError, match=type(stranger).__name__):
        Value(stranger)


@pytest.mark.parametrize("base", [2.0, Value(2.0)])
def test_an_exponent_cannot_be_a_value(base):
    with pytest.raises(TypeError, match=r"exponent .* not a Value: write exp\(y \* log\(x\)\)"):
        base ** Value(3.0)


# Comparisons are choices


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_comparisons_are_those_of_the_numbers(comparison):
    for x, y in [(1.0, 2.0), (2.0, 2.0), (3.0, -2.0), (0.0, -0.0), (math.nan, 1.0), (1.0, math.inf)]:
        found = [comparison(a, b) for a, b in [(Value(x), Value(y)), (Value(x), y), (x, Value(y))]]
        assert found == [comparison(x, y)] * 3
        assert {type(result) for result in found} == {bool}


@each_number
def test_every_plain_number_can_be_compared_with(number):
    assert Value(3.0) > number
    assert number < Value(3.0)
    assert not Value(-3.0) >= number
    assert not number <= Value(-3.0)


def test_equality_is_identity():
    a, b = Value(2.0), Value(2.0)
    assert a != b
    assert a in [b, a]
    assert len({a, b, a}) == 2


CHOICES = {
    "relu": (lambda v: v * (v > 0), torch.relu),
    "leaky relu": (lambda v: v * (0.1 + 0.9 * (v > 0)), lambda t: torch.nn.functional.leaky_relu(t, 0.1)),
    "abs": (lambda v: v * (v > 0) - v * (v < 0), torch.abs),
    "clipping": (lambda v: v * (v > -1) * (v < 2) - 1 * (v <= -1) + 2 * (v >= 2), lambda t: t.clamp(-1, 2)),
    "a hard gate": (lambda v: v.exp() * (v >= 0.5), lambda t: t.exp() * (t >= 0.5)),
    "relu squared, of a product": (lambda v: (v * v * (v * v > v)) ** 2, lambda t: (t * t * (t * t > t)) ** 2),
}


@pytest.mark.parametrize("name", CHOICES)
def test_functions_with_choices_agree_with_pytorch(name):
    for x in [-3.0, -0.5, 0.0, 0.7, 2.5]:
        assert_like_torch(*CHOICES[name], x)


def test_the_maximum_of_two_agrees_with_pytorch():
    for x, y in [(2.0, 3.0), (3.0, -2.0), (-1.0, -2.0)]:
        assert_like_torch(lambda a, b: a * (a > b) + b * (b >= a), torch.maximum, x, y)
        assert_like_torch(lambda a, b: a if a > b else b, torch.maximum, x, y)
        assert_like_torch(max, torch.maximum, x, y)


# Backward


def test_every_value_in_between_has_its_gradient():
    a, b = Value(2.0), Value(5.0)
    product = a * b
    (product**2).backward()
    assert product.grad == 2 * 10.0


def test_a_value_without_influence_has_no_gradient():
    a, b = Value(2.0), Value(5.0)
    a.exp().backward()
    assert b.grad == 0.0


def test_backward_accumulates_in_leaves_as_pytorch_does():
    def result(a, b):
        return (a * b + a) * (a * b)

    ours, theirs = to_values([2.0, 3.0]), [double(2.0), double(3.0)]
    our_result, their_result = result(*ours), result(*theirs)
    for _ in range(3):
        our_result.backward()
        their_result.backward(retain_graph=True)
        assert_close(gradients_of(ours), [t.grad for t in theirs])


def test_backward_again_starts_afresh_in_between():
    a = Value(2.0)
    square = a * a
    cube = square * a
    for _ in range(3):
        cube.backward()
        assert (cube.grad, square.grad) == (1.0, 2.0)


def test_backward_accumulates_in_a_result_without_inputs():
    ours, theirs = Value(2.0), double(2.0)
    for _ in range(2):
        ours.backward()
        theirs.backward()
    assert ours.grad == theirs.grad.item() == 2.0


def test_two_results_add_to_a_shared_gradient():
    a = Value(2.0)
    (a * 3).backward()
    (a * 5).backward()
    assert a.grad == 8.0


@pytest.mark.slow
def test_many_operations_are_differentiated_and_freed():
    before = sys.getallocatedblocks()
    x = Value(1.0)
    y = x
    for _ in range(200_000):
        y = y + x
    y.backward()
    assert x.grad == 200_001
    del y
    assert sys.getallocatedblocks() < before + 10_000


def test_the_order_of_construction_does_not_matter():
    makers = [lambda a, b: a * b, lambda a, b: (a + b).exp(), lambda a, b: (b * a).log(), lambda a, b: a * a]

    def diamond(a, b, order):
        parts = {i: makers[i](a, b) for i in order}
        joined = parts[0] * parts[1] + parts[0] * parts[2] + parts[3] * parts[1]
        return joined * parts[0] + joined

    for order in permutations(range(4)):
        ordered = partial(diamond, order=order)
        assert_like_torch(ordered, ordered, 0.7, 1.3)


OPERATIONS = {
    "+": lambda x, y, k: x + y,
    "*": lambda x, y, k: x * y,
    "**": lambda x, y, k: x**k,
    "log": lambda x, y, k: x.log(),
    "exp": lambda x, y, k: x.exp(),
}


def fits(operation, x, y):
    """Whether the operation keeps clear of overflow and of the edge of its domain."""
    return {
        "+": abs(x) < 1e3 and abs(y) < 1e3,
        "*": abs(x) < 30 and abs(y) < 30,
        "**": 0.1 < x < 10,
        "log": 0.1 < x < 1e3,
        "exp": abs(x) < 5,
    }[operation]


@given(
    leaves=st.lists(st.floats(0.5, 2.0), min_size=1, max_size=4),
    steps=st.lists(
        st.tuples(
            st.sampled_from(list(OPERATIONS)),
            st.integers(0, 1000),
            st.integers(0, 1000),
            st.sampled_from([-2, -1, -0.5, 0, 0.5, 1, 2, 3]),
        ),
        min_size=1,
        max_size=25,
    ),
)
def test_any_graph_of_operations_agrees_with_pytorch(leaves, steps):
    ours, theirs = to_values(leaves), [double(x) for x in leaves]
    our_nodes, their_nodes = list(ours), list(theirs)
    for operation, first, second, k in steps:
        i, j = first % len(our_nodes), second % len(our_nodes)
        if fits(operation, our_nodes[i].data, our_nodes[j].data):
            our_nodes.append(OPERATIONS[operation](our_nodes[i], our_nodes[j], k))
            their_nodes.append(OPERATIONS[operation](their_nodes[i], their_nodes[j], k))
    our_result, their_result = sum(our_nodes), sum(their_nodes)
    assert_close(data_of(our_nodes), [t.item() for t in their_nodes])
    our_result.backward()
    their_result.backward()
    assert_close(gradients_of(ours), [t.grad for t in theirs])


# Where numbers get too large: exp stays finite


def test_exp_stays_at_the_largest_float():
    for x in [709.79, 1e4, sys.float_info.max, math.inf]:
        assert exp(x) == exp(Value(x)).data == sys.float_info.max
    assert exp(709.782712893384) == exp(Value(709.782712893384)).data == math.exp(709.782712893384)
    assert exp(-1e4) == exp(Value(-1e4)).data == exp(-math.inf) == 0.0
    assert math.isnan(exp(math.nan))
    assert math.isnan(exp(Value(math.nan)).data)


@pytest.mark.parametrize("x", [1e4, -1e4])
def test_the_gradient_of_a_saturated_sigmoid_is_zero(x):
    v = Value(x)
    ((exp(v) + 1) ** -1).backward()
    assert v.grad == 0.0


# Where there is no finite real number: a ValueError that shows the numbers


@pytest.mark.parametrize("x", [0.0, -1.0, math.nan])
def test_a_logarithm_needs_a_positive_number(x):
    for argument in (x, Value(x)):
        with pytest.raises(ValueError, match=rf"log\({x}\): a logarithm needs a positive number"):
            log(argument)


def test_a_power_needs_finite_value_and_derivative():
    for x, exponent in [(0.0, -1), (-8.0, 0.5), (1e200, 2), (1e-200, -2), (0.0, 0.5), (math.inf, 2), (math.nan, 2)]:
        with pytest.raises(ValueError, match=re.escape(f"{x} ** {float(exponent)}")):
            Value(x) ** exponent


@pytest.mark.parametrize(("numerator", "zero"), [(1.0, Value(0.0)), (Value(1.0), Value(0.0)), (Value(1.0), 0)])
def test_division_by_zero_is_an_error(numerator, zero):
    with pytest.raises(ValueError, match=r"0\.0 \*\* -1\.0"):
        numerator / zero


def test_the_powers_zero_and_one_are_everywhere():
    for x in [0.0, -2.0, 1e300]:
        v = Value(x)
        one = v**0
        one.backward()
        assert (one.data, v.grad) == (1.0, 0.0)
    zero = Value(0.0)
    (zero**1).backward()
    assert zero.grad == 1.0


# The functions also take plain floats


def test_exp_and_log_also_take_floats():
    assert (exp(1.5), log(1.5)) == (math.exp(1.5), math.log(1.5))
    assert type(exp(Value(1.5))) is type(log(Value(1.5))) is Value


# pick and largest


def test_pick_gives_the_very_item():
    items = to_values([1.0, 2.0, 3.0])
    assert pick(items, 2) is items[2]


@pytest.mark.parametrize("index", [-1, 3])
def test_pick_refuses_an_index_out_of_range(index):
    with pytest.raises(IndexError, match=f"{index}.*0 to 2"):
        pick([1.0, 2.0, 3.0], index)


@pytest.mark.parametrize("index", [1.0, np.float32(1), Value(1.0), "1"])
def test_pick_refuses_what_is_no_integer(index):
    with pytest.raises(TypeError, match=f"chooses by an integer, found a {type(index).__name__}: give integers"):
        pick([1.0, 2.0, 3.0], index)
    assert pick([1.0, 2.0, 3.0], np.int32(1)) == 2.0


def test_largest_is_a_plain_number():
    assert largest(to_values([1.0, 3.0, 2.0])) == 3.0
    assert type(largest(to_values([1.0, 3.0, 2.0]))) is float
    assert largest([Value(1.0), 5.0, Value(3.0)]) == largest([1.0, Value(5.0), 3.0]) == 5.0
    for place in range(3):
        numbers = [3.0, 1.0, 2.0]
        numbers[place] = math.nan
        assert math.isnan(largest(numbers))
        assert math.isnan(largest(to_values(numbers)))


def test_no_gradient_flows_through_largest():
    a, b = Value(2.0), Value(3.0)
    (a * largest([a, b]) + b).backward()
    assert (a.grad, b.grad) == (3.0, 1.0)
