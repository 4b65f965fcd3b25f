"""A small graph as text and, in a notebook, as a picture."""

import xml.etree.ElementTree as ElementTree

import pytest
from helpers import TINY, random_parameters

from microgpt import Value
from microgpt.engines.trees import map_arrays, map_numbers
from microgpt.explain.draw import MOST, MOST_LINES, draw
from microgpt.gpt import loss

SVG = "{http://www.w3.org/2000/svg}"


def a_small_graph():
    a, b = Value(2.0), Value(-3.0)
    c = a * b + a**2
    c.backward()
    return a, b, c


def texts(picture):
    return [text.text for text in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def test_a_value_in_a_notebook_is_a_picture_of_its_graph_with_numbers_and_gradients():
    _, _, c = a_small_graph()
    picture = c._repr_svg_()
    root = ElementTree.fromstring(picture)
    assert len(list(root.iter(f"{SVG}rect"))) == 5  # a and b, their product, the square, the sum
    assert len(list(root.iter(f"{SVG}path"))) == 5
    shown = texts(picture)
    assert shown.count("constant") == 2
    for line in ("+", "*", "** 2", "data -2", "data -6", "data 4", "gradient 2"):
        assert line in shown


def test_operands_stand_left_of_what_is_made_of_them():
    _, _, c = a_small_graph()
    root = ElementTree.fromstring(c._repr_svg_())
    for path in root.iter(f"{SVG}path"):
        words = path.get("d").replace("M", "").replace("C", "").split()
        assert float(words[0]) < float(words[-2])


def test_draw_gives_names_and_stays_text_where_there_are_no_pictures():
    a, b, c = a_small_graph()
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


def test_what_is_used_again_stands_again_without_what_it_was_made_of():
    a = Value(2.0)
    b = a * 3
    assert str(draw(b + b, a=a)).splitlines() == [
        "+ = 12   gradient 0", "├─ * = 6   gradient 0", "│  ├─ a = 2   gradient 0", "│  └─ constant = 3   gradient 0",
        "└─ * = 6   gradient 0   as above",
    ]  # fmt: skip


def test_a_graph_with_very_many_paths_is_a_short_text():
    x = Value(1.0)
    for _ in range(60):
        x = x + x
    text = str(draw(x)).splitlines()
    assert len(text) == 121
    assert text[0] == "+ = 1.153e+18   gradient 0"


@pytest.mark.parametrize("count", [1_000, 100_000])
def test_a_deep_graph_is_the_beginning_of_a_text_and_says_how_much_is_left_out(count):
    drawing = draw(sum(Value(i) for i in range(count)))
    text = str(drawing).splitlines()
    assert len(text) == MOST_LINES + 1
    assert text[-1] == f"... and {2 * count + 1 - MOST_LINES:,} more values"  # the values, their sums, and a 0
    assert drawing._repr_svg_() is None


def test_a_gpt_is_drawn_as_the_beginning_of_a_text():
    params = map_arrays(lambda array: map_numbers(Value, array.tolist()), random_parameters(TINY))
    text = str(draw(loss(params, [0, 1, 2], [1.0, 1.0], TINY))).splitlines()
    assert len(text) == MOST_LINES + 1


@pytest.mark.parametrize("thing", [2.0, None, [Value(1.0)]])
def test_only_a_value_can_be_drawn(thing):
    with pytest.raises(TypeError, match=f"given a {type(thing).__name__}: expected a Value"):
        draw(thing)


def test_a_leaf_is_one_box():
    assert texts(Value(0.5)._repr_svg_()) == ["constant", "data 0.5", "gradient 0"]
