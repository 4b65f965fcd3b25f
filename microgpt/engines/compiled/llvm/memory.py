"""Which results share memory: one whose last reader has run makes room for those that come after.

Cells are numbered as if all results lay side by side. Here each array that lies in memory gets a place in it; what was
computed where it was needed gets none. Arrays with a bound have a place of their own, because the cells beyond the
bound are zero from the beginning, and nothing writes there.
"""

from bisect import bisect_right
from collections.abc import Iterator

from microgpt.engines.compiled.expressions import CELLS, Load, loads_of
from microgpt.engines.compiled.nests import Nest, Region


class Memory:
    """A place for each region; called with the number of a cell, it tells where that lies."""

    def __init__(self, regions: list[Region], nests: list[Nest], alive: list[int]):
        """`alive` are cells that are written before the first nest, or read after the last."""
        regions = sorted(regions, key=lambda region: region.start)
        self.starts = [region.start for region in regions]
        self.offsets = [0] * len(regions)
        first, last = [len(nests)] * len(regions), [-1] * len(regions)
        for step, nest in enumerate(nests):
            for i in {self.region_at(cell) for cell in cells_of(nest)}:
                first[i], last[i] = min(first[i], step), max(last[i], step)
        for cell in alive:
            i = self.region_at(cell)
            first[i], last[i] = -1, len(nests)
        for i, region in enumerate(regions):
            if region.masked and last[i] >= 0:
                first[i], last[i] = -1, len(nests)
        ending = sorted((i for i in range(len(regions)) if last[i] >= 0), key=lambda i: -last[i])  # the next one last
        self.size = 0
        holes: list[tuple[int, int]] = []  # free places: start, size
        place = [0] * len(regions)
        for i in sorted((i for i in range(len(regions)) if last[i] >= 0), key=lambda i: first[i]):
            while ending and last[ending[-1]] < first[i]:
                done = ending.pop()
                if regions[done].size:
                    holes = with_hole(holes, place[done], regions[done].size)
            size = regions[i].size
            fitting = [hole for hole in holes if hole[1] >= size]
            if fitting:
                start, room = min(fitting, key=lambda hole: hole[1])
                holes.remove((start, room))
                if room > size:
                    holes.append((start + size, room - size))
            elif holes and max(holes)[0] + max(holes)[1] == self.size:  # the last one can grow
                start, room = max(holes)
                holes.remove((start, room))
                self.size = start + size
            else:
                start, self.size = self.size, self.size + size
            place[i] = start
            self.offsets[i] = start - regions[i].start
        self.masked = [(place[i], regions[i].size) for i in range(len(regions)) if regions[i].masked and last[i] >= 0]

    def region_at(self, cell: int) -> int:
        return bisect_right(self.starts, cell) - 1

    def __call__(self, cell: int) -> int:
        return cell + self.offsets[self.region_at(cell)]


def cells_of(nest: Nest) -> Iterator[int]:
    """A cell of each array that a nest reads or writes."""
    for load in (nest.target, *loads_of(nest.expression)):
        yield from cells_of_load(load)


def cells_of_load(load: Load) -> Iterator[int]:
    if load.space == CELLS:
        if load.table is None:
            yield load.start
        else:
            yield from load.table.starts.tolist()


def with_hole(holes: list[tuple[int, int]], start: int, size: int) -> list[tuple[int, int]]:
    """Free places with one more, joined with those beside it."""
    joined = []
    for other, room in holes:
        if other + room == start:
            start, size = other, size + room
        elif start + size == other:
            size += room
        else:
            joined.append((other, room))
    return [*joined, (start, size)]
