"""Run a plan on its executor and tell the listener what happens."""

import time
from collections.abc import Callable, Generator
from contextlib import closing

from engine.errors import CrysiftError
from engine.execution.events import Event, Listener, PartDamaged, PartDone, StageFinished, ignore
from engine.execution.plan import Executor, StagePlan


class InterruptedRunError(CrysiftError):
    """The user stopped the run; what was committed stays."""


def execute(plan: StagePlan, listener: Listener = ignore) -> StageFinished:
    """Do what the plan says; starts nothing where nothing is missing.

    Raises InterruptedRunError on Ctrl-C, StageError for a defect of the stage, CrysiftError for what the user
    can mend; parts committed until then stay and the same call goes on after them.
    """
    started = time.perf_counter()
    listener(plan.started())
    for part, reason in plan.unsound.items():
        listener(PartDamaged(plan.target.folder.name, part, reason))
    parts = rows = failed = 0
    if plan.parts:
        with plan.cluster.connected(), closing(_executor(plan.executor)(plan)) as events:
            try:
                for event in events:
                    if isinstance(event, PartDone):
                        parts, rows, failed = parts + 1, rows + event.rows, failed + event.failed
                    listener(event)
            except KeyboardInterrupt as interrupt:
                raise InterruptedRunError(
                    f"stage {plan.stage.name} was interrupted after {parts} of {len(plan.parts)} parts; "
                    "run the same command to go on"
                ) from interrupt
    seconds = time.perf_counter() - started
    finished = StageFinished(plan.stage.name, parts, rows, failed, plan.skipped_rows, seconds)
    listener(finished)
    return finished


def _executor(name: Executor) -> Callable[[StagePlan], Generator[Event, None, None]]:
    """Import only the executor that is used: Dask and Ray take a second to load."""
    if name == "inline":
        from engine.execution.inline import run
    elif name == "dask":
        from engine.execution.dask import run
    else:
        from engine.execution.ray import run
    return run
