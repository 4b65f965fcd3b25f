"""Lists that each turn of a loop changes in place: by a function that gives them back, or row by row.

Each function has the parameters s, a scalar, and w [n]; the example is x [n].
"""

from dataclasses import dataclass

from helpers import assert_equal_engines, assert_one_line, functions, scalar_and_row


def moved(h, a):
    for j in range(len(h)):
        h[j] = 0.5 * h[j] + a
    return h


def moved_rows(m, a):
    for row in m:
        for j in range(len(row)):
            row[j] = 0.5 * row[j] + a
    return m


def new_rows(m, a):
    for i in range(len(m)):
        m[i] = [0.5 * b + a for b in m[i]]
    return m


def added(found, a):
    found.append(a * a)
    return found


def matrix(p):
    return [[p["s"] * i + j for j in range(3)] for i in range(4)]


# What is one line about all turns: longer loops take no more rows


def a_list(p, x):
    h = [p["s"], 1.0, 2.0]
    for a in x:
        h = moved(h, a)
    return sum(h) * h[0]


def a_list_in_a_tuple(p, x):
    def step(state, a):
        h, c = state
        h[0] = 0.5 * h[0] + c[1] * a
        c[1] = c[1] + h[0] * p["s"]
        return h, c

    state = [p["s"], 1.0], [2.0, 1.0]
    for a in x:
        state = step(state, a)
    return sum(state[0]) * sum(state[1])


def a_list_that_grows(p, x):
    found, z = [], 0.0
    for a in x:
        z = z * p["s"] + a
        found = added(found, z)
    return sum(found)


@dataclass
class State:
    h: list
    z: float

    def moved(self, a):
        self.z = self.z * 0.5 + a
        self.h = [b * self.z for b in self.h]
        return self


def an_object(p, x):
    first = state = State([p["s"], 1.0], 0.0)
    for a in x:
        state = state.moved(a)
    return sum(first.h) + state.z * (first is state)


def rows_of_a_matrix(p, x):
    m = matrix(p)
    for a in x:
        m = moved_rows(m, a)
    return sum([sum(row) * row[0] for row in m])


def each_number_of_a_matrix(p, x):
    m = matrix(p)
    for a in x:
        for i in range(4):
            for j in range(3):
                m[i][j] = m[i][j] * p["s"] + a
    return sum([sum(row) * row[0] for row in m])


def new_rows_of_a_matrix(p, x):
    m = matrix(p)
    for a in x:
        m = new_rows(m, a)
    return sum([sum(row) * row[0] for row in m])


def new_rows_of_plain_ones(p, x):
    m = [[0.0] * 3 for _ in range(4)]
    for a in x:
        for i, row in enumerate(m):
            m[i] = [b * p["s"] + a for b in row]
    return sum([sum(row) * row[0] for row in m])


ONE_LINE = (
    a_list, a_list_in_a_tuple, a_list_that_grows, an_object, rows_of_a_matrix, each_number_of_a_matrix,
    new_rows_of_a_matrix, new_rows_of_plain_ones,
)  # fmt: skip


@functions(*ONE_LINE)
def test_longer_loops_take_no_more_rows(function):
    assert_one_line(function)


# Which list it is


def by_two_names(p, x):
    first = h = [p["s"], 1.0]
    for a in x:
        h = moved(h, a + first[0])
    return sum(h) + 2.0 * sum(first) * (h is first)


def of_two_variables(p, x):
    h, c = [p["s"], 1.0], [2.0, 1.0]
    for a in x:
        h, c = moved(c, a), h
    return sum(h) + 3.0 * sum(c)


def another_one_at_times(p, x):
    first = h = [p["s"], 1.0]
    for i, a in enumerate(x):
        h = moved(h, a) if i % 3 else [a, a * h[0]]
    return sum(h) + 3.0 * sum(first)


def if_a_scalar_says_so(p, x):
    h = [p["s"], 1.0]
    for a in x:
        if a > 0.1:
            h = moved(h, a)
    return sum(h) * h[0]


def one_of_two(p, x):
    h, c = [p["s"], 1.0], [2.0, 1.0]
    for a in x:
        c = moved(h, a)
        h = [b * 0.5 for b in c]
    return sum(h) + 3.0 * sum(c)


def rows_that_others_hold(p, x):
    m = matrix(p)
    kept, row = [*m], m[1]
    for a in x:
        m[0][0] = m[0][0] + a
        m = new_rows(m, a)
    return sum([sum(one) for one in m]) + 3.0 * sum([sum(one) for one in kept]) + 5.0 * row[0]


def rows_changed_before_they_are_replaced(p, x):
    m = matrix(p)
    row = m[1]
    for a in x:
        row[0] = row[0] + a
        m[1][1] = m[1][1] * a
        m = new_rows(m, a)
    return sum([sum(one) for one in m]) + 5.0 * row[0] + 7.0 * row[1]


def a_row_that_is_changed_and_replaced(p, x):
    m = [[0.5, 1.0], [2.0, 3.0]]
    row = m[1]
    for a in x:
        m[1][1] = m[1][1] * p["s"] + a
        for i in range(2):
            m[i] = [0.5 * b + a for b in m[i]]
    return sum([sum(one) for one in m]) + 7.0 * row[1]


def rows_some_of_which_stay(p, x):
    m = matrix(p)
    row, last = m[1], m[3]
    for a in x:
        for i in range(2):
            m[i] = [b * 0.5 + a for b in m[i]]
        m = moved_rows(m, a)
    return sum([sum(one) for one in m]) + 5.0 * row[0] + 7.0 * last[1]


def rows_that_change_places(p, x):
    m = matrix(p)
    first = m[0]
    for a in x:
        m[0], m[1] = m[1], m[0]
        m = moved_rows(m, a)
    return sum([sum(one) * i for i, one in enumerate(m)]) + 5.0 * first[0]


def a_row_that_each_turn_finds(p, x):
    m, total = matrix(p), 0.0
    for a in x:
        row = m[2]
        m[1][0] = m[1][0] + row[0]
        row[0] = row[0] * a
        m = moved_rows(m, a)
        total += row[0]
    return sum([sum(one) for one in m]) + total


def within_another_loop(p, x):
    m, h = matrix(p), [p["s"]] * 3
    for a in x:
        for row in m:
            h = moved(h, row[0] * 0.1)
        m = moved_rows(m, h[0] * a)
    return sum([sum(one) for one in m]) + sum(h)


@functions(
    by_two_names, of_two_variables, another_one_at_times, if_a_scalar_says_so, one_of_two, rows_that_others_hold,
    rows_changed_before_they_are_replaced, a_row_that_is_changed_and_replaced, rows_some_of_which_stay,
    rows_that_change_places,
    a_row_that_each_turn_finds, within_another_loop,
)  # fmt: skip
def test_a_list_given_back_is_the_very_one(function):
    assert_equal_engines(function, *scalar_and_row(9), verify=False)
