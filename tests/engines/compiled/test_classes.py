"""Classes of a user's own: their operators are read, and objects that loops make stand for many.

Each function has the parameters s, a scalar, and w [n]; the example is x [n].
"""

from dataclasses import dataclass, field, replace
from threading import Thread
from types import FunctionType, MethodType

import numpy as np
import pytest
from helpers import assert_equal_engines, assert_one_line, functions, scalar_and_row

from microgpt.engines.compiled.record import RecordingError
from microgpt.engines.compiled.recording import record_function
from microgpt.engines.engine import value_and_grad
from microgpt.value import exp


class Vector:
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __add__(self, other):
        return Vector(self.x + other.x, self.y + other.y)

    def __mul__(self, k):
        return Vector(*[a * k for a in self])

    def __iter__(self):
        return iter((self.x, self.y))

    def moved(self, x):
        self.x = self.x + x
        return self


class Matrix:
    def __init__(self, rows):
        self.rows = rows

    def __matmul__(self, other):
        columns = list(zip(*other.rows, strict=True))
        return Matrix([[sum(a * b for a, b in zip(row, c, strict=True)) for c in columns] for row in self.rows])

    def __iter__(self):
        for row in self.rows:
            yield [a * 0.5 for a in row]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i]


@dataclass
class State:
    h: list
    z: float = 0.0
    seen: list = field(default_factory=list)


@dataclass(frozen=True)
class Belief:
    mean: Vector
    name: str = "b"


class Slots:
    __slots__ = ("a", "b")

    def __init__(self, a, b=1.0):
        self.a, self.b = a, b


class Gated(Slots):
    def __init__(self, a):
        super().__init__(a * 2.0)
        self.c = self.b + 1.0


def cell(p, state, v):
    return State([exp(-(a * a)) * p["s"] + v for a in state.h], state.z * 0.5 + v)


# What is one line about all turns: longer loops take no more rows


def state_in_a_dataclass(p, x):
    state = State([0.0, 1.0, 2.0])
    for v in x:
        state = cell(p, state, v)
    return sum(state.h) + state.z


def vectors_as_state(p, x):
    a, b = Vector(0.0, 1.0), Vector(1.0, 0.0)
    for v in x:
        a, b = b, a * p["s"] + b * v
    return a.x + b.y


def lists_handed_on(p, x):
    before, now = [0.0, 1.0], [1.0, 1.0]
    for v in x:
        before, now = now, [a * p["s"] + b * v for a, b in zip(now, before, strict=True)]
    return sum(now) + 2 * before[0]


def objects_in_objects(p, x):
    belief = Belief(Vector(p["s"], 1.0))
    for v in x:
        belief = Belief(belief.mean * p["s"] + Vector(v, 0.5), belief.name)
    return belief.mean.x - belief.mean.y


def a_list_of_objects(p, x):
    vectors = [Vector(v, v * p["s"]) for v in x]
    moved = [Vector(a, b).moved(p["s"]) for a, b in vectors]
    return sum([v.x * v.y for v in moved]) + sum([v * 2.0 for v in vectors], Vector(0.0, p["s"])).y


def slots_and_super(p, x):
    gates = [Gated(v * p["s"]) for v in x]
    return sum([gate.a * gate.b + gate.c for gate in gates])


def an_attribute_that_is_an_object(p, x):
    holder = Slots(Vector(0.0, 1.0))
    for v in x:
        holder.a = holder.a * p["s"] + Vector(v, holder.a.x)
    return holder.a.x + holder.a.y


def replaced(p, x):
    belief = Belief(Vector(p["s"], 1.0))
    for v in x:
        belief = replace(belief, mean=belief.mean * p["s"] + Vector(v, v))
    return belief.mean.x * belief.mean.y


def the_better_one(p, x):
    best = Vector(0.0, 0.0)
    for v in x:
        one = Vector(v, v * p["s"])
        best = one if one.x > best.x else best
    return best.y


def made_and_changed_in_branches(p, x):
    state, total = Vector(p["s"], 1.0), 0.0
    for v in x:
        if v > 0.1:
            state = Vector(state.x * 0.5 + v, state.y)
            state.y = state.y * p["s"]
        else:
            state = state * 0.5
        one = Vector(v, 1.0)
        if state.x > v:
            one.y = state.x
        total += one.x * one.y
    return state.x + state.y + total


def without_an_init(p, x):
    def marked(v):
        mark = Mark()
        mark.pair = [2.0, v], v * p["s"]
        return mark

    marks = [marked(v) for v in x]
    return sum([mark.pair[1] * mark.pair[0][0] for mark in marks])


def products_of_matrices(p, x):
    m = Matrix([[a * b for b in x] for a in p["w"]]) @ Matrix([[a + b for b in x] for a in x])
    halves = [sum(row) for row in m]
    return sum(halves) * p["s"] + sum([m[i][i] for i in range(len(m))])


ONE_LINE = (
    state_in_a_dataclass, vectors_as_state, lists_handed_on, objects_in_objects, a_list_of_objects, slots_and_super,
    an_attribute_that_is_an_object, replaced, the_better_one,
    made_and_changed_in_branches, without_an_init, products_of_matrices,
)  # fmt: skip


@functions(*ONE_LINE)
def test_objects_of_a_loop_stand_for_all(function):
    assert_one_line(function)


# What shows that an object is one of many, or has another name


def outputs_of_a_state(p, x):
    state, found = State([0.0, 1.0]), []
    for v in x:
        state = cell(p, state, v)
        found.append(state.h)
    state.h[0] = p["s"]  # it is the last one found
    return sum([sum(h) for h in found])


def all_states(p, x):
    state, states = State([0.0, 1.0]), []
    for v in x:
        state = cell(p, state, v)
        states.append(state)
    state.h[0] = p["s"]
    return sum([one.h[0] * one.z for one in states])


def changed_later(p, x):
    vectors = [Vector(v, v * p["s"]) for v in x]
    for vector in vectors:
        vector.x = vector.x * 2.0
    vectors[1].y = p["s"]
    setattr(vectors[2], "y", 3.0)  # noqa: B010
    return sum([v.x * v.y for v in vectors])


def changed_unseen(p, x):
    vectors = [Vector(v, v * p["s"]) for v in x]
    vars(vectors[3])["y"] = p["s"] * 5.0
    return sum([v.x * v.y for v in vectors])


def the_last_one_changed(p, x):
    vectors, last = [], Vector(p["s"], 1.0)
    for v in x:
        last = Vector(v, last.x * p["s"])
        vectors.append(last)
    last.x = p["s"]
    return sum([v.x * v.y for v in vectors]) + (last is vectors[-1])


def changed_by_another_name(p, x):
    first = state = Slots(p["s"], 1.0)
    for v in x:
        first.a = first.a + v
        state = Slots(state.a * 0.5 + first.a, state.b + state.a)
    return state.a + state.b + first.a


def its_list_changed_by_another_name(p, x):
    h = [p["s"], 2.0]
    state = State(State(h))
    for v in x:
        h[0] = h[0] + v
        state = State(State([a * 0.5 + h[0] for a in state.h.h]))
    return sum(state.h.h) + h[0]


def asked_which_one_it_is(p, x):
    vectors = [Vector(v, v * p["s"]) for v in x]
    places = {vector: i for i, vector in enumerate(vectors)}
    pairs = [a.x * b.y for a in vectors for b in vectors if a is not b]
    same = [a.x for a in vectors if a == vectors[1] or a in vectors[:1]]
    return sum(pairs) + sum([v.x * places[v] for v in vectors]) + sum(same) * vectors.index(vectors[3])


def asked_whether_it_is_equal(p, x):
    vectors = [Vector(v, v * p["s"]) for v in x]
    return sum([v.y * (v == vectors[1]) for v in vectors])


def asked_for_its_hash(p, x):
    vectors = [Vector(v, v * p["s"]) for v in x]
    return sum([v.y * {vectors[1]: 3.0}.get(v, 2.0) for v in vectors])


def of_different_attributes(p, x):
    vectors = [Vector(v, 1.0) for v in x]
    for i, vector in enumerate(vectors):
        if i % 2:
            vector.extra = p["s"] * vector.x
    return sum([getattr(v, "extra", 2.0) * v.y for v in vectors])


def lists_of_their_own(p, x):
    states = [State([v], p["s"]) for v in x]
    for i, state in enumerate(states):
        state.seen.append(p["s"] * i)
        state.h[0] = state.h[0] * state.z
    return sum([sum(one.seen) + one.h[0] for one in states])


class Mother:
    def __init__(self):
        self.calls = 0

    def super(self):
        self.calls += 1
        return self.calls


def a_method_called_super(p, x):
    mother = Mother()
    return sum([v * p["s"] * mother.super() for v in x])


def handed_around(p, x):
    a, b, lists = Vector(p["s"], 1.0), Vector(2.0, p["s"]), [[1.0], [2.0]]
    first, second, (c, d) = a, b, lists
    for _ in x:
        a, b, c, d = b, a, d, c
    first.x, second.y, lists[0][0] = 5.0, 6.0, p["s"] * 8.0
    return a.x + 2 * a.y + b.x * b.y + c[0] + 5 * d[0]


def handed_around_in_a_list(p, x):
    pair = [Vector(3.0, 1.0), Vector(p["s"], 4.0)]
    first = pair[0]
    for _ in x:
        pair = [pair[1], pair[0]]
    first.x = 7.0
    return pair[0].x - 3 * pair[1].x


def kept_before_it_changes(p, x):
    first = a = Vector(p["s"], 1.0)
    kept = []
    for v in x:
        kept.append(a)
        a = a * p["s"] + Vector(v, v)
    first.x = 5.0
    return sum([one.x for one in kept]) + a.y


def handed_on_for_few_turns(p, x):
    first = a = [p["s"], 1.0]
    b, c, d, e, f, g = [[2.0, p["s"] * k] for k in range(6)]
    for v in x[:5]:
        a, b, c, d, e, f, g = g, a, b, c, d, e, [z * v for z in g]
    first[0] = 8.0
    return sum([k * row[0] for k, row in enumerate([a, b, c, d, e, f, g])])


class Mark:
    pair = ()


class Chain:
    def __init__(self, value, after=None):
        self.value, self.after = value, after


def a_chain(p, x):
    chain = circle = Chain(p["s"])
    for v in x:
        chain = Chain(v, chain)
    circle.after, total = chain, 0.0
    for _ in range(20):
        total = total * 0.5 + circle.value
        before, circle = circle, circle.after
    return total + before.value


@functions(
    outputs_of_a_state, all_states, changed_later, changed_unseen, the_last_one_changed, changed_by_another_name,
    its_list_changed_by_another_name, asked_which_one_it_is, asked_whether_it_is_equal, asked_for_its_hash,
    of_different_attributes, lists_of_their_own, handed_around, handed_around_in_a_list, kept_before_it_changes,
    handed_on_for_few_turns, a_method_called_super, a_chain,
)  # fmt: skip
def test_no_copy_of_an_object_is_seen(function):
    assert_equal_engines(function, *scalar_and_row(9), verify=False)


@pytest.mark.parametrize("which", range(3))
def test_an_object_that_a_scalar_chose_does_not_change(which):
    def loss(p, x):
        a, b = Vector(x[0], p["s"]), Vector(x[1], 1.0)
        best = a if x[0] > x[1] else b
        changed = [best, a, b][which]
        changed.x = 2.0
        return a.x + b.x + best.y

    with pytest.raises(
        RecordingError, match=r"a Vector that a recorded scalar may have chosen is changed at test_classes\.py:"
    ):
        value_and_grad(loss)(*scalar_and_row(9))


# Classes are as they were


def test_classes_have_their_own_methods_after_recording():
    methods = [{**vars(kind)} for kind in (Vector, Matrix, Slots)]
    assert type(methods[0]["__add__"]) is type(methods[1]["__iter__"]) is FunctionType
    assert "__hash__" not in methods[0]

    def fails(p, x):
        _ = vectors_as_state(p, x) + products_of_matrices(p, x) + changed_later(p, x)
        raise ValueError(f"within, it is a {type(vars(Vector)['__add__']).__name__}")

    for function in (products_of_matrices, asked_which_one_it_is):
        value_and_grad(function, verify=False)(*scalar_and_row(9))
    with pytest.raises(ValueError, match="it is a Method"):
        value_and_grad(fails, verify=False)(*scalar_and_row(9))
    assert [{**vars(kind)} for kind in (Vector, Matrix, Slots)] == methods


def test_other_threads_have_their_own_methods():
    found = []

    def other():
        first, second = Vector(1.0, 2.0), Vector(3.0, 4.0)
        found.extend([*(first + second), first == second, len({first, second}), *Matrix([[2.0]])])
        found.extend([type(first.__add__) is MethodType, type(first.__hash__) is type(object().__hash__)])

    def loss(p, x):
        total = Vector(p["s"], 1.0) + sum([Vector(v, 0.0) for v in x], Vector(p["s"], p["s"]))
        thread = Thread(target=other)
        thread.start()
        thread.join()
        return total.x * total.y

    value_and_grad(loss, verify=False)(*scalar_and_row(9))
    assert found == [4.0, 6.0, False, 2, [1.0], True, True]


# Parts of what carries state that each turn hands on


@dataclass
class Part:
    row: list
    scale: float


@dataclass
class Whole:
    h: list
    part: Part
    rows: list


def next_of(h, row, x):
    return [a * b + c for a, b, c in zip(row, h, x, strict=True)]


def whole_of(p):
    return Whole([0.1] * 4, Part([2 * w for w in p["w"]], p["s"]), [[w, 0.5] for w in p["w"]])


def lists_that_stay(p, x):
    whole = whole_of(p)
    for _ in range(6):
        h = next_of(whole.h, [row[0] * whole.part.scale for row in whole.rows], x)
        whole = Whole(h, Part(whole.part.row, whole.part.scale * 0.9), whole.rows)
    return sum(whole.h) + sum(whole.part.row) * whole.part.scale + sum(map(sum, whole.rows))


def lists_that_change_afterwards(p, x):
    whole = whole_of(p)
    row, part = whole.part.row, whole.part
    for _ in range(6):
        whole = Whole(next_of(whole.h, whole.part.row, x), whole.part, whole.rows)
    row[0], part.scale = 5.0, x[1]
    whole.rows[2][1] = x[0]
    same = (whole.part is part) + 2 * (whole.part.row is row)
    return sum(whole.h) + sum(whole.part.row) * whole.part.scale * same + sum(map(sum, whole.rows))


def lists_of_tuples(p, x):
    first = [2 * w for w in p["w"]]
    state = ([0.1] * 4, first)
    for _ in range(6):
        state = next_of(state[0], state[1], x), state[1]
    first[1] = x[1]
    return sum(state[0]) + sum(state[1])


def lists_where_a_scalar_chooses(p, x):
    state = Pair([0.1] * 4, [2 * w for w in p["w"]])
    first = state.other
    for i in range(6):
        h = next_of(state.row, state.other, x)
        state = Pair(h if x[i % 4] > 0 else state.row, state.other)
    first[1] = x[1]
    return sum(state.row) + sum(state.other)


def lists_that_a_turn_changes(p, x):
    state = Pair([0.1] * 4, [2 * w for w in p["w"]])
    for _ in range(6):
        state = Pair(next_of(state.row, state.other, x), state.other)
        state.other[0] = state.other[0] * 0.9
    return sum(state.row) + sum(state.other)


def lists_that_change_places(p, x):
    a = [0.1] * 4
    state = Pair(a, [2 * w for w in p["w"]])
    for _ in range(7):
        state = Pair(state.other, state.row)
    a[0] = x[0]
    return sum(state.row) + 2 * sum(state.other)


def lists_that_another_list_has(p, x):
    state, rows = Pair([0.1] * 4, [2 * w for w in p["w"]]), []
    for _ in range(6):
        state = Pair(next_of(state.row, state.other, x), state.other)
        rows.append(state.other)
    rows[0][0] = x[0]
    return sum(state.row) + sum(state.other) + sum(map(sum, rows))


def lists_that_get_another_place(p, x):
    state = Pair([0.1] * 4, [2 * w for w in p["w"]])
    first = state.other
    for _ in range(6):
        state = Pair(state.other, state.other)
    first[0] = x[0]
    return sum(state.row) + sum(state.other)


@dataclass
class Pair:
    row: list
    other: list


@functions(
    lists_that_stay, lists_that_change_afterwards, lists_of_tuples, lists_where_a_scalar_chooses,
    lists_that_a_turn_changes, lists_that_change_places, lists_that_another_list_has, lists_that_get_another_place,
)  # fmt: skip
def test_what_turns_hand_on_is_what_it_was(function):
    rng = np.random.default_rng(5)
    assert_equal_engines(function, {"w": rng.normal(size=4), "s": np.array(0.8)}, rng.normal(size=(3, 4)))


def test_a_longer_loop_that_hands_on_lists_has_no_more_rows():
    def rows(turns):
        def loss(p, x):
            whole = whole_of(p)
            for _ in range(turns):
                whole = Whole(next_of(whole.h, whole.part.row, x), whole.part, whole.rows)
            return sum(whole.h)

        return len(record_function(loss, {"w": (4,), "s": ()}, [("x", "float", (4,))]))

    assert rows(20) == rows(200)


def objects_of_which_a_turn_changes_a_list(p, x):
    state, row = Pair([0.4] * 4, [w * 0.5 for w in p["w"]]), [0.5] * 4
    for a in x:
        state.row[2] += 0.1
        if a > 0:
            state = Pair(state.row, row)
        state = replace(state, row=row)
    return sum(state.row) + sum(state.other)


def test_replace_reads_what_a_scalar_may_have_chosen():
    params, x = {"w": np.ones(4), "s": np.array(0.8)}, np.array([[1.0, -1.0, 0.5, -0.5]])
    with pytest.raises(RecordingError, match=r"a row that a recorded scalar chose is read at test_classes\.py"):
        value_and_grad(objects_of_which_a_turn_changes_a_list)(params, x)
