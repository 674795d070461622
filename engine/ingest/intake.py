"""From the candidates of a page to rows and rejects of the store, with versions told apart."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine.errors import CrysiftError
from engine.ingest.batch import Batch
from engine.ingest.known import Entries, KnownRejects, KnownStructures, State, entries_of
from engine.schema import STRUCTURES
from engine.source import PageContent
from engine.store import Store
from engine.store.record import PartRecord
from engine.validation import Fault, Findings, StructureLimits, rejects_of, validate


@dataclass(frozen=True)
class Vetted:
    """A page after validation: the structures, their states (B,) and holders (B,), and the rejects."""

    content: PageContent
    valid: pa.Table
    entries: Entries
    states: NDArray[np.int8]
    holders: NDArray[np.str_]
    rejects: pa.Table
    moment: datetime


@dataclass
class Intake:
    """Validates what pages hold against ``limits``, and commits batches to ``store``."""

    store: Store
    limits: StructureLimits
    known: KnownStructures = field(default_factory=KnownStructures)

    def vet(self, content: PageContent) -> Vetted:
        """Validate a page, and compare it with what the store holds."""
        moment = datetime.now(UTC)
        self.known.catch_up(self.store.structures)
        valid, invalid = validate(content.candidates, self.limits, moment)
        entries = entries_of(valid)
        states, indices = self.known.compare(entries)
        holders = np.array([*self.known.parts, ""])[indices]
        rejects = pa.concat_tables([content.rejects, invalid])
        return Vetted(content, valid, entries, states, holders, rejects, moment)

    def take(self, page: Vetted, batch: Batch, final: Collection[str]) -> None:
        """Add a page to the batch, less the rows and rejects that the store holds unchanged.

        An id that a ``final`` part holds is not revised: it came twice in the source.
        """
        chosen, repeated = _choose(page, np.isin(page.holders, list(final)))
        accepted = page.valid if chosen.all() else page.valid.filter(chosen)
        rejects = pa.concat_tables([page.rejects, repeated])
        told, told_in = self._known_rejects.find(rejects)
        same = page.states == State.SAME
        batch.known += int(same.sum()) + int(told.sum())
        batch.known_in |= (told_in | set(np.unique(page.holders[same]).tolist())) - {batch.part}
        batch.replaced += int((page.states[chosen] == State.CHANGED).sum())
        accepted = accepted.replace_schema_metadata(STRUCTURES.metadata)
        batch.extend(page.content, accepted, rejects.filter(~told))
        self.known.add(page.entries[chosen], batch.part)

    def revises(self, page: Vetted, batch: Batch) -> bool:
        """Whether the page has a later version of a row in the batch: a part holds one row per id."""
        return bool((page.holders[page.states == State.CHANGED] == batch.part).any())

    @cached_property
    def _known_rejects(self) -> KnownRejects:
        return KnownRejects.of(self.store)

    def commit(self, batch: Batch, record: PartRecord) -> bool:
        """Write the batch; returns False where another run has meanwhile committed it, or any of its ids.

        The rejects part is committed before the structures part, which completes the batch; a run killed in
        between writes the same two parts again. After False, nothing is known and all is to be read again.
        """
        part = batch.part
        if self._was_overtaken(batch):
            self.known = KnownStructures()
            return False
        accepted, rejects = batch.tables()
        rows_in, failed = len(accepted) + len(rejects), len(rejects)
        if failed or part in self.store.rejects.part_names():  # an interrupted run may have left others
            self.store.rejects.commit(part, rejects, source_part=None, rows_in=rows_in, failed=failed, cost=0)
        try:
            self.store.structures.commit(
                part,
                accepted,
                source_part=None,
                rows_in=rows_in,
                failed=failed,
                cost=batch.cost,
                cursor=record.to_json(),
                exclusive=True,
            )
        except FileExistsError:
            self.known = KnownStructures()
            return False
        return True

    def record_of(self, batch: Batch) -> PartRecord:
        """What the footer of the batch's part is to say; later than all parts in the store, by any clock."""
        now = datetime.now(UTC)
        if self.known.newest:
            now = max(now, datetime.fromisoformat(self.known.newest) + timedelta(microseconds=1))
        record = batch.record(self.limits, now)
        self.known.newest = record.ingested_at
        return record

    def _was_overtaken(self, batch: Batch) -> bool:
        """Whether the batch, or one of its ids, is in a part that another run has just committed."""
        structures = self.store.structures
        committed = structures.part_names()
        if batch.part in committed:
            return True
        mine = batch.tables()[0]["structure_id"].combine_chunks()
        fresh = committed - self.known.index.keys()
        theirs = (structures.read(part, ["structure_id"])["structure_id"] for part in fresh)
        return any(pc.any(pc.is_in(ids, mine)).as_py() for ids in theirs)

    def check_limits(self, record: PartRecord) -> None:
        """Raise CrysiftError, naming what differs, where a part was ingested with other limits."""
        differing = [
            f"{name}: {record.limits.get(name)} in the store, {value} asked"
            for name, value in asdict(self.limits).items()
            if record.limits.get(name) != value
        ]
        if differing:
            raise CrysiftError(
                f"{record.label} is in the store, accepted with other limits ({'; '.join(differing)}): "
                "ask for the same limits, or name another store"
            )


def _choose(page: Vetted, final: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], pa.Table]:
    """Which rows to store (B,), new ids and later versions; and rejects, whose id another structure has."""
    same = page.states == State.SAME
    fresh = np.flatnonzero(~same)
    first = fresh[np.unique(page.entries["id"][fresh], return_index=True)[1]]
    repeated = (~np.isin(np.arange(len(same)), first) | final) & ~same
    ids, urls = page.valid["structure_id"], page.valid["url"]
    findings = Findings.of_rows(len(same))
    findings.note(
        [
            Fault(
                page.states == State.FOREIGN,
                "ForeignStructure",
                lambda i: (
                    f"structure_id {ids[i]} is in the store with other content from another place than "
                    f"{urls[i]}: ingest what has the same names into another store"
                ),
            ),
            Fault(
                repeated,
                "DuplicateStructure",
                lambda i: (
                    f"structure_id {ids[i]} came earlier in this source; ids must be unique: remove the "
                    "copy, or give it another source_id"
                ),
            ),
        ]
    )
    return ~(same | findings.faulty), rejects_of(page.valid, findings, page.moment)
