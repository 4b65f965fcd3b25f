"""What bench.py measures, and how.

models.py      the model and the batch that all contenders get
measure.py     a process for each contender; they take turns
table.py       the section "table": a training step of many shapes
outgrow.py     the section "outgrow": models up to the size at which a laptop is too small
sections.py    the other sections
computer.py    what the numbers depend on
contenders/    all that takes steps, a file for each
"""
