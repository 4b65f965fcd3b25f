"""Threads of the caller may use one function, or the same classes, at the same time."""

from threading import Barrier, Event, Thread

import numpy as np

from microgpt import adam_update, evaluate, value_and_grad
from microgpt.engines.compiled.adam import CompiledAdam
from microgpt.engines.tracing import trace
from microgpt.engines.trees import FlatParameters
from microgpt.value import Value, exp


def loss(params, x):
    return sum(w * x_i for w, x_i in zip(params["w"], x, strict=True)) ** 2


def test_threads_share_what_one_of_them_recorded():
    step, together, right = value_and_grad(loss, threads=2), Barrier(4), []

    def use(seed):
        rng = np.random.default_rng(seed)
        params = {"w": rng.normal(size=7)}
        together.wait()
        for _ in range(50):
            x = rng.normal(size=(40, 7))
            found, gradients = step(params, x)
            dots = x @ params["w"]
            right.append(np.isclose(found, (dots**2).mean()))
            right.append(np.allclose(gradients["w"], (2 * dots[:, None] * x).mean(0)))
            assert step.summary()

    threads = [Thread(target=use, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 400
    assert step.own_engine.programs_recorded == 1


def test_a_call_has_its_own_parameters(monkeypatch):
    total, known = evaluate(lambda params, x: params["w"] * x), FlatParameters.are
    first, second = {"w": np.array(2.0)}, {"w": np.array(3.0)}
    assert total(first, np.ones(1)).tolist() == [2.0]

    def are(given, params):
        found = known(given, params)
        if params is first:  # now another thread calls the function
            other = Thread(target=total, args=(second, np.ones(1)))
            other.start()
            other.join()
        return found

    monkeypatch.setattr(FlatParameters, "are", are)
    assert total(first, np.ones(1)).tolist() == [2.0]


def test_two_threads_train_with_one_rule(monkeypatch):
    def arguments(seed):
        parameter, gradient, m, v, decay = np.random.default_rng(seed).uniform(0.1, 1.0, (5, 9))
        return parameter, gradient, m, v, 3, 0.1, decay

    def hold(rule, vectors):
        known(rule, vectors)
        if other.ident is None:
            other.start()
            other.join(0.05)  # in which the other thread has to wait

    expected, given, known = [arguments(0), arguments(1)], [arguments(0), arguments(1)], CompiledAdam.hold
    for one in expected:
        adam_update()(*one)
    rule = adam_update()
    other = Thread(target=rule, args=given[1])
    monkeypatch.setattr(CompiledAdam, "hold", hold)
    rule(*given[0])
    other.join()
    assert [one[0].tolist() for one in given] == [one[0].tolist() for one in expected]


def test_traces_in_two_threads_restore_the_operators():
    before, began, ended = dict(vars(Value)), Event(), Event()

    def function(params):
        if other.ident is None:
            other.start()
            began.wait(0.05)  # in which the other thread has to wait
        else:
            began.set()
            ended.wait(10)
        return exp(params)

    other = Thread(target=trace, args=(function, 1.0, (), Value))
    trace(function, 1.0, (), Value)
    ended.set()
    other.join()
    assert began.is_set()
    assert vars(Value) == before
