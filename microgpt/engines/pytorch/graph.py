"""A graph of PyTorch's operations, which computes equal values once: `torch.fx.Graph` with what nests need."""

from math import nan, prod
from operator import mul
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import fx

from microgpt.engines.compiled.nest import BATCH


class Tensor(NamedTuple):
    """A node of the graph: [batch, *axes of a nest], of length 1 along those that it does not have."""

    node: fx.Node
    axes: frozenset[int] = frozenset()  # that it has
    ordered: bool = True  # it is contiguous, or would be if nothing were left out
    part: bool = False  # a view of a part of an array


class Graph:
    """Operations on tensors, in order: called with (p, floats, integers, share), whose rows are those of the batch."""

    def __init__(self, dtype: Any):
        self.dtype, self.graph, self.module = dtype, fx.Graph(), torch.nn.Module()
        self.known: dict[str, fx.Node] = {}
        names = ("p", "floats", "integers", "share")
        self.p, self.floats, self.integers, self.share = map(self.graph.placeholder, names)
        self.batch = self.method("size", self.share, 0)

    def finished(self, *results: fx.Node | None) -> fx.GraphModule:
        """The graph as a module that returns these results."""
        self.graph.output(results)
        self.graph.eliminate_dead_code()
        return fx.GraphModule(self.module, self.graph)

    def once(self, kind: str, target: Any, *arguments: Any) -> fx.Node:
        """The node with this operation and these arguments: the one there is, if there is one."""
        key = f"{target} {arguments}"
        if key not in self.known:
            self.known[key] = self.graph.create_node(kind, target, arguments)
        return self.known[key]

    def call(self, function: Any, *arguments: Any) -> fx.Node:
        return self.once("call_function", function, *arguments)

    def method(self, name: str, *arguments: Any) -> fx.Node:
        return self.once("call_method", name, *arguments)

    def permute(self, node: fx.Node, order: list[int]) -> fx.Node:
        if node.target == "permute":
            before: Any = node.args
            node, order = before[0], [before[1][i] for i in order]
        return node if order == sorted(order) else self.method("permute", node, tuple(order))

    def constant(self, array: Any) -> fx.Node:
        array = np.ascontiguousarray(array)
        key = f"{array.dtype} {array.shape} {array.tobytes()!r}"
        if key not in self.known:
            name, numbers = f"constant_{len(self.known)}", torch.from_numpy(array)
            self.module.register_buffer(name, numbers.to(self.dtype) if numbers.is_floating_point() else numbers)
            self.known[key] = self.graph.get_attr(name)
        return self.known[key]

    def zeros(self, *sizes: Any) -> fx.Node:
        return self.graph.call_method("new_zeros", (self.share, sizes))

    def size(self, axes: Any, lengths: tuple[int, ...]) -> Any:
        """The number of indices of some axes together."""
        number = prod(lengths[i] for i in axes if i != BATCH)
        return number if BATCH not in axes else self.call(mul, self.batch, number) if number != 1 else self.batch

    def sizes(self, axes: Any, lengths: tuple[int, ...]) -> tuple[Any, ...]:
        """The shape of a tensor that has some of the axes of a nest."""
        return tuple([self.size([i], lengths) if i in axes else 1 for i in range(BATCH, len(lengths))])

    def expanded(self, value: Tensor, axes: Any, lengths: tuple[int, ...]) -> Tensor:
        """A value that has these axes, too."""
        if axes <= value.axes:
            return value
        node = self.method("expand", value.node, self.sizes(axes | value.axes, lengths))
        return value._replace(node=node, axes=axes | value.axes, ordered=False)

    def unfolded(self, node: fx.Node, order: list[int], lengths: tuple[int, ...]) -> Tensor:
        """A tensor whose numbers lie in some order of axes as one over all axes of a nest."""
        place = [*order, *(i for i in range(BATCH, len(lengths)) if i not in order)]
        sizes = tuple([self.size([i], lengths) if i in order else 1 for i in place])
        axes, ordered = frozenset(order), order == sorted(order)
        if ordered:
            return Tensor(self.method("reshape", node, self.sizes(axes, lengths)), axes)
        node = self.permute(self.method("reshape", node, sizes), [place.index(i) for i in sorted(place)])
        return Tensor(node, axes, False)

    def folded(self, value: Tensor, groups: list[list[int]], lengths: tuple[int, ...]) -> Tensor:
        """A value that has all these axes with one dimension for each group."""
        order = [i for group in groups for i in group]
        order += [i for i in range(BATCH, len(lengths)) if i not in order]
        node = self.permute(value.node, [i + 1 for i in order])
        return Tensor(self.method("reshape", node, tuple([self.size(group, lengths) for group in groups])))

    def reduced(self, name: str, value: Tensor, over: frozenset[int], lengths: tuple[int, ...]) -> Tensor:
        """The sum, or the largest, of a value along some axes."""
        node, own = value.node, over & value.axes
        if own:
            node = self.method(name, node, tuple(sorted(i + 1 for i in own)), True)
        times = self.size(over - own, lengths)
        if name == "sum" and times != 1:
            node = self.call(mul, node, times)
        return Tensor(node, value.axes - over, value.ordered, value.part and node is value.node)

    def index(self, axis: int, lengths: tuple[int, ...]) -> fx.Node:
        """The index of an axis of a nest."""
        return self.method("reshape", self.call(arange, self.share, lengths[axis]), self.sizes([axis], lengths))


def exp(x: torch.Tensor) -> torch.Tensor:
    """The largest number there is in place of an infinity, as in value.py."""
    return torch.exp(x).clamp(max=torch.finfo(x.dtype).max)


def arange(like: torch.Tensor, length: int) -> torch.Tensor:
    return torch.arange(length, device=like.device)


def log(x: torch.Tensor) -> torch.Tensor:
    return torch.log(torch.where(x > 0, x, nan))


def where(condition: torch.Tensor, a: Any, b: Any) -> torch.Tensor:
    """a where the condition is not 0, else b."""
    if not isinstance(a, torch.Tensor) and not isinstance(b, torch.Tensor):
        a = torch.full_like(condition, a)
    return torch.where(condition != 0, a, b)


def power(x: torch.Tensor, k: float) -> torch.Tensor:
    """x ** k, finite wherever it has a float."""
    if k == 0:
        return x * 0.0 + 1.0  # `pow` makes 1 of NaN
    if k == -2:
        return torch.square(torch.reciprocal(x))  # `pow` squares first, which may give an infinity
    simple = {-1.0: torch.reciprocal, -0.5: torch.rsqrt, 0.5: torch.sqrt}
    return simple[k](x) if k in simple else torch.pow(x, k)


def not_finite_as_nan(x: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
    """x; NaN where it or one of the others is not finite."""
    for other in (x, *others):
        x = torch.add(x, other, alpha=0)
    return x


def scaled_sum(x: torch.Tensor, y: torch.Tensor, scale: float) -> torch.Tensor:
    """x + scale * y, in one pass."""
    return torch.add(x, y, alpha=scale)


def copied(x: torch.Tensor) -> torch.Tensor:
    return x.clone(memory_format=torch.contiguous_format)


def written_at(array: torch.Tensor, place: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """An array after a view of it was written."""
    place.copy_(value)
    return array


def added_at(array: torch.Tensor, place: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    place.add_(value)
    return array
