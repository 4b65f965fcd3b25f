"""Run directories: the files that training leaves on the disk.

directory.py     create, find, load and repair run directories
recorder.py      write a run down while it trains
metrics.py       metrics.csv and tensors.csv
checkpoint.py    the whole state of a run in one file, from which the others are made
files.py         atomic writes, and the lock that keeps a second run out
hugging_face.py  run directories as Hugging Face models, and such models as runs
stored_weights.py
                 the weights of a GPT-2 as other programs store them
model_card.py    the README.md of a run
kept_code.py     a copy of the user's own functions or model, if the run was trained with them
snapshots.py     the parameters at a few steps of the past
loss_plot.py     pictures of the losses and of the steps
chart.py         charts of curves as SVG
comparison.py    several runs side by side
facts.py         what came of a run, for other programs
terminal_plot.py pictures of curves, in characters
"""
