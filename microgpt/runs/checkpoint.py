"""The whole state of a run in one file, from which training resumes as if it had never stopped.

    checkpoints/step-000400.safetensors

The file holds four flat vectors: the parameters, the best parameters so far, and the two moments of Adam. The file's
metadata holds all else as JSON: the model's shape, its vocabulary, the settings and the step. Random numbers need no
state, because batches are a function of the seed and the step (see `batches`). Each vector and the JSON have a
checksum.

This file is the truth about a run. The files for other programs are made from it (hugging_face.py). A new one is
complete on the disk before an old one is deleted.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from math import isfinite, prod
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from microgpt.errors import InputError
from microgpt.gpt import GPTConfig
from microgpt.learning.architecture import FROM_THE_TEXT, ModelFacts, Shapes, values_of
from microgpt.learning.byte_pairs import BytePairs
from microgpt.learning.parameters import Arrays, parameter_count, parameter_shapes, views
from microgpt.learning.text import BOUNDARY, Vocabulary
from microgpt.runs.files import parse_json, write_file

FORMAT = 1
KEPT = 2  # the newest checkpoint, and the one before it in case the disk damages the newest
NAME = r"step-\d{6,12}\.safetensors"
VECTORS = ("parameters", "best_parameters", "adam_m", "adam_v")
LARGEST_HEADER = 16_000_000  # bytes of a safetensors file before its numbers
LARGEST_SIZE = 10**9  # of any number in a config


@dataclass(frozen=True)
class RunInfo:
    """All that is fixed when a run begins."""

    config: Any  # a GPTConfig, or the settings of a model of one's own
    vocabulary: Vocabulary
    documents: str  # "lines" or "stream"
    data: str  # the name of the data file, as given
    data_sha256: str  # of its text: UTF-8, with newlines as line ends
    settings: dict[str, Any]
    started: str  # a date, in ISO 8601
    version: str  # of microgpt
    model: ModelFacts | None = None  # of a model of one's own
    rule_sha256: str | None = None  # of an update rule of one's own

    @property
    def shapes(self) -> Shapes:
        """The shapes of the parameters by name."""
        return self.model.shapes if self.model else parameter_shapes(self.config)

    @property
    def parameters(self) -> int:
        """The number of parameters."""
        return sum(map(prod, self.model.shapes.values())) if self.model else parameter_count(self.config)


@dataclass(frozen=True)
class Evaluation:
    """Parameters with their validation loss."""

    step: int  # after so many steps
    loss: float  # nats per character
    parameters: np.ndarray  # one flat vector
    samples: list[str]  # texts that the model wrote then
    loss_on_all: float | None = None  # of all held-out text, at the end, if `loss` is of a part of it


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after a step. Vectors are flat and have the dtype of the run."""

    origin: RunInfo
    step: int
    parameters: np.ndarray
    adam_m: np.ndarray
    adam_v: np.ndarray
    initial_loss: float  # of the first validation
    best: Evaluation  # of the planned validations
    unplanned: Evaluation | None = None  # of the parameters above, if training stopped between validations

    @property
    def model(self) -> Evaluation:
        """The best parameters, for sampling and for other programs."""
        return self.unplanned if self.unplanned and self.unplanned.loss < self.best.loss else self.best

    def named(self, vector: np.ndarray) -> Arrays:
        """Return a flat vector as tensors by name."""
        return views(vector, self.origin.shapes)


def checkpoints(directory: Path) -> list[Path]:
    """Return the checkpoints of a run directory, the newest first."""
    try:
        paths = [path for path in (directory / "checkpoints").iterdir() if re.fullmatch(NAME, path.name)]
    except OSError:
        return []
    return sorted(paths, key=_step_of, reverse=True)


def _step_of(path: Path) -> int:
    """Return the step in the name of a checkpoint."""
    return int(path.name.split("-")[1].split(".")[0])


def save_checkpoint(directory: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint into a run directory, delete all but the newest two, and return its path.

    When this returns, the checkpoint is on the disk. Raises OSError if it fails, for example on a full disk; then the
    earlier checkpoints are unchanged.
    """
    path = directory / "checkpoints" / f"step-{checkpoint.step:06}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    best, unplanned = checkpoint.best, checkpoint.unplanned
    state = {
        "format": FORMAT,
        **asdict(checkpoint.origin),
        "config": values_of(checkpoint.origin.config),
        "step": checkpoint.step,
        "dtype": str(checkpoint.parameters.dtype),
        "initial_loss": checkpoint.initial_loss,
        "best": {"step": best.step, "loss": best.loss, "samples": best.samples, "loss_on_all": best.loss_on_all},
        "unplanned": unplanned and {"loss": unplanned.loss, "samples": unplanned.samples},
    }
    described = json.dumps(state, default=BytePairs.as_json)
    vectors = {
        "parameters": checkpoint.parameters,
        "best_parameters": best.parameters,
        "adam_m": checkpoint.adam_m,
        "adam_v": checkpoint.adam_v,
    }
    checksums = {name: checksum({name: vector}) for name, vector in vectors.items()}
    checksums["state"] = hashlib.sha256(described.encode()).hexdigest()
    write_file(path, serialized(vectors, {"state": described, "sha256": json.dumps(checksums)}))
    for old in checkpoints(directory)[KEPT:]:
        with suppress(OSError):  # another program may be reading it
            old.unlink()
    return path


def load_checkpoint(directory: Path) -> Checkpoint:
    """Return the newest checkpoint of a run directory, after checking all of it.

    Raises InputError, in one line, if it is missing or damaged. The line names an older good one if there is one.
    """
    for _ in range(3):  # a run may delete an old one between listing and reading
        found = checkpoints(directory)
        if not found:
            break
        try:
            return _read_checkpoint(found[0])
        except InputError as error:
            if os.path.lexists(found[0]):
                raise InputError(f"{error}{_remedy(found[1:])}") from None
    raise InputError(f"{directory} has no checkpoint: training has not saved one yet, or they were deleted")


def newest_origin(directory: Path) -> RunInfo | None:
    """Return what the newest checkpoint of a directory says of the run; None if there is none, or it is damaged."""
    for path in checkpoints(directory)[:1]:
        with suppress(InputError), opened(path) as file:
            return _read_origin(Entries(path, parse_json((file.metadata() or {}).get("state", ""), str(path))))
    return None


def _remedy(older: list[Path]) -> str:
    """Return what to do about a damaged checkpoint if an older one is good, else an empty string."""
    for path in older:
        with suppress(InputError):
            return f"; {path} is good: delete the damaged one to resume from step {_read_checkpoint(path).step}"
    return ""


def _read_checkpoint(path: Path) -> Checkpoint:
    """Return one checkpoint, after checking all of it. Raises InputError, naming the file and the fault."""
    with opened(path) as file:
        metadata = file.metadata() or {}
        checksums = parse_json(metadata.get("sha256", ""), str(path))
        described = metadata.get("state", "")
        if checksums.get("state") != hashlib.sha256(described.encode()).hexdigest():
            raise InputError(f"{path} is damaged: the checksum of its description is wrong")
        state = parse_json(described, str(path))
        entry = Entries(path, state)
        if entry("format", int) != FORMAT:
            raise InputError(
                f"{path}: has format {state['format']}, but this version of microgpt reads format {FORMAT}"
            )
        origin = _read_origin(entry)
        if set(file.keys()) != set(VECTORS):
            raise InputError(f"{path} is damaged: it has the tensors {sorted(file.keys())!r:.200}, expected {VECTORS}")
        dtype = {"float32": np.float32, "float64": np.float64}.get(entry("dtype", str))
        expected = f"a vector of {entry('dtype', str)} of length {origin.parameters}"
        vectors = {}
        for name in VECTORS:
            shape = file.get_slice(name).get_shape()
            if list(shape) != [origin.parameters] or dtype is None:
                raise InputError(f"{path} is damaged: {name} has shape {shape}, expected {expected}")
            vectors[name] = file.get_tensor(name)
            if vectors[name].dtype != dtype:
                raise InputError(f"{path} is damaged: {name} has dtype {vectors[name].dtype}, expected {expected}")
            if checksum({name: vectors[name]}) != checksums.get(name):
                raise InputError(f"{path} is damaged: the checksum of {name} does not match its numbers")
            if not np.isfinite(vectors[name]).all():
                raise InputError(f"{path}: {name} holds numbers that are not finite")
    step = entry("step", int)
    if step != _step_of(path):
        raise InputError(f"{path}: step is {step}, but its name says {_step_of(path)}")
    best, unplanned = Entries(path, entry("best", dict)), entry("unplanned", dict, type(None))
    return Checkpoint(
        origin,
        step,
        vectors["parameters"],
        vectors["adam_m"],
        vectors["adam_v"],
        entry("initial_loss", float),
        Evaluation(
            best("step", int),
            best("loss", float),
            vectors["best_parameters"],
            best.strings("samples"),
            best("loss_on_all", float, type(None)),
        ),
        None if unplanned is None else _read_unplanned(Entries(path, unplanned), step, vectors["parameters"]),
    )


def _read_unplanned(entry: "Entries", step: int, parameters: np.ndarray) -> Evaluation:
    """Return the evaluation of a checkpoint's own parameters."""
    return Evaluation(step, entry("loss", float), parameters, entry.strings("samples"))


def _read_origin(entry: "Entries") -> RunInfo:
    """Return the fixed part of a checkpoint's description. Raises InputError if it is impossible."""
    shape, model = Entries(entry.path, entry("config", dict)), entry("model", dict, type(None))
    facts = None if model is None else _read_facts(Entries(entry.path, model))
    config: Any
    if facts is None:
        config = GPTConfig(**{field.name: shape(field.name, int) for field in fields(GPTConfig)})
        check_config(config, entry.path)
    else:
        check_sizes({name: shape(name, int) for name in FROM_THE_TEXT}, entry.path)
        config = SimpleNamespace(**shape.content)
    vocabulary, documents, started = entry("vocabulary", str, dict), entry("documents", str), entry("started", str)
    if isinstance(vocabulary, dict):
        vocabulary = BytePairs.from_json(vocabulary)
    check_vocabulary(vocabulary, config.vocab_size, entry.path)
    if documents not in ("lines", "stream"):
        raise InputError(f"{entry.path}: documents is {documents!r:.80}, expected 'lines' or 'stream'")
    data, data_sha256, version = (entry(key, str) for key in ("data", "data_sha256", "version"))
    rule = entry("rule_sha256", str, type(None))
    return RunInfo(
        config, vocabulary, documents, data, data_sha256, entry("settings", dict), started, version, facts, rule
    )


def _read_facts(entry: "Entries") -> ModelFacts:
    """Return what a checkpoint says of a model of one's own. Raises InputError if it is impossible."""
    shapes = entry("shapes", dict)
    for name, shape in shapes.items():
        if not isinstance(shape, list) or not all(type(n) is int and 1 <= n <= LARGEST_SIZE for n in shape):
            raise InputError(f"{entry.path}: the shape of {name!r:.80} is {shape!r:.80}, expected positive integers")
    name, sha256, about = (entry(key, str) for key in ("name", "sha256", "about"))
    known = entry("hugging_face", dict, type(None))
    return ModelFacts(name, sha256, about, {name: tuple(shape) for name, shape in shapes.items()}, known)


def check_config(config: GPTConfig, path: Path) -> None:
    """Raise InputError, naming the file and the entry, unless such a model is possible."""
    check_sizes(asdict(config), path)
    if config.n_embd % config.n_head:
        raise InputError(f"{path}: n_embd {config.n_embd} is not a multiple of n_head {config.n_head}")


def check_sizes(sizes: dict[str, int], path: Path) -> None:
    """Raise InputError, naming the file and the entry, for an impossible size."""
    for key, size in sizes.items():
        if not 1 <= size <= LARGEST_SIZE:
            raise InputError(f"{path}: {key} is {size}, expected a positive integer of at most {LARGEST_SIZE:,}")


def check_vocabulary(vocabulary: Vocabulary, size: int, path: Path) -> None:
    """Raise InputError, naming the file, unless this is a vocabulary of the given size."""
    if len(vocabulary) != size:
        raise InputError(f"{path}: the vocabulary has {len(vocabulary)} characters, but vocab_size is {size}")
    if isinstance(vocabulary, BytePairs):
        return
    if len(set(vocabulary)) != size or BOUNDARY not in vocabulary:
        raise InputError(f"{path}: the vocabulary lacks the newline or repeats a character")
    if any("\ud800" <= character <= "\udfff" for character in vocabulary):
        raise InputError(f"{path}: the vocabulary has a surrogate, which is half of a character")


class Entries:
    """The entries of a JSON object in a file. Each is checked when it is read."""

    def __init__(self, path: Path, content: dict[str, Any]):
        self.path, self.content = path, content

    def __call__(self, key: str, *kinds: type) -> Any:
        """Return an entry. Raises InputError unless it has one of the types and, if a number, is finite."""
        value = self.content.get(key)
        if type(value) not in kinds or (isinstance(value, float) and not isfinite(value)):
            names = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
            raise InputError(f"{self.path}: {key} is {value!r:.80}, expected {names}")
        return value

    def strings(self, key: str) -> list[str]:
        """Return an entry. Raises InputError unless it is a list of strings."""
        values = self(key, list)
        if not all(isinstance(value, str) for value in values):
            raise InputError(f"{self.path}: {key} is {values!r:.80}, expected a list of strings")
        return values


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a safetensors file for reading. Raises InputError, naming the file, for every fault of it."""
    try:
        if not path.is_file():
            raise InputError(f"{path} is missing" if not path.exists() else f"{path} is not a file")
        with path.open("rb") as raw:
            header = int.from_bytes(raw.read(8), "little")
        if header > LARGEST_HEADER:
            raise InputError(f"{path} is damaged: its header claims {header:,} bytes, at most {LARGEST_HEADER:,} do")
        with safe_open(path, framework="numpy") as file:
            yield file
    except InputError:
        raise
    except (OSError, SafetensorError, TypeError, ValueError, KeyError) as error:
        raise InputError(f"{path} is damaged: {' '.join(str(error).split())}") from None


def serialized(tensors: Arrays, metadata: dict[str, str]) -> list[Any]:
    """Return a safetensors file in parts, without a copy of the numbers: always the same for the same content."""
    names = {"float32": "F32", "float64": "F64"}
    arrays = {name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}
    entries: dict[str, Any] = {"__metadata__": metadata}
    place = 0
    for name, array in arrays.items():
        ends = [place, place + array.nbytes]
        entries[name] = {"dtype": names[str(array.dtype)], "shape": list(array.shape), "data_offsets": ends}
        place = ends[1]
    header = json.dumps(entries, sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the numbers are aligned
    return [len(header).to_bytes(8, "little") + header, *[array.data for array in arrays.values() if array.size]]


def checksum(tensors: Arrays) -> str:
    """Return the SHA-256 of tensors: of their names, types, shapes and numbers."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()
