"""`crysift predict`: prototypes, uncertainties and out-of-distribution scores of featurized structures."""

from jobs import options
from jobs.console import Console


def predict(
    store: options.StoreOption = options.DEFAULT_STORE,
    model: options.Model = "arise",
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
    """Compute a network's missing predictions from the newest descriptors in the store that it reads.

    arise makes `predictions_arise` from `features_soap`, diffraction `predictions_diffraction` from
    `features_diffraction`.

    crysift predict --store my-store

    crysift predict --store my-store --model diffraction

    crysift predict --store my-store --passes 100000 --add-table

    crysift predict --store my-store --passes adaptive --add-table
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        from engine.execution import Cluster
        from engine.store import Store
        from jobs.derivation import derive_and_report
        from jobs.settings import ExecutionSettings
        from jobs.stages import networks, passes_asked

        inference = {"passes": passes_asked(passes, threshold), "seed": seed, "alpha": alpha}
        [stage] = networks([model], weights or [], device=device, **inference)
        opened = Store.open(store, create=False)
        source = opened.latest(stage.source)
        stage.check_source(source.fingerprint)
        execution = ExecutionSettings(executor, workers, add_table, Cluster(ray, dask, gpu_share))
        derive_and_report(console, "predict", opened, stage, source, execution)
