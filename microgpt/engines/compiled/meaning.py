"""What a function does, as text: so that what was made of it is found again, by another process."""

import builtins
import hashlib
from collections.abc import Iterable
from dataclasses import is_dataclass
from functools import cache, partial
from opcode import opmap
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from microgpt.value import __file__ as value_file

PURE = (  # modules whose functions do the same wherever they are called
    "builtins", "math", "operator", "_operator", "functools", "_functools", "itertools", "collections", "dataclasses",
    "typing", "types", "abc", "numbers", "enum", "reprlib", "_thread",
)  # fmt: skip
LOOKS_AROUND = ("globals", "locals", "vars", "eval", "exec", "input", "__import__")  # these do not
IMPORTS = opmap["IMPORT_NAME"]
NAMED = (BuiltinFunctionType, FunctionType, type, ModuleType)  # what does not change has a name
PLAIN = (type(None), bool, int, float, str, bytes, type(...), type(NotImplemented))


def meaning_of(thing: Any) -> str:
    """The code of a function, and of all that it names, and the numbers there.

    Raises TypeError or ValueError for a function that names what could do anything, such as another module or an object
    of a class that is no dataclass. Two functions of one meaning give the same results for the same arguments.
    """
    return repr(described(thing, {}))


def described(thing: Any, met: dict[int, int]) -> Any:
    """A thing in nested tuples. What was met before is a number."""
    if isinstance(thing, PLAIN):
        return type(thing).__name__, repr(thing)
    if isinstance(thing, (tuple, list)):
        return type(thing).__name__, all_of(thing, met)
    if isinstance(thing, (set, frozenset)):
        return type(thing).__name__, sorted(map(repr, all_of(thing, met)))
    if isinstance(thing, dict):
        return all_of(thing, met), all_of(thing.values(), met)
    module = thing.__name__ if isinstance(thing, ModuleType) else getattr(thing, "__module__", None) or ""
    if module in PURE and isinstance(thing, NAMED) and getattr(thing, "__name__", "") not in LOOKS_AROUND:
        return module, getattr(thing, "__qualname__", "")
    if id(thing) not in met:
        met[id(thing)] = len(met)
        return type(thing).__name__, all_of(parts_of(thing), met)
    return met[id(thing)]


def all_of(things: Iterable[Any], met: dict[int, int]) -> tuple[Any, ...]:
    return tuple([described(thing, met) for thing in things])


def parts_of(thing: Any) -> tuple[Any, ...]:
    """What a thing does, as other things. Raises TypeError for one of which that cannot be told."""
    if isinstance(thing, partial):
        return thing.func, thing.args, thing.keywords
    if isinstance(thing, CodeType) and IMPORTS not in thing.co_code[::2]:
        return thing.co_code, thing.co_consts, thing.co_names, thing.co_varnames
    if isinstance(thing, FunctionType):
        cells = [cell.cell_contents for cell in thing.__closure__ or ()]
        names, scopes = names_in(thing.__code__), (vars(builtins), thing.__globals__)
        named = {name: scope[name] for scope in scopes for name in names if name in scope}
        return thing.__code__, thing.__defaults__, thing.__kwdefaults__, cells, named
    if isinstance(thing, (staticmethod, classmethod)):
        return (thing.__func__,)
    if isinstance(thing, property):
        return thing.fget, thing.fset
    if isinstance(thing, type):
        known = (*PLAIN, FunctionType, staticmethod, classmethod, property)
        own = {name: value for name, value in vars(thing).items() if isinstance(value, known)}
        return thing.__qualname__, thing.__bases__, own
    if is_dataclass(thing):
        return type(thing), vars(thing)
    raise TypeError(f"what a {type(thing).__name__} does cannot be told")


@cache
def sources() -> str:
    """A digest of the files of the compiler."""
    engines = Path(__file__).parents[1]
    files = [*sorted(Path(__file__).parent.rglob("*.py")), engines / "trees.py", Path(value_file)]
    return hashlib.sha256(b"".join([file.read_bytes() for file in files])).hexdigest()


def names_in(code: CodeType) -> list[str]:
    """The names that a function and those within it use: globals, and attributes."""
    inside = [names_in(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return [*code.co_names, *(name for names in inside for name in names)]
