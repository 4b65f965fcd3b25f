"""Two files about the steps: metrics.csv has a row a step, tensors.csv a row for each tensor of some steps."""

import csv
from collections.abc import Callable
from functools import partial
from itertools import takewhile
from math import isfinite
from pathlib import Path
from typing import Any

from microgpt.errors import InputError

LONGEST_ROW = 1000  # characters
METRICS = ("step", "training_loss", "validation_loss", "learning_rate", "gradient_norm", "seconds")
TENSORS = ("step", "tensor", "gradient_norm", "value_norm", "update_ratio")  # see TensorUpdate in training.py


def lacks_validation(rows: list[list[str]]) -> bool:
    """Return whether no validation follows the last step: none was planned, or Ctrl-C stopped it."""
    return bool(rows) and rows[-1][METRICS.index("validation_loss")] == ""


def read_metrics(directory: Path, step: int) -> list[list[str]]:
    """Return the rows of metrics.csv up to a step, as text. Raises InputError if one is missing."""
    path = directory / "metrics.csv"

    def follows(row: list[str], rows: list[list[str]]) -> bool:
        good = _is_row(row, len(METRICS)) and row[-1] != ""
        return good and (not rows or int(row[0]) == int(rows[-1][0]) + 1)

    rows = _read_rows(path, METRICS, step, follows)
    if not rows or int(rows[-1][0]) != step:
        raise InputError(
            f"{path} is damaged: expected a row for every step up to {step}; delete it to go on without it it"
        )
    return rows


def read_tensors(directory: Path, step: int) -> list[list[str]]:
    """Return the complete rows of tensors.csv up to a step; none without the file."""
    path = directory / "tensors.csv"

    def follows(row: list[str], _: Any) -> bool:
        return _is_row(row[:1] + row[2:], len(TENSORS) - 1)  # all but the name

    return _read_rows(path, TENSORS, step, follows) if path.exists() else []


def _read_rows(
    path: Path, header: tuple[str, ...], step: int, follows: Callable[[list[str], list[list[str]]], bool]
) -> list[list[str]]:
    """Return the rows under a header up to a step, while each follows the one before. Raises InputError for no file."""
    rows: list[list[str]] = []
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is not a file")
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            lines = csv.reader(takewhile(_is_line, iter(partial(file.readline, LONGEST_ROW), "")))
            for row in lines if tuple(next(lines, ())) == header else ():
                if not follows(row, rows) or int(row[0]) > step:
                    break
                rows.append(row)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except csv.Error:
        rows = []
    return rows


def _is_line(text: str) -> bool:
    """Return whether a line was written to its end."""
    return text.endswith("\n")


def _is_row(row: list[str], length: int) -> bool:
    """Return whether a row has so many cells: a step, then numbers or nothing."""
    try:
        numbers = [float(cell) for cell in row if cell]
    except ValueError:
        return False
    return len(row) == length and row[0].isdecimal() and len(row[0]) < 13 and all(map(isfinite, numbers))
