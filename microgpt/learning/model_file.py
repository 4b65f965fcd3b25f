"""A model of one's own: a file that says what it is, as docs/models.md describes it.

    model = model_file("my_model.py")
    config = model.config(vocab_size, n_positions, {"n_embd": 32})
    parameters = model.initial_parameters(config, seed)
    model.loss(params, tokens, weights, config)

To load a file executes its code: load only what the user has named.
"""

import ast
import io
import json
import tokenize
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import partial
from math import isfinite
from pathlib import Path
from types import ModuleType, NoneType
from typing import Any, get_args, get_type_hints

import numpy as np

from microgpt.errors import InputError, counted
from microgpt.functions import Scalar, Vector, cross_entropy
from microgpt.learning.architecture import FROM_THE_TEXT, Architecture, ModelFacts, Shapes, options_of
from microgpt.learning.parameters import Arrays, count_of, flatten, shapes_of, views
from microgpt.learning.user_code import empty_module, run, sha256_of, text_of, told

NEEDED = ("initial_parameters", "empty_state", "logits")
KINDS = (int, float, bool, str)  # of options
MANY = 2_000_000  # parameters, with which logits are not computed on plain floats before training


@dataclass(frozen=True)
class Setting:
    """A setting of a model that is an option of the command line."""

    name: str
    kind: type
    default: Any
    meaning: str  # the comment beside it


def surprise(params: Any, tokens: list[int], weights: Vector, config: Any, model: Any) -> Scalar:
    """The weighted sum of the cross-entropies of tokens[1:], as in gpt.py."""
    state = model.empty_state(config)
    total = 0
    for position, weight in enumerate(weights):
        found = model.logits(params, config, tokens[position], position, state)  # [vocab_size]
        total += weight * cross_entropy(found, tokens[position + 1])
    return total


class ModelFile(Architecture):
    """What a file defines.

    Attributes:
        path, text: the file, and its source.
        name: how messages call it.
        settings: its options.
    """

    def __init__(self, path: Path, text: str, name: str, module: ModuleType):
        super().__init__(module)
        self.path, self.text, self.name = path, text, name
        for needed in NEEDED:
            if not callable(getattr(module, needed, None)):
                raise InputError(f"{path} has no function {needed}: expected Config, {', '.join(NEEDED)}")
        self.settings = list(self.found_settings())

    def __reduce__(self) -> Any:
        return model_of_text, (self.path, self.text, self.name)

    @property
    def empty_state(self) -> Callable[..., Any]:
        return self.module.empty_state

    @property
    def logits(self) -> Callable[..., Any]:
        return self.module.logits

    @property
    def loss(self) -> Callable[..., Any]:
        return getattr(self.module, "loss", partial(surprise, model=self.module))

    @property
    def surprise(self) -> Callable[..., Any] | None:
        return partial(surprise, model=self.module) if hasattr(self.module, "loss") else None

    @property
    def sha256(self) -> str:
        """The SHA-256 of the source."""
        return sha256_of(self.text)

    def found_settings(self) -> Iterator[Setting]:
        """Yield the settings of Config that are options. Raises InputError, naming it, for one that cannot be."""
        kind = getattr(self.module, "Config", None)
        if not isinstance(kind, type) or not is_dataclass(kind):
            raise InputError(f"{self.path} has no dataclass Config: expected one with the settings of the model")
        with self.errors_told():
            types, entries, comments = get_type_hints(kind), fields(kind), comments_of(self.text)
        for name in FROM_THE_TEXT:
            if name not in {entry.name for entry in entries}:
                raise InputError(f"{self.path}: Config has no field {name}: expected {name}: int")
        for entry in entries:
            if entry.name in FROM_THE_TEXT or not entry.init:
                continue
            of_kind = [one for one in get_args(types[entry.name]) or (types[entry.name],) if one is not NoneType]
            if of_kind not in [[one] for one in KINDS]:
                what = getattr(types[entry.name], "__name__", types[entry.name])
                raise InputError(
                    f"{self.path}: the field {entry.name} of Config is of type {what}: expected int, float, bool or str"
                )
            if entry.default is MISSING:
                raise InputError(
                    f"{self.path}: the field {entry.name} of Config has no default: give it one, "
                    f"such as {entry.name}: {of_kind[0].__name__} = {of_kind[0](32)!r}"
                )
            yield Setting(entry.name, of_kind[0], entry.default, comments.get(entry.name, f"of {self.name}"))

    @contextmanager
    def errors_told(self) -> Iterator[None]:
        """Turn an error of the file's code into an InputError of one line, which names the file."""
        try:
            yield
        except (InputError, MemoryError):
            raise
        except SystemExit:
            raise InputError(f"{self.path} ends the program: its functions are to return") from None
        except Exception as error:
            said = told(error, [self.path])
            raise InputError(said if str(self.path) in said else f"{self.path}: {said}") from error

    def config(self, vocab_size: int, n_positions: int, options: Mapping[str, Any]) -> Any:
        given = {setting.name: options.get(setting.name, setting.default) for setting in self.settings}
        try:
            return self.module.Config(vocab_size=vocab_size, n_positions=n_positions, **given)
        except ValueError as error:  # what the file refuses
            raise InputError(f"{self.path}: {error}") from error
        except Exception as error:
            raise InputError(told(error, [self.path])) from error

    def initial_parameters(self, config: Any, seed: int) -> Arrays:
        with self.errors_told():
            found = self.module.initial_parameters(config, np.random.default_rng(seed))
            arrays = self.checked(found)
        return views(flatten(arrays).astype(np.float32, copy=False), shapes_of(arrays))

    def checked(self, found: Any) -> Arrays:
        """Initial parameters as arrays of float32. Raises InputError, naming the first that is none."""
        if not isinstance(found, dict) or not found:
            raise InputError(
                f"{self.path}: initial_parameters returned {kind_of(found)}: expected a dict of arrays by name"
            )
        arrays = {}
        for name, given in found.items():
            array = np.asarray(given)
            if not isinstance(name, str) or array.dtype.kind not in "fiu" or not array.size:
                what = f"of dtype {array.dtype} and shape {array.shape}"
                raise InputError(
                    f"{self.path}: initial_parameters has {name!r:.80} {what}: expected an array of numbers by name"
                )
            if not np.isfinite(array).all():
                raise InputError(f"{self.path}: initial_parameters has numbers in {name!r} that are not finite")
            arrays[name] = array.astype(np.float32)
        return arrays

    def count(self, config: Any) -> int:
        return count_of(self.initial_parameters(config, 0))

    def facts(self, config: Any, shapes: Shapes) -> ModelFacts:
        about = " ".join((ast.get_docstring(ast.parse(self.text)) or "").partition("\n\n")[0].split())
        known = None
        if hasattr(self.module, "hugging_face"):
            with self.errors_told():
                known = self.module.hugging_face(config)
                json.dumps(known)
            if not isinstance(known, dict) or not isinstance(known.get("model_type"), str):
                raise InputError(f"{self.path}: hugging_face returned {known!r:.80}: expected a dict with a model_type")
        return ModelFacts(self.name, self.sha256, about, shapes, known)

    def config_from(self, content: dict[str, Any], path: str) -> Any:
        """The settings of a model in the known checkpoint format, from its config.json.

        Raises InputError if the file does not know the format, or computes with anything else than is there.
        """
        if not hasattr(self.module, "hugging_face") or not hasattr(self.module, "from_hugging_face"):
            raise InputError(f"{self.path} has no hugging_face and from_hugging_face, so it cannot read {path}")
        with self.errors_told():
            try:
                config = self.module.from_hugging_face(content)
            except ValueError as error:  # what the file refuses
                raise InputError(f"{self.path} refuses {path}: {error}") from error
            known = self.module.hugging_face(config)
        for name, value in known.items():
            if isinstance(value, (str, int, float)) and content.get(name, value) != value:
                raise InputError(f"{path}: {name} is {content[name]!r:.80}, but {self.path} computes with {value!r}")
        return config

    def described(self, config: Any, count: int) -> str:
        options = [f"{name} {value}" for name, value in options_of(config).items()]
        shape = ", ".join([*options, f"context {config.n_positions}"])
        return f"{self.name} with {counted(count, 'parameter')}: {shape}"

    def check(self, config: Any, parameters: Arrays) -> None:
        """Compute the first parameters and the logits of two positions, twice, and the file's own loss.

        Raises InputError, naming the fault, unless they are right.
        """
        if count_of(parameters) > MANY:
            return
        params = {name: array.tolist() for name, array in parameters.items()}
        with self.errors_told(), np.errstate(all="ignore"):
            found = [self.some_logits(params, config) for _ in range(2)]
            tokens = [0, 1, 0][: config.n_positions + 1]
            loss = self.loss(params, tokens, [0.5] * (len(tokens) - 1), config=config)
        first, again = (flatten(self.initial_parameters(config, 0)) for _ in range(2))
        if not np.array_equal(first, again):
            raise InputError(
                f"{self.path}: initial_parameters gives other numbers for the same seed: draw them from `random`"
            )
        if not isinstance(loss, (int, float)):
            raise InputError(f"{self.path}: loss returned {kind_of(loss)}: expected a single number")
        if found[0] != found[1]:
            raise InputError(
                f"{self.path}: logits of the same tokens differ when they are computed again: "
                "keep what is remembered in the state"
            )

    def some_logits(self, params: Any, config: Any) -> list[Vector]:
        """The logits of the first positions. Raises InputError unless each are vocab_size finite numbers."""
        rows, state = [], self.empty_state(config)
        for position in range(min(2, config.n_positions)):
            row = self.logits(params, config, position, position, state)
            if not isinstance(row, (list, tuple)) or len(row) != config.vocab_size:
                what = f"{len(row)} numbers" if isinstance(row, (list, tuple)) else kind_of(row)
                raise InputError(
                    f"{self.path}: logits returned {what}: expected a list of {config.vocab_size}, one for each token"
                )
            wrong = next((x for x in row if not isinstance(x, (int, float)) or not isfinite(x)), None)
            if wrong is not None:
                raise InputError(f"{self.path}: logits has {wrong!r:.80}: expected finite numbers, one for each token")
            rows.append(list(row))
        return rows


def kind_of(found: Any) -> str:
    """What something is, for a message."""
    return (
        "None"
        if found is None
        else "an empty dict"
        if isinstance(found, dict) and not found
        else f"a {type(found).__name__}"
    )


def model_file(path: str | Path) -> ModelFile:
    """Run a file and return the model that it defines. Raises InputError, in one line, if it fails or lacks a part."""
    path = Path(path)
    if path.is_dir() or not path.exists():
        found = "it is a folder" if path.is_dir() else "there is no such file"
        raise InputError(f"--model is {path}: {found}; expected a Python file that defines a model")
    return model_of_text(path, text_of(path), path.stem)


def model_of_text(path: Path, text: str, name: str) -> ModelFile:
    """Return the model that a source defines, which is in a file of that path."""
    module = empty_module(f"model_file.{name}", path, text)
    run(module, path, text)
    return ModelFile(path, text, name, module)


def comments_of(text: str) -> dict[str, str]:
    """The comment beside each field of the class Config in a source, by name."""
    comments = {
        token.start[0]: token.string.lstrip("# ").rstrip()
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT
    }
    of_config = (node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == "Config")
    entries = [entry for node in of_config for entry in node.body if isinstance(entry, ast.AnnAssign)]
    named = {ast.unparse(entry.target): comments.get(entry.end_lineno or 0, "") for entry in entries}
    return {name: comment for name, comment in named.items() if comment}
