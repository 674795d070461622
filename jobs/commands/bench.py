"""`crysift bench`: measure ours and the peers in one run."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from engine.errors import CrysiftError
from jobs import options
from jobs.bench import BENCHMARKS, OPTIONS, WATCHED, BenchmarkSettings, run_benchmark
from jobs.bench.report import BenchmarkReport, ReportTable
from jobs.console import Console
from jobs.settings import ExecutionSettings

_OF_SOME = "Accuracy, ood and adaptive"


def _folder_of(context: typer.Context, folder: Path | None) -> Path | None:
    """Choose the folder for the tables of a benchmark that writes any, another one for a quick run's."""
    name = context.params.get("name", "")
    if folder is not None or "out" not in OPTIONS.get(name, ()):
        return folder
    return Path(f"{name}-quick" if context.params.get("quick") else name)


def bench(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help=f"Which benchmark: {', '.join(sorted(BENCHMARKS))}.")],
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Less of everything: a minute on two cores, for accuracy and ood a few minutes."
        ),
    ] = False,
    source: Annotated[
        str,
        typer.Option(
            "--source",
            help="Structures to measure on, where the benchmark needs any; ood: real crystals to judge by, "
            "besides those that are drawn.",
        ),
    ] = BenchmarkSettings.source,
    seed: Annotated[
        int, typer.Option("--seed", help="Which structures are drawn.", min=0)
    ] = BenchmarkSettings.seed,
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            help="accuracy, ood: where structures and results are kept, and an interrupted run goes on; "
            "adaptive: a screened store whose vectors are measured on.",
            metavar="DIR",
            show_default="accuracy, ood: in the cache folder",
            rich_help_panel=_OF_SOME,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="accuracy, ood: folder for the tables.",
            metavar="DIR",
            show_default="the benchmark's name, quick: with -quick behind",
            rich_help_panel=_OF_SOME,
            callback=_folder_of,
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            "--weights",
            help="accuracy: models to measure beside the shipped ones; ood: beside the default; repeatable. "
            f"{options.MODEL_HELP}",
            metavar="NAME|DIR",
            show_default=False,
            rich_help_panel=_OF_SOME,
        ),
    ] = None,
    retrain: Annotated[
        bool,
        typer.Option(
            "--retrain",
            help="ood: train further networks, too: three for a deep ensemble, and three without 19 classes "
            "(half an hour on one core, and their vectors).",
            rich_help_panel=_OF_SOME,
        ),
    ] = False,
    work: Annotated[
        Path | None,
        typer.Option(
            "--work",
            help="ood, with --retrain: folder for training vectors, to go on after an interruption.",
            metavar="DIR",
            show_default="in the cache folder",
            rich_help_panel=_OF_SOME,
        ),
    ] = None,
    executor: options.Executor = "auto",
    workers: options.Workers = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Measure speed or accuracy: ours against the peers in one run.

    crysift bench soap --quick

    crysift bench soap --source my-structures.parquet --json

    crysift bench accuracy --weights my-model [dim]118,000 defective crystals, beside spglib and OVITO[/dim]

    crysift bench ood --retrain [dim]unknown prototypes, near, mid and far, by every score[/dim]
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        _refuse_unread(context, name, from_store=store is not None)
        if work is not None and not retrain:
            raise CrysiftError("--work: it belongs to --retrain, which is not given; leave it out")
        settings = BenchmarkSettings(
            quick=quick,
            source=source,
            seed=seed,
            store=store,
            out=out,
            weights=tuple(weights or ()),
            retrain=retrain,
            work=work,
            execution=ExecutionSettings(executor, workers),
        )
        report = _watched(console, name, settings) if name in WATCHED else run_benchmark(name, settings)
        for table in report.tables:
            console.show(_table(table))
        console.show(_layout(report))
        for remark in report.remarks:
            console.say(remark)
        console.finish(report.as_json())


def _refuse_unread(context: typer.Context, name: str, *, from_store: bool) -> None:
    """Raise CrysiftError, naming the option, where one is given that the benchmark does not read."""
    read = {"name", "quiet", "as_json", "debug", *OPTIONS.get(name, context.params)}
    where = f"`crysift bench {name}`"
    if name == "adaptive" and from_store:
        read -= {"source"}
        where += " with --store"
    for option, spelled in options.given(context).items():
        if option not in read:
            raise CrysiftError(f"{spelled} changes nothing in {where}, which does not read it: leave it out")


def _watched(console: Console, name: str, settings: BenchmarkSettings) -> BenchmarkReport:
    from jobs.progress import ProgressBars

    with ProgressBars(console) as bars:
        return run_benchmark(name, replace(settings, listener=bars))


def _table(found: ReportTable) -> Table:
    table = Table(title=found.title, title_justify="left", box=None, pad_edge=False)
    for place, heading in enumerate(found.heading):
        table.add_column(heading, justify="right" if place else "left")
    for row in found.rows:
        table.add_row(*row)
    return table


def _layout(report: BenchmarkReport) -> Table:
    table = Table(title=f"crysift bench {report.benchmark}", title_justify="left", box=None, pad_edge=False)
    for heading in ("figure", "value", "unit", "goal", "holds"):
        table.add_column(heading, justify="right" if heading == "value" else "left")
    for figure in report.figures:
        holds = {True: "[green]yes[/green]", False: "[red]no[/red]", None: ""}[figure.holds]
        table.add_row(figure.name, f"{figure.value:.4g}", figure.unit, figure.goal or "", holds)
    return table
