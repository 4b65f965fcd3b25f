"""The step that is compiled for writing is the step of gpt.py, whatever it remembers and however often it forgets."""

import numpy as np
import pytest
from helpers import TINY, as_lists, assert_close, random_parameters

from microgpt.engines.engine import value_and_grad
from microgpt.gpt import GPTConfig, empty_cache, gpt
from microgpt.learning.cached_step import UNSEEN, Reader, cached_step

SHAPES = [TINY, GPTConfig(vocab_size=7, n_positions=9, n_embd=12, n_layer=3, n_head=4), GPTConfig(4, 1, 2, 1, 1)]


def logits_after_each(config, parameters, tokens):
    cache = empty_cache(config)
    return [gpt(as_lists(parameters), config, token, position, cache) for position, token in enumerate(tokens)]


@pytest.mark.parametrize("config", SHAPES, ids=["tiny", "deep", "a single position"])
def test_its_logits_are_those_of_the_gpt(config):
    parameters = random_parameters(config)
    tokens = np.random.default_rng(1).integers(0, config.vocab_size, (3, config.n_positions))
    reader = Reader(parameters, config, rows=3)
    reader.read([0] * 3)
    reader.forget()
    read = [reader.read(column) for column in tokens.T.tolist()]  # [n_positions, 3, vocab_size]
    for row in range(3):
        assert_close([logits[row] for logits in read], logits_after_each(config, parameters, tokens[row].tolist()))


def test_on_plain_floats_it_is_an_ordinary_function():
    parameters = random_parameters(TINY)
    keys, values = (np.zeros((TINY.n_layer, TINY.n_positions, TINY.n_embd)).tolist() for _ in range(2))
    unseen = [UNSEEN] * TINY.n_positions
    for position, expected in enumerate(logits_after_each(TINY, parameters, [1, 4, 2])):
        logits, key, value = cached_step(
            as_lists(parameters), [1, 4, 2][position], position, keys, values, unseen, TINY
        )
        assert_close(logits, expected)
        for layer in range(TINY.n_layer):
            keys[layer][position], values[layer][position] = key[layer], value[layer]
        unseen[position] = 0.0


def test_one_program_serves_all_positions_and_rows():
    parameters = random_parameters(TINY)
    shapes, steps = set(), set()
    for rows in (1, 3, 2):
        reader = Reader(parameters, TINY, rows)
        step = reader.step
        steps.add(step)
        reader.step = lambda params, *arrays, step=step: (
            shapes.add(tuple((array.dtype.kind, array.shape[1:]) for array in arrays)) or step(params, *arrays)
        )
        for _ in range(TINY.n_positions):
            reader.read([1] * rows)
    assert len(shapes) == len(steps) == 1


def test_the_engine_that_differentiates_knows_it_too():
    def loss(params, token, position, keys, values, unseen):
        logits, *_ = cached_step(params, token, position, keys, values, unseen, TINY)
        return logits[0]

    parameters = random_parameters(TINY)
    rng = np.random.default_rng(0)
    memory = [rng.normal(size=(1, TINY.n_layer, TINY.n_positions, TINY.n_embd)) for _ in range(2)]
    unseen = np.array([[0.0, 0.0, *[UNSEEN] * (TINY.n_positions - 2)]])
    arguments = (np.array([3]), np.array([2]), *memory, unseen)
    results = [value_and_grad(loss, engine)(parameters, *arguments) for engine in ("compiled", "scalar")]
    assert_close(results[0][0], results[1][0])
    for name in parameters:
        assert_close(results[0][1][name], results[1][1][name])
