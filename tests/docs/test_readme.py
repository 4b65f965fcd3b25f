"""The front page and those behind it are true: their snippets print what they say, what they name is there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *(f"docs/{name}.md" for name in ("code", "speed", "runs", "ladder"))]
TEXT = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
ALL_SNIPPETS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
SNIPPETS = [code for code in ALL_SNIPPETS if "runs/names" not in code]


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_prints_what_its_last_comment_says(snippet):
    said = snippet.rstrip().splitlines()[-1].split("# ")[-1]
    printed = subprocess.run([sys.executable, "-c", snippet], capture_output=True, encoding="utf-8", check=True).stdout
    numbers, expected = (re.findall(r"-?\d+\.\d+", text) for text in (printed, said))
    assert [float(n) for n in numbers] == pytest.approx([float(n) for n in expected])
    assert len(expected) == 3


@pytest.mark.slow
def test_the_snippets_about_a_run_work_on_one(tmp_path):
    subprocess.run([sys.executable, ROOT / "train.py", "--steps", "20"], cwd=tmp_path, check=True, capture_output=True)
    snippets = [code for code in ALL_SNIPPETS if "runs/names" in code]
    assert len(snippets) == 2
    for code in snippets:
        ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
        assert ran.stdout.strip()


def lines_in(path):
    """The lines of a file, or of all files of source in a directory."""
    files = (
        [path]
        if path.is_file()
        else [file for file in path.iterdir() if file.suffix in (".py", ".js", ".css", ".html")]
    )
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)


def test_the_files_in_the_reading_order_are_about_as_long_as_it_says():
    rows = re.findall(r"^\| `(\S+)` \| ([\d,]+) \|", TEXT, re.MULTILINE)
    assert len(rows) >= 4
    for name, lines in rows:
        assert lines_in(ROOT / name) == pytest.approx(int(lines.replace(",", "")), rel=0.1), name


def test_the_files_that_they_name_are_there():
    for name in re.findall(r"`((?:docs|examples|microgpt)/[a-z_/.-]+)`", TEXT):
        assert (ROOT / name).exists(), name


def test_the_files_that_contributing_names_are_there():
    paths = [path.relative_to(ROOT).as_posix() for path in ROOT.glob("**/*.*") if ".venv" not in path.parts]
    for name in re.findall(r"`([\w/]+\.(?:py|js|md))`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")):
        assert any(f"/{path}".endswith(f"/{name}") for path in paths), name


@pytest.mark.parametrize("page", sorted([*ROOT.glob("*.md"), *ROOT.glob("*/*.md")]), ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_the_ladder_is_the_one_that_the_example_climbs():
    sys.path.insert(0, str(ROOT / "examples"))
    import ladder

    rungs = re.findall(r"^\| ([^|`]+) \| \d\.\d{3} \| ([\d,]+) \|[^|]+\| ([^|]+) \|", TEXT, re.MULTILINE)
    found = {rung.name: (sum(a.size for a in rung.parameters.values()), rung.new) for rung in ladder.rungs(27, 0)}
    assert {name: (int(count.replace(",", "")), new) for name, count, new in rungs[1:]} == found


def test_the_options_that_it_names_are_there():
    options = set(re.findall(r"(--[a-z][a-z-]+)", TEXT)) - {"--help"}
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
    shown = re.search(r"```\n(  6 product.*?)```", TEXT, re.DOTALL).group(1).splitlines()
    for line in shown:
        assert any(found.startswith(line.split(" in ...")[0]) for found in printed), line
