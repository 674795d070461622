"""`crysift status`: what a store holds and what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table as RichTable
from rich.text import Text

from jobs import options
from jobs.console import Console
from jobs.outcome import outcome_of

if TYPE_CHECKING:
    from engine.store import Store

RUNS_SHOWN = 5


def status(
    store: options.StoreOption = options.DEFAULT_STORE,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Show the tables of a store: parts, rows, failures, what each stage still misses, and the latest runs.

    crysift status --store my-store
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        from engine.store import Store

        opened = Store.open(store, create=False)
        tables, runs = table_states(opened), latest_runs(opened)
        console.say(f"[bold]{opened.folder.url}[/bold]")
        console.show(_table_layout(tables))
        if runs:
            console.show(_run_layout(runs))
        console.finish({"store": opened.folder.url, "tables": tables, "runs": runs})


def table_states(store: Store) -> list[dict[str, Any]]:
    """Return parts, rows, failed rows and missing parts of every table; the last two of derived ones."""
    sources = {table.folder.name: table for table in store.tables()}
    states = []
    for table in store.tables():
        counts = table.count()
        source = sources.get(table.fingerprint.source_table or "")
        states.append(
            {
                "table": table.folder.name,
                "parts": counts.parts,
                "rows": counts.rows,
                "failed": None if source is None else counts.failed,
                "missing_parts": None if source is None else len(table.missing(source)),
                "source": table.fingerprint.source_table,
                "settings": table.fingerprint.settings,
            }
        )
    return states


def latest_runs(store: Store) -> list[dict[str, Any]]:
    """Return the newest runs, newest first: command, start, and how it ended."""
    import json

    folder = store.folder.child("runs")
    runs = []
    for name in sorted((n for n in folder.names() if not n.startswith(".")), reverse=True)[:RUNS_SHOWN]:
        run = folder.child(name)
        command = "?"
        if "settings.json" in run.names():
            with run.open("settings.json") as handle:
                command = json.load(handle)["command"]
        outcome = outcome_of(run)
        runs.append({"run": name, "command": command, "finished": outcome["state"] == "finished", **outcome})
    return runs


def _table_layout(states: list[dict[str, Any]]) -> RichTable:
    table = RichTable(box=None, pad_edge=False, header_style="bold")
    table.add_column("table")
    for heading in ("parts", "rows", "failed", "missing parts"):
        table.add_column(heading, justify="right")
    for state in states:
        keys = ("parts", "rows", "failed", "missing_parts")
        table.add_row(state["table"], *("" if state[key] is None else f"{state[key]:,}" for key in keys))
    return table


def _run_layout(runs: list[dict[str, Any]]) -> RichTable:
    table = RichTable(box=None, pad_edge=False, header_style="bold")
    for heading in ("run", "command", "state"):
        table.add_column(heading)
    for run in runs:
        table.add_row(run["run"], run["command"], Text(_state_in_words(run)))
    return table


def _state_in_words(run: dict[str, Any]) -> str:
    match run["state"]:
        case "finished":
            return "finished"
        case "failed":
            first_line: str = run["message"].partition("\n")[0]
            return f"failed: {first_line}"
        case "interrupted":
            return "interrupted: the same command goes on"
        case _:
            return "not finished: the same command goes on"
