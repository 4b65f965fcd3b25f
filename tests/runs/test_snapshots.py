"""A run keeps snapshots of its parameters: few, small, checked, and the same ones when it is resumed."""

from itertools import pairwise

import numpy as np
import pytest
from helpers import quickly
from hypothesis import given
from hypothesis import strategies as st
from running import TINY, assert_refused, call, train

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


def test_written_snapshots_are_read_again(tmp_path):
    assert read_snapshots(tmp_path, SIZE) == {}
    write_snapshots(tmp_path, some_snapshots())
    found = read_snapshots(tmp_path, SIZE)
    assert list(found) == [0, 1, 2, 5]
    for step, vector in some_snapshots().items():
        assert (found[step] == vector).all()
    with pytest.raises(InputError, match="is not a vector of 51 finite float32"):
        read_snapshots(tmp_path, SIZE + 1)


@quickly
@given(st.data())
def test_a_damaged_file_is_refused_with_a_remedy(tmp_path, data):
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


@pytest.mark.slow
def test_resuming_keeps_snapshots_and_needs_none(tmp_path):
    options = [*TINY, "--warmup", "1", "--learning-rate", "0.01", "--out", "run"]
    train(tmp_path, *options)
    directory = tmp_path / "run"
    run = load_run(directory)
    size = parameter_count(run.config)
    found = read_snapshots(directory, size)
    assert list(found) == [0, 1, 2]
    assert (found[0] == flatten(initial_parameters(run.config, seed=0))).all()
    assert (found[2] == run.checkpoint.parameters).all()
    assert call("train.py", "--resume", "run", "--steps", "6", cwd=tmp_path).returncode == 0
    resumed = read_snapshots(directory, size)
    assert list(resumed) == [0, 1, 2, 3, 5]
    assert all((resumed[step] == found[step]).all() for step in found)

    (directory / FILE).write_bytes(b"nonsense")
    assert call("sample.py", "--run", "run", cwd=tmp_path).returncode == 0
    explained = ("explain.py", "--run", "run", "--text", "anna")
    assert_refused(call(*explained, cwd=tmp_path), "delete it to go on without")
    (directory / FILE).unlink()
    assert call(*explained, cwd=tmp_path).returncode == 0
