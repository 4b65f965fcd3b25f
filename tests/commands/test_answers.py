"""With --json a script answers with one object on standard output, and with its exit code."""

import json
import re
import runpy

import pytest
from running import NAMES, ROOT, TINY, assert_refused, call, interrupted, run_within

from microgpt import load_run


def answer(result, code=0):
    """The only thing on standard output."""
    assert result.returncode == code, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A directory with a run, and its answer."""
    directory = tmp_path_factory.mktemp("trained")
    (directory / "my.txt").write_text(NAMES)
    options = ("--data", "my.txt", *TINY, "--skip-check", "--out", "run")
    return directory, answer(call("train.py", *options, "--json", cwd=directory)), options


def test_training_answers_with_its_result(trained):
    directory, found, _ = trained
    model = load_run(directory / "run").checkpoint.model
    assert found["validation_loss"] == model.loss
    assert found["best_step"] == model.step
    assert found["run"] == "run"
    assert found["complete"] is True
    assert found["settings"]["n_embd"] == 4
    assert "json" not in found["settings"]  # it is no fact of the run


def test_the_page_names_fields_that_are_there(trained):
    page = (ROOT / "docs" / "research.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert len(named) > 5
    assert set(named) <= set(trained[1])
    assert set(json.loads(re.search(r"```json\n(.*?)```", page, re.DOTALL)[1])) == set(trained[1])


def test_a_complete_run_answers_again(trained):
    directory, found, _ = trained
    assert answer(call("train.py", "--resume", "run", "--json", cwd=directory)) == found


def test_an_interrupted_run_answers_with_its_code(trained):
    directory, _, options = trained
    found = answer(interrupted(*options, "--out", "two", "--steps", "9", "--json", cwd=directory, after=3), 130)
    assert found["complete"] is False
    assert found["steps"] == 3


def test_a_wrong_call_answers_with_nothing(trained):
    refused = call("train.py", "--data", "none.txt", "--json", cwd=trained[0])
    assert_refused(refused, "none.txt")
    assert refused.stdout == ""


def test_samples_are_one_object(trained):
    directory, _, _ = trained
    options = ("--run", "run", "--num-samples", "3", "--seed", "5")
    found = answer(call("sample.py", *options, "--json", cwd=directory))
    lines = call("sample.py", *options, "--format", "jsonl", cwd=directory).stdout.splitlines()
    assert found == {"run": "run", "texts": [json.loads(line) for line in lines]}


def test_comparison_is_one_object(trained):
    directory, found, _ = trained
    compare = run_within(lambda: runpy.run_module("microgpt", run_name="__main__", alter_sys=True), "microgpt",
                         "compare", "run", "run", "--json", cwd=directory)  # fmt: skip
    assert answer(compare) == {"runs": [found, found]}
    assert not (directory / "runs" / "compare.svg").exists()
