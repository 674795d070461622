"""Ingest from services on this machine to Parquet: its memory, and its speed beside the sources' clients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from jobs.bench import bucket, harvests, service
from jobs.bench.database import Database, draw_crystals
from jobs.bench.processes import server, worker
from jobs.bench.report import BenchmarkReport, Curve, Figure
from jobs.bench.timing import alternating_medians

if TYPE_CHECKING:
    from jobs.bench import BenchmarkSettings
    from jobs.bench.structures import Sample

OPTIMADE_PER_SECOND = 5_000
DELTA_PER_SECOND = 20_000
MEMORY_GROWTH = 1.5

OPTIMADE, OPTIMADE_CLIENT = "OPTIMADE to Parquet", "OptimadeClient"
DELTA, COPY, DATASET = "Delta table to Parquet", "copy of the table by MPRester", "MPDataset"
API, RESTER = "Materials Project API to Parquet", "MPRester"
NEEDED = {OPTIMADE_CLIENT: ("optimade.client",), "Materials Project": ("mp_api.client", "moto.server")}
"""What is left out where these modules cannot be imported."""

CRYSTALS = 1000
SMALL_CRYSTALS = 100
CURVE_POINTS = 20


@dataclass(frozen=True)
class Amounts:
    """How many structures are fetched by each route, and how many by the clients that take long."""

    optimade: int = 20_000
    optimade_client: int = 5_000
    delta: int = 20_000
    dataset: int = 20
    api: int = 2_000
    memory: int = 1_000_000
    repeats: int = 5


QUICK = Amounts(4_000, 1_000, 8_000, 4, 1_000, memory=50_000, repeats=3)

Ways = dict[str, tuple[Callable[[], object], int]]
"""Calls that fetch structures, and how many each fetches; ours is the first."""


def run(settings: BenchmarkSettings) -> BenchmarkReport:
    """Measure on crystals of the source, served in turn, each time larger and with an id of its own."""
    return measure(settings, QUICK if settings.quick else Amounts())


def measure(settings: BenchmarkSettings, amounts: Amounts) -> BenchmarkReport:
    """Measure with so many structures."""
    crystals = draw_crystals(settings, CRYSTALS)
    small = crystals[:SMALL_CRYSTALS]
    figures = [*_optimade(crystals, amounts), *_materials_project(crystals, amounts)]
    curve = _memory_curve(Database(small, amounts.memory))
    about = (
        f"{len(crystals)} crystals of {Path(settings.source).name} in turn, {_sites(crystals):.0f} sites on "
        "average; ours fetches, decodes, maps, validates and commits to a new store; medians"
    )
    optimade = f"OPTIMADE: all threads on one core; {OPTIMADE_CLIENT} keeps the entries in memory"
    materials_project = (
        f"Materials Project: on all cores, a table of structures alone; {DATASET} iterates over the copy, "
        f"which its documentation advises against; {RESTER} asks the API and keeps models in memory"
    )
    memory = f"memory: resident set, crystals with {_sites(small):.1f} sites on average, by OPTIMADE"
    remarks = [about, optimade, materials_project, memory]
    remarks += [f"{name} was left out: it needs {' and '.join(NEEDED[name])}" for name in _left_out()]
    return BenchmarkReport("ingest", (*figures, *_memory(curve)), tuple(remarks), (curve,))


def _optimade(crystals: Sequence[Sample], amounts: Amounts) -> list[Figure]:
    database, few = Database(crystals, amounts.optimade), amounts.optimade_client
    with server(service.serve, database) as address, worker(one_core=True) as call:
        source = f"optimade:{address}"
        ways: Ways = {
            OPTIMADE: (partial(call, harvests.to_parquet, source, database.count), database.count),
            OPTIMADE_CLIENT: (partial(call, harvests.by_optimade_client, address, few), few),
        }
        if OPTIMADE_CLIENT in _left_out():
            del ways[OPTIMADE_CLIENT]
        return _compared(ways, amounts.repeats, at_least=OPTIMADE_PER_SECOND)


def _materials_project(crystals: Sequence[Sample], amounts: Amounts) -> list[Figure]:
    """The Delta table and the API, each with mp-api beside ours."""
    if "Materials Project" in _left_out():
        return []
    table, documents, few = amounts.delta, amounts.api, amounts.dataset
    with (
        server(bucket.serve) as s3,
        server(service.serve, Database(crystals, documents)) as api,
        worker() as call,
        TemporaryDirectory() as kept,
    ):
        bucket.fill(s3, Database(crystals, table))
        call(harvests.use, {**bucket.environment(s3), **service.environment(api)})
        by_delta: Ways = {
            DELTA: (partial(call, harvests.to_parquet, "mp:", table), table),
            COPY: (partial(call, harvests.copied_by_rester, table), table),
            DATASET: (partial(call, harvests.iterated_by_rester, kept, few), few),
        }
        by_api: Ways = {
            API: (partial(call, harvests.to_parquet, "mp:", documents, harvests.ALL), documents),
            RESTER: (partial(call, harvests.by_rester, documents), documents),
        }
        return [
            *_compared(by_delta, amounts.repeats, at_least=DELTA_PER_SECOND),
            *_compared(by_api, amounts.repeats),
        ]


def _compared(ways: Ways, repeats: int, at_least: float | None = None) -> list[Figure]:
    """Structures per second by each way, and how many times those of the others ours has."""
    seconds = alternating_medians({name: call for name, (call, _) in ways.items()}, repeats)
    rates = {name: count / seconds[name] for name, (_, count) in ways.items()}
    ours, *others = rates
    return [
        Figure(f"{ours}: structures", rates[ours], "1/s", at_least=at_least),
        *(Figure(f"{other}: structures", rates[other], "1/s") for other in others),
        *(Figure(f"{ours} / {other}", rates[ours] / rates[other], "times") for other in others),
    ]


def _memory_curve(database: Database) -> Curve:
    with server(service.serve, database) as address, worker() as call:
        every = database.count // CURVE_POINTS
        points = call(harvests.memory_curve, f"optimade:{address}", database.count, every)
    return Curve("memory of ingest", "structures", "resident set / MiB", tuple(points))


def _memory(curve: Curve) -> list[Figure]:
    """What the last nine tenths of the structures add."""
    total, final = curve.points[-1]
    tenth, before = next(point for point in curve.points if point[0] >= total / 10)
    return [
        Figure(
            f"memory at {total:,.0f} / at {tenth:,.0f} structures",
            final / before,
            "times",
            at_most=MEMORY_GROWTH,
        ),
        Figure("memory added per structure", (final - before) * 2**20 / (total - tenth), "bytes"),
    ]


def _sites(crystals: Sequence[Sample]) -> float:
    return float(np.mean([len(crystal.positions) for crystal in crystals]))


def _left_out() -> list[str]:
    return [name for name, modules in NEEDED.items() if not all(map(_can_import, modules))]


def _can_import(module: str) -> bool:
    try:
        import_module(module)
    except ImportError:
        return False
    return True
