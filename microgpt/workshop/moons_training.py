"""What comes when the functions of moons.py are right: PyTorch's numbers beside them, and a trained network."""

import importlib.util
import json
import random
import subprocess
import sys
from itertools import pairwise
from math import cos, pi, sin
from pathlib import Path
from typing import Any

from microgpt.workshop.observation import Namespace, same

X, WEIGHT, BIAS = [0.5, -1.0, 2.0], [1.5, 0.25, -0.5], 0.75
NAMES = [
    "the neuron",
    *(f"its gradient to {name}[{i}]" for name in ("x", "weight") for i in range(3)),
    "... to the bias",
]
STORED = [0.24491866240370913, 1.410022273209567, 0.2350037122015945, -0.470007424403189, 0.470007424403189,
          -0.940014848806378, 1.880029697612756, 0.940014848806378]  # fmt: skip
PYTORCH = f"""
import json, torch
x, w, b = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in ({X}, {WEIGHT}, {BIAS}))
y = torch.tanh(x @ w + b)
y.backward()
print(json.dumps([y.item(), *x.grad.tolist(), *w.grad.tolist(), b.grad.item()]))
"""
HIDDEN, STEPS, BATCH, RATE, LAST_RATE = 12, 300, 20, 3.0, 0.05
NEW_POINTS, NOISE, ASKED = 500, 0.08, 0.99
LEFT, RIGHT, BOTTOM, TOP = -1.6, 2.6, -1.1, 1.6  # of the plane that is drawn
ACROSS, DOWN = 64, 20  # characters of a picture

Point = tuple[list[float], int]


def beside_pytorch(names: Namespace, folder: Path) -> tuple[bool, str]:
    """Return whether a neuron and its gradients are PyTorch's, and a table of both."""
    make = names["Value"]
    x, weight, bias = [make(v) for v in X], [make(v) for v in WEIGHT], make(BIAS)
    result = names["neuron"](x, weight, bias)
    result.backward()
    ours = [result.data, *(v.grad for v in [*x, *weight, bias])]
    live = importlib.util.find_spec("torch") is not None
    theirs = (live and of_pytorch()) or STORED
    where = "computed now" if theirs is not STORED else "stored"
    rows = [f"    {'':28}{'yours':>14}{'PyTorch':>14}   ({where})"]
    rows += [f"    {name:28}{a:14.9f}{b:14.9f}" for name, a, b in zip(NAMES, ours, theirs, strict=True)]
    return same(ours, theirs), "\n".join(rows)


def of_pytorch() -> list[float] | None:
    """Return the same numbers of the PyTorch that is installed; None if it does not answer."""
    try:
        ran = subprocess.run([sys.executable, "-c", PYTORCH], capture_output=True, timeout=30, encoding="utf-8")
        numbers: list[float] = json.loads(ran.stdout)
        return numbers
    except (subprocess.TimeoutExpired, ValueError, OSError):
        return None


def moons(count: int, chance: random.Random) -> list[Point]:
    """Return noisy points on two half circles that grip each other, each with its label, -1 or 1."""
    points = []
    for _ in range(count):
        angle, label = chance.uniform(0, pi), chance.choice((-1, 1))
        x, y = (cos(angle), sin(angle)) if label == 1 else (1 - cos(angle), 0.5 - sin(angle))
        points.append(([x + chance.gauss(0, NOISE), y + chance.gauss(0, NOISE)], label))
    return points


def train_moons(names: Namespace, folder: Path) -> tuple[bool, str]:
    """Train two layers with the learner's own functions; return whether 99 % is reached, and the pictures.

    The picture in colours is moons.svg in the learner's folder.
    """
    chance = random.Random(0)
    make, score = names["Value"], names["score"]
    params = {
        "hidden.weight": [[make(chance.gauss(0, 1.5)) for _ in range(HIDDEN)] for _ in range(2)],
        "hidden.bias": [make(chance.gauss(0, 0.5)) for _ in range(HIDDEN)],
        "out.weight": [[make(chance.gauss(0, HIDDEN**-0.5))] for _ in range(HIDDEN)],
        "out.bias": [make(0.0)],
    }
    rows = [*params["hidden.weight"], *params["out.weight"], params["hidden.bias"], params["out.bias"]]
    parameters = [p for row in rows for p in row]
    losses = []
    for i in range(STEPS):
        total = sum(names["loss"](params, point, label) for point, label in moons(BATCH, chance)) * (1 / BATCH)
        names["step"](parameters, total, RATE * (1 - i / STEPS) + LAST_RATE)
        losses.append(total.data)
    trained = {key: [plain(row) for row in table] for key, table in params.items()}
    points = moons(NEW_POINTS, chance)
    right = sum(label * score(trained, point) > 0 for point, label in points) / NEW_POINTS
    plane = [[score(trained, place(i, j)) for i in range(ACROSS)] for j in range(DOWN)]
    (folder / "moons.svg").write_text(picture(losses, plane, points), encoding="utf-8")
    said = [
        f"{len(parameters)} parameters learned from {STEPS} batches of {BATCH} points. The loss, step by step:",
        curve(losses),
        "The plane as your network sees it: # is one moon, . the other; o and x are new points.",
        drawn(plane, points[:80]),
        f"Of {NEW_POINTS} new points {100 * right:.1f} % are told apart: {100 * ASKED:.0f} % are asked.",
        f"The picture is in {folder / 'moons.svg'}.",
    ]
    return right >= ASKED, "\n".join(said)


def plain(x: Any) -> Any:
    """Return the number of a Value, or those of a list of them."""
    return [plain(item) for item in x] if isinstance(x, list) else x.data


def place(i: float, j: float) -> list[float]:
    """Return the point of the plane in column i and row j, counted from the left and from the top."""
    return [LEFT + (RIGHT - LEFT) * (i + 0.5) / ACROSS, TOP - (TOP - BOTTOM) * (j + 0.5) / DOWN]


def cell(x: float, y: float) -> tuple[int, int]:
    """Return the column and the row of a point, which may lie outside."""
    return int((x - LEFT) / (RIGHT - LEFT) * ACROSS), int((TOP - y) / (TOP - BOTTOM) * DOWN)


def curve(losses: list[float], height: int = 8) -> str:
    """Return a loss curve in characters: a mean of a few steps in each column."""
    width = min(ACROSS, len(losses))
    ends = [len(losses) * i // width for i in range(width + 1)]
    means = [sum(losses[a:b]) / (b - a) for a, b in pairwise(ends)]
    top = max(means) or 1.0
    rows = []
    for row in range(height, 0, -1):
        label = f"{top:6.3f}" if row == height else f"{0:6.3f}" if row == 1 else " " * 6
        rows.append(f"    {label} |" + "".join("*" if mean > top * (row - 1) / height else " " for mean in means))
    return "\n".join(row.rstrip() for row in rows)


def drawn(plane: list[list[float]], points: list[Point]) -> str:
    """Return the plane in characters, with points on it."""
    cells = [["#" if score > 0 else "." for score in row] for row in plane]
    for (x, y), label in points:
        i, j = cell(x, y)
        if 0 <= i < ACROSS and 0 <= j < DOWN:
            cells[j][i] = "o" if label > 0 else "x"
    return "\n".join("    " + "".join(row) for row in cells)


def picture(losses: list[float], plane: list[list[float]], points: list[Point]) -> str:
    """Return the loss curve and the plane as an SVG."""
    side, top = 8, max(losses) or 1.0
    width, height = ACROSS * side, DOWN * side * 2
    path = " ".join(f"{20 + i * width / len(losses):.1f},{height - 20 - x / top * (height - 40):.1f}" for i, x in
                    enumerate(losses))  # fmt: skip
    parts = [f'<polyline points="{path}" fill="none" stroke="#3f8fd2"/>', '<text x="20" y="14">loss</text>']
    for j, row in enumerate(plane):
        for i, score in enumerate(row):
            colour, left = "#c9dcf2" if score > 0 else "#f4d3cb", width + 40 + i * side
            parts.append(f'<rect x="{left}" y="{j * side * 2}" width="{side}" height="{side * 2}" fill="{colour}"/>')
    for (x, y), label in points:
        across, down = (x - LEFT) / (RIGHT - LEFT) * width, (TOP - y) / (TOP - BOTTOM) * height
        colour = "#1d4fa1" if label > 0 else "#a11d2d"
        parts.append(f'<circle cx="{width + 40 + across:.1f}" cy="{down:.1f}" r="3" fill="{colour}"/>')
    size = f"{2 * width + 40} {height}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" font-family="sans-serif" font-size="14">'
    return head + "".join(parts) + "</svg>\n"
