"""`crysift bench`: measure ours and the peers in one run."""

from typing import Annotated

import typer
from rich.table import Table

from jobs import options
from jobs.bench import BENCHMARKS, BenchmarkSettings, run_benchmark
from jobs.bench.report import BenchmarkReport
from jobs.console import Console


def bench(
    name: Annotated[str, typer.Argument(help=f"Which benchmark: {', '.join(sorted(BENCHMARKS))}.")],
    quick: Annotated[bool, typer.Option("--quick", help="End within a minute on two cores.")] = False,
    source: Annotated[
        str, typer.Option("--source", help="Structures to measure on, where the benchmark needs any.")
    ] = BenchmarkSettings.source,
    seed: Annotated[int, typer.Option("--seed", help="Which structures are drawn.")] = BenchmarkSettings.seed,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Measure speed: ours against the peers, alternating in one run, as ratios and costs per unit.

    crysift bench soap --quick

    crysift bench soap --source my-structures.parquet --json
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        report = run_benchmark(name, BenchmarkSettings(quick=quick, source=source, seed=seed))
        console.show(_layout(report))
        for remark in report.remarks:
            console.say(remark)
        console.finish(report.as_json())


def _layout(report: BenchmarkReport) -> Table:
    table = Table(title=f"crysift bench {report.benchmark}", title_justify="left", box=None, pad_edge=False)
    for heading in ("figure", "value", "unit", "goal", "holds"):
        table.add_column(heading, justify="right" if heading == "value" else "left")
    for figure in report.figures:
        holds = {True: "[green]yes[/green]", False: "[red]no[/red]", None: ""}[figure.holds]
        table.add_row(figure.name, f"{figure.value:.4g}", figure.unit, figure.goal or "", holds)
    return table
