"""From loop nests to machine code, by LLVM.

schedule.py  which kernel runs each nest, and with which arguments
matmul.py    the nests that are matrix products
emit.py      how a nest becomes machine code
memory.py    which results share memory
machine.py   machine code, compiled once and kept on disk
threads.py   the parts of a batch on several threads
run.py       a program: what ties these together, for one shape of example
"""
