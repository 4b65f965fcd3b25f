"""Run directories: what training leaves behind, and how it begins, stops and goes on.

session.py       a run while it is trained: what is written, what is said, how it ends
telling.py       the sentences that it says
directory.py     what is in a run directory, and who reads and writes it
recorder.py      a run written down while it goes
metrics.py       what every step found, and what some did to each tensor
start.py         where training begins: at random numbers, at another model, or at a checkpoint
alone.py         one process that trains, where there could be several
memory.py        whether there is memory enough to train a model
checkpoint.py    the state of a run in one file, the truth that all others are made from
files.py         files that are whole or not there, and the lock that keeps a second run out
hugging_face.py  the directory as a Hugging Face model, and such a model as a run
card.py          what it says of itself there
snapshots.py     the parameters at a few steps, to look back at
picture.py       the losses, and what the steps did to each tensor, as pictures
"""
