"""The parameters have GPT-2's names, shapes and initial distribution, and lie in one vector."""

from math import sqrt

import numpy as np
import pytest
from helpers import TINY, hugging_face_model

from microgpt.gpt import GPTConfig
from microgpt.learning.parameters import INITIAL_SCALE, as_vector, flatten, initial_parameters, parameter_shapes, views

DEEP = GPTConfig(vocab_size=70, n_positions=50, n_embd=64, n_layer=2, n_head=2)
SHAPES = {"a": (2, 3), "b": (), "c": (4,)}


@pytest.mark.parametrize("config", [TINY, DEEP], ids=["tiny", "deep"])
def test_names_shapes_and_order_are_gpt_2s(config):
    theirs = hugging_face_model(config)
    shapes = [(name, tuple(t.shape)) for name, t in theirs.transformer.named_parameters()]
    assert list(parameter_shapes(config).items()) == shapes
    parameters = initial_parameters(config, seed=0)
    assert {name: array.shape for name, array in parameters.items()} == dict(shapes)
    assert sum(array.size for array in parameters.values()) == theirs.num_parameters()


def test_views_share_the_memory_of_their_vector():
    vector = np.arange(11.0)
    arrays = views(vector, SHAPES)
    arrays["c"][0] = 60.0
    vector[4] = 50.0
    assert (arrays["a"][1, 1], vector[7]) == (50.0, 60.0)
    assert as_vector(arrays) is vector
    copy = flatten(arrays)
    assert copy.tolist() == vector.tolist()
    assert not np.shares_memory(copy, vector)


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
def test_other_arrays_become_a_new_vector(arrays):
    assert as_vector(arrays).tolist() == [number for array in arrays.values() for number in array.ravel().tolist()]


def test_the_seed_decides_and_the_type_only_rounds():
    single, again, other = (initial_parameters(TINY, seed) for seed in (3, 3, 4))
    double = initial_parameters(TINY, 3, np.float64)
    assert as_vector(single).tobytes() == as_vector(again).tobytes()
    assert (as_vector(single) != as_vector(other)).any()
    assert (as_vector(single) == as_vector(double).astype(np.float32)).all()
    for parameters, dtype in ((single, np.float32), (double, np.float64)):
        assert {array.dtype for array in parameters.values()} == {np.dtype(dtype)}
        assert as_vector(parameters) is parameters["wte.weight"].base


def test_parameters_begin_with_gpt_2s_distribution():
    for name, array in initial_parameters(DEEP, seed=0).items():
        if array.ndim == 1:
            assert (array == (0 if name.endswith(".bias") else 1)).all()
        else:
            expected = INITIAL_SCALE / sqrt(2 * DEEP.n_layer) if "c_proj" in name else INITIAL_SCALE
            assert array.std() == pytest.approx(expected, rel=0.05)
            assert abs(array.mean()) < 0.05 * expected
