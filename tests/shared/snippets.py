"""Documents whose snippets run: each block of Python has what it prints in the block below it."""

import codeop
import contextlib
import io
import linecache
import re

import pytest

NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"


def snippets_of(document):
    """Each snippet of a document with what stands under it. Fails if there is a snippet with nothing under it."""
    snippets = re.findall(r"```python\n(.*?)```\n```\n(.*?)```", document, re.DOTALL)
    assert len(snippets) == document.count("```python\n"), "a snippet has nothing that it prints under it"
    assert snippets
    assert all(shown for _, shown in snippets)
    return snippets


def assert_prints_what_it_shows(document):
    """Run the snippets in one session, one after the other; numbers may differ by a hundredth, as machines round."""
    session = {}
    for i, (code, shown) in enumerate(snippets_of(document), 1):
        printed, name = io.StringIO(), f"snippet {i}"
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)  # as a file would have it
        with contextlib.redirect_stdout(printed):
            exec(compile(code, name, "exec"), session)
        assert re.sub(NUMBER, "#", printed.getvalue()) == re.sub(NUMBER, "#", shown)
        found, expected = (
            [float(number) for number in re.findall(NUMBER, text)] for text in (printed.getvalue(), shown)
        )
        assert found == pytest.approx(expected, rel=0.01, abs=1e-3)


def assert_can_be_typed(code):
    """Type a snippet line by line: Python never waits for an empty line that is not there."""
    typed = []
    for line in [*code.splitlines(), ""]:
        typed.append(line)
        if codeop.compile_command("\n".join(typed)) is not None:  # a SyntaxError where Python expected an empty line
            typed = []
    assert not typed
