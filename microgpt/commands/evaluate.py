"""The loss and the perplexity of a model on any text: python -m microgpt evaluate --help"""

import json
import sys
from dataclasses import dataclass
from functools import partial
from math import exp, log
from typing import Any

import numpy as np
from tqdm import tqdm

from microgpt.commands.options import Options, option, parse
from microgpt.commands.script import is_terminal
from microgpt.engines.engine import evaluate as evaluated
from microgpt.errors import InputError
from microgpt.learning.batches import check_lengths, predictions
from microgpt.learning.byte_pairs import BytePairs
from microgpt.learning.layers import Reader, mean_surprise
from microgpt.learning.reading import encoded, scan, source_of
from microgpt.learning.sequences import Sequences, whole, windows_of
from microgpt.learning.text import characters_of
from microgpt.learning.training import mean_loss
from microgpt.runs.directory import Run, changed_code, load_run, newest_run


@dataclass
class Settings(Options):
    run: str | None = option(
        None, "a run directory, or a directory with a GPT-2, also OpenAI's own (default: the newest in runs/)"
    )
    data: str | None = option(None, "the text: a UTF-8 file")
    book: str | None = option(None, "the folder of your functions, if the run was trained with them: their code is run")
    model: str | None = option(None, "the file of your model, if the run was trained with it: its code is run")
    trust: bool = option(False, "run the copy of your code in the run directory")
    json: bool = option(False, "print a JSON object, for other programs")


def main() -> int:
    """Print how well a model predicts a text."""
    settings = parse(Settings, "Measure how well a model predicts a text: its loss and its perplexity.")
    if settings.data is None:
        raise InputError("--data is missing: expected a text, such as --data my.txt")
    run = load_run(settings.run or newest_run(), settings.book, settings.model, settings.trust)
    print("".join(f"note: {note}\n" for note in changed_code(run)), end="", file=sys.stderr)
    sequences, size = sequences_in(run, settings.data)
    count = predictions(sequences)
    if not count:
        raise InputError(f"{settings.data} has nothing to predict: expected at least two characters")
    loss = loss_of(run, sequences)
    unit = "token" if isinstance(run.vocabulary, BytePairs) else "character"
    numbers = {"loss": loss, "perplexity": exp(min(loss, 700)), "bits_per_byte": loss * count / size / log(2)}
    if settings.json:
        facts = {"run": str(run.directory), "data": settings.data, f"{unit}s": count}
        print(json.dumps(facts | numbers, ensure_ascii=False))
        return 0
    how = "lines" if run.documents == "lines" else f"windows of {run.config.n_positions:,}"
    print(f"{run.directory} on {settings.data}: {count:,} {unit}s predicted, in {how}")
    bits = numbers["bits_per_byte"]
    print(f"loss {loss:.4f} nats per {unit}, perplexity {numbers['perplexity']:,.2f}, {bits:.3f} bits per byte")
    return 0


def sequences_in(run: Run, data: str) -> tuple[Sequences, int]:
    """Return a text as sequences that the model can read, and its size in bytes of UTF-8.

    Raises InputError for a text that it cannot read.
    """
    source, n_positions = source_of(data), run.config.n_positions
    with source.file:
        found = scan(source.parts())
        if isinstance(run.vocabulary, BytePairs):
            tokens = np.concatenate(list(run.vocabulary.encoded(source.parts())))
            return windows_of(tokens, n_positions), found.size
        text = encoded(source.parts, found, characters_of(run.vocabulary, run.documents))
    if run.documents == "lines":
        check_lengths(text, n_positions)
    return whole(text, run.documents, n_positions), found.size


def loss_of(run: Run, sequences: Sequences) -> float:
    """Return the mean loss of a model, in nats."""
    if isinstance(run.vocabulary, BytePairs) and run.architecture.is_the_book:
        shown = tqdm(sequences, unit="window", disable=not is_terminal(sys.stderr), leave=False)
        return mean_surprise(Reader(run.config, run.parameters), shown)
    loss: Any = partial(run.architecture.surprise or run.architecture.loss, config=run.config)
    return mean_loss(evaluated(loss), run.parameters, sequences)
