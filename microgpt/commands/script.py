"""How a script runs: errors that are one line, output to terminals and pipes, and a gentle Ctrl-C."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any, NoReturn
from unicodedata import category

from microgpt.commands.options import MISUSED
from microgpt.errors import DisagreementError, InputError

PATIENCE = 1.0  # seconds after Ctrl-C that something may still take which can be done again
FAILED, INTERRUPTED = 1, 130  # exit codes: underway, by Ctrl-C


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
