"""`crysift study`: structures of the literature, classified, drawn, and compared with what is known."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from engine.errors import CrysiftError
from jobs import options
from jobs.console import Console

if TYPE_CHECKING:
    from jobs.studies.study import StudyReport

VERDICTS = {True: "[green]yes[/green]", False: "[red]no[/red]", None: ""}


def study(
    name: Annotated[
        str | None, typer.Argument(help="Which study; --list shows them.", show_default=False)
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Show all studies and end.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder for structures, picture, tables, report and store.",
            metavar="DIR",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="The structure, where a study does not make its own.", metavar="FILE"),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer boxes or structures and 100 passes: a minute or so.")
    ] = False,
    mode: Annotated[
        Literal["exact", "shared"] | None,
        typer.Option(
            "--mode",
            help="Of boxes; exact: every box as a cluster of its own; shared: by shared sums.",
            show_default="exact",
        ),
    ] = None,
    weights: Annotated[
        str,
        typer.Option("--weights", help=options.MODEL_HELP, metavar="NAME|DIR"),
    ] = options.WEIGHTS["arise"],
    seed: options.Seed = options.SEED,
    executor: options.Executor = "auto",
    workers: options.Workers = None,
    ray: options.Ray = None,
    dask: options.Dask = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Classify structures of the literature, and compare what is found with what is known of them.

    crysift study --list

    crysift study superalloy --out superalloy --quick

    crysift study bain-path --out bain

    crysift study four-grains --out four-grains --file four_grains.xyz
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        if listed:
            _list(console)
            return
        if name is None:
            raise CrysiftError("name a study and a folder: crysift study NAME --out DIR; --list shows them")
        from jobs.studies.registry import study_named

        chosen = study_named(name)
        if out is None:
            raise CrysiftError(f"name a folder for what comes of it: crysift study {name} --out DIR")
        from engine.execution import Cluster
        from jobs.progress import ProgressBars
        from jobs.settings import ExecutionSettings
        from jobs.studies.study import StudyRequest

        request = StudyRequest(quick=quick, weights=weights, seed=seed, file=file, mode=mode)
        execution = ExecutionSettings(executor, workers, cluster=Cluster(ray, dask))
        with ProgressBars(console) as bars:
            report = chosen.run(request, out, execution, bars)
        _show(console, report, out)
        console.finish(report.as_json())


def _list(console: Console) -> None:
    from jobs.studies.registry import STUDIES

    table = Table(box=None, pad_edge=False)
    for heading in ("study", "structures", "extent", "file"):
        table.add_column(heading)
    for each in STUDIES:
        table.add_row(each.name, each.title, each.extent, "--file" if each.file else "")
    console.show(table)
    console.finish({each.name: each.title for each in STUDIES})


def _show(console: Console, report: "StudyReport", out: Path) -> None:
    console.say(f"[bold]{report.study.title}[/bold]: {report.counted}")
    console.say(f"Known: {report.study.known}")
    table = Table(box=None, pad_edge=False)
    for heading in ("found", "value", "at least", "holds"):
        table.add_column(heading, justify="left" if heading == "found" else "right")
    for check in report.checks:
        limit = "" if check.at_least is None else f"{check.at_least:g}"
        table.add_row(escape(check.finding), f"{check.value:.4g}", limit, VERDICTS[check.holds])
    console.show(table)
    console.say(escape(f"Structures, picture, tables, report and store: {out}"))
