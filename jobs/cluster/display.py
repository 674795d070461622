"""A job's log on the screen: lines of progress in their places, the others one below the other."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Self

from rich.live import Live
from rich.text import Text

from engine.errors import CrysiftError
from jobs.cluster.follow import exit_status, follow
from jobs.progress import PROGRESS_MARK

if TYPE_CHECKING:
    from types import TracebackType

    from jobs.cluster.client import Jobs
    from jobs.console import Console

_RAYS_OWN = re.compile(r"\S+ \S+\s(INFO|WARNING) job_manager\.py|Running entrypoint for job ")
"""What Ray writes into the log before the command starts."""


class JobLog:
    """Takes the pieces of a log: results go to stdout; progress and what Ray says to stderr.

    On a terminal each stage has one line of progress below the rest, which shows its latest state.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._unfinished = ""
        self._progress: dict[str, str] = {}
        in_place = console.err.is_terminal and not console.quiet
        self._live = (
            Live(console=console.err, auto_refresh=False, redirect_stdout=False) if in_place else None
        )

    def __enter__(self) -> Self:
        """Start drawing."""
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show the last line, should it be unfinished, and leave the lines of progress as they are."""
        if self._unfinished:
            self._show(self._unfinished)
        if self._live:
            self._live.stop()

    def write(self, text: str) -> None:
        """Show the lines that are complete."""
        *lines, self._unfinished = (self._unfinished + text).split("\n")
        for line in lines:
            self._show(line)

    def _show(self, line: str) -> None:
        if line.startswith(PROGRESS_MARK):
            self._show_progress(line)
        elif _RAYS_OWN.match(line):
            self._console.note(line)
        elif self._live and sys.stdout.isatty():
            self._live.console.print(Text(line), soft_wrap=True)
        else:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    def _show_progress(self, line: str) -> None:
        if not self._live:
            self._console.note(line)
            return
        self._progress[line.partition(":")[0]] = line
        state = Text("\n".join(self._progress.values()), no_wrap=True, overflow="ellipsis", style="cyan")
        self._live.update(state, refresh=True)


def follow_job(console: Console, jobs: Jobs, identifier: str) -> int:
    """Show the log of a job until it has ended; return the exit status of its command.

    Raises CrysiftError where Ray could not run the command, or lost it.
    """
    at = f" --address {jobs.address.url}"
    console.after_interrupt = (
        f"The job goes on: `crysift logs {identifier} --follow{at}` shows it, "
        f"`crysift stop {identifier}{at}` ends it."
    )
    with JobLog(console) as log:
        for text in follow(jobs, identifier, console.note):
            log.write(text)
    details = jobs.details(identifier)
    if details.status == "FAILED" and details.driver_exit_code is None:
        raise CrysiftError(f"the cluster did not bring job {identifier} to its end: {details.message}")
    if details.status == "STOPPED":
        console.warn(f"job {identifier} was stopped; the same command goes on where it ended")
    return exit_status(details)
