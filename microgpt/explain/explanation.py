"""The explanation of a text: the operations of its loss, and the names of its numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Any

from microgpt import gpt
from microgpt.engines.collector import collector_paused
from microgpt.errors import InputError, counted
from microgpt.explain.instructions import instructions
from microgpt.explain.observe import observed
from microgpt.explain.program import Program, Recorded, TooLongError, record
from microgpt.explain.strips import WATCHED, Strip, strips
from microgpt.learning.byte_pairs import BytePairs
from microgpt.learning.parameters import parameter_count, parameter_shapes
from microgpt.learning.text import BOUNDARY, characters_of, encode
from microgpt.learning.training import divergence_named
from microgpt.runs.directory import Run

LARGEST_PROGRAM = 4_000_000  # operations; the page needs some 60 bytes of memory for each


@dataclass
class Explanation:
    """A model that can read any text that fits, and the text with which the page opens."""

    run: Run
    tokens: list[int]
    program: Program
    strips: list[Strip]  # of recorded scalars
    instructions: list[dict[str, Any]]  # of the compiler, with the keys of the strips that they compute
    limit: int  # how many operations the page can hold

    @property
    def operations(self) -> int:
        """The number of operations for the text."""
        return sum(self.program.operations(len(self.tokens) - 1).values())


def explain(run: Run, text: str) -> Explanation:
    """Record the program of a model for the longest text that fits, and watch it on this text.

    Raises InputError if the text is too short, too long, has an unknown character, or needs more operations than a page
    can hold. Raises DivergenceError if the model's numbers are not finite.
    """
    tokens = tokens_of(run, text)
    loss, weights = loss_of(run, tokens)
    check_finite(run, loss, tokens, weights)
    positions = positions_that_fit(run)
    if len(tokens) - 1 > positions:
        raise InputError(
            f"the text has {counted(len(text), 'character')}, which need more operations than the "
            f"{LARGEST_PROGRAM:,} that a page can hold: give a --text of at most {room(run, positions)} characters"
        )
    with collector_paused(), observed(WATCHED) as calls:
        program, _ = record(loss, parameter_shapes(run.config), positions, LARGEST_PROGRAM)
    named = [strip for strip in strips(calls[0]) if all(isinstance(scalar, Recorded) for scalar in strip.scalars)]
    return Explanation(
        run, tokens, program, named, instructions(loss, run.parameters, tokens, weights), LARGEST_PROGRAM
    )


def positions_recorded(config: gpt.GPTConfig, positions: int, limit: int) -> int:
    """Return how many predictions, up to `most`, a loss can have within the limit of operations."""
    if parameter_count(config) >= limit:
        return 0
    try:
        with collector_paused():
            record(partial(gpt.loss, config=config), parameter_shapes(config), positions, limit)
    except TooLongError as error:
        return error.positions
    return positions


def can_explain(config: gpt.GPTConfig, documents: str) -> bool:
    """Return whether a page can hold the shortest text, in a moment."""
    least = 2 if documents == "lines" else 1  # predictions
    at_least = parameter_count(config) - config.n_embd * (config.vocab_size + config.n_positions)
    if 2 * least * at_least > LARGEST_PROGRAM:  # a product and a sum for almost every parameter but the embeddings
        return False
    try:
        return positions_recorded(config, least, LARGEST_PROGRAM) == least
    except TypeError:  # the functions were changed, and do now what no page shows, such as a comparison
        return False


def positions_that_fit(run: Run) -> int:
    """Return how many predictions the longest text has that a page can hold.

    Raises InputError if a page cannot hold even the shortest text. Of a model of one's own it is tried later.
    """
    if not run.architecture.is_the_book:
        return int(run.config.n_positions)
    positions = positions_recorded(run.config, run.config.n_positions, LARGEST_PROGRAM)
    if room(run, positions) < shortest(run):
        raise InputError(
            f"this model needs more operations for one character than the {LARGEST_PROGRAM:,} that a page can "
            "hold: explain a smaller model"
        )
    return positions


def room(run: Run, positions: int) -> int:
    """Return how many characters a text may have, for so many predictions."""
    return positions - 1 if run.documents == "lines" else positions + 1


def shortest(run: Run) -> int:
    """Return how many characters a text needs, so that one can be predicted."""
    return 1 if run.documents == "lines" else 2


def check_finite(run: Run, loss: Callable[..., Any], tokens: list[int], weights: list[float]) -> None:
    """Raise DivergenceError if the loss of a text is not finite in this model."""
    numbers = {name: array.tolist() for name, array in run.parameters.items()}
    with divergence_named("in this model", "numbers are not finite"):
        found = loss(numbers, tokens, weights)
        if not isfinite(found):
            raise ArithmeticError(f"the loss is {found}")


def loss_of(run: Run, tokens: list[int]) -> tuple[Callable[..., Any], list[float]]:
    """Return the explained function, the mean loss of the predictions in some tokens, and its last argument."""
    return partial(run.architecture.loss, config=run.config), [1 / (len(tokens) - 1)] * (len(tokens) - 1)


def tokens_of(run: Run, text: str) -> list[int]:
    """Return the tokens that the model reads and predicts. Raises InputError for a text that it cannot read."""
    lines = run.documents == "lines"
    if lines and BOUNDARY in text:
        raise InputError(f"the text {text!r:.80} has a newline, but this model knows single lines: give one of them")
    least, most = shortest(run), room(run, run.config.n_positions)
    pairs = isinstance(run.vocabulary, BytePairs)
    length, unit = (len(run.vocabulary.encode(text)), "token") if pairs else (len(text), "character")
    if not least <= length <= most:
        raise InputError(f"the text has {counted(length, unit)}: expected {least} to {most}, the context of this model")
    known = characters_of(run.vocabulary, run.documents)
    return encode(BOUNDARY + text + BOUNDARY if lines else text, known, run.named)
