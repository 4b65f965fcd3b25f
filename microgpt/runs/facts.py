"""What came of a run, as facts for other programs."""

from math import log
from pathlib import Path
from typing import Any

from microgpt.runs.checkpoint import load_checkpoint
from microgpt.runs.loss_plot import smooth
from microgpt.runs.metrics import METRICS, read_metrics


def facts_of(directory: Path) -> dict[str, Any]:
    """Return what came of a run, by its directory. Losses are in nats for each character, or token."""
    checkpoint = load_checkpoint(directory)
    origin, model = checkpoint.origin, checkpoint.model
    rows = read_metrics(directory, checkpoint.step)
    trained, seconds = METRICS.index("training_loss"), METRICS.index("seconds")
    losses = smooth(tuple(float(row[trained]) for row in rows if row[trained]))
    return {
        "run": str(directory),
        "validation_loss": model.loss if model.loss_on_all is None else model.loss_on_all,
        "best_step": model.step,
        "steps": checkpoint.step,
        "complete": checkpoint.step >= int(origin.settings["steps"]),
        "first_validation_loss": checkpoint.initial_loss,
        "training_loss": float(losses[-1]) if len(losses) else None,
        "guessing_loss": log(origin.config.vocab_size),
        "parameters": origin.parameters,
        "seconds": float(rows[-1][seconds]),
        "data": origin.data,
        "settings": origin.settings,
    }
