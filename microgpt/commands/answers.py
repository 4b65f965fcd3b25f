"""Answers for programs: with --json a script prints one object on standard output, and all else on standard error."""

import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import wraps
from typing import Any

answered: list[Any] = []  # by the script that runs now


def answers(main: Callable[[], int]) -> Callable[[], int]:
    """Return the main function of a script, which with --json prints nothing but its answer on standard output."""

    @wraps(main)
    def for_programs() -> int:
        if "--json" not in sys.argv[1:]:
            return main()
        answered.clear()
        try:
            with redirect_stdout(sys.stderr):
                return main()
        finally:
            for found in answered:
                print(json.dumps(found, ensure_ascii=False))

    return for_programs


def answer(found: Any) -> None:
    """Answer, at the end of the script. Without --json nobody hears it."""
    answered.append(found)
