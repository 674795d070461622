"""The error a user can mend, and the check that raises it most often."""


class CrysiftError(Exception):
    """Something the user can mend: the message names the thing, the value, the limit and the way out.

    The command line prints it without a traceback; every other exception is a defect of the program.
    """


def check_between(name: str, value: float, low: float, high: float) -> None:
    """Raise CrysiftError where `value` of what is called `name` is not in [low, high]."""
    if not low <= value <= high:
        raise CrysiftError(f"{name} = {value:g} is outside [{low:g}, {high:g}]")
