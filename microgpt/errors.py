"""The two ways in which a run can fail without a fault of the program."""


class InputError(ValueError):
    """Something the user can mend: an option, a data file, a run directory. Its text is one line that says how."""


class DivergenceError(ArithmeticError):
    """Training left the finite numbers. Its text is one line that names the step and what was seen there."""
