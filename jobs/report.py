"""What a screening found: counts that add up, prototypes, the strangest structures, failures by class."""

from __future__ import annotations

import sys
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from jobs.tables import rich_table

if TYPE_CHECKING:
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
SHOWN_OF_NOVEL = [
    "structure_id",
    "count",
    "formula",
    "ood_score",
    "ood_q_value",
    "nearest_class",
    "protostructure",
]
SHOWN_OF_BOTH = {
    "structure_id": "structure_id",
    "formula": "formula",
    "arise_prototype": "arise",
    "arise_probability": "p",
    "arise_ood_score": "ood_score",
    "arise_is_ood": "ood",
    "diffraction_prototype": "diffraction",
    "diffraction_probability": "p",
    "diffraction_is_ood": "ood",
    "space_group": "space_group",
    "agree": "agree",
}
"""Columns and their headings, so short that they fit into a terminal."""


def print_report(
    console: Console, result: ScreenResult, strangest: pa.Table, novel: pa.Table, top: int
) -> None:
    """Print the end of a screening for a person; `strangest` and `novel` have `top` rows or fewer."""
    summary = result.summary
    whole = summary["structures"] <= top
    if strangest.num_rows and (whole or len(result.models) > 1 or not novel.num_rows):
        heading = f"The {strangest.num_rows} most out-of-distribution structures"
        if whole:
            heading = "The structures, the least known first"
        console.show(rich_table(_shown(strangest), heading, decimals=3))
    elif novel.num_rows:
        heading = f"The first {novel.num_rows} of {summary['selection']['novel']:,} novel structures"
        console.show(rich_table(novel.select(SHOWN_OF_NOVEL), heading, decimals=3))
    console.say()
    if not whole:
        for model in result.models:
            _print_prototypes(console, result, model)
    _print_failures(console, summary["failures"])
    tables = summary["tables"]
    width = max(map(len, tables)) + 1
    _print_counts(console, summary, width)
    console.say(_selected(summary["selection"]))
    for name, place in tables.items():
        console.say(f"  {name:<{width}} {place}")
    console.say(f'\nAsk on: {_command()} query "{_next_question(result)}" --store {result.store_url}')


def _shown(strangest: pa.Table) -> pa.Table:
    if "agree" in strangest.column_names:
        return strangest.select(list(SHOWN_OF_BOTH)).rename_columns(list(SHOWN_OF_BOTH.values()))
    without_minerals = strangest["mineral"].null_count == strangest.num_rows
    return strangest.select(SHOWN if without_minerals else [*SHOWN, "mineral"])


def _next_question(result: ScreenResult) -> str:
    """Return SQL for the disagreements, or the predictions; also where the store holds newer ones."""
    from jobs.views import sql_name

    tables = [result.predictions_table(model) for model in result.models]
    newest = [result.store.latest(table.name).folder.name == table.folder.name for table in tables]
    if len(tables) > 1 and all(newest):
        return "SELECT * FROM verdicts WHERE NOT agree"
    return f"SELECT * FROM {tables[0].name if newest[0] else sql_name(tables[0].folder.name)}"


def _command() -> str:
    """Return what to type for crysift: its path as it was started, where it is not on the search path."""
    started = Path(sys.argv[0])
    return "crysift" if which("crysift") or started.name != "crysift" else str(started)


def _print_prototypes(console: Console, result: ScreenResult, model: str) -> None:
    table = result.prototypes(model)
    shown = table.slice(0, PROTOTYPES_SHOWN)
    by = f" by {model}" if len(result.models) > 1 else ""
    console.show(rich_table(shown, f"Prototypes, the most often recognised{by} first", decimals=3))
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


def _print_counts(console: Console, summary: dict[str, Any], width: int) -> None:
    mark = "[green]✓[/green]" if summary["accounted"] else "[red]✗ rows are missing[/red]"
    rows_in, rejects = f"{summary['rows_in']:,} in =", f"+ {summary['rejects']:,} rejects {mark}"
    if "models" not in summary:
        console.say(f"{rows_in} {summary['predictions']:,} predictions {rejects}  ({_fates(summary)})")
        return
    console.say(f"{rows_in} {summary['structures']:,} structures {rejects}")
    for model, found in summary["models"].items():
        console.say(f"  {model:<{width}} {found['predictions']:,} predictions  ({_fates(found)})")
    verdicts = summary["verdicts"]
    told = f"{verdicts['agree']:,} agree, {verdicts['disagree']:,} disagree"
    if verdicts["not_compared"]:
        told += f", {verdicts['not_compared']:,} have one or none"
    console.say(f"  {'verdicts':<{width}} {told}")


def _selected(selection: dict[str, Any]) -> str:
    """How much is novel."""
    text = f"{selection['selected']:,} selected at a false discovery rate of {selection['fdr']:g}"
    if selection["known_by_symmetry"]:
        text += f" ({selection['known_by_symmetry']:,} have the protostructure of a class)"
    return f"{text}: {selection['novel']:,} novel structures"


def _fates(found: dict[str, Any]) -> str:
    return f"{found['out_of_distribution']:,} out of distribution, {found['failed']:,} failed"
