"""Dicts that turns of a loop make: what carries state, and what lists hold.

Each function has the parameters s, a scalar, and w [n]; the example is x [n].
"""

import pytest
from helpers import assert_equal_engines, assert_one_line, functions, scalar_and_row

from microgpt.engines.compiled.record import RecordingError
from microgpt.engines.engine import value_and_grad


def cell(p, state, v):
    return {"h": [a * p["s"] + v * b for a, b in zip(state["h"], state["c"], strict=True)],
            "c": [b * 0.5 + v for b in state["c"]]}  # fmt: skip


def new_state(p):
    return {"h": [p["s"], 1.0], "c": [0.5, 2.0]}


def result(state):
    return sum(state["h"]) - 2.0 * sum(state["c"])


# What is one line about all turns: longer loops take no more rows


def made_anew(p, x):
    state = new_state(p)
    for v in x:
        state = cell(p, state, v)
    return result(state)


def spread_into_a_new_one(p, x):
    state = new_state(p)
    for v in x:
        state = {**state, "h": [a * v for a in state["h"]]}
        state = {**state, "c": [a + b for a, b in zip(state["h"], state["c"], strict=True)]}
    return result(state)


def merged_with_another_one(p, x):
    state = new_state(p)
    for v in x:
        state = state | {"h": [a * v + p["s"] for a in state["h"]]}
        state |= {"c": [b * 0.9 + state["h"][0] for b in state["c"]]}
    return result(state)


def by_a_comprehension(p, x):
    state = new_state(p)
    for v in x:
        state = {name: [a * p["s"] + v for a in row] for name, row in state.items()}
    return result(state)


def changed_copies(p, x):
    state = new_state(p)
    for v in x:
        one, other = state.copy(), dict(state)
        one["h"] = [a * v for a in state["h"]]
        other["c"] = [b * p["s"] for b in one["h"]]
        state = dict(one, c=other["c"])
    return result(state)


def updated(p, x):
    state, sums = new_state(p), {}
    for v in x:
        new = {}
        new.update(h=[a * v for a in state["h"]], c=state["c"])
        new.update({"c": [b + sums.get("none", v) for b in new["c"]]})
        new.setdefault("h", None)
        state = new
    return result(state)


def as_arguments(p, x):
    def step(v, h, c):
        return {"h": [a * p["s"] + v for a in h], "c": [a * b for a, b in zip(h, c, strict=True)]}

    state = new_state(p)
    for v in x:
        state = step(v, **state)
    return result(state)


def dicts_in_dicts(p, x):
    layers = {"first": new_state(p), "second": {"h": [0.0, 0.0], "c": [1.0, p["s"]]}}
    for v in x:
        first = cell(p, layers["first"], v)
        layers = {"first": first, "second": cell(p, layers["second"], first["h"][0])}
    return result(layers["first"]) * result(layers["second"])


def descent(p, x):
    rate, q = 0.1, {"a": p["s"], "b": p["w"]}
    for v in x:
        slopes = {"a": q["a"] - v, "b": [b * v for b in q["b"]]}
        q = {"a": q["a"] - rate * slopes["a"], "b": [b - rate * d for b, d in zip(q["b"], slopes["b"], strict=True)]}
    return q["a"] + sum(q["b"])


def a_list_of_dicts(p, x):
    bodies = [{"at": v, "speed": p["s"] * v} for v in x]
    moved = [{"at": one["at"] + 0.1 * one["speed"], "speed": one["speed"]} for one in bodies]
    return sum([one["at"] * one["speed"] for one in moved])


def outputs(p, x):
    state, states = new_state(p), []
    for v in x:
        state = cell(p, state, v)
        states.append(state)
    return sum([result(one) for one in states])


def outputs_in_tuples(p, x):
    h, c, rows = [p["s"], 1.0], [0.5, 2.0], []
    for v in x:
        h, c = [a * p["s"] + v * b for a, b in zip(h, c, strict=True)], [b * 0.5 + v for b in c]
        rows.append((v, {"h": h, "c": (c, v)}))
    return sum([v * row["h"][0] + sum(row["c"][0]) for v, row in rows]) + h[1] * c[0]


def the_better_one(p, x):
    best = {"score": 0.0, "row": [0.0, 0.0]}
    for v in x:
        one = {"score": v * p["s"], "row": [v, p["s"]]}
        best = one if one["score"] > best["score"] else best
        if v > 0.3:
            best = {"score": best["score"], "row": [a + v for a in best["row"]]}
    return best["score"] + sum(best["row"])


def changed_and_given_back(p, x):
    def step(state, v):
        state["h"] = [a * p["s"] + v for a in state["h"]]
        state["c"] = [a + b for a, b in zip(state["h"], state["c"], strict=True)]
        return state

    first = state = new_state(p)
    for v in x:
        state = step(state, v)
    return result(first) + result(state) * (first is state)


ONE_LINE = (
    made_anew, spread_into_a_new_one, merged_with_another_one, by_a_comprehension, changed_copies, updated,
    as_arguments,
    dicts_in_dicts, descent, a_list_of_dicts, outputs, outputs_in_tuples, the_better_one, changed_and_given_back,
)  # fmt: skip


@functions(*ONE_LINE)
def test_dicts_of_a_loop_stand_for_all(function):
    assert_one_line(function)


# What shows that a dict is one of many, or has another name


def the_last_one_changed(p, x):
    state, states = new_state(p), []
    for v in x:
        state = cell(p, state, v)
        states.append(state)
    state["h"] = [5.0, p["s"]]
    return sum([result(one) for one in states])


def changed_later(p, x):
    bodies = [{"at": v, "speed": p["s"] * v} for v in x]
    for one in bodies:
        one["at"] += 0.1 * one["speed"]
    bodies[1]["speed"] = 3.0
    return sum([one["at"] * one["speed"] for one in bodies])


def keys_that_come_and_go(p, x):
    bodies = [{"at": v, "speed": p["s"] * v} for v in x]
    gone = bodies[0].pop("speed")
    del bodies[1]["speed"]
    bodies[2].clear()
    bodies[3]["more"] = p["s"]
    bodies[4].popitem()
    return gone + sum([sum(one.values()) for one in bodies]) + sum([len(one) for one in bodies])


def other_keys_in_the_first_turn(p, x):
    state = {}
    for v in x:
        state = {"h": state.get("h", p["s"]) * 0.5 + v, "n": len(state)}
    return state["h"] * state["n"]


def more_keys_in_each_turn(p, x):
    state = {}
    for i, v in enumerate(x):
        state = {**state, i: v * p["s"]}
    return sum([i * v for i, v in state.items()])


def another_order_in_each_turn(p, x):
    state = {"a": p["s"], "b": 2.0}
    for v in x:
        state = dict(reversed([(k, u * 0.5 + v) for k, u in state.items()]))
    return sum([u * (i + 1) for i, u in enumerate(state.values())])


def changed_by_another_name(p, x):
    first = state = {"a": p["s"], "b": 1.0}
    for v in x:
        first["a"] = first["a"] + v
        state = {"a": state["a"] * 0.5 + first["a"], "b": state["b"] + state["a"]}
    return state["a"] + state["b"] + first["a"]


def kept_before_it_changes(p, x):
    first = a = {"h": p["s"]}
    kept = []
    for v in x:
        kept.append(a)
        a = {"h": a["h"] * p["s"] + v}
    first["h"] = 5.0
    return sum([one["h"] for one in kept]) + a["h"]


def changed_only_at_times(p, x):
    state = {"h": p["s"]}
    for i, v in enumerate(x):
        if i % 3:
            state["h"] = state["h"] * 0.5 + v
        else:
            state = {"h": state["h"] + v}
    return state["h"]


def asked_whether_it_is_the_same(p, x):
    bodies = [{"at": v} for v in x]
    state = bodies[1]
    return sum([one["at"] * (one is bodies[2]) for one in bodies]) + p["s"] * (id(state) == id(bodies[1]))


def handed_around(p, x):
    a, b = {"h": p["s"]}, {"h": 2.0}
    first = a
    for _ in x:
        a, b = b, a
    first["h"] = 5.0
    return a["h"] - 3.0 * b["h"]


@functions(
    the_last_one_changed, changed_later, keys_that_come_and_go, other_keys_in_the_first_turn, more_keys_in_each_turn,
    another_order_in_each_turn, changed_by_another_name, kept_before_it_changes, changed_only_at_times,
    asked_whether_it_is_the_same, handed_around,
)  # fmt: skip
def test_no_copy_of_a_dict_is_seen(function):
    assert_equal_engines(function, *scalar_and_row(9), verify=False)


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize(
    "change", [lambda one: one.update(a=2.0), lambda one: one.pop("a"), lambda one: one.__setitem__("a", 2.0)]
)
def test_a_dict_that_a_scalar_chose_does_not_change(which, change):
    def loss(p, x):
        a, b = {"a": x[0], "b": p["s"]}, {"a": x[1], "b": 1.0}
        best = a if x[0] > x[1] else b
        change([best, a, b][which])
        return a["b"] + b["b"] + best["b"]

    with pytest.raises(
        RecordingError, match=r"a dict that a recorded scalar may have chosen is changed at test_dicts\.py:"
    ):
        value_and_grad(loss)(*scalar_and_row(9))


def test_dicts_with_other_keys_cannot_be_chosen():
    def loss(p, x):
        best = {"a": x[0]} if x[0] > x[1] else {"b": x[1]}
        return sum(best.values()) * p["s"]

    with pytest.raises(RecordingError, match=r"chooses between a dict and a dict at test_dicts\.py:"):
        value_and_grad(loss)(*scalar_and_row(9))
