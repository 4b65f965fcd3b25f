"""The programs of the bench compute what Python says, as do their twins, and each gets a row."""

import json
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from helpers import assert_equal_engines
from running import call

sys.path.insert(0, str(Path(__file__).parents[2]))
from bench.program_rows import PROGRAMS, cells, torch_step
from microgpt import value_and_grad

pytestmark = pytest.mark.slow


def made(name):
    """A program of scale 1, and two of its examples."""
    task = import_module(f"bench.programs.{name}").make(1)
    return task, [array[:2] for array in task["args"]]


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_give_the_numbers_of_scalars(name):
    task, examples = made(name)
    assert_equal_engines(task["loss"], task["params"], *examples)


@pytest.mark.parametrize("name", [name for name in PROGRAMS if "torch" in made(name)[0]])
def test_twins_compute_the_same(name):
    torch = pytest.importorskip("torch")
    task, examples = made(name)
    expected, gradients = value_and_grad(task["loss"], "scalar")(task["params"], *examples)
    params = {key: torch.tensor(array, requires_grad=True) for key, array in task["params"].items()}
    loss = task["torch"](params, *map(torch.tensor, examples))
    loss.backward()
    assert loss.item() == pytest.approx(expected, rel=1e-10)
    for key, tensor in params.items():
        assert np.abs(tensor.grad.numpy() - gradients[key]).max() <= 1e-9 * np.abs(gradients[key]).max()


def test_a_twin_takes_steps():
    pytest.importorskip("torch")
    torch_step("table_of_parameters", 1)()


def test_each_program_gets_a_row(tmp_path):
    chosen = ["soft_dtw", "table_of_parameters"]
    options = ("--sections", "programs", "--programs", ",".join(chosen), "--scale", 1, "--repeats", 1, "--torch", "no")
    ran = call("bench.py", *options, "--json", "found.json", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    found = json.loads((tmp_path / "found.json").read_text())["programs"]
    assert list(found) == chosen
    rows = [line.split(maxsplit=1) for line in ran.stdout.splitlines() if line.startswith(tuple(chosen))]
    assert [(name, " ".join(rest.split())) for name, rest in rows] == [(n, " ".join(cells(found[n]))) for n in chosen]
    assert found["table_of_parameters"]["operations"] > 4000
    assert 0 < found["table_of_parameters"]["forward"] < 100
    for row in found.values():
        assert row["ready_seconds"] > 0
        assert row["ready_bytes"] >= 0
        assert len(row["seconds_a_step"]["microgpt"]) == 1
