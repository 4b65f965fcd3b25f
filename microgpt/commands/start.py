"""The beginning of training: at random parameters, at those of another model, or at a checkpoint.

`begin` reads the command line of train.py and returns all that the loop needs. Contradictory settings, such as a shape
and a model, are refused with the difference named.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, make_dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from filelock import FileLock

import microgpt
from microgpt import __version__
from microgpt.commands.answers import answer
from microgpt.commands.memory_check import check_memory
from microgpt.commands.messages import of_kind, print_lines
from microgpt.commands.options import Options, given_first, option, option_again, parse_given, settings_again
from microgpt.commands.own_code import OwnCode
from microgpt.engines.engine import adam_update
from microgpt.errors import InputError
from microgpt.learning.architecture import GPT, OF_THE_GPT, Architecture, options_of, values_of
from microgpt.learning.batches import POOL, Corpus, make_corpus
from microgpt.learning.byte_pairs import BytePairs
from microgpt.learning.documents import kind_of_documents, room_for_lines
from microgpt.learning.model_file import ModelFile, model_file
from microgpt.learning.own_book import own_book
from microgpt.learning.parameters import Arrays, count_of, flatten, shapes_of
from microgpt.learning.reading import Scan, Source, Text, encoded, scan, source_of, spooled, text_of
from microgpt.learning.rules import ADAM, Rule, load_rule, rule_update
from microgpt.learning.single_process import SingleProcess, process_count
from microgpt.learning.text import Vocabulary, characters_of
from microgpt.learning.training import OptimizerState
from microgpt.runs.checkpoint import Checkpoint, RunInfo, newest_origin
from microgpt.runs.directory import (
    INTEGERS,
    LARGEST_TEXT_COPY,
    create_run_directory,
    kept_integers,
    kept_text,
    load_weights,
    newest_run,
    resume_run,
)
from microgpt.runs.facts import facts_of
from microgpt.runs.files import quoted
from microgpt.runs.hugging_face import MODEL, state_of_model
from microgpt.runs.kept_code import kept_book, kept_model, kept_rule, trusted_book
from microgpt.runs.metrics import lacks_validation

# Settings that a resumed run may change. Any other change would make it another run.
MAY_CHANGE = (
    "steps", "learning_rate", "warmup", "weight_decay", "grad_clip", "eval_interval", "engine", "threads", "device",
    "torch_compile",
)  # fmt: skip
OF_THE_CALL = ("out", "resume", "listing", "trust", "json")  # settings that are no facts of the run
FIRST = ("model", "resume", "init_from", "out")  # settings on which it depends which others there are
STANDARD_INPUT = "-"
# The settings that suit a large model of tokens, such as GPT-2, where it goes on learning.
OF_TOKENS = {"steps": 200, "batch_size": 4, "learning_rate": 5e-5, "warmup": 20, "weight_decay": 0.01}
BLOCK_OF_TOKENS = 128
Suited = Mapping[str, tuple[Any, Any]]  # settings that depend on the text: for lines, and for prose


@dataclass
class Start:
    """Everything that training begins with."""

    settings: Any  # the Settings of train.py
    text: Text
    corpus: Corpus
    config: Any
    parameters: Arrays
    directory: Path | None = None  # of a resumed run, or where a large text is
    checkpoint: Checkpoint | None = None  # of a resumed run
    rows: list[list[str]] = field(default_factory=list)  # of metrics.csv so far
    lock: FileLock | None = None
    processes: Any = field(default_factory=SingleProcess)  # that train together
    why: str = ""  # the kind of the text and the reason, where that may surprise
    architecture: Architecture = GPT
    own: OwnCode | None = None  # the user's own functions, with --book
    rule: Rule = ADAM

    def __post_init__(self) -> None:
        nothing = np.zeros_like(flatten(self.parameters))
        c = self.checkpoint
        self.state = OptimizerState(c.step, c.adam_m, c.adam_v) if c else OptimizerState(0, nothing, nothing.copy())

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for other processes, without the lock, and without classes that they do not know."""
        config, settings = (SimpleNamespace(**values_of(part)) for part in (self.config, self.settings))
        return self.__dict__ | {"lock": None, "config": config, "settings": settings}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.config = self.architecture.config_again(self.config)

    @property
    def book(self) -> Any:
        """Has the module adam: the project's own, or the user's."""
        return self.own.recordable if self.own else microgpt

    @cached_property
    def update(self) -> Any:
        """The update rule, as `train` takes it; None for Adam on PyTorch's device, which is at home there."""
        engine = self.settings.engine
        if self.rule.name == "adam":
            return None if engine == "torch" else adam_update(engine, self.book.adam.adam)
        return rule_update(self.rule.function, self.parameters, engine)

    @property
    def data(self) -> str:
        """The name of the text."""
        if self.checkpoint is not None:
            return self.checkpoint.origin.data
        return {None: "data/names.txt", STANDARD_INPUT: "standard input"}.get(self.settings.data, self.settings.data)

    @property
    def origin(self) -> RunInfo:
        """The fixed facts of the run, for its checkpoints."""
        settings = {n: v for n, v in asdict(self.settings).items() if n not in OF_THE_CALL}
        began = self.checkpoint.origin.started if self.checkpoint else datetime.now(UTC).date().isoformat()
        c, facts = self.corpus, self.architecture.facts(self.config, shapes_of(self.parameters))
        return RunInfo(
            self.config, c.vocabulary, c.documents, self.data, self.text.sha256, settings, began, __version__, facts,
            self.rule.sha256,
        )  # fmt: skip


def begin(kind: type, suited: Suited, names: Path) -> Start:
    """Return everything that training begins with, from the command line.

    Args:
        kind: the dataclass of settings.
        suited: the default settings for lines and for prose.
        names: the default text.

    If torchrun started several processes, all get the findings of the main one. Exits with code 0 if the run to resume
    is complete. Raises InputError for an impossible beginning.
    """
    architecture = architecture_of(given_first(FIRST))
    if isinstance(architecture, ModelFile):
        kind, suited = kind_for(kind, architecture), {n: p for n, p in suited.items() if n not in OF_THE_GPT}
    given = parse_given(kind, f"Train a character-level {architecture.name} on a text file.")
    rule = rule_of(given)
    if "resume" not in given:
        given = rule.settings | given
    processes = processes_for(given)
    start: Start = processes.broadcast(partial(found_by_one, architecture, given, kind, suited, names))
    start.processes, start.rule = processes, rule
    if start.settings.book:
        book = kept_book(start.directory, start.settings.book, True) if start.directory else None
        start.own = OwnCode(book or own_book(start.settings.book, recordable=True))
        start.architecture = Architecture(start.own.recordable.gpt)
    if start.settings.engine == "torch":
        from microgpt.learning.on_device import join

        start.processes = join(start.settings.device) if isinstance(processes, SingleProcess) else processes
        start.processes.check(start.settings)
    return start


def architecture_of(given: dict[str, Any]) -> Architecture:
    """Return what is to be trained: the GPT, or what a file defines, which runs.

    That is the file of --model, or the copy in the run to go on with, if the user trusts it.
    """
    path, begun = given.get("model"), given.get("init_from")
    directory = directory_to_resume(given) if "resume" in given else Path(begun) if begun else None
    origin = newest_origin(directory) if directory else None
    if directory and origin and origin.model:
        return kept_model(directory, origin.model, path, "trust" in given)
    if path is not None and origin is not None:
        raise InputError(f"--model is {path}, but the model in {directory} is a GPT: omit it")
    return GPT if path is None else model_file(path)


def rule_of(given: dict[str, Any]) -> Rule:
    """Return the update rule: that of the run to resume, or that of --optimizer. A file of the user's own runs."""
    directory = directory_to_resume(given) if "resume" in given else None
    origin = newest_origin(directory) if directory else None
    if directory and origin:
        return kept_rule(directory, origin, given.get("optimizer"), "trust" in given)
    return load_rule(given.get("optimizer", "adam"))


def kind_for(kind: type, model: ModelFile) -> type:
    """Return the settings with those of a model in the place of the GPT's."""
    usual = [entry for entry in fields(kind) if entry.name not in OF_THE_GPT]
    taken = {entry.name for entry in usual} | {"help"}
    for setting in model.settings:
        if setting.name in taken:
            raise InputError(
                f"{model.path}: the field {setting.name} of Config has the name of an option of train.py: "
                "give it another"
            )
    own: list[Any] = [(s.name, s.kind, option(s.default, s.meaning)) for s in model.settings]
    theirs = [(entry.name, entry.type, option_again(entry)) for entry in usual]
    return make_dataclass(kind.__name__, [*theirs, *own], bases=(Options,), namespace={"check": kind.check})  # type: ignore[attr-defined]


def found_by_one(architecture: Architecture, given: dict[str, Any], kind: type, suited: Suited, names: Path) -> Start:
    """Return where training begins, as one process finds it."""
    if "resume" in given:
        return from_checkpoint(architecture, kind, given, directory_to_resume(given), names)
    begin_with = from_model if "init_from" in given else from_scratch
    return begin_with(architecture, partial(settings_for, kind, suited), given, given.get("data", names))


def settings_for(kind: type, suited: Suited, documents: str, given: dict[str, Any]) -> Any:
    """Return the given settings, and the defaults for this kind of documents."""
    return kind(**({name: pair[documents == "stream"] for name, pair in suited.items()} | given))


def directory_to_resume(given: dict[str, Any]) -> Path:
    """Return the run directory of --resume, which may come with --out."""
    out, resume = given.get("out"), given["resume"]
    directory = Path(resume if resume != "newest" else out or newest_run(resumable=True))
    if out is not None and Path(out) != directory:
        raise InputError(f"--out is {out}, but {directory} stays where it is: omit --out")
    return directory


def processes_for(given: dict[str, Any]) -> Any:
    """Return the processes that train together: one, or those of torchrun."""
    count = process_count()
    if count == 1:
        if os.environ.get("WORLD_SIZE", "1") != "1":
            print_lines("note: WORLD_SIZE is set, but torchrun did not start this process, which trains alone")
        return SingleProcess()
    if given.get("engine") != "torch" and "resume" not in given:
        raise InputError(f"torchrun started {count} processes, but only --engine torch trains in several")
    from microgpt.learning.on_device import join

    return join(given.get("device"))


def from_scratch(
    architecture: Architecture, settings_for: Callable[..., Any], given: dict[str, Any], data: str | Path
) -> Start:
    """Begin with random parameters, for the text of `data`.

    `settings_for(documents, given)` returns the settings for such documents.
    """
    with text_of_run(given, data) as (text, directory, lock):
        documents, why = given.get("documents", "auto"), ""
        if documents == "auto":
            usual = given.get("block_size", settings_for("lines", {}).block_size)
            room = usual if "block_size" in given else room_for_lines(text, usual)
            documents, why = kind_of_documents(text, room), of_kind(text, usual, room)
            given = {"block_size": room} | given if documents == "lines" else given
        settings = settings_for(documents, given)
        try:
            corpus = make_corpus(text, settings.block_size, settings.seed, documents)
        except InputError as error:
            raise InputError(f"{error}; {why}" if why else f"{error}") from None
        c = architecture.config(len(corpus.vocabulary), settings.block_size, vars(settings))
        check_memory(architecture.count(c), c.n_positions, corpus, settings.batch_size)
        parameters = architecture.initial_parameters(c, settings.seed)
        architecture.check(c, parameters)
        return Start(settings, text, corpus, c, parameters, directory, lock=lock, why=why, architecture=architecture)


def from_model(
    architecture: Architecture, settings_for: Callable[..., Any], given: dict[str, Any], data: str | Path
) -> Start:
    """Begin with the parameters, shape, vocabulary and kind of documents of another model: see `from_scratch`.

    Raises InputError for another shape, or if the text has a character that the model does not know.
    """
    run = load_weights(given["init_from"], architecture if isinstance(architecture, ModelFile) else None)
    if run.checkpoint is not None and state_of_model(run.directory, run.checkpoint) == "changed":
        model = run.directory / MODEL
        raise InputError(
            f"{model} was changed by another program: begin a run with it, --init-from {quoted(model)}, "
            "or delete it to use the checkpoint"
        )
    c = architecture.config_again(run.config)
    shape, pairs = options_of(c) | {"block_size": c.n_positions}, isinstance(run.vocabulary, BytePairs)
    if pairs:
        del shape["block_size"]
        given = OF_TOKENS | {"block_size": min(BLOCK_OF_TOKENS, c.n_positions)} | given
        check_tokens(given, c.n_positions)
    refuse_others(given, shape, f"the model in {given['init_from']} has")
    with text_of_run(given, data, run.vocabulary) as (text, directory, lock):
        documents = given.get("documents", run.documents)
        if pairs:
            documents = run.documents
        if documents == "auto":
            documents = kind_of_documents(text, c.n_positions)
        settings = settings_for(documents, {"documents": documents} | given | shape)
        corpus = make_corpus(text, settings.block_size, settings.seed, documents, run.vocabulary)
        check_memory(count_of(run.parameters), settings.block_size, corpus, settings.batch_size)
        architecture.check(c, run.parameters)
        return Start(settings, text, corpus, c, run.parameters, directory, lock=lock, architecture=architecture)


def check_tokens(given: dict[str, Any], n_positions: int) -> None:
    """Raise InputError for settings that do not suit a model whose tokens are parts of words."""
    if given.get("documents", "auto") == "lines":
        raise InputError(
            "--documents is lines, but the tokens of this model are parts of words, which it reads as prose"
        )
    if given["block_size"] > n_positions:
        raise InputError(f"--block-size is {given['block_size']}, but the model has {n_positions} positions")


def from_checkpoint(
    architecture: Architecture, kind: type, given: dict[str, Any], directory: Path, default_data: Path
) -> Start:
    """Begin where a run stopped, with its settings, its text and its state. Settings of MAY_CHANGE may be new.

    Exits with code 0 if no step is left. Raises InputError if another process writes to the directory, if a file is
    damaged, or if other settings or another text are given.
    """
    checkpoint, rows, lock = resume_run(directory)
    try:
        start = going_on(architecture, kind, given, directory, default_data, checkpoint, rows)
    except BaseException:
        if lock:
            lock.release()
        raise
    start.lock = lock
    return start


def going_on(
    architecture: Architecture, kind: type, given: dict[str, Any], directory: Path, default_data: Path,
    checkpoint: Checkpoint, rows: list[list[str]],
) -> Start:  # fmt: skip
    """Begin at a checkpoint: see `from_checkpoint`."""
    origin = checkpoint.origin
    saved = dict(origin.settings)
    if saved.get("pool_size") == POOL:  # once an option
        del saved["pool_size"]
    if "book" not in given and (copy := trusted_book(directory, "trust" in given)):
        given = given | {"book": str(copy)}
    kept_book(directory, given.get("book"), for_training=True)
    free = (*MAY_CHANGE, "book", "model", "optimizer", "data", "skip_check")
    fixed = {name: value for name, value in saved.items() if name not in free}
    refuse_others(given, fixed, f"{directory} was begun with")
    settings: Any = settings_again(kind, saved, {n: v for n, v in given.items() if n not in fixed and n != "data"})
    if settings.steps < checkpoint.step:
        raise InputError(
            f"--steps is {settings.steps}, but {directory} has already done {checkpoint.step}: "
            f"give more, such as --steps {2 * checkpoint.step}"
        )
    if settings.steps == checkpoint.step and not lacks_validation(rows):  # the last step is always followed by one
        code = (
            " --trust"
            if origin.model or origin.rule_sha256
            else f" --book {quoted(Path(given['book']))}"
            if "book" in given
            else ""
        )
        further = f"python train.py --resume {quoted(directory)}{code} --steps {2 * checkpoint.step}"
        print_lines(f"{directory} is complete: all of its {checkpoint.step} steps are done; to go further: {further}")
        if settings.json:
            answer(facts_of(directory))
        raise SystemExit(0)
    text = text_again(given.get("data"), checkpoint, directory, default_data)
    c = architecture.config_again(origin.config)
    corpus = make_corpus(text, settings.block_size, settings.seed, origin.documents, origin.vocabulary)
    check_memory(origin.parameters, settings.block_size, corpus, settings.batch_size)
    parameters = checkpoint.named(checkpoint.parameters)
    architecture.check(c, parameters)
    return Start(settings, text, corpus, c, parameters, directory, checkpoint, rows, architecture=architecture)


def refuse_others(given: Mapping[str, Any], fixed: Mapping[str, Any], whose: str) -> None:
    """Raise InputError, naming the option, if a given value differs from a fixed one."""
    for name, value in fixed.items():
        if name in given and given[name] != value:
            flag = "--" + name.replace("_", "-")
            raise InputError(f"{flag} is {given[name]}, but {whose} {value}: omit it, or begin a new run")


@contextmanager
def text_of_run(
    given: dict[str, Any], data: str | Path, vocabulary: Vocabulary | None = None
) -> Iterator[tuple[Text, Path | None, FileLock | None]]:
    """Read the text of a new run. If it is large, make and lock the run directory, where its integers are.

    If the block fails, there is no directory.
    """
    source = source_of_data(data)
    with source.file:
        found = scan(source.parts())
        integers = partial(encoded, source.parts, found, vocabulary or found.characters)
        if found.size <= LARGEST_TEXT_COPY or given.get("listing") or isinstance(vocabulary, BytePairs):
            yield integers(), None, None
            return
        directory, lock = create_run_directory(wanted_directory(given.get("out"), given.get("data")))
        try:
            yield integers(directory / INTEGERS), directory, lock
        except BaseException:
            if lock:
                lock.release()
            shutil.rmtree(directory, ignore_errors=True)
            raise


def wanted_directory(out: str | None, data: str | None) -> Path:
    """Return the directory that a new run should have."""
    return Path(out or Path("runs") / {None: "names", STANDARD_INPUT: "stdin"}.get(data, Path(data or "").stem))


def source_of_data(data: str | Path) -> Source:
    """Return the text of a file or, for -, of standard input. (./- is a file.)"""
    if data != STANDARD_INPUT:
        return source_of(data)
    if sys.stdin is None:
        raise InputError("--data is -, but standard input is closed: give a file, or pipe a text in")
    if sys.stdin.isatty():
        print("reading the text from the keyboard; Ctrl-D at the beginning of a line ends it", file=sys.stderr)
    raw = getattr(sys.stdin, "buffer", None) or BytesIO(sys.stdin.read().encode())  # IDLE has no buffer
    return Source(spooled(raw), "standard input")


def text_again(data: str | None, checkpoint: Checkpoint, directory: Path, default_data: Path) -> Text:
    """Return the text of a run: from the file given now, from the original file, or from the copy.

    Raises InputError, naming the differences, if the file has changed.
    """
    origin = checkpoint.origin
    source = data or origin.settings.get("data") or default_data
    copy, integers = kept_text(directory, origin.data_sha256), kept_integers(directory, origin)
    if data is None and (source == STANDARD_INPUT or not Path(source).is_file()):
        if copy is None and integers is None:
            raise InputError(f"{directory} learned from {origin.data}, which is missing: give it with --data")
        return integers or text_of(copy or "", origin.vocabulary)
    read = source_of_data(source)
    with read.file:
        found = scan(read.parts())
        if found.sha256 == origin.data_sha256:
            large = found.size > LARGEST_TEXT_COPY
            return integers or encoded(read.parts, found, origin.vocabulary, directory / INTEGERS if large else None)
    differences = "; ".join(differences_of(found, checkpoint))
    remedy = f"; to go on with the copy, add --data {quoted(directory / 'text.txt')}" if copy is not None else ""
    raise InputError(f"{source} is not the text of {directory}: {differences}{remedy}")


def differences_of(found: Scan, checkpoint: Checkpoint) -> list[str]:
    """Return how a text differs from that of a run."""
    origin = checkpoint.origin
    if isinstance(origin.vocabulary, BytePairs):
        return [f"its SHA-256 is {found.sha256[:12]}..., not {origin.data_sha256[:12]}..."]
    known = characters_of(origin.vocabulary, origin.documents)
    unknown = "".join(sorted(set(found.characters) - set(known)))
    lacking = "".join(sorted(set(known) - set(found.characters)))
    differences = [f"its SHA-256 is {found.sha256[:12]}..., not {origin.data_sha256[:12]}..."]
    differences += [f"it has the characters {unknown!r:.80}, unknown to the run"] if unknown else []
    return differences + ([f"it lacks the characters {lacking!r:.80}"] if lacking else [])
