"""A run directory: everything that training leaves behind, and that sampling needs.

    config.json        the shape of the model, in the words of GPT-2's own config.json
    vocabulary.json    the characters, in the order of their numbers, and what a document is
    model.safetensors  the parameters with the lowest validation loss so far
    settings.json      the settings of the run, and which text it learned from
    text.txt           a copy of that text, while it is small
    metrics.csv        what every step found

Files are written under a temporary name, then renamed, so that a file is either whole or not there. No file is
ever executed or unpickled: what is read is JSON, text, and safetensors. All that is read is checked.
"""

import csv
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from microgpt.errors import InputError
from microgpt.gpt import GPTConfig
from microgpt.parameters import Arrays, parameter_shapes
from microgpt.text import BOUNDARY

LARGEST_TEXT_COPY = 10_000_000  # bytes
METRICS = ("step", "training_loss", "validation_loss", "learning_rate", "gradient_norm", "seconds")
TENSORS_PER_LAYER, OTHER_TENSORS = 12, 4


@dataclass(frozen=True)
class Run:
    """A trained model and what it was trained on: the contents of a run directory."""

    directory: Path
    config: GPTConfig
    vocabulary: str
    documents: str  # "lines" or "stream"
    parameters: Arrays  # by GPT-2's names
    text: str | None  # the text it learned from, if it was small enough to be kept


def create_run_directory(wanted: str | Path) -> Path:
    """Make a new directory and return its path: the wanted one or, if something is there, the next free name.

    So `runs/names` may become `runs/names-2`. Raises InputError if a directory cannot be made there.
    """
    wanted = Path(wanted)
    if wanted.name in ("", ".."):  # such as . and ..: a next free name needs a name
        wanted = wanted.resolve()
    try:
        wanted.parent.mkdir(parents=True, exist_ok=True)
        directory, n = wanted, 1
        while True:
            try:
                directory.mkdir()
                return directory
            except FileExistsError:
                if directory.is_dir() and not any(directory.iterdir()):
                    return directory
                n += 1
                directory = wanted.with_name(f"{wanted.name}-{n}")
    except OSError as error:
        raise InputError(f"cannot make the run directory {wanted}: {error.strerror}") from None


def write_run(run: Run, settings: dict[str, Any]) -> None:
    """Begin a run directory: write everything but the parameters and the metrics, which come with training."""
    c = run.config
    config = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": c.vocab_size,
        "n_positions": c.n_positions,
        "n_embd": c.n_embd,
        "n_layer": c.n_layer,
        "n_head": c.n_head,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
    }
    write_json(run.directory / "config.json", config)
    write_json(run.directory / "vocabulary.json", {"characters": list(run.vocabulary), "documents": run.documents})
    write_json(run.directory / "settings.json", settings)
    if run.text is not None and len(run.text) <= LARGEST_TEXT_COPY:
        write_file(run.directory / "text.txt", run.text.encode())


def write_parameters(directory: Path, parameters: Arrays, step: int, validation_loss: float) -> None:
    """Write the parameters, with the step and the validation loss that they had, in place of any earlier ones."""
    tensors = {name: np.ascontiguousarray(array) for name, array in parameters.items()}
    metadata = {
        "format": "pt",  # so that PyTorch's tools know how to read it
        "step": str(step),
        "validation_loss": repr(validation_loss),
        "sha256": checksum(tensors),
    }
    write_file(directory / "model.safetensors", save(tensors, metadata))


class Metrics:
    """The file metrics.csv of a run: a row for every step, there to be read while training goes on."""

    def __init__(self, directory: Path):
        self.file = (directory / "metrics.csv").open("w", newline="", encoding="utf-8")
        self.writer = csv.writer(self.file)
        self.write(METRICS)

    def write(self, row: Sequence[Any]) -> None:
        """Append one row, in the order of METRICS; None leaves a cell empty."""
        self.writer.writerow(row)
        self.file.flush()

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, *_: Any) -> None:
        self.file.close()


def newest_run(runs: str | Path = "runs") -> Path:
    """The run directory that was written to last. Raises InputError if there is none."""
    finished = sorted(Path(runs).glob("*/model.safetensors"), key=lambda path: path.stat().st_mtime)
    if not finished:
        raise InputError(f"there is no trained model in {Path(runs).absolute()}: run `python train.py` first")
    return finished[-1].parent


def load_run(directory: str | Path) -> Run:
    """Read a run directory and check all of it.

    Raises InputError, in one line that names the file and what is wrong with it, if anything is missing, damaged,
    or does not fit the rest.
    """
    directory = Path(directory)
    if not directory.is_dir():
        found = "it is a file" if directory.exists() else "train one with `python train.py`"
        raise InputError(f"there is no run directory {directory}: {found}")
    config = read_config(directory / "config.json")
    vocabulary, documents = read_vocabulary(directory / "vocabulary.json")
    if len(vocabulary) != config.vocab_size:
        raise InputError(
            f"{directory / 'vocabulary.json'} has {len(vocabulary)} characters, "
            f"but the vocab_size in config.json is {config.vocab_size}"
        )
    parameters = read_parameters(directory / "model.safetensors", config)
    copy = directory / "text.txt"
    try:
        text = copy.read_bytes().decode() if copy.exists() else None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {copy}: {error}") from None
    return Run(directory, config, vocabulary, documents, parameters, text)


def read_config(path: Path) -> GPTConfig:
    """The shape of the model from a config.json. Raises InputError if it is none that this GPT can have."""
    config = read_json(path)
    required = {"model_type": "gpt2", "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5}
    for key, expected in required.items():
        if config.get(key) != expected:
            raise InputError(f"{path}: {key} is {config.get(key)!r:.80}, expected {expected!r}")
    sizes = {}
    for key in GPTConfig.__dataclass_fields__:
        size = config.get(key)
        if type(size) is not int or size < 1:
            raise InputError(f"{path}: {key} is {size!r:.80}, expected a positive integer")
        sizes[key] = size
    if sizes["n_embd"] % sizes["n_head"]:
        raise InputError(f"{path}: n_embd {sizes['n_embd']} is not a multiple of n_head {sizes['n_head']}")
    return GPTConfig(**sizes)


def read_vocabulary(path: Path) -> tuple[str, str]:
    """The vocabulary and the kind of documents from a vocabulary.json. Raises InputError if it is damaged."""
    content = read_json(path)
    characters, documents = content.get("characters"), content.get("documents")
    if (
        not isinstance(characters, list)
        or not all(isinstance(character, str) and len(character) == 1 for character in characters)
        or len(set(characters)) != len(characters)
        or characters[:1] != [BOUNDARY]
    ):
        raise InputError(f"{path}: characters is not a list of different characters that begins with a newline")
    if documents not in ("lines", "stream"):
        raise InputError(f"{path}: documents is {documents!r:.80}, expected 'lines' or 'stream'")
    return "".join(characters), documents


def read_parameters(path: Path, config: GPTConfig) -> Arrays:
    """The parameters from a model.safetensors. Raises InputError unless they are just those of such a model."""
    try:
        with safe_open(path, framework="numpy") as file:
            names = set(file.keys())
            if len(names) != config.n_layer * TENSORS_PER_LAYER + OTHER_TENSORS:
                raise InputError(f"{path}: has {len(names)} tensors, which do not make {config.n_layer} layers")
            tensors: Arrays = {}
            for name, shape in parameter_shapes(config).items():
                if name not in names:
                    raise InputError(f"{path}: the tensor {name} is missing")
                found = tuple(file.get_slice(name).get_shape())
                if found != shape:
                    raise InputError(f"{path}: {name} has shape {found}, config.json makes it {shape}")
                tensors[name] = file.get_tensor(name)
            expected = (file.metadata() or {}).get("sha256")
    except (OSError, SafetensorError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is missing or damaged: {error}") from None
    for name, tensor in tensors.items():
        if tensor.dtype not in (np.float32, np.float64):
            raise InputError(f"{path}: {name} has dtype {tensor.dtype}, expected float32 or float64")
        if not np.isfinite(tensor).all():
            raise InputError(f"{path}: {name} holds numbers that are not finite")
    if expected is not None and expected != checksum(tensors):
        raise InputError(f"{path} is damaged: its checksum does not fit its numbers")
    return tensors


def checksum(tensors: Arrays) -> str:
    """The SHA-256 of all tensors and their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + b"\0" + np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises InputError if there is none."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: not JSON ({error})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} is damaged: expected a JSON object, found {type(content).__name__}")
    return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write an object as a JSON file for people to read."""
    write_file(path, (json.dumps(content, indent=2, ensure_ascii=True) + "\n").encode())


def write_file(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, see it onto the disk, and only then give it its own name."""
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
