"""The compiler: functions of scalars, recorded once, run as array instructions on whole batches.

Nothing here is for users: they come in by `microgpt.value_and_grad` and `microgpt.evaluate`. To see what became of a
function, there is `listing`.

record.py       what is written down, and the scalars that do it
current.py      the record that is being written now
lists.py        lists of which one item stands for all
rolling.py      how plain lists become such lists
replacements.py    what reads its loops as axes while it runs
source.py       how these get into its code
calls.py        how one function that is being recorded calls another
recording.py    run the function once and write down every operation
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
