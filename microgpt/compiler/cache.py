"""Where the compiled kernels are kept from one process to the next.

Numba keeps them beside the source or, where that cannot be written, in the user's cache directory. Where neither can,
it would refuse to work: then they are compiled into a temporary directory, each time anew, and that is said.
"""

import atexit
import shutil
import sys
import tempfile

import numba


def ensure_cache() -> None:
    """See to it that Numba finds a directory for its cache."""
    try:
        numba.njit(cache=True)(ensure_cache)  # compiles nothing, but looks for the place
    except RuntimeError:
        kept = tempfile.mkdtemp(prefix="microgpt-")
        numba.config.CACHE_DIR = kept  # type: ignore[attr-defined]
        atexit.register(shutil.rmtree, kept, ignore_errors=True)
        print(
            "note: no directory for compiled kernels can be written, so they are compiled in every process; "
            "to keep them, set NUMBA_CACHE_DIR to one that can",
            file=sys.stderr,
        )
