"""From a loss of scalars to a mean over arrays, with the scalar engine: what comes out, and what is refused."""

import gc
import tracemalloc
from functools import partial

import numpy as np
import pytest

import microgpt.engines.engine
from microgpt.engines.compiled.api import Compiled
from microgpt.errors import InputError
from microgpt.value import Value

value_and_grad = partial(microgpt.engines.engine.value_and_grad, engine="scalar")
evaluate = partial(microgpt.engines.engine.evaluate, engine="scalar")

X, Y = np.array([1.0, 2.0, -1.0]), np.array([3.0, 5.0, 0.5])


def squared_error(params, x, y):
    return (params["w"] * x + params["b"] - y) ** 2


def line(dtype=np.float64):
    return {"w": np.array(0.5, dtype), "b": np.array(-1.0, dtype)}


# value_and_grad


@pytest.mark.parametrize("engine", ["scalar", "compiled"])
def test_a_step_can_be_listed_and_checked(engine, capsys):
    step = microgpt.engines.engine.value_and_grad(squared_error, engine)
    if engine == "compiled":
        with pytest.raises(InputError, match="call the function once"):
            step.summary()
    step(line(), X, Y)
    assert "operation" in step.summary()
    assert '(params["w"] * x + params["b"] - y) ** 2' in step.listing(line(), X, Y)
    assert step.check(line(), X, Y).ok
    assert "checked" in capsys.readouterr().out


def test_a_step_checks_its_own_engine(monkeypatch):
    right = Compiled.value_and_grad

    def twice(engine, *given):
        loss, gradients = right(engine, *given)
        return loss, {name: 2 * gradient for name, gradient in gradients.items()}

    monkeypatch.setattr(Compiled, "value_and_grad", twice)
    assert not microgpt.engines.engine.value_and_grad(squared_error).check(line(), X, Y)


def test_loss_and_gradients_are_means_over_the_batch():
    mean_loss, gradients = value_and_grad(squared_error)(line(), X, Y)
    errors = 0.5 * X - 1.0 - Y
    assert mean_loss == pytest.approx((errors**2).mean(), rel=1e-14)
    assert gradients["w"] == pytest.approx((2 * errors * X).mean(), rel=1e-14)
    assert gradients["b"] == pytest.approx((2 * errors).mean(), rel=1e-14)


def test_without_arguments_there_is_one_example():
    mean_loss, gradients = value_and_grad(lambda params: params["w"] ** 2)({"w": np.array(3.0)})
    assert (mean_loss, gradients["w"]) == (9.0, 6.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_have_shapes_and_types_of_parameters(dtype):
    params = {"matrix": np.ones((2, 3), dtype), "vector": np.ones(4, dtype), "scalar": np.array(1.0, dtype)}
    _, gradients = value_and_grad(lambda p: p["matrix"][1][2] * p["vector"][0] * p["scalar"])(params)
    assert gradients["matrix"].tolist() == [[0, 0, 0], [0, 0, 1]]
    assert {name: (g.shape, g.dtype) for name, g in gradients.items()} == {
        name: (p.shape, p.dtype) for name, p in params.items()
    }


def test_gradients_have_the_nesting_of_the_parameters():
    params = {"layers": [{"w": np.array([1.0])}, {"w": np.array([2.0])}], "out": np.array(3.0)}
    _, gradients = value_and_grad(lambda p: p["layers"][0]["w"][0] * p["layers"][1]["w"][0] * p["out"])(params)
    assert gradients == {"layers": [{"w": np.array([6.0])}, {"w": np.array([3.0])}], "out": np.array(2.0)}


def test_parameters_may_be_a_list_or_array():
    assert value_and_grad(lambda p: p[0] * p[1])([np.array(2.0), np.array(3.0)]) == (6.0, [3.0, 2.0])
    mean_loss, gradient = value_and_grad(lambda p: p[0] * p[1])(np.array([2.0, 3.0]))
    assert (mean_loss, gradient.tolist()) == (6.0, [3.0, 2.0])


def test_an_unused_parameter_has_gradient_zero():
    _, gradients = value_and_grad(lambda p: p["used"] ** 2)({"used": np.array(1.0), "unused": np.ones(2)})
    assert gradients["unused"].tolist() == [0.0, 0.0]


def test_a_constant_loss_has_gradient_zero():
    mean_loss, gradients = value_and_grad(lambda p, x: x)(line(), X)
    assert mean_loss == pytest.approx(X.mean())
    assert gradients == {"w": 0.0, "b": 0.0}


def test_a_parameter_as_loss_has_gradient_one():
    assert value_and_grad(lambda p, x: p["w"])(line(), X) == (0.5, {"w": 1.0, "b": 0.0})


def test_parameters_stay_as_they_were():
    params, step = line(), value_and_grad(squared_error)
    assert step(params, X, Y) == step(params, X, Y)
    assert (params["w"], params["b"]) == (0.5, -1.0)


def test_integer_arguments_arrive_as_integers():
    def chosen(params, index):
        assert type(index) is int
        return params["table"][index]

    table = {"table": np.array([1.0, 2.0, 4.0])}
    mean_loss, gradients = value_and_grad(chosen)(table, np.array([2, 0, 2, 2], np.uint8))
    assert mean_loss == 13 / 4
    assert gradients["table"].tolist() == [0.25, 0.0, 0.75]


def test_rows_arrive_as_nested_lists():
    seen = []

    def record(params, row):
        seen.append(row)
        return params["w"]

    value_and_grad(record)(line(), np.arange(8.0).reshape(2, 2, 2))
    assert seen == [[[0.0, 1.0], [2.0, 3.0]], [[4.0, 5.0], [6.0, 7.0]]]


def test_arguments_may_be_plain_lists():
    assert value_and_grad(squared_error)(line(), X.tolist(), Y.tolist()) == value_and_grad(squared_error)(line(), X, Y)


# Every example begins with the parameters as they were given


def scaled_in_place(p, x):
    for k in range(len(p["w"])):
        p["w"][k] = p["w"][k] * 2
    return sum(p["w"]) * x


def replaced_in_the_dict(p, x):
    p["b"] = p["b"] * 3 + x
    return p["b"]


def changed_through_a_row(p, x):
    row = p["m"][1]
    row[0] += 1.0
    return sum(row) * x


def state_added_to_the_dict(p, x):
    assert "h" not in p
    p["h"] = [w * x for w in p["w"]]
    return sum(p["h"])


def changed_in_a_nesting(p, x):
    p["layers"][0]["w"].append(p["b"])
    p["layers"].pop()
    return sum(p["layers"][0]["w"]) * x


def changes_its_example(p, x, row):
    row[0] = row[0] * p["b"]
    return sum(row) * x


IN_PLACE = {  # the loss of an example x, with the rows [1, 2], and a part of the gradient
    scaled_in_place: (lambda x: 2 * (0.5 - 2.0) * x, "w", lambda x: [2 * x, 2 * x]),
    replaced_in_the_dict: (lambda x: 3 * 4.0 + x, "b", lambda x: 3.0),
    changed_through_a_row: (lambda x: 8.0 * x, "m", lambda x: [[0, 0], [x, x]]),
    state_added_to_the_dict: (lambda x: -1.5 * x, "w", lambda x: [x, x]),
    changed_in_a_nesting: (lambda x: 5.0 * x, "b", lambda x: x),
    changes_its_example: (lambda x: 6.0 * x, "b", lambda x: x),
}


@pytest.mark.parametrize("function", IN_PLACE, ids=lambda function: function.__name__)
def test_what_an_example_changes_no_other_sees(function):
    params = {
        "w": np.array([0.5, -2.0]), "b": np.array(4.0), "m": np.array([[1.0, 2.0], [3.0, 4.0]]),
        "layers": [{"w": np.array([1.0])}, {"w": np.array([2.0])}],
    }  # fmt: skip
    rows = [np.tile([1.0, 2.0], (3, 1))] if function is changes_its_example else []
    loss_of, name, gradient_of = IN_PLACE[function]
    for _ in range(2):
        mean_loss, gradients = value_and_grad(function)(params, X, *rows)
        assert mean_loss == pytest.approx(np.mean([loss_of(x) for x in X]))
        assert gradients[name] == pytest.approx(np.mean([gradient_of(x) for x in X], axis=0))
        assert evaluate(function)(params, X, *rows).tolist() == pytest.approx([loss_of(x) for x in X])


# A gradient within a loss


def backward_in_a_loss(p, x):
    y = (p["w"] * x) ** 2
    y.backward()
    return p["w"].grad ** 2


def backward_after_setting_the_gradient_to_zero(p, x):
    p["w"].grad = 0.0
    (p["w"] ** 2).backward()
    return p["w"].grad + p["b"]


def backward_of_the_result(p, x):
    result = p["w"] * x
    result.backward()
    return result


@pytest.mark.parametrize("w", [0.5, 0.0])
@pytest.mark.parametrize(
    "function", [backward_in_a_loss, backward_after_setting_the_gradient_to_zero, backward_of_the_result]
)
def test_a_loss_that_calls_backward_is_refused(function, w):
    with pytest.raises(TypeError, match=r"calls backward\(\).*derivatives of derivatives"):
        value_and_grad(function)({"w": np.array(w), "b": np.array(1.0)}, X)


def test_a_derivative_of_no_parameter_is_constant():
    def function(p, x):
        x = Value(x)
        (x**3).backward()
        return p["w"] * x.grad

    mean_loss, gradients = value_and_grad(function)(line(), X)
    assert mean_loss == pytest.approx(0.5 * np.mean(3 * X**2))
    assert gradients["w"] == pytest.approx(np.mean(3 * X**2))


def test_a_loss_that_changes_data_is_refused():
    def function(p, x):
        p["w"].data *= 2
        return p["w"] * x

    with pytest.raises(TypeError, match="changes the data of a parameter"):
        value_and_grad(function)(line(), X)


# evaluate


def test_evaluate_gives_a_scalar_an_example():
    assert evaluate(squared_error)(line(), X, Y).tolist() == ((0.5 * X - 1.0 - Y) ** 2).tolist()


def test_evaluate_builds_no_graph():
    def number(params, x):
        assert type(params["w"]) is float
        return params["w"] * x

    evaluate(number)(line(np.float32), X)


# What is refused

both = pytest.mark.parametrize("transform", [value_and_grad, evaluate], ids=["value_and_grad", "evaluate"])


@both
@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"w": np.array(1)}, r"params\['w'\]"),
        ({"layers": [np.ones(2), "weights"]}, r"params\['layers'\]\[1\]"),
        ({"w": None}, r"params\['w'\]"),
        (np.array([1j]), "params"),
        ({"w": np.ones(2, ">f4")}, r"params\['w'\].*>f4: .* in the byte order of this machine"),
        ({"w": np.ones(2, np.float16)}, r"params\['w'\].*float16"),
    ],
)
def test_a_parameter_of_no_floats_is_named(transform, params, name):
    with pytest.raises(TypeError, match=name):
        transform(lambda p: 1.0)(params)


@both
@pytest.mark.parametrize("shape", [(2,), (4,), (), (0,)])
def test_batch_axes_that_differ_are_named(transform, shape):
    with pytest.raises(InputError, match=r"argument 2.*batch"):
        transform(squared_error)(line(), X, np.ones(shape))


@both
def test_an_empty_batch_is_refused(transform):
    with pytest.raises(InputError, match=r"argument 1.*not empty"):
        transform(squared_error)(line(), np.ones(0), np.ones(0))


@both
@pytest.mark.parametrize("engine", ["scalar", "compiled"])
def test_other_engines_refuse_a_device(transform, engine):
    with pytest.raises(InputError, match=f"device is 'cuda', but the engine '{engine}' .*give engine=\"torch\""):
        transform(squared_error, engine=engine, device="cuda")
    with pytest.raises(InputError, match="torch_compile"):
        transform(squared_error, engine=engine, torch_compile=True)
    transform(squared_error, engine=engine, device="cpu")


@both
def test_an_unknown_engine_is_refused(transform):
    with pytest.raises(ValueError, match=r"'steam'.*scalar"):
        transform(squared_error, engine="steam")


# Memory


def long_chain(params, x):
    total = params["w"]
    for _ in range(2000):
        total = total * 0.999 + x
    return total


def test_no_value_outlives_its_step():
    def living():
        return sum(type(thing) is Value for thing in gc.get_objects())

    gc.collect()  # what other tests have left
    before = living()
    result = value_and_grad(long_chain)(line(), X)
    assert living() == before
    assert result


def peak_memory(batch_size):
    tracemalloc.start()
    try:
        value_and_grad(long_chain)(line(), np.ones(batch_size))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_one_example_at_a_time_has_graphs():
    peak_memory(1)
    assert peak_memory(8) < 1.5 * peak_memory(1)


def test_memory_does_not_grow_from_step_to_step():
    step = value_and_grad(squared_error)
    step(line(), X, Y)
    tracemalloc.start()
    try:
        step(line(), X, Y)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(50):
            step(line(), X, Y)
        assert tracemalloc.get_traced_memory()[0] < before + 10_000
    finally:
        tracemalloc.stop()


def test_the_cycle_collector_rests_meanwhile_and_works_afterwards():
    during = []
    value_and_grad(lambda p: during.append(gc.isenabled()) or p["w"])(line())
    assert (during, gc.isenabled()) == ([False], True)
    with pytest.raises(ValueError, match="log"):
        value_and_grad(lambda p: (p["w"] * 0).log())(line())
    assert gc.isenabled()
    gc.disable()
    try:
        value_and_grad(squared_error)(line(), X, Y)
        assert not gc.isenabled()  # it was off before
    finally:
        gc.enable()
