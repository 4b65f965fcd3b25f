"""docs/break-it.md is true: each change is made, each command run, and what is shown is what happens."""

import os
import re
import shutil
import subprocess
import sys
from math import inf
from pathlib import Path

import pytest
from breaking import assert_shown, break_it, call, copy_project, losses, runs

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "break-it.md").read_text(encoding="utf-8")
INTRODUCTION, *EXERCISES = DOCUMENT.split("\n## ")
TITLES = [exercise.split("\n")[0] for exercise in EXERCISES]


@pytest.fixture
def project(tmp_path):
    return copy_project(tmp_path)


def section(number):
    return next(exercise for exercise in EXERCISES if exercise.startswith(f"{number}. "))


def seen(project, number):
    """Break the project as an exercise says, run its commands, check what is shown, and return what was printed."""
    text = section(number)
    break_it(project, text)
    printed = []
    for commands, shown in runs(text):
        together = "\n".join(call(project, command) for command in commands)
        assert_shown(shown, together)
        printed.append(together)
    return printed


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The last validation loss of each command of the introduction, on the project as it is."""
    found = []
    for commands, shown in runs(INTRODUCTION):
        directory = tmp_path_factory.mktemp("unbroken")
        words = [sys.executable, ROOT / "train.py", *commands[0].split()[2:]]
        printed = subprocess.run(words, cwd=directory, capture_output=True, text=True, check=True).stdout
        assert_shown(shown, printed)
        found.append(losses(printed)[-1])
    return found


def test_there_are_ten_exercises():
    assert [title.split(".")[0] for title in TITLES] == [str(n) for n in range(1, 11)]
    assert all("Why" in text or len(text.split("```")[-1]) > 150 for text in EXERCISES)


def test_a_wrong_derivative_does_not_learn_and_is_found_by_the_check(project, unbroken):
    scalar, refused = seen(project, 1)
    first, last = losses(scalar)
    assert last > first - 0.1 > unbroken[0] + 0.3
    assert "the derivative of * in value.py is wrong" in refused


def test_overwritten_gradients_learn_slower(project, unbroken):
    first, last = losses(seen(project, 2)[0])
    assert unbroken[0] + 0.2 < last < first


def test_the_wrong_order_hardly_learns(project, unbroken):
    first, last = losses(seen(project, 3)[0])
    assert last > unbroken[0] + 0.3
    assert last > first - 0.2


def test_without_the_scale_a_large_head_learns_less(project):
    reference = float(re.search(r"With the scale: (\d+\.\d+)", section(4))[1])
    command = runs(section(4))[0][0][0]
    assert losses(call(project, command))[-1] == pytest.approx(reference, rel=0.03)
    assert losses(seen(project, 4)[0])[-1] > reference + 0.04


def test_a_model_that_sees_the_future_has_a_loss_that_lies(project, unbroken):
    printed = seen(project, 5)[0]
    assert losses(printed)[-1] < unbroken[1] / 2
    assert "(empty)" in [line for line in printed.splitlines() if line.startswith("step")][-1]


def test_without_layer_norm_four_layers_run_away(project):
    reference = float(re.search(r"With layer norm: (\d+\.\d+)", section(6))[1])
    command = runs(section(6))[0][0][0]
    assert losses(call(project, command))[-1] == pytest.approx(reference, rel=0.03)
    break_it(project, section(6))
    assert losses(call(project, command))[-1] > reference + 0.3  # how far it runs differs from machine to machine


def test_without_residuals_four_layers_are_worse_than_one(project, unbroken):
    assert losses(seen(project, 7)[0])[-1] > max(unbroken[1:]) + 0.3


def test_without_warm_up_a_high_rate_costs_something(project):
    warm, cold = (losses(printed)[-1] for printed in seen(project, 8))
    assert cold > warm + 0.02


def norms(printed):
    return [float(row.split(",")[2]) for row in printed.splitlines() if re.match(r"[1-5],\d+\.", row)]


def test_an_explosion_shows_in_the_gradient_norms(project):
    """An explosion amplifies the rounding, which differs from machine to machine: only the first step has digits."""
    ((commands, shown),) = runs(section(9))
    whole = "\n".join(call(project, command) for command in commands)
    shutil.rmtree(project / "runs")
    break_it(project, section(9))
    broken = "\n".join(call(project, command) for command in commands)
    assert_shown(shown[:3], broken)
    assert [row.split(",")[0] for row in broken.splitlines()[-len(shown) :]] == [row.split(",")[0] for row in shown]
    assert len(norms(whole)) == len(norms(broken)) == len(norms("\n".join(shown))) == 5
    assert all(0.3 < norm < 10 for norm in norms(whole))
    assert all(100 * max(norms(whole)) < norm < inf for norm in norms(broken) + norms("\n".join(shown)))


def test_a_vanishing_gradient_shows_on_the_page_and_not_in_the_norms(project):
    text = section(10)
    break_it(project, text)
    (commands, shown), *_ = runs(text)
    printed = "\n".join(call(project, command) for command in commands)
    assert_shown(shown, printed)
    assert 0.01 < norms(printed)[-1] < 10
    lengths = re.findall(r"\| `(\S+)` \| ([\d.e-]+) \|", text)
    assert len(lengths) == 5
    program = """
from functools import partial
import numpy as np
from microgpt import gpt, load_run, value_and_grad
from microgpt.learning.text import encode
run = load_run("runs/vanishes")
tokens = np.array([encode("\\nanna\\n", run.vocabulary)])
step = value_and_grad(partial(gpt.loss, config=run.config), "scalar")
for name, array in step(run.parameters, tokens, np.full((1, 5), 0.2))[1].items():
    print(name, np.linalg.norm(array))
"""
    environment = os.environ | {"PYTHONPATH": str(project)}
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=project, env=environment, capture_output=True, text=True
    )
    found = dict(line.split() for line in result.stdout.splitlines())
    for name, length in lengths:
        assert float(found[name]) == pytest.approx(float(length), rel=0.5)
    assert float(found["h.0.mlp.c_fc.weight"]) < 0.05 * float(found["h.3.mlp.c_fc.weight"])
