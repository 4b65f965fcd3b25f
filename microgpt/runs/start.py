"""Where training begins or goes on: at random parameters, at those of another model, or at a checkpoint.

Each of the three functions goes from the settings of train.py to everything that the loop needs. What cannot go
together (a shape and a model, a text and a checkpoint) is refused with the difference named.
"""

import hashlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from microgpt.command_line import settings_again
from microgpt.errors import InputError
from microgpt.gpt import GPTConfig
from microgpt.parameters import Arrays, initial_parameters
from microgpt.runs.checkpoint import Checkpoint
from microgpt.runs.directory import kept_text, load_run, resume_run
from microgpt.runs.hugging_face import MODEL, state_of_model
from microgpt.text import BOUNDARY, Corpus, decode_text, kind_of_documents, make_corpus, read_text

# What a resumed run may be told anew. All else would make it another run than the one that was begun.
MAY_CHANGE = (
    "steps", "learning_rate", "warmup", "weight_decay", "grad_clip", "eval_interval", "engine", "threads", "device",
    "torch_compile",
)  # fmt: skip
STANDARD_INPUT = "-"


@dataclass
class Start:
    """Everything that training begins with."""

    settings: Any  # the Settings of train.py
    text: str
    corpus: Corpus
    config: GPTConfig
    parameters: Arrays
    checkpoint: Checkpoint | None = None  # to go on from
    rows: list[list[str]] = field(default_factory=list)  # of metrics.csv so far
    lock: FileLock | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What other processes get of it: the lock stays with the one that holds it."""
        return self.__dict__ | {"lock": None}


def from_scratch(settings_for: Callable[..., Any], given: dict[str, Any], data: Path) -> Start:
    """Random parameters, for the text of `data`.

    `settings_for(documents, given)` makes the settings that suit such documents from those that the user gave.
    """
    text = read_data(data)
    documents = given.get("documents", "auto")
    if documents == "auto":
        documents = kind_of_documents(text, given.get("block_size", settings_for("lines", {}).block_size))
    settings = settings_for(documents, given)
    corpus = make_corpus(text, settings.block_size, settings.seed, documents)
    config = GPTConfig(len(corpus.vocabulary), settings.block_size, settings.n_embd, settings.n_layer, settings.n_head)
    return Start(settings, text, corpus, config, initial_parameters(config, settings.seed))


def from_model(settings_for: Callable[..., Any], given: dict[str, Any], data: Path) -> Start:
    """The parameters, the shape, the vocabulary and the kind of documents of another model: see `from_scratch`.

    Raises InputError if the user asks for another shape, or if the text of `data` has a character that the model does
    not know.
    """
    run = load_run(given["init_from"])
    if run.checkpoint is not None and state_of_model(run.directory, run.checkpoint) == "changed":
        model = run.directory / MODEL
        raise InputError(
            f"{model} was changed by another program: begin with it, --init-from {model}, "
            "or delete it to begin with the checkpoint"
        )
    c = run.config
    shape = {"n_layer": c.n_layer, "n_head": c.n_head, "n_embd": c.n_embd, "block_size": c.n_positions}
    refuse_others(given, shape, f"the model in {given['init_from']} has")
    text = read_data(data)
    documents = given.get("documents", run.documents)
    if documents == "auto":
        documents = kind_of_documents(text, c.n_positions)
    settings = settings_for(documents, {"documents": documents} | given | shape)
    corpus = make_corpus(text, c.n_positions, settings.seed, documents, run.vocabulary)
    return Start(settings, text, corpus, c, run.parameters)


def from_checkpoint(kind: type, given: dict[str, Any], directory: Path, default_data: Path) -> Start:
    """Where a run stopped: its settings, with those of MAY_CHANGE that are given, its text and its state.

    Raises InputError if another process writes to the directory, if anything in it is damaged, if there is nothing
    left to do, or if other settings or another text are given than those of the run.
    """
    checkpoint, rows, lock = resume_run(directory)
    origin = checkpoint.origin
    fixed = {name: value for name, value in origin.settings.items() if name not in (*MAY_CHANGE, "data", "skip_check")}
    refuse_others(given, fixed, f"{directory} was begun with")
    settings: Any = settings_again(
        kind, origin.settings, {n: v for n, v in given.items() if n not in fixed and n != "data"}
    )
    if settings.steps <= checkpoint.step:
        raise InputError(
            f"--steps is {settings.steps}, but {directory} has already done {checkpoint.step}: "
            f"give more of them to go on, such as --steps {2 * checkpoint.step}"
        )
    text = text_again(given.get("data"), checkpoint, directory, default_data)
    corpus = make_corpus(text, origin.config.n_positions, settings.seed, origin.documents, origin.vocabulary)
    return Start(settings, text, corpus, origin.config, checkpoint.named(checkpoint.parameters), checkpoint, rows, lock)


def refuse_others(given: Mapping[str, Any], fixed: Mapping[str, Any], whose: str) -> None:
    """Raise InputError, naming the option, if something is given that differs from what is fixed."""
    for name, value in fixed.items():
        if name in given and given[name] != value:
            flag = "--" + name.replace("_", "-")
            raise InputError(f"{flag} is {given[name]}, but {whose} {value}: leave it out, or begin a run of its own")


def read_data(data: Path) -> str:
    """The text of a file or, for -, of standard input."""
    if str(data) != STANDARD_INPUT:
        return read_text(data)
    if sys.stdin is None:
        raise InputError("--data is -, but standard input is closed: give a file, or pipe a text in")
    if sys.stdin.isatty():
        print("reading the text from the keyboard; Ctrl-D at the beginning of a line ends it", file=sys.stderr)
    return decode_text(sys.stdin.buffer.read(), "standard input")


def text_again(data: str | None, checkpoint: Checkpoint, directory: Path, default_data: Path) -> str:
    """The text that a run learned from: from the file given now, from that of its beginning, or from the copy.

    Raises InputError if the file has another text by now, and says what is different.
    """
    origin = checkpoint.origin
    path = Path(data or origin.settings.get("data") or default_data)
    copy = kept_text(directory, origin.data_sha256)
    if data is None and (str(path) == STANDARD_INPUT or not path.is_file()):
        if copy is None:
            raise InputError(f"{directory} learned from {origin.data}, which is not there now: say where, with --data")
        return copy
    text = read_data(path)
    found = hashlib.sha256(text.encode()).hexdigest()
    if found != origin.data_sha256:
        unknown = "".join(sorted(set(text) - set(origin.vocabulary)))
        lacking = "".join(sorted(set(origin.vocabulary) - set(text) - {BOUNDARY}))
        differences = [f"its SHA-256 is {found[:12]}..., not {origin.data_sha256[:12]}..."]
        differences += [f"it has the characters {unknown!r:.80}, which the run has never seen"] if unknown else []
        differences += [f"it lacks the characters {lacking!r:.80}"] if lacking else []
        remedy = f"; to go on with the copy, add --data {directory / 'text.txt'}" if copy is not None else ""
        raise InputError(f"{path} is not the text that {directory} learned from: {'; '.join(differences)}{remedy}")
    return text
