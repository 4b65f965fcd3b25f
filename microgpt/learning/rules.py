"""Update rules: Adam, or a file with a rule of one's own.

A rule is a function of the arguments of `adam`, and returns what `adam` returns:

    def update(parameter, gradient, m, v, step, learning_rate, weight_decay=0.0):
        return parameter - learning_rate * gradient, m, v

Such a rule sees every parameter alone, or all of them as one vector. If its first argument is `name`, it is called for
each tensor in its shape, so that it can multiply matrices: see examples/optimizers/muon.py. The two memories m and v
begin at 0, and are saved with the run. What a file sets as LEARNING_RATE and WEIGHT_DECAY are the defaults of its rule.
"""

import inspect
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from microgpt.adam import adam
from microgpt.engines.engine import adam_update
from microgpt.errors import InputError
from microgpt.learning.parameters import Arrays, views
from microgpt.learning.user_code import empty_module, run, sha256_of, text_of, told_of_any
from microgpt.surroundings import along

NUMBERS = {"LEARNING_RATE": "learning_rate", "WEIGHT_DECAY": "weight_decay"}  # what a file may set, as settings
ARGUMENTS = ("parameter", "gradient", "m", "v", "step", "learning_rate", "weight_decay")
FILES = along("examples/optimizers")
KNOWN = ("adam", "sgd", "momentum", "lion", "muon")
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Rule:
    """An update rule, with the settings that its file suggests.

    Attributes:
        name: one of the known names, or a path.
        function: see above.
        text: the source of its file; empty for Adam.
        settings: the learning rate and the weight decay, if the file has them.
    """

    name: str
    function: Callable[..., Any]
    text: str
    settings: dict[str, float]

    @property
    def sha256(self) -> str | None:
        """The SHA-256 of a source that is the user's own."""
        return None if self.name in KNOWN else sha256_of(self.text)


ADAM = Rule("adam", adam, "", {})


def load_rule(name: str) -> Rule:
    """The rule of a known name or of a file. To load a file executes its code.

    Raises InputError, in one line, if there is no such file, if it fails, or if it has no such function.
    """
    if name == "adam":
        return ADAM
    path = FILES / f"{name}.py" if name in KNOWN else Path(name)
    if not path.is_file():
        raise InputError(f"there is no update rule {name}: expected one of {', '.join(KNOWN)}, or a file")
    return rule_of_text(name, path, text_of(path))


def rule_of_text(name: str, path: Path, text: str) -> Rule:
    """The rule in a source, which is in a file of that path. To load it executes the code."""
    module = empty_module(f"update_rule.{path.stem}", path, text)
    run(module, path, text)
    found = {what: module.__dict__[what] for what in NUMBERS if what in module.__dict__}
    for what, number in found.items():
        if not isinstance(number, (int, float)) or not 0 <= number < inf:
            raise InputError(f"{what} in {path} is {number!r}: expected a number of at least 0")
    function = module.__dict__.get("update")
    expected = f"update({', '.join(ARGUMENTS)})"
    if not callable(function):
        raise InputError(f"{path} has no function {expected}: write it")
    lacking = [a for a in ARGUMENTS if a not in inspect.signature(function).parameters]
    if lacking:
        raise InputError(f"update in {path} lacks the argument {lacking[0]}: expected {expected}")
    return Rule(name, function, text, {NUMBERS[what]: number for what, number in found.items()})


def rule_update(rule: Callable[..., Any], parameters: Arrays, engine: str = "compiled") -> Callable[..., None]:
    """A rule of your own as the `update` of `train`, for parameters of these shapes.

    What acts on every number alone, with + * ** and comparisons, is compiled. Anything else is called as it stands.
    """
    if next(iter(inspect.signature(rule).parameters)) == "name":
        return TensorRule(rule, {name: array.shape for name, array in parameters.items()})
    if engine == "compiled" and acts_alone(rule):
        return adam_update("compiled", rule)
    return WholeRule(rule)


def acts_alone(rule: Callable[..., Any]) -> bool:
    """Whether the compiled rule takes the same steps as the rule itself."""
    rng = np.random.default_rng(0)
    first, gradients = rng.normal(size=64), rng.normal(size=(3, 64))
    found = []
    for update in (WholeRule(rule), adam_update("compiled", rule)):
        vectors = first.copy(), np.zeros(64), np.zeros(64)
        try:
            for step, gradient in enumerate(gradients, 1):
                update(vectors[0], gradient, *vectors[1:], step, 0.01, np.full(64, 0.1))
        # It takes more than a number has; or it fails, which its first step will say.
        except (InputError, TypeError, ValueError, AttributeError):
            return False
        found.append(np.concatenate(vectors))
    return np.allclose(found[0], found[1], rtol=1e-12, atol=1e-12)


class TensorRule:
    """An update rule for `train` that is called for each tensor, by its name and in its shape.

    Raises InputError, naming the tensor, if the rule returns anything but three arrays of that shape.
    """

    def __init__(self, rule: Callable[..., Any], shapes: Shapes):
        self.rule, self.shapes = rule, shapes

    def __call__(
        self, parameter: Any, gradient: Any, m: Any, v: Any, step: int, learning_rate: float, weight_decay: Any
    ) -> None:
        vectors = [views(vector, self.shapes) for vector in (parameter, gradient, m, v, weight_decay)]
        for name in self.shapes:
            x, slope, first, second, decay = (tensors[name] for tensors in vectors)
            found = called(self.rule, name, x, slope, first, second, step, learning_rate, weight_decay=decay)
            store(found, (x, first, second), f" for {name}")


class WholeRule:
    """An update rule for `train` that is called with all parameters as one vector, once a step."""

    def __init__(self, rule: Callable[..., Any]):
        self.rule = rule

    def __call__(
        self, parameter: Any, gradient: Any, m: Any, v: Any, step: int, learning_rate: float, weight_decay: Any
    ) -> None:
        found = called(self.rule, parameter, gradient, m, v, step, learning_rate, weight_decay=weight_decay)
        store(found, (parameter, m, v), "")


def called(rule: Callable[..., Any], *arguments: Any, weight_decay: Any) -> Any:
    """What a rule returns. Raises InputError, naming its line, if it fails."""
    try:
        with np.errstate(all="ignore"):  # what is not finite shows in the next loss
            return rule(*arguments, weight_decay=weight_decay)
    except Exception as error:
        said = told_of_any(error)
        if not said:
            raise
        raise InputError(said) from error


def store(found: Any, arrays: tuple[Any, ...], where: str) -> None:
    """Write what a rule returned into the three arrays."""
    if not isinstance(found, tuple) or len(found) != len(arrays):
        what = f"{len(found)} results" if isinstance(found, tuple) else f"a {type(found).__name__}"
        raise InputError(f"the update rule returned {what}{where}: expected (parameter, m, v)")
    for what, array, new in zip(("parameter", "m", "v"), arrays, found, strict=True):
        shape = tuple(getattr(new, "shape", ()))
        if shape != tuple(array.shape):
            raise InputError(f"the update rule returned {what} of shape {shape}{where}: expected {tuple(array.shape)}")
        if "complex" in str(new.dtype):
            raise InputError(f"the update rule returned {what} of complex numbers{where}: expected real ones")
    # A result may be the old value of another array, such as m as the new v: it is copied before that is overwritten.
    kept = [new if new is array else deepcopy(new) for array, new in zip(arrays, found, strict=True)]
    for array, new in zip(arrays, kept, strict=True):
        array[...] = new
