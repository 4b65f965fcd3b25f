"""One HTML file with everything in it: a model, its loss as a list of operations, and the page that runs them.

The file has no number that the model computes. The engine in the page computes all of them, from the parameters and the
operations (program.py). These arrays are in the file as gzip and base64, names and source code as JSON. The characters
of a text reach the page only as JSON strings that the script shows as text.
"""

import base64
import gzip
import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

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
    content, packed = content_of(explanation)
    table = next(array for array in explanation.run.parameters.values() if array.ndim == 2)
    return assembled("page.html", ("page.css",), SCRIPTS, content, packed, image_of(table))


def program_to_html(content: dict[str, Any], packed: bytes) -> str:
    """Return the whole page of any loss."""
    return assembled("program.html", ("page.css", "program.css"), PROGRAM_SCRIPTS, content, packed)


def assembled(
    page: str,
    styles: tuple[str, ...],
    scripts: tuple[str, ...],
    content: dict[str, Any],
    packed: bytes,
    image: str = "",
) -> str:
    """Return a page with its style, its script, its content, its numbers, and the image for who shares it."""

    def joined(names: tuple[str, ...]) -> str:
        return "\n".join((PARTS / name).read_text(encoding="utf-8") for name in names)

    inserts = {
        "style": joined(styles),
        "script": joined(scripts),
        "content": json.dumps(content, separators=(",", ":")).replace("<", "\\u003c"),  # no text ends its element
        "image": image,
        "numbers": base64.b64encode(gzip.compress(packed, 9, mtime=0)).decode(),
    }
    html = (PARTS / page).read_text(encoding="utf-8")
    return re.sub("{{(style|script|content|numbers|image)}}", lambda mark: inserts[mark[1]], html)


ORANGE, BLUE, WIDE = (222, 110, 18), (38, 110, 190), (1200, 630)  # the colours of the page, and what previews show


def image_of(table: np.ndarray) -> str:
    """Return a PNG of the numbers of a table, as an address with the data in it: orange above zero, blue below."""
    across, down = ((np.arange(size) * n // size) for size, n in zip(WIDE, table.shape[::-1], strict=True))
    strength = np.clip(np.abs(table) / (2.5 * table.std() + 1e-9), 0, 1)[..., None]
    cells = 255 + strength * (np.where(table[..., None] > 0, ORANGE, BLUE) - 255)
    rows = np.pad(cells.astype(np.uint8)[down][:, across].reshape(WIDE[1], -1), ((0, 0), (1, 0)))  # 0: rows as they are
    head = struct.pack(">IIBBBBB", *WIDE, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    png = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + png).decode()
