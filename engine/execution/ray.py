"""Parts on Ray actors that hold the opened stage: for stages with a model, on GPUs where asked."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from engine.execution.dispatch import Crew, Loss, dispatch
from engine.execution.events import EngineStarted, Event, PartDone
from engine.execution.ray_actors import Actor, Actors
from engine.execution.ray_session import dashboard, local_session
from engine.execution.recovery import Assignment, Backlog

if TYPE_CHECKING:
    from engine.execution.plan import StagePlan


def run(plan: StagePlan) -> Generator[Event, None, None]:
    """Yield an event per part and per lost actor; what was started stops when the generator is closed."""
    needs, workers = plan.resources, plan.workers
    with local_session(  # unless the plan's cluster is connected
        cores=math.ceil(workers * needs.cpus),
        gpus=math.ceil(workers * needs.gpus),
        memory_bytes=workers * needs.memory_bytes,
    ):
        yield EngineStarted(plan.stage.name, "ray", dashboard())
        crew = _ModelCrew(plan)
        try:
            yield from dispatch(Backlog(plan.stage.name, plan.parts, plan.workers), crew, plan.stage.name)
        finally:
            crew.dismiss()


class _ModelCrew(Crew):
    """Actors that have opened the stage; each is given one part at a time."""

    def __init__(self, plan: StagePlan) -> None:
        self._actors = Actors(plan, _actor_class(), lambda actor: actor.open.remote(plan.task))
        self._idle: list[Actor] = []

    def tend(self, remaining: int) -> None:
        self._actors.tend(remaining)
        surplus = len(self._actors.ready) - remaining
        for _ in range(min(surplus, len(self._idle))):
            self._actors.dismiss(self._idle.pop())

    @property
    def ready(self) -> int:
        return len(self._actors.ready)

    @property
    def wanted(self) -> int:
        return self._actors.wanted

    @property
    def free(self) -> int:
        return len(self._idle)

    def submit(self, assignment: Assignment) -> None:
        actor = self._idle.pop()
        self._actors.call(actor, assignment.part, actor.run.remote(assignment.part, assignment.isolated))

    def collect(self, seconds: float) -> PartDone | Loss | None:
        end = self._actors.next_end(seconds)
        if end is None:
            return None
        if end.loss is not None:
            if end.actor in self._idle:
                self._idle.remove(end.actor)
            return Loss(end.part or "", end.loss)
        self._idle.append(end.actor)
        return None if end.part is None else end.value

    def dismiss(self) -> None:
        self._actors.dismiss_all()


def _actor_class() -> type:
    """Make the actor's class, here and not at the top, so that Ray sends it by value.

    Ray puts the driver's working directory first on a worker's path: a folder `models/` there would be
    imported instead of ours. The class imports nothing of ours before `Actors` has set the path.
    """

    class StageActor:
        def open(self, task: Any) -> None:
            self._run = task.open()

        def run(self, part: str, isolated: bool) -> Any:
            return self._run(part, isolated)

    return StageActor
