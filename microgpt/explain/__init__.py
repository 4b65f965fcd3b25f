"""The page that opens every number: a prediction of a trained model, forward and backward, down to its atoms.

observe.py   watch the functions of the book while they run, from outside
strips.py    give names to what was seen: rows of numbers that belong together
program.py   the loss of any text as flat arrays: what the engine in the page sweeps over
instructions.py
             what the compiler makes of the same
page.py      put numbers, names, source code, style and script together into one HTML file
default_text.py
             a text to explain, where nobody has chosen one
draw.py      the small sibling of the page: the graph of a few scalars, drawn in the terminal
page/        what is put together: HTML, style, and the script in files that can be read one by one
"""
