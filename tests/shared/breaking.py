"""Documents that break the project: the changes and commands in them, and a copy of the project to try them on."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def changes(text):
    """The diffs of a section: (file, lines to take out, lines to put in)."""
    found = []
    for block in re.findall(r"```diff\n(.*?)```", text, re.DOTALL):
        for part in re.split(r"^(?=microgpt/)", block, flags=re.MULTILINE)[1:]:
            file, *lines = part.splitlines()
            old, new = ("".join(line[1:] + "\n" for line in lines if line[0] == sign) for sign in "-+")
            found.append((file, old, new))
    return found


def runs(text):
    """The commands of a section, one or several lines each, with the lines that are shown under them."""
    blocks = re.findall(r"((?:^    \S.*\n)+)\n```\n([\s\S]*?)```", text, re.MULTILINE)
    return [([line.strip() for line in commands.splitlines()], shown.splitlines()) for commands, shown in blocks]


def copy_project(directory):
    """A copy of the project that can be broken."""
    shutil.copytree(ROOT / "microgpt", directory / "microgpt", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "data", directory / "data")
    for script in ("train.py", "explain.py", "sample.py"):
        shutil.copy(ROOT / script, directory)
    return directory


def break_it(project, text):
    for file, old, new in changes(text):
        source = (project / file).read_text()
        assert source.count(old) == 1, f"{file} has no longer the lines {old!r}"
        (project / file).write_text(source.replace(old, new))


def call(project, command):
    """What a command prints: one of Python, `head -n lines file > file`, or `cut -d, -fcolumns file`."""
    if command.startswith("python "):
        environment = os.environ | {"PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"}
        words = [sys.executable, *command.split()[1:]]
        result = subprocess.run(words, cwd=project, env=environment, capture_output=True, text=True, check=False)
        return result.stdout + result.stderr
    if command.startswith("head "):
        _, _, lines, source, _, target = command.split()
        kept = (project / source).read_text().splitlines(keepends=True)[: int(lines)]
        (project / target).write_text("".join(kept))
        return ""
    columns = [int(n) - 1 for n in re.search(r"-f([\d,]+)", command)[1].split(",")]
    rows = (project / command.split()[-1]).read_text().splitlines()
    return "\n".join(",".join(row.split(",")[i] for i in columns) for row in rows)


def numbers(text):
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", text)]


def losses(printed):
    """The validation losses that a run printed."""
    return [float(loss) for loss in re.findall(r"validation loss (\d+\.\d+)   ", printed)]


def assert_shown(shown, printed):
    """Every shown line was printed, up to small differences of its numbers and to the samples at its end."""
    lines = printed.splitlines()
    for line in shown:
        step = re.match(r"step +\d+ ", line)
        row = re.match(r"\d+,", line)
        if step or row:
            first = (step or row)[0]
            wanted = numbers(re.match(r"[^a-z]*", line.split("validation loss")[-1])[0])
            found = [numbers(other.split("validation loss")[-1]) for other in lines if other.startswith(first)]
            assert any(f[: len(wanted)] == pytest.approx(wanted, rel=0.05) for f in found), f"{line!r}: {found}"
        else:
            beginning = re.split(r"[0-9]|\.\.\.|, most of all", line)[0]
            assert any(other.startswith(beginning) for other in lines), line
