"""Documents that break the project: the changes and commands in them, and a copy of the project to try them on."""

import re
import shutil
import sys
from contextlib import contextmanager

import pytest
from running import ROOT, call


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


class Project:
    """A copy of the project that can be broken. Its scripts run in this process, which imports the copy for them."""

    def __init__(self, directory):
        self.directory, self.modules = directory, {}
        shutil.copytree(ROOT / "microgpt", directory / "microgpt")
        (directory / "data").symlink_to(ROOT / "data")
        for script in ("train.py", "explain.py", "sample.py"):
            shutil.copy(ROOT / script, directory)

    def keep_names_of_six(self):
        """Leave only the names with six characters: then a model is one program, not one for each length of a name."""
        (self.directory / "data").unlink()
        (self.directory / "data").mkdir()
        names = (ROOT / "data" / "names.txt").read_text().splitlines(keepends=True)
        (self.directory / "data" / "names.txt").write_text("".join(name for name in names if len(name) == 7))

    def break_it(self, text):
        """Make the changes of a section."""
        for file, old, new in changes(text):
            path = self.directory / file
            source = path.read_text()
            assert source.count(old) == 1, f"{file} has no longer the lines {old!r}"
            path.write_text(source.replace(old, new))
        self.modules = {}

    def call(self, *commands):
        """What the commands print, each one of Python, `head -n lines file > file`, or `cut -d, -fcolumns file`."""
        return "\n".join(map(self.call_one, commands))

    def call_one(self, command):
        name, *words = command.split()
        if name == "python":
            words += ["--threads", "1"] if words[0] == "train.py" else []  # no thread outlives the copy
            with self.imported():
                from microgpt.commands import session

                session.SAMPLES = 1
                result = call(self.directory / words[0], *words[1:], cwd=self.directory)
            return result.stdout + result.stderr
        lines = (self.directory / words[-3 if name == "head" else -1]).read_text().splitlines()
        if name == "head":
            (self.directory / words[-1]).write_text("\n".join(lines[: int(words[1])]) + "\n")
            return ""
        columns = [int(n) - 1 for n in re.search(r"-f([\d,]+)", command)[1].split(",")]
        return "\n".join(",".join(line.split(",")[i] for i in columns) for line in lines)

    def seen(self, text, assert_shown):
        """Make the changes of a section, run its commands, and return what each block printed, where it is as shown."""
        self.break_it(text)
        printed = []
        for commands, shown in runs(text):
            printed.append(self.call(*commands))
            assert_shown(shown, printed[-1])
        return printed

    @contextmanager
    def imported(self):
        """Let this process import the package of this copy, or take it as it was imported before."""
        ours = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "microgpt"}
        swap_modules(ours, self.modules)
        sys.path.insert(0, str(self.directory))
        try:
            yield
        finally:
            sys.path.remove(str(self.directory))
            self.modules = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "microgpt"}
            swap_modules(self.modules, ours)


def swap_modules(old, new):
    for name in old:
        del sys.modules[name]
    sys.modules.update(new)


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
