"""The tour in a terminal, step by step: microgpt tour --help"""

import linecache
import re
import sys
import textwrap
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from shutil import copyfile
from typing import Any

from microgpt.commands.options import POSITIVE, Options, option, parse
from microgpt.errors import InputError
from microgpt.surroundings import along

SNIPPET = re.compile(r"```python\n(.*?)```\n(?:```\n.*?```\n)?", re.DOTALL)
NOTEBOOK = Path("tour.ipynb")


@dataclass
class Settings(Options):
    step: int | None = option(None, "show only this step; its code runs after that of the steps before", must=POSITIVE)
    notebook: bool = option(False, f"write {NOTEBOOK} into this folder instead, for Jupyter")


def main() -> int:
    settings = parse(Settings, "From + to a GPT that writes, in short steps: their words, their code, what it prints.")
    if settings.notebook:
        if NOTEBOOK.exists():
            raise InputError(f"{NOTEBOOK} is here already: move it away first")
        copyfile(along("docs/tour.ipynb"), NOTEBOOK)
        print(f"open it: jupyter lab {NOTEBOOK}")
        return 0
    opening, *steps = re.split(r"(?m)^(?=## )", along("docs/tour.md").read_text(encoding="utf-8"))
    if settings.step is not None and settings.step > len(steps):
        raise InputError(f"--step is {settings.step}: expected at most {len(steps)}")
    session: dict[str, Any] = {}
    if settings.step is None:
        print(opening)
    for number, step in enumerate(steps, 1):
        shown = settings.step in (None, number)
        show(step, number, session) if shown else run_quietly(step, number, session)
        if number == settings.step or (shown and number < len(steps) and not goes_on()):
            break
    return 0


def goes_on() -> bool:
    """Return whether the reader wants the next step. Who reads no terminal is not asked."""
    if sys.stdin is None or not sys.stdin.isatty():
        return True
    try:
        return not input("Enter for the next step, q to leave: ").strip()
    except EOFError:
        return False


def show(step: str, number: int, session: dict[str, Any]) -> None:
    """Print the words of a step; print and run its code."""
    at = 0
    for found in SNIPPET.finditer(step):
        print(step[at : found.start()].strip("\n"), "\n")
        print(textwrap.indent(found[1], "    "))
        run(found[1], f"step {number}, from character {found.start()}", session)
        print()
        at = found.end()
    print(step[at:].strip("\n"), "\n")


def run_quietly(step: str, number: int, session: dict[str, Any]) -> None:
    """Run the code of a step without what it prints."""
    with redirect_stdout(StringIO()):
        for found in SNIPPET.finditer(step):
            run(found[1], f"step {number}, from character {found.start()}", session)


def run(code: str, name: str, session: dict[str, Any]) -> None:
    """Run a snippet. Its lines are found by its name, as those of a file, so that functions can be compiled."""
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    exec(compile(code, name, "exec"), session)
