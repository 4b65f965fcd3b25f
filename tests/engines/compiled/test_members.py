"""How the members of an instruction lie."""

import numpy as np

from microgpt.engines.compiled.members import grid_of


def test_members_that_read_nothing_are_a_grid():
    grid = grid_of(np.zeros((3, 0), np.int64))
    assert (grid.counts, grid.steps.shape) == ([3], (1, 0))
