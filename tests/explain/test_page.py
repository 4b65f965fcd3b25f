"""The page in a browser: every number opens, down to the parameters, by mouse and by keyboard."""

import json
import math
import re
from dataclasses import replace

import pytest
from browsing import Watched
from helpers import make_run

from microgpt.explain.explanation import explain
from microgpt.explain.page import to_html
from microgpt.gpt import GPTConfig, empty_cache, gpt
from microgpt.runs.directory import load_run

pytestmark = pytest.mark.slow

# It opens


def test_every_section_is_there_and_unfolds(page):
    for name in ("reading", "embedding", "block-0", "block-1", "logits", "backward-pass", "training"):
        assert page.find(f"#{name} p").count() >= 1
        assert page.find(f"#{name} pre").count() >= 1
    assert "def softmax(" in page.find("#block-1").evaluate("e => e.textContent")
    assert page.find("#run svg.curve circle").count() >= 5
    assert page.find("#run .samples li").count() == 5

    titles = page.find("main > section h2").all_inner_texts()
    assert page.find("#contents option").all_inner_texts() == ["The picture", *titles]
    page.open(unfold=False)
    assert page.find("main > section.folded").count() == len(titles)
    assert page.find("main .cell").count() == 0  # what is folded is not made
    for name in ("questions", "reading", "block-1"):
        page.find("#contents").select_option(name)
        assert page.ask("document.activeElement.id") == name
        assert page.find(f"#{name} p").count() >= 1
    page.find("#block-1-title").click()
    assert page.find("#block-1 p").count() == 0
    page.ask("inside.goToSection('block-1')")

    code = page.find("#block-1 pre").filter(has_text="def softmax(")
    assert not code.is_visible()
    summary = page.find("#block-1 summary").filter(has_text="Softmax")
    summary.focus()
    page.page.keyboard.press("Enter")
    assert code.is_visible()
    page.find(".positions button").nth(3).click()  # the section is made anew
    assert page.find("#block-1 pre").filter(has_text="def softmax(").is_visible()


@pytest.mark.parametrize(("width", "height"), [(1400, 900), (1280, 720), (390, 844)])
def test_the_first_screen_is_the_whole_model(browser, trained, width, height):
    page = Watched(browser, trained / "anna.html", unfold=False, viewport={"width": width, "height": height})
    box = page.find("#picture").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert box["y"] + box["height"] <= height
    assert box["width"] * box["height"] > 0.5 * width * height
    columns = page.ask("inside.picture.columns.map(({kind, from, to}) => [kind, from, to])")
    assert [kind for kind, _, _ in columns].count("heads") == 2
    assert columns[0][0] == "text"
    assert columns[-1][0] == "chances"
    assert columns[-1][2] <= (box["height"] if width == 390 else box["width"]) + 1
    assert page.ask("inside.picture.count") == 5
    assert page.find("#from-nothing").bounding_box()["y"] < height
    assert page.ask("document.documentElement.scrollHeight / innerHeight") < 8
    page.page.close()


def test_six_blocks_fit_on_the_first_screen(browser, tmp_path):
    run = make_run(tmp_path / "run", config=GPTConfig(4, 6, 4, 6, 2))
    path = tmp_path / "six.html"
    path.write_text(to_html(explain(run, "".join(run.vocabulary[1:]))), encoding="utf-8")
    page = Watched(browser, path, unfold=False)
    for width, height in ((1280, 720), (390, 844)):
        page.page.set_viewport_size({"width": width, "height": height})
        page.ask("inside.goToSection('whole')")
        box = page.find("#picture").bounding_box()
        assert box["y"] + box["height"] <= height
        columns = page.ask("inside.picture.columns.map(({kind, from, to}) => [kind, from, to])")
        assert [kind for kind, _, _ in columns].count("heads") == 6
        assert columns[-1][2] <= (box["height"] if width == 390 else box["width"]) + 1
        assert all(end - start > 5 for _, start, end in columns)
    assert page.troubles == []
    page.page.close()


def test_the_picture_tells_and_opens_its_numbers(page):
    told = page.ask(
        """(() => {
            const heads = inside.picture.columns.find(({kind}) => kind === "heads"), found = [];
            for (let x = 0; x < inside.picture.width; x += 7) for (let y = 0; y < inside.picture.height; y += 7) {
                const one = inside.hit(x, y);
                if (one?.target !== undefined) found.push([one.target, one.words, microgpt.value(one.target)]);
            }
            return found;
        })()"""
    )
    shares = {words: value for _, words, value in told if " reads " in words}
    assert len(shares) > 30  # of two blocks with two heads, and fifteen pairs of positions
    for words, value in shares.items():
        assert float(re.search(r"reads (\d+) %", words)[1]) == pytest.approx(100 * value, abs=0.51)
    assert len({target for target, *_ in told}) > 200
    x, y, target = page.ask(
        "(() => { for (let x = 0; x < 900; x++) { const one = inside.hit(x, 200);"
        " if (one?.line) return [x, 200, one.target]; } })()"
    )
    page.find("#picture").hover(position={"x": x, "y": y})
    assert " reads " in page.find(".tip").inner_text()
    page.find("#picture").click(position={"x": x, "y": y})
    assert "attention from" in page.title()
    assert page.ask("inside.state.trail") == [target]


def test_on_a_phone_the_panel_leaves_room(browser, trained):
    page = Watched(browser, trained / "anna.html", viewport={"width": 390, "height": 844})
    cell = page.find("#embedding .cell").nth(20)
    cell.scroll_into_view_if_needed()
    cell.click()
    free = page.find("#panel").bounding_box()["y"] - page.find(".bar").bounding_box()["height"]
    assert free > 844 * 0.4
    where = cell.bounding_box()
    assert where["y"] + where["height"] < page.find("#panel").bounding_box()["y"]
    page.find("#smaller").click()
    assert page.find("#panel").bounding_box()["y"] > 844 * 0.8
    assert page.find("#value").is_visible()
    page.ask("inside.open(inside.nodesAt('h.1.mlp', 2)[1])")
    assert page.find("#panel").bounding_box()["y"] > 844 * 0.8  # it stays small
    page.find("#close").click()
    assert not page.find("#panel").is_visible()
    page.page.close()


def decimals(text):
    """How a number is written: how many digits after the point, and whether as a power of ten."""
    return len(text.partition(".")[2]), "e" in text


def test_numbers_of_a_strip_are_written_alike(page):
    shown = """[...document.querySelectorAll('main .cells, main .triangle')].map(e => ({
        cells: [...e.querySelectorAll('.cell')].map(c => [c.lastChild.data, c.number]),
        words: (e.closest('.strip') ?? e).querySelector('.caption, caption').innerText}))"""
    exponents = {sign: i for i, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}
    units = 0
    for action in ("0", "document.getElementById('backward').click()", "microgpt.step(0.0001)", "microgpt.go(0)"):
        page.ask(action)
        for strip in page.ask(shown):
            texts = [text for text, _ in strip["cells"]]
            assert len({decimals(text) for text in texts}) == 1, texts
            power = 0
            if "units of 10" in strip["words"]:
                units += 1
                found = strip["words"].split("units of 10")[1].split()[0]
                power = (-1 if "⁻" in found else 1) * int("".join(str(exponents[c]) for c in found if c in exponents))
            for text, number in strip["cells"]:
                half = 0.51 * 10 ** (power - decimals(text)[0])
                assert float(text.replace("−", "-")) * 10**power == pytest.approx(number, abs=half)
    assert units > 0


def test_strips_and_tables_tell_the_models_numbers(page, trained):
    strips = page.ask(
        """[...document.querySelectorAll('main .strip')].map(e => ({words: e.querySelector('.caption').innerText,
            numbers: [...e.querySelectorAll('.cell')].map(c => c.number)})).filter(s => s.numbers.length > 1)"""
    )
    signs = set()
    for strip in strips:
        sign, place = re.search(r"strongest ([+−])[\d.]+, (number \d+|‘.*’)", strip["words"]).groups()
        strongest = max(strip["numbers"], key=abs)
        assert sign == ("+" if strongest > 0 else "−")
        if place.startswith("number"):
            assert strip["numbers"][int(place.split()[1])] == strongest
        signs.add(sign)
    assert signs == {"+", "−"}

    rows = [row.split("\t") for row in page.find("#reading tbody tr").all_inner_texts()]
    assert [row[1].strip() for row in rows] == ["⏎", "a", "n", "n", "a"]
    assert [row[3].strip() for row in rows] == ["a", "n", "n", "a", "⏎"]
    chances = [float(row[4].split()[0]) / 100 for row in rows]
    losses = [float(row[5]) for row in rows]
    assert losses == pytest.approx([-math.log(chance) for chance in chances], abs=0.02)

    run = load_run(trained / "runs" / "names")
    params = {name: array.tolist() for name, array in run.parameters.items()}
    cache = empty_cache(run.config)
    for position, character in enumerate("\nanna"):
        logits = gpt(params, run.config, run.vocabulary.index(character), position, cache)
        shown = page.ask("p => inside.nodesAt('logits', p).map(n => inside.data[n])", position)
        assert shown == pytest.approx(logits, rel=1e-12)  # a browser has an exp of its own

    shown = page.ask("inside.nodesAt('h.0.head.0.exp').map(n => inside.data[n])")
    assert max(shown) == 1  # the largest score is subtracted
    caption = "e to the power of (score − largest score)"
    assert page.find("#block-0-head .strip").filter(has_text=caption).locator(".cell").count() == 3


# Every number opens


def test_numbers_open_down_to_parameters_and_back(page):
    page.find("#block-1 .strip .cell").first.click()
    titles = [page.title()]
    for _ in range(30):
        operand = page.find("#panel .formula .cell, #panel .operand .link").first
        if operand.count() == 0:
            break
        operand.click()
        titles.append(page.title())
    assert titles[-1].startswith("parameter ") or "constant" in titles[-1]
    assert len(titles) >= 4
    assert page.find(".trail li").count() == len(titles)
    for title in reversed(titles[:-1]):
        page.find("#back").click()
        assert page.title() == title
    page.find("#close").click()
    assert not page.find("#panel").is_visible()


def test_a_title_names_tensor_block_head_and_positions(page):
    page.find("#embedding .cell").nth(3).click()
    assert page.title() == "parameter wte.weight[7, 3], for ‘n’"  # \nabceilno
    assert "learned, not computed" in page.find("#panel").inner_text()
    page.find("#block-0 .triangle").nth(1).locator("tbody tr").nth(3).locator(".cell").nth(1).click()
    assert page.title() == "block 0, head 1, attention from position 3 ‘n’ to position 1 ‘a’"


def test_a_dot_product_is_one_sum(page):
    page.ask("inside.open(inside.nodesAt('logits', 1)[2])")
    assert "a dot product: the sum of 8 products" in page.find("#panel").inner_text()
    assert page.find("#panel .operands").first.locator("tr").count() == 8
    value = page.exact("value")
    assert page.exact("recomputed") == pytest.approx(value, rel=1e-15)
    page.find("#binary").click()
    assert page.find("#panel .operand").count() == 2
    assert page.exact("recomputed") == value


def test_heads_and_bias_add_up_to_attention(page):
    strips = page.find("#block-0 .strip")
    captions = strips.locator(".caption span:first-child").all_inner_texts()
    heads = [captions.index(f"from head {h}") for h in range(2)]
    total = page.ask("inside.data[inside.nodesAt('h.0.attention', inside.state.position)[0]]")
    parts = []
    for at in heads:
        strips.nth(at).locator(".cell").first.click()
        assert "adds at position" in page.title()
        parts.append(page.exact("value"))
    bias = page.ask(
        "(n => inside.data[inside.termsOf(n).pop()])(inside.nodesAt('h.0.attention', inside.state.position)[0])"
    )
    assert sum(parts) + bias == pytest.approx(total, rel=1e-12)


def test_formulas_and_gradients_hold_for_200_numbers(page):
    opened = page.ask(
        """[...Array(200).keys()].map(i => {
            inside.open((i * 7919 + 13) % (inside.model.result + 1));
            const shown = id => document.getElementById(id);
            const exact = id => shown(id) && Number(shown(id).dataset.exact);
            const words = id => shown(id)?.innerText;
            return [...["value", "recomputed", "gradient", "received"].map(exact), words("value"), words("recomputed")];
        })"""
    )
    formulas = 0
    for value, recomputed, gradient, received, shown, shown_again in opened:
        if recomputed is not None:
            formulas += 1
            assert recomputed == pytest.approx(value, rel=1e-13, abs=1e-15)
            assert shown == shown_again or abs(value) < 1e-12
        if received is not None:
            assert received == pytest.approx(gradient, rel=1e-11, abs=1e-15)
    assert formulas > 100

    page.ask("inside.open(inside.nodesAt('h.0.head.0.exp', 1)[0])")
    words = page.find("#panel .operand dd").all_inner_texts()
    local, flows = (float(word.replace("−", "-")) for word in words[1:3])
    assert local == pytest.approx(page.exact("value"), rel=1e-5)
    assert flows == pytest.approx(page.exact("value") * page.exact("gradient"), rel=1e-4, abs=1e-12)


# By keyboard alone


def test_everything_works_by_keyboard(page):
    press = page.page.keyboard.press
    press("Tab")
    press("Enter")  # the link that skips to the first section
    page.find(".positions [aria-checked=true]").focus()
    press("ArrowRight")
    assert page.ask("inside.state.position") == 3
    assert page.ask("document.activeElement.title") == "position 3 ‘n’"
    press("Tab")
    press("Space")  # the switch
    assert page.ask("inside.state.backward") is True
    press("Space")
    for _ in range(90):
        press("Tab")
        if page.ask("!!document.activeElement.closest('#embedding .cells')"):
            break
    first = page.ask("document.activeElement.getAttribute('aria-label')")
    press("ArrowRight")
    assert page.ask("document.activeElement.getAttribute('aria-label')") != first
    press("ArrowLeft")
    press("Enter")
    assert page.title() == first.split(":")[0]
    assert page.ask("document.activeElement.id") == "opened"
    for _ in range(20):
        press("Tab")
        if page.ask("!!document.activeElement.closest('#panel [data-target]')"):
            break
    press("Enter")
    assert page.find(".trail li").count() == 2
    press("Backspace")
    assert page.title() == first.split(":")[0]
    press("Escape")
    assert page.ask("document.activeElement.getAttribute('aria-label')") == first


def test_every_control_and_strip_has_a_name(page):
    unnamed = page.ask(
        "[...document.querySelectorAll('button, input')]"
        ".filter(e => !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length)).length"
    )
    assert unnamed == 0
    assert page.ask("[...document.querySelectorAll('.cells')].every(e => e.getAttribute('aria-label').length > 5)")
    assert page.ask("[...document.querySelectorAll('main .cell')].every(e => /[0-9]/.test(e.innerText))")


# The switch, the slider, the positions


def test_the_switch_shows_gradients_in_place_of_values(page):
    first = "#embedding .strip:nth-of-type(3) .cell"
    node = int(page.find(first).first.get_attribute("data-target"))
    value, gradient = page.ask("n => [inside.data[n], inside.gradients[n]]", node)
    assert f"{abs(value):.6g}"[:5] in page.find(first).first.get_attribute("aria-label")
    page.find("#backward").click()
    assert page.find("#backward").get_attribute("aria-checked") == "true"
    label = page.find(first).first.get_attribute("aria-label").split(": ")[1].split(",")[0].replace("−", "-")
    assert float(label) == pytest.approx(gradient, rel=1e-5)
    page.find("#backward").click()
    label = page.find(first).first.get_attribute("aria-label").split(": ")[1].split(",")[0].replace("−", "-")
    assert float(label) == pytest.approx(value, rel=1e-5)


def chances(page):
    rows = page.ask(
        "[...document.querySelectorAll('#chances .row')].map(e => [e.dataset.target, Number(e.dataset.chance)])"
    )
    return dict(rows)


def test_the_slider_recomputes_the_chances(page):
    logits = page.ask("inside.nodesAt('logits').map(n => [n, inside.data[n]])")
    for temperature in (0.1, 2.0):
        page.find("#temperature").evaluate(
            "(e, t) => { e.value = t; e.dispatchEvent(new Event('input')); }", temperature
        )
        found = chances(page)
        best = max(logit for _, logit in logits)
        powers = {str(node): math.exp((logit - best) / temperature) for node, logit in logits}
        assert found == pytest.approx({node: power / sum(powers.values()) for node, power in powers.items()})
        assert list(found.values()) == sorted(found.values(), reverse=True)
        assert page.find("#chances .true").count() == 1


def test_all_follows_a_position_and_keeps_the_focus(page):
    page.find("#reading tbody tr").nth(4).locator(".link").first.click()
    assert "the row of position 4 in wpe" in page.find("#embedding").inner_text()
    assert page.find("#chances .true .char").inner_text() == "⏎"
    page.find("#backward-pass button.more").focus()
    page.page.keyboard.press("Enter")  # the section is made anew, and the focus stays
    assert page.ask("document.activeElement.textContent") == "Show values again"
    page.find("#reading tbody .link").nth(2).focus()
    page.page.keyboard.press("Enter")
    assert page.ask("!!document.activeElement.closest('#reading')")


def test_no_number_is_cut(page):
    for width in (1300, 390):
        page.page.set_viewport_size({"width": width, "height": 800})
        for _ in range(2):
            page.find("#backward").click()
            cut = page.ask(
                "[...document.querySelectorAll('main .cell')].filter(e => e.scrollWidth > e.clientWidth)"
                ".map(e => e.innerText)"
            )
            assert cut == []


def test_the_backward_section_tells_who_is_to_blame(page):
    gradients = page.ask(
        "[...Array(5).keys()].map(p => Math.hypot(...inside.nodesAt('embedded', p).map(n => inside.gradients[n])))"
    )
    most = gradients.index(max(gradients))
    assert f"depends most on position {most} " in page.find("#backward-pass").inner_text()
    assert page.find("#backward-pass .bars").first.locator(".row").count() == 28


def test_gradients_of_a_character_add_up(page):
    """What the page says of wpe and wte, found in the numbers."""
    page.find("#backward").click()
    assert "used once, in this sum" in page.find("#embedding").inner_text()
    assert "twice where the text reads ‘n’" in page.find("#embedding").inner_text()
    place, token, total = page.ask(
        "['place', 'token', 'embedded'].map(key => inside.nodesAt(key, 2).map(n => inside.gradients[n]))"
    )
    assert place == pytest.approx(total, rel=1e-12)
    other = page.ask("inside.nodesAt('embedded', 3).map(n => inside.gradients[n])")  # the other n
    head = page.ask(
        """inside.nodesAt('token', 2).map((row, i) => [0, 1, 2, 3, 4].reduce((sum, p) => sum
            + inside.gradients[inside.nodesAt('logits', p)[inside.model.tokens[2]]]
            * inside.data[inside.nodesAt('ln_f', p)[i]], 0))"""
    )
    assert token == pytest.approx([a + b + c for a, b, c in zip(total, other, head, strict=True)], rel=1e-9, abs=1e-12)
    assert token != pytest.approx(total, rel=0.01)
    page.ask("inside.open(inside.nodesAt('place', 2)[0])")
    assert "used once in a text" in page.find("#panel").inner_text()
    page.ask("inside.open(inside.nodesAt('token', 2)[0])")
    assert "here twice" in page.find("#panel").inner_text()


# Whatever is in the text, wherever it is read


def test_hostile_text_stays_text(browser, tmp_path):
    vocabulary = "\n" + "".join(sorted("<>/&\"'`${}é́😀\u200fم\u202e\u0007 中"))
    config = GPTConfig(len(vocabulary), 20, 4, 1, 2)
    run = make_run(tmp_path / "run", config=config)
    nasty = "</script><script>alert(1)</script><!--\"'&`${x}<img src=x onerror=alert(1)>"
    best = replace(run.checkpoint.best, samples=[nasty, "{{script}}", "ش" * 300, "w" * 2000])
    origin = replace(run.checkpoint.origin, vocabulary=vocabulary, data=nasty, settings={nasty: nasty})
    run = replace(run, vocabulary=vocabulary, checkpoint=replace(run.checkpoint, origin=origin, best=best))
    path = tmp_path / "hostile.html"
    path.write_text(to_html(explain(run, "</>😀م\u202e\u0007é́ &\"'")), encoding="utf-8")
    page = Watched(browser, path)
    assert page.troubles == []
    assert page.requests == [path.resolve().as_uri()]
    assert page.find("img").count() == 0
    assert nasty in page.find("#run").inner_text()
    assert "{{script}}" in page.find("#run .samples").inner_text()
    assert "U+0007" in page.find("#reading").inner_text()
    assert page.ask("document.documentElement.scrollWidth <= innerWidth")
    page.page.close()


def test_it_fits_any_width_and_prints(browser, trained):
    page = Watched(browser, trained / "anna.html")
    page.ask("inside.open(inside.nodesAt('h.1.mlp', 2)[1])")
    for width, scheme in ((360, "light"), (768, "dark"), (1900, "light")):
        page.page.emulate_media(color_scheme=scheme)
        page.page.set_viewport_size({"width": width, "height": 800})
        assert page.ask("document.documentElement.scrollWidth <= innerWidth")
        assert page.ask("(p => p.scrollWidth <= p.clientWidth + 1)(document.getElementById('panel'))")
        colors = page.ask("(b => [b.backgroundColor, b.color])(getComputedStyle(document.body))")
        ground, ink = (sum(json.loads(f"[{color[4:-1]}]")) for color in colors)
        assert (ground > 700 and ink < 200) if scheme == "light" else (ground < 100 and ink > 600)
    page.page.emulate_media(media="print")
    assert not page.find(".bar").is_visible()
    assert not page.find("#panel").is_visible()
    assert page.find("#atoms").is_visible()
    page.page.close()
