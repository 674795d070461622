"""`crysift status`: what a store holds, what is missing, and how far the runs at work are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

from jobs import options
from jobs.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterator

CLASSES_SHOWN = 4


def status(
    store: options.StoreOption = options.DEFAULT_STORE,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Show the tables of a store and its runs: rows, failures, what is missing, how far a run at work is.

    crysift status --store my-store

    It reads the store alone: from any machine that sees it, while a run is at work elsewhere.
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        from engine.store import Store
        from jobs.contents import table_states
        from jobs.runs import latest_runs

        opened = Store.open(store, create=False)
        tables = table_states(opened)
        runs = [run.as_json() for run in latest_runs(opened)]
        console.say(f"[bold]{opened.folder.url}[/bold]")
        console.show(_table_layout(tables))
        for table in tables:
            if table["damaged_parts"]:
                console.warn(_damage_in_words(table))
        if runs:
            console.show(_run_layout(runs))
        for run in runs[:1] + [run for run in runs[1:] if run["state"] == "running"]:
            _show_progress(console, run)
        console.finish({"store": opened.folder.url, "tables": tables, "runs": runs})


def _table_layout(states: list[dict[str, Any]]) -> RichTable:
    table = _layout(["table"], ["parts", "rows", "failed", "missing parts"])
    table.add_column("failed or rejected as")
    for state in states:
        keys = ("parts", "rows", "failed", "missing_parts")
        counts = ("" if state[key] is None else f"{state[key]:,}" for key in keys)
        table.add_row(state["table"], *counts, _by_class(state["failures"]))
    return table


def _damage_in_words(state: dict[str, Any]) -> str:
    part, reason = next(iter(state["damaged_parts"].items()))
    count = len(state["damaged_parts"])
    parts = "1 damaged part" if count == 1 else f"{count:,} damaged parts"
    return f"{state['table']} has {parts}, such as {part} ({reason}): see `crysift verify`"


def _run_layout(runs: list[dict[str, Any]]) -> RichTable:
    table = _layout(["run", "command", "state"], [])
    for run in runs:
        table.add_row(run["run"], run["command"], Text(_state_in_words(run)))
    return table


def _layout(left: list[str], right: list[str]) -> RichTable:
    table = RichTable(box=None, pad_edge=False, header_style="bold")
    for heading in left:
        table.add_column(heading)
    for heading in right:
        table.add_column(heading, justify="right")
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
        case "running":
            return f"at work on {run['host'] or '?'}, last heard of {duration(run['silent_seconds'])} ago"
        case _:
            heard = duration(run["silent_seconds"])
            return f"not finished: last heard of {heard} ago; the same command goes on"


def _show_progress(console: Console, run: dict[str, Any]) -> None:
    """Show the stages of a run without an end, and below them what each says beside its numbers."""
    if not run.get("stages"):
        return
    table = _layout([f"stages of {run['run']}"], ["done", "structures/s", "failed", "workers", "time left"])
    for stage in run["stages"]:
        table.add_row(stage["stage"], *_stage_cells(stage, run["state"] == "running"))
    console.say()
    console.show(table)
    for line in _remarks(run):
        console.say(escape(line))


def _stage_cells(stage: dict[str, Any], at_work: bool) -> Iterator[str]:
    yield _done(stage)
    rate = stage["structures_per_second"]
    yield f"{rate:,.{0 if rate >= 10 else 1}f}"
    yield f"{stage['failed']:,}"
    if stage["finished"] or not at_work:
        yield from ("", "finished" if stage["finished"] else "")
        return
    ready, wanted = stage["workers"], stage["workers_wanted"]
    yield "" if wanted is None else f"{wanted}" if ready is None else f"{ready} of {wanted}"
    yield "" if stage["seconds_left"] is None else duration(stage["seconds_left"])


def _done(stage: dict[str, Any]) -> str:
    if not stage["rows_done"] and stage["finished"]:
        return f"{stage['skipped_rows']:,} before"
    of = "" if stage["rows"] is None else f" of {stage['rows']:,}"
    return f"{stage['rows_done']:,}{of}"


def _remarks(run: dict[str, Any]) -> Iterator[str]:
    from engine.execution.events import INGEST

    for stage in run["stages"]:
        name = stage["stage"]
        if stage["failures"] and name != INGEST:  # the table of rejects tells more
            yield f"  {name}: {_by_class(stage['failures'])}"
        if stage["workers_lost"]:
            yield f"  {name}: {stage['workers_lost']:,} workers lost, their parts done again"
        for part in stage["isolated_parts"]:
            yield f"  {name}: {part} cost several workers and is done in isolation"
        if stage["dashboard"] and not stage["finished"]:
            yield f"  {name}: {stage['engine']} dashboard {stage['dashboard']}"
    for damaged in run["damaged_parts"]:
        yield f"  {damaged['table']}: {damaged['part']} was damaged ({damaged['reason']}), made again"


def _by_class(failures: dict[str, int]) -> str:
    """Say how many failed of each class, the most frequent first."""
    told = [f"{count:,} {name}" for name, count in list(failures.items())[:CLASSES_SHOWN]]
    more = sum(list(failures.values())[CLASSES_SHOWN:])
    return ", ".join([*told, f"{more:,} others"] if more else told)


def duration(seconds: float) -> str:
    """Say a time as a person does, in one or two units."""
    minutes, hours = seconds / 60, seconds / 3600
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes:.0f} min"
    if hours < 10:
        return f"{int(minutes) // 60} h {int(minutes) % 60} min"
    return f"{hours:.0f} h" if hours < 72 else f"{hours / 24:.0f} days"
