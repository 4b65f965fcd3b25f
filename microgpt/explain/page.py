"""One HTML file with everything in it: what the scalar engine computed on a text, and the page to open it in.

The numbers go into the file as they are in memory (gzip and base64 of the arrays of graph.py), names and source code
as JSON. Whatever characters a text has, they reach the page only as JSON strings that the script shows as text.
"""

import base64
import gzip
import inspect
import json
import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from microgpt import adam, functions, gpt
from microgpt.compiler.listing import described, instruction_of_rows, program_with_sources
from microgpt.engine import collector_paused, map_numbers
from microgpt.errors import InputError
from microgpt.explain.graph import Graph, graph_of
from microgpt.explain.observe import observed
from microgpt.explain.strips import WATCHED, Strip, strips
from microgpt.parameters import parameter_count
from microgpt.run_directory import METRICS, Run, read_metrics
from microgpt.text import BOUNDARY, encode
from microgpt.training import divergence_named
from microgpt.value import Value

HERE = Path(__file__).parent
LARGEST_GRAPH = 2_000_000  # operations; a page of about 60 MB
CURVE_POINTS = 400


@dataclass
class Explanation:
    """A text that went through a model, forward and backward."""

    run: Run
    tokens: list[int]
    graph: Graph
    strips: list[Strip]  # of Values
    instructions: list[dict[str, Any]]  # of the compiler, with the keys of the strips that they compute


def explain(run: Run, text: str) -> Explanation:
    """Run a text through a model on Values, and watch.

    Raises InputError if the text is too short or too long for the model, has a character that it does not know, or
    makes a page larger than anyone would open.
    """
    tokens = tokens_of(run, text)
    loss, weights = loss_of(run, tokens)
    with observed(WATCHED) as recorded_calls:
        program = program_with_sources(loss, run.parameters, np.array([tokens]), np.array([weights]))
    if program.operations > LARGEST_GRAPH:
        fits = len(beginning_that_fits(run, text))
        remedy = f"give a --text of at most {fits} characters" if fits else "this model is too large for one"
        raise InputError(
            f"the text has {len(text)} characters, which take {program.operations:,} operations in this model; "
            f"a page can hold {LARGEST_GRAPH:,}: {remedy}"
        )
    params = {name: map_numbers(Value, array.tolist()) for name, array in run.parameters.items()}
    with divergence_named("in this model", "numbers are not finite"), collector_paused(), observed(WATCHED) as calls:
        result = loss(params, tokens, weights)
    result.backward()
    graph = graph_of(result, [value for tensor in params.values() for value in flat(tensor)])
    made_by = instruction_of_rows(program)
    instructions: list[dict[str, Any]] = [
        {"operation": line.operation, "rows": line.rows, "of": line.operands, "place": line.place, "code": line.code}
        | {"keys": []}  # of the strips that it computes
        for line in described(program)
    ]
    for strip in strips(recorded_calls[0]):
        for i in {made_by[scalar.node] for scalar in strip.scalars if getattr(scalar, "node", None) in made_by}:
            if strip.key not in instructions[i]["keys"]:
                instructions[i]["keys"].append(strip.key)
    named = [strip for strip in strips(calls[0]) if all(scalar in graph.node_of for scalar in strip.scalars)]
    return Explanation(run, tokens, graph, named, instructions)  # what the loss does not depend on has no strip


def loss_of(run: Run, tokens: list[int]) -> tuple[Callable[..., Any], list[float]]:
    """What is explained: the mean loss of the predictions in some tokens, as a function and its last argument."""
    return partial(gpt.loss, config=run.config), [1 / (len(tokens) - 1)] * (len(tokens) - 1)


def beginning_that_fits(run: Run, text: str) -> str:
    """As much of a text as a page can hold: all of it, a beginning, or nothing."""

    def operations(length: int) -> int:
        tokens = tokens_of(run, text[:length])
        loss, weights = loss_of(run, tokens)
        program = program_with_sources(loss, run.parameters, np.array([tokens]), np.array([weights]))
        return int(program.operations)

    least = 1 if run.documents == "lines" else 2  # characters, for a prediction
    lengths = range(least, len(text) + 1)
    fitting = bisect_right(lengths, LARGEST_GRAPH, key=operations)
    return text[: lengths[fitting - 1]] if fitting else ""


def tokens_of(run: Run, text: str) -> list[int]:
    """What the model reads and is to predict. Raises InputError for a text that it cannot read."""
    lines = run.documents == "lines"
    if lines and BOUNDARY in text:
        raise InputError(f"the text {text!r:.80} has a newline in it: this model knows single lines, give one of them")
    room = run.config.n_positions - 1 if lines else run.config.n_positions + 1
    least = 1 if lines else 2
    if not least <= len(text) <= room:
        raise InputError(f"the text has {len(text)} characters: expected {least} to {room}, the context of this model")
    return encode(BOUNDARY + text + BOUNDARY if lines else text, run.vocabulary)


def flat(nested: Any) -> list[Any]:
    """All entries of nested lists, in order."""
    return [entry for part in nested for entry in flat(part)] if isinstance(nested, list) else [nested]


def to_html(explanation: Explanation) -> str:
    """The page, complete in itself."""
    graph, run = explanation.graph, explanation.run
    members: list[int] = []
    named = []
    for strip in explanation.strips:
        nodes = [graph.node_of[scalar] for scalar in strip.scalars]
        named.append([strip.key, strip.position, strip.name, len(members), len(nodes)])
        members += nodes
    arrays = [graph.data, graph.gradient, graph.left, graph.right, np.array(members, np.int32), graph.kind]
    content = {
        "nodes": len(graph.kind),
        "members": len(members),
        "tokens": explanation.tokens,
        "vocabulary": list(run.vocabulary),
        "lines": run.documents == "lines",
        "config": run.config.__dict__,
        "parameters": parameter_count(run.config),
        "tensors": [[name, list(array.shape)] for name, array in run.parameters.items()],
        "strips": named,
        "counts": graph.counts(),
        "instructions": explanation.instructions,
        "sources": sources(),
        "run": run_facts(run),
    }
    packed = base64.b64encode(gzip.compress(b"".join(array.tobytes() for array in arrays), 6, mtime=0)).decode()
    inserts = {
        "style": (HERE / "page.css").read_text(encoding="utf-8"),
        "script": (HERE / "page.js").read_text(encoding="utf-8"),
        "content": json.dumps(content).replace("<", "\\u003c"),  # so that no text can end the element it is in
        "numbers": packed,
    }
    page = (HERE / "page.html").read_text(encoding="utf-8")
    return re.sub("{{(style|script|content|numbers)}}", lambda mark: inserts[mark[1]], page)


def run_facts(run: Run) -> dict[str, Any]:
    """What the page tells about the run: its losses, its settings, a few samples; less for a model of others."""
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
    """The lines of the book that the sections of the page show, each with its file and line."""
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
    """The source of a function without its docstring, or only its lines that begin so."""
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
