"""docs/break-it.md is true: each change is made, each command run, and what is shown is what happens."""

import re
from functools import partial
from math import inf

import numpy as np
import pytest
from breaking import ROOT, Project, assert_shown, losses, runs

pytestmark = pytest.mark.slow

DOCUMENT = (ROOT / "docs" / "break-it.md").read_text(encoding="utf-8")
INTRODUCTION, *EXERCISES = DOCUMENT.split("\n## ")
TITLES = [exercise.split("\n")[0] for exercise in EXERCISES]


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def section(number):
    return next(exercise for exercise in EXERCISES if exercise.startswith(f"{number}. "))


def seen(project, number):
    return project.seen(section(number), assert_shown)


def quick(project, command):
    """The first and the last loss of a command for the scalar engine, on few short names and with few steps."""
    names = (ROOT / "data" / "names.txt").read_text().splitlines()
    some = [name for name in names if len(name) == 3][::2]
    (project.directory / "some.txt").write_text("\n".join(some))
    printed = project.call(command.replace("40", "12") + " --data some.txt --skip-check")
    return losses(printed)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The last validation loss of each command of the introduction, on the project as it is."""
    project = Project(tmp_path_factory.mktemp("unbroken"))
    (first, _), *others = runs(INTRODUCTION)
    found = [quick(project, *first)[-1]]
    for commands, shown in others:
        printed = project.call(*commands)
        assert_shown(shown, printed)
        found.append(losses(printed)[-1])
    return found


def test_there_are_ten_exercises():
    assert [title.split(".")[0] for title in TITLES] == [str(n) for n in range(1, 11)]
    assert all("Why" in text or len(text.split("```")[-1]) > 150 for text in EXERCISES)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_wrong_gradient_learns_less(project, unbroken, number):
    project.break_it(section(number))
    (commands, _), *refused = runs(section(number))
    first, last = quick(project, *commands)
    assert last > unbroken[0] + 0.05
    assert number != 2 or last < first  # the worst kind: it learns a little
    for commands, shown in refused:
        assert shown[0].removesuffix("...") in project.call(*commands)


def test_without_scale_a_large_head_learns_less(project):
    reference = float(re.search(r"With the scale: (\d+\.\d+)", section(4))[1])
    command = runs(section(4))[0][0][0]
    assert losses(project.call(command))[-1] == pytest.approx(reference, rel=0.03)
    assert losses(seen(project, 4)[0])[-1] > reference + 0.04


def test_seeing_the_future_makes_the_loss_lie(project, unbroken):
    project.break_it(section(5))
    printed = project.call(runs(section(5))[0][0][0])
    assert losses(printed)[-1] < unbroken[1] / 2  # how far it falls differs from machine to machine
    assert "(empty)" in [line for line in printed.splitlines() if line.startswith("step")][-1]


def test_without_layer_norm_four_layers_run_away(project):
    reference = float(re.search(r"With layer norm: (\d+\.\d+)", section(6))[1])
    command = runs(section(6))[0][0][0]
    assert losses(project.call(command))[-1] == pytest.approx(reference, rel=0.03)
    project.break_it(section(6))
    project.keep_names_of_six()
    assert losses(project.call(command))[-1] > reference + 0.3  # how far it runs differs from machine to machine


def test_without_residuals_four_layers_learn_less(project, unbroken):
    assert losses(seen(project, 7)[0])[-1] > max(unbroken[1:]) + 0.3


def test_without_warm_up_a_high_rate_costs_something(project):
    warm, cold = (losses(printed)[-1] for printed in seen(project, 8))
    assert cold > warm + 0.02


def norms(printed):
    return [float(row.split(",")[2]) for row in printed.splitlines() if re.match(r"[1-5],\d+\.", row)]


def test_an_explosion_shows_in_the_gradient_norms(project, tmp_path):
    """An explosion amplifies the rounding, which differs from machine to machine: only the first step has digits."""
    ((commands, shown),) = runs(section(9))
    unbroken = Project(tmp_path / "unbroken")
    unbroken.keep_names_of_six()
    whole = unbroken.call(*commands)
    project.break_it(section(9))
    broken = project.call(*commands)
    assert_shown(shown[:3], broken)
    assert [row.split(",")[0] for row in broken.splitlines()[-len(shown) :]] == [row.split(",")[0] for row in shown]
    assert len(norms(whole)) == len(norms(broken)) == len(norms("\n".join(shown))) == 5
    assert all(0.3 < norm < 10 for norm in norms(whole))
    assert all(100 * max(norms(whole)) < norm < inf for norm in norms(broken) + norms("\n".join(shown)))


def test_a_vanishing_gradient_hides_in_the_norms(project):
    text = section(10)
    project.break_it(text)
    (commands, shown), *_ = runs(text)
    printed = project.call(*commands[:2])  # the page is tested elsewhere
    assert_shown([line for line in shown if line[0].isdigit()], printed)
    assert 0.01 < norms(printed)[-1] < 10
    lengths = re.findall(r"\| `(\S+)` \| ([\d.e-]+) \|", text)
    assert len(lengths) == 5
    found = gradient_norms(project)
    for name, length in lengths:
        assert found[name] == pytest.approx(float(length), rel=0.5)
    assert found["h.0.mlp.c_fc.weight"] < 0.05 * found["h.3.mlp.c_fc.weight"]


def gradient_norms(project):
    """The length of the gradient of each tensor, on the example of the page."""
    with project.imported():
        from microgpt import gpt, load_run, value_and_grad
        from microgpt.learning.text import encode

        run = load_run(project.directory / "runs" / "vanishes")
        tokens = np.array([encode("\nanna\n", run.vocabulary)])
        step = value_and_grad(partial(gpt.loss, config=run.config), "scalar")
        gradients = step(run.parameters, tokens, np.full((1, 5), 0.2))[1]
    return {name: np.linalg.norm(array) for name, array in gradients.items()}
