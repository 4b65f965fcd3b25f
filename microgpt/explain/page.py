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
    "tour.js",
    "page.js",
)


def to_html(explanation: Explanation) -> str:
    """Return the whole page."""
    content, packed = content_of(explanation)
    inserts = {
        "style": (PARTS / "page.css").read_text(encoding="utf-8"),
        "script": "\n".join((PARTS / name).read_text(encoding="utf-8") for name in SCRIPTS),
        "content": json.dumps(content, separators=(",", ":")).replace("<", "\\u003c"),  # no text ends its element
        "numbers": base64.b64encode(gzip.compress(packed, 9, mtime=0)).decode(),
    }
    page = (PARTS / "page.html").read_text(encoding="utf-8")
    return re.sub("{{(style|script|content|numbers)}}", lambda mark: inserts[mark[1]], page)
