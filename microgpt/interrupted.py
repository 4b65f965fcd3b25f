"""A Ctrl-C while a script still imports ends it with a line and no traceback, as later on.

It is the first import of the package, and changes nothing for any program but our own scripts.
"""

import os
import signal
import sys
from pathlib import Path
from types import FrameType

SCRIPTS = {Path(__file__).resolve().parents[1] / name for name in ("train.py", "sample.py", "explain.py", "bench.py")}


def end(number: int, frame: FrameType | None) -> None:
    """End the script. A KeyboardInterrupt raised during an import would be taken by some for an ImportError."""
    print("error: interrupted", file=sys.stderr, flush=True)
    os._exit(130)


def is_script() -> bool:
    """Whether this process was started to run one of our scripts: a notebook and IDLE run them within their own."""
    main = Path(getattr(sys.modules["__main__"], "__file__", None) or ".").resolve()
    return main in SCRIPTS and main in (Path(argument).resolve() for argument in sys.orig_argv[1:])


if is_script() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, end)  # until `run_script` begins, which knows what to do about a KeyboardInterrupt
