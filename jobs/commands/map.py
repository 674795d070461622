"""`crysift map`: the map of a whole store: clusters and an embedding of all its structures."""

from pathlib import Path
from typing import Annotated

import typer

from jobs import options
from jobs.console import Console

FIT = "What the map is fitted to"


def map_command(
    store: options.StoreOption = options.DEFAULT_STORE,
    layer: Annotated[
        str,
        typer.Option(
            help="What is mapped: the outputs of hidden layer 1, 2 or 3 of the network, or descriptor.",
            rich_help_panel=FIT,
        ),
    ] = "3",
    sample: Annotated[
        int,
        typer.Option(
            help="Fit the map to so many structures, with all prototypes among them, if there are more; the "
            "others are placed in it. A sample is less dense: ask for smaller clusters then.",
            min=2,
            rich_help_panel=FIT,
        ),
    ] = options.MAP_SAMPLE,
    update: Annotated[
        bool,
        typer.Option(
            "--update",
            help="Place structures that came since in the map there is, instead of fitting a new one.",
            rich_help_panel=FIT,
        ),
    ] = False,
    variance: options.Variance = 0.95,
    min_cluster_size: Annotated[
        int, typer.Option(help="Structures of the smallest cluster.", min=2, rich_help_panel=options.CLUSTERS)
    ] = 25,
    min_samples: Annotated[
        int,
        typer.Option(
            help="Neighbours that count for the density around a structure.",
            min=1,
            rich_help_panel=options.CLUSTERS,
        ),
    ] = 10,
    assign: options.Assign = 0.1,
    selection: options.Selection = "eom",
    sweep: Annotated[
        bool,
        typer.Option(
            "--sweep",
            help="Also compare smallest cluster sizes from 25 to 1000: clusters, outliers, stability.",
            rich_help_panel=options.CLUSTERS,
        ),
    ] = False,
    protostructures: Annotated[
        bool,
        typer.Option(
            "--protostructures/--no-protostructures",
            help="Determine the structure types (space group, Wyckoff positions), to describe clusters by.",
            rich_help_panel=options.CLUSTERS,
        ),
    ] = True,
    neighbors: Annotated[
        int,
        typer.Option(
            help="Size of the neighbourhoods that are kept.", min=2, rich_help_panel=options.EMBEDDING
        ),
    ] = 30,
    min_dist: Annotated[
        float,
        typer.Option(
            help="How near structures may come to one another.",
            min=0.0,
            max=1.0,
            rich_help_panel=options.EMBEDDING,
        ),
    ] = 0.1,
    seed: Annotated[
        int, typer.Option(help="Of the embedding and the sample.", min=0, rich_help_panel=options.EMBEDDING)
    ] = 0,
    weights: Annotated[
        str,
        typer.Option(
            help="The model of the predictions.", metavar="NAME|DIR", rich_help_panel=options.NETWORK
        ),
    ] = options.WEIGHTS["arise"],
    backend: options.MapBackend = "auto",
    executor: options.Executor = "auto",
    workers: options.Workers = None,
    ray: options.Ray = None,
    dask: options.Dask = None,
    pictures: Annotated[
        Path | None,
        typer.Option(
            "--pictures",
            help="Draw the map into this folder, as PNG and SVG.",
            metavar="FOLDER",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    color: Annotated[
        list[str] | None,
        typer.Option(
            "--color",
            help="What the pictures show: cluster, prototype, mutual_information, ood_score, or any column; "
            "repeatable.",
            rich_help_panel=options.OUTPUT,
            show_default=False,
        ),
    ] = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Map all structures of a screened store: which belong together, and how they lie to one another.

    Writes the tables `map` (place, cluster, memberships, outlier score and nearest neighbours of every
    structure) and `clusters` (size, medoid, prototypes, uncertainty). `crysift report` makes them a page.

    crysift map --store mp

    crysift map --store mp --sweep --pictures figures

    crysift map --store mp --min-cluster-size 100 --neighbors 50

    crysift map --store everything --sample 500000 --backend cuml
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        from engine.errors import CrysiftError
        from engine.execution import Cluster
        from engine.landscape.cluster import ClusterSettings
        from engine.landscape.embed import EmbedSettings
        from engine.landscape.model import MapSettings
        from jobs.landscape.report import map_and_report
        from jobs.landscape.settings import MapRequest, Pictures
        from jobs.settings import ExecutionSettings

        settings = MapSettings(
            ClusterSettings(min_cluster_size, min_samples, assign, selection),
            EmbedSettings(neighbors, min_dist, seed=seed),
            variance,
        )
        request = MapRequest(layer, settings, sample, backend, weights, protostructures, update)
        execution = ExecutionSettings(executor, workers, add_table=True, cluster=Cluster(ray, dask))
        if color and pictures is None:
            raise CrysiftError("--color says what pictures show: name a folder for them with --pictures")
        drawn = None if pictures is None else Pictures(pictures, tuple(color or ()))
        map_and_report(console, store, request, execution, sweep=sweep, pictures=drawn)
