"""The package as one installs it: a wheel, away from the clone, in an empty directory."""

import json
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distributions

import pytest
from running import ROOT, environment

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A directory with what the wheel has, made of a copy of the clone."""
    clone, place = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("installed")
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    for name in ("microgpt", "data", "docs", "examples"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__", "live.*"))
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, place], cwd=clone, check=True, capture_output=True)
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    shutil.rmtree(clone)
    return place


def python(installed, *words, cwd):
    """What Python prints in a directory where nothing but the wheel is installed beside the libraries."""
    surroundings = environment() | {"PYTHONPATH": str(installed)}
    command = [sys.executable, "-P", *map(str, words)]
    ran = subprocess.run(command, cwd=cwd, env=surroundings, capture_output=True, encoding="utf-8")
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_version_is_that_of_the_distribution(installed, tmp_path):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (found,) = distributions(path=[str(installed)])
    assert found.name == project["name"]
    code = "import microgpt; print(microgpt.__version__, microgpt.__file__)"
    version, place = python(installed, "-c", code, cwd=tmp_path).split()
    assert version == found.version
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert place.startswith(str(installed))


def test_texts_and_rules_come_along(installed, tmp_path):
    code = """
from microgpt import read_text
from microgpt.learning.rules import KNOWN, load_rule
print(len(read_text("data/names.txt").split()), len(read_text("data/shakespeare.txt").splitlines()))
print(*(load_rule(name).name for name in KNOWN))
"""
    assert python(installed, "-c", code, cwd=tmp_path).split() == [
        "5163",
        "40000",
        "adam",
        "sgd",
        "momentum",
        "lion",
        "muon",
    ]


def test_tour_prints_a_step_and_its_numbers(installed, tmp_path):
    printed = python(installed, "-m", "microgpt", "tour", "--step", "3", cwd=tmp_path)
    assert printed.startswith("## 3. The chain rule")
    assert "+ = -4   gradient 1" in printed  # its code goes on with that of step 2


def test_workshop_begins_in_the_current_folder(installed, tmp_path):
    printed = python(installed, "-m", "microgpt", "learn", cwd=tmp_path)
    assert "python -m microgpt learn" in printed  # as one calls it here
    assert "learn.py" not in printed
    assert (tmp_path / "mine" / "value.py").exists()


def test_commands_train_write_and_explain(installed, tmp_path):
    words = ("--steps", 2, "--skip-check", "--batch-size", 2)
    printed = python(installed, "-m", "microgpt", "train", *words, cwd=tmp_path)
    assert "python -m microgpt sample --run" in printed  # as one calls it here
    assert "train.py" not in printed
    assert (tmp_path / "runs" / "names" / "model.safetensors").exists()
    answer = json.loads(python(installed, "-m", "microgpt", "sample", "--num-samples", 1, "--json", cwd=tmp_path))
    assert len(answer["texts"]) == 1
    python(installed, "-m", "microgpt", "explain", "--text", "a", "--out", "page.html", cwd=tmp_path)
    assert (tmp_path / "page.html").stat().st_size > 100_000
