"""Matrix products of any size are what numpy computes, whatever lies along their vectors."""

import numpy as np
import pytest

from microgpt import exp, value_and_grad
from microgpt.engines.compiled.llvm import run, sharing
from microgpt.functions import dot, tanh

SIZES = [
    (1, 2, 3, 4),
    (1, 19, 512, 300),
    (5, 3, 7, 2),
    (16, 16, 16, 16),
    (37, 19, 23, 65),
    (70, 33, 18, 5),
    (9, 5, 71, 300),
]
BLOCKS = [1, 12, 16]  # examples of a block


def marks_of(size):
    """One size of several vectors and a rest is enough for a quick run."""
    return [] if size == (37, 19, 23, 65) else [pytest.mark.slow]


def loss(p, x):
    """Two linear maps, and between them each position sums all so far, weighted by how well they agree."""
    total, so_far = 0, []
    for inputs in x:
        hidden = [dot(row, inputs) for row in p["up"]]
        so_far.append(hidden)
        weights = [dot(hidden, one) for one in so_far]
        mixed = [dot(weights, column) for column in zip(*so_far, strict=True)]
        outputs = [dot(row, mixed) for row in p["down"]]
        total += dot(outputs, outputs)
    return total


def by_numpy(p, x):
    """The same in float64: the mean of the loss, and its gradient."""
    x, up, down = (array.astype(np.float64) for array in (x, p["up"], p["down"]))
    hidden = x @ up.T
    weights = np.tril(hidden @ hidden.swapaxes(1, 2))
    mixed = weights @ hidden
    outputs = mixed @ down.T
    of_outputs = 2 * outputs / len(x)
    of_mixed = of_outputs @ down
    of_weights = np.tril(of_mixed @ hidden.swapaxes(1, 2))
    of_hidden = weights.swapaxes(1, 2) @ of_mixed + (of_weights + of_weights.swapaxes(1, 2)) @ hidden
    gradients = {"up": np.einsum("bti,btj->ij", of_hidden, x), "down": np.einsum("bti,btj->ij", of_outputs, mixed)}
    return (outputs**2).sum() / len(x), gradients


def drawn(size, batch, dtype):
    positions, inputs, hidden, outputs = size
    rng = np.random.default_rng(0)
    p = {"up": rng.normal(0, inputs**-0.5, (hidden, inputs)), "down": rng.normal(0, 1, (outputs, hidden))}
    x = rng.normal(0, 1, (batch, positions, inputs))
    return {name: array.astype(dtype) for name, array in p.items()}, x.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("block_size", BLOCKS)
@pytest.mark.parametrize("size", [pytest.param(size, id=str(size), marks=marks_of(size)) for size in SIZES])
def test_products_of_odd_sizes_are_those_of_numpy(monkeypatch, size, block_size, dtype):
    monkeypatch.setattr(run.Program, "suits_one", lambda *_: False)
    monkeypatch.setattr(run, "block_size_for", lambda *_: block_size)
    p, x = drawn(size, 13, dtype)
    value, gradients = value_and_grad(loss, threads=1, verify=False)(p, x)
    expected, of_numpy = by_numpy(p, x)
    few = 1e-4 if dtype == np.float32 else 1e-12
    assert value == pytest.approx(expected, rel=few)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, of_numpy[name], rtol=0, atol=few * np.abs(of_numpy[name]).max())


def loss_of_pairs(p, x):
    """A linear map whose weights are the first ones of pairs."""
    return sum(sum(pair[0] * x_i for pair, x_i in zip(row, inputs, strict=True)) ** 2 for inputs in x for row in p)


@pytest.mark.parametrize("block_size", BLOCKS)
def test_gradients_may_lie_apart_from_each_other(monkeypatch, block_size):
    monkeypatch.setattr(run.Program, "suits_one", lambda *_: False)
    monkeypatch.setattr(run, "block_size_for", lambda *_: block_size)
    rng = np.random.default_rng(0)
    pairs, x = rng.normal(size=(21, 19, 2)), rng.normal(size=(13, 5, 19))
    _, gradient = value_and_grad(loss_of_pairs, threads=1, verify=False)(pairs, x)
    of_outputs = 2 / len(x) * np.einsum("hi,bti->bth", pairs[..., 0], x)
    expected = np.stack([np.einsum("bth,bti->hi", of_outputs, x), np.zeros((21, 19))], axis=-1)
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_threads_share_few_long_examples_to_the_bit():
    p, x = drawn((80, 33, 18, 5), 3, np.float32)
    steps = [value_and_grad(loss, threads=threads) for threads in (1, 2, 3)]
    found = [step(p, x) for step in steps for _ in range(4)]  # the first calls are on one thread
    (program,) = steps[1].own_engine.programs.values()
    assert [program.plan_for(batch, np.float32, True)[1] for batch in (1, 2, 3, 100)] == [1, 2, 3, 8]
    assert len({(value, *(gradient.tobytes() for gradient in of_all.values())) for value, of_all in found}) == 1


def test_short_examples_share_a_block():
    p, x = drawn((8, 33, 18, 5), 12, np.float32)
    step = value_and_grad(loss)
    step(p, x)
    (program,) = step.own_engine.programs.values()
    assert program.plan_for(12, np.float32, True)[1] == 1


def test_threads_share_one_example_to_the_bit():
    p, x = drawn((70, 260, 300, 250), 1, np.float32)
    step = value_and_grad(loss, threads=1, verify=False)
    value, gradients = step(p, x)
    (program,) = step.own_engine.programs.values()
    vector, floats, integers = step.own_engine.given.vector(), x.reshape(1, -1), np.zeros((1, 0), np.int64)
    for threads in (2, 3):
        plan, gradient = (
            program.plan(1, np.dtype(np.float32), True, threads=threads),
            np.zeros((1, vector.size), np.float32),
        )
        assert len(plan.others) == threads - 1
        for _ in range(3):
            found = plan.run_alone(vector, integers, floats, gradient, threads)
            assert (found[0, 0], gradient[0].tobytes()) == (
                np.float32(value),
                b"".join(array.tobytes() for array in gradients.values()),
            )


@pytest.mark.parametrize("shape", [(20, 300), (48, 9), (64, 100)])
def test_threads_share_what_is_no_product_to_the_bit(monkeypatch, shape):
    """A thread runs its part by the kernel that was chosen for the whole, so sums are added in one order."""

    def of_tables(p, x):
        y = [[exp(a * w) for w in row] for a, row in zip(x, p, strict=True)]
        sums = [tanh(dot(row, own)) + max(row) for row, own in zip(y, p, strict=True)]
        return sum(sums) + sum([exp(-0.01 * sum(column)) for column in zip(*y, strict=True)])

    monkeypatch.setattr(sharing, "MUCH", 100)
    rng, dtype = np.random.default_rng(0), np.dtype(np.float32)
    p, x = rng.normal(size=shape).astype(dtype), rng.normal(size=(1, shape[0])).astype(dtype)
    step = value_and_grad(of_tables, threads=1, verify=False)
    value, gradient = step(p, x)
    (program,) = step.own_engine.programs.values()
    for threads in (2, 3):
        plan, of_all = program.plan(1, dtype, True, threads=threads), np.zeros((1, p.size), dtype)
        found = plan.run_alone(p.ravel(), np.zeros((1, 0), np.int64), x, of_all, threads)
        assert (found[0, 0], of_all.tobytes()) == (dtype.type(value), gradient.tobytes())


def test_a_thread_that_fails_lets_the_others_go(monkeypatch):
    p, x = drawn((70, 260, 300, 250), 1, np.float32)
    step = value_and_grad(loss, threads=1, verify=False)
    value, _ = step(p, x)
    (program,) = step.own_engine.programs.values()
    vector, given = step.own_engine.given.vector(), (np.zeros((1, 0), np.int64), x.reshape(1, -1))
    plan, driver = program.plan(1, np.dtype(np.float32), False, threads=2), None

    def failing(frame):
        if frame.input_count:  # the first thread
            raise KeyboardInterrupt
        driver(frame)

    driver = plan.driver
    monkeypatch.setattr(plan, "driver", failing)
    with pytest.raises(KeyboardInterrupt):
        plan.run_alone(vector, *given, np.zeros((1, 0), np.float32), 2)
    monkeypatch.undo()
    assert plan.run_alone(vector, *given, np.zeros((1, 0), np.float32), 2)[0, 0] == np.float32(value)
