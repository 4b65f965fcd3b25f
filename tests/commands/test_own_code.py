"""train.py trains a book of the user's own, compares it with the user's own Value, and no code runs unasked."""

import json
import shutil
from pathlib import Path

import pytest
from running import NAMES, assert_refused, call, train

import microgpt
from microgpt.learning.own_book import CHAPTERS
from microgpt.runs.directory import load_run

PACKAGE = Path(microgpt.__file__).parent
SMALL = ["--n-embd", "4", "--n-head", "2", "--steps", "2", "--batch-size", "2", "--book", "mine"]
RELU = (
    "functions",
    "return 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))",
    "return x if x > 0 else 0 * x",
)


def book(directory, *changes):
    """A folder `mine` with the lines of the book, some of them changed."""
    folder = directory / "mine"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    texts = {chapter: (PACKAGE / f"{chapter}.py").read_text(encoding="utf-8") for chapter in CHAPTERS}
    for chapter, before, after in changes:
        assert before in texts[chapter]
        texts[chapter] = texts[chapter].replace(before, after)
    for chapter, text in texts.items():
        (folder / f"{chapter}.py").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A directory with a run of the book's own lines, and what training printed; its code is compiled from then on."""
    directory = tmp_path_factory.mktemp("own")
    book(directory)
    return directory, train(directory, *SMALL)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A directory with a run of functions that are no GPT-2, and what training printed."""
    directory = tmp_path_factory.mktemp("other")
    book(directory, RELU)
    return directory, train(directory, *SMALL)


@pytest.fixture
def here(own, tmp_path):
    """A copy of the first, to be changed."""
    return shutil.copytree(own[0], tmp_path / "here")


def test_what_is_theirs_and_that_it_agrees_is_said(own):
    said = own[1].stdout
    assert "your book, mine: 230 lines of code, 45 functions" in said
    assert "your Value and the compiled code agree to 15 digits" in said
    assert "compiled, your code was" in said.splitlines()[-1]


def test_the_same_lines_train_to_the_same_bits(own, tmp_path):
    train(tmp_path, *SMALL[:-2])
    mine, ours = (load_run(directory / "runs" / "names") for directory in (own[0], tmp_path))
    assert all((mine.parameters[name] == ours.parameters[name]).all() for name in ours.parameters)


def test_a_gpt_2_needs_no_code_of_its_own(own, here):
    shutil.rmtree(here / "mine")
    for chapter in CHAPTERS:
        (here / "runs" / "names" / "book" / f"{chapter}.py").write_text("raise SystemExit('executed')")
    for script in ("sample.py", "explain.py"):
        assert call(script, cwd=here).returncode == 0


def test_their_own_functions_write(own):
    directory, _ = own
    ours, theirs = (call("sample.py", *option, cwd=directory) for option in ([], ["--book", "mine"]))
    many = call("sample.py", "--book", "mine", "--num-samples", "200", cwd=directory)
    assert ours.stdout == theirs.stdout
    assert many.stdout.splitlines()[:20] == theirs.stdout.splitlines()[:20]


@pytest.mark.parametrize("script", ["sample.py", "explain.py"])
def test_functions_of_their_own_run_only_when_named(other, script):
    directory, trained = other
    assert "only they read this model" in trained.stdout
    assert "sample.py --run runs/names --book runs/names/book" in trained.stdout
    assert "explain.py" not in trained.stdout
    assert_refused(call(script, cwd=directory), "functions of its own", "add --book runs/names/book")


def test_functions_of_their_own_write(other):
    directory, _ = other
    few, copied = (call("sample.py", "--book", folder, cwd=directory) for folder in ("mine", "runs/names/book"))
    many = call("sample.py", "--book", "mine", "--num-samples", "200", cwd=directory)
    assert len(few.stdout.splitlines()) == 21
    assert few.stdout == copied.stdout == call("sample.py", "--trust", cwd=directory).stdout
    assert many.stdout.splitlines()[:20] == few.stdout.splitlines()[:20]


def test_changed_files_are_refused_and_not_run(here):
    (here / "mine" / "gpt.py").write_text("raise SystemExit('executed')")
    for options in (["sample.py"], ["train.py", "--resume", "--steps", "4"]):
        result = call(*options, "--book", "mine", cwd=here)
        assert_refused(result, "mine/gpt.py is another text", "the copy is there: --book runs/names/book")


def test_the_files_of_the_workshop_run_as_a_copy(tmp_path):
    book(tmp_path, ("functions", "from microgpt.", "from mine."), ("gpt", "from microgpt.", "from mine."), RELU)
    train(tmp_path, *SMALL)
    assert call("sample.py", "--book", "runs/names/book", cwd=tmp_path).returncode == 0


def test_a_run_resumes_with_its_book(own, here, tmp_path):
    assert_refused(call("train.py", "--resume", "--steps", "4", cwd=here), "add --book runs/names/book")
    resumed = call("train.py", "--resume", "--steps", "4", "--trust", cwd=here)
    assert resumed.returncode == 0, resumed.stderr
    assert "your Value and the compiled code agree" in resumed.stdout


def test_a_run_of_ours_takes_no_book(tmp_path):
    train(tmp_path, *SMALL[:-2])
    book(tmp_path)
    assert_refused(call("sample.py", "--book", "mine", cwd=tmp_path), "was not trained with a book of your own")
    resumed = call("train.py", "--resume", "--steps", "4", "--book", "mine", cwd=tmp_path)
    assert_refused(resumed, "was not trained with a book of your own")


def test_damaged_facts_are_refused(here):
    path = here / "runs" / "names" / "book" / "book.json"
    facts = json.loads(path.read_text())
    for wrong in ({"sha256": facts["sha256"]}, {"sha256": [], "is_gpt_2": True}):
        path.write_text(json.dumps(wrong))
        assert_refused(call("sample.py", cwd=here), "book.json is damaged")


def test_weights_serve_another_book(other):
    directory, _ = other
    begun = call("train.py", "--init-from", "runs/names", "--data", "names.txt", "--steps", "1", cwd=directory)
    assert begun.returncode == 0, begun.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("value", "(other.data, self.data))", "(self.data, other.data))"), "the derivative of * in Value is wrong"),
        (("value", "made_of.grad += deriv", "made_of.grad = deriv"), "backward of Value is wrong"),
        (("value", "math.exp(x)\n", "math.exp(x) * 1.0001\n"), "Value computes exp(0.0) as 1.0001, plain numbers as 1"),
    ],
)
def test_a_wrong_value_is_named_before_training(own, tmp_path, change, said):
    book(tmp_path, change)
    (tmp_path / "names.txt").write_text(NAMES)
    result = call("train.py", "--data", "names.txt", *SMALL, cwd=tmp_path)
    assert_refused(result, "your Value: ", said, "add --skip-check", code=1)
    assert not (tmp_path / "runs").exists()
    assert call("train.py", "--data", "names.txt", *SMALL, "--skip-check", cwd=tmp_path).returncode == 0


def test_a_difference_to_the_compiled_code_is_named(own, tmp_path):
    """A choice of another item, with which the slope of the loss agrees."""
    book(tmp_path, ("value", "return items[index]", "return items[index - 1]"))
    (tmp_path / "names.txt").write_text(NAMES)
    result = call("train.py", "--data", "names.txt", *SMALL, cwd=tmp_path)
    said = "pick([1.5, 2.5, 3.5], 1) of mine/value.py is 1.5, where the compiler has 2.5"
    assert_refused(result, "the loss is ", "on your Value, and", "compiled", said, code=1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("adam", "v_hat**0.5", "max(v_hat, 0) ** 0.5"), "write it with + - * / and ** alone"),
        (("adam", "def scheduled_learning_rate", "def rate"), "adam.py has no scheduled_learning_rate"),
        (("functions", "shift = largest(x)", "shift = largest(y)"), "functions.py fails in line 43: NameError"),
    ],
)
def test_what_cannot_train_is_told(own, tmp_path, change, said):
    book(tmp_path, change)
    (tmp_path / "names.txt").write_text(NAMES)
    assert_refused(call("train.py", "--data", "names.txt", *SMALL, cwd=tmp_path), said)


def test_their_own_adam_trains(own, tmp_path):
    book(tmp_path, ("adam", "m_hat / (v_hat**0.5 + epsilon)", "2 * m_hat"), ("adam", "peak * step / warmup", "0.5"))
    train(tmp_path, *SMALL)
    mine, ours = (load_run(directory / "runs" / "names") for directory in (tmp_path, own[0]))
    assert (mine.checkpoint.parameters != ours.checkpoint.parameters).any()
    assert (tmp_path / "runs" / "names" / "metrics.csv").read_text().splitlines()[2].split(",")[3] == "0.5"


def test_missing_files_are_ours(tmp_path):
    folder = book(tmp_path)
    for chapter in ("gpt", "adam"):
        (folder / f"{chapter}.py").unlink()
    assert "note: gpt.py and adam.py of the project" in train(tmp_path, *SMALL).stdout


@pytest.mark.parametrize("options", [["--engine", "scalar"], ["--listing", "c"]])
def test_only_compiled_code_is_theirs(tmp_path, options):
    book(tmp_path)
    assert_refused(call("train.py", *SMALL, *options, cwd=tmp_path), "with --book")
