"""The addition example: its sums are right, no pair is trained and asked, and each model learns as if alone."""

import re
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from running import run_within

from microgpt import GPTConfig, evaluate, initial_parameters, value_and_grad
from microgpt.commands.script import run_script
from microgpt.gpt import loss as loss_of_gpt

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import addition

CONFIG = GPTConfig(12, 5, 4, 1, 2)


def test_line_is_the_sum_with_its_answer_reversed():
    a, b = np.random.default_rng(0).integers(0, 1000, (2, 50))
    for x, y, row in zip(a, b, addition.sums(a, b, 3), strict=True):
        given, answer = addition.written(row).split("=")
        assert given == f"{x:03}+{y:03}"
        assert int(answer[::-1]) == x + y


def test_pair_is_held_out_whichever_way_round():
    a, b = np.random.default_rng(0).integers(0, 1000, (2, 20_000))
    held_out = addition.is_held_out(a, b)
    assert (held_out == addition.is_held_out(b, a)).all()
    assert held_out.mean() == pytest.approx(1 / addition.HELD_OUT, abs=0.02)
    drawn = addition.drawn(addition.Settings(steps=30))
    trained = np.concatenate([tokens for tokens, _ in drawn])
    powers = 10 ** np.arange(3)[::-1]
    assert not addition.is_held_out(trained[:, :3] @ powers, trained[:, 4:7] @ powers).any()


def test_asked_pairs_are_others_and_each_once():
    settings = addition.Settings(digits=2)
    known = addition.pairs(2, 500, True, np.random.default_rng(0))
    a, b = addition.others(known, settings)
    assert addition.is_held_out(a, b).all()
    asked = set(zip(a, b, strict=True))
    assert len(asked) == len(a) > 100
    assert not asked & set(zip(*known, strict=True))


def test_every_digit_is_trained_and_asked():
    # If held-out pairs shared, say, their last digits, they would be another task than the trained ones.
    for held_out in (True, False):
        a, b = addition.pairs(3, 10_000, held_out, np.random.default_rng(0))
        shares = np.bincount(a % 10 * 10 + b % 10, minlength=100) / len(a)
        assert shares == pytest.approx(0.01, abs=0.007)


def test_models_side_by_side_learn_as_if_alone():
    alone = [initial_parameters(CONFIG, seed, np.float64) for seed in range(3)]
    models = {name: np.stack([one[name] for one in alone]) for name in alone[0]}
    tokens = addition.sums(np.array([3, 8]), np.array([4, 5]), 1)
    weights = np.array([[0, 0, 0, 0.5, 0.5]] * 2)
    together, gradients = value_and_grad(partial(addition.loss, config=CONFIG))(models, tokens, weights)
    single = [value_and_grad(partial(loss_of_gpt, config=CONFIG))(one, tokens, weights) for one in alone]
    assert together == pytest.approx(sum(loss for loss, _ in single))
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, [found[name] for _, found in single], atol=1e-12)


def test_only_characters_of_the_answer_count():
    tokens, weights = next(addition.drawn(addition.Settings(digits=2, batch_size=3, steps=1)))
    assert tokens.shape == (3, 9)
    assert (weights[:, :5] == 0).all()
    assert weights[:, 5:] == pytest.approx(1 / 3)


def test_exact_match_needs_every_digit():
    found = addition.sums(*np.array([[1, 2, 9, 4], [2, 5, 9, 0]]), 1)
    logits = np.zeros((4, 2, 2, 12))
    for row, answer in enumerate(found[:, -2:]):
        logits[row, :, [0, 1], answer] = 1
    logits[2, 1, 1, :] = np.arange(12)  # the second model writes another tens digit of the third sum
    right = addition.exact(lambda models, tokens: logits, {"x": np.zeros((2, 1))}, found, 1)
    assert list(right) == [1, 0.75]


@pytest.mark.slow
def test_best_model_is_asked_for_other_sums(tmp_path):
    options = ("--digits", 2, "--models", 2, "--steps", 8, "--n-head", 1, "--n-embd", 4, "--explain")
    result = run_within(lambda: run_script(addition.main), "addition.py", *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "2 models of 332 parameters learn sums such as 57+85=241" in result.stdout
    assert re.search(r"model \d writes \d+\.\d\d% of [\d,]+ other sums that none has seen", result.stdout)
    assert "5 sums take" in result.stdout
    assert "A GPT that adds" in (tmp_path / "addition.html").read_text(encoding="utf-8")


def test_evaluated_logits_are_those_of_each_model():
    alone = [initial_parameters(CONFIG, seed, np.float64) for seed in range(2)]
    models = {name: np.stack([one[name] for one in alone]) for name in alone[0]}
    tokens = addition.sums(np.array([3, 8]), np.array([4, 5]), 1)[:, :-1]
    logits = evaluate(partial(addition.answer_logits, config=CONFIG, asked=3))
    for i in range(2):
        one = {name: array[i : i + 1] for name, array in models.items()}
        np.testing.assert_allclose(logits(models, tokens)[:, i], logits(one, tokens)[:, 0], atol=1e-12)
