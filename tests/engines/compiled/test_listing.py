"""What one sees of the compiler: the listing."""

from functools import partial

import numpy as np

from microgpt.engines.compiled.listing import instructions_of_rows, listing, program_with_sources
from microgpt.gpt import GPTConfig, loss
from microgpt.learning.parameters import initial_parameters
from microgpt.value import exp

CONFIG = GPTConfig(vocab_size=5, n_positions=8, n_embd=8, n_layer=1, n_head=2)
GPT_LOSS = partial(loss, config=CONFIG)


def test_the_listing_of_a_gpt_shows_its_lines():
    parameters = initial_parameters(CONFIG, 0)
    text = listing(GPT_LOSS, parameters, np.array([[0, 1, 2, 3, 4]]), np.ones((1, 4), np.float32))
    lines = text.splitlines()
    assert "7 matrix products" in lines[0]
    rows = [line for line in lines if "·" in line and "product" in line]
    assert ["[24 x 8] · [8 x 4]" in rows[0], "[5 x 8] · [8 x 4]" in rows[-1]] == [True, True]
    assert any("exp(" in line and "functions.py:" in line and "exps = [exp(x_i - shift)" in line for line in lines)


def test_a_long_chain_has_results_on_its_way():
    def chain(p, x):
        y, left = [p_i * x for p_i in p], 45
        while left:
            y, left = [0.25 + exp(0.5 * y_i) for y_i in y], left - 1
        return sum(y)

    program = program_with_sources(chain, np.ones(5000), np.ones(1))
    results, on_the_way = instructions_of_rows(program)
    instructions = range(len(program.nests.forward))
    assert len(instructions) > 1
    assert set(results.values()) == set(instructions)
    assert {tuple(numbers) for numbers in on_the_way.values()} == {(i,) for i in instructions}
