"""Write the book yourself, function by function: python learn.py --help"""

import json
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from microgpt.commands.options import Options, option, parse
from microgpt.errors import InputError
from microgpt.surroundings import along
from microgpt.workshop.clinic.visit import Clinic
from microgpt.workshop.exercise import Exercise
from microgpt.workshop.folder import Folder, write
from microgpt.workshop.lines import answers
from microgpt.workshop.talk import ask_questions, say, say_list, say_next, say_verdict

MINE = Path("mine")
NAMES = along("data/names.txt")
PAUSE = 0.3  # seconds between two looks at the files


@dataclass
class Settings(Options):
    watch: bool = option(False, "look at each save of a file, until Ctrl-C")
    list: bool = option(False, "show the way, with what is done")
    hint: bool = option(False, "give the next of three hints")
    show: bool = option(False, "show the book's lines, after a warning")
    reset: str | None = option(None, "begin this exercise again, and keep the old text beside it")
    clinic: bool = option(False, "part 5: fifteen programs that train badly, to suspect and to mend")
    random: bool = option(False, "any patient of the clinic, without a word about it")
    report: bool = option(False, "write what is done, attempts and hints to mine/report.json")


def main() -> int:
    settings = parse(Settings, "Write the book yourself: the next exercise, and an answer to what you wrote.")
    folder = Folder(MINE)
    if settings.list:
        say_list(folder)
        print("5. The clinic", *Clinic(MINE, NAMES).lines(), sep="\n")
    elif settings.clinic or settings.random:
        visit(Clinic(MINE, NAMES), settings.random)
    elif settings.hint:
        hint(folder)
    elif settings.show:
        show(folder)
    elif settings.report:
        write_report(folder)
    elif settings.reset is not None:
        say(f"{settings.reset} is a hole again. The old text is in {folder.reset(settings.reset)}.")
        say_next(folder)
    else:
        check(folder)
        if settings.watch:
            watch(folder)
    return 0


def check(folder: Folder) -> None:
    """Answer to what was written, and say what comes next."""
    if not folder.path.exists():
        say(f"Welcome. Your own book begins in the folder {folder.path}, which is made now.")
        say_next(folder)
        return
    if folder.current() is not None:
        exercise, verdict, printed = folder.check()
        say_verdict(exercise, verdict, printed, folder.path)
        if verdict.kind != "right":
            return
        if sys.stdin is not None and sys.stdin.isatty():
            ask_questions(folder, exercise)
    say_next(folder)


def visit(clinic: Clinic, at_random: bool) -> None:
    """Go on with a patient of the clinic, and name what comes next."""
    number = clinic.current()
    if at_random and (number is None or number not in clinic.records):
        number = clinic.any_other(random.Random())
    if number is not None and not clinic.visit(number, silent=at_random):
        return
    if clinic.current() is None:
        say("All fifteen are cured. The next sick program will be one of your own, and you will know where to look.")
    else:
        say("One more? Call `python learn.py --clinic`, or --random for one without a word about it.")


def watch(folder: Folder) -> None:
    """Answer to each save, until Ctrl-C."""
    try:
        while True:
            before = times(folder)
            print("Watching your files: save one, and the answer comes. Ctrl-C ends it.", flush=True)
            while times(folder) == before:
                time.sleep(PAUSE)
            print("-" * 80)
            try:
                check(folder)
            except InputError as error:  # such as a file that was saved as another kind of text
                say(f"{error}.")
    except KeyboardInterrupt:
        print()


def times(folder: Folder) -> dict[str, int]:
    """Return when each file was last written."""
    return {path.name: path.stat().st_mtime_ns for path in folder.path.glob("*.py")}


def hint(folder: Folder) -> None:
    """Print the next hint of the current exercise."""
    exercise = current(folder)
    given = min(folder.note(exercise)["hints"], len(exercise.hints) - 1)
    folder.note(exercise, hints=given + 1)
    say(f"{exercise.name}, hint {given + 1} of {len(exercise.hints)}: {exercise.hints[given]}")


def show(folder: Folder) -> None:
    """Print the book's lines of the current exercise, to one who means it."""
    exercise = current(folder)
    say(f"What you find yourself stays; what you read is gone tomorrow. The book's lines of {exercise.name} follow.")
    try:
        sure = input("Type yes to see them: ").strip().lower() == "yes"
    except EOFError:
        sure = False
    print()
    if sure:
        folder.note(exercise, shown=True)
        print(answers(exercise))


def current(folder: Folder) -> Exercise:
    """Return the exercise where the learner is; at the end, say so and leave."""
    exercise = folder.current()
    if exercise is None:
        say_next(folder)
        sys.exit(0)
    return exercise


def write_report(folder: Folder) -> None:
    """Write what is done."""
    folder.save()
    path = folder.path / "report.json"
    report = {key: folder.notes[key] for key in ("exercises", "questions")} | {"clinic": Clinic(MINE, NAMES).report()}
    write(path, json.dumps(report, indent=1) + "\n")
    done = sum(entry["done"] for entry in folder.notes["exercises"].values())
    cured = sum(entry["cured"] for entry in report["clinic"].values())
    say(f"{done} exercises are done, {cured} patients are cured; the report is in {path}.")
