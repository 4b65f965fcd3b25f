"""What the tests of the scripts share: small texts and options, and two ways to run a script."""

import io
import os
import re
import runpy
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from microgpt.commands import session
from microgpt.commands.session import Session

ROOT = Path(__file__).parents[2]
NAMES = "".join(f"{first}{second}{last}\n" for first in "abc" for second in "eio" for last in ("n", "nna", "l"))
PROSE = "the quick brown fox jumps over the lazy dog and then it sleeps under the tree; " * 3 + "the end\n"
LONG = "".join(f"{i} and {i * i} are numbers,\nand that is all.\n\n" for i in range(8000))
SHORT = ["a", "b", "aa", "ab", "ba", "aaa", "bab"]
TINY = ["--n-embd", "4", "--n-head", "2", "--steps", "2", "--batch-size", "2", "--engine", "scalar"]


@dataclass
class Result:
    """How a script ended: its exit code, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def call(script, *options, cwd, given="", pictures=False):
    """Run a script in this process, as Python would; return its Result.

    Its standard input is `given`, text or bytes. Unless it is to draw `pictures`, it finds no matplotlib, which saves
    time. The script has to leave the process as it was: a notebook goes on after it.
    """
    return run_within(lambda: runpy.run_path(str(ROOT / script), run_name="__main__"), script, *options, cwd=cwd,
                      given=given, pictures=pictures)  # fmt: skip


def train(directory, *options, text=NAMES, file="names.txt"):
    """Let train.py learn a text that it finds in a file of the directory, to a good end; return its Result."""
    (directory / file).write_text(text)
    result = call("train.py", "--data", file, *options, cwd=directory)
    assert result.returncode == 0, result.stderr
    return result


def interrupted(*options, cwd, after=None, look=None, number=signal.SIGINT):
    """Run train.py, and send it a signal in a step or in the midst of its nth look at the model; the Result.

    In a look it has no patience with what can be done again.
    """
    recorded, measured, looks = Session.record, session.mean_loss, []

    def record(self, update):
        if update.step == after:
            signal.raise_signal(number)
        recorded(self, update)

    def mean_loss(*arguments):
        looks.append(None)
        if len(looks) == look:
            signal.raise_signal(number)
        return measured(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "record", record)
        patch.setattr(session, "mean_loss", mean_loss)
        if look:
            patch.setattr("microgpt.commands.script.PATIENCE", -1.0)
        return call("train.py", *options, cwd=cwd)


def run_within(function, script, *options, cwd, given="", pictures=False):
    """Call a function that ends with SystemExit, with the arguments and the streams of a script; return its Result."""
    stdin = io.TextIOWrapper(io.BytesIO(given if isinstance(given, bytes) else given.encode()), encoding="utf-8")
    stdout, stderr = (
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n", write_through=True) for _ in range(2)
    )
    hidden = [] if pictures else [name for name in [*sys.modules, "matplotlib"] if name.split(".")[0] == "matplotlib"]
    before = state_of_process()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)):
            patch.setattr(sys, name, value)
        patch.setattr(sys, "argv", [str(ROOT / script), *map(str, options)])
        patch.setattr(sys, "path", [str((ROOT / script).parent), *sys.path])
        for name in set(hidden):
            patch.setitem(sys.modules, name, None)
        patch.chdir(cwd)
        with pytest.raises(SystemExit) as end:
            function()
    assert state_of_process() == before
    printed = [stream.buffer.getvalue().decode() for stream in (stdout, stderr)]
    if os.sep == "\\":  # the tests name paths with slashes
        printed = [re.sub(r"(?<=[\w:.])\\(?!u[0-9a-f]{4})", "/", text) for text in printed]
    return Result(end.value.code or 0, *printed)


def state_of_process():
    """What a script must leave as it was."""
    signals = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    return os.getcwd(), dict(os.environ), signals, np.geterr()


def command(script, *options):
    """The command that runs a script in a process of its own."""
    return [sys.executable, str(ROOT / script), *map(str, options)]


def environment():
    """The environment of such a process."""
    return os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}


def assert_refused(result, *expected, code=2):
    """The script ended with this code and one line on standard error, which says all that is expected."""
    assert result.returncode == code
    assert len(result.stderr.splitlines()) == 1
    assert "error: " in result.stderr
    for text in expected:
        assert text in result.stderr
