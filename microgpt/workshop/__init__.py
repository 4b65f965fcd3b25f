"""The workshop: the learner writes the book, function by function, and is told what is wrong.

exercise.py      what an exercise is: its page, cases, known mistakes, hints and questions
course.py        the way: all exercises, in order
part_value.py    part 1, a number that remembers
part_network.py  part 2, a network
moons.py         the book of its first network: a neuron, two layers, a loss and a step
moons_training.py  that network trained, drawn, and compared with PyTorch
part_gpt.py      part 3, a GPT
transformers_logits.py
                 the learner's logits beside those of transformers
part_learning.py  part 4, learning
learning.py      the book of its steps up to Adam, and of writing
own_training.py  train.py on the learner's book
lines.py         the book's own lines, from which holes and known mistakes are made
observation.py   what a case gives: numbers, derivatives or an error
judge.py         right or wrong, and which known mistake
sentences.py     the numbers that show a mistake, in sentences
child.py         the process in which the learner's file runs
folder.py        the learner's folder: files that grow, and how far one is
talk.py          what is printed, and how questions are asked
clinic/          part 5: programs that train badly, to suspect and to mend
notebook.py      the same answers for what is defined in a cell

To add an exercise, append an `Exercise` to the file of its part, and that file's list to `course.py`. `writes` names
functions of the book, or of another file in `lines.BOOK`. The rest follows from the book's source: a learner's file
begins as the book's without all that exercises write; the hole is the signature, the docstring and three dots; the
reading stands above it (74 columns at most).

A `case` is an expression and its inputs by name. Each input with a point, `2.0`, runs as a plain number and as a
Value; an integer stays one; `plain=True` makes no Values at all. The same case of the book's lines says what must
come: numbers, the derivative of every output to every input, or an error. So no result is written down. Put the
smallest case first: it is the one that a learner sees, and `why` may tell how its result comes about.

A mistake, `wrong(words, (old, new), ...)`, is the book's lines with other pieces in them, or another `body=`. It is
recognized by what it does in all cases, so any two mistakes must differ in some case. The sentence with the numbers,
and with a difference quotient, comes by itself; the words say what was confused. They may hold {got} and {expected}.
A `trial` writes nothing new: it tries harder what is there. `finish` runs when all is right, such as a training.
`tests/workshop/test_exercises.py` then tests the exercise: the book's lines, each mistake, and random changes.
"""

from microgpt.workshop.notebook import answer, look_at, patient

__all__ = ["answer", "look_at", "patient"]
