"""The front page and the documents are true: snippets print what they say, and what they name is there."""

import importlib
import inspect
import io
import pkgutil
import re
import types
from contextlib import redirect_stdout

import pytest
from running import ROOT, call
from snippets import assert_can_be_typed, assert_prints_what_it_shows, snippets_of

import microgpt
from docs.badges import badges, facts

PAGES = {page.name: page.read_text(encoding="utf-8") for page in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])}
SHORT = [PAGES[name] for name in ("README.md", "code.md", "speed.md", "runs.md", "ladder.md")]
TEXT = "\n".join(SHORT)
TOUR, LIBRARY, COMING = PAGES["tour.md"], PAGES["library.md"], PAGES["coming-from.md"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A directory with the data, and a run of twenty steps."""
    directory = tmp_path_factory.mktemp("trained")
    (directory / "data").symlink_to(ROOT / "data")
    assert call("train.py", "--steps", "20", "--skip-check", cwd=directory).returncode == 0
    return directory


# What they name


def test_what_pages_name_is_there():
    for page, text in PAGES.items():
        for name in re.findall(r"`((?:docs|examples|microgpt|tests)/[a-z_/.-]+)`", text):
            assert (ROOT / name).exists(), (page, name)


def test_links_lead_somewhere():
    for page in [*ROOT.glob("*.md"), *ROOT.glob("*/*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (page.parent / target).exists(), (page, target)


def test_badges_are_true():
    said = facts()
    assert said["version"] == microgpt.__version__
    assert (ROOT / "docs" / "badges.svg").read_text(encoding="utf-8") == badges()
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    for version in said["python"].split(" – "):  # noqa: RUF001
        assert f'"{version}"' in workflow
        assert version in PAGES["platforms.md"]


def test_the_files_that_contributing_names_exist():
    paths = [path.relative_to(ROOT).as_posix() for path in ROOT.glob("**/*.*") if ".venv" not in path.parts]
    for name in re.findall(r"`([\w/]+\.(?:py|js|md))`", PAGES["CONTRIBUTING.md"]):
        assert any(f"/{path}".endswith(f"/{name}") for path in paths), name


def test_the_options_that_they_name_exist(tmp_path):
    options = set(re.findall(r"(--[a-z][a-z-]+)", TEXT)) - {"--help"}
    scripts = ("train.py", "sample.py", "explain.py", "bench.py", "examples/moons.py")
    texts = "".join(call(script, "--help", cwd=tmp_path).stdout for script in scripts)
    assert options
    assert [option for option in options if option not in texts] == []


def test_files_are_as_long_as_they_say():
    rows = re.findall(r"^\| `(\S+)` \| ([\d,]+) \|", TEXT, re.MULTILINE)
    assert len(rows) >= 4
    for name, lines in rows:
        path = ROOT / name
        files = [path] if path.is_file() else [f for f in path.iterdir() if f.suffix in (".py", ".js", ".css", ".html")]
        found = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
        assert found == pytest.approx(int(lines.replace(",", "")), rel=0.1), name


def test_the_ladder_is_that_of_the_example(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")
    import ladder

    rungs = re.findall(r"^\| ([^|`]+) \| \d\.\d{3} \| ([\d,]+) \|[^|]+\| ([^|]+) \|", TEXT, re.MULTILINE)
    found = {rung.name: (sum(a.size for a in rung.parameters.values()), rung.new) for rung in ladder.rungs(27, 0)}
    assert {name: (int(count.replace(",", "")), new) for name, count, new in rungs[1:]} == found


# What they show


def printed_by(code):
    shown = io.StringIO()
    with redirect_stdout(shown):
        exec(code, {})
    return shown.getvalue()


@pytest.mark.slow
def test_short_snippets_print_their_last_comment(trained, monkeypatch):
    monkeypatch.chdir(trained)
    of_runs = 0
    for code in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        printed = printed_by(code)
        if "runs/names" in code:
            of_runs += 1
            assert printed.strip()
            continue
        said = code.rstrip().splitlines()[-1].split("# ")[-1]
        numbers, expected = (re.findall(r"-?\d+\.\d+", text) for text in (printed, said))
        assert [float(n) for n in numbers] == pytest.approx([float(n) for n in expected])
        assert len(expected) == 3
    assert of_runs == 2


@pytest.mark.slow
@pytest.mark.parametrize("page", [TOUR, LIBRARY, COMING], ids=["tour", "library", "coming-from"])
def test_long_snippets_print_what_they_show(page, trained, monkeypatch):
    monkeypatch.chdir(trained)
    assert_prints_what_it_shows(page)


@pytest.mark.parametrize("page", [TOUR, LIBRARY, COMING], ids=["tour", "library", "coming-from"])
def test_snippets_can_be_typed_line_by_line(page):
    for code, _ in snippets_of(page):
        assert_can_be_typed(code)


def test_the_listing_is_that_of_the_default_model(tmp_path):
    printed = call("train.py", "--listing", cwd=tmp_path).stdout.splitlines()
    shown = re.search(r"```\n(  7 product.*?)```", TEXT, re.DOTALL).group(1).splitlines()
    for line in shown:
        assert any(found.startswith(line.split(" in ...")[0]) for found in printed), line


def test_the_tour_has_the_steps_it_says():
    steps = re.split(r"^## ", TOUR, flags=re.MULTILINE)[1:-1]  # the last part says where to go next
    assert len(steps) == int(re.search(r"^(\d+) short steps", TOUR, re.MULTILINE)[1])
    for number, step in enumerate(steps, start=1):
        assert step.startswith(f"{number}. ")
        assert "```python\n" in step, step.splitlines()[0]


# What `from microgpt import ...` offers


def test_no_name_hides_a_module():
    for name in [module.name for module in pkgutil.iter_modules(microgpt.__path__)]:
        importlib.import_module(f"microgpt.{name}")
        assert isinstance(getattr(microgpt, name), types.ModuleType)
        assert name not in microgpt.__all__


@pytest.mark.parametrize("name", microgpt.__all__)
def test_what_is_offered_is_explained(name):
    offered = getattr(microgpt, name)
    assert name in microgpt.__doc__.replace(",", " ").split()
    assert inspect.getdoc(offered)
    assert not inspect.getdoc(offered).startswith(f"{name}("), "a dataclass without words of its own"
    if inspect.isfunction(offered):
        signature = inspect.signature(offered)
        assert inspect.Signature.empty not in [*(p.annotation for p in signature.parameters.values())]
        assert signature.return_annotation is not inspect.Signature.empty


def test_the_library_page_names_all_of_it():
    table = re.search(r"^\| to \|.*?\n\n", LIBRARY, re.DOTALL | re.MULTILINE)[0]
    assert set(re.findall(r"`(\w+)`", table)) == set(microgpt.__all__)
    imported = set(re.findall(r"\w+", " ".join(re.findall(r"^from microgpt import (.*)$", LIBRARY, re.MULTILINE))))
    assert imported <= {*microgpt.__all__, "explain"}  # a room that can be called
