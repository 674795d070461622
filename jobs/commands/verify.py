"""`crysift verify`: whether all that a store holds is as it was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table as RichTable

from jobs import options
from jobs.console import FAILED, Console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.store import Store
    from engine.store.verification import Verdict


def verify(
    store: options.StoreOption = options.DEFAULT_STORE,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Take damaged derived parts away: the next run makes them again."),
    ] = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Read all parts of a store: checksums, counts, and whether derived parts fit their sources.

    crysift verify --store my-store --repair

    Exit status 1: something is damaged, and was not taken away.
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        from engine.store import Store

        opened = Store.open(store, create=False)
        verdicts = _verdicts(opened, console)
        faults = [verdict for verdict in verdicts if verdict.fault]
        removed = [verdict for verdict in faults if repair and verdict.can_be_made_again]
        for verdict in removed:
            verdict.repair()
        tables = _by_table(verdicts)
        console.show(_layout(tables))
        _explain(console, faults, removed)
        console.finish(
            {
                "store": opened.folder.url,
                "tables": tables,
                "damaged": [_as_json(verdict, verdict in removed) for verdict in faults],
            }
        )
        if len(removed) < len(faults):
            raise SystemExit(FAILED)


def _verdicts(store: Store, console: Console) -> Sequence[Verdict]:
    """Examine all parts, with a progress bar; the last verdict on a part counts."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from engine.store.verification import stored_parts, verify_parts

    parts = stored_parts(store)
    columns = (TextColumn("reading parts"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console.err, transient=True, disable=not console.shows_progress) as bar:
        task = bar.add_task("", total=sum(map(len, parts.values())))
        verdicts = {}
        for verdict in verify_parts(parts):
            verdicts[verdict.folder.name, verdict.part] = verdict
            bar.update(task, completed=len(verdicts))
    return list(verdicts.values())


def _by_table(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    tables: dict[str, dict[str, Any]] = {}
    for verdict in verdicts:
        name = verdict.folder.name
        table = tables.setdefault(name, {"table": name, "parts": 0, "rows": 0, "damaged": 0})
        table["parts"] += 1
        table["rows"] += verdict.rows
        table["damaged"] += bool(verdict.fault)
    return list(tables.values())


def _layout(tables: list[dict[str, Any]]) -> RichTable:
    layout = RichTable(box=None, pad_edge=False, header_style="bold")
    layout.add_column("table")
    for heading in ("parts", "rows", "damaged"):
        layout.add_column(heading, justify="right")
    for table in tables:
        layout.add_row(table["table"], *(f"{table[key]:,}" for key in ("parts", "rows", "damaged")))
    return layout


def _explain(console: Console, faults: Sequence[Verdict], removed: Sequence[Verdict]) -> None:
    """Name every fault and what is to be done about it."""
    for verdict in faults:
        console.warn(f"{verdict.path}: {verdict.fault}")
    derived = sum(verdict.can_be_made_again for verdict in faults)
    if removed:
        console.note(f"{len(removed)} parts taken away: the command that made them makes them again")
    elif derived:
        console.note(f"--repair takes {derived} of these away: the command that made them makes them again")
    if len(faults) > derived:
        console.note(
            "parts of structures and rejects come from their source only: delete both files of that name and "
            "give the command again that ingested them"
        )


def _as_json(verdict: Verdict, removed: bool) -> dict[str, Any]:
    return {
        "table": verdict.folder.name,
        "part": verdict.part,
        "path": verdict.path,
        "reason": verdict.fault,
        "removed": removed,
    }
