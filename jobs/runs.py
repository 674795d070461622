"""What the runs of a store tell: how each ended, or how far it has come and when it was last heard of."""

from __future__ import annotations

from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from engine.execution import events
from engine.execution.events import INGEST, recorded_event
from engine.store.runs import HEARTBEAT_SECONDS, runs_in

if TYPE_CHECKING:
    from engine.store import Run, Store
    from engine.store.runs import State

RUNS_SHOWN = 5
RUNS_LOOKED_AT = 20
"""Among so many of the newest, those at work are shown, too."""
SILENT_AFTER_SECONDS = 4 * HEARTBEAT_SECONDS
"""A run that shows no sign of life for so long has lost its process or its connection to the store."""
PACE_SECONDS, PACE_PARTS = 300.0, 20
SHORTEST_SECONDS = 1e-3
"""The resolution of the recorded times: keeps rates finite."""

_LOOKS_AT_ONCE = 8


class Pace:
    """How fast a stage went lately: in the last ``PACE_SECONDS``, and at least in the last ``PACE_PARTS``."""

    def __init__(self, begun: float) -> None:
        self._sums = deque([(begun, 0, 0.0)])

    def add(self, at: float, rows: int, cost: float) -> None:
        """Take one part; times are seconds since the epoch."""
        _, rows_before, cost_before = self._sums[-1]
        self._sums.append((at, rows_before + rows, cost_before + cost))
        while len(self._sums) > PACE_PARTS and self._sums[0][0] < at - PACE_SECONDS:
            self._sums.popleft()

    def at(self, now: float) -> tuple[float, float]:
        """Return rows and cost per second."""
        (begun, rows_before, cost_before), (_, rows, cost) = self._sums[0], self._sums[-1]
        seconds = max(now - begun, SHORTEST_SECONDS)
        return (rows - rows_before) / seconds, (cost - cost_before) / seconds


@dataclass
class StageProgress:
    """How far a stage is: of what this run has to do, without the ``skipped_rows`` of earlier runs.

    How much an ingest has to do is not known (None). ``workers`` is None until the cluster has told.
    """

    stage: str
    begun: float
    rows: int | None = None
    parts: int | None = None
    skipped_rows: int = 0
    cost: float = 0.0
    rows_done: int = 0
    parts_done: int = 0
    cost_done: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)
    workers: int | None = None
    workers_wanted: int | None = None
    workers_lost: int = 0
    isolated_parts: list[str] = field(default_factory=list)
    engine: str | None = None
    dashboard: str | None = None
    ended: float | None = None

    def __post_init__(self) -> None:
        """Begin to measure."""
        self._pace = Pace(self.begun)

    def add(self, at: float, rows: int, cost: float) -> None:
        """Count rows that were done at a time."""
        self.rows_done += rows
        self.cost_done += cost
        self._pace.add(at, rows, cost)

    def as_json(self, now: float) -> dict[str, Any]:
        """Return all of it as JSON values, with the rate and the seconds left at a time."""
        rows_per_second, cost_per_second = self._pace.at(now)
        if self.ended is not None:
            rows_per_second = self.rows_done / max(self.ended - self.begun, SHORTEST_SECONDS)
        return {
            "stage": self.stage,
            "finished": self.ended is not None,
            "rows": self.rows,
            "rows_done": self.rows_done,
            "skipped_rows": self.skipped_rows,
            "parts": self.parts,
            "parts_done": self.parts_done,
            "structures_per_second": rows_per_second,
            "seconds_left": (self.cost - self.cost_done) / cost_per_second if cost_per_second else None,
            "failed": self.failures.total(),
            "failures": dict(self.failures.most_common()),
            "workers": self.workers,
            "workers_wanted": self.workers_wanted,
            "workers_lost": self.workers_lost,
            "isolated_parts": self.isolated_parts,
            "engine": self.engine,
            "dashboard": self.dashboard,
        }


class RunProgress:
    """The state of a run, made up of its recorded events one after the other."""

    def __init__(self, started: datetime) -> None:
        self.heard = started.timestamp()
        self.stages: dict[str, StageProgress] = {}
        self.damaged_parts: list[dict[str, str]] = []

    def take(self, record: dict[str, Any]) -> None:
        """Take one record, and empty it; those of other versions of crysift are signs of life only."""
        self.heard = datetime.fromisoformat(record.pop("time")).timestamp()
        event = recorded_event(record.pop("event"), record)
        match event:
            case events.PartDone():
                stage = self._stage(event.stage)
                stage.add(self.heard, event.rows, event.cost)
                stage.parts_done += 1
                if event.failures:
                    stage.failures.update(event.failures)
            case events.PassageStarted() | events.PageRead() | events.PageDone() | events.SourceReconciled():
                self._take_ingest(event)
            case events.StageStarted():
                self._begin(event)
            case events.StageFinished():
                self._stage(event.stage).ended = self.heard
            case None:
                pass
            case _:
                self._take_fate_of_workers(event)

    def as_json(self) -> dict[str, Any]:
        """Return stages and damaged parts as JSON values."""
        return {
            "stages": [stage.as_json(self.heard) for stage in self.stages.values()],
            "damaged_parts": self.damaged_parts,
        }

    def _stage(self, name: str) -> StageProgress:
        """Find a stage; begin it now where its engine or its loss of a worker is told before its start."""
        if name not in self.stages:
            self.stages[name] = StageProgress(name, self.heard)
        return self.stages[name]

    def _begin(self, event: events.StageStarted) -> None:
        if INGEST in self.stages:  # one that found nothing new tells no end
            self.stages[INGEST].ended = self.stages[INGEST].ended or self.heard
        stage = self._stage(event.stage)
        stage.rows, stage.parts, stage.cost = event.rows, event.parts, event.cost
        stage.skipped_rows, stage.workers_wanted = event.skipped_rows, event.workers
        stage.engine = event.executor

    def _take_ingest(
        self,
        event: events.PassageStarted | events.PageRead | events.PageDone | events.SourceReconciled,
    ) -> None:
        """Count entries as they arrive, those of earlier runs when they are found, and rejects when known."""
        stage = self._stage(INGEST)
        stage.ended = self.heard if isinstance(event, events.SourceReconciled) else None
        match event:
            case events.PageRead():
                stage.add(self.heard, event.entries, 0.0)
            case events.PageDone():
                stage.parts_done += 1
                if event.rejected:
                    stage.failures["rejected"] += event.rejected
                if event.skipped:
                    stage.skipped_rows += event.rows + event.rejected + event.known

    def _take_fate_of_workers(
        self,
        event: events.EngineStarted
        | events.WorkersChanged
        | events.WorkerLost
        | events.PartIsolated
        | events.PartDamaged,
    ) -> None:
        match event:
            case events.EngineStarted():
                stage = self._stage(event.stage)
                stage.engine, stage.dashboard = event.engine, event.dashboard
            case events.WorkersChanged():
                stage = self._stage(event.stage)
                stage.workers, stage.workers_wanted = event.workers, event.wanted
            case events.WorkerLost():
                self._stage(event.stage).workers_lost += 1
            case events.PartIsolated():
                self._stage(event.stage).isolated_parts.append(event.part)
            case events.PartDamaged():
                self.damaged_parts.append({"table": event.table, "part": event.part, "reason": event.reason})


@dataclass(frozen=True)
class RunState:
    """A run as it is now; only one without an end has ``progress`` and seconds of ``silence``."""

    run: Run
    command: str | None
    state: State | Literal["running"]
    message: str
    progress: RunProgress | None = None
    silence: float | None = None

    @classmethod
    def of(cls, run: Run) -> RunState:
        """Look at a run; only of one without an end are the events read."""
        outcome = run.outcome
        if outcome.state != "unfinished":
            return cls(run, run.command, outcome.state, outcome.message)
        progress = RunProgress(run.started)
        for record in run.events():
            progress.take(record)
        silence = max(0.0, datetime.now(UTC).timestamp() - progress.heard)
        state: State | Literal["running"] = "unfinished" if silence > SILENT_AFTER_SECONDS else "running"
        return cls(run, run.command, state, "", progress, silence)

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        document = {
            "run": self.run.folder.name,
            "command": self.command or "?",
            "started": self.run.started.isoformat(),
            "state": self.state,
            "finished": self.state == "finished",
            "message": self.message,
        }
        if self.progress is None:
            return document
        return document | {
            "host": self.run.host,
            "silent_seconds": self.silence,
            **self.progress.as_json(),
        }


def latest_runs(store: Store) -> list[RunState]:
    """Return the newest runs and those at work, newest first."""
    runs = runs_in(store.folder.child("runs"))[:RUNS_LOOKED_AT]
    with ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
        states = list(pool.map(RunState.of, runs))
    return [state for index, state in enumerate(states) if index < RUNS_SHOWN or state.state == "running"]
