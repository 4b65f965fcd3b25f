"""Pictures of a run: its losses, and what its steps did to each tensor."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from microgpt.errors import InputError
from microgpt.runs.files import write_file
from microgpt.runs.metrics import METRICS, TENSORS

INK, GRID = "#7d7d7d", "#7d7d7d40"  # readable on white and on black, since a page may be either
TRAINING, MEAN, VALIDATION, BIGRAM = "#5b9bd540", "#3f8fd2", "#e07b39", "#8a63d2"


def draw_losses(directory: Path, rows: list[list[str]], baseline: float) -> Path:
    """Draw metrics.csv rows, and the loss of a baseline, as loss.svg in the run directory; return its path.

    Raises ImportError without matplotlib, and OSError if the file cannot be written.
    """
    step, training, validation = (METRICS.index(name) for name in ("step", "training_loss", "validation_loss"))
    trained = [(int(row[step]), float(row[training])) for row in rows if row[training]]
    validated = [(int(row[step]), float(row[validation])) for row in rows if row[validation]]

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        if trained:
            steps, losses = zip(*trained, strict=True)
            axes.plot(steps, losses, color=TRAINING, linewidth=1)
            axes.plot(steps, smooth(losses), color=MEAN, linewidth=2, label="training, running mean")
        if validated:
            steps, losses = zip(*validated, strict=True)
            axes.plot(steps, losses, color=VALIDATION, marker="o", linewidth=2, label="validation")
            last = (steps[-1], losses[-1])
            axes.annotate(f"{last[1]:.3f}", last, (0, 8), textcoords="offset points", color=VALIDATION, ha="right")
        axes.axhline(baseline, color=BIGRAM, linestyle="--", label=f"counting pairs: {baseline:.3f}")
        label(axes, "loss, nats per character")
        axes.legend(frameon=False, labelcolor=INK)

    return write_picture(directory / "loss.svg", "Losses of a run", 4.5, draw)


def draw_tensors(directory: Path, rows: list[list[str]]) -> Path:
    """Draw tensors.csv rows as tensors.svg in the run directory, a line for each tensor; return its path.

    Raises ImportError without matplotlib, and OSError if the file cannot be written.
    """
    names = list(dict.fromkeys(row[1] for row in rows))

    def draw(figure: Any) -> None:
        from matplotlib import colormaps

        panels = ("gradient_norm", "norm of the gradient"), ("update_ratio", "norm of the step / of the values")
        for axes, (column, meaning) in zip(figure.subplots(len(panels), sharex=True), panels, strict=True):
            cell = TENSORS.index(column)
            for i, name in enumerate(names):
                cells = [(int(row[0]), float(row[cell] or 0)) for row in rows if row[1] == name]
                steps, values = [step for step, x in cells if x > 0], [x for _, x in cells if x > 0]
                color = colormaps["viridis"](i / len(names))
                axes.plot(steps, values, color=color, marker=".", linewidth=1, label=name)
            axes.set_yscale("log")
            label(axes, meaning)
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right", frameon=False, labelcolor=INK, fontsize="x-small")

    return write_picture(directory / "tensors.svg", "Steps of a run, by tensor", max(5.0, 0.17 * len(names)), draw)


def label(axes: Any, meaning: str) -> None:
    """Label the axes of a picture."""
    axes.set_xlabel("step", color=INK)
    axes.set_ylabel(meaning, color=INK)
    axes.tick_params(colors=INK)
    axes.grid(color=GRID)
    axes.spines[:].set_visible(False)


def write_picture(path: Path, title: str, height: float, draw: Callable[[Any], None]) -> Path:
    """Call `draw` on a new figure, and write that to a file; return its path."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "microgpt", "font.family": "sans-serif"}):
        figure = Figure(figsize=(8, height), layout="constrained")
        draw(figure)
        drawn = io.BytesIO()
        figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None, "Title": title})
    write_file(path, drawn.getvalue())
    return path


def save_picture(figure: Any, path: Path, **options: Any) -> None:
    """Save a matplotlib figure in the format of the path's suffix (SVG without one), and print the path.

    The options are those of `savefig`. Raises InputError for an unknown format.
    """
    drawn = io.BytesIO()
    try:
        figure.savefig(drawn, format=path.suffix[1:] or "svg", **options)
    except ValueError as error:
        raise InputError(f"cannot draw {path}: {error}") from None
    path.write_bytes(drawn.getvalue())
    print(f"drawn in {path}")


def smooth(losses: tuple[float, ...], share: float = 0.02) -> list[float]:
    """Return the exponential running mean of a sequence, over a window of this share of it."""
    keep = 1 - 1 / max(1.0, share * len(losses))
    means, total, weight = [], 0.0, 0.0
    for loss in losses:
        total, weight = keep * total + loss, keep * weight + 1
        means.append(total / weight)
    return means
