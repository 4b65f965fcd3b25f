"""metrics.csv: what every step of a run found, a row for each."""

import csv
from functools import partial
from itertools import takewhile
from math import isfinite
from pathlib import Path

from microgpt.errors import InputError

LONGEST_ROW = 1000  # characters
METRICS = ("step", "training_loss", "validation_loss", "learning_rate", "gradient_norm", "seconds")


def read_metrics(directory: Path, step: int) -> list[list[str]]:
    """The rows of metrics.csv up to a step, each cell as it stands there. Raises InputError if one is missing."""
    path = directory / "metrics.csv"
    rows: list[list[str]] = []
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is not a file")
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            lines = csv.reader(takewhile(_is_line, iter(partial(file.readline, LONGEST_ROW), "")))
            good = tuple(next(lines, ())) == METRICS
            for row in lines if good else ():
                good = _is_row(row) and (not rows or int(row[0]) == int(rows[-1][0]) + 1)
                if not good or int(row[0]) > step:
                    break
                rows.append(row)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except csv.Error:
        rows = []
    if not rows or int(rows[-1][0]) != step:
        raise InputError(f"{path} is damaged: expected a row for every step up to {step}; delete it to go on without")
    return rows


def _is_line(text: str) -> bool:
    """Whether a line was written to its end."""
    return text.endswith("\n")


def _is_row(row: list[str]) -> bool:
    """Whether these are the cells of one step: a step, numbers or nothing, and at last the seconds."""
    try:
        numbers = [float(cell) for cell in row if cell]
    except ValueError:
        return False
    return (
        len(row) == len(METRICS)
        and row[0].isdecimal()
        and len(row[0]) < 13
        and row[-1] != ""
        and all(map(isfinite, numbers))
    )
