"""Structures that a benchmark draws, as parts of a table whose names tell their content beforehand."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from engine.errors import CrysiftError
from engine.execution.events import PartDone, StageFinished, StageStarted
from engine.structure import structures_table
from jobs.bench.processes import workers
from jobs.pipeline import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from engine.execution import Listener
    from engine.store import Store, Table
    from engine.structure import Structure

STAGE = "structures"


class DrawnPart(Protocol):
    """Structures that are drawn and stored together."""

    @property
    def name(self) -> str:
        """The part's name in the table: another where the structures are others."""

    @property
    def rows(self) -> int:
        """How many structures."""

    @property
    def cost(self) -> float:
        """Predicted neighbour pairs."""

    def structures(self) -> list[Structure]:
        """Draw them."""


def write_structures(
    store: Store, drawn: Sequence[DrawnPart], what: str, listener: Listener, processes: int
) -> None:
    """Bring all structures into the store; an interrupted call goes on where it stopped.

    Raises CrysiftError where the store holds structures that are none of `what`.
    """
    parts = {part.name: part for part in drawn}
    present = store.structures.part_names()
    if present - parts.keys():
        raise CrysiftError(
            f"{store.folder.url} holds structures that are none of {what}: name another folder with --store"
        )
    missing = [part for name, part in parts.items() if name not in present]
    done = rows_of(store.structures, frozenset(present))
    _commit_all(store.structures, missing, done, listener, min(processes, len(missing)))


def _commit_all(
    table: Table, parts: Sequence[DrawnPart], done: int, listener: Listener, processes: int
) -> None:
    rows = sum(part.rows for part in parts)
    words = f"{STAGE}: {rows:,} to draw, {done:,} drawn before"
    cost = sum(part.cost for part in parts)
    listener(StageStarted(STAGE, len(parts), rows, done, "inline", max(1, processes), cost, words))
    seconds = 0.0
    for event in _committed(table, parts, processes):
        seconds += event.seconds
        listener(event)
    listener(StageFinished(STAGE, len(parts), rows, 0, done, seconds / max(1, processes)))


def _committed(table: Table, parts: Sequence[DrawnPart], processes: int) -> Iterator[PartDone]:
    if processes < 2 or len(parts) < 4 * processes:
        yield from (_commit((table, part)) for part in parts)
        return
    with workers(processes) as apply:
        step = 4 * processes
        for start in range(0, len(parts), step):
            yield from apply(_commit, [(table, part) for part in parts[start : start + step]])


def _commit(task: tuple[Table, DrawnPart]) -> PartDone:
    table, part = task
    started = time.perf_counter()
    rows = _undated(structures_table(part.structures()))
    table.commit(part.name, rows, source_part=None, rows_in=len(rows), failed=0, cost=part.cost)
    return PartDone(STAGE, part.name, len(rows), {}, time.perf_counter() - started, part.cost)


def _undated(rows: pa.Table) -> pa.Table:
    """Put one time for all, so that the same draw is the same part, byte for byte."""
    place = rows.schema.get_field_index("fetched_at")
    field = rows.schema.field(place)
    return rows.set_column(place, field, pa.array([0] * len(rows), field.type))
