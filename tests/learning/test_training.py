"""The training loop: it goes down, it changes what it should, and it stops where numbers go astray."""

from functools import partial
from itertools import repeat
from math import inf, nan

import numpy as np
import pytest
from helpers import TINY, as_lists, random_parameters

import microgpt.engines.engine
from microgpt.adam import adam, scheduled_learning_rate
from microgpt.errors import DivergenceError, InputError
from microgpt.functions import dot
from microgpt.gpt import loss
from microgpt.learning.batches import batches, padded
from microgpt.learning.parameters import flatten, initial_parameters, views
from microgpt.learning.training import Schedule, mean_loss, train
from microgpt.value import Value, log

value_and_grad = partial(microgpt.engines.engine.value_and_grad, engine="scalar")
evaluate = partial(microgpt.engines.engine.evaluate, engine="scalar")
tiny_loss = partial(loss, config=TINY)
SEQUENCES = [[0, 1, 2, 0], [0, 3, 3, 4, 0], [0, 2, 0], [0, 4, 1, 2, 3, 4, 0]]
NO_BATCH = repeat(())


def gradients_in_turn(*turns):
    """A value_and_grad that ignores the parameters and gives these gradients, call by call."""
    turn = iter(turns)
    return lambda params: (1.0, next(turn))


def start():
    return {"matrix": np.full((2, 2), 2.0), "vector": np.full(2, 2.0)}


def gradient(scale):
    return {"matrix": np.full((2, 2), scale), "vector": np.full(2, -scale)}


# Learning


def test_training_lowers_the_loss():
    parameters = initial_parameters(TINY, seed=0)
    evaluated = evaluate(tiny_loss)
    before = mean_loss(evaluated, parameters, SEQUENCES)
    schedule = Schedule(steps=40, learning_rate=0.02, warmup=4)
    list(train(value_and_grad(tiny_loss), parameters, batches(SEQUENCES, 2, seed=0), schedule))
    assert mean_loss(evaluated, parameters, SEQUENCES) < before - 0.3


def test_the_parameters_become_views_of_one_vector():
    parameters = start()
    updates = train(gradients_in_turn(gradient(1.0), gradient(1.0)), parameters, NO_BATCH, Schedule(2, 0.1, 0))
    next(updates)
    vector, matrix = parameters["matrix"].base, parameters["matrix"]
    after_one = matrix.copy()
    next(updates)
    assert parameters["vector"].base is vector
    assert parameters["matrix"] is matrix
    assert (matrix != after_one).all()


def test_an_update_tells_loss_rate_and_norm():
    updates = list(train(lambda params: (1.25, gradient(3.0)), start(), NO_BATCH, Schedule(4, 0.1, 2)))
    assert [update.step for update in updates] == [1, 2, 3, 4]
    assert [update.loss for update in updates] == [1.25] * 4
    assert [update.learning_rate for update in updates] == [scheduled_learning_rate(i, 4, 2, 0.1) for i in (1, 2, 3, 4)]
    assert updates[0].gradient_norm == pytest.approx(3.0 * 6**0.5, rel=1e-14)


def test_an_observed_step_tells_of_each_tensor():
    parameters = start()
    parameters["nothing"] = np.zeros(1)
    gradients = gradient(3.0) | {"nothing": np.ones(1)}
    schedule = Schedule(3, 0.1, 0, grad_clip=0.5)
    first, second, _ = train(lambda params: (1.0, gradients), parameters, NO_BATCH, schedule, observed=lambda s: s == 1)
    assert second.tensors == {}
    assert list(first.tensors) == ["matrix", "vector", "nothing"]
    matrix, nothing = first.tensors["matrix"], first.tensors["nothing"]
    assert matrix.gradient_norm == pytest.approx(6.0)  # before clipping
    assert matrix.value_norm == pytest.approx(4.0)  # before the step
    assert matrix.update_ratio == pytest.approx(first.learning_rate / 2.0)  # as Adam's first step is
    assert nothing.update_ratio == inf


def test_observing_changes_nothing_and_repeats_to_the_bit():
    def trained(observed):
        parameters = initial_parameters(TINY, seed=0)
        drawn = batches(SEQUENCES, 2, seed=0)
        list(train(value_and_grad(tiny_loss), parameters, drawn, Schedule(4, 0.02, 1), observed=observed))
        return flatten(parameters).tobytes()

    assert trained(None) == trained(None) == trained(lambda step: True)


# Clipping and decay


@pytest.mark.parametrize(("clip", "factor"), [(2.0, 2.0 / (3.0 * 6**0.5)), (0.0, 1.0), (100.0, 1.0)])
def test_a_gradient_beyond_the_limit_is_shortened(clip, factor):
    parameters = start()
    schedule = Schedule(2, learning_rate=0.1, warmup=0, grad_clip=clip)
    list(train(gradients_in_turn(gradient(3.0), gradient(0.1)), parameters, NO_BATCH, schedule))
    x, m, v = 2.0, 0.0, 0.0
    for step, g in enumerate([3.0 * factor, 0.1], 1):
        x, m, v = adam(x, g, m, v, step, scheduled_learning_rate(step, 2, 0, 0.1))
    assert parameters["matrix"][0, 0] == pytest.approx(x, rel=1e-12)


def test_gradients_that_are_views_stay_unchanged():
    vector = flatten(gradient(3.0))
    of_one_vector, separate = start(), start()
    shapes = {name: array.shape for name, array in separate.items()}
    schedule = Schedule(3, learning_rate=0.1, warmup=0, grad_clip=2.0)
    list(train(lambda params: (1.0, views(vector, shapes)), of_one_vector, NO_BATCH, schedule))
    list(train(lambda params: (1.0, gradient(3.0)), separate, NO_BATCH, schedule))
    assert flatten(of_one_vector).tobytes() == flatten(separate).tobytes()
    assert vector.tolist() == flatten(gradient(3.0)).tolist()


def test_only_matrices_decay():
    parameters = start()
    schedule = Schedule(1, learning_rate=0.1, warmup=1, weight_decay=0.5)
    list(train(gradients_in_turn(gradient(0.0)), parameters, NO_BATCH, schedule))
    assert parameters["matrix"] == pytest.approx(2.0 * (1 - 0.1 * 0.5))
    assert parameters["vector"].tolist() == [2.0, 2.0]


# Divergence


def overflow(params):
    raise OverflowError("too large")


FAILURES = {
    "the loss is nan": lambda params: (nan, gradient(1.0)),
    "the loss is inf": lambda params: (inf, gradient(1.0)),
    "norm nan": lambda params: (1.0, gradient(nan)),
    "norm inf": lambda params: (1.0, gradient(inf)),
    r"log\(0\.0\)": lambda params: (log(0.0), gradient(1.0)),
    r"1e\+200": lambda params: (Value(1e200) ** 2, gradient(1.0)),
    "too large": overflow,
}


@pytest.mark.parametrize(("said", "failure"), FAILURES.items())
def test_divergence_names_the_step_and_leaves_the_parameters(said, failure):
    turns = iter([lambda params: (1.0, gradient(1.0)), failure])
    parameters = start()

    def good_then_bad(params):
        return next(turns)(params)

    updates = train(good_then_bad, parameters, NO_BATCH, Schedule(5, 0.1, 0))
    next(updates)
    after_the_good_step = flatten(parameters)
    with pytest.raises(DivergenceError, match=f"diverged at step 2: .*{said}"):
        next(updates)
    assert flatten(parameters).tobytes() == after_the_good_step.tobytes()


def test_a_fault_of_the_input_is_no_divergence():
    with pytest.raises(InputError, match="batch"):
        next(train(value_and_grad(lambda p, x, y: 0.0), start(), [(np.ones(2), np.ones(3))], Schedule(5, 0.1, 0)))


def broken(params, x):
    raise ValueError("the loss cannot take this")


@pytest.mark.parametrize("function", [broken, lambda p, x: dot([x], [x, x])])
@pytest.mark.parametrize("engine", ["scalar", "compiled"])
def test_a_fault_of_the_loss_comes_through(function, engine):
    with pytest.raises(ValueError, match=r"cannot take this|zip\(\)") as found:
        next(train(value_and_grad(function, engine=engine), start(), [(np.ones(1),)], Schedule(5, 0.1, 0)))
    assert type(found.value) is ValueError


def test_a_nan_validation_loss_is_divergence():
    with pytest.raises(DivergenceError, match=r"^numbers are not finite in this model: the validation loss is nan"):
        mean_loss(lambda params, tokens, weights: np.full(len(tokens), nan), start(), SEQUENCES)


# Means over characters


def test_the_mean_loss_counts_every_character_the_same():
    parameters = random_parameters(TINY)
    losses = [loss(as_lists(parameters), s, [1.0] * (len(s) - 1), TINY) for s in SEQUENCES]
    expected = sum(losses) / sum(len(s) - 1 for s in SEQUENCES)
    for batch_size in (1, 3, 64):
        assert mean_loss(evaluate(tiny_loss), parameters, SEQUENCES, 0, batch_size) == pytest.approx(
            expected, rel=1e-12
        )


def test_validation_meets_few_lengths():
    seen = set()

    def counted(params, tokens, weights):
        seen.add(weights.shape[1])
        return weights.sum(axis=1)

    assert mean_loss(counted, start(), [[1] * n for n in range(2, 270)], batch_size=1) == pytest.approx(1, abs=1e-12)
    assert seen == {*(2**i for i in range(9)), 268}


def test_a_padded_batch_means_over_its_characters():
    parameters = random_parameters(TINY)
    step = value_and_grad(tiny_loss)
    together, gradients = step(parameters, *padded(SEQUENCES, np.float64))
    alone = [step(parameters, *padded([s], np.float64)) for s in SEQUENCES]
    characters = np.array([len(s) - 1 for s in SEQUENCES])
    share = characters / characters.sum()
    assert together == pytest.approx(share @ [mean for mean, _ in alone], rel=1e-12)
    for name, array in gradients.items():
        expected = sum(f * g[name] for f, (_, g) in zip(share, alone, strict=True))
        assert array == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("engine", "said"), [("scalar", "give integers"), ("compiled", r"give tokens\.astype\(int\)")])
def test_tokens_that_are_floats_are_refused(engine, said):
    tokens, weights = padded(SEQUENCES)
    with pytest.raises(TypeError, match=said):
        value_and_grad(tiny_loss, engine=engine)(random_parameters(TINY), tokens.astype(float), weights)
