"""The loop that keeps every worker of a cluster at one part: the same for Dask and Ray."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from engine.execution.events import Event, PartDone, WorkersChanged
from engine.execution.recovery import Assignment, Backlog

TICK_SECONDS = 1.0
"""How long to wait for a part before looking after the workers again."""


@dataclass(frozen=True)
class Loss:
    """A worker is gone: ``part`` is what it had, empty where it was starting; ``reason`` is why, if known."""

    part: str
    reason: str = ""


class Crew(Protocol):
    """The workers of one stage, each with at most one part, so that a lost one tells which part it had."""

    @abstractmethod
    def tend(self, remaining: int) -> None:
        """Hire and replace workers for the ``remaining`` parts; never waits for them."""

    @property
    @abstractmethod
    def ready(self) -> int:
        """Workers that have started."""

    @property
    @abstractmethod
    def wanted(self) -> int:
        """Workers that there should be, as far as the cluster places them."""

    @property
    @abstractmethod
    def free(self) -> int:
        """Workers that have started and have no part."""

    @abstractmethod
    def submit(self, assignment: Assignment) -> None:
        """Give a part to a free worker."""

    @abstractmethod
    def collect(self, seconds: float) -> PartDone | Loss | None:
        """Wait for the next result; None when none came in time. Raises what a part raised."""


def dispatch(backlog: Backlog, crew: Crew, stage: str) -> Iterator[Event]:
    """Hand out all parts; yield what becomes of them, and every change of the number of workers."""
    told = (0, 0)
    while backlog.unfinished:
        crew.tend(backlog.unfinished)
        backlog.workers = max(backlog.workers, crew.wanted)
        if (now := (crew.ready, crew.wanted)) != told:
            told = now
            yield WorkersChanged(stage, *now)
        while backlog and crew.free:
            crew.submit(backlog.take())
        match crew.collect(TICK_SECONDS):
            case PartDone() as done:
                backlog.done(done.part)
                yield done
            case Loss() as loss:
                yield from backlog.lost(loss.part, loss.reason)
