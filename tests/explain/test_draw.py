"""A small graph as text and, in a notebook, as a picture."""

import xml.etree.ElementTree as ElementTree

from microgpt import Value
from microgpt.explain.draw import MOST, draw

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


def test_a_leaf_is_one_box():
    assert texts(Value(0.5)._repr_svg_()) == ["constant", "data 0.5", "gradient 0"]
