"""How the members of an instruction lie."""

import numpy as np
from helpers import assert_equal_engines

from microgpt import exp
from microgpt.engines.compiled.members import grid_of


def test_members_that_read_nothing_are_a_grid():
    grid = grid_of(np.zeros((3, 0), np.int64))
    assert (grid.counts, grid.steps.shape) == ([3], (1, 0))


def test_lists_that_lie_by_other_steps_stay_apart():
    def loss(p, x):
        y0, y1, y2, y3 = exp(p * x[0]), exp(p * x[1]), exp(p * x[2]), exp(p * x[3])
        rows = [y0, y1, y2], [y3, y2, y1, y0], [y0, y2], [y1, y3], [y2, y1]
        return sum([sum([a * a * (i + 1) for a in row]) ** 1.5 for i, row in enumerate(rows)])

    assert_equal_engines(loss, np.array(0.7), np.linspace(-1, 1, 8).reshape(2, 4))


def test_lists_in_a_list_of_one_lie_by_their_own_steps():
    def chosen(y, z):
        if y > 0.3:
            y = y * 0.7
        else:
            y, z = z * 0.7, y
        return y * -0.3 if y > 0.3 else z

    def loss(p, x):
        row, z = p[0], x[5]
        for i in range(4):
            z = row[i] = exp(-(row[i] + z))
        return sum([sum([chosen(a, p[0][2]) * (i + 1) for i, a in enumerate(row)]) for row in p])

    assert_equal_engines(loss, np.array([[0.7, -0.4, 1.2, 0.1]]), np.linspace(-1, 1, 12).reshape(2, 6), verify=False)
