"""`crysift jobs`: what runs and what ran on a cluster."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from jobs import options
from jobs.cluster import options as cluster
from jobs.console import Console

if TYPE_CHECKING:
    from ray.job_submission import JobDetails


def jobs(
    address: cluster.AddressOption = None,
    unauthenticated: cluster.Unauthenticated = False,
    unencrypted: cluster.Unencrypted = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """List the jobs of a cluster, the newest first: state, exit status, command, start and duration.

    crysift jobs --address http://127.0.0.1:8265
    """
    with Console(as_json=as_json, debug=debug) as console:
        from jobs.cluster.address import find_address
        from jobs.cluster.client import Jobs

        where = find_address(address, unauthenticated=unauthenticated, unencrypted=unencrypted)
        listed = [_as_json(details) for details in Jobs(where).submitted()]
        console.show(_layout(listed))
        console.finish({"address": where.url, "jobs": listed})


def _as_json(details: JobDetails) -> dict[str, Any]:
    from jobs.cluster.follow import exit_status
    from jobs.cluster.submission import command_of

    started = datetime.fromtimestamp((details.start_time or 0) / 1000, UTC)
    ended = datetime.fromtimestamp(details.end_time / 1000, UTC) if details.end_time else None
    return {
        "id": details.submission_id,
        "state": details.status.lower(),
        "exit_status": exit_status(details) if details.status.is_terminal() else None,
        "command": command_of(details.entrypoint),
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(((ended or datetime.now(UTC)) - started).total_seconds(), 1),
    }


def _layout(listed: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("id", no_wrap=True)
    for heading in ("state", "exit", "started (UTC)", "took", "command"):
        table.add_column(heading, justify="right" if heading in {"exit", "took"} else "left")
    for job in listed:
        exit_status = "" if job["exit_status"] is None else str(job["exit_status"])
        started = job["started"][:19].replace("T", " ")
        took = str(timedelta(seconds=round(job["seconds"])))
        table.add_row(job["id"], job["state"], exit_status, started, took, Text(job["command"]))
    return table
