"""The content that page.py puts into the file: arrays of numbers, and facts about them as JSON."""

import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from microgpt import adam, functions, gpt
from microgpt.errors import InputError
from microgpt.explain.explanation import Explanation
from microgpt.explain.program import KINDS, MEMBER, Picked, Program
from microgpt.learning.batches import make_corpus
from microgpt.learning.bigram import bigram_loss, bigram_probabilities
from microgpt.learning.parameters import flatten, parameter_count
from microgpt.learning.text import closing
from microgpt.runs.directory import Run
from microgpt.runs.metrics import METRICS, read_metrics
from microgpt.runs.snapshots import read_snapshots
from microgpt.value import Value

CURVE_POINTS = 400
TO_LEARN_FROM, HELD_OUT = 500, 100  # texts in the page, for training there


def content_of(explanation: Explanation) -> tuple[dict[str, Any], bytes]:
    """Return what the script knows, for JSON, and all arrays in one piece, in the order in which it names them."""
    run, program = explanation.run, explanation.program
    end, snapshots = closing(run.vocabulary, run.documents), times(run)
    keys = {strip.key: strip.name for strip in explanation.strips}
    named, members, choices = members_of(explanation, list(keys))
    arrays = {
        "parameters": flatten(run.parameters),
        "snapshots": np.concatenate([np.zeros(0, np.float32), *snapshots.values()]),
        **arrays_of(program),
        "members": differences(members),
        "choices": differences(np.array([*program.choices, *choices], np.int32).T.ravel()),
    }
    content = {
        "arrays": [[name, array.dtype.name, len(array)] for name, array in arrays.items()],
        "tokens": explanation.tokens,
        "totals": program.totals,
        "limit": explanation.limit,
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
    return content, packed(arrays)


def packed(arrays: dict[str, np.ndarray]) -> bytes:
    """Return arrays in one piece, one after the other: see engine.js for the way back."""
    return b"".join(
        planes(array) if array.dtype == np.int32 else array.astype(array.dtype.newbyteorder("<")).tobytes()
        for array in arrays.values()
    )


def members_of(explanation: Explanation, keys: list[str]) -> tuple[list[list[int]], list[int], list[Any]]:
    """Return where each strip lies among the members of all strips, these members, and those that a token chooses."""
    numbers = {key: i for i, key in enumerate(keys)}
    members: list[int] = []
    choices, named = [], []
    for strip in explanation.strips:
        named.append([numbers[strip.key], strip.position, len(members), len(strip.scalars)])
        for scalar in strip.scalars:
            if isinstance(scalar, Picked):
                choices.append((MEMBER, len(members), scalar.token, scalar.table))
            members.append(scalar.node)
    return named, members, choices


def arrays_of(program: Program) -> dict[str, np.ndarray]:
    """Return the arrays of the operations, by the names that the script has for them."""
    kind = np.array(program.kind, np.uint8)
    return {
        "kind": kind,
        "left": like_the_last(program.left, kind),
        "right": like_the_last(program.right, kind),
        "items": differences(program.items),
        "tables": differences([node for table in program.tables for node in table]),
        "tableSizes": np.array([len(table) for table in program.tables], np.int32),
        "constants": np.array(list(program.constants), np.float64),
        "constantNodes": np.array(list(program.constants.values()), np.int32),
    }


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


def that_fit(sequences: Iterable[Any], positions: int, documents: str) -> list[Any]:
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
