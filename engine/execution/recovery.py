"""The part that a lost worker held: tried again last, and given up where it kills every worker."""

from collections import Counter, deque
from collections.abc import Iterable

from engine.errors import CrysiftError
from engine.execution.events import WorkerLost

LOSSES_ALLOWED = 3


class Backlog:
    """The parts still to be handed out, and how many workers each part, or a start, has cost."""

    def __init__(self, stage: str, parts: Iterable[str]) -> None:
        self._stage = stage
        self._waiting = deque(parts)
        self._losses: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self) -> str:
        """Hand out the next part; raises IndexError where none is left."""
        return self._waiting.popleft()

    def lost(self, part: str) -> WorkerLost:
        """Record that a worker died with ``part`` and put it behind all others: these are done first.

        ``part`` is empty where the worker died while it opened the stage. Raises CrysiftError at the third
        loss.
        """
        self._losses[part] += 1
        if self._losses[part] >= LOSSES_ALLOWED:
            where = f"on {part}" if part else "at start"
            raise CrysiftError(
                f"{self._losses[part]} workers of stage {self._stage} died {where}, most often for lack of "
                "memory: run with fewer workers, or with --executor inline to see the cause"
            )
        if part:
            self._waiting.append(part)
        return WorkerLost(self._stage, part, self._losses[part])
