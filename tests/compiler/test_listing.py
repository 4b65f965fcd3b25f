"""What one sees of the compiler: the listing, the comparison of the engines, the notice in train.py."""

import re
from functools import partial

import numpy as np
import pytest

from microgpt import agreement
from microgpt.compiler.listing import instructions_of_rows, listing, program_with_sources
from microgpt.gpt import GPTConfig, loss
from microgpt.parameters import initial_parameters
from microgpt.value import exp

CONFIG = GPTConfig(vocab_size=5, n_positions=8, n_embd=8, n_layer=1, n_head=2)
GPT_LOSS = partial(loss, config=CONFIG)


def test_the_listing_shows_the_gpt_with_the_lines_it_comes_from():
    parameters = initial_parameters(CONFIG, 0)
    text = listing(GPT_LOSS, parameters, np.array([[0, 1, 2, 3, 4]]), np.ones((1, 4), np.float32))
    lines = text.splitlines()
    assert "7 of them matrix products" in lines[0]
    rows = [line for line in lines if "·" in line and "product" in line]
    assert ["[24 x 8] · [8 x 4]" in rows[0], "[5 x 8] · [8 x 4]" in rows[-1]] == [True, True]
    assert any("exp(" in line and "functions.py:" in line and "exps = [exp(x_i - shift)" in line for line in lines)


def test_a_chain_too_long_for_one_instruction_has_results_on_its_way():
    def chain(p, x):
        y = [p_i * x for p_i in p]
        for _ in range(45):
            y = [0.25 + exp(0.5 * y_i) for y_i in y]
        return sum(y)

    program = program_with_sources(chain, np.ones(5000), np.ones(1))
    results, on_the_way = instructions_of_rows(program)
    instructions = range(len(program.nests.forward))
    assert len(instructions) > 1
    assert set(results.values()) == set(instructions)
    assert {tuple(numbers) for numbers in on_the_way.values()} == {(i,) for i in instructions}


def test_the_engines_are_found_to_agree():
    report = agreement.compare_engines(GPT_LOSS, initial_parameters(CONFIG, 0), [0, 1, 2, 3, 0])
    assert "computes the same" in report
    assert re.search(r"\(loss and gradients\) equal to 1[0-9] digits", report)


def test_engines_that_do_not_agree_are_found_out(monkeypatch):
    right = agreement.value_and_grad

    def wrong(function, engine, threads=None, device=None):
        step = right(function, engine, threads)

        def slightly_wrong(params, *batch):
            value, gradients = step(params, *batch)
            gradients["h.0.ln_1.bias"] = gradients["h.0.ln_1.bias"] * (1 + 1e-9)
            return value, gradients

        slightly_wrong.compiled = getattr(step, "compiled", None)
        return slightly_wrong if engine == "compiled" else step

    monkeypatch.setattr(agreement, "value_and_grad", wrong)
    with pytest.raises(agreement.DisagreementError, match=r"h\.0\.ln_1\.bias"):
        agreement.compare_engines(GPT_LOSS, initial_parameters(CONFIG, 0), [0, 1, 2, 3, 0])


def test_a_long_sequence_is_cut_to_about_a_hundred_thousand_operations():
    config = GPTConfig(vocab_size=5, n_positions=64, n_embd=16, n_layer=1, n_head=2)
    sequence = [0] + [1, 2, 3, 4] * 15 + [0]
    report = agreement.compare_engines(partial(loss, config=config), initial_parameters(config, 0), sequence)
    operations = int(report.split(" operations")[0].split(" on ")[-1].replace(",", ""))
    assert 50_000 < operations < 200_000


LARGE = GPTConfig(vocab_size=27, n_positions=4, n_embd=64, n_layer=4, n_head=4)


def test_a_large_model_is_compared_by_its_loss_and_a_slope():
    report = agreement.compare_engines(partial(loss, config=LARGE), initial_parameters(LARGE, 0), [0, 1, 2, 3])
    assert "computes the same" in report
    assert "small nudge" in report


def test_a_large_model_whose_gradient_is_wrong_is_found_out(monkeypatch):
    right = agreement.value_and_grad

    def wrong(function, engine, threads=None, device=None):
        step = right(function, engine, threads)

        def slightly_wrong(params, *batch):
            value, gradients = step(params, *batch)
            gradients["h.3.mlp.c_fc.weight"] = gradients["h.3.mlp.c_fc.weight"] * 1.01
            return value, gradients

        slightly_wrong.compiled = getattr(step, "compiled", None)
        return slightly_wrong

    monkeypatch.setattr(agreement, "value_and_grad", wrong)
    with pytest.raises(agreement.DisagreementError, match="slope"):
        agreement.compare_engines(partial(loss, config=LARGE), initial_parameters(LARGE, 0), [0, 1, 2, 3])
