"""The front page is true: its snippets print what it says, and the files and options that it names are there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ALL_SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SNIPPETS = [code for code in ALL_SNIPPETS if "runs/names" not in code]


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_prints_what_its_last_comment_says(snippet):
    said = snippet.rstrip().splitlines()[-1].split("# ")[-1]
    printed = subprocess.run([sys.executable, "-c", snippet], capture_output=True, encoding="utf-8", check=True).stdout
    numbers, expected = (re.findall(r"-?\d+\.\d+", text) for text in (printed, said))
    assert [float(n) for n in numbers] == pytest.approx([float(n) for n in expected])
    assert len(expected) == 3


def test_the_snippets_about_a_run_work_on_one(tmp_path):
    subprocess.run([sys.executable, ROOT / "train.py", "--steps", "20"], cwd=tmp_path, check=True, capture_output=True)
    snippets = [code for code in ALL_SNIPPETS if "runs/names" in code]
    assert len(snippets) == 2
    for code in snippets:
        ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
        assert ran.stdout.strip()


def test_the_files_in_the_reading_order_are_there():
    table = README.split("## How to read the code")[1].split("The engine in three lines")[0]
    names = re.findall(r"`((?:microgpt/)?[a-z_]+\.py)`", table)
    assert len(names) >= 12
    for name in names:
        assert (ROOT / name).exists() or (ROOT / "microgpt" / name).exists(), name


def test_the_options_that_it_names_are_there():
    options = set(re.findall(r"(--[a-z][a-z-]+)", README)) - {"--help"}
    texts = "".join(
        subprocess.run(
            [sys.executable, ROOT / script, "--help"], capture_output=True, encoding="utf-8", check=True
        ).stdout
        for script in ("train.py", "sample.py", "explain.py", "bench.py")
    )
    assert options
    for option in options:
        assert option in texts, option


def test_the_listing_is_the_one_that_the_default_model_has():
    printed = subprocess.run(
        [sys.executable, ROOT / "train.py", "--listing"], capture_output=True, encoding="utf-8", check=True
    ).stdout.splitlines()
    shown = re.search(r"```\n(  8 product.*?)```", README, re.DOTALL).group(1).splitlines()
    for line in shown:
        assert any(found.startswith(line.split(" in ...")[0]) for found in printed), line
