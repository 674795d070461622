"""The error a user can mend."""


class CrysiftError(Exception):
    """Something the user can mend: the message names the thing, the value, the limit and the way out.

    The command line prints it without a traceback; every other exception is a defect of the program.
    """
