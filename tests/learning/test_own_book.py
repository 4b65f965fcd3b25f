"""A folder with a value.py, functions.py, gpt.py and adam.py of one's own serves as the book."""

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import microgpt
from microgpt import GPTConfig, InputError, initial_parameters, value_and_grad
from microgpt.engines.compiled.recording import record_function
from microgpt.learning.own_book import CHAPTERS, lines_of_code, own_book

PACKAGE = Path(microgpt.__file__).parent
CONFIG = GPTConfig(5, 4, 4, 1, 2)
BATCH = np.array([[0, 3, 1, 4]]), np.full((1, 3), 1 / 3)


def text_of(chapter):
    return (PACKAGE / f"{chapter}.py").read_text(encoding="utf-8")


@pytest.fixture
def mine(tmp_path):
    """A folder with the lines of the book."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for chapter in CHAPTERS:
        (folder / f"{chapter}.py").write_text(text_of(chapter), encoding="utf-8")
    return folder


def change(folder, chapter, before, after):
    path = folder / f"{chapter}.py"
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")


def loss_of(book):
    return value_and_grad(partial(book.gpt.loss, config=CONFIG))(initial_parameters(CONFIG, 0), *BATCH)


def test_the_lines_of_the_book_compute_the_same(mine):
    loss, gradients = loss_of(own_book(mine, recordable=True))
    expected, theirs = value_and_grad(partial(microgpt.loss, config=CONFIG))(initial_parameters(CONFIG, 0), *BATCH)
    assert loss == expected
    assert all(np.array_equal(gradients[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    "imports",
    ["from value import", "from microgpt.value import", "from microgpt import", "from .value import",
     "from mine.value import"],
)  # fmt: skip
def test_imports_find_the_files_of_the_folder(mine, imports):
    change(mine, "functions", "from microgpt.value import", imports)
    book = own_book(mine)
    assert book.functions.exp is book.value.exp is not microgpt.exp


def test_modules_are_found_as_a_whole_too(mine):
    imports = "import value\nimport microgpt.value as v\nfrom microgpt import value as w\nfrom . import value as u\n"
    (mine / "functions.py").write_text(imports + text_of("functions"))
    book = own_book(mine)
    assert all(found is book.value for found in (book.functions.value, book.functions.v, book.functions.w))
    assert book.functions.u is book.value


def test_annotations_may_be_texts(mine):
    (mine / "gpt.py").write_text("from __future__ import annotations\n" + text_of("gpt").partition('"""\n\n')[2])
    assert own_book(mine).gpt.GPTConfig(1, 2, 3, 4, 5).n_head == 5


def test_a_missing_file_is_ours_on_their_functions(mine):
    (mine / "gpt.py").unlink()
    before = loss_of(own_book(mine, recordable=True))
    change(mine, "functions", "0.5 * x", "1.5 * x")
    book = own_book(mine)
    assert book.missing == ["gpt"]
    assert book.gpt.gelu is book.functions.gelu
    assert book.gpt is not microgpt.gpt
    assert loss_of(own_book(mine, recordable=True))[0] != before[0]


def test_a_value_without_hooks_is_recorded(mine):
    before = loss_of(own_book(mine, recordable=True))
    change(mine, "value", 'if hasattr(item, "largest"):', "if False:")
    change(mine, "value", 'if hasattr(index, "pick"):', "if False:")
    change(mine, "value", "\n\n\ndef exp(x", "\n\n\ndef twice(x):\n    return x + x\n\n\ndef exp(x")
    change(mine, "functions", "import exp,", "import twice, exp,")
    change(mine, "functions", "exp(2 * x)", "exp(twice(x))")
    assert loss_of(own_book(mine, recordable=True))[0] == pytest.approx(before[0])


def test_a_changed_file_is_recorded_as_it_stands(mine):
    before, _ = loss_of(own_book(mine, recordable=True))
    change(mine, "gpt", "total += weight", "total += 2 * weight")
    assert loss_of(own_book(mine, recordable=True))[0] == 2 * before


def test_listings_name_the_file_that_was_recorded(mine):
    """Equal code in two files is not taken for one."""
    for loss, file in [(own_book(mine, recordable=True).gpt.loss, "mine"), (microgpt.loss, "microgpt")]:
        record = record_function(
            partial(loss, config=CONFIG),
            {name: array.shape for name, array in initial_parameters(CONFIG, 0).items()},
            [("tokens", "int", (4,)), ("weights", "float", (3,))],
            with_sources=True,
        )
        places = [Path(place) for place, _ in filter(None, record.sources)]
        assert {place.parent.name for place in places if place.name == "functions.py"} == {file}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def f(:\n", "functions.py is not Python: invalid syntax, in line 1"),
        ("x = 1\ny = z\n", "functions.py fails in line 2: NameError: name 'z' is not defined"),
        ("from value import cosine\n", "functions.py fails in line 1: value.py has no cosine: write it first"),
    ],
)
def test_a_file_that_fails_is_told_in_a_line(mine, text, said):
    (mine / "functions.py").write_text(text)
    with pytest.raises(InputError, match=re.escape(said)) as error:
        own_book(mine)
    assert "\n" not in str(error.value)


def test_a_missing_function_is_named(mine):
    change(mine, "functions", "def gelu", "def glue")
    with pytest.raises(InputError, match=r"gpt.py fails in line 16: functions.py has no gelu: write it first$"):
        own_book(mine)


@pytest.mark.parametrize(("folder", "said"), [("nowhere", "there is no folder"), ("empty", "has none of value.py")])
def test_a_folder_without_a_book_is_refused(tmp_path, folder, said):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=said):
        own_book(tmp_path / folder)


def test_lines_of_code_are_counted():
    text = '"""What.\n\nMore.\n"""\n\nx = """a\nb"""  # two\n\n\ndef f():\n    "Says."\n    # no\n    return 1\n'
    assert lines_of_code(text) == 4
