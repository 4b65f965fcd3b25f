"""The door of every script: streams of any kind, signals, errors of one line, and commands for any shell."""

import io
import os
import runpy
import shlex
import signal
import struct
import subprocess
import sys
import threading
import tomllib
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pytest
from running import NAMES, ROOT, TINY, assert_refused, call, command, environment, run_within, train

import microgpt
from microgpt.commands.messages import of_going_on
from microgpt.commands.script import escape_control, interruption, run_script
from microgpt.runs.checkpoint import load_checkpoint
from microgpt.runs.directory import load_run
from microgpt.runs.files import quoted

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")


# Commands to be copied


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


@posix
def test_a_posix_shell_reads_the_path_back():
    names = ["a b", "a'b", 'a"b', "$HOME", "`id`", "a!b", "back\\slash", "*", "~", "#a", "a;b", "-a", "{a,b}", ""]
    line = " ".join(quoted(Path(name)) for name in names)
    read = subprocess.run(["sh", "-c", f"printf '%s\\n' {line}"], capture_output=True, text=True, check=True)
    assert [Path(path) for path in read.stdout.splitlines()] == [Path(name) for name in names]


def test_windows_shells_get_double_quotes():
    for character in " &|<>^();,=@#{}[]'%*":
        name = f"a{character}b"
        assert quoted(PureWindowsPath(name)) == f'"{name}"'


def test_printed_commands_are_quoted():
    assert of_going_on(Path("runs/it's mine")) == 'to go on: python train.py --resume "runs/it\'s mine"'


def test_no_other_way_of_quoting_is_left():
    sources = [*Path(microgpt.__file__).parent.rglob("*.py"), *ROOT.glob("*.py"), *ROOT.glob("examples/*.py")]
    assert [path.name for path in sources if "shlex" in path.read_text(encoding="utf-8")] == ["files.py"]


# Streams


def test_control_characters_are_written_out():
    assert escape_control("a\x1b[31mb\x9bc\x07\n\té") == "a\\u001b[31mb\\u009bc\\u0007\n\té"


def test_no_text_steers_the_terminal(tmp_path):
    result = train(tmp_path, *TINY, text="".join(f"{a}\x1b{b}\n" for a in "ab" for b in "abcde"))
    assert "\x1b" not in result.stdout
    written = call("sample.py", "--num-samples", "30", cwd=tmp_path).stdout
    assert "\x1b" not in written
    assert "\\u001b" in written
    exact = call("sample.py", "--num-samples", "30", "--quiet", cwd=tmp_path).stdout
    assert exact.count("\x1b") == written.count("\\u001b")


class Idle(io.TextIOBase):
    """A stream as IDLE has it: without a file or an encoding, and it calls itself a terminal."""

    def __init__(self):
        self.text = ""

    def isatty(self):
        return True

    def write(self, text):
        self.text += text


def test_idle_can_run_the_scripts(tmp_path, monkeypatch):
    screen = Idle()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(sys, "stdin", io.StringIO(NAMES))
    monkeypatch.chdir(tmp_path)
    for code, script, *options in (
        (0, "train.py", "--data", "-", *TINY),
        (0, "train.py", "--resume", "--steps", "3"),
        (0, "sample.py", "--num-samples", "1"),
        (2, "train.py", "--steps", "0"),
    ):
        monkeypatch.setattr(sys, "argv", [script, *options])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        assert end.value.code == code
    assert screen.text.endswith("error: --steps is 0: expected a positive integer\n")
    assert "step/s" not in screen.text


@posix
@pytest.mark.slow
@pytest.mark.parametrize(("script", "closed"), [("sample.py", ">&-"), ("train.py", "2>&-"), ("train.py", "<&-")])
def test_closed_streams_are_no_traceback(tmp_path, script, closed):
    train(tmp_path, *TINY)
    options = ["--data", "-" if closed == "<&-" else "names.txt", *TINY] if script == "train.py" else []
    line = f"{shlex.join(command(script, *options))} {closed}"
    result = subprocess.run(["sh", "-c", line], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert result.returncode == (2 if closed == "<&-" else 0)
    assert "Traceback" not in result.stderr


def process(script, *options, cwd, **more):
    """A script that runs in a process of its own, with pipes for what it prints."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8", "env": environment()}
    return subprocess.Popen(command(script, *options), cwd=cwd, **(pipes | more))


@pytest.mark.parametrize(
    ("platform", "error", "code"),
    [
        ("linux", BrokenPipeError(32, "Broken pipe"), 0),
        ("win32", OSError(22, "Invalid argument"), 0),
        ("linux", OSError(22, "Invalid argument"), 1),
        ("win32", OSError(22, "Invalid argument", "runs/a:b"), 1),
    ],
)
def test_windows_calls_a_closed_pipe_invalid(tmp_path, monkeypatch, platform, error, code):
    def main():
        raise error

    with (tmp_path / "out").open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "platform", platform)
        with pytest.raises(SystemExit) as end:
            run_script(main)
    assert end.value.code == code


@pytest.mark.slow
def test_a_closed_pipe_is_no_error(tmp_path):
    """Sampling ends, as in `python sample.py | head -1`; training goes on without it."""
    options = ["--data", "names.txt", *TINY, "--steps", "30", "--eval-interval", "1"]
    (tmp_path / "names.txt").write_text(NAMES)
    for script, *arguments in (["train.py", *options], ["sample.py", "--num-samples", "150"]):
        with process(script, *arguments, cwd=tmp_path) as running:
            running.stdout.readline()
            running.stdout.close()
            assert running.stderr.read() == ""
        assert running.returncode == 0
    assert load_checkpoint(tmp_path / "runs" / "names").step == 30


@posix
@pytest.mark.slow
def test_a_terminal_gets_no_colours(tmp_path):
    import fcntl
    import pty
    import termios

    (tmp_path / "names.txt").write_text(NAMES)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    terminal = {"stdout": theirs, "stderr": theirs, "encoding": None}
    terminal["env"] = environment() | {"TERM": "xterm-256color", "NO_COLOR": "1"}
    printed = b""
    with process("train.py", "--data", "names.txt", *TINY, cwd=tmp_path, **terminal) as running:
        os.close(theirs)
        try:
            while part := os.read(ours, 1 << 16):
                printed += part
        except OSError:  # the other end is closed
            pass
    os.close(ours)
    assert running.returncode == 0
    assert b"\x1b[3" not in printed
    assert b"\x1b[0;3" not in printed
    assert b"validation=" in printed  # the progress bar


# Signals


@posix
@pytest.mark.slow
def test_ctrl_c_ends_training_well(tmp_path):
    (tmp_path / "names.txt").write_text(NAMES)
    with process("train.py", "--data", "names.txt", *TINY, "--steps", "1000000", cwd=tmp_path) as running:
        while not running.stdout.readline().startswith("step     0"):
            assert running.poll() is None
        running.send_signal(signal.SIGINT)
        output, errors = running.communicate(timeout=60)
    assert (running.returncode, errors) == (130, "")
    assert "interrupted after" in output
    assert load_run(tmp_path / "runs" / "names").config.n_embd == 4


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGBREAK"])
def test_every_request_lets_a_program_finish(name, monkeypatch):
    if not hasattr(signal, name):  # only Windows has SIGBREAK
        monkeypatch.setattr(signal, name, signal.SIGUSR1, raising=False)
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with interruption() as state:
        signal.raise_signal(number)
        assert state.requested
    assert signal.getsignal(number) == before


def test_a_thread_may_train_without_signals():
    found = []

    def ask():
        with interruption() as state:
            found.append(state.requested)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert found == [False]


def test_memory_that_runs_out_is_one_line(tmp_path):
    result = run_within(lambda: run_script(lambda: np.ones(2**57)), "train.py", cwd=tmp_path)
    assert_refused(result, "not enough memory: ", code=1)


def test_what_is_not_installed_is_named():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = sorted({name.partition(">")[0] for name in project["dependencies"]})
    command = [sys.executable, "-E", "-S", ROOT / "train.py"]  # without what is installed
    ran = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert_refused(ran, f"not installed: {', '.join(needed)}: run `pip install -e .`")
