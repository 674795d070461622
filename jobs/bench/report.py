"""What a benchmark reports: figures with their goals, the machine and the versions."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

REPORTED_PACKAGES = (
    "crysift",
    "average-minimum-distance",
    "deltalake",
    "dscribe",
    "duckdb",
    "emmet-core",
    "hdbscan",
    "httpx",
    "moto",
    "mp-api",
    "numba",
    "numpy",
    "optimade",
    "orjson",
    "ovito",
    "pyarrow",
    "pymatgen",
    "pynndescent",
    "ray",
    "cuml-cu13",
    "dask",
    "scikit-learn",
    "spglib",
    "torch",
    "umap-learn",
    "xraydb",
    "quippy-ase",
)


@dataclass(frozen=True)
class Figure:
    """One measured number; `at_most` or `at_least` is the goal of the issue that asked for it."""

    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def goal(self) -> str | None:
        """The goal in words, or None for a figure that only informs."""
        if self.at_most is not None:
            return f"<= {self.at_most:g}"
        return None if self.at_least is None else f">= {self.at_least:g}"

    @property
    def holds(self) -> bool | None:
        """Whether the goal is met."""
        if self.at_most is not None:
            return self.value <= self.at_most
        return None if self.at_least is None else self.value >= self.at_least

    def as_json(self) -> dict[str, Any]:
        """Return the figure as JSON values."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "goal": self.goal,
            "holds": self.holds,
        }


@dataclass(frozen=True)
class Curve:
    """A quantity that was followed: points (x, y), and what these are, with units."""

    name: str
    x: str
    y: str
    points: tuple[tuple[float, float], ...]

    def as_json(self) -> dict[str, Any]:
        """Return the curve as JSON values."""
        points = [[x, y] for x, y in self.points]
        return {"name": self.name, "x": self.x, "y": self.y, "points": points}


@dataclass(frozen=True)
class ReportTable:
    """Results that are a table by themselves: its title, what its columns are, and its rows, as text."""

    title: str
    heading: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    block: str
    """Name of the block of a document that it belongs into (`jobs.bench.readme`)."""

    def __post_init__(self) -> None:
        if any(len(row) != len(self.heading) for row in self.rows):
            raise ValueError(f"rows of the table {self.title!r} have other columns than its heading")

    def as_json(self) -> dict[str, Any]:
        """Return the table as JSON values."""
        rows = [list(row) for row in self.rows]
        return {"title": self.title, "heading": list(self.heading), "rows": rows, "block": self.block}


@dataclass(frozen=True)
class BenchmarkReport:
    """All figures of one benchmark run."""

    benchmark: str
    figures: tuple[Figure, ...]
    remarks: tuple[str, ...] = ()
    curves: tuple[Curve, ...] = ()
    tables: tuple[ReportTable, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether no goal is missed."""
        return all(figure.holds is not False for figure in self.figures)

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "benchmark": self.benchmark,
            "machine": machine(),
            "versions": versions(),
            "figures": [figure.as_json() for figure in self.figures],
            "remarks": list(self.remarks),
            "curves": [curve.as_json() for curve in self.curves],
            "tables": [table.as_json() for table in self.tables],
        }


def machine() -> dict[str, Any]:
    """Describe the machine: processor, cores, memory, system."""
    import psutil

    return {
        "processor": _processor_name(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Return the versions of the packages that decide the speed; those not installed are left out."""
    found = {}
    for name in REPORTED_PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _processor_name() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
