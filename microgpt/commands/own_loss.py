"""python -m microgpt explain mine.py: the page of the loss in a file, with its parameters and its data."""

import inspect
import runpy
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from microgpt.errors import InputError, counted
from microgpt.explain.any_program import Explained, explain

NAMES_OF_DATA = ("data", "example", "examples", "batch")
EXPECTED = (
    "a function `loss(params, ...)`, the arrays `params`, and the data: arrays whose first axis is the batch, each by "
    "the name of its argument, or all of them in a tuple `data`"
)


def explain_file(arguments: list[str]) -> int:
    """Write the page of a file, and say where it is."""
    out = "page.html"
    if "--out" in arguments:
        at = arguments.index("--out")
        if at + 1 == len(arguments):
            raise InputError("--out: expected a file, such as page.html")
        out = arguments[at + 1]
        arguments = arguments[:at] + arguments[at + 2 :]
    opens = "--open" in arguments
    files = [argument for argument in arguments if argument != "--open"]
    if len(files) != 1 or files[0].startswith("-"):
        raise InputError(f"expected one file, such as mine.py, and --out or --open, found {' '.join(files) or 'none'}")
    function, params, data = loss_of(Path(files[0]))
    try:
        explained = explain(function, params, *data, out=out)
    except (TypeError, IndexError, AttributeError, KeyError) as error:
        raise InputError(f"{files[0]}: {type(error).__name__}: {error}{line_of(error, files[0])}") from error
    print(told(function, explained))
    if opens and not webbrowser.open(explained.path.resolve().as_uri()):
        print(f"no browser could be started here; the page is {explained.path.resolve()}")
    return 0


def told(function: Callable[..., Any], explained: Explained) -> str:
    """Return what was written, in lines."""
    left = explained.given - explained.examples
    name = getattr(function, "__name__", "the loss")
    found = f"{name} takes {explained.operations:,} operations forward, for {counted(explained.examples, 'example')}"
    if left:
        found += f"; {counted(left, 'example')} of {explained.given:,} did not fit"
    return f"{found}\nopen {explained.path} in a browser"


def loss_of(path: Path) -> tuple[Callable[..., Any], Any, tuple[Any, ...]]:
    """Return the loss, the parameters and the data of a file. Raises InputError if it has none."""
    if not path.is_file():
        raise InputError(f"there is no file {path}: expected a Python file with {EXPECTED}")
    sys.path.insert(0, str(path.resolve().parent))
    try:
        names = runpy.run_path(str(path.resolve()), run_name=path.stem)
    except Exception as error:
        raise InputError(f"{path} does not run: {type(error).__name__}: {error}{line_of(error, path)}") from error
    finally:
        sys.path.pop(0)
    function = names.get("loss")
    if not callable(function):
        raise InputError(f"{path} has no function `loss`: expected {EXPECTED}")
    try:
        first, *others = inspect.signature(function).parameters.values()
    except ValueError:
        raise InputError(f"`loss` of {path} takes no argument: expected {EXPECTED}") from None
    params = next((names[name] for name in ("params", first.name, "parameters") if name in names), None)
    if params is None:
        raise InputError(f"{path} has no `params`: expected {EXPECTED}")
    needed = [one.name for one in others if one.default is one.empty and one.kind == one.POSITIONAL_OR_KEYWORD]
    if all(name in names for name in needed):
        return function, params, tuple(names[name] for name in needed)
    data = next((names[name] for name in NAMES_OF_DATA if name in names), None)
    if data is None:
        missing = next(name for name in needed if name not in names)
        raise InputError(f"{path} has no `{missing}`, which `loss` takes, and no `data`: expected {EXPECTED}")
    return function, params, tuple(data) if isinstance(data, (tuple, list)) else (data,)


def line_of(error: BaseException, path: str | Path) -> str:
    """Return the innermost line of a file at which an error was raised, as words."""
    if isinstance(error, SyntaxError):
        return ""
    name, trace, line = Path(path).resolve(), error.__traceback__, 0
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == name:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" (line {line} of {name.name})" if line else ""
