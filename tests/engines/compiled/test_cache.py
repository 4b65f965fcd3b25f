"""Compiled kernels are kept on the disk; where they cannot be, or are damaged, they are compiled."""

import os
import subprocess
import sys

import pytest
from running import ROOT

pytestmark = pytest.mark.slow

PROGRAM = "import numpy, microgpt\nprint(microgpt.value_and_grad(lambda p: p * p)(numpy.array(3.0)))"


def run(cache):
    """What a process that keeps its kernels there says on standard error, once its result is found right."""
    environment = os.environ | {"MICROGPT_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment)
    assert result.stdout == "(9.0, array(6.))\n", result.stderr
    return result.stderr


def test_without_a_place_for_kernels_it_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    assert "set MICROGPT_CACHE" in run(tmp_path / "file" / "kernels")


def test_a_damaged_kernel_is_compiled_again(tmp_path):
    run(tmp_path)
    whole = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert whole
    for path, content in whole.items():
        path.write_bytes(content[:-40] + b"?" * 40)
    run(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == whole
