"""What a store knows of its structures, joined: their columns, predictions, protostructures and places."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

    from engine.store import Store, Table

MEMORY = "1GB"
"""What DuckDB takes before it writes to temporary files."""

_EMPTY = {
    "map": """SELECT NULL::VARCHAR AS structure_id, NULL::INTEGER AS cluster, NULL::FLOAT AS x,
        NULL::FLOAT AS y LIMIT 0""",
    "predictions": """SELECT NULL::VARCHAR AS structure_id, NULL::VARCHAR AS prototype,
        NULL::FLOAT AS probability, NULL::FLOAT AS mutual_information, NULL::FLOAT AS ood_score,
        NULL::BOOLEAN AS is_ood LIMIT 0""",
    "protostructures": "SELECT NULL::VARCHAR AS structure_id, NULL::VARCHAR AS protostructure LIMIT 0",
}


@contextmanager
def joined_tables(
    store: Store, predictions: Table | None, map_table: Table | None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the views `structures`, `predictions`, `protostructures` and `map` on the current structures.

    A view without a table is empty, but has the columns that matter. The protostructures are the newest.
    What does not fit into a gigabyte of memory goes to temporary files.
    """
    from engine.store import Superseded
    from jobs.views import add_view, open_connection

    tables = {
        "structures": store.structures,
        "predictions": predictions,
        "protostructures": newest(store.existing("protostructures")),
        "map": map_table,
    }
    with tempfile.TemporaryDirectory() as folder, open_connection(store) as connection:
        connection.execute(f"SET memory_limit = '{MEMORY}'")
        connection.execute("SET temp_directory = $folder", {"folder": folder})
        superseded = Superseded.of(store)
        for name, table in tables.items():
            if table is None:
                connection.execute(f"CREATE VIEW {name} AS {_EMPTY[name]}")
            else:
                add_view(connection, name, table, table.part_names(), superseded)
        yield connection


def newest(tables: list[Table]) -> Table | None:
    """Return the last of the tables, if there is one."""
    return tables[-1] if tables else None


def predictions_of(store: Store, map_table: Table) -> Table | None:
    """Find the newest predictions of the vectors that a map shows, or those that it shows itself."""
    read = map_table.fingerprint.source_table
    tables = store.existing("predictions_arise")
    return newest([table for table in tables if read in (table.folder.name, table.fingerprint.source_table)])
