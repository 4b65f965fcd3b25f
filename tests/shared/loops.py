"""Loops that carry a state."""

from typing import Any

import numpy as np

from microgpt.functions import dot, tanh
from microgpt.value import exp, largest


def turns(n: int, state: Any, body: Any, outputs: bool = False) -> Any:
    """The state after n turns of `state = body(t, state)`.

    With `outputs`, the body returns the state and an output, and the list of these comes back, too.
    """
    found = []
    for t in range(n):
        state = body(t, state)
        if outputs:
            state, output = state
            found.append(output)
    return (state, found) if outputs else state


# Functions with such loops


def decay(p, x):
    """A scalar, and no list."""
    return turns(len(x), 0.5, lambda t, s: s * p["a"] + x[t])


def rnn(p, x):
    def turn(t, h):
        return [tanh(dot(p["Wx"][i], x[t]) + dot(p["Wh"][i], h) + p["b"][i]) for i in range(len(p["b"]))]

    h = turns(len(x), [0.0] * len(p["b"]), turn)
    return dot(p["y"], h)


def sigmoid(x):
    return 1 / (1 + exp(-x))


def lstm(p, x):
    """Two lists, and an output at each turn."""

    def gate(name, t, h):
        return [dot(p["W" + name][i], x[t]) + dot(p["U" + name][i], h) for i in range(len(h))]

    def turn(t, state):
        h, c = state
        f, i, o, g = (gate(name, t, h) for name in "fiog")
        c = [sigmoid(a) * old + sigmoid(b) * tanh(new) for a, old, b, new in zip(f, c, i, g, strict=True)]
        h = [sigmoid(a) * tanh(new) for a, new in zip(o, c, strict=True)]
        return (h, c), dot(p["y"], h)

    zeros = [0.0] * len(p["y"])
    (_, c), outputs = turns(len(x), (zeros, zeros), turn, outputs=True)
    return sum([o**2 for o in outputs]) + sum(c)


def euler(p, x):
    """Two scalars: a pendulum."""

    def turn(t, state):
        angle, speed = state
        return angle + 0.1 * speed, speed - 0.1 * (p["a"] * angle + p["b"][0] * speed) + 0.01 * x[0][1]

    angle, speed = turns(30, (p["a"], x[0][0]), turn)
    return angle**2 + speed


def pair_of_loops(p, x):
    first = turns(len(x), 0.0, lambda t, s: tanh(s * p["a"] + x[t]))
    return turns(len(x), first, lambda t, s: s * s * p["a"] + x[t])


def loop_in_a_loop(p, x):
    def outer(t, h):
        def inner(s, g):
            return [tanh(a * p["a"] + b * x[t] + x[s]) for a, b in zip(g, p["b"], strict=True)]

        return turns(6, h, inner)

    return sum(turns(len(x), p["b"], outer))


def inner_loop_with_its_own_state(p, x):
    def outer(t, s):
        return s * 0.5 + turns(8, s, lambda k, g: tanh(g * p["b"][0] + p["b"][k % 4] * x[t]))

    return turns(len(x), 0.1, outer)


def loop_in_a_comprehension(p, x):
    return sum(
        [
            turns(len(row), 0.3, lambda t, s, row=row: tanh(s * p["a"] + row[t])) * w
            for row, w in zip(x, p["y"], strict=True)
        ]
    )


def nested_state(p, x):
    """A matrix as the state."""

    def turn(t, m):
        return [[0.9 * m[i][j] + x[t][i] * p["Wx"][i][j] * m[j][i] for j in range(3)] for i in range(3)]

    m = turns(len(x), [[0.1] * 3 for _ in range(3)], turn)
    return sum([sum(row) for row in m])


def outputs_of_each_turn(p, x):
    """Two layers in one loop, and logits of each turn."""

    def turn(t, state):
        g, h = state
        g = [tanh(dot(row, g) + x[t][0]) for row in p["Wh"]]
        h = [tanh(dot(row, h) + a) for row, a in zip(p["Wh"], g, strict=True)]
        return (g, h), [dot(row, h) for row in p["V"]]

    _, outputs = turns(len(x), ([0.0] * 4, [0.1] * 4), turn, outputs=True)
    return sum([sum([o**2 for o in row]) for row in outputs])


def choices(p, x):
    """What a turn chooses depends on the state; and one turn alone is a loop, too."""

    def turn(t, state):
        s, most = state
        s = s * p["a"] + x[t] if s > 0 else x[t] - s
        return s, max(most, s)

    s, most = turns(len(x), (0.1, -1.0), turn)
    return s + most * turns(1, p["a"], lambda t, s: s * s + x[t])


def growing_sums(p, x):
    """Each turn reads as many numbers as there were turns, and chooses the largest of them."""
    s, most = 0.1, 0.0
    for t in range(len(x)):
        most = largest([x[j] * s for j in range(t + 1)])
        s = tanh(s * p["a"] + sum([exp(x[j] * s - most) for j in range(t + 1)]))
    return s + most


def a_state_that_stays(p, x):
    """What no turn changes is read as if it were outside."""
    s, rate, m = 0.1, p["a"], p["b"]
    for x_t in x:
        s, rate, m = s * rate + x_t * m[1], rate, m
    return s + sum(m)


def delays(p, x):
    """Shift registers: a state that another one becomes, and one that depends on no state."""

    def turn(t, state):
        a, b, c = state
        return tanh(p["a"] * c + x[t]), a, b

    def shifted(t, old):
        return x[t] * p["b"][0]

    a, b, c = turns(len(x), (0.1, 0.2, p["a"]), turn)
    return a * 1.5 + b - c * turns(len(x), p["b"][1], shifted)


def state_read_at_the_index_of_a_turn(p, x):
    """A list carries the state, and each turn reads other items of it."""
    state = [a * p["a"] for a in x]
    for t in range(len(x)):
        state[1] = tanh(state[t] + state[-1 - t] * x[t])
    return sum([a * (k + 1) for k, a in enumerate(state)])


def state_read_at_one_index(p, x):
    """All items of a state depend on one of them, before that one changes."""
    state = [0.1] * 4
    for x_t in x:
        first = state[0] * x_t
        state = [a + first * b + p["a"] for a, b in zip(state, p["b"], strict=True)]
    return state[0]


def state_read_within_lists(p, x):
    """What holds a list that carries the state is read, and not the list itself."""
    state = [0.1] * 4
    for x_t in x:
        total = sum([a * b for a, b in zip(*(state, p["b"]), strict=True)])
        total += sum([sum([sum(row) for row in rows]) * 0.1 for rows in [[state], [p["b"], state]]])
        for k in range(4):
            state[k] += total * x_t * 0.1 + p["a"]
    return state[0]


rng = np.random.default_rng(0)
NUMBERS = {
    "a": 0.7, "b": rng.normal(size=4), "y": rng.normal(size=4), "Wx": rng.normal(size=(4, 3)),
    "Wh": 0.3 * rng.normal(size=(4, 4)), "V": rng.normal(size=(5, 4)),
    **{w + g: 0.5 * rng.normal(size=(4, n)) for w, n in (("W", 3), ("U", 4)) for g in "fiog"},
}  # fmt: skip
PARAMS = {name: np.asarray(numbers) for name, numbers in NUMBERS.items()}
SCALARS, VECTORS = (6,), (6, 3)
SHAPES = {
    decay: SCALARS, rnn: VECTORS, lstm: VECTORS, euler: VECTORS, pair_of_loops: SCALARS, loop_in_a_loop: SCALARS,
    inner_loop_with_its_own_state: SCALARS, loop_in_a_comprehension: (4, 6), nested_state: VECTORS,
    outputs_of_each_turn: VECTORS, delays: SCALARS, choices: SCALARS,
    growing_sums: SCALARS, a_state_that_stays: SCALARS,
    state_read_at_the_index_of_a_turn: SCALARS, state_read_at_one_index: SCALARS, state_read_within_lists: SCALARS,
}  # fmt: skip
LOOPS = {
    function.__name__.replace("_", " "): (function, PARAMS, np.random.default_rng(1).normal(size=(3, *shape)))
    for function, shape in SHAPES.items()
}
