"""The engine "torch": what the compiler finds runs on PyTorch, and so on whatever PyTorch runs on.

engine.py    the third engine: the compiled one with tensors in place of machine code
code.py      how loop nests become the text of one function on tensors

PyTorch is an extra: nothing but this folder and learning/on_device.py imports it.
"""
