"""Loops that carry a state from turn to turn."""

import numpy as np
import pytest
from helpers import assert_equal_engines, functions
from loops import LOOPS, turns

from microgpt.engines.compiled.listing import listing, program_with_sources
from microgpt.engines.compiled.llvm import run
from microgpt.engines.compiled.nodes import Nodes
from microgpt.engines.compiled.record import VIEW
from microgpt.engines.compiled.recorded_numbers import numbers_of
from microgpt.engines.compiled.recording import record_function
from microgpt.engines.engine import evaluate, value_and_grad
from microgpt.engines.trees import leaves_of, map_arrays
from microgpt.functions import tanh


@pytest.mark.parametrize("name", LOOPS)
def test_numbers_of_a_record_follow_its_turns(name):
    function, params, (x, *_) = LOOPS[name]
    record = record_function(function, map_arrays(np.shape, params), [("x", "float", x.shape)])
    flat = np.concatenate([np.ravel(leaf) for leaf in leaves_of(params)])
    row, index = record.outputs[0]
    found = numbers_of(record, flat, np.zeros(0, np.int64), x.ravel())[row][index]
    numbers = map_arrays(lambda array: array.tolist(), params)
    assert abs(found - function(numbers, x.tolist())) < 1e-12


def test_the_listing_shows_loops_as_loops():
    lines = [line[4:20].rstrip() for line in listing(*LOOPS["loop in a loop"]).splitlines()]
    first = lines.index("for t < 6:")
    assert lines[first + 1 : first + 3] == ["  copy", "  for s < 6:"]
    inside = [line for line in lines[first:] if line.startswith("    ")]
    assert "    exp" in inside
    assert not any(line.startswith(" ") for line in lines[first + 3 + len(inside) + 1 :])


def rnn_case(positions, batch, dtype=np.float64):
    function, params, _ = LOOPS["rnn"]
    x = np.random.default_rng(0).normal(size=(batch, positions, 3)).astype(dtype)
    return function, {name: array.astype(dtype) for name, array in params.items()}, x


def test_a_longer_loop_has_no_more_instructions():
    short, long = (program_with_sources(*rnn_case(positions, 1)).nests for positions in (100, 1000))
    assert (len(short.forward), len(short.backward)) == (len(long.forward), len(long.backward))


def test_more_single_states_are_no_more_instructions():
    def permuted(p, x):
        h = [0.5 * w for w in p]
        for a in x:
            h = [tanh(h[(5 * i + 3) % len(p)] * w + a) for i, w in enumerate(p)]
        return sum(h)

    few, many = (program_with_sources(permuted, np.ones(n), np.ones((1, 5))).nests for n in (12, 24))
    assert (len(few.forward), len(few.backward)) == (len(many.forward), len(many.backward))


def test_products_of_a_turn_are_found():
    nests = program_with_sources(*rnn_case(5, 1)).nests
    for some in (nests.forward, nests.backward):
        assert any(nest.product() for nest in some if nest.within)


def test_a_turn_that_nothing_keeps_has_room_for_one():
    """Without a gradient only states are kept, and with one also what it needs of each turn."""
    short, long = (program_with_sources(*rnn_case(positions, 1)) for positions in (100, 200))
    states, inputs, of_inputs = 4, 3, 4
    assert long.memory(False).size - short.memory(False).size == 100 * (states + inputs + of_inputs)
    assert long.memory(True).size > 2 * short.memory(True).size - 100


@pytest.mark.parametrize("batch", [1, 30, 100])
def test_a_loop_gives_the_same_bits_on_threads(batch):
    function, params, x = rnn_case(40, batch, np.float32)
    found = {str(value_and_grad(function, threads=threads, verify=False)(params, x)) for threads in (1, 2, 3, 1)}
    assert len(found) == 1


@pytest.mark.parametrize("engine", ["compiled", "torch"])
def test_outputs_and_states_are_results(engine):
    if engine == "torch":
        pytest.importorskip("torch")

    def outputs(p, x):
        s, every = turns(len(x), 0.5, lambda t, s: (s * p + x[t], [s, x[t]]), outputs=True)
        return every, s

    x = np.random.default_rng(0).normal(size=(3, 5))
    for found, expected in zip(*(evaluate(outputs, e)(np.array(0.9), x) for e in (engine, "scalar")), strict=True):
        assert np.allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_long_loops_take_blocks_of_few_examples(monkeypatch):
    function, params, x = rnn_case(50, 40)
    expected = value_and_grad(function)(params, x)
    monkeypatch.setattr(run, "KEPT", 20_000)
    loss, gradients = value_and_grad(function)(params, x)
    assert abs(loss - expected[0]) < 1e-12
    assert all(np.allclose(gradients[name], array, rtol=0, atol=1e-12) for name, array in expected[1].items())


def test_a_view_may_have_the_number_of_its_index():
    """A state that no turn changes is a view in the end; its index may have, by chance, the number of its row."""

    def loss(p, x):
        a, b = p * p * p, p
        for v in x:
            a = a * v + b
            b = b
        return a

    record = record_function(loss, (), [("x", "float", (5,))])
    assert any(record.kind[row] == VIEW and record.right[row] == row for row in range(len(record)))
    Nodes(record)


def rows_that_stay(p, x):
    h, rows = [0.1] * 3, [[2 * w, w] for w in p]
    for r in x:
        h = [row[0] * a + b for row, a, b in zip(rows, h, r, strict=True)]
        rows = rows if r is not None else []
    return sum(h)


def rows_that_stay_in_variables(p, x):
    h, u, v, w = [0.1] * 3, [2 * p[0]] * 2, [2 * p[1], 1.0], [p[2], 0.5]
    for r in x:
        rows = [u, v, w]
        h = [row[0] * a + b for row, a, b in zip(rows, h, r, strict=True)]
        u, v, w = rows
    return sum(h)


@functions(rows_that_stay, rows_that_stay_in_variables)
def test_rows_that_no_turn_changes_are_read_as_they_are(function):
    x = np.random.default_rng(0).normal(size=(2, 6, 3))
    assert_equal_engines(function, np.array([0.7, -1.2, 0.4]), x)
