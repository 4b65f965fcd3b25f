"""The two commands as a user meets them: what they print, what they leave behind, and how they fail."""

import csv
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from running import LONG, NAMES, PROSE, ROOT, TINY, assert_refused, call, command, environment
from safetensors.numpy import load_file, save_file

from microgpt import evaluate
from microgpt.commands.start import from_scratch, settings_for
from microgpt.gpt import loss
from microgpt.learning.bigram import bigram_loss, bigram_probabilities
from microgpt.learning.sampling import stream
from microgpt.learning.text import END, make_corpus, predictions
from microgpt.learning.training import mean_loss
from microgpt.runs.checkpoint import checkpoints
from microgpt.runs.directory import load_run

pytestmark = pytest.mark.slow  # almost every test starts a process

FILES = [
    ".lock",
    "README.md",
    "checkpoints",
    "config.json",
    "generation_config.json",
    "metrics.csv",
    "model.safetensors",
    "snapshots.safetensors",
    "tensors.csv",
    "text.txt",
    "tokenizer.json",
    "tokenizer_config.json",
]


@pytest.fixture
def data(tmp_path):
    """A directory with a file of names in it."""
    (tmp_path / "names.txt").write_text(NAMES)
    return tmp_path


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A directory in which a model of names was trained, and what the training printed. Not to be changed."""
    directory = tmp_path_factory.mktemp("trained")
    (directory / "names.txt").write_text(NAMES)
    result = call("train.py", "--data", "names.txt", *TINY, cwd=directory)
    assert result.returncode == 0, result.stderr
    return directory, result


@pytest.fixture(scope="session")
def trained_prose(tmp_path_factory):
    directory = tmp_path_factory.mktemp("prose")
    (directory / "fox.txt").write_text(PROSE)
    result = call("train.py", "--data", "fox.txt", *TINY, "--block-size", "8", cwd=directory)
    assert result.returncode == 0, result.stderr
    return directory, result


@pytest.fixture
def copy(trained, tmp_path):
    """A copy of the trained run, to be changed."""
    return shutil.copytree(trained[0] / "runs" / "names", tmp_path / "copy")


# Training


def test_training_tells_what_it_learns_from_and_where_it_writes(trained):
    out = trained[1].stdout
    assert out.startswith("learning from 25 lines of names.txt; 2 others are kept aside")
    assert "for 9 different characters; settings for lines: --steps 2 --batch-size 2 " in out
    assert f"\nwriting to {Path('runs', 'names')}\n" in out


def test_training_shows_every_validation_with_samples(trained):
    lines = [line for line in trained[1].stdout.splitlines() if line.startswith("step ")]
    assert [line.split()[1] for line in lines] == ["0", "1", "2"]
    assert all("validation loss" in line for line in lines)


def test_training_ends_with_the_next_command(trained):
    *_, writing, looking = trained[1].stdout.splitlines()
    assert writing.endswith(f"python sample.py --run {Path('runs', 'names')}")
    assert looking.endswith(f"python explain.py --run {Path('runs', 'names')} --open")


def test_training_leaves_a_run_that_loads(trained):
    directory = trained[0] / "runs" / "names"
    assert sorted(path.name for path in directory.iterdir()) == FILES
    run = load_run(directory)
    assert (run.text, run.documents, run.vocabulary) == (NAMES, "lines", "\nabceilno")


def test_training_keeps_its_settings(trained):
    settings = load_run(trained[0] / "runs" / "names").checkpoint.origin.settings
    assert (settings["data"], settings["steps"], settings["n_embd"]) == ("names.txt", 2, 4)


def test_metrics_have_a_row_a_step(trained):
    with (trained[0] / "runs" / "names" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["step", "training_loss", "validation_loss", "learning_rate", "gradient_norm", "seconds"]
    assert [row["step"] for row in rows] == ["0", "1", "2"]
    assert all(float(row["validation_loss"]) > 0 for row in rows)
    assert all(float(row["training_loss"]) > 0 for row in rows[1:])


def test_a_second_run_takes_the_next_name(data):
    for _ in range(2):
        result = call("train.py", "--data", "names.txt", *TINY, cwd=data)
    assert sorted(path.name for path in (data / "runs").iterdir()) == ["names", "names-2"]
    assert "runs/names-2, since there is a runs/names already" in result.stdout.replace(os.sep, "/")


def test_the_same_seed_gives_the_same_bits(trained, data):
    call("train.py", "--data", "names.txt", *TINY, cwd=data)
    first, second = (load_run(path / "runs" / "names").parameters for path in (trained[0], data))
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_another_seed_gives_others(trained, data):
    call("train.py", "--data", "names.txt", *TINY, "--seed", "1", cwd=data)
    first, second = (load_run(path / "runs" / "names").parameters["wte.weight"] for path in (trained[0], data))
    assert (first != second).all()


def test_the_parameters_with_the_lowest_validation_loss_are_kept(data):
    options = [*TINY, "--warmup", "0", "--learning-rate", "1000"]
    call("train.py", "--data", "names.txt", *options, cwd=data)
    with (data / "runs" / "names" / "metrics.csv").open() as file:
        losses = [float(row["validation_loss"]) for row in csv.DictReader(file)]
    run = load_run(data / "runs" / "names")
    kept = run.checkpoint.model
    assert losses[0] == min(losses)
    assert (kept.step, kept.loss) == (0, losses[0])
    saved = load_file(data / "runs" / "names" / "model.safetensors")
    assert all(saved[name].tobytes() == run.parameters[name].tobytes() for name in run.parameters)


def test_the_size_of_the_model_can_be_chosen(data):
    call("train.py", "--data", "names.txt", *TINY, "--n-layer", "2", "--block-size", "9", cwd=data)
    config = load_run(data / "runs" / "names").config
    assert (config.n_layer, config.n_positions) == (2, 9)


def test_more_warmup_than_steps_is_fine(data):
    assert call("train.py", "--data", "names.txt", *TINY, "--warmup", "9", cwd=data).returncode == 0


# Sampling


def test_samples_are_one_a_line_and_then_counted(trained):
    result = call("sample.py", "--num-samples", "4", cwd=trained[0])
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) == 5
    assert result.stdout.splitlines()[-1].endswith(
        "of 4 are new, not in the text that the model in runs/names learned from"
    )
    assert result.stderr == ""


def test_sampling_takes_the_newest_run(data):
    for out in ("runs/first", "runs/second"):
        call("train.py", "--data", "names.txt", "--out", out, "--seed", len(out), *TINY, cwd=data)
    os.utime(checkpoints(data / "runs" / "first")[0], (1000, 1000))
    newest, second = (call("sample.py", *option, cwd=data).stdout for option in ([], ["--run", "runs/second"]))
    assert newest == second != call("sample.py", "--run", "runs/first", cwd=data).stdout


def test_samples_begin_with_the_prompt(trained):
    lines = call("sample.py", "--prompt", "ann", "--num-samples", "3", cwd=trained[0]).stdout.splitlines()
    assert all(line.startswith("ann") for line in lines[:3])


def test_a_prompt_may_begin_with_a_dash(tmp_path):
    (tmp_path / "dashes.txt").write_text("".join(f"-{a}{b}\n" for a in "abc" for b in "nm"))
    assert call("train.py", "--data", "dashes.txt", *TINY, cwd=tmp_path).returncode == 0
    for prompt in ("-an", "-", "--a"):
        result = call("sample.py", "--prompt", prompt, "--num-samples", "2", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert all(line.startswith(prompt) for line in result.stdout.splitlines()[:2])
    assert_refused(call("sample.py", "--prompt", "--seed", "3", cwd=tmp_path), "--prompt", "expected one argument")


def test_a_newline_can_be_typed_in_a_prompt_of_prose(trained_prose):
    result = call("sample.py", "--prompt", r"\nthe", "--num-samples", "1", "--quiet", cwd=trained_prose[0])
    assert result.stdout.startswith("\nthe")


def test_temperature_zero_always_writes_the_same(trained):
    lines = call("sample.py", "--temperature", "0", "--num-samples", "3", cwd=trained[0]).stdout.splitlines()
    assert len(set(lines[:3])) == 1


@pytest.mark.parametrize("options", [["--temperature", "0"], ["--top-k", "1"]])
def test_samples_that_leave_nothing_to_chance_are_called_the_same(trained, options):
    *lines, count = call("sample.py", *options, "--num-samples", "5", cwd=trained[0]).stdout.splitlines()
    assert len(set(lines)) == 1
    assert count.endswith("; all 5 are the same, because each takes the likeliest character every time")


def test_samples_that_repeat_are_counted_once_more(short):
    *lines, count = call("sample.py", "--num-samples", "30", cwd=short).stdout.splitlines()
    assert len(set(lines)) < 30
    assert count.endswith(f"; {len(set(lines))} of the 30 are different")


def test_the_same_seed_writes_the_same(trained):
    first, again, other = (call("sample.py", "--seed", seed, cwd=trained[0]).stdout for seed in (1, 1, 2))
    assert first == again != other


def test_a_sample_does_not_depend_on_how_many_there_are(trained):
    few, many = (call("sample.py", "--num-samples", n, cwd=trained[0]).stdout.splitlines() for n in (2, 5))
    assert few[:2] == many[:2]


SHORT = ["a", "b", "aa", "ab", "ba", "aaa", "bab"]


@pytest.fixture(scope="session")
def short(tmp_path_factory):
    """A run on names so short that some of those it writes are in the data. Not to be changed."""
    directory = tmp_path_factory.mktemp("short")
    (directory / "names.txt").write_text("\n".join(SHORT))
    options = ["--n-embd", "4", "--n-head", "2", "--steps", "30", "--batch-size", "3", "--engine", "scalar"]
    result = call("train.py", "--data", "names.txt", *options, "--warmup", "2", cwd=directory)
    assert result.returncode == 0, result.stderr
    return directory


def test_a_name_of_the_data_is_marked_and_counted(short):
    *names, count = call("sample.py", "--num-samples", "30", cwd=short).stdout.splitlines()
    known = [name for name in names if name.split("  ")[0] in SHORT]
    assert 0 < len(known) < 30
    assert known == [name for name in names if name.endswith("  (in the data)")]
    assert count.startswith(f"{30 - len(known)} of 30 are new")


def test_quiet_prints_the_names_alone(short):
    *names, _ = call("sample.py", "--num-samples", "30", cwd=short).stdout.splitlines()
    quiet = call("sample.py", "--num-samples", "30", "--quiet", cwd=short).stdout.splitlines()
    assert quiet == [name.removesuffix("  (in the data)") for name in names]


@pytest.mark.parametrize("count", [30, 250])
def test_jsonl_gives_text_log_probability_and_whether_it_is_new(short, count):
    result = call("sample.py", "--num-samples", count, "--format", "jsonl", "--prompt", "a", cwd=short)
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(found) == count
    assert all(entry["text"].startswith("a") and entry["log_probability"] < 0 for entry in found)
    assert {entry["new"] for entry in found} == {True, False}
    assert all(entry["new"] == (entry["text"] not in SHORT) for entry in found)
    lines = load_run(short / "runs" / "names")
    assert found[0]["log_probability"] == pytest.approx(sum(p for _, p in stream(lines, "a")), abs=1e-9)


# Prose


def test_prose_is_learned_as_one_text(trained_prose):
    out = trained_prose[1].stdout
    assert out.startswith("learning from 222 characters of fox.txt; the last 23 are kept aside")
    assert "for 29 different characters and one for the end; settings for prose: --steps 2 --batch-size 2 " in out
    run = load_run(trained_prose[0] / "runs" / "fox")
    assert (run.documents, run.config.n_positions) == ("stream", 8)


@pytest.fixture
def script(monkeypatch):
    """train.py as a module."""
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module("train")


def suiting(script):
    return partial(settings_for, script.Settings, script.SUITED)


def test_the_defaults_for_lines_and_for_prose_are_those_of_the_table_and_of_the_help(script, data):
    (data / "fox.txt").write_text(PROSE * 4)
    help_text = " ".join(call("train.py", "--help", cwd=data).stdout.split())
    for column, name in enumerate(["names.txt", "fox.txt"]):
        start = from_scratch(suiting(script), {}, data / name)
        assert start.config.n_embd == script.SUITED["n_embd"][column]
        for option, pair in script.SUITED.items():
            assert getattr(start.settings, option) == pair[column]
            both = f"{pair[0]}" if pair[0] == pair[1] else f"{pair[0]}, for prose {pair[1]}"
            assert f"(default: {both})" in help_text


def test_every_option_overrides_what_suits_the_text(script, data):
    (data / "fox.txt").write_text(PROSE)
    given = {name: 2 * max(pair) for name, pair in script.SUITED.items()} | {"block_size": 20}
    for name in ("names.txt", "fox.txt"):
        settings = from_scratch(suiting(script), given, data / name).settings
        assert {option: getattr(settings, option) for option in given} == given


def test_the_kind_of_documents_decides_what_suits(script, data):
    (data / "names.txt").write_text(NAMES * 9)
    start = from_scratch(suiting(script), {"documents": "stream", "block_size": 8}, data / "names.txt")
    assert (start.corpus.documents, start.settings.n_layer) == ("stream", script.SUITED["n_layer"][1])


@pytest.fixture(scope="module")
def trained_long(tmp_path_factory):
    """A run on a text so long that a part of what is held out is enough in between."""
    directory = tmp_path_factory.mktemp("long")
    (directory / "long.txt").write_text(LONG)
    options = ["--n-embd", "8", "--n-head", "2", "--n-layer", "1", "--block-size", "8", "--steps", "20", "--skip-check"]
    result = call("train.py", "--data", "long.txt", *options, cwd=directory, pictures=True)
    assert result.returncode == 0, result.stderr
    return directory, result, load_run(directory / "runs" / "long")


def test_prose_is_validated_on_a_part_in_between_and_on_all_of_it_at_the_end(trained_long):
    directory, result, run = trained_long
    corpus = make_corpus(LONG, 8, 0)
    assert corpus.documents == "stream"
    assert len(corpus.part) < len(corpus.validation)
    evaluated = evaluate(partial(loss, config=run.config))
    kept = run.checkpoint.model
    assert kept.loss == pytest.approx(mean_loss(evaluated, run.parameters, corpus.part), rel=1e-5)
    assert kept.loss_on_all == pytest.approx(mean_loss(evaluated, run.parameters, corpus.validation), rel=1e-5)
    assert f"-> {kept.loss:.4f}, {kept.loss_on_all:.4f} on all that was kept aside" in result.stdout
    assert f"({predictions(corpus.part):,} of them for a look in between)" in result.stdout
    card = (directory / "runs" / "long" / "README.md").read_text()
    assert f"{kept.loss:.4f}" in card
    assert f"on all of it, the loss is {kept.loss_on_all:.4f}" in card


def test_the_picture_of_prose_has_the_line_of_mere_pairs(trained_long):
    directory, _, run = trained_long
    corpus = make_corpus(LONG, 8, 0)
    pairs = bigram_loss(bigram_probabilities(corpus.training, len(run.vocabulary) - 1), corpus.part)  # END is in none
    assert f"validation of mere character pairs: {pairs:.3f}" in (directory / "runs/long/loss.svg").read_text()


def test_a_context_longer_than_the_held_out_piece_is_refused(tmp_path):
    (tmp_path / "fox.txt").write_text(PROSE)
    assert_refused(
        call("train.py", "--data", "fox.txt", cwd=tmp_path), "no longer than the context, 64", "--block-size 23"
    )
    assert not (tmp_path / "runs").exists()


def test_prose_of_one_kind_of_character_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("a" * 5000)
    assert_refused(call("train.py", "--data", "a.txt", cwd=tmp_path), "only one distinct character, 'a'")


def test_a_prompt_that_prose_has_not_seen_is_refused(trained_prose):
    assert_refused(call("sample.py", "--prompt", "THE", cwd=trained_prose[0]), "'T'")


@pytest.mark.parametrize("change", [lambda text: text + "more\n", lambda text: text.replace("fox", "cat")])
def test_prose_that_grew_or_changed_is_not_gone_on_with(trained_prose, tmp_path, change):
    shutil.copytree(trained_prose[0], tmp_path / "copy")
    (tmp_path / "copy" / "fox.txt").write_text(change(PROSE))
    result = call("train.py", "--resume", "--steps", "4", cwd=tmp_path / "copy")
    assert_refused(result, "fox.txt is not the text that", "to go on with the copy, add --data")
    assert "x03" not in result.stderr  # no text has the character of its end, so no text lacks it


def test_prose_goes_on_past_the_context_till_its_end_is_drawn(trained_prose):
    options = ["--num-samples", "20", "--max-new-tokens", "50", "--prompt", "the", "--format", "jsonl"]
    result = call("sample.py", *options, cwd=trained_prose[0])
    assert result.returncode == 0
    lengths = {len(json.loads(line)["text"]) for line in result.stdout.splitlines()}
    assert 2 * 8 < max(lengths) <= 3 + 50
    assert len(lengths) > 1
    assert END not in result.stdout + json.loads(result.stdout.splitlines()[0])["text"]


def test_prose_with_its_end_in_it_is_refused_and_lines_with_it_are_not(tmp_path):
    (tmp_path / "fox.txt").write_text(PROSE.replace(";", ";\n\x03"))
    result = call("train.py", "--data", "fox.txt", *TINY, "--block-size", "8", cwd=tmp_path)
    assert_refused(result, "U+0003 on line 2, as character 1 of it", "delete it")
    (tmp_path / "names.txt").write_text(NAMES + "a\x03\n")
    assert call("train.py", "--data", "names.txt", *TINY, cwd=tmp_path).returncode == 0


def test_which_run_writes_prose_is_said_where_nobody_chose_it(trained_prose):
    options = ["--num-samples", "1", "--max-new-tokens", "5"]
    assert call("sample.py", *options, cwd=trained_prose[0]).stderr == "writing with the model in runs/fox\n"
    for silent in (["--run", "runs/fox"], ["--quiet"]):
        assert call("sample.py", *options, *silent, cwd=trained_prose[0]).stderr == ""


def test_samples_of_prose_are_set_apart(trained_prose):
    result = call("sample.py", "--num-samples", "3", "--max-new-tokens", "5", cwd=trained_prose[0])
    assert result.stdout.count("-" * 40) == 2


# What the user can mend: one line, exit code 2


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"\x00\x01\x02", "not a text file"),
        (b"ana\xefs\nbob\n", "not UTF-8"),
        (b"anna\n", "only one distinct line"),
        (b"aaa\naa\na\n", "only one distinct character, 'a'"),
    ],
    ids=["empty", "blank", "binary", "latin-1", "one line", "one character"],
)
def test_a_data_file_with_nothing_to_learn_is_refused(tmp_path, content, expected):
    (tmp_path / "data.txt").write_bytes(content)
    assert_refused(call("train.py", "--data", "data.txt", *TINY, cwd=tmp_path), expected)
    assert not (tmp_path / "runs").exists()


def test_a_missing_data_file_is_named(tmp_path):
    assert_refused(call("train.py", "--data", "nowhere.txt", *TINY, cwd=tmp_path), "nowhere.txt")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--n-embd", "5"),
        ("--n-embd", "0"),
        ("--n-head", "-2"),
        ("--n-layer", "0"),
        ("--steps", "0"),
        ("--batch-size", "-1"),
        ("--block-size", "0"),
        ("--eval-interval", "0"),
        ("--warmup", "-1"),
        ("--seed", "-1"),
        ("--learning-rate", "nan"),
        ("--learning-rate", "inf"),
        ("--learning-rate", "0"),
        ("--weight-decay", "-0.1"),
        ("--grad-clip", "nan"),
        ("--steps", "many"),
        ("--steps", "1.5"),
        ("--documents", "pages"),
        ("--engine", "steam"),
    ],
)
def test_an_impossible_setting_is_named(data, option, value):
    result = call("train.py", "--data", "names.txt", *TINY, f"{option}={value}", cwd=data)
    assert_refused(result, option, value)
    assert not (data / "runs").exists()


@pytest.mark.parametrize("script", ["train.py", "sample.py"])
@pytest.mark.parametrize("option", ["--frobnicate", "--see"])
def test_an_unknown_option_is_named(tmp_path, script, option):
    assert_refused(call(script, option, "1", cwd=tmp_path), option, "--help")


def test_a_line_too_long_is_told_two_ways_out(data):
    result = call("train.py", "--data", "names.txt", *TINY, "--documents", "lines", "--block-size", "4", cwd=data)
    assert_refused(result, "--block-size 6 or --documents stream")


@pytest.mark.parametrize("script", ["train.py", "sample.py"])
def test_help_shows_the_options(tmp_path, script):
    result = call(script, "--help", cwd=tmp_path)
    assert result.returncode == 0
    assert "--seed" in result.stdout


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--temperature", "-1"),
        ("--temperature", "nan"),
        ("--temperature", "inf"),
        ("--num-samples", "0"),
        ("--max-new-tokens", "0"),
        ("--top-k", "-3"),
        ("--seed", "-1"),
        ("--temperature", "hot"),
    ],
)
def test_an_impossible_choice_is_named(trained, option, value):
    assert_refused(call("sample.py", f"{option}={value}", cwd=trained[0]), option, value)


def test_a_prompt_with_an_unknown_character_is_refused(trained):
    result = call("sample.py", "--prompt", "añn", cwd=trained[0])
    assert_refused(result, "'ñ'", "'abceilno'")
    assert result.stdout == ""


def test_a_prompt_too_long_is_refused(trained):
    assert_refused(call("sample.py", "--prompt", "a" * 16, cwd=trained[0]), "has 16 characters", "room for 15")


def test_a_prompt_of_two_lines_is_refused(trained):
    assert_refused(call("sample.py", "--prompt", "a\nb", cwd=trained[0]), "newline")


def test_a_missing_run_directory_is_named(tmp_path):
    assert_refused(call("sample.py", "--run", "nowhere", cwd=tmp_path), "nowhere", "train.py")


def test_sampling_before_training_is_told_what_to_do(tmp_path):
    assert_refused(call("sample.py", cwd=tmp_path), "no trained model", "python train.py")


DAMAGE = {
    "cut": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "flipped": lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
    "text": lambda data: b"[1, 2]",
}


@pytest.mark.parametrize("script", ["sample.py", "train.py"])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_checkpoint_is_refused(copy, damage, script):
    path, older = checkpoints(copy)
    path.write_bytes(damage(path.read_bytes()))
    option = {"sample.py": "--run", "train.py": "--resume"}[script]
    assert_refused(call(script, option, copy, cwd=copy), path.name, f"{older.name} is good")


def test_damage_beside_the_checkpoint_is_mended_and_said(copy):
    before = call("sample.py", "--seed", "3", "--run", copy, cwd=copy)
    (copy / "config.json").write_bytes(b"{")
    (copy / "model.safetensors").unlink()
    result = call("sample.py", "--seed", "3", "--run", copy, cwd=copy)
    assert result.stdout == before.stdout
    assert result.stderr == f"note: made config.json, model.safetensors again from the checkpoint in {copy}\n"
    assert call("sample.py", "--run", copy, cwd=copy).stderr == ""


def test_a_model_that_was_changed_is_said_and_can_be_taken(copy):
    change_model(copy)
    stderr = call("sample.py", "--run", copy, cwd=copy).stderr
    assert len(stderr.splitlines()) == 1
    assert "was changed by another program" in stderr
    changed = call("sample.py", "--run", copy / "model.safetensors", "--quiet", "--temperature", "0", cwd=copy)
    assert changed.stdout.splitlines() == [""] * 20  # the newline is the likeliest
    assert changed.stderr == ""


def change_model(run):
    """Make the closing newline certain, as another program that trains the model could."""
    tensors = load_file(run / "model.safetensors")
    tensors["ln_f.weight"] = np.zeros_like(tensors["ln_f.weight"])
    tensors["ln_f.bias"][:] = tensors["wte.weight"][0] = 5.0
    save_file(tensors, run / "model.safetensors", {"format": "pt"})


# What happens underway


@pytest.fixture(scope="session")
def diverged(tmp_path_factory):
    directory = tmp_path_factory.mktemp("diverged")
    (directory / "names.txt").write_text(NAMES)
    options = [*TINY, "--steps", "9", "--learning-rate", "1e300"]
    return directory, call("train.py", "--data", "names.txt", *options, cwd=directory)


def test_divergence_is_told_in_the_last_line(diverged):
    result = diverged[1]
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    last = result.stderr.splitlines()[-1]
    assert "error: training diverged" in last
    assert "--learning-rate lower than 1e+300" in last


@pytest.mark.parametrize("engine", ["scalar", "compiled"])
def test_before_the_first_step_the_learning_rate_is_not_to_blame(data, engine):
    """Neither where the validation loss is not finite, as in float32, nor where the first gradient is not."""
    assert call("train.py", "--data", "names.txt", *TINY, cwd=data).returncode == 0
    file = data / "runs" / "names" / "model.safetensors"
    tensors = load_file(file)
    tensors["h.0.mlp.c_fc.bias"][:] = 3e38
    tensors["h.0.mlp.c_proj.weight"][:] = 3e38
    save_file(tensors, file, {"format": "pt"})
    options = ["--init-from", file, *TINY, "--engine", engine, "--skip-check"]
    result = call("train.py", "--data", "names.txt", *options, cwd=data)
    last = result.stderr.splitlines()[-1]
    assert result.returncode == 1
    assert "no step was taken yet, so another --learning-rate changes nothing" in last
    assert "lower than" not in last


def test_divergence_leaves_the_last_good_parameters(diverged):
    run = load_run(diverged[0] / "runs" / "names")
    assert all(np.isfinite(array).all() for array in run.parameters.values())


def test_ctrl_c_ends_training_well(data):
    options = [*TINY, "--steps", "1000000"]
    with subprocess.Popen(
        command("train.py", "--data", "names.txt", *options),
        cwd=data,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        while not process.stdout.readline().startswith("step     0"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted after" in output
    assert "Traceback" not in errors
    assert load_run(data / "runs" / "names").config.n_embd == 4


# The compiled engine, which is the default


def compiled_run(directory, name, *options):
    arguments = ["--n-embd", "8", "--n-head", "2", "--steps", "6", "--batch-size", "40", *options]
    result = call("train.py", "--data", "names.txt", "--out", name, *arguments, cwd=directory)
    assert result.returncode == 0, result.stderr
    return result, load_run(directory / name)


def test_the_compiled_engine_is_checked_and_says_what_it_found(data):
    result, _ = compiled_run(data, "run")
    assert "the engines compiled and scalar agree to 1" in result.stdout
    assert re.search(
        r"operations on single numbers became \d+ instructions on arrays, 7 of them matrix products", result.stdout
    )


def test_the_check_can_be_skipped(data):
    result, _ = compiled_run(data, "run", "--skip-check")
    assert "checked on" not in result.stdout


def test_threads_do_not_change_a_run(data):
    runs = [compiled_run(data, f"run{n}", "--threads", n, "--skip-check")[1] for n in (1, 2, 3)]
    for name, array in runs[0].parameters.items():
        assert array.tobytes() == runs[1].parameters[name].tobytes() == runs[2].parameters[name].tobytes()


def test_the_listing_is_printed_and_nothing_is_trained(data):
    result = call("train.py", "--data", "names.txt", "--listing", cwd=data)
    assert result.returncode == 0
    assert "matrix products" in result.stdout
    assert not (data / "runs").exists()


def test_divergence_of_compiled_code_stops_the_run(data):
    options = ("--learning-rate", "1e300", "--n-embd", "8", "--n-head", "2", "--steps", "6", "--skip-check")
    result = call("train.py", "--data", "names.txt", "--out", "run", *options, cwd=data)
    assert result.returncode == 1
    assert "diverged after step 1" in result.stderr
    assert "Warning" not in result.stderr
    load_run(data / "run")


def test_a_directory_without_a_name_of_its_own_gets_a_free_one(data):
    result = call("train.py", "--data", "names.txt", "--out", ".", *TINY, cwd=data)
    assert result.returncode == 0
    load_run(data.with_name(f"{data.name}-2"))


@pytest.mark.skipif(sys.platform == "win32", reason="pipes close differently on Windows")
def test_a_closed_pipe_is_no_error(trained):
    with subprocess.Popen(
        command("sample.py", "--num-samples", "150"),
        cwd=trained[0],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
