"""`crysift screen`: from structures to predictions in one command."""

import typer

from jobs import options
from jobs.console import Console


def screen(
    context: typer.Context,
    sources: options.Sources,
    store: options.StoreOption = options.DEFAULT_STORE,
    models: options.Models = "arise",
    fdr: options.Fdr = options.FDR,
    top: options.Top = options.TOP,
    file_format: options.FileFormat = None,
    columns: options.Columns = None,
    entry_filter: options.Filter = None,
    include_nc: options.IncludeNc = False,
    include_deprecated: options.IncludeDeprecated = False,
    oasis: options.Oasis = None,
    max_sites: options.MaxSites = options.MAX_SITES,
    min_distance: options.MinDistance = options.MIN_DISTANCE,
    cutoff: options.Cutoff = options.CUTOFF,
    sigma: options.Sigma = options.SIGMA,
    basis: options.Basis = options.BASIS,
    backend: options.Backend = options.BACKEND,
    channels: options.Channels = options.CHANNELS,
    mask: options.Mask = options.MASK,
    passes: options.Passes = options.PASSES,
    threshold: options.Threshold = None,
    seed: options.Seed = options.SEED,
    alpha: options.Alpha = options.ALPHA,
    weights: options.Weights = None,
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
    """Screen structures: which prototype each resembles, how surely, and which resemble none.

    crysift screen examples:                            [dim]embedded crystals[/dim]

    crysift screen quartz.cif                           [dim]one file[/dim]

    crysift screen files/ more/*.cif --store mine       [dim]folders and files[/dim]

    crysift screen "runs/*/CONTCAR" --format vasp       [dim]name the format[/dim]

    crysift screen mp.parquet --store mp --json         [dim]summary as JSON[/dim]

    crysift screen mp: --passes adaptive                [dim]fewer passes where few decide[/dim]

    crysift screen files/ --models arise,diffraction    [dim]two networks side by side[/dim]

    An interrupted screening goes on with the same command; what is done is not done again.
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        from connectors.settings import SourceSettings
        from engine.descriptors.diffraction import DiffractionSettings
        from engine.descriptors.soap import SoapSettings
        from engine.execution import Cluster
        from engine.validation import StructureLimits
        from jobs.progress import ProgressBars
        from jobs.report import print_report
        from jobs.screening import screen as run
        from jobs.settings import ExecutionSettings, ScreenSettings
        from jobs.stages import networks, passes_asked

        sampling = passes_asked(passes, threshold)
        inference = {"passes": sampling, "seed": seed, "alpha": alpha, "device": device}
        asked = networks(models.replace(" ", "").split(","), weights or [], **inference)
        options.refuse_unused(context, [network.source for network in asked], f"--models {models}")
        settings = ScreenSettings(
            limits=StructureLimits(max_sites=max_sites, min_distance=min_distance),
            models=asked,
            soap=SoapSettings(cutoff=cutoff, sigma=sigma, basis=basis, backend=backend),
            diffraction=DiffractionSettings(channels=channels, mask=mask),
            fdr=fdr,
            execution=ExecutionSettings(executor, workers, add_table, Cluster(ray, dask, gpu_share)),
            sources=SourceSettings(file_format, columns, entry_filter, include_nc, include_deprecated, oasis),
        )
        with ProgressBars(console) as bars:
            result = run(sources, store, settings, bars)
        strangest = result.most_out_of_distribution(top)
        novel = result.novel(top)
        print_report(console, result, strangest, novel, top)
        told = {"most_out_of_distribution": strangest.to_pylist(), "novel": novel.to_pylist()}
        console.finish({**result.summary, **told})
