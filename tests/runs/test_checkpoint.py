"""A checkpoint comes back as it was saved, or is refused with one line that names the file."""

import hashlib
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from helpers import (
    TINY,
    any_json,
    assert_same_checkpoint,
    assert_same_validated,
    loads_or_is_refused,
    make_checkpoint,
    quickly,
)
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from microgpt.errors import InputError
from microgpt.gpt import GPTConfig
from microgpt.runs.checkpoint import Evaluation, checkpoints, checksum, load_checkpoint, save_checkpoint

SMALLEST = GPTConfig(vocab_size=2, n_positions=1, n_embd=1, n_layer=1, n_head=1)


def saved(directory, **options):
    """A checkpoint in a run directory: the file, and what it holds."""
    checkpoint = make_checkpoint(**options)
    return save_checkpoint(directory, checkpoint), checkpoint


def refusal(directory) -> str:
    """The complaint about the newest checkpoint, which must be a single line that names a file there."""
    with pytest.raises(InputError) as caught:
        load_checkpoint(directory)
    assert "\n" not in str(caught.value)
    assert str(directory) in str(caught.value)
    return str(caught.value)


def forge(path, state=None, tensors=None):
    """Change what a checkpoint says, or its tensors (None: remove), and make the checksums fit again."""
    with safe_open(path, framework="numpy") as file:
        described = json.loads(file.metadata()["state"])
    described = json.dumps(described | (state or {}))
    vectors = {name: array for name, array in (load_file(path) | (tensors or {})).items() if array is not None}
    sums = {name: checksum({name: array}) for name, array in vectors.items()}
    save_forged(path, described, vectors, sums)


def save_forged(path, described, vectors, sums):
    sums = sums | {"state": hashlib.sha256(described.encode()).hexdigest()}
    save_file(vectors, path, {"state": described, "sha256": json.dumps(sums)})


# Round trip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("documents", ["lines", "stream"])
def test_a_checkpoint_comes_back_to_the_bit(tmp_path, dtype, documents):
    _, checkpoint = saved(tmp_path, dtype=dtype, documents=documents)
    assert_same_checkpoint(load_checkpoint(tmp_path), checkpoint)


def test_unusual_characters_come_back(tmp_path):
    _, checkpoint = saved(tmp_path, vocabulary='\n"😀مé'[:5])
    assert load_checkpoint(tmp_path).origin.vocabulary == checkpoint.origin.vocabulary == '\n"😀مé'[:5]


def test_numbers_that_no_decimal_ends_come_back(tmp_path):
    checkpoint = replace(make_checkpoint(), initial_loss=1 / 3)
    save_checkpoint(tmp_path, checkpoint)
    assert load_checkpoint(tmp_path).initial_loss == 1 / 3


def test_the_loss_on_all_that_is_held_out_comes_back(tmp_path):
    checkpoint = make_checkpoint()
    checkpoint = replace(checkpoint, best=replace(checkpoint.best, loss_on_all=1 / 3))
    save_checkpoint(tmp_path, checkpoint)
    assert_same_checkpoint(load_checkpoint(tmp_path), checkpoint)


def test_a_checkpoint_from_before_there_was_a_loss_on_all_can_be_read(tmp_path):
    path, checkpoint = saved(tmp_path)
    best = {"step": checkpoint.best.step, "loss": checkpoint.best.loss, "samples": checkpoint.best.samples}
    forge(path, state={"best": best})
    assert_same_checkpoint(load_checkpoint(tmp_path), checkpoint)


@pytest.mark.parametrize(("loss", "chosen"), [(1.0, "unplanned"), (2.0, "best")])
def test_the_model_of_a_stopped_run_is_the_better_of_its_best_and_its_last(tmp_path, loss, chosen):
    checkpoint = make_checkpoint()
    checkpoint = replace(checkpoint, unplanned=Evaluation(7, loss, checkpoint.parameters, ["b"]))
    save_checkpoint(tmp_path, checkpoint)
    loaded = load_checkpoint(tmp_path)
    assert_same_checkpoint(loaded, checkpoint)
    assert_same_validated(loaded.model, getattr(checkpoint, chosen))


def test_tensors_have_gpt_2s_names(tmp_path):
    _, checkpoint = saved(tmp_path)
    assert checkpoint.named(checkpoint.parameters)["wte.weight"].shape == (TINY.vocab_size, TINY.n_embd)


def test_the_newest_two_are_kept(tmp_path):
    for step in (5, 999_999, 1_000_000, 1_000_001):
        save_checkpoint(tmp_path, make_checkpoint(step=step))
    assert [path.name for path in checkpoints(tmp_path)] == ["step-1000001.safetensors", "step-1000000.safetensors"]
    assert load_checkpoint(tmp_path).step == 1_000_001


def test_a_state_that_is_saved_twice_is_there_once(tmp_path):
    for loss in (1.0, 3.0):
        save_checkpoint(tmp_path, replace(make_checkpoint(), initial_loss=loss))
    assert len(checkpoints(tmp_path)) == 1
    assert load_checkpoint(tmp_path).initial_loss == 3.0


def test_a_file_that_was_not_finished_counts_for_nothing(tmp_path):
    path, checkpoint = saved(tmp_path)
    (path.parent / ".step-000009.safetensors.tmp").write_bytes(path.read_bytes()[:100])
    assert_same_checkpoint(load_checkpoint(tmp_path), checkpoint)


def test_no_checkpoint_is_an_error(tmp_path):
    assert "has no checkpoint" in refusal(tmp_path)


# Damage


@pytest.mark.slow
def test_every_byte_that_changes_is_noticed_or_changes_nothing(tmp_path):
    path, checkpoint = saved(tmp_path, config=SMALLEST)
    content = path.read_bytes()
    harmless = 0
    for i, byte in enumerate(content):
        for flip in (1 << i % 8, 0xFF):
            path.write_bytes(content[:i] + bytes([byte ^ flip]) + content[i + 1 :])
            try:
                loaded = load_checkpoint(tmp_path)
            except InputError:
                continue
            assert_same_checkpoint(loaded, checkpoint)
            harmless += 1
    assert harmless < 20  # in the blanks at the end of the header


@pytest.mark.slow
def test_every_length_of_a_cut_file_is_refused(tmp_path):
    path, _ = saved(tmp_path)
    content = path.read_bytes()
    for length in [*range(min(len(content), 4096)), len(content) - 1]:
        path.write_bytes(content[:length])
        assert path.name in refusal(tmp_path)


def test_a_file_that_goes_on_after_its_end_is_refused(tmp_path):
    path, _ = saved(tmp_path)
    path.write_bytes(path.read_bytes() + b"\0")
    assert path.name in refusal(tmp_path)


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 10**8, 2**31, 20_000_000])
def test_a_header_that_claims_to_be_huge_is_refused(tmp_path, length):
    path, _ = saved(tmp_path)
    path.write_bytes(length.to_bytes(8, "little") + path.read_bytes()[8:])
    assert f"claims {length:,} bytes" in refusal(tmp_path)


def test_an_older_good_one_is_named(tmp_path):
    good, _ = saved(tmp_path, step=5)
    path, _ = saved(tmp_path, step=6)
    path.write_bytes(path.read_bytes()[:-1])
    complaint = refusal(tmp_path)
    assert f"{good} is good: delete the damaged one to resume from step 5" in complaint
    path.unlink()
    assert load_checkpoint(tmp_path).step == 5


def test_a_link_to_nothing_is_damage(tmp_path):
    saved(tmp_path, step=5)
    path, _ = saved(tmp_path, step=6)
    path.unlink()
    path.symlink_to("nowhere")
    assert "to resume from step 5" in refusal(tmp_path)


def test_an_older_one_that_is_damaged_too_is_not_recommended(tmp_path):
    for step in (5, 6):
        path, _ = saved(tmp_path, step=step)
        path.write_bytes(path.read_bytes()[:-1])
    assert "is good" not in refusal(tmp_path)


def test_a_directory_in_place_of_the_file_is_refused(tmp_path):
    path, _ = saved(tmp_path)
    path.unlink()
    path.mkdir()
    assert "is not a file" in refusal(tmp_path)


# What fits its checksums and still makes no sense

VECTOR = np.zeros(TINY.vocab_size, np.float32)


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        ({"adam_v": None}, "expected .*adam_v"),
        ({"extra": VECTOR}, "extra"),
        ({"adam_m": VECTOR}, r"adam_m has shape \[5\], expected a vector of float32 of length"),
        ({"adam_m": VECTOR.reshape(1, -1)}, "adam_m has shape"),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path, tensors, expected):
    path, _ = saved(tmp_path)
    forge(path, tensors=tensors)
    with pytest.raises(InputError, match=expected):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32])
def test_numbers_of_another_type_are_named(tmp_path, dtype):
    path, checkpoint = saved(tmp_path)
    forge(path, tensors={"parameters": checkpoint.parameters.astype(dtype)})
    assert f"parameters has dtype {np.dtype(dtype)}" in refusal(tmp_path)


@pytest.mark.parametrize("vector", ["parameters", "best_parameters", "adam_m", "adam_v"])
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_named(tmp_path, vector, number):
    path, checkpoint = saved(tmp_path)
    wrong = checkpoint.parameters.copy()
    wrong[3] = number
    forge(path, tensors={vector: wrong})
    assert f"{vector} holds numbers that are not finite" in refusal(tmp_path)


SHAPE = {"vocab_size": 5, "n_positions": 6, "n_embd": 4, "n_layer": 1, "n_head": 2}


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"format": 2}, "has format 2, but this version of microgpt reads format 1"),
        ({"format": "1"}, "format is '1', expected int"),
        ({"step": -1.5}, "step is -1.5"),
        ({"step": True}, "step is True"),
        ({"step": 8}, "its name says 7"),
        ({"initial_loss": None}, "initial_loss is None"),
        ({"documents": "auto"}, "documents is 'auto'"),
        ({"vocabulary": "\nabc"}, "the vocabulary has 4 characters, but vocab_size is 5"),
        ({"vocabulary": "\nabca"}, "repeats a character"),
        ({"vocabulary": "abcde"}, "lacks the newline"),
        ({"vocabulary": "\nabc\ud800"}, "surrogate"),
        ({"vocabulary": ["\n"]}, "vocabulary is"),
        ({"config": SHAPE | {"n_head": 3}}, "n_embd 4 is not a multiple of n_head 3"),
        ({"config": SHAPE | {"n_layer": 0}}, "n_layer is 0"),
        ({"config": SHAPE | {"n_layer": 10**30}}, "n_layer is 1000"),
        ({"config": SHAPE | {"n_layer": 10**9}}, "expected a vector of float32 of length"),
        ({"config": SHAPE | {"n_positions": 2.0}}, "n_positions is 2.0"),
        ({"config": None}, "config is None"),
        ({"best": {"step": 1, "loss": float("nan"), "samples": []}}, "loss is nan"),
        ({"best": {"step": 1, "loss": 1.0, "samples": [1]}}, "samples is"),
        ({"best": {"step": 1, "loss": 1.0}}, "samples is None"),
        ({"best": {"step": 1, "loss": 1.0, "samples": [], "loss_on_all": "1"}}, "loss_on_all is '1'"),
        ({"unplanned": {}}, "loss is None"),
        ({"unplanned": 3}, "unplanned is 3"),
        ({"settings": []}, "settings is"),
        ({"dtype": "bfloat16"}, "expected a vector of bfloat16"),
    ],
)
def test_a_description_that_makes_no_sense_is_named(tmp_path, state, expected):
    path, _ = saved(tmp_path)
    forge(path, state=state)
    assert expected in refusal(tmp_path)


@pytest.mark.slow
@quickly
@given(key=st.sampled_from(["step", "config", "best", "unplanned", "settings", "vocabulary", "origin"]), value=any_json)
def test_any_description_loads_or_is_refused(tmp_path, key, value):
    path, _ = saved(tmp_path)
    forge(path, state={key: value})
    loads_or_is_refused(load_checkpoint, tmp_path)


@quickly
@given(content=st.binary(max_size=200))
def test_any_bytes_are_refused(tmp_path, content):
    path, _ = saved(tmp_path)
    path.write_bytes(content)
    assert path.name in refusal(tmp_path)


@quickly
@given(header=any_json)
def test_any_header_is_refused(tmp_path, header):
    path, _ = saved(tmp_path)
    described = json.dumps(header).encode()
    path.write_bytes(len(described).to_bytes(8, "little") + described + bytes(64))
    assert path.name in refusal(tmp_path)


# Writing


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    events = []
    fsync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: events.append("synced") or fsync(fd))
    monkeypatch.setattr(os, "replace", lambda *paths: events.append("named") or rename(*paths))
    saved(tmp_path)
    assert events == ["synced", "named", "synced"]  # the file, then its name, then the directory
