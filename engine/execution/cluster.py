"""Where the stages run that do not run in this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from engine.errors import CrysiftError


@dataclass(frozen=True)
class Cluster:
    """Clusters that run already; on this machine, started and stopped with each stage, where there is none.

    ``ray`` is ``auto`` for the Ray cluster that this machine belongs to, or the HOST:PORT of its head: it runs
    both kinds of stages. ``dask`` is the address of a Dask scheduler, which then runs the Dask stages.
    """

    ray: str | None = None
    dask: str | None = None

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Hold a connection to the Ray cluster, if there is one: for all stages of a run together."""
        if self.ray is None:
            yield
            return
        from engine.execution.ray import connection

        with connection(self.ray):
            yield


LOCAL = Cluster()
