"""The distributed shell: plan a stage, then execute the plan in this process, on Dask or on Ray."""

from engine.execution.cluster import LOCAL, Cluster
from engine.execution.events import (
    EngineStarted,
    Event,
    EventLog,
    Listener,
    PageDone,
    PageRead,
    PartDamaged,
    PartDone,
    PartIsolated,
    PassageStarted,
    StageFinished,
    StageStarted,
    WorkerLost,
    WorkersChanged,
)
from engine.execution.execute import InterruptedRunError, execute
from engine.execution.plan import EXECUTORS, Executor, StagePlan, plan_stage
from engine.execution.task import StageError

__all__ = [
    "EXECUTORS",
    "LOCAL",
    "Cluster",
    "EngineStarted",
    "Event",
    "EventLog",
    "Executor",
    "InterruptedRunError",
    "Listener",
    "PageDone",
    "PageRead",
    "PartDamaged",
    "PartDone",
    "PartIsolated",
    "PassageStarted",
    "StageError",
    "StageFinished",
    "StagePlan",
    "StageStarted",
    "WorkerLost",
    "WorkersChanged",
    "execute",
    "plan_stage",
]
