"""SOAP vectors: our kernel against PyTorch, DScribe and, where it is installed, quippy, in one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from engine.descriptors.soap import SoapResult, SoapSettings, soap_vector
from engine.descriptors.soap.torch_backend import Batch, available_device, soap_batch
from jobs.bench import quippy_soap
from jobs.bench.report import BenchmarkReport, Figure
from jobs.bench.structures import Sample, draw_structures
from jobs.bench.timing import alternating_medians

if TYPE_CHECKING:
    from jobs.bench import BenchmarkSettings

MS_PER_STRUCTURE = 1.5
MICROSECONDS_PER_PAIR = 0.12
LARGEST_DIFFERENCE = 1e-5
KERNEL, KERNEL_GTO, DSCRIBE, QUIPPY = "kernel (quip)", "kernel (gto)", "DScribe (gto)", "quippy"
QUIP, GTO = SoapSettings(), SoapSettings(basis="gto")
GTO_BY_DSCRIBE = SoapSettings(basis="gto", backend="dscribe")

Vectorize = Callable[[Sample], object]


def run(settings: BenchmarkSettings) -> BenchmarkReport:
    """Measure all ways in one thread, d_NN and everything else included."""
    samples = draw_structures(settings.source, 40 if settings.quick else 200, settings.seed)
    figures = _against_dscribe(samples, repeats=3 if settings.quick else 7)
    figures += _against_torch(samples, repeats=1 if settings.quick else 5)
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


def _against_torch(samples: Sequence[Sample], repeats: int) -> list[Figure]:
    """All structures as one batch, on a GPU where there is one."""
    device = available_device()
    name, batch = f"PyTorch on {device}", _batch(samples)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ways: dict[str, Callable[[], object]] = {
            KERNEL: partial(_all, partial(_vector, QUIP), samples),
            name: partial(soap_batch, batch, QUIP),
        }
        seconds = alternating_medians(ways, repeats)
        ours = np.array([result.vector for result in soap_batch(batch, QUIP)])
    finally:
        torch.set_num_threads(threads)
    kernels = np.array([_vector(QUIP, sample).vector for sample in samples])
    distances = np.linalg.norm(ours - kernels, axis=1) / np.linalg.norm(kernels, axis=1)
    return [
        Figure(f"{name}: time per structure", 1e3 * seconds[name] / len(samples), "ms"),
        Figure(f"{name} / {KERNEL}", seconds[name] / seconds[KERNEL], "times"),
        Figure(
            f"{name} and {KERNEL}: largest relative distance of two vectors",
            float(distances.max()),
            "",
            at_most=LARGEST_DIFFERENCE,
        ),
    ]


def _batch(samples: Sequence[Sample]) -> Batch:
    return Batch(
        np.concatenate([sample.positions for sample in samples]),
        np.concatenate([sample.species for sample in samples]),
        np.cumsum([0, *(len(sample.positions) for sample in samples)]),
        np.stack([sample.lattice for sample in samples]),
        np.stack([sample.periodic for sample in samples]),
    )


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
