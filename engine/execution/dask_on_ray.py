"""Dask inside a Ray cluster: the scheduler in this process, its workers as actors that Ray places."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dask.config
import ray.util
from distributed import Client, LocalCluster, Security

from engine.execution.dask_settings import SETTINGS
from engine.execution.dispatch import Loss
from engine.execution.ray_actors import Actor, Actors

if TYPE_CHECKING:
    from engine.execution.plan import StagePlan

_SERVING = "serving"
"""In place of a part: the call that ends when a worker does."""

_PAGE = "http://127.0.0.1:{port}/status"
"""Of the scheduler, on the driver's machine alone, as Ray's own: who may see it has a tunnel."""

_WAITS_SECONDS = 60
"""For the scheduler, before a worker gives up."""


class HostedWorkers:
    """Dask workers in Ray actors, one thread each.

    The scheduler is in the driver's process, so that nothing but the driver can take a run along. Whoever
    reaches a scheduler can run code: it speaks TLS with a certificate made for this run.
    """

    def __init__(self, plan: StagePlan, scheduler: str, security: Security) -> None:
        def start(actor: Actor) -> Any:
            return actor.start.remote(scheduler, security, SETTINGS, _WAITS_SECONDS)

        self._actors = Actors(plan, _worker_class(), start)

    @property
    def wanted(self) -> int:
        """Workers started and starting."""
        return self._actors.wanted

    def tend(self, remaining: int) -> list[Loss]:
        """Start and replace workers; return those that died while they started.

        The part of a worker that died later comes back from the scheduler.
        """
        self._actors.tend(remaining)
        losses = []
        while end := self._actors.next_end(0.0):
            if end.part is None and end.loss is None:
                self._actors.call(end.actor, _SERVING, end.actor.finished.remote())
            elif end.part is None:
                losses.append(Loss("", end.loss or ""))
            elif end.loss is None:  # the worker lost the scheduler and closed
                self._actors.dismiss(end.actor)
        return losses

    def dismiss(self) -> None:
        """End all workers."""
        self._actors.dismiss_all()


@contextmanager
def hosted(plan: StagePlan) -> Iterator[tuple[Client, HostedWorkers]]:
    """Start a scheduler, and let its workers come; both end with the context. Ray is connected."""
    with dask.config.set({"distributed.dashboard.link": _PAGE}):
        host, security = ray.util.get_node_ip_address(), Security.temporary()
        with (
            LocalCluster(
                n_workers=0,
                host=host,
                protocol="tls://",
                security=security,
                dashboard_address="127.0.0.1:0",
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            workers = HostedWorkers(plan, cluster.scheduler_address, security)
            try:
                yield client, workers
            finally:
                workers.dismiss()


def _worker_class() -> type:
    """Make the actor's class, sent by value; it imports nothing of ours before the path is set."""

    class DaskWorkerActor:
        async def start(
            self, scheduler: str, security: Any, settings: dict[str, Any], seconds: float
        ) -> None:
            import dask.config
            import ray.util
            from distributed import Worker

            from engine.errors import CrysiftError

            dask.config.set(settings)
            host = ray.util.get_node_ip_address()
            try:
                self._worker = await Worker(
                    scheduler,
                    security=security,
                    host=host,
                    nthreads=1,
                    memory_limit=0,  # Ray watches the memory of its nodes
                    dashboard=False,
                    dashboard_address="127.0.0.1:0",
                    death_timeout=seconds,
                )
            except TimeoutError as error:
                raise CrysiftError(
                    f"node {host} does not reach the driver's Dask scheduler at {scheduler}: let the nodes "
                    "of the cluster reach each other on all ports"
                ) from error

        async def finished(self) -> None:
            await self._worker.finished()

    return DaskWorkerActor
