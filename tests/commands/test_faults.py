"""What is plainly wrong with a run is told in a line, and what is not wrong is not."""

import random
import re
from math import inf
from types import SimpleNamespace

import numpy as np
import pytest
from running import NAMES, ROOT, train

from microgpt import gpt
from microgpt.commands import messages
from microgpt.learning import architecture, parameters
from microgpt.learning.training import TensorUpdate, Update
from microgpt.runs.metrics import read_metrics, read_tensors

LARGE, SMALL = "10 times the usual", "1/10 of the usual"
NO_GRADIENT, JUMPS, BLIND = "they learn nothing", "the training loss jumped", "no better than guessing"
LINES = ("the usual", NO_GRADIENT, JUMPS, BLIND)
QUICK = ["--skip-check", "--steps", "120", "--warmup", "20"]


def texts():
    """Texts of many kinds."""
    chance = random.Random(1)
    numbers = [(chance.randint(0, 999), chance.randint(0, 999)) for _ in range(1000)]
    return {
        "names": "".join(re.findall(r"^\w{6}\n", (ROOT / "data" / "names.txt").read_text(), re.MULTILINE)),
        "sums": "".join(f"{a}+{b}={a + b}\n" for a, b in numbers),
        "genes": "".join("".join(chance.choices("ACGT", k=12)) + "\n" for _ in range(500)),
        "code": (ROOT / "microgpt" / "value.py").read_text(),
        "plays": (ROOT / "data" / "shakespeare.txt").read_text()[:50_000],
        "few": NAMES,
    }


def trained(directory, text, *options):
    """What train.py prints when it learns a text."""
    options = ["--out", "run", "--eval-interval", "30", *QUICK, *options]
    return train(directory, *options, text=texts()[text], file="text.txt").stdout


SMALL_PROSE = "--n-layer 1 --n-embd 24 --n-head 2 --block-size 16 --batch-size 8"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("names", ""),
        ("names", "--seed 1 --n-layer 2 --batch-size 8 --warmup 0"),
        ("names", "--batch-size 1 --learning-rate 0.005"),
        ("sums", "--seed 2"),
        ("few", "--n-embd 16 --batch-size 2"),
        ("plays", SMALL_PROSE + " --seed 3 --weight-decay 0"),
        ("names", "--steps 3 --warmup 100"),
    ],
)
def test_nothing_is_told_of_a_run_that_learns(tmp_path, text, options):
    told = trained(tmp_path, text, *options.split())
    assert not [line for line in told.splitlines() if any(wrong in line for wrong in LINES)]


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "line"), [("0.1", LARGE), ("0.001", SMALL)])
def test_steps_of_the_wrong_size_are_told(tmp_path, rate, line):
    told = trained(tmp_path, "names", "--learning-rate", rate).splitlines()
    (note,) = [i for i, other in enumerate(told) if line in other]
    assert "try --learning-rate 0.01" in told[note]
    assert note < next(i for i, other in enumerate(told) if other.startswith("step    30"))


@pytest.mark.slow
def test_a_loss_that_jumps_is_told(tmp_path):
    told = trained(tmp_path, "names", "--learning-rate", "3", "--warmup", "5")
    assert told.count(JUMPS) == 1
    assert "try a --learning-rate lower than 3" in told


@pytest.mark.slow
def test_weights_that_begin_at_0_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(parameters, "INITIAL_SCALE", 0.0)
    told = trained(tmp_path, "names")
    assert re.search(r"the gradient of \S+ and \d+ other tensors is 0 at step 2", told)
    assert told.count(NO_GRADIENT) == 1
    assert told.splitlines()[-1].startswith("note: the model is no better than guessing (3.30)")
    assert "docs/symptoms.md" in told.splitlines()[-1]


@pytest.mark.slow
def test_dead_units_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(gpt, "gelu", lambda x: (x - 50) * (x > 50))
    told = trained(tmp_path, "names")
    assert re.search(r"the gradient of h.0.ln_2.weight and 4 other tensors is 0 at step 2", told)
    assert BLIND not in told
    assert "explain.py" not in told  # no page shows a comparison


@pytest.mark.slow
def test_a_projection_may_begin_at_0(tmp_path, monkeypatch):
    """What comes before it has no gradient in the first step, and one in the second."""

    def begun(*arguments):
        found = parameters.initial_parameters(*arguments)
        found["h.0.mlp.c_proj.weight"][...] = 0
        return found

    monkeypatch.setattr(architecture, "initial_parameters", begun)
    assert NO_GRADIENT not in trained(tmp_path, "names", "--steps", "10")


@pytest.mark.slow
def test_what_the_steps_did_is_kept(tmp_path):
    trained(tmp_path, "few", "--n-embd", "8", "--steps", "60")
    rows = read_tensors(tmp_path / "run", 60)
    assert list(dict.fromkeys(row[0] for row in rows)) == ["1", "2", "30", "60"]
    of_all = {row[0]: float(row[4]) for row in read_metrics(tmp_path / "run", 60) if row[4]}
    for step in ("1", "30"):
        together = sum(float(row[2]) ** 2 for row in rows if row[0] == step) ** 0.5
        assert together == pytest.approx(of_all[step], rel=1e-5)
    assert {row[4] for row in rows if row[0] == "1" and row[1] == "ln_f.bias"} == {""}  # all its values were 0


@pytest.mark.slow
def test_the_picture_of_the_tensors_names_each(tmp_path):
    train(tmp_path, "--n-embd", "4", "--n-head", "2", "--steps", "3", "--skip-check")
    drawn = (tmp_path / "runs" / "names" / "tensors.svg").read_text()
    assert all(f">{row[1]}<" in drawn for row in read_tensors(tmp_path / "runs" / "names", 3))


def test_a_damaged_file_is_read_while_whole(tmp_path):
    header = "step,tensor,gradient_norm,value_norm,update_ratio\n"
    assert read_tensors(tmp_path, 9) == []
    for content, whole in [
        (header + "1,a,1.0,2.0,\n2,a,1.0,2.0,0.5\n10,a,1.0,2.0,0.5\n", 2),
        (header + "1,a,1.0,2.0,0.1\n2,a,nan,2.0,0.5\n", 1),
        (header + "1,a,1.0,2.0,0.1\n2,a,1.0,2.0,0.", 1),
        (header + "\n", 0),
        (header.upper() + "1,a,1.0,2.0,0.1\n", 0),
        ("", 0),
    ]:
        (tmp_path / "tensors.csv").write_text(content)
        assert len(read_tensors(tmp_path, 9)) == whole


def first_step(ratio, rate=0.01):
    return Update(1, 3.0, rate, 1.0), [TensorUpdate(1.0, 1.0, ratio)] * 3


def test_the_first_step_is_judged_at_full_rate():
    at = SimpleNamespace(learning_rate=1.0)
    assert "70 % of their norm,\n      10 times the usual" in messages.of_step_size(*first_step(0.007), at)
    assert "try --learning-rate 0.1" in messages.of_step_size(*first_step(0.007), at)
    assert messages.of_step_size(*first_step(0.0007), at) == ""
    assert "1/10 of the usual" in messages.of_step_size(*first_step(0.00007), at)
    assert messages.of_step_size(*first_step(inf), at) == ""
    assert messages.of_step_size(Update(1, 3.0, 0.01, 1.0), [], at) == ""


def test_a_jump_loses_half_of_what_was_learned():
    at = SimpleNamespace(learning_rate=1.0)
    falls = np.linspace(4.0, 2.0, 100)
    assert messages.of_jump([*falls, *[3.5] * 20], at) != ""
    assert messages.of_jump([*falls, *[2.5] * 20], at) == ""
    assert messages.of_jump([*falls, 9.0, *[2.0] * 20], at) == ""  # a batch that is unlike the others
    assert messages.of_jump([4.0] * 49, at) == ""
    chance = np.random.default_rng(0)
    assert messages.of_jump(list(3.3 + chance.normal(size=1000)), at) == ""  # noise, and nothing learned
