"""The engine "torch": what the compiler finds runs on PyTorch, and so on whatever PyTorch runs on.

engine.py     the third engine: the compiled one with tensors in place of machine code
run_nests.py  reads loop nests into a graph of operations on tensors
loop.py       a loop that runs turn by turn, as a module of PyTorch
graph.py      the graph, which computes equal values once

PyTorch is an extra: nothing but this folder and learning/on_device.py imports it.
"""

from microgpt.errors import InputError

try:
    import torch  # noqa: F401
except ImportError:
    raise InputError("the engine 'torch' needs PyTorch: pip install -e \".[torch]\"") from None
