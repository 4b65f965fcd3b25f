"""The measurements of bench.py.

models.py        the model and the batch of all contenders
measure.py       a process for each contender, in turn
table.py         the section "table": a training step of many shapes
outgrow.py       the section "outgrow": models too large for a laptop
program_rows.py  the section "programs": loops as people write them, in programs/
sections.py      the other sections
computer.py      the processor, the system and the versions of programs
contenders/      the programs that are compared, a file for each
programs/        the programs of "programs", a file for each
"""
