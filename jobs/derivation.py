"""One stage as a command: derive its table and say what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.pipeline import derive, recorded_run
from jobs.progress import ProgressBars

if TYPE_CHECKING:
    from engine.stage import Stage
    from engine.store import Store, Table
    from jobs.console import Console
    from jobs.settings import ExecutionSettings


def derive_and_report(
    console: Console, command: str, store: Store, stage: Stage, source: Table, execution: ExecutionSettings
) -> None:
    """Bring one stage's table up to date, with progress, a record in the store and a closing line."""
    with (
        ProgressBars(console) as bars,
        execution.cluster.connected(),
        recorded_run(store, command, stage.settings(), bars) as (run, tell),
    ):
        table = derive(store, stage, source, execution, tell)
        counts = table.count()
        summary = {
            "store": store.folder.url,
            "table": table.folder.name,
            "parts": counts.parts,
            "rows": counts.rows,
            "failed": counts.failed,
        }
        run.finish(summary)
    console.say(f"{counts.rows:,} rows, {counts.failed:,} of them failed, in {table.folder.url}")
    console.finish(summary)
