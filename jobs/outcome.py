"""How a run that came to no summary ended: written beside its log, and read by `crysift status`."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from engine.errors import CrysiftError

if TYPE_CHECKING:
    from engine.store import Run
    from engine.store.folder import Folder

_FAILURE = "failure.json"


def record_failure(run: Run, error: BaseException) -> None:
    """Write down what ended the run; on a disk that takes no more, the run looks like a killed one."""
    from engine.execution import InterruptedRunError
    from engine.source import SourceInterruptedError
    from jobs.console import message_of

    interrupted = isinstance(error, KeyboardInterrupt | InterruptedRunError | SourceInterruptedError)
    told = message_of(error) if isinstance(error, Exception) else str(error)
    document = {"state": "interrupted" if interrupted else "failed", "message": told}
    with suppress(CrysiftError, OSError):
        run.folder.put(_FAILURE, (json.dumps(document, indent=2, sort_keys=True) + "\n").encode())


def outcome_of(run: Folder) -> dict[str, Any]:
    """Return a run's state, "finished", "failed", "interrupted" or "unfinished", and the error's message.

    "unfinished" is a run that is still at work, or whose process was killed and could say no more.
    """
    from engine.store.runs import SUMMARY

    files = run.names()
    if SUMMARY in files:
        return {"state": "finished", "message": ""}
    if _FAILURE in files:
        with run.open(_FAILURE) as handle:
            document: dict[str, Any] = json.load(handle)
        return document
    return {"state": "unfinished", "message": ""}
