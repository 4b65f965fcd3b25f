"""A run as a picture: its losses over its steps."""

import io
from pathlib import Path
from typing import Any

from microgpt.errors import InputError
from microgpt.runs.files import write_file
from microgpt.runs.metrics import METRICS

INK, GRID = "#7d7d7d", "#7d7d7d40"  # readable on white and on black, since a page may be either
TRAINING, MEAN, VALIDATION, BIGRAM = "#5b9bd540", "#3f8fd2", "#e07b39", "#8a63d2"


def draw_losses(directory: Path, rows: list[list[str]], baseline: float) -> Path:
    """Draw metrics.csv rows, and a baseline's validation loss, as loss.svg in the run directory; return its path.

    Raises ImportError if matplotlib is not there, and OSError if the file cannot be written.
    """
    import matplotlib
    from matplotlib.figure import Figure

    step, training, validation = (METRICS.index(name) for name in ("step", "training_loss", "validation_loss"))
    trained = [(int(row[step]), float(row[training])) for row in rows if row[training]]
    validated = [(int(row[step]), float(row[validation])) for row in rows if row[validation]]
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "microgpt", "font.family": "sans-serif"}):
        figure = Figure(figsize=(8, 4.5), layout="constrained")
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
        axes.axhline(
            baseline, color=BIGRAM, linestyle="--", label=f"validation of mere character pairs: {baseline:.3f}"
        )
        axes.set_xlabel("step", color=INK)
        axes.set_ylabel("loss, nats per character", color=INK)
        axes.tick_params(colors=INK)
        axes.grid(color=GRID)
        axes.spines[:].set_visible(False)
        axes.legend(frameon=False, labelcolor=INK)
        drawn = io.BytesIO()
        figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None, "Title": "Losses of a run"})
    write_file(directory / "loss.svg", drawn.getvalue())
    return directory / "loss.svg"


def save_picture(figure: Any, path: Path, **options: Any) -> None:
    """Draw a matplotlib figure where the user wants it, in the format of the name's ending, and say so.

    Without an ending it is SVG. The options are those of `savefig`. Raises InputError for a format that it does not
    know.
    """
    drawn = io.BytesIO()
    try:
        figure.savefig(drawn, format=path.suffix[1:] or "svg", **options)
    except ValueError as error:
        raise InputError(f"cannot draw {path}: {error}") from None
    path.write_bytes(drawn.getvalue())
    print(f"drawn in {path}")


def smooth(losses: tuple[float, ...], share: float = 0.02) -> list[float]:
    """The running mean of a sequence, each number counting less by a factor, for a window of this share of it."""
    keep = 1 - 1 / max(1.0, share * len(losses))
    means, total, weight = [], 0.0, 0.0
    for loss in losses:
        total, weight = keep * total + loss, keep * weight + 1
        means.append(total / weight)
    return means
