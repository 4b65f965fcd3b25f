"""The names that `microgpt` has for its users, each from its file: see __init__.py."""

from microgpt.engines.checking.gradient_check import Check as Check
from microgpt.engines.checking.gradient_check import check as check
from microgpt.engines.engine import adam_update as adam_update
from microgpt.engines.engine import evaluate as evaluate
from microgpt.engines.engine import value_and_grad as value_and_grad
from microgpt.errors import DisagreementError as DisagreementError
from microgpt.errors import DivergenceError as DivergenceError
from microgpt.errors import InputError as InputError
from microgpt.explain.draw import draw as draw
from microgpt.gpt import GPTConfig as GPTConfig
from microgpt.gpt import loss as loss
from microgpt.learning.batches import Corpus as Corpus
from microgpt.learning.batches import batches as batches
from microgpt.learning.batches import make_corpus as make_corpus
from microgpt.learning.batches import padded as padded
from microgpt.learning.choosing import Choice as Choice
from microgpt.learning.parameters import initial_parameters as initial_parameters
from microgpt.learning.parameters import parameter_count as parameter_count
from microgpt.learning.reading import read_text as read_text
from microgpt.learning.rules import rule_update as rule_update
from microgpt.learning.sampling import Model as Model
from microgpt.learning.sampling import sample as sample
from microgpt.learning.sampling import sample_many as sample_many
from microgpt.learning.sampling import stream as stream
from microgpt.learning.text import decode as decode
from microgpt.learning.text import encode as encode
from microgpt.learning.text import vocabulary_of as vocabulary_of
from microgpt.learning.training import OptimizerState as OptimizerState
from microgpt.learning.training import Schedule as Schedule
from microgpt.learning.training import Update as Update
from microgpt.learning.training import mean_loss as mean_loss
from microgpt.learning.training import train as train
from microgpt.runs.directory import Run as Run
from microgpt.runs.directory import load_run as load_run
from microgpt.value import Value as Value
from microgpt.value import exp as exp
from microgpt.value import largest as largest
from microgpt.value import log as log
from microgpt.value import pick as pick

__version__ = "0.1.0"
