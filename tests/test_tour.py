"""docs/tour.md is true: its snippets run, one after the other, and print what stands under them."""

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOUR = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
STEPS = re.findall(r"```python\n(.*?)```\n```\n(.*?)```", TOUR, re.DOTALL)
NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"


def test_there_are_ten_steps_each_with_a_snippet():
    assert re.findall(r"^## (\d+)\.", TOUR, re.MULTILINE) == [str(n) for n in range(1, 11)]
    assert len(STEPS) == 10


def test_every_snippet_prints_what_stands_under_it(monkeypatch):
    monkeypatch.chdir(ROOT)
    session = {}
    for code, shown in STEPS:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, session)
        assert re.sub(NUMBER, "#", printed.getvalue()) == re.sub(NUMBER, "#", shown)
        found, expected = (
            [float(number) for number in re.findall(NUMBER, text)] for text in (printed.getvalue(), shown)
        )
        assert found == pytest.approx(expected, rel=0.01, abs=1e-3)


def test_the_files_that_it_points_at_are_there():
    for path in re.findall(r"`((?:microgpt|docs|examples)/[a-z_/.-]+)`", TOUR):
        assert (ROOT / path).exists(), path
