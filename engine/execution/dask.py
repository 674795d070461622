"""Parts on Dask workers, one thread each: for stages without a model, here or on a running cluster."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import dask.config
from distributed import Client, KilledWorker, LocalCluster, Worker, WorkerPlugin, get_worker

from engine.errors import CrysiftError
from engine.execution.capacity import Capacity, available_memory, dask_nodes
from engine.execution.dask_settings import SETTINGS
from engine.execution.dispatch import Crew, Loss, dispatch
from engine.execution.events import EngineStarted, Event, PartDone, PartIsolated, WorkerLost
from engine.execution.recovery import Assignment, Backlog

if TYPE_CHECKING:
    from concurrent.futures import Future

    from distributed import Future as DaskFuture

    from engine.execution.dask_on_ray import HostedWorkers
    from engine.execution.plan import StagePlan
    from engine.execution.task import PartFunction, StageTask

_DIED_AT_START = "Nanny failed to start."
"""What Dask says, in a RuntimeError, of a worker that died before the cluster was up."""
_LOOK_EVERY_SECONDS = 1.0


class _OpenStage(WorkerPlugin):
    """Holds the stage in a worker: opened by the worker's first part and kept for the others."""

    def __init__(self, task: StageTask) -> None:
        self.name = f"crysift-{uuid4().hex}"  # several runs may share a scheduler
        self._task = task
        self._run: PartFunction | None = None

    def setup(self, worker: Worker) -> None:  # noqa: ARG002 -- Dask's signature
        """Leave Ctrl-C, which a terminal sends to every process, to the driver."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def run(self, part: str, *, isolated: bool) -> PartDone:
        if self._run is None:
            self._run = self._task.open()
        return self._run(part, isolated)


def run(plan: StagePlan) -> Generator[Event, None, None]:
    """Yield an event per part and per lost worker; what was started stops when the generator is closed."""
    plan.task.warm()  # compiles the kernels into their cache, which all workers would do at the same time
    backlog = Backlog(plan.stage.name, plan.parts, plan.workers)
    with ExitStack() as cluster:
        client, hosted = yield from _started(cluster, plan, backlog)
        stage = cluster.enter_context(_opened_stage(client, plan.task))
        yield EngineStarted(plan.stage.name, "dask", client.dashboard_link or None)
        yield from dispatch(backlog, _DaskCrew(client, stage, plan, hosted), plan.stage.name)


def _started(
    cluster: ExitStack, plan: StagePlan, backlog: Backlog
) -> Generator[WorkerLost | PartIsolated, None, tuple[Client, HostedWorkers | None]]:
    """Start the cluster, anew where a worker died meanwhile: Dask then gives the whole cluster up."""
    while True:
        try:
            return cluster.enter_context(_clients(plan))
        except RuntimeError as error:
            if str(error) != _DIED_AT_START:
                raise
            yield from backlog.lost("")


class _DaskCrew(Crew):
    """The workers of a scheduler, which decides who gets a part; there are never more parts than threads."""

    def __init__(self, client: Client, stage: str, plan: StagePlan, hosted: HostedWorkers | None) -> None:
        self._client = client
        self._stage = stage
        self._plan = plan
        attached_gpus = plan.resources.gpus if plan.cluster.dask else 0.0
        self._gpus = {"GPU": attached_gpus} if attached_gpus else None
        self._hosted = hosted
        self._wanted = plan.workers
        self._ready = 0
        self._looked = -_LOOK_EVERY_SECONDS
        self._running: dict[Future[PartDone], str] = {}
        self._ended: SimpleQueue[Future[PartDone]] = SimpleQueue()
        self._losses: list[Loss] = []

    def tend(self, remaining: int) -> None:
        if self._hosted is not None:
            self._losses += self._hosted.tend(remaining)
            self._wanted = self._hosted.wanted
        if time.monotonic() - self._looked > _LOOK_EVERY_SECONDS:
            self._looked = time.monotonic()
            with _scheduler_reached():
                self._look()

    def _look(self) -> None:
        """Count the threads, and on somebody else's scheduler those that memory and GPUs suffice for."""
        if self._plan.elastic and self._hosted is None:
            self._ready = Capacity("", dask_nodes(self._client)).room_for(self._plan.resources)
            self._wanted = max(self._wanted, self._ready)
        else:
            self._ready = min(sum(self._client.nthreads().values()), self._wanted)

    @property
    def ready(self) -> int:
        return self._ready

    @property
    def wanted(self) -> int:
        return self._wanted

    @property
    def free(self) -> int:
        return self._ready - len(self._running)

    def submit(self, assignment: Assignment) -> None:
        future = self._client.submit(
            _run_part,
            self._stage,
            assignment.part,
            assignment.isolated,
            pure=False,
            resources=self._gpus,
        )
        loop = cast("Any", self._client.loop).asyncio_loop
        fetched = asyncio.run_coroutine_threadsafe(_fetched(self._client, future), loop)
        self._running[fetched] = assignment.part
        fetched.add_done_callback(self._ended.put)

    def collect(self, seconds: float) -> PartDone | Loss | None:
        if self._losses:
            return self._losses.pop()
        try:
            future = self._ended.get(timeout=seconds)
        except Empty:
            return None
        part = self._running.pop(future)
        with _scheduler_reached():
            error = future.exception()
            if isinstance(error, CancelledError):
                raise error
        if error is None:
            return future.result()
        if not isinstance(error, KilledWorker):
            raise error
        self._looked = -_LOOK_EVERY_SECONDS
        return Loss(part)


@contextmanager
def _scheduler_reached() -> Iterator[None]:
    """Say what to do where the scheduler has gone."""
    try:
        yield
    except (OSError, CancelledError) as error:
        raise CrysiftError(
            "the Dask scheduler went away: run the same command again, it goes on after the parts done"
        ) from error


async def _fetched(client: Client, future: DaskFuture[PartDone]) -> PartDone:
    """Fetch a result without stopping the loop that replaces workers.

    The one that has it may die before it is fetched: Dask then has the part done again.
    """
    done: PartDone = await client.gather(future, asynchronous=True)
    return done


def _run_part(stage: str, part: str, isolated: bool) -> PartDone:
    return cast(_OpenStage, get_worker().plugins[stage]).run(part, isolated=isolated)


@contextmanager
def _clients(plan: StagePlan) -> Iterator[tuple[Client, HostedWorkers | None]]:
    """The caller's client where there is one, else the plan's cluster, else one started on this machine."""
    try:
        client = Client.current()
    except ValueError:
        pass
    else:
        yield client, None
        return
    with dask.config.set(SETTINGS), _quiet():
        if plan.cluster.dask is not None:
            with Client(plan.cluster.dask, set_as_default=False) as client:
                yield client, None
        elif plan.cluster.ray is not None:
            from engine.execution.dask_on_ray import hosted

            with hosted(plan) as (client, workers):
                yield client, workers
        else:
            with _own_cluster(plan) as client:
                yield client, None


@contextmanager
def _own_cluster(plan: StagePlan) -> Iterator[Client]:
    """Start workers on this machine; they end with the context.

    When it closes, all results are there: workers that a busy machine lets end too slowly are no failure.
    """
    cluster = _local_cluster(plan)
    try:
        with Client(cluster, set_as_default=False) as client:
            yield client
    finally:
        with suppress(TimeoutError):
            cluster.close()


@contextmanager
def _opened_stage(client: Client, task: StageTask) -> Iterator[str]:
    """Give all workers the stage, under a name of its own, and take it back: they may be somebody else's."""
    plugin = _OpenStage(task)
    client.register_plugin(plugin)
    try:
        yield plugin.name
    finally:
        with suppress(OSError, ValueError):  # the scheduler may have gone
            client.unregister_worker_plugin(plugin.name)


def _local_cluster(plan: StagePlan) -> LocalCluster:
    """Worker processes on this machine; one per GPU, through dask-cuda, where the stage asks for GPUs."""
    shared = {
        "n_workers": plan.workers,
        "threads_per_worker": 1,
        "memory_limit": available_memory() // plan.workers,
        "dashboard_address": None,
        # Even without a dashboard the scheduler serves HTTP, by default on a port that may be taken.
        "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"},
        "silence_logs": logging.CRITICAL,
    }
    if plan.resources.gpus:
        from dask_cuda import LocalCUDACluster

        return cast(LocalCluster, LocalCUDACluster(**shared))
    return LocalCluster(processes=True, **shared)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask's log out of the terminal: what matters of it comes as events and errors."""
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
