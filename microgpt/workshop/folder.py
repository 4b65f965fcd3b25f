"""The learner's folder: the files that grow in it, and how far one is."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from microgpt.errors import InputError
from microgpt.runs.files import write_file
from microgpt.workshop import child
from microgpt.workshop.course import EXERCISES, exercise_named
from microgpt.workshop.exercise import Exercise, Question
from microgpt.workshop.judge import Verdict
from microgpt.workshop.lines import emptied, find, frame, with_hole

NOTES = "progress.json"
START = 30.0  # seconds after which a process has surely begun; from then on it keeps the limits itself


class Folder:
    """A learner's folder, `mine/`. Nothing that was written there is ever overwritten."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: dict[str, Any] = {"exercises": {}, "questions": {}, "looked_at": {}}
        try:
            self.notes |= json.loads((path / NOTES).read_text(encoding="utf-8"))
            for key in ("exercises", "questions"):
                self.notes[key] = {name: dict(entry) for name, entry in self.notes[key].items()}
            self.notes["looked_at"] = dict(self.notes["looked_at"])
        except FileNotFoundError:
            pass
        except (ValueError, TypeError, AttributeError):
            raise InputError(f"{path / NOTES} is damaged: delete it, and what is right is found again") from None

    def note(self, exercise: Exercise, **changes: Any) -> dict[str, Any]:
        """Change what is noted of an exercise, if anything, and return it."""
        entry = {"done": False, "attempts": 0, "hints": 0, "shown": False}
        entry |= self.notes["exercises"].get(exercise.name, {}) | changes
        if changes:
            self.notes["exercises"][exercise.name] = entry
            self.save()
        return entry

    def answered(self, question: Question, **changes: Any) -> dict[str, Any]:
        """Change what is noted of a question, if anything, and return it."""
        entry = {"right": False, "tries": 0} | self.notes["questions"].get(question.name, {}) | changes
        if changes:
            self.notes["questions"][question.name] = entry
            self.save()
        return entry

    def save(self) -> None:
        """Write the notes."""
        self.path.mkdir(parents=True, exist_ok=True)
        write(self.path / NOTES, json.dumps(self.notes, indent=1) + "\n")

    def current(self) -> Exercise | None:
        """Return the first exercise that is not done; None at the end."""
        return next((exercise for exercise in EXERCISES if not self.note(exercise)["done"]), None)

    def text(self, exercise: Exercise) -> str:
        """Return what stands in the file of an exercise; before there is one, what it begins with."""
        path = self.path / exercise.file
        if path.exists():
            try:
                return path.read_text(encoding="utf-8-sig")
            except UnicodeDecodeError as error:
                byte = f"byte {error.start + 1} is none of it"
                raise InputError(f"{path} is no text in UTF-8 ({byte}): save it as UTF-8 in your editor") from None
        holes = [
            name for other in EXERCISES if other.file == exercise.file and not other.trial for name in other.writes
        ]
        return frame(exercise.file, holes)

    def dig(self, exercise: Exercise) -> int:
        """Put the hole of an exercise into its file, if it is not there; return the line where it begins."""
        path, text = self.path / exercise.file, self.text(exercise)
        try:
            new = with_hole(text, exercise) if not exercise.trial else text
            node = find(new, exercise.writes[0])
        except SyntaxError:
            return 1  # which a check tells of
        if new != text or not path.exists():
            self.path.mkdir(parents=True, exist_ok=True)
            write(path, new)
        return node.lineno if node is not None else 1

    def reset(self, name: str) -> Path:
        """Make a hole of an exercise again; return where the old text is kept."""
        exercise, old = exercise_named(name), self.path / "old"
        path = self.path / exercise.file
        if not path.exists():
            raise InputError(f"--reset {name}: there is no {path} yet")
        old.mkdir(exist_ok=True)
        number = 1
        while (kept := old / f"{name}-{number}-{exercise.file}").exists():
            number += 1
        text = self.text(exercise)
        write(kept, text)
        try:
            write(path, emptied(text, exercise))
        except LookupError:
            raise InputError(f"--reset {name}: the class that it belongs to is not in {path}") from None
        except SyntaxError as error:
            raise InputError(f"--reset {name}: mend line {error.lineno} of {path} first, which is no Python") from None
        self.note(exercise, done=False)
        return kept

    def check(self) -> tuple[Exercise, Verdict, str]:
        """Look at what was done before and has changed, and at the current exercise.

        Returns the first that is not right, or the current one, what is said of it, and what the file printed.
        """
        current = self.current() or EXERCISES[-1]
        self.dig(current)
        before = EXERCISES[: EXERCISES.index(current)]
        names = [other.name for other in before if other.finish is None and self.has_changed(other)] + [current.name]
        name, verdict, printed = run_child(self.path, names)
        if verdict.kind == "file":  # which tells nothing of the exercises before
            name = current.name
        for passed in names[: names.index(name)] if verdict.kind != "file" else []:
            self.notes["looked_at"][passed] = self.mark(exercise_named(passed))
        exercise, seen = exercise_named(name), self.notes["looked_at"].get(name)
        entry, mark = self.note(exercise), self.mark(exercise)
        tried = verdict.kind not in ("empty", "missing") and seen != mark
        self.notes["looked_at"][name] = mark
        self.note(exercise, attempts=entry["attempts"] + tried, done=verdict.kind == "right")
        return exercise, verdict, printed

    def has_changed(self, exercise: Exercise) -> bool:
        """Return whether an exercise is done, and its file another one than when it was last looked at."""
        return self.note(exercise)["done"] and self.notes["looked_at"].get(exercise.name) != self.mark(exercise)

    def mark(self, exercise: Exercise) -> str:
        """Return a mark of the text in the file of an exercise: another text has another mark."""
        return hashlib.sha256(self.text(exercise).encode()).hexdigest()


def write(path: Path, text: str) -> None:
    """Write a file in one go, so that none is ever half written."""
    write_file(path, text.encode())


def run_child(folder: Path, names: list[str]) -> tuple[str, Verdict, str]:
    """Check exercises in a process of their own; return the name of one, the verdict on it, and what was printed."""
    limits = {name: exercise_named(name).seconds for name in names}
    command = [
        sys.executable,
        "-P",
        "-X",
        "utf8",
        child.__file__,
        str(folder),
        *(f"{n}:{s}" for n, s in limits.items()),
    ]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        try:
            out, err = process.communicate(timeout=START + sum(limits.values()))
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
    try:
        answer = json.loads(out)
    except ValueError:
        name = ([names[-1], *re.findall(r"^at (\w+)$", err, re.MULTILINE)])[-1]
        return name, stopped(folder, limits[name], process.returncode, err), ""
    return answer["exercise"], Verdict(**answer["verdict"]), answer["printed"]


def stopped(folder: Path, limit: float, code: int, noted: str) -> Verdict:
    """Return the verdict on a process that was stopped or crashed, with a guess at why."""
    frames = re.findall(r'File "(.+)", line (\d+) in (\w+)', noted)
    own = [(line, name) for file, line, name in frames if Path(file).parent == folder.resolve()]
    if "Timeout" not in noted and not 0 <= code <= 255:  # a signal or, on Windows, the number of an exception
        words = "Python itself broke down. That happens if a function calls itself too often: use a list and a loop."
        return Verdict("stopped", [words])
    words = f"Your lines still ran after {limit:.0f} seconds, and were stopped."
    if not own:
        return Verdict("stopped", [words, "If this machine is busy, try again."])
    line, name = own[0]
    where = f"They were in line {line}, in {name}."
    if sum(other == name for _, other in own) > 20:
        guess = f"{name} calls itself again and again: what ends that? Does it go where it has been before?"
    else:
        guess = (
            "An endless walk? Look at the loop there: what must become true for it to end, and does it? A walk that "
        )
        guess += "visits again what it has seen takes twice as long for each value that is used twice."
    return Verdict("stopped", [f"{words} {where}", guess])
