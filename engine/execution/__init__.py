"""The distributed shell: plan a stage, then execute the plan in this process, on Dask or on Ray."""

from engine.execution.events import (
    Event,
    EventLog,
    Listener,
    PageDone,
    PageRead,
    PartDone,
    PassageStarted,
    StageFinished,
    StageStarted,
    WorkerLost,
)
from engine.execution.execute import InterruptedRunError, execute
from engine.execution.plan import EXECUTORS, Executor, StagePlan, plan_stage
from engine.execution.task import StageError

__all__ = [
    "EXECUTORS",
    "Event",
    "EventLog",
    "Executor",
    "InterruptedRunError",
    "Listener",
    "PageDone",
    "PageRead",
    "PartDone",
    "PassageStarted",
    "StageError",
    "StageFinished",
    "StagePlan",
    "StageStarted",
    "WorkerLost",
    "execute",
    "plan_stage",
]
