"""The public face: what `from microgpt import ...` offers is explained, hides no module, and works as shown."""

import importlib
import inspect
import pkgutil
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
from snippets import assert_can_be_typed, assert_prints_what_it_shows, snippets_of

import microgpt

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
OFFERED = [getattr(microgpt, name) for name in microgpt.__all__]


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(microgpt.__path__)])
def test_no_name_hides_a_module(name):
    if name != "pytorch":
        importlib.import_module(f"microgpt.{name}")
        assert isinstance(getattr(microgpt, name), types.ModuleType)
    assert name not in microgpt.__all__


@pytest.mark.parametrize("name", microgpt.__all__)
def test_what_is_offered_is_said_in_the_sign_of_the_package_and_explained(name):
    offered = getattr(microgpt, name)
    assert name in microgpt.__doc__.replace(",", " ").split()
    assert inspect.getdoc(offered)
    assert not inspect.getdoc(offered).startswith(f"{name}("), "a dataclass without words of its own"


@pytest.mark.parametrize("function", [offered for offered in OFFERED if inspect.isfunction(offered)])
def test_every_argument_has_a_type(function):
    signature = inspect.signature(function)
    assert inspect.Signature.empty not in [*(p.annotation for p in signature.parameters.values())]
    assert signature.return_annotation is not inspect.Signature.empty


# docs/library.md


@pytest.mark.slow
def test_every_snippet_prints_what_stands_under_it(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    shutil.copy(ROOT / "data" / "names.txt", tmp_path / "data")
    trained = [sys.executable, ROOT / "train.py", "--steps", "20", "--skip-check"]
    subprocess.run(trained, cwd=tmp_path, check=True, capture_output=True)
    monkeypatch.chdir(tmp_path)
    assert_prints_what_it_shows(PAGE)


@pytest.mark.parametrize("code", [code for code, _ in snippets_of(PAGE)])
def test_a_snippet_can_be_typed_line_by_line(code):
    assert_can_be_typed(code)


def test_the_page_names_all_that_is_offered_and_imports_nothing_else():
    table = re.search(r"^\| to \|.*?\n\n", PAGE, re.DOTALL | re.MULTILINE)[0]
    assert set(re.findall(r"`(\w+)`", table)) == set(microgpt.__all__)
    imported = set(re.findall(r"\w+", " ".join(re.findall(r"^from microgpt import (.*)$", PAGE, re.MULTILINE))))
    assert imported <= set(microgpt.__all__)


def test_the_files_that_it_points_at_are_there():
    named = re.findall(r"`((?:microgpt|docs|examples)/[a-z_/.-]+)`", PAGE)
    linked = [f"docs/{path}" for path in re.findall(r"\]\(([a-z_/.-]+)\)", PAGE)]
    assert named
    assert linked
    for path in named + linked:
        assert (ROOT / path).exists(), path
