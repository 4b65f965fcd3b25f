"""What a model is: its settings, its parameters, and its logits position by position.

An `Architecture` gives the functions of a module by the same names, whatever the module calls them. `GPT` is that of
the book. A file of one's own defines another: see model_file.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from microgpt import gpt as the_book
from microgpt.errors import InputError, counted
from microgpt.learning.parameters import Arrays, initial_parameters, parameter_count

Shapes = dict[str, tuple[int, ...]]
FROM_THE_TEXT = ("vocab_size", "n_positions")  # settings that are no options
OF_THE_GPT = ("n_layer", "n_head", "n_embd")  # options of train.py, in whose place come those of another model


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model of one's own before any of its code runs.

    Attributes:
        name: that of its file, without `.py`.
        sha256: of its file.
        about: the first paragraph of its docstring.
        shapes: of its parameters, by name.
        hugging_face: what the config.json of a known checkpoint format says of it; None without such a format.
    """

    name: str
    sha256: str
    about: str
    shapes: Shapes
    hugging_face: dict[str, Any] | None = None


class Architecture:
    """A module in the form of gpt.py: the project's own, or one of a book of the user's."""

    name = "GPT"

    def __init__(self, module: Any = the_book):
        self.module = module
        self.writing: dict[Any, Any] = {}  # what was compiled to write

    def __reduce__(self) -> Any:
        return "GPT"  # by its name in this file

    # The functions are looked up when they are needed, so that a change of the module counts.

    @property
    def empty_state(self) -> Callable[..., Any]:
        """empty_state(config): the state before the first position."""
        return self.module.empty_cache

    @property
    def logits(self) -> Callable[..., Any]:
        """logits(params, config, token, position, state): those of the next token; changes the state."""
        return self.module.gpt

    @property
    def loss(self) -> Callable[..., Any]:
        """loss(params, tokens, weights, config): what training makes small."""
        return self.module.loss

    @property
    def surprise(self) -> Callable[..., Any] | None:
        """What validation measures, with the arguments of the loss; None if it is the loss."""
        return None

    @property
    def is_the_book(self) -> bool:
        """Whether these are the functions of the project's own gpt.py."""
        return self.module is the_book

    def config(self, vocab_size: int, n_positions: int, options: dict[str, Any]) -> Any:
        """The settings of such a model. Raises InputError for impossible ones."""
        config = self.module.GPTConfig(vocab_size, n_positions, **{name: options[name] for name in OF_THE_GPT})
        if config.n_embd % config.n_head:
            raise InputError(f"--n-embd is {config.n_embd}: expected a multiple of --n-head {config.n_head}")
        return config

    def config_again(self, config: Any) -> Any:
        """The settings of such a model, from those of a run."""
        return self.config(config.vocab_size, config.n_positions, options_of(config))

    def count(self, config: Any) -> int:
        """The number of parameters."""
        return parameter_count(config)

    def initial_parameters(self, config: Any, seed: int) -> Arrays:
        """The parameters before training, as views of one flat vector."""
        return initial_parameters(config, seed)

    def facts(self, config: Any, shapes: Shapes) -> ModelFacts | None:
        """What a run keeps of a model of one's own; None for a GPT, which needs no code."""
        return None

    def check(self, config: Any, parameters: Arrays) -> None:
        """Raise InputError unless the logits of the model are right. Those of gpt.py are."""

    def described(self, config: Any, count: int) -> str:
        """A model with so many parameters, in a line."""
        c = config
        return (
            f"a GPT with {counted(count, 'parameter')}: {counted(c.n_layer, 'layer')}, "
            f"{counted(c.n_head, 'head')}, width {c.n_embd}, context {c.n_positions}"
        )


GPT = Architecture()


def values_of(config: Any) -> dict[str, Any]:
    """The settings of a model by name."""
    if not is_dataclass(config):
        return dict(vars(config))
    return {entry.name: getattr(config, entry.name) for entry in fields(config) if entry.init}


def options_of(config: Any) -> dict[str, Any]:
    """The settings of a model that are options."""
    return {name: value for name, value in values_of(config).items() if name not in FROM_THE_TEXT}
