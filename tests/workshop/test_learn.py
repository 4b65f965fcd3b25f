"""learn.py, as a learner uses it: it makes the folder, answers to mistakes, and never overwrites what was written."""

import json
import re
import shutil
import signal
import subprocess
from contextlib import contextmanager

import pytest
from running import assert_refused, call, command, environment

from microgpt.errors import InputError
from microgpt.workshop import child, look_at
from microgpt.workshop.course import EXERCISES, exercise_named
from microgpt.workshop.folder import Folder
from microgpt.workshop.judge import book
from microgpt.workshop.lines import filled
from microgpt.workshop.talk import ask_questions, equal


def learn(directory, *options, given=""):
    result = call("learn.py", *options, cwd=directory, given=given)
    assert result.returncode == 0, result.stderr
    assert max(map(len, result.stdout.splitlines()), default=0) <= 120
    return result.stdout


def fill(directory, exercise):
    path = directory / "mine" / exercise.file
    path.write_text(filled(path.read_text(), exercise))


@pytest.fixture(scope="module")
def first_done(tmp_path_factory):
    directory = tmp_path_factory.mktemp("first_done")
    learn(directory)
    fill(directory, EXERCISES[0])
    assert "remember is right" in learn(directory)
    return directory


@pytest.fixture
def begun(first_done, tmp_path):
    """A directory in which the first exercise is done and the second one is open."""
    return shutil.copytree(first_done, tmp_path, dirs_exist_ok=True)


def edited(directory, old, new):
    path = directory / "mine" / "value.py"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


OPEN = '''input grows a little, so does the sum."""\n        ...\n'''


def answer(directory, *lines):
    """Write lines into the hole of add, and return what is said."""
    body = "".join(f"        {line}\n" for line in lines)
    edited(directory, OPEN, OPEN.replace("        ...\n", body))
    return learn(directory)


# The way


def test_it_begins_with_a_folder_and_a_hole(tmp_path):
    said = learn(tmp_path)
    assert "Welcome" in said
    line = int(re.search(r"at line (\d+)", said)[1])
    assert "def __init__" in (tmp_path / "mine" / "value.py").read_text().splitlines()[line - 1]
    assert "still empty" in learn(tmp_path)
    assert "next  remember" in learn(tmp_path, "--list")


def test_a_right_answer_leads_to_the_next_hole(begun):
    text = (begun / "mine" / "value.py").read_text()
    assert "--- add ---" in text
    assert "--- multiply ---" not in text
    assert re.search(r"done  remember\b.*\n +next  add", learn(begun, "--list"))


def test_a_mistake_is_told_with_numbers(begun):
    lines = "other = self.lift(other)", 'return Value(self.data - other.data, "+", (self, other), (1.0, 1.0))'
    said = " ".join(answer(begun, *lines).split())
    assert "add: not yet." in said
    assert "With a = 2.0 and b = -3.0, `a + b` gives 5.0. Expected: -1.0. 2.0 + -3.0 is -1.0." in said
    assert "You computed the difference" in said


def test_a_wrong_derivative_is_shown_by_a_nudge(begun):
    lines = "other = self.lift(other)", 'return Value(self.data + other.data, "+", (self, other), (1.0, 3.0))'
    assert "If b grows by 0.001, `a + b` changes by 0.001: so 1.0" in " ".join(answer(begun, *lines).split())


def test_a_traceback_has_the_frames_of_the_learner_alone(begun):
    said = answer(begun, "return self.nothing")
    assert "mine/value.py, line" in said
    assert "in __add__: return self.nothing" in said
    assert "workshop" not in said
    assert "Traceback" not in said


def test_a_long_traceback_keeps_both_its_ends(begun):
    said = answer(begun, "def begins(x):", "    return self + x", "return begins(other)")
    assert said.count("in __add__: return begins(other)") == 2
    assert said.count("in begins: return self + x") == 2
    assert re.search(r"\.\.\. and \d+ more of these", said)


def test_a_narrow_terminal_gets_short_lines(begun, monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    assert max(map(len, learn(begun).splitlines())) <= 50


def test_a_line_that_is_no_python_is_shown(begun):
    said = answer(begun, "return Value(self.data +")
    assert "Python cannot read line" in said
    assert re.search(r"\n +return Value\(self.data \+\n +\^", said)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (OPEN, OPEN.replace("        ...", "    return self"), "stand four spaces further to the right"),
        (OPEN, OPEN.replace("        ...", "\treturn self"), "tabs are no spaces"),
        ("class Value", "class Number", "There is no class Value in mine/value.py"),
        ("LARGEST_FLOAT = ", "1 / 0\nLARGEST_FLOAT = ", "does not run to its end: ZeroDivisionError"),
        ("LARGEST_FLOAT = ", "\0LARGEST_FLOAT = ", "Python cannot read mine/value.py: source code string"),
    ],
    ids=["indented", "tabs", "renamed", "raises", "null"],
)
def test_a_file_that_does_not_run_undoes_nothing(begun, old, new, words):
    edited(begun, old, new)
    before = (begun / "mine" / "value.py").read_text()
    said = " ".join(learn(begun).split())
    assert "add: not yet" in said
    assert words in said
    assert "None" not in said
    assert re.search(r"done  remember\b.*\n +next  add", learn(begun, "--list"))
    assert (begun / "mine" / "value.py").read_text() == before


def test_a_mark_of_the_byte_order_is_no_mistake(begun):
    path = begun / "mine" / "value.py"
    path.write_text(filled(path.read_text(), EXERCISES[1]), encoding="utf-8-sig", newline="\r\n")
    assert "add is right" in learn(begun)


def test_a_file_of_another_encoding_is_refused(begun):
    path = begun / "mine" / "value.py"
    path.write_text(path.read_text(), encoding="utf-16")
    for options in ((), ("--reset", "add")):
        assert_refused(call("learn.py", *options, cwd=begun), "no text in UTF-8", "save it as UTF-8")


def test_reset_needs_the_class_of_a_function(begun):
    edited(begun, "class Value", "class Number")
    before = (begun / "mine" / "value.py").read_text()
    assert_refused(call("learn.py", "--reset", "add", cwd=begun), "the class that it belongs to")
    assert (begun / "mine" / "value.py").read_text() == before


@pytest.mark.parametrize("notes", ["x", "3", '{"exercises": 3}', '{"exercises": {"add": 3}}', '{"looked_at": 3}'])
def test_damaged_notes_are_refused(begun, notes):
    (begun / "mine" / "progress.json").write_text(notes)
    assert_refused(call("learn.py", cwd=begun), "progress.json is damaged")


@contextmanager
def hurried(name):
    """Let an exercise have little time."""
    exercise = exercise_named(name)
    before = exercise.seconds
    object.__setattr__(exercise, "seconds", 1.5)
    try:
        yield
    finally:
        object.__setattr__(exercise, "seconds", before)


def test_an_endless_walk_is_stopped(begun):
    with hurried("add"):
        said = " ".join(answer(begun, "while True:", "    pass").split())
    assert "add: not yet. Your lines still ran after 2 seconds" in said
    assert re.search(r"They were in line \d+, in __add__.", said)


def test_an_endless_walk_is_named_where_it_is(begun):
    edited(begun, "self.grad = 0.0", "while True: pass")
    with hurried("remember"):
        assert "remember: not yet." in learn(begun)
    assert "next  remember" in learn(begun, "--list")


@pytest.mark.slow
def test_the_start_of_a_process_takes_no_time_away(begun, tmp_path, monkeypatch):
    late = tmp_path / "late.py"
    late.write_text(f"import runpy, time\ntime.sleep(3)\nrunpy.run_path({child.__file__!r}, run_name='__main__')\n")
    monkeypatch.setattr(child, "__file__", str(late))
    with hurried("add"):
        assert "add: not yet. The hole of __add__ is still empty" in " ".join(learn(begun).split())


def test_lines_that_end_the_program_are_told(begun):
    said = answer(begun, "raise SystemExit")
    assert "Your lines end the program: SystemExit." in said
    assert "in __add__: raise SystemExit" in said


def test_what_the_file_prints_is_shown(begun):
    assert "Your file printed:\n\n    it is 2.0" in answer(begun, 'print("it is", self.data)', "return self")


def test_a_function_that_was_broken_again_is_told(begun):
    edited(begun, "self.grad = 0.0", "self.grad = 1.0")
    assert "remember: not yet" in learn(begun)
    assert "next  remember" in learn(begun, "--list")


def test_what_the_learner_added_stays(begun):
    path = begun / "mine" / "value.py"
    path.write_text(path.read_text() + "\n\nmy_own = 1  # a note\n")
    fill(begun, EXERCISES[1])
    before = path.read_text().splitlines()
    learn(begun)
    after = path.read_text().splitlines()
    assert "my_own = 1  # a note" in after
    rest = iter(after)
    assert all(line in rest for line in before)  # in the same order, with the new hole in between


def test_lost_notes_are_found_again(begun):
    (begun / "mine" / "progress.json").unlink()
    assert "remember is right" in learn(begun)


# Options


def test_hints_come_one_after_the_other(begun):
    for i in (0, 1, 2, 2):
        assert f"hint {i + 1} of 3" in learn(begun, "--hint")


def test_the_lines_of_the_book_come_after_a_warning(begun):
    assert "return Value(" not in learn(begun, "--show", given="\n")
    assert "return Value(" not in learn(begun, "--show")
    assert "return Value(self.data + other.data" in learn(begun, "--show", given="yes\n")


def test_reset_keeps_the_old_text(begun):
    before = (begun / "mine" / "value.py").read_text()
    said = learn(begun, "--reset", "remember")
    assert "mine/old/remember-1-value.py" in said
    assert (begun / "mine" / "old" / "remember-1-value.py").read_text() == before
    assert "next  remember" in learn(begun, "--list")
    fill(begun, EXERCISES[0])
    assert (begun / "mine" / "value.py").read_text() == before


def test_reset_refuses_an_unknown_name(begun):
    assert_refused(call("learn.py", "--reset", "nothing", cwd=begun), "no exercise 'nothing'")


def test_a_report_counts_attempts_and_hints(begun):
    learn(begun, "--hint")
    answer(begun, "return self")
    learn(begun)  # the same text is no new attempt
    learn(begun, "--report")
    report = json.loads((begun / "mine" / "report.json").read_text())
    assert report["exercises"]["remember"]["done"]
    assert report["exercises"]["add"] == {"done": False, "attempts": 1, "hints": 1, "shown": False}


def test_questions_are_marked_with_a_reason(begun, capsys):
    typed = iter(["0.002", "2", "-3"])
    exercise = exercise_named("multiply")
    folder = Folder(begun / "mine")
    ask_questions(folder, exercise, lambda prompt: next(typed))
    said = capsys.readouterr().out
    assert "That is a itself" in said
    assert "Right. If a grows by 0.001" in " ".join(said.split())
    ask_questions(folder, exercise, lambda prompt: next(typed))  # none is asked again


def test_an_empty_answer_leaves_a_question_for_later(begun, capsys):
    folder = Folder(begun / "mine")
    ask_questions(folder, exercise_named("add"), lambda prompt: "")
    ask_questions(folder, exercise_named("add"), lambda prompt: "0.002")
    assert capsys.readouterr().out.count("b = a + a") == 2
    assert Folder(begun / "mine").notes["questions"]["sum of itself"] == {"right": True, "tries": 1}


@pytest.mark.parametrize(
    ("answer", "typed", "same"),
    [("0.25", "1/4", True), ("0.25", "0,25", True), ("3", "3.0", True), ("0.002", "0.001", False), ("0", "0.1", False),
     ("c", " C. ", True), ("c", "d", False), ("1", "1/0", False)],
)  # fmt: skip
def test_answers_are_numbers_or_words(answer, typed, same):
    assert equal(answer, typed) is same


@pytest.mark.slow
def test_watching_answers_to_each_save(begun):
    with subprocess.Popen(
        command("learn.py", "--watch"), cwd=begun, env=environment(), stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        try:
            lines = iter(process.stdout.readline, "")
            assert any("Watching your files" in line for line in lines)
            fill(begun, EXERCISES[1])
            assert any("add is right" in line for line in lines)
        finally:
            process.send_signal(signal.SIGINT)
    assert process.returncode == 0


# All of it


@pytest.mark.slow
def test_the_lines_of_the_book_go_all_the_way(tmp_path):
    learn(tmp_path)
    files = set()
    for exercise in EXERCISES:
        if not exercise.trial:
            if exercise.file not in files:
                assert "not yet" in learn(tmp_path)
            files.add(exercise.file)
            fill(tmp_path, exercise)
        assert f"{exercise.name} is right" in learn(tmp_path)
    assert "That was the last exercise" in learn(tmp_path)
    assert learn(tmp_path, "--list").count("done") == len(EXERCISES)


# In a notebook


@pytest.mark.slow
def test_a_class_of_a_cell_is_looked_at(capsys):
    class Value(book("value.py")["Value"]):
        def __mul__(self, other):
            other = self.lift(other)
            return Value(self.data * other.data, "*", (self, other), (self.data, other.data))

    assert not look_at(Value)
    said = " ".join(capsys.readouterr().out.split())
    assert "You passed each input its own number" in said
    assert look_at(book("value.py")["Value"])


def test_a_function_of_a_cell_is_looked_at(capsys):
    cell = {}
    exec("class Value: pass\n\ndef dot(a, b):\n    return sum(x + y for x, y in zip(a, b, strict=True))", cell)
    assert not look_at(cell["dot"])  # an unfinished Value beside it does no harm
    assert "You added the pairs" in capsys.readouterr().out
    assert look_at(book("functions.py")["dot"])


def test_an_unknown_name_is_refused():
    with pytest.raises(InputError, match="no exercise asks for print: look_at knows"):
        look_at(print)
