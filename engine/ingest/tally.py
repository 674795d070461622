"""Counts of a passage through a source, and whether they agree."""

from dataclasses import asdict, dataclass
from typing import Any

from engine.store.record import PartRecord


@dataclass
class Tally:
    """Sums over the parts of a passage; all but ``pages`` count entries of the source.

    ``replaced`` of the ``stored`` are later versions of structures that were there. ``announced`` is None
    where the source, or one of its chains, does not tell.
    """

    pages: int = 0
    entries: int = 0
    stored: int = 0
    known: int = 0
    replaced: int = 0
    rejected: int = 0
    dropped: int = 0
    announced: int | None = 0

    def add(self, record: PartRecord, stored: int, rejected: int) -> None:
        """Count a part."""
        self.pages += record.pages
        self.entries += record.entries
        self.stored += stored
        self.known += record.known
        self.replaced += record.replaced
        self.rejected += rejected
        self.dropped += record.dropped
        if record.following is None:  # the last page of a chain knows its total best
            self.announced = _sum(self.announced, record.announced)

    def __add__(self, other: "Tally") -> "Tally":
        """Sum of two tallies."""
        mine, theirs = asdict(self), asdict(other)
        announced = _sum(mine.pop("announced"), theirs.pop("announced"))
        return Tally(announced=announced, **{name: mine[name] + theirs[name] for name in mine})

    def as_json(self) -> dict[str, Any]:
        """Return the counts as JSON values."""
        return asdict(self)

    @property
    def missing(self) -> int:
        """Entries that were announced and did not arrive."""
        return max(0, (self.announced or 0) - self.entries)

    def shortfall(self) -> str | None:
        """What to say where the counts do not agree, or None."""
        faults = []
        if self.announced is not None and self.announced != self.entries:
            difference = self.announced - self.entries
            which = "are missing" if difference > 0 else "are too many"
            dropped = f"; {self.dropped:,} of them were left out of their pages" if self.dropped else ""
            faults.append(
                f"{self.announced:,} entries were announced and {self.entries:,} arrived: "
                f"{abs(difference):,} {which}{dropped}"
            )
        accounted = self.stored + self.known + self.rejected
        if accounted != self.entries:
            faults.append(f"{self.entries:,} entries arrived and {accounted:,} are stored, known or rejected")
        return "; ".join(faults) or None


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other
