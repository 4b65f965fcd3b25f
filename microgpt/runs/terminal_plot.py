"""Draws curves with characters, for a terminal of 80 columns."""

from collections.abc import Sequence
from math import isfinite

WIDTH, HEIGHT = 60, 10  # of a picture, in characters
TOP = 1.3  # the height of a picture, of that which nine tenths of a curve need

Curve = Sequence[tuple[float, float]]  # a position, such as a step, and a height


def plotted(curves: dict[str, Curve], unit: str = "step") -> list[str]:
    """Return the lines of a picture of some curves, each drawn with its mark, a character; a later one lies on top.

    A column shows the mean of its heights. What is far above most of its curve is drawn as ^, and the last line says
    how high it is. Heights that are not finite are left out.
    """
    finite = {mark: [(x, y) for x, y in curve if isfinite(y)] for mark, curve in curves.items()}
    finite = {mark: curve for mark, curve in finite.items() if curve}
    if not finite:
        return ["  every number is NaN" if any(curves.values()) else "  there is nothing to draw"]
    first = min(x for curve in finite.values() for x, _ in curve)
    last = max(x for curve in finite.values() for x, _ in curve)
    columns = int(min(WIDTH, max(last - first + 1, 2)))
    means = {mark: in_columns(curve, first, last, columns) for mark, curve in finite.items()}
    ordered = [sorted(heights.values()) for heights in means.values()]
    low = min(heights[0] for heights in ordered)
    usual = max(heights[min(len(heights) - 1, len(heights) * 9 // 10)] for heights in ordered)
    high = max(low + TOP * (usual - low), low + 0.01)
    rows = [[" "] * columns for _ in range(HEIGHT)]
    for mark, heights in means.items():
        for column, height in heights.items():
            place = round((min(height, high) - low) / (high - low) * (HEIGHT - 1))
            rows[HEIGHT - 1 - place][column] = "^" if height > high else mark
    labels = {0: f"{high:.2f}", HEIGHT - 1: f"{low:.2f}"}
    lines = [f"{labels.get(i, ''):>9} |{''.join(row).rstrip()}" for i, row in enumerate(rows)]
    end = f"{unit} {last:g}"
    lines += [" " * 10 + "+" + "-" * columns, f"{'':11}{first:g}".ljust(12) + end.rjust(max(columns - 1, len(end) + 1))]
    highest = max(y for curve in finite.values() for _, y in curve)
    return [*lines, f"{'':10} ^ is above this picture: up to {highest:.3g}"] if highest > high else lines


def in_columns(curve: Curve, first: float, last: float, columns: int) -> dict[int, float]:
    """Return the mean height of a curve in each column that it has points in."""
    parts: dict[int, list[float]] = {}
    for x, y in curve:
        share = (x - first) / (last - first) if last > first else 0.0
        parts.setdefault(min(int(share * columns), columns - 1), []).append(y)
    return {column: sum(heights) / len(heights) for column, heights in parts.items()}
