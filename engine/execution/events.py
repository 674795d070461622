"""What happens during a run, as values: executors emit them; progress bars and logs are listeners."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, get_args

from engine.store import Run


@dataclass(frozen=True)
class StageStarted:
    """A stage begins: what is to be done, what earlier runs have done, and on what; the plan in words."""

    stage: str
    parts: int
    rows: int
    skipped_rows: int
    executor: str
    workers: int
    cost: float
    description: str


@dataclass(frozen=True)
class EngineStarted:
    """Dask or Ray is there for a stage; ``dashboard`` is the address of its web page, None without one."""

    stage: str
    engine: str
    dashboard: str | None


@dataclass(frozen=True)
class WorkersChanged:
    """So many workers are ready, of so many wanted; those not ready wait for the cluster to place them."""

    stage: str
    workers: int
    wanted: int


@dataclass(frozen=True)
class PartDone:
    """A part is committed; ``seconds`` is the worker's time for it, ``cost`` its predicted work.

    ``failures`` counts the rows that failed by their ``error_class``.
    """

    stage: str
    part: str
    rows: int
    failures: dict[str, int]
    seconds: float
    cost: float

    @property
    def failed(self) -> int:
        """Rows that failed."""
        return sum(self.failures.values())


@dataclass(frozen=True)
class WorkerLost:
    """A worker died while it had ``part`` (empty while it was starting); the part will be tried again."""

    stage: str
    part: str
    losses: int


@dataclass(frozen=True)
class PartIsolated:
    """A part has cost ``losses`` workers: a child process does it, a few structures at a time."""

    stage: str
    part: str
    losses: int


@dataclass(frozen=True)
class PartDamaged:
    """A committed part of ``table`` turned out to be damaged and is made again."""

    table: str
    part: str
    reason: str


@dataclass(frozen=True)
class StageFinished:
    """A stage is complete; rows and failures are those of this run, without the skipped rows."""

    stage: str
    parts: int
    rows: int
    failed: int
    skipped_rows: int
    seconds: float


@dataclass(frozen=True)
class PassageStarted:
    """A passage through a source begins."""

    source: str
    passage: int


@dataclass(frozen=True)
class PageRead:
    """A page arrived; ``announced`` entries are in its whole chain, if the source tells."""

    source: str
    label: str
    entries: int
    announced: int | None


@dataclass(frozen=True)
class PageDone:
    """A part of a source is committed, or was found committed (``skipped``); ``label`` is its first page.

    ``known`` entries were in the store before, unchanged.
    """

    source: str
    label: str
    rows: int
    rejected: int
    known: int
    skipped: bool
    seconds: float


@dataclass(frozen=True)
class SourceReconciled:
    """A passage through a source came to its end, with these counts of entries (``engine.ingest.Tally``)."""

    source: str
    passage: int
    pages: int
    entries: int
    stored: int
    known: int
    replaced: int
    rejected: int
    dropped: int
    announced: int | None


Event = (
    PassageStarted
    | PageRead
    | StageStarted
    | EngineStarted
    | WorkersChanged
    | PartDone
    | WorkerLost
    | PartIsolated
    | PartDamaged
    | StageFinished
    | PageDone
    | SourceReconciled
)
Listener = Callable[[Event], None]

INGEST = "ingest"
"""What stands for the name of a stage where pages of sources are counted beside the parts of stages."""


def ignore(event: Event) -> None:
    """Listen to nothing."""


class EventLog:
    """A listener that writes every event down in the record of the run."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __call__(self, event: Event) -> None:
        """Append one event."""
        self._run.record({"event": type(event).__name__, **asdict(event)})


_KINDS: dict[str, type[Event]] = {kind.__name__: kind for kind in get_args(Event)}


def recorded_event(name: str, fields: dict[str, Any]) -> Event | None:
    """Make an event again from what ``EventLog`` wrote; None for what this version does not know."""
    kind = _KINDS.get(name)
    if kind is None:
        return None
    try:
        return kind(**fields)
    except TypeError:  # it has other fields in the version that wrote it
        return None
