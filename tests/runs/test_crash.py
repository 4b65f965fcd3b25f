"""Whatever stops a program that saves, wherever it stops it: the directory loads and is a state that was saved.

The programs to be stopped run in a process of their own, which forks for each attempt, so that an attempt costs
milliseconds.
"""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import saving
from helpers import assert_same_checkpoint
from running import ROOT
from saving import STATES, assert_one_of_the_states, save

from microgpt.runs.checkpoint import checkpoints, load_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")]
NOT_REACHED = 5


def in_a_fork(function, *arguments):
    """Run a function in a copy of this process, and return its exit code."""
    child = os.fork()
    if child == 0:
        try:
            function(*arguments)
            os._exit(0)
        except OSError:
            os._exit(3)
        except BaseException:  # what is left is no result of ours
            os._exit(4)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def stop_at(number, act):
    """Let the system call of this number, counted from now over all kinds that saving uses, act instead of being.

    Returns a function that says how many there have been.
    """
    counted = 0

    def counting(original):
        def call(*arguments, **options):
            nonlocal counted
            counted += 1
            return act() if counted == number else original(*arguments, **options)

        return call

    for name in ("fsync", "replace", "mkdir", "unlink", "open", "close"):
        setattr(os, name, counting(getattr(os, name)))
    opened = Path.open

    def open_counted(path, *arguments, **options):
        file = counting(opened)(path, *arguments, **options)
        return Counted(file, counting) if "x" in str(arguments) else file

    Path.open = open_counted
    return lambda: counted


class Counted:
    """A file whose writes are counted, and of which each write is two, as it is where a disk gets full on the way."""

    def __init__(self, file, counting):
        self.file, self.fileno, self.flush = file, file.fileno, counting(file.flush)
        self.half = counting(file.write)

    def write(self, content):
        self.half(content[: len(content) // 2])
        self.file.flush()
        self.half(content[len(content) // 2 :])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


def saving_stopped(directory, number, act):
    count = stop_at(number, act)
    save(directory, 3)
    if count() < number:
        os._exit(NOT_REACHED)


def no_space():
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(("how", "act", "code"), [("dead", lambda: os._exit(9), 9), ("full", no_space, 3)])
def test_stopped_at_any_call_nothing_is_lost(tmp_path, how, act, code):
    stopped = 0
    for step in (1, 2):
        save(tmp_path / "before", step)
    for number in range(1, 1000):
        directory = shutil.copytree(tmp_path / "before", tmp_path / str(number))
        ended = in_a_fork(saving_stopped, directory, number, act)
        assert_one_of_the_states(directory, at_least=2)
        if ended == NOT_REACHED:
            break
        stopped += ended == code  # a few may fail without harm: to delete an old file, to sync a directory
        leftovers = [path.name for path in directory.rglob("*.tmp")]
        assert how == "dead" or leftovers == []
    assert stopped > 15


def test_the_first_checkpoint_is_there_or_not(tmp_path):
    for number in range(1, 12):
        directory = tmp_path / str(number)
        directory.mkdir()
        in_a_fork(saving_stopped, directory, number, lambda: os._exit(9))
        if checkpoints(directory):
            assert_same_checkpoint(load_checkpoint(directory), STATES[3])


def test_killed_at_random_moments_it_loads(tmp_path):
    result = subprocess.run(
        [sys.executable, saving.__file__, str(tmp_path), "25"], env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) >= 4  # it was killed in many states
