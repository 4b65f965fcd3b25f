"""Makes notebooks of the tour and of the workshop, from the same sources: see make.py."""

import ast
import json
import re
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from microgpt.workshop.clinic.patients import PATIENTS
from microgpt.workshop.course import EXERCISES, PARTS
from microgpt.workshop.exercise import Exercise
from microgpt.workshop.lines import body_of, book_text, stub

DOCS = Path(__file__).resolve().parent
SHORT = 60  # characters of an output that is worth a prediction
SNIPPET = re.compile(r"```python\n(.*?)```\n(?:```\n(.*?)```\n)?", re.DOTALL)
PREDICT = "Predict, then run: what will the next cell print?"
WIDGET = "application/vnd.jupyter.widget-view+json"
KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
VALUE = """import math

from microgpt.value import exp, is_finite, log, number
from microgpt.workshop.judge import book

Value = book("value.py")["Value"]  # yours takes its place, method by method"""
TYPES = ("typing", "collections.abc", "dataclasses")  # modules that a hole does without

Cell = tuple[str, str]  # "markdown" or "code", and its text


def tour() -> list[Cell]:
    """The cells of the tour: its words, its snippets, and a prediction before what prints something short."""
    text, cells, at = (DOCS / "tour.md").read_text(encoding="utf-8"), [], 0
    text = text.replace("Its output stands under it. ", "")
    for found in SNIPPET.finditer(text):
        cells.append(("markdown", text[at : found.start()].strip()))
        code, shown = found[1].rstrip(), (found[2] or "").strip()
        code = re.sub(r"(?m)^print\((draw\(.*\))\)$", r"\1", code)  # a notebook draws it
        if shown and "\n" not in shown and len(shown) <= SHORT:
            cells += [("markdown", PREDICT), ("code", 'prediction = ""')]
        cells.append(("code", code))
        at = found.end()
    return [*cells, ("markdown", text[at:].strip())]


def part(number: int, filled: bool = False) -> list[Cell]:
    """The cells of a part of the workshop: the page of each exercise, its hole (or the book's lines), and a look."""
    cells: list[Cell] = [
        ("markdown", f"# Part {number}: {PARTS[number]}\n\nWrite your lines in place of the dots, and run the cell."),
        ("code", "from microgpt import workshop"),
    ]
    file = ""
    for exercise in EXERCISES:
        if exercise.part != number:
            continue
        if exercise.file != file:
            file = exercise.file
            cells += [("code", lines) for lines in [first_lines(file, number)] if lines]
        cells.append(("markdown", f"## {exercise.name}\n\n```text\n{exercise.reading.strip(chr(10))}\n```"))
        if not exercise.trial:
            cells.append(("code", hole(exercise, filled)))
        cells += [("code", f'workshop.answer("{question.name}", "")') for question in exercise.questions]
    return cells


def first_lines(file: str, part: int) -> str:
    """The cell with what a file of the book imports and defines beside its functions, and what earlier parts wrote."""
    if file == "value.py":
        return VALUE
    text = book_text(file)
    found = [
        node for node in ast.parse(text).body
        if isinstance(node, (ast.Import, ast.ImportFrom)) and getattr(node, "module", "") not in TYPES
    ]  # fmt: skip
    lines = [ast.unparse(node) for node in found]
    if file == "gpt.py":
        lines.append("from microgpt.gpt import Cache, GPTConfig, empty_cache, named")
    earlier = [name for one in EXERCISES if one.file == file and one.part < part for name in one.writes]
    if earlier:
        lines.append(f"from microgpt.{file.removesuffix('.py')} import {', '.join(earlier)}")
    return "\n".join(lines)


def hole(exercise: Exercise, filled: bool) -> str:
    """The cell in which an exercise is written, and looked at."""
    lines = "\n".join(
        lines_of(exercise.file, name) if filled else stub(exercise.file, name) for name in exercise.writes
    )
    if "." in exercise.writes[0]:
        return f"class Value(Value):\n{lines.rstrip()}\n\n\nworkshop.look_at(Value);"
    return f'{lines.rstrip()}\n\n\nworkshop.look_at({exercise.writes[0]}, "{exercise.name}");'


def lines_of(file: str, name: str) -> str:
    """The hole of a function, with the book's lines in it."""
    *kept, _ = stub(file, name).rstrip("\n").split("\n")
    return "\n".join(kept) + "\n" + body_of(book_text(file), name)


def clinic() -> list[Cell]:
    """The cells of the clinic: two for each patient, to see it and to say what is suspected."""
    cells: list[Cell] = [
        (
            "markdown",
            "# Part 5: The clinic\n\nFifteen programs that train badly. Run a cell to see one. Say what you suspect by "
            "`workshop.patient(1, guess=3)`. Then mend its program in `mine/clinic/`, and run the cell again.",
        ),
        ("code", "from microgpt import workshop"),
    ]
    for number, one in enumerate(PATIENTS, 1):
        cells += [("markdown", f'## Patient {number}\n\n"{one.complaint}"'), ("code", f"workshop.patient({number})")]
    return cells


def notebooks() -> dict[str, list[Cell]]:
    """The cells of every notebook, by its file."""
    parts = {f"workshop_{number}.ipynb": part(number) for number in PARTS}
    every = {"tour.ipynb": tour(), **parts, f"workshop_{max(PARTS) + 1}.ipynb": clinic()}
    return {name: [("code", install()), *cells] for name, cells in every.items()}


def install() -> str:
    """The first cell, which installs what is missing, as on Colab."""
    name = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    return f"try:\n    from microgpt import value_and_grad\nexcept ImportError:\n    %pip install --quiet {name}"


def as_notebook(cells: list[Cell]) -> Any:
    """A notebook without outputs."""
    import nbformat

    made = nbformat.v4.new_notebook(metadata=KERNEL)
    for i, (kind, text) in enumerate(cells):
        new = nbformat.v4.new_markdown_cell if kind == "markdown" else nbformat.v4.new_code_cell
        made.cells.append(new(text, id=f"cell-{i}"))
    return made


def run(cells: list[Cell]) -> str:
    """A notebook with the outputs of its cells, as text. They run in a directory with nothing but the data."""
    from nbclient import NotebookClient

    made = as_notebook(cells)
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "data").symlink_to(DOCS.parent / "data")
        NotebookClient(made, timeout=300, coalesce_streams=True, resources={"metadata": {"path": directory}}).execute()
    for cell in made.cells:
        cell.metadata.pop("execution", None)
        if "outputs" in cell:
            cell.outputs = [one for one in cell.outputs if not is_bar(one)]
    made.metadata = KERNEL
    return json.dumps(made, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def is_bar(output: Any) -> bool:
    """Whether an output of a cell is the bar of something that takes long, as text or as a widget."""
    return output.get("name") == "stderr" or WIDGET in output.get("data", {})
