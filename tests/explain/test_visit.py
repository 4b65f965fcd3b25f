"""What a visitor does: nothing is lost in silence, a link shows what was done, and whoever comes can use the page."""

import json
import time
from pathlib import Path

import pytest
from browsing import Watched

pytestmark = pytest.mark.slow

HELD_OUT = "inside.content.training.heldOut"


def until(page, condition, seconds=60):
    end = time.monotonic() + seconds
    while not page.page.evaluate(condition):
        assert time.monotonic() < end, condition
        time.sleep(0.05)


NUMBERS = (
    "JSON.stringify([...inside.data.slice(0, 300), microgpt.loss, inside.model.off.size, inside.model.changes.size])"
)

# Training


def test_another_text_begins_another_curve(page):
    page.find("#one-step").click()
    page.find("#one-step").click()
    assert "The loss of “anna” over 2 steps" in page.find("#curve-words").inner_text()
    assert "In these 2 steps each tensor moved" in page.find("#training").inner_text()
    page.ask("microgpt.read('bella')")
    assert "The loss of “anna” over 2 steps" in page.find("#curve-words").inner_text()
    loss = page.ask("microgpt.loss")
    page.find("#one-step").click()
    assert "The loss of “bella” over 1 step" in page.find("#curve-words").inner_text()
    assert page.ask("inside.trainer.losses") == [[0, loss], [1, page.ask("microgpt.loss")]]
    assert "It was Adam's step 1" in page.find("#training").inner_text()


def test_training_from_nothing_moves_the_picture(page):
    trained = page.ask(NUMBERS)
    page.ask("inside.content.training.heldOut.length > 0")
    page.find("#from-nothing").click()
    seen = set()
    for _ in range(3):
        steps = page.page.evaluate("inside.trainer.steps")
        until(page, f"inside.trainer.steps > {steps}")
        seen.add(page.page.evaluate("document.getElementById('picture').toDataURL()"))
    page.page.locator("#picture-play").click()
    assert len(seen) == 3
    assert "loss" in page.find("#small-curve-words").inner_text()
    assert page.find(".small-curve .thick").get_attribute("d").count("L") >= 1
    page.find("#undo").click()  # one step back is the trained model
    assert page.ask(NUMBERS) == trained


# Undo


CHANGES = {
    "a number": "microgpt.set(7, 2.5)",
    "a result": "microgpt.set(inside.nodesAt('h.0.mlp', 1)[0], 3)",
    "a part": "microgpt.switchOff('h.1.head.0')",
    "a step": "microgpt.step(0.05)",
    "a time": "microgpt.go(0)",
    "all": "microgpt.reset()",
    "random": "document.getElementById('random').click()",
    "a step on the data": "document.getElementById('mode-data').click(); document.getElementById('one-step').click()",
}


def test_one_undo_brings_back_whatever_was_changed(page):
    page.ask("microgpt.set(3, 0.7)")
    page.ask("microgpt.switchOff('h.0.mlp')")
    page.ask("microgpt.step(0.01)")
    for name, change in CHANGES.items():
        before = page.ask(NUMBERS)
        page.ask(change)
        after = page.ask(NUMBERS)
        assert after != before, name
        page.find("#undo").click()
        assert page.ask(NUMBERS) == before, name
        page.find("#undo").click()  # and once more does it again
        assert page.ask(NUMBERS) == after, name


def test_time_and_tour_keep_what_was_done(page):
    page.ask("microgpt.switchOff('h.1.head.0')")
    page.ask("microgpt.set(7, 2.5)")
    for at in (0, 2):
        page.ask("at => microgpt.go(at)", at)
        assert page.ask("[[...inside.model.off], microgpt.value(7)]") == [["h.1.head.0"], 2.5]
    page.ask("microgpt.step(0.01)")
    page.ask("inside.choose(1)")
    before = page.ask(NUMBERS)
    page.find("#tour").click()
    for _ in range(10):
        page.find("#guide-next").click()
    assert page.ask(NUMBERS) == before
    assert page.ask("[inside.model.text, inside.state.position]") == ["anna", 1]


# Many names


def test_a_change_is_judged_by_many_names(page):
    start = page.ask(f"inside.lossOfTexts({HELD_OUT})")
    page.ask("microgpt.switchOff('h.1.mlp')")
    after = page.ask(f"inside.lossOfTexts({HELD_OUT})")
    until(page, "document.querySelector('#names .on-many')?.dataset.before")
    for section in ("what-if", "names"):
        words = page.find(f"#{section} .on-many")
        assert float(words.get_attribute("data-before")) == pytest.approx(start, rel=1e-9)
        assert float(words.get_attribute("data-mean")) == pytest.approx(after, rel=1e-9)
    names = page.ask(
        "[...document.querySelectorAll('.name')].map(e => [e.textContent, +e.dataset.loss, +e.dataset.change])"
    )
    assert len(names) == page.ask(f"{HELD_OUT}.length")
    assert [loss for _, loss, _ in names] == sorted(loss for _, loss, _ in names)
    text, loss, change = names[len(names) // 2]
    page.find(".name").nth(len(names) // 2).click()
    assert page.ask("inside.model.text") == text.split()[0]
    assert page.ask("microgpt.loss") == pytest.approx(loss, rel=1e-9)
    page.find("#undo").click()
    assert page.ask("microgpt.loss") == pytest.approx(loss - change, rel=1e-9)
    page.ask("microgpt.set(5, 0.5)")
    page.ask("inside.open(5)")
    until(page, "document.querySelector('#panel .on-many')?.dataset.before")
    assert float(page.find("#panel .on-many").get_attribute("data-before")) == pytest.approx(start, rel=1e-9)


def test_heads_and_stages_have_means(page):
    until(page, "document.querySelector('#habits td')")
    shares = page.ask(
        f"""(() => {{
            let sum = 0, count = 0;
            for (const tokens of {HELD_OUT}) {{
                microgpt.read(tokens.slice(1, -1).map(id => inside.content.vocabulary[id]).join(""));
                for (let p = 1; p <= inside.model.last; p++) {{
                    sum += microgpt.value(inside.nodesAt("h.1.head.1.attention", p)[p - 1]); count++;
                }}
            }}
            return sum / count;
        }})()"""
    )
    until(page, "document.querySelector('#habits td')")
    assert float(page.find("#habits tbody tr").nth(3).locator("td").first.inner_text()[:-2]) == pytest.approx(
        100 * shares, abs=0.51
    )
    last = page.find("#mean-stages .row").last.inner_text().split("\n")[1]
    assert float(last.split(" ± ")[0]) == pytest.approx(page.ask(f"inside.lossOfTexts({HELD_OUT})"), abs=0.006)
    assert page.find("#typical button").count() == page.ask("inside.model.last + 1")


def test_a_list_of_ones_own_replaces_the_names(page):
    page.find("#names summary").click()
    page.find("#own-texts").fill("anna, Bella\nleo x9z")
    page.find("#use-texts").click()
    until(page, "document.querySelectorAll('.name').length === 3")
    assert "x9z" in page.find("#refused-texts").inner_text()
    assert page.find(".name").all_inner_texts()
    page.find("#held-out-texts").click()
    until(page, f"document.querySelectorAll('.name').length === {HELD_OUT}.length")


def test_it_opens_where_a_prediction_is_typical(browser, trained):
    page = Watched(browser, trained / "anna.html", unfold=False)
    position = page.ask("inside.state.position")
    assert position > 0
    page.ask("inside.goToSection('stages')")
    until(page, "document.querySelector('#typical button')")
    shares = [int(text.split(": ")[1].split()[0]) for text in page.find("#typical button").all_inner_texts()]
    falls = page.ask("inside.stagesAt(inside.state.position).every((x, i, all) => !i || x < all[i - 1])")
    assert falls or shares[position] >= sorted(shares)[len(shares) // 2]
    page.page.close()


# Writing


def test_writing_goes_on_from_what_was_typed(page):
    texts = page.ask("['bel', 'co'].map(after => [...Array(8).keys()].map(seed => microgpt.write({after, seed})))")
    assert texts[0] != texts[1]
    page.find("#text").fill("bel")
    wanted = page.ask("(pen.seed++, writtenNow().map(one => one.token).filter(token => token !== closing))")
    page.ask("pen.seed--")
    page.find("#write-on").click()
    until(page, "!pen.turn")
    found = page.ask("[inside.model.text, document.getElementById('text').value, inside.state.position]")
    text = "bel" + "".join(page.ask("inside.content.vocabulary")[token] for token in wanted)
    assert found[:2] == [text, text]
    page.find("#text").press("End")
    page.find("#text").press("Backspace")
    assert page.ask("inside.model.text") == text[:-1]
    assert page.find("#written").get_attribute("data-text").startswith(text[:-1])


# The address


def test_a_link_shows_what_was_done(browser, trained, page):
    page.ask("microgpt.read('bella')")
    page.ask("inside.choose(3)")
    page.ask("microgpt.go(1)")
    page.ask("microgpt.switchOff('h.0.head.1')")
    page.ask("microgpt.set(5, 0.25)")
    page.find("#write-another").click()
    page.ask("inside.goToSection('what-if')")
    until(page, "location.hash.includes('seed')")
    state = "[microgpt.loss, inside.model.text, inside.state.position, inside.model.time, pen.seed]"
    link, done = page.ask("location.href"), page.ask(state)
    other = browser.new_page(viewport={"width": 1280, "height": 720})
    other.goto(link)
    other.wait_for_selector("body[data-settled=yes]")
    assert other.evaluate(state) == done
    assert other.evaluate("document.activeElement.id") == "what-if"
    other.goto("about:blank")
    other.goto(link.replace("model=", "model=0"))  # as if the page had other parameters
    other.wait_for_selector("body[data-settled=yes]")
    assert "another model" in other.inner_text("#refused")
    assert other.evaluate("[inside.model.text, inside.model.off.size]") == ["bella", 0]
    # Another link in the same tab begins anew.
    other.evaluate("microgpt.switchOff('h.0.mlp'); location.hash = `#text=leo&set=5:0.5&model=${fingerprint()}`")
    other.wait_for_function("inside.model.text === 'leo'")
    assert other.evaluate("[inside.model.off.size, microgpt.value(5)]") == [0, 0.5]
    for home in ("training", "block-1-mlp"):
        other.goto("about:blank")
        other.goto(f"{page.path.resolve().as_uri()}#{home}")
        other.wait_for_selector("body[data-settled=yes]")
        assert other.evaluate("document.activeElement.id") == home
    other.close()


# Whoever comes, and whatever is missing


@pytest.mark.parametrize(
    ("missing", "word"),
    [
        ("delete window.DecompressionStream", "DecompressionStream"),
        ("window.atob = () => { throw Error('no atob') }", "no atob"),
    ],
)
def test_a_page_that_cannot_compute_says_so(browser, trained, missing, word):
    page = browser.new_page()
    page.add_init_script(missing)
    page.goto((trained / "anna.html").resolve().as_uri())
    page.wait_for_selector("#failed")
    assert word in page.inner_text("#failed")
    assert "computed every number" not in page.inner_text("footer")
    assert "its script has not run" in page.locator("#starting").text_content()
    page.close()


def test_axe_finds_nothing_at_three_widths(page):
    axe = pytest.importorskip("axe_playwright_python", reason="needs axe: pip install axe-playwright-python")
    script = (Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    page.ask("inside.fold('block-1')")  # as block 0
    page.ask("microgpt.set(5, 0.5)")
    page.ask("microgpt.step(0.01)")
    page.ask("inside.open(inside.nodesAt('h.1.attention', 2)[1])")
    page.find("body").evaluate("(_, script) => { (0, eval)(script); }", script)
    found = []
    for width, height in ((1400, 900), (768, 900), (390, 844)):
        page.page.set_viewport_size({"width": width, "height": height})
        found += page.ask(
            """async () => (await axe.run(document, {
                resultTypes: ["violations"],
                runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"],
                rules: {"label-content-name-mismatch": {enabled: true}, "target-size": {enabled: true}},
            })).violations.map(one => [one.id, one.nodes.length, one.nodes[0].html.slice(0, 200)])"""
        )
    assert found == []


def test_pin_says_what_it_did(page):
    page.find("#pin").click()
    assert "Nothing has changed since" in page.find("#pinned").inner_text()
    assert any(page.ask("[...document.querySelectorAll('#embedding .cell')].map(e => e.number)"))
    page.ask("microgpt.set(5, 2.5)")
    assert "more" in page.find("#pinned").inner_text() or "less" in page.find("#pinned").inner_text()


def test_print_and_forced_colours_can_be_read(page):
    page.page.emulate_media(color_scheme="dark", media="print")
    ink = "getComputedStyle(document.querySelector('{}')).color"
    for selector in ("#embedding p", "#embedding .cell", "#reading td", "#embedding h2 button"):
        color = page.page.evaluate(ink.format(selector))
        assert sum(json.loads(f"[{color[4:-1]}]")[:3]) < 400, selector
    page.page.emulate_media(color_scheme="light", media="screen", forced_colors="active")
    knob = """["", "::after"].map(part =>
        getComputedStyle(document.querySelector('#backward .knob'), part).backgroundColor)"""
    off = page.page.evaluate(knob)
    assert off[0] != off[1]
    page.find("#backward").click()
    on = page.page.evaluate(knob)
    assert on[0] != on[1]
    assert on != off
    page.page.emulate_media(color_scheme="null", media="null", forced_colors="null")


def test_every_instruction_has_a_name(page):
    page.find("#show-instructions").click()
    rows = page.find("#atoms .instructions tbody tr").all_inner_texts()
    assert len(rows) > 60
    assert not any("no name" in row for row in rows)
    assert sum("a step towards" in row for row in rows) > 10
