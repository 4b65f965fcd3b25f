"""The ways in which a run can fail: by what it was given, by its numbers, or by a fault of the program."""


class InputError(ValueError):
    """Something the user can mend: an option, a data file, a run directory. Its text is one line that says how."""


class DivergenceError(ArithmeticError):
    """Numbers are not finite. Its text is one line that names what was seen, and the step if training got that far."""


class DisagreementError(RuntimeError):
    """An engine computes something else than the function itself: a fault of the program."""


def counted(n: int, noun: str) -> str:
    """A number of things: "1 line", "2 lines"."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")
