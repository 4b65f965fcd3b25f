"""How fast it is, each way beside the others in one process: python bench.py --help

Speeds are ratios between things measured in turn in the same run, since machines and their moods differ.
"""

import gc
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np

from microgpt import value_and_grad
from microgpt.command_line import option, parse, require, run_script
from microgpt.gpt import GPTConfig, loss
from microgpt.parameters import initial_parameters


@dataclass
class Settings:
    n_embd: int = option(16, "numbers that describe a position")
    n_layer: int = option(1, "blocks of attention and MLP")
    n_head: int = option(4, "attention heads a block")
    letters: int = option(7, "letters of the name, closed by a newline")
    repeats: int = option(5, "measurements of each way, in turn; the median counts")
    seed: int = option(0, "of the parameters and the names")


class TextbookValue:
    """The engine as it is usually written, to be measured against: a closure and a set for each node, recursion."""

    def __init__(self, data, children=()):
        self.data = data
        self.grad = 0.0
        self._backward = lambda: None
        self._prev = set(children)

    def __add__(self, other):
        other = other if isinstance(other, TextbookValue) else TextbookValue(other)
        out = TextbookValue(self.data + other.data, (self, other))

        def _backward():
            self.grad += out.grad
            other.grad += out.grad

        out._backward = _backward
        return out

    def __mul__(self, other):
        other = other if isinstance(other, TextbookValue) else TextbookValue(other)
        out = TextbookValue(self.data * other.data, (self, other))

        def _backward():
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad

        out._backward = _backward
        return out

    def unary(self, data, derivative):
        out = TextbookValue(data, (self,))

        def _backward():
            self.grad += derivative * out.grad

        out._backward = _backward
        return out

    def __pow__(self, k):
        return self.unary(self.data**k, k * self.data ** (k - 1))

    def log(self):
        return self.unary(math.log(self.data), 1 / self.data)

    def exp(self):
        return self.unary(math.exp(self.data), math.exp(self.data))

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + (-other)

    def __rsub__(self, other):
        return -self + other

    __radd__, __rmul__ = __add__, __mul__

    def backward(self):
        order, visited = [], set()

        def visit(node):
            if node not in visited:
                visited.add(node)
                for child in node._prev:
                    visit(child)
                order.append(node)

        visit(self)
        self.grad = 1.0
        for node in reversed(order):
            node._backward()


def textbook_value_and_grad(function: Callable[..., Any]) -> Callable[..., Any]:
    """What `value_and_grad` does, for one example, with the textbook's engine."""

    def textbook_largest(items):
        return max(item.data for item in items)

    def step(params, tokens, weights):
        leaves = {
            name: [[TextbookValue(x) for x in row] for row in array.tolist()]
            if array.ndim == 2
            else [TextbookValue(x) for x in array.tolist()]
            for name, array in params.items()
        }
        with patch("microgpt.functions.largest", textbook_largest):
            result = function(leaves, tokens[0].tolist(), weights[0].tolist())
        result.backward()
        gradients = {
            name: np.array([[v.grad for v in row] if isinstance(row, list) else row.grad for row in rows])
            for name, rows in leaves.items()
        }
        return result.data, gradients

    return step


def measure(ways: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each way, measured in turn so that all meet the same machine."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            gc.collect()
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def main() -> int:
    settings = parse(Settings, "Measure the engines side by side.")
    for name in ("n_embd", "n_layer", "n_head", "letters", "repeats"):
        require(name, getattr(settings, name), getattr(settings, name) >= 1, "a positive integer")
    require("n_embd", settings.n_embd, settings.n_embd % settings.n_head == 0, "a multiple of --n-head")
    positions = settings.letters + 1
    config = GPTConfig(27, max(16, positions), settings.n_embd, settings.n_layer, settings.n_head)
    parameters = initial_parameters(config, settings.seed, np.float64)
    tokens = np.zeros((1, positions + 1), np.int64)
    tokens[:, 1:-1] = np.random.default_rng(settings.seed).integers(1, 27, (1, settings.letters))
    weights = np.full((1, positions), 1 / positions)
    gpt_loss = partial(loss, config=config)
    ours, textbook = value_and_grad(gpt_loss, "scalar"), textbook_value_and_grad(gpt_loss)
    sys.setrecursionlimit(1_000_000)  # the textbook's backward needs it

    same = np.isclose(ours(parameters, tokens, weights)[0], textbook(parameters, tokens, weights)[0], rtol=1e-12)
    assert same, "the two engines disagree about the loss"
    seconds = measure(
        {
            "textbook form": lambda: textbook(parameters, tokens, weights),
            "scalar engine": lambda: ours(parameters, tokens, weights),
        },
        settings.repeats,
    )
    print(f"one training step, n_embd {settings.n_embd}, {settings.n_layer} layer(s), {positions} positions, one name")
    base = median(seconds["textbook form"])
    for name, measured in seconds.items():
        spread = f"{min(measured) * 1e3:.0f} to {max(measured) * 1e3:.0f}"
        print(f"{name:15} {median(measured) * 1e3:7.0f} ms ({spread})   {median(measured) / base:6.1%} of the textbook")
    return 0


if __name__ == "__main__":
    run_script(main)
