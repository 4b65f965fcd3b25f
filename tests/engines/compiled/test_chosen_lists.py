"""Lists that a scalar chooses in each turn of a loop: of the new one and the one before, it is one of them."""

from dataclasses import dataclass

import numpy as np
import pytest
from helpers import assert_equal_engines, functions

from microgpt.engines.compiled.listing import program_with_sources
from microgpt.engines.compiled.record import RecordingError
from microgpt.engines.engine import evaluate
from microgpt.functions import tanh

P = np.random.default_rng(0).normal(size=3)


def examples(turns):
    """Two: in the first one no turn chooses the new list, in the second one some do."""
    x = np.random.default_rng(1).normal(size=(2, turns, 3))
    x[0, :, 0] = -abs(x[0, :, 0])
    return x


def turn(p, h, row):
    return [tanh(w * a + b) for w, a, b in zip(p, h, row, strict=True)]


@dataclass
class State:
    h: list
    c: list


class Cell:
    def __init__(self):
        self.h = [0.1] * 3

    def __call__(self, p, row):
        new = turn(p, self.h, row)
        if row[0] > 0:
            self.h = new
        return self.h


def in_a_statement(p, x):
    h = [0.1] * 3
    for row in x:
        new = turn(p, h, row)
        if row[0] > 0:
            h = new
    return sum(h) + sum(new)


def in_an_expression(p, x):
    h, before = [0.1] * 3, [0.0] * 3
    for row in x:
        before, h = h, turn(p, h, row) if row[0] > 0 else h
    return sum(h) + 2 * sum(before)


def in_lists_that_a_loop_makes(p, x):
    h, outs = [0.1] * 3, []
    for row in x:
        h = turn(p, h, row) if row[0] > 0 else h
        outs.append(h)
    return sum(map(sum, outs)) + h[0]


def in_objects(p, x):
    s = State([0.1] * 3, [0.2] * 3)
    for row in x:
        s = State(turn(p, s.h, row), s.c) if row[0] > 0 else State(s.h, turn(p, s.c, row))
    return sum(s.h) + 2 * sum(s.c)


def in_attributes(p, x):
    cell, total = Cell(), 0.0
    for row in x:
        total += cell(p, row)[0]
    return total + sum(cell.h)


def that_change_places(p, x):
    a, b = [0.1] * 3, [0.2] * 3
    for row in x:
        if row[0] > 0:
            a, b = b, a
        a = turn(p, a, row)
    return sum(a) + 2 * sum(b)


def of_lists(p, x):
    h = [[0.1] * 3, [0.3] * 3]
    for row in x:
        new = [turn(p, r, row) for r in h]
        if row[0] > 0:
            h = new
    return sum(map(sum, h))


def that_is_greatest(p, x):
    best = x[0]
    for row in x:
        best = row if sum(row) > sum(best) else best
    return sum([w * a for w, a in zip(p, best, strict=True)])


CHOSEN = (
    in_a_statement, in_an_expression, in_lists_that_a_loop_makes, in_objects, in_attributes, that_change_places,
    of_lists, that_is_greatest,
)  # fmt: skip


@functions(*CHOSEN)
def test_a_loop_carries_a_list_that_a_scalar_chooses(function):
    assert_equal_engines(function, P, examples(7))
    few, many = (program_with_sources(function, P, examples(turns)[:1]).nests for turns in (20, 40))
    assert (len(few.forward), len(few.backward)) == (len(many.forward), len(many.backward))


def the_first_one_changes(p, x):
    first = h = [0.1] * 3
    for row in x:
        h = turn(p, h, row) if row[0] > 0 else h
    first[0] = 5.0 * p[0]
    return sum(h)


def the_first_one_of_a_list_changes(p, x):
    h, outs = [0.1] * 3, []
    held = [h]
    for row in x:
        h = turn(p, h, row) if row[0] > 0 else h
        outs.append(h)
    held[0][0] = p[0]
    return sum(map(sum, outs))


def one_of_an_object_changes(p, x):
    first = s = State([0.1] * 3, [0.2] * 3)
    for row in x:
        s = State(turn(p, s.h, row), s.c) if row[0] > 0 else State(s.h, turn(p, s.c, row))
    first.h[0] = p[0]
    return sum(s.h) + sum(s.c)


def the_last_new_one_changes(p, x):
    h = [0.1] * 3
    for row in x:
        new = turn(p, h, row)
        if row[0] > 0:
            h = new
    new[0] = p[0]
    return sum(h)


def a_row_changes(p, x):
    rows = [[a * 0.5 for a in row] for row in x]
    best = rows[0]
    for row in rows:
        if sum(row) > sum(best):
            best = row
    rows[2][1] = p[2]
    return sum([w * a for w, a in zip(p, best, strict=True)])


def a_row_changes_that_a_list_may_have(p, x):
    rows, outs = [[a * 0.5 for a in row] for row in x], []
    for i, row in enumerate(x):
        outs.append(rows[i] if row[0] < 0 else [a * 0.1 for a in row])
    rows[0][0] = p[0]
    return sum(map(sum, outs))


def a_row_changes_that_a_comprehension_may_have(p, x):
    rows = [[a * 0.5 for a in row] for row in x]
    outs = [row if row[0] < 0 else [a * 0.1 for a in row] for row in rows]
    rows[0][0] = p[0]
    return sum(map(sum, outs))


def what_was_chosen_changes(p, x):
    h = [0.1] * 3
    for row in x:
        h = turn(p, h, row) if row[0] > 0 else h
    h[0] = p[0]
    return sum(h)


@functions(
    the_first_one_changes, the_first_one_of_a_list_changes, one_of_an_object_changes, the_last_new_one_changes,
    a_row_changes, a_row_changes_that_a_list_may_have, a_row_changes_that_a_comprehension_may_have,
    what_was_chosen_changes,
)  # fmt: skip
def test_no_list_changes_that_a_scalar_may_have_chosen(function):
    with pytest.raises(RecordingError, match=r"a row that a recorded scalar chose is (read|changed) at"):
        evaluate(function, verify=False)(P, examples(7))


def a_new_one_that_a_list_holds_changes(p, x):
    h, every_one = [0.1] * 3, []
    for row in x:
        new = turn(p, h, row)
        every_one.append(new)
        if row[0] > 0:
            h = new
    every_one[-1][0] = p[0]
    return sum(h)


def test_a_new_list_that_another_list_holds_is_an_object_of_its_own():
    with pytest.raises(RecordingError, match="a row that a recorded scalar chose is read at"):
        evaluate(a_new_one_that_a_list_holds_changes, verify=False)(P, examples(7))
