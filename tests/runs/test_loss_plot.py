"""The pictures of a run show the numbers of its files."""

import pytest

from microgpt.runs import loss_plot
from microgpt.runs.metrics import TENSORS

pytestmark = pytest.mark.slow


def test_each_tensor_has_a_line_of_its_own(tmp_path, monkeypatch):
    figures = pytest.importorskip("matplotlib.figure")
    figure = figures.Figure()
    monkeypatch.setattr(loss_plot, "write_picture", lambda path, title, height, draw: draw(figure))
    columns = "gradient_norm", "update_ratio"
    cells = {"a": ((1, 2.0, 0.5), (5, 3.0, 0.0)), "b": ((1, 20.0, 0.25),)}  # there is no logarithm of 0
    rows = []
    for name, steps in cells.items():
        for step, *numbers in steps:
            row = dict.fromkeys(TENSORS, "") | {"step": str(step), TENSORS[1]: name}
            rows.append(list((row | dict(zip(columns, map(str, numbers), strict=True))).values()))
    loss_plot.draw_tensors(tmp_path, rows)
    drawn = [[(line.get_label(), *map(list, line.get_data())) for line in axes.lines] for axes in figure.axes]
    assert drawn == [[("a", [1, 5], [2.0, 3.0]), ("b", [1], [20.0])], [("a", [1], [0.5]), ("b", [1], [0.25])]]
