"""From a source's pages to parts of the structures and rejects tables, resumable at any instant."""

import json
import time
from collections.abc import Iterator
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
from engine.known import KnownStructures, content_hashes, id_hashes
from engine.schema import STRUCTURES
from engine.store import Store
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


@dataclass
class IngestSummary:
    """Counts of a call: pages read or found done, and the rows of their parts.

    ``parts`` make up the source: its pages' own, and those that hold structures which the store knew before.
    """

    pages: int = 0
    skipped_pages: int = 0
    rows: int = 0
    rejected: int = 0
    parts: set[str] = field(default_factory=set)


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
    structures part, which completes the page; a run killed in between writes the same two parts again. A
    structure that the store holds already, with the same id and content, is neither stored nor rejected
    again.

    Raises:
        CrysiftError: the source or the store cannot be used as they are, or the limits differ.
    """
    done = store.structures.part_names()
    known = KnownStructures()
    summary = IngestSummary()
    for page in connector.pages():
        started = time.perf_counter()
        part = part_name(page)
        skipped = part in done or not _ingest_page(connector, page, store, limits, known)
        done.add(part)
        footer = store.structures.footer(part)
        record = json.loads(footer.cursor or "{}")
        if skipped:
            _check_limits(page, record.get("limits", {}), limits)
        summary.pages += not skipped
        summary.skipped_pages += skipped
        summary.rows += footer.rows_out
        summary.rejected += footer.failed
        summary.parts |= {part, *record.get("known_in", [])}
        seconds = time.perf_counter() - started
        listener(PageDone(connector.source, page.label, footer.rows_out, footer.failed, skipped, seconds))
    return summary


def _ingest_page(
    connector: Connector, page: Page, store: Store, limits: StructureLimits, known: KnownStructures
) -> bool:
    """Commit one page; returns False, having written nothing, where another run has just committed it."""
    moment = datetime.now(UTC)
    candidates, unreadable = connector.read(page)
    valid, invalid = validate(candidates, limits, moment)
    part = part_name(page)
    known.catch_up(store.structures)
    if part in known.parts:
        return False
    held = known.contents.contains(content_hashes(valid))
    known_in = known.holders(id_hashes(valid)[held])
    accepted, repeated = _separate_repeated(valid.filter(~held), known, moment)
    rejects = pa.concat_tables([unreadable, invalid, repeated])
    rows_in, failed = len(accepted) + len(rejects), len(rejects)
    if failed or part in store.rejects.part_names():  # an interrupted run may have left other rejects
        store.rejects.commit(part, rejects, source_part=None, rows_in=rows_in, failed=failed, cost=0.0)
    cost = float(row_costs(accepted["species_at_sites"]).sum())
    cursor = canonical_json({"page": page.label, "limits": asdict(limits), "known_in": sorted(known_in)})
    store.structures.commit(
        part, accepted, source_part=None, rows_in=rows_in, failed=failed, cost=cost, cursor=cursor
    )
    known.add_part(part, accepted)
    return True


def _check_limits(page: Page, kept: dict[str, Any], limits: StructureLimits) -> None:
    """Raise CrysiftError, naming what differs, where a page was ingested with other limits."""
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


def _separate_repeated(
    table: pa.Table, known: KnownStructures, moment: datetime
) -> tuple[pa.Table, pa.Table]:
    """Structures whose id is new, and rejects for those whose id came before with other content."""
    hashes = id_hashes(table)
    repeated = np.ones(len(hashes), dtype=bool)
    repeated[np.unique(hashes, return_index=True)[1]] = False
    changed = known.ids.contains(hashes)
    ids = table["structure_id"]
    findings = Findings.of_rows(len(table))
    findings.note(
        [
            Fault(
                changed,
                "ChangedStructure",
                lambda i: (
                    f"structure_id {ids[i]} is in the store with other content, and a store keeps one "
                    "structure per id: screen what changed, or what has the same name, into another store"
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
    accepted = table.filter(~findings.faulty).replace_schema_metadata(STRUCTURES.metadata)
    return accepted, rejects_of(table, findings, moment)
