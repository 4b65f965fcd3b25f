"""The process in which a learner's file runs: it may hang, print or crash, and the workshop goes on.

It is started by its path, with the learner's folder, and with names of exercises and their limits in seconds, as
add:5.0. What it prints is one line of JSON.
Nothing of the package is imported but the book and the workshop, so that an answer takes no second.
"""

import sys
import types
from pathlib import Path

if __name__ == "__main__":  # a package without its __init__, which would import the compiler
    package = types.ModuleType("microgpt")
    package.__path__ = [str(Path(__file__).parents[1])]
    sys.modules["microgpt"] = package

import ast
import faulthandler
import gc
import importlib
import io
import json
import traceback
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict
from typing import Any

from microgpt.workshop.course import exercise_named
from microgpt.workshop.exercise import Exercise
from microgpt.workshop.judge import Verdict, judge
from microgpt.workshop.lines import find, has_place, is_empty

MARGIN = 0.5  # seconds before the end in which the lines are noted that still run
MOST_PRINTED = 2000
INDENTED = (
    "The lines of a function stand four spaces further to the right than its `def`, and tabs are no spaces. The cause "
    "may be in the lines before, if they stand too far to the left."
)


def main() -> None:
    """Print the verdict on the first of some exercises that is not right, or on the last one."""
    folder, out, err = Path(sys.argv[1]), sys.stdout, sys.stderr
    gc.disable()  # it would look through each large graph again and again
    limits = dict(limit.split(":") for limit in sys.argv[2:])
    printed, verdict, name = io.StringIO(), Verdict("right"), ""
    with redirect_stdout(printed), redirect_stderr(io.StringIO()):
        for i, (name, seconds) in enumerate(limits.items(), 1):
            print(f"at {name}", file=err, flush=True)  # read if it stops there
            faulthandler.dump_traceback_later(float(seconds) - MARGIN, exit=True, file=err)
            verdict = checked(exercise_named(name), folder, finish=i == len(limits))
            if verdict.kind != "right":
                break
    text = printed.getvalue()[:MOST_PRINTED]
    out.write(json.dumps({"exercise": name, "verdict": asdict(verdict), "printed": text}) + "\n")


def checked(exercise: Exercise, folder: Path, finish: bool = True) -> Verdict:
    """Return the verdict on an exercise in a learner's folder."""
    path = folder / exercise.file
    try:
        text = path.read_text(encoding="utf-8-sig")
        ast.parse(text, str(path))
        verdict = of_holes(exercise, text, path)
        if verdict is not None:
            return verdict
        learner, make = imported(folder, exercise.file), imported(folder, "value.py")["Value"]
    except SyntaxError as error:
        return of_syntax(error, path)
    except BaseException as error:  # an exit, too
        return of_end("file", f"The file {path} does not run to its end", error)
    try:
        verdict = judge(exercise, learner, make)
        if verdict.kind == "right" and finish and exercise.finish is not None:
            good, said = exercise.finish({**learner, "Value": make}, folder)
            verdict = Verdict("right" if good else "unknown", [said, *(verdict.paragraphs if good else [])])
    except BaseException as error:
        return of_end("error", "Your lines end the program", error)
    return verdict


def of_end(kind: str, what: str, error: BaseException) -> Verdict:
    """Return the verdict on lines that ended with an exception, or ended the program."""
    frames = [(frame.filename, frame.lineno or 0, frame.name) for frame in traceback.extract_tb(error.__traceback__)]
    said = f"{type(error).__name__}: {error}".strip(": ")
    return Verdict(kind, [f"{what}: {said}."], trace=frames)


def imported(folder: Path, file: str) -> dict[str, Any]:
    """Return the names of a learner's file, which is a module of the package `mine`."""
    if "mine" not in sys.modules:
        package = types.ModuleType("mine")
        package.__path__ = [str(folder.resolve())]
        sys.modules["mine"] = package
    return vars(importlib.import_module(f"mine.{file.removesuffix('.py')}"))


def of_holes(exercise: Exercise, text: str, path: Path) -> Verdict | None:
    """Return a verdict if a function is missing or empty."""
    for name in exercise.writes:
        if not has_place(text, name):
            lost = f"There is no class {name.split('.')[0]} in {path}. Does it have another name now?"
            anew = f"If it is gone, move {path.name} away: `python learn.py` begins it anew, and you copy your lines."
            return Verdict("file", [f"{lost} {anew}"])
        node, own = find(text, name), name.split(".")[-1]
        where = f" in the class {name.split('.')[0]}" if "." in name else ""
        if node is None:
            again = f"`python learn.py --reset {exercise.name}` puts it back"
            return Verdict("missing", [f"There is no function {own}{where} of {path}: {again}."])
        if is_empty(node):
            line = node.body[-1].lineno
            words = f"The hole of {own} is still empty: line {line} of {path} is where your lines go."
            return Verdict("empty", [words, "Read the page above it first. `python learn.py --hint` helps you begin."])
    return None


def of_syntax(error: SyntaxError, path: Path) -> Verdict:
    """Return the verdict on a file that is no Python: the line, a caret, and Python's own words."""
    line, column = (error.text or "").rstrip("\n").replace("\t", " "), max((error.offset or 1) - 1, 0)
    path = Path(error.filename) if error.lineno and error.filename else path
    place = f"{path.parent.name}/{path.name}"
    said = [f"Python cannot read {f'line {error.lineno} of ' if error.lineno else ''}{place}: {error.msg}."]
    if line:
        said.append(f"    {line}\n    {' ' * column}^")
    if isinstance(error, IndentationError) or "outside" in error.msg:
        said.append(INDENTED)
    return Verdict("file", said)


if __name__ == "__main__":
    main()
