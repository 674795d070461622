"""A stage on more workers and structures than one machine has, from the costs measured on one machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.store.remote import REQUESTS_AT_ONCE
from jobs.bench.scale import HOSTED, MODEL, SOAP
from jobs.bench.simulation import Costs, Disturbances, Outcome, RequestLimits, drawn_parts, simulate

WORKERS = (2, 100, 1_000, 10_000)
STRUCTURES = (10**8, 10**6)
ROWS = (512, 1024, 2048, 4096, 8192, 16384)
NEAR = 1.05
"""The smallest parts are advised whose run takes at most so many times as long as the shortest one."""

DISTURBANCES = Disturbances(
    deaths_per_second=1 / (1000 * 3600), workers_per_node=64, recovery=60.0, slow_share=0.01, slowness=2.0
)
CALLS_PER_HIRING = 3
"""Of a Ray actor: it is made, prepared, and opens the stage."""


@dataclass(frozen=True)
class Bucket:
    """An object store: seconds of a request, and requests per second that one prefix is good for."""

    latency: float = 0.1
    reads_per_second: float = 5500.0
    writes_per_second: float = 3500.0
    names_per_list: int = 1000

    def planned_per_second(self) -> float:
        """Parts of which the driver reads the footers, and lists the names in two tables."""
        return 1 / (self.latency / REQUESTS_AT_ONCE + 2 * self.latency / self.names_per_list)


S3 = Bucket()
READS, WRITES, CHECKS = 2, 1, 1
"""Requests of a part: its footer and its columns; the result, and the result once more to be verified."""


@dataclass(frozen=True)
class Workload:
    """A stage as the simulation takes it; seconds of a worker per structure, parts planned per second."""

    name: str
    store: str
    costs: Costs
    limits: RequestLimits
    per_structure: float
    spread: float
    planned_per_second: float

    def outcome(self, structures: int, rows: int, workers: int) -> Outcome:
        """Simulate the stage with parts of so many rows."""
        parts = drawn_parts(structures, rows, self.per_structure, self.spread)
        costs = replace(self.costs, planning=len(parts) / self.planned_per_second)
        return simulate(parts, workers, costs, self.limits, DISTURBANCES)

    def part(self, rows: int) -> float:
        """Seconds of a worker for a part."""
        return self.costs.transport + self.costs.read + self.costs.commit + rows * self.per_structure

    def served(self, rows: int) -> int:
        """Workers that the driver keeps busy."""
        return int(1 + self.part(rows) / self.costs.dispatch)

    def stored_in(self, bucket: Bucket) -> Workload:
        """The same with its parts in an object store."""
        read, commit = READS * bucket.latency, (WRITES + CHECKS) * bucket.latency
        limits = RequestLimits((READS + CHECKS) / bucket.reads_per_second, WRITES / bucket.writes_per_second)
        costs = replace(self.costs, read=self.costs.read + read, commit=self.costs.commit + commit)
        planned = min(self.planned_per_second, bucket.planned_per_second())
        return replace(self, store="S3", costs=costs, limits=limits, planned_per_second=planned)


def workloads(report: Mapping[str, Any]) -> list[Workload]:
    """Both stages as they run on a Ray cluster, from the figures of a report."""
    values = {figure["name"]: float(figure["value"]) for figure in report["figures"]}
    return [_workload(values, "SOAP", SOAP, HOSTED), _workload(values, "prediction", MODEL, MODEL)]


def _workload(values: Mapping[str, float], name: str, stage: str, engine: str) -> Workload:
    dispatch = values[f"{engine}: processor time of the driver per part"] / 1e3
    pause = values[f"{engine}: a worker's pause between parts"] / 1e3
    per_structure = ("work per structure", "reading and committing, per structure")
    costs = Costs(
        hiring=CALLS_PER_HIRING * values[f"{MODEL}: processor time of the driver per part"] / 1e3,
        start=values[f"{engine}: start"],
        dispatch=dispatch,
        transport=max(0.0, pause - dispatch),
        read=values[f"{stage}: reading a part"] / 1e3,
        commit=values[f"{stage}: committing a part"] / 1e3,
    )
    return Workload(
        name=name,
        store="disk",
        costs=costs,
        limits=RequestLimits(),
        per_structure=sum(values[f"{stage}: {figure}"] for figure in per_structure) / 1e3,
        spread=values[f"{stage}: spread of the work"],
        planned_per_second=values["planning: parts to do"],
    )


@dataclass(frozen=True)
class Search:
    """Outcomes by the rows of a part."""

    workload: Workload
    structures: int
    workers: int
    outcomes: Mapping[int, Outcome]

    @property
    def advised(self) -> int:
        """The smallest parts that are nearly as fast as the best."""
        best = min(outcome.makespan for outcome in self.outcomes.values())
        return min(rows for rows, outcome in self.outcomes.items() if outcome.makespan <= NEAR * best)


def search(workload: Workload, structures: int, workers: int) -> Search:
    """Simulate all sizes of parts."""
    outcomes = {rows: workload.outcome(structures, rows, workers) for rows in ROWS}
    return Search(workload, structures, workers, outcomes)
