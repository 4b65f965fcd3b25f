"""The end of the workshop: train.py trains the learner's book, and sample.py writes with it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

CLONE = Path(__file__).parents[2]
RUN = "runs/mine"


def train_own_book(names: dict[str, Any], folder: Path) -> tuple[bool, str]:
    """Train the book in a folder; return whether it went well, and what was printed."""
    if not (CLONE / "train.py").is_file():
        return True, "Get a clone of the project, and call `python train.py --book mine` there."
    command = [sys.executable, str(CLONE / "train.py"), "--book", str(folder), "--out", RUN]
    ran = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    printed = f"    $ python train.py --book {folder.name}\n" + "".join(
        f"    {line}\n" for line in [*ran.stdout.splitlines(), *ran.stderr.splitlines()]
    )
    return ran.returncode == 0, printed
