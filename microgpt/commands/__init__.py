"""What the scripts share: train.py, sample.py, explain.py, bench.py and the examples.

options.py         settings that are command-line options
script.py          exit codes, errors in one line, and the end of a script by Ctrl-C
start.py           where training begins: random numbers, another model, or a checkpoint
listings.py        what train.py --listing prints
session.py         a run while it is trained: validation, files, messages, the end
messages.py        the sentences that a run prints
memory_check.py    whether there is enough memory to train a model
"""
