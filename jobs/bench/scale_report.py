"""The document on scaling: what was measured, and what it means for clusters.

`python -m jobs.bench.scale_report docs/scale.md build/scale.json` writes the document and a drawing
beside it from the report of `crysift bench scale --json`. The same report gives the same files.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.source import PAGE_PAIRS, PAGE_ROWS
from jobs.bench.readme import report_table
from jobs.bench.scale_forecast import DISTURBANCES, S3, WORKERS, Search, Workload, search, workloads
from jobs.bench.simulation import DEATHS, Outcome

STRUCTURES = (10**8, 10**6)
CLUSTER = 1_000
GOOD = 0.9
"""Efficiency from which no bottleneck is named."""
SHOWN_ROWS = (1, PAGE_ROWS, 8 * PAGE_ROWS)

PREAMBLE = """# Scaling

What a second worker brings, what a part costs besides its structures, and what that means for clusters
and databases larger than any this was run on. Written by `make scale` from `crysift bench scale`. What is
below "Simulated" was not measured, but for what is said of maps.

A *part* is one Parquet file of a table and the unit of work: a worker reads it, computes, and commits its
result. One driver hands the parts out, the dearest first, one to each worker at a time."""

SIMULATED = """## Simulated

`jobs/bench/simulation.py` goes from event to event: workers ask the driver, which serves one after the
other; they read from the store, which answers so many requests per second; compute; commit; and ask
again. It takes the costs measured above; how well it then predicts the measured runs is among the
figures. What one machine cannot tell is assumed:"""

NOT_SIMULATED = """Not simulated: the bandwidth of network and store, other users of them, the time in
which a cluster manager provides nodes, and the driver's memory. The driver's processor time per part was
measured with one worker and is taken to be the same with more."""

CONCLUSION = """## What to do with a hundred million structures

* **Count the work first.** It is {hours}: {sensible:,} workers do it in about an hour. {most:,} of them
  spend most of their time on planning, starting and waiting, whatever the parts.
* **Take larger parts.** Sources cut parts of at most {rows:,} structures or {pairs:,.0f} million
  predicted neighbour pairs (`engine/source.py`): small enough that a lost worker costs seconds, and right
  up to some hundred workers. For {workers:,} workers they are too small; with the advised sizes the
  workers' time for structures becomes:
{larger}
* **Do not fear lost nodes.** At the assumed rate they take at most {deaths} of the workers' time in any
  of these runs."""


OF_MAPS = "<!-- figures:map -->\n<!-- /figures:map -->"
"""Where `jobs.bench.map_report` writes."""


def document(
    report: Mapping[str, Any], stages: Sequence[Workload], searches: Sequence[Search], drawing: str
) -> str:
    """Lay out the whole document; ``drawing`` is the name of the file beside it.

    At its end is the empty block that `jobs.bench.map_report` fills.
    """
    blocks = [
        PREAMBLE,
        "## Measured",
        report_table(report),
        "### A part's time",
        _parts_taken_apart(stages),
        SIMULATED,
        _assumptions(),
        NOT_SIMULATED,
        "## How many workers one driver keeps busy",
        _served(stages),
        f"![Efficiency over the rows of a part, for 100 to 10,000 workers]({drawing})",
        *_forecasts(searches),
        _conclusion(stages, searches),
        OF_MAPS,
    ]
    return "\n\n".join(blocks) + "\n"


def _cases(stages: Sequence[Workload]) -> Iterable[tuple[Workload, int, int]]:
    for structures in STRUCTURES:
        for stage in stages:
            for workload in (stage, stage.stored_in(S3)):
                for workers in WORKERS:
                    yield workload, structures, workers


def _parts_taken_apart(stages: Sequence[Workload]) -> str:
    heading = (
        "stage",
        "structures in a part",
        "driver",
        "way",
        "store",
        "structures",
        "worker's time for structures",
    )
    rows = []
    for stage in stages:
        for size in SHOWN_ROWS:
            work, store = size * stage.per_structure, stage.costs.read + stage.costs.commit
            seconds = (stage.costs.dispatch, stage.costs.transport, store, work)
            share = work / sum(seconds)
            rows.append((stage.name, f"{size:,}", *map(duration, seconds), _percent(share)))
    return table(heading, rows)


def _assumptions() -> str:
    lines = [
        ("S3: a request takes", duration(S3.latency)),
        (
            "S3: a prefix, which is a table, serves",
            f"{S3.reads_per_second:,.0f} reads, {S3.writes_per_second:,.0f} writes/s",
        ),
        ("workers on a node, all lost when it dies", str(DISTURBANCES.workers_per_node)),
        ("a node lives for", duration(1 / DISTURBANCES.deaths_per_second)),
        ("a lost worker is replaced after", duration(DISTURBANCES.recovery)),
        ("slow workers", f"{_percent(DISTURBANCES.slow_share)}, {DISTURBANCES.slowness:g} times as slow"),
        ("work of a structure", "independent, log-normal with the measured mean and spread"),
    ]
    return table(("assumption", ""), lines)


def _served(stages: Sequence[Workload]) -> str:
    sizes = (PAGE_ROWS, 4 * PAGE_ROWS, 16 * PAGE_ROWS)
    heading = ("stage", *(f"parts of {size:,}" for size in sizes))
    return table(heading, [(stage.name, *(f"{stage.served(size):,}" for size in sizes)) for stage in stages])


def _forecasts(searches: Sequence[Search]) -> Iterable[str]:
    """A table per number of structures: today's parts, and those that are advised."""
    today = (f"parts of {PAGE_ROWS:,}: time", "efficiency", "driver busy", "bottleneck")
    heading = ("stage", "store", "workers", *today, "advised parts", "time", "efficiency", "bottleneck")
    for structures in STRUCTURES:
        rows = [_forecast(found) for found in searches if found.structures == structures]
        yield f"## {structures:,} structures"
        yield table(heading, rows)


def _forecast(found: Search) -> tuple[str, ...]:
    today, best = found.outcomes[PAGE_ROWS], found.outcomes[found.advised]
    return (
        found.workload.name,
        found.workload.store,
        f"{found.workers:,}",
        duration(today.makespan),
        _percent(today.efficiency),
        _percent(today.driver),
        _bottleneck(today),
        f"{found.advised:,}",
        duration(best.makespan),
        _percent(best.efficiency),
        _bottleneck(best),
    )


def _bottleneck(outcome: Outcome) -> str:
    """What takes most of the time that is lost, and how much; nothing where little is lost."""
    if outcome.efficiency >= GOOD:
        return "–"
    return f"{outcome.bottleneck} ({_percent(outcome.spent[outcome.bottleneck])})"


def _conclusion(stages: Sequence[Workload], searches: Sequence[Search]) -> str:
    total = STRUCTURES[0]
    hours = {stage.name: total * stage.per_structure / 3600 for stage in stages}
    thousand = [found for found in searches if (found.structures, found.workers) == (total, CLUSTER)]
    larger = [
        f"  {found.workload.name}, {found.workload.store}: "
        f"{_percent(found.outcomes[PAGE_ROWS].efficiency)} → "
        f"{_percent(found.outcomes[found.advised].efficiency)} in parts of {found.advised:,}"
        for found in thousand
    ]
    deaths = (outcome.spent[DEATHS] for found in searches for outcome in found.outcomes.values())
    return CONCLUSION.format(
        hours=" and ".join(f"{time:,.0f} core-hours of {name}" for name, time in hours.items()),
        sensible=math.ceil(sum(hours.values())),
        rows=PAGE_ROWS,
        pairs=PAGE_PAIRS / 1e6,
        workers=CLUSTER,
        most=WORKERS[-1],
        larger=";\n".join(larger) + ".",
        deaths=_percent(max(deaths)),
    )


def draw(searches: Sequence[Search], path: Path) -> None:
    """Draw the efficiency over the rows of a part, a panel per stage; equal searches give equal files."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter, StrMethodFormatter

    shown = [found for found in searches if found.structures == STRUCTURES[0] and found.workers > WORKERS[0]]
    shown = [found for found in shown if found.workload.store != "S3"]
    names = list(dict.fromkeys(found.workload.name for found in shown))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "scale", "font.family": "sans-serif"}):
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        for axes, name in zip(figure.subplots(1, len(names), sharey=True), names, strict=True):
            for found in shown:
                if found.workload.name == name:
                    efficiencies = [outcome.efficiency for outcome in found.outcomes.values()]
                    axes.plot(
                        list(found.outcomes), efficiencies, marker="o", label=f"{found.workers:,} workers"
                    )
            axes.axvline(PAGE_ROWS, color="#999999", linestyle=":")
            axes.set(title=name, xlabel="structures in a part", xscale="log", ylim=(0, 1))
            axes.set_xticks(list(searches[0].outcomes), minor=False)
            axes.set_xticks([], minor=True)
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
            axes.grid(visible=True, color="#dddddd")
        axes.legend()
        figure.axes[0].set_ylabel("workers' time for structures")
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for unit, size in (("h", 3600.0), ("min", 60.0), ("s", 1.0)):
        if seconds >= 2 * size or (unit == "s" and seconds >= 1):
            count = seconds / size
            return f"{count:,.0f} {unit}" if count >= 100 else f"{count:.3g} {unit}"
    return f"{1e3 * seconds:.3g} ms"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %" if share < 0.1 else f"{100 * share:.0f} %"


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a Markdown table."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(target: str, report: str) -> None:
    """Write the document ``target``, and its drawing with the suffix .svg; what it says of maps stays."""
    path = Path(target)
    of_maps = re.search(
        OF_MAPS.replace("\n", ".*"), path.read_text("utf-8") if path.exists() else "", re.DOTALL
    )
    loaded = json.loads(Path(report).read_text(encoding="utf-8"))
    stages = workloads(loaded)
    searches = [search(*case) for case in _cases(stages)]
    drawing = path.with_suffix(".svg")
    text = document(loaded, stages, searches, drawing.name)
    path.write_text(text.replace(OF_MAPS, of_maps.group() if of_maps else OF_MAPS), encoding="utf-8")
    draw(searches, drawing)


if __name__ == "__main__":
    main(*sys.argv[1:])
