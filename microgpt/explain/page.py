"""One HTML file with everything in it: a model, its loss as a list of operations, and the page that runs them.

The file has no number that the model computes. The engine in the page computes all of them, from the parameters and the
operations (program.py). These arrays are in the file as gzip and base64, names and source code as JSON. The characters
of a text reach the page only as JSON strings that the script shows as text.
"""

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

from microgpt.explain.content import content_of
from microgpt.explain.explanation import Explanation

PARTS = Path(__file__).parent / "page"
SCRIPTS = (  # in the order in which they build on each other
    "engine.js",
    "graph.js",
    "numbers.js",
    "model.js",
    "words.js",
    "elements.js",
    "widgets.js",
    "sections.js",
    "panel.js",
    "change.js",
    "drawing.js",
    "what_if.js",
    "writing.js",
    "training.js",
    "time.js",
    "names.js",
    "address.js",
    "tour.js",
    "page.js",
)


PROGRAM_SCRIPTS = (
    "engine.js",
    "graph.js",
    "numbers.js",
    "program_model.js",
    "widgets.js",
    "panel.js",
    "change.js",
    "lines.js",
    "plane.js",
    "program_page.js",
)


def to_html(explanation: Explanation) -> str:
    """Return the whole page of a text."""
    return assembled("page.html", ("page.css",), SCRIPTS, *content_of(explanation))


def program_to_html(content: dict[str, Any], packed: bytes) -> str:
    """Return the whole page of any loss."""
    return assembled("program.html", ("page.css", "program.css"), PROGRAM_SCRIPTS, content, packed)


def assembled(
    page: str, styles: tuple[str, ...], scripts: tuple[str, ...], content: dict[str, Any], packed: bytes
) -> str:
    """Return a page with its style, its script, its content and its numbers."""

    def joined(names: tuple[str, ...]) -> str:
        return "\n".join((PARTS / name).read_text(encoding="utf-8") for name in names)

    inserts = {
        "style": joined(styles),
        "script": joined(scripts),
        "content": json.dumps(content, separators=(",", ":")).replace("<", "\\u003c"),  # no text ends its element
        "numbers": base64.b64encode(gzip.compress(packed, 9, mtime=0)).decode(),
    }
    html = (PARTS / page).read_text(encoding="utf-8")
    return re.sub("{{(style|script|content|numbers)}}", lambda mark: inserts[mark[1]], html)
