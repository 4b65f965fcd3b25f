"""train.py trains what a file defines, other scripts read the run, and no code runs that the user does not trust."""

import json
import pickle
import shutil
import sys
from pathlib import Path

import pytest
from running import assert_refused, call, train
from tiny_model import FORMAT, REFUSES, TINY_MODEL

from microgpt.commands.start import begin
from microgpt.commands.train import NAMES, SUITED, Settings
from microgpt.runs.checkpoint import load_checkpoint
from microgpt.runs.comparison import compared, table
from microgpt.runs.directory import load_run

THE_BOOK = """
from dataclasses import dataclass
from microgpt.gpt import empty_cache as empty_state, gpt as logits
from microgpt.learning.parameters import initial_parameters as of_seed

@dataclass(frozen=True)
class Config:
    vocab_size: int
    n_positions: int
    n_embd: int = 8
    n_layer: int = 1
    n_head: int = 1

def initial_parameters(config, random):
    return of_seed(config, 0)
"""
SMALL = ["--batch-size", "2", "--engine", "scalar", "--model", "tiny.py"]
LEAVES_A_MARK = "\n\nfrom pathlib import Path\nPath(__file__).with_name('ran').touch()\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A directory with a run of a model, and what training printed. Its file leaves a mark when it runs."""
    directory = tmp_path_factory.mktemp("model")
    (directory / "tiny.py").write_text(TINY_MODEL + FORMAT + LEAVES_A_MARK)
    return directory, train(directory, *SMALL, "--steps", "2", "--width", "4", "--no-blend")


@pytest.fixture
def here(trained, tmp_path):
    """A copy of it, to be changed, without the mark."""
    shutil.copytree(trained[0], tmp_path / "here")
    for mark in (tmp_path / "here").rglob("ran"):
        mark.unlink()
    return tmp_path / "here"


def run_of(directory):
    return load_checkpoint(directory / "runs" / "names").origin


def test_its_settings_are_options(trained):
    directory, result = trained
    assert "tiny with " in result.stdout
    assert "width 4, blend False, context 16" in result.stdout
    assert "python sample.py --run runs/names --trust" in result.stdout
    assert "python explain.py --run runs/names --trust --open" in result.stdout
    assert run_of(directory).settings["width"] == 4
    said = call("train.py", "--model", "tiny.py", "--help", cwd=directory).stdout
    assert "numbers that are remembered (default: 3)" in said
    assert "--no-blend" in said
    assert "--n-head" not in said
    assert "--n-head" in call("train.py", "--resume", "--help", cwd=directory).stdout


def test_the_book_in_such_a_file_is_the_same(tmp_path):
    (tmp_path / "tiny.py").write_text(THE_BOOK)
    mine, theirs = (
        train(
            tmp_path,
            "--batch-size",
            "2",
            "--steps",
            "2",
            "--engine",
            "scalar",
            "--n-embd",
            "4",
            "--n-head",
            "2",
            *model,
        )
        for model in (["--model", "tiny.py"], [])
    )
    runs = [load_checkpoint(tmp_path / "runs" / name) for name in ("names", "names-2")]
    assert runs[0].parameters.tobytes() == runs[1].parameters.tobytes()
    assert runs[0].model.samples == runs[1].model.samples
    checked = [next(line for line in ran.stdout.splitlines() if "gradient" in line) for ran in (mine, theirs)]
    assert checked[0] == checked[1]


def test_its_page_opens_its_loss(here):
    result = call("explain.py", "--trust", "--text", "anna", cwd=here)
    assert result.returncode == 0, result.stderr
    assert "'anna' takes " in result.stdout
    page = (here / "runs" / "names" / "explain.html").read_text(encoding="utf-8")
    assert json.dumps(f"'anna' in the model of {Path('runs/names')}")[1:-1] in page
    assert '["back",[4,4]]' in page


@pytest.mark.parametrize("call_of", [
    ["sample.py"], ["explain.py"], ["train.py", "--resume", "--steps", "3"],
    ["train.py", "--init-from", "runs/names", "--data", "names.txt"],
], ids=lambda words: " ".join(words[:2]))  # fmt: skip
def test_a_run_executes_nothing_by_itself(here, call_of):
    assert_refused(call(*call_of, cwd=here), "runs/names computes with a model of its own, tiny", "add --trust")
    assert not list(here.rglob("ran"))


def test_the_copy_writes_if_trusted(here):
    named, trusted = (call("sample.py", *option, cwd=here) for option in (["--model", "tiny.py"], ["--trust"]))
    (here / "tiny.py").unlink()
    alone = call("sample.py", "--trust", cwd=here)
    assert named.stdout == trusted.stdout == alone.stdout
    assert len(alone.stdout.splitlines()) == 21
    prompted = call("sample.py", "--trust", "--prompt", "ab", "--num-samples", "2", "--quiet", cwd=here).stdout
    assert all(line.startswith("ab") for line in prompted.splitlines())


def test_another_text_runs_only_if_trusted(here):
    for file in ("tiny.py", "runs/names/model.py"):
        (here / file).write_text((here / file).read_text() + "# changed\n")
    refused = call("sample.py", "--model", "tiny.py", cwd=here)
    assert_refused(refused, "tiny.py is another text than at the time of training", "the copy is runs/names/model.py")
    assert not list(here.rglob("ran"))
    trusted = call("sample.py", "--trust", cwd=here)
    assert trusted.returncode == 0
    note = "note: runs/names/model.py is another text than at the time of training\n"
    assert trusted.stderr == note
    assert call("explain.py", "--trust", cwd=here).stderr == note
    assert note in call("train.py", "--resume", "--trust", "--steps", "3", cwd=here).stdout
    assert call("sample.py", "--trust", cwd=here).stderr == ""  # the run has learned with it


def test_it_resumes_to_the_bit(trained, here, tmp_path):
    (tmp_path / "tiny.py").write_text((here / "tiny.py").read_text())
    train(tmp_path, *SMALL, "--steps", "4", "--width", "4", "--no-blend")
    result = call("train.py", "--resume", "--trust", "--steps", "4", cwd=here)
    assert result.returncode == 0, result.stderr
    halves, whole = (load_checkpoint(directory / "runs" / "names") for directory in (here, tmp_path))
    assert halves.parameters.tobytes() == whole.parameters.tobytes()
    other = call("train.py", "--resume", "--trust", "--steps", "5", "--width", "3", cwd=here)
    assert_refused(other, "--width is 3, but runs/names was begun with 4")


def test_a_complete_run_says_how_to_go_on(here):
    again = call("train.py", "--resume", "--trust", cwd=here)
    assert "python train.py --resume runs/names --trust --steps 4" in again.stdout


def test_another_run_begins_with_it(here):
    begun = ["train.py", "--init-from", "runs/names", "--data", "names.txt", "--steps", "1", "--engine", "scalar"]
    result = call(*begun, "--trust", cwd=here)
    assert result.returncode == 0, result.stderr
    assert run_of(here).model.shapes == load_checkpoint(here / "runs" / "names-2").origin.model.shapes
    assert_refused(call(*begun, "--model", "tiny.py", "--width", "3", cwd=here), "--width is 3, but the model in")


def test_its_format_comes_back(here):
    run = here / "runs" / "names"
    config = json.loads((run / "config.json").read_text())
    assert (config["model_type"], config["width"], config["eos_token_id"]) == ("elman", 4, 0)
    shutil.rmtree(run / "checkpoints")  # as if another program had saved it
    found = load_run(run, model=here / "tiny.py")
    assert found.config.width == 4
    assert call("sample.py", "--model", "tiny.py", "--num-samples", "1", cwd=here).returncode == 0
    assert_refused(call("sample.py", cwd=here), "model_type is 'elman', but this GPT needs 'gpt2'")
    (run / "config.json").write_text(json.dumps(config | {"model_type": "jordan"}))
    said = "model_type is 'jordan', but tiny.py computes with 'elman'"
    assert_refused(call("sample.py", "--model", "tiny.py", cwd=here), said)


def test_the_card_says_what_it_is(trained):
    directory, _ = trained
    card = (directory / "runs" / "names" / "README.md").read_text()
    assert "A character-level model, `tiny`, with " in card
    assert "A recurrent network (Elman 1990): what it remembers is mixed with what it reads." in card
    assert 'load_run("runs/names", trust=True)' in card


def test_its_settings_are_compared(here):
    train(here, *SMALL, "--steps", "1", "--width", "2")
    lines = table(compared([here / "runs" / "names", here / "runs" / "names-2"]))
    assert {"width", "blend"} <= set(lines[0].split())


def test_without_a_format_no_other_program_opens_it(tmp_path):
    (tmp_path / "tiny.py").write_text(TINY_MODEL)
    train(tmp_path, *SMALL, "--steps", "1", "--skip-check")
    run = tmp_path / "runs" / "names"
    assert not list(run.glob("*.json"))
    assert {path.name for path in run.iterdir()} >= {"model.py", "model.safetensors", "README.md", "checkpoints"}
    assert "transformers" not in (run / "README.md").read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "nowhere.py"], "--model is nowhere.py: there is no such file"),
        (["--model", "tiny.py", "--book", "mine"], "--model is tiny.py: expected none with --book"),
        (["--model", "tiny.py", "--width", "10"], "tiny.py: width is 10: expected at most 9"),
        (["--model", "tiny.py", "--n-head", "2"], "unrecognized arguments: --n-head 2"),
        (["--model", "tiny.py", "--init-from", "gpt"], "--model is tiny.py, but the model in gpt is a GPT"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, options, said):
    (tmp_path / "tiny.py").write_text(TINY_MODEL.replace("\n\n\ndef initial", f"\n{REFUSES}\n\ndef initial"))
    if "gpt" in options:
        from helpers import make_run

        make_run(tmp_path / "gpt")
    assert_refused(call("train.py", *options, cwd=tmp_path), said)


def test_other_processes_get_all_they_need(here, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--data", "names.txt", *SMALL, "--width", "2"])
    monkeypatch.chdir(here)
    begun = begin(Settings, SUITED, NAMES)
    theirs = pickle.loads(pickle.dumps(begun))
    assert vars(theirs.config) == vars(begun.config)
    assert (theirs.settings.width, theirs.settings.batch_size) == (2, 2)
    params = {name: array.tolist() for name, array in theirs.parameters.items()}
    losses = [start.architecture.loss(params, [0, 1, 2], [0.5, 0.5], start.config) for start in (begun, theirs)]
    assert losses[0] == losses[1]


def test_an_error_in_training_names_the_line(tmp_path):
    text = TINY_MODEL.replace("read, memory =", "assert position < 4, 'too far'\n    read, memory =")
    (tmp_path / "tiny.py").write_text(text)
    (tmp_path / "names.txt").write_text("abcd\nbcda\ncdab\n")
    result = call("train.py", "--data", "names.txt", *SMALL, "--skip-check", cwd=tmp_path)
    line = text[: text.index("assert")].count("\n") + 1
    assert_refused(result, f"tiny.py fails in line {line}: AssertionError: too far")
