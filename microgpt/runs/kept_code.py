"""The user's own code that a run was trained with: a copy of it, and its SHA-256.

    book/value.py, functions.py, gpt.py, adam.py
                       the files of --book as they were in training
    book/book.json     their SHA-256, and whether the model computes what the book of the project computes
    model.py           the file of --model; the checkpoint has its SHA-256

A copy is never executed because it is there. Code runs only from a folder or file that the user names with --book or
--model, and only if it is that of the run; or, if the user says --trust, from the copy of a model. Without --book a
model is read by the project's own gpt.py, if both compute the same.
"""

from pathlib import Path
from typing import Any

from microgpt.errors import InputError
from microgpt.learning.architecture import ModelFacts
from microgpt.learning.model_file import ModelFile, model_of_text
from microgpt.learning.own_book import Book, own_book
from microgpt.learning.user_code import sha256_of, text_of
from microgpt.runs.files import parse_json, quoted, read_bytes, to_json, write_file

FOLDER, FACTS, MODEL_FILE = "book", "book.json", "model.py"
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
    text = text_of(file)
    if sha256_of(text) != facts.sha256 and not trust:
        raise InputError(
            f"{file} is another text than at the time of training: to run it all the same, add --trust; "
            f"the copy is {quoted(copy)}"
        )
    return model_of_text(file, text, facts.name)
