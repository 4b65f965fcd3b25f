"""docs/tour.md is true: its snippets run, one after the other, and print what stands under them."""

import re
from pathlib import Path

import pytest
from snippets import assert_can_be_typed, assert_prints_what_it_shows, snippets_of

ROOT = Path(__file__).parents[2]
TOUR = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")


def test_there_are_as_many_steps_as_it_says_each_with_a_snippet():
    steps = re.split(r"^## ", TOUR, flags=re.MULTILINE)[1:-1]  # the last part says where to go next
    assert len(steps) == int(re.search(r"^(\d+) short steps", TOUR, re.MULTILINE)[1])
    for number, step in enumerate(steps, start=1):
        assert step.startswith(f"{number}. ")
        assert "```python\n" in step, step.splitlines()[0]


@pytest.mark.slow
def test_every_snippet_prints_what_stands_under_it(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert_prints_what_it_shows(TOUR)


@pytest.mark.parametrize("code", [code for code, _ in snippets_of(TOUR)])
def test_a_snippet_can_be_typed_line_by_line(code):
    assert_can_be_typed(code)


def test_the_files_that_it_points_at_are_there():
    for path in re.findall(r"`((?:microgpt|docs|examples)/[a-z_/.-]+)`", TOUR):
        assert (ROOT / path).exists(), path
