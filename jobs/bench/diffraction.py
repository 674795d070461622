"""Diffraction fingerprints: ours against their own sines and cosines, and against a direct evaluation."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from engine.descriptors.diffraction import DiffractionSettings
from engine.descriptors.diffraction.detector import detector
from engine.descriptors.diffraction.pattern import patterns, rotation
from engine.descriptors.diffraction.settings import GAMMA
from engine.descriptors.diffraction.stage import DiffractionStage, diffracting_crystals
from engine.descriptors.features import Failure
from jobs.bench.processes import workers
from jobs.bench.report import BenchmarkReport, Figure
from jobs.bench.structures import draw_table
from jobs.bench.timing import alternating_medians

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from engine.descriptors.diffraction.crystal import Crystal
    from engine.stage import BatchFunction
    from jobs.bench import BenchmarkSettings

STRUCTURES_PER_SECOND = 300.0
LARGEST_DIFFERENCE = 1e-5
ROWS_PER_TASK = 16
WHOLE, CELLS, PATTERNS, WAVES = "all", "standard cells", "patterns", "sines and cosines alone"
DIRECT = "direct evaluation (numpy, float64)"
SETTINGS = DiffractionSettings()


def run(settings: BenchmarkSettings) -> BenchmarkReport:
    """Measure the stage and its two halves in one thread, and the stage in a process per core."""
    table = draw_table(settings.source, 96 if settings.quick else 400, settings.seed)
    crystals = [c for c in diffracting_crystals(table) if not isinstance(c, Failure)]
    repeats = 3 if settings.quick else 7
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        figures = [*_one_core(table, crystals, repeats), *_against_direct(crystals[:20], repeats)]
        figures += _on_gpu(crystals, repeats) if torch.cuda.is_available() else []
    finally:
        torch.set_num_threads(threads)
    figures[:0] = _all_cores(table, repeats)
    source, atoms = Path(settings.source).name, np.mean([len(crystal.numbers) for crystal in crystals])
    remarks = (
        f"{len(crystals)} random crystals of {source}, of which {atoms:.0f} atoms diffract on average",
        f"one channel, masked; {DIRECT}: the first {len(crystals[:20])}; medians",
    )
    return BenchmarkReport("diffraction", tuple(figures), remarks)


def _all_cores(table: pa.Table, repeats: int) -> list[Figure]:
    cores = os.cpu_count() or 1
    tasks = [table.slice(row, ROWS_PER_TASK) for row in range(0, table.num_rows, ROWS_PER_TASK)]
    with workers(cores) as together:
        seconds = alternating_medians({WHOLE: lambda: together(_featurize, tasks)}, repeats)[WHOLE]
    name = f"fingerprints on {cores} cores"
    return [Figure(name, table.num_rows / seconds, "1/s", at_least=STRUCTURES_PER_SECOND)]


@lru_cache(maxsize=1)
def _stage() -> BatchFunction:
    return DiffractionStage(SETTINGS, "cpu").open()


def _featurize(table: pa.Table) -> int:
    return len(_stage()(table))


def _one_core(table: pa.Table, crystals: Sequence[Crystal], repeats: int) -> list[Figure]:
    ways: dict[str, Callable[[], object]] = {
        WHOLE: lambda: _featurize(table),
        CELLS: lambda: diffracting_crystals(table),
        PATTERNS: lambda: patterns(crystals, SETTINGS),
        WAVES: lambda: _waves(crystals),
    }
    seconds = alternating_medians(ways, repeats)
    per_structure = {name: 1e3 * taken / table.num_rows for name, taken in seconds.items()}
    return [
        *(Figure(f"{name}: time per structure", value, "ms") for name, value in per_structure.items()),
        Figure(f"{PATTERNS} / {WAVES}", seconds[PATTERNS] / seconds[WAVES], "times"),
    ]


def _waves(crystals: Sequence[Crystal]) -> None:
    """The least that PyTorch can do for these patterns: a sine and a cosine per atom and pixel."""
    pixels = len(detector(SETTINGS.mask).q)
    for crystal in crystals:
        phases = torch.ones(len(crystal.numbers), pixels)
        torch.cos(phases)
        phases.sin_()


def _against_direct(crystals: Sequence[Crystal], repeats: int) -> list[Figure]:
    ways: dict[str, Callable[[], object]] = {
        PATTERNS: lambda: patterns(crystals, SETTINGS),
        DIRECT: lambda: [direct_pattern(crystal) for crystal in crystals],
    }
    seconds = alternating_medians(ways, min(repeats, 3))
    lit = detector(SETTINGS.mask).lit
    ours = patterns(crystals, SETTINGS)[:, 0].numpy()[:, lit]
    difference = np.abs(ours - np.array([direct_pattern(crystal) for crystal in crystals])).max()
    return [
        Figure(f"{DIRECT}: time per structure", 1e3 * seconds[DIRECT] / len(crystals), "ms"),
        Figure(f"{DIRECT} / {PATTERNS}", seconds[DIRECT] / seconds[PATTERNS], "times"),
        Figure(f"largest difference from the {DIRECT}", float(difference), "", at_most=LARGEST_DIFFERENCE),
    ]


def direct_pattern(crystal: Crystal) -> NDArray[np.float64]:
    """Brightness (P,) of the lit pixels by the definition, in double precision; the brightest is 1."""
    import xraydb

    seen = detector(SETTINGS.mask)
    waves = np.exp(-1j * (seen.q @ rotation(0, 45.0) @ crystal.positions.T))
    s = np.linalg.norm(seen.q, axis=1) / (4.0 * np.pi)
    amplitude = sum(
        xraydb.f0(xraydb.atomic_symbol(int(number)), s) * waves[:, crystal.numbers == number].sum(axis=1)
        for number in np.unique(crystal.numbers)
    )
    light = seen.solid_angle * np.abs(amplitude) ** GAMMA
    return np.asarray(light / light.max())


def _on_gpu(crystals: Sequence[Crystal], repeats: int) -> list[Figure]:
    def develop() -> None:
        patterns(crystals, SETTINGS, "cuda")
        torch.cuda.synchronize()

    seconds = alternating_medians({PATTERNS: develop}, repeats)[PATTERNS]
    difference = (patterns(crystals, SETTINGS, "cuda").cpu() - patterns(crystals, SETTINGS)).abs().max()
    return [
        Figure(f"{PATTERNS} on the GPU", len(crystals) / seconds, "1/s"),
        Figure("largest difference between GPU and CPU", float(difference), "", at_most=LARGEST_DIFFERENCE),
    ]
