"""The weights of a GPT-2 as other programs store them: in one file or several, in any floating-point type.

They are read into one vector, each where it belongs, so that a large model is in memory once. What transformers calls
a shard is one of several files, and an index says which tensor is in which.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from microgpt.errors import InputError
from microgpt.gpt import GPTConfig
from microgpt.learning.architecture import Shapes
from microgpt.learning.parameters import Arrays, parameter_shapes, views
from microgpt.runs.checkpoint import checksum, opened
from microgpt.runs.files import read_json

MODEL, INDEX, PICKLE = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"
PREFIX, HEAD = "transformer.", "lm_head.weight"
TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}  # bfloat16 is the upper half of a float32
AT_ONCE = 1 << 18  # numbers that are looked at together


@dataclass(frozen=True)
class Stored:
    """A tensor in a file."""

    path: Path
    dtype: str  # one of TYPES
    shape: tuple[int, ...]
    start: int  # of its bytes

    def numbers(self, first: int, count: int) -> np.ndarray:
        """Return some of its numbers."""
        kind = np.dtype(TYPES[self.dtype])
        found = np.fromfile(self.path, kind, count, offset=self.start + first * kind.itemsize)
        return (found.astype(np.uint32) << 16).view(np.float32) if self.dtype == "BF16" else found

    def read_into(self, array: np.ndarray) -> None:
        """Fill an array of its shape."""
        flat = array.reshape(-1)
        for first in range(0, flat.size, AT_ONCE):
            part = flat[first : first + AT_ONCE]
            part[...] = self.numbers(first, part.size)


def read_gpt(directory: Path, config: GPTConfig, is_buffer: Callable[[str], Any]) -> Arrays:
    """Return the parameters of a GPT-2 by GPT-2's names, with or without the prefix of GPT2LMHeadModel: see
    `read_weights`. Names for which `is_buffer` is true are left out.
    """
    stored, checksums = stored_tensors(directory)
    stored = {name.removeprefix(PREFIX): tensor for name, tensor in stored.items()}
    stored = {name: tensor for name, tensor in stored.items() if not is_buffer(name)}
    head = stored.pop(HEAD, None)
    if len(stored) != 12 * config.n_layer + 4:
        path = directory / MODEL
        raise InputError(f"{path}: has {len(stored)} tensors, which is wrong for {config.n_layer} layers")
    return read_weights(directory / MODEL, parameter_shapes(config), stored, checksums, head)


def read_weights(
    path: Path, shapes: Shapes, stored: dict[str, Stored], checksums: list[str | None], head: Stored | None = None
) -> Arrays:
    """Return the stored tensors of such names and shapes, as views of one vector. Half precisions become float32.

    Raises InputError, naming the file, unless they are finite and of types that go together. The tensor of a `head`
    must be that of the embedding.
    """
    for name, shape in {**shapes, **({HEAD: shapes["wte.weight"]} if head else {})}.items():
        tensor = stored.get(name, head if name == HEAD else None)
        if tensor is None:
            raise InputError(f"{path}: the tensor {name} is missing")
        if tensor.shape != shape:
            raise InputError(f"{tensor.path}: {name} has shape {tensor.shape}, expected {shape}")
        if tensor.dtype not in TYPES:
            raise InputError(f"{tensor.path}: {name} has dtype {tensor.dtype}, expected one of {', '.join(TYPES)}")
    kinds = {tensor.dtype for tensor in stored.values()}
    if "F64" in kinds and len(kinds) > 1:
        raise InputError(f"{path}: has tensors of float64 and of other types, expected one dtype for all")
    vector = np.empty(sum(map(prod, shapes.values())), np.float64 if "F64" in kinds else np.float32)
    tensors = views(vector, shapes)
    for name, array in tensors.items():
        stored[name].read_into(array)
        check_finite(array, name, stored[name].path)
    if head is not None:
        check_tied(head, tensors["wte.weight"])
    if len(checksums) == 1 and checksums[0] is not None and checksums[0] != checksum(tensors):
        raise InputError(f"{path} is damaged: its checksum does not match its numbers")
    return tensors


def stored_tensors(directory: Path) -> tuple[dict[str, Stored], list[str | None]]:
    """Return all tensors of a directory by their names, and the checksum in each file, where we have written one.

    Raises InputError if a file is missing or damaged.
    """
    index, only = directory / INDEX, directory / MODEL
    if not index.exists() and not only.exists() and (directory / PICKLE).exists():
        raise InputError(unpickled(directory))
    paths = [only] if not index.exists() else [directory / name for name in files_of(index)]
    tensors: dict[str, Stored] = {}
    checksums = []
    for path in paths:
        with opened(path) as file:  # which checks it
            checksums.append((file.metadata() or {}).get("sha256"))
        with path.open("rb") as raw:
            size = int.from_bytes(raw.read(8), "little")
            header = json.loads(raw.read(size))
        for name, entry in header.items():
            if name != "__metadata__":
                begin = 8 + size + entry["data_offsets"][0]
                tensors[name] = Stored(path, entry["dtype"], tuple(entry["shape"]), begin)
    return tensors, checksums


def files_of(index: Path) -> list[str]:
    """Return the names of the files that an index lists. Raises InputError for one that lies elsewhere."""
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()) or not places:
        raise InputError(f"{index}: weight_map is {places!r:.80}, expected the file of each tensor")
    names = sorted(set(places.values()))
    for name in names:
        if Path(name).name != name:
            raise InputError(f"{index}: the file {name!r:.80} lies elsewhere, expected one in the same directory")
    return names


def unpickled(directory: Path) -> str:
    """Return why a pickled model is not opened, and the line that converts it."""
    place = repr(directory.as_posix())
    line = f"from transformers import AutoModelForCausalLM as M; M.from_pretrained({place}).save_pretrained({place})"
    return (
        f"{directory / PICKLE} is a pickle, which can run any code when it is opened. If you trust it, write it "
        f'as {MODEL}, with transformers and torch: python -c "{line}"'
    )


def check_finite(array: np.ndarray, name: str, path: Path) -> None:
    """Raise InputError if a number of a tensor is not finite."""
    flat = array.reshape(-1)
    for first in range(0, flat.size, AT_ONCE):
        if not np.isfinite(flat[first : first + AT_ONCE]).all():
            raise InputError(f"{path}: {name} holds numbers that are not finite")


def check_tied(head: Stored, table: np.ndarray) -> None:
    """Raise InputError if a head that is stored beside the embedding differs from it."""
    flat = table.reshape(-1)
    for first in range(0, flat.size, AT_ONCE):
        part = flat[first : first + AT_ONCE]
        if not np.array_equal(head.numbers(first, part.size), part):
            raise InputError(f"{head.path}: {HEAD} differs from wte.weight, but this GPT has one tensor for both")
