"""What a run will do, decided and checked before anything starts."""

import os
from dataclasses import dataclass, replace
from typing import Literal, get_args

from engine.errors import CrysiftError
from engine.execution.events import StageStarted
from engine.execution.task import StageTask
from engine.stage import Stage, check_reads
from engine.store import Fingerprint, Store, Table

Executor = Literal["inline", "dask", "ray"]
EXECUTORS: tuple[Executor, ...] = get_args(Executor)

_GIB = 1024**3


@dataclass(frozen=True)
class StagePlan:
    """One stage's work: its tables, the parts to do (dearest first), and the executor that will do them.

    ``rows`` and ``cost`` are those of the missing parts, ``skipped_rows`` those already in the target;
    ``note`` says where the plan departs from what the machine would suggest.
    """

    stage: Stage
    source: Table
    target: Table
    parts: tuple[str, ...]
    rows: int
    cost: float
    skipped_rows: int
    executor: Executor
    workers: int
    note: str = ""

    def describe(self) -> str:
        """Say in a line what will happen."""
        if not self.parts:
            return f"{self.stage.name}: all {_counted(self.skipped_rows, 'row')} done before"
        done = f" ({self.skipped_rows:,} done before)" if self.skipped_rows else ""
        inline = self.executor == "inline"
        where = "in this process" if inline else _counted(self.workers, f"{self.executor} worker")
        note = f"; {self.note}" if self.note else ""
        work = f"{_counted(self.rows, 'row')} in {_counted(len(self.parts), 'part')}"
        return f"{self.stage.name}: {work}{done}, {where}{note}"

    @property
    def task(self) -> StageTask:
        """What the workers need of the plan."""
        return StageTask(self.stage, self.source, self.target)

    def started(self) -> StageStarted:
        """Return the event that opens this plan's execution."""
        return StageStarted(
            stage=self.stage.name,
            parts=len(self.parts),
            rows=self.rows,
            skipped_rows=self.skipped_rows,
            executor=self.executor,
            workers=self.workers,
            cost=self.cost,
            description=self.describe(),
        )


def plan_stage(
    store: Store,
    stage: Stage,
    executor: Executor | Literal["auto"] = "auto",
    workers: int | None = None,
    *,
    source: Table | None = None,
    allow_new: bool = False,
) -> StagePlan:
    """Plan what is missing of a stage's table.

    ``source`` is by default the store's newest table of the stage's source; ``workers`` by default one per
    core this process may use, fewer where memory is short. ``auto`` starts a cluster only for work above the
    stage's ``cluster_from`` that two workers or a GPU can share. Raises CrysiftError where the source lacks a
    column, the store holds parts of other settings, or the memory cannot hold the workers asked for.
    """
    _check_request(executor, workers)
    source = source or store.latest(stage.source)
    names = source.part_names()
    if not names:
        raise CrysiftError(f"stage {stage.name} reads {source.folder.url}, which holds no parts yet")
    check_reads(stage, source.part_schema(min(names)), source.folder.name)
    target = store.derived(Fingerprint.of(stage, source), allow_new)
    missing = sorted(names - target.part_names())
    done = target.check_derived(source, names.difference(missing))
    rows, costs = _work(source, missing)
    cost = sum(costs.values())
    plan = StagePlan(
        stage=stage,
        source=source,
        target=target,
        parts=_dearest_first(costs),
        rows=rows,
        cost=cost,
        skipped_rows=done.rows,
        executor=_chosen(stage, executor, cost),
        workers=1,
    )
    if plan.executor == "inline" or not plan.parts:
        return plan
    staffed = _staffed(plan, workers)
    lone = executor == "auto" and staffed.workers == 1 and not stage.resources.gpus
    return replace(staffed, executor="inline") if lone else staffed


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _check_request(executor: str, workers: int | None) -> None:
    if executor != "auto" and executor not in EXECUTORS:
        raise CrysiftError(f"there is no executor {executor!r}: choose auto, {', '.join(EXECUTORS)}")
    if workers is not None and workers < 1:
        raise CrysiftError(f"{workers} workers cannot run anything: ask for at least 1")


def _work(source: Table, parts: list[str]) -> tuple[int, dict[str, float]]:
    """Return the rows of the parts and each part's cost."""
    rows, costs = 0, {}
    for part in parts:
        footer = source.footer(part)
        costs[part] = footer.cost
        rows += footer.rows_out
    return rows, costs


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory() -> int:
    """Bytes of memory that can be used without swapping."""
    import psutil

    return int(psutil.virtual_memory().available)


def _dearest_first(costs: dict[str, float]) -> tuple[str, ...]:
    """Order parts by falling cost, so that no long part is left for the end; names break ties."""
    return tuple(sorted(costs, key=lambda part: (-costs[part], part)))


def _chosen(stage: Stage, executor: Executor | Literal["auto"], cost: float) -> Executor:
    if executor != "auto":
        return executor
    return "inline" if cost < stage.cluster_from else stage.engine


def _staffed(plan: StagePlan, asked: int | None) -> StagePlan:
    """Give the plan as many workers as were asked for, or as cores, memory and parts allow."""
    need, available = plan.stage.resources.memory_bytes, available_memory()
    fitting = available // need
    if fitting < (asked or 1):
        raise CrysiftError(
            f"{asked or 1} workers of stage {plan.stage.name} need {need / _GIB:.1f} GiB each and "
            f"{available / _GIB:.1f} GiB are free: ask for at most {fitting} workers, or free memory"
        )
    cores = max(1, int(available_cores() / plan.stage.resources.cpus))
    wanted = asked or cores
    note = f"{fitting} of {cores} workers fit into {available / _GIB:.1f} GiB" if fitting < wanted else ""
    return replace(plan, workers=min(wanted, fitting, len(plan.parts)), note=note)
