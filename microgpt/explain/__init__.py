"""The page that opens every number: a prediction of a trained model, forward and backward, down to its atoms.

observe.py   watch the functions of the book while they run, from outside
strips.py    give names to what was seen: rows of numbers that belong together
graph.py     all Values of a calculation as flat arrays
page.py      put numbers, names, source code, style and script together into one HTML file
page.html, page.css, page.js   what is put together
"""
