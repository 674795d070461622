"""`crysift study`: structures of the literature, matched, drawn and compared with what is known of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from engine.errors import CrysiftError
from jobs import options
from jobs.console import Console

if TYPE_CHECKING:
    from jobs.studies.atomistic.run import StudyReport

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
            help="Folder for the structure, the picture, the report and the store.",
            metavar="DIR",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="The structure, where a study does not make its own.", metavar="FILE"),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A coarser stride and 100 passes: a minute or so.")
    ] = False,
    mode: Annotated[
        Literal["exact", "shared"],
        typer.Option("--mode", help="exact: every box as a cluster of its own; shared: by shared sums."),
    ] = "exact",
    seed: options.Seed = options.SEED,
    executor: options.Executor = "auto",
    workers: options.Workers = None,
    ray: options.Ray = None,
    dask: options.Dask = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Match a structure of the literature, and compare what is found with what is known of it.

    crysift study --list

    crysift study superalloy --out superalloy --quick

    crysift study four-grains --out four-grains --file four_grains.xyz
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        if listed:
            _list(console)
            return
        if name is None or out is None:
            raise CrysiftError("name a study and a folder: crysift study NAME --out DIR; --list shows them")
        from engine.execution import Cluster
        from jobs.progress import ProgressBars
        from jobs.settings import ExecutionSettings
        from jobs.studies.atomistic.run import StudyRequest, run_study
        from jobs.studies.atomistic.studies import study_named

        request = StudyRequest(study=study_named(name), file=file, quick=quick, mode=mode, seed=seed)
        execution = ExecutionSettings(executor, workers, cluster=Cluster(ray, dask))
        with ProgressBars(console) as bars:
            report = run_study(request, out, execution, bars)
        _show(console, report, out)
        console.finish(report.as_json())


def _list(console: Console) -> None:
    from jobs.studies.atomistic.studies import STUDIES

    table = Table(box=None, pad_edge=False)
    for heading in ("study", "structure", "box, stride", "file"):
        table.add_column(heading)
    for each in STUDIES:
        size = f"{each.box:g} Å, {each.stride:g} Å"
        table.add_row(each.name, each.title, size, "--file" if each.file else "")
    console.show(table)
    console.finish({each.name: each.title for each in STUDIES})


def _show(console: Console, report: "StudyReport", out: Path) -> None:
    study_, counts = report.request.study, report.counts
    console.say(f"[bold]{study_.title}[/bold]: {report.atoms:,} atoms, {counts['boxes']:,} boxes, of which")
    console.say(
        f"{counts['classified']:,} classified, {counts['sparse']:,} sparse, {counts['failed']:,} failed"
    )
    console.say(f"Known: {study_.known}")
    table = Table(box=None, pad_edge=False)
    for heading in ("found", "value", "at least", "holds"):
        table.add_column(heading, justify="left" if heading == "found" else "right")
    for check in report.checks:
        limit = "" if check.at_least is None else f"{check.at_least:g}"
        table.add_row(check.finding, f"{check.value:.4g}", limit, VERDICTS[check.holds])
    console.show(table)
    console.say(f"Structure, picture, report and store: {out}")
