"""The user's own code that a run was trained with: a copy of it, and its SHA-256.

    book/value.py, functions.py, gpt.py, adam.py
                       the files of --book as they were in training
    book/book.json     their SHA-256, and whether the model computes what the book of the project computes
    model.py           the file of --model; the checkpoint has its SHA-256
    rule.py            the file of --optimizer, likewise

A copy is never executed because it is there. Code runs only from a folder or file that the user names with --book,
--model or --optimizer, and only if it is that of the run; or, if the user says --trust, from the copy. Without --book a
model is read by the project's own gpt.py, if both compute the same.
"""

from pathlib import Path
from typing import Any

from microgpt.errors import InputError
from microgpt.learning.architecture import ModelFacts
from microgpt.learning.model_file import ModelFile, model_of_text
from microgpt.learning.own_book import Book, own_book
from microgpt.learning.rules import KNOWN, Rule, load_rule, rule_of_text
from microgpt.learning.user_code import sha256_of, text_of
from microgpt.runs.checkpoint import RunInfo
from microgpt.runs.files import parse_json, quoted, read_bytes, to_json, write_file

FOLDER, FACTS, MODEL_FILE, RULE_FILE = "book", "book.json", "model.py", "rule.py"
LARGEST = 1_000_000  # bytes of the facts


def keep_book(directory: Path, book: Book, is_gpt_2: bool) -> None:
    """Write a copy of a book into a run directory. `is_gpt_2`: whether it computes what the project's own computes."""
    (directory / FOLDER).mkdir()
    for chapter, text in book.texts.items():
        write_file(directory / FOLDER / f"{chapter}.py", text.encode())
    write_file(directory / FOLDER / FACTS, to_json({"sha256": book.sha256, "is_gpt_2": is_gpt_2}))


def kept_book(directory: Path, folder: str | Path | None, for_training: bool = False) -> Book | None:
    """The book in a folder, recordable, for a run that was trained with it; None for the project's own.

    Executes nothing unless a folder is given, and its files are those that the run was trained with. Raises InputError
    if they are not, if the run needs no folder, or if it needs one: to be trained, or because its functions compute
    what the project's own do not.
    """
    path, where = directory / FOLDER / FACTS, f"--book {quoted(directory / FOLDER)}"
    if not path.is_file():
        if folder is not None:
            raise InputError(f"--book is {folder}, but {directory} was not trained with a book of your own: omit it")
        return None
    facts = facts_in(path)
    if folder is None:
        if facts["is_gpt_2"] and not for_training:
            return None
        raise InputError(f"{directory} computes with functions of its own: to run their code, add {where}")
    try:
        return own_book(folder, recordable=True, sha256=facts["sha256"])
    except InputError as error:
        if Path(folder).resolve() == (directory / FOLDER).resolve():
            raise
        raise InputError(f"{error}; the copy is there: {where}") from None


def trusted_book(directory: Path, trust: bool) -> Path | None:
    """The copy of a book in a run directory, if it has one and the user trusts it."""
    copy = directory / FOLDER
    return copy if trust and copy.is_dir() else None


def facts_in(path: Path) -> dict[str, Any]:
    """The facts about a kept book. Raises InputError if they are damaged."""
    facts = parse_json(read_bytes(path, LARGEST), str(path))
    sums = facts.get("sha256")
    if not isinstance(sums, dict) or not isinstance(facts.get("is_gpt_2"), bool):
        raise InputError(f"{path} is damaged: expected the sha256 of each file, and whether the model is_gpt_2")
    return facts


def keep_model(directory: Path, model: ModelFile) -> None:
    """Write a copy of the file of a model into a run directory."""
    write_file(directory / MODEL_FILE, model.text.encode())


def kept_model(directory: Path, facts: ModelFacts, path: str | Path | None, trust: bool) -> ModelFile:
    """Run the file of the model that a run was trained with, and return what it defines.

    That is the file at `path`, which must be the same text, or the copy, if the user trusts it. Who trusts also runs a
    text that was changed. Raises InputError, and executes nothing, where the user does not.
    """
    copy = directory / MODEL_FILE
    if path is None and not trust:
        raise InputError(
            f"{directory} computes with a model of its own, {facts.name}: to run the code in {copy}, add --trust"
        )
    file = Path(path or copy)
    return model_of_text(file, trusted_text(file, copy, facts.sha256, trust), facts.name)


def trusted_text(file: Path, copy: Path, sha256: str, trust: bool) -> str:
    """The source in a file. Raises InputError if it is not that of the run, unless the user trusts it."""
    text = text_of(file)
    if sha256_of(text) != sha256 and not trust:
        raise InputError(
            f"{file} is another text than at the time of training: to run it all the same, add --trust; "
            f"the copy is {quoted(copy)}"
        )
    return text


def keep_rule(directory: Path, rule: Rule) -> None:
    """Write a copy of the file of an update rule into a run directory, if it is the user's own."""
    if rule.sha256 is not None:
        write_file(directory / RULE_FILE, rule.text.encode())


def kept_rule(directory: Path, origin: RunInfo, name: str | None, trust: bool) -> Rule:
    """The update rule that a run was trained with. `name` is that of a known rule, or of a file, if one is given.

    As with a model: a file of the user's own must be the same text, and the copy runs if the user trusts it.
    """
    used, copy = origin.settings.get("optimizer", "adam"), directory / RULE_FILE
    if origin.rule_sha256 is None or name in KNOWN:
        if used not in KNOWN or name not in (None, used):
            raise InputError(f"--optimizer is {name}, but {directory} was begun with {used}: omit it")
        return load_rule(used)
    if name is None and not trust:
        raise InputError(f"{directory} learns by a rule of its own, {used}: to run the code in {copy}, add --trust")
    file = Path(name or copy)
    return rule_of_text(name or used, file, trusted_text(file, copy, origin.rule_sha256, trust))
