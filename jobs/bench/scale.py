"""From one worker to two, what a part costs besides its structures, and whether a simulation knows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, median, pstdev
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from engine.descriptors.soap.stage import SoapStage
from engine.execution import Cluster, execute, plan_stage
from engine.execution.ray_session import local_session
from engine.store import Fingerprint, Folder, Table
from jobs.bench.processes import worker
from jobs.bench.report import BenchmarkReport, Figure
from jobs.bench.scale_runs import EngineRun, PartTimes, bare_seconds, dask_workers, engine_run, part_times
from jobs.bench.scale_store import draw_rows, store_of
from jobs.bench.simulation import Costs, simulate
from models.stage import PredictArise

if TYPE_CHECKING:
    from engine.stage import Stage
    from engine.store import Store
    from jobs.bench import BenchmarkSettings

SOAP, HOSTED, MODEL = "SOAP on Dask", "SOAP on Dask in Ray", "prediction on Ray"
MEMORY_BYTES = 4 << 30
DEVIATION_PERCENT = 15.0
TIMED_PARTS = 8
"""Parts of many structures that are taken apart; of those of one structure, all."""

Engine = Callable[["Store", int], EngineRun]
"""Runs a stage over a store's structures on so many workers."""


@dataclass(frozen=True)
class Amounts:
    """Structures, the parts they are in, parts of one structure, and rounds in which all ways alternate."""

    structures: int = 3072
    parts: int = 32
    singles: int = 256
    repeats: int = 5


QUICK = Amounts(256, 16, 24, repeats=1)


@dataclass(frozen=True)
class Stores:
    """Structures in parts of many, and some of the same in parts of one."""

    large: Store
    single: Store


@dataclass(frozen=True)
class Measured:
    """A stage's medians: on one and two workers, as a bare function in as many processes, and its parts."""

    rows: int
    one: EngineRun
    two: EngineRun
    bare: float
    bare_two: float
    single: EngineRun
    single_two: EngineRun
    large_parts: Sequence[PartTimes]
    single_parts: Sequence[PartTimes]
    shares: Sequence[float]
    """Of the parts' predicted costs in their sum, dearest first."""

    @property
    def efficiency(self) -> float:
        """Of the second worker: 1 where two are twice as fast as one."""
        return self.one.wall / (2 * self.two.wall)

    @property
    def limit(self) -> float:
        """Efficiency of two processes that share nothing but the machine."""
        return self.bare / self.bare_two

    @property
    def costs(self) -> Costs:
        """What the simulation takes for a part; of a worker's pause, the driver's work is a share."""
        return Costs(
            dispatch=self.single.driver,
            transport=max(0.0, self.single.pause - self.single.driver),
            read=median(part.read for part in self.single_parts),
            commit=median(part.commit for part in self.single_parts),
        )

    @property
    def store_per_row(self) -> float:
        """Seconds that each further structure of a part takes to be read and committed."""
        large = fmean(part.read + part.commit for part in self.large_parts)
        rows = fmean(part.rows for part in self.large_parts)
        return max(0.0, (large - self.costs.read - self.costs.commit) / max(1.0, rows - 1))

    @property
    def spread(self) -> float:
        """Standard deviation of the work on a structure in units of its mean."""
        work = [part.work for part in self.single_parts]
        return pstdev(work) / fmean(work)

    def predicted(self, workers: int) -> float:
        """Seconds that the simulation says of the run on one or two workers."""
        work = self.bare if workers == 1 else self.bare_two
        total = work + self.store_per_row * self.rows
        return simulate([share * total for share in self.shares], workers, self.costs).makespan

    def predicted_single_two(self) -> float:
        """Seconds that the simulation says of parts of one structure on two workers."""
        parts = sorted((part.work / self.limit for part in self.single_parts), reverse=True)
        return simulate(parts, 2, self.costs).makespan


def run(settings: BenchmarkSettings) -> BenchmarkReport:
    """Measure both stages on structures of the source in a temporary store."""
    return measure(settings, QUICK if settings.quick else Amounts())


def measure(settings: BenchmarkSettings, amounts: Amounts) -> BenchmarkReport:
    """Measure with so many structures."""
    rows = draw_rows(settings, amounts.structures)
    with TemporaryDirectory() as folder:
        stores = Stores(
            store_of(rows, amounts.parts, Path(folder, "large")),
            store_of(rows.slice(0, amounts.singles), amounts.singles, Path(folder, "single")),
        )
        figures = _on_dask(stores, amounts)
        with local_session(cores=2, gpus=0, memory_bytes=MEMORY_BYTES):
            figures += [*_hosted(stores, amounts), *_planning(stores.single), *_on_ray(stores, amounts)]
    deviations = [abs(figure.value - 1) for figure in figures if "simulated / measured" in figure.name]
    figures.append(
        Figure("largest deviation of the simulation", 100 * max(deviations), "%", at_most=DEVIATION_PERCENT)
    )
    remark = (
        f"{amounts.structures:,} structures of {Path(settings.source).name} in {amounts.parts} parts, and "
        f"{amounts.singles} of them in parts of one; store on a local disk; clusters started "
        "beforehand; events recorded; the machine: the same function on data in "
        f"memory in two processes; medians of {amounts.repeats} alternating rounds"
    )
    return BenchmarkReport("scale", tuple(figures), (remark,))


def _on_dask(stores: Stores, amounts: Amounts) -> list[Figure]:
    stage = SoapStage()
    with ExitStack() as clusters:
        clients = {count: clusters.enter_context(dask_workers(count)) for count in (1, 2)}

        def engine(store: Store, workers: int) -> EngineRun:
            with clients[workers].as_current():
                return engine_run(store, stage, store.structures, workers)

        for count in clients:
            engine(stores.single, count)
        return _figures(SOAP, _compared(stage, stores, engine, amounts))


def _hosted(stores: Stores, amounts: Amounts) -> list[Figure]:
    """SOAP once more, by what is particular to Dask workers in Ray actors."""
    source, cluster = stores.single.structures, Cluster(ray="auto")
    runs = [engine_run(stores.single, SoapStage(), source, 1, cluster) for _ in range(amounts.repeats)]
    return _overheads(HOSTED, _middle(runs))


def _planning(store: Store) -> list[Figure]:
    """Plan a stage that has done nothing yet, do it, and plan it again."""
    parts, rates = len(store.structures.part_names()), []
    for _ in range(2):
        began = time.perf_counter()
        plan = plan_stage(store, SoapStage(), "inline")
        rates.append(parts / (time.perf_counter() - began))
        execute(plan)
    fresh, resumed = rates
    return [
        Figure("planning: parts to do", fresh, "1/s"),
        Figure("planning: parts done before", resumed, "1/s"),
    ]


def _on_ray(stores: Stores, amounts: Amounts) -> list[Figure]:
    stage = PredictArise(device="cpu")
    execute(plan_stage(stores.large, SoapStage(), "inline"))

    def engine(store: Store, workers: int) -> EngineRun:
        return engine_run(store, stage, store.latest(stage.source), workers)

    return _figures(MODEL, _compared(stage, stores, engine, amounts))


def _compared(stage: Stage, stores: Stores, engine: Engine, amounts: Amounts) -> Measured:
    """Run the stage in all ways, one after the other in each round."""
    large, single = stores.large.latest(stage.source), stores.single.latest(stage.source)
    names, singles = sorted(large.part_names()), sorted(single.part_names())
    costs = sorted((large.footer(name).cost for name in names), reverse=True)
    with worker() as first, worker() as second, TemporaryDirectory() as folder:
        scratch = Table(Folder.at(folder), Fingerprint.of(stage, single))
        ways: dict[str, Callable[[], Any]] = {
            "one": partial(engine, stores.large, 1),
            "bare": partial(_at_once, [first], stage, large, names),
            "two": partial(engine, stores.large, 2),
            "bare_two": partial(_at_once, [first, second], stage, large, names),
            "single": partial(engine, stores.single, 1),
            "single_two": partial(engine, stores.single, 2),
            "large_parts": partial(part_times, stage, large, scratch, names[:TIMED_PARTS]),
            "single_parts": partial(part_times, stage, single, scratch, singles),
        }
        rounds = [{name: way() for name, way in ways.items()} for _ in range(amounts.repeats)]
    return Measured(
        rows=sum(large.footer(name).rows_out for name in names),
        shares=[cost / sum(costs) for cost in costs],
        **{name: _middle([results[name] for results in rounds]) for name in ways},
    )


def _at_once(processes: Sequence[Callable[..., Any]], stage: Stage, source: Table, parts: list[str]) -> float:
    """Seconds of the bare function on all the parts, in every process at the same time."""
    with ThreadPoolExecutor(len(processes)) as threads:
        return fmean(threads.map(lambda call: float(call(bare_seconds, stage, source, parts)), processes))


def _middle(results: list[Any]) -> Any:
    """The result of the round that took the median time."""
    return sorted(results, key=_seconds)[len(results) // 2]


def _seconds(result: EngineRun | list[PartTimes] | float) -> float:
    if isinstance(result, EngineRun):
        return result.wall
    return sum(part.read + part.work + part.commit for part in result) if isinstance(result, list) else result


def _figures(kind: str, found: Measured) -> list[Figure]:
    simulated = {
        "1 worker": found.predicted(1) / found.one.wall,
        "2 workers": found.predicted(2) / found.two.wall,
        "2 workers, parts of one structure": found.predicted_single_two() / found.single_two.wall,
    }
    return [
        Figure(f"{kind}: 1 worker", found.rows / found.one.wall, "structures/s"),
        Figure(f"{kind}: 2 workers", found.rows / found.two.wall, "structures/s"),
        Figure(f"{kind}: efficiency of 2 workers", found.efficiency, ""),
        Figure(f"{kind}: efficiency of 2 processes that share only the machine", found.limit, ""),
        Figure(f"{kind}: efficiency / that of the machine", found.efficiency / found.limit, ""),
        *(Figure(f"{kind}: simulated / measured, {run}", ratio, "times") for run, ratio in simulated.items()),
        *_overheads(kind, found.single),
        Figure(f"{kind}: reading a part", 1e3 * found.costs.read, "ms"),
        Figure(f"{kind}: committing a part", 1e3 * found.costs.commit, "ms"),
        Figure(f"{kind}: reading and committing, per structure", 1e3 * found.store_per_row, "ms"),
        Figure(f"{kind}: work per structure", 1e3 * found.bare / found.rows, "ms"),
        Figure(f"{kind}: spread of the work", found.spread, "of the mean"),
    ]


def _overheads(kind: str, single: EngineRun) -> list[Figure]:
    """What the engine costs, seen where the parts are small."""
    central = Figure(f"{kind}: processor time of Ray's central process per part", 1e3 * single.central, "ms")
    return [
        Figure(f"{kind}: start", single.start, "s"),
        Figure(f"{kind}: a worker's pause between parts", 1e3 * single.pause, "ms"),
        Figure(f"{kind}: processor time of the driver per part", 1e3 * single.driver, "ms"),
        *([] if kind == SOAP else [central]),
    ]
