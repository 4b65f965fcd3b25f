"""Settings that are command-line options: a dataclass has each option's name, default, type, help and limits."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import Field, dataclass, field, fields
from math import inf
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args

from microgpt.errors import InputError

T = TypeVar("T")

MISUSED = 2  # the exit code for a wrong call

# A condition on an option: in words, and as a test of a value.
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
    """Return a field of a settings dataclass that is also an option of the command line.

    Every value except None must satisfy `must`. With `alone`, the option may come without a value, and then has that
    one. The help shows the default and, in the words of `otherwise`, other defaults.
    """
    metadata = {"meaning": meaning, "choices": choices, "must": must, "alone": alone, "otherwise": otherwise}
    return field(default=default, metadata=metadata)


@dataclass
class Options:
    """The base class of all settings. Raises InputError, naming the option, for an impossible value."""

    def __post_init__(self) -> None:
        for entry in fields(self):
            value, must = getattr(self, entry.name), entry.metadata["must"]
            if must is not None and value is not None:
                expected, holds = must
                require(entry.name, value, holds(value), expected)
        self.check()

    def check(self) -> None:
        """Raise InputError for values that do not go together."""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(MISUSED, f"{self.prog}: error: {message} (see --help)\n")


def parse(settings: type[T], description: str) -> T:
    """Return the settings, a dataclass of options, from the command line: `n_layer` is --n-layer."""
    return settings(**parse_given(settings, description))


def parse_given(settings: type[Any], description: str) -> dict[str, Any]:
    """Return only the settings that the command line gives, by name."""
    parser = Parser(
        Path(sys.argv[0]).name, description=description, allow_abbrev=False, argument_default=argparse.SUPPRESS
    )
    for entry in fields(settings):
        kind: Any = kind_of(entry)
        flag, meaning = "--" + entry.name.replace("_", "-"), entry.metadata["meaning"]
        if kind is bool:
            action = argparse.BooleanOptionalAction if entry.default else "store_true"  # --no-NAME, if it is usual
            parser.add_argument(flag, action=action, help=meaning)
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


def given_first(texts: tuple[str, ...]) -> dict[str, Any]:
    """Return some settings that the command line gives, before it is known which others there are; and --trust.

    Who asks for help goes on with no run.
    """
    parser = Parser(allow_abbrev=False, add_help=False, argument_default=argparse.SUPPRESS)
    for name in texts:
        alone: dict[str, Any] = {"nargs": "?", "const": "newest"} if name == "resume" else {}
        parser.add_argument("--" + name.replace("_", "-"), **alone)
    for flag in ("--trust", "--help"):
        parser.add_argument(flag, action="store_true")
    given = vars(parser.parse_known_args()[0])
    return {name: value for name, value in given.items() if name == "model"} if "help" in given else given


def option_again(entry: Field[Any]) -> Any:
    """Return the field of an option for another dataclass."""
    return field(default=entry.default, metadata=entry.metadata)


def values_joined(parser: Parser, arguments: list[str]) -> list[str]:
    """Return the arguments, with each text that begins with a dash joined to its option: `--prompt -an` as
    `--prompt=-an`.

    argparse would take such a text for an option, even if none has that name.
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
    """Return the type of an option's values: int for `int | None`."""
    return (get_args(entry.type) or (entry.type,))[0]


def settings_again(settings: type[T], saved: dict[str, Any], given: dict[str, Any]) -> T:
    """Return saved settings with those changed that are given. Raises InputError for impossible saved ones."""
    entries = {entry.name: entry for entry in fields(settings)}  # type: ignore[arg-type]
    for name, value in saved.items():
        if name not in entries:
            raise InputError(f"the run has a setting {name!r:.80}, unknown to this version of microgpt")
        choices = entries[name].metadata["choices"]
        if type(value) not in (kind_of(entries[name]), type(entries[name].default)) or (
            choices and value not in choices and value != entries[name].default
        ):
            raise InputError(f"the run's setting {name} is {value!r:.80}, which is impossible")
    return settings(**(saved | given))


def require(name: str, value: Any, holds: bool, expected: str) -> None:
    """Raise InputError, naming the option, unless `holds`."""
    if not holds:
        raise InputError(f"--{name.replace('_', '-')} is {value}: expected {expected}")
