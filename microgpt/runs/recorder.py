"""Write a run down while it trains: metrics of every step, the best parameters, and checkpoints."""

import csv
import io
import time
from math import isfinite
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from microgpt.learning.parameters import flatten
from microgpt.learning.training import OptimizerState, Update
from microgpt.runs.checkpoint import Checkpoint, Evaluation, RunInfo, save_checkpoint
from microgpt.runs.directory import Run
from microgpt.runs.files import sync, write_file
from microgpt.runs.hugging_face import write_model
from microgpt.runs.metrics import METRICS, TENSORS, read_tensors
from microgpt.runs.snapshots import is_due, read_snapshots, write_snapshots


class Recorder:
    """Writes the files of a run while it trains."""

    def __init__(self, run: Run, origin: RunInfo, state: OptimizerState, rows: list[list[str]]):
        """Begin to record. For a resumed run, `run.checkpoint` is its last state and `rows` its metrics so far."""
        self.run, self.origin, self.state = run, origin, state
        before = run.checkpoint
        self.best = before.best if before else None
        self.initial_loss = before.initial_loss if before else None
        kept = read_snapshots(run.directory, len(state.m)) if before else {}
        self.snapshots = {step: vector for step, vector in kept.items() if step <= state.step}
        self.saved = self.start = time.monotonic()
        if rows:
            self.start -= float(rows[-1][METRICS.index("seconds")])
        self.steps = begun_file(run.directory / "metrics.csv", METRICS, rows)
        about_tensors = read_tensors(run.directory, state.step) if before else []
        self.tensors = begun_file(run.directory / "tensors.csv", TENSORS, about_tensors)

    @property
    def seconds(self) -> float:
        """The duration of the run, with the time before it was resumed."""
        return time.monotonic() - self.start

    def wants_parameters(self, step: int) -> bool:
        """Return whether recording this step needs the parameters, for a snapshot."""
        return is_due(step, len(self.state.m))

    def record(self, update: Update | None, validated: Evaluation | None) -> None:
        """Add a row to metrics.csv, for a step (None: for the state before the first) and a planned validation.

        For an observed step, add a row for each tensor to tensors.csv. Keep a snapshot of the parameters if it is due.
        """
        now = update is None or update.step == self.state.step  # else the parameters are those of a later step
        if now and self.wants_parameters(self.state.step):
            with np.errstate(over="ignore"):
                vector = flatten(self.run.parameters).astype(np.float32)
            if np.isfinite(vector).all():
                self.snapshots[self.state.step] = vector
        self.compare(validated)
        csv.writer(self.steps).writerow(
            (
                update.step if update else 0,
                update and update.loss,
                validated and validated.loss,
                update and update.learning_rate,
                update and update.gradient_norm,
                self.seconds,
            )
        )
        if now:
            self.steps.flush()  # so that it can be read while training goes on
        if update and update.tensors:
            csv.writer(self.tensors).writerows(
                (update.step, name, t.gradient_norm, t.value_norm, t.update_ratio if isfinite(t.update_ratio) else "")
                for name, t in update.tensors.items()
            )
            self.tensors.flush()

    def compare(self, validated: Evaluation | None) -> None:
        """Keep an evaluation if it is the best so far."""
        if validated and (self.best is None or validated.loss < self.best.loss):
            self.best = validated
        if validated and self.initial_loss is None:
            self.initial_loss = validated.loss

    def complete(self, rows: list[list[str]], validated: Evaluation) -> None:
        """Put a planned validation that Ctrl-C stopped into the last row of metrics.csv."""
        self.compare(validated)
        rows[-1][METRICS.index("validation_loss")] = str(validated.loss)
        self.steps.close()
        self.steps = begun_file(self.run.directory / "metrics.csv", METRICS, rows)

    def save(self, unplanned: Evaluation | None = None) -> None:
        """Save a checkpoint and the model made from it; see `Checkpoint` for `unplanned`. Raises OSError if it fails.

        All rows are on the disk first, so no checkpoint is ahead of the metrics.
        """
        assert self.best is not None, "the state before the first step is validated"
        assert self.initial_loss is not None
        for file in (self.steps, self.tensors):
            sync(file.fileno())
        if self.snapshots:
            write_snapshots(self.run.directory, self.snapshots)
        state, parameters = self.state, flatten(self.run.parameters)
        checkpoint = Checkpoint(
            self.origin, state.step, parameters, state.m, state.v, self.initial_loss, self.best, unplanned
        )
        save_checkpoint(self.run.directory, checkpoint)
        write_model(self.run.directory, checkpoint)
        self.saved = time.monotonic()

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *_: Any) -> None:
        self.steps.close()
        self.tensors.close()


def begun_file(path: Path, header: tuple[str, ...], rows: list[list[str]]) -> TextIO:
    """Return a csv file with these rows, open for more."""
    begun = io.StringIO(newline="")
    csv.writer(begun).writerows([header, *rows])
    write_file(path, begun.getvalue().encode())
    return path.open("a", newline="", encoding="utf-8")
