"""Monte-Carlo-dropout inference against a plain chain of matrix products and against a loop over passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from engine.descriptors.soap import SoapSettings, soap_vector
from jobs.bench.report import BenchmarkReport, Figure
from jobs.bench.structures import draw_structures
from jobs.bench.timing import alternating_medians
from models.dropout import CPU_BLOCK, MonteCarloDropout
from models.stage import PredictArise
from models.weights_file import load_model

if TYPE_CHECKING:
    from jobs.bench import BenchmarkSettings
    from models.network import Perceptron

GOAL = 0.8
"""Ours must reach this fraction of the throughput of the plain products."""
OURS, PRODUCTS, LOOP = "MC dropout", "torch.mm chain", "loop over passes"


def run(settings: BenchmarkSettings) -> BenchmarkReport:
    """Measure on real vectors with the shipped network, in one thread as a model actor works."""
    passes, count = (1000, 16) if settings.quick else (1000, 64)
    network = load_model(PredictArise.weights).network.head
    vectors = soap_vectors(settings, count)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = alternating_medians(_ways(network, vectors, passes), repeats=3 if settings.quick else 9)
    finally:
        torch.set_num_threads(threads)
    work = len(vectors) * passes
    figures = [Figure(f"{name}: input-passes", work / taken, "1/s") for name, taken in seconds.items()]
    figures += [
        Figure(f"{OURS} / {PRODUCTS}", seconds[PRODUCTS] / seconds[OURS], "times", at_least=GOAL),
        Figure(f"{OURS} / {LOOP}", seconds[LOOP] / seconds[OURS], "times"),
    ]
    remark = f"{len(vectors)} structures from {settings.source}, {passes} passes, one thread, float32"
    return BenchmarkReport("inference", tuple(figures), (remark,))


def soap_vectors(settings: BenchmarkSettings, count: int) -> torch.Tensor:
    """Compute vectors (count, 316) of structures drawn from the source to measure on."""
    soap = SoapSettings()
    rows = [
        torch.from_numpy(soap_vector(s.positions, s.species, s.lattice, s.periodic, soap).vector)
        for s in draw_structures(settings.source, count, settings.seed)
    ]
    return torch.stack(rows).float()


def _ways(network: Perceptron, vectors: torch.Tensor, passes: int) -> dict[str, Callable[[], object]]:
    dropout = MonteCarloDropout(network, passes, seed=0)
    return {
        OURS: lambda: dropout(vectors),
        PRODUCTS: lambda: _products(network, len(vectors), passes),
        LOOP: lambda: _loop(network, vectors, passes),
    }


@torch.inference_mode()
def _products(network: Perceptron, structures: int, passes: int) -> None:
    """Only the matrix products of T passes per structure, in the block size that suits the caches."""
    weights = [layer.weight.t().contiguous() for layer in network.linear_layers]
    inputs = torch.rand(min(CPU_BLOCK, passes), weights[0].shape[0])
    buffers = [torch.empty(len(inputs), weight.shape[1]) for weight in weights]
    for _ in range(structures):
        done = 0
        while done < passes:
            rows = min(len(inputs), passes - done)
            activation = inputs[:rows]
            for weight, buffer in zip(weights, buffers, strict=True):
                activation = torch.mm(activation, weight, out=buffer[:rows])
            done += rows


@torch.inference_mode()
def _loop(network: Perceptron, vectors: torch.Tensor, passes: int) -> torch.Tensor:
    """One pass over all structures after the other, as a first implementation does it."""
    network.train()
    try:
        total = torch.zeros(len(vectors), network.shape.classes)
        entropy = torch.zeros(len(vectors))
        for _ in range(passes):
            p = torch.softmax(network(vectors), dim=1)
            total += p
            entropy -= torch.special.xlogy(p, p).sum(dim=1)
    finally:
        network.eval()
    mean = total / passes
    mutual_information: torch.Tensor = -torch.special.xlogy(mean, mean).sum(dim=1) - entropy / passes
    return mutual_information
