"""What a command says: results on stdout, progress and errors on stderr, one clear message per error."""

import json
import sys
from types import TracebackType
from typing import Any, Self

from rich.console import Console as RichConsole
from rich.table import Table
from rich.text import Text

from engine.errors import CrysiftError
from jobs.termination import interrupt_status, was_terminated

FAILED = 1
TRY_AGAIN = 75
"""A database stopped answering: the same command goes on later (EX_TEMPFAIL of sysexits.h)."""
WIDTH_IN_FILES = 240
"""Columns of a table that is not written to a terminal: wide enough not to break lines."""

# Errors of libraries and of the operating system that say themselves what the user did wrong.
_TELLING_LIBRARIES = ("duckdb", "_duckdb")


class Console:
    """The output of one command, and the place where its errors become messages.

    Used as a context manager around the body of a command: an error leaves as one red message and exit status
    1, Ctrl-C as status 130, SIGTERM as 143. With `debug` every exception passes through with its traceback.
    """

    def __init__(self, *, quiet: bool = False, as_json: bool = False, debug: bool = False) -> None:
        self.quiet = quiet
        self.as_json = as_json
        self.debug = debug
        self.after_interrupt = "What is committed is kept: run the same command to go on."
        self.out = RichConsole(highlight=False, width=None if sys.stdout.isatty() else WIDTH_IN_FILES)
        self.err = RichConsole(stderr=True, highlight=False)

    @property
    def shows_progress(self) -> bool:
        """Whether progress may be drawn: never with --quiet."""
        return not self.quiet

    def say(self, message: str = "") -> None:
        """Print a line for a person; silent with --quiet and with --json."""
        if not (self.quiet or self.as_json):
            self.out.print(message, soft_wrap=True)

    def note(self, message: str) -> None:
        """Print a remark on stderr; silent with --quiet."""
        if not self.quiet:
            self.err.print(message, soft_wrap=True, markup=False)

    def warn(self, message: str) -> None:
        """Print on stderr what the user must not miss, also with --quiet."""
        self._complain("Warning:", message)

    def show(self, table: Table) -> None:
        """Print a table for a person; silent with --quiet and with --json."""
        if not (self.quiet or self.as_json):
            self.out.print(table)

    def finish(self, summary: dict[str, Any]) -> None:
        """With --json, write the summary as one JSON object on stdout."""
        if self.as_json:
            from jobs.tables import json_value

            sys.stdout.write(json.dumps(json_value(summary), indent=2, allow_nan=False) + "\n")

    def __enter__(self) -> Self:
        """Begin a command."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Turn an error into its message and the exit status."""
        if error is None or self.debug:
            return
        if was_terminated():  # whatever came of it: workers that were terminated too break in their own ways
            self._complain("Terminated.", self.after_interrupt)
            raise SystemExit(interrupt_status()) from None
        if isinstance(error, KeyboardInterrupt):
            self._complain("Interrupted.", self.after_interrupt)
            raise SystemExit(interrupt_status()) from None
        if isinstance(error, Exception):
            self._complain("Error:", message_of(error))
            raise SystemExit(_status_of(error)) from None

    def _complain(self, label: str, message: str) -> None:
        self.err.print(Text.assemble((label, "bold red"), " ", message), soft_wrap=True)


def _status_of(error: Exception) -> int:
    if not isinstance(error, CrysiftError):
        return FAILED
    from engine.execution import InterruptedRunError
    from engine.source import SourceInterruptedError

    if isinstance(error, SourceInterruptedError):
        return TRY_AGAIN
    return interrupt_status() if isinstance(error, InterruptedRunError) else FAILED


def message_of(error: Exception) -> str:
    """Return what to tell the user about an exception: its own words if they are meant for users."""
    if isinstance(error, CrysiftError):
        return str(error)
    if isinstance(error, OSError):
        return str(error) if error.filename is None else f"{error.strerror}: {error.filename}"
    if isinstance(error, ModuleNotFoundError):
        return f"the package '{error.name}' is missing: pip install {error.name}"
    if type(error).__module__.partition(".")[0] in _TELLING_LIBRARIES:
        return str(error)
    return f"{type(error).__name__}: {error}\nThis is not expected; --debug shows where it happened."
