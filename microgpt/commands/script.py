"""How a script runs: errors in one line, output to terminals and pipes, and a gentle Ctrl-C."""

import errno
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
from microgpt.learning.user_code import told_of_any
from microgpt.surroundings import as_called

PATIENCE = 1.0  # seconds after Ctrl-C in which work that can be repeated may go on
FAILED, INTERRUPTED = 1, 130  # exit codes: underway, by Ctrl-C


def silenced(error: OSError) -> bool:
    """Return whether the reader of our output has closed it, and then drop all further output."""
    closed = isinstance(error, BrokenPipeError)
    if sys.platform == "win32" and error.errno == errno.EINVAL and error.filename is None:
        closed = True  # what Windows says of a pipe, too
    if closed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return closed


def escape_control(text: str) -> str:
    """Return a text that cannot steer a terminal: control characters are escaped, as in JSON."""
    return "".join(c if c in "\n\t" or category(c) != "Cc" else f"\\u{ord(c):04x}" for c in text)


def is_terminal(stream: Any) -> bool:
    """Return whether a line on this stream can be overwritten. (IDLE's streams claim to be terminals, but cannot.)"""
    try:
        return os.isatty(stream.fileno())
    except (AttributeError, OSError, ValueError):  # there is no file below, or it is closed
        return False


def run_script(main: Callable[[], int]) -> NoReturn:
    """Run a script and exit with its code. Failures become one line on standard error."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name) or open(os.devnull, "w")  # noqa: SIM115  # the caller may have closed it
        if hasattr(stream, "reconfigure"):  # streams of notebooks and IDLE have no encoding
            stream.reconfigure(errors="backslashreplace")  # a terminal may lack some characters
        setattr(sys, name, stream)
    try:
        code = main()
    except InputError as error:
        code = print_error(error, MISUSED)
    except OSError as error:  # a full disk, or a pipe that is closed
        code = 0 if silenced(error) else print_error(error, FAILED)
    except (ArithmeticError, DisagreementError) as error:  # divergence, engines that disagree
        code = print_error(error, FAILED)
    except MemoryError as error:
        code = print_error(
            f"not enough memory: {error or 'the model or the text is too large for this machine'}", FAILED
        )
    except Exception as error:
        line = told_of_any(error)  # the user's own code failed
        if not line:
            raise
        code = print_error(line, MISUSED)
    except KeyboardInterrupt:
        code = print_error("interrupted", INTERRUPTED)
    sys.exit(code)


def print_error(message: Any, code: int) -> int:
    """Print an error as one line on standard error; return the exit code."""
    print(f"error: {escape_control(as_called(' '.join(str(message).split())))}", file=sys.stderr)
    return code


class Interruption:
    """Records Ctrl-C, or a request to end the process: SIGTERM, and on Windows Ctrl-Break."""

    since = inf  # by time.monotonic()

    @property
    def requested(self) -> bool:
        """Whether it happened."""
        return self.since < inf

    @property
    def overdue(self) -> bool:
        """Whether it happened so long ago that work which can be repeated should stop."""
        return time.monotonic() - self.since > PATIENCE


@contextmanager
def interruption() -> Iterator[Interruption]:
    """Let the first Ctrl-C only set `requested`, so that the program can finish well. A second one ends it at once.

    In any thread but the main one nothing is interrupted, because Python sends signals to the main thread.
    """
    state = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield state
        return
    requests = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)]

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
