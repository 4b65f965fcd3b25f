"""The parameters at a few steps, to look back at how the model learned.

    snapshots.safetensors

The file holds a float32 vector of all parameters for each of the steps 0, 1, 2, 3, 5, 8, ..., and their checksum. The
name of a vector is its step. Training does not need the file.
"""

import json
from functools import lru_cache
from math import ceil
from pathlib import Path

import numpy as np

from microgpt.errors import InputError
from microgpt.runs.checkpoint import checksum, opened, serialized
from microgpt.runs.files import parse_json, write_file

FILE = "snapshots.safetensors"
RATIO = 1.5  # of a step to the one before
MOST_BYTES = 10_000_000  # of all snapshots of a run
LAST_STEP = 1_000_000  # none is taken after it

Snapshots = dict[int, np.ndarray]  # by step


def is_due(step: int, parameters: int) -> bool:
    """Return whether a run of a model with so many parameters keeps a snapshot after this step.

    It depends on nothing else, so a resumed run keeps the same ones. Larger models keep fewer.
    """
    return step in snapshot_steps(parameters)


@lru_cache
def snapshot_steps(parameters: int) -> tuple[int, ...]:
    """Return the steps with a snapshot, as many as fit into MOST_BYTES; none if fewer than three fit."""
    room = MOST_BYTES // (4 * parameters)
    if room < 3:
        return ()
    ratio = max(RATIO, LAST_STEP ** (1 / (room - 2)))
    steps = [0, 1]
    while steps[-1] < LAST_STEP and len(steps) < room:
        steps.append(max(steps[-1] + 1, ceil(steps[-1] * ratio)))
    return tuple(steps)


def write_snapshots(directory: Path, snapshots: Snapshots) -> None:
    """Write the snapshots of a run so far. Raises OSError if it fails."""
    vectors = {str(step): vector for step, vector in snapshots.items()}
    write_file(directory / FILE, serialized(vectors, {"sha256": json.dumps({"snapshots": checksum(vectors)})}))


def read_snapshots(directory: Path, parameters: int) -> Snapshots:
    """Return the snapshots of a run of a model with so many parameters, in order; none without the file.

    Raises InputError, naming the file and the fault, if it is damaged.
    """
    path = directory / FILE
    if not path.exists():
        return {}
    remedy = "delete it to go on without"
    try:
        if path.stat().st_size > 2 * MOST_BYTES:
            raise InputError(f"{path} is damaged: it has more than {2 * MOST_BYTES:,} bytes")
        with opened(path) as file:
            names = list(file.keys())
            if not all(name in map(str, snapshot_steps(parameters)) for name in names):
                raise InputError(
                    f"{path} is damaged: it has the tensors {sorted(names)!r:.80}, expected steps of snapshots"
                )
            vectors = {name: file.get_tensor(name) for name in names}
            metadata = file.metadata() or {}
        for name, vector in vectors.items():
            if vector.dtype != np.float32 or vector.shape != (parameters,) or not np.isfinite(vector).all():
                raise InputError(f"{path} is damaged: step {name} is not a vector of {parameters:,} finite float32")
        if parse_json(metadata.get("sha256", ""), str(path)).get("snapshots") != checksum(vectors):
            raise InputError(f"{path} is damaged: the checksum does not match its numbers")
    except InputError as error:
        raise InputError(f"{error}; {remedy}") from None
    return {step: vectors[str(step)] for step in sorted(map(int, vectors))}
