"""SOAP vectors: our kernel against DScribe and, where it is installed, quippy, in one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from engine.descriptors.soap import SoapResult, SoapSettings, soap_vector
from jobs.bench import quippy_soap
from jobs.bench.report import BenchmarkReport, Figure
from jobs.bench.structures import Sample, draw_structures
from jobs.bench.timing import alternating_medians

if TYPE_CHECKING:
    from jobs.bench import BenchmarkSettings

MS_PER_STRUCTURE = 1.5
MICROSECONDS_PER_PAIR = 0.12
KERNEL, KERNEL_GTO, DSCRIBE, QUIPPY = "kernel (quip)", "kernel (gto)", "DScribe (gto)", "quippy"
QUIP, GTO = SoapSettings(), SoapSettings(basis="gto")
GTO_BY_DSCRIBE = SoapSettings(basis="gto", backend="dscribe")

Vectorize = Callable[[Sample], object]


def run(settings: BenchmarkSettings) -> BenchmarkReport:
    """Measure all ways in one thread, d_NN and everything else included."""
    samples = draw_structures(settings.source, 40 if settings.quick else 200, settings.seed)
    figures = _against_dscribe(samples, repeats=3 if settings.quick else 7)
    source = Path(settings.source).name
    remarks = [f"{len(samples)} random structures of {source}; one thread; d_NN included; medians"]
    if quippy_soap.is_installed():
        few = samples[: 4 if settings.quick else 20]
        figures += _against_quippy(few, repeats=1 if settings.quick else 3)
        remarks.append(f"quippy and its ratio: on the first {len(few)} of them")
    else:
        remarks.append("quippy is not installed (quippy-ase; its SOAP is not free for commercial use)")
    return BenchmarkReport("soap", tuple(figures), tuple(remarks))


def _against_dscribe(samples: Sequence[Sample], repeats: int) -> list[Figure]:
    kinds = {KERNEL: QUIP, KERNEL_GTO: GTO, DSCRIBE: GTO_BY_DSCRIBE}
    seconds = _medians({name: partial(_vector, soap) for name, soap in kinds.items()}, samples, repeats)
    pairs = sum(_vector(QUIP, sample).n_pairs or 0 for sample in samples)
    ours, count = seconds[KERNEL], len(samples)
    return [
        Figure("neighbour pairs per structure", pairs / count, "pairs"),
        Figure(f"{KERNEL}: time per structure", 1e3 * ours / count, "ms", at_most=MS_PER_STRUCTURE),
        Figure(f"{KERNEL}: time per pair", 1e6 * ours / pairs, "µs", at_most=MICROSECONDS_PER_PAIR),
        Figure(f"{KERNEL_GTO}: time per structure", 1e3 * seconds[KERNEL_GTO] / count, "ms"),
        Figure(f"{DSCRIBE}: time per structure", 1e3 * seconds[DSCRIBE] / count, "ms"),
        Figure(f"{DSCRIBE} / {KERNEL}", seconds[DSCRIBE] / ours, "times"),
    ]


def _against_quippy(samples: Sequence[Sample], repeats: int) -> list[Figure]:
    ways: dict[str, Vectorize] = {
        KERNEL: partial(_vector, QUIP),
        QUIPPY: partial(quippy_soap.quippy_vector, soap=QUIP),
    }
    seconds = _medians(ways, samples, repeats)
    difference = max(
        float(abs(_vector(QUIP, sample).vector - quippy_soap.quippy_vector(sample, QUIP)).max())
        for sample in samples
    )
    return [
        Figure(f"{QUIPPY}: time per structure", 1e3 * seconds[QUIPPY] / len(samples), "ms"),
        Figure(f"{QUIPPY} / {KERNEL}", seconds[QUIPPY] / seconds[KERNEL], "times"),
        Figure(f"{QUIPPY} and {KERNEL}: largest difference of a component", difference, ""),
    ]


def _medians(ways: dict[str, Vectorize], samples: Sequence[Sample], repeats: int) -> dict[str, float]:
    runs = {name: partial(_all, vectorize, samples) for name, vectorize in ways.items()}
    return alternating_medians(runs, repeats)


def _all(vectorize: Vectorize, samples: Sequence[Sample]) -> None:
    for sample in samples:
        vectorize(sample)


def _vector(soap: SoapSettings, sample: Sample) -> SoapResult:
    return soap_vector(sample.positions, sample.species, sample.lattice, sample.periodic, soap)
