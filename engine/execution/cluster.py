"""Where the stages run that do not run in this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from engine.errors import CrysiftError


@dataclass(frozen=True)
class Cluster:
    """Clusters that run already; where none is named, stages start and stop their own on this machine.

    ``ray`` is ``auto`` for the Ray cluster that this machine belongs to, or the HOST:PORT of a cluster's
    head: it runs both kinds of stages. ``dask`` is the address of a Dask scheduler, which then runs the Dask
    stages. ``gpu_share`` is what one worker of a stage on GPUs takes: with 0.5 two of them share one.
    """

    ray: str | None = None
    dask: str | None = None
    gpu_share: float = 1.0

    def __post_init__(self) -> None:
        """Raise CrysiftError for addresses of other things, and for shares that Ray cannot give."""
        if self.ray is not None and "://" in self.ray:
            raise CrysiftError(
                f"{self.ray!r} is no address of a Ray cluster's head: name HOST:PORT (as in RAY_ADDRESS), "
                "or auto; from outside of the cluster use `crysift submit`"
            )
        if not (0 < self.gpu_share < 1 or 1 <= self.gpu_share == int(self.gpu_share)):
            raise CrysiftError(
                f"a worker cannot have {self.gpu_share:g} GPUs: name a share below 1, or a whole number"
            )

    @property
    def is_local(self) -> bool:
        """Whether stages start their own clusters on this machine."""
        return self.ray is None and self.dask is None

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Hold the connection to the Ray cluster, if there is one: for all stages of a run together."""
        if self.ray is None:
            yield
            return
        from engine.execution.ray_session import connection

        with connection(self.ray):
            yield


LOCAL = Cluster()
