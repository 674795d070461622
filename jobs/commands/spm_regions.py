"""`crysift spm-regions`: regions of a structure without any class: clusters of its boxes."""

from pathlib import Path
from typing import Annotated

import typer

from jobs import options
from jobs.console import Console


def spm_regions(
    store: options.StoreOption = options.DEFAULT_STORE,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for pictures and tables.", metavar="FOLDER")
    ] = Path("regions"),
    layer: Annotated[
        str,
        typer.Option(
            help="What is clustered: the outputs of hidden layer 1, 2 or 3, or descriptor.",
            rich_help_panel=options.CLUSTERS,
        ),
    ] = "3",
    min_cluster: Annotated[
        int, typer.Option(help="Boxes of the smallest cluster.", min=2, rich_help_panel=options.CLUSTERS)
    ] = 10,
    min_samples: Annotated[
        int | None,
        typer.Option(
            help="Neighbours that count for the density around a box; as many as --min-cluster if not given.",
            min=1,
            rich_help_panel=options.CLUSTERS,
            show_default=False,
        ),
    ] = None,
    assign: options.Assign = 0.1,
    selection: options.Selection = "eom",
    single: Annotated[
        bool, typer.Option("--single", help="All boxes may be one cluster.", rich_help_panel=options.CLUSTERS)
    ] = False,
    variance: options.Variance = 0.95,
    max_uncertainty: Annotated[
        float | None,
        typer.Option(
            help="Leave out boxes of a higher mutual information, in nat.",
            rich_help_panel=options.CLUSTERS,
            show_default=False,
        ),
    ] = None,
    min_atoms: Annotated[
        int,
        typer.Option(
            help="Leave out boxes of fewer atoms, as at surfaces.", rich_help_panel=options.CLUSTERS
        ),
    ] = 0,
    embed: Annotated[
        bool,
        typer.Option("--map/--no-map", help="Embed the boxes in a plane.", rich_help_panel=options.EMBEDDING),
    ] = True,
    neighbors: Annotated[
        int,
        typer.Option(help="Size of the neighbourhoods to keep.", min=2, rich_help_panel=options.EMBEDDING),
    ] = 50,
    min_dist: Annotated[
        float,
        typer.Option(
            help="How near boxes may come to one another.",
            min=0.0,
            max=1.0,
            rich_help_panel=options.EMBEDDING,
        ),
    ] = 0.1,
    seed: Annotated[int, typer.Option(help="Of the map.", min=0, rich_help_panel=options.EMBEDDING)] = 0,
    weights: Annotated[
        str,
        typer.Option(
            help="The model that classified the boxes.",
            metavar="NAME|DIR",
            rich_help_panel=options.NETWORK,
        ),
    ] = options.WEIGHTS["arise"],
    executor: options.Executor = "auto",
    workers: options.Workers = None,
    backend: options.MapBackend = "auto",
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Find regions of a structure without its classes: cluster the boxes by what the network sees in them.

    Afterwards `crysift spm-maps --show cluster` draws where the regions are.

    crysift spm-regions --store particle --max-uncertainty 0.15

    crysift spm-regions --store grains --min-cluster 500 --neighbors 500 --min-dist 0.9

    crysift spm-regions --store alloy --layer descriptor --no-map
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        from engine.landscape.cluster import ClusterSettings
        from engine.landscape.embed import EmbedSettings
        from engine.store import Store
        from jobs.pipeline import recorded_run
        from jobs.progress import ProgressBars
        from jobs.settings import ExecutionSettings
        from jobs.spm.pipeline import open_spm
        from jobs.spm.region_report import print_regions, report_regions
        from jobs.spm.regions import RegionSettings, find_regions
        from models.representations import Layer

        settings = RegionSettings(
            layer,
            ClusterSettings(min_cluster, min_samples, assign, selection, single),
            EmbedSettings(neighbors, min_dist, seed=seed) if embed else None,
            variance,
            max_uncertainty,
            min_atoms,
        )
        opened = Store.open(store, create=False)
        tables = open_spm(opened)
        execution = ExecutionSettings(executor, workers, add_table=True)
        console.note(
            f"clustering the boxes of {tables.atoms.name}"
            + (" and embedding them, which takes longer" if embed else "")
        )
        with (
            ProgressBars(console) as bars,
            recorded_run(opened, "spm-regions", settings.as_json(), bars) as (run, tell),
        ):
            regions = find_regions(opened, tables, settings, weights, backend)
            seen = Layer.of(tables.grid, layer, weights)
            summary = report_regions(opened, tables, regions, seen, out, execution, tell)
            run.finish({name: summary[name] for name in ("boxes", "clustered_boxes", "outliers", "tables")})
        print_regions(console, summary)
        console.finish(summary)
