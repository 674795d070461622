"""Benchmarks: ours and the peers measured in the same run, as ratios and costs per unit."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from engine.errors import CrysiftError

if TYPE_CHECKING:
    from jobs.bench.report import BenchmarkReport

BENCHMARKS = {
    "soap": "jobs.bench.soap",
    "inference": "jobs.bench.inference",
    "diffraction": "jobs.bench.diffraction",
    "ingest": "jobs.bench.ingest",
    "scale": "jobs.bench.scale",
    "map": "jobs.bench.map",
    "spm": "jobs.bench.spm",
}
"""Name of a benchmark -> the module whose `run` measures it."""


@dataclass(frozen=True)
class BenchmarkSettings:
    """How much to measure, and on what."""

    quick: bool = False
    """End within a minute on two cores."""
    source: str = "examples:"
    """Structures to measure on."""
    seed: int = 0
    """Which structures are drawn."""


class _Benchmark(Protocol):
    def run(self, settings: BenchmarkSettings) -> BenchmarkReport: ...


def run_benchmark(name: str, settings: BenchmarkSettings) -> BenchmarkReport:
    """Run one benchmark by its name."""
    if name not in BENCHMARKS:
        raise CrysiftError(f"there is no benchmark '{name}': take one of {', '.join(sorted(BENCHMARKS))}")
    return cast("_Benchmark", import_module(BENCHMARKS[name])).run(settings)
