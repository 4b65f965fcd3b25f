"""What goes into the explanation: the engine's own numbers, under names that nobody wrote into the book."""

import base64
import gzip
import inspect
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from helpers import as_lists, make_run
from test_scripts import NAMES, PROSE, TINY, assert_refused, call

from microgpt import functions, gpt
from microgpt.errors import InputError
from microgpt.explain.graph import CONSTANT, KINDS, graph_of
from microgpt.explain.observe import observed
from microgpt.explain.page import beginning_that_fits, explain, sources, to_html
from microgpt.explain.strips import WATCHED
from microgpt.gpt import GPTConfig, empty_cache
from microgpt.parameters import flatten
from microgpt.value import Value, exp, log

CONFIG = GPTConfig(vocab_size=5, n_positions=6, n_embd=4, n_layer=2, n_head=2)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"), config=CONFIG)


@pytest.fixture(scope="module")
def explanation(run):
    return explain(run, "abc")


def strip_of(explanation, key, position):
    (found,) = [strip for strip in explanation.strips if (strip.key, strip.position) == (key, position)]
    return found


# Observing


def outer(x):
    doubled = [2 * entry for entry in x]
    return inner(doubled) + inner(x)


def inner(y):
    total = sum(y)
    return total


def test_watched_functions_tell_their_variables_results_and_inner_calls():
    with observed([outer, inner]) as calls:
        assert outer([1, 2]) == 9
    (call,) = calls
    assert (call.function, call.result) == ("outer", 9)
    assert call.variables == {"x": [1, 2], "doubled": [2, 4]}
    assert [(one.function, one.variables["total"], one.inner) for one in call.inner] == [
        ("inner", 6, []),
        ("inner", 3, []),
    ]


def test_nothing_is_watched_afterwards():
    with observed([inner]) as calls:
        pass
    inner([1])
    assert calls == []


def test_watching_ends_where_a_function_fails():
    with observed([inner]) as calls, pytest.raises(TypeError):
        inner([1, "a"])
    assert len(calls) == 1
    inner([1])
    assert len(calls) == 1


# The graph


def small_graph():
    a, b = Value(2.0), Value(3.0)
    result = log(a * b + exp(a) * 2) + (a + 2) ** 3 * 2
    result.backward()
    return graph_of(result, [a, b]), result


def test_a_graph_has_every_operation_with_its_operands_before_it():
    graph, result = small_graph()
    assert graph.counts() == {"+": 3, "*": 3, "**": 1, "log": 1, "exp": 1}
    for node, kind in enumerate(graph.kind):
        for operand in (graph.left[node], graph.right[node]):
            assert operand < node
        assert (graph.left[node] < 0) == (kind <= CONSTANT)
    assert graph.data[graph.node_of[result]] == result.data


def test_equal_constants_are_one_node_with_all_of_their_gradient():
    graph, _ = small_graph()
    constants = graph.data[graph.kind == CONSTANT]
    assert sorted(constants) == [2.0, 3.0]  # the exponent is one, too
    two = int(np.flatnonzero((graph.kind == CONSTANT) & (graph.data == 2.0))[0])
    e = np.exp(2.0)
    assert graph.gradient[two] == pytest.approx(e / (6 + 2 * e) + 3 * 16 * 2 + 64)


def recomputed(graph, node):
    a, b = graph.data[graph.left[node]], graph.data[graph.right[node]]
    operation = KINDS[graph.kind[node]]
    if operation in "+*":
        return a + b if operation == "+" else a * b
    return a**b if operation == "**" else np.log(a) if operation == "log" else np.exp(a)


def test_every_number_is_what_its_operands_make(explanation):
    graph = explanation.graph
    for node in np.flatnonzero(graph.kind > CONSTANT):
        assert recomputed(graph, node) == pytest.approx(graph.data[node], rel=1e-14)


def test_the_parameters_come_first_and_are_those_of_the_run(run, explanation):
    parameters = flatten(run.parameters).astype(np.float64)
    assert (explanation.graph.data[: len(parameters)] == parameters).all()


# Names


def test_the_strips_hold_what_the_model_computes(run, explanation):
    params = as_lists(run.parameters)
    tokens = [0, 1, 2, 3, 0]
    assert explanation.tokens == tokens
    cache = empty_cache(CONFIG)
    for position, token in enumerate(tokens[:-1]):
        logits = gpt.gpt(params, CONFIG, token, position, cache)
        assert [value.data for value in strip_of(explanation, "logits", position).scalars] == logits
        surprise = strip_of(explanation, "surprise", position).scalars[0].data
        assert surprise == functions.cross_entropy(logits, tokens[position + 1])
        for layer in range(2):
            for part, memory in (("key", cache[layer].keys), ("value", cache[layer].values)):
                found = [strip_of(explanation, f"h.{layer}.head.{h}.{part}", position).scalars for h in range(2)]
                assert [value.data for head in found for value in head] == memory[position]
    total = strip_of(explanation, "loss", 3).scalars[0].data
    assert total == gpt.loss(params, tokens, [0.25] * 4, CONFIG)


def test_attention_reads_from_all_positions_so_far_and_sums_to_one(explanation):
    for layer in range(2):
        for head in range(2):
            for position in range(4):
                shares = strip_of(explanation, f"h.{layer}.head.{head}.attention", position).scalars
                assert len(shares) == position + 1
                assert sum(value.data for value in shares) == pytest.approx(1.0)


def test_names_say_block_head_and_what(explanation):
    name = strip_of(explanation, "h.1.head.0.attention", 2).name
    assert name == "block 1, head 0, attention from {here} to {there}"


def test_all_strips_are_in_the_graph_and_no_name_is_given_twice(explanation):
    seen = set()
    for strip in explanation.strips:
        assert strip.scalars
        assert (strip.key, strip.position) not in seen
        seen.add((strip.key, strip.position))
        assert all(scalar in explanation.graph.node_of for scalar in strip.scalars)


def test_the_book_has_no_word_of_the_explanation():
    for module in (gpt, functions):
        assert "explain" not in inspect.getsource(module)
    assert all(function.__module__ in ("microgpt.gpt", "microgpt.functions") for function in WATCHED)


# The compiler


def test_the_instructions_know_the_strips_that_they_compute(explanation):
    by_key = {key: one for one in explanation.instructions for key in one["keys"]}
    assert by_key["logits"]["operation"] == "product"
    assert by_key["h.1.head.1.query"] is by_key["h.1.head.0.value"]
    assert by_key["h.0.head.0.exp"]["operation"] == "exp"
    assert by_key["h.0.ln_1.scale"]["of"].endswith("** -0.5")
    everything = {strip.key for strip in explanation.strips}
    melted = everything - set(by_key)  # into the sums that they are terms of
    assert all(
        key.split(".")[-1] in ("attention", "mlp", "mean", "variance", "place", "inside", "tanh") for key in melted
    )


# What cannot be explained


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the text has 0 characters: expected 1 to 5"),
        ("abcabc", "the text has 6 characters: expected 1 to 5"),
        ("abx", "never seen the character 'x'"),
        ("a\nb", "newline"),
    ],
)
def test_a_text_that_the_model_cannot_read_is_refused(run, text, expected):
    with pytest.raises(InputError) as caught:
        explain(run, text)
    assert expected in str(caught.value)


def test_prose_is_explained_without_newlines_around_it(tmp_path):
    run = make_run(tmp_path, "stream", CONFIG)
    assert explain(run, "ab\nc").tokens == [1, 2, 0, 3]
    for text in ("a", "abcdabc" + "d"):
        with pytest.raises(InputError, match="expected 2 to 7"):
            explain(run, text)


def test_a_text_that_makes_too_large_a_page_is_told_what_fits(run, monkeypatch):
    monkeypatch.setattr("microgpt.explain.page.LARGEST_GRAPH", 5000)
    with pytest.raises(InputError, match=r"has 5 characters, which take .* operations.*at most [1-4] characters"):
        explain(run, "abcda")


@pytest.mark.parametrize("documents", ["lines", "stream"])
def test_the_beginning_that_fits_is_the_longest_that_does(tmp_path, monkeypatch, documents):
    run = make_run(tmp_path, documents, CONFIG)
    sizes = {n: sum(explain(run, "abcda"[:n]).graph.counts().values()) for n in (2, 3, 4, 5)}
    for limit, longest in ((sizes[5], 5), (sizes[5] - 1, 4), (sizes[3], 3), (sizes[3] - 1, 2), (5, 0)):
        monkeypatch.setattr("microgpt.explain.page.LARGEST_GRAPH", limit)
        assert beginning_that_fits(run, "abcda") == "abcda"[:longest]
        if 0 < longest < 5:
            with pytest.raises(InputError, match=f"give a --text of at most {longest} characters"):
                explain(run, "abcda")
    with pytest.raises(InputError, match="this model is too large for one"):
        explain(run, "abcda")


# The file


def parts(page):
    """The JSON and the arrays of a page."""
    content = json.loads(re.search(r'<script type="application/json" id="content">(.*?)</script>', page, re.DOTALL)[1])
    packed = re.search(r'<script type="text/plain" id="numbers">(.*?)</script>', page, re.DOTALL)[1]
    return content, gzip.decompress(base64.b64decode(packed))


def test_the_page_has_the_numbers_of_the_graph(explanation):
    content, numbers = parts(to_html(explanation))
    n = content["nodes"]
    assert (np.frombuffer(numbers, np.float64, n) == explanation.graph.data).all()
    assert (np.frombuffer(numbers, np.float64, n, 8 * n) == explanation.graph.gradient).all()
    assert len(numbers) == n * (8 + 8 + 4 + 4 + 1) + 4 * content["members"]


def test_the_page_is_the_same_for_the_same_text(run):
    assert to_html(explain(run, "ab")) == to_html(explain(run, "ab"))


HOSTILE = "</script><script>alert(1)</script><!--\u2028\"'&`${x}"


def test_no_text_can_leave_its_place_in_the_page(run, explanation):
    vocabulary = "\n<>/!"
    checkpoint = run.checkpoint
    settings = {"data": HOSTILE, HOSTILE: 1}
    origin = replace(checkpoint.origin, data=HOSTILE, settings=settings)
    best = replace(checkpoint.best, samples=[HOSTILE, "{{script}}"])
    hostile = replace(run, vocabulary=vocabulary, checkpoint=replace(checkpoint, origin=origin, best=best))
    page = to_html(replace(explanation, run=hostile))
    content, _ = parts(page)
    assert content["run"]["data"] == HOSTILE
    assert content["run"]["samples"] == [HOSTILE, "{{script}}"]
    assert page.count("<script") == 3
    assert "alert(1)</script" not in page


def test_the_sources_are_lines_of_the_book():
    for name, source in sources().items():
        file, line = source["place"].split(":")
        module = {"gpt.py": gpt, "functions.py": functions}.get(file)
        if module is not None:
            lines = inspect.getsource(module).splitlines()
            assert lines[int(line) - 1].strip() == source["code"].splitlines()[0].strip(), name
        assert '"""' not in source["code"]


# The command


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    directory = tmp_path_factory.mktemp("trained")
    (directory / "names.txt").write_text(NAMES)
    assert call("train.py", "--data", "names.txt", *TINY, cwd=directory).returncode == 0
    return directory


def test_the_command_writes_a_page_about_a_held_out_name_of_the_newest_run(trained):
    result = call("explain.py", cwd=trained)
    assert result.returncode == 0, result.stderr
    name = re.match(r"'(\w+)' took [\d,]+ operations", result.stdout)[1]
    assert name in NAMES.splitlines()
    content, _ = parts((trained / "runs" / "names" / "explain.html").read_text(encoding="utf-8"))
    assert "".join(content["vocabulary"][token] for token in content["tokens"]) == f"\n{name}\n"
    assert [row[0] for row in content["run"]["curve"]] == [0, 1, 2]


def test_of_prose_it_takes_a_text_that_fits_and_says_so(tmp_path):
    (tmp_path / "fox.txt").write_text(PROSE)
    options = [*TINY, "--block-size", "8", "--out", "run"]
    assert call("train.py", "--data", "fox.txt", *options, cwd=tmp_path).returncode == 0
    result = call("explain.py", "--run", "run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    text, what = re.match(r"'(.+)' (\(.*\)) took [\d,]+ operations", result.stdout).groups()
    assert text in PROSE[-24:]
    assert what == "(from the text that was held out)"


def test_the_page_may_lie_elsewhere_and_be_about_any_text(trained, tmp_path):
    result = call(
        "explain.py", "--run", trained / "runs" / "names", "--text", "ceo", "--out", "page.html", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "page.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--text", ""], "has 0 characters"),
        (["--text", "a" * 16], "has 16 characters: expected 1 to 15"),
        (["--text", "añn"], "'ñ'"),
        (["--run", "nowhere"], "nowhere"),
        (["--out", "nowhere/page.html"], "cannot write the page nowhere/page.html"),
    ],
)
def test_the_command_refuses_in_one_line(trained, options, expected):
    assert_refused(call("explain.py", *options, cwd=trained), expected)
