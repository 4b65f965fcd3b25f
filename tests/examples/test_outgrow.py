"""The ways on from the laptop: other tools take up a run and give it back, and the table can be made."""

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


def test_the_table_has_a_row_for_every_model_and_engine():
    out = run("examples/outgrow.py", "--models", "8x1x4,16x1x4", "--ways", "compiled,torch,scalar", "--batch-size", "2",
              "--steps", "2", "--device", "cpu")  # fmt: skip
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in out.splitlines()]
    assert [row[0::2][0] + " " + row[2] for row in rows[2:]] == [
        f"{model} {way}" for model in ("8x1x4", "16x1x4") for way in ("compiled", "torch", "scalar")
    ]
    for _, _, _, step, memory, first in rows[2:]:
        assert step.endswith(" ms")
        assert memory.endswith(" MB")
        assert first.endswith(" s")


def test_what_cannot_be_measured_is_said_in_its_row():
    code = "import sys; sys.argv[0] = 'examples/outgrow.py'; sys.path.insert(0, 'examples')\nimport outgrow, shutil\n"
    code += "s = outgrow.Settings(device='cuda'); outgrow.sys.executable = shutil.which('false')\n"
    code += "print(outgrow.in_a_process_of_its_own('8x1x4', 'torch', s))"
    assert run("-c", code) == "ended with 1\n"
