"""The badges of the front page, as one picture: what pyproject.toml says of versions, systems and license."""

import html
import tomllib
from pathlib import Path

from microgpt import __version__

ROOT = Path(__file__).resolve().parent.parent
HEIGHT, LETTER, GAP = 20, 6.6, 8  # pixels; LETTER is about the width of a character
DARK, LIGHT = "#454c56", "#1f6f43"


def facts() -> dict[str, str]:
    """What each badge says."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    sorts = [classifier.split(" :: ") for classifier in project["classifiers"]]
    versions = [sort[-1] for sort in sorts if sort[:2] == ["Programming Language", "Python"] and "." in sort[-1]]
    systems = [sort[-1] for sort in sorts if sort[0] == "Operating System"]
    return {
        "python": f"{versions[0]} – {versions[-1]}",  # noqa: RUF001
        "tested on": ", ".join(systems),
        "version": __version__,
        "license": project["license"],
    }


def badges() -> str:
    """The picture, as SVG."""
    parts, at = [], 0.0
    for name, value in facts().items():
        for text, color in ((name, DARK), (value, LIGHT)):
            width = LETTER * len(text) + 2 * GAP
            middle = at + width / 2
            parts.append(f'<rect x="{at:.1f}" width="{width:.1f}" height="{HEIGHT}" fill="{color}"/>')
            parts.append(f'<text x="{middle:.1f}" y="14">{html.escape(text)}</text>')
            at += width
        at += GAP
    words = html.escape("; ".join(f"{name} {value}" for name, value in facts().items()))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{at - GAP:.0f}" height="{HEIGHT}" role="img" '
        f'aria-label="{words}"><title>{words}</title>\n<g fill="#fff" text-anchor="middle" '
        f'font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">\n' + "\n".join(parts) + "\n</g></svg>\n"
    )
