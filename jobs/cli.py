"""The command line: `crysift COMMAND`."""

import sys
from typing import Annotated

import typer

from jobs.commands.bench import bench
from jobs.commands.explain import explain
from jobs.commands.featurize import featurize
from jobs.commands.ingest import ingest
from jobs.commands.jobs import jobs
from jobs.commands.logs import logs
from jobs.commands.map import map_command
from jobs.commands.models import models
from jobs.commands.predict import predict
from jobs.commands.query import query
from jobs.commands.report import report
from jobs.commands.screen import screen
from jobs.commands.serve import serve
from jobs.commands.similar import similar
from jobs.commands.spm import spm
from jobs.commands.spm_maps import spm_maps
from jobs.commands.spm_profiles import spm_profiles
from jobs.commands.spm_regions import spm_regions
from jobs.commands.status import status
from jobs.commands.stop import stop
from jobs.commands.study import study
from jobs.commands.submit import submit
from jobs.commands.train import train
from jobs.commands.tune import tune
from jobs.commands.verify import verify
from jobs.termination import interrupt_status, stop_on_sigterm

app = typer.Typer(
    name="crysift",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ONE_STEP = "One step at a time"
RESULTS = "Results"
CLUSTER = "On a cluster"
SPM = "Strided pattern matching"
DEVELOPMENT = "Models, studies and speed"

app.command()(screen)
app.command("map", rich_help_panel=RESULTS)(map_command)
app.command(rich_help_panel=RESULTS)(query)
app.command(rich_help_panel=RESULTS)(explain)
app.command(rich_help_panel=RESULTS)(report)
app.command(rich_help_panel=RESULTS)(serve)
app.command(rich_help_panel=RESULTS)(similar)
app.command(rich_help_panel=RESULTS)(status)
app.command(rich_help_panel=RESULTS)(verify)
app.command(rich_help_panel=ONE_STEP)(ingest)
app.command(rich_help_panel=ONE_STEP)(featurize)
app.command(rich_help_panel=ONE_STEP)(predict)
app.command(rich_help_panel=SPM)(spm)
app.command(rich_help_panel=SPM)(spm_maps)
app.command(rich_help_panel=SPM)(spm_regions)
app.command(rich_help_panel=SPM)(spm_profiles)
app.command(rich_help_panel=DEVELOPMENT)(study)
app.command(rich_help_panel=CLUSTER, context_settings={"allow_interspersed_args": False})(submit)
app.command(rich_help_panel=CLUSTER)(jobs)
app.command(rich_help_panel=CLUSTER)(logs)
app.command(rich_help_panel=CLUSTER)(stop)
app.command(rich_help_panel=DEVELOPMENT)(train)
app.command(rich_help_panel=DEVELOPMENT)(tune)
app.add_typer(models, name="models", rich_help_panel=DEVELOPMENT)
app.command(rich_help_panel=DEVELOPMENT)(bench)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"crysift {version('crysift')}\n")
        raise typer.Exit


@app.callback()
def crysift(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Screen crystal structures for those that no known prototype explains.

    [bold]Start here[/bold]

    crysift screen examples:                  [dim]embedded crystals[/dim]

    crysift screen my-files/ --store mine     [dim]CIF, POSCAR, extXYZ, …, Parquet[/dim]

    crysift query "SELECT * FROM predictions_arise WHERE is_ood" --store mine

    crysift map --store mine; crysift report --store mine    [dim]a page to explore it[/dim]

    crysift screen my-files/ --models arise,diffraction    [dim]two networks, side by side[/dim]

    crysift submit -- screen mp: --store s3://bucket/mp    [dim]the same on a Ray cluster[/dim]

    Every result is a table of Parquet files in the store, which DuckDB, Polars, pandas and Spark read.
    An interrupted run goes on with the same command.
    """


def main() -> None:
    """Run the command line of this process; SIGTERM stops it in order, as Ctrl-C does."""
    stop_on_sigterm()
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(interrupt_status())
