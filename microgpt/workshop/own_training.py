"""The end of the workshop: train.py trains the learner's book, and sample.py writes with it."""

import subprocess
from pathlib import Path
from typing import Any

from microgpt.surroundings import own_command

RUN = "runs/mine"


def train_own_book(names: dict[str, Any], folder: Path) -> tuple[bool, str]:
    """Train the book in a folder; return whether it went well, and what was printed."""
    command, environment = own_command("train")
    command += ["--book", str(folder), "--out", RUN]
    ran = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", errors="replace")
    printed = f"    $ python train.py --book {folder.name}\n" + "".join(
        f"    {line}\n" for line in [*ran.stdout.splitlines(), *ran.stderr.splitlines()]
    )
    return ran.returncode == 0, printed
