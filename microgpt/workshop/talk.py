"""What is printed, 80 columns wide at most, and how questions are asked."""

import textwrap
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from shutil import get_terminal_size

from microgpt.surroundings import as_called
from microgpt.workshop.course import EXERCISES, PARTS
from microgpt.workshop.exercise import Exercise, Question
from microgpt.workshop.folder import Folder
from microgpt.workshop.judge import Verdict

WIDTH = 80
TRIES = 2


def say(*paragraphs: str) -> None:
    """Print paragraphs, with an empty line after each. One that is indented keeps its lines."""
    for paragraph in map(as_called, paragraphs):
        if paragraph.startswith(" ") or "\n" in paragraph:
            print(paragraph.rstrip("\n"), end="\n\n")
        else:
            width = min(WIDTH, get_terminal_size((WIDTH, 24)).columns or WIDTH)
            print(textwrap.fill(paragraph, width, break_on_hyphens=False, break_long_words=False), end="\n\n")


def say_verdict(exercise: Exercise, verdict: Verdict, printed: str, folder: Path) -> None:
    """Print what is said of an exercise."""
    if printed.strip():
        say("Your file printed:", textwrap.indent(printed.rstrip(), "    "))
    if verdict.kind == "right":
        say(f"{exercise.name} is right.", *verdict.paragraphs)
        return
    say(f"{exercise.name}: not yet.", *verdict.paragraphs)
    frames = own_frames(verdict, folder)
    if frames:
        say(frames)


def own_frames(verdict: Verdict, folder: Path) -> str:
    """Return the learner's part of a traceback, without the middle of a long one."""
    texts = []
    for file, line, name in verdict.trace:
        path = Path(file)
        if path.parent == folder.resolve():
            lines = path.read_text(encoding="utf-8").splitlines()
            code = lines[line - 1].strip() if 0 < line <= len(lines) else ""
            texts.append(f"    {folder.name}/{path.name}, line {line}, in {name}: {code}")
    if len(texts) > 4:
        texts[2:-2] = [f"    ... and {len(texts) - 4} more of these"]
    return "\n".join(texts)


def say_next(folder: Folder) -> None:
    """Print what to do now, and put the next hole into its file."""
    exercise = folder.current()
    if exercise is None:
        say(f"That was the last exercise. All that you wrote is in {folder.path}: it is yours.")
        say("Now to the clinic, where programs train badly: `python learn.py --clinic`.")
        return
    line, place = folder.dig(exercise), folder.path / exercise.file
    number, count = EXERCISES.index(exercise) + 1, len(EXERCISES)
    title = f"Next, {number} of {count}, in part {exercise.part} ({PARTS[exercise.part]}): {exercise.name}"
    if exercise.trial:
        about = exercise.writes[0].split(".")[-1]
        say(title, textwrap.indent(exercise.reading.strip("\n"), "  "))
        say(f"Nothing new to write: {about} in {place}, line {line}, is tried harder. Call `python learn.py`.")
        return
    say(title, f"Open {place} at line {line}. Read the page above it, and write your lines in place of the dots.")
    if number == 1:
        say("Then call `python learn.py` again; with --hint it helps, and with --watch it looks at each save.")


def say_list(folder: Folder) -> None:
    """Print the way, with what is done."""
    part = 0
    for exercise in EXERCISES:
        if exercise.part != part:
            part = exercise.part
            print(f"{part}. {PARTS[part]}")
        mark = "done" if folder.note(exercise)["done"] else "next" if exercise is folder.current() else ""
        about = ", ".join(name.split(".")[-1] for name in exercise.writes)
        print(f"   {mark:5} {exercise.name:14} {exercise.file:13} {about}")


def ask_questions(folder: Folder, exercise: Exercise, read: Callable[[str], str] = input) -> None:
    """Ask the questions that are still open, of this exercise and of those before it."""
    for earlier in EXERCISES[: EXERCISES.index(exercise) + 1]:
        for question in earlier.questions:
            entry = folder.answered(question)
            if not entry["right"] and entry["tries"] < TRIES and not ask(folder, question, read):
                return


def ask(folder: Folder, question: Question, read: Callable[[str], str]) -> bool:
    """Ask a question, and mark each answer with a reason; return False for an empty one, which leaves it for later."""
    say(f"A question (Enter leaves it for later): {question.asks}")
    for attempt in range(folder.answered(question)["tries"] + 1, TRIES + 1):
        try:
            typed = read("> ").strip()
        except EOFError:
            typed = ""
        print()
        if not typed:
            return False
        right = is_right(question, typed)
        folder.answered(question, right=right, tries=attempt)
        if right:
            say(f"Right. {question.because}")
            break
        said = next((words for answer, words in question.wrong if equal(answer, typed)), "That is not it.")
        say(said if attempt < TRIES else f"{said} It is {question.right[0]}. {question.because}")
    return True


def is_right(question: Question, typed: str) -> bool:
    """Return whether an answer is one of the right ones."""
    return any(equal(answer, typed) for answer in question.right)


def equal(answer: str, typed: str) -> bool:
    """Return whether two answers are the same: as numbers, such as 0.25, 0,25 or 1/4, or as words."""
    try:
        due, came = (float(Fraction(text.replace(",", "."))) for text in (answer, typed))
        return abs(due - came) <= 2e-3 * abs(due) + 1e-6
    except (ValueError, ZeroDivisionError):
        return answer.lower() == typed.strip(" .!'\"`").lower()
