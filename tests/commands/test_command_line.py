"""What the scripts share: commands that any shell takes, and streams of any kind."""

import subprocess
import sys
import threading
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from running import NAMES, ROOT, TINY, environment

import microgpt
from microgpt.commands.command_line import interruption, quoted
from microgpt.commands.messages import of_going_on


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (PurePosixPath("runs/names"), "runs/names"),
        (PureWindowsPath(r"runs\names"), "runs/names"),
        (PureWindowsPath(r"C:\Users\Ann Lee\runs\a&b"), '"C:/Users/Ann Lee/runs/a&b"'),
        (PureWindowsPath(r"\\server\share\names"), "//server/share/names"),
        (PurePosixPath("my run/it's"), '"my run/it\'s"'),
        (PurePosixPath("Übung/名前"), "Übung/名前"),
        (PurePosixPath("(copy), {1}"), '"(copy), {1}"'),
        (PurePosixPath("-run"), "./-run"),
        (PurePosixPath("~ann"), '"./~ann"'),
        (PurePosixPath("$HOME"), "'$HOME'"),
    ],
)
def test_a_path_is_quoted_for_every_shell(path, expected):
    assert quoted(path) == expected


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize(
    "name",
    ["names", "a b", "a'b", 'a"b', "$HOME", "`id`", "a!b", "back\\slash", "*", "~", "#a", "a;b", "-a", "{a,b}", ""],
)
def test_a_posix_shell_reads_the_path_as_it_is(name):
    read = subprocess.run(["sh", "-c", f"printf %s {quoted(Path(name))}"], capture_output=True, text=True, check=True)
    assert Path(read.stdout) == Path(name)


def test_what_cmd_and_powershell_would_change_is_between_double_quotes():
    for character in " &|<>^();,=@#{}[]'%*":
        name = f"a{character}b"
        assert quoted(PureWindowsPath(name)) == f'"{name}"'


def test_the_commands_that_training_prints_are_quoted():
    assert of_going_on(Path("runs/it's mine")) == 'go on with: python train.py --resume "runs/it\'s mine"'


def test_no_other_way_of_quoting_is_left():
    sources = [*Path(microgpt.__file__).parent.rglob("*.py"), *ROOT.glob("*.py"), *ROOT.glob("examples/*.py")]
    assert [path.name for path in sources if "shlex" in path.read_text(encoding="utf-8")] == ["command_line.py"]


# Notebooks and IDLE, which run a script within a process of their own

WITHIN = """
import io, runpy, signal, sys

class Stream(io.TextIOBase):
    isatty = lambda self: True
    write = lambda self, text: sys.__stdout__.write(text)

sys.stdout = sys.stderr = Stream()
sys.stdin = io.StringIO({names!r})
for sys.argv in {commands!r}:
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        print("ended with", end.code)
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


def run_within(directory, *commands):
    """What a process prints that runs these commands one after the other, as a notebook does with %run."""
    commands = [[str(ROOT / script), *map(str, options)] for script, *options in commands]
    code = WITHIN.format(names=NAMES, commands=commands)
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=directory, env=environment(pictures=True), capture_output=True,
        encoding="utf-8", check=False,
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    *lines, own_ctrl_c = result.stdout.splitlines()
    assert own_ctrl_c == "True"
    return lines


@pytest.mark.slow
def test_a_notebook_and_idle_can_run_the_scripts(tmp_path):
    lines = run_within(
        tmp_path,
        ["train.py", "--data", "-", *TINY],
        ["train.py", "--resume", "--steps", 3],
        ["sample.py", "--num-samples", 1],
        ["explain.py", "--text", "ceo"],
        ["train.py", "--steps", 0],
    )
    assert [line for line in lines if line.startswith("ended")] == ["ended with 0"] * 4 + ["ended with 2"]
    assert lines[-2] == "error: --steps is 0: expected a positive integer"
    assert not any("it/s" in line or "step/s" in line for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize(
    "script", ["bench.py", *(f"examples/{n}.py" for n in ("ladder", "moons", "outgrow", "your_idea"))]
)
def test_a_notebook_and_idle_can_run_the_others(tmp_path, script):
    *shown, end = run_within(tmp_path, [script, "--help"])
    assert shown[0].startswith("usage: ")
    assert end == "ended with 0"


def test_a_thread_may_train_where_only_the_main_thread_gets_signals():
    found = []

    def train():
        with interruption() as state:
            found.append(state.requested)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert found == [False]
