"""A small graph as text and, in a notebook, as a picture."""

import xml.etree.ElementTree as ElementTree

import pytest
from helpers import TINY, random_parameters

from microgpt import Value
from microgpt.engines.trees import map_arrays, map_numbers
from microgpt.explain.draw import MOST, MOST_LINES, draw
from microgpt.gpt import loss

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def graph():
    a, b = Value(2.0), Value(-3.0)
    c = a * b + a**2
    c.backward()
    return a, b, c


def texts(picture):
    return [text.text for text in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def test_a_notebook_shows_a_value_as_a_picture(graph):
    picture = graph[-1]._repr_svg_()
    root = ElementTree.fromstring(picture)
    assert len(list(root.iter(f"{SVG}rect"))) == 5  # a and b, their product, the square, the sum
    paths = [path.get("d").replace("M", "").replace("C", "").split() for path in root.iter(f"{SVG}path")]
    assert len(paths) == 5
    assert all(float(path[0]) < float(path[-2]) for path in paths)  # operands stand left of results
    shown = texts(picture)
    assert shown.count("constant") == 2
    for line in ("+", "*", "** 2", "data -2", "data -6", "data 4", "gradient 2"):
        assert line in shown
    assert texts(Value(0.5)._repr_svg_()) == ["constant", "data 0.5", "gradient 0"]


def test_draw_gives_names_in_text_and_picture(graph):
    a, b, c = graph
    drawing = draw(c, a=a, b=b)
    assert str(drawing).startswith("+ = -2   gradient 1\n├─ * = -6")
    assert "a" in texts(drawing._repr_svg_())
    assert "constant" not in texts(drawing._repr_svg_())
    assert "&lt;b&gt;" in draw(Value(1.0) + b, **{"<b>": b})._repr_svg_()


def test_a_large_graph_stays_text():
    x = Value(1.0)
    for _ in range(MOST):
        x = x + 1
    assert x._repr_svg_() is None
    assert repr(x) == f"Value(data={MOST + 1}.0, grad=0.0, operation='+')"


def test_a_value_used_again_is_drawn_once():
    a = Value(2.0)
    b = a * 3
    assert str(draw(b + b, a=a)).splitlines() == [
        "+ = 12   gradient 0", "├─ * = 6   gradient 0", "│  ├─ a = 2   gradient 0", "│  └─ constant = 3   gradient 0",
        "└─ * = 6   gradient 0   as above",
    ]  # fmt: skip
    for _ in range(60):
        a = a + a
    text = str(draw(a)).splitlines()
    assert len(text) == 121  # and not 2**60
    assert text[0] == "+ = 2.306e+18   gradient 0"


@pytest.mark.slow
def test_a_deep_graph_is_cut_and_counted():
    for count in (1_000, 100_000):
        drawing = draw(sum(Value(i) for i in range(count)))
        text = str(drawing).splitlines()
        assert len(text) == MOST_LINES + 1
        assert text[-1] == f"... and {2 * count + 1 - MOST_LINES:,} more values"  # the values, their sums, and a 0
        assert drawing._repr_svg_() is None
    params = map_arrays(lambda array: map_numbers(Value, array.tolist()), random_parameters(TINY))
    assert len(str(draw(loss(params, [0, 1, 2], [1.0, 1.0], TINY))).splitlines()) == MOST_LINES + 1


@pytest.mark.parametrize("thing", [2.0, None, [Value(1.0)]])
def test_only_a_value_can_be_drawn(thing):
    with pytest.raises(TypeError, match=f"given a {type(thing).__name__}: expected a Value"):
        draw(thing)
