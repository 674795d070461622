"""`crysift featurize`: descriptors of the structures in a store."""

import typer

from jobs import options
from jobs.console import Console


def featurize(
    context: typer.Context,
    store: options.StoreOption = options.DEFAULT_STORE,
    descriptor: options.Descriptor = "soap",
    cutoff: options.Cutoff = options.CUTOFF,
    sigma: options.Sigma = options.SIGMA,
    basis: options.Basis = options.BASIS,
    backend: options.Backend = options.BACKEND,
    channels: options.Channels = options.CHANNELS,
    mask: options.Mask = options.MASK,
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
    """Compute the descriptors that are missing in the store: `features_soap` or `features_diffraction`.

    crysift featurize --store my-store

    crysift featurize --store my-store --cutoff 4.4 --add-table    [dim]beside the first[/dim]

    crysift featurize --store my-store --descriptor diffraction
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        table = f"features_{descriptor}"
        options.refuse_unused(context, [table], f"--descriptor {descriptor}")
        from engine.descriptors.diffraction import DiffractionSettings
        from engine.descriptors.soap import SoapSettings
        from engine.execution import Cluster
        from engine.store import Store
        from jobs.derivation import derive_and_report
        from jobs.settings import ExecutionSettings
        from jobs.stages import descriptor_stage

        soap = SoapSettings(cutoff=cutoff, sigma=sigma, basis=basis, backend=backend)
        stage = descriptor_stage(table, soap, DiffractionSettings(channels=channels, mask=mask), device)
        opened = Store.open(store, create=False)
        execution = ExecutionSettings(executor, workers, add_table, Cluster(ray, dask, gpu_share))
        derive_and_report(console, "featurize", opened, stage, opened.structures, execution)
