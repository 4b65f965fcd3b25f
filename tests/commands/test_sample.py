"""sample.py as a user meets it: what it writes, what it counts, and what it refuses."""

import json
import os

import numpy as np
import pytest
from running import SHORT, TINY, assert_refused, call, train
from safetensors.numpy import load_file, save_file

from microgpt.learning.sampling import stream
from microgpt.learning.text import END
from microgpt.runs.checkpoint import checkpoints
from microgpt.runs.directory import load_run

pytestmark = pytest.mark.slow


def sample(directory, *options):
    """What sample.py writes there, line by line."""
    result = call("sample.py", *options, cwd=directory)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_samples_are_one_a_line_and_counted(trained):
    result = call("sample.py", "--num-samples", "4", cwd=trained[0])
    *names, count = result.stdout.splitlines()
    assert (result.returncode, len(names), result.stderr) == (0, 4, "")
    assert count.endswith("of 4 are new; the model is in runs/names")


def test_sampling_takes_the_newest_run(tmp_path):
    for out in ("runs/first", "runs/second"):
        train(tmp_path, "--out", out, "--seed", len(out), *TINY)
    os.utime(checkpoints(tmp_path / "runs" / "first")[0], (1000, 1000))
    newest, first, second = (sample(tmp_path, *o) for o in ([], ["--run", "runs/first"], ["--run", "runs/second"]))
    assert newest == second != first


def test_samples_begin_with_the_prompt(trained):
    assert all(line.startswith("ann") for line in sample(trained[0], "--prompt", "ann", "--num-samples", "3")[:3])


def test_a_prompt_may_begin_with_a_dash(tmp_path):
    train(tmp_path, *TINY, text="".join(f"-{a}{b}\n" for a in "abc" for b in "nm"))
    for prompt in ("-an", "-", "--a"):
        lines = sample(tmp_path, "--prompt", prompt, "--num-samples", "2")
        assert all(line.startswith(prompt) for line in lines[:2])
    assert_refused(call("sample.py", "--prompt", "--seed", "3", cwd=tmp_path), "--prompt", "expected one argument")


def test_a_newline_can_be_typed_for_prose(trained_prose):
    options = ["--prompt", r"\nthe", "--num-samples", "1", "--quiet"]
    assert call("sample.py", *options, cwd=trained_prose[0]).stdout.startswith("\nthe")


@pytest.mark.parametrize("options", [["--temperature", "0"], ["--top-k", "1"]])
def test_without_chance_all_samples_are_the_same(trained, options):
    *lines, count = sample(trained[0], *options, "--num-samples", "5")
    assert len(set(lines)) == 1
    assert ", all the same, since each takes the likeliest character;" in count


def test_a_seed_makes_the_samples(trained):
    first, again, other = (sample(trained[0], "--seed", seed) for seed in (1, 1, 2))
    assert first == again != other


def test_a_sample_does_not_depend_on_others(trained):
    few, many = (sample(trained[0], "--num-samples", n) for n in (2, 5))
    assert few[:2] == many[:2]


def test_names_of_the_data_are_marked_and_counted(short):
    *names, count = sample(short, "--num-samples", "30")
    known = [name for name in names if name.split("  ")[0] in SHORT]
    assert 0 < len(known) < 30
    assert known == [name for name in names if name.endswith("  (in the data)")]
    assert count.startswith(f"{30 - len(known)} of 30 are new")
    assert len(set(names)) < 30
    assert f"new, {len(set(names))} are different;" in count


def test_quiet_prints_the_names_alone(short):
    *names, _ = sample(short, "--num-samples", "30")
    assert sample(short, "--num-samples", "30", "--quiet") == [name.removesuffix("  (in the data)") for name in names]


@pytest.mark.parametrize("count", [30, 250])
def test_jsonl_tells_text_probability_and_newness(short, count):
    options = ["--num-samples", count, "--format", "jsonl", "--prompt", "a"]
    found = [json.loads(line) for line in sample(short, *options)]
    assert len(found) == count
    assert all(entry["text"].startswith("a") and entry["log_probability"] < 0 for entry in found)
    assert {entry["new"] for entry in found} == {True, False}
    assert all(entry["new"] == (entry["text"] not in SHORT) for entry in found)
    run = load_run(short / "runs" / "names")
    assert found[0]["log_probability"] == pytest.approx(sum(p for _, p in stream(run, "a")), abs=1e-9)


# Prose


def test_prose_goes_on_till_its_end_is_drawn(trained_prose):
    options = ["--num-samples", "20", "--max-new-tokens", "50", "--prompt", "the", "--format", "jsonl"]
    lines = sample(trained_prose[0], *options)
    lengths = {len(json.loads(line)["text"]) for line in lines}
    assert 2 * 8 < max(lengths) <= 3 + 50  # longer than the context
    assert len(lengths) > 1
    assert END not in "".join(json.loads(line)["text"] for line in lines)


def test_prose_tells_an_unchosen_run(trained_prose):
    options = ["--num-samples", "1", "--max-new-tokens", "5"]
    assert call("sample.py", *options, cwd=trained_prose[0]).stderr == "writing with the model in runs/fox\n"
    for silent in (["--run", "runs/fox"], ["--quiet"]):
        assert call("sample.py", *options, *silent, cwd=trained_prose[0]).stderr == ""


def test_samples_of_prose_are_set_apart(trained_prose):
    assert sample(trained_prose[0], "--num-samples", "3", "--max-new-tokens", "5").count("-" * 40) == 2


# What the user can mend


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [("añn", ["'ñ'", "'abceilno'"]), ("a" * 16, ["has 16 characters", "room for 15"]), ("a\nb", ["newline"])],
)
def test_a_prompt_that_cannot_be_is_refused(trained, prompt, expected):
    result = call("sample.py", "--prompt", prompt, cwd=trained[0])
    assert_refused(result, *expected)
    assert result.stdout == ""


def test_a_prompt_that_prose_lacks_is_refused(trained_prose):
    assert_refused(call("sample.py", "--prompt", "THE", cwd=trained_prose[0]), "'T'")


def test_a_missing_run_is_told(tmp_path):
    assert_refused(call("sample.py", "--run", "nowhere", cwd=tmp_path), "nowhere", "train.py")
    assert_refused(call("sample.py", cwd=tmp_path), "no trained model", "python train.py")


DAMAGE = {
    "cut": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "flipped": lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
    "text": lambda data: b"[1, 2]",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_checkpoint_is_refused(copy, damage):
    path, older = checkpoints(copy)
    path.write_bytes(damage(path.read_bytes()))
    for script, option in (("sample.py", "--run"), ("train.py", "--resume")):
        assert_refused(call(script, option, copy, cwd=copy), path.name, f"{older.name} is good")


def test_damage_beside_the_checkpoint_is_mended(copy):
    before = sample(copy, "--run", copy)
    (copy / "config.json").write_bytes(b"{")
    (copy / "model.safetensors").unlink()
    result = call("sample.py", "--run", copy, cwd=copy)
    assert result.stdout.splitlines() == before
    assert result.stderr == f"note: rewrote config.json, model.safetensors from the checkpoint in {copy}\n"
    assert call("sample.py", "--run", copy, cwd=copy).stderr == ""


def test_a_changed_model_is_told_and_taken(copy):
    tensors = load_file(copy / "model.safetensors")
    tensors["ln_f.weight"] = np.zeros_like(tensors["ln_f.weight"])
    tensors["ln_f.bias"][:] = tensors["wte.weight"][0] = 5.0  # makes the closing newline certain
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    stderr = call("sample.py", "--run", copy, cwd=copy).stderr
    assert len(stderr.splitlines()) == 1
    assert "was changed by another program" in stderr
    changed = call("sample.py", "--run", copy / "model.safetensors", "--quiet", "--temperature", "0", cwd=copy)
    assert (changed.stdout, changed.stderr) == ("\n" * 20, "")
