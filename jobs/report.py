"""What a screening found: counts that add up, prototypes, the strangest structures, failures by class."""

from __future__ import annotations

import sys
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from jobs.tables import rich_table

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from jobs.console import Console
    from jobs.screening import ScreenResult

PROTOTYPES_SHOWN = 10
SHOWN = [
    "structure_id",
    "formula",
    "prototype",
    "probability",
    "mutual_information",
    "ood_score",
    "ood_p_value",
    "is_ood",
]

_PREDICTION_COLUMNS = """structure_id, formula, nsites, prototype, probability, mutual_information,
    ood_score, ood_p_value, is_ood, nearest_class, extra_json ->> '$.mineral' AS mineral"""

MOST_OUT_OF_DISTRIBUTION = f"""SELECT {_PREDICTION_COLUMNS}
    FROM predictions JOIN structures USING (structure_id)
    WHERE predictions.status = 'ok' ORDER BY ood_score DESC, structure_id LIMIT ?"""

PROTOTYPES = """SELECT prototype, count(*) FILTER (WHERE NOT is_ood) AS recognised,
    count(*) FILTER (WHERE is_ood) AS out_of_distribution, median(probability) AS median_probability,
    arg_min(concat_ws(' ', formula, extra_json ->> '$.mineral'), (ood_score, structure_id))
        FILTER (WHERE NOT is_ood) AS example
    FROM predictions JOIN structures USING (structure_id)
    WHERE predictions.status = 'ok' GROUP BY prototype ORDER BY recognised DESC, prototype"""

COUNTS = """SELECT (SELECT count(*) FROM structures) AS structures, (SELECT count(*) FROM rejects) AS rejects,
    count(*) AS predictions, count(*) FILTER (WHERE status = 'failed') AS failed,
    count(*) FILTER (WHERE is_ood) AS out_of_distribution FROM predictions"""

FAILURES = """SELECT error_stage, error_class, count(*) AS structures, min(error_message) AS example
    FROM (SELECT error_stage, error_class, error_message FROM rejects UNION ALL
          SELECT error_stage, error_class, error_message FROM predictions WHERE status = 'failed')
    GROUP BY ALL ORDER BY structures DESC, error_stage, error_class"""


def answer(connection: duckdb.DuckDBPyConnection, sql: str, *values: object) -> pa.Table:
    """Return the rows of a question as an Arrow table."""
    return connection.sql(sql, params=list(values) or None).to_arrow_table()


def summarize(connection: duckdb.DuckDBPyConnection, rows_in: int) -> dict[str, Any]:
    """Count what was screened; the views `structures`, `rejects` and `predictions` are its scope.

    `rows_in` is what the sources gave, as counted when it was read.
    """
    counts: dict[str, Any] = answer(connection, COUNTS).to_pylist()[0]
    return {
        **counts,
        "rows_in": rows_in,
        "accounted": rows_in == counts["predictions"] + counts["rejects"],
        "prototypes": answer(connection, PROTOTYPES).to_pylist(),
        "failures": answer(connection, FAILURES).to_pylist(),
    }


def print_report(console: Console, result: ScreenResult, strangest: pa.Table, top: int) -> None:
    """Print the end of a screening for a person; `strangest` are its `top` strangest structures or fewer."""
    summary = result.summary
    if strangest.num_rows:
        heading = f"The {strangest.num_rows} most out-of-distribution structures"
        if summary["predictions"] <= top:
            heading = "The structures, the least known first"
        named = SHOWN if strangest["mineral"].null_count == strangest.num_rows else [*SHOWN, "mineral"]
        console.show(rich_table(strangest.select(named), heading, decimals=3))
    console.say()
    if summary["predictions"] > top:
        _print_prototypes(console, result)
    _print_failures(console, summary["failures"])
    _print_counts(console, summary)
    for name, place in summary["tables"].items():
        console.say(f"  {name:<18} {place}")
    view = _view_of(result)
    console.say(f'\nAsk on: {_command()} query "SELECT * FROM {view}" --store {result.store_url}')


def _view_of(result: ScreenResult) -> str:
    """Return the view of the predictions of this screening, also where the store holds newer ones."""
    from jobs.views import sql_name

    table = result.predictions_table
    newest = result.store.latest(table.name).folder.name
    return table.name if newest == table.folder.name else sql_name(table.folder.name)


def _command() -> str:
    """Return what to type for crysift: its path as it was started, where it is not on the search path."""
    started = Path(sys.argv[0])
    return "crysift" if which("crysift") or started.name != "crysift" else str(started)


def _print_prototypes(console: Console, result: ScreenResult) -> None:
    table = result.prototypes()
    shown = table.slice(0, PROTOTYPES_SHOWN)
    console.show(rich_table(shown, "Prototypes, the most often recognised first", decimals=3))
    if table.num_rows > PROTOTYPES_SHOWN:
        console.say(f"… and {table.num_rows - PROTOTYPES_SHOWN} more")
    console.say()


def _print_failures(console: Console, failures: list[dict[str, Any]]) -> None:
    if not failures:
        return
    console.say("[bold]Rejected or failed[/bold]")
    for failure in failures:
        kind = f"{failure['error_class']} ({failure['error_stage']})"
        console.say(f"  {failure['structures']:>8,}  {kind}, for example:")
        console.say(escape(f"            {failure['example']}"))
    console.say()


def _print_counts(console: Console, summary: dict[str, Any]) -> None:
    mark = "[green]✓[/green]" if summary["accounted"] else "[red]✗ rows are missing[/red]"
    taken = (
        f"{summary['rows_in']:,} in = {summary['predictions']:,} predictions + {summary['rejects']:,} rejects"
    )
    fates = f"{summary['out_of_distribution']:,} out of distribution, {summary['failed']:,} failed"
    console.say(f"{taken} {mark}  ({fates})")
