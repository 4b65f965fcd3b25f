"""Training with a book of one's own: is the compiled code what the user's own Value computes, and how much faster?"""

import ast
import time
from functools import partial
from typing import Any

import numpy as np

from microgpt import gpt as the_book
from microgpt.engines.checking.gradient_check import compare, digits
from microgpt.engines.checking.slopes import Problem
from microgpt.engines.collector import collector_paused
from microgpt.engines.engine import adam_in_chunks, adam_update, value_and_grad
from microgpt.engines.trees import vector_of
from microgpt.errors import DisagreementError, InputError, counted
from microgpt.gpt import GPTConfig
from microgpt.learning.batches import padded
from microgpt.learning.own_book import Book, lines_of_code, own_book
from microgpt.learning.parameters import Arrays

NEEDED = (
    ("value", "Value"), ("gpt", "empty_cache"), ("gpt", "gpt"), ("gpt", "loss"),
    ("adam", "adam"), ("adam", "scheduled_learning_rate"),
)  # fmt: skip
CHOICES: tuple[tuple[str, tuple[Any, ...]], ...] = (("pick", ([1.5, 2.5, 3.5], 1)), ("largest", ([2.5, -3.5, 1.5],)))
OPERATIONS = 60_000  # about how many are compared
MANY_OPERATIONS = 1_000_000  # with so many floats it is asked whether the model is GPT-2
TOLERANCE = 1e-9  # of a loss or a gradient, relative to the largest
NUDGE = 0.1  # how far parameters are moved for it, so that none is 0 or 1


class OwnCode:
    """The user's book, once as it stands and once for the compiler.

    Attributes:
        book: the modules as they stand.
        recordable: the same for the compiler: see own_book.py.
        is_gpt_2: whether the model computes what the project's own computes. Known after `introduction`.
        seconds: what a prediction and its gradient take on the user's own Value; 0 before `compared`.
    """

    def __init__(self, recordable: Book):
        self.book, self.recordable = own_book(recordable.folder, sha256=recordable.sha256), recordable
        self.is_gpt_2, self.seconds = True, 0.0
        for chapter, name in NEEDED:
            if not hasattr(getattr(self.book, chapter), name):
                raise InputError(f"{self.book.paths[chapter]} has no {name}, which training needs: write it first")

    def introduction(self, config: GPTConfig, parameters: Arrays, sequence: list[int]) -> list[str]:
        """What is the user's own, and whether it is a GPT-2, in lines."""
        own = [chapter for chapter in self.book.texts if chapter not in self.book.missing]
        trees = [ast.walk(ast.parse(self.book.texts[chapter])) for chapter in own]
        functions = sum(isinstance(node, ast.FunctionDef) for tree in trees for node in tree)
        code = sum(lines_of_code(self.book.texts[chapter]) for chapter in own)
        lines = [f"your book, {self.book.folder}: {counted(code, 'line')} of code, {counted(functions, 'function')}"]
        missing = [f"{chapter}.py" for chapter in self.book.missing]
        if missing:
            these = " and ".join([", ".join(missing[:-1]), missing[-1]] if missing[1:] else missing)
            lines.append(f"note: {these} of the project, because {self.book.folder} has none")
        try:
            loss = partial(self.recordable.gpt.loss, config=config)
            self.is_gpt_2 = computes_gpt_2(loss, config, parameters, sequence)
        except Exception as error:
            raise InputError(self.recordable.told(error)) from error
        if not self.is_gpt_2:
            lines.append("note: your functions compute something else than a GPT-2, so that only they read this model")
        return lines

    def check_adam(self) -> None:
        """Compare the user's Adam, compiled, with itself on arrays. Raises InputError if it fails there."""
        path, rule = self.recordable.paths["adam"], self.recordable.adam.adam
        rng = np.random.default_rng(0)
        first, gradients = rng.normal(size=64), rng.normal(size=(3, 64))
        found = []
        for update in (adam_update("compiled", rule), partial(adam_in_chunks, rule=rule)):
            vectors = first.copy(), np.zeros(64), np.zeros(64)
            for step, gradient in enumerate(gradients, 1):
                try:
                    update(vectors[0], gradient, *vectors[1:], step, 0.01, np.full(64, 0.1))
                except Exception as error:
                    told = self.recordable.told(error)
                    raise InputError(f"{told}; write it with + - * / and ** alone, and the step in powers") from error
            found.append(np.concatenate(vectors))
        if not np.allclose(found[0], found[1], rtol=1e-12, atol=1e-12):
            raise DisagreementError(f"adam of {path} computes something else when it is compiled")

    def compared(self, config: GPTConfig, parameters: Arrays, sequence: list[int]) -> list[str]:
        """Compare the compiled code with the user's Value on a part of a sequence, in lines.

        Raises DisagreementError, naming what differs, if the loss or a gradient is not the same.
        """
        at_a_position = 2 * sum(array.size for array in parameters.values())  # of operations, about
        length = max(1, min(len(sequence) - 1, OPERATIONS // at_a_position))
        example = padded([sequence[: length + 1]], np.float64)
        self.check_adam()
        own = partial(self.book.gpt.loss, config=config)
        problem = Problem(own, parameters, example, self.book.value.Value)
        with np.errstate(all="ignore"):
            found = compare(problem, list(problem.directions(few=0)), "scalar", None)
        if not found:
            report = "; ".join(found.report.splitlines())
            raise DisagreementError(f"your Value: {report}; to train all the same, add --skip-check")
        start = time.perf_counter()
        with collector_paused():
            loss, gradient = problem.by_class()
        self.seconds = (time.perf_counter() - start) / length
        step = value_and_grad(partial(self.recordable.gpt.loss, config=config), verify=True)
        compiled_loss, gradients = step(problem.params, *problem.arrays)
        apart = self.difference(problem, (loss, gradient), (compiled_loss, vector_of(gradients)))
        operations = step.summary().partition(" scalar")[0]
        return [f"your Value and the compiled code agree to {digits(apart)} digits, on {operations} operations"]

    def difference(self, problem: Problem, own: tuple[float, Any], compiled: tuple[float, Any]) -> float:
        """How far losses and gradients are apart. Raises DisagreementError, naming what differs, if that is too far."""
        (loss, gradient), (other_loss, other) = own, compiled
        error = abs(loss - other_loss) / max(1.0, abs(loss))
        if not error <= TOLERANCE:
            found = f"the loss is {loss:.12g} on your Value, and {other_loss:.12g} compiled"
            raise DisagreementError(f"{found}{self.of_choices()}; to train all the same, add --skip-check")
        apart = np.abs(gradient - other)
        scale = float(np.abs(other).max())
        place = int(apart.argmax())
        if not apart[place] <= TOLERANCE * scale:
            raise DisagreementError(
                f"the gradient of {problem.name(place)} is {gradient[place]:.12g} on your Value, and "
                f"{other[place]:.12g} compiled; to train all the same, add --skip-check"
            )
        return max(error, float(apart[place]) / scale)

    def of_choices(self) -> str:
        """Which of the user's `pick` and `largest` differs from what a compiler records by that name."""
        for name, arguments in CHOICES:
            own, ours = (getattr(module, name)(*arguments) for module in (self.book.value, self.recordable.value))
            if own != ours:
                call = f"{name}({', '.join(map(str, arguments))})"
                return f": {call} of {self.book.paths['value']} is {own}, where the compiler has {ours}"
        return ""

    def faster(self, predictions: float, seconds: float) -> str:
        """How long so many predictions would have taken on the user's own Value."""
        if not self.seconds:
            return ""
        own = self.seconds * predictions
        times = f"{float(f'{own / seconds:.2g}'):,.0f}"
        return f"on your own Value this would have taken {span(own)}: compiled, your code was {times} times as fast"


def computes_gpt_2(loss: Any, config: GPTConfig, parameters: Arrays, sequence: list[int]) -> bool:
    """Whether a loss is that of gpt.py, at parameters of which none is 0 or 1."""
    rng = np.random.default_rng(0)
    moved = {name: (array + NUDGE * rng.normal(size=array.shape)).tolist() for name, array in parameters.items()}
    length = max(2, min(len(sequence) - 1, MANY_OPERATIONS // sum(array.size for array in parameters.values())))
    tokens, weights = [part[0].tolist() for part in padded([sequence[: length + 1]], np.float64)]
    expected = the_book.loss(moved, tokens, weights, config)
    return abs(loss(moved, tokens, weights) - expected) <= TOLERANCE * abs(expected)


def span(seconds: float) -> str:
    """A time in words."""
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.2g} {unit}" if seconds < 10 * size else f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.0f} seconds"
