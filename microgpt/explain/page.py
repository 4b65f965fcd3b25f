"""One HTML file with everything in it: a model, its loss as a list of operations, and the page that runs them.

The file has no number that the model computes. The engine in the page computes all of them, from the parameters and the
operations (program.py). These arrays are in the file as gzip and base64, names and source code as JSON. The characters
of a text reach the page only as JSON strings that the script shows as text.
"""

import base64
import gzip
import inspect
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from microgpt import adam, functions, gpt
from microgpt.engines.collector import collector_paused
from microgpt.errors import InputError, counted
from microgpt.explain.instructions import instructions
from microgpt.explain.observe import observed
from microgpt.explain.program import KINDS, MEMBER, Picked, Program, Recorded, TooLongError, record
from microgpt.explain.strips import WATCHED, Strip, strips
from microgpt.learning.batches import make_corpus
from microgpt.learning.bigram import bigram_loss, bigram_probabilities
from microgpt.learning.parameters import flatten, parameter_count, parameter_shapes
from microgpt.learning.text import BOUNDARY, characters_of, closing, encode
from microgpt.learning.training import divergence_named
from microgpt.runs.directory import Run
from microgpt.runs.metrics import METRICS, read_metrics
from microgpt.runs.snapshots import read_snapshots
from microgpt.value import Value

PARTS = Path(__file__).parent / "page"
SCRIPTS = (  # in the order in which they build on each other
    "engine.js",
    "model.js",
    "words.js",
    "elements.js",
    "sections.js",
    "panel.js",
    "drawing.js",
    "what_if.js",
    "writing.js",
    "training.js",
    "time.js",
    "tour.js",
    "page.js",
)
LARGEST_PROGRAM = 2_000_000  # operations; the page needs some 25 bytes of memory for each
CURVE_POINTS = 400
TO_LEARN_FROM, HELD_OUT = 500, 100  # texts in the page, for training there


@dataclass
class Explanation:
    """A model that can read any text that fits, and the text with which the page opens."""

    run: Run
    tokens: list[int]
    program: Program
    strips: list[Strip]  # of recorded scalars
    instructions: list[dict[str, Any]]  # of the compiler, with the keys of the strips that they compute

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
    return Explanation(run, tokens, program, named, instructions(loss, run.parameters, tokens, weights))


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

    Raises InputError if a page cannot hold even the shortest text.
    """
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
    return partial(gpt.loss, config=run.config), [1 / (len(tokens) - 1)] * (len(tokens) - 1)


def tokens_of(run: Run, text: str) -> list[int]:
    """Return the tokens that the model reads and predicts. Raises InputError for a text that it cannot read."""
    lines = run.documents == "lines"
    if lines and BOUNDARY in text:
        raise InputError(f"the text {text!r:.80} has a newline, but this model knows single lines: give one of them")
    least, most = shortest(run), room(run, run.config.n_positions)
    if not least <= len(text) <= most:
        raise InputError(
            f"the text has {counted(len(text), 'character')}: expected {least} to {most}, the context of this model"
        )
    known = characters_of(run.vocabulary, run.documents)
    return encode(BOUNDARY + text + BOUNDARY if lines else text, known, run.named)


def to_html(explanation: Explanation) -> str:
    """Return the whole page."""
    run, program = explanation.run, explanation.program
    end = closing(run.vocabulary, run.documents)
    keys = {strip.key: strip.name for strip in explanation.strips}
    numbers = {key: i for i, key in enumerate(keys)}
    members: list[int] = []
    choices = list(program.choices)
    named = []
    for strip in explanation.strips:
        named.append([numbers[strip.key], strip.position, len(members), len(strip.scalars)])
        for scalar in strip.scalars:
            if isinstance(scalar, Picked):
                choices.append((MEMBER, len(members), scalar.token, scalar.table))
            members.append(scalar.node)
    snapshots = times(run)
    parameters = flatten(run.parameters)
    kind = np.array(program.kind, np.uint8)
    arrays = {
        "parameters": parameters,
        "snapshots": np.concatenate([np.zeros(0, np.float32), *snapshots.values()]),
        "kind": kind,
        "left": like_the_last(program.left, kind),
        "right": like_the_last(program.right, kind),
        "members": differences(members),
        "items": differences(program.items),
        "choices": differences(np.array(choices, np.int32).T.ravel()),
        "tables": differences([node for table in program.tables for node in table]),
        "tableSizes": np.array([len(table) for table in program.tables], np.int32),
        "constants": np.array(list(program.constants), np.float64),
        "constantNodes": np.array(list(program.constants.values()), np.int32),
    }
    content = {
        "arrays": [[name, array.dtype.name, len(array)] for name, array in arrays.items()],
        "tokens": explanation.tokens,
        "totals": program.totals,
        "limit": LARGEST_PROGRAM,
        "times": list(snapshots),
        "vocabulary": list(run.vocabulary),
        "lines": run.documents == "lines",
        "closing": None if end is None else run.vocabulary.index(end),
        "config": run.config.__dict__,
        "parameters": parameter_count(run.config),
        "tensors": [[name, list(array.shape)] for name, array in run.parameters.items()],
        "keys": list(keys.items()),
        "strips": named,
        "instructions": explanation.instructions,
        "sources": sources(),
        "run": run_facts(run),
        "training": to_train_with(run, len(program.totals)),
    }
    packed = b"".join(
        planes(array) if array.dtype == np.int32 else array.astype(array.dtype.newbyteorder("<")).tobytes()
        for array in arrays.values()
    )
    inserts = {
        "style": (PARTS / "page.css").read_text(encoding="utf-8"),
        "script": "\n".join((PARTS / name).read_text(encoding="utf-8") for name in SCRIPTS),
        "content": json.dumps(content, separators=(",", ":")).replace("<", "\\u003c"),  # no text ends its element
        "numbers": base64.b64encode(gzip.compress(packed, 9, mtime=0)).decode(),
    }
    page = (PARTS / "page.html").read_text(encoding="utf-8")
    return re.sub("{{(style|script|content|numbers)}}", lambda mark: inserts[mark[1]], page)


def differences(numbers: Any) -> np.ndarray:
    """Return each integer minus the one before it: small numbers, often the same, which compress well."""
    return np.diff(np.array(numbers, np.int32), prepend=np.int32(0))


def like_the_last(operands: list[int], kind: np.ndarray) -> np.ndarray:
    """Return each operand minus that of the last node of the same kind, sorted by kind."""
    nodes = np.array(operands, np.int32)
    return np.concatenate([differences(nodes[kind == k]) for k in range(len(KINDS))])


def planes(integers: np.ndarray) -> bytes:
    """Return the lowest bytes of all integers, then the second lowest, and so on. Most of the higher ones are 0."""
    return integers.astype("<i4").view(np.uint8).reshape(-1, 4).T.tobytes()


def times(run: Run) -> dict[int, np.ndarray]:
    """Return the snapshots of a run before the step of its model, by step; none for a model of another program."""
    if run.checkpoint is None:
        return {}
    found = read_snapshots(run.directory, parameter_count(run.config))
    return {step: vector for step, vector in found.items() if step < run.checkpoint.model.step}


def to_train_with(run: Run, positions: int) -> dict[str, Any]:
    """Return the data for training in a page: the settings, some texts to learn from, some held out, and the loss of
    pairs.
    """
    origin = run.checkpoint.origin if run.checkpoint else None
    settings = origin.settings if origin else {}
    given: dict[str, Any] = {"weight_decay": 0.0, "grad_clip": 1.0, "learning_rate": 0.01}
    given |= {name: settings[name] for name in given if isinstance(settings.get(name), (int, float))}
    given |= {"texts": [], "heldOut": [], "pairs": None}
    if origin is None or run.text is None:
        return given
    try:
        corpus = make_corpus(run.text, run.config.n_positions, settings.get("seed", 0), run.documents, run.vocabulary)
    except InputError:  # then the page trains on what it reads, alone
        return given
    pairs = bigram_loss(bigram_probabilities(corpus.training, len(corpus.characters)), corpus.validation)
    return given | {
        "texts": spread(that_fit(corpus.training, positions, run.documents), TO_LEARN_FROM),
        "heldOut": spread(that_fit(corpus.validation, positions, run.documents), HELD_OUT),
        "pairs": pairs,
    }


def that_fit(sequences: list[list[int]], positions: int, documents: str) -> list[list[int]]:
    """Return the sequences with at most so many predictions; prose is cut into such."""
    if documents == "lines":
        return [sequence for sequence in sequences if len(sequence) - 1 <= positions]
    return [sequence[i : i + positions + 1] for sequence in sequences for i in range(0, len(sequence) - 1, positions)]


def spread(sequences: list[list[int]], wanted: int) -> list[list[int]]:
    """Return so many of the sequences, at equal distances, as lists of Python's integers for JSON."""
    return [list(map(int, sequence)) for sequence in sequences[:: max(1, len(sequences) // wanted)][:wanted]]


def run_facts(run: Run) -> dict[str, Any]:
    """Return facts about the run: its losses, its settings, some samples; fewer for a model of another program."""
    checkpoint = run.checkpoint
    facts: dict[str, Any] = {"name": run.directory.name, "settings": {}, "samples": [], "curve": []}
    if checkpoint is None:
        return facts
    facts |= {
        "settings": checkpoint.origin.settings,
        "samples": checkpoint.model.samples,
        "data": checkpoint.origin.data,
    }
    facts |= {"step": checkpoint.model.step, "loss": checkpoint.model.loss}
    try:
        rows = read_metrics(run.directory, checkpoint.step)
    except InputError:
        return facts
    columns = [METRICS.index(name) for name in ("step", "training_loss", "validation_loss")]
    every = max(1, len(rows) // CURVE_POINTS)
    kept = [row for i, row in enumerate(rows) if i % every == 0 or row[columns[2]]]
    facts["curve"] = [[float(row[i]) if row[i] else None for i in columns] for row in kept]
    return facts


def sources() -> dict[str, dict[str, str]]:
    """Return the lines of the book that the sections of the page show, each with its file and line."""
    return {
        "loss": lines_of(gpt.loss),
        "embedding": lines_of(gpt.gpt, "x = add(pick"),
        "layer_norm": lines_of(functions.layer_norm),
        "query": lines_of(gpt.self_attention, "qkv =", "query, key"),
        "attention": lines_of(functions.attention),
        "softmax": lines_of(functions.softmax),
        "heads": lines_of(gpt.self_attention, "return linear"),
        "mlp": lines_of(gpt.mlp),
        "gelu": lines_of(functions.gelu),
        "block": lines_of(gpt.block),
        "logits": lines_of(gpt.gpt, "x = layer_norm", "return [dot"),
        "cross_entropy": lines_of(functions.cross_entropy),
        "backward": lines_of(Value.backward, "for node in reversed", "for made_of, derivative", "made_of.grad +="),
        "adam": lines_of(adam.adam, "m =", "v =", "m_hat =", "v_hat =", "parameter = parameter"),
    }


def lines_of(function: Callable[..., Any], *beginnings: str) -> dict[str, str]:
    """Return the source of a function without its docstring, or only the lines that begin so."""
    lines, first = inspect.getsourcelines(function)
    if beginnings:
        chosen = [i for i, line in enumerate(lines) if line.strip().startswith(beginnings)]
    if not beginnings or not chosen:  # someone may have changed the line
        end = len((inspect.getdoc(function) or "").splitlines())
        start = next(i for i, line in enumerate(lines) if line.lstrip().startswith('"""'))
        chosen = [i for i in range(len(lines)) if not start <= i < start + end]
    indent = min(len(lines[i]) - len(lines[i].lstrip()) for i in chosen)
    code = "\n".join(lines[i][indent:].rstrip() for i in chosen)
    return {"code": code, "place": f"{Path(inspect.getfile(function)).name}:{first + chosen[0]}"}
