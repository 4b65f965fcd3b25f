"""The engines: a function of scalars, run in three ways. They know nothing of a GPT, of texts or of runs.

trees.py      nested dicts and lists of arrays: what engines are given, checked
collector.py  a pause for Python's garbage collector
tracing.py    run a function on numbers that remember the operations and lines they come from
scalar.py     the engine "scalar": the function runs on Values
compiled/     the engine "compiled": the function, recorded once, as machine code
pytorch/      the engine "torch": the same record on tensors
select.py     which engine runs a function
checking/     are the gradients right, and which operation made a number infinite?
engine.py     value_and_grad, evaluate and adam_update: the door to all three engines
"""
