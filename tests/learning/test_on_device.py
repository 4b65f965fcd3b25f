"""Training with the engine "torch": on a device, and in several processes that share every batch."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import astuple
from functools import cache
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from running import ROOT, TINY, assert_refused, call
from running import train as run_to_its_end

from microgpt.engines.engine import value_and_grad
from microgpt.errors import DivergenceError, InputError
from microgpt.learning.parameters import flatten, initial_parameters
from microgpt.learning.training import OptimizerState, Schedule, train
from microgpt.runs.directory import load_run
from microgpt.runs.metrics import read_metrics

torch = pytest.importorskip("torch")
from learning import CONFIG, GPT, end_together, learned_on_torch, pairs, some_batches, start_together  # noqa: E402

from microgpt.learning import on_device  # noqa: E402
from microgpt.learning.on_device import DeviceTraining, Processes  # noqa: E402

pytestmark = pytest.mark.slow

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
SMALL = ["--n-embd", "8", "--n-head", "2", "--block-size", "8", "--eval-interval", "100", "--seed", "1", "--skip-check"]


@cache
def learned_by_the_compiled_engine(steps=50, function=GPT):
    parameters = initial_parameters(CONFIG, 0, np.float64)
    schedule = Schedule(50, 0.01, 5, weight_decay=0.1, grad_clip=0.5)
    updates = train(value_and_grad(function), parameters, iter(some_batches()[:steps]), schedule)
    return [update.loss for update in updates], flatten(parameters)


def assert_learned_the_same(found, expected, tolerance):
    np.testing.assert_allclose(found[0], expected[0], rtol=tolerance)
    np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=tolerance)


@pytest.fixture
def told(tmp_path_factory):
    """Where processes write."""
    return tmp_path_factory.mktemp("told")


def torchrun(count, *command):
    """Start some processes with torchrun; each may use one thread."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count), *command],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


# On one device


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])
def test_a_device_learns_what_the_compiled_engine_learns(device):
    assert_learned_the_same(learned_on_torch(Processes(device=device)), learned_by_the_compiled_engine(), 1e-6)


def test_adam_compiled_by_pytorch_learns_the_same():
    compiled = learned_on_torch(Processes(device="cpu"), torch_compile=True, steps=5, function=pairs)
    assert_learned_the_same(compiled, learned_by_the_compiled_engine(5, pairs), 1e-9)


def begun(parameters, batches, schedule, device="cpu", **options):
    """A training on a device, with moments of zeros."""
    zeros = np.zeros_like(flatten(parameters))
    step = value_and_grad(GPT, "torch", device=device)
    state = OptimizerState(0, zeros, zeros.copy())
    return DeviceTraining(step, parameters, batches, schedule, state, Processes(device=device), **options)


def test_an_observed_step_tells_the_same():
    parameters, schedule, few = initial_parameters(CONFIG, 0, np.float64), Schedule(50, 0.01, 5), some_batches()[:3]
    copies = {name: array.copy() for name, array in parameters.items()}
    asked = {"observed": lambda step: step in (1, 3)}
    ours = [update.tensors for update in train(value_and_grad(GPT), copies, iter(few), schedule, **asked)]
    theirs = [update.tensors for update in begun(parameters, few, schedule, **asked)]
    assert theirs[1] == {}
    for found, expected in zip(theirs, ours, strict=True):
        assert list(found) == list(expected)
        for name in found:
            np.testing.assert_allclose(astuple(found[name]), astuple(expected[name]), rtol=1e-9)


def test_training_that_diverges_leaves_the_parameters():
    parameters = initial_parameters(CONFIG, 0)
    before = flatten(parameters)
    batch = (np.zeros((2, 3), np.int64), np.full((2, 2), np.nan, np.float32))
    training = begun(parameters, repeat(batch), Schedule(3, 0.1, 0))
    with pytest.raises(DivergenceError, match="training diverged at step 1: the loss is nan"):
        next(iter(training))
    training.fetch()
    assert (flatten(parameters) == before).all()


@CUDA
def test_a_step_copies_only_batch_and_numbers():
    steps = iter(begun(initial_parameters(CONFIG, 0), repeat(some_batches()[0]), Schedule(9, 0.1, 0), device="cuda"))
    next(steps), next(steps)
    with torch.profiler.profile() as profile:
        next(steps)
    copies = [e.name for e in profile.events() if e.name.startswith("Memcpy") and "DtoD" not in e.name]
    assert sum("DtoH" in name for name in copies) == 1
    assert sum("HtoD" in name for name in copies) == 2  # integers and floats of the batch


# Several processes


def test_a_run_goes_on_with_other_processes(tmp_path, told):
    options = ["--engine", "torch", "--device", "cpu", "--batch-size", "12", "--out", "alone", *SMALL]
    begun = call("train.py", *options, "--steps", "6", cwd=tmp_path)
    assert f"PyTorch {torch.__version__} on cpu\n" in begun.stdout, begun.stderr
    shutil.copytree(tmp_path / "alone", tmp_path / "shared")
    assert call("train.py", "--resume", "alone", "--steps", "9", cwd=tmp_path).returncode == 0
    ranks = start_together(2, told, "train.py", "--resume", tmp_path / "shared", "--steps", 9)
    code, out, errors = end_together(ranks, told)
    assert code == 0, errors
    assert out.count("resuming") == 1
    assert f"PyTorch {torch.__version__} on cpu, 2 processes\n" in out
    alone, shared = (
        np.array([float(row[1]) for row in read_metrics(tmp_path / name, 9)[1:]]) for name in ("alone", "shared")
    )
    assert len(alone) == 9
    np.testing.assert_allclose(shared, alone, rtol=1e-4)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["alone", "shared"]


def test_a_batch_that_does_not_divide_is_refused():
    settings = SimpleNamespace(threads=None, batch_size=5)
    with pytest.raises(InputError, match=r"--batch-size is 5, .*: expected a multiple of 2, such as 4 or 6"):
        Processes(count=2).check(settings)
    Processes(count=5).check(settings)


def test_only_the_engine_torch_trains_in_several_processes(tmp_path, monkeypatch):
    as_told = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
    for name, value in as_told.items():  # as torchrun tells each of them
        monkeypatch.setenv(name, value)
    refused = call("train.py", "--out", tmp_path / "run", *SMALL, cwd=tmp_path)
    assert_refused(refused, "torchrun started 2 processes, but only --engine torch trains in several")


@pytest.mark.parametrize("engine", ["scalar", "torch"])
def test_leftovers_of_torchrun_change_nothing(tmp_path, monkeypatch, engine):
    monkeypatch.setenv("WORLD_SIZE", "2")
    out = run_to_its_end(tmp_path, *TINY, "--engine", engine, "--skip-check").stdout
    assert "note: WORLD_SIZE is set, but torchrun did not start this process, which trains alone\n" in out


def test_an_error_at_the_beginning_is_told_once(tmp_path, told):
    options = ["--engine", "torch", "--device", "cpu", "--data", tmp_path / "nothing.txt", *SMALL]
    code, _, errors = end_together(start_together(2, told, "train.py", *options), told)
    assert code != 0
    assert errors.count("error: ") == 1


@pytest.mark.parametrize(("error", "code"), [(SystemExit(2), 2), (KeyboardInterrupt(), 1)], ids=["refused", "stopped"])
def test_all_exit_with_the_code_of_one(monkeypatch, error, code):
    def ended():
        raise error

    sent = []
    monkeypatch.setattr(on_device.dist, "broadcast_object_list", sent.extend)
    with pytest.raises(type(error)):
        Processes(count=2, rank=0).broadcast(ended)
    assert sent == [code]
    monkeypatch.setattr(on_device.dist, "broadcast_object_list", lambda parcel: parcel.__setitem__(0, *sent))
    with pytest.raises(SystemExit) as raised:
        Processes(count=2, rank=1).broadcast(ended)
    assert raised.value.code == code


def children(pid):
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for_rows(metrics, rows, ended):
    end = time.monotonic() + 120
    while not metrics.exists() or metrics.read_text().count("\n") < rows:
        assert not ended()
        assert time.monotonic() < end
        time.sleep(0.05)


def for_ever(run):
    options = ["--engine", "torch", "--device", "cpu", "--batch-size", "4", "--out", str(run), *SMALL]
    return ["train.py", *options, "--steps", "1000000"]


def test_if_one_is_asked_all_end(tmp_path, told):
    run = tmp_path / "run"
    ranks = start_together(2, told, *for_ever(run))
    wait_for_rows(run / "metrics.csv", 5, lambda: ranks[0].exitcode is not None)
    ranks[1].terminate()
    _, out, errors = end_together(ranks, told)
    assert "interrupted after" in out, errors
    step = load_run(run).checkpoint.step
    assert len(read_metrics(run, step)) == step + 1


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the processes are found in /proc")
def test_if_one_is_killed_all_end(tmp_path):
    run = tmp_path / "run"
    process = torchrun(2, *for_ever(run))
    wait_for_rows(run / "metrics.csv", 5, lambda: process.poll() is not None)
    ranks = {
        next(v for v in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if v.startswith(b"RANK=")): pid
        for pid in children(process.pid)
    }
    start = time.monotonic()
    os.kill(ranks[b"RANK=1"], signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert time.monotonic() - start < 60
    step = load_run(run).checkpoint.step
    assert process.returncode != 0
    assert re.search(r"exitcode: -\d", errors)  # of the killed one or, if that is seen first, of the one that lost it
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(lines) <= 1  # none if torchrun, which says that, stops the other one before it has noticed
    assert all("another process ended" in line for line in lines)
    resumed = call("train.py", "--resume", run, "--steps", step + 2, cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert f"resuming {run} after step {step}" in resumed.stdout
