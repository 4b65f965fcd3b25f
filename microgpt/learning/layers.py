"""The GPT layer by layer, for models that are too large to be compiled whole for every length of a text.

All layers share their code. A batch is several positions of one text: a prompt is read in one pass, what follows one by
one. The lines are those of gpt.py, which is the definition. Keys and values lie in a memory with room for so many
places, which grows; attention leaves out those after its own position.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from math import isfinite, nan, prod, sqrt
from typing import Any

import numpy as np

from microgpt.engines.engine import rows
from microgpt.errors import DivergenceError
from microgpt.functions import Scalar, Vector, cross_entropy, dot, layer_norm, linear, softmax
from microgpt.gpt import GPTConfig, Parameters, add, mlp, named
from microgpt.learning.choosing import COLDEST, Choice
from microgpt.learning.parameters import Arrays, as_vector, parameter_shapes
from microgpt.value import pick

UNSEEN = -1e6  # added to the score of a later place: its exp becomes 0
PLACES, GROWTH = 64, 2  # of the first memory, and how many times as many the next one has
ROWS = 4096  # of the embedding, whose logits are computed together


def embedded(params: Parameters, token: int, position: int) -> Vector:  # -> [n_embd]
    """Return what the first layer reads at a position."""
    return add(pick(params["wte.weight"], token), pick(params["wpe.weight"], position))


def queried(params: Parameters, x: Vector) -> Vector:  # [n_embd] -> [3 * n_embd]
    """Return the query, the key and the value of a position."""
    return linear(layer_norm(x, *named(params, "ln_1")), *named(params, "attn.c_attn"))


def weights_of(memory: Parameters, query: Vector, here: Scalar, n_head: int) -> list[Vector]:  # -> [n_head, places]
    """Return how much each head reads from each place."""
    n, keys = len(query), memory["keys"]
    unseen = [UNSEEN * (place > here) for place in range(len(keys))]
    found = []
    for head in heads_of(n, n_head):
        scale = 1 / sqrt(n // n_head)
        found.append(softmax([dot(query[head], k[head]) * scale + u for k, u in zip(keys, unseen, strict=True)]))
    return found


def attended(memory: Parameters, query: Vector, here: Scalar, n_head: int) -> Vector:  # -> [n_embd]
    """Return what all heads read from the places up to this one."""
    read: Vector = []
    for head, weights in zip(heads_of(len(query), n_head), weights_of(memory, query, here, n_head), strict=True):
        read += [dot(weights, column) for column in zip(*[v[head] for v in memory["values"]], strict=True)]
    return read


def heads_of(n: int, n_head: int) -> list[slice]:
    """Return the share of each head in n numbers."""
    return [slice(h * n // n_head, (h + 1) * n // n_head) for h in range(n_head)]


def thought(params: Parameters, x: Vector, read: Vector) -> Vector:  # [n_embd], [n_embd] -> [n_embd]
    """Return what the next layer reads at a position."""
    x = add(x, linear(read, *named(params, "attn.c_proj")))
    return add(x, mlp(params, "mlp", layer_norm(x, *named(params, "ln_2"))))


def finished(params: Parameters, x: Vector) -> Vector:  # [n_embd] -> [n_embd]
    """Return what the head reads."""
    return layer_norm(x, *named(params, "ln_f"))


def scored(params: Parameters, x: Vector) -> Vector:  # [n_embd] -> [rows]
    """Return the logits of some tokens."""
    return [dot(x, row) for row in params["wte.weight"]]


def surprised(params: Parameters, x: Vector, target: int) -> Scalar:
    """Return the surprise at a token."""
    return cross_entropy(scored(params, x), target)


class Code:
    """The compiled functions for models of one shape, and one type of numbers."""

    def __init__(self, config: GPTConfig):
        n, self.config = config.n_embd, config
        shapes = parameter_shapes(config)
        layer = {name.removeprefix("h.0."): shape for name, shape in shapes.items() if name.startswith("h.0.")}
        x, self.attention, self.rows = ("x", "float", (n,)), dict[Any, Any](), min(ROWS, config.vocab_size)
        picks: list[Any] = [("token", "int", ()), ("position", "int", ())]
        self.embedded = rows(embedded, {name: shapes[name] for name in ("wte.weight", "wpe.weight")}, picks)
        self.queried = rows(queried, layer, [x])
        self.thought = rows(thought, layer, [x, ("read", "float", (n,))])
        self.finished = rows(finished, {name: shapes[name] for name in ("ln_f.weight", "ln_f.bias")}, [x])
        self.surprised = rows(surprised, {"wte.weight": shapes["wte.weight"]}, [x, ("target", "int", ())])
        self.scored = rows(scored, {"wte.weight": (self.rows, n)}, [x])

    def of_memory(self, function: Callable[..., Any], places: int) -> Any:
        """Return a function of a memory with so many places: `attended` or `weights_of`."""
        if (function, places) not in self.attention:
            n = self.config.n_embd
            shapes = {name: (places, n) for name in ("keys", "values")}
            arguments: list[Any] = [("query", "float", (n,)), ("here", "float", ())]
            self.attention[function, places] = rows(partial(function, n_head=self.config.n_head), shapes, arguments)
        return self.attention[function, places]


@lru_cache(maxsize=4)
def code_for(config: GPTConfig) -> Code:
    """Return the code for models of one shape."""
    return Code(config)


class Reader:
    """Reads tokens, and remembers what later ones need of them.

    Attributes:
        position: the place of the next token.
    """

    def __init__(self, config: GPTConfig, parameters: Arrays):
        self.config, self.code, self.position = config, code_for(config), 0
        self.vector = as_vector(parameters)
        sizes = {name: prod(shape) for name, shape in parameter_shapes(config).items()}
        tables = sizes["wte.weight"] + sizes["wpe.weight"]
        layer = sum(size for name, size in sizes.items() if name.startswith("h.0."))
        starts = [tables + layer * i for i in range(config.n_layer + 1)]
        self.tables, self.last = self.vector[:tables], self.vector[starts[-1] :]
        self.layers = [self.vector[start : start + layer] for start in starts[:-1]]
        self.memory = [np.zeros((2, 0, config.n_embd), self.vector.dtype) for _ in self.layers]  # keys, values

    def forget(self) -> None:
        """Begin a new text."""
        self.position = 0

    def make_room(self, places: int) -> None:
        """Let the memory have at least so many places."""
        room = self.memory[0].shape[1]
        if room < places:
            wanted = PLACES
            while wanted < places:
                wanted *= GROWTH
            for layer, memory in enumerate(self.memory):  # one after the other: only one of them is there twice
                larger = np.zeros((2, min(wanted, self.config.n_positions), self.config.n_embd), memory.dtype)
                larger[:, :room] = memory
                self.memory[layer] = larger

    def read(self, tokens: list[int], watch: Callable[..., None] | None = None) -> np.ndarray:
        """Read some tokens in one pass; return what the last layer makes of them, [tokens, n_embd].

        `watch(layer, x, query_and_place)` sees what each layer reads of all positions, and what it looks for.
        """
        n, count = self.config.n_embd, len(tokens)
        places = np.arange(self.position, self.position + count)
        self.make_room(self.position + count)
        attend = self.code.of_memory(attended, self.memory[0].shape[1])
        x = self.code.embedded(self.tables, integers=np.stack([tokens, places], 1))
        for layer, (p, memory) in enumerate(zip(self.layers, self.memory, strict=True)):
            found = self.code.queried(p, x)
            memory[:, places] = found[:, n:].reshape(count, 2, n).swapaxes(0, 1)
            looks = np.column_stack([found[:, :n], places.astype(x.dtype)])
            if watch:
                watch(layer, x, looks)
            x = self.code.thought(p, np.hstack([x, attend(memory.reshape(-1), looks)]))
        self.position += count
        return x

    def weights(self, layer: int, looks: np.ndarray) -> np.ndarray:
        """Return how much each head of a layer reads from each place, [tokens, n_head, places]."""
        places = self.memory[0].shape[1]
        found = self.code.of_memory(weights_of, places)(self.memory[layer].reshape(-1), looks)
        return found.reshape(len(looks), self.config.n_head, places)

    def logits(self, x: np.ndarray) -> np.ndarray:  # [tokens, n_embd] -> [tokens, vocab_size]
        """Return the logits for the token after each one."""
        x, size = self.code.finished(self.last, x), self.config.vocab_size
        found = np.empty((len(x), size), x.dtype)
        for start in range(0, size, self.code.rows):
            start = min(start, size - self.code.rows)
            part = self.vector[start * self.config.n_embd : (start + self.code.rows) * self.config.n_embd]
            found[:, start : start + self.code.rows] = self.code.scored(part, x)
        return found


def mean_surprise(reader: Reader, sequences: Iterable[Sequence[int]]) -> float:
    """Return the mean surprise at all tokens of some sequences but the first of each, in nats."""
    total, count, table = 0.0, 0, reader.vector[: reader.config.vocab_size * reader.config.n_embd]
    for tokens in sequences:
        reader.forget()
        x = reader.code.finished(reader.last, reader.read(list(tokens[:-1])))
        total += float(reader.code.surprised(table, x, np.array(tokens[1:])[:, None]).sum(dtype=np.float64))
        count += len(tokens) - 1
    if not isfinite(total):
        raise DivergenceError("this model's loss is not a finite number: its parameters are too large")
    return total / count


def generated(
    reader: Reader, tokens: list[int], randoms: Iterator[float], choice: Choice
) -> Iterator[tuple[int, float]]:
    """Yield next tokens without end, as `generate` does, which says what comes past the context."""
    config = reader.config
    half, window, new = (config.n_positions + 1) // 2, list(tokens), list(tokens)
    reader.forget()
    for random in randoms:
        if len(window) > config.n_positions:
            window = new = window[-half:]
            reader.forget()
        token, log_probability = drawn(reader.logits(reader.read(new)[-1:])[0], random, choice)
        window, new = [*window, token], [token]
        yield token, log_probability


def drawn(logits: np.ndarray, random: float, choice: Choice) -> tuple[int, float]:
    """Return what `next_token` of choosing.py returns, for many logits. If one is not finite, the second is not."""
    if not np.isfinite(logits).all():
        return 0, nan
    shifted = logits.astype(np.float64) - float(logits.max())
    kept = 1 if choice.is_certain else choice.top_k
    weights = np.exp(shifted / (1.0 if choice.is_certain else max(choice.temperature, COLDEST)))
    if kept is not None and kept < len(logits):
        weights[np.argsort(-shifted, kind="stable")[kept:]] = 0.0
    sums = np.cumsum(weights)
    token = min(int(np.searchsorted(sums, random * sums[-1], "right")), int(np.flatnonzero(weights)[-1]))
    return token, float(shifted[token] - np.log(np.exp(shifted).sum()))
