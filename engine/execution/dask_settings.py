"""What a Dask scheduler and its workers must be told to lose nothing and to notice what is lost."""

from typing import Any

SETTINGS: dict[str, Any] = {
    # Dask reports the first loss of a worker, and Backlog counts: it knows which part to try again last.
    "distributed.scheduler.allowed-failures": 0,
    # Parts live in Parquet files and not in Dask's memory: there is nothing to spill, and a worker paused for
    # the memory of its own stage would wait for ever. Above the limit it is killed and counted as a loss.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    # A cut link is noticed within seconds; below 11 s some workers do not start.
    "distributed.comm.timeouts.tcp": "15s",
    "distributed.scheduler.worker-ttl": "20s",
}
"""``deploy/cluster.env`` says the same to schedulers and workers that somebody else starts."""
