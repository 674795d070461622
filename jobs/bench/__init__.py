"""Benchmarks: ours and the peers measured in the same run, as ratios and costs per unit."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from engine.errors import CrysiftError
from jobs.settings import ExecutionSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from engine.execution import Event
    from jobs.bench.report import BenchmarkReport


def _ignore(event: Event) -> None:
    """Tell nobody of progress; the engine's own listener would load pyarrow for every `--help`."""


BENCHMARKS = {
    "soap": "jobs.bench.soap",
    "inference": "jobs.bench.inference",
    "adaptive": "jobs.bench.adaptive",
    "diffraction": "jobs.bench.diffraction",
    "ingest": "jobs.bench.ingest",
    "scale": "jobs.bench.scale",
    "map": "jobs.bench.map",
    "spm": "jobs.bench.spm",
    "accuracy": "jobs.bench.accuracy",
    "ood": "jobs.bench.ood",
}
"""Name of a benchmark -> the module whose `run` measures it."""
_DRAWN = ("quick", "seed", "source")
_OF_STRUCTURES = ("quick", "seed", "store", "out", "weights", "executor", "workers")
OPTIONS = {
    **dict.fromkeys(("soap", "inference", "diffraction", "ingest", "scale", "map"), _DRAWN),
    "adaptive": (*_DRAWN, "store"),
    "spm": ("quick", "seed"),
    "accuracy": _OF_STRUCTURES,
    "ood": (*_OF_STRUCTURES, "source", "retrain", "work"),
}
"""Name of a benchmark -> the options of `crysift bench` that it reads."""
WATCHED = frozenset({"accuracy", "ood"})
"""Benchmarks that take long enough to tell of their progress."""


@dataclass(frozen=True)
class BenchmarkSettings:
    """How much to measure, and on what."""

    quick: bool = False
    """Measure less of everything, for a first look: a minute on two cores, for accuracy and ood a few."""
    source: str = "examples:"
    """Structures to measure on."""
    seed: int = 0
    """Which structures are drawn."""
    store: str | None = None
    """Where a benchmark that keeps its structures and results does so; None is the user's cache."""
    out: Path | None = None
    """Folder for tables, where a benchmark writes any."""
    weights: tuple[str, ...] = ()
    """Models to measure beside the shipped ones."""
    retrain: bool = False
    """Train further networks, too: of a deep ensemble, and without some classes."""
    work: Path | None = None
    """Folder for the vectors that these are trained on; None is the user's cache."""
    execution: ExecutionSettings = field(default_factory=ExecutionSettings)
    """How a benchmark that keeps a store runs."""
    listener: Callable[[Event], None] = _ignore
    """Who is told of progress."""


class _Benchmark(Protocol):
    def run(self, settings: BenchmarkSettings) -> BenchmarkReport: ...


def run_benchmark(name: str, settings: BenchmarkSettings) -> BenchmarkReport:
    """Run one benchmark by its name."""
    if name not in BENCHMARKS:
        raise CrysiftError(f"there is no benchmark '{name}': take one of {', '.join(sorted(BENCHMARKS))}")
    return cast("_Benchmark", import_module(BENCHMARKS[name])).run(settings)
