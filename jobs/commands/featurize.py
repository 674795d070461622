"""`crysift featurize`: SOAP vectors of the structures in a store."""

from jobs import options
from jobs.console import Console


def featurize(
    store: options.StoreOption = options.DEFAULT_STORE,
    cutoff: options.Cutoff = options.CUTOFF,
    sigma: options.Sigma = options.SIGMA,
    basis: options.Basis = options.BASIS,
    backend: options.Backend = options.BACKEND,
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
    """Compute the SOAP vectors that are missing in the store: the table `features_soap`.

    crysift featurize --store my-store

    crysift featurize --store my-store --cutoff 4.4 --add-table    [dim]beside the first[/dim]
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        from engine.descriptors.soap import SoapSettings
        from engine.descriptors.soap.stage import SoapStage
        from engine.execution import Cluster
        from engine.store import Store
        from jobs.derivation import derive_and_report
        from jobs.settings import ExecutionSettings

        stage = SoapStage(SoapSettings(cutoff=cutoff, sigma=sigma, basis=basis, backend=backend), device)
        opened = Store.open(store, create=False)
        execution = ExecutionSettings(executor, workers, add_table, Cluster(ray, dask, gpu_share))
        derive_and_report(console, "featurize", opened, stage, opened.structures, execution)
