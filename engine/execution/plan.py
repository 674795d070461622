"""What a run will do, decided and checked before anything starts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from engine.errors import CrysiftError
from engine.execution.capacity import Capacity, capacity
from engine.execution.cluster import LOCAL, Cluster
from engine.execution.events import StageStarted
from engine.execution.task import StageTask
from engine.stage import Resources, Stage, check_reads
from engine.store import Fingerprint, Store, Table

Executor = Literal["inline", "dask", "ray"]
EXECUTORS: tuple[Executor, ...] = get_args(Executor)

_GIB = 1024**3


@dataclass(frozen=True)
class StagePlan:
    """One stage's work: its tables, the parts to do (dearest first), and the executor that will do them.

    ``rows`` and ``cost`` are those of the missing parts, ``skipped_rows`` those already in the target;
    ``unsound`` are the parts that are there and made again, and why. ``resources`` are one worker's. An
    ``elastic`` plan takes more workers than ``workers`` when there is room for them. ``note`` says where the
    plan departs from what the machines would suggest.
    """

    stage: Stage
    source: Table
    target: Table
    parts: tuple[str, ...]
    rows: int
    cost: float
    skipped_rows: int
    unsound: Mapping[str, str]
    executor: Executor
    resources: Resources
    cluster: Cluster = LOCAL
    workers: int = 1
    elastic: bool = False
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

    def capacity(self) -> Capacity:
        """What the executor's machines lend, now."""
        return capacity(self.cluster, self.executor)

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
    cluster: Cluster = LOCAL,
) -> StagePlan:
    """Plan what is missing of a stage's table.

    ``source`` is by default the store's newest table of the stage's source; ``workers`` by default one per
    core that this process or the cluster may use, fewer where memory is short. ``auto`` starts a cluster
    here only for work above the stage's ``cluster_from`` that two workers or a GPU can share. Raises
    CrysiftError where the source lacks a column, the store holds parts of other settings, or there is no room
    for the workers.
    """
    _check_request(executor, workers)
    source = source or store.latest(stage.source)
    names = source.part_names()
    if not names:
        raise CrysiftError(f"stage {stage.name} reads {source.folder.url}, which holds no parts yet")
    check_reads(stage, source.part_schema(min(names)), source.folder.name)
    target = store.derived(Fingerprint.of(stage, source), allow_new)
    present = names & target.part_names()
    done = target.check_derived(source, present)
    missing = sorted((names - present) | done.unsound.keys())
    rows, costs = _work(source, missing)
    cost = sum(costs.values())
    chosen = _chosen(stage, executor, cost, cluster)
    placed = _placed(stage, chosen, cluster)
    plan = StagePlan(
        stage=placed,
        source=source,
        target=target,
        parts=_dearest_first(costs),
        rows=rows,
        cost=cost,
        skipped_rows=done.counts.rows,
        unsound=done.unsound,
        executor=chosen,
        resources=_shared(placed.resources, cluster),
        cluster=cluster,
    )
    if plan.executor == "inline" or not plan.parts:
        return plan
    staffed = _staffed(plan, workers)
    lone = executor == "auto" and staffed.workers == 1 and cluster.is_local and not plan.resources.gpus
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
    footers = source.footers(parts)
    rows = sum(footer.rows_out for footer in footers.values())
    return rows, {part: footer.cost for part, footer in footers.items()}


def _dearest_first(costs: dict[str, float]) -> tuple[str, ...]:
    """Order parts by falling cost, so that no long part is left for the end; names break ties."""
    return tuple(sorted(costs, key=lambda part: (-costs[part], part)))


def _chosen(stage: Stage, executor: Executor | Literal["auto"], cost: float, cluster: Cluster) -> Executor:
    if executor != "auto":
        return executor
    return "inline" if cluster.is_local and cost < stage.cluster_from else stage.engine


def _placed(stage: Stage, executor: Executor, cluster: Cluster) -> Stage:
    """Decide where on a worker the stage computes, by what the workers have."""
    return stage.placed(on_gpu=lambda: capacity(cluster, executor).has_gpus)


def _shared(needs: Resources, cluster: Cluster) -> Resources:
    return replace(needs, gpus=needs.gpus * cluster.gpu_share)


def _staffed(plan: StagePlan, asked: int | None) -> StagePlan:
    """Give the plan as many workers as were asked for, or as there is room and work for."""
    attached = plan.cluster.ray or (plan.executor == "dask" and plan.cluster.dask)
    return _staffed_there(plan, asked) if attached else _staffed_here(plan, asked)


def _staffed_here(plan: StagePlan, asked: int | None) -> StagePlan:
    """On this machine more workers than cores may be asked for, but not more than memory and GPUs hold."""
    here, needs = plan.capacity(), plan.resources
    [machine] = here.nodes
    fitting = replace(machine, cores=float("inf")).room_for(needs)
    if fitting < (asked or 1):
        gpus = f" and {needs.gpus:g} GPUs" if needs.gpus else ""
        raise CrysiftError(
            f"{asked or 1} workers of stage {plan.stage.name} need {needs.memory_bytes / _GIB:.1f} GiB{gpus} "
            f"each and {here} is free: ask for at most {fitting} workers, or free memory"
        )
    cores = max(1, int(machine.cores / needs.cpus))
    wanted = asked or cores
    note = f"{fitting} of {cores} workers fit into {machine}" if fitting < wanted else ""
    return replace(plan, workers=min(wanted, fitting, len(plan.parts)), note=note)


def _staffed_there(plan: StagePlan, asked: int | None) -> StagePlan:
    """On a cluster that may grow, workers asked for beyond its present room wait for nodes to join."""
    there = plan.capacity()
    room = there.room_for(plan.resources)
    if not room and not asked:
        needs = plan.resources
        gpus = f", {needs.gpus:g} GPUs" if needs.gpus else ""
        raise CrysiftError(
            f"no node has room for a worker of stage {plan.stage.name} ({needs.cpus:g} cores, "
            f"{needs.memory_bytes / _GIB:.1f} GiB{gpus}) on {there}: add a larger node, or name --workers "
            "to wait for a cluster that grows"
        )
    wanted = min(asked or room, len(plan.parts))
    note = f"room for {room} of them now" if room < wanted else ""
    return replace(plan, workers=wanted, elastic=asked is None, note=note)
