"""Every exercise: the book's lines are right, known mistakes get their own words, and no other mistake passes."""

import ast
import random
import re
import signal
from contextlib import contextmanager
from dataclasses import replace

import pytest

from microgpt.engines.collector import collector_paused
from microgpt.workshop.course import EXERCISES, PARTS, exercise_named
from microgpt.workshop.exercise import Mistake
from microgpt.workshop.judge import book, judge, variant_names, with_helpers
from microgpt.workshop.lines import book_text, definition, end_of, page, stub, variant
from microgpt.workshop.observation import difference, observe

MUTATIONS = 30
LONG = ("deep", "moons")  # exercises that compute for about a second
SWAPPED = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.Lt: ast.GtE, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.GtE: ast.Lt, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.USub: ast.UAdd, ast.Not: ast.UAdd,
}  # fmt: skip


def names_of(exercise, source=None):
    return variant_names(exercise.file, source) if source else book(exercise.file)


def verdict_on(exercise, source=None):
    names = {"Value": book("value.py")["Value"], **names_of(exercise, source)}
    return judge(exercise, names, names["Value"])


def by_name(exercise):
    return exercise.name


def marks_of(exercise):
    return [pytest.mark.slow] if exercise.name in LONG else []


@pytest.mark.parametrize("exercise", [pytest.param(e, id=e.name, marks=marks_of(e)) for e in EXERCISES])
def test_the_lines_of_the_book_are_right(exercise):
    assert verdict_on(exercise).kind == "right"


@pytest.mark.parametrize(
    ("exercise", "index"),
    [
        pytest.param(exercise, index, id=f"{exercise.name}-{index}", marks=marks_of(exercise))
        for exercise in EXERCISES
        for index in range(len(exercise.mistakes))
    ],
)
def test_a_known_mistake_gets_its_own_words(exercise, index):
    verdict = verdict_on(exercise, variant(exercise, exercise.mistakes[index]))
    assert (verdict.kind, verdict.mistake) == ("known", index), "\n".join(verdict.paragraphs)
    text = "\n".join(verdict.paragraphs)
    assert re.search(r"\d", text)
    assert not re.search(r"[{}]\w+[{}]", text)


@pytest.mark.parametrize("exercise", EXERCISES, ids=by_name)
def test_ten_mistakes_are_known_for_each(exercise):
    assert len({mistake.words for mistake in exercise.mistakes}) == len(exercise.mistakes) >= 10


@pytest.mark.parametrize("exercise", EXERCISES, ids=by_name)
def test_a_page_fits_two_screens(exercise):
    lines = page(exercise).splitlines()
    assert len(lines) <= 48
    assert max(map(len, lines)) <= 80
    assert exercise.part in PARTS
    assert all(exercise.hints)
    assert exercise.good_for.endswith(".")


@pytest.mark.parametrize("exercise", [e for e in EXERCISES if not e.trial], ids=by_name)
def test_a_hole_is_the_signature_and_three_dots(exercise):
    for name in exercise.writes:
        text = stub(exercise.file, name)
        assert text.rstrip().endswith("...")
        assert f"def {name.split('.')[-1]}(" in text
        assert "return" not in [line.split()[:1] for line in text.splitlines()]


# What nobody foresaw, in words that help


def said_of(name, *changes):
    """What is said of the book's lines of an exercise with other pieces in them."""
    exercise = exercise_named(name)
    verdict = verdict_on(exercise, variant(exercise, Mistake("", changes)))
    assert verdict.kind != "right"
    return " ".join(verdict.paragraphs)


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("remember", "self.grad", "self.gradient", "derivatives, and no more (see `__slots__`)"),
        ("remember", "self.grad = 0.0", "return self", "leave out the `return`"),
        ("remember", "= operation", '= "operation"', "gives 'operation'. Expected: '*'."),
        ("add", "(self, other), (1.0, 1.0)", "(self, other)", "2 inputs and 0 derivatives"),
        ("add", "(self, other), (1.0, 1.0)", "self, other, 1.0, 1.0", "Count what you give"),
        ("add", "(self, other)", "{self, other}", "are a set, which is no tuple"),
        ("add", "other = self.lift(other)", "self.grad += 1.0", "changes its input a.grad"),
        ("add", "self.data + other.data", "self + other", "call one another without end"),
        ("multiply", "(other.data, self.data)", "(other, self)", "is a Value, -3.0: no plain number"),
        ("multiply", '"*"', '"x"', "Its last step should be a '*'"),
        ("power", "x**k, k *", "int(x)^int(k), 1.0^", "A power is `**` in Python"),
        ("logarithm", "log(self.data)", "math.log(self.data) if self.data > 0 else 3.0", "It should refuse that."),
        ("tanh", "exp(2 * x)", "exp(2 * x.data)", "no `.data`, and `exp` and `log` know both"),
        ("tanh", "exp(2 * x)", "math.exp(2 * x)", "math is not imported here"),
        ("backward", "self.topological_order()", "self.topological_order", "call it."),
        ("embedding", "wte.weight", "wte", "no entry of that name"),
        ("block", "return add(x, ", "return print(x, ", "is there a `return`"),
        ("minus", "self * -1", "3 * Unknown(self)", "Python does not know this name"),
    ],
)
def test_an_unforeseen_mistake_gets_words_that_help(name, old, new, words):
    assert words in said_of(name, (old, new))


def test_two_mistakes_together_are_known_by_the_first():
    said = said_of("multiply", ("other = self.lift(other)", "pass"), ("(other.data, self.data)", "(1.0, 1.0)"))
    assert "These are the derivatives of a sum" in said
    assert "There may be more that is not right yet." in said


def test_a_plain_result_is_told_with_its_number():
    assert "You return the plain sum, -1.0." in said_of("add", *exercise_named("add").mistakes[9].changes)


# Mutations: small changes of the book's lines that no list of mistakes foresees


def mutated(exercise, seed):
    """The book's file with one small change in the lines of an exercise."""
    chance = random.Random(seed)
    text = book_text(exercise.file)
    tree = ast.parse(text)
    name = chance.choice(exercise.writes)
    line = definition(text, name).lineno
    node = next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.lineno == line)
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    places = [(n, change) for s in body for n in ast.walk(s) for change in changes_of(n, node, chance)]
    if not places:
        return text
    _, change = chance.choice(places)
    change()
    lines = text.splitlines(keepends=True)
    return "".join([*lines[: node.lineno - 1], indented(node), *lines[end_of(node) :]])


def indented(node):
    return "".join(" " * node.col_offset + line + "\n" for line in ast.unparse(node).splitlines())


def changes_of(n, function, chance):
    """What can be changed at a node of a syntax tree."""
    if isinstance(n, ast.BinOp | ast.UnaryOp | ast.AugAssign) and type(n.op) in SWAPPED:
        yield lambda: setattr(n, "op", SWAPPED[type(n.op)]())
    if isinstance(n, ast.BinOp):
        yield lambda: n.__dict__.update(left=n.right, right=n.left)
    if isinstance(n, ast.Compare) and type(n.ops[0]) in SWAPPED:
        yield lambda: setattr(n, "ops", [SWAPPED[type(n.ops[0])]()])
    if isinstance(n, ast.Constant) and isinstance(n.value, bool):
        yield lambda: setattr(n, "value", not n.value)
    elif isinstance(n, ast.Constant) and isinstance(n.value, int | float):
        yield lambda: setattr(n, "value", n.value + chance.choice([-1, 1, 0.5]))
        yield lambda: setattr(n, "value", n.value * 2 or 1)
    if isinstance(n, ast.Tuple | ast.List) and len(n.elts) > 1:
        yield lambda: n.elts.reverse()
        yield lambda: n.elts.pop()
    if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load):
        others = sorted({m.id for m in ast.walk(function) if isinstance(m, ast.Name)} - {n.id, "Any"})
        others += [a.arg for a in function.args.args if a.arg != n.id]
        if others:
            yield lambda: setattr(n, "id", chance.choice(others))


class Endless(BaseException):
    """A changed line may run for ever."""


@contextmanager
def patience(seconds):
    """Raise Endless after so many seconds of computing, however busy the machine is.

    Python's cycle collector waits: what is raised while others watch it is lost.
    """

    def stop(*_):
        raise Endless

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        with collector_paused():
            yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def outcome(exercise, names, variables_seed):
    """What the cases give for other numbers of the same shapes."""
    names = with_helpers(exercise, {"Value": book("value.py")["Value"], **names})
    chance = random.Random(variables_seed)
    return [observe(names, names["Value"], other_numbers(one, chance)) for one in exercise.cases]


def other_numbers(one, chance):
    def other(x):
        if isinstance(x, list):
            return [other(item) for item in x]
        if isinstance(x, dict):
            return {key: other(item) for key, item in x.items()}
        return x * chance.uniform(0.5, 1.5) if isinstance(x, float) else x

    return replace(one, given=other(one.given))


@pytest.mark.slow
@pytest.mark.parametrize("exercise", EXERCISES, ids=by_name)
def test_mutations_that_change_results_are_caught(exercise):
    caught, mutations = 0, MUTATIONS // 5 if exercise.name in LONG else MUTATIONS
    for seed in range(mutations):
        source = mutated(exercise, f"{exercise.name} {seed}")
        try:
            names = names_of(exercise, source)
        except Exception:  # it does not even begin
            continue
        try:
            with patience(4.0 if exercise.name in LONG else 0.4):
                kind = verdict_on(exercise, source).kind
        except Endless:
            kind = "stopped"
        if kind == "right":
            right, theirs = (outcome(exercise, n, seed) for n in (names_of(exercise), names))
            assert all(difference(a, b) is None for a, b in zip(theirs, right, strict=True)), source
        caught += kind != "right"
    assert caught > mutations // 3
