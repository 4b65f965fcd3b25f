"""A compiled step continues sequences as a loop in Python does, on any number of lanes and threads."""

from functools import partial

import numpy as np
import pytest

from microgpt.engines.compiled.llvm.machine import machine
from microgpt.engines.compiled.meaning import meaning_of
from microgpt.engines.engine import continuation
from microgpt.functions import dot
from microgpt.value import pick

PLACES, AGAIN, END, ITEMS, MOST = 5, 2, 3, 4, 12
PARAMS = {"table": np.random.default_rng(3).normal(size=(ITEMS, 3))}
MEMORY = [((PLACES, 2), 0), ((3,), None), ((2, PLACES), 1)]


def step(params, item, place, here, random, rows, state, columns):
    """Anything that depends on all that it is given; `rows` and `columns` remember the places before this one."""
    row = pick(params["table"], item)
    seen = [1.0 * (j < here) for j in range(PLACES)]
    remembered = dot(seen, [sum(r) for r in rows]) + sum(dot(seen, column) for column in columns)
    state = [state[1] + row[0], 0.5 * state[2] + row[1], 0.3 * state[0] + 0.1 * remembered + random]
    chosen = 1.0 * (state[2] > 0.2) + 1.0 * (state[2] > 0.6) + 1.0 * (state[0] + random > 0.9)
    return chosen, state[0] + pick([1.0, 2.0, 3.0, 4.0, 5.0], place), [row[1], here], state, [row[2], state[1]]


def continued(params, given, randoms):
    """What the step makes of one sequence, in plain Python."""
    params, items, scores = {"table": params["table"].tolist()}, list(given), [0.0] * len(given)
    at = place = 0
    while len(items) < MOST and (len(items) == len(given) or items[-1] != END):
        if place == 0:
            rows, state, columns = [[9.0] * 2 for _ in range(PLACES)], [0.0] * 3, [[9.0] * PLACES for _ in range(2)]
        random = randoms[at + 1 - len(given)] if at + 1 >= len(given) else 0.0
        chosen, score, rows[place], state, column = step(
            params, items[at], place, float(place), random, rows, state, columns
        )
        for kept, new in zip(columns, column, strict=True):
            kept[place] = new
        at, place = at + 1, place + 1
        if at == len(items):
            items.append(int(chosen))
            scores.append(score)
            if place == PLACES:
                at, place = len(items) - AGAIN, 0
    return items, scores


@pytest.fixture(scope="module")
def given():
    rng = np.random.default_rng(0)
    return rng.integers(0, ITEMS - 1, (150, MOST)), rng.random((150, MOST - 2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("count", "threads"), [(1, 2), (9, 1), (150, 1), (150, 2)])
def test_sequences_go_on_as_in_plain_python(given, count, threads, dtype):
    items, randoms, params = given[0][:count], given[1][:count], {"table": PARAMS["table"].astype(dtype)}
    sequences = continuation(step, MEMORY, PLACES, AGAIN, END, threads).begin(params, items, 2, randoms)
    while sequences.go_on():
        pass
    lengths = set()
    for i in range(count):
        expected, scores = continued(params, items[i, :2].tolist(), randoms[i].tolist())
        known = sequences.known[i]
        assert sequences.items[i, :known].tolist() == expected
        np.testing.assert_allclose(sequences.scores[i, :known], scores, atol=1e-12)
        lengths.add(known)
    assert count < 100 or lengths >= {3, 5, MOST}


def test_a_parameter_may_be_the_score(given):
    for dtype in (np.float32, np.float64):
        sequences = continuation(lambda p, item, *_: (pick(p, item) * 0, p[1]), [], 3, 1)
        sequences = sequences.begin(np.array([2.0, 0.3], dtype), np.zeros((1, 4), int), 1, given[1][:1, :3])
        while sequences.go_on():
            pass
        assert sequences.scores.tolist() == [[0.0] + [float(dtype(0.3))] * 3]


def test_a_call_takes_a_turn_at_first(given):
    sequences = continuation(step, MEMORY, PLACES, AGAIN, END).begin(PARAMS, given[0][:1], 2, given[1][:1])
    known = [2]
    while sequences.go_on():
        known.append(sequences.known[0])
    assert known[:3] == [2, 2, 4]  # one turn, then two


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, -1.0, 2.0])
def test_what_is_no_item_ends_a_sequence(wrong):
    def step(params, item, place, here, random):
        return random, pick(params, item)

    found = continuation(step, [], 9, 1).begin(
        np.zeros(2), np.zeros((2, 5), int), 1, np.array([[1, wrong, 1, 1], [1] * 4])
    )
    while found.go_on():
        pass
    assert found.known.tolist() == [3, 5]
    assert found.items.tolist() == [[0, 1, -1, 0, 0], [0, 1, 1, 1, 1]]


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_score_that_is_not_finite_ends_a_sequence(wrong):
    def step(params, item, place, here, random):
        return pick(params, item), random

    found = continuation(step, [], 9, 1).begin(np.zeros(2), np.zeros((1, 5), int), 1, np.array([[1, wrong, 1, 1]]))
    while found.go_on():
        pass
    assert found.items.tolist() == [[0, 0, -1, 0, 0]]


@pytest.mark.parametrize(
    ("places", "item", "error", "said"),
    [
        (PLACES, ITEMS, IndexError, "item is 4 in row"),
        (PLACES, -1, IndexError, "item is -1 in row"),
        (PLACES + 1, 0, ValueError, "expected 6 places in each"),
    ],
)
def test_items_and_places_beyond_lists_are_refused(given, places, item, error, said):
    with pytest.raises(error, match=said):
        continuation(step, MEMORY, places, AGAIN).begin(PARAMS, np.full((1, MOST), item), 2, given[1][:1])


# What another process has recorded


def limited(params, item, place, here, random, limit):
    return BOUND * (random > limit), pick(params, item)


BOUND = 1.0


def written(limit):
    items = continuation(partial(limited, limit=limit), [], 9, 1).begin(
        np.array([0.1, 0.2]), np.zeros((40, 5), int), 1, np.random.default_rng(0).random((40, 4))
    )
    while items.go_on():
        pass
    return items


def test_a_step_is_recorded_once_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(machine(), "directory", tmp_path)
    first, again, other = written(0.5), written(0.5), written(0.25)
    assert "compiled" in vars(first.of)
    assert "compiled" not in vars(again.of)
    assert "compiled" in vars(other.of)
    assert again.items.tolist() == first.items.tolist() != other.items.tolist()
    assert again.scores.tolist() == first.scores.tolist()


def test_a_kept_step_gives_the_same(given, tmp_path, monkeypatch):
    monkeypatch.setattr(machine(), "directory", tmp_path)
    found = []
    for _ in range(2):
        sequences = continuation(step, MEMORY, PLACES, AGAIN, END).begin(PARAMS, given[0], 2, given[1])
        while sequences.go_on():
            pass
        found.append((sequences.items.tolist(), sequences.scores.tolist()))
    assert "compiled" not in vars(sequences.of)
    assert found[0] == found[1]


def test_a_damaged_file_is_recorded_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(machine(), "directory", tmp_path)
    expected = written(0.5).items.tolist()
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[:-1])
    again = written(0.5)
    assert "compiled" in vars(again.of)
    assert again.items.tolist() == expected


def test_what_a_function_names_is_its_meaning(monkeypatch):
    before = meaning_of(limited)
    assert meaning_of(limited) == before
    monkeypatch.setitem(globals(), "BOUND", 2.0)
    assert meaning_of(limited) != before
    monkeypatch.setitem(globals(), "BOUND", 1.0)
    assert meaning_of(limited) == before
    monkeypatch.setitem(globals(), "pick", lambda table, i: table[0])
    assert meaning_of(limited) != before


def importing(x):
    from random import random

    return x * random()


@pytest.mark.parametrize(
    "function", [importing, lambda x: (x, pytest), lambda x: (x, here), lambda x: print(open), lambda x: globals()[x]]
)
def test_what_could_do_anything_has_no_meaning(function):
    with pytest.raises(TypeError, match="does cannot be told"):
        meaning_of(function)


here = object()
