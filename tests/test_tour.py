"""docs/tour.md is true: its snippets run, one after the other, and print what stands under them."""

import codeop
import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOUR = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```\n```\n(.*?)```", TOUR, re.DOTALL)
NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"


def test_there_are_as_many_steps_as_it_says_each_with_a_snippet():
    steps = re.split(r"^## ", TOUR, flags=re.MULTILINE)[1:-1]  # the last part says where to go next
    assert len(steps) == int(re.search(r"^(\d+) short steps", TOUR, re.MULTILINE)[1])
    for number, step in enumerate(steps, start=1):
        assert step.startswith(f"{number}. ")
        assert "```python\n" in step, step.splitlines()[0]


def test_every_snippet_has_what_it_prints_under_it():
    assert len(SNIPPETS) == TOUR.count("```python\n")
    assert all(shown for _, shown in SNIPPETS)


def test_every_snippet_prints_what_stands_under_it(monkeypatch):
    monkeypatch.chdir(ROOT)
    session = {}
    for code, shown in SNIPPETS:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, session)
        assert re.sub(NUMBER, "#", printed.getvalue()) == re.sub(NUMBER, "#", shown)
        found, expected = (
            [float(number) for number in re.findall(NUMBER, text)] for text in (printed.getvalue(), shown)
        )
        assert found == pytest.approx(expected, rel=0.01, abs=1e-3)


@pytest.mark.parametrize("code", [code for code, _ in SNIPPETS])
def test_a_snippet_can_be_typed_line_by_line(code):
    typed = []
    for line in [*code.splitlines(), ""]:
        typed.append(line)
        if codeop.compile_command("\n".join(typed)) is not None:  # a SyntaxError where Python expected an empty line
            typed = []
    assert not typed


def test_the_files_that_it_points_at_are_there():
    for path in re.findall(r"`((?:microgpt|docs|examples)/[a-z_/.-]+)`", TOUR):
        assert (ROOT / path).exists(), path
