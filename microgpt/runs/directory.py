"""A run directory: all that training leaves behind, and that resuming and sampling need.

    checkpoints/       the state of the run (checkpoint.py)
    config.json, model.safetensors, tokenizer.json, tokenizer_config.json, generation_config.json, README.md
                       the best model so far, for programs that open Hugging Face models (hugging_face.py)
    text.txt           a copy of the text, unless it is large
    text.bin           a large text as integers: the places of its characters in the vocabulary, between two newlines
    book/, model.py    the user's own functions, or model, if it was trained with them (kept_code.py)
    metrics.csv        the loss and more of every step
    tensors.csv        what some steps did to each tensor
    snapshots.safetensors
                       the parameters at a few steps (snapshots.py)
    loss.svg, tensors.svg
                       pictures of the two csv files

No file is ever unpickled, or executed unless the user names it or says --trust. The files are JSON, text and
safetensors, and everything is checked when read.
"""

import filecmp
import hashlib
import os
import time
from base64 import b64encode
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from microgpt.errors import InputError
from microgpt.learning.architecture import Architecture
from microgpt.learning.model_file import ModelFile, model_file
from microgpt.learning.parameters import count_of
from microgpt.learning.reading import Text, mapped, scan
from microgpt.learning.sampling import Model
from microgpt.runs.checkpoint import Checkpoint, RunInfo, checkpoints, load_checkpoint
from microgpt.runs.files import LOCK, InUseError, lock, quoted, read_bytes, write_file
from microgpt.runs.hugging_face import CARD, MODEL, read_model, restore_model, state_of_model, wrong_files
from microgpt.runs.kept_code import kept_book, kept_model, trusted_book
from microgpt.runs.metrics import read_metrics
from microgpt.runs.model_card import path_in_card
from microgpt.surroundings import facts_as_html

if TYPE_CHECKING:
    from filelock import FileLock

LARGEST_TEXT_COPY = 10_000_000  # bytes
LARGEST_PICTURE = 10_000_000  # bytes of loss.svg
INTEGERS = "text.bin"


@dataclass(frozen=True)
class Run(Model):
    """A trained model and its directory. The parameters are those with the lowest validation loss."""

    directory: Path
    text: str | None = None  # the text it learned from, if it was small enough to be kept
    checkpoint: Checkpoint | None = None  # None if another program saved the model

    @property
    def named(self) -> str:
        return f"the model in {self.directory}"

    def _repr_html_(self) -> str:
        """Return the run as a notebook draws it: a few facts, and its losses."""
        facts = {"run": str(self.directory), "parameters": f"{count_of(self.parameters):,}"}
        if self.checkpoint is not None:
            origin, model = self.checkpoint.origin, self.checkpoint.model
            losses = f"{self.checkpoint.initial_loss:.4f} at first, {model.loss:.4f} at step {model.step:,}"
            facts |= {"data": origin.data, "steps": f"{self.checkpoint.step:,}", "validation loss": losses}
        picture = self.directory / "loss.svg"
        drawn = b64encode(read_bytes(picture, LARGEST_PICTURE)).decode() if picture.is_file() else ""
        image = f'<img alt="losses" style="max-width: 600px" src="data:image/svg+xml;base64,{drawn}">' if drawn else ""
        return facts_as_html(facts) + image


def create_run_directory(wanted: str | Path) -> "tuple[Path, FileLock | None]":
    """Make and lock a new directory: the wanted one or, if that exists, the next free name, such as `runs/names-2`.

    Raises InputError if no directory can be made there.
    """
    wanted = Path(wanted)
    if wanted.name in ("", ".."):  # such as . and ..: a next free name needs a name
        wanted = wanted.resolve()
    directory, n = wanted, 1
    while True:
        try:
            wanted.parent.mkdir(parents=True, exist_ok=True)
            if not os.path.lexists(directory):
                directory.mkdir(exist_ok=True)
            if _is_empty(directory):
                held = lock(directory)
                if _is_empty(directory):  # still, now that nobody else writes to it
                    return directory, held
                if held:
                    held.release()
        except InUseError:  # another run has just begun there
            pass
        except OSError as error:
            raise InputError(
                f"cannot make the run directory {wanted}: {error.strerror}; choose another with --out"
            ) from None
        n += 1
        directory = wanted.with_name(f"{wanted.name}-{n}")


def _is_empty(directory: Path) -> bool:
    """Return whether this is an empty directory."""
    return directory.is_dir() and not any(path.name != LOCK for path in directory.iterdir())


def keep_text(directory: Path, text: str) -> None:
    """Write a copy of the text into a run directory, unless it is large."""
    content = text.encode()
    if len(content) <= LARGEST_TEXT_COPY:
        write_file(directory / "text.txt", content)


def kept_text(directory: Path, data_sha256: str) -> str | None:
    """Return the copy of the text in a run directory, if it has one. Raises InputError if it is another text."""
    path = directory / "text.txt"
    if not path.exists():
        return None
    content = read_bytes(path, LARGEST_TEXT_COPY)
    if hashlib.sha256(content).hexdigest() != data_sha256:
        raise InputError(f"{path} is not the text of this run: delete it to go on without a copy")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8: delete it to go on without a copy") from None


def kept_integers(directory: Path, origin: RunInfo) -> Text | None:
    """Return the text of a run as the integers in its directory, if it has some. Raises InputError if it is another
    text.
    """
    path = directory / INTEGERS
    if not path.exists():
        return None
    try:
        text = mapped(path, origin.vocabulary, origin.data_sha256)
        if scan(text.parts()).sha256 == text.sha256:
            return text
    except (ValueError, IndexError):  # it is empty, or has numbers beyond the vocabulary
        pass
    raise InputError(f"{path} is not the text of this run: delete it to encode the text again")


def newest_run(runs: str | Path = "runs", resumable: bool = False) -> Path:
    """Return the run directory that was written last. A run to resume needs a checkpoint.

    An unchanged copy of a run beside it does not count. A checkpoint dated in the future, by a wrong clock, counts as
    the oldest. Raises InputError if there is no run.
    """
    found, now = [], time.time_ns()
    for directory in Path(runs).glob("*/"):
        files = checkpoints(directory)[:1] or ([] if resumable else [directory / MODEL])
        for path in files:
            if path.exists() and not _is_copy(directory):
                written = path.stat().st_mtime_ns
                found.append((written <= now or path.name == MODEL, written, directory))
    if not found:
        what = "run with a checkpoint" if resumable else "trained model"
        raise InputError(f"there is no {what} in {Path(runs).absolute()}: run `python train.py` first")
    return max(found)[2]


def _is_copy(directory: Path) -> bool:
    """Return whether this run is a copy of one beside it, which its card still names, and was not resumed since."""
    try:
        card = (directory / CARD).read_text(encoding="utf-8", errors="replace")
        original = directory.with_name(Path(path_in_card(card)).name)
        ours, theirs = checkpoints(directory)[0], checkpoints(original)[0]
        return not original.samefile(directory) and filecmp.cmp(ours, theirs, shallow=False)
    except (OSError, ValueError, IndexError):  # there is no card, no checkpoint, or no other run
        return False


def load_run(
    path: str | Path, book: str | Path | None = None, model: str | Path | None = None, trust: bool = False
) -> Run:
    """Return the run in a directory, after checking all that is read.

    The newest checkpoint describes the run. A directory without one, or the path of its model.safetensors, is read as a
    Hugging Face model. Raises InputError, in one line that names the file and the fault, if anything is missing,
    damaged or inconsistent.

    A model that was trained with the user's own code runs it from the folder `book` or the file `model`, or from the
    copy in the directory if you `trust` that: see kept_code.py.
    """
    own = model_file(model) if model is not None and not checkpoints(Path(path)) else None
    run = load_weights(path, own)
    if own is not None:
        return replace(run, architecture=own)
    facts = run.checkpoint.origin.model if run.checkpoint else None
    if facts is not None:
        own = kept_model(run.directory, facts, model, trust)
        config = own.config_again(run.config)
        if own.sha256 != facts.sha256:
            own.check(config, run.parameters)
        return replace(run, config=config, architecture=own)
    if model is not None:
        raise InputError(f"--model is {model}, but the model in {run.directory} is a GPT: omit it")
    functions = kept_book(run.directory, book or trusted_book(run.directory, trust))
    return run if functions is None else replace(run, architecture=Architecture(functions.gpt))


def load_weights(path: str | Path, own: ModelFile | None = None) -> Run:
    """Return what `load_run` returns, for a caller who needs no function of the model: it may have been any.

    Where there is no checkpoint, it is a GPT-2, or what `own` defines.
    """
    path = Path(path)
    if path.is_file() and path.name == MODEL:
        return Run(*read_model(path.parent, own), path.parent)
    if not path.is_dir():
        found = "it is a file" if path.exists() else "train one with `python train.py`"
        raise InputError(f"there is no run directory {path}: {found}")
    if not checkpoints(path):
        if not (path / "config.json").exists():
            raise InputError(f"{path} has no trained model: neither a checkpoint nor a config.json")
        return Run(*read_model(path, own), path)
    checkpoint = load_checkpoint(path)
    origin, parameters = checkpoint.origin, checkpoint.named(checkpoint.model.parameters)
    text = kept_text(path, origin.data_sha256)
    return Run(origin.config, origin.vocabulary, origin.documents, parameters, path, text, checkpoint)


def changed_code(run: Run) -> list[str]:
    """Return a line if a model computes with another text than at the time of training, because the user trusts it."""
    model, facts = run.architecture, run.checkpoint.origin.model if run.checkpoint else None
    if not isinstance(model, ModelFile) or facts is None or model.sha256 == facts.sha256:
        return []
    return [f"{model.path} is another text than at the time of training"]


def repair(run: Run) -> list[str]:
    """Rewrite the model files of a run that do not match its checkpoint; return a line for each thing to report.

    A run that is still training is left alone.
    """
    if run.checkpoint is None or not wrong_files(run.directory, run.checkpoint):
        return []
    try:
        held = lock(run.directory)
    except InUseError:
        return []
    except InputError as error:
        return [f"{', '.join(wrong_files(run.directory, run.checkpoint))} should be rewritten, but {error}"]
    try:
        newest = load_checkpoint(run.directory)  # the run may have gone on before we had the lock
        return restore_model(run.directory, newest)
    finally:
        if held:
            held.release()


def resume_run(directory: Path) -> "tuple[Checkpoint, list[list[str]], FileLock | None]":
    """Lock a run directory, and return its newest checkpoint, its metrics so far, and the lock.

    Raises InputError if another run writes to it, or if anything in it is damaged.
    """
    if not directory.is_dir() or not checkpoints(directory):
        raise InputError(f"{directory} has no checkpoint to resume: begin a run with `python train.py`")
    held = lock(directory)
    checkpoint = load_checkpoint(directory)
    if state_of_model(directory, checkpoint) == "changed":
        model = directory / MODEL
        raise InputError(
            f"{model} was changed by another program, and resuming would replace it: "
            f"begin a run with it, --init-from {quoted(model)}, or delete it to resume from the checkpoint"
        )
    path = directory / "metrics.csv"
    rows = read_metrics(directory, checkpoint.step) if path.exists() else []
    for leftover in [*directory.glob(".*.tmp"), *(directory / "checkpoints").glob(".*.tmp")]:  # of a killed process
        leftover.unlink(missing_ok=True)
    return checkpoint, rows, held
