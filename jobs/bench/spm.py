"""Strided pattern matching: shared sums, boxes cut out, and peers box by box, on a part of a superalloy."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from engine.descriptors.soap import SoapResult, SoapSettings
from engine.spm import Frame, Grid, GridSettings, blocks
from engine.spm.atoms import Region
from engine.spm.exact import cut, exact_vectors
from engine.spm.shared import halo, shared_vectors
from jobs.bench import quippy_soap
from jobs.bench.report import BenchmarkReport, Figure
from jobs.bench.structures import Sample
from jobs.bench.timing import alternating_medians
from jobs.studies.atomistic.defects import with_defects
from jobs.studies.atomistic.superalloy import superalloy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from engine.descriptors.features import Failure
    from engine.spm.exact import BoxVectors
    from jobs.bench import BenchmarkSettings
    from models.dropout import Uncertainty

SHARED_AGAINST_EXACT = 30.0
EXACT_AGAINST_QUIPPY = 150.0
EXACT_AGAINST_DSCRIBE = 5.0
SETTINGS = GridSettings(stride=(3.0, 3.0, 3.0), box=16.0)
QUIP, DSCRIBE = SoapSettings(), SoapSettings(basis="gto", backend="dscribe")
PASSES = 200
SURE = 0.1
"""Nats: mutual information below which a network is sure of a class."""


class Volume(NamedTuple):
    """Boxes (n, 3), and the atoms that they and their neighbours need."""

    region: Region
    grid: Grid
    indices: NDArray[np.int32]
    inside: NDArray[np.bool_]
    """(n,), whether a box lies in the structure as a whole."""

    def drawn(self, count: int, seed: int) -> Volume:
        """Some of the boxes, at random."""
        rows = np.random.default_rng(seed).permutation(len(self.indices))[:count]
        return self._replace(indices=self.indices[rows], inside=self.inside[rows])


def run(settings: BenchmarkSettings) -> BenchmarkReport:
    """Measure one thread on the model superalloy, pristine and with defects."""
    edge = 60.0 if settings.quick else 120.0
    pristine = superalloy(edge, 0.5 * edge, seed=settings.seed)
    distorted = with_defects(pristine, vacancies=0.2, displacement=0.05, seed=settings.seed)
    figures, remarks = [], []
    for name, frame in (("superalloy", pristine.frame), ("with defects", distorted.frame)):
        whole, block = _volumes(frame)
        with threadpool_limits(1):
            figures += _speeds(name, whole, block, settings)
        figures += _agreement(name, whole, 100 if settings.quick else 1000, settings.seed)
        remarks.append(
            f"{name}: {len(frame):,} atoms, {len(whole.indices):,} boxes of {SETTINGS.box:g} Å, one every "
            f"{SETTINGS.stride[0]:g} Å; a block of a run has {len(block.indices):,} boxes"
        )
    remarks.append("one thread, d_NN included, medians; boxes cut out and peers: random boxes of the model")
    if not quippy_soap.is_installed():
        remarks.append("quippy is not installed (quippy-ase; its SOAP is not free for commercial use)")
    return BenchmarkReport("spm", tuple(figures), tuple(remarks))


def _volumes(frame: Frame) -> tuple[Volume, Volume]:
    """Return all boxes, and the block with the most boxes that a run in the shared mode would cut."""
    grid = Grid.over(frame.positions.min(axis=0), frame.positions.max(axis=0), SETTINGS)
    indices = max((block.indices() for block in blocks(grid, frame, "shared")), key=len)
    low, high = grid.extent(indices)
    reach = halo(grid)
    near = np.asarray(((frame.positions >= low - reach) & (frame.positions < high + reach)).all(axis=1))
    everything = np.ones(len(frame), np.bool_)
    return _volume(frame, everything, grid, grid.indices()), _volume(frame, near, grid, indices)


def _volume(frame: Frame, near: NDArray[np.bool_], grid: Grid, indices: NDArray[np.int32]) -> Volume:
    region = Region(frame.positions[near], frame.species[near].astype(np.int64), np.flatnonzero(near))
    lows, limits = grid.lows(indices), (frame.positions.min(axis=0), frame.positions.max(axis=0))
    inside = ((lows >= limits[0]) & (lows + np.array(grid.size) <= limits[1])).all(axis=1)
    return Volume(region, grid, indices, np.asarray(inside))


def _speeds(name: str, whole: Volume, block: Volume, settings: BenchmarkSettings) -> list[Figure]:
    cut_out = whole.drawn(60 if settings.quick else 200, settings.seed)
    few = whole.drawn(8 if settings.quick else 20, settings.seed)
    ways: dict[str, Callable[[], object]] = {
        "shared": partial(_shared, whole),
        "in blocks": partial(_shared, block),
        "exact": partial(_exact, cut_out),
        "exact, few": partial(_exact, few),
        "DScribe": partial(_exact, few, DSCRIBE),
    }
    if quippy_soap.is_installed():
        ways["quippy"] = partial(_quippy, few)
    seconds = alternating_medians(ways, 2 if settings.quick else 5)
    shared, exact = seconds["shared"] / len(whole.indices), seconds["exact"] / len(cut_out.indices)
    in_blocks = seconds["in blocks"] / len(block.indices)
    figures = [
        Figure(f"{name}: shared sums, all boxes at once", 1.0 / shared, "boxes/s"),
        Figure(f"{name}: shared sums, a block of a run", 1.0 / in_blocks, "boxes/s"),
        Figure(f"{name}: boxes cut out (exact)", 1.0 / exact, "boxes/s"),
        Figure(f"{name}: loop of DScribe", len(few.indices) / seconds["DScribe"], "boxes/s"),
        Figure(
            f"{name}: exact / shared, all at once", exact / shared, "times", at_least=SHARED_AGAINST_EXACT
        ),
        Figure(f"{name}: exact / shared, a block", exact / in_blocks, "times"),
        _against(name, "DScribe", seconds, EXACT_AGAINST_DSCRIBE),
    ]
    if "quippy" in seconds:
        figures.append(Figure(f"{name}: loop of quippy", len(few.indices) / seconds["quippy"], "boxes/s"))
        figures.append(_against(name, "quippy", seconds, EXACT_AGAINST_QUIPPY))
    return figures


def _against(name: str, peer: str, seconds: dict[str, float], goal: float) -> Figure:
    return Figure(f"{name}: {peer} / exact", seconds[peer] / seconds["exact, few"], "times", at_least=goal)


def _shared(volume: Volume) -> BoxVectors:
    return shared_vectors(volume.region, volume.grid, volume.indices, QUIP, SETTINGS.min_atoms)


def _exact(volume: Volume, soap: SoapSettings = QUIP) -> BoxVectors:
    return exact_vectors(volume.region, volume.grid, volume.indices, soap, SETTINGS.min_atoms)


def _quippy(volume: Volume) -> None:
    region = volume.region
    for rows in cut(region, volume.grid, volume.indices):
        if len(rows) >= SETTINGS.min_atoms:
            box = Sample(
                region.positions[rows], region.species[rows], np.zeros((3, 3)), np.zeros(3, np.bool_)
            )
            quippy_soap.quippy_vector(box, QUIP)


def _agreement(name: str, volume: Volume, count: int, seed: int) -> list[Figure]:
    """Compare what the network says of boxes by shared sums and of the same boxes cut out."""
    shared, classify = _shared(volume), _classifier()
    figures = []
    for place, of_place in (("inside", volume.inside), ("at the surface", ~volume.inside)):
        usable = [isinstance(result, SoapResult) for result in shared.results]
        rows = np.random.default_rng(seed).permutation(np.flatnonzero(of_place & np.array(usable)))[:count]
        ours = classify([shared.results[row] for row in rows])
        theirs = classify(_exact(volume._replace(indices=volume.indices[rows])).results)
        same = ours.probabilities.argmax(axis=1) == theirs.probabilities.argmax(axis=1)
        sure = theirs.mutual_information < SURE
        change = np.abs(ours.probabilities - theirs.probabilities).max(axis=1)
        information = np.abs(ours.mutual_information - theirs.mutual_information)
        figures += [
            Figure(f"{name}, {place}: same class as exact", 100 * same.mean(), "%"),
            Figure(f"{name}, {place}: same class where exact is sure", 100 * same[sure].mean(), "%"),
            Figure(f"{name}, {place}: mean largest change of a probability", float(change.mean()), ""),
            Figure(f"{name}, {place}: mean change of mutual information", float(information.mean()), "nat"),
        ]
    return figures


def _classifier() -> Callable[[Sequence[SoapResult | Failure]], Uncertainty]:
    """Return the shipped network's inference on boxes that have vectors."""
    import torch

    from models.inference import Inference
    from models.stage import PredictArise
    from models.weights_file import load_model

    inference = Inference.of(load_model(PredictArise.weights), PASSES, seed=0)

    def classify(results: Sequence[SoapResult | Failure]) -> Uncertainty:
        vectors = np.array([result.vector for result in results if isinstance(result, SoapResult)])
        return inference(torch.from_numpy(vectors)).uncertainty

    return classify
