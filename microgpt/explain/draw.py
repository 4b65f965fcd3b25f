"""A small graph of Values: every operation with its operands, its number and its gradient, as text or as a picture.

>>> from microgpt import Value, draw
>>> a, b = Value(2.0), Value(-3.0)
>>> c = a * b + a**2
>>> c.backward()
>>> print(draw(c, a=a, b=b))
+ = -2   gradient 1
├─ * = -6   gradient 1
│  ├─ a = 2   gradient 1
│  └─ b = -3   gradient 2
└─ ** 2 = 4   gradient 1
   └─ a = 2   gradient 1

In a notebook, the same call shows a picture of the graph. So does a Value alone at the end of a cell, if its graph is
small enough.
"""

from collections.abc import Iterator
from html import escape
from math import inf

from microgpt.value import Value

MOST = 60  # Values in a picture; more of them nobody follows
MOST_LINES = 200
WIDTH, HEIGHT, ACROSS, DOWN = 128, 52, 40, 14  # of a box, and the space between boxes


class Drawing(str):
    """The text of a graph. A notebook shows its picture."""

    picture: str | None = None

    def _repr_svg_(self) -> str | None:
        return self.picture


def draw(result: Value, **names: Value) -> Drawing:
    """Return a value and its whole graph as lines of text: at most 200, then the number of values left out.

    A result that is used again stands there again, "as above", without its operands. `names` are the names of leaves;
    one without a name is called a constant. A notebook shows a picture with each value once, if there are at most 60.
    Raises TypeError for anything but a Value.
    """
    if not isinstance(result, Value):
        raise TypeError(
            f"draw was given a {type(result).__name__}: expected a Value, as a calculation with Values gives"
        )
    of = {value: name for name, value in names.items()}
    drawing = Drawing("\n".join(lines(result, of)))
    drawing.picture = svg(result, of)
    return drawing


def lines(result: Value, of: dict[Value, str]) -> Iterator[str]:
    """Yield the lines of a value and its operands. It uses a list instead of recursion, because a graph may be deep."""
    written: set[Value] = set()
    stack = [(result, "", "")]  # what stands before a value's own line, and before those of its operands
    for _ in range(MOST_LINES):
        value, first, rest = stack.pop()
        again = "   as above" if value in written and value.inputs else ""
        yield f"{first}{called(value, of)} = {value.data:.4g}   gradient {value.grad:.4g}{again}"
        written.add(value)
        if not again:
            last = len(value.inputs) - 1
            for i in range(last, -1, -1):
                own, below = ("└─ ", "   ") if i == last else ("├─ ", "│  ")
                stack.append((value.inputs[i], rest + own, rest + below))
        if not stack:
            return
    left_out = len(reached(result)) - len(written)
    yield f"... and {left_out:,} more values" if left_out else "... and more uses of these values"


def reached(result: Value, most: float = inf) -> set[Value]:
    """Return a value and all that it depends on; if there are more than `most`, at least so many of them."""
    found = {result}
    stack = [result]
    while stack and len(found) <= most:
        for operand in stack.pop().inputs:
            if operand not in found:
                found.add(operand)
                stack.append(operand)
    return found


def called(value: Value, of: dict[Value, str]) -> str:
    """Return the name of a value: its own, or that of its operation."""
    return of.get(value) or value.operation or "constant"


def svg(result: Value, of: dict[Value, str] | None = None) -> str | None:
    """Return the graph as an SVG, with operands left of their results; None if it is too large."""
    depths = depths_of(result)
    if depths is None:
        return None
    columns: dict[int, list[Value]] = {}
    for value, depth in depths.items():
        columns.setdefault(depth, []).append(value)
    tallest = max(len(column) for column in columns.values())
    place = {}
    for depth, column in columns.items():
        above = (tallest - len(column)) * (HEIGHT + DOWN) / 2
        for row, value in enumerate(column):
            place[value] = (depth * (WIDTH + ACROSS), above + row * (HEIGHT + DOWN))
    edges = [(*place[operand], *place[value]) for value in depths for operand in value.inputs]
    boxes = [box(*place[value], called(value, of or {}), value) for value in depths]
    paths = [
        f'<path d="M{x1 + WIDTH} {y1 + HEIGHT / 2} C{x2 - ACROSS / 2} {y1 + HEIGHT / 2} {x2 - ACROSS / 2} '
        f'{y2 + HEIGHT / 2} {x2} {y2 + HEIGHT / 2}" fill="none" stroke="#888"/>'
        for x1, y1, x2, y2 in edges
    ]
    width, height = len(columns) * (WIDTH + ACROSS) - ACROSS, tallest * (HEIGHT + DOWN) - DOWN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width + 2}" height="{height + 2}" '
        f'viewBox="-1 -1 {width + 2} {height + 2}" font-family="sans-serif" font-size="12">'
        f"{''.join(paths)}{''.join(boxes)}</svg>"
    )


def depths_of(result: Value) -> dict[Value, int] | None:
    """Return the depth of each value in a graph, leaves first; None if there are more than MOST."""
    if len(reached(result, MOST)) > MOST:
        return None
    depths: dict[Value, int] = {}

    def depth(value: Value) -> int:
        if value not in depths:
            depths[value] = 1 + max((depth(operand) for operand in value.inputs), default=-1)
        return depths[value]

    depth(result)
    return depths


def box(x: float, y: float, name: str, value: Value) -> str:
    """Return one value of the picture: its name, its number, its gradient."""
    texts = [(name, "bold", 15), (f"data {value.data:.4g}", "normal", 31), (f"gradient {value.grad:.4g}", "normal", 46)]
    return f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#fff" stroke="#888"/>' + "".join(
        f'<text x="{x + WIDTH / 2}" y="{y + down}" text-anchor="middle" font-weight="{weight}" fill="#222">'
        f"{escape(text)}</text>"
        for text, weight, down in texts
    )


Value._repr_svg_ = svg  # type: ignore[attr-defined]  # what a notebook asks a Value for
