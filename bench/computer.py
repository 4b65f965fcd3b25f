"""The conditions of the numbers: the processor, the system, and the versions of programs."""

import os
import platform
import subprocess
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.contenders.c import c_compiler


def this_computer() -> dict[str, Any]:
    """Return the conditions of the numbers."""
    packages = [name for name in ("numpy", "llvmlite", "torch", "jax") if find_spec(name)]
    compiler = c_compiler()
    return {
        "processor": processor(),
        "cores": os.cpu_count() or 1,
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        **({"C": first_line([compiler, "--version"])} if compiler else {}),
    }


def first_line(command: list[str]) -> str:
    """Return the first line that a command prints."""
    printed = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False).stdout
    return next(iter(printed.splitlines()), "unknown")


def processor() -> str:
    """Return the name of the processor, if the system knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
