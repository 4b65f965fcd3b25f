"""What the tests share that run the commands: texts to learn from, small options, and how a command is run."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMES = "".join(f"{first}{second}{last}\n" for first in "abc" for second in "eio" for last in ("n", "nna", "l"))
PROSE = "the quick brown fox jumps over the lazy dog and then it sleeps under the tree; " * 3 + "the end\n"
LONG = "".join(f"{i} and {i * i} are numbers,\nand that is all.\n\n" for i in range(8000))
TINY = ["--n-embd", "4", "--n-head", "2", "--steps", "2", "--batch-size", "2", "--engine", "scalar"]


def command(script, *options):
    return [sys.executable, str(ROOT / script), *map(str, options)]


def environment(pictures=False):
    """The environment of a script; matplotlib is hidden from it if it is to draw no pictures, which saves time."""
    quick = {} if pictures else {"PYTHONPATH": str(Path(__file__).with_name("without_matplotlib"))}
    return os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"} | quick


def call(script, *options, cwd, pictures=False):
    """Run a script to its end."""
    return subprocess.run(
        command(script, *options),
        cwd=cwd,
        env=environment(pictures),
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def assert_refused(result, *expected, code=2):
    """The script ended with this code and one line on standard error, which says all that is expected."""
    assert result.returncode == code
    assert len(result.stderr.splitlines()) == 1
    assert "error: " in result.stderr
    for text in expected:
        assert text in result.stderr
