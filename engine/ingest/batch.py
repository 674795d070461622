"""Pages of one chain on their way to one part."""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from hashlib import blake2b

import pyarrow as pa

from engine.execution.packing import predicted_pairs
from engine.schema import REJECTS, STRUCTURES
from engine.source import PAGE_PAIRS, PAGE_ROWS, Page, PageContent
from engine.store.record import PartRecord
from engine.validation import StructureLimits

LARGEST_FETCH = 16 * PAGE_ROWS
"""Entries after which a part is committed though most of them were known: what a killed run fetches again."""


def part_name(page: Page) -> str:
    """Name of the part that begins with a page."""
    return "part-" + blake2b(page.key.encode()).hexdigest()[:16]


@dataclass
class Batch:
    """Consecutive pages, from ``first`` on, and what became of their entries so far."""

    first: Page
    pages: int = 0
    entries: int = 0
    accepted: list[pa.Table] = field(default_factory=list)
    rejects: list[pa.Table] = field(default_factory=list)
    cost: float = 0.0
    known: int = 0
    known_in: set[str] = field(default_factory=set)
    replaced: int = 0
    dropped: int = 0
    announced: int | None = None
    answered_at: datetime | None = None
    remarks: list[str] = field(default_factory=list)
    following: Page | None = None

    @property
    def part(self) -> str:
        """Name of the part that the batch becomes."""
        return part_name(self.first)

    @property
    def rows(self) -> int:
        """Structures accepted."""
        return sum(map(len, self.accepted))

    @property
    def failed(self) -> int:
        """Candidates rejected."""
        return sum(map(len, self.rejects))

    @property
    def is_full(self) -> bool:
        """Whether the part has grown to its size, or the chain ends."""
        large = self.rows + self.failed >= PAGE_ROWS or self.cost >= PAGE_PAIRS
        return large or self.entries >= LARGEST_FETCH or self.following is None

    @property
    def brings_nothing(self) -> bool:
        """Whether no entry became a row or a reject."""
        return not (self.rows or self.failed)

    def extend(self, content: PageContent, accepted: pa.Table, rejects: pa.Table) -> None:
        """Add a page: what it held, and which of it the store is to keep."""
        self.pages += 1
        self.entries += content.entries
        self.accepted.append(accepted)
        self.rejects.append(rejects)
        sizes, kinds = accepted["nsites"].to_numpy(), accepted["nelements"].to_numpy()
        self.cost += float(predicted_pairs(sizes, kinds).sum())
        self.dropped += content.dropped
        self.announced = content.announced
        self.answered_at = self.answered_at or content.answered_at
        self.remarks += [remark for remark in content.remarks if remark not in self.remarks]
        self.following = content.following

    def tables(self) -> tuple[pa.Table, pa.Table]:
        """The structures and the rejects of the part."""
        accepted = pa.concat_tables(self.accepted or [STRUCTURES.empty_table()])
        return accepted, pa.concat_tables(self.rejects or [REJECTS.empty_table()])

    def record(self, limits: StructureLimits, moment: datetime) -> PartRecord:
        """What the footer of the part is to say."""
        return PartRecord(
            label=self.first.label,
            limits=asdict(limits),
            pages=self.pages,
            entries=self.entries,
            known=self.known,
            known_in=tuple(sorted(self.known_in)),
            replaced=self.replaced,
            dropped=self.dropped,
            announced=self.announced,
            answered_at=self.answered_at.isoformat() if self.answered_at else None,
            ingested_at=moment.isoformat(timespec="microseconds"),
            remarks=tuple(self.remarks),
            following=self.following,
        )
