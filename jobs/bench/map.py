"""The map of a database: time and memory by the number of structures, and how far maps agree."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.landscape.quality import drawn_rows
from jobs.bench.map_agreement import JUDGED, Compared, agreement, usable_backends
from jobs.bench.map_fit import PLACED, STEPS, Fitting, fitting
from jobs.bench.map_vectors import representations
from jobs.bench.processes import worker
from jobs.bench.report import BenchmarkReport, Curve, Figure
from jobs.landscape.settings import MapRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.landscape.model import MapSettings
    from jobs.bench import BenchmarkSettings
    from jobs.bench.map_vectors import Representations

MINUTES = 15.0
GIBIBYTES = 8.0


@dataclass(frozen=True)
class Amounts:
    """How many structures are mapped, and on how many agreement is measured."""

    sizes: tuple[int, ...] = (154_925, 60_000, 20_000)
    compared: int = 30_000
    all_columns: int = 10_000
    """Structures that are clustered in all columns, which takes long."""
    judged: int = 2_000


QUICK = Amounts(sizes=(2_000, 1_000), compared=1_200, all_columns=600, judged=300)


def run(settings: BenchmarkSettings) -> BenchmarkReport:
    """Measure on representations of the structures of the source and of displaced copies of them."""
    return measure(settings, QUICK if settings.quick else Amounts(), MapRequest().settings)


def measure(settings: BenchmarkSettings, amounts: Amounts, of_map: MapSettings) -> BenchmarkReport:
    """Measure so much with these settings of a map."""
    made = representations(settings.source, max(amounts.sizes), settings.seed, keep=not settings.quick)
    fittings = _fittings(made, amounts, of_map, settings.seed)
    largest = fittings[0]
    goals = len(made.vectors) >= Amounts().sizes[0]
    figures = [
        Figure(
            f"map of {largest.rows:,} structures: time",
            largest.total / 60.0,
            "min",
            at_most=MINUTES if goals else None,
        ),
        Figure("processor time", sum(largest.processor) / 60.0, "min"),
        Figure("most memory", largest.peak, "GiB", at_most=GIBIBYTES if goals else None),
        *(
            Figure(f"{step}: {name} per structure", 1e3 * seconds / largest.rows, "ms")
            for name, clock in (("time", largest.seconds), ("processor time", largest.processor))
            for step, seconds in zip(STEPS, clock, strict=True)
        ),
        *_growth(fittings),
        *(
            Figure(f"placing one more in a map of {fit.rows:,}: processor time", 1e3 * fit.place, "ms")
            for fit in fittings
        ),
    ]
    agreed, remarks = _agreement(made, amounts, of_map, settings.seed)
    return BenchmarkReport(
        "map",
        tuple(figures + agreed),
        (*_remarks(settings, made, fittings, of_map), *remarks),
        _curves(fittings),
    )


def _fittings(made: Representations, amounts: Amounts, of_map: MapSettings, seed: int) -> list[Fitting]:
    """Fit maps of each size, the largest first, in one process, so that its memory is that of the largest."""
    sizes = sorted({min(size, len(made.vectors)) for size in amounts.sizes}, reverse=True)
    with tempfile.TemporaryDirectory(prefix="crysift-bench-") as folder, worker() as apply:
        path = Path(folder) / "vectors.npy"
        np.save(path, made.vectors)
        return [apply(fitting, path, size, of_map, seed) for size in sizes]


def _growth(fittings: Sequence[Fitting]) -> list[Figure]:
    """With which power of the number of structures the work grows, between the two largest maps."""
    large, small = fittings[0], fittings[min(1, len(fittings) - 1)]
    if large.rows == small.rows:
        return []
    return [
        Figure(
            f"{step}: processor time grows with power", _power(large.rows / small.rows, after / before), ""
        )
        for step, after, before in zip(STEPS, large.processor, small.processor, strict=True)
    ]


def _power(structures: float, seconds: float) -> float:
    return math.log(seconds) / math.log(structures)


def _agreement(
    made: Representations, amounts: Amounts, of_map: MapSettings, seed: int
) -> tuple[list[Figure], list[str]]:
    """Compare maps of structures that no other is a copy of."""
    rows = drawn_rows(made.undisplaced, amounts.compared, seed)
    compared = Compared(made.vectors[rows], of_map, drawn_rows(len(rows), amounts.judged, seed + 1), seed)
    backends, remarks = usable_backends(len(rows))
    with worker() as apply:
        figures = apply(agreement, compared, backends, drawn_rows(len(rows), amounts.all_columns, seed))
    columns = min(amounts.all_columns, len(rows))
    remarks.append(f"agreement: {len(rows):,} of the source's structures; all columns: {columns:,} of them")
    remarks.append(
        f"trustworthiness and continuity: of {JUDGED} neighbours at {len(compared.judged):,} structures "
        "among all, distances in all columns; in an ARI the outliers are one group"
    )
    return figures, remarks


def _remarks(
    settings: BenchmarkSettings, made: Representations, fittings: Sequence[Fitting], of_map: MapSettings
) -> list[str]:
    largest, clustering, embedding = fittings[0], of_map.clustering, of_map.embedding
    source = Path(settings.source).name
    return [
        (
            f"{len(made.vectors):,} × {made.vectors.shape[1]} representations, of {made.undisplaced:,} "
            f"structures of {source} and of copies displaced by 1, 4 and 2 % of d_NN"
        ),
        (
            f"{largest.components} principal components ({100 * of_map.variance:g} % of the variance), "
            f"smallest cluster {clustering.min_cluster_size}, {clustering.neighbors} neighbours for the "
            f"density, {embedding.neighbors} for the embedding; backend {largest.backend}; "
            f"{largest.clusters} clusters"
        ),
        f"time: one run each, the largest first and with all compilation; placing: {PLACED:,} at once",
    ]


def _curves(fittings: Sequence[Fitting]) -> tuple[Curve, ...]:
    ordered = sorted(fittings, key=lambda fit: fit.rows)
    by_step = [
        Curve(
            f"{step}, {name}", "structures", "s", tuple((float(fit.rows), clock(fit)[k]) for fit in ordered)
        )
        for name, clock in (("time", _seconds), ("processor time", _processor))
        for k, step in enumerate(STEPS)
    ]
    place = tuple((float(fit.rows), fit.place) for fit in ordered)
    return (*by_step, Curve("placing one more", "fitted structures", "s", place))


def _seconds(fit: Fitting) -> tuple[float, ...]:
    return fit.seconds


def _processor(fit: Fitting) -> tuple[float, ...]:
    return fit.processor
