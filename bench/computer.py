"""What the numbers depend on: the processor, the system, and the versions of programs."""

import os
import platform
import subprocess
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.contenders.c import c_compiler


def this_computer() -> dict[str, Any]:
    """What the numbers depend on."""
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
    """The first of the lines that a command prints."""
    printed = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False).stdout
    return next(iter(printed.splitlines()), "unknown")


def processor() -> str:
    """Its name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
