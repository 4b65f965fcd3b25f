"""train.py as a user meets it: what it prints, what it leaves behind, and how it fails."""

import csv
import os
import re
import shutil
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from running import NAMES, PROSE, TINY, assert_refused, call, train
from safetensors.numpy import load_file, save_file

from microgpt import evaluate
from microgpt.commands.start import from_scratch, settings_for
from microgpt.commands.train import SUITED, Settings
from microgpt.gpt import loss
from microgpt.learning.architecture import GPT
from microgpt.learning.batches import make_corpus
from microgpt.learning.bigram import bigram_loss, bigram_probabilities
from microgpt.learning.training import mean_loss
from microgpt.runs.directory import load_run
from microgpt.runs.loss_plot import smooth
from microgpt.runs.metrics import read_metrics

pytestmark = pytest.mark.slow

FILES = [
    ".lock", "README.md", "checkpoints", "config.json", "generation_config.json", "loss.svg", "metrics.csv",
    "model.safetensors", "snapshots.safetensors", "tensors.csv", "tensors.svg", "text.txt", "tokenizer.json",
    "tokenizer_config.json",
]  # fmt: skip


def metrics_of(run):
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


# A run on names


def test_training_tells_what_it_does(trained):
    out = trained[1].stdout
    assert out.startswith("learning from names.txt: 25 lines, 2 more held out\n")
    assert "layer, 2 heads, width 4, context 16\n" in out
    assert f"\nthe model is in {Path('runs', 'names')}\n" in out
    *_, writing, looking = out.splitlines()
    assert writing.endswith(f"python sample.py --run {Path('runs', 'names')}")
    assert looking.endswith(f"python explain.py --run {Path('runs', 'names')} --open")
    looks = [line for line in out.splitlines() if line.startswith("step ")]
    assert [line.split()[1] for line in looks] == ["0", "1", "2"]
    assert all("validation loss" in line for line in looks)


@pytest.mark.parametrize("kind", ["trained", "trained_prose"])
def test_what_is_printed_fits_on_a_screen(kind, request):
    lines = request.getfixturevalue(kind)[1].stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 24


def test_without_a_terminal_there_is_no_progress_bar(trained):
    assert trained[1].stderr == ""


def test_training_leaves_a_run_that_loads(trained):
    directory = trained[0] / "runs" / "names"
    assert sorted(path.name for path in directory.iterdir()) == FILES
    run = load_run(directory)
    assert (run.text, run.documents, run.vocabulary) == (NAMES, "lines", "\nabceilno")
    settings = run.checkpoint.origin.settings
    assert (settings["data"], settings["steps"], settings["n_embd"]) == ("names.txt", 2, 4)


def test_metrics_have_a_row_a_step(trained):
    rows = metrics_of(trained[0] / "runs" / "names")
    assert list(rows[0]) == ["step", "training_loss", "validation_loss", "learning_rate", "gradient_norm", "seconds"]
    assert [row["step"] for row in rows] == ["0", "1", "2"]
    assert all(float(row["validation_loss"]) > 0 for row in rows)
    assert all(float(row["training_loss"]) > 0 for row in rows[1:])


def test_a_second_run_takes_the_next_name(trained, data):
    shutil.copytree(trained[0] / "runs", data / "runs")
    out = train(data, *TINY, "--seed", 1).stdout
    assert sorted(path.name for path in (data / "runs").iterdir()) == ["names", "names-2"]
    assert "writing to runs/names-2, because runs/names exists" in out.replace(os.sep, "/")


def test_a_seed_makes_the_run(trained, data):
    for out, seed in (("same", 0), ("other", 1)):
        train(data, *TINY, "--out", out, "--seed", seed)
    first, same, other = (
        load_run(path).parameters for path in (trained[0] / "runs/names", data / "same", data / "other")
    )
    assert all(first[name].tobytes() == same[name].tobytes() for name in first)
    assert (first["wte.weight"] != other["wte.weight"]).all()


def test_the_best_parameters_are_kept(data):
    train(data, *TINY, "--warmup", "0", "--learning-rate", "1000")
    losses = [float(row["validation_loss"]) for row in metrics_of(data / "runs" / "names")]
    run = load_run(data / "runs" / "names")
    kept = run.checkpoint.model
    assert losses[0] == min(losses)
    assert (kept.step, kept.loss) == (0, losses[0])
    saved = load_file(data / "runs" / "names" / "model.safetensors")
    assert all(saved[name].tobytes() == run.parameters[name].tobytes() for name in run.parameters)


def test_the_size_of_the_model_can_be_chosen(data):
    train(data, *TINY, "--n-layer", "2", "--block-size", "9", "--warmup", "9")  # more warmup than steps, too
    config = load_run(data / "runs" / "names").config
    assert (config.n_layer, config.n_positions) == (2, 9)


# Directories and texts


def test_a_text_can_come_from_standard_input(tmp_path):
    result = call("train.py", "--data", "-", *TINY, cwd=tmp_path, given=NAMES)
    assert result.returncode == 0, result.stderr
    run = load_run(tmp_path / "runs" / "stdin")
    assert run.text == NAMES
    assert "`standard input`" in (run.directory / "README.md").read_text()
    assert call("train.py", "--resume", "--steps", "3", cwd=tmp_path).returncode == 0  # the text is the copy


def test_a_file_named_dash_is_a_file(tmp_path):
    (tmp_path / "-").write_text(NAMES)
    again = ["--init-from", "runs/-", "--data", "./-", *TINY]
    for options in (["--data", "./-", *TINY], ["--resume", "--steps", "3"], again):
        result = call("train.py", *options, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    assert load_run(tmp_path / "runs" / "-").text == NAMES
    (tmp_path / "-").write_text(NAMES + "more\n")
    assert_refused(call("train.py", "--resume", "runs/-", "--steps", "4", cwd=tmp_path), "./- is not the text")


@pytest.mark.parametrize("directory", ["with space", "Übung 名前 🦊", "quote' and \"", "-dash"])
def test_any_name_of_a_directory_works(tmp_path, directory):
    there = tmp_path / directory
    there.mkdir()
    train(tmp_path, *TINY, f"--out={there / 'my run'}", file=there / "dätä file.txt")
    result = call("sample.py", "--run", there / "my run", "--num-samples", "2", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert call("train.py", f"--resume={there / 'my run'}", "--steps", "3", cwd="/").returncode == 0


def test_everything_works_from_another_directory(tmp_path):
    assert call("train.py", *TINY, "--steps", "1", cwd=tmp_path).returncode == 0
    assert load_run(tmp_path / "runs" / "names").checkpoint.origin.data == "data/names.txt"


def test_a_directory_without_a_name_gets_another(data):
    train(data, *TINY, "--out", ".")
    load_run(data.with_name(f"{data.name}-2"))


# Prose


def test_prose_is_learned_as_one_text(trained_prose):
    out = trained_prose[1].stdout
    assert out.startswith("learning from fox.txt: 222 characters, 23 more held out\n")
    run = load_run(trained_prose[0] / "runs" / "fox")
    assert (run.documents, run.config.n_positions) == ("stream", 8)


SUITING = partial(settings_for, Settings, SUITED)


def test_the_defaults_are_those_of_the_help(data):
    (data / "fox.txt").write_text(PROSE * 4)
    help_text = " ".join(call("train.py", "--help", cwd=data).stdout.split())
    for column, name in enumerate(["names.txt", "fox.txt"]):
        start = from_scratch(GPT, SUITING, {}, data / name)
        assert start.config.n_embd == SUITED["n_embd"][column]
        for option, pair in SUITED.items():
            assert getattr(start.settings, option) == pair[column]
            both = f"{pair[0]}" if pair[0] == pair[1] else f"{pair[0]}, for prose {pair[1]}"
            assert f"(default: {both})" in help_text


def test_every_option_overrides_what_suits_the_text(data):
    (data / "fox.txt").write_text(PROSE)
    given = {name: 2 * max(pair) for name, pair in SUITED.items()} | {"block_size": 20}
    for name in ("names.txt", "fox.txt"):
        settings = from_scratch(GPT, SUITING, given, data / name).settings
        assert {option: getattr(settings, option) for option in given} == given


def test_the_kind_of_documents_decides_what_suits(data):
    (data / "names.txt").write_text(NAMES * 9)
    start = from_scratch(GPT, SUITING, {"documents": "stream", "block_size": 8}, data / "names.txt")
    assert (start.corpus.documents, start.settings.n_layer) == ("stream", SUITED["n_layer"][1])


def test_prose_is_validated_on_all_at_the_end(trained_long):
    result, run = trained_long
    corpus = make_corpus(run.text, 8, 0)
    assert corpus.documents == "stream"
    assert len(corpus.part) < len(corpus.validation)
    evaluated = evaluate(partial(loss, config=run.config))
    kept = run.checkpoint.model
    assert kept.loss == pytest.approx(mean_loss(evaluated, run.parameters, corpus.part), rel=1e-5)
    assert kept.loss_on_all == pytest.approx(mean_loss(evaluated, run.parameters, corpus.validation), rel=1e-5)
    assert f"-> {kept.loss:.4f} ({kept.loss_on_all:.4f} on all)" in result.stdout
    card = (run.directory / "README.md").read_text()
    assert f"{kept.loss:.4f}" in card
    assert f"on all of it, the loss is {kept.loss_on_all:.4f}" in card


@pytest.mark.parametrize("change", [lambda text: text + "more\n", lambda text: text.replace("fox", "cat")])
def test_changed_prose_is_not_gone_on_with(trained_prose, tmp_path, change):
    shutil.copytree(trained_prose[0], tmp_path / "copy")
    (tmp_path / "copy" / "fox.txt").write_text(change(PROSE))
    result = call("train.py", "--resume", "--steps", "4", cwd=tmp_path / "copy")
    assert_refused(result, "fox.txt is not the text of", "to go on with the copy, add --data")
    assert "x03" not in result.stderr  # no text has the character of its end, so no text lacks it


# What the user can mend


@pytest.mark.parametrize(
    ("content", "expected"), [(b"ana\xefs\nbob\n", "{} is not UTF-8"), (b"anna\n", "one distinct")]
)
def test_a_text_with_nothing_to_learn_is_refused(tmp_path, content, expected):
    (tmp_path / "data.txt").write_bytes(content)
    assert_refused(call("train.py", "--data", "data.txt", cwd=tmp_path), expected.format("data.txt"))
    result = call("train.py", "--data", "-", cwd=tmp_path, given=content)
    assert_refused(result, expected.format("standard input"))
    assert not (tmp_path / "runs").exists()


def test_a_missing_file_is_named(tmp_path):
    assert_refused(call("train.py", "--data", "nowhere.txt", *TINY, cwd=tmp_path), "nowhere.txt")


# Divergence


@pytest.mark.parametrize("engine", ["scalar", "compiled"])
def test_divergence_is_told_and_the_best_kept(data, engine):
    options = [*TINY, "--engine", engine, "--steps", "9", "--learning-rate", "1e300", "--skip-check"]
    result = call("train.py", "--data", "names.txt", *options, cwd=data)
    assert result.returncode == 1
    assert "Warning" not in result.stderr
    last = result.stderr.splitlines()[-1]
    assert "error: training diverged after step 1" in last
    assert "--learning-rate lower than 1e+300" in last
    assert all(np.isfinite(array).all() for array in load_run(data / "runs" / "names").parameters.values())


@pytest.mark.parametrize("engine", ["scalar", "compiled"])
def test_before_the_first_step_no_rate_is_blamed(copy, data, engine):
    """Neither where the validation loss is not finite, as in float32, nor where the first gradient is not."""
    file = copy / "model.safetensors"
    tensors = load_file(file)
    tensors["h.0.mlp.c_fc.bias"][:] = 3e38
    tensors["h.0.mlp.c_proj.weight"][:] = 3e38
    save_file(tensors, file, {"format": "pt"})
    options = ["--init-from", file, *TINY, "--engine", engine, "--skip-check"]
    result = call("train.py", "--data", "names.txt", *options, cwd=data)
    last = result.stderr.splitlines()[-1]
    assert result.returncode == 1
    assert "no step was taken yet, so --learning-rate is not the cause" in last
    assert "lower than" not in last


def test_a_model_whose_numbers_explode_is_refused(copy, data):
    shutil.rmtree(copy / "checkpoints")
    huge = {name: array.astype(np.float64) * 1e130 for name, array in load_file(copy / "model.safetensors").items()}
    save_file(huge, copy / "model.safetensors", {"format": "pt"})
    for options in (
        ["sample.py", "--run", copy],
        ["explain.py", "--run", copy, "--text", "an"],
        ["train.py", "--init-from", copy, "--data", "names.txt"],
    ):
        assert_refused(call(*options, cwd=data), "not finite", code=1)


# The compiled engine, which is the default


def compiled_run(directory, name, *options):
    arguments = ["--n-embd", "8", "--n-head", "2", "--steps", "6", "--batch-size", "40", *options]
    return train(directory, "--out", name, *arguments), load_run(directory / name)


def test_the_compiled_engine_is_checked(data):
    result, _ = compiled_run(data, "run")
    assert " digits, engines to 1" in result.stdout
    assert re.search(r"scalar operations became \d+ array instructions \(7 matrix products\)", result.stdout)


def test_threads_do_not_change_a_run(data):
    runs = [compiled_run(data, f"run{n}", "--threads", n, "--skip-check") for n in (1, 2, 3)]
    assert "checked" not in runs[0][0].stdout
    for name, array in runs[0][1].parameters.items():
        assert array.tobytes() == runs[1][1].parameters[name].tobytes() == runs[2][1].parameters[name].tobytes()


def test_the_listing_is_printed_without_training(data):
    result = call("train.py", "--data", "names.txt", "--listing", cwd=data)
    assert result.returncode == 0
    assert "matrix products" in result.stdout
    assert not (data / "runs").exists()


@pytest.mark.parametrize("text", ["names.txt", "prose.txt"])
def test_the_listing_in_c_fits_its_examples(data, text):
    (data / "prose.txt").write_text(PROSE * 4)
    options = ("train.py", "--data", text, *TINY, "--listing")
    program, numbers = (call(*options, kind, cwd=data).stdout for kind in ("c", "examples"))
    assert "int main(" in program
    integers, floats = map(int, re.search(r"INTEGERS = (\d+), FLOATS = (\d+)", program).groups())
    rows = [line.split() for line in numbers.splitlines()]
    assert {len(row) for row in rows} == {integers + floats}
    assert sum(float(weight) for row in rows for weight in row[integers:]) == pytest.approx(len(rows))


# The picture


def test_the_picture_shows_losses_and_baseline(data):
    train(data, *TINY)
    run = load_run(data / "runs" / "names")
    corpus = make_corpus(NAMES, 16, 0)
    baseline = bigram_loss(bigram_probabilities(corpus.training, len(corpus.vocabulary)), corpus.validation)
    root = ElementTree.parse(run.directory / "loss.svg").getroot()
    text = " ".join(element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text"))
    assert f"{baseline:.3f}" in text
    assert f"{float(read_metrics(run.directory, 2)[-1][2]):.3f}" in text
    for label in ("step", "loss, nats per character", "training", "validation"):
        assert label in text


def test_the_picture_of_prose_has_the_baseline(trained_long):
    _, run = trained_long
    corpus = make_corpus(run.text, 8, 0)
    pairs = bigram_loss(bigram_probabilities(corpus.training, len(run.vocabulary) - 1), corpus.part)  # END is in none
    assert f"counting pairs: {pairs:.3f}" in (run.directory / "loss.svg").read_text()


def test_a_running_mean_keeps_what_is_constant():
    assert smooth((2.0,) * 500) == pytest.approx([2.0] * 500)
    assert smooth((1.0, 3.0)) == [1.0, 3.0]  # few steps are not smoothed
