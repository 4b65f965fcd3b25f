"""Several runs side by side: their losses in one picture, and what differs in their settings."""

from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from microgpt.errors import InputError
from microgpt.runs.chart import Curve, Panel, chart, shade
from microgpt.runs.checkpoint import Checkpoint, load_checkpoint
from microgpt.runs.files import write_file
from microgpt.runs.loss_plot import smooth
from microgpt.runs.metrics import METRICS, read_metrics
from microgpt.runs.terminal_plot import plotted

MOST = len(ascii_lowercase)  # runs in one picture


@dataclass(frozen=True)
class Compared:
    """A run among others: its mark in the picture, its state, and its losses by step."""

    mark: str
    directory: Path
    checkpoint: Checkpoint
    training: list[tuple[int, float]]  # a running mean
    validation: list[tuple[int, float]]
    seconds: float

    @property
    def facts(self) -> dict[str, Any]:
        """What is compared: settings, and what came of them."""
        origin, model = self.checkpoint.origin, self.checkpoint.model
        all_held_out = model.loss if model.loss_on_all is None else model.loss_on_all
        return origin.settings | {
            "data": origin.data,
            "parameters": origin.parameters,
            "step": self.checkpoint.step,
            "best at step": model.step,
            "validation": f"{all_held_out:.4f}",
            "seconds": f"{self.seconds:.1f}",
        }


RESULTS = ("validation", "seconds")  # facts that are shown, whether they differ or not


def compared(directories: list[Path]) -> list[Compared]:
    """Read some runs. Raises InputError, naming it, for one that has no checkpoint or is damaged, or for too many."""
    if not 1 <= len(directories) <= MOST:
        raise InputError(f"there are {len(directories)} runs to compare: expected 1 to {MOST}")
    runs = []
    step, trained, validated, seconds = (
        METRICS.index(name) for name in ("step", "training_loss", "validation_loss", "seconds")
    )
    for mark, directory in zip(ascii_lowercase, directories, strict=False):
        checkpoint = load_checkpoint(directory)
        rows = read_metrics(directory, checkpoint.step)
        losses = [(int(row[step]), float(row[trained])) for row in rows if row[trained]]
        means = smooth(tuple(loss for _, loss in losses))
        runs.append(Compared(
            mark, directory, checkpoint, [(at, mean) for (at, _), mean in zip(losses, means, strict=True)],
            [(int(row[step]), float(row[validated])) for row in rows if row[validated]], float(rows[-1][seconds]),
        ))  # fmt: skip
    return runs


def table(runs: list[Compared]) -> list[str]:
    """Return the lines of a table with a row for each run, and a column for each fact in which they differ."""
    facts = [run.facts for run in runs]
    names = dict.fromkeys(name for fact in facts for name in fact if name not in RESULTS)
    differing = [name for name in names if any(fact.get(name) != facts[0].get(name) for fact in facts)]
    columns = [("", [run.mark for run in runs]), ("run", [str(run.directory) for run in runs])]
    columns += [(name, [str(fact.get(name, "")) for fact in facts]) for name in (*differing, *RESULTS)]
    widths = [max(map(len, (name, *cells))) for name, cells in columns]
    lines = ["  ".join(name.ljust(width) for (name, _), width in zip(columns, widths, strict=True))]
    for cells in zip(*(cells for _, cells in columns), strict=True):
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)))
    return [line.rstrip() for line in lines]


def picture(runs: list[Compared]) -> list[str]:
    """Return the lines of a picture of the training losses, for a terminal."""
    return plotted({run.mark: run.training for run in runs})


def draw(runs: list[Compared], path: Path) -> Path:
    """Draw the losses of all runs as an SVG file, and return its path."""
    colors = [shade(0.9 * i / max(1, len(runs) - 1)) for i in range(len(runs))]
    curves = [Curve("", run.training, color, 1, 0.4) for run, color in zip(runs, colors, strict=True)]
    curves += [
        Curve(str(run.directory), run.validation, color, marks=True) for run, color in zip(runs, colors, strict=True)
    ]
    panel = Panel("loss, nats per character (marks: validation)", curves)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, chart("Losses of some runs", [panel], 450, beside=True))
    return path
