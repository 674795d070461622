"""Parts on Ray actors that hold the opened stage: for stages with a model, on GPUs where asked."""

import logging
import math
import os
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # else Ray may write a token into the home directory
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # else `uv run` uploads the working directory
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
from ray.exceptions import RayError, RayTaskError

from engine.errors import CrysiftError
from engine.execution.events import Event, PartDone
from engine.execution.plan import StagePlan
from engine.execution.recovery import Backlog
from engine.stage import Resources

_OBJECT_STORE_BYTES = 80 * 1024**2  # Ray's minimum, nearly: parts travel as Parquet files, not as objects


def run(plan: StagePlan) -> Generator[Event, None, None]:
    """Yield an event per part and per lost actor; Ray is shut down when the generator is closed."""
    with _session(plan):
        crew = _Crew(plan, _placeable(plan))
        try:
            yield from crew.work()
        finally:
            crew.dismiss()


class _Crew:
    """Actors with one part each, so that a lost actor tells which part it had; a lost one is replaced.

    Neither restarts nor retries are left to Ray: an actor that cannot be placed again would keep its part.
    """

    def __init__(self, plan: StagePlan, size: int) -> None:
        self._plan = plan
        self._size = size
        self._backlog = Backlog(plan.stage.name, plan.parts)
        self._busy: dict[ray.ObjectRef[PartDone | None], tuple[Any, str]] = {}
        self._actor_class = _actor_class(plan.stage.resources)

    def work(self) -> Iterator[Event]:
        for _ in range(self._size):
            self._hire()
        while self._backlog or any(part for _, part in self._busy.values()):
            [ready], _ = ray.wait(list(self._busy), num_returns=1)
            actor, part = self._busy.pop(ready)
            event: Event | None
            try:
                event = ray.get(ready)
            except RayTaskError as error:
                raise error.cause from error
            except RayError:
                ray.kill(actor)
                event = self._backlog.lost(part)
                self._hire()
            else:
                self._assign(actor)
            if event is not None:
                yield event

    def dismiss(self) -> None:
        for actor, _ in self._busy.values():
            ray.kill(actor)
        self._busy.clear()

    def _hire(self) -> None:
        """Start an actor without waiting for it: it gets its first part when it has opened the stage."""
        actor = self._actor_class.remote()
        actor.prepare.remote(_import_path(), _environment(self._plan.stage.resources))
        self._busy[actor.open.remote(self._plan.task)] = (actor, "")

    def _assign(self, actor: Any) -> None:
        """Give the next part to an actor; one without work is forgotten, and Ray ends it."""
        if self._backlog:
            part = self._backlog.take()
            self._busy[actor.run.remote(part)] = (actor, part)


def _actor_class(resources: Resources) -> Any:
    """Make the actor's class, here and not at the top, so that Ray sends it by value.

    Ray puts the driver's working directory first on a worker's path: a folder `models/` there would be
    imported instead of ours. The class imports nothing of ours and sets the path before the stage arrives.
    """

    class StageActor:
        def prepare(self, path: list[str], environment: dict[str, str]) -> None:
            sys.path[:] = path + [entry for entry in sys.path if entry not in path]
            os.environ.update(environment)

        def open(self, task: Any) -> None:
            self._run = task.open()

        def run(self, part: str) -> Any:
            return self._run(part)

    declare = ray.remote(num_cpus=resources.cpus, num_gpus=resources.gpus, max_restarts=0, max_task_retries=0)
    return declare(StageActor)


def _import_path() -> list[str]:
    return [entry or str(Path.cwd()) for entry in sys.path]


def _environment(resources: Resources) -> dict[str, str]:
    """Variables of an actor: a thread per core, and no sight of GPUs that it did not ask for."""
    threads = str(max(1, int(resources.cpus)))
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    hidden = {} if resources.gpus else {"CUDA_VISIBLE_DEVICES": ""}
    return {**dict.fromkeys(names, threads), **hidden}


def _placeable(plan: StagePlan) -> int:
    """Return how many of the plan's workers the GPUs allow; raises CrysiftError for none."""
    gpus = plan.stage.resources.gpus
    if not gpus:
        return plan.workers
    present = float(ray.cluster_resources().get("GPU", 0.0))
    if present < gpus:
        raise CrysiftError(
            f"stage {plan.stage.name} asks for {gpus:g} GPUs per worker and Ray finds {present:g}: "
            "choose the CPU for this stage, or check `nvidia-smi` and CUDA_VISIBLE_DEVICES"
        )
    return min(plan.workers, int(present / gpus))


@contextmanager
def _session(plan: StagePlan) -> Iterator[None]:
    """Use the caller's Ray where it is initialised; else start one on this machine and shut it down."""
    if ray.is_initialized():
        yield
        return
    ray.init(
        address="local",  # a RAY_ADDRESS in the environment would refuse the settings below
        num_cpus=math.ceil(plan.workers * plan.stage.resources.cpus),
        object_store_memory=_OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    try:
        yield
    finally:
        ray.shutdown()
