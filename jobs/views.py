"""DuckDB views over the tables of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engine.store import Store, Table


def connect(store: Store) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB with one view per table of the store.

    A table with a hash in its folder's name (`features_soap-1a2b3c4d`) has two: `features_soap_1a2b3c4d`, and
    `features_soap` for the newest of its name. Views read only the parts that are committed now.
    """
    connection = duckdb.connect()
    if not store.folder.is_local:
        connection.register_filesystem(store.folder.filesystem)
    for table in (store.structures, store.rejects):
        add_view(connection, table.name, table, table.part_names())
    derived = [table for table in store.tables() if table.name != table.folder.name]
    for table in derived:
        add_view(connection, sql_name(table.folder.name), table, table.part_names())
    for name in sorted({table.name for table in derived}):
        newest = sql_name(store.latest(name).folder.name)
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM {newest}")
    return connection


def add_view(connection: duckdb.DuckDBPyConnection, name: str, table: Table, parts: Iterable[str]) -> None:
    """Create a view over some parts of a table; without parts, one with the table's columns and no rows."""
    paths = sorted(table.folder.path(f"{part}.parquet") for part in parts)
    if paths:
        files = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet([{files}])")
    elif table.schema is not None:
        connection.register(name, table.schema.empty_table())


def sql_name(folder_name: str) -> str:
    """Return the name of the view of a table's folder."""
    return folder_name.replace("-", "_")
