"""What the scripts share: settings that are command-line options, errors that are one line, and a gentle Ctrl-C."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import field, fields
from typing import Any, NoReturn, TypeVar, get_args

from microgpt.errors import InputError

T = TypeVar("T")

FAILED, MISUSED, INTERRUPTED = 1, 2, 130  # exit codes: underway, in the call, by Ctrl-C


def option(default: Any, meaning: str, choices: tuple[str, ...] | None = None) -> Any:
    """A field of a settings dataclass that is also an option of the command line: its default and its help."""
    return field(default=default, metadata={"meaning": meaning, "choices": choices})


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(MISUSED, f"{self.prog}: error: {message} (see --help)\n")


def parse(settings: type[T], description: str) -> T:
    """Read the settings, a dataclass of options, from the command line: `n_layer` becomes --n-layer."""
    parser = Parser(description=description, allow_abbrev=False)
    for entry in fields(settings):  # type: ignore[arg-type]
        kind: Any = (get_args(entry.type) or (entry.type,))[0]  # of `int | None`, the int
        if kind is bool:
            parser.add_argument(
                "--" + entry.name.replace("_", "-"), action="store_true", help=entry.metadata["meaning"]
            )
            continue
        default = "" if entry.default in (None, "") else f" (default: {entry.default})"
        parser.add_argument(
            "--" + entry.name.replace("_", "-"),
            type=kind,
            default=entry.default,
            choices=entry.metadata["choices"],
            metavar={int: "N", float: "X"}.get(kind, "TEXT") if entry.metadata["choices"] is None else None,
            help=(entry.metadata["meaning"] + default).replace("%", "%%"),
        )
    return settings(**vars(parser.parse_args()))


def require(name: str, value: Any, holds: bool, expected: str) -> None:
    """Raise an InputError, naming the option, unless its value is as expected."""
    if not holds:
        raise InputError(f"--{name.replace('_', '-')} is {value}: expected {expected}")


def run_script(main: Callable[[], int]) -> NoReturn:
    """Run a script to its exit code; turn what can go wrong into one line on standard error."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a terminal may not know all letters
    try:
        code = main()
    except InputError as error:
        code = complain(error, MISUSED)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except (ArithmeticError, OSError) as error:  # divergence, engines that do not agree, a full disk
        code = complain(error, FAILED)
    except KeyboardInterrupt:
        code = complain("interrupted", INTERRUPTED)
    sys.exit(code)


def complain(message: Any, code: int) -> int:
    """Print an error as one line on standard error; return the exit code."""
    print(f"error: {' '.join(str(message).split())}", file=sys.stderr)
    return code


class Interruption:
    """Whether Ctrl-C was pressed."""

    requested = False


@contextmanager
def interruption() -> Iterator[Interruption]:
    """Let the first Ctrl-C only set `requested`, so that the program can finish well; a second one ends it at once."""
    state = Interruption()

    def handler(*_: Any) -> None:
        state.requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield state
    finally:
        signal.signal(signal.SIGINT, before)
