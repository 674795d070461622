"""A stage in the ways that are compared: on the engines' workers, as a bare function, part by part."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import psutil

from engine.execution import (
    LOCAL,
    Cluster,
    Event,
    EventLog,
    Listener,
    PartDone,
    WorkersChanged,
    execute,
    plan_stage,
)
from engine.execution.task import run_part
from engine.store import PartFooter, Store, Table

if TYPE_CHECKING:
    import pyarrow as pa
    from distributed import Client

    from engine.stage import BatchFunction, Stage

CENTRAL_PROCESS = "gcs_server"
"""The one process of Ray that a cluster has once, however many nodes it has."""


@dataclass(frozen=True)
class EngineRun:
    """Seconds of one run of a stage on an engine.

    ``start`` until the first part begins; ``wall`` until the last part is done, from there or from when a
    worker is ready, averaged over the workers; ``busy`` summed over them; ``driver`` and ``central`` are
    processor time per part, of the driver's process and of Ray's central one.
    """

    start: float
    wall: float
    busy: float
    parts: int
    driver: float
    central: float

    @property
    def pause(self) -> float:
        """What a worker waits between two parts, if there is one worker."""
        return (self.wall - self.busy) / self.parts


def engine_run(
    store: Store, stage: Stage, source: Table, workers: int, cluster: Cluster = LOCAL
) -> EngineRun:
    """Derive the stage's table on so many workers, with the record that a command makes, and delete it."""
    plan = plan_stage(store, stage, stage.engine, workers, source=source, cluster=cluster)
    watch = _Watch(EventLog(store.start_run("bench", {})), len(plan.parts))
    began = time.perf_counter()
    try:
        execute(plan, watch)
    finally:
        shutil.rmtree(plan.target.folder.url, ignore_errors=True)
    first, last = watch.looks
    steps = max(1, watch.parts - 1)
    first_part = first.clock - watch.first_seconds
    available = sum(max(0.0, last.clock - max(ready, first_part)) for ready in watch.ready)
    return EngineRun(
        start=first_part - began,
        wall=available / workers,
        busy=watch.busy,
        parts=watch.parts,
        driver=(last.driver - first.driver) / steps,
        central=(last.central - first.central) / steps,
    )


def _central_seconds() -> float:
    """Processor time of Ray's central process, if this process started Ray."""
    found = [child for child in psutil.Process().children() if child.name() == CENTRAL_PROCESS]
    return float(sum(sum(child.cpu_times()[:2]) for child in found))


@dataclass(frozen=True)
class _Look:
    """The clock, and the processor times until then."""

    clock: float = field(default_factory=time.perf_counter)
    driver: float = field(default_factory=time.process_time)
    central: float = field(default_factory=_central_seconds)


@dataclass
class _Watch:
    """A listener that looks at the clocks when the first part is done and when the last one is."""

    log: Listener
    expected: int
    looks: list[_Look] = field(default_factory=list)
    parts: int = 0
    busy: float = 0.0
    first_seconds: float = 0.0
    ready: list[float] = field(default_factory=list)
    """When the number of workers first was 1, 2, …"""

    def __call__(self, event: Event) -> None:
        self.log(event)
        if isinstance(event, WorkersChanged):
            self.ready += [time.perf_counter()] * (event.workers - len(self.ready))
        if isinstance(event, PartDone):
            self.parts += 1
            self.busy += event.seconds
            self.first_seconds = self.first_seconds or event.seconds
            if self.parts in (1, self.expected):
                self.looks.append(_Look())


@contextmanager
def dask_workers(count: int) -> Iterator[Client]:
    """Start processes that engine runs within ``client.as_current()`` find ready."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def bare_seconds(stage: Stage, source: Table, parts: Sequence[str]) -> float:
    """Seconds of the stage's function on the parts, without store and cluster; for a process of its own."""
    function = _opened(stage)
    batches = [source.read(part, stage.reads.names) for part in parts]
    function(batches[0])
    began = time.perf_counter()
    for batch in batches:
        function(batch)
    return time.perf_counter() - began


@lru_cache(maxsize=1)
def _opened(stage: Stage) -> BatchFunction:
    return stage.open()


@dataclass(frozen=True)
class PartTimes:
    """Seconds of one part: its structures, and around them the store's."""

    rows: int
    read: float
    work: float
    commit: float


def part_times(stage: Stage, source: Table, target: Table, parts: Sequence[str]) -> list[PartTimes]:
    """Do parts one after the other in this process, as a worker does them."""
    function, clocked = _Clocked(_opened(stage)), _ClockedTable(target.folder, target.fingerprint)
    times = []
    for part in parts:
        done = run_part(stage, function, source, clocked, part)
        work, commit = function.seconds.pop(), clocked.seconds.pop()
        times.append(PartTimes(done.rows, done.seconds - work - commit, work, commit))
    return times


@dataclass
class _Clocked:
    """A stage's function that notes how long it took."""

    function: BatchFunction
    seconds: list[float] = field(default_factory=list)

    def __call__(self, batch: pa.Table) -> pa.Table:
        return _timed(self.seconds, self.function, batch)


@dataclass(frozen=True)
class _ClockedTable(Table):
    """A table that notes how long a commit took."""

    seconds: list[float] = field(default_factory=list)

    def commit(self, *arguments: Any, **named: Any) -> PartFooter:
        footer: PartFooter = _timed(self.seconds, super().commit, *arguments, **named)
        return footer


def _timed(seconds: list[float], function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    began = time.perf_counter()
    result = function(*arguments, **named)
    seconds.append(time.perf_counter() - began)
    return result
