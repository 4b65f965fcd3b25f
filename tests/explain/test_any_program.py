"""The page of any loss: its numbers are those of the scalar engine, and it follows what one changes or trains."""

import importlib
import sys
from functools import partial
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
from browsing import Watched
from random_programs import Writer, load, module, numbers

from microgpt import InputError, adam_update, exp, explain, largest, log, value_and_grad
from microgpt.engines.trees import leaves_of, map_arrays, unflatten
from microgpt.explain import any_program
from microgpt.explain.following import follow
from microgpt.explain.program_content import tensors_of
from microgpt.explain.tape import KINDS

RNG = np.random.default_rng(0)


class Neuron:
    def __init__(self, weights, bias):
        self.weights, self.bias, self.calls = weights, bias, 0

    def __call__(self, x):
        self.calls += 1
        total = sum((w * x_i for w, x_i in zip(self.weights, x, strict=True)), self.bias)
        return total * (total > 0)


def relu(x):
    if x > 0:
        return x
    return 0


def clipped(x):
    low, high = -1.0, 2.0
    return low if x < low else high if not x <= high else x


def softmax(scores):
    top = largest(scores)
    powers = [exp(score - top) for score in scores]
    return [power / sum(powers) for power in powers]


def of_classes(params, x, y):
    """A class with state, nested functions, early returns, choices of every form, a memo and a generator."""
    layer = [Neuron(w, b) for w, b in zip(params["w"], params["b"], strict=True)]
    memo = {}

    def power(k):
        if k not in memo:
            memo[k] = 1.0 if k == 0 else power(k - 1) * params["a"]
        return memo[k]

    def squares():
        for k, neuron in enumerate(layer):
            yield relu(neuron(x)) + power(k)

    hidden = [*squares()]
    if 0 < hidden[0] < 1.5 and params["a"] > 0:
        offset = log(hidden[0])
        offset *= 2
    else:
        offset = hidden[1] ** 2
    best = max(hidden)
    hidden[0] += clipped(offset) * 0.1
    shares = softmax(hidden)
    error = best + abs(x[0]) / 3 - y
    error = -error if error < 0 else error
    return error * shares[0] + min(shares[1], 0.2) + (x[1] > 0) * params["a"]


def by_while(params, x):
    """A loop that ends where a parameter says."""
    turns, state = 0, x
    while state > 1 and turns < 20:
        state = state * params["decay"]
        turns += 1
    return (state - 0.5) ** 2 + turns * params["cost"]


OF_CLASSES = (
    of_classes,
    {"w": RNG.normal(size=(3, 2)), "b": RNG.normal(size=3), "a": np.array(0.7)},
    RNG.normal(size=(6, 2)),
    RNG.normal(size=6),
)
OF_SUMS = (  # of plain numbers, which newer Pythons add more exactly
    lambda params, x: params * sum(x) / sum(x_i * x_i for x_i in x) + sum(x, 0.5),
    np.array(0.5),
    RNG.normal(size=(2, 50)) * 1000,
)
BY_WHILE = by_while, {"decay": np.array(0.6), "cost": np.array(0.1)}, np.array([5.0, 0.5, 2.0])


def of_bench(name):
    task = importlib.import_module(f"bench.programs.{name}").make(1)
    return task["loss"], task["params"], *(array[:2] for array in task["args"])


BENCH = ("kalman_filter", "mlp_by_append", "hidden_markov", "transformer_by_generators", "gaussian_process")
PROGRAMS = {name: partial(of_bench, name) for name in BENCH}
PROGRAMS |= {"of sums": lambda: OF_SUMS, "of classes": lambda: OF_CLASSES, "by while": lambda: BY_WHILE}


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in leaves_of(tree)])


def engine(function, vector, params, *arrays):
    loss, gradients = value_and_grad(function, "scalar")(unflatten(vector, params), *arrays)
    return loss, flat(gradients)


class Page(Watched):
    """A page that is written anew for each program, in one tab."""

    def show(self, function, params, *arrays, **options):
        explained = explain(function, params, *arrays, out=self.path, **options)
        self.open(unfold=False)
        return explained


@pytest.fixture(scope="module")
def tab(browser, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "page.html"
    explain(by_while, *BY_WHILE[1:], out=path)
    return Page(browser, path, unfold=False)


@pytest.fixture
def page(tab):
    yield tab
    assert tab.troubles == []
    assert tab.requests == [tab.path.resolve().as_uri()]


# Without a browser


@pytest.mark.parametrize("name", PROGRAMS)
def test_following_gives_the_numbers_of_the_scalar_engine(name):
    function, params, *arrays = PROGRAMS[name]()
    for i in range(2):
        example = tuple(array[i].tolist() for array in arrays)
        found = follow(function, params, example, 1_000_000)
        assert found.result.data == engine(function, flat(params), params, *(array[i : i + 1] for array in arrays))[0]


def computed(tape, parameters):
    """The numbers of a tape for other parameters, as the engine in the page computes them."""
    known = [*parameters, *tape.numbers[len(parameters) :]]

    def value(node):
        a, b, kind = tape.left[node], tape.right[node], KINDS[tape.kind[node]]
        if kind == "largest":
            return max(known[item] for item in tape.items[a : a + b])
        if kind == "where":
            return known[tape.items[b if known[a] else b + 1]]
        x, y = known[a], known[b]
        return {
            "+": lambda: x + y, "*": lambda: x * y, "**": lambda: x**y, "log": lambda: log(x), "exp": lambda: exp(x),
            "<": lambda: float(x < y), "<=": lambda: float(x <= y), "/": lambda: x / y,
        }.get(kind, lambda: known[node])()  # fmt: skip

    for node in range(len(parameters), len(known)):
        try:
            known[node] = value(node)
        except (ArithmeticError, ValueError):  # in a branch that is not taken
            known[node] = np.nan
        if isinstance(known[node], complex):
            known[node] = np.nan
    return known


@pytest.mark.parametrize("seed", range(12))
def test_random_programs_follow_other_parameters(tmp_path, seed):
    source, (params, *arrays) = module(Writer(seed).statements()), numbers(seed, 1)
    found = follow(load(source, tmp_path).loss, params, tuple(array[0].tolist() for array in arrays), 1_000_000)
    rng = np.random.default_rng(seed)
    for spread in (0, 0.5, 0.5):
        vector = flat(params) + rng.normal(0, spread, len(flat(params)))
        known = computed(found.tape, vector.tolist())
        if all(known[test] == was for test, was, *_ in found.tape.guards):
            loss = engine(load(source, tmp_path).loss, vector, params, *arrays)[0]
            assert known[found.result.node] == pytest.approx(loss, rel=1e-12)


def test_lines_are_noted_turn_by_turn_and_call_by_call():
    found = follow(*BY_WHILE[:2], (5.0,), 1000)
    notes = [note for note in found.notes if note.names == ("state",)]
    assert [note.values[0].data for note in notes] == [
        5.0 * 0.6,
        5.0 * 0.6 * 0.6,
        5.0 * 0.6 * 0.6 * 0.6,
        5.0 * 0.6 * 0.6 * 0.6 * 0.6,
    ]
    assert sum(note.kind == "turn" for note in found.notes) == 4
    found = follow(*OF_CLASSES[:2], ([0.3, -0.2], 0.5), 10_000)
    names = [call.place[2] for call in found.calls]
    assert names.count("__call__") == names.count("relu") == 3
    assert names.count("softmax") == 1
    assert {found.calls[call.by].place[2] for call in found.calls if call.place[2] == "relu"} == {"squares"}


def test_a_branch_with_effects_is_kept_as_it_ran():
    made = []

    def told(x):
        made.append(1.0)
        return x

    def choosing(params, x):
        return told(params) if params > x else x * params

    found = follow(choosing, np.array(2.0), (3.0,), 100)
    assert (found.result.data, made) == (6.0, [])
    assert [(was, line) for _, was, _, line in found.tape.guards] == [(False, choosing.__code__.co_firstlineno + 1)]
    assert follow(choosing, np.array(4.0), (3.0,), 100).result.data == 4.0
    assert made == [1.0]


def test_runs_in_two_threads_are_followed_apart():
    found, began, ended, limit = [], Event(), Event(), sys.getrecursionlimit()

    def function(w):
        if other.ident is None:
            other.start()
            began.wait(0.05)  # in which the other thread has to wait
            return w * w
        began.set()
        ended.wait(10)
        return w + 1.0

    other = Thread(target=lambda: found.append(follow(function, np.array(2.0), (), 100)))
    found.append(follow(function, np.array(3.0), (), 100))
    ended.set()
    other.join()
    assert [[one.result.data, len(one.calls)] for one in found] == [[9.0, 1], [3.0, 1]]
    assert sys.getrecursionlimit() == limit


def test_what_does_not_fit_is_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(any_program, "MOST_OPERATIONS", 60)
    out = tmp_path / "page.html"
    with pytest.raises(InputError, match="one example takes more than the 60 operations that a page can hold: give"):
        explain(*OF_CLASSES, out=out)
    monkeypatch.setattr(any_program, "MOST_OPERATIONS", 200)
    explained = explain(*OF_CLASSES, out=out)
    assert 0 < explained.examples < explained.given == 6
    with pytest.raises(InputError, match="the loss returned a list"):
        explain(lambda params, x: [x], np.array(1.0), [1.0], out=out)
    with pytest.raises(InputError, match="no plane can be drawn of relu"):
        explain(*BY_WHILE, out=out, plane=relu)


def test_one_example_needs_no_batch(tmp_path):
    def far(params, x, y):
        return sum((w * x_i - y) ** 2 for w, x_i in zip(params["w"], x, strict=True))

    params, out = {"w": np.array([1.0, 2.0])}, tmp_path / "page.html"
    assert (
        explain(far, params, [3.0, 4.0], 5.0, out=out).operations
        == explain(far, params, [[3.0, 4.0]], [5.0], out=out).operations
    )
    assert explain(lambda params, x: sum(x) * params["w"][0], params, [3.0, 4.0], out=out).examples == 1
    with pytest.raises(TypeError, match="'float' object is not subscriptable"):
        explain(lambda params, x: x[0][0][0], params, [[3.0, 4.0]], out=out)


def test_numbers_in_lists_are_shown_as_one_array():
    number, array = np.array(1.0), np.ones((2, 3))
    params = {
        "w": [[number, number], [number, number]],
        "ragged": [[number], [number, number]],
        "layers": [array, array],
    }
    found = [("w", [2, 2]), ("ragged[0]", [1]), ("ragged[1]", [2]), ("layers[0]", [2, 3]), ("layers[1]", [2, 3])]
    assert tensors_of(params) == found
    assert tensors_of([{"b": number}, {"b": number}]) == [("[0].b", []), ("[1].b", [])]


# In a browser


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PROGRAMS if name != "by while"])  # which takes other turns then
def test_page_and_training_are_those_of_the_scalar_engine(page, name):
    function, params, *arrays = PROGRAMS[name]()
    params = map_arrays(lambda array: np.array(array, np.float64), params)
    page.show(function, params, *arrays)
    vector = flat(params)
    m, v = np.zeros_like(vector), np.zeros_like(vector)
    for step in range(1, 4):
        loss, gradient = engine(function, vector, params, *arrays)
        assert page.ask("microgpt.loss") == pytest.approx(loss, rel=1e-13)
        shown = np.array(page.ask("microgpt.gradients()"))
        assert np.abs(shown - gradient).max() <= 1e-13 * np.abs(gradient).max()
        adam_update()(vector, gradient, m, v, step, 0.02, np.zeros_like(vector))
        page.ask("microgpt.step(0.02)")
        assert np.abs(np.array(page.ask("microgpt.parameters")) - vector).max() < 1e-11
    page.ask("microgpt.step(0.1, 'sgd')")
    vector -= 0.1 * engine(function, vector, params, *arrays)[1]
    assert np.abs(np.array(page.ask("microgpt.parameters")) - vector).max() < 1e-11
    page.ask("microgpt.reset()")
    assert page.ask("microgpt.parameters") == flat(params).tolist()


@pytest.mark.slow
def test_choices_follow_the_numbers_and_guards_are_said(page):
    function, params, *arrays = OF_CLASSES
    page.show(function, params, *arrays)
    for seed in range(5):  # other choices than when the page was made
        rng = np.random.default_rng(seed)
        vector = np.concatenate([rng.normal(size=9), [rng.uniform(0.1, 1.5)]])
        page.ask("xs => xs.forEach((x, i) => microgpt.set(i, x))", vector.tolist())
        loss, gradient = engine(function, vector, params, *arrays)
        if page.ask("trainer.turned") == 0:
            assert page.ask("microgpt.loss") == pytest.approx(loss, rel=1e-13)
            assert np.array(page.ask("microgpt.gradients()")) == pytest.approx(gradient, rel=1e-11, abs=1e-14)

    function, params, *arrays = BY_WHILE
    page.show(function, params, *arrays)
    assert page.find("#guards").inner_text() == ""
    page.ask("microgpt.set(0, 0.2)")  # 5 needs fewer turns now
    line = function.__code__.co_firstlineno + 3
    assert f"otherwise at line {line}" in page.find("#guards").inner_text()
    page.ask("microgpt.reset()")
    assert page.find("#guards").inner_text() == ""


@pytest.mark.slow
def test_each_line_has_the_numbers_of_the_chosen_turn(page):
    function, params, *arrays = BY_WHILE
    page.show(function, params, *arrays)
    cell = page.find(".source-line").nth(4).locator(".cell").first  # state = state * params["decay"]
    assert cell.get_attribute("aria-label").startswith("state, line")
    assert cell.evaluate("e => e.number") == 5.0 * 0.6
    chooser = page.find(".chooser input")
    assert chooser.get_attribute("max") == "4"
    chooser.evaluate("e => { e.value = 3; e.dispatchEvent(new Event('input')); }")
    assert cell.evaluate("e => e.number") == 5.0 * 0.6 * 0.6 * 0.6
    made = page.find(".source-line").nth(5).locator(".made")
    assert made.inner_text().split() == ["turns", "3"]
    page.ask("microgpt.show(1)")  # 0.5 takes no turn
    assert page.find(".chooser").count() == 0
    page.ask("microgpt.show(0)")
    page.find(".source-line").nth(4).locator(".cell").first.click()
    titles = [page.title()]
    while page.find("#panel .formula .cell").count():
        page.find("#panel .formula .cell").first.click()
        titles.append(page.title())
    assert titles[-1] == "x of the example"
    assert len(titles) >= 2

    function, params, *arrays = OF_CLASSES
    page.show(function, params, *arrays)
    page.find(
        "button",
    ).first.wait_for()
    page.ask("document.querySelectorAll('.steps-in button[aria-expanded=false]').forEach(e => e.click())")
    names = page.find(".listing").evaluate_all("all => all.map(e => e.getAttribute('aria-label').split(',')[0])")
    assert {"of_classes", "squares", "softmax", "clipped"} <= set(names)
    assert page.find(".not-taken").count() >= 1  # relu or the choice goes one way


@pytest.mark.slow
def test_all_numbers_open_and_their_gradients_add_up(page):
    page.show(*OF_CLASSES)
    opened = page.ask(
        """[...Array(ways[0].end).keys()].filter(n => n < content.parameters || n >= ways[0].start).map(n => {
            open(n);
            const exact = id => { const e = document.getElementById(id); return e && Number(e.dataset.exact); };
            const title = document.getElementById('opened').textContent;
            return [exact('value'), exact('recomputed'), exact('gradient'), exact('received'), title];
        })"""
    )
    assert len(opened) > 100
    for value, recomputed, gradient, received, title in opened:
        assert title
        assert "undefined" not in title
        assert recomputed is None or recomputed == pytest.approx(value, rel=1e-13, abs=1e-15)
        assert received is None or received == pytest.approx(gradient, rel=1e-11, abs=1e-14)


@pytest.mark.slow
def test_one_undo_brings_back_what_was_changed(page):
    page.show(lambda w, x: (w[0] * x[0] + w[1]) ** 2, np.array([1.0, -0.5]), np.array([[1.0], [2.0], [-3.0]]))
    page.ask("microgpt.step(0.1)")
    numbers_of_examples = "model.examples.map(({ numbers }) => numbers[0])"
    state = f"[data.slice(0, P), {numbers_of_examples}, trainer.losses, model.trained, microgpt.lossOfExample]"
    for change in (
        "document.getElementById('one-step').click()",
        "document.getElementById('random').click()",
        "document.getElementById('reset').click()",
        "microgpt.set(1, 0.75)",
        "microgpt.set(model.result - 1, 3)",
        "microgpt.set(ways[0].given[0], 4)",
        "document.getElementById('rows').value = '5'; document.getElementById('only-rows').click()",
    ):
        before = page.ask(state)
        page.ask(change)
        after = page.ask(state)
        assert after != before
        for then in (before, after, before):
            page.find("#undo").click()
            assert page.ask(state) == then


@pytest.mark.slow
def test_a_link_shows_what_was_done(page):
    page.show(lambda w, x: (w[0] * x[0] + w[1]) ** 2, np.array([1.0, -0.5]), np.array([[1.0], [2.0], [-3.0]]))
    page.ask("microgpt.random(3)")
    page.ask("microgpt.show(2)")
    page.ask("microgpt.set(1, 0.75)")
    page.ask("microgpt.set(model.result - 1, 3)")
    state = "[microgpt.parameters, model.shown, model.changes.size, microgpt.lossOfExample]"
    done = page.ask(state)
    page.page.wait_for_url("**%3A3&model=*")
    link = page.ask("location.href")
    for then, refused in ((link, False), (link.replace("model=", "model=0"), True)):
        page.page.goto("about:blank")
        page.page.goto(then)
        page.page.wait_for_selector("body[data-ready]")
        assert (page.ask(state) == done) is not refused
        assert ("other parameters" in page.find("#refused").inner_text()) is refused
    assert page.troubles == []
    page.open(unfold=False)


@pytest.mark.slow
def test_moons_learn_on_their_plane_and_take_points(page):
    moons = importlib.import_module("examples.moons")
    points, labels = moons.moons(60, np.random.default_rng(1))
    page.show(moons.loss, moons.start(0), points, labels, plane=moons.score)
    assert page.ask("ways.length") == 1
    given = {name: array.tolist() for name, array in moons.start(0).items()}
    right = sum(moons.score(given, point) * label > 0 for point, label in zip(points.tolist(), labels, strict=True))
    says = "the right side of the line"
    assert page.find("#points").get_attribute("aria-label").endswith(f" {right} on {says}")
    page.find("#rate").evaluate("e => { e.value = -1; e.dispatchEvent(new Event('input')); }")
    page.find("#run").click()
    for _ in range(300):
        if page.page.evaluate("trainer.losses.length") > 300:
            break
        page.page.wait_for_timeout(20)
    page.page.locator("#run").click()
    assert page.find("#points").get_attribute("aria-label").endswith(f" 60 on {says}")
    assert page.find("#curve path").count() >= 1
    page.find(".picture").click(position={"x": 12, "y": 14})
    assert page.ask("[model.examples.length, model.shown]") == [61, 60]
    page.find("#rows").fill("0.5, 0.25, 1\n1 -0.5 -1")
    page.find("#add-rows").click()
    assert page.ask("model.examples.length") == 63
    page.find("#rows").fill("0.5, 0.25")
    page.find("#add-rows").click()
    assert "row 1 is not 3 numbers: each has 2 of point, then label" in page.find("#refused").inner_text()
    assert page.ask("model.examples.length") == 63


@pytest.mark.slow
def test_a_number_of_an_example_changes_and_comes_back(page):
    page.show(lambda params, x, y: (params * x - y) ** 2, np.array(2.0), [1.0, 2.0], [3.0, 5.0])
    first = page.ask("ways[0].given[0]")
    page.ask("node => microgpt.set(node, 4)", first)
    assert page.ask("[microgpt.lossOfExample, microgpt.loss]") == [25.0, (25.0 + 1.0) / 2]
    page.ask("microgpt.show(1)")
    assert page.ask("[microgpt.lossOfExample, microgpt.loss]") == [1.0, (25.0 + 1.0) / 2]
    assert page.find("#put-changes-back").count() == 0  # that was of the other example
    page.find("#reset").click()
    assert page.ask("[microgpt.lossOfExample, microgpt.loss]") == [1.0, 1.0]
    page.ask("node => microgpt.set(node, 1.5)", first)
    page.find("#put-changes-back").click()
    assert page.ask("microgpt.loss") == 1.0


@pytest.mark.slow
def test_axe_finds_nothing_and_nothing_is_too_wide(page):
    axe = pytest.importorskip("axe_playwright_python", reason="needs axe: pip install axe-playwright-python")
    script = (Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    page.show(*OF_CLASSES)
    page.ask("microgpt.step(0.05); open(model.result); 1")
    for width in (1300, 390):
        page.page.set_viewport_size({"width": width, "height": 800})
        assert page.ask("document.documentElement.scrollWidth") <= width
        page.page.evaluate(script)
        found = page.page.evaluate("axe.run().then(found => found.violations.map(one => [one.id, one.nodes[0].html]))")
        assert found == []
    page.page.set_viewport_size({"width": 1300, "height": 900})


@pytest.mark.slow
def test_a_browser_that_cannot_unpack_is_told_so(browser, tmp_path):
    explain(*BY_WHILE, out=tmp_path / "page.html")
    page = browser.new_page()
    page.add_init_script("delete window.DecompressionStream")
    page.goto((tmp_path / "page.html").as_uri())
    assert "has no DecompressionStream" in page.locator("#broken").inner_text()
    assert "computed" not in page.locator("footer").inner_text()
    page.close()


@pytest.mark.slow
def test_an_integer_that_chose_stays(page):
    page.show(lambda params, i, x: params[i] * x, np.array([1.0, 2.0]), [1, 1], [0.5, 2.0])
    page.ask("open(ways[0].given[0])")
    assert "Python used it to choose" in page.find("#panel").inner_text()
    assert page.find("#change").count() == 0
    page.find("#rows").fill("1 3")
    page.find("#add-rows").click()
    assert page.ask("microgpt.loss") == (1.0 + 4.0 + 6.0) / 3
    page.find("#rows").fill("0 3")
    page.find("#add-rows").click()
    assert "row 1: i has to be 1, because Python used it to choose" in page.find("#refused").inner_text()
