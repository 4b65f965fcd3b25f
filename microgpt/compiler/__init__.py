"""The compiler: functions of scalars, recorded once, run as array instructions on whole batches.

record.py     run the function once and write down every operation
sums.py       melt additions and products into sums of products
groups.py     nodes that are alike become one array instruction
products.py   find the matrix products among them
kernels.py    run the instructions, forward and backward
program.py    what ties them together, for one shape of example
front.py      value_and_grad and evaluate: the engine "compiled"
listing.py    a program for people to read
update.py     Adam, as it stands in the book, in one loop over all parameters
cache.py      where the compiled kernels are kept
"""

from microgpt.compiler.cache import ensure_cache

ensure_cache()
