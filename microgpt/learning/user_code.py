"""A file of the user's code: read it, run it as a module, and tell its errors in a line.

To run a file executes its code: run only what the user has named.
"""

import hashlib
import linecache
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from traceback import extract_tb
from types import ModuleType

from microgpt.errors import InputError

FILES: dict[str, Path] = {}  # that were run, as the user named them


def text_of(path: Path) -> str:
    """The source in a file. Raises InputError if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8: save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


def sha256_of(text: str) -> str:
    """The SHA-256 of a source."""
    return hashlib.sha256(text.encode()).hexdigest()


def empty_module(name: str, path: Path, text: str) -> ModuleType:
    """A module for the source of a file, which has not run yet."""
    module = ModuleType(name)
    module.__file__ = str(path.resolve())
    FILES[module.__file__] = path
    sys.modules[name] = module  # where dataclasses look
    # Its functions are recorded as they stand now, even if the file changes meanwhile.
    linecache.cache[module.__file__] = len(text), None, text.splitlines(keepends=True), module.__file__
    return module


def run(module: ModuleType, path: Path, text: str) -> None:
    """Run the source of a file in its module. Raises InputError, in one line, if it fails."""
    try:
        exec(compile(text, str(path.resolve()), "exec"), module.__dict__)
    except InputError:
        raise
    except SystemExit:
        raise InputError(f"{path} ends the program: it is run to learn what it defines") from None
    except Exception as error:
        raise InputError(told(error, [path])) from error


def told_of_any(error: Exception) -> str:
    """An error in any file that was run, in a line; "" for an error elsewhere."""
    found = any(frame.filename in FILES for frame in extract_tb(error.__traceback__))
    return told(error, FILES.values()) if found else ""


def told(error: Exception, paths: Iterable[Path]) -> str:
    """An error in one of these files, in a line: the file and the line that failed last, and how."""
    files = {str(path.resolve()): path for path in paths}
    if isinstance(error, SyntaxError) and error.filename in files:
        return f"{files[error.filename]} is not Python: {error.msg}, in line {error.lineno}"
    said = f"{type(error).__name__}: {error}"
    lacking = re.match(r"cannot import name '(\w+)' from '\w+_book\.(\w+)'", f"{error}")
    if lacking is not None:
        said = f"{lacking[2]}.py has no {lacking[1]}: write it first"
    frames = [frame for frame in extract_tb(error.__traceback__) if frame.filename in files]
    return f"{files[frames[-1].filename]} fails in line {frames[-1].lineno}: {said}" if frames else said
