"""Scalars as textbooks write them: a closure and a set for each node, and recursion."""

import math
import sys
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np

from bench import models
from bench.contenders.engines import same_batch
from bench.measure import Step
from microgpt import loss


class TextbookValue:
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


def value_and_grad(function: Callable[..., Any]) -> Callable[..., Any]:
    """Do the same as `value_and_grad`, for one example, with the textbook's scalars."""

    def textbook_largest(items):
        return max(item.data for item in items)

    def loss_and_gradients(params, tokens, weights):
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

    return loss_and_gradients


def step(model: str) -> Step:
    """Return a training step for one sample."""
    sys.setrecursionlimit(1_000_000)  # its backward needs it
    config, parameters, batch = models.task(model, 1)
    return same_batch(value_and_grad(partial(loss, config=config)), parameters, batch)
