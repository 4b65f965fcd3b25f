"""A model or a batch for which there is no memory is refused in a line, before any memory is taken for it."""

import importlib
import sys
import tracemalloc
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import TINY, make_run
from running import NAMES, assert_refused, call
from running import TINY as OPTIONS

from microgpt.commands import memory_check
from microgpt.commands.memory_check import check_memory, memory_there
from microgpt.errors import InputError
from microgpt.gpt import GPTConfig
from microgpt.learning.batches import batches, make_corpus, windows
from microgpt.learning.parameters import parameter_count

CORPUS = make_corpus(NAMES, 16, 0)
LEAST = 20 * parameter_count(TINY)  # bytes: five numbers of float32 for each parameter


@pytest.mark.parametrize(
    ("option", "parameters", "needed"),
    [
        ("--n-embd", "more than 10^21 parameters", "24,000,000,008,000 GB"),
        ("--n-layer", "2,440,000,000,108 parameters", "48,800.0 GB"),
        ("--block-size", "40,000,000,288 parameters", "800.0 GB"),
    ],
)
def test_a_model_too_large_is_refused(tmp_path, option, parameters, needed):
    (tmp_path / "names.txt").write_text(NAMES)
    result = call("train.py", "--data", "names.txt", *OPTIONS, option, 10**10, cwd=tmp_path)
    assert_refused(result, parameters, needed, " GB; take a smaller --n-embd")
    assert not (tmp_path / "runs").exists()


def test_a_batch_too_large_is_refused(tmp_path):
    (tmp_path / "names.txt").write_text(NAMES)
    result = call("train.py", "--data", "names.txt", *OPTIONS, "--batch-size", 10**12, cwd=tmp_path)
    assert_refused(result, "--batch-size is 1,000,000,000,000", "GB; take a smaller one")


def test_numbers_of_thousands_of_digits_are_refused_too():
    with pytest.raises(InputError, match=r"more than 10\^5999 parameters"):
        check_memory(parameter_count(GPTConfig(9, 16, 3 * 10**2999, 1, 1)), 16, CORPUS, 1)
    with pytest.raises(InputError, match=r"--batch-size is more than 10\^3000: .* more than 10\^"):
        check_memory(parameter_count(TINY), TINY.n_positions, CORPUS, 2 * 10**3000)


def test_what_just_fits_is_not_refused(monkeypatch):
    monkeypatch.setattr(memory_check, "memory_there", lambda: LEAST - 1)
    with pytest.raises(InputError, match="the parameters, their gradient, Adam's two moments and a copy"):
        check_memory(parameter_count(TINY), TINY.n_positions, CORPUS, 1)
    monkeypatch.setattr(
        memory_check, "memory_there", lambda: LEAST + 10 * 4 * 12
    )  # batches of 10 names of 4 predictions
    check_memory(parameter_count(TINY), TINY.n_positions, CORPUS, 10)
    with pytest.raises(InputError, match="--batch-size is 11: "):
        check_memory(parameter_count(TINY), TINY.n_positions, CORPUS, 11)


@pytest.mark.parametrize("begins", [["--resume", "run", "--steps", "99"], ["--init-from", "run"]])
def test_other_beginnings_need_the_memory_too(tmp_path, monkeypatch, begins):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "run")
    monkeypatch.setattr(memory_check, "memory_there", lambda: LEAST - 1)
    monkeypatch.setattr(sys, "argv", ["train.py", *begins, "--data", "run/text.txt"])
    train = importlib.import_module("train")
    with pytest.raises(InputError, match=f"has {parameter_count(TINY)} parameters"):
        train.main()


# What there is


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def machine(tmp_path):
    """The files by which Linux tells of a machine with 8 MB of memory and 2 MB to swap to."""
    write(tmp_path / "proc/meminfo", "MemTotal:  8000 kB\nMemFree: 9 kB\nSwapTotal: 2000 kB\nHugePages_Total: 0\n")
    return tmp_path


def test_memory_is_that_of_the_machine_and_swap(machine):
    assert memory_there(machine) == 10_000 * 1024


@pytest.mark.parametrize("group", ["/", "/jobs/mine", "/elsewhere"])
def test_a_container_may_have_less(machine, group):
    write(machine / "proc/self/cgroup", f"0::{group}\n")
    write(machine / "sys/fs/cgroup/memory.max", "1000000\n")
    write(machine / "sys/fs/cgroup/jobs/memory.max", "600000\n")
    write(machine / "sys/fs/cgroup/jobs/mine/memory.max", "max\n")
    assert memory_there(machine) == (600_000 if "mine" in group else 1_000_000) + 2000 * 1024


@pytest.mark.parametrize("limit", [300_000, 9223372036854771712])
def test_an_older_container_may_have_less(machine, limit):
    write(machine / "proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/docker/abc\n3:cpuset:/\n0::/\n")
    write(machine / "sys/fs/cgroup/memory/memory.limit_in_bytes", f"{limit}\n")
    assert memory_there(machine) == min(limit, 8000 * 1024) + 2000 * 1024


def test_without_these_files_the_system_is_asked(tmp_path, monkeypatch):
    assert 10**8 < memory_there(tmp_path) < sys.maxsize
    monkeypatch.setattr(memory_check, "sys", SimpleNamespace(platform="another", maxsize=sys.maxsize))
    monkeypatch.delattr("os.sysconf", raising=False)
    assert memory_there(tmp_path) == sys.maxsize


@pytest.mark.parametrize(("answers", "expected"), [(True, 7_000_000), (False, sys.maxsize)])
def test_windows_is_asked_in_its_own_way(tmp_path, monkeypatch, answers, expected):
    def tell(status):
        assert status[0] == 64
        status[1:4] = 5_000_000, 1_000_000, 7_000_000
        return answers

    library = SimpleNamespace(kernel32=SimpleNamespace(GlobalMemoryStatusEx=tell))
    monkeypatch.setattr(memory_check.ctypes, "windll", library, raising=False)
    monkeypatch.setattr(memory_check, "sys", SimpleNamespace(platform="win32", maxsize=sys.maxsize))
    assert memory_there(tmp_path) == expected


# Pools and batches take no more than there is


def test_a_pool_is_no_longer_than_an_epoch(monkeypatch):
    monkeypatch.setattr("microgpt.learning.batches.POOL", 10**12)
    tracemalloc.start()
    try:
        long = list(islice(batches(CORPUS.training, 4, 0), 14))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    monkeypatch.setattr("microgpt.learning.batches.POOL", -(-len(CORPUS.training) // 4))
    whole = islice(batches(CORPUS.training, 4, 0), 14)
    assert all((a == b).all() for pairs in zip(long, whole, strict=True) for a, b in zip(*pairs, strict=True))


def test_a_batch_of_epochs_has_parts_equally():
    tokens, _ = next(windows(list(range(9)), 2, 30_000, 0))
    assert np.unique(tokens[:, 0] // 2, return_counts=True)[1].tolist() == [10_000] * 3
