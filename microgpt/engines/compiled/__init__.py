"""The compiler: functions of scalars, recorded once, run as array instructions on whole batches.

Nothing here is for users: they come in by `microgpt.value_and_grad` and `microgpt.evaluate`. To see what became of a
function, there is `listing`.

record.py       a function as a table of operations, and the symbolic scalars that write it
lists.py        symbolic lists, of which one item stands for all
stacking.py     how plain lists become symbolic ones
replacements.py what a recorded function calls in place of its loops and of builtins
source.py       how these calls get into the function
recording.py    run a function once on symbolic scalars
recorded_numbers.py  the numbers of a record, row by row
referee.py      nothing compiled is used before it has computed what the function itself computes
nodes.py        the rows that a result needs; nested sums are flattened
groups.py       families of scalars that are alike become one array instruction
expressions.py  what an instruction computes, and its derivatives, by the rules of value.py
nests.py        instructions become loop nests, forward and backward; what is cheap is not stored
api.py          the engine "compiled": a program for each shape of example
listing.py      a program for people to read
llvm/           loop nests as machine code
c_text.py       loop nests as a program in C, to be read
c_template.py   what stands around them in it
adam.py         Adam, as it stands in the book, for all parameters at once
"""
