"""A GPT-2 whose every number comes from five scalar operations: `+`, `*`, `**`, `log` and `exp`.

Read value.py, functions.py, gpt.py and adam.py, in this order: they are the whole model. To use the package, import
these names; docs/library.md has examples that run:

to calculate   Value, exp, log, largest, pick, and draw to see the graph
engines        value_and_grad, evaluate
gradients      check, Check to test whether they are right
pages          explain, for the page on which every number of a loss opens (it is the room explain/, called)
to train       train, Schedule, Update, OptimizerState, adam_update, rule_update, mean_loss
the GPT        GPTConfig, initial_parameters, parameter_count, loss
texts          read_text, vocabulary_of, encode, decode, make_corpus, Corpus, batches, padded
trained ones   Model, load_run, Run, sample, sample_many, stream, Choice
errors         InputError, DivergenceError, DisagreementError

Import the parts of a network from their own files: `from microgpt.functions import attention`, `from microgpt.gpt
import gpt`, `from microgpt.adam import adam`. (`microgpt.gpt` and `microgpt.adam` are these modules.)
"""

from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from microgpt.names import *
    from microgpt.names import __version__ as __version__
else:

    def __getattr__(name: str) -> Any:
        """Return one of these names. All are imported when the first is used: a command does without most of them."""
        if name not in (*__all__, "__version__"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from microgpt import names

        return getattr(names, name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
