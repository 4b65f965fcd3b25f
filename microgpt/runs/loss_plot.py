"""Pictures of a run: its losses, and what its steps did to each tensor."""

import io
from pathlib import Path
from typing import Any

from microgpt.errors import InputError
from microgpt.runs.chart import Curve, Panel, chart, shade
from microgpt.runs.files import write_file
from microgpt.runs.metrics import METRICS, TENSORS

TRAINING, MEAN, VALIDATION, BIGRAM = "#5b9bd5", "#3f8fd2", "#e07b39", "#8a63d2"


def draw_losses(directory: Path, rows: list[list[str]], baseline: float) -> Path:
    """Draw metrics.csv rows, and the loss of a baseline, as loss.svg in the run directory; return its path.

    Raises OSError if the file cannot be written.
    """
    step, training, validation = (METRICS.index(name) for name in ("step", "training_loss", "validation_loss"))
    steps = [int(row[step]) for row in rows if row[training]]
    losses = [float(row[training]) for row in rows if row[training]]
    validated = [(int(row[step]), float(row[validation])) for row in rows if row[validation]]
    means, ends = smooth(tuple(losses)), [int(row[step]) for row in rows[:: max(1, len(rows) - 1)]]
    curves = [
        Curve("", list(zip(steps, losses, strict=True)), TRAINING, 1, 0.25),
        Curve("training, running mean", list(zip(steps, means, strict=True)), MEAN),
        Curve("validation", validated, VALIDATION, marks=True),
        Curve(f"counting pairs: {baseline:.3f}", [(x, baseline) for x in ends], BIGRAM, dashed=True),
    ]
    notes = [(*validated[-1], f"{validated[-1][1]:.3f}", VALIDATION)] if validated else []
    content = chart("Losses of a run", [Panel("loss, nats per character", curves, notes=notes)], 450)
    path = directory / "loss.svg"
    write_file(path, content)
    return path


def draw_tensors(directory: Path, rows: list[list[str]]) -> Path:
    """Draw tensors.csv rows as tensors.svg in the run directory, a line for each tensor; return its path.

    Raises OSError if the file cannot be written.
    """
    names = list(dict.fromkeys(row[1] for row in rows))

    def panel(column: str, meaning: str) -> Panel:
        cell = TENSORS.index(column)
        points = {name: [(int(row[0]), float(row[cell] or 0)) for row in rows if row[1] == name] for name in names}
        curves = [Curve(name, points[name], shade(i / len(names)), 1, marks=True) for i, name in enumerate(names)]
        return Panel(meaning, curves, logarithmic=True)

    panels = [
        panel("gradient_norm", "norm of the gradient"),
        panel("update_ratio", "norm of the step / of the values"),
    ]
    content = chart("Steps of a run, by tensor", panels, max(500, 17 * len(names)), beside=True)
    path = directory / "tensors.svg"
    write_file(path, content)
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
