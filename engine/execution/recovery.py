"""The parts that lost workers held: tried again last, then in isolation; and when to give up."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from engine.errors import CrysiftError
from engine.execution.events import PartIsolated, WorkerLost

ISOLATED_AFTER = 2
"""Workers that a part may cost before a child process does it, so that the worker survives."""

LOSSES_ALLOWED = 10
"""Workers that a part may cost in all: in isolation it is not the part that kills them."""

STARTS_ALLOWED = 3
"""Losses at start, per worker wanted and without any success in between."""


@dataclass(frozen=True)
class Assignment:
    """A part to do, ``isolated`` where it has cost workers before."""

    part: str
    isolated: bool


class Backlog:
    """The parts still to be done, and how many workers each part, or a start, has cost."""

    def __init__(self, stage: str, parts: Iterable[str], workers: int) -> None:
        self._stage = stage
        self._waiting = deque(parts)
        self.workers = workers
        """The most that were wanted so far: so many may die at once where a node goes."""
        self._losses: Counter[str] = Counter()
        self.unfinished = len(self._waiting)

    def __len__(self) -> int:
        """Parts that nobody has."""
        return len(self._waiting)

    def take(self) -> Assignment:
        """Hand out the next part; raises IndexError where none is left."""
        part = self._waiting.popleft()
        return Assignment(part, self._losses[part] >= ISOLATED_AFTER)

    def done(self, part: str) -> None:
        """Record that a part is committed."""
        self.unfinished -= 1
        self._losses.pop(part, None)
        self._losses.pop("", None)

    def lost(self, part: str, reason: str = "") -> Iterator[WorkerLost | PartIsolated]:
        """Record that a worker died with ``part`` and put it behind all others: these are done first.

        ``part`` is empty where the worker died while it started. Raises CrysiftError where it is no use to go
        on.
        """
        self._losses[part] += 1
        losses = self._losses[part]
        yield WorkerLost(self._stage, part, losses)
        if losses >= (LOSSES_ALLOWED if part else STARTS_ALLOWED * self.workers):
            where = f"on {part}, the last ones alone with it" if part else "at start"
            raise CrysiftError(
                f"{losses} workers of stage {self._stage} died {where}{reason and f' ({reason})'}, most "
                "often for lack of memory: run with fewer workers, or with --executor inline to see the cause"
            )
        if part:
            self._waiting.append(part)
        if losses == ISOLATED_AFTER and part:
            yield PartIsolated(self._stage, part, losses)
