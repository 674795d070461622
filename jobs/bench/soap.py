"""SOAP vectors: our kernel against DScribe and, where it is installed, quippy, in one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from engine.descriptors.soap import SoapSettings, soap_vector
from jobs.bench.report import BenchmarkReport, Figure
from jobs.bench.structures import Sample, draw_structures
from jobs.bench.timing import alternating_medians

if TYPE_CHECKING:
    from jobs.bench import BenchmarkSettings

MS_PER_STRUCTURE = 1.5
MICROSECONDS_PER_PAIR = 0.12
KERNEL, KERNEL_GTO, DSCRIBE, QUIPPY = "kernel (quip)", "kernel (gto)", "DScribe (gto)", "quippy"


def run(settings: BenchmarkSettings) -> BenchmarkReport:
    """Measure all ways in one thread, d_NN and everything else included."""
    samples = draw_structures(settings.source, 40 if settings.quick else 200, settings.seed)
    pairs = sum(_vector(sample, SoapSettings()) for sample in samples)
    ways = _ways(samples)
    seconds = alternating_medians(ways, repeats=3 if settings.quick else 7)
    ours = seconds[KERNEL]
    figures = [
        Figure("structures", len(samples), ""),
        Figure("neighbour pairs per structure", pairs / len(samples), ""),
        Figure(f"{KERNEL}: time per structure", 1e3 * ours / len(samples), "ms", at_most=MS_PER_STRUCTURE),
        Figure(f"{KERNEL}: time per pair", 1e6 * ours / pairs, "µs", at_most=MICROSECONDS_PER_PAIR),
    ]
    for name in seconds:
        if name != KERNEL:
            figures.append(Figure(f"{name}: time per structure", 1e3 * seconds[name] / len(samples), "ms"))
            figures.append(Figure(f"{name} / {KERNEL}", seconds[name] / ours, "times"))
    return BenchmarkReport("soap", tuple(figures), _remarks(settings, ways))


def _ways(samples: Sequence[Sample]) -> dict[str, Callable[[], object]]:
    kinds = {
        KERNEL: SoapSettings(),
        KERNEL_GTO: SoapSettings(basis="gto"),
        DSCRIBE: SoapSettings(basis="gto", backend="dscribe"),
    }
    ways: dict[str, Callable[[], object]] = {
        name: lambda soap=soap: [_vector(sample, soap) for sample in samples] for name, soap in kinds.items()
    }
    return ways


def _vector(sample: Sample, soap: SoapSettings) -> int:
    return soap_vector(sample.positions, sample.species, sample.lattice, sample.periodic, soap).n_pairs


def _remarks(settings: BenchmarkSettings, ways: dict[str, Callable[[], object]]) -> tuple[str, ...]:
    told = [
        f"random structures of {settings.source}; one thread; d_NN included; medians of alternating rounds"
    ]
    if QUIPPY not in ways:
        told.append(
            "quippy is not installed (pip install quippy-ase; its SOAP is not free for commercial use)"
        )
    return tuple(told)
