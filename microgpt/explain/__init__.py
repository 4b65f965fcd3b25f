"""The pages that open every number: of a prediction of a trained model, and of any loss.

    from microgpt import explain
    explain(loss, params, x, y, out="page.html")

The room can be called, as `explain` of any_program.py.

any_program.py   the page of any loss: its operations for each example, and what its lines made
program_content.py  what this page is given
ways.py          the operations of an example, as arrays
following.py     run a function on numbers that are on a tape, and note what each line made
noting.py        rewrite the source of a function, so that its lines tell
tape.py          numbers that calculate as ever, and write down what they do
observe.py       watch the functions of the book while they run, from outside
strips.py        name the rows of numbers that were observed
program.py       the loss of any text as flat arrays, for the engine in the page
instructions.py  the array instructions that the compiler makes of it
explanation.py   the operations of a text's loss, and the names of its numbers
content.py       the arrays and facts that the page is given
page.py          put numbers, names, source code, style and script into one HTML file
stages.py        the page of a large model: what each stage of it knew
default_text.py  the text that the page explains if the user gives none
draw.py          the graph of a few scalars, in the terminal or a notebook
page/            the parts of the page: HTML, style, and script in readable files
"""

import sys
from types import ModuleType
from typing import Any


class Room(ModuleType):
    """A package that is called as the function of its name."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        from microgpt.explain.any_program import explain

        return explain(*arguments, **options)


sys.modules[__name__].__class__ = Room
