"""Parts on a local Dask cluster: for stages without a model, one process and one thread per core."""

import logging
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import cast

import dask.config
from distributed import (
    Client,
    Future,
    KilledWorker,
    LocalCluster,
    Worker,
    WorkerPlugin,
    as_completed,
    get_worker,
)

from engine.execution.events import Event, PartDone, WorkerLost
from engine.execution.plan import StagePlan, available_memory
from engine.execution.recovery import Backlog
from engine.execution.task import StageTask

_PLUGIN = "crysift-stage"
_DIED_AT_START = "Nanny failed to start."
"""What Dask says, in a RuntimeError, of a worker that died before the cluster was up."""

_SETTINGS = {
    # Dask reports the first loss of a worker, and Backlog counts: it knows which part to try again last.
    "distributed.scheduler.allowed-failures": 0,
    # Parts live in Parquet files and not in Dask's memory: there is nothing to spill, and a worker paused for
    # the memory of its own stage would wait for ever. Above the limit it is killed and counted as a loss.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
}


class _OpenStage(WorkerPlugin):
    """Holds the stage in a worker: opened by the worker's first part and kept for the others."""

    name = _PLUGIN

    def __init__(self, task: StageTask) -> None:
        self._task = task
        self._run: Callable[[str], PartDone] | None = None

    def setup(self, worker: Worker) -> None:  # noqa: ARG002 -- Dask's signature
        """Leave Ctrl-C, which a terminal sends to every process, to the driver."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def run(self, part: str) -> PartDone:
        if self._run is None:
            self._run = self._task.open()
        return self._run(part)


def run(plan: StagePlan) -> Generator[Event, None, None]:
    """Yield an event per part and per lost worker; the cluster is closed when the generator is."""
    plan.task.open()  # compiles the kernels into their cache, which all workers would do at the same time
    backlog = Backlog(plan.stage.name, plan.parts)
    with ExitStack() as cluster:
        client = yield from _started(cluster, plan, backlog)
        client.register_plugin(_OpenStage(plan.task))
        yield from _drive(client, backlog, plan.workers)


def _started(cluster: ExitStack, plan: StagePlan, backlog: Backlog) -> Generator[WorkerLost, None, Client]:
    """Start the cluster, anew where a worker died meanwhile: Dask then gives the whole cluster up."""
    while True:
        try:
            return cluster.enter_context(_client(plan))
        except RuntimeError as error:
            if str(error) != _DIED_AT_START:
                raise
            yield backlog.lost("")


def _drive(client: Client, backlog: Backlog, workers: int) -> Iterator[Event]:
    """Keep one part on each worker, so that a lost worker tells which part it had."""
    running: dict[Future[PartDone], str] = {}
    completed = as_completed(loop=client.loop)

    def submit() -> None:
        part = backlog.take()
        future = client.submit(_run_part, part, pure=False)
        running[future] = part
        completed.add(future)

    for _ in range(min(workers, len(backlog))):
        submit()
    for future in completed:
        part = running.pop(future)
        loss = backlog.lost(part) if _is_lost(future) else None
        if backlog:
            submit()
        yield loss or future.result()


def _is_lost(future: Future[PartDone]) -> bool:
    """Whether the worker died; raises what the part raised. Asks the scheduler only about parts not done."""
    error = None if future.status == "finished" else future.exception()
    if error is not None and not isinstance(error, KilledWorker):
        raise error
    return error is not None


def _run_part(part: str) -> PartDone:
    return cast(_OpenStage, get_worker().plugins[_PLUGIN]).run(part)


@contextmanager
def _client(plan: StagePlan) -> Iterator[Client]:
    """Use the caller's client where there is one; else start a local cluster and close it."""
    try:
        client = Client.current()
    except ValueError:
        pass
    else:
        try:
            yield client
        finally:
            client.unregister_worker_plugin(_PLUGIN)
        return
    with (
        dask.config.set(_SETTINGS),
        _quiet(),
        LocalCluster(
            n_workers=plan.workers,
            threads_per_worker=1,
            processes=True,
            memory_limit=available_memory() // plan.workers,
            dashboard_address=None,
            # Even without a dashboard the scheduler serves HTTP, by default on a port that may be taken.
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


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
