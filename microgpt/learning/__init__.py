"""Learning: from a text to a trained model, and from the model back to text.

text.py         characters and vocabularies: from characters to integers and back
byte_pairs.py   GPT-2's tokens: parts of words, and back
reading.py      from a file to an encoded text, part by part
lines.py        the lines of an encoded text
documents.py    the documents of a text: its lines, or the whole
sequences.py    sequences as parts of a text, and those held out
batches.py      from sequences to batches
bigram.py       the baseline: which character follows which
parameters.py   the parameters of a GPT: names, shapes, first values
architecture.py what a model is: settings, parameters, logits; that of the book
model_file.py   a file of one's own that defines a model
training.py     train: one step after the other, and the validation loss
rules.py        update rules: Adam, or a file of one's own
model_check.py  the gradients of a GPT, checked before it is trained
on_device.py    training that stays on PyTorch's device, in one process or several
single_process.py
                one process that trains, where there could be several
choosing.py     from logits to the next character
cached_step.py  one position of the GPT and the choice of a character, compiled, with the cache as an argument
layers.py       the GPT layer by layer, for models that are too large to be compiled whole
own_writing.py  any other model, compiled to write
randoms.py      the random numbers of many generators at once
sampling.py     from logits to text
user_code.py    the user's code: read, run, and its errors told in a line
own_book.py     a folder of one's own with the four files of the book
"""
