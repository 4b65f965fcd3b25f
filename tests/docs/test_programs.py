"""The page about loops has a row for each program of the bench, and shows five as they are."""

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
from bench.program_rows import PROGRAMS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "programs.md").read_text(encoding="utf-8")


def test_the_table_has_a_row_for_each_program():
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == PROGRAMS


def test_programs_are_shown_as_they_are():
    shown = re.findall(r"\((\.\./bench/programs/\w+\.py)\)\n.*?```python\n(.*?)\n```\n\n```\n(.*?)```", PAGE, re.DOTALL)
    assert len(shown) == 5
    for link, code, listing in shown:
        file = DOCS / link
        assert f"\n\n\n{code}\n\n\n" in file.read_text(encoding="utf-8"), "python docs/make.py --only programs"
        assert re.match(r"[\d,]+ scalar operations became [\d,]+ array instructions", listing)
        assert f"{file.name}:" in listing


@pytest.mark.slow
def test_listings_are_those_of_this_version(monkeypatch):
    monkeypatch.syspath_prepend(DOCS)
    import make

    for section in re.split(r"(?m)^(?=## )", PAGE)[1:]:
        assert make.with_program(section).rstrip() == section.rstrip(), "python docs/make.py --only programs"
