"""A checkpoint comes back as it was saved, or is refused with one line that names the file."""

import hashlib
import json
import os
import stat
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import (
    TINY,
    any_json,
    assert_same_checkpoint,
    assert_same_validated,
    loads_or_is_refused,
    make_checkpoint,
    make_link,
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
    sums["state"] = hashlib.sha256(described.encode()).hexdigest()
    save_file(vectors, path, {"state": described, "sha256": json.dumps(sums)})


# Round trip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_checkpoint_comes_back_to_the_bit(tmp_path, dtype):
    checkpoint = make_checkpoint(dtype=dtype, documents="stream", vocabulary='\n"😀مé'[:5])
    best = replace(checkpoint.best, loss_on_all=1 / 3)
    checkpoint = replace(checkpoint, initial_loss=1 / 3, best=best)
    save_checkpoint(tmp_path, checkpoint)
    assert_same_checkpoint(load_checkpoint(tmp_path), checkpoint)


def test_an_older_checkpoint_is_read(tmp_path):
    path, checkpoint = saved(tmp_path)
    best = {"step": checkpoint.best.step, "loss": checkpoint.best.loss, "samples": checkpoint.best.samples}
    forge(path, state={"best": best})
    assert_same_checkpoint(load_checkpoint(tmp_path), checkpoint)


@pytest.mark.parametrize(("loss", "chosen"), [(1.0, "unplanned"), (2.0, "best")])
def test_a_stopped_runs_model_is_best_or_last(tmp_path, loss, chosen):
    checkpoint = make_checkpoint()
    checkpoint = replace(checkpoint, unplanned=Evaluation(7, loss, checkpoint.parameters, ["b"]))
    save_checkpoint(tmp_path, checkpoint)
    loaded = load_checkpoint(tmp_path)
    assert_same_checkpoint(loaded, checkpoint)
    assert_same_validated(loaded.model, getattr(checkpoint, chosen))


def test_the_newest_two_are_kept(tmp_path):
    for step in (5, 999_999, 1_000_000, 1_000_001):
        save_checkpoint(tmp_path, make_checkpoint(step=step))
    assert [path.name for path in checkpoints(tmp_path)] == ["step-1000001.safetensors", "step-1000000.safetensors"]
    assert load_checkpoint(tmp_path).step == 1_000_001


def test_a_state_saved_twice_is_there_once(tmp_path):
    for loss in (1.0, 3.0):
        save_checkpoint(tmp_path, replace(make_checkpoint(), initial_loss=loss))
    assert len(checkpoints(tmp_path)) == 1
    assert load_checkpoint(tmp_path).initial_loss == 3.0


# Damage


@pytest.mark.slow
def test_every_changed_byte_is_noticed_or_harmless(tmp_path):
    path, checkpoint = saved(tmp_path, config=SMALLEST)
    content = path.read_bytes()
    harmless = 0
    for i, byte in enumerate(content):
        path.write_bytes(content[:i] + bytes([byte ^ 1 << i % 8]) + content[i + 1 :])
        try:
            loaded = load_checkpoint(tmp_path)
        except InputError:
            continue
        assert_same_checkpoint(loaded, checkpoint)
        harmless += 1
    assert harmless < 20  # in the blanks at the end of the header


def test_any_other_length_is_refused(tmp_path):
    path, _ = saved(tmp_path)
    content = path.read_bytes()
    for length in [*range(0, len(content), 37), len(content) - 1]:
        path.write_bytes(content[:length])
        assert path.name in refusal(tmp_path)
    path.write_bytes(content + b"\0")
    assert path.name in refusal(tmp_path)
    for length in (2**63, 2**64 - 1, 20_000_000):
        path.write_bytes(length.to_bytes(8, "little") + content[8:])
        assert f"claims {length:,} bytes" in refusal(tmp_path)


def test_an_older_good_checkpoint_is_named(tmp_path):
    assert "has no checkpoint" in refusal(tmp_path)
    good, _ = saved(tmp_path, step=5)
    path, _ = saved(tmp_path, step=6)
    path.write_bytes(path.read_bytes()[:-1])
    complaint = refusal(tmp_path)
    assert f"{good} is good: delete the damaged one to resume from step 5" in complaint
    path.unlink()
    assert load_checkpoint(tmp_path).step == 5
    make_link(path, "nowhere")
    assert "to resume from step 5" in refusal(tmp_path)
    good.write_bytes(good.read_bytes()[:-1])
    assert "is good" not in refusal(tmp_path)
    path.unlink()
    path.mkdir()
    assert "is not a file" in refusal(tmp_path)


# What fits its checksums and still makes no sense

SHORT = np.zeros(TINY.vocab_size, np.float32)
WHOLE = make_checkpoint().parameters
NAN, INFINITE = (np.append(WHOLE[:-1], np.float32(number)) for number in (np.nan, np.inf))


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        ({"adam_v": None}, "expected "),
        ({"extra": SHORT}, "extra"),
        ({"adam_m": SHORT}, "adam_m has shape [5], expected a vector of float32 of length"),
        ({"adam_m": WHOLE.reshape(1, -1)}, "adam_m has shape"),
        *(
            ({"parameters": WHOLE.astype(dtype)}, f"parameters has dtype {dtype}")
            for dtype in ("float64", "float16", "int32")
        ),
        *(
            ({name: wrong}, f"{name} holds numbers that are not finite")
            for name in ("parameters", "best_parameters", "adam_m", "adam_v")
            for wrong in (NAN, INFINITE)
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path, tensors, expected):
    path, _ = saved(tmp_path)
    forge(path, tensors=tensors)
    assert expected in refusal(tmp_path)


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


@pytest.mark.slow
@quickly
@given(content=st.binary(max_size=200) | any_json)
def test_any_bytes_and_any_header_are_refused(tmp_path, content):
    path, _ = saved(tmp_path)
    if not isinstance(content, bytes):
        described = json.dumps(content).encode()
        content = len(described).to_bytes(8, "little") + described + bytes(64)
    path.write_bytes(content)
    assert path.name in refusal(tmp_path)


# Writing


SYNCED = {"linux": ["file", "name", "directory"], "darwin": ["drive", "name", "directory"], "win32": ["file", "name"]}


@pytest.mark.parametrize("platform", ["win32"] if sys.platform == "win32" else SYNCED)  # it opens no directory
def test_a_checkpoint_is_synced_before_it_is_named(tmp_path, monkeypatch, platform):
    events = []
    fsync, rename = os.fsync, os.replace

    def noted(descriptor):
        events.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    drive = SimpleNamespace(F_FULLFSYNC=51, fcntl=lambda *_: events.append("drive"))
    monkeypatch.setitem(sys.modules, "fcntl", drive)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "replace", lambda *paths: events.append("name") or rename(*paths))
    saved(tmp_path)
    assert events == SYNCED[platform]
