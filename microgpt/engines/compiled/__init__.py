"""The compiler: it turns a function of scalars into loops over arrays, and these into machine code.

A function of scalars, for one example
    source.py            finds the source of the function, and compiles it again as it is rewritten
    rewriting.py         rewrites it, so that its loops and calls go through helpers
    bodies.py            what the body of a loop assigns, changes and leaves
    branches.py          rewrites choices, so that a scalar without a value can make them
    replacements.py      the helpers: what runs in the place of loops and builtins
    loops.py             `for` statements as one line, with what they carry from turn to turn
    frames.py            what the body of a loop reads and changes of lists around it
    choices.py           what runs in the place of choices
    changes.py           what their branches change
    kinds.py             which kind of number a recorded scalar is, where the function asks
    lists.py             symbolic lists, of which one item stands for all
    objects.py           tuples and objects with symbolic parts
    classes.py           the operators of a user's classes
    effects.py           what the function does outside of itself
    stacking.py          makes plain lists symbolic
    recording.py         runs the rewritten function once, on symbolic scalars
becomes a record
    record.py            a table of scalar operations; a row with axes stands for the operation at every index
    nodes.py             takes the rows that a result needs, and finds those that depend on each other from turn to turn
    scalars.py           keeps single scalars in columns, and flattens nested sums
    members.py           rows that are alike, and the grid in which they lie
    groups.py            makes them one instruction
becomes array instructions
    fuse.py              computes what is cheap where it is needed, and materializes the rest
    backward.py          derives the backward pass, by the rules of value.py
    nests.py             all nests of a program, and the arrays that they read and write
    nest.py              a loop nest, which knows the matrix product that it is
    expressions.py       what a nest computes, and its derivatives
    resizing.py          the nests of an earlier program, over other lengths, where only sizes differ
becomes loop nests: for each index of some axes, an expression of strided loads, which is stored or summed; those of a
loop that carries a state run together, turn by turn
    llvm/                compiles the nests, and runs them on the blocks of a batch, on several threads
    c_text.py            prints the nests as a program in C
    c_template.py        what stands around the nests there
becomes machine code, or C.

api.py               the engine "compiled": a program for each shape of example
referee.py           compares each program with the function itself, and its gradient with a slope, before it is used
recorded_numbers.py  computes the rows of a record, to find the line where the two differ
listing.py           prints a program for people to read
rows.py              a function of one row of numbers, for few rows or many
sequences.py         continues sequences of integers, by a step whose results feed its arguments
turns.py             what the turns of such a step are given
turns_code.py        records the step, and has the machine code of the turns
meaning.py           what a function does, as text: so that what was recorded in another process is found on the disk
adam.py              Adam, as it stands in the book, as one kernel
steps.py             many training steps in one call

Users call `microgpt.value_and_grad` and `microgpt.evaluate`.
"""
