"""The step that is compiled for writing is the step of gpt.py, whatever lies at places that it has not reached."""

import numpy as np
import pytest
from helpers import TINY, as_lists, assert_close, random_parameters

from microgpt.engines.engine import evaluate, value_and_grad
from microgpt.gpt import GPTConfig, empty_cache, gpt
from microgpt.learning.cached_step import cached_step

SHAPES = [TINY, GPTConfig(vocab_size=7, n_positions=9, n_embd=12, n_layer=3, n_head=4), GPTConfig(4, 1, 2, 1, 1)]


def logits_after_each(config, parameters, tokens):
    cache = empty_cache(config)
    return [gpt(as_lists(parameters), config, token, position, cache) for position, token in enumerate(tokens)]


def memory(config, rows):
    """Keys and values of other texts."""
    rng = np.random.default_rng(2)
    return [rng.normal(size=(rows, config.n_layer, config.n_positions, config.n_embd)) for _ in range(2)]


@pytest.mark.parametrize("config", SHAPES, ids=["tiny", "deep", "a single position"])
def test_its_logits_are_those_of_the_gpt(config):
    parameters = random_parameters(config)
    tokens = np.random.default_rng(1).integers(0, config.vocab_size, (3, config.n_positions))
    step, (keys, values), read = evaluate(lambda *given: cached_step(*given, config)), memory(config, 3), []
    for position, column in enumerate(tokens.T):
        here = np.full(3, position)
        logits, keys[:, :, position], values[:, :, position] = step(parameters, column, here, 1.0 * here, keys, values)
        read.append(logits)
    assert step.own_engine.programs_recorded == 1
    for row in range(3):
        assert_close([logits[row] for logits in read], logits_after_each(config, parameters, tokens[row].tolist()))


def test_on_plain_floats_it_is_an_ordinary_function():
    parameters = random_parameters(TINY)
    keys, values = (array[0].tolist() for array in memory(TINY, 1))
    for position, expected in enumerate(logits_after_each(TINY, parameters, [1, 4, 2])):
        token, here = [1, 4, 2][position], float(position)
        logits, key, value = cached_step(as_lists(parameters), token, position, here, keys, values, TINY)
        assert_close(logits, expected)
        for layer in range(TINY.n_layer):
            keys[layer][position], values[layer][position] = key[layer], value[layer]


def test_the_engine_that_differentiates_knows_it_too():
    def loss(params, *given):
        return cached_step(params, *given, TINY)[0][0]

    parameters = random_parameters(TINY)
    arguments = (np.array([3]), np.array([2]), np.array([2.0]), *memory(TINY, 1))
    results = [value_and_grad(loss, engine)(parameters, *arguments) for engine in ("compiled", "scalar")]
    assert_close(results[0][0], results[1][0])
    for name in parameters:
        assert_close(results[0][1][name], results[1][1][name])
