"""Several runs: a sweep over settings, and a comparison."""

import runpy
import shutil
import subprocess
import sys

import pytest
from running import NAMES, ROOT, TINY, run_within

from microgpt.commands.sweep import planned, summary
from microgpt.runs.comparison import compared, table
from microgpt.runs.terminal_plot import plotted

SWEEP = ["sweep", str(ROOT / "train.py"), "--data", "names.txt", "--skip-check", *TINY]


def command(*arguments, cwd):
    return run_within(lambda: runpy.run_module("microgpt", run_name="__main__", alter_sys=True), "microgpt",
                      *arguments, cwd=cwd, given="")  # fmt: skip


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A directory with a sweep of four runs, and what it printed."""
    directory = tmp_path_factory.mktemp("sweep")
    (directory / "names.txt").write_text(NAMES)
    result = command(*SWEEP, "--learning-rate", "0.01,0.1", "--seed=0,1", cwd=directory)
    assert result.returncode == 0, result.stderr
    return directory / "runs" / "sweep", result


@pytest.mark.slow
def test_sweep_runs_all_combinations(swept):
    directory, result = swept
    names = sorted(path.name for path in directory.glob("*=*/"))
    assert names == [f"learning-rate={rate},seed={seed}" for rate in ("0.01", "0.1") for seed in (0, 1)]
    means = [line for line in result.stdout.splitlines() if "(2 runs)" in line]
    assert {line.split(":")[0] for line in means} == {"learning-rate 0.01", "learning-rate 0.1"}
    found = [run.checkpoint.model.loss for run in compared(sorted(directory.glob("*=0.1,*/")))]
    mean = next(line for line in means if line.startswith("learning-rate 0.1:"))
    assert f": {sum(found) / 2:.4f} +- {abs(found[0] - found[1]) / 2**0.5:.4f}" in mean


@pytest.mark.slow
def test_sweep_goes_on_where_it_was_stopped(swept, tmp_path):
    shutil.copytree(swept[0].parents[1], tmp_path / "again")
    directory = tmp_path / "again" / "runs" / "sweep"
    shutil.rmtree(directory / "learning-rate=0.1,seed=1")
    kept = (directory / "learning-rate=0.1,seed=0" / "metrics.csv").stat().st_mtime_ns
    result = command(*SWEEP, "--learning-rate", "0.01,0.1", "--seed=0,1", cwd=tmp_path / "again")
    assert "3 of 4 runs are done already" in result.stdout
    assert (directory / "learning-rate=0.1,seed=0" / "metrics.csv").stat().st_mtime_ns == kept
    before = [line for line in swept[1].stdout.splitlines() if "(2 runs)" in line]
    assert [line for line in result.stdout.splitlines() if "(2 runs)" in line] == before
    other = command(*SWEEP, "--steps", "3", "--learning-rate", "0.01,0.1", "--seed=0,1", cwd=tmp_path / "again")
    assert "has another sweep" in other.stderr


@pytest.mark.slow
def test_comparison_names_what_differs(swept, tmp_path):
    runs = sorted(swept[0].glob("*=*/"))
    result = command("compare", *map(str, runs), str(swept[0] / "sweep.json"), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    head = next(line for line in result.stdout.splitlines() if "validation" in line)
    assert head.split() == ["run", "learning_rate", "seed", "validation", "seconds"]
    assert [line.split()[2:4] for line in table(compared(runs))[1:]] == [
        [rate, seed] for rate in ("0.01", "0.1") for seed in "01"
    ]
    assert (tmp_path / "runs" / "compare.svg").exists()


@pytest.mark.slow
def test_failed_run_is_named(data):
    arguments = ["--data", "names.txt", "--n-embd", "4,6", "--n-head", "4", "--steps", "2", "--engine", "scalar"]
    result = command("sweep", str(ROOT / "train.py"), *arguments, cwd=data)
    assert result.returncode == 1
    assert "n-embd 6: failed" in result.stdout
    assert "n-embd=6.txt" in result.stderr
    assert "--n-embd is 6" in (data / "runs" / "sweep" / "n-embd=6.txt").read_text()
    assert "n-embd 4: 3." in result.stdout or "n-embd 4: 2." in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sweep", "train.py", "--seed", "0"], "nothing varies"),
        (["sweep", "nowhere.py", "--seed", "0,1"], "there is no script nowhere.py"),
        (["sweep", "train.py", "--resume", "--seed", "0,1"], "--resume: a sweep goes on by itself"),
        (["compare", "runs/nowhere"], "runs/nowhere"),
        (["compare", "runs/a", "--out"], "--out: expected a file"),
        (["other"], "usage: python -m microgpt COMMAND"),
    ],
)
def test_wrong_calls_are_told(arguments, said, tmp_path):
    result = command(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert said in result.stderr


def test_plan_parts_what_varies(tmp_path):
    script = tmp_path / "train.py"
    script.touch()
    plan, directory = planned(script, ["--seed", "0, 1", "--skip-check", "--n-embd=8,16", "--out", "x", "--steps", "5"])
    assert plan.fixed == ("--skip-check", "--steps", "5", "--threads", "1")
    assert list(plan.combinations())[1] == {"--seed": "0", "--n-embd": "16"}
    assert directory.name == "x"
    assert summary(plan, directory) == []


def test_module_says_how_to_call_it():
    result = subprocess.run([sys.executable, "-m", "microgpt", "--help"], capture_output=True, text=True, check=True)
    assert "sweep" in result.stdout


def test_picture_shows_where_a_curve_is():
    lines = plotted({"a": [(0, 100.0), *[(i, 3.0 - 0.01 * i) for i in range(1, 100)]], "b": [(0, float("nan"))]})
    assert lines[0].split("|")[1].startswith("^")
    assert "up to 100" in lines[-1]
    assert lines[9].endswith("a")
    assert not any("b" in line.partition("|")[2] for line in lines[:10])
    assert plotted({"a": [(1, float("nan"))]}) == ["  every number is NaN"]
    assert plotted({}) == ["  there is nothing to draw"]


MINE = """import numpy as np

def loss(params, x, y):
    return (params["w"] * x - y) ** 2

params, x, y = {"w": np.array(0.5)}, np.array([1.0, 2.0]), np.array([3.0, 5.0])
"""


def test_explain_writes_the_page_of_a_file(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    result = command("explain", "mine.py", "--out", "mine.html", cwd=tmp_path)
    said = "loss takes 8 operations forward, for 2 examples\nopen mine.html in a browser\n"
    assert (result.returncode, result.stdout, result.stderr) == (0, said, "")
    (tmp_path / "data.py").write_text(MINE.replace("params, x, y =", "params, *data ="))
    assert command("explain", "data.py", cwd=tmp_path).returncode == 0
    assert (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no file mine.py: expected a Python file with a function `loss(params, ...)`"),
        ("x = 1", "mine.py has no function `loss`: expected a function `loss(params, ...)`"),
        ("def loss(params): ...", "mine.py has no `params`"),
        (MINE.replace("params, x, y =", "params, x, z ="), "mine.py has no `y`, which `loss` takes, and no `data`"),
        ("\n1 / 0", "mine.py does not run: ZeroDivisionError: division by zero (line 2 of mine.py)"),
        (
            MINE.replace("x - y", "x[0] - y"),
            "mine.py: TypeError: 'float' object is not subscriptable (line 4 of mine.py)",
        ),
    ],
)
def test_explain_says_in_one_line_what_a_file_lacks(tmp_path, text, message):
    if text is not None:
        (tmp_path / "mine.py").write_text(text)
    result = command("explain", "mine.py", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {message}")
    assert result.stderr.count("\n") == 1
