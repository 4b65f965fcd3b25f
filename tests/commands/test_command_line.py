"""What the scripts share: commands that any shell takes, and streams of any kind."""

import subprocess
import sys
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from running import ROOT

import microgpt
from microgpt.command_line import quoted
from microgpt.runs.telling import of_going_on


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
