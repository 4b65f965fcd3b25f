"""Run directories: what training leaves on the disk.

directory.py     what is in a run directory, and who reads and writes it
recorder.py      a run written down while it goes
metrics.py       what every step found, and what some did to each tensor
checkpoint.py    the state of a run in one file, the truth that all others are made from
files.py         files that are whole or not there, and the lock that keeps a second run out
hugging_face.py  the directory as a Hugging Face model, and such a model as a run
model_card.py    what it says of itself there
snapshots.py     the parameters at a few steps, to look back at
loss_plot.py     the losses, and what the steps did to each tensor, as pictures
"""
