"""A run keeps snapshots of its parameters: few, small, checked, and the same ones when it is resumed."""

from itertools import pairwise

import numpy as np
import pytest
from helpers import quickly
from hypothesis import given
from hypothesis import strategies as st
from running import NAMES, TINY, call

from microgpt.errors import InputError
from microgpt.learning.parameters import flatten, initial_parameters, parameter_count
from microgpt.runs.directory import load_run
from microgpt.runs.snapshots import FILE, MOST_BYTES, is_due, read_snapshots, snapshot_steps, write_snapshots

SIZE = 50


def some_snapshots():
    return {step: np.random.default_rng(step).normal(size=SIZE).astype(np.float32) for step in (0, 1, 2, 5)}


def test_steps_grow_geometrically_and_fit_in_ten_megabytes():
    for size in (10, 14_144, 200_000, 500_000):
        steps = snapshot_steps(size)
        assert steps[:2] == (0, 1)
        ratios = [after / before for before, after in pairwise(steps) if before > 20]
        assert max(ratios) < 1.1 * min(ratios)
        assert len(steps) * 4 * size <= MOST_BYTES
    assert snapshot_steps(14_144)[:10] == (0, 1, 2, 3, 5, 8, 12, 18, 27, 41)
    assert snapshot_steps(1_000_000) == ()
    assert [step for step in range(20) if is_due(step, 10)] == [0, 1, 2, 3, 5, 8, 12, 18]


def test_what_is_written_is_read_again(tmp_path):
    write_snapshots(tmp_path, some_snapshots())
    found = read_snapshots(tmp_path, SIZE)
    assert list(found) == [0, 1, 2, 5]
    for step, vector in some_snapshots().items():
        assert (found[step] == vector).all()


def test_a_directory_without_snapshots_has_none(tmp_path):
    assert read_snapshots(tmp_path, SIZE) == {}


@quickly
@given(st.data())
def test_a_damaged_file_is_refused_in_a_line_that_says_what_to_do(tmp_path, data):
    write_snapshots(tmp_path, some_snapshots())
    path = tmp_path / FILE
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(content[: data.draw(st.sampled_from([len(content), at]))]))
    with pytest.raises(InputError) as caught:
        read_snapshots(tmp_path, SIZE)
    assert FILE in str(caught.value)
    assert "delete it to go on without" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_snapshots_of_another_model_are_refused(tmp_path):
    write_snapshots(tmp_path, some_snapshots())
    with pytest.raises(InputError, match="is not a vector of 51 finite float32"):
        read_snapshots(tmp_path, SIZE + 1)


@pytest.mark.slow
def test_a_run_keeps_its_beginning_and_a_resumed_one_the_same_as_one_that_was_never_stopped(tmp_path):
    (tmp_path / "names.txt").write_text(NAMES)
    options = [*TINY, "--warmup", "1", "--learning-rate", "0.01"]
    assert (
        call("train.py", "--data", "names.txt", *options, "--steps", "2", "--out", "two", cwd=tmp_path).returncode == 0
    )
    run = load_run(tmp_path / "two")
    size = parameter_count(run.config)
    found = read_snapshots(tmp_path / "two", size)
    assert list(found) == [0, 1, 2]
    assert (found[0] == flatten(initial_parameters(run.config, seed=0))).all()
    assert (found[2] == run.checkpoint.parameters).all()
    assert call("train.py", "--resume", "two", "--steps", "6", cwd=tmp_path).returncode == 0
    resumed = read_snapshots(tmp_path / "two", size)
    assert list(resumed) == [0, 1, 2, 3, 5]
    assert all((resumed[step] == found[step]).all() for step in found)


@pytest.mark.slow
def test_a_damaged_file_stops_neither_sampling_nor_what_was_learned(tmp_path):
    (tmp_path / "names.txt").write_text(NAMES)
    assert call("train.py", "--data", "names.txt", *TINY, cwd=tmp_path).returncode == 0
    path = tmp_path / "runs" / "names" / FILE
    path.write_bytes(b"nonsense")
    assert call("sample.py", cwd=tmp_path).returncode == 0
    refused = call("explain.py", "--text", "anna", cwd=tmp_path)
    assert refused.returncode == 2
    assert "delete it to go on without" in refused.stderr
    path.unlink()
    assert call("explain.py", "--text", "anna", cwd=tmp_path).returncode == 0
