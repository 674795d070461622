"""Actors that do a stage's work on Ray: hired, prepared, replaced when lost, more when nodes join."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError, RayTaskError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from engine.execution.plan import StagePlan
    from engine.stage import Resources

_LOOK_EVERY_SECONDS = 5.0

Actor = Any
"""A handle of an actor; its class is sent by value and has no name here."""


@dataclass(frozen=True)
class Call:
    """The end of a call to an actor; ``part`` is None for the call that makes it ready."""

    actor: Actor
    part: str | None
    value: Any = None
    loss: str | None = None
    """Why the actor is gone; None where it answered."""


class Actors:
    """As many actors of one class as there is work and room for.

    Neither restarts nor retries are left to Ray: an actor that cannot be placed again would keep its part.
    One that dies is replaced by a new one, which Ray places where there is room, now or when a node joins.
    """

    def __init__(
        self, plan: StagePlan, actor_class: type, start: Callable[[Actor], ray.ObjectRef[Any]]
    ) -> None:
        """Declare the class, a local one; ``start`` is the call that makes an actor ready for parts."""
        self._plan = plan
        self._start = start
        self._declared: Any = ray.remote(
            num_cpus=plan.resources.cpus,
            num_gpus=plan.resources.gpus,
            memory=plan.resources.memory_bytes,
            max_restarts=0,
            max_task_retries=0,
        )(_preparable(actor_class))
        self._hired: set[Actor] = set()
        self._ended: SimpleQueue[tuple[Actor, str | None, Future[Any]]] = SimpleQueue()
        self._room = plan.workers
        self._looked = time.monotonic()
        self.ready: set[Actor] = set()
        self.wanted = 0

    def tend(self, remaining: int) -> None:
        """Start as many as are missing for the ``remaining`` parts; waits for none."""
        if self._plan.elastic and time.monotonic() - self._looked > _LOOK_EVERY_SECONDS:
            self._looked = time.monotonic()
            self._room = max(self._room, self._plan.capacity().room_for(self._plan.resources))
        self.wanted = min(remaining, self._room)
        while len(self._hired) < self.wanted:
            actor = self._declared.remote()
            actor.prepare.remote(_import_path(), _environment(self._plan.resources))
            self._hired.add(actor)
            self.call(actor, None, self._start(actor))

    def call(self, actor: Actor, part: str | None, reference: ray.ObjectRef[Any]) -> None:
        """Watch a call; ``next_end`` tells when it ends."""
        reference.future().add_done_callback(lambda future: self._ended.put((actor, part, future)))

    def next_end(self, seconds: float) -> Call | None:
        """Wait for the next end of a call, None when none comes in time; raises what the actor's code raised.

        Ends of calls to actors that were dismissed are left out.
        """
        try:
            actor, part, future = self._ended.get(timeout=seconds) if seconds else self._ended.get_nowait()
        except Empty:
            return None
        if actor not in self._hired:
            return None
        error = future.exception()
        if isinstance(error, RayTaskError):
            raise error.cause from error
        if isinstance(error, RayError):
            self.dismiss(actor)
            return Call(actor, part, loss=str(error).partition("\n")[0])
        if error is not None:
            raise error
        if part is None:
            self.ready.add(actor)
        return Call(actor, part, future.result())

    def dismiss(self, actor: Actor) -> None:
        """End an actor at once."""
        self._hired.discard(actor)
        self.ready.discard(actor)
        ray.kill(actor)

    def dismiss_all(self) -> None:
        """End all actors at once."""
        for actor in list(self._hired):
            self.dismiss(actor)


def _preparable(actor_class: type) -> type:
    """Give a class that is sent by value the method that sets an actor's import path and environment.

    The method, as its class, imports nothing of ours: only after it has run are our packages found.
    """

    def prepare(_: object, path: list[str], environment: dict[str, str]) -> None:
        sys.path[:] = path + [entry for entry in sys.path if entry not in path]
        os.environ.update(environment)

    return type(actor_class.__name__, (actor_class,), {"prepare": prepare})


def _import_path() -> list[str]:
    return [entry or str(Path.cwd()) for entry in sys.path]


def _environment(resources: Resources) -> dict[str, str]:
    """Variables of an actor: a thread per core, and no sight of GPUs that it did not ask for."""
    threads = str(max(1, int(resources.cpus)))
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    hidden = {} if resources.gpus else {"CUDA_VISIBLE_DEVICES": ""}
    return {**dict.fromkeys(names, threads), **hidden}
