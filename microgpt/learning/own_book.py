"""A book of your own: a folder with your value.py, functions.py, gpt.py and adam.py, in the form of the book.

`own_book("mine")` runs the four files and returns them as modules:

    book = own_book("mine")
    book.value.Value, book.functions.softmax, book.gpt.loss, book.adam.adam

The files may import one another in four ways, and get what stands in the folder:

    from value import exp, log             as a folder of plain files does, which Python alone can run, too
    from mine.value import exp, log        as the files of the workshop do, in whatever folder they are by now
    from microgpt.value import exp, log    as the book does, so its lines serve unchanged
    from microgpt import Value, softmax    whichever of the four files has it

A file that the folder lacks is the project's own: its lines are run again, and import what the folder has. So who has
written only value.py and functions.py trains a GPT on these.

`own_book("mine", recordable=True)` is the same book for the engines. There `Value`, `exp`, `log`, `largest` and `pick`
are those of the project, because a compiler records these five names and takes derivatives from them. Your value.py
needs to know nothing about compilers. Whether both books compute the same is for the caller to compare.

To load a book executes its code: load only what the user has named.
"""

import builtins
import io
import sys
import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from microgpt import value
from microgpt.errors import InputError
from microgpt.learning.user_code import empty_module, run, sha256_of, text_of, told

CHAPTERS = ("value", "functions", "gpt", "adam")
RECORDED = ("Value", "exp", "log", "largest", "pick")  # what a compiler knows by name
OURS = Path(value.__file__).parent


@dataclass(frozen=True)
class Book:
    """The four files as modules.

    Attributes:
        folder: where they are.
        paths: the file of each chapter, in the folder or the project's own.
        texts: the source of each chapter.
    """

    folder: Path
    value: ModuleType
    functions: ModuleType
    gpt: ModuleType
    adam: ModuleType
    paths: dict[str, Path]
    texts: dict[str, str]

    @property
    def missing(self) -> list[str]:
        """The chapters that are the project's own."""
        return [chapter for chapter, path in self.paths.items() if path.parent == OURS]

    def told(self, error: Exception) -> str:
        """An error in the book, in a line."""
        return told(error, self.paths.values())

    @property
    def sha256(self) -> dict[str, str]:
        """The SHA-256 of each source."""
        return {chapter: sha256_of(text) for chapter, text in self.texts.items()}


def own_book(folder: str | Path, recordable: bool = False, sha256: Mapping[str, str] | None = None) -> Book:
    """Run the four files of a folder and return the book: see above.

    Raises InputError, in one line, if there is no such folder, none of the files in it, or one of them fails. With
    `sha256`, of each chapter, it also refuses a book with any other text, and runs none of it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}: give one with your value.py, functions.py, gpt.py and adam.py")
    paths = {chapter: folder / f"{chapter}.py" for chapter in CHAPTERS}
    if not any(path.is_file() for path in paths.values()):
        raise InputError(f"{folder} has none of value.py, functions.py, gpt.py and adam.py: give the folder of yours")
    paths = {chapter: path if path.is_file() else OURS / path.name for chapter, path in paths.items()}
    texts = {chapter: text_of(path) for chapter, path in paths.items()}
    for chapter, text in texts.items():
        if sha256 is not None and sha256_of(text) != sha256.get(chapter):
            raise InputError(f"{paths[chapter]} is another text than at the time of training")
    loading = Loading(folder, paths, texts, recordable)
    modules = {chapter: loading.module(chapter) for chapter in CHAPTERS}
    return Book(folder, **modules, paths=paths, texts=texts)


class Loading:
    """Runs the files of a book. For them it is the function `__import__`, and stands for the package `microgpt`."""

    def __init__(self, folder: Path, paths: dict[str, Path], texts: dict[str, str], recordable: bool):
        self.folder, self.paths, self.texts, self.recordable = folder, paths, texts, recordable
        self.modules: dict[str, ModuleType] = {}

    def module(self, chapter: str) -> ModuleType:
        """A chapter as a module; its file runs once."""
        if chapter not in self.modules:
            path, text = self.paths[chapter], self.texts[chapter]
            name = f"{'recordable' if self.recordable else 'own'}_book.{chapter}"
            module = self.modules[chapter] = empty_module(name, path, text)
            module.__dict__["__builtins__"] = vars(builtins) | {"__import__": self}
            run(module, path, text)
            if self.recordable and chapter == "value":
                module.__dict__.update({name: getattr(value, name) for name in RECORDED})
        return self.modules[chapter]

    def __call__(
        self, name: str, known: Any = None, local: Any = None, wanted: Sequence[str] | None = (), level: int = 0
    ) -> Any:
        """`__import__` for the files of the book: their own chapters first."""
        package, _, last = name.rpartition(".")
        if last in CHAPTERS and package in ("", "mine", "microgpt", self.folder.name):
            return self.module(last) if wanted or not package else self
        if name == "microgpt" or (level and not name):
            return self
        return builtins.__import__(name, known, local, wanted or (), level)

    def __getattr__(self, name: str) -> Any:
        """What `from microgpt import name` gives: a chapter, or what one of them has; else the project's own."""
        if name in CHAPTERS:
            return self.module(name)
        for module in map(self.module, CHAPTERS):
            if hasattr(module, name) and not name.startswith("__"):
                return getattr(module, name)
        return getattr(sys.modules["microgpt"], name)


def lines_of_code(text: str) -> int:
    """The lines of a source without comments, docstrings and empty lines."""
    skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    lines: set[int] = set()
    before = tokenize.NEWLINE
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        begins = before in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
        if token.type not in skipped and not (token.type == tokenize.STRING and begins):
            lines.update(range(token.start[0], token.end[0] + 1))
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            before = token.type
    return len(lines)
