"""What the tables of a store hold: counted from the footers, and by class from the failed rows' column."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from engine.store import DamagedPartError
from engine.store.parallel import in_parallel
from engine.store.remote import REQUESTS_AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.store import Store, Table


def table_states(store: Store) -> list[dict[str, Any]]:
    """Return parts, rows, failures by class and damaged parts of every table; what derived ones lack."""
    tables = {table.folder.name: table for table in store.tables()}
    return [_state(table, tables.get(table.fingerprint.source_table or "")) for table in tables.values()]


def _state(table: Table, source: Table | None) -> dict[str, Any]:
    footers, damaged = {}, {}
    for part, footer in table.examined(table.part_names()):
        if isinstance(footer, DamagedPartError):
            damaged[part] = footer.reason
        else:
            footers[part] = footer
    if not any(footer.source_part for footer in footers.values()):  # not derived part by part
        source = None
    ingested = table.schema is not None
    failing = [part for part, footer in footers.items() if footer.failed or ingested]
    return {
        "table": table.folder.name,
        "parts": len(footers) + len(damaged),
        "rows": sum(footer.rows_out for footer in footers.values()),
        "failed": None if source is None else sum(footer.failed for footer in footers.values()),
        "failures": dict(_failures(table, failing).most_common()),
        "missing_parts": None if source is None else len(source.part_names() - footers.keys()),
        "damaged_parts": damaged,
        "source": table.fingerprint.source_table,
        "settings": table.fingerprint.settings,
    }


def _failures(table: Table, parts: Sequence[str]) -> Counter[str]:
    """Count the rows of some parts that failed or were rejected, by class."""
    if table.schema is not None and "error_class" not in table.schema.names:
        return Counter()

    def classes(part: str) -> Counter[str]:
        column = table.read(part, ["error_class"])["error_class"]
        return Counter(column.drop_null().to_pylist())

    failures: Counter[str] = Counter()
    for _, found in in_parallel(classes, parts, REQUESTS_AT_ONCE):
        failures.update(found)
    return failures
