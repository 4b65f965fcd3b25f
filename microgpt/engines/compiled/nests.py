"""All loop nests of a program, forward and backward, and the arrays that they read and write."""

from bisect import bisect_right
from typing import Any

from microgpt.engines.compiled.backward import Backward
from microgpt.engines.compiled.expressions import CELLS, Load
from microgpt.engines.compiled.fuse import Fusion
from microgpt.engines.compiled.groups import Groups
from microgpt.engines.compiled.nest import Array, Nest, is_zero_beyond


class Nests:
    """The nests of a program, in order. `arrays` are all that lie in memory: inputs, results, cotangents."""

    def __init__(self, groups: Groups):
        fusion = Fusion(groups)
        backward = Backward(fusion)
        self.forward, self.backward = list(map(backward.noted, fusion.nests)), backward.nests
        self.made, self.roots, self.known = fusion.made, fusion.roots, fusion.known
        self.cotangents, self.gathered, self.seed = backward.cotangents, backward.gathered, backward.seed
        results = [array for array, whole in zip(groups.arrays, fusion.materialized, strict=True) if whole]
        inputs = [Array(0, (groups.inputs,), (1,))] if groups.inputs else []
        found = [*inputs, *results, Array(self.seed, (), ()), self.gathered, *self.cotangents.values()]
        self.arrays = sorted((array for array in found if array.size), key=lambda array: array.start)
        self.starts = [array.start for array in self.arrays]
        self.zero_beyond: dict[Any, bool] = {}  # what is_zero_beyond gave: layers are alike

    def is_zero_beyond(self, load: Load, nest: Nest) -> bool:
        """Whether a load reads zeros beyond the bounds of a nest."""
        if load.space != CELLS or load.table is not None:
            return False
        array = self.arrays[bisect_right(self.starts, load.start) - 1]
        own = load.start - array.start, load.strides, load.chooser, nest.lengths, nest.bounds
        key = *own, array.lengths, array.strides, array.bounds
        if key not in self.zero_beyond:
            self.zero_beyond[key] = is_zero_beyond(load, nest, array)
        return self.zero_beyond[key]
