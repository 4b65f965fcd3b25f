"""A classic first exercise for an engine like this one: tell two moons apart: python examples/moons.py

A network of two layers, written on scalars, learns from points in the plane. It is trained twice from the same
parameters: by the scalar engine, which runs every operation, and by the compiled one. The losses are the same; the
seconds are not.

`python examples/moons.py --explain` writes a page instead, on which it learns before your eyes: each line with its
numbers, and the plane with its boundary.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from microgpt import Schedule, evaluate, exp, explain, log, train, value_and_grad
from microgpt.commands.options import COUNT, POSITIVE, Options, option, parse
from microgpt.commands.script import run_script
from microgpt.functions import linear, tanh
from microgpt.learning.parameters import Arrays
from microgpt.runs.files import check_place
from microgpt.runs.loss_plot import save_picture

HIDDEN = 16


@dataclass
class Settings(Options):
    steps: int = option(200, "training steps", must=POSITIVE)
    batch_size: int = option(32, "points in a step", must=POSITIVE)
    seed: int = option(0, "for random numbers", must=COUNT)
    plot: str = option("moons.svg", "the picture of losses and boundary, if matplotlib is installed")
    explain: str | None = option(None, "only write this page, moons.html, on which it learns", alone="moons.html")


def moons(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy points [count, 2] on two interlocking half circles, and their labels: -1 or 1."""
    angle, which = rng.uniform(0, np.pi, count), rng.integers(0, 2, count)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)
    points = np.where(which[:, None] == 1, upper, lower) + rng.normal(0, 0.08, (count, 2))
    return points, 2.0 * which - 1.0


def score(params, point):  # [2] -> scalar: above 0 for one moon, below for the other
    """Two layers: a hidden one of tanh units, and a sum."""
    hidden = [tanh(h) for h in linear(point, params["hidden.weight"], params["hidden.bias"])]
    return linear(hidden, params["out.weight"], params["out.bias"])[0]


def loss(params, point, label):  # [2], -1 or 1 -> scalar
    """The surprise, in nats, at the right answer: -log of its chance, which is a sigmoid of the score."""
    return log(1 + exp(-label * score(params, point)))


def start(seed: int) -> Arrays:
    """Random parameters, in double precision."""
    rng = np.random.default_rng(seed)
    return {
        "hidden.weight": rng.normal(0, 1.0, (2, HIDDEN)),
        "hidden.bias": np.zeros(HIDDEN),
        "out.weight": rng.normal(0, HIDDEN**-0.5, (HIDDEN, 1)),
        "out.bias": np.zeros(1),
    }


def learn(engine: str, settings: Settings) -> tuple[Arrays, list[float], float]:
    """Train with an engine: the parameters, the loss of each step, and the seconds that it took."""
    parameters = start(settings.seed)
    rng = np.random.default_rng([settings.seed, 1])
    batches = [moons(settings.batch_size, rng) for _ in range(settings.steps)]
    step = value_and_grad(loss, engine)
    step(parameters, *batches[0])  # the first call compiles: that is not what is measured
    begun = time.perf_counter()
    schedule = Schedule(settings.steps, learning_rate=0.1, warmup=10)
    losses = [update.loss for update in train(step, parameters, batches, schedule)]
    return parameters, losses, time.perf_counter() - begun


def main() -> int:
    settings = parse(Settings, "Learn to tell two moons apart, with both engines.")
    if settings.explain is not None:
        return write_page(settings.seed, settings.explain)
    check_place("plot", settings.plot, "moons.svg")
    parameters, losses, seconds = learn("compiled", settings)
    _, scalar_losses, scalar_seconds = learn("scalar", settings)
    apart = max(abs(a - b) for a, b in zip(losses, scalar_losses, strict=True))
    print(f"loss {losses[0]:.4f} -> {losses[-1]:.4f} in {settings.steps} steps of {settings.batch_size} points")
    print(f"the two engines' losses are at most {apart:.0e} apart")
    print(
        f"scalar engine {scalar_seconds:.2f} s, compiled {seconds:.3f} s: {scalar_seconds / seconds:.0f} times faster"
    )

    scores = evaluate(score)
    points, labels = moons(1000, np.random.default_rng([settings.seed, 2]))  # new points
    accuracy = float(np.mean(scores(parameters, points) * labels > 0))
    print(f"accuracy on 1,000 other points: {100 * accuracy:.1f} %")
    draw(losses, lambda grid: scores(parameters, grid), points, labels, Path(settings.plot))
    return 0


def write_page(seed: int, path: str) -> int:
    """Write the page of the loss of 200 points, and of the plane."""
    points, labels = moons(200, np.random.default_rng([seed, 1]))
    title = "Two moons: a small network, line by line"
    page = explain(loss, start(seed), points, labels, out=path, plane=score, title=title, learning_rate=0.05)
    print(f"{page.examples} points take {page.operations:,} operations forward; open {page.path} in a browser")
    return 0


def draw(losses: list[float], scores: Any, points: np.ndarray, labels: np.ndarray, path: Path) -> None:
    """The loss curve, and the plane as the network sees it."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print('no picture without matplotlib: pip install -e ".[plot]"')
        return
    figure = Figure(figsize=(9, 4), layout="constrained")
    curve, plane = figure.subplots(1, 2)
    curve.plot(losses, color="#3f8fd2")
    curve.set_yscale("log")
    curve.set_xlabel("step")
    curve.set_ylabel("loss, nats")
    x, y = np.meshgrid(np.linspace(-1.6, 2.6, 120), np.linspace(-1.1, 1.6, 120))
    chances = 1 / (1 + np.exp(-scores(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(x.shape)))
    plane.contourf(x, y, chances, levels=20, cmap="RdBu", vmin=0, vmax=1, alpha=0.7)
    plane.contour(x, y, chances, levels=[0.5], colors="black")
    for label, color, marker in ((-1, "#a11d2d", "o"), (1, "#1d4fa1", "^")):  # told apart by more than a colour
        chosen = points[labels == label]
        plane.scatter(*chosen.T, s=8, color=color, marker=marker)
    plane.set_title("the line is where it cannot decide", fontsize=10)
    save_picture(figure, path)


if __name__ == "__main__":
    run_script(main)
