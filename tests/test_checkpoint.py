"""A run directory comes back as it was written, or is refused with one line that names the file."""

import json
import os
from contextlib import suppress

import numpy as np
import pytest
import torch
from helpers import TINY, make_run
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_torch_file

from microgpt.checkpoint import Metrics, create_run_directory, load_run, newest_run, write_file, write_parameters
from microgpt.errors import InputError

FILES = ["config.json", "vocabulary.json", "model.safetensors"]


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run")


def refusal(run):
    """The complaint about a run directory, which must be a single line."""
    with pytest.raises(InputError) as caught:
        load_run(run.directory)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def change_json(run, name, **changes):
    path = run.directory / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_tensors(run, change):
    """Rewrite the parameters with some of them changed, without a checksum."""
    path = run.directory / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


# Round trip


def test_a_run_comes_back_as_it_was_written(run):
    loaded = load_run(run.directory)
    for field in ("directory", "config", "vocabulary", "documents", "text"):
        assert getattr(loaded, field) == getattr(run, field)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parameters_come_back_bit_for_bit(run, dtype):
    written = {name: array.astype(dtype) / 3 for name, array in run.parameters.items()}
    write_parameters(run.directory, written, 1, 2.0)
    read = load_run(run.directory).parameters
    assert list(read) == list(written)
    for name, array in written.items():
        assert read[name].dtype == dtype
        assert read[name].shape == array.shape
        assert read[name].tobytes() == array.tobytes()


def test_parameters_that_are_not_contiguous_come_back_too(run):
    turned = {name: np.asfortranarray(array) for name, array in run.parameters.items()}
    write_parameters(run.directory, turned, 1, 2.0)
    assert (load_run(run.directory).parameters["wte.weight"] == run.parameters["wte.weight"]).all()


def test_unusual_characters_come_back(tmp_path):
    run = make_run(tmp_path / "run")
    change_json(run, "vocabulary.json", characters=["\n", "é", "😀", "م", '"'])
    assert load_run(run.directory).vocabulary == '\né😀م"'


def test_the_step_and_the_validation_loss_are_kept_with_the_parameters(run):
    with safe_open(run.directory / "model.safetensors", framework="numpy") as file:
        assert (file.metadata()["step"], file.metadata()["validation_loss"]) == ("7", "1.5")


def test_a_run_without_its_text_can_be_loaded(run):
    (run.directory / "text.txt").unlink()
    assert load_run(run.directory).text is None


def test_the_latest_parameters_replace_the_earlier_ones(run):
    write_parameters(run.directory, {name: array + 1 for name, array in run.parameters.items()}, 8, 1.0)
    assert (load_run(run.directory).parameters["ln_f.bias"] == run.parameters["ln_f.bias"] + 1).all()


def test_metrics_are_rows_under_a_header(tmp_path):
    with Metrics(tmp_path) as metrics:
        metrics.write((0, None, 2.5, None, None, 0.0))
    header, row = (tmp_path / "metrics.csv").read_text().splitlines()
    assert header == "step,training_loss,validation_loss,learning_rate,gradient_norm,seconds"
    assert row == "0,,2.5,,,0.0"


def test_metrics_can_be_read_while_they_are_written(tmp_path):
    with Metrics(tmp_path) as metrics:
        metrics.write((1, 2.0, None, 0.1, 1.0, 0.5))
        assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 2


# Directories


def test_a_run_directory_takes_the_next_free_name(tmp_path):
    taken = []
    for _ in range(3):
        directory = create_run_directory(tmp_path / "runs" / "names")
        (directory / "config.json").touch()
        taken.append(directory.name)
    assert taken == ["names", "names-2", "names-3"]


def test_an_empty_directory_is_free(tmp_path):
    assert create_run_directory(tmp_path) == tmp_path


def test_a_file_in_the_way_is_not_touched(tmp_path):
    (tmp_path / "names").write_text("mine")
    assert create_run_directory(tmp_path / "names").name == "names-2"
    assert (tmp_path / "names").read_text() == "mine"


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file/run"):
        create_run_directory(tmp_path / "file" / "run")


def test_the_newest_run_is_the_one_written_to_last(tmp_path):
    for i, name in enumerate(["b", "c", "a"]):
        make_run(tmp_path / name)
        os.utime(tmp_path / name / "model.safetensors", (1000 + i, 1000 + i))
    assert newest_run(tmp_path).name == "a"


def test_a_run_without_parameters_is_not_the_newest(tmp_path):
    make_run(tmp_path / "done")
    make_run(tmp_path / "begun").directory.joinpath("model.safetensors").unlink()
    assert newest_run(tmp_path).name == "done"


def test_no_run_at_all_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"no trained model.*train\.py"):
        newest_run(tmp_path / "runs")


def test_a_missing_run_directory_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        load_run(tmp_path / "nowhere")


# Damage


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(run, name):
    (run.directory / name).unlink()
    assert name in refusal(run)


@pytest.mark.parametrize("name", FILES)
def test_an_empty_file_is_named(run, name):
    (run.directory / name).write_bytes(b"")
    assert name in refusal(run)


@pytest.mark.parametrize("name", FILES)
def test_a_directory_in_place_of_a_file_is_named(run, name):
    (run.directory / name).unlink()
    (run.directory / name).mkdir()
    assert name in refusal(run)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_named(run, name, keep):
    path = run.directory / name
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    assert name in refusal(run)


@pytest.mark.parametrize("name", ["config.json", "vocabulary.json"])
def test_no_byte_of_a_json_file_can_turn_into_another_alphabet(run, name):
    path = run.directory / name
    data = path.read_bytes()
    for i in range(len(data)):
        path.write_bytes(data[:i] + bytes([data[i] ^ 0x80]) + data[i + 1 :])
        assert name in refusal(run)


def test_no_bit_of_the_numbers_can_flip_unnoticed(run):
    path = run.directory / "model.safetensors"
    data = path.read_bytes()
    for i in range(8 + int.from_bytes(data[:8], "little"), len(data), 7):
        path.write_bytes(data[:i] + bytes([data[i] ^ 1 << i % 8]) + data[i + 1 :])
        assert "model.safetensors" in refusal(run)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("bit", [1, 16, 64])
def test_a_flipped_bit_is_refused_or_harmless_but_never_another_error(run, name, bit):
    path = run.directory / name
    data = path.read_bytes()
    for i in range(0, min(len(data), 2000)):
        path.write_bytes(data[:i] + bytes([data[i] ^ bit]) + data[i + 1 :])
        with suppress(InputError):
            load_run(run.directory)


@pytest.mark.parametrize("content", [b"[]", b"null", b"3", b'"text"', b"{", b"\xff\xfe", b"[" * 100_000])
@pytest.mark.parametrize("name", ["config.json", "vocabulary.json"])
def test_json_that_is_no_object_is_named(run, name, content):
    (run.directory / name).write_bytes(content)
    assert name in refusal(run)


@pytest.mark.parametrize("key", ["vocab_size", "n_positions", "n_embd", "n_layer", "n_head"])
@pytest.mark.parametrize("size", [0, -1, 2.0, True, "4", None, 10**30])
def test_a_size_that_fits_nothing_is_named(run, key, size):
    change_json(run, "config.json", **{key: size})
    complaint = refusal(run)
    assert key in complaint or str(size) in complaint


@pytest.mark.parametrize(
    ("key", "size", "culprit"),
    [
        ("vocab_size", 6, "vocabulary.json has 5 characters.*config.json is 6"),
        ("n_positions", 7, r"model.safetensors: wpe.weight has shape \(6, 4\), config.json makes it \(7, 4\)"),
        ("n_embd", 8, r"model.safetensors: wte.weight has shape \(5, 4\)"),
        ("n_layer", 2, "model.safetensors: has 16 tensors, which do not make 2 layers"),
        ("n_head", 3, "config.json: n_embd 4 is not a multiple of n_head 3"),
    ],
)
def test_sizes_that_contradict_the_rest_are_named(run, key, size, culprit):
    change_json(run, "config.json", **{key: size})
    with pytest.raises(InputError, match=culprit):
        load_run(run.directory)


@pytest.mark.parametrize(
    ("key", "wrong"),
    [("model_type", "llama"), ("activation_function", "gelu"), ("layer_norm_epsilon", 1e-6), ("model_type", None)],
)
def test_a_model_that_is_no_such_gpt_is_refused(run, key, wrong):
    change_json(run, "config.json", **{key: wrong})
    assert f"config.json: {key}" in refusal(run)


@pytest.mark.parametrize(
    "characters",
    [None, "\nabcd", ["\n", "a", "a", "b", "c"], ["a", "b", "c", "d", "\n"], ["\n", "ab", "c", 1], []],
)
def test_a_vocabulary_that_is_none_is_refused(run, characters):
    change_json(run, "vocabulary.json", characters=characters)
    assert "vocabulary.json" in refusal(run)


@pytest.mark.parametrize("documents", [None, "auto", 1, ["lines"]])
def test_documents_of_an_unknown_kind_are_refused(run, documents):
    change_json(run, "vocabulary.json", documents=documents)
    assert "vocabulary.json: documents" in refusal(run)


def test_a_text_that_is_not_utf_8_is_refused(run):
    (run.directory / "text.txt").write_bytes(b"\xff")
    assert "text.txt" in refusal(run)


def test_a_missing_tensor_is_refused(run):
    change_tensors(run, lambda tensors: tensors.pop("ln_f.bias"))
    assert "model.safetensors: has 15 tensors" in refusal(run)


def test_a_tensor_too_many_is_refused(run):
    change_tensors(run, lambda tensors: tensors.update(extra=np.ones(1, np.float32)))
    assert "model.safetensors: has 17 tensors" in refusal(run)


def test_a_tensor_of_another_name_is_refused(run):
    change_tensors(run, lambda tensors: tensors.update(other=tensors.pop("ln_f.bias")))
    assert "model.safetensors: the tensor ln_f.bias is missing" in refusal(run)


@pytest.mark.parametrize("shape", [(3,), (5,), (4, 1), (2, 2), ()])
def test_a_tensor_of_another_shape_is_refused(run, shape):
    change_tensors(run, lambda tensors: tensors.update({"ln_f.bias": np.zeros(shape, np.float32)}))
    assert "model.safetensors: ln_f.bias has shape" in refusal(run)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(run, number):
    run.parameters["wte.weight"][1, 2] = number
    write_parameters(run.directory, run.parameters, 1, 1.0)
    assert "model.safetensors: wte.weight holds numbers that are not finite" in refusal(run)


@pytest.mark.parametrize("dtype", [np.float16, np.int32, np.int64, np.bool_])
def test_numbers_of_another_type_are_refused(run, dtype):
    change_tensors(run, lambda tensors: tensors.update({"ln_f.bias": np.zeros(4, dtype)}))
    complaint = refusal(run)
    assert "model.safetensors" in complaint
    assert np.dtype(dtype).name in complaint


def test_brain_floats_are_refused(run):
    path = run.directory / "model.safetensors"
    save_torch_file({name: torch.tensor(array).bfloat16() for name, array in load_file(path).items()}, path)
    assert "model.safetensors" in refusal(run)


def test_parameters_of_another_program_need_no_checksum(run):
    change_tensors(run, lambda tensors: None)
    assert load_run(run.directory).config == TINY


# Writing


def test_nothing_temporary_is_left(run):
    assert sorted(path.name for path in run.directory.iterdir()) == sorted([*FILES, "settings.json", "text.txt"])


def test_a_write_that_fails_leaves_the_earlier_file(run, monkeypatch):
    def fail(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="the disk is full"):
        write_parameters(run.directory, {name: array + 1 for name, array in run.parameters.items()}, 8, 1.0)
    assert (load_run(run.directory).parameters["wte.weight"] == run.parameters["wte.weight"]).all()


def test_a_file_is_on_the_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: events.append("on the disk") or fsync(fd))
    monkeypatch.setattr(os, "replace", lambda *paths: events.append("named") or replace(*paths))
    write_file(tmp_path / "file", b"content")
    assert events == ["on the disk", "named"]
    assert (tmp_path / "file").read_bytes() == b"content"
