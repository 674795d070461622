"""`crysift spm-profiles`: profiles through a particle, and how a time series changes."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from jobs import options
from jobs.console import Console


def spm_profiles(
    store: options.StoreOption = options.DEFAULT_STORE,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for pictures and tables.", metavar="FOLDER")
    ] = Path("profiles"),
    origin: Annotated[
        Literal["center", "surface"],
        typer.Option("--from", help="Shells around the centre of mass, or layers under the surface."),
    ] = "center",
    width: Annotated[float, typer.Option(help="Thickness of a shell, in Å.")] = 2.0,
    reference: Annotated[
        Literal["first", "previous"], typer.Option(help="The frame that each is compared with.")
    ] = "first",
    probe: Annotated[
        float,
        typer.Option(help="A point is outside if no atom is nearer, in Å; larger than holes in the crystal."),
    ] = 4.0,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Follow the uncertainty from the centre or the surface of a particle, and from frame to frame.

    The frames of one `crysift spm` share a grid, so that boxes of the same place are compared.

    crysift spm-profiles --store particle --from surface

    crysift spm-profiles --store anneal --reference previous --out growth
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        from dataclasses import asdict

        from engine.execution.events import ignore
        from engine.store import Store
        from jobs.pipeline import recorded_run
        from jobs.spm.pipeline import open_spm
        from jobs.spm.profile_report import print_profiles, report_profiles
        from jobs.spm.profiles import ProfileSettings

        settings = ProfileSettings(origin, width, reference, probe)
        opened = Store.open(store, create=False)
        tables = open_spm(opened)
        with recorded_run(opened, "spm-profiles", asdict(settings), ignore) as (run, _):
            summary = report_profiles(opened, tables, settings, out)
            run.finish({name: summary[name] for name in ("frames", "changes", "tables")})
        print_profiles(console, summary)
        console.finish(summary)
