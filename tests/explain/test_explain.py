"""What goes into the explanation: the engine's own numbers, under names that nobody wrote into the book."""

import base64
import gzip
import inspect
import json
import os
import re
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import as_lists, assert_close, make_run
from running import NAMES, TINY, assert_refused, call, train

from microgpt import functions, gpt
from microgpt.engines.trees import map_arrays, map_numbers
from microgpt.errors import InputError
from microgpt.explain import explanation as explanation_module
from microgpt.explain.content import differences, planes, sources
from microgpt.explain.default_text import some_text
from microgpt.explain.explanation import can_explain, explain, positions_that_fit, room
from microgpt.explain.observe import observed
from microgpt.explain.page import to_html
from microgpt.explain.program import CONSTANT, PARAMETER, TooLongError, record
from microgpt.explain.strips import WATCHED, strips
from microgpt.gpt import GPTConfig, empty_cache
from microgpt.learning.parameters import flatten
from microgpt.learning.text import encode
from microgpt.runs.directory import load_run
from microgpt.value import Value, exp, largest, log, pick

CONFIG = GPTConfig(vocab_size=5, n_positions=6, n_embd=4, n_layer=2, n_head=2)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"), config=CONFIG)


@pytest.fixture(scope="module")
def explanation(run):
    return explain(run, "abc")


def flat(nested):
    return [entry for part in nested for entry in flat(part)] if isinstance(nested, list) else [nested]


# Observing


def outer(x):
    doubled = [2 * entry for entry in x]
    return inner(doubled) + inner(x)


def inner(y):
    total = sum(y)
    return total


def test_watched_functions_tell_variables_results_and_calls():
    with observed([outer, inner]) as calls:
        assert outer([1, 2]) == 9
    (call,) = calls
    assert (call.function, call.result) == ("outer", 9)
    assert call.variables == {"x": [1, 2], "doubled": [2, 4]}
    assert [(one.function, one.variables["total"], one.inner) for one in call.inner] == [
        ("inner", 6, []),
        ("inner", 3, []),
    ]


def test_watching_ends_even_where_a_function_fails():
    with observed([inner]) as calls, pytest.raises(TypeError):
        inner([1, "a"])
    assert len(calls) == 1
    inner([1])
    assert len(calls) == 1


# The program


def small_loss(params, tokens, weights):
    total = 0
    for position, weight in enumerate(weights):
        x = pick(params["table"], tokens[position])  # [2]
        shifted = [x_i - largest(x) for x_i in x]
        total += weight * (log(x[0] * x[1] + exp(x[0]) * 2) + (x[1] + 2) ** 3 / 2 - pick(shifted, tokens[position + 1]))
    return total


SHAPES = {"table": (2, 2)}


def test_it_counts_the_operations_that_values_take(run, explanation):
    params = map_arrays(lambda array: map_numbers(Value, array.tolist()), run.parameters)
    tokens = explanation.tokens
    result = gpt.loss(params, tokens, [1 / 4] * 4, CONFIG)
    seen, stack = set(), [result]
    while stack:
        value = stack.pop()
        if value not in seen:
            seen.add(value)
            stack += value.inputs
    made = Counter(value.operation.split()[0] for value in seen if value.inputs)
    assert explanation.program.operations(4) == dict(made)
    assert explanation.operations == made.total()


def test_weights_follow_parameters_and_equal_constants_share_nodes():
    program, _ = record(small_loss, SHAPES, 3, 10_000)
    assert program.kind[:7] == [PARAMETER] * 4 + [CONSTANT] * 3
    assert sorted(program.constants) == [-1.0, 0.0, 2.0, 3.0]


def test_a_program_too_long_tells_its_complete_positions():
    whole, _ = record(small_loss, SHAPES, 3, 10_000)
    with pytest.raises(TooLongError) as caught:
        record(small_loss, SHAPES, 3, whole.totals[1] + 8)
    assert caught.value.positions == 2


# Names


def test_the_strips_hold_what_the_model_computes(run):  # up to the last digits: sum() rounds floats in its own way
    params = map_arrays(lambda array: map_numbers(Value, array.tolist()), run.parameters)
    tokens = encode("\nabc\n", run.vocabulary)
    with observed(WATCHED) as calls:
        total = gpt.loss(params, tokens, [0.25] * 4, CONFIG)
    found = {(strip.key, strip.position): [scalar.data for scalar in strip.scalars] for strip in strips(calls[0])}
    cache, numbers = empty_cache(CONFIG), as_lists(run.parameters)
    for position, token in enumerate(tokens[:-1]):
        logits = gpt.gpt(numbers, CONFIG, token, position, cache)
        assert_close(found["logits", position], logits)
        assert_close(found["surprise", position], [functions.cross_entropy(logits, tokens[position + 1])])
        for layer in range(2):
            for part, memory in (("key", cache[layer].keys), ("value", cache[layer].values)):
                heads = [found[f"h.{layer}.head.{h}.{part}", position] for h in range(2)]
                assert_close(flat(heads), memory[position])
            for head in range(2):
                assert sum(found[f"h.{layer}.head.{head}.attention", position]) == pytest.approx(1.0)
    assert found["loss", 3] == [total.data]


def test_strips_have_names_places_and_earlier_positions(explanation):
    names = {strip.key: strip.name for strip in explanation.strips}
    assert names["h.1.head.0.attention"] == "block 1, head 0, attention from {here} to {there}"
    for strip in explanation.strips:
        assert strip.scalars
        assert all(0 <= scalar.node < len(explanation.program.kind) for scalar in strip.scalars)
        if strip.key.endswith(".attention") and "head" in strip.key:
            assert len(strip.scalars) == strip.position + 1
    assert len({(strip.key, strip.position) for strip in explanation.strips}) == len(explanation.strips)


# The compiler


def test_instructions_know_the_strips_they_result_in(explanation):
    by_key = {key: one for one in explanation.instructions for key in one["keys"]}
    assert by_key["logits"]["operation"] == "product"
    assert by_key["h.1.head.1.query"] is by_key["h.1.head.0.value"]
    assert by_key["h.0.head.0.exp"]["operation"] == "exp"
    assert by_key["h.0.ln_1.scale"]["of"].endswith("** -0.5")
    named = {key for one in explanation.instructions for key in one["keys"] + one["way"]}
    melted = {strip.key for strip in explanation.strips} - named  # into the sums that they are terms of
    assert all(
        key.split(".")[-1] in ("attention", "mlp", "mean", "variance", "place", "inside", "tanh", "input")
        for key in melted
    )


def test_instructions_get_credit_for_their_results_alone(explanation):
    positions = len(explanation.tokens) - 1
    sizes = Counter()
    for strip in explanation.strips:
        if strip.position < positions:
            sizes[strip.key] += len(strip.scalars)
    credited = [key for one in explanation.instructions for key in one["keys"]]
    assert len(credited) == len(set(credited))
    for one in explanation.instructions:
        assert not set(one["keys"]) & set(one["way"])
        for key in set(one["keys"]) - {"loss"}:
            assert sizes[key] <= one["rows"], key
    on_the_way = {key: [one["operation"] for one in explanation.instructions if key in one["way"]] for key in sizes}
    assert {"largest", "exp"} <= set(on_the_way["h.0.head.0.score"])
    assert "h.0.head.0.score" not in credited


# What cannot be explained


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the text has 0 characters: expected 1 to 5"),
        ("abcabc", "the text has 6 characters: expected 1 to 5"),
        ("abx", "does not know the character 'x'"),
        ("a\nb", "newline"),
    ],
)
def test_a_text_the_model_cannot_read_is_refused(run, text, expected):
    with pytest.raises(InputError) as caught:
        explain(run, text)
    assert expected in str(caught.value)


def test_prose_is_explained_without_newlines_around_it(tmp_path):
    run = make_run(tmp_path, "stream", CONFIG, vocabulary="\nabc\x03")
    explanation = explain(run, "ab\nc")
    assert explanation.tokens == [1, 2, 0, 3]
    assert parts(to_html(explanation))[0]["closing"] == 4
    for text, said in (("a", "expected 2 to 7"), ("abcabcab", "expected 2 to 7"), ("ab\x03", "know the character")):
        with pytest.raises(InputError, match=said):
            explain(run, text)


@pytest.mark.slow
@pytest.mark.parametrize("documents", ["lines", "stream"])
def test_a_text_too_long_is_told_what_fits(tmp_path, monkeypatch, documents):
    run = make_run(tmp_path, documents, CONFIG)
    ends = [node + 1 for node in explain(run, "abc").program.totals]  # where a text of 1, 2, ... predictions ends
    fewer = 1 if documents == "lines" else -1  # characters than predictions
    for limit, longest in ((ends[-1], 5), (ends[3] - 1, 3 - fewer), (ends[2], 3 - fewer), (ends[2] - 1, 2 - fewer)):
        monkeypatch.setattr("microgpt.explain.explanation.LARGEST_PROGRAM", limit)
        assert min(5, room(run, positions_that_fit(run))) == longest
        assert explain(run, "abcda"[:longest]).tokens
        if longest < 5:
            with pytest.raises(InputError, match=f"give a --text of at most {longest} characters"):
                explain(run, "abcda")
    for limit, fits in ((ends[0] - 20, False), (ends[0], documents == "stream"), (ends[1], True)):
        monkeypatch.setattr("microgpt.explain.explanation.LARGEST_PROGRAM", limit)
        assert can_explain(run.config, documents) == fits, limit
    monkeypatch.setattr("microgpt.explain.explanation.LARGEST_PROGRAM", ends[0] - 1)
    for refused in (lambda run, _: positions_that_fit(run), explain):
        with pytest.raises(InputError, match="more operations for one character"):
            refused(run, "abcda")


# The file


def parts(page):
    """The JSON of a page, and the bytes of its arrays."""
    content = json.loads(re.search(r'<script type="application/json" id="content">(.*?)</script>', page, re.DOTALL)[1])
    packed = re.search(r'<script type="text/plain" id="numbers">(.*?)</script>', page, re.DOTALL)[1]
    return content, gzip.decompress(base64.b64decode(packed))


def test_the_page_has_the_parameters_to_the_bit(run, explanation):
    content, numbers = parts(to_html(explanation))
    assert content["closing"] == 0
    (name, dtype, count), *_ = content["arrays"]
    assert (name, dtype) == ("parameters", "float32")
    assert (np.frombuffer(numbers, np.float32, count) == flatten(run.parameters)).all()
    assert len(numbers) == sum(np.dtype(dtype).itemsize * count for _, dtype, count in content["arrays"])
    assert to_html(explain(run, "abc")) == to_html(explanation)


def test_integers_come_back_from_their_differences():
    rng = np.random.default_rng(0)
    numbers = rng.integers(-1, 10**6, 1000)
    read = np.frombuffer(planes(differences(numbers)), np.uint8).reshape(4, -1).T.copy().view("<i4").ravel()
    assert (np.cumsum(read) == numbers).all()


@pytest.mark.slow
@pytest.mark.parametrize("documents", ["lines", "stream"])
def test_texts_to_train_on_come_from_the_data(tmp_path, monkeypatch, documents):
    text = "abcd\nab\nba\nbcd\na\ndcb\ncab\n" * 3
    run = replace(make_run(tmp_path, documents, CONFIG), text=text)
    ends = [node + 1 for node in explain(run, "ab").program.totals]
    for positions in (6, 3):  # as many as the model has, and as many as a page can hold
        monkeypatch.setattr("microgpt.explain.explanation.LARGEST_PROGRAM", ends[positions - 1])
        content, _ = parts(to_html(explain(run, "ab")))
        assert len(content["totals"]) == positions
        assert len(content["training"]["texts"]) >= 3
        for tokens in content["training"]["texts"] + content["training"]["heldOut"]:
            assert len(tokens) <= positions + 1
            assert "".join(run.vocabulary[token] for token in tokens) in f"\n{text}"


def test_the_sources_are_lines_of_the_book():
    for name, source in sources().items():
        file, line = source["place"].split(":")
        module = {"gpt.py": gpt, "functions.py": functions}.get(file)
        if module is not None:
            lines = inspect.getsource(module).splitlines()
            assert lines[int(line) - 1].strip() == source["code"].splitlines()[0].strip(), name
        assert '"""' not in source["code"]


# The command


@pytest.mark.slow
def test_the_command_explains_a_held_out_name(trained):
    result = call("explain.py", cwd=trained)
    assert result.returncode == 0, result.stderr
    name = re.match(r"'(\w+)' takes [\d,]+ operations", result.stdout)[1]
    assert name in NAMES.splitlines()
    assert "operations in the model of runs/names\nopen " in result.stdout
    content, _ = parts((trained / "runs" / "names" / "explain.html").read_text(encoding="utf-8"))
    assert "".join(content["vocabulary"][token] for token in content["tokens"]) == f"\n{name}\n"
    assert [row[0] for row in content["run"]["curve"]] == [0, *range(1, 41)]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_page_goes_where_it_is_told(trained, tmp_path):
    page = tmp_path / "index.html"
    page.write_text("earlier")
    page.chmod(0o640)
    (tmp_path / "link.html").symlink_to(page)
    os.mkfifo(tmp_path / "pipe")
    run = trained / "runs" / "names"
    options = ["--run", run, "--text", "ceo", "--out"]
    assert call("explain.py", *options, "link.html", cwd=tmp_path).returncode == 0
    assert (tmp_path / "link.html").readlink() == page
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert page.stat().st_mode & 0o777 == 0o640
    with (tmp_path / "read").open("wb") as read, subprocess.Popen(["cat", tmp_path / "pipe"], stdout=read):
        result = call("explain.py", *options, "pipe", "--open", cwd=tmp_path)
    assert (tmp_path / "read").read_bytes().startswith(b"<!doctype html>")
    assert result.stdout.endswith("\nthe page went to pipe\n")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["index.html", "link.html", "pipe", "read"]

    (run / "explain.html").unlink(missing_ok=True)
    (run / "explain.html").symlink_to(page)  # such as in a directory that someone else made
    page.write_text("mine")
    assert call("explain.py", "--run", run, "--text", "ceo", cwd=tmp_path).returncode == 0
    assert page.read_text() == "mine"
    assert not (run / "explain.html").is_symlink()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--text", ""], "has 0 characters"),
        (["--text", "a" * 16], "has 16 characters: expected 1 to 15"),
        (["--text", "añn"], "'ñ'"),
        (["--run", "nowhere"], "nowhere"),
        (["--out", "nowhere/page.html"], "cannot write --out nowhere/page.html"),
        (["--out", ".", "--run", "nowhere"], "--out is ., a directory: give the name of a file, such as explain.html"),
        (["--out", Path().absolute().anchor], "a directory: give the name of a file"),
        (["--out", ""], "a directory: give the name of a file"),
    ],
)
def test_the_command_refuses_in_one_line(trained, options, expected):
    assert_refused(call("explain.py", *options, cwd=trained), expected)


@pytest.mark.slow
@pytest.mark.parametrize("documents", ["lines", "stream"])
def test_a_text_that_fits_is_chosen(tmp_path, monkeypatch, documents):
    options = [*TINY, "--documents", documents, "--block-size", "12", "--out", "run"]
    train(tmp_path, *options, text="abcdefgh\nhgfedcba\nabababab\nbcbcbcbc\n" * 9)
    if documents == "stream":
        result = call("explain.py", "--run", "run", cwd=tmp_path)
        assert re.match(r"'(.+)' \(from the held-out text\) takes [\d,]+ operations", result.stdout)
    run = load_run(tmp_path / "run")
    whole = some_text(run)[0]
    assert len(whole) == 8
    program = explain(run, whole).program  # of which there is room for three predictions, and half of the fourth
    monkeypatch.setattr(explanation_module, "LARGEST_PROGRAM", (program.totals[2] + program.totals[3]) // 2)
    fitting, what = some_text(run)
    assert fitting == whole[: 2 if documents == "lines" else 4]
    assert "cut to what a page can hold" in what
    explain(run, fitting)
    monkeypatch.setattr(explanation_module, "LARGEST_PROGRAM", 20)
    assert not can_explain(run.config, documents)
    with pytest.raises(InputError, match="explain a smaller model"):
        some_text(run)


@pytest.mark.slow
def test_training_promises_no_impossible_page(tmp_path, monkeypatch):
    monkeypatch.setattr(explanation_module, "LARGEST_PROGRAM", 20)
    result = train(tmp_path, *TINY, "--out", "large")
    assert "python sample.py --run large" in result.stdout
    assert "explain.py" not in result.stdout
    assert_refused(call("explain.py", "--run", "large", cwd=tmp_path), "explain a smaller model")
