"""Lists to which turns of a loop add, and tables of which each turn fills a row by the rows before.

Each function has the parameters s, a scalar, and w [n]; the example is x [n].
"""

from helpers import assert_equal_engines, assert_one_line, functions, scalar_and_row

from microgpt.engines.compiled.listing import program_with_sources


def cell(p, h, a):
    return [0.5 * b * p["s"] + a for b in h]


# What is one line about all turns: longer loops take no more rows


def by_a_sum_of_lists(p, x):
    h, rows = [p["s"], 1.0], []
    for a in x:
        h = cell(p, h, a)
        rows = rows + [h]
    return sum([sum(row) * row[0] for row in rows])


def by_a_star(p, x):
    rows = [[p["s"], 1.0]]
    for a in x:
        rows = [*rows, [a, a * p["s"]]]
    return sum([sum(row) * row[0] for row in rows])


def by_an_augmented_sum(p, x):
    rows, numbers = [], []
    for a in x:
        rows += [[a, p["s"]]]
        numbers += [a * p["s"]]
    return sum([sum(row) * b for row, b in zip(rows, numbers, strict=True)])


def by_extend(p, x):
    h, found = [p["s"], 1.0, 2.0], []
    for a in x:
        h = cell(p, h, a)
        found.extend(h)
        found.append(a)
    return sum([a * a for a in found]) + sum([a * b for a, b in zip(found, x, strict=False)])


def two_items_in_each_turn(p, x):
    h, found, rows = [p["s"], 1.0], [], []
    for a in x:
        h = cell(p, h, a)
        found.append(a)
        found.append(a * p["s"])
        rows.append(h)
        rows.append([a, 1.0])
    return sum([a * i for i, a in enumerate(found)]) + sum([sum(row) * row[0] for row in rows]) + h[0]


def a_table_with_a_first_row(p, x):
    table = [[0.0] * 3 for _ in range(len(x) + 1)]
    table[0] = [p["s"], 1.0, 2.0]
    for i, a in enumerate(x):
        for j in range(3):
            table[i + 1][j] = 0.5 * table[i][j] * p["s"] + a
    return sum(table[-1])


def a_table_of_rows_to_be_filled(p, x):
    table = [None] * len(x)
    table[0], table[1] = [p["s"], 1.0], [2.0, x[0]]
    for i in range(2, len(x)):
        table[i] = [0.5 * a * p["s"] + b * x[i] for a, b in zip(table[i - 1], table[i - 2], strict=True)]
    return sum([sum(row) for row in table])


def a_table_from_its_end(p, x):
    n = len(x)
    table = [None] * n + [[p["s"], 1.0]]
    for i in range(n - 1, -1, -1):
        table[i] = cell(p, table[i + 1], x[i])
    return sum(table[0])


def a_forward_algorithm(p, x):
    states = 3
    alpha = [[0.0] * states for _ in x]
    for j in range(states):
        alpha[0][j] = x[0] * p["s"] + j
    for t in range(1, len(x)):
        for j in range(states):
            alpha[t][j] = sum([alpha[t - 1][k] * (0.1 * j + 0.2 * k) for k in range(states)]) * p["s"] + x[t]
    return sum(alpha[-1])


def labels_of_a_text(p, x):
    alpha = [[0.0] * 4 for _ in x]
    alpha[0][0], alpha[0][1] = x[0], p["s"]
    for t in range(1, len(x)):
        for k in range(4):
            total = alpha[t - 1][k]
            if k > 0:
                total = total + alpha[t - 1][k - 1]
            if k > 1:
                total = total + alpha[t - 1][k - 2] * p["s"]
            alpha[t][k] = total * x[t]
    return alpha[-1][3] + alpha[-1][2]


def heat_in_a_rod(p, x):
    u = [[0.0] * 6 for _ in range(len(x) + 1)]
    for j in range(6):
        u[0][j] = x[j]
    for t in range(len(x)):
        for j in range(1, 5):
            u[t + 1][j] = u[t][j] + p["s"] * (u[t][j - 1] - 2 * u[t][j] + u[t][j + 1])
        u[t + 1][0] = u[t + 1][1]
    return sum(u[-1])


def tuples_in_a_table(p, x):
    table = [None] * (len(x) + 1)
    table[0] = ([p["s"], 1.0], 0.5)
    for i, a in enumerate(x):
        h, z = table[i]
        table[i + 1] = cell(p, h, a), z * 0.5 + h[0]
    return sum([sum(h) * z for h, z in table])


def tuples_that_are_appended(p, x):
    found = [([p["s"], 1.0], 0.5)]
    for a in x:
        h, z = found[-1]
        found.append((cell(p, h, a), z * 0.5 + h[0]))
    return sum([sum(h) * z for h, z in found])


ONE_LINE = (
    by_a_sum_of_lists, by_an_augmented_sum, a_table_with_a_first_row, a_table_of_rows_to_be_filled,
    a_table_from_its_end, a_forward_algorithm, labels_of_a_text, heat_in_a_rod,
)  # fmt: skip
WRITTEN_OUT = (  # as lists, in which items of different loops take turns
    by_a_star, by_extend, two_items_in_each_turn, tuples_in_a_table, tuples_that_are_appended,
)  # fmt: skip


@functions(*ONE_LINE)
def test_longer_loops_take_no_more_rows(function):
    assert_one_line(function)


@functions(*ONE_LINE, *WRITTEN_OUT)
def test_longer_loops_take_no_more_instructions(function):
    assert_equal_engines(function, *scalar_and_row(9), verify=False)
    short, long = [program_with_sources(function, *scalar_and_row(n)).nests for n in (60, 90)]
    assert (len(short.forward), len(short.backward)) == (len(long.forward), len(long.backward))


# Which list grows, and which one is filled


def one_of_two_names(p, x):
    first = rows = [p["s"]]
    for a in x:
        rows = rows + [a]
        first.append(a * 2.0)
    return sum(rows) * 0.5 + sum(first)


def the_ones_before(p, x):
    rows, kept = [p["s"]], []
    for a in x:
        kept.append(rows)
        rows = rows + [a]
    kept[0].append(3.0)
    return sum([sum(one) * i for i, one in enumerate(kept)])


def a_window(p, x):
    window, total = [p["s"], 1.0], 0.0
    for a in x:
        window = window + [a]
        window = window[1:]
        total += window[0] * window[1]
    return total


def its_length_between(p, x):
    found, total = [], 0.0
    for a in x:
        found.append(a)
        total += len(found) * a
        found.append(a * p["s"])
        total += len(found)
    return total + sum(found)


def its_length_once_between(p, x):
    found, total = [], 0.0
    for a in x:
        found.append(a)
        total += len(found) * a
        found.append(a * p["s"])
    return total + sum(found)


def what_a_break_leaves_of_an_iterator(p, x):
    pairs, total = enumerate(x), 0.0
    for i, a in pairs:
        if i == 3:
            break
        total = total * p["s"] + a
    return total + sum([a * i for i, a in pairs])


def its_last_item_between(p, x):
    found, total = [p["s"]], 0.0
    for a in x:
        found.append(a * found[-1])
        found.append(a + found[-1])
        total += found[-2] * found[0]
    return total + sum(found)


def by_itself(p, x):
    found = [p["s"]]
    for a in x[:4]:
        found.extend(found)
        found += [a]
    return sum([b * i for i, b in enumerate(found)])


def if_a_scalar_says_so(p, x):
    best = [p["s"], 1.0]
    for a in x:
        if a > 0.1:
            best = [*best[1:], a]
    return sum([b * i for i, b in enumerate(best)])


def at_times(p, x):
    found = []
    for i, a in enumerate(x):
        if i % 2:
            found += [a, p["s"]]
        else:
            found = found + [a]
    return sum([b * i for i, b in enumerate(found)])


def a_row_with_two_places(p, x):
    row = [p["s"], 1.0]
    table = [row, row] + [None] * len(x)
    for i, a in enumerate(x):
        table[i + 2] = [b * a + c for b, c in zip(table[i + 1], table[i], strict=True)]
    row[0] = 9.0
    return sum([sum(one) for one in table])


def a_row_by_another_name(p, x):
    table = [[0.0, p["s"]] for _ in range(len(x) + 1)]
    table[0] = row = [p["s"], 1.0]
    for i, a in enumerate(x):
        row[1] = row[1] + a
        for j in range(2):
            table[i + 1][j] = table[i][j] * 0.5 + a
    return sum([sum(one) for one in table]) + row[0]


def a_row_filled_by_another_name(p, x):
    table = [[0.0, p["s"]] for _ in range(len(x) + 1)]
    table[0] = [1.0, p["s"]]
    later = table[3]
    for i, a in enumerate(x):
        later[0] = later[0] + 1.0
        table[i + 1][1] = table[i][1] * 0.5 + a + table[i][0]
    return sum([sum(one) for one in table])


def some_rows_in_advance(p, x):
    table = [None] * (len(x) + 1)
    table[0], table[5] = [p["s"], 1.0], [3.0, 4.0]
    for i, a in enumerate(x):
        if i != 4:
            table[i + 1] = cell(p, table[i], a)
    return sum([sum(one) for one in table])


def a_row_that_changes_after_it_is_filled(p, x):
    table = [None] * (len(x) + 1)
    table[0] = [p["s"], 1.0]
    for i, a in enumerate(x):
        table[i + 1] = cell(p, table[i], a)
        table[i][0] = table[i][0] * a
    return sum([sum(one) for one in table])


@functions(
    one_of_two_names, the_ones_before, a_window, its_length_between, its_length_once_between,
    what_a_break_leaves_of_an_iterator, its_last_item_between, by_itself,
    if_a_scalar_says_so, at_times, a_row_with_two_places, a_row_by_another_name, a_row_filled_by_another_name,
    some_rows_in_advance, a_row_that_changes_after_it_is_filled,
)  # fmt: skip
def test_no_copy_of_a_list_is_seen(function):
    assert_equal_engines(function, *scalar_and_row(9), verify=False)
