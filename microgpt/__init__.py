"""A GPT-2 whose every number comes from five scalar operations: `+`, `*`, `**`, `log` and `exp`.

Read value.py, functions.py, gpt.py and adam.py, in this order: they are the whole of it.
"""

import microgpt.interrupted  # noqa: F401  # before all else, because it takes a moment to import the rest
from microgpt.engine import evaluate, value_and_grad
from microgpt.explain.draw import draw
from microgpt.runs.directory import Run, load_run
from microgpt.sampling import Choice, sample
from microgpt.value import Value, exp, largest, log, pick
from microgpt.version import __version__ as __version__

__all__ = [
    "Choice",
    "Run",
    "Value",
    "draw",
    "evaluate",
    "exp",
    "largest",
    "load_run",
    "log",
    "pick",
    "sample",
    "value_and_grad",
]
