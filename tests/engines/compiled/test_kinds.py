"""What kind of number a recorded scalar is, and which object, is answered as Python does, or refused at its line."""

import math
import operator
from dataclasses import dataclass
from functools import cache, singledispatch
from numbers import Real

import numpy as np
import pytest

from microgpt.engines.engine import evaluate, value_and_grad
from microgpt.errors import InputError
from microgpt.value import Value, largest

P = np.array([0.7, -1.3, 0.4, 1.9])
X = np.array([0.5, -1.5, 2.0, 0.0])
T = np.array([[0, 1, 2], [1, 1, 0], [3, 0, 3], [2, 2, 2]])


ONE = Value(1.0)


@singledispatch
def doubled(x):
    return x * 2


@doubled.register
def _(x: bool):
    return 7.0


@doubled.register
def _(x: list):
    return sum(x)


@dataclass(frozen=True)
class Point:
    x: float


def kind_that_changes(p, x, t):
    total = 0
    for a in (x, x * 2):
        total = a * 2 if isinstance(total, int) else total + a
    return total * p[0]


def cached(p, x, t):
    squared = cache(lambda a: a * a)
    return squared(x) * squared(p[0]) + (squared(x) is squared(x))


def texts_that_are_shown(p, x, t):
    text = "x: " + str(x > 0) + f" and {x!r:>40} {len(p)}" + "%s %d" % (p[0], 2) + "{}".format(*t)  # noqa: UP031
    print(text, text.upper(), [text], {"a": text})
    return p[0] * x if text else p[1]


def formatted_by_matching(p, x, t):
    match t[0], len(p):
        case int(), 4:
            return p[0] * x
    return p[1]


ANSWERED = {
    "isinstance(x > 0, bool)": lambda p, x, t: p[0] if isinstance(x > 0, bool) else p[1],
    "isinstance(x > 0, int)": lambda p, x, t: p[0] if isinstance(x > 0, int) else p[1],
    "type(x > 0)": lambda p, x, t: p[0] if type(x > 0) is bool and type(x > 0) in (bool, list) else p[1],
    "(x > 0).__class__": lambda p, x, t: p[0] if (x > 0).__class__ is bool else p[1],
    "type(x).__name__": lambda p, x, t: p[0] if type(x).__name__ == "float" else p[1],
    "type(x)(2)": lambda p, x, t: p[0] * type(x)(2) * x,
    "a sum of comparisons": lambda p, x, t: p[0] if isinstance((x > 0) + (x > 1), bool) else p[1],
    "a float times one": lambda p, x, t: p[0] if isinstance(x * (x > 0), float) else p[1],
    "a parameter and a list": lambda p, x, t: p[0] if type(p[0]) in (list, tuple) or isinstance([x], list) else p[1],
    "of any kind of number": lambda p, x, t: p[0] if isinstance(p[1] * x, (float, Value)) else p[1],
    "two parameters": lambda p, x, t: p[0] if type(p[0]) is type(p[1] * 2) and isinstance(p[2], type(p[3])) else p[1],
    "Real": lambda p, x, t: p[0] if isinstance(x + 1, Real) else p[1],
    "largest": lambda p, x, t: p[0] if isinstance(largest(p), float) else p[1],
    "an integer's class": lambda p, x, t: p[t[0]] if t[0].__class__ is int and type(t[1]) is int else p[1],
    "an integer and None": lambda p, x, t: p[0] if t[0] is None or t[0] is not t[0] or t[1] is True else p[1],
    "objects in a row": lambda p, x, t: p[0] if x is not None is not False else p[1] if 0 < x is not None else p[2],
    "names of the compiler": lambda p, x, t: p[0] if hasattr(x, "row") or hasattr(t, "axis") or hasattr(x, "__name__")
    else p[1],
    "what a float has": lambda p, x, t: p[0] if hasattr(x, "is_integer") and not hasattr(x, "data") else p[1],
    "a plus sign": lambda p, x, t: +x * p[0],
    "a comparison and None": lambda p, x, t: p[0] if (x > 0) is None else p[1],
    "numbers of comparisons": lambda p, x, t: int(x > 0) * p[0] + float(x > 1) * p[1] + bool(x < 1) * p[2],
    "singledispatch": lambda p, x, t: doubled(x) * p[0] + doubled(x > 0) + doubled(p) + doubled(p[0]),
    **{f.__name__: f for f in (kind_that_changes, cached, texts_that_are_shown, formatted_by_matching)},
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERED)
def test_kinds_and_texts_are_those_of_python(name):
    for transform in (evaluate, value_and_grad):
        scalar, compiled = (transform(ANSWERED[name], engine, verify=False) for engine in ("scalar", "compiled"))
        for i in range(len(X)):
            (a, b) = (np.hstack(step(P, X[i : i + 1], T[i : i + 1])) for step in (scalar, compiled))
            np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-12)


def matched(p, x, t):
    match [x > 0]:
        case [bool()]:
            return p[0]
    return p[1]


def text_of_upper(p, x, t):
    return p[0] * len(f"a{x > 0}".upper())


def softmax_of_values(scores):
    shift = max(score.data for score in scores)
    exps = [(score - shift).exp() for score in scores]
    total = sum(exps, Value(0))
    return [e / total for e in exps]


def as_value(x):
    return x if isinstance(x, Value) else Value(x)


def exp_of(x):
    return x.exp() if isinstance(x, Value) else math.exp(x)


def exp_of_type(x):
    return math.exp(x) if type(x) in (int, float) else x.exp()


def grown(p, x, t):
    states, total = [], Value(0.0)
    for i in range(6):
        states.append(p[i % 4] * x + i)
        total += softmax_of_values(states)[0] * (states[-1] if states[-1].data > 0 else Value(0.5))
    return total


def tried(p, x, t):
    try:
        return p[0] * math.exp(x * 1e3)
    except OverflowError:
        return p[1]


def states(p, x, t):
    h, before, total = Value(0.2), 0.0, Value(0)
    for _ in range(7):
        h, before = h * 0.5 + x * p[0] * h.data, h
        total += before.data if isinstance(h, Value) else 1.0
        total += h * before
    return total


ON_VALUES = {
    "softmax": lambda p, x, t: softmax_of_values([p[0] * x, p[1], p[2] * 3, p[3]])[1].log(),
    "a constant before": lambda p, x, t: ONE - p[0] * x + (ONE + ONE) * p[1],
    "a constant after": lambda p, x, t: p[0] * ONE + sum(p, ONE) + Value(2) ** 3 * p[1],
    "lifted": lambda p, x, t: as_value(x) * as_value(p[0]) + as_value(2) + as_value(as_value(x) * p[1]).exp(),
    "the number of a product": lambda p, x, t: (p[0] * x).data * p[1] + p[2] / (p[2] * x + 9).data,
    "exp of both": lambda p, x, t: exp_of(x) * exp_of(p[0] * x) + exp_of(1),
    "exp of both by type": lambda p, x, t: exp_of_type(x) * exp_of_type(p[0] * x) + exp_of_type(1),
    "math of an example": lambda p, x, t: p[0] * math.sqrt(x + 2) + math.log(x + 2) + math.pow(x + 2, 1.5) * p[2],
    "numpy beyond all numbers": lambda p, x, t: p[0] / (np.exp(x * 1e3) + 1) + p[1] * np.exp(-np.exp(x * 1e3)),
    "numpy of an example": lambda p, x, t: p[0] * np.sqrt(x + 2) + np.exp(x) * p[1] - np.log(x + 2),
    "a number, if it has one": lambda p, x, t: getattr(p[0] * x, "data", p[0] * x) * p[1] + getattr(x, "data", x),
    "its name": lambda p, x, t: p[0] * len(type(p[0]).__name__),
    "grown": grown,
    "states": states,
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:overflow")  # which numpy tells of a large exponent
@pytest.mark.parametrize("engine", ["compiled", "torch"])
@pytest.mark.parametrize("name", ON_VALUES)
def test_what_is_written_for_values_compiles(name, engine):
    if engine == "torch":
        pytest.importorskip("torch")
    exact, found = (np.hstack(value_and_grad(ON_VALUES[name], one)(P, X, T)) for one in ("scalar", engine))
    np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-12)


ON_FLOATS_ALONE = {
    "isinstance": lambda p, x, t: p[0] if isinstance(p[1] * x, float) else p[1],
    "two types": lambda p, x, t: p[0] if type(p[0]) is type(x) else p[1],
    "another's type": lambda p, x, t: p[0] if isinstance(x, type(p[0])) else p[1],
    "singledispatch": lambda p, x, t: of_kind(p[0]),
}  # fmt: skip


@singledispatch
def of_kind(x):
    return x


@of_kind.register
def _(x: float):
    return x + 1


@pytest.mark.parametrize("name", ON_FLOATS_ALONE)
def test_no_result_may_depend_on_being_a_value(name):
    with pytest.raises(InputError, match=r"on Values: at test_kinds.py:\d+ it asks which of these"):
        value_and_grad(ON_FLOATS_ALONE[name], verify=False)(P, X, T)


def number_that_may_be_chosen(p, x, t):
    plain = 0.1 * len(p)
    return p[0] if (plain if x > 0 else p[1]) is plain else p[2]


def sets_data(p, x, t):
    p[0].data = 3.0
    return p[0] * x


CHOSEN, KEY, TEXT, COMPARED = "asks by `is` about", "a key of a dict or set", "the text of a recorded number", "=="
REFUSED = {
    "integers": (lambda p, x, t: p[0] if t[0] is t[1] else p[1], CHOSEN),
    "an integer and a number": (lambda p, x, t: p[0] if t[0] is not len(p) else p[1], CHOSEN),
    "integers in a loop": (lambda p, x, t: sum([p[0] if i is t[0] else p[1] for i in t]), CHOSEN),
    "integers in a row": (lambda p, x, t: p[0] if t[0] is t[1] is t[2] else p[1], CHOSEN),
    "an array of numpy": (lambda p, x, t: p[0] * np.eye(4)[t[0]][0], "an array of numpy is read at a recorded index"),
    "within a branch": (lambda p, x, t: (p[0] if t[0] is t[1] else p[1]) if x > 0 else p[2], CHOSEN),
    "the largest": (lambda p, x, t: p[0] if largest(p) is p[3] else p[1], CHOSEN),
    "a number that may be chosen": (number_that_may_be_chosen, CHOSEN),
    "by operator": (lambda p, x, t: p[0] if operator.is_(t[0], t[1]) else p[1], CHOSEN),
    "by not": (lambda p, x, t: p[0] if operator.is_not(t[0], t[1]) else p[1], CHOSEN),
    "by id": (lambda p, x, t: p[0] if id(t[0]) == id(t[1]) else p[1], CHOSEN),
    "comparisons": (lambda p, x, t: p[0] if (x > 0) is (x > 1) else p[1], "about a comparison"),
    "True": (lambda p, x, t: p[0] if (x > 0) is True else p[1], "a if x > 0 else b"),
    "an int that was chosen": (lambda p, x, t: p[0] if isinstance(1 if x > 0 else 2.0, int) else p[1], "is an int at"),
    "a pattern": (matched, "`match` asks what kind of number"),
    "what a float has": (lambda p, x, t: p[0] if x.is_integer() else p[1], r"\.is_integer"),
    "what an int has": (lambda p, x, t: p[0] * getattr(x > 0, "numerator", 7), r"\.numerator"),
    "what is set": (sets_data, r"\.data of a recorded scalar is set"),
    "a key": (lambda p, x, t: {True: p[0], False: p[1]}[x > 0], KEY),
    "a key with a default": (lambda p, x, t: {True: p[0]}.get(x > 0, p[1]), "a if x > 0 else b"),
    "a set": (lambda p, x, t: p[0] * len({x, x * 2}), KEY),
    "a key of a class": (lambda p, x, t: p[0] * len({Point(x), Point(x * 2)}), KEY),
    "a length": (lambda p, x, t: p[0] * len(f"{x > 0}"), TEXT),
    "a text that is equal": (lambda p, x, t: p[0] if str(x > 0) == "True" else p[1], TEXT),
    "a text in a text": (lambda p, x, t: p[0] if str(x > 0) in "True" else p[1], TEXT),
    "a text as a key": (lambda p, x, t: {"True": p[0], "False": p[1]}["%s" % (x > 0)], TEXT),
    "a number of a text": (lambda p, x, t: p[0] * float("{1}".format(*p)), TEXT),
    "a text of a list": (lambda p, x, t: p[0] * len(", ".join(map(str, p))), TEXT),
    "a text of an integer": (lambda p, x, t: p[0] * len(str(t)), TEXT),
    "a text in capitals": (text_of_upper, TEXT),
    "an error of math": (tried, "`try` at .* catches OverflowError"),
    "a Value of a Value": (lambda p, x, t: Value(p[0] * x) * p[1], r"write x, or x\.data"),
    "lists in order": (lambda p, x, t: p[0] if [x, 1] < [0.0, 2] else p[1], COMPARED),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_differs_from_example_to_example_is_refused(name):
    function, message = REFUSED[name]
    with pytest.raises(TypeError, match=message) as refused:
        evaluate(function, verify=False)(P, X, T)
    assert "test_kinds.py:" in str(refused.value)
