"""How an error ends a run, as the run's own record tells it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.store import Run


def record_failure(run: Run, error: BaseException) -> None:
    """Write down what ended the run; on a disk that takes no more, the run looks like a killed one."""
    from engine.execution import InterruptedRunError
    from engine.source import SourceInterruptedError
    from engine.store.runs import Outcome
    from jobs.console import message_of
    from jobs.termination import was_terminated

    stopped = not isinstance(error, Exception) or was_terminated()
    interrupted = stopped or isinstance(error, InterruptedRunError | SourceInterruptedError)
    told = message_of(error) if isinstance(error, Exception) else str(error)
    with suppress(Exception):  # a store that cannot be written is often the very error
        run.fail(Outcome("interrupted" if interrupted else "failed", told))
