"""The ways in which a run can fail: by its input, by its numbers, or by a fault of the program."""


class InputError(ValueError):
    """An error that the user can repair, such as a wrong option or a damaged file. Its text is one line with the
    remedy.
    """


class DivergenceError(ArithmeticError):
    """Numbers are not finite. Its text is one line with the finding, and the step if training got that far."""


class DisagreementError(RuntimeError):
    """An engine computes something else than the function itself: a fault of the program."""


def counted(n: int, noun: str) -> str:
    """Return a number of things: "1 line", "2 lines"."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")
