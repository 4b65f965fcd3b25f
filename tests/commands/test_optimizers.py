"""train.py learns by any update rule, goes on with it, and runs no rule that the user does not name or trust."""

import shutil

import numpy as np
import pytest
from running import assert_refused, call, train

from microgpt.runs.checkpoint import load_checkpoint

SMALL = ["--batch-size", "2", "--n-embd", "4", "--n-head", "1", "--block-size", "4", "--skip-check"]
RULE = """
from pathlib import Path

LEARNING_RATE = 0.25

def update(name, parameter, gradient, m, v, step, learning_rate, weight_decay):
    Path("ran").touch()
    return parameter - learning_rate * gradient, m + step, v
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A directory with a run of two steps by a rule of one's own."""
    directory = tmp_path_factory.mktemp("rule")
    (directory / "mine.py").write_text(RULE)
    return directory, train(directory, *SMALL, "--optimizer", "mine.py", "--steps", "2")


@pytest.fixture
def here(trained, tmp_path):
    """A copy of it, to be changed, where the rule has not run yet."""
    shutil.copytree(trained[0], tmp_path / "here")
    (tmp_path / "here" / "ran").unlink()
    return tmp_path / "here"


def saved(directory):
    return load_checkpoint(directory / "runs" / "names")


def test_own_rule_trains_with_its_settings(trained):
    directory, result = trained
    assert "learning by mine.py, tensor by tensor" in result.stdout
    checkpoint = saved(directory)
    assert checkpoint.origin.settings["learning_rate"] == 0.25
    assert (checkpoint.adam_m == 3).all()  # the steps 1 and 2


@pytest.mark.parametrize("option", [["--optimizer", "mine.py"], ["--trust"]])
def test_resumed_run_goes_on_with_its_rule(here, option):
    train(here, "--resume", "--steps", "3", *option)
    assert (saved(here).adam_m == 6).all()


def test_run_executes_no_rule_by_itself(here):
    assert_refused(
        call("train.py", "--resume", "--steps", "3", cwd=here), "runs/names learns by a rule of its own, mine.py",
        "add --trust",
    )  # fmt: skip
    (here / "mine.py").write_text(RULE + "\n")
    assert_refused(
        call("train.py", "--resume", "--steps", "3", "--optimizer", "mine.py", cwd=here),
        "mine.py is another text than at the time of training",
    )
    assert not (here / "ran").exists()


def test_sampling_needs_no_rule(here):
    (here / "mine.py").unlink()
    result = call("sample.py", "--num-samples", "1", cwd=here)
    assert result.returncode == 0, result.stderr
    assert not (here / "ran").exists()


def test_resumed_run_keeps_to_its_rule(here):
    assert_refused(
        call("train.py", "--resume", "--steps", "3", "--optimizer", "lion", cwd=here),
        "--optimizer is lion, but runs/names was begun with mine.py: omit it",
    )


@pytest.mark.slow
def test_torch_takes_the_steps_of_a_rule_on_arrays(tmp_path):
    pytest.importorskip("torch")
    found = []
    for engine in ("scalar", "torch"):
        (tmp_path / engine).mkdir()
        train(tmp_path / engine, *SMALL, "--optimizer", "muon", "--steps", "2", "--engine", engine)
        found.append(saved(tmp_path / engine).parameters)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3, atol=1e-4)
