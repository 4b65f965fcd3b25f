"""The pictures of a run show the numbers of its files."""

import re
from math import inf, nan
from xml.etree import ElementTree

import pytest

from microgpt.runs.chart import Curve, Panel, chart, shade, thinned, ticks
from microgpt.runs.loss_plot import draw_tensors
from microgpt.runs.metrics import TENSORS

SVG = "{http://www.w3.org/2000/svg}"


def lines_of(content):
    """The places of the points of each line of a chart, without those of the legend."""
    lines = ElementTree.fromstring(content).iter(f"{SVG}polyline")
    found = [[tuple(map(float, place.split(","))) for place in line.get("points").split()] for line in lines]
    return [line for line in found if not (len(line) == 2 and line[1] == (line[0][0] + 20, line[0][1]))]


def test_each_tensor_has_a_line_of_its_own(tmp_path):
    columns = "gradient_norm", "update_ratio"
    cells = {"a": ((1, 2.0, 0.5), (5, 3.0, 0.0)), "b": ((1, 20.0, 0.25),)}  # there is no logarithm of 0
    rows = []
    for name, steps in cells.items():
        for step, *numbers in steps:
            row = dict.fromkeys(TENSORS, "") | {"step": str(step), TENSORS[1]: name}
            rows.append(list((row | dict(zip(columns, map(str, numbers), strict=True))).values()))
    content = draw_tensors(tmp_path, rows).read_text()
    assert [len(line) for line in lines_of(content)] == [2, 1, 1, 1]
    assert re.findall(">([ab])</text>", content) == ["a", "b"]


def test_places_show_numbers():
    points = [(0, 1.0), (5, 2.0), (10, 4.0)]
    for logarithmic, share in ((False, 1 / 3), (True, 1 / 2)):
        (line,) = lines_of(chart("t", [Panel("y", [Curve("", points, "red")], logarithmic)], 400))
        (x, y), middle, (right, top) = line
        assert middle == pytest.approx(((x + right) / 2, y + share * (top - y)), abs=0.2)
        assert (x < right, top < y) == (True, True)


def test_what_has_no_place_is_left_out():
    curves = [Curve("<&>", [(0, nan), (1, 2.0), (2, inf), (3, -1.0)], "red"), Curve("none", [], "blue")]
    content = chart("<&>", [Panel("y", curves, logarithmic=True)], 400)
    assert [len(line) for line in lines_of(content)] == [1, 0]
    assert ElementTree.fromstring(content).find(f"{SVG}title").text == "<&>"
    assert lines_of(chart("nothing", [Panel("y", [])], 400)) == []
    assert len(lines_of(chart("one", [Panel("y", [Curve("", [(3, 1e20)], "red")])], 400))) == 1


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.3, 0.2), (1e-9, 3e-9), (1e6, 1e6 + 1), (0, 123456)])
def test_ticks_are_round_and_in_range(low, high):
    found = ticks(low, high)
    assert 3 <= len(found) <= 8
    assert low - 1e-12 <= found[0] < found[-1] <= high * (1 + 1e-12)


def test_many_points_are_thinned_but_the_last():
    points = [(i, 0.0) for i in range(123_456)]
    assert len(thinned(points)) <= 2000
    assert thinned(points)[-1] == points[-1]
    assert list(thinned(points[:2000])) == points[:2000]


def test_shades_go_from_violet_to_yellow():
    assert [shade(x) for x in (-1, 0, 0.25, 1, 2)] == ["#440154", "#440154", "#3b528b", "#fde725", "#fde725"]
