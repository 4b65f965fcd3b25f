"""A GPT-2 whose every number comes from five scalar operations: `+`, `*`, `**`, `log` and `exp`.

Read value.py, functions.py, gpt.py and adam.py, in this order: they are the whole model. To use the package, import
these names; docs/library.md has examples that run:

to calculate   Value, exp, log, largest, pick, and draw to see the graph
engines        value_and_grad, evaluate
gradients      check, Check to test whether they are right
to train       train, Schedule, Update, OptimizerState, adam_update, rule_update, mean_loss
the GPT        GPTConfig, initial_parameters, parameter_count, loss
texts          read_text, vocabulary_of, encode, decode, make_corpus, Corpus, batches, padded
trained ones   Model, load_run, Run, sample, sample_many, stream, Choice
errors         InputError, DivergenceError, DisagreementError

Import the parts of a network from their own files: `from microgpt.functions import attention`, `from microgpt.gpt
import gpt`, `from microgpt.adam import adam`. (`microgpt.gpt` and `microgpt.adam` are these modules.)
"""

from importlib.metadata import PackageNotFoundError, version

from microgpt.engines.checking.gradient_check import Check, check
from microgpt.engines.engine import adam_update, evaluate, value_and_grad
from microgpt.errors import DisagreementError, DivergenceError, InputError
from microgpt.explain.draw import draw
from microgpt.gpt import GPTConfig, loss
from microgpt.learning.batches import Corpus, batches, make_corpus, padded
from microgpt.learning.choosing import Choice
from microgpt.learning.parameters import initial_parameters, parameter_count
from microgpt.learning.reading import read_text
from microgpt.learning.rules import rule_update
from microgpt.learning.sampling import Model, sample, sample_many, stream
from microgpt.learning.text import decode, encode, vocabulary_of
from microgpt.learning.training import OptimizerState, Schedule, Update, mean_loss, train
from microgpt.runs.directory import Run, load_run
from microgpt.value import Value, exp, largest, log, pick

try:
    __version__ = version("microgpt")
except PackageNotFoundError:
    __version__ = "not installed"  # the package is read from a clone
__all__ = [
    "Check",
    "Choice",
    "Corpus",
    "DisagreementError",
    "DivergenceError",
    "GPTConfig",
    "InputError",
    "Model",
    "OptimizerState",
    "Run",
    "Schedule",
    "Update",
    "Value",
    "adam_update",
    "batches",
    "check",
    "decode",
    "draw",
    "encode",
    "evaluate",
    "exp",
    "initial_parameters",
    "largest",
    "load_run",
    "log",
    "loss",
    "make_corpus",
    "mean_loss",
    "padded",
    "parameter_count",
    "pick",
    "read_text",
    "rule_update",
    "sample",
    "sample_many",
    "stream",
    "train",
    "value_and_grad",
    "vocabulary_of",
]
