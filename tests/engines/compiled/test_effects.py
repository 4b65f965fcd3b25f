"""What a function does outside of itself happens once for an example, also where it is recorded anew."""

import logging
from collections import deque
from itertools import count
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest

from microgpt.engines.engine import value_and_grad


def prints(around):
    print("here")


def logs(around):
    logging.getLogger("effects").warning("here")


def appends(around):
    around.log.append(1)


def adds_to_a_list(around):
    log = around.log
    log += [1]


def sets_an_item(around):
    around.seen["n"] = around.seen.get("n", 0) + 1


def adds_to_an_item(around):
    around.row[0] += 1


def counts_in_an_attribute(around):
    around.calls += 1


def counts_in_a_loop(around):
    for _ in range(9):
        around.calls += 1


def puts_into_a_queue(around):
    around.queue.append(1)


def takes_from_an_iterator(around):
    around.log.append(next(around.numbers))


def draws(around):
    around.log.append(around.random.random())


EFFECTS = [
    prints, logs, appends, adds_to_a_list, sets_an_item, adds_to_an_item, counts_in_an_attribute, counts_in_a_loop,
    puts_into_a_queue, takes_from_an_iterator, draws,
]  # fmt: skip


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.__name__)
def test_an_effect_happens_once(effect, capsys, caplog):
    def left_by(engine):
        around = SimpleNamespace(
            log=[], seen={}, row=[0], calls=0, queue=deque([0], 3), numbers=count(), random=Random(0)
        )

        def loss(p, x):
            effect(around)
            k = 0
            for i in range(8):
                k += i
            effect(around)
            return p * x[k % 4]  # k is needed: the function is recorded anew, with the loop in Python

        value_and_grad(loss, engine, verify=False)(np.array(0.5), np.arange(4.0)[None])
        caught = capsys.readouterr().out, caplog.messages[:]
        caplog.clear()
        around.random, around.numbers = around.random.random(), next(around.numbers)
        return around, caught

    assert left_by("compiled") == left_by("scalar")
