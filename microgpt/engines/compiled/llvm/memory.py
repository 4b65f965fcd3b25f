"""Which results share memory: one whose last reader has run makes room for later ones.

Every result has an offset, as if none shared memory. Here each region of offsets that a nest uses gets a place in the
memory of a block. A region with a bound has its place alone, because what lies beyond the bound is zero from the
beginning and nothing writes there. Of what only the turns of one loop use, there is room for one turn.
"""

from bisect import bisect_left, bisect_right, insort
from heapq import heappop, heappush
from math import inf

import numpy as np

from microgpt.engines.compiled.expressions import CELLS, loads_of
from microgpt.engines.compiled.nest import Array, Nest, in_loops


class Memory:
    """Where regions lie. Called with the offset of a result, it returns the place."""

    def __init__(self, regions: list[Array], nests: list[Nest], outside: list[int]):
        """`outside` are offsets that are written before the first nest, or read after the last."""
        self.regions = sorted(regions, key=lambda region: region.start)
        self.starts = [region.start for region in self.regions]
        self.all_starts = np.array(self.starts, np.int64)
        used, looped = [set(map(self.region_at, outside))], set[int]()
        for turns, some in in_loops(nests):  # what a loop uses lives through all of its turns
            each = [self.regions_of(nest) for nest in some]
            used += [set().union(*each)] if turns else each
            looped |= {len(used) - 1} if turns else set()
        lives = lifetimes(used)
        in_tables = set().union(*[self.regions_of(nest, tables_only=True) for nest in nests if nest.within])
        self.sizes = sizes = {
            i: size_of_turn(self.regions[i])
            if first == last and first in looped and i not in in_tables
            else self.regions[i].size
            for i, (first, last) in lives.items()
        }
        masked = {i for i in sizes if self.regions[i].bounds}
        always = used[0] | masked  # the first of these are the floats of the examples, which so begin at 0
        end = len(used)
        lives = dict.fromkeys(sorted(always), (0, end)) | {i: life for i, life in lives.items() if i not in always}
        self.places = placed(sizes, lives)
        numbers = range(len(self.regions))
        self.columns = (
            self.all_starts,
            *(np.array([known.get(i, 1) for i in numbers]) for known in (sizes, self.places)),
        )
        self.size = max((place + sizes[i] for i, place in self.places.items()), default=0)
        self.masked = [(self.places[i], sizes[i]) for i in masked]

    def region_at(self, offset: int) -> int:
        return bisect_right(self.starts, offset) - 1

    def in_one_region(self, first: int, last: int) -> bool:
        """Whether all between two offsets is part of one region."""
        region = self.region_at(first)
        return region >= 0 and region == self.region_at(last) and last < self.starts[region] + self.sizes[region]

    def regions_at(self, offsets: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.all_starts, offsets, "right") - 1

    def regions_of(self, nest: Nest, tables_only: bool = False) -> set[int]:
        """The regions that a nest reads or writes, or of these the ones that it finds by tables."""
        found: set[int] = set()
        for load in (nest.target, *loads_of(nest.expression)):
            if load.space == CELLS and load.table is not None:
                found.update(self.regions_at(load.table.starts).tolist())
            elif load.space == CELLS and not tables_only:
                found.add(self.region_at(load.start))
        return found

    def __call__(self, offset: int) -> int:
        region = self.region_at(offset)
        return (offset - self.starts[region]) % self.sizes[region] + self.places[region]

    def of_table(self, offsets: np.ndarray) -> np.ndarray:
        """The places of many offsets."""
        regions = self.regions_at(offsets)
        starts, sizes, places = (column[regions] for column in self.columns)
        return (offsets - starts) % sizes + places


def size_of_turn(region: Array) -> int:
    """The size of what a turn makes of a region that only one loop uses: each turn makes it anew, unless it is kept."""
    turns, axis = region.within[0]
    apart = region.lengths[axis] * region.strides[axis] == region.size and not (region.bounds or region.state())
    return region.strides[axis] if apart and region.lengths[axis] == turns.length else region.size


def lifetimes(uses: list[set[int]]) -> dict[int, tuple[int, int]]:
    """The first and the last step that uses each one, in the order of the first step and then of the numbers."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for step, used in enumerate(uses):
        first.update(dict.fromkeys(sorted(used.difference(first)), step))
        last.update(dict.fromkeys(used, step))
    return {one: (step, last[one]) for one, step in first.items()}


def placed(sizes: dict[int, int], lives: dict[int, tuple[int, int]]) -> dict[int, int]:
    """A place for each one, in the smallest gap between those that live then."""
    places: dict[int, int] = {}
    gaps: list[tuple[float, int]] = [(inf, 0)]  # the size and the start of each, the smallest first
    ends: dict[int, float] = {0: inf}  # of each gap, by its start
    starts: dict[float, int] = {inf: 0}  # by its end
    living: list[tuple[int, int]] = []  # the last use of each one, and its number: a heap

    def open_gap(start: int, end: float) -> None:
        if start < end:
            insort(gaps, (end - start, start))
            ends[start], starts[end] = end, start

    def close_gap(start: int, end: float) -> None:
        if start < end:
            del gaps[bisect_left(gaps, (end - start, start))], ends[start], starts[end]

    for one, (first, last) in lives.items():
        while living and living[0][0] < first:
            _, done = heappop(living)
            start, end = places[done], places[done] + sizes[done]
            before, after = starts.get(start, start), ends.get(end, end)
            close_gap(before, start)
            close_gap(end, after)
            open_gap(before, after)
        _, start = gaps[bisect_left(gaps, (sizes[one], -1))]
        rest, places[one] = ends[start], start
        close_gap(start, rest)
        open_gap(start + sizes[one], rest)
        heappush(living, (last, one))
    return places
