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
    """End the script, unless `run_script` has begun, which knows what to do about a KeyboardInterrupt.

    Raised during an import, one would be taken by some for an ImportError.
    """
    while frame is not None:
        if frame.f_code.co_name == "run_script":
            raise KeyboardInterrupt
        frame = frame.f_back
    print("error: interrupted", file=sys.stderr, flush=True)
    os._exit(130)


main = Path(getattr(sys.modules["__main__"], "__file__", None) or ".").resolve()
if main in SCRIPTS and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, end)
