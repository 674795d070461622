"""`crysift query`: SQL over the tables of a store."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import CrysiftError
from jobs import options
from jobs.console import Console

if TYPE_CHECKING:
    import duckdb


def query(
    sql: Annotated[
        str,
        typer.Argument(
            help="A SELECT over structures, rejects, features_soap, predictions_arise, verdicts, …"
        ),
    ],
    store: options.StoreOption = options.DEFAULT_STORE,
    rows: Annotated[int, typer.Option("--rows", "-n", help="Rows shown in the terminal.", min=1)] = 40,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", help="Write all rows to this CSV file.", rich_help_panel=options.OUTPUT),
    ] = None,
    parquet: Annotated[
        Path | None,
        typer.Option(
            "--parquet", help="Write all rows to this Parquet file.", rich_help_panel=options.OUTPUT
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Write all rows as a JSON list on stdout.", rich_help_panel=options.OUTPUT
        ),
    ] = False,
    debug: options.Debug = False,
) -> None:
    """Ask the tables in SQL (DuckDB). Every table of the store is a view under its name.

    Where both networks have predicted, `verdicts` has what they say of each structure, side by side.

    crysift query "SELECT prototype, count(*) AS n FROM predictions_arise GROUP BY 1 ORDER BY n DESC"

    crysift query "SELECT formula, ood_score FROM predictions_arise JOIN structures USING (structure_id)
    WHERE is_ood ORDER BY ood_score DESC" --csv unknown.csv

    crysift query "SELECT * FROM verdicts WHERE NOT agree"

    crysift query "SHOW TABLES"
    """
    with Console(as_json=as_json, debug=debug) as console:
        relation = _ask(store, sql)
        for file, write in ((csv, relation.write_csv), (parquet, relation.write_parquet)):
            if file is not None:
                write(str(file))
                console.note(f"written: {file}")
        if as_json:
            _write_json(relation)
        elif csv is None and parquet is None:
            _show(console, relation, rows)


def _ask(store_url: str, sql: str) -> duckdb.DuckDBPyRelation:
    import duckdb

    from engine.store import Store
    from jobs.views import connect

    connection = connect(Store.open(store_url, create=False))
    try:
        relation = connection.sql(sql)
    except duckdb.CatalogException as error:
        views = ", ".join(row[0] for row in connection.sql("SHOW TABLES").fetchall())
        raise CrysiftError(f"{str(error).splitlines()[0]}\nThe store has {views}.") from error
    if relation is None:
        raise CrysiftError("the statement returns no rows: ask with SELECT, SHOW TABLES or DESCRIBE <table>")
    return relation


def _show(console: Console, relation: duckdb.DuckDBPyRelation, rows: int) -> None:
    from jobs.tables import rich_table

    answer = relation.limit(rows + 1).to_arrow_table()
    console.show(rich_table(answer.slice(0, rows)))
    if answer.num_rows > rows:
        console.note(f"the first {rows} rows; --rows N shows more, --csv, --parquet and --json write all")


def _write_json(relation: duckdb.DuckDBPyRelation) -> None:
    """Write the rows as they come, so that memory does not grow with their number."""
    from jobs.tables import json_value

    separator = "["
    for batch in relation.fetch_arrow_reader(4096):
        for row in batch.to_pylist():
            sys.stdout.write(separator + "\n" + json.dumps(json_value(row), allow_nan=False))
            separator = ","
    sys.stdout.write("[]\n" if separator == "[" else "\n]\n")
