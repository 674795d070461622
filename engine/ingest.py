"""From a source's pages to parts of the structures and rejects tables, resumable at any instant."""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.columns import contiguous, distinct_labels, list_offsets
from engine.errors import CrysiftError
from engine.execution.events import Listener, PageDone, ignore
from engine.execution.packing import predicted_pairs
from engine.schema import STRUCTURES
from engine.store import PartFooter, Store, Table
from engine.store.fingerprint import canonical_json
from engine.validation import Fault, Findings, StructureLimits, rejects_of, validate

PAGE_ROWS = 1024
PAGE_PAIRS = 2e7
"""Largest page, in rows and in predicted neighbour pairs; a part of the structures table is one page."""


@dataclass(frozen=True)
class Page:
    """A portion of a source; ``key`` identifies its content, ``payload`` tells the connector where it is."""

    key: str
    label: str
    payload: Any


class Connector(Protocol):
    """A source of structures."""

    source: str

    def describe(self) -> dict[str, Any]:
        """Tell what is read, for the record of the run (JSON values)."""

    def pages(self) -> Iterator[Page]:
        """Yield the portions of the source, each within ``PAGE_ROWS`` and ``PAGE_PAIRS``, or a single row."""

    def read(self, page: Page) -> tuple[pa.Table, pa.Table]:
        """Return candidates, with the columns of the structures table or fewer, and rejects (REJECTS)."""


@dataclass(frozen=True)
class IngestSummary:
    """Counts of this run; ``skipped_rows`` and ``skipped_rejects`` were in the store before."""

    pages: int = 0
    rows: int = 0
    rejected: int = 0
    skipped_pages: int = 0
    skipped_rows: int = 0
    skipped_rejects: int = 0

    def __add__(self, other: "IngestSummary") -> "IngestSummary":
        """Add counts."""
        mine, theirs = asdict(self), asdict(other)
        return IngestSummary(**{name: mine[name] + theirs[name] for name in mine})


@dataclass
class SeenIds:
    """A growing set of ids, 8 bytes each: sorted runs of 64-bit hashes, merged when they are of one size.

    Two of n ids share a hash with a probability of n²/2⁶⁵, 3·10⁻⁴ for a hundred million.
    """

    runs: list[NDArray[np.uint64]] = field(default_factory=list)
    parts: set[str] = field(default_factory=set)
    """Parts of the structures table whose ids are in the set."""

    def catch_up(self, structures: Table) -> None:
        """Put in the ids of the parts that were committed since the last call, by whatever run."""
        for part in sorted(structures.part_names() - self.parts):
            self.add_part(part, structures.read(part, ["structure_id"]))

    def add_part(self, part: str, structures: pa.Table) -> None:
        """Put in the ids of a part that has these ``structures``."""
        self.add(hash_ids(structures["structure_id"]))
        self.parts.add(part)

    def contains(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of ``hashes`` are in the set."""
        found = np.zeros(len(hashes), dtype=bool)
        for run in self.runs:
            places = np.minimum(np.searchsorted(run, hashes), len(run) - 1)
            found |= run[places] == hashes
        return found

    def add(self, hashes: NDArray[np.uint64]) -> None:
        """Put ``hashes`` into the set."""
        run = np.sort(hashes)
        while self.runs and len(self.runs[-1]) <= len(run):
            run = np.sort(np.concatenate([self.runs.pop(), run]), kind="stable")
        if len(run):
            self.runs.append(run)


def hash_ids(ids: Iterable[Any]) -> NDArray[np.uint64]:
    """64-bit hashes of ids."""
    digests = b"".join(blake2b(str(i).encode(), digest_size=8).digest() for i in ids)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def row_costs(species_at_sites: pa.ChunkedArray) -> NDArray[np.float64]:
    """Neighbour pairs that featurizing each row is predicted to visit (B,)."""
    labels = contiguous(species_at_sites)
    return predicted_pairs(np.diff(list_offsets(labels)), distinct_labels(labels))


def part_name(page: Page) -> str:
    """Name of the part that a page becomes."""
    return "part-" + blake2b(page.key.encode()).hexdigest()[:16]


def ingest(
    connector: Connector, store: Store, limits: StructureLimits, listener: Listener = ignore
) -> IngestSummary:
    """Bring every page of a source into the store once.

    A page whose structures part exists is skipped, if it was ingested with these limits; it may be another
    run, at work on the same store, that has just committed it. The rejects part is committed before the
    structures part, which completes the page; a run killed in between writes the same two parts again.

    Raises:
        CrysiftError: the source or the store cannot be used as they are, or the limits differ.
    """
    done = store.structures.part_names()
    seen = SeenIds()
    summary = IngestSummary()
    for page in connector.pages():
        started = time.perf_counter()
        part = part_name(page)
        skipped = part in done or not _ingest_page(connector, page, store, limits, seen)
        done.add(part)
        footer = store.structures.footer(part)
        rows, rejected = footer.rows_out, footer.failed
        if skipped:
            _check_limits(page, footer, limits)
            summary += IngestSummary(skipped_pages=1, skipped_rows=rows, skipped_rejects=rejected)
        else:
            summary += IngestSummary(pages=1, rows=rows, rejected=rejected)
        seconds = time.perf_counter() - started
        listener(PageDone(connector.source, page.label, rows, rejected, skipped, seconds))
    return summary


def _ingest_page(
    connector: Connector, page: Page, store: Store, limits: StructureLimits, seen: SeenIds
) -> bool:
    """Commit one page; returns False, having written nothing, where another run has just committed it."""
    moment = datetime.now(UTC)
    candidates, unreadable = connector.read(page)
    valid, invalid = validate(candidates, limits, moment)
    part = part_name(page)
    seen.catch_up(store.structures)
    if part in seen.parts:
        return False
    accepted, repeated = _separate_repeated(valid, seen, moment)
    rejects = pa.concat_tables([unreadable, invalid, repeated])
    rows_in, failed = len(accepted) + len(rejects), len(rejects)
    if failed or part in store.rejects.part_names():  # an interrupted run may have left other rejects
        store.rejects.commit(part, rejects, source_part=None, rows_in=rows_in, failed=failed, cost=0.0)
    cost = float(row_costs(accepted["species_at_sites"]).sum())
    cursor = canonical_json({"page": page.label, "limits": asdict(limits)})
    store.structures.commit(
        part, accepted, source_part=None, rows_in=rows_in, failed=failed, cost=cost, cursor=cursor
    )
    seen.add_part(part, accepted)
    return True


def _check_limits(page: Page, footer: PartFooter, limits: StructureLimits) -> None:
    """Raise CrysiftError, naming what differs, where a page was ingested with other limits."""
    kept = json.loads(footer.cursor or "{}").get("limits", {})
    differing = [
        f"{name}: {kept.get(name)} in the store, {value} asked"
        for name, value in asdict(limits).items()
        if kept.get(name) != value
    ]
    if differing:
        raise CrysiftError(
            f"{page.label} is in the store, accepted with other limits ({'; '.join(differing)}): "
            "ask for the same limits, or name another store"
        )


def _separate_repeated(table: pa.Table, seen: SeenIds, moment: datetime) -> tuple[pa.Table, pa.Table]:
    """Structures whose id is new, and rejects for those whose id came before, in this page or another."""
    hashes = hash_ids(table["structure_id"])
    repeated = np.ones(len(hashes), dtype=bool)
    repeated[np.unique(hashes, return_index=True)[1]] = False
    repeated |= seen.contains(hashes)
    if not repeated.any():
        return table, rejects_of(table.slice(0, 0), Findings.of_rows(0), moment)
    ids = table["structure_id"]
    findings = Findings.of_rows(len(table))
    fault = Fault(
        repeated,
        "DuplicateStructure",
        lambda i: (
            f"structure_id {ids[i]} is already in the store or came earlier in this source; "
            "ids must be unique: remove the copy, or give it another source_id"
        ),
    )
    findings.note([fault])
    accepted = table.filter(~repeated).replace_schema_metadata(STRUCTURES.metadata)
    return accepted, rejects_of(table, findings, moment)
