"""Charts of curves as SVG, readable on white and on black: each is drawn in a few milliseconds, without a library."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isfinite, log10

INK, GRID = "#7d7d7d", "#7d7d7d40"  # since a page may be white or black
WIDTH, LEFT, RIGHT, TOP, BOTTOM = 800, 72, 16, 14, 46  # pixels: the whole, and around the curves
BESIDE, ROW = 190, 16  # pixels: the width of a legend beside the curves, and the height of one of its entries
POINTS = 2000  # of a curve, at most
SHADES = ("440154", "3b528b", "21918c", "5ec962", "fde725")  # some colours of viridis


@dataclass(frozen=True)
class Curve:
    """A line through points. Without a name it is not in the legend."""

    name: str
    points: Sequence[tuple[float, float]]
    color: str
    width: float = 2
    opacity: float = 1.0
    marks: bool = False
    dashed: bool = False


@dataclass
class Panel:
    """Curves with one scale. What is not finite, or has no logarithm, is left out."""

    meaning: str  # of the vertical axis
    curves: list[Curve]
    logarithmic: bool = False
    notes: Sequence[tuple[float, float, str, str]] = ()  # x, y, a text above it, its color

    def __post_init__(self) -> None:
        least = 0.0 if self.logarithmic else float("-inf")
        self.drawn = {
            i: [(x, y) for x, y in thinned(curve.points) if isfinite(y) and y > least]
            for i, curve in enumerate(self.curves)
        }

    def values(self, axis: int) -> list[float]:
        """Return all numbers of the points along an axis."""
        return [point[axis] for points in self.drawn.values() for point in points]


def shade(share: float) -> str:
    """Return a color between violet, for 0, and yellow, for 1."""
    i, part = divmod(min(max(share, 0.0), 1.0) * (len(SHADES) - 1), 1)
    ends = (bytes.fromhex(SHADES[min(int(i) + j, len(SHADES) - 1)]) for j in (0, 1))
    return "#" + bytes(round(a + (b - a) * part) for a, b in zip(*ends, strict=True)).hex()


def thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """Return some of many points, at equal distances, with the last."""
    every = -(-len(points) // POINTS)
    return points[::-every][::-1] if every > 1 else points


def ticks(low: float, high: float, wanted: int = 6) -> list[float]:
    """Return round numbers in a range, at equal distances.

    >>> ticks(0, 2000), ticks(1.83, 3.7)
    ([0.0, 500.0, 1000.0, 1500.0, 2000.0], [2.0, 2.5, 3.0, 3.5])
    """
    rough = (high - low) / wanted
    power = 10.0 ** floor(log10(rough))
    step = next(power * n for n in (1, 2, 5, 10) if power * n >= rough)
    return [round(step * i, 12) for i in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def chart(title: str, panels: list[Panel], height: int, beside: bool = False) -> bytes:
    """Return a chart as an SVG file: panels above each other, over the steps of training.

    The legend is in the upper right of the first panel or, if there are many curves, `beside` them.
    """
    tall, right = height // len(panels), WIDTH - RIGHT - (BESIDE if beside else 0)
    across = [x for panel in panels for x in panel.values(0)]
    horizontal = Scale(across, False, LEFT, right)
    found = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        f' font-family="sans-serif" font-size="12" fill="{INK}"><title>{escape(title)}</title>'
    ]
    for i, panel in enumerate(panels):
        top, bottom = i * tall + TOP, (i + 1) * tall - BOTTOM
        vertical = Scale(panel.values(1), panel.logarithmic, bottom, top)
        found += frame(horizontal, vertical)
        found.append(text((LEFT + right) / 2, bottom + 36, "step", "middle"))
        middle = (top + bottom) / 2
        turned = f' transform="rotate(-90 16 {middle:g})"'
        found.append(text(16, middle, panel.meaning, "middle", extra=turned))
        for k, curve in enumerate(panel.curves):
            found += drawing(curve, [(horizontal(x), vertical(y)) for x, y in panel.drawn[k]])
        found += [text(horizontal(x), vertical(y) - 8, note, "end", color) for x, y, note, color in panel.notes]
    named = [curve for curve in panels[0].curves if curve.name]
    x = right + 12 if beside else right - BESIDE
    for row, curve in enumerate(named):
        y = TOP + ROW * (row + 1)
        found += drawing(curve, [(x, y - 4), (x + 20, y - 4)])
        found.append(text(x + 26, y, curve.name, size=10 if beside else 12))
    return "\n".join([*found, "</svg>\n"]).encode()


class Scale:
    """From numbers to pixels, with the ticks of an axis."""

    def __init__(self, values: list[float], logarithmic: bool, first: float, last: float):
        self.logarithmic, self.first, self.last = logarithmic, first, last
        low, high = (log10(x) if logarithmic else x for x in (min(values, default=1), max(values, default=1)))
        room = 0.04 * (high - low) or 0.5 * max(1.0, abs(low))
        self.low, self.high = low - room, high + room
        if logarithmic:
            powers = range(floor(self.low), ceil(self.high) + 1)
            factors = (1,) if self.high - self.low > 2 else (1, 2, 5)
            self.ticks = [n * 10.0**power for power in powers for n in factors]
            self.ticks = [tick for tick in self.ticks if self.low <= log10(tick) <= self.high]
        else:
            self.ticks = ticks(self.low, self.high)

    def __call__(self, x: float) -> float:
        place = ((log10(x) if self.logarithmic else x) - self.low) / (self.high - self.low)
        return round(self.first + place * (self.last - self.first), 1)


def frame(horizontal: Scale, vertical: Scale) -> list[str]:
    """Return the grid and the numbers at the axes."""
    left, right, bottom, top = horizontal.first, horizontal.last, vertical.first, vertical.last
    found = []
    for tick in horizontal.ticks:
        x = horizontal(tick)
        found += [f'<path d="M{x} {top}V{bottom}" stroke="{GRID}"/>', text(x, bottom + 17, f"{tick:.6g}", "middle")]
    for tick in vertical.ticks:
        y = vertical(tick)
        found += [f'<path d="M{left} {y}H{right}" stroke="{GRID}"/>', text(left - 6, y + 4, f"{tick:.6g}", "end")]
    return found


def drawing(curve: Curve, places: list[tuple[float, float]]) -> list[str]:
    """Return a line through places, with its marks."""
    line = " ".join(f"{x},{y}" for x, y in places)
    dashes = ' stroke-dasharray="7 4"' if curve.dashed else ""
    found = [
        f'<polyline points="{line}" fill="none" stroke="{curve.color}" stroke-width="{curve.width}"'
        f' stroke-opacity="{curve.opacity}"{dashes}/>'
    ]
    radius = curve.width + 1
    return found + [f'<circle cx="{x}" cy="{y}" r="{radius}" fill="{curve.color}"/>' for x, y in places if curve.marks]


def text(
    x: float, y: float, content: str, anchor: str = "start", color: str = INK, size: int = 12, extra: str = ""
) -> str:
    """Return a text at a place."""
    style = f'text-anchor="{anchor}" fill="{color}" font-size="{size}"'
    return f'<text x="{x:g}" y="{y:g}" {style}{extra}>{escape(content)}</text>'
