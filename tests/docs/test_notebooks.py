"""The notebooks are made from what the tour and the workshop are made of, and they run."""

import json
import re
import sys

import pytest
from running import ROOT

sys.path.append(str(ROOT))
from docs.notebooks import notebooks, part, run
from microgpt.workshop.course import EXERCISES, PARTS

NUMBER = r"-?\d+(\.\d+)?(e-?\d+)?"


def saved(name):
    return json.loads((ROOT / "docs" / name).read_text(encoding="utf-8"))["cells"]


def text_of(cell):
    return "".join(cell["source"])


def printed(cells):
    """All that the cells of a notebook have printed or shown as text. A busy kernel sends a line in pieces."""
    found = [output for cell in cells for output in cell.get("outputs", [])]
    return "".join("".join(one.get("text") or one.get("data", {}).get("text/plain", "")) for one in found)


@pytest.mark.parametrize("name", ["tour.ipynb", *(f"workshop_{number}.ipynb" for number in (*PARTS, 5))])
def test_notebook_is_up_to_date(name):
    cells = saved(name)
    assert [(cell["cell_type"], text_of(cell)) for cell in cells] == notebooks()[name]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert outputs
    assert not [output for output in outputs if output["output_type"] == "error"]


def test_graph_of_a_value_is_a_picture():
    shown = [output.get("data", {}) for cell in saved("tour.ipynb") for output in cell.get("outputs", [])]
    assert any("image/svg+xml" in data for data in shown)


@pytest.mark.slow
def test_tour_prints_what_is_saved():
    again = printed(json.loads(run(notebooks()["tour.ipynb"]))["cells"])
    assert re.sub(NUMBER, "#", again) == re.sub(NUMBER, "#", printed(saved("tour.ipynb")))


@pytest.mark.slow
@pytest.mark.parametrize("number", PARTS)
def test_the_books_lines_are_right_in_the_notebook(number):
    said = printed(json.loads(run(part(number, filled=True)))["cells"])
    for exercise in EXERCISES:
        if exercise.part == number and not exercise.trial:
            assert f"{exercise.name} is right." in said, exercise.name
    assert "not yet" not in said
