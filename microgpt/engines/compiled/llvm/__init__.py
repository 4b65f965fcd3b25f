"""From loop nests to machine code, by LLVM.

schedule.py   which kernel runs each nest, and with which arguments
lanes.py      what its vectors hold
arguments.py  the names of a kernel's arguments
operations.py the operations on numbers, the same bits on every processor
emit.py       the kernel of a nest, and the driver that runs a program's kernels on the blocks of a batch
matmul.py     the kernel of a nest that is a matrix product
memory.py     which results share memory
machine.py    compiles kernels once, and keeps them on disk
threads.py    the parts of a batch on several threads
sharing.py    one example on several threads
run.py        a program: what ties these together, for one shape of example
"""
