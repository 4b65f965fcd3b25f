"""Which results share memory: one whose last reader has run makes room for later ones.

Every result has an offset, as if none shared memory. Here each region of offsets that a nest uses gets a place in the
memory of a block. A region with a bound has its place alone, because what lies beyond the bound is zero from the
beginning and nothing writes there.
"""

from bisect import bisect_right, insort
from math import inf

from microgpt.engines.compiled.expressions import CELLS, loads_of
from microgpt.engines.compiled.nest import Array, Nest


class Memory:
    """Where regions lie. Called with the offset of a result, it returns the place."""

    def __init__(self, regions: list[Array], nests: list[Nest], outside: list[int]):
        """`outside` are offsets that are written before the first nest, or read after the last."""
        self.regions = sorted(regions, key=lambda region: region.start)
        self.starts = [region.start for region in self.regions]
        used = [{self.region_at(offset) for offset in offsets} for offsets in (outside, *map(offsets_of, nests))]
        sizes = {i: self.regions[i].size for i in set().union(*used)}
        masked = {i for i in sizes if self.regions[i].bounds}
        always = used[0] | masked  # the first of these are the floats of the examples, which so begin at 0
        self.places = placed(sizes, lifetimes([always, *used[1:], always]))
        self.size = max((place + sizes[i] for i, place in self.places.items()), default=0)
        self.masked = [(self.places[i], sizes[i]) for i in masked]

    def region_at(self, offset: int) -> int:
        return bisect_right(self.starts, offset) - 1

    def __call__(self, offset: int) -> int:
        region = self.region_at(offset)
        return offset - self.starts[region] + self.places[region]


def lifetimes(uses: list[set[int]]) -> dict[int, tuple[int, int]]:
    """The first and the last step that uses each one, in the order of the first step and then of the numbers."""
    found: dict[int, tuple[int, int]] = {}
    for step, used in enumerate(uses):
        for one in sorted(used):
            found[one] = found.get(one, (step, step))[0], step
    return found


def placed(sizes: dict[int, int], lives: dict[int, tuple[int, int]]) -> dict[int, int]:
    """A place for each one, in the smallest gap between those that live then."""
    places: dict[int, int] = {}
    living: list[tuple[int, int, int]] = []  # place, end and last use
    for one, (first, last) in lives.items():
        living = [other for other in living if other[2] >= first]
        gaps = zip([*(place for place, _, _ in living), inf], [0, *(end for _, end, _ in living)], strict=True)
        _, places[one] = min((place - end, end) for place, end in gaps if place - end >= sizes[one])
        insort(living, (places[one], places[one] + sizes[one], last))
    return places


def offsets_of(nest: Nest) -> list[int]:
    """An offset in each region that a nest reads or writes."""
    loads = [load for load in (nest.target, *loads_of(nest.expression)) if load.space == CELLS]
    return [start for load in loads for start in ([load.start] if load.table is None else load.table.starts.tolist())]
