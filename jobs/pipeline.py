"""The steps of a screening, each usable alone: ingest sources, then derive one table after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from engine.errors import CrysiftError
from engine.execution import EventLog, Listener, execute, plan_stage
from engine.ingest import Connector, Page, ingest, part_name
from engine.store import Run, Store, Table

if TYPE_CHECKING:
    import pyarrow as pa

    from engine.execution import Event
    from engine.stage import Stage
    from engine.validation import StructureLimits
    from jobs.settings import ExecutionSettings


@contextmanager
def recorded_run(
    store: Store, command: str, settings: dict[str, Any], listener: Listener
) -> Iterator[tuple[Run, Listener]]:
    """Open the record of a run in the store; yield it and a listener that also writes to its log."""
    store.sweep()
    run = store.start_run(command, settings)
    log = EventLog(run)

    def tell(event: Event) -> None:
        log(event)
        listener(event)

    yield run, tell


class FollowedConnector:
    """A connector that remembers which parts its pages become, done before or not."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self.source = connector.source
        self.parts: set[str] = set()

    def describe(self) -> dict[str, Any]:
        """Return what is read."""
        return self._connector.describe()

    def pages(self) -> Iterator[Page]:
        """Pass the pages on."""
        for page in self._connector.pages():
            self.parts.add(part_name(page))
            yield page

    def read(self, page: Page) -> tuple[pa.Table, pa.Table]:
        """Read a page."""
        return self._connector.read(page)


def open_sources(sources: Sequence[str], file_format: str | None) -> list[FollowedConnector]:
    """Open all sources; raises CrysiftError for one that does not exist or whose format must be named."""
    from connectors import open_sources as opened

    return [FollowedConnector(connector) for connector in opened(sources, file_format)]


def ingest_all(
    connectors: Sequence[FollowedConnector], store: Store, limits: StructureLimits, listener: Listener
) -> frozenset[str]:
    """Bring structures from all sources into the store; return the names of the parts that they make up."""
    for connector in connectors:
        ingest(connector, store, limits, listener)
    parts = frozenset[str]().union(*(connector.parts for connector in connectors))
    if not parts:
        raise CrysiftError("the sources hold no structures: their tables have no rows")
    return parts


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
    )
    execute(plan, listener)
    return plan.target


def rows_of(table: Table, parts: frozenset[str]) -> int:
    """Return how many rows some parts of a table hold, from their footers."""
    return sum(table.footer(part).rows_out for part in parts & table.part_names())
