"""The content of the page of any loss: arrays of operations, and what its lines made, as JSON."""

import json
import linecache
from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from microgpt.engines.trees import argument_names, leaves_of
from microgpt.errors import InputError
from microgpt.explain.content import differences, like_the_last, packed
from microgpt.explain.noting import LOOPS
from microgpt.explain.program import LARGEST, WHERE
from microgpt.explain.tape import node_of
from microgpt.explain.ways import Batch, Way
from microgpt.value import __file__ as value_file

PACKAGE = Path(value_file).parent
MOST_ITEMS = 300  # of a list that a line shows
MOST_GUARDS = 1000


@dataclass
class Arrays:
    """The arrays of all ways, one behind the other: behind the parameters, their nodes have other numbers here."""

    parameters: int
    kinds: list[np.ndarray] = field(default_factory=list)
    lefts: list[np.ndarray] = field(default_factory=list)
    rights: list[np.ndarray] = field(default_factory=list)
    items: list[int] = field(default_factory=list)
    orders: list[int] = field(default_factory=list)
    constants: list[tuple[int, float]] = field(default_factory=list)
    end: int = 0

    def __post_init__(self) -> None:
        self.end = self.parameters
        self.kinds.append(np.zeros(self.parameters, np.uint8))
        for operands in (self.lefts, self.rights):
            operands.append(np.full(self.parameters, -1, np.int32))

    def add(self, way: Way, words: "Words") -> None:
        """Add a way, and what its lines made."""
        shift, place = self.end - self.parameters, len(self.items)

        def node(own: int) -> int:
            return own + shift if own >= self.parameters else own

        for operands, own, in_items in ((self.lefts, way.left, LARGEST), (self.rights, way.right, WHERE)):
            moved = np.where(way.kind == in_items, own + place, np.where(own >= self.parameters, own + shift, own))
            is_count = (way.kind == LARGEST) & (in_items != LARGEST)
            operands.append(np.where(is_count, own, moved).astype(np.int32))
        self.kinds.append(way.kind)
        self.items += map(node, way.items)
        self.constants += [(node(own), x) for own, x in way.constants]
        back = list(map(node, way.order))
        plain = not back or back == list(range(back[0], back[-1] + 1))
        guards = way.run.tape.guards[:MOST_GUARDS]
        facts = {
            "start": self.end, "end": self.end + len(way.kind), "result": node(way.result),
            "given": list(map(node, way.given)), "order": [len(self.orders), 0 if plain else len(back)],
            "guards": [[node(way.number[test]), int(was), line] for test, was, _, line in guards],
        }  # fmt: skip
        words.ways.append(facts | words.of(way, node))
        self.orders += [] if plain else back
        self.end += len(way.kind)

    def named(self) -> dict[str, np.ndarray]:
        """Return the arrays by the names that the script has for them."""
        kind = np.concatenate(self.kinds)
        return {
            "kind": kind,
            "left": like_the_last(np.concatenate(self.lefts).tolist(), kind),
            "right": like_the_last(np.concatenate(self.rights).tolist(), kind),
            "items": differences(self.items),
            "order": differences(self.orders),
            "constants": np.array([x for _, x in self.constants], np.float64),
            "constantNodes": np.array([node for node, _ in self.constants], np.int32),
        }


def content_of(
    function: Callable[..., Any], arrays: Any, found: Batch, example: tuple[Any, ...]
) -> tuple[dict[str, Any], bytes]:
    """Return what the script knows, for JSON, and all arrays in one piece."""
    leaves = [leaf.ravel().astype(np.float64) for leaf in leaves_of(arrays)]
    parameters = np.concatenate([np.zeros(0), *leaves])
    ways, words = Arrays(len(parameters)), Words()
    for way in found.ways:
        ways.add(way, words)
    packing = {
        "parameters": parameters,
        **ways.named(),
        "examples": np.array([x for _, numbers in found.examples for x in numbers], np.float64),
        "exampleWays": np.array([way for way, _ in found.examples], np.int32),
        "notes": np.frombuffer(words.packed(), np.uint8),
    }
    code: Any = getattr(function, "func", function)
    content = {
        "arrays": [[name, array.dtype.name, len(array)] for name, array in packing.items()],
        "name": getattr(code, "__name__", type(code).__name__),
        "file": named(getattr(getattr(code, "__code__", None), "co_filename", "")),
        "parameters": len(parameters),
        "tensors": tensors_of(arrays),
        "inputs": list(zip(argument_names(function, len(example)), map(np.shape, example), strict=True)),
        "operations": found.operations,
        "examples": len(found.examples),
    }
    return content, packed(packing)


class Words:
    """What the lines made, for JSON: functions, names, values, and for each way its calls and notes."""

    def __init__(self) -> None:
        self.functions: dict[Any, int] = {}
        self.names: dict[Any, int] = {}
        self.values: dict[str, int] = {}
        self.ways: list[dict[str, Any]] = []

    def of(self, way: Way, node: Callable[[int], int]) -> dict[str, Any]:
        """Return the calls, notes and choices of a way; `node` gives the number that a node has in the page."""

        def number(on_tape: int) -> int:
            return node(way.number[on_tape])

        run = way.run
        calls = [[self.index(self.functions, call.place), call.by, call.line, call.at] for call in run.calls]
        notes = [
            [note.call, note.kind, note.line, self.index(self.names, note.names), note.under]
            + [self.index(self.values, json.dumps(written(value, number))) for value in note.values]
            for note in run.notes
        ]
        return {
            "calls": calls,
            "notes": notes,
            "choices": [[around, number(test), int(holds)] for around, test, holds in run.choices],
        }

    def index(self, known: dict[Any, int], key: Any) -> int:
        return known.setdefault(key, len(known))

    def packed(self) -> bytes:
        """Return all of it as JSON."""
        words = {
            "functions": [function_of(place) for place in self.functions],
            "names": list(self.names),
            "values": [json.loads(value) for value in self.values],
            "ways": self.ways,
        }
        return json.dumps(words, separators=(",", ":")).encode()


def named(file: str) -> str:
    """Return the name of a file, as a reader knows it: that of a notebook's cell is a number."""
    return "a cell" if Path(file).parent.name.startswith("ipykernel_") else Path(file).name


def function_of(place: Any) -> dict[str, Any]:
    """Return the name, file, lines and loops of a function."""
    file, first, name, last = place
    return {
        "name": name,
        "file": named(file),
        "first": first,
        "lines": [line.rstrip() for line in linecache.getlines(file)[first - 1 : last]],
        "loops": LOOPS.get((file, first, name), []),
        "library": str(Path(file)).startswith(str(PACKAGE)),
    }


def written(value: Any, number: Callable[[int], int]) -> Any:
    """Return a value for JSON: a node, a list, {"s": words}, {"n": a plain number}, or {"d": a dict}.

    Nodes in equal steps are {"r": the first, the step, how many}. Of a long list only the first items are there.
    """
    own = node_of(value)
    if own is not None:
        return number(own)
    if isinstance(value, dict):
        return {"d": {key: written(one, number) for key, one in value.items()}}
    if isinstance(value, list):
        found = [written(one, number) for one in value[:MOST_ITEMS]]
        steps = set(np.diff(found).tolist()) if len(found) > 3 and all(type(one) is int for one in found) else set()
        shown: Any = {"r": [found[0], steps.pop(), len(found)]} if len(steps) == 1 else found
        return shown if len(value) <= MOST_ITEMS else {"l": shown, "more": len(value) - MOST_ITEMS}
    if isinstance(value, float) and not isfinite(value):
        return {"s": str(value)}
    return {"n": value} if isinstance(value, (int, float)) and not isinstance(value, bool) else {"s": str(value)}


def tensors_of(arrays: Any, name: str = "") -> list[tuple[str, list[int]]]:
    """Return the name and shape of each parameter array, in order."""
    if isinstance(arrays, dict):
        named = [(str(key) if not name else f"{name}.{key}", entry) for key, entry in arrays.items()]
        return [found for key, entry in named for found in tensors_of(entry, key)]
    shape = shape_of(arrays)
    if shape is None:
        return [found for i, entry in enumerate(arrays) for found in tensors_of(entry, f"{name}[{i}]")]
    return [(name or "params", shape)]


def shape_of(entries: Any) -> list[int] | None:
    """Return the shape of an array, or of single numbers in lists of equal lengths; None for another nesting."""
    if not isinstance(entries, list):
        return None if isinstance(entries, dict) else list(entries.shape)
    if any(leaf.ndim for leaf in leaves_of(entries)):  # each is an array of its own
        return None
    shapes = [shape_of(entry) for entry in entries]
    same = shapes and shapes[0] is not None and shapes.count(shapes[0]) == len(shapes)
    return [len(shapes), *(shapes[0] or [])] if same else None


def plane_of(plane: Callable[..., Any] | None, found: Batch) -> dict[str, Any] | None:
    """Return where in the page the result of a function of a point is. Raises InputError if the loss does not call it.

    All examples have to take the same operations then.
    """
    if plane is None:
        return None
    way = found.ways[0]
    calls = {i for i, call in enumerate(way.run.calls) if call.place[2] == plane.__name__}
    results = [note.values[0] for note in way.run.notes if note.kind == "returned" and note.call in calls]
    if not results or node_of(results[0]) is None or len(found.ways) > 1 or len(way.given) < 2:
        raise InputError(
            f"no plane can be drawn of {plane.__name__}: expected a function that the loss calls, and that makes one "
            "scalar of two numbers, by the same operations for each example"
        )
    return {"node": way.number[results[0].node]}
