"""The parameters have GPT-2's names, shapes and initial distribution, and lie in one vector."""

from math import prod, sqrt

import numpy as np
import pytest
from helpers import TINY, hugging_face_model

from microgpt.gpt import GPTConfig
from microgpt.learning.parameters import INITIAL_SCALE, as_vector, flatten, initial_parameters, parameter_shapes, views

DEEP = GPTConfig(vocab_size=70, n_positions=50, n_embd=64, n_layer=2, n_head=2)


@pytest.mark.parametrize("config", [TINY, DEEP], ids=["tiny", "deep"])
def test_names_shapes_and_their_order_are_those_of_gpt_2(config):
    theirs = [(name, tuple(t.shape)) for name, t in hugging_face_model(config).transformer.named_parameters()]
    assert list(parameter_shapes(config).items()) == theirs


@pytest.mark.parametrize("config", [TINY, DEEP], ids=["tiny", "deep"])
def test_there_are_as_many_parameters_as_in_gpt_2(config):
    ours = sum(array.size for array in initial_parameters(config, seed=0).values())
    assert ours == hugging_face_model(config).num_parameters()


def test_views_share_the_memory_of_the_vector():
    vector = np.zeros(7)
    arrays = views(vector, {"a": (2, 3), "b": (1,)})
    vector[4] = 5.0
    arrays["b"][0] = 6.0
    assert (arrays["a"][1, 1], vector[6]) == (5.0, 6.0)


def test_flatten_undoes_views():
    vector = np.arange(11.0)
    assert flatten(views(vector, {"a": (2, 3), "b": (), "c": (4,)})).tolist() == vector.tolist()


SHAPES = {"a": (2, 3), "b": (), "c": (4,)}


def test_views_of_a_vector_are_that_vector_again():
    vector = np.arange(11.0)
    assert as_vector(views(vector, SHAPES)) is vector


@pytest.mark.parametrize(
    "arrays",
    [
        {"a": np.ones((2, 3)), "c": np.arange(4.0)},
        {name: array for name, array in views(np.arange(11.0), SHAPES).items() if name != "a"},
        views(np.arange(11.0), SHAPES) | {"b": np.array(7.0)},
        {"a": np.arange(8.0).reshape(2, 4).T},
    ],
    ids=["no views", "not all of them", "another between them", "transposed"],
)
def test_other_arrays_become_a_vector_in_their_order(arrays):
    assert as_vector(arrays).tolist() == flatten(arrays).tolist()


def test_flatten_copies():
    arrays = {"a": np.zeros(2)}
    flatten(arrays)[0] = 1.0
    assert arrays["a"][0] == 0.0


def test_initial_parameters_are_views_of_one_vector():
    parameters = initial_parameters(TINY, seed=0)
    vector = parameters["wte.weight"].base
    assert vector.shape == (sum(prod(shape) for shape in parameter_shapes(TINY).values()),)
    assert all(np.shares_memory(array, vector) for array in parameters.values())


def test_the_same_seed_gives_the_same_parameters():
    first, second = (flatten(initial_parameters(TINY, seed=3)) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_another_seed_gives_others():
    assert (flatten(initial_parameters(TINY, seed=3)) != flatten(initial_parameters(TINY, seed=4))).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_array_has_the_wanted_type(dtype):
    assert {array.dtype for array in initial_parameters(TINY, 0, dtype).values()} == {np.dtype(dtype)}


def test_the_type_changes_the_numbers_by_no_more_than_rounding():
    single, double = (flatten(initial_parameters(TINY, 0, dtype)) for dtype in (np.float32, np.float64))
    assert (single == double.astype(np.float32)).all()


def test_gains_begin_at_one_and_biases_at_zero():
    for name, array in initial_parameters(DEEP, seed=0).items():
        if name.endswith(".bias"):
            assert (array == 0).all()
        elif "ln_" in name:
            assert (array == 1).all()


def test_weights_begin_at_the_initial_scale():
    for name, array in initial_parameters(DEEP, seed=0).items():
        if array.ndim == 2:
            expected = INITIAL_SCALE / sqrt(2 * DEEP.n_layer) if "c_proj" in name else INITIAL_SCALE
            assert array.std() == pytest.approx(expected, rel=0.05)
            assert abs(array.mean()) < 0.05 * expected
