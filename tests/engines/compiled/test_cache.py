"""Compiled kernels are kept on the disk; where they cannot be, or are damaged, they are compiled."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from running import ROOT

from microgpt.engines.compiled.llvm.machine import cache_directory

PROGRAM = "import numpy, microgpt\nprint(microgpt.value_and_grad(lambda p: p * p)(numpy.array(3.0)))"


def run(cache):
    """What a process that keeps its kernels there says on standard error, once its result is found right."""
    environment = os.environ | {"MICROGPT_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment)
    assert result.stdout == "(9.0, array(6.))\n", result.stderr
    return result.stderr


@pytest.mark.slow
def test_without_a_place_for_kernels_it_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    assert "set MICROGPT_CACHE" in run(tmp_path / "file" / "kernels")


@pytest.mark.slow
def test_a_damaged_kernel_is_compiled_again(tmp_path):
    run(tmp_path)
    whole = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert whole
    for path, content in whole.items():
        path.write_bytes(content[:-40] + b"?" * 40)
    run(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == whole


@pytest.mark.parametrize(
    ("platform", "named", "expected"),
    [
        ("linux", None, "home/.cache/microgpt"),
        ("linux", "XDG_CACHE_HOME", "given/microgpt"),
        ("darwin", None, "home/Library/Caches/microgpt"),
        ("win32", "LOCALAPPDATA", "given/microgpt"),
        ("win32", None, "home/.cache/microgpt"),
        ("win32", "MICROGPT_CACHE", "given"),
    ],
)
def test_each_system_has_its_place_for_kernels(tmp_path, monkeypatch, platform, named, expected):
    for name in ("MICROGPT_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    if named:
        monkeypatch.setenv(named, str(tmp_path / "given"))
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert cache_directory() == tmp_path / expected
    assert (tmp_path / expected).is_dir()
