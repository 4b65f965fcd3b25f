"""The page and the film in docs/ are those of this version, and small."""

import base64
import json
import re
import struct
from pathlib import Path

import pytest

from microgpt.explain.page import PARTS, PROGRAM_SCRIPTS, SCRIPTS

DOCS = Path(__file__).parents[2] / "docs"
PAGE, MOONS = ((DOCS / name).read_text(encoding="utf-8") for name in ("live.html", "moons.html"))


@pytest.mark.parametrize("name", [*SCRIPTS, "page.css"])
def test_the_page_has_the_present_script_and_style(name):
    assert (PARTS / name).read_text(encoding="utf-8") in PAGE, "python docs/make.py --only page makes it anew"


@pytest.mark.parametrize("name", [*PROGRAM_SCRIPTS, "page.css", "program.css"])
def test_the_moons_have_the_present_script_and_style(name):
    assert (PARTS / name).read_text(encoding="utf-8") in MOONS, "python docs/make.py --only moons makes it anew"


def test_it_is_the_page_of_the_default_model():
    content = json.loads(re.search(r'<script type="application/json" id="content">(.*?)</script>', PAGE, re.DOTALL)[1])
    assert content["config"] == {"vocab_size": 27, "n_positions": 16, "n_embd": 32, "n_layer": 1, "n_head": 4}
    assert content["run"]["step"] > 1000
    assert len(content["times"]) >= 15
    assert len(content["training"]["texts"]) >= 300


def test_page_and_film_are_small():
    assert len(PAGE) <= 3_000_000
    assert (DOCS / "live.gif").stat().st_size <= 3_000_000
    assert len(MOONS) <= 500_000
    assert "/tmp/" not in PAGE.split('id="numbers"')[0]


def test_every_part_is_put_into_the_page():
    pages = {"page.css", "page.html", "program.css", "program.html", "stages.html", "stages.js"}
    assert {path.name for path in PARTS.iterdir()} == {*SCRIPTS, *PROGRAM_SCRIPTS, *pages}


def test_who_shares_it_shows_a_title_and_an_image():
    assert re.search(r'<meta name="description" content="[^"]{50,160}">', PAGE)
    image = re.search(r'<meta property="og:image" content="data:image/png;base64,([^"]+)">', PAGE)[1]
    kind, width, height = struct.unpack(">12x4sII", base64.b64decode(image)[:24])
    assert (kind, width, height) == (b"IHDR", 1200, 630)
