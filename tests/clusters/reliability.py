"""Writes docs/reliability.md from what the tests kept: `python -m tests.clusters.reliability PAGE FOLDER`."""

import json
import os
import platform
import statistics
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import psutil

from tests.clusters.kills import Kind

TEXT = """# What is broken on purpose, and what becomes of it

<!-- Written by `make reliability` from the results of tests/integration/test_cluster_*.py. -->

Real Ray clusters of several nodes, with Dask workers in them, run `crysift screen`, and something is broken:
processes are killed without warning, links cut, disks filled, parts damaged. Afterwards every table is
compared with that of a run that nothing happened to: structures by name and content, vectors by the hash of
their encoded columns, predictions byte by byte.

Measured on {machine}, with Ray {ray}, Dask {dask} and Python {python}.
All nodes, their agents, the workers and the driver share these cores, so that a worker takes seconds to start.

## Random kills

{total} kills with SIGKILL, drawn from the seeds {seeds}, in {runs} screenings of {structures:,} structures in
{parts} parts per table, on a head and two nodes with one core each. A raylet that is killed takes its node
along; the node is started again a second later. A driver that is killed is started again by the same command.
A quarter of the kills do not wait until a part is done after the last one.

| killed | kills | parts lost with it | until the next part: median (longest) | until all workers: median (longest) |
|---|---|---|---|---|
{rows}

The tables of all {runs} screenings are identical to those of the undisturbed one: {structures_in_all:,}
structures gave {structures_in_all:,} rows. A worker or raylet takes along the part that it had, at most one
({parts_lost} parts in {worker_kills} kills); a driver those that its workers had, at most one each. No part
was done again that had been reported as done.

The head is the exception: without it there is no cluster, and a run ends. The same command goes on when
there is one again.

## Everything else

| what is broken | what is promised | what was seen |
|---|---|---|
{faults}
"""  # noqa: E501 -- a table has long lines


def main(page: Path, folder: Path) -> None:
    """Write the page."""
    kills = json.loads((folder / "kills.json").read_text())
    faults = [json.loads(file.read_text()) for file in sorted(folder.glob("fault-*.json"))]
    page.write_text(TEXT.format(**_of_machine(), **_of_kills(kills), faults="\n".join(map(_fault, faults))))


def _of_machine() -> dict[str, Any]:
    memory = psutil.virtual_memory().total / 1024**3
    return {
        "machine": f"{os.cpu_count()} cores ({platform.machine()}) with {memory:.0f} GiB of memory",
        "ray": version("ray"),
        "dask": version("distributed"),
        "python": platform.python_version(),
    }


def _of_kills(figures: dict[str, Any]) -> dict[str, Any]:
    runs = figures["runs"]
    kills = [kill for run in runs for kill in run["kills"]]
    by_kind = {kind: [kill for kill in kills if kill["kind"] == kind] for kind in get_args(Kind)}
    return {
        "total": len(kills),
        "seeds": f"{runs[0]['seed']} to {runs[-1]['seed']}",
        "runs": len(runs),
        "structures": figures["structures"],
        "structures_in_all": figures["structures"] * len(runs),
        "parts": figures["parts"],
        "parts_lost": sum(kill["parts_lost"] for kill in kills),
        "worker_kills": len(kills) - len(by_kind["driver"]),
        "rows": "\n".join(_row(kind, of_kind) for kind, of_kind in by_kind.items()),
    }


def _row(kind: str, kills: list[dict[str, Any]]) -> str:
    lost = "up to one per worker" if kind == "driver" else str(sum(kill["parts_lost"] for kill in kills))
    times = (_times([kill[key] for kill in kills]) for key in ("to_next_part", "to_full_strength"))
    return f"| {kind} | {len(kills)} | {lost} | {' | '.join(times)} |"


def _times(seconds: list[float | None]) -> str:
    known = [value for value in seconds if value is not None]
    return f"{statistics.median(known):.1f} s ({max(known):.1f} s)" if known else "–"


def _fault(line: dict[str, str]) -> str:
    return f"| {line['fault']} | {line['expected']} | {line['seen']} |"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
