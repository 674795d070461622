"""`crysift spm`: strided pattern matching of a large structure."""

from typing import Annotated, Literal

import typer

from jobs import options
from jobs.console import Console

BOXES = "Boxes"
REFINEMENT = "Coarse to fine"


def spm(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Files of atoms: extXYZ, XYZ, LAMMPS dump or data, POSCAR, CIF, FHI-aims, Parquet, or image "
            "positions. Several files, or frames, are a time series on one grid.",
            metavar="FILE",
            show_default=False,
        ),
    ],
    store: options.StoreOption = options.DEFAULT_STORE,
    stride: Annotated[
        str,
        typer.Option(
            help="Distance of neighbouring boxes in Å: one number, or x,y,z.",
            metavar="Å[,Å,Å]",
            rich_help_panel=BOXES,
        ),
    ] = "1",
    box: Annotated[
        float, typer.Option(help="Edge of a box, or diameter of a sphere, in Å.", rich_help_panel=BOXES)
    ] = 16.0,
    shape: Annotated[
        Literal["box", "sphere"], typer.Option(help="Shape of a box.", rich_help_panel=BOXES)
    ] = "box",
    axes: Annotated[
        Literal["auto", "1", "2", "3"],
        typer.Option(
            help="Along how many axes boxes are lined up, the longest first: 1 for rods, 2 for slabs and "
            "images; auto: where the structure is longer than a box.",
            rich_help_panel=BOXES,
        ),
    ] = "auto",
    padding: Annotated[
        float,
        typer.Option(
            help="Widen the structure's bounding box by so many boxes on every side.", rich_help_panel=BOXES
        ),
    ] = 0.0,
    min_atoms: Annotated[
        int, typer.Option(help="Leave boxes with fewer atoms unclassified.", min=1, rich_help_panel=BOXES)
    ] = 20,
    mode: Annotated[
        Literal["exact", "shared"],
        typer.Option(
            help="exact: every box is a cluster of its own; shared: sums over neighbours serve all boxes.",
            rich_help_panel=BOXES,
        ),
    ] = "exact",
    refine: Annotated[
        bool,
        typer.Option(
            "--refine",
            help="Classify a coarse grid first, and more boxes only where classes change or are uncertain.",
            rich_help_panel=REFINEMENT,
        ),
    ] = False,
    refine_step: Annotated[
        int,
        typer.Option(
            help="Every how many boxes the coarse grid has one: 2, 4, 8, …", rich_help_panel=REFINEMENT
        ),
    ] = 4,
    refine_uncertainty: Annotated[
        float,
        typer.Option(help="Refine above this mutual information, in nat.", rich_help_panel=REFINEMENT),
    ] = 0.2,
    refine_contrast: Annotated[
        float,
        typer.Option(
            help="Refine where neighbours' probabilities differ by more.", rich_help_panel=REFINEMENT
        ),
    ] = 0.3,
    file_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Format of the files, when their names do not tell: extxyz, dump, data, poscar, cif, aims, "
            "parquet, csv, txt, or another of ASE's names.",
            rich_help_panel=options.INPUT,
            show_default=False,
        ),
    ] = None,
    species: Annotated[
        str | None,
        typer.Option(
            help="Elements of the types in a LAMMPS file, as in 1=Ni,2=Al; or the one element of a file that "
            "names none.",
            rich_help_panel=options.INPUT,
            show_default=False,
        ),
    ] = None,
    pixel_size: Annotated[
        float | None,
        typer.Option(
            help="Å per pixel, for tables of image positions x and y.",
            rich_help_panel=options.INPUT,
            show_default=False,
        ),
    ] = None,
    every: Annotated[
        int,
        typer.Option(
            help="Of a file with many frames take every n-th.", min=1, rich_help_panel=options.INPUT
        ),
    ] = 1,
    name: Annotated[
        str | None,
        typer.Option(
            help="What the structure is called; by default the first file's name.",
            rich_help_panel=options.INPUT,
            show_default=False,
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            help="Prototypes whose probability is kept for every box, however small, as in fcc,bcc.",
            metavar="NAME[,NAME]",
            rich_help_panel=options.NETWORK,
            show_default=False,
        ),
    ] = None,
    passes: options.Passes = options.PASSES,
    threshold: options.Threshold = None,
    seed: options.Seed = options.SEED,
    alpha: options.Alpha = options.ALPHA,
    weights: Annotated[
        str,
        typer.Option(
            help=options.MODEL_HELP,
            metavar="NAME|DIR",
            rich_help_panel=options.NETWORK,
        ),
    ] = options.WEIGHTS["arise"],
    executor: options.Executor = "auto",
    workers: options.Workers = None,
    ray: options.Ray = None,
    dask: options.Dask = None,
    device: options.Device = "auto",
    gpu_share: options.GpuShare = options.GPU_SHARE,
    add_table: options.AddTable = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Find which crystal structure a large structure has where: strided pattern matching.

    The structure is cut into overlapping boxes, and each is classified with its uncertainty.

    crysift spm polycrystal.xyz --stride 1 --box 16 --store grains

    crysift spm dump.lammpstrj --species 1=Ni,2=Al --stride 3    [dim]LAMMPS names no elements[/dim]

    crysift spm stem.csv --pixel-size 0.12 --species C           [dim]positions in an image[/dim]

    crysift spm t1.xyz t2.xyz t3.xyz --stride 2 --box 12         [dim]a time series[/dim]

    crysift spm polycrystal.xyz --refine                         [dim]nearly the same map, at less cost[/dim]

    An interrupted run goes on with the same command.
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        from engine.execution import Cluster
        from engine.spm import GridSettings
        from engine.store import Store
        from jobs.progress import ProgressBars
        from jobs.settings import ExecutionSettings
        from jobs.spm.forecast import forecast
        from jobs.spm.pipeline import SpmRequest, run_spm
        from jobs.spm.reading import classes_of, name_of, read_all, stride_of
        from jobs.spm.refine import Refine
        from jobs.spm.report import print_report
        from jobs.spm.summary import summarize
        from jobs.stages import passes_asked

        grid = GridSettings(stride_of(stride), box, shape, axes, padding, min_atoms)
        refinement = Refine(refine_step, refine_uncertainty, refine_contrast) if refine else None
        request = SpmRequest(
            name=name or name_of(sources),
            frames=read_all(sources, file_format, every=every, pixel_size=pixel_size, species=species),
            grid=grid,
            mode=mode,
            passes=passes_asked(passes, threshold),
            seed=seed,
            weights=weights,
            alpha=alpha,
            classes=classes_of(classes),
            refine=refinement,
            device=device,
        )
        execution = ExecutionSettings(executor, workers, add_table, Cluster(ray, dask, gpu_share))
        console.note(forecast(request, execution).describe())
        opened = Store.open(store, create=True)
        with ProgressBars(console) as bars:
            tables = run_spm(opened, request, execution, bars)
        summary = summarize(opened, tables)
        print_report(console, summary)
        console.finish(summary)
