"""The steps of a screening, each usable alone: ingest sources, then derive one table from another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from engine.errors import CrysiftError
from engine.execution import EventLog, Listener, PartDamaged, execute, plan_stage
from engine.execution.metrics import RayMetrics
from engine.ingest import ingest
from engine.stage import START, Stage
from engine.store import DamagedPartError, Run, Store, Table
from jobs.outcome import record_failure

if TYPE_CHECKING:
    from engine.execution import Event
    from engine.ingest import IngestSummary
    from engine.source import Connector
    from engine.validation import StructureLimits
    from jobs.settings import ExecutionSettings


@contextmanager
def recorded_run(
    store: Store, command: str, settings: dict[str, Any], listener: Listener
) -> Iterator[tuple[Run, Listener]]:
    """Open the record of a run in the store; yield it and a listener that also logs and measures.

    An error that ends the run is recorded and passes through.
    """
    store.sweep()
    run = store.start_run(command, settings)
    log, metrics = EventLog(run), RayMetrics()

    def tell(event: Event) -> None:
        for each in (log, metrics, listener):
            each(event)

    with run.at_work(), metrics:
        try:
            yield run, tell
        except BaseException as error:
            record_failure(run, error)
            raise


def ingest_all(
    connectors: Sequence[Connector],
    store: Store,
    limits: StructureLimits,
    listener: Listener,
    *,
    full: bool = False,
) -> list[IngestSummary]:
    """Bring structures from all sources into the store, as ``ingest`` does; return what each brought."""
    summaries = [ingest(connector, store, limits, listener, full=full) for connector in connectors]
    if not any(summary.parts for summary in summaries):
        raise CrysiftError("the sources hold no structures: their tables have no rows")
    return summaries


def parts_of(summaries: Iterable[IngestSummary]) -> frozenset[str]:
    """Return the names of the parts that sources make up together."""
    return frozenset[str]().union(*(summary.parts for summary in summaries))


def derive(
    store: Store, stage: Stage, source: Table, execution: ExecutionSettings, listener: Listener
) -> Table:
    """Bring the stage's table up to date with its source; return the table."""
    plan = plan_stage(
        store,
        stage,
        execution.executor_of(stage),
        execution.workers,
        source=source,
        allow_new=execution.add_table,
        cluster=execution.cluster,
    )
    execute(plan, listener)
    return plan.target


def derive_all(
    store: Store,
    stages: Sequence[Stage],
    execution: ExecutionSettings,
    listener: Listener,
    sources: Mapping[str, Table] | None = None,
) -> dict[str, Table]:
    """Derive the table of each stage from that of its source, which an earlier stage made.

    `sources` are the tables to begin with, by name; by default the structures. Returns the derived ones.
    A part that turns out damaged when a later stage reads it is taken away and made again, once.
    """
    given = sources or {START: store.structures}
    mended: set[tuple[str, str]] = set()
    while True:
        derived: dict[str, Table] = {}
        try:
            for stage in stages:
                source = given[stage.source] if stage.source in given else derived[stage.source]
                derived[stage.name] = derive(store, stage, source, execution, listener)
        except DamagedPartError as damage:
            places = {table.folder.url: table for table in derived.values()}
            if damage.table not in places or (damage.table, damage.part) in mended:
                raise
            mended.add((damage.table, damage.part))
            places[damage.table].discard(damage.part)
            listener(PartDamaged(places[damage.table].folder.name, damage.part, damage.reason))
        else:
            return derived


def rows_of(table: Table, parts: frozenset[str]) -> int:
    """Return how many rows some parts of a table hold, from their footers."""
    return sum(footer.rows_out for footer in table.footers(parts & table.part_names()).values())
