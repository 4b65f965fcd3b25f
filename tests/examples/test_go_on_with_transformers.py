"""A way on from the laptop: other tools take up a run and give it back."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from microgpt.runs.directory import load_run

transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def run(*command):
    result = subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_trainer_of_transformers_goes_on_with_a_run_and_it_comes_back(tmp_path):
    (tmp_path / "text.txt").write_text("abcabd\nbcad\nabd\ncabd\n" * 100)
    small = ["--n-embd", 8, "--n-head", 2, "--block-size", 8, "--skip-check"]
    run("train.py", "--data", tmp_path / "text.txt", "--out", tmp_path / "run", "--steps", 3, *small)
    before = load_run(tmp_path / "run")
    script = ROOT / "examples" / "go_on_with_transformers.py"
    assert len(script.read_text().splitlines()) <= 26
    out = run(script, tmp_path / "run", tmp_path / "further")
    assert float(out.split("loss ")[-1]) < before.checkpoint.best.loss
    after = load_run(tmp_path / "further" / "model.safetensors")
    assert (after.config, after.vocabulary) == (before.config, before.vocabulary)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "further").state_dict()
    np.testing.assert_array_equal(after.parameters["wte.weight"], theirs["transformer.wte.weight"].numpy())
    assert not np.allclose(after.parameters["wte.weight"], before.parameters["wte.weight"], atol=1e-3)
    begun = ["--init-from", tmp_path / "further" / "model.safetensors", "--data", tmp_path / "text.txt"]
    out = run("train.py", *begun, "--out", tmp_path / "back", "--steps", 1, "--skip-check")
    assert "beginning with the weights in" in out
