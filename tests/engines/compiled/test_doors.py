"""Machine code gets no address of an array that was not checked: of another size, dtype or alignment, or read-only."""

import importlib.util

import numpy as np
import pytest

from microgpt import InputError, OptimizerState, Schedule, adam_update, evaluate, train, value_and_grad
from microgpt.learning.parameters import views
from microgpt.learning.training import adam_in_chunks

N = 37
SHAPES = {"w": (3,), "b": ()}
WITHOUT_TORCH = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")


def unaligned(array):
    """The same numbers, at an address that is no multiple of their size."""
    moved = np.frombuffer(bytearray(array.nbytes + 1), array.dtype, offset=1).reshape(array.shape)
    moved[...] = array
    return moved


def read_only(array):
    array.flags.writeable = False
    return array


def vectors():
    rng = np.random.default_rng(0)
    return {name: rng.uniform(0.1, 1.0, N) for name in ("parameter", "gradient", "m", "v", "weight_decay")}


def take_step(update, given):
    update(*[given[name] for name in ("parameter", "gradient", "m", "v")], 3, 0.1, given["weight_decay"])


UNFIT = {
    "shorter": (lambda array: array[:-1], "expected"),
    "longer": (lambda array: np.concatenate([array, array]), "expected"),
    "a matrix": (lambda array: array[None], "expected"),
    "of another dtype": (lambda array: array.astype(np.float32), "float32.*expected.*float64"),
    "in steps": (lambda array: np.repeat(array, 2)[::2], "contiguous"),
    "not aligned": (unaligned, "aligned"),
    "of other bytes": (lambda array: array.astype(">f8"), "expected"),
}


@pytest.mark.parametrize("name", ["m", "v", "weight_decay"])
@pytest.mark.parametrize("how", UNFIT)
def test_adam_names_a_vector_that_does_not_fit(name, how):
    change, expected = UNFIT[how]
    given = vectors()
    given[name] = change(given[name])
    before = {key: array.copy() for key, array in given.items()}
    with pytest.raises(InputError, match=f"{name} .*{expected}"):
        take_step(adam_update(), given)
    assert all(np.array_equal(given[key], before[key]) for key in given)


@pytest.mark.parametrize("name", ["parameter", "m", "v"])
def test_adam_writes_to_nothing_that_is_read_only(name):
    given = vectors()
    read_only(given[name])
    with pytest.raises(InputError, match=f"{name} is read-only"):
        take_step(adam_update(), given)


def test_adam_refuses_vectors_that_share_memory():
    given = vectors()
    given["v"] = given["m"]
    with pytest.raises(InputError, match="share memory"):
        take_step(adam_update(), given)


def test_adam_refuses_a_moment_that_became_shorter():
    given, update = vectors(), adam_update()
    take_step(update, given)
    given["m"].resize(N - 5, refcheck=False)
    with pytest.raises(InputError, match="m has shape"):
        take_step(update, given)


@pytest.mark.parametrize("change", [lambda g: g[:-1], lambda g: np.append(g, 1.0)])
def test_adam_refuses_a_gradient_of_another_size(change):
    given = vectors()
    given["gradient"] = change(given["gradient"])
    with pytest.raises(InputError, match="gradient has shape"):
        take_step(adam_update(), given)


@pytest.mark.parametrize("how", ["of another dtype", "in steps", "not aligned", "of other bytes"])
def test_adam_takes_any_form_of_the_same_gradient(how):
    ours, numpys = vectors(), vectors()
    ours["gradient"] = UNFIT[how][0](ours["gradient"])
    numpys["gradient"] = ours["gradient"].astype(np.float64)
    take_step(adam_update(), ours)
    take_step(adam_in_chunks, numpys)
    for name in ("parameter", "m", "v"):
        np.testing.assert_allclose(ours[name], numpys[name], rtol=1e-12)


def test_adam_takes_the_parameters_themselves_as_their_gradient():
    ours, numpys = vectors(), vectors()
    ours["gradient"], numpys["gradient"] = ours["parameter"], numpys["parameter"]
    take_step(adam_update(), ours)
    take_step(adam_in_chunks, numpys)
    for name in ("parameter", "m", "v"):
        np.testing.assert_allclose(ours[name], numpys[name], rtol=1e-12)


# train


def one_step(update, parameters, state, value_and_grad=lambda p: (1.0, {"w": np.ones(4)})):
    return list(train(value_and_grad, parameters, [()], Schedule(9, 0.1, 0), update, state))


@pytest.mark.parametrize("update", [adam_update(), adam_in_chunks], ids=["compiled", "numpy"])
@pytest.mark.parametrize(
    ("m", "v", "expected"),
    [
        (np.zeros(2), np.zeros(2), r"state\.m is of shape \(2,\).*4 numbers of dtype float64"),
        (np.zeros(4), np.zeros(1), r"state\.v is of shape \(1,\)"),
        (np.zeros((2, 2)), np.zeros(4), r"state\.m"),
        (np.zeros(4, np.float32), np.zeros(4), r"state\.m .*float32.*float64"),
        ([0.0] * 4, np.zeros(4), r"state\.m"),
        (np.zeros(4), 0.0, r"state\.v"),
        (*[np.zeros(4)] * 2, "share memory"),
        (read_only(np.zeros(4)), np.zeros(4), r"state\.m is read-only.*state\.m\.copy"),
        (np.zeros(4), unaligned(np.zeros(4)), r"state\.v is .*not contiguous and aligned"),
        (np.zeros(8)[::2], np.zeros(4), r"state\.m is .*not contiguous"),
    ],
)
def test_train_names_a_state_of_other_parameters(update, m, v, expected):
    parameters = {"w": np.zeros(4)}
    with pytest.raises(InputError, match=expected):
        one_step(update, parameters, OptimizerState(0, m, v))


def test_train_refuses_a_state_before_its_first_step():
    with pytest.raises(InputError, match=r"state\.step is -1"):
        one_step(adam_in_chunks, {"w": np.zeros(4)}, OptimizerState(-1, np.zeros(4), np.zeros(4)))


def test_train_says_that_there_are_no_parameters():
    with pytest.raises(InputError, match="no parameters to train"):
        one_step(adam_update(), {}, None)


def test_train_says_that_parameters_are_not_nested():
    with pytest.raises(InputError, match=r"parameters\['layers'\] is of type list"):
        one_step(adam_in_chunks, {"layers": [np.zeros(4)]}, None)


@pytest.mark.parametrize(
    ("gradients", "expected"),
    [
        ({"w": np.ones(4)}, "'b' has shape None: expected \\(2,\\)"),
        ({"w": np.ones(3), "b": np.ones(3)}, "'w' has shape \\(3,\\): expected \\(4,\\)"),
        ({"w": np.ones(4), "b": np.ones(2), "c": np.ones(1)}, "'c'.*no such parameter"),
    ],
)
def test_train_names_a_gradient_that_does_not_fit(gradients, expected):
    with pytest.raises(InputError, match=expected):
        one_step(adam_update(), {"w": np.zeros(4), "b": np.zeros(2)}, None, lambda p: (1.0, gradients))


@pytest.mark.parametrize("of_one_vector", [False, True])
def test_gradients_go_to_parameters_by_name(of_one_vector):
    gradients = {"b": np.array([0.0, 0.0]), "w": np.ones(4)}
    if of_one_vector:
        gradients = views(np.array([0.0, 0.0, 1.0, 1.0, 1.0, 1.0]), {"b": (2,), "w": (4,)})
    parameters = {"w": np.zeros(4), "b": np.zeros(2)}
    one_step(adam_update(), parameters, None, lambda p: (1.0, gradients))
    assert (parameters["w"] < 0).all()
    assert (parameters["b"] == 0).all()


# The engine


def loss(p, x, i):
    return sum([w * v for w, v in zip(p["w"], x, strict=True)]) * p["w"][i] + p["b"]


FORMS = {
    "not aligned": unaligned,
    "in steps": lambda array: np.repeat(array, 2, axis=0)[::2],
    "turned": lambda array: np.asfortranarray(array),
    "backwards": lambda array: array[::-1].copy()[::-1],
    "read-only": read_only,
}


@pytest.mark.parametrize("engine", ["compiled", pytest.param("torch", marks=WITHOUT_TORCH)])
@pytest.mark.parametrize("how", FORMS)
@pytest.mark.filterwarnings("error")
def test_arrays_are_read_in_any_layout(how, engine):
    params = {"w": np.array([1.0, -2.0, 0.5]), "b": np.array(0.25)}
    x, i = np.arange(15.0).reshape(5, 3), np.array([0, 1, 2, 1, 0])
    expected = value_and_grad(loss, "scalar")(params, x, i)
    change = FORMS[how]
    for given in ({**params, "w": change(params["w"])}, views(change(np.array([1.0, -2.0, 0.5, 0.25])), SHAPES)):
        found = value_and_grad(loss, engine)(given, change(x), change(i))
        assert found[0] == pytest.approx(expected[0], rel=1e-14)
        np.testing.assert_allclose(found[1]["w"], expected[1]["w"], rtol=1e-14)


@pytest.mark.parametrize("dtype", [">f8", ">f4", "<f2", "<f8"])
def test_examples_are_read_in_any_type(dtype):
    params = {"w": np.array([1.0, -2.0, 0.5]), "b": np.array(0.25)}
    x, i = np.arange(15.0).reshape(5, 3).astype(dtype), np.array([0, 1, 2, 1, 0], ">i4")
    assert value_and_grad(loss)(params, x, i)[0] == pytest.approx(value_and_grad(loss, "scalar")(params, x, i)[0])


def test_a_parameter_of_another_size_is_read():
    total = evaluate(lambda p: sum(p["w"]))
    params = {"w": np.arange(4.0)}
    assert total(params).tolist() == [6.0]
    params["w"].resize(2, refcheck=False)
    assert total(params).tolist() == [1.0]


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2"])
def test_threads_that_are_no_positive_integer_are_refused(threads):
    with pytest.raises(ValueError, match="expected a positive integer"):
        evaluate(loss, threads=threads)
