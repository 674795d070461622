"""How many workers there is room for: on this machine, on a Ray cluster, or on a Dask scheduler's workers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import CrysiftError

if TYPE_CHECKING:
    from distributed import Client

    from engine.execution.cluster import Cluster
    from engine.execution.plan import Executor
    from engine.stage import Resources

_GIB = 1024**3
_PLENTY = 1 << 50
"""Bytes of a Dask worker without a memory limit."""


@dataclass(frozen=True)
class Node:
    """Cores, bytes of memory and GPUs that one machine, or one Dask worker, lends."""

    cores: float
    memory_bytes: int
    gpus: float = 0.0

    def room_for(self, worker: Resources) -> int:
        """Return how many workers fit."""
        rooms = [self.cores / worker.cpus, self.memory_bytes / worker.memory_bytes]
        if worker.gpus:
            rooms.append(self.gpus / worker.gpus)
        return int(min(rooms) + 1e-9)

    def __str__(self) -> str:
        """Say what it has."""
        gpus = f", {self.gpus:g} GPUs" if self.gpus else ""
        return f"{self.cores:g} cores, {self.memory_bytes / _GIB:.1f} GiB{gpus}"


@dataclass(frozen=True)
class Capacity:
    """What the machines lend together; ``where`` names them in messages."""

    where: str
    nodes: tuple[Node, ...]

    def room_for(self, worker: Resources) -> int:
        """Return how many workers fit, each wholly on one node."""
        return sum(node.room_for(worker) for node in self.nodes)

    @property
    def has_gpus(self) -> bool:
        """Whether any node has a GPU."""
        return any(node.gpus for node in self.nodes)

    def __str__(self) -> str:
        """Name the place and its largest node."""
        largest = max(self.nodes, key=lambda node: (node.cores, node.memory_bytes), default=None)
        count = f"{len(self.nodes)} nodes, the largest with " if len(self.nodes) > 1 else ""
        return f"{self.where} ({count}{largest})" if largest else f"{self.where} (no nodes)"


def capacity(cluster: Cluster, executor: Executor) -> Capacity:
    """Ask what there is for an executor; a cluster's answer changes while nodes come and go."""
    if executor == "dask" and cluster.dask is not None:
        return _dask_capacity(cluster.dask)
    if executor != "inline" and cluster.ray is not None:
        return _ray_capacity(cluster.ray)
    return _local_capacity()


def _local_capacity() -> Capacity:
    return Capacity("this machine", (Node(available_cores(), available_memory(), _local_gpus()),))


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory() -> int:
    """Bytes of memory that can be used without swapping."""
    import psutil

    return int(psutil.virtual_memory().available)


def _local_gpus() -> int:
    """GPUs that PyTorch can use; where there is no driver's device, without importing it."""
    if not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/dxg").exists():
        return 0
    import torch

    return torch.cuda.device_count()


def _ray_capacity(address: str) -> Capacity:
    from engine.execution.ray_session import alive_nodes, connection

    with connection(address):
        totals = [node["Resources"] for node in alive_nodes()]
    nodes = [Node(own.get("CPU", 0.0), int(own.get("memory", 0)), own.get("GPU", 0.0)) for own in totals]
    return Capacity(f"the Ray cluster at {address}", tuple(nodes))


def _dask_capacity(address: str) -> Capacity:
    from distributed import Client

    try:
        with Client(address, set_as_default=False, timeout="10s") as client:
            nodes = dask_nodes(client)
    except (OSError, TimeoutError, ValueError) as error:
        raise CrysiftError(
            f"no Dask scheduler answers at {address!r} ({error}): start one with `dask scheduler`, or check "
            "the address that it printed"
        ) from error
    return Capacity(f"the Dask scheduler at {address}", nodes)


def dask_nodes(client: Client) -> tuple[Node, ...]:
    """What each worker of a scheduler lends: GPUs where it was started with the resource ``GPU``."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return tuple(
        Node(own["nthreads"], own["memory_limit"] or _PLENTY, own["resources"].get("GPU", 0.0))
        for own in workers
    )
