"""What training says is true, said in time, and harms nobody's terminal."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from running import TINY, call, train

from microgpt.commands import messages
from microgpt.learning.batches import make_corpus
from microgpt.learning.reading import text_of
from microgpt.runs.checkpoint import Evaluation, load_checkpoint

FOX = "the quick brown fox jumps over the lazy dog\n" * 12


def looked_at(step, loss):
    return Evaluation(step, loss, np.zeros(1), [])


def test_learning_by_heart_is_told():
    note = messages.of_overfitting(looked_at(40, 2.0), looked_at(60, 2.3), [2.5, 2.1, 1.7])
    assert "rose from 2.0000 at step 40 to 2.3000" in note
    assert "fell from 2.1000 to 1.7000" in note
    assert "--" not in note  # no option was tried, so none is recommended


@pytest.mark.parametrize(
    ("loss", "training"), [(1.9, [2.5, 1.7]), (2.001, [2.5, 1.7]), (2.3, [1.7, 1.8]), (2.3, [2.5, 2.1]), (2.3, [1.7])]
)
def test_nothing_else_is_called_learning_by_heart(loss, training):
    assert messages.of_overfitting(looked_at(40, 2.0), looked_at(60, loss), training) == ""


@pytest.mark.parametrize(
    ("best", "found", "training", "gives_up"),
    [
        (1.9, 3.2, [1.5], True),
        (1.9, 2.9, [1.5], False),  # better than blind guessing, which has 3.0
        (1.9, 3.2, [2.5], False),  # a rate that is too high, perhaps, and it will come back when it falls
        (1.9, 3.2, [], False),
        (3.3, 3.2, [1.4], False),  # it gets better
        (3.2, 3.3, [1.4], True),  # it never was better than blind guessing, and learns the text by heart
        (3.2, 3.3, [2.0], False),
    ],
)
def test_training_stops_where_it_guesses_worse_than_blindly(best, found, training, gives_up):
    said = messages.of_early_stop(looked_at(200, best), looked_at(400, found), training, 3.0, Path("runs/my text"))
    assert bool(said) == gives_up
    if said:
        assert "stopped at step 400" in said
        assert f"{found:.4f} is worse than guessing (3.0000)" in said
        assert said.endswith('python train.py --resume "runs/my text"')


@pytest.mark.slow
def test_a_stopped_run_can_be_insisted_on(tmp_path):
    rng = np.random.default_rng(0)
    lines = ["".join(rng.choice(list("abcdefgh"), 6)) for _ in range(40)]  # there is nothing to learn but by heart
    options = "--steps 400 --eval-interval 50 --n-embd 32 --batch-size 8 --warmup 5 --weight-decay 0 --skip-check"
    result = train(tmp_path, *options.split(), text="\n".join(lines), file="letters.txt")
    assert "worse than guessing" in result.stdout
    assert "to write:       python sample.py" in result.stdout
    run = tmp_path / "runs" / "letters"
    stopped, kept = load_checkpoint(run).step, load_checkpoint(run).model
    assert stopped < 400
    assert stopped % 50 == 0
    assert kept.step < stopped
    assert call("sample.py", "--num-samples", "2", cwd=tmp_path).returncode == 0
    result = call("train.py", "--resume", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "stopped at" not in result.stdout
    assert load_checkpoint(run).step == 400


@pytest.mark.slow
def test_learning_by_heart_is_told_twice(tmp_path):
    text = "".join(f"{a}{b}{a}\n" for a in "abcdefg" for b in "hijk")
    options = "--documents lines --steps 300 --eval-interval 50 --n-embd 32 --batch-size 8 --warmup 5 --weight-decay 0"
    result = train(tmp_path, "--skip-check", "--seed", "1", *options.split(), text=text)
    kept = load_checkpoint(tmp_path / "runs" / "names").model
    assert kept.step < 300
    assert result.stdout.count("note: overfitting") == 1
    assert f"kept: the model of step {kept.step}; the {300 - kept.step} steps after" in result.stdout


def test_the_kind_of_a_text_is_told():
    def of_kind(text, usual, room):
        return messages.of_kind(text_of(text), usual, room)

    streets = "".join(f"{a}{b} street\n" for a in "abcdefgh" for b in "ijklmnop")
    assert of_kind(streets, 16, 16) == ""
    assert of_kind(streets + "a very long name of a street\n" + streets, 16, 16) == (
        "read as prose, because line 65 has 28 characters (15 at most for lines)\n"
        "to read it line by line, add --documents lines --block-size 29"
    )
    assert of_kind(streets + "\n" + streets, 16, 16) == ""  # one empty line is none to speak of
    assert of_kind(streets.replace("i street", "\n"), 16, 16) == (
        "read as prose, because 8 of 72 lines are empty, but do not separate all others\n"
        "to read it line by line, add --documents lines"
    )
    assert of_kind(streets.replace("\n", "\n\n"), 16, 16) == (
        "read line by line, because empty lines separate the others\nto read it as prose, add --documents stream"
    )
    assert of_kind(streets, 8, 10) == (
        "read line by line, because no line has more than 9 characters or looks like a sentence\n"
        "to read it as prose, add --documents stream"
    )
    assert of_kind("long " * 1000, 16, 16).endswith("line 1 has 5,000 characters (15 at most for lines)")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "context", "said"),
    [
        ([], 25, "note: read line by line, because no line has more than 24 characters"),
        (["--documents", "stream", "--block-size", "8"], 8, ""),
        (["--block-size", "20"], 20, "has 24 characters (19 at most for lines)\n      to read it line by"),
        (["--documents", "lines", "--block-size", "25"], 25, ""),
    ],
)
def test_lines_of_24_letters_are_lines(tmp_path, options, context, said):
    lines = [a + b + "gattaca" * 3 + c for a in "acgt" for b in "acgtn" for c in "acgtnr"]
    result = train(tmp_path, *TINY, "--skip-check", *options, text="\n".join(lines) + "\n", file="dna.txt")
    assert f"context {context}\n" in result.stdout
    assert said in result.stdout if said else "note: read" not in result.stdout


@pytest.mark.slow
def test_a_short_text_is_looked_at_early(tmp_path):
    options = "--n-embd 16 --n-head 2 --n-layer 1 --block-size 8 --steps 200 --skip-check"
    out = train(tmp_path, *options.split(), text=FOX).stdout
    looks = [int(line.split()[1]) for line in out.splitlines() if line.startswith("step ")]
    assert looks == [0, 1, 2, 4, 10, 20, 40, 80, 120, 160, 200]


@pytest.mark.slow
def test_a_model_best_at_first_is_called_untrained(tmp_path):
    result = train(tmp_path, *TINY, "--warmup", 0, "--learning-rate", 100)
    assert load_checkpoint(tmp_path / "runs" / "names").model.step == 0
    assert "kept: the untrained model, which writes noise" in result.stdout
    assert "it writes noise" in call("sample.py", cwd=tmp_path).stderr


@pytest.mark.slow
def test_a_text_too_short_is_told(tmp_path):
    options = ["--n-head", "2", "--n-layer", "1", "--block-size", "8", "--steps", "1", "--skip-check"]
    first, smaller = (train(tmp_path, *options, "--n-embd", size, text=FOX).stdout for size in (16, 2))
    assert re.search(r"47\d characters for [34],\d{3} parameters: it may only memorize", first)
    assert "memorize" not in smaller


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"learning_rate": 0.01, "weight_decay": 1e300}, "--weight-decay lower than 1e+300"),
        ({"learning_rate": 50.0, "weight_decay": 0.3}, "--learning-rate lower than 50"),
        ({"learning_rate": 0.5, "weight_decay": 0.3}, "--learning-rate lower than 0.5"),
    ],
)
def test_the_remedy_lowers_what_is_too_large(settings, remedy):
    assert remedy in messages.remedy_of(SimpleNamespace(**settings), steps=1)


def test_no_smaller_first_step_is_advised():
    remedy = messages.remedy_of(SimpleNamespace(learning_rate=50.0, weight_decay=0.3), steps=0)
    assert "no step was taken" in remedy
    assert "lower" not in remedy


@pytest.mark.parametrize(
    ("text", "documents", "told"),
    [
        ("ab\nba\n", "lines", "learning from x.txt: 1 line, 1 more held out"),
        ("ab\nba\nbb\n", "lines", "learning from x.txt: 2 lines, 1 more held out"),
        ("ab\n" * 9 + "ba\n" * 1200, "lines", ("x.txt: 9 lines, 1,200 more", "x.txt: 1,200 lines, 9 more")),
        ("ab" * 500, "stream", "learning from x.txt: 902 characters, 99 more held out"),
    ],
)
def test_one_is_told_as_one(text, documents, told):
    found = messages.of_text(make_corpus(text, 8, 0, documents), "x.txt")
    assert any(words in found for words in ([told] if isinstance(told, str) else told))
