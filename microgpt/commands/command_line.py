"""What the scripts share: settings that are command-line options, errors that are one line, and a gentle Ctrl-C."""

import argparse
import os
import re
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import Field, dataclass, field, fields
from math import inf
from pathlib import PurePath
from typing import Any, NoReturn, TypeVar, get_args
from unicodedata import category

from microgpt.errors import DisagreementError, InputError

T = TypeVar("T")

PATIENCE = 1.0  # seconds after Ctrl-C that something may still take which can be done again
FAILED, MISUSED, INTERRUPTED = 1, 2, 130  # exit codes: underway, in the call, by Ctrl-C


# What an option may have to be: in words, and as a question to a value.
Must = tuple[str, Callable[[Any], bool]]
POSITIVE: Must = ("a positive integer", lambda n: n >= 1)
COUNT: Must = ("0 or a positive integer", lambda n: n >= 0)
POSITIVE_NUMBER: Must = ("a positive number", lambda x: 0 < x < inf)
NUMBER: Must = ("0 or a positive number", lambda x: 0 <= x < inf)


def option(
    default: Any,
    meaning: str,
    choices: tuple[str, ...] | None = None,
    *,
    must: Must | None = None,
    alone: str | None = None,
    otherwise: str = "",
) -> Any:
    """A field of a settings dataclass that is also an option of the command line: its default and its help.

    With `must`, any value but None has to be so. With `alone`, the option may also be given without a value, and then
    has that one. The help tells the default and, in the words of `otherwise`, what it is in other cases.
    """
    metadata = {"meaning": meaning, "choices": choices, "must": must, "alone": alone, "otherwise": otherwise}
    return field(default=default, metadata=metadata)


@dataclass
class Options:
    """The base of all settings. Raises InputError, naming the option, where a value is not as it must be."""

    def __post_init__(self) -> None:
        for entry in fields(self):
            value, must = getattr(self, entry.name), entry.metadata["must"]
            if must is not None and value is not None:
                expected, holds = must
                require(entry.name, value, holds(value), expected)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(MISUSED, f"{self.prog}: error: {message} (see --help)\n")


def parse(settings: type[T], description: str) -> T:
    """Read the settings, a dataclass of options, from the command line: `n_layer` becomes --n-layer."""
    return settings(**parse_given(settings, description))


def parse_given(settings: type[Any], description: str) -> dict[str, Any]:
    """Only those settings, by name, that the command line gives."""
    parser = Parser(description=description, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    for entry in fields(settings):
        kind: Any = kind_of(entry)
        flag, meaning = "--" + entry.name.replace("_", "-"), entry.metadata["meaning"]
        if kind is bool:
            parser.add_argument(flag, action="store_true", help=meaning)
            continue
        default = "" if entry.default in (None, "") else f" (default: {entry.default}{entry.metadata['otherwise']})"
        alone = entry.metadata["alone"]
        parser.add_argument(
            flag,
            type=kind,
            choices=entry.metadata["choices"],
            metavar={int: "N", float: "X"}.get(kind, "TEXT") if entry.metadata["choices"] is None else None,
            help=(meaning + default).replace("%", "%%"),
            **({} if alone is None else {"nargs": "?", "const": alone}),
        )
    return vars(parser.parse_args(values_joined(parser, sys.argv[1:])))


def values_joined(parser: Parser, arguments: list[str]) -> list[str]:
    """The arguments, with each text that begins with a dash joined to its option: `--prompt -an` as `--prompt=-an`.

    argparse would take such a text for an option, though none has that name.
    """
    flags = parser._option_string_actions
    joined: list[str] = []
    for argument in arguments:
        before = flags.get(joined[-1]) if joined else None
        if before and before.type is str and argument.startswith("-") and argument.partition("=")[0] not in flags:
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def kind_of(entry: Field[Any]) -> type:
    """The type of an option's values: of `int | None`, the int."""
    return (get_args(entry.type) or (entry.type,))[0]


def settings_again(settings: type[T], saved: dict[str, Any], given: dict[str, Any]) -> T:
    """Settings that were saved, with those changed that are given now. Raises InputError for saved ones of no sense."""
    entries = {entry.name: entry for entry in fields(settings)}  # type: ignore[arg-type]
    for name, value in saved.items():
        if name not in entries:
            raise InputError(f"the run has a setting {name!r:.80} that this version of microgpt does not know")
        choices = entries[name].metadata["choices"]
        if type(value) not in (kind_of(entries[name]), type(entries[name].default)) or (
            choices and value not in choices and value != entries[name].default
        ):
            raise InputError(f"the run's setting {name} is {value!r:.80}, which is none that it can have")
    return settings(**(saved | given))


def require(name: str, value: Any, holds: bool, expected: str) -> None:
    """Raise an InputError, naming the option, unless its value is as expected."""
    if not holds:
        raise InputError(f"--{name.replace('_', '-')} is {value}: expected {expected}")


def silence_stdout() -> None:
    """Let all further output go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def escape_control(text: str) -> str:
    """A text as a terminal may have it: control characters, which could steer it, are written out, as JSON does it."""
    return "".join(c if c in "\n\t" or category(c) != "Cc" else f"\\u{ord(c):04x}" for c in text)


def is_terminal(stream: Any) -> bool:
    """Whether a line on this stream can be overwritten. IDLE's streams call themselves terminals, and cannot do it."""
    try:
        return os.isatty(stream.fileno())
    except (AttributeError, OSError, ValueError):  # there is no file below, or it is closed
        return False


def quoted(path: PurePath) -> str:
    """A path for a command that is printed to be copied: cmd.exe, PowerShell and Unix shells all read it as it is.

    It has forward slashes and, where it needs them, double quotes. What a shell changes even between those goes
    between single quotes, which cmd.exe alone does not know.
    """
    text = path.as_posix()
    if text.startswith(("-", "~")):  # no option, and nobody's home
        text = f"./{text}"
    if re.fullmatch(r"[\w./:+-]+", text):
        return text
    return f'"{text}"' if not set(text) & set('"\\$`!') else shlex.quote(text)


def run_script(main: Callable[[], int]) -> NoReturn:
    """Run a script to its exit code; turn what can go wrong into one line on standard error."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name) or open(os.devnull, "w")  # noqa: SIM115  # whoever called us may have closed it
        if hasattr(stream, "reconfigure"):  # those of a notebook and of IDLE have no encoding to fail in
            stream.reconfigure(errors="backslashreplace")  # a terminal may not know all letters
        setattr(sys, name, stream)
    try:
        code = main()
    except InputError as error:
        code = print_error(error, MISUSED)
    except BrokenPipeError:  # whoever read our output has seen enough
        silence_stdout()
        code = 0
    except (ArithmeticError, DisagreementError, OSError) as error:  # divergence, engines that do not agree, a full disk
        code = print_error(error, FAILED)
    except MemoryError as error:
        code = print_error(
            f"not enough memory: {error or 'the model or the text is too large for this machine'}", FAILED
        )
    except KeyboardInterrupt:
        code = print_error("interrupted", INTERRUPTED)
    sys.exit(code)


def print_error(message: Any, code: int) -> int:
    """Print an error as one line on standard error; return the exit code."""
    print(f"error: {escape_control(' '.join(str(message).split()))}", file=sys.stderr)
    return code


class Interruption:
    """Whether and when Ctrl-C was pressed, or the process was asked to end (SIGTERM)."""

    since = inf  # by time.monotonic()

    @property
    def requested(self) -> bool:
        """Whether it was."""
        return self.since < inf

    @property
    def overdue(self) -> bool:
        """Whether it was so long ago that one should not go on with what can be done again."""
        return time.monotonic() - self.since > PATIENCE


@contextmanager
def interruption() -> Iterator[Interruption]:
    """Let the first Ctrl-C only set `requested`, so that the program can finish well; a second one ends it at once.

    Only the main thread may ask for this: another one, of a program that runs a script in it, is never interrupted.
    """
    state = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield state
        return
    requests = (signal.SIGINT, signal.SIGTERM)

    def handler(*_: Any) -> None:
        state.since = time.monotonic()
        for request in requests:
            signal.signal(request, signal.default_int_handler)

    before = {request: signal.signal(request, handler) for request in requests}
    try:
        yield state
    finally:
        for request, earlier in before.items():
            signal.signal(request, signal.SIG_DFL if earlier is None else earlier)  # None: not set from Python
