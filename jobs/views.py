"""DuckDB views over the tables of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engine.store import Store, Superseded, Table


TWINS = """SELECT coalesce(sum(n), 0)
    FROM (SELECT count(*) AS n FROM structures GROUP BY content_hash) WHERE n > 1"""


def connect(store: Store) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB with one view per table of the store.

    A table with a hash in its folder's name (`features_soap-1a2b3c4d`) has two: `features_soap_1a2b3c4d`, and
    `features_soap` for the newest of its name. Views read only the parts that are committed now, and of each
    structure its latest version; `structures_history` has all versions. Where both networks have predicted,
    `verdicts` shows what they say side by side.
    """
    from engine.store import Superseded

    connection = open_connection(store)
    superseded, unfiltered = Superseded.of(store), Superseded({})
    add_view(connection, "structures", store.structures, store.structures.part_names(), superseded)
    add_view(connection, "structures_history", store.structures, store.structures.part_names(), unfiltered)
    add_view(connection, "rejects", store.rejects, store.rejects.part_names(), unfiltered)
    derived = [table for table in store.tables() if table.name != table.folder.name]
    for table in derived:
        add_view(connection, sql_name(table.folder.name), table, table.part_names(), superseded)
    newest = {name: store.latest(name) for name in sorted({table.name for table in derived})}
    for name, table in newest.items():
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM {sql_name(table.folder.name)}")
    if {"predictions_arise", "predictions_diffraction"} <= newest.keys():
        read = newest["predictions_diffraction"].fingerprint.source_table
        held = [table.folder.name for table in derived]
        add_verdicts(connection, sql_name(read) if read in held else None)
    return connection


def open_connection(store: Store) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB without views, which reads the store wherever it is."""
    connection = duckdb.connect()
    if not store.folder.is_local:
        connection.register_filesystem(store.folder.filesystem)
    return connection


def add_view(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    table: Table,
    parts: Iterable[str],
    superseded: Superseded,
) -> None:
    """Create a view over the current rows of some parts of a table; without parts, one without rows."""
    ordered = _sound_one_first(table, sorted(parts))
    paths = [table.folder.path(f"{part}.parquet") for part in ordered]
    if not paths:
        if table.schema is not None:
            connection.register(name, table.schema.empty_table())
        return
    files = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    if not superseded.ids or not _is_by_structure(table, ordered[0]):
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet([{files}])")
        return
    connection.register("superseded", superseded.as_table())
    connection.execute(
        f"CREATE VIEW {name} AS SELECT * EXCLUDE (filename) "
        f"FROM read_parquet([{files}], filename=true) AS rows "
        "ANTI JOIN superseded ON superseded.structure_id = rows.structure_id "
        "AND superseded.part = parse_filename(rows.filename, true)"
    )


def add_whole(connection: duckdb.DuckDBPyConnection, name: str, table: Table) -> None:
    """Create a view over all parts of a table that no structure's newer version takes rows from."""
    from engine.store import Superseded

    add_view(connection, name, table, table.part_names(), Superseded({}))


def add_verdicts(connection: duckdb.DuckDBPyConnection, features: str | None) -> None:
    """Create the view `verdicts` over the views `predictions_arise` and `predictions_diffraction`.

    It has every structure that either network was asked about, and what both say of it. `agree` compares the
    two at what both can say: one of the four cubic elemental prototypes, or "other", which is also what a
    structure out of distribution counts as; it is null where one of the two failed. `space_group` is that of
    the view `features`, which `predictions_diffraction` were made of.
    """
    from models.prototypes import CUBIC_ELEMENTAL

    cases = " ".join(f"WHEN '{label}' THEN '{name}'" for label, name in CUBIC_ELEMENTAL.items())
    arise = _unless_unknown("arise", f"CASE arise.prototype {cases} ELSE 'other' END")
    diffraction = _unless_unknown("diffraction", "diffraction.prototype")
    space_group = "NULL::INTEGER" if features is None else "features.space_group"
    of_features = "" if features is None else f"LEFT JOIN {features} AS features USING (structure_id)"
    connection.execute(f"""CREATE VIEW verdicts AS
        SELECT structure_id, {_verdict("arise")}, {_verdict("diffraction")},
            {space_group} AS space_group, {arise} = {diffraction} AS agree
        FROM predictions_arise AS arise FULL JOIN predictions_diffraction AS diffraction USING (structure_id)
        {of_features}""")


def _verdict(model: str) -> str:
    columns = ("prototype", "probability", "is_ood", "mutual_information")
    return ", ".join(f"{model}.{column} AS {model}_{column}" for column in columns)


def _unless_unknown(model: str, name: str) -> str:
    """SQL for the name of what is recognised, "other" if out of distribution, null if failed."""
    return f"CASE WHEN {model}.status = 'ok' THEN CASE WHEN {model}.is_ood THEN 'other' ELSE {name} END END"


def _is_by_structure(table: Table, part: str) -> bool:
    """Whether rows are of structures; a part so damaged that it does not tell counts as one of them."""
    from engine.store import DamagedPartError

    try:
        return "structure_id" in table.part_schema(part).names
    except DamagedPartError:
        return True


def _sound_one_first(table: Table, parts: list[str]) -> list[str]:
    """Order parts so that DuckDB takes the columns from a sound one: a damaged one stops only its readers."""
    from engine.store import DamagedPartError

    for part in parts:
        try:
            table.footer(part)
        except DamagedPartError:
            continue
        return [part, *(other for other in parts if other != part)]
    return parts


def sql_name(folder_name: str) -> str:
    """Return the name of the view of a table's folder."""
    return folder_name.replace("-", "_")


def twins(connection: duckdb.DuckDBPyConnection) -> int:
    """Count the structures that have the content of another one, of whatever source."""
    (count,) = connection.execute(TWINS).fetchone() or (0,)
    return int(count)
