"""docs/symptoms.md is true: each symptom is made, and the numbers say on any machine what the page says they do."""

import csv
import re
import shutil
from math import log

import pytest
from breaking import ROOT, Project, losses, runs

pytestmark = pytest.mark.slow

DOCUMENT = (ROOT / "docs" / "symptoms.md").read_text(encoding="utf-8")
INTRODUCTION, *PARTS = re.split(r"\n##+ ", DOCUMENT)
SECTIONS = {part.split("\n")[0]: part for part in PARTS}
BLIND = log(27)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    """What the run of the introduction prints."""
    (printed,) = Project(tmp_path_factory.mktemp("healthy")).seen(INTRODUCTION, assert_shown)
    return printed


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def assert_shown(shown, printed):
    """Every line that is shown was printed, whatever its numbers are."""
    for line in shown:
        beginning = re.match(r"step +\d+ |\d+,(?:[a-z][\w.]+,)?|[^\d]*?(?=\.\.\.|\d|$)", line)[0]
        assert any(other.startswith(beginning) for other in printed.splitlines()), (line, printed)


def section(number):
    return next(part for title, part in SECTIONS.items() if title.startswith(f"{number}. "))


def seen(project, text):
    return project.seen(text, assert_shown)


def rows(project, run, file):
    with (project.directory / "runs" / run / file).open() as lines:
        return list(csv.DictReader(lines))


def line_of_function(project, text):
    """The number of the line of functions.py that begins with a text."""
    return (project.directory / "microgpt" / "functions.py").read_text().split(text)[0].count("\n") + 1


def instructions(printed):
    return int(re.search(r"became (\d+) array instructions", printed)[1])


def test_every_symptom_has_its_remedy():
    linked = re.findall(r"\[(\d+)\]\(#([\w-]+)\)", INTRODUCTION)
    assert [int(number) for number, _ in linked] == list(range(1, 13))
    for number, anchor in linked:
        title = section(number).split("\n")[0]
        assert re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") == anchor
        assert "**Remedy:**" in section(number)


def test_a_wrong_gradient_is_found_by_the_check(project):
    page = (ROOT / "docs" / "break-it.md").read_text(encoding="utf-8")
    project.break_it(page.split("\n## 1. ")[1].split("\n## 2. ")[0])
    (said,) = re.findall(r"^error: .*(?=\.\.\.$)", INTRODUCTION, re.MULTILINE)
    assert said in project.call("python train.py")


def test_the_healthy_run_is_healthy(healthy):
    first, *_, last = losses(healthy)
    assert BLIND < first < BLIND + 1
    assert last < 2.5
    assert "note:" not in healthy


def test_1_weights_that_begin_at_0(project):
    (printed,) = seen(project, section(1))
    assert losses(printed) == pytest.approx([BLIND] * 3, abs=1e-3)
    assert all(float(row["gradient_norm"]) == 0 for row in rows(project, "names", "tensors.csv"))


def test_2_a_gradient_that_vanishes(project):
    healthy = losses(project.call(runs(section(2))[0][0][0]))[-1]
    assert healthy == pytest.approx(float(re.search(r"has (\d\.\d+) after the same 10 steps", section(2))[1]), abs=0.05)
    shutil.rmtree(project.directory / "runs")
    project.keep_names_of_six()
    (printed,) = seen(project, section(2))
    assert healthy < losses(printed)[-1] - 0.1
    norms = {row["tensor"]: float(row["gradient_norm"]) for row in rows(project, "vanishes", "tensors.csv")[:53]}
    assert norms["h.0.mlp.c_fc.weight"] < 1e-6 * norms["h.3.mlp.c_proj.bias"]
    assert 0.01 < float(rows(project, "vanishes", "metrics.csv")[1]["gradient_norm"]) < 10


def test_3_steps_that_are_too_small(project, healthy):
    (printed,) = seen(project, section(3))
    assert losses(healthy)[-1] + 0.4 < losses(printed)[-1] < losses(printed)[0]


def test_4_a_warm_up_that_is_too_long(project):
    (printed,) = seen(project, section(4))
    first, second, *_, before, last = losses(printed)
    assert 0 < first - second < 0.5 * (before - last)


def test_5_weights_that_begin_too_large(project, healthy):
    (printed,) = seen(project, section(5))
    assert losses(printed)[0] > 2 * BLIND
    assert losses(healthy)[-1] + 0.1 < losses(printed)[-1] < BLIND


def test_6_steps_that_are_too_large(project, healthy):
    (printed,) = seen(project, section(6))
    assert max(losses(printed)[1:]) > losses(healthy)[-1] + 0.3


def test_7_nan_at_once(project):
    (printed,) = seen(project, section(7))
    line = line_of_function(project, "    scale = variance**-0.5")
    assert f"0.0 ** -0.5 in line {line} of functions.py, row 0, is a division by 0" in printed
    (command,), _ = runs(section(7))[0]
    checked = project.call(command.replace(" --skip-check", ""))
    for said in (printed, checked):
        assert "numbers are not finite in this model: " in said
        assert "no step was taken yet" in said
        assert "lower than" not in said


def test_8_nan_late(project):
    (printed,) = seen(project, section(8))
    line = line_of_function(project, "    return -log(")
    assert int(re.search(r"diverged at step (\d+)", printed)[1]) > 10
    assert re.search(rf"log\([\d.e+-]+\) in line {line} of functions.py, row \d+", printed)


def test_9_learning_by_heart(project):
    (printed,) = seen(project, section(9))
    assert losses(printed)[-1] > min(losses(printed)) + 0.2
    assert float(rows(project, "few", "metrics.csv")[-1]["training_loss"]) < min(losses(printed)) - 0.4


def test_10_a_model_that_is_too_small(project, healthy):
    (printed,) = seen(project, section(10))
    last = rows(project, "small", "metrics.csv")[-1]
    assert float(last["validation_loss"]) > losses(healthy)[-1] + 0.2
    assert float(last["training_loss"]) == pytest.approx(float(last["validation_loss"]), abs=0.2)
    assert float(last["validation_loss"]) > 2.33
    assert "2.33 is counting pairs" in printed


def test_11_samples_that_repeat(project):
    (printed,) = seen(project, section(11))
    written = printed.splitlines()[-8:]
    daring = project.call("python sample.py --run runs/repeats --num-samples 8 --quiet").splitlines()
    assert len(set(written)) <= 5 < len(set(daring))


def test_12_operations_that_wait_for_each_other(project, healthy):
    (printed,) = seen(project, section(12))
    assert instructions(printed) > 2 * instructions(healthy)


def test_pre_norm_needs_no_warm_up(project):
    section = SECTIONS["Where does a layer norm stand, and why? Why is there a warm-up?"]
    text = section.replace("--learning-rate 0.03", "--learning-rate 0.04")  # names of one length learn more easily
    project.keep_names_of_six()
    (without_warm_up, _), _ = runs(text)
    pre = losses(project.call(*without_warm_up))[-1]
    post, warmed = (losses(printed)[-1] for printed in seen(project, text))
    assert pre < post - 0.2
    assert warmed < post - 0.15


def test_a_large_head_needs_its_scale(project):
    text = SECTIONS["What does a missing `1 / sqrt(d)` do?"]
    ((commands, _),) = runs(text)
    project.keep_names_of_six()
    scaled = losses(project.call(*commands))[-1]
    assert scaled < losses(*seen(project, text))[-1] - 0.05
