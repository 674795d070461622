"""Parts one after the other in this process: for small inputs, tests and debugging."""

from collections.abc import Generator

from engine.execution.events import Event
from engine.execution.plan import StagePlan


def run(plan: StagePlan) -> Generator[Event, None, None]:
    """Yield an event per part."""
    run_part = plan.task.open()
    for part in plan.parts:
        yield run_part(part, False)
