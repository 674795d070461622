"""The network's crystal templates, and whether their maxima are Bragg peaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jobs.studies.bragg import BraggPeaks, bragg_peaks, local_maxima, share_by_chance, share_on_peaks
from jobs.studies.crystals import diffracting, fingerprints, host, spread_elements

if TYPE_CHECKING:
    from engine.descriptors.diffraction import DiffractionSettings
    from models.convnet import ConvNet
    from models.response_maps import LayerResponse

Floats = NDArray[np.float64]

PATTERNS = 14
"""Elements whose patterns the maps are averaged over."""
WITHIN = (1.0, 1.5, 2.0)
"""Pixels between a maximum and a Bragg peak."""


class ClassResponse(NamedTuple):
    """What the network's layers see in a class of crystals."""

    label: str
    pattern: Floats
    """(64, 64), mean of the fingerprints that were shown."""
    peaks: BraggPeaks
    layers: list[LayerResponse]


class OnPeaks(NamedTuple):
    """What share is on Bragg peaks, of the highest local maxima: as many as the class has such peaks."""

    maxima: int
    """How many were counted."""
    shares: tuple[float, ...]
    """One for every distance of `WITHIN`."""


def class_response(network: ConvNet, settings: DiffractionSettings, label: str) -> ClassResponse:
    """Show the network pristine crystals of a class, each of another element."""
    import torch

    from models.response_maps import response_maps

    crystals = [diffracting(host(label, symbol)) for symbol in spread_elements(PATTERNS)]
    vectors = torch.from_numpy(fingerprints(crystals, settings))
    layers = response_maps(network, vectors)
    pattern = network.images(vectors).double().mean(dim=0)[0].numpy()
    return ClassResponse(label, pattern, peaks_of(label), layers)


def peaks_of(label: str) -> BraggPeaks:
    """Bragg peaks of a class inside the mask."""
    from models.training.cubic_defects import standard_cell_of

    crystal = host(label, "Cu")
    return bragg_peaks(standard_cell_of(crystal), diffracting(crystal).d_nn)


def template(response: LayerResponse) -> Floats:
    """The template of a layer (64, 64), of a network of one channel."""
    image: Floats = response.template[0].double().numpy()
    return image


def on_peaks(image: Floats, peaks: BraggPeaks) -> OnPeaks:
    """Count the highest maxima of an image (64, 64) that are on Bragg peaks."""
    highest = local_maxima(image)[: len(peaks.places)]
    return OnPeaks(len(highest), tuple(share_on_peaks(highest, peaks, distance) for distance in WITHIN))


def by_chance(peaks: BraggPeaks) -> tuple[float, ...]:
    """The shares that pixels drawn at random would have."""
    return tuple(share_by_chance(peaks, distance) for distance in WITHIN)


def untrained(network: ConvNet, seeds: Sequence[int]) -> list[ConvNet]:
    """Networks of the same shape with the weights that training begins with."""
    import torch

    networks = []
    for seed in seeds:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            networks.append(type(network)(network.shape).requires_grad_(False).eval())
    return networks
