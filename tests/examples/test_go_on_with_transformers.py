"""A way on from the laptop: other tools take up a run and give it back."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from running import ROOT, train
from safetensors.numpy import load_file

from microgpt.runs.directory import load_run

TEXT = "abcabd\nbcad\nabd\ncabd\n" * 100
SMALL = ["--n-embd", "8", "--n-head", "2", "--block-size", "8", "--skip-check"]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="needs transformers")
def test_the_trainer_of_transformers_goes_on(tmp_path):
    train(tmp_path, "--out", "run", "--steps", "3", *SMALL, text=TEXT, file="text.txt")
    before = load_run(tmp_path / "run")
    script = ROOT / "examples" / "go_on_with_transformers.py"
    assert len(script.read_text().splitlines()) <= 26
    words = [sys.executable, script, tmp_path / "run", tmp_path / "further"]
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
