"""Eleven ways to break the gradients of value.py: the text that is right, and what is wrong in its place."""

from pathlib import Path

import microgpt.value

SOURCE = Path(microgpt.value.__file__).read_text(encoding="utf-8")

BREAKS = {
    "sum loses one side": ('"+", (self, other), (1.0, 1.0)', '"+", (self, other), (1.0, 0.0)'),
    "product rule swapped": ("(other.data, self.data)", "(self.data, other.data)"),
    "power without its factor": ("x**k, k * x ** (k - 1)", "x**k, x ** (k - 1)"),
    "power with its own exponent": ("x**k, k * x ** (k - 1)", "x**k, k * x**k"),
    "logarithm not inverted": ("(1 / self.data,)", "(self.data,)"),
    "exp as if it were straight": ('"exp", (self,), (power,)', '"exp", (self,), (1.0,)'),
    "last contribution wins": ("made_of.grad += derivative", "made_of.grad = derivative"),
    "chain rule without the chain": ("derivative * node.grad", "derivative"),
    "from the inputs to the result": ("in reversed(order)", "in order"),
    "inputs after what they make": ("stack.append((node, True))", "order.append(node)"),
    "shared values visited twice": ("elif node not in seen:", "else:"),
}
