"""The page that opens every number: a prediction of a trained model, forward and backward, down to its atoms.

observe.py       watch the functions of the book while they run, from outside
strips.py        name the rows of numbers that were observed
program.py       the loss of any text as flat arrays, for the engine in the page
instructions.py  the array instructions that the compiler makes of it
explanation.py   the operations of a text's loss, and the names of its numbers
content.py       the arrays and facts that the page is given
page.py          put numbers, names, source code, style and script into one HTML file
default_text.py  the text that the page explains if the user gives none
draw.py          the graph of a few scalars, in the terminal or a notebook
page/            the parts of the page: HTML, style, and script in readable files
"""
