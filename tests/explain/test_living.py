"""The page is alive: what it computes is what the scalar engine computes, whatever one types, changes or trains."""

import json
import math
import random
import re
import shutil
import time
from functools import partial

import numpy as np
import pytest
from browsing import Watched
from running import NAMES, call
from running import train as learn

from microgpt import gpt
from microgpt.adam import scheduled_learning_rate
from microgpt.engines.engine import value_and_grad
from microgpt.explain.explanation import explain
from microgpt.explain.page import to_html
from microgpt.learning.batches import padded
from microgpt.learning.choosing import Choice, probabilities
from microgpt.learning.parameters import flatten, views
from microgpt.learning.text import encode
from microgpt.learning.training import Schedule, train
from microgpt.runs.directory import load_run
from microgpt.runs.snapshots import read_snapshots

pytestmark = pytest.mark.slow


@pytest.fixture
def run(trained):
    return load_run(trained / "runs" / "names")


def in_doubles(run):
    return {name: array.astype(np.float64) for name, array in run.parameters.items()}


def engine(run, parameters, text):
    """Loss, gradients of all parameters, and the logits at every position, as the scalar engine has them."""
    tokens = encode(f"\n{text}\n", run.vocabulary)
    step = value_and_grad(partial(gpt.loss, config=run.config), "scalar")
    loss, gradients = step(parameters, np.array([tokens]), np.full((1, len(tokens) - 1), 1 / (len(tokens) - 1)))
    numbers, cache = {name: array.tolist() for name, array in parameters.items()}, gpt.empty_cache(run.config)
    logits = [gpt.gpt(numbers, run.config, token, i, cache) for i, token in enumerate(tokens[:-1])]
    return loss, flatten(gradients), logits


def assert_same(page, run, parameters, text):
    loss, gradients, logits = engine(run, parameters, text)
    assert page.ask("microgpt.loss") == pytest.approx(loss, rel=1e-12)
    found = np.array(page.ask("Array.from(inside.gradients.subarray(0, inside.content.parameters))"))
    assert np.abs(found - gradients).max() <= 1e-12 * max(1, np.abs(gradients).max())
    for position, expected in enumerate(logits):
        shown = page.ask("p => inside.nodesAt('logits', p).map(n => microgpt.value(n))", position)
        assert shown == pytest.approx(expected, rel=1e-12, abs=1e-12)
        powers = np.exp(expected - np.max(expected))
        assert page.ask("p => microgpt.chances(p)", position) == pytest.approx((powers / powers.sum()).tolist())


# The engine


def test_the_numbers_are_those_of_the_scalar_engine(page, run):
    rng = random.Random(0)
    letters = run.vocabulary[1:]
    for length in (1, 2, 5, 15):
        text = "".join(rng.choice(letters) for _ in range(length))
        page.ask("text => microgpt.read(text)", text)
        assert_same(page, run, in_doubles(run), text)
    page.ask("microgpt.read('anna')")
    vector = flatten(in_doubles(run))
    for node in (3, 70, 500, len(vector) - 1):
        vector[node] += 0.3
        page.ask("([node, x]) => microgpt.set(node, x)", [node, vector[node]])
    shapes = {name: array.shape for name, array in run.parameters.items()}
    assert_same(page, run, views(vector, shapes), "anna")
    page.ask("microgpt.reset()")
    assert_same(page, run, in_doubles(run), "anna")
    page.ask("microgpt.switchOff('h.1.head.1')")
    without = in_doubles(run)
    without["h.1.attn.c_proj.weight"][4:8] = 0
    assert page.ask("microgpt.loss") == pytest.approx(engine(run, without, "anna")[0], rel=1e-12)


def test_steps_of_training_are_those_of_the_trainer(page, run):
    step = value_and_grad(partial(gpt.loss, config=run.config), "scalar")
    tokens = np.array([encode("\nanna\n", run.vocabulary)])
    parameters = in_doubles(run)
    schedule = Schedule(3, 0.05, 1, weight_decay=0.3, grad_clip=1.0)
    for update in train(step, parameters, [(tokens, np.full((1, 5), 0.2))] * 3, schedule):
        assert page.ask("microgpt.loss") == pytest.approx(update.loss, rel=1e-9)
        page.ask("rate => microgpt.step(rate)", scheduled_learning_rate(update.step, 3, 1, 0.05))
    assert_same_parameters(page, parameters)
    assert_same(page, run, parameters, "anna")

    page.ask("microgpt.reset()")
    sequences = page.ask("inside.content.training.texts.slice(0, 4)")
    names = ["".join(run.vocabulary[token] for token in tokens).strip("\n") for tokens in sequences]
    assert set(names) <= set(NAMES.split())
    parameters = in_doubles(run)
    (update,) = train(step, parameters, [padded(sequences, np.float64)], Schedule(1, 0.02, 1, weight_decay=0.3))
    assert page.ask("texts => inside.trainOnTexts(texts, 0.02)", sequences) == pytest.approx(update.loss, rel=1e-9)
    assert_same_parameters(page, parameters)


def assert_same_parameters(page, parameters):
    found = page.ask("Array.from(inside.data.subarray(0, inside.content.parameters))")
    assert np.abs(np.array(found) - flatten(parameters)).max() < 1e-9


def test_prose_reads_as_it_stands(browser, tmp_path):
    options = ["--n-embd", "4", "--n-head", "2", "--block-size", "12", "--steps", "5", "--warmup", "1", "--skip-check"]
    text = "a bee and a cat ate bread; " * 20
    learn(tmp_path, "--documents", "stream", *options, text=text, file="prose.txt")
    assert call("explain.py", "--text", "a bee", "--out", "prose.html", cwd=tmp_path).returncode == 0
    prose = load_run(tmp_path / "runs" / "prose")
    opened = Watched(browser, tmp_path / "prose.html")
    for text in ("a bee", "cat ate bread"):
        opened.ask("text => microgpt.read(text)", text)
        tokens = encode(text, prose.vocabulary)
        weights = [1 / (len(tokens) - 1)] * (len(tokens) - 1)
        numbers = {name: array.tolist() for name, array in in_doubles(prose).items()}
        assert opened.ask("microgpt.loss") == pytest.approx(gpt.loss(numbers, tokens, weights, prose.config), rel=1e-12)
    texts = opened.ask("[...Array(40).keys()].map((seed) => microgpt.write({seed}))")
    assert min(map(len, texts)) < 12 < max(map(len, texts)) <= 40  # till its end is drawn, or past the context
    assert not any("\u0003" in text for text in texts)
    assert "end" in opened.ask(
        "[...document.querySelectorAll('#writing .draw text')].map((share) => share.textContent)"
    )
    assert "\u0003" not in opened.ask("document.body.innerText")
    with pytest.raises(Exception, match="does not know the character ‘end’"):
        opened.ask("microgpt.read('a bee\\u0003')")
    assert "‘end’, is not a character. It stands for the end of a text" in opened.find("#reading").inner_text()
    assert opened.find("#fewer-positions").count() == 0  # the page holds all that the model has
    assert opened.troubles == []
    opened.page.close()


def test_a_page_with_fewer_positions_says_why(browser, trained, tmp_path, monkeypatch):
    run = load_run(trained / "runs" / "names")
    whole = explain(run, "anna").program.totals
    monkeypatch.setattr("microgpt.explain.explanation.LARGEST_PROGRAM", whole[6] + 1)
    path = tmp_path / "few.html"
    path.write_text(to_html(explain(run, "anna")), encoding="utf-8")
    opened = Watched(browser, path)
    words = opened.find("#fewer-positions").inner_text()
    assert f"7 of {run.config.n_positions}" in words
    assert f"can hold {whole[6] + 1:,} parameters and operations together" in words
    assert "at most 6 characters" in words
    each = int(re.search(r"about ([\d,]+) operations", words)[1].replace(",", ""))
    assert each == pytest.approx((whole[6] - whole[0]) / 6, rel=0.15)
    assert "7 positions at a time" in opened.find("#training").inner_text()
    assert "at most 7 positions" in opened.find("#writing").inner_text()
    opened.page.close()


# Reading any text


def test_every_key_that_is_typed_moves_all_numbers(page, run):
    page.find("#text").fill("")
    assert "type at least one character" in page.find("#refused").inner_text()
    for i, character in enumerate("bella"):
        page.page.keyboard.type(character)
        text = "bella"[: i + 1]
        assert page.find("#what").inner_text() == f"“{text}”"
        assert page.find("#reading tbody tr").count() == len(text) + 1
        expected, _, _ = engine(run, in_doubles(run), text)
        assert page.ask("microgpt.loss") == pytest.approx(expected, rel=1e-12)
        assert float(page.find("#now strong").inner_text()) == pytest.approx(expected, rel=1e-5)


def test_a_text_that_cannot_be_read_changes_nothing(page):
    before = page.ask("microgpt.loss")
    for text, word in (
        ("annq", "‘q’"),
        ("a" * 16, "16 characters are too many: there is room for 15"),
        ("ann😀", "‘😀’"),
        ("<b>", "‘<’"),
        ("Anna", "read ‘anna’"),
    ):
        page.find("#text").fill(text)
        assert word in page.find("#refused").inner_text()
        assert page.find("#text").get_attribute("aria-invalid") == "true"
        assert page.ask("microgpt.loss") == before
        assert page.find("#what").inner_text() == "“anna”"
    for text in ("Annq", "A" * 16):  # in small letters they cannot be read, either
        page.find("#text").fill(text)
        assert "‘A’" in page.find("#refused").inner_text()
        assert page.find("#offer").count() == 0
    page.find("#text").fill("Bella")
    page.find("#offer").click()
    assert page.ask("inside.model.text") == "bella"
    page.find("#text").fill("be")
    assert page.find("#refused").inner_text() == ""


def test_an_open_number_follows_the_typing(page):
    page.ask("inside.open(inside.nodesAt('logits', 0)[1])")
    before = page.exact("value")
    page.find("#text").fill("bonna")
    assert page.exact("value") == page.ask("microgpt.value(inside.nodesAt('logits', 0)[1])")
    assert page.exact("value") == before  # position 0 reads the newline alone, whatever follows
    page.ask("inside.open(inside.nodesAt('logits', 3)[1])")
    page.find("#text").fill("a")  # now there is no position 3
    assert page.find("#panel.opened").count() == 0


# Writing


def test_seed_and_chances_decide_what_is_written(page, run):
    texts = [page.ask("seed => microgpt.write({seed})", seed) for seed in (1, 2, 3, 1)]
    assert texts[0] == texts[3]
    assert len(set(texts)) > 1
    assert page.ask("microgpt.write({temperature: 0, seed: 1})") == page.ask(
        "microgpt.write({temperature: 0, seed: 9})"
    )
    for moment in page.ask("inside.written({temperature: 0.7, topK: 3, seed: 4})"):
        expected = probabilities(moment["logits"], Choice(0.7, 3))
        assert moment["chances"] == pytest.approx(expected)
        start = sum(expected[: moment["token"]])
        assert start <= moment["random"] <= start + expected[moment["token"]]
    found, text = page.ask("[inside.written({seed: 5}), microgpt.write({seed: 5})]")
    page.ask("text => microgpt.read(text)", text)
    for position, moment in enumerate(found[: len(text) + 1]):
        assert page.ask("p => microgpt.chances(p)", position) == pytest.approx(moment["chances"], rel=1e-12)


def test_a_written_character_shows_its_moment(page):
    page.find("#write-new").click()
    page.find("#write-all").click()
    while len(text := page.find("#written").get_attribute("data-text")) < 3:
        page.find("#write-another").click()
    assert page.find("#written .wrote").count() in (len(text), len(text) + 1)
    page.find("#written .wrote").nth(1).click()
    words = page.find("#writing").inner_text()
    assert "The draw of character 2" in words
    assert f"so ‘{text[1]}’ is written" in words
    page.find("#write-top-k").evaluate("e => { e.value = 1; e.dispatchEvent(new Event('input')); }")
    assert page.find("#written").get_attribute("data-text") == page.ask("microgpt.write({temperature: 0})")
    page.find("#write-top-k").evaluate("e => { e.value = e.max; e.dispatchEvent(new Event('input')); }")
    page.find("#write-all").click()
    page.find("#read-written").click()
    assert page.ask("inside.model.text") == text
    assert page.ask("inside.state.position") == 1


# What if


def test_a_changed_number_changes_what_depends_on_it(page):
    moved, depends = page.ask(
        """(() => {
            const node = inside.nodesAt("h.0.head.1.value", 2)[1], { result } = inside.model;
            const before = inside.data.slice();
            microgpt.set(node, microgpt.value(node) + 0.5);
            const depends = new Set([node]), follows = n => inside.inputsOf(n).some(input => depends.has(input));
            for (let n = node + 1; n <= result; n++) if (follows(n)) depends.add(n);
            const moved = [];
            for (let n = 0; n <= result; n++) if (before[n] !== microgpt.value(n)) moved.push(n);
            return [moved, [...depends]];
        })()"""
    )
    assert set(moved) <= set(depends)
    assert len(moved) > 0.9 * len(depends)  # a change may vanish in rounding
    total = re.search(r"It takes ([\d,]+) additions", page.find("#lead").inner_text())[1]
    counted = re.search(r"([\d,]+) of the ([\d,]+) results", page.find("#what-if").inner_text())
    assert counted[2] == total
    assert 0 < int(counted[1].replace(",", "")) <= len(moved)


def test_promise_and_outcome_agree_to_second_order(page):
    for node in page.ask("[300, inside.nodesAt('h.1.mlp', 1)[2], inside.nodesAt('embedded', 0)[0]]"):
        errors = []
        for change in (0.02, 0.01, 0.005):
            page.ask("microgpt.reset()")
            page.ask("([n, d]) => microgpt.set(n, microgpt.value(n) + d)", [node, change])
            page.ask("n => inside.open(n)", node)
            errors.append(abs(page.exact("promised") - page.exact("came")))
        assert errors[0] / errors[2] == pytest.approx(16, rel=0.35)  # a quarter of the change, a sixteenth of the miss


def test_the_panel_changes_a_number_and_back(page):
    node = page.ask("inside.nodesAt('h.0.mlp', 2)[3]")
    before, loss = page.ask("n => [microgpt.value(n), microgpt.loss]", node)
    page.ask("n => inside.open(n)", node)
    page.find("#change").evaluate("e => { e.value = e.max; e.dispatchEvent(new Event('input')); }")
    assert page.ask("n => microgpt.value(n)", node) == pytest.approx(before + max(1, 2 * abs(before)), abs=0.05)
    assert page.ask("microgpt.loss") != loss
    assert page.find("#embedding").count() == 1
    page.find("#change-to").fill("0.25")
    page.page.keyboard.press("Enter")
    assert page.exact("value") == 0.25
    assert "You set it" in page.find("#panel").inner_text()
    page.find("#change-to").fill("much")
    page.page.keyboard.press("Tab")
    assert "‘much’ is not a number" in page.find("#refused").inner_text()
    assert page.exact("value") == 0.25
    page.find("#put-back").click()
    assert page.ask("n => [microgpt.value(n), microgpt.loss]", node) == [before, loss]


def test_a_part_that_is_off_adds_nothing(page):
    loss = page.ask("microgpt.loss")
    losses = page.ask(
        """[...inside.parts.keys()].map(part => [part, ...[true, false].map(off => {
            microgpt.switchOff(part, off);
            return microgpt.loss;
        })])"""
    )
    assert {"h.0.head.1", "h.1.mlp", "ln_f", "position.2"} <= {part for part, *_ in losses}
    for part, off, on in losses:
        assert (off == loss) == (part.startswith("position.") and int(part.split(".")[1]) > 4), part
        assert on == loss, part
    for part in ("h.0.attention", "h.0.mlp", "h.1.attention", "h.1.mlp"):
        page.ask("part => microgpt.switchOff(part)", part)
    shown = page.ask("inside.nodesAt('h.1.end', 2).map(n => microgpt.value(n))")
    assert shown == page.ask("inside.nodesAt('embedded', 2).map(n => microgpt.value(n))")
    page.ask("microgpt.switchOff('ln_f')")
    assert page.ask("inside.nodesAt('ln_f', 2).map(n => microgpt.value(n))") == shown


# Training in the page


def until(page, condition, seconds=90):
    """Wait for something that the page does by itself."""
    end = time.monotonic() + seconds
    while not page.page.evaluate(condition):
        assert time.monotonic() < end, condition
        time.sleep(0.02)


def test_it_learns_a_text_by_heart(page):
    page.find("#training").scroll_into_view_if_needed()
    before = page.find("#now strong").inner_text()
    page.find("#one-step").click()
    after = page.find("#now strong").inner_text()
    assert before != after
    words = page.find("#curve-words").inner_text()
    assert f"over 1 step: {before} before the last step, {after} after it." in words
    curve = page.find("#training svg.curve")
    assert curve.locator("text").all_text_contents()[-1] == "1 step"
    assert curve.locator("path").get_attribute("d").count("L") == 1  # from before to after
    page.find("#one-step").click()
    assert f"over 2 steps: {after} before" in page.find("#curve-words").inner_text()
    page.find("#play").click()
    until(page, "microgpt.loss < 0.05")
    page.page.locator("#play").click()
    assert page.find("#play").inner_text() == "play"
    assert int(page.find("#curve-words").get_attribute("data-steps")) > 10
    assert "trained here for" in page.find("#now").inner_text()
    page.find("#put-all").click()  # put back: nothing was trained
    assert "No step was taken yet" in page.find("#training").inner_text()
    assert page.find("#now strong").inner_text() == before


def test_it_learns_from_the_data(page):
    page.find("#training").scroll_into_view_if_needed()
    page.find("#mode-data").check()
    page.find("#random").click()
    start = page.ask("inside.lossOfTexts(inside.content.training.heldOut)")
    assert start > 1.8
    page.page.evaluate("""() => {
        window.seen = [];
        const cell = document.querySelector('#embedding .cell');
        new MutationObserver(() => seen.push(trainer.playing)).observe(cell, {characterData: true, subtree: true});
    }""")
    page.find("#play").click()
    until(page, "Number(document.getElementById('curve-words')?.dataset.steps) >= 200")
    assert page.page.evaluate("seen") == []  # while it plays, only what is on the screen is drawn
    page.page.locator("#play").click()
    until(page, "document.body.dataset.settled === 'yes'")
    assert page.ask("seen")[-1] is False
    shown, value = page.ask(
        "(c => [c.number, microgpt.value(Number(c.dataset.target))])(document.querySelector('#embedding .cell'))"
    )
    assert shown == value
    assert page.ask("inside.lossOfTexts(inside.content.training.heldOut)") < min(1.2, start - 0.5)
    words = page.find("#training").inner_text()
    assert "counting pairs" in words
    assert "log 9 = 2.20: blind guessing" in words


def test_a_step_shows_its_dot_and_its_rule(page):
    page.ask("inside.open(20)")
    before = page.ask("microgpt.value(20)")
    page.ask("microgpt.step(0.01)")
    rows = [row.split("\t") for row in page.find("#panel table.adam tr").all_inner_texts()]
    numbers = {row[0] + row[1]: float(row[-1].replace("−", "-")) for row in rows}
    assert numbers["parameterbefore"] == pytest.approx(before, rel=1e-5)
    assert numbers["parameterafter"] == pytest.approx(page.ask("microgpt.value(20)"), rel=1e-5)

    page.ask("microgpt.reset()")
    page.find("#mode-data").check()
    page.ask("inside.content.training.heldOut.length = 0")
    page.find("#one-step").click()
    assert "over 1 step," in page.find("#curve-words").inner_text()
    assert page.find("#training svg.curve circle").count() >= 1
    page.find("#one-step").click()
    assert page.find("#training svg.curve circle").count() == 0

    page.ask("microgpt.set(inside.content.parameters - 12, 1e308)")
    before = page.ask("inside.data.slice(0, 10)")
    page.find("#one-step").click()
    assert "diverged" in page.find("#refused").inner_text()
    assert page.ask("inside.data.slice(0, 10)") == before


# Through time


def test_the_slider_goes_from_start_to_model(page, run, trained):
    snapshots = read_snapshots(trained / "runs" / "names", len(flatten(run.parameters)))
    times = page.ask("inside.content.times")
    assert times == [step for step in snapshots if step < run.checkpoint.model.step]
    shapes = {name: array.shape for name, array in run.parameters.items()}
    for at in (0, len(times) // 2, len(times) - 1):
        page.find("#time-slider").evaluate("(e, t) => { e.value = t; e.dispatchEvent(new Event('input')); }", at)
        assert_same(page, run, views(snapshots[times[at]].astype(np.float64), shapes), "anna")
    page.ask("at => microgpt.go(at)", len(times))
    assert_same(page, run, in_doubles(run), "anna")
    assert page.find("#time-slider").get_attribute("max") == str(len(times))
    assert page.find("#time .samples li").count() == 5
    assert page.find("#time svg.map text").count() == 9


# What each stage knew


def test_stages_and_votes_lead_to_the_logits(page):
    for position in range(5):
        page.ask("p => inside.choose(p)", position)
        stages = page.find("#stages .lens tbody tr")
        assert stages.count() == 5
        shown = json.loads(stages.nth(4).get_attribute("data-chances"))
        assert shown == pytest.approx(page.ask("p => microgpt.chances(p)", position), rel=1e-9)
        votes = page.find("#votes")
        assert float(votes.get_attribute("data-sum")) == pytest.approx(
            float(votes.get_attribute("data-logit")), rel=1e-9
        )
    rows = [row.split("\n") for row in page.find("#votes .row").all_inner_texts()]
    sizes = {name: float(text.split()[1].replace("−", "-")) for name, text in rows}
    for name, text in rows:
        assert text.startswith("▲ +" if sizes[name] > 0 else "▼ −"), text
    assert page.find("#votes .fill.more").count() == sum(size > 0 for size in sizes.values())
    words = page.find("#strongest-votes").inner_text()
    assert f"push up: {max(sizes, key=sizes.get)}, ▲ +" in words
    assert f"push down: {min(sizes, key=sizes.get)}, ▼ −" in words

    first = json.loads(page.find("#stages .lens tbody tr").first.get_attribute("data-chances"))
    for part in ("h.0.attention", "h.0.mlp", "h.1.attention", "h.1.mlp"):
        page.ask("part => microgpt.switchOff(part)", part)
    assert first == pytest.approx(page.ask("microgpt.chances(4)"))


# Comparing


def test_a_comparison_shows_the_differences(page):
    page.find("#pin").click()
    page.find("#compare").click()
    values = "[...document.querySelectorAll('main .cell')].map(e => e.number)"
    assert set(page.ask(values)) == {0}
    node, before = page.ask("(n => [n, microgpt.value(n)])(inside.nodesAt('h.1.end', 2)[0])")
    page.ask("microgpt.go(0)")
    cell = page.find(f"#block-1 .cell[data-target='{node}']").first
    after = page.ask("n => microgpt.value(n)", node)
    assert cell.evaluate("e => e.number") == pytest.approx(after - before, rel=1e-12)
    page.ask("microgpt.reset()")
    assert set(page.ask(values)) == {0}
    page.ask("microgpt.read('onna')")
    page.ask("inside.choose(1)")
    rows = page.ask("['a', 'o'].map(c => inside.content.vocabulary.indexOf(c))")
    tokens = page.ask("[...document.querySelectorAll('#embedding .strip')][0].querySelectorAll('.cell')[0].number")
    width = page.ask("inside.content.config.n_embd")
    assert tokens == page.ask("([a, o, n]) => microgpt.value(o * n) - microgpt.value(a * n)", [*rows, width])
    page.find("#compare").click()
    assert set(page.ask(values)) != {0}


# Finding one's way


def test_the_picture_leads_to_its_sections(browser, trained):
    page = Watched(browser, trained / "anna.html", unfold=False, reduced_motion="reduce")
    links = page.find("#whole .part")
    reached = set()
    for i in range(links.count()):
        section = links.nth(i).get_attribute("data-section")
        page.ask("scrollTo(0, 0)")
        links.nth(i).click()
        assert page.ask("document.activeElement.id") == section
        assert abs(page.find(f"#{section}").bounding_box()["y"]) < 900 * 0.4 or page.ask(
            "innerHeight + scrollY > document.documentElement.scrollHeight - 2"
        )
        reached.add(page.ask("id => document.getElementById(id).closest('main > section').id", section))
        assert page.find(f"#{section} p").count() >= 1 or page.find(f"#{section} .strip").count() >= 1
    assert reached == set(page.ask("[...document.querySelectorAll('main > section')].map(e => e.id).slice(1)"))
    page.page.close()


SUBJECTS = {  # what a stop of the tour speaks of
    1: ["#picture"],
    2: ["#reading table"],
    3: ["#embedding .strip:last-child", "#panel .formula"],
    4: ["#block-0-attention .triangle >> nth=0", "#panel .formula"],
    5: ["#block-0-mlp .cell.open"],
    6: ["#stages .lens tbody tr >> nth=0"],
    7: ["#gradient"],
    8: ["#panel .outcome dl"],
    9: ["#training svg.curve", "#curve-words"],
    10: ["#time-slider", "#then"],
}


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_the_tour_stops_at_ten_uncovered_subjects(browser, trained, width, height):
    page = Watched(browser, trained / "anna.html", viewport={"width": width, "height": height})
    page.find("#tour").click()
    seen = set()
    for stop, subjects in SUBJECTS.items():
        assert f"Stop {stop} of 10" in page.find("#guide").inner_text()
        seen.add(page.find("#guide-words").inner_text())
        covers = [page.find(".bar"), page.find("#guide")]
        for subject in map(page.find, subjects):
            box = subject.bounding_box()
            inside = subject.evaluate("e => Boolean(e.closest('#panel'))")
            frame = page.find("#panel").bounding_box() if inside else {"y": 0, "height": height}
            assert frame["y"] - 1 <= box["y"], (stop, subject)
            assert box["y"] + box["height"] <= frame["y"] + frame["height"] + 1, (stop, subject)
            over = [] if inside or not page.find("#panel.opened").count() else [page.find("#panel")]
            for cover in (one.bounding_box() for one in [*covers, *over]):
                beside = cover["x"] + cover["width"] <= box["x"] or box["x"] + box["width"] <= cover["x"]
                apart = cover["y"] + cover["height"] <= box["y"] or box["y"] + box["height"] <= cover["y"]
                assert beside or apart, (stop, subject)
        if stop == 4:
            assert "attention from" in page.title()
            factors = page.find("#panel .formula .cell").all_inner_texts()
            assert len(factors) == 2
            assert "1" not in factors  # an exponential that shows something
        if stop == 5:
            assert "let it through" in page.find("#guide-words").inner_text()
            assert page.exact("value") == page.ask("Math.max(...inside.nodesAt('h.0.gelu').map(microgpt.value))")
        if stop == 8:
            assert page.ask("inside.model.changes.size") == 1
        if stop == 9:
            assert page.ask("inside.model.trained") == 20
            assert "“anna” over 20 steps: " in page.find("#curve-words").inner_text()
            assert page.find("#training svg.curve text").all_text_contents()[-1] == "20 steps"
        if stop == 10:
            assert page.ask("inside.model.time") == 0
        page.find("#guide-next").click()
    assert len(seen) == 10
    assert not page.find("#guide").is_visible()
    assert page.troubles == []
    page.page.close()


def test_the_seven_questions_open_their_answers(page):
    assert page.find("#questions li details").count() == 7
    for i in range(7):
        page.find("#questions li summary").nth(i).click()
        page.find("#questions .tells").nth(i).click()
        assert page.title()
    page.find("#questions .tells").nth(3).evaluate("e => e.click()")
    assert page.exact("gradient") == 1


def test_changes_above_move_nothing_one_reads(page):
    page.find("#one-step").click()  # now there is more in the section on training, which goes again
    page.ask("document.querySelectorAll('#time h3')[0].scrollIntoView()")
    where = "document.querySelectorAll('#time h3')[0].getBoundingClientRect().top"
    for action in (
        "inside.choose(4)", "inside.choose(0)", "microgpt.go(2)", "microgpt.step(0.01)",
        "microgpt.set(3, 1)", "microgpt.switchOff('h.0.mlp')", "microgpt.read('bell')", "microgpt.read('b')",
        "microgpt.read('annaannaanna')", "microgpt.reset()",
    ):  # fmt: skip
        before = page.ask(where)
        page.ask(action)
        assert page.ask(where) == pytest.approx(before, abs=1), action  # the browser rounds each scroll


# From the console


NONSENSE = [None, -1, 1.5, 10**9, "x", "", [], {}, True, {"temperature": -1}, {"seed": 0.5}, {"topK": 0}]


def test_senseless_calls_are_refused_and_change_nothing(page):
    before = page.ask("[microgpt.loss, microgpt.chances(1), inside.model.text]")
    rng = random.Random(1)
    names = ["read", "chances", "value", "gradient", "set", "step", "go", "write", "switchOff"]
    for _ in range(80):
        name, arguments = rng.choice(names), [rng.choice(NONSENSE) for _ in range(2)]
        if (name, arguments[0]) in (("step", 1.5), ("step", 10**9), ("write", {})):  # these make sense
            continue
        outcome = page.ask(
            """([name, arguments]) => {
                try { microgpt[name](...arguments); return "done"; } catch (e) { return `${e.name}: ${e.message}`; }
            }""",
            [name, arguments],
        )
        assert outcome.startswith(("RangeError: ", "TypeError: ")), (name, arguments, outcome)
        assert "undefined" not in outcome
        assert page.ask("[microgpt.loss, microgpt.chances(1), inside.model.text]") == before


def test_whatever_one_does_reset_brings_the_model_back(page, run):
    rng = random.Random(2)
    calls = ["microgpt.read('bell')", "microgpt.step(0.1)", "microgpt.go(3)", "microgpt.switchOff('h.0.ln_1')"]
    calls += ["microgpt.switchOff('position.1')", "microgpt.write({seed: 7})", "inside.pin()", "microgpt.read('anna')"]
    calls += [f"microgpt.set({rng.randrange(1500)}, {rng.uniform(-2, 2):.2f})" for _ in range(6)]
    calls += ["microgpt.set(inside.nodesAt('h.0.mlp', 1)[0], 3)", "inside.open(inside.nodesAt('h.1.end', 0)[1])"]
    done = ";".join(f"{rng.choice(calls)}; losses.push(microgpt.loss)" for _ in range(60))
    losses = page.ask(f"() => {{ const losses = []; {done}; return losses; }}")
    assert len(losses) == 60
    assert all(map(math.isfinite, losses))
    page.ask("microgpt.reset()")
    page.ask("microgpt.read('anna')")
    assert_same(page, run, in_doubles(run), "anna")


def test_a_model_without_snapshots_is_alive_too(browser, trained, tmp_path):
    shutil.copytree(trained / "runs" / "names", tmp_path / "other")
    shutil.rmtree(tmp_path / "other" / "checkpoints")
    assert call("explain.py", "--run", "other", "--text", "anna", "--out", "o.html", cwd=tmp_path).returncode == 0
    opened = Watched(browser, tmp_path / "o.html")
    assert "no snapshots" in opened.find("#time").inner_text()
    opened.find("#random").click()
    loss = opened.ask("microgpt.loss")
    opened.find("#one-step").click()
    assert opened.ask("microgpt.loss") < loss
    assert opened.troubles == []
    opened.page.close()
