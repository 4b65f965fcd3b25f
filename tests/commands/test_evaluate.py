"""python -m microgpt evaluate: how well any run, or a GPT-2, predicts a text."""

import json
import runpy
from functools import partial
from math import exp, log

import numpy as np
import pytest
from helpers import as_lists, make_run
from running import assert_refused, run_within

from microgpt.gpt import loss
from microgpt.learning.text import END


def evaluate(*options, cwd):
    return run_within(lambda: runpy.run_module("microgpt", run_name="__main__", alter_sys=True), "microgpt",
                      "evaluate", *options, cwd=cwd)  # fmt: skip


def numbers(result):
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def mean_loss(run, sequences):
    params, total, count = as_lists(run.parameters), 0.0, 0
    for sequence in sequences:
        total += partial(loss, config=run.config)(params, sequence, [1.0] * (len(sequence) - 1))
        count += len(sequence) - 1
    return total / count, count


def test_lines_are_predicted_each_by_itself(tmp_path):
    run = make_run(tmp_path / "run")
    (tmp_path / "my.txt").write_text("ab\n\ncad\nb\n")
    found = numbers(evaluate("--run", "run", "--data", "my.txt", "--json", cwd=tmp_path))
    expected, count = mean_loss(run, [[0, 1, 2, 0], [0, 3, 1, 4, 0], [0, 2, 0]])
    assert found["characters"] == count
    assert found["loss"] == pytest.approx(expected, rel=1e-5)
    assert found["perplexity"] == pytest.approx(exp(expected), rel=1e-4)
    assert found["bits_per_byte"] == pytest.approx(expected * count / 10 / log(2), rel=1e-4)


def test_prose_is_predicted_in_windows(tmp_path):
    run = make_run(tmp_path / "run", "stream", vocabulary="\nabc" + END)
    (tmp_path / "my.txt").write_text("abcabcaacb")
    found = numbers(evaluate("--run", "run", "--data", "my.txt", "--json", cwd=tmp_path))
    whole, n = [0, 1, 2, 3, 1, 2, 3, 1, 1, 3, 2, 0], run.config.n_positions
    expected, count = mean_loss(run, [whole[i : i + n + 1] for i in range(0, 11, n)])
    assert (found["characters"], count) == (11, 11)
    assert found["loss"] == pytest.approx(expected, rel=1e-5)


def test_people_read_the_loss_and_the_perplexity(tmp_path):
    make_run(tmp_path / "run")
    (tmp_path / "my.txt").write_text("ab\n")
    result = evaluate("--run", "run", "--data", "my.txt", cwd=tmp_path)
    assert "run on my.txt: 3 characters predicted, in lines" in result.stdout
    assert "nats per character, perplexity" in result.stdout


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ax\n", "does not know the character 'x'"),
        ("abababab\n", "8 characters"),
        ("", "is empty"),
        (None, "cannot read"),
    ],
)
def test_a_text_that_cannot_be_read_is_refused(tmp_path, text, expected):
    make_run(tmp_path / "run")
    if text is not None:
        (tmp_path / "my.txt").write_text(text)
    assert_refused(evaluate("--run", "run", "--data", "my.txt", cwd=tmp_path), expected)


def test_a_missing_text_is_named(tmp_path):
    assert_refused(evaluate("--run", "run", cwd=tmp_path), "--data is missing")


@pytest.mark.slow
def test_the_loss_of_gpt_2_is_that_of_transformers(tmp_path):
    torch = pytest.importorskip("torch")
    from gpt2_directories import TEXT, shared, tokenizer

    directory, model = shared()
    text = TEXT.read_text()[:3000]
    (tmp_path / "my.txt").write_text(text)
    found = numbers(evaluate("--run", directory, "--data", "my.txt", "--json", cwd=tmp_path))
    tokens, total = tokenizer().encode(text).ids, 0.0
    for i in range(0, len(tokens) - 1, 24):
        window = torch.tensor([tokens[i : i + 25]])
        with torch.no_grad():
            logits = model(window[:, :-1]).logits[0]
        total += float(torch.nn.functional.cross_entropy(logits, window[0, 1:], reduction="sum"))
    assert found["tokens"] == len(tokens) - 1
    assert found["loss"] == pytest.approx(total / (len(tokens) - 1), abs=1e-5)
    assert found["bits_per_byte"] == pytest.approx(total / log(2) / len(text.encode()), abs=1e-4)
    assert np.isfinite(found["perplexity"])
