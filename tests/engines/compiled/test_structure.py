"""The compiler finds the few array instructions of which a function of very many scalars consists."""

import operator
from functools import partial, reduce

import numpy as np
import pytest

from microgpt.engines.compiled.listing import described, program_with_sources, summary
from microgpt.engines.compiled.llvm.memory import lifetimes, placed
from microgpt.engines.compiled.llvm.run import Program
from microgpt.engines.engine import value_and_grad
from microgpt.functions import dot, tanh
from microgpt.gpt import GPTConfig, loss
from microgpt.learning.parameters import initial_parameters, parameter_shapes
from microgpt.value import exp

VOCABULARY = 11


def gpt_program(n_embd=8, n_layer=1, n_head=2, positions=3):
    config = GPTConfig(VOCABULARY, max(positions, 3), n_embd, n_layer, n_head)
    arguments = [("tokens", "int", (positions + 1,)), ("weights", "float", (positions,))]
    return Program(partial(loss, config=config), parameter_shapes(config), arguments)


def count(program):
    return len(program.nests.forward)


# How many instructions


def test_instructions_do_not_depend_on_the_width():
    counts = {n_embd: count(gpt_program(n_embd, positions=8)) for n_embd in (16, 32, 64)}
    assert len(set(counts.values())) == 1, counts


def test_instructions_do_not_depend_on_the_length():
    counts = {positions: count(gpt_program(32, positions=positions)) for positions in (6, 8, 16, 32)}
    assert len(set(counts.values())) == 1, counts


def test_instructions_do_not_depend_on_the_heads():
    counts = {n_head: count(gpt_program(16, n_head=n_head, positions=8)) for n_head in (2, 4, 8)}
    assert len(set(counts.values())) == 1, counts


def test_every_layer_has_as_many_instructions():
    one, two, three, four = (count(gpt_program(16, n_layer, positions=8)) for n_layer in (1, 2, 3, 4))
    assert two - one == three - two == four - three > 0


def test_a_loop_counts_what_its_turns_do():
    def products(p, x):
        total = p[0]
        for i in range(10):
            inner = 0.0
            for j in range(5):
                inner += p[i] * x[j]
            total += inner
        return total

    def triangle(p, x):
        return sum([sum([p[i] * x_j for x_j in x[: i + 1]]) for i in range(5)])

    assert Program(products, (10,), [("x", "float", (5,))]).operations == 10 * (5 * 2 + 1)
    assert Program(triangle, (10,), [("x", "float", (5,))]).operations == 15 * 2 + 5


def test_a_table_by_two_indices_is_made_by_diagonals():
    """Its first row is a loop; of the others, which depend on the row before, those cells go together that can."""

    def table(p, x):
        n = len(x)
        cells = [[p[1]] * n for _ in x]
        for i in range(1, n):
            for j in range(1, n):
                cells[i][j] = exp(-cells[i - 1][j]) + cells[i][j - 1] * p[0] * x[j]
        return cells[-1][-1]

    def nests(n):
        return Program(table, (2,), [("x", "float", (n,))]).nests.forward

    assert len({sum(bool(nest.within) for nest in nests(n)) for n in (8, 16)}) == 1


@pytest.mark.parametrize("add", [operator.add, lambda a, b: a + b])
def test_a_sum_by_reduce_is_a_product(add):
    def squares(p, x):
        return sum([reduce(add, map(operator.mul, row, x)) ** 2 for row in p])

    lines = described(program_with_sources(squares, np.zeros((4, 5)), np.zeros((3, 5))))
    assert "product" in [line.operation for line in lines]


def test_instructions_are_far_fewer_than_operations():
    program = gpt_program(32, positions=8)
    assert program.operations > 1000 * count(program)
    assert count(program) < 100


def test_records_do_not_grow_with_the_width():
    def rows(n_embd):
        return sum(len(i.rows) for i in gpt_program(n_embd, positions=4).groups.instructions)

    assert rows(16) == rows(32) == rows(64)


def test_operations_are_those_of_the_scalar_engine():
    """A product and an addition for each pair of a dot product: sum() adds each term to what it has."""
    program = Program(lambda p, x: dot(p, x), (5,), [("x", "float", (5,))])
    assert program.operations == 10


# Matrix products


def operands(n_embd, positions, n_head=2):
    config = GPTConfig(VOCABULARY, positions, n_embd, 1, n_head)
    tokens, weights = np.zeros((1, positions + 1), np.int64), np.ones((1, positions), np.float32)
    program = program_with_sources(partial(loss, config=config), initial_parameters(config, 0), tokens, weights)
    return [line.operands for line in described(program) if line.operation == "product"]


@pytest.mark.parametrize(("n", "c"), [(16, 5), (32, 8)])
def test_the_products_of_a_gpt_are_found(n, c):
    d = n // 2
    assert operands(n, c) == [
        f"[{3 * n} x {n}] · [{n} x {c}]",
        f"[{c} x {d}] · [{d} x {c}] of each, masked",
        f"[{c} x {c}] · [{c} x {d}] of each, masked",
        f"[{n} x {n}] · [{n} x {c}]",
        f"[{4 * n} x {n}] · [{n} x {c}]",
        f"[{n} x {4 * n}] · [{4 * n} x {c}]",
        f"[{VOCABULARY} x {n}] · [{n} x {c}]",
    ]


def test_a_map_of_one_input_is_a_product():
    program = Program(lambda p, x: [dot(row, x) for row in p], (8, 3), [("x", "float", (3,))])
    assert "1 matrix product" in summary(program)


def test_loops_over_rows_and_columns_are_a_product():
    def by_hand(p, x):
        results = []
        for row in p:
            total = 0.0
            for i in range(12):
                total += row[i] * x[i]
            results.append(total)
        return results

    program = Program(by_hand, (8, 12), [("x", "float", (12,))])
    assert "1 matrix product" in summary(program)


def test_sums_of_sums_are_a_product():
    def convolution(p, x):
        def at(one, i):
            return sum([sum([a * row[i + k] for k, a in enumerate(own)]) for own, row in zip(one, x, strict=True)])

        return [at(one, i) for one in p for i in range(9)]

    program = Program(convolution, (4, 3, 2), [("x", "float", (3, 10))])
    assert count(program) == 1
    assert "1 matrix product" in summary(program)


# Sums and what is not needed


def test_what_no_result_needs_is_not_computed():
    def wasteful(p, x):
        for _ in range(10):
            (p * x + 1.0).exp()
        return p * x

    assert count(Program(wasteful, (), [("x", "float", ())])) == 1


def test_a_sum_of_sums_is_one_instruction():
    program = Program(lambda p, x: 2 * (p * x + 3 * (x - p) * 0.5 - 1) - x * x, (), [("x", "float", ())])
    assert count(program) == 1


def test_a_thousand_additions_are_few_instructions():
    def chain(p, x):
        total = 0
        for i in range(1000):
            total += p[i] * x[i]
        return total

    assert count(Program(chain, (1000,), [("x", "float", (1000,))])) <= 3


# Memory


def test_results_that_live_at_once_lie_apart():
    rng = np.random.default_rng(0)
    for _ in range(50):
        uses = [set(rng.choice(12, 3).tolist()) for _ in range(10)]
        sizes = dict(enumerate(rng.integers(1, 9, 12).tolist()))
        lives = lifetimes(uses)
        places = placed(sizes, lives)
        for one, (first, last) in lives.items():
            assert all(one not in used for step, used in enumerate(uses) if not first <= step <= last)
            for other in lives.keys() - {one}:
                if first <= lives[other][1] and lives[other][0] <= last:
                    assert places[one] + sizes[one] <= places[other] or places[other] + sizes[other] <= places[one]


def test_gradients_reuse_memory_no_longer_needed():
    program = gpt_program(32, n_layer=4, positions=8)
    plan = program.plan(4, np.dtype(np.float64), True)
    assert plan.memory.size < 0.6 * sum(array.size for array in program.nests.arrays)


def test_programs_that_share_memory_stay_apart():
    """The cells beyond a bound must be zero, whoever wrote there before."""
    steps = []
    for positions in (5, 3, 6):
        config = GPTConfig(VOCABULARY, positions, 8, 1, 2)
        rng = np.random.default_rng(positions)
        batch = rng.integers(0, VOCABULARY, (3, positions + 1)), rng.uniform(0.1, 1, (3, positions))
        steps.append((value_and_grad(partial(loss, config=config)), initial_parameters(config, 0, np.float64), batch))
    first = [step(params, *batch) for step, params, batch in steps]
    for _ in range(2):
        for (step, params, batch), (value, gradients) in zip(reversed(steps), reversed(first), strict=True):
            again, found = step(params, *batch)
            assert again == value
            assert all(np.array_equal(found[name], gradients[name]) for name in gradients)


def test_one_program_serves_batches_of_all_sizes():
    def function(params, x, i):
        hidden = [tanh(dot(row, x)) for row in params]
        chosen = i.pick([*hidden, params[0][0]]) * i.pick(params)[1] + params[1][0].exp()
        return chosen * hidden[0] ** 2 + hidden[1].largest(hidden) + (x[0] * x[1] + 2.0) ** -1

    rng = np.random.default_rng(0)
    params, x, i = rng.normal(size=(4, 3)), rng.normal(size=(70, 3)), rng.integers(0, 4, 70)
    step = value_and_grad(function, verify=False)
    expected = [value_and_grad(function, verify=False)(params, x[:n], i[:n]) for n in (70, 1, 33)]
    for (value, gradient), n in zip(expected, (70, 1, 33), strict=True):
        step(params.astype(np.float32), x, i)
        found = step(params, x[:n], i[:n])
        assert found[0] == value
        assert np.array_equal(found[1], gradient)
