"""The page of any loss: `explain` follows a function for each example, and writes what it did into one HTML file.

>>> from tempfile import gettempdir
>>> import numpy as np
>>> def loss(params, x, y):
...     return (params["w"] * x - y) ** 2
>>> explained = explain(loss, {"w": np.array(0.5)}, [1.0, 2.0], [3.0, 5.0], out=f"{gettempdir()}/page.html")
>>> explained.operations, explained.examples
(8, 2)

The examples of a batch often take the same operations, on other numbers. Then the page has these operations once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from microgpt.engines.trees import checked_parameters, leaves_of, rows
from microgpt.errors import InputError
from microgpt.explain.following import follow
from microgpt.explain.page import program_to_html
from microgpt.explain.program import TooLongError
from microgpt.explain.program_content import content_of, plane_of
from microgpt.explain.tape import CALCULATES, node_of
from microgpt.explain.ways import Batch, ordered
from microgpt.learning.training import divergence_named
from microgpt.runs.files import check_place

MOST_OPERATIONS = 4_000_000  # the page needs some 25 bytes of memory for each


@dataclass(frozen=True)
class Explained:
    """What `explain` wrote: the file, the examples in it, and how many operations all of them take, forward."""

    path: Path
    examples: int
    given: int
    operations: int

    def _repr_html_(self) -> str:
        """Return the page as a notebook shows it, in a frame of its own, also where no file can be reached."""
        page = escape(self.path.read_text(encoding="utf-8"))
        return f'<iframe srcdoc="{page}" style="width: 100%; height: 700px; border: 1px solid #888"></iframe>'


def explain(
    function: Callable[..., Any],
    params: Any,
    *example: Any,
    out: str | Path = "page.html",
    plane: Callable[..., Any] | None = None,
    title: str | None = None,
    learning_rate: float = 0.01,
) -> Explained:
    """Write a page on which every number of a loss opens, can be changed, and is trained.

    Args:
        function: a loss, as `value_and_grad` takes it.
        params: its parameters, arrays in dicts and lists.
        example: arrays whose first axis is the batch, as for `value_and_grad`. Or one example: where they have no such
            axis, or where the function cannot take their rows.
        out: the HTML file.
        plane: a function within the loss, such as its score: its result is drawn over the plane of the first argument.
        title: what the page is about; else the name of the function and its file.
        learning_rate: with which the page begins.

    Raises InputError if the first example alone takes more than four million operations. Of a batch the page holds as
    many examples as are within that limit.
    """
    check_place("out", str(out), "page.html")
    path, (page, found, given) = Path(out), page_of(function, params, example, plane, title, learning_rate)
    path.write_text(page, encoding="utf-8")
    return Explained(path, len(found.examples), given, found.operations)


def page_of(
    function: Callable[..., Any],
    params: Any,
    example: tuple[Any, ...],
    plane: Callable[..., Any] | None = None,
    title: str | None = None,
    learning_rate: float = 0.01,
) -> tuple[str, Batch, int]:
    """Return the page that `explain` writes, the examples in it, and how many were given."""
    arrays = checked_parameters(params)
    with divergence_named("in this program", "numbers are not finite"):
        found, batch = followed(function, arrays, example)
    content, data = content_of(function, arrays, found, batch[0])
    content |= {"title": title, "limit": MOST_OPERATIONS, "givenExamples": len(batch), "plane": plane_of(plane, found)}
    content["rate"] = learning_rate
    return program_to_html(content, data), found, len(batch)


def followed(
    function: Callable[..., Any], arrays: Any, arguments: tuple[Any, ...]
) -> tuple[Batch, list[tuple[Any, ...]]]:
    """Follow a function for the examples of a batch, or for one; return what it did, and the examples."""
    one = [tuple(np.asarray(argument).tolist() for argument in arguments)]
    try:
        batch = rows(arguments)
    except InputError:
        return followed_batch(function, arrays, one), one
    try:
        return followed_batch(function, arrays, batch), batch
    except (TypeError, IndexError, AttributeError) as error:  # such as a number where a list is needed
        try:
            return followed_batch(function, arrays, one), one
        except (TypeError, IndexError, AttributeError):
            raise error from None


def followed_batch(function: Callable[..., Any], arrays: Any, batch: list[tuple[Any, ...]]) -> Batch:
    """Follow a function for each example, as long as there is room."""
    found, nodes = Batch(), 0
    known: dict[Any, int] = {}
    parameters = sum(array.size for array in leaves_of(arrays))
    for example in batch:
        room = MOST_OPERATIONS - nodes
        try:
            run = follow(function, arrays, example, parameters + room)
        except TooLongError:
            if found.examples:
                break
            raise InputError(
                f"one example takes more than the {MOST_OPERATIONS:,} operations that a page can hold: give shorter "
                "examples, or fewer parameters"
            ) from None
        if node_of(run.result) is None:
            raise InputError(f"the loss returned a {type(run.result).__name__}: expected a single scalar")
        way = ordered(run, parameters)
        number = known.setdefault(way.key(), len(found.ways))
        if number == len(found.ways):
            found.ways.append(way)
        found.examples.append((number, [run.tape.numbers[node] for node in run.tape.given_nodes]))
        found.operations += int(np.isin(way.kind, CALCULATES).sum())
        nodes += len(way.kind)
    return found
