"""The compiler records a function, or says in the function's own terms why it cannot."""

import gc
import math
import subprocess
import sys
import warnings
from inspect import currentframe

import numpy as np
import pytest
from helpers import assert_equal_engines

from microgpt.engines.compiled.record import CONSTANT, Record, RecordingError
from microgpt.engines.compiled.recording import record_function
from microgpt.engines.engine import evaluate, value_and_grad
from microgpt.errors import InputError
from microgpt.value import pick

W = np.array([0.5, -1.0, 2.0])
X, I2 = np.array([0.5, -1.5]), np.array([2, 0])
TABLE = [1.0, 2.0, 3.0]


def error_of(function, *arguments, params=W, error=RecordingError):
    """The message of the error that compiling this function raises."""
    with pytest.raises(error) as caught:
        value_and_grad(function)(params, *arguments)
    return str(caught.value)


# What cannot be recorded

NO_VALUE = {
    "x == w": (lambda p, x: x == p[0], ["comparison", "<, <=, > or >="]),
    "sorted": (lambda p, x: sorted([x, p[0]])[0], ["(sorted)", "min(a, b) and max(a, b)"]),
    "max by a key": (lambda p, x: max([x, p[0]], key=lambda y: y * y), ["test for truth", "max, min"]),
    "if x": (lambda p, x: p[0] if x else p[1], ["test for truth", "plain integer"]),
    "x or y": (lambda p, x: x or p[0], ["and, or", "plain integer"]),
    "float(x)": (lambda p, x: float(x), ["float()", "exp and log of microgpt"]),
    "math.exp(w)": (lambda p, x: math.exp(p[0]), ["module math", "exp and log of microgpt"]),
    "int(x)": (lambda p, x: int(x), ["int()", "integer argument"]),
    "range(x)": (lambda p, x: sum(p[0] for _ in range(x)), ["range()", "integer argument"]),
    "an index of a list": (lambda p, x: TABLE[x], ["index", "integer argument"]),
    "an index of parameters": (lambda p, x: p[x], ["index", "integer argument"]),
    "abs(w)": (lambda p, x: abs(p[0] * x), ["abs()", "a Value does not have", "x if x > 0 else -x"]),
    "x ** w": (lambda p, x: x ** p[0], ["exponent", "exp(y * log(x)) for x ** y"]),
    "2 ** x": (lambda p, x: 2**x, ["exponent", "exp(x * log(base))"]),
    "a number of numpy ** x": (lambda p, x: np.float64(2) ** x, ["exponent", "exp(x * log(base))"]),
    "math.sqrt(w)": (lambda p, x: math.sqrt(p[0] * x), ["module math", "x ** 0.5"]),
    "math.floor(x)": (lambda p, x: math.floor(x), ["x > 0.5"]),
    "round(x)": (lambda p, x: round(x), ["round()", "x > 0.5", "integer argument"]),
    "round(x, 2)": (lambda p, x: round(x, 2), ["round()"]),
    "x // 2": (lambda p, x: x // 2, ["//", "x > 0.5"]),
    "7 % x": (lambda p, x: 7 % x, ["%", "x > 0.5"]),
    "1 << x": (lambda p, x: 1 << x, ["<<: 'int' and a recorded scalar at", "+ - * / **"]),
    "float.__add__(x, 1)": (lambda p, x: float.__add__(x, 1.0), ["requires a 'float' object but received a recorded"]),
    "a format": (lambda p, x: f"{x:.2f}", ["'.2f'", "evaluate", 'engine="scalar"']),
    "pick(items, x)": (lambda p, x: pick(p, x), ["pick(items, x)", "integer argument", "a if x > 0 else b"]),
    "np.exp(w)": (lambda p, x: np.exp(p[0]), ["exp of numpy", "exp(x) of microgpt"]),
    "np.sqrt(w)": (lambda p, x: np.sqrt(p[0]), ["sqrt of numpy", "x ** 0.5"]),
    "np.maximum(x, 0)": (lambda p, x: np.maximum(x, 0.0), ["maximum of numpy", "max(a, b)"]),
    "np.sin(x)": (lambda p, x: np.sin(x), ["sin of numpy", "exp, log and comparisons"]),
    "x.relu()": (lambda p, x: x.relu(), [".relu", "x * (x > 0)"]),
    "x.tanh()": (lambda p, x: x.tanh(), [".tanh", "tanh(x) of microgpt.functions"]),
    "x.sin()": (lambda p, x: x.sin(), [".sin", "exp, log and comparisons"]),
    "x.data": (lambda p, x: p[0] * x.data, [".data", "a float has none", "x itself"]),
    "w.grad": (lambda p, x: p[0].grad, [".grad", "derivatives of derivatives"]),
    "x.backward()": (lambda p, x: x.backward(), [".backward", "derivatives of derivatives"]),
}


@pytest.mark.parametrize("name", NO_VALUE)
def test_using_a_value_is_refused_at_its_line(name):
    function, expected = NO_VALUE[name]
    message = error_of(function, X)
    assert f"test_record.py:{function.__code__.co_firstlineno}" in message
    assert all(words in message for words in expected)


def test_hasattr_may_ask_for_what_values_lack():
    assert value_and_grad(lambda p, x: x * 2 if not hasattr(x, "relu") else x.relu())(W, X)[0] == 2 * X.mean()


OF_NUMPY = {
    "arithmetic": lambda p, x: (
        np.float64(2) * x + np.float32(1) - np.float64(3) / (p[2] + np.int64(1)) - (np.float64(1) - x)
    ),
    "comparisons": lambda p, x: (
        (np.float64(0.1) < x) * 2.0 + (np.int64(1) >= x) + (np.float64(0) > x) + (np.float64(3) <= x)
    ),
    "on the right": lambda p, x: (x * np.float64(2) + np.float64(1)) / np.float64(4) - np.float64(2),
}


@pytest.mark.parametrize("name", OF_NUMPY)
def test_numbers_of_numpy_may_stand_on_either_side(name):
    function = OF_NUMPY[name]
    assert value_and_grad(function)(W, X)[0] == pytest.approx(value_and_grad(function, "scalar")(W, X)[0], rel=1e-14)


@pytest.mark.parametrize("function", [lambda p, i: {0: p[0], 2: p[1]}[i], lambda p, i: p[0] if i in {0, 1} else p[1]])
def test_an_integer_of_an_example_is_no_key(function):
    message = error_of(function, I2)
    assert message.startswith("the integer i was used as a key of a dict or set at test_record.py:")
    assert "put the entries into a list to pick from" in message


def test_an_integer_of_an_example_is_no_length():
    message = error_of(lambda p, i: sum([w * 2 for w in p[:i]]), I2)
    assert message.startswith("the integer i was used as a number at test_record.py:")
    assert "go over the longest there may be" in message


def test_picking_texts_is_refused_at_its_line():
    def loss(params, i):
        return pick([params[0], "two", params[1]], i)

    message = error_of(loss, I2)
    assert f"at test_record.py:{loss.__code__.co_firstlineno + 1} " in message
    assert "found a str 'two'" in message


def test_the_line_is_that_of_the_use():
    here = currentframe().f_lineno

    def loss(params, x):
        y = params[0] * x
        while y > 0:
            y = y - 1
        return -y

    assert f"test_record.py:{here + 4}" in error_of(loss, X)


INTEGER_USES = {
    "i + 1": lambda p, i: p[0] * (i + 1),
    "2 * i": lambda p, i: p[0] * (2 * i),
    "i ** 2": lambda p, i: p[0] * i**2,
    "-i": lambda p, i: p[0] * -i,
    "int(i)": lambda p, i: p[int(i)],
    "float(i)": lambda p, i: p[0] * float(i),
    "range(i)": lambda p, i: sum(p[0] for _ in range(i)),
    "i == 2": lambda p, i: p[0] if i == 2 else p[1],
    "i != 2": lambda p, i: p[0] if i != 2 else p[1],
    "i < 2": lambda p, i: p[0] if i < 2 else p[1],
    "if i": lambda p, i: p[0] if i else p[1],
    "an index of a plain list": lambda p, i: p[0] * TABLE[i],
}


@pytest.mark.parametrize("name", INTEGER_USES)
def test_an_integer_of_an_example_can_only_choose(name):
    function = INTEGER_USES[name]
    message = error_of(function, I2)
    assert message.startswith("the integer i was used as a number at ")
    assert f"test_record.py:{function.__code__.co_firstlineno}" in message
    assert "pick(items, index)" in message
    assert "pass it as a float" in message


MIXED = {
    "x * i": lambda p, i: p[0] * i,
    "i * x": lambda p, i: i * p[0],
    "x + i": lambda p, i: p[0] + i,
    "x - i": lambda p, i: p[0] - i,
    "x / i": lambda p, i: p[0] / i,
    "x ** i": lambda p, i: p[0] ** i,
}


@pytest.mark.parametrize("name", MIXED)
def test_a_scalar_plus_an_integer_is_refused(name):
    message = error_of(MIXED[name], I2, error=TypeError)
    assert "the integer i" in message


def test_an_integer_is_named_with_its_place():
    message = error_of(lambda p, tokens: p[0] * (tokens[1][0] + 1), np.zeros((2, 3, 2), int))
    assert message.startswith("the integer tokens[1][0] was used")


def test_an_exponent_is_a_plain_number():
    assert "exponent" in error_of(lambda p, x: p[0] ** x, X)


def test_other_things_than_numbers_are_refused():
    assert "str 'two'" in error_of(lambda p, x: x * "two", X, error=TypeError)


@pytest.mark.parametrize(("items", "message"), [
    (lambda p: [[p[0]], [p[1], p[2]]], "rows of the same length to choose from, found rows of 1 and 2"),
    (lambda p: [p[0], [p[1]]], "scalars or rows, not both to choose from, found a list of both"),
    (lambda p: [], "something to choose from, found an empty list"),
    (lambda p: "abc", "a list to choose from, found a str"),
    (lambda p: [p[0], None], "scalars or rows to choose from, found a NoneType None"),
])  # fmt: skip
def test_what_an_integer_cannot_choose_from_is_refused(items, message):
    assert message in error_of(lambda p, i: sum([pick(items(p), i)]), I2)


# Wrong parameters, arguments and results


@pytest.mark.parametrize(
    ("bad", "found"),
    [(np.arange(3), "int64"), ("abc", "str"), (2.5 + 1j, "complex"), (np.ones(2, np.float16), "float16")],
)
def test_a_parameter_of_a_wrong_type_is_named(bad, found):
    params = {"good": W, "layers": [{"w": W}, {"w": bad}]}
    message = error_of(lambda p: p["good"][0] ** 2, params=params, error=TypeError)
    assert "params['layers'][1]['w']" in message
    assert found in message
    assert "float32 or float64" in message


def test_batches_of_different_sizes_are_refused():
    message = error_of(lambda p, x, y: p[0] * x * y, np.ones(3), np.ones(4), error=InputError)
    assert "argument 2 after params has shape (4,)" in message
    assert "(3,)" in message


@pytest.mark.parametrize("bad", [np.zeros((0, 2)), np.array(1.0)])
def test_an_argument_without_examples_is_refused(bad):
    assert "argument 1 after params" in error_of(lambda p, x: p[0], bad, error=InputError)


@pytest.mark.parametrize("bad", [np.array(["a", "b"]), np.array([True, False]), np.array([1j, 2j])])
def test_an_argument_of_a_wrong_type_is_refused(bad):
    assert "expected integers or floats" in error_of(lambda p, x: p[0], bad, error=TypeError)


RETURNS = {
    "list": lambda p, x: [p[0] * x],
    "tuple": lambda p, x: (p[0] * x, x),
    "dict": lambda p, x: {"loss": p[0] * x},
    "empty dict": lambda p, x: {},
    "empty list": lambda p, x: [],
}


@pytest.mark.parametrize("name", RETURNS)
def test_a_loss_is_a_single_scalar(name):
    message = error_of(RETURNS[name], X, error=TypeError)
    assert f"the loss returned a {name.split()[-1]}" in message
    assert "single scalar" in message


def test_a_choice_without_a_source_names_the_function():
    around = {}
    exec("def relu(x):\n    return max(x, 0.0)\ndef loss(p, x):\n    return relu(p[0] * x)", around)
    assert "loss has no source, so its choices cannot be rewritten: put it into a file" in error_of(around["loss"], X)


def test_errors_of_the_function_itself_pass_through():
    assert error_of(lambda p, x: p["absent"], X, params={"w": W}, error=KeyError) == "'absent'"


# Integers out of range


@pytest.mark.parametrize("wrong", [3, 7, -1, -3])
def test_an_integer_out_of_range_is_named(wrong):
    tokens = np.array([[0, 1], [2, 2], [0, wrong], [wrong, 0]])
    message = error_of(lambda p, tokens: p[tokens[0]] * pick(p, tokens[1]), tokens, error=IndexError)
    assert "tokens[1]" in message or "tokens[0]" in message
    row = 2 if "tokens[1]" in message else 3
    assert f"is {wrong} in row {row} of the batch" in message
    assert "expected 0 to 2" in message


def test_the_shortest_list_bounds_an_integer():
    loss = value_and_grad(lambda p, i: pick(p, i) * pick([1.0, p[0]], i))
    assert loss(W, np.array([1]))[0] == -0.5
    with pytest.raises(IndexError, match="expected 0 to 1"):
        loss(W, np.array([2]))


def test_an_integer_of_a_branch_has_to_fit_there():
    def loss(p, x, i):
        return pick(p, i) if x > 0 else pick([p[0], x], i)

    loss_and_gradient = value_and_grad(loss)
    assert loss_and_gradient(W, np.array([1.0, -2.0]), np.array([0, 1]))[0] == (W[0] - 2) / 2
    for i, words in ((2, "expected 0 to 1, .* in a branch of a choice: all branches are computed"), (-1, "is -1 ")):
        with pytest.raises(RecordingError, match=words) as refused:
            loss_and_gradient(W, np.array([1.0]), np.array([i]))
        assert isinstance(refused.value, IndexError)  # as Python raises where the branch is chosen
    with pytest.raises(IndexError, match=r"expected 0 to 1, the length of what it picks from$"):
        value_and_grad(lambda p, x, i: loss(p, x, i) * pick([x, p[0]], i))(W, np.array([1.0]), np.array([2]))


def test_an_integer_that_chooses_nothing_may_be_anything():
    assert value_and_grad(lambda p, i: p[0])(W, np.array([-5, 1000]))[0] == 0.5


def test_evaluate_refuses_what_value_and_grad_refuses():
    with pytest.raises(IndexError, match="i is 3 in row 1"):
        evaluate(lambda p, i: p[i])(W, np.array([0, 3]))
    with pytest.raises(RecordingError, match="comparison"):
        evaluate(lambda p, x: x == 0)(W, X)


# Programs


def test_a_hundred_programs_are_a_reason_to_warn():
    step = value_and_grad(lambda p, x: p[0] * x[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for size in range(1, 100):
            step(W, np.ones((1, size)))
        for size in range(1, 100):  # known ones
            step(W, np.ones((2, size)))
    with pytest.warns(UserWarning, match="pad the examples") as caught:
        step(W, np.ones((1, 100)))
    assert caught[0].filename == __file__  # the line of the caller
    with warnings.catch_warnings():  # once is enough
        warnings.simplefilter("error")
        step(W, np.ones((1, 101)))


def test_a_function_is_recorded_once_a_shape():
    calls = []

    def loss(params, x):
        calls.append(1)
        return sum(params["w"]) * sum(x)

    step = value_and_grad(loss, verify=False)
    for params in ({"w": W}, {"w": W * 2}, {"w": W.astype(np.float32)}):
        for batch in (1, 5, 100):
            step(params, np.ones((batch, 2)))
    assert len(calls) == 1
    step({"w": W}, np.ones((1, 3)))
    step({"w": W[:2]}, np.ones((1, 3)))
    step({"w": W[:2], "b": W}, np.ones((1, 3)))
    assert len(calls) == 4


def test_integers_and_floats_are_different_programs():
    step = value_and_grad(lambda p, x: p[0] * x if hasattr(x, "exp") else pick(p, x), verify=False)
    assert step(W, np.array([2]))[0] == 2.0
    assert step(W, np.array([2.0]))[0] == 1.0


def test_parameters_of_another_structure_are_another_program():
    step = value_and_grad(lambda p, x: x * ((p["w"] if p else 7.0) if isinstance(p, dict) else p))
    assert step({}, np.array([1.0]))[0] == 7.0
    assert step({"w": np.array(2.0)}, np.array([1.0]))[0] == 2.0
    loss, gradient = step(np.array(3.0), np.array([1.0]))
    assert (loss, gradient) == (3.0, 1.0)


def test_the_scalar_engine_does_not_import_llvmlite():
    step = "microgpt.value_and_grad(lambda p: p * p, 'scalar')(numpy.array(2.0))"
    code = f"import sys, numpy, microgpt; {step}; print('llvmlite' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


# The record


def record(function, *arguments, **options):
    return record_function(function, {"w": (3,)}, list(arguments), **options)


def test_equal_constants_share_a_row():
    rows = record(lambda p: p["w"][0] * 2.0 + 2 + p["w"][1] * np.float64(2.0) + 3.0)
    assert [rows.constants[right] for kind, right in zip(rows.kind, rows.right, strict=True) if kind == CONSTANT] == [
        2.0,
        3.0,
    ]


def test_a_record_lists_every_operation_in_order():
    found = record(lambda p, x: (p["w"][0] * x + 1) ** 2, ("x", "float", ()))
    assert list(found.rows()) == [
        ("parameter", 0, [3]),
        ("input", 0),
        ("view", 0),
        ("mul", 2, 1),
        ("constant", 1.0),
        ("add", 3, 4),
        ("pow", 5, 2.0),
    ]
    assert found.outputs == [(6, ())]


def test_a_loop_is_recorded_as_one_line():
    def loss(p, x):
        return sum([w * x for w in p["w"]])

    def kinds(size):
        return [row[0] for row in record_function(loss, {"w": (size,)}, [("x", "float", ())]).rows()]

    assert kinds(3) == kinds(3000) == ["parameter", "input", "view", "mul", "view", "sum"]


def test_a_record_knows_the_line_of_every_operation():
    def loss(params):
        y = params["w"][0] * params["w"][1]
        return y.log()

    first = loss.__code__.co_firstlineno
    found = record(loss, with_sources=True)
    assert len(found.sources) == len(found)
    for source, line in zip(found.sources[-2:], (first + 1, first + 2), strict=True):
        assert "test_record.py" in str(source)
        assert str(line) in str(source)


def test_a_picked_row_is_one_pick():
    found = record_function(lambda p, i: p[i], (3, 2), [("i", "int", ())])
    assert [row for row in found.rows() if row[0] == "pick"] == [("pick", 1, "over", 3, [2])]
    assert [(place, count) for place, count, _ in found.picks] == [(0, 3)]


def test_a_recorded_scalar_shows_what_it_is():
    shown = []
    record(lambda p: shown.append(repr(p["w"][0] * 2.0)) or 0.0)
    assert shown == ["<a mul that is being recorded>"]


def test_a_plain_float_is_a_parameter():
    loss, gradients = value_and_grad(lambda p, x: p["w"] * x)({"w": 2.0}, np.array([1.0, 3.0]))
    assert (loss, gradients["w"]) == (4.0, 2.0)


def test_threads_are_a_positive_number():
    with pytest.raises(ValueError, match="threads is 0"):
        value_and_grad(lambda p: p, threads=0)


def test_each_element_made_anew_is_an_object():
    def loss(p, x):
        made = [p[0] * p[1] for _ in x]
        rows = [[p[0] * p[1] for _ in x] for _ in x]
        others = [a for a in made if a is not made[0]] + [a for row in rows for a in row if a is not row[0]]
        return sum(others) * x[0]

    assert_equal_engines(loss, W, np.array([[0.5, -1.5, 2.0]]))


def test_a_slice_by_an_axis_begins_there():
    def loss(p, x):
        first = p[0]
        return sum([sum([sum(row) for row in p[h : h + 2]]) * x for h in range(3)]) * first[0]

    assert_equal_engines(loss, np.arange(12.0).reshape(4, 3) + 0.5, np.array([0.5]))


def test_a_record_does_not_wait_for_the_collector():
    def records():
        return [one for one in gc.get_objects() if type(one) is Record]

    gc.collect()
    gc.disable()
    try:
        before = len(records())
        value_and_grad(lambda p, x: sum([a * x for a in p]))(W, X)
        assert len(records()) == before
    finally:
        gc.enable()


def test_keyword_arguments_may_have_any_name():
    def scaled(function, kind=1.0, record=0.0):
        return function * kind + record

    def loss(p, x):
        named = {"items": 2.0}
        named.update(items=p["s"], function=x[0])
        return scaled(function=named["items"], kind=x[1]) + dict(function=named["function"], key=1.0)["function"]

    assert_equal_engines(loss, {"s": np.array(0.7)}, np.array([[0.3, -1.2]]), verify=False)
