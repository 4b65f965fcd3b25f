"""The static site: every link leads somewhere, nothing is asked of another server, and a search finds its section."""

import re
import sys
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from running import ROOT

pytest.importorskip("markdown_it")
sys.path.insert(0, str(ROOT))

from docs.site import make_site, slug_of

OWN = {"live.html", "moons.html"}  # pages that have tests of their own


class Parts(HTMLParser):
    """The anchors of a page, its links, and what it loads."""

    def __init__(self, text):
        super().__init__()
        self.anchors, self.links, self.loads, self.headings = set(), [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors |= {given[key] for key in ("id", "name") if given.get(key)}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif "src" in given or tag == "link":
            self.loads.append(given.get("src") or given["href"])
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    directory = tmp_path_factory.mktemp("site") / "made"
    make_site(directory)
    return directory


@pytest.fixture(scope="module")
def pages(site):
    found = {path.resolve(): path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    return {path: Parts(text) for path, text in found.items() if path.name not in OWN}


@pytest.mark.slow
def test_every_link_leads_to_a_page_and_its_anchor(site, pages):
    for path, parts in pages.items():
        for link in parts.links:
            if link.startswith("https://"):
                continue
            to, _, anchor = unquote(link).partition("#")
            target = (path.parent / to).resolve() if to else path
            assert target.is_file(), (path.name, link)
            if anchor and target in pages:
                assert anchor in pages[target].anchors, (path.name, link)


def test_nothing_is_loaded_from_elsewhere(site, pages):
    for path, parts in pages.items():
        for load in parts.loads:
            assert load.startswith("data:,") or (path.parent / load).is_file(), (path.name, load)
    for file in (site / "look.css", site / "search.js"):
        without_texts = re.sub(r"(?m)^const SECTIONS = .*$", "", file.read_text(encoding="utf-8"))
        assert not re.search(r"https?://|@import|url\(", without_texts)


def test_every_document_is_reached_from_every_page(site, pages):
    documents = {f"{path.stem}.html" for path in ROOT.glob("docs/*.md")}
    documents |= {"index.html", "contributing.html", "workshop.html", *OWN}
    for path, parts in pages.items():
        links = {(path.parent / unquote(link).partition("#")[0]).resolve() for link in parts.links}
        assert {site.resolve() / name for name in documents} <= links, path.name


def test_headings_go_down_by_one(pages):
    for path, parts in pages.items():
        assert parts.headings[:1] == [1], path.name
        steps = zip(parts.headings, parts.headings[1:], strict=False)
        assert all(after <= before + 1 for before, after in steps), path.name


def test_code_keeps_its_lines(site):
    shown = (site / "code" / "microgpt" / "adam.py.html").read_text(encoding="utf-8")
    lines = (ROOT / "microgpt" / "adam.py").read_text(encoding="utf-8").count("\n")
    assert f'name="line-{lines}"' in shown
    assert f'name="line-{lines + 1}"' not in shown


def test_link_to_nowhere_is_refused(site, tmp_path, monkeypatch):
    import docs.site

    monkeypatch.setattr(docs.site, "read", lambda path: "# A page\n\n[lost](lost.md)\n")
    with pytest.raises(ValueError, match=r"README.md links to lost.md: there is no such file"):
        make_site(tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_slugs_are_those_of_usual_hosts():
    met = {}
    headings = ["If you come from ...", "`Value`, and more", "Twice", "Twice"]
    assert [slug_of(words.replace("`", ""), met) for words in headings] == [
        "if-you-come-from-", "value-and-more", "twice", "twice-1",
    ]  # fmt: skip


@pytest.mark.slow
def test_search_finds_a_section_and_leads_there(browser, site):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    troubles = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto((site / "code" / "microgpt" / "adam.py.html").as_uri())
    page.keyboard.press("/")
    page.keyboard.type("learns by luck residual nowhere")
    assert "Nothing has all of" in page.locator("#found").inner_text()
    page.locator("#search").fill("no residual")
    page.locator("#found a").first.click()
    page.wait_for_load_state()
    assert page.url.endswith("/break-it.html#7-no-residual")
    for name in ("index.html", "speed.html", "code/microgpt/adam.py.html"):
        page.goto((site / name).as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
    page.close()
    assert not troubles
