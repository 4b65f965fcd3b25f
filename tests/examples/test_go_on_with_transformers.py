"""A way on from the laptop: other tools take up a run and give it back."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
from running import ROOT, train
from safetensors.numpy import load_file

from microgpt.runs.directory import load_run

TEXT = "abcabd\nbcad\nabd\ncabd\n" * 100
SCRIPT = ROOT / "examples" / "go_on_with_transformers.py"
SMALL = ["--n-embd", "8", "--n-head", "2", "--block-size", "8", "--skip-check"]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="needs transformers")
def test_the_trainer_of_transformers_goes_on(tmp_path):
    train(tmp_path, "--out", "run", "--steps", "3", *SMALL, text=TEXT, file="text.txt")
    before = load_run(tmp_path / "run")
    assert len(SCRIPT.read_text().splitlines()) <= 26
    words = [sys.executable, SCRIPT, tmp_path / "run", tmp_path / "further"]
    out = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert float(out.split("loss ")[-1]) < before.checkpoint.best.loss
    model = tmp_path / "further" / "model.safetensors"
    after = load_run(model)
    assert (after.config, after.vocabulary) == (before.config, before.vocabulary)
    np.testing.assert_array_equal(after.parameters["wte.weight"], load_file(model)["transformer.wte.weight"])
    assert not np.allclose(after.parameters["wte.weight"], before.parameters["wte.weight"], atol=1e-3)
    train(tmp_path, "--init-from", model, "--steps", "1", "--learning-rate", "1e-30", "--skip-check", text=TEXT)
    back = load_run(tmp_path / "runs" / "names").parameters
    assert (back["wte.weight"] == after.parameters["wte.weight"]).all()


def test_without_transformers_one_line_says_what_to_install(tmp_path):
    (tmp_path / "transformers.py").write_text("raise ImportError")
    command = [sys.executable, SCRIPT, "runs/names", tmp_path]
    result = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == 'this needs transformers: pip install -e ".[test]"\n'
