"""Steps that are taken together are single steps, to the bit, and end where somebody looks or something goes wrong."""

from functools import partial
from itertools import repeat

import numpy as np
import pytest
from helpers import TINY

from microgpt import (
    DivergenceError,
    OptimizerState,
    Schedule,
    adam_update,
    batches,
    initial_parameters,
    log,
    loss,
    pick,
    train,
    value_and_grad,
)
from microgpt.engines.compiled.llvm.threads import Tuner
from microgpt.engines.compiled.steps import ManySteps
from microgpt.learning.parameters import flatten

SEQUENCES = [[0, 1, 2, 0], [0, 3, 3, 4, 0], [0, 2, 0], [0, 4, 1, 2, 3, 4, 0], [0, 1, 0]]
tiny_loss = partial(loss, config=TINY)


def never(step):
    return False


@pytest.fixture(autouse=True)
def calls(monkeypatch):
    """The number of steps in each call: as many as there can be."""
    taken, run = [], ManySteps.run
    monkeypatch.setattr("microgpt.learning.training.CALL", 1000.0)

    def counted(self, *arguments):
        found = run(self, *arguments)
        taken.append(len(found[0]))
        return found

    monkeypatch.setattr(ManySteps, "run", counted)
    return taken


class Run:
    """Training, and all that it leaves behind."""

    def __init__(self, step, parameters, drawn, schedule, looks, state=None, update=None):
        self.parameters, self.error, self.updates = parameters, None, []
        self.state = state or OptimizerState(0, *(np.zeros_like(flatten(parameters)) for _ in range(2)))
        try:
            for one in train(step, parameters, drawn, schedule, update or adam_update(), self.state, looks=looks):
                self.updates.append(one)
        except Exception as error:
            self.error = error

    def left(self):
        vectors = (flatten(self.parameters), self.state.m, self.state.v)
        return [vector.tobytes() for vector in vectors], self.state.step, self.updates, repr(self.error)


def of_names(looks, dtype=np.float32, size=2, clip=0.5, threads=1, steps=60):
    step = value_and_grad(tiny_loss, threads=threads)
    schedule = Schedule(steps, 0.02, 5, weight_decay=0.1, grad_clip=clip)
    return Run(step, initial_parameters(TINY, 0, dtype), batches(SEQUENCES, size, 0, dtype), schedule, looks)


def assert_same(single, together, calls):
    assert together.left() == single.left()
    assert max(calls) > 1


# The same bits


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("size", "clip", "threads"), [(1, 0.5, 1), (2, 0.0, 1), (5, 1.5, 1), (40, 0.5, 2)])
def test_steps_together_are_single_steps(dtype, size, clip, threads, calls):
    single = of_names(None, dtype, size, clip, threads)
    assert not calls
    assert_same(single, of_names(never, dtype, size, clip, threads), calls)
    norms = [update.gradient_norm for update in single.updates]
    assert min(norms) < 1.5 < max(norms)


def test_several_threads_take_the_same_steps(monkeypatch, calls):
    def in_turn(self, most):
        self.calls += 1
        return most if self.calls % 3 else 1

    monkeypatch.setattr(Tuner, "choose", in_turn)
    looked_at = [
        of_names(looks, np.float32, 40, 0.5, threads) for looks in (None, lambda s: s % 7 == 0) for threads in (1, 2)
    ]
    for run in looked_at:
        assert_same(looked_at[0], run, calls)


def test_loops_that_carry_begin_anew_in_each_step(calls):
    def carried(params, x):
        h = 0.0
        for x_i in x:
            h = params["w"] * h + x_i
        return (h - 1.0) ** 2

    drawn = list(np.random.default_rng(0).normal(size=(60, 3, 4)))
    single, together = (
        Run(value_and_grad(carried), {"w": np.array(0.5)}, ((x,) for x in drawn), Schedule(60, 0.02, 5), looks)
        for looks in (None, never)
    )
    assert_same(single, together, calls)


def test_a_loss_without_arguments_is_taken_together(calls):
    def bowl(params):
        return (params["w"] - 3.0) ** 2

    single, together = (
        Run(value_and_grad(bowl), {"w": np.array(0.5)}, repeat(()), Schedule(60, 0.1, 5), looks)
        for looks in (None, never)
    )
    assert_same(single, together, calls)


def test_losses_near_the_largest_float_go_on(calls):
    def large(params, x):
        return params["w"] * 0.0 + x

    drawn = [(np.array([1e308 if i == 30 else 1.0]),) for i in range(40)]
    single, together = (
        Run(value_and_grad(large), {"w": np.array(0.5)}, iter(drawn), Schedule(40, 0.1, 5), looks)
        for looks in (None, never)
    )
    assert_same(single, together, calls)
    assert together.updates[30].loss == 1e308


# Who looks


def test_a_call_ends_where_somebody_looks(calls):
    single, found = of_names(None, steps=20), []

    def looks(step):
        return step in (13, 17)

    parameters, state = initial_parameters(TINY, 0), OptimizerState(0, *np.zeros((2, single.state.m.size), np.float32))
    schedule = Schedule(20, 0.02, 5, weight_decay=0.1, grad_clip=0.5)
    drawn = batches(SEQUENCES, 2, 0)
    for update in train(value_and_grad(tiny_loss), parameters, drawn, schedule, adam_update(), state, looks=looks):
        assert state.step >= update.step
        if looks(update.step):
            assert state.step == update.step
            found.append(flatten(parameters).tobytes())
    expected = [flatten(of_first(steps).parameters).tobytes() for steps in (13, 17)]
    assert found == expected
    assert max(calls) > 1


def of_first(steps):
    """The first steps of twenty."""
    schedule = Schedule(20, 0.02, 5, weight_decay=0.1, grad_clip=0.5)
    drawn = (batch for batch, _ in zip(batches(SEQUENCES, 2, 0), range(steps), strict=False))
    return Run(value_and_grad(tiny_loss), initial_parameters(TINY, 0), drawn, schedule, None)


def test_a_run_goes_on_from_its_state(calls):
    whole, first = of_names(never), of_first(20)
    schedule = Schedule(60, 0.02, 5, weight_decay=0.1, grad_clip=0.5)
    step, drawn = value_and_grad(tiny_loss), batches(SEQUENCES, 2, 0)
    parameters = initial_parameters(TINY, 0)
    state = OptimizerState(0, *np.zeros((2, first.state.m.size), np.float32))
    for update in train(step, parameters, drawn, schedule, adam_update(), state, looks=lambda step: step == 33):
        if update.step == 33:
            break
    rest = Run(step, parameters, batches(SEQUENCES, 2, 0, drawn_before=33), schedule, never, state)
    assert rest.left()[:2] == whole.left()[:2]
    assert rest.updates == whole.updates[33:]


def test_no_batch_is_drawn_beyond_the_schedule():
    drawn = iter(range(100))
    ones = ((np.array([1.0 + i]),) for i in drawn)
    run = Run(value_and_grad(lambda p, x: (p["w"] - x) ** 2), {"w": np.array(0.5)}, ones, Schedule(30, 0.1, 5), never)
    assert len(run.updates) == 30
    assert next(drawn) == 30


def test_batches_may_reuse_their_arrays(calls):
    def in_one_array():
        array = np.zeros(2)
        for i in range(60):
            array[:] = i, -i
            yield (array,)

    single, together = (
        Run(
            value_and_grad(lambda p, x: (p["w"] - x) ** 2),
            {"w": np.array(0.5)},
            in_one_array(),
            Schedule(60, 0.1, 5),
            looks,
        )
        for looks in (None, never)
    )
    assert_same(single, together, calls)


@pytest.mark.parametrize("how", [{"engine": "scalar"}, {"update": "own"}])
def test_other_engines_and_rules_take_single_steps(how, calls):
    def descent(vector, gradient, m, v, step, rate, decay):
        vector -= rate * gradient

    step = value_and_grad(lambda p, x: (p["w"] - x) ** 2, how.get("engine", "compiled"))
    drawn, update = repeat((np.ones(2),)), descent if "update" in how else adam_update("compiled")
    run = Run(step, {"w": np.array(0.5)}, drawn, Schedule(30, 0.1, 5), never, update=update)
    assert len(run.updates) == 30
    assert not calls


# What goes wrong


def logarithm(params, x, i):
    return log(pick(params["w"], i) * x)


def with_one_wrong(wrong):
    """Batches of three rows, of which one batch is another."""
    rng = np.random.default_rng(0)
    for k in range(60):
        x, i = rng.uniform(0.5, 1.0, 3), np.array([0, 1, k % 2])
        yield wrong(x, i) if k == 40 else (x, i)


def stop():
    raise OSError("no more")


WRONG = {
    "a logarithm": lambda x, i: (x * [1, -1, 1], i),
    "a gradient": lambda x, i: (x * 1e-320, i),
    "an integer": lambda x, i: (x, i + 7),
    "a shape": lambda x, i: (x, i[:2]),
    "a type": lambda x, i: (x, i > 0),
    "a file": lambda x, i: stop(),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_goes_wrong_is_told_as_by_single_steps(wrong, calls):
    single, together = (
        Run(
            value_and_grad(logarithm),
            {"w": np.array([1.0, 2.0])},
            with_one_wrong(WRONG[wrong]),
            Schedule(60, 0.001, 5),
            looks,
        )
        for looks in (None, never)
    )
    assert together.left() == single.left()
    assert calls
    assert len(together.updates) == 40
    assert together.error is not None


def test_a_divergence_names_operation_step_and_row():
    drawn = with_one_wrong(WRONG["a logarithm"])
    run = Run(value_and_grad(logarithm), {"w": np.array([1.0, 2.0])}, drawn, Schedule(60, 0.001, 5), never)
    assert isinstance(run.error, DivergenceError)
    assert "diverged at step 41" in str(run.error)
    assert "log(" in str(run.error)
    assert "row 1" in str(run.error)
