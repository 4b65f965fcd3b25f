"""A second length of example takes the program of the first one where only sizes differ, and is then the same program.

In every other case it is recorded and grouped anew, and computes what the scalar engine does.
"""

from functools import partial

import numpy as np
import pytest

from microgpt import exp, largest, pick
from microgpt.engines.compiled.llvm.machine import briefly
from microgpt.engines.compiled.llvm.run import Code, Program
from microgpt.engines.compiled.llvm.schedule import Schedule
from microgpt.engines.engine import value_and_grad
from microgpt.engines.trees import leaves_of
from microgpt.functions import dot
from microgpt.gpt import GPTConfig, loss
from microgpt.learning.parameters import initial_parameters

CONFIG = GPTConfig(vocab_size=11, n_positions=31, n_embd=8, n_layer=2, n_head=2)
RNG = np.random.default_rng(0)
P = {"s": np.array(0.7), "w": RNG.uniform(-1, 1, 3), "table": RNG.uniform(-1, 1, (4, 2))}


def of_elements(p, x, y, t):
    return sum([a * p["s"] + exp(a * b) for a, b in zip(x, y, strict=False)])


def by_slices(p, x, y, t):
    return sum([(a - b) ** 2 * p["s"] for a, b in zip(x[1:], x[:-1], strict=True)]) + sum(y[2:])


def of_a_table(p, x, y, t):
    rows = [[a * b * p["s"] for b in y] for a in x]
    return sum([exp(sum(column)) for column in zip(*rows, strict=True)]) + sum([largest(row) for row in rows])


def of_a_triangle(p, x, y, t):
    seen, total = [], 0
    for a in x:
        seen.append([a * w for w in p["w"]])
        scores = [exp(dot(p["w"], one)) for one in seen]
        total += sum(scores) ** -1 * scores[0]
    return total


def by_integers(p, x, y, t):
    rows = [pick(p["table"], i) for i in t]
    return sum([row[0] * row[1] for row in rows]) * p["s"] + sum(x)


def by_integers_from_results(p, x, y, t):
    return sum([pick([a, a * b, b * p["s"]], i) for a, b, i in zip(x, y, t, strict=False)])


def of_choices(p, x, y, t):
    return sum([max(a, p["s"]) if a > b else b * p["s"] for a, b in zip(x, y, strict=False)])


def by_stores(p, x, y, t):
    out = [0.0] * len(x)
    for i in range(len(x)):
        out[i] = x[i] * p["s"]
    return sum([a * a for a in out])


def of_a_first_item(p, x, y, t):
    return sum([a * p["s"] if i else a * a for i, a in enumerate(x)])


def backwards(p, x, y, t):
    return sum([a * b * p["s"] for a, b in zip(x, reversed(x), strict=True)])


def by_positions(p, x, y, t):
    return sum([a * p["s"] * i for i, a in enumerate(x)])


def on_average(p, x, y, t):
    return sum([a * p["s"] for a in x]) * (1 / len(x))


def of_the_last(p, x, y, t):
    return sum([a * x[-1] * p["s"] for a in x])


def side_by_side(p, x, y, t):
    both = [a * p["s"] for a in x] + [b * b for b in y]
    return sum([a * b for a, b in zip(both[1:], both, strict=False)])


def of_states(p, x, y, t):
    h = 0.0
    for a in x:
        h = exp(a * h * 0.1) * p["s"]
    return h


def in_a_window(p, x, y, t):
    return sum([sum(x[max(0, i - 2) : i + 1]) ** 2 * p["s"] for i in range(len(x))])


def by_length(p, x, y, t):
    return sum([a * p["s"] if len(x) > 6 else a * a for a in x])


def in_parts(p, x, y, t):
    parts = [a * p["s"] for a in x]
    return sum([a * a for a in parts[: len(y)]]) + sum([exp(a) for a in parts[len(y) :]])


def across_rows(p, x, y, t):
    return sum([a * b for row in [[a * w for w in p["w"]] for a in x] for a, b in zip(row[1:], row, strict=False)])


def of_two_lists(p, x, y, t):
    return sum([a * a * p["s"] for a in x]) + sum([b * b * p["s"] for b in y])


def of_two_lists_of_integers(p, t, u):
    return sum([pick(p["table"], i)[0] ** 2 for i in t]) + sum([pick(p["table"], i)[0] ** 2 for i in u])


def of_three_lines(p, x, y, t):
    first, second, third = p["w"]
    return exp(sum([a * first for a in x])) + exp(sum([a * second for a in x])) + exp(sum([a * third for a in x]))


def as_long_as_another(p, x, y, t):
    parts = [exp(a * p["s"]) for a in x]
    return sum([a * a for a in parts[:3]]) + sum([b * parts[3 + i] for i, b in enumerate(y)])


def of_a_flat_list(p, x, y, t):
    flat = [c for row in [[exp(a * w) for w in p["w"]] for a in x] for c in row]
    return sum([a * b for a, b in zip(flat[1:], flat, strict=False)])


def of_rows(p, rows):
    return sum([exp(sum([a * p["s"] for a in row])) for row in rows]) + sum([exp(a) for a in rows[-2]])


UNLIKE = [(9, 7, 5), (8, 6, 9), (12, 10, 2), (7, 6, 5)]  # the lengths of x, y and t
TAKEN = [of_elements, by_slices, of_a_table, of_a_triangle, by_integers, of_choices, by_stores]
ANEW = [backwards, by_positions, on_average, of_the_last, side_by_side, of_states, by_length, by_integers_from_results]
OTHERS = [of_a_first_item, in_a_window, in_parts, across_rows]
SHAPES = {name: array.shape for name, array in P.items()}


def numbers(lengths):
    x, y, t = lengths
    return RNG.uniform(-1, 1, (2, x)), RNG.uniform(-1, 1, (2, y)), RNG.integers(0, 3, (2, t))


def assert_same_numbers(function, all_lengths, params=P, make=numbers):
    """One function, called with examples of these lengths, computes what the scalar engine does; its programs."""
    step = value_and_grad(function, threads=1)
    for lengths in all_lengths:
        arrays = make(lengths)
        (wanted, exact), (found, gradients) = (f(params, *arrays) for f in (value_and_grad(function, "scalar"), step))
        assert abs(found - wanted) <= 1e-12 * max(1, abs(wanted)), lengths
        for ours, theirs in zip(leaves_of(gradients), leaves_of(exact), strict=True):
            assert np.abs(ours - theirs).max() <= 1e-10 * max(1, np.abs(theirs).max()), lengths
    return list(step.own_engine.programs.values())


def code_of(program):
    """All that a program hands to the machine, for one example in double precision and for 8 in single precision."""
    found, memory, nests = [], program.memory(True), program.nests
    for block_size, double in (1, True), (8, False):
        schedule = Schedule(block_size, double, memory, program.groups.constants)
        code = Code(nests.forward + nests.backward, nests, schedule, "derivative")
        found.append((code.shapes, code.arguments, schedule.constants, schedule.cells))
    outputs = [(space, memory(start) if space == "x" else start) for space, start in program.groups.outputs]
    return found, outputs, memory.masked, memory(nests.seed), program.groups.inputs


def assert_same_program(function, shapes, first, second):
    """A program that was taken from that for other arguments is the one that is made afresh."""
    taken = Program(function, shapes, second, others=[Program(function, shapes, first)])
    assert taken.is_resized
    assert code_of(taken) == code_of(Program(function, shapes, second))


def arguments(lengths):
    kinds = zip("xyt", ("float", "float", "int"), lengths, strict=True)
    return [(name, kind, (length,)) for name, kind, length in kinds]


@pytest.mark.parametrize("function", TAKEN)
def test_other_lengths_take_the_same_program(function):
    for lengths in UNLIKE[1:]:
        assert_same_program(function, SHAPES, arguments(UNLIKE[0]), arguments(lengths))


@pytest.mark.parametrize("function", ANEW)
def test_where_more_than_sizes_differs_nothing_is_taken(function):
    before = Program(function, SHAPES, arguments((9, 7, 6)))
    assert not Program(function, SHAPES, arguments((5, 7, 4)), others=[before]).is_resized


@pytest.mark.parametrize("function", TAKEN + ANEW + OTHERS)
def test_other_lengths_give_right_numbers(function):
    with briefly():
        assert_same_numbers(function, [*UNLIKE, (5, 5, 5), (2, 2, 2), (1, 1, 1), (8, 1, 2)])


CHANCE = [(5, 5, 5), (7, 6, 4), (6, 7, 4), (4, 4, 4), (3, 5, 2), (4, 2, 2), (9, 9, 9)]
BY_CHANCE = [of_a_table, by_slices, of_elements, of_two_lists]


@pytest.mark.parametrize(
    ("function", "all_lengths"),
    [
        *[(function, CHANCE) for function in BY_CHANCE],
        (of_three_lines, [(3, 2, 2), (5, 2, 2), (2, 2, 2), (4, 2, 2)]),
        (as_long_as_another, [(9, 6, 2), (9, 5, 2), (9, 4, 2), (12, 9, 2), (12, 6, 2)]),
        (in_parts, [(9, 7, 2), (12, 7, 2), (11, 7, 2), (11, 8, 2)]),
        (of_a_flat_list, [(5, 2, 2), (7, 2, 2), (4, 2, 2), (3, 2, 2)]),
    ],
)
def test_lengths_that_meet_others_by_chance(function, all_lengths):
    """What was as long as something else, or began where that ended, tells nothing of other lengths."""
    with briefly():
        assert_same_numbers(function, all_lengths)


def test_arguments_of_one_kind_move_apart():
    def integers(lengths):
        return tuple([RNG.integers(0, 4, (2, length)) for length in lengths])

    def rows(lengths):
        return (RNG.uniform(-1, 1, (2, *lengths)),)

    first, second = ([("t", "int", (t,)), ("u", "int", (u,))] for t, u in ((5, 6), (8, 4)))
    assert_same_program(of_two_lists_of_integers, SHAPES, first, second)
    with briefly():
        assert_same_numbers(of_two_lists_of_integers, [(5, 5), (7, 7), (6, 3), (4, 3), (8, 5)], make=integers)
        assert_same_numbers(of_rows, [(4, 5), (4, 7), (6, 5), (3, 2), (7, 7)], make=rows)


@pytest.mark.parametrize(("function", "first", "second"), [
    (of_two_lists, (6, 5, 2), (4, 4, 2)),  # which are then one instruction
    (of_a_table, (9, 7, 2), (90, 80, 2)),  # in a larger program more becomes part of something
])  # fmt: skip
def test_what_would_be_other_code_is_made_afresh(function, first, second):
    before = Program(function, SHAPES, arguments(first))
    assert not Program(function, SHAPES, arguments(second), others=[before]).is_resized


@pytest.mark.parametrize("length", [2, 3, 8, 11, 12, 16, 31])
def test_a_gpt_of_another_length(length):
    """It does not matter whether it is longer or shorter, or as long as something else in the model."""
    shapes = {name: array.shape for name, array in initial_parameters(CONFIG, 0).items()}

    def of_length(n):
        return [("tokens", "int", (n + 1,)), ("weights", "float", (n,))]

    assert_same_program(partial(loss, config=CONFIG), shapes, of_length(13), of_length(length))


def test_a_gpt_learns_from_texts_of_many_lengths():
    def text(length):
        return RNG.integers(0, 11, (2, length + 1)), RNG.uniform(0, 1, (2, length))

    with briefly():
        first, *others = assert_same_numbers(
            partial(loss, config=CONFIG), [5, 4, 3, 2, 6], initial_parameters(CONFIG, 0, dtype=np.float64), text
        )
    assert not first.is_resized
    assert all(program.is_resized for program in others)
