"""Whatever stops a program that saves, wherever it stops it: the directory loads and is a state that was saved.

The programs to be stopped run in a process of their own, which forks for each attempt, so that an attempt costs
milliseconds.
"""

import errno
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
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
def test_stopped_at_any_system_call_nothing_saved_is_lost(tmp_path, how, act, code):
    stopped = 0
    for number in range(1, 1000):
        directory = tmp_path / str(number)
        for step in (1, 2):
            save(directory_made(directory), step)
        ended = in_a_fork(saving_stopped, directory, number, act)
        assert_one_of_the_states(directory, at_least=2)
        if ended == NOT_REACHED:
            break
        stopped += ended == code  # a few may fail without harm: to delete an old file, to sync a directory
        leftovers = [path.name for path in directory.rglob("*.tmp")]
        assert how == "dead" or leftovers == []
    assert stopped > 15


def directory_made(directory):
    directory.mkdir(exist_ok=True)
    return directory


def test_the_first_checkpoint_is_there_or_not(tmp_path):
    for number in range(1, 12):
        directory = directory_made(tmp_path / str(number))
        in_a_fork(saving_stopped, directory, number, lambda: os._exit(9))
        if checkpoints(directory):
            assert_same_checkpoint(load_checkpoint(directory), STATES[3])


def test_killed_at_60_random_moments_it_loads_each_time(tmp_path):
    result = subprocess.run(
        [sys.executable, saving.__file__, str(tmp_path), "60"],
        capture_output=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
        timeout=200,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) >= 4  # it was killed in many states


@pytest.fixture
def small_disk(tmp_path):
    """A disk of a few pages, if this machine lets us make one."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160k", "none", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("cannot mount a small disk here")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_full_disk_loses_nothing(small_disk):
    save(small_disk, 1)
    filler = small_disk / "filler"
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    for left in range(0, 60_000, 4096):
        filler.write_bytes(bytes(max(0, free - left)))
        with suppress(OSError):
            save(small_disk, 2)
        filler.unlink()
        assert_one_of_the_states(small_disk, at_least=1)
        for path in checkpoints(small_disk)[:-1]:
            path.unlink()
    filler.write_bytes(bytes(free - 4096))
    with pytest.raises(OSError, match=f"No space left on device: .*{small_disk.name}"):
        save(small_disk, 2)


def test_the_state_in_a_damaged_directory_is_never_another(tmp_path):
    """Bytes of any file changed at random: the state is the one saved, or is refused; nothing else is raised."""
    save(tmp_path, 1)
    rng = np.random.default_rng(0)
    names = [path for path in tmp_path.rglob("*") if path.is_file()]
    whole = {path: path.read_bytes() for path in names}
    for _ in range(100):
        path = names[rng.integers(len(names))]
        content = bytearray(whole[path])
        for place in rng.integers(0, len(content), 3):
            content[place] = rng.integers(256)
        path.write_bytes(bytes(content))
        try:
            loaded = load_checkpoint(tmp_path)
        except ValueError:
            assert path.parent.name == "checkpoints"
        else:
            assert_same_checkpoint(loaded, STATES[1])
        path.write_bytes(whole[path])
