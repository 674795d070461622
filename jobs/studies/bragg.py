"""Where a crystal's Bragg peaks are on the detector, and how many maxima of an image fall on them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.descriptors.diffraction.settings import DISTANCE, MASK_RADII, PIXEL_SIZE, PIXELS, WAVELENGTH

if TYPE_CHECKING:
    from engine.descriptors.diffraction.standard_cell import StandardCell

Floats = NDArray[np.float64]

WAVENUMBER = 2.0 * math.pi / (WAVELENGTH * 1e10)
"""k, 1/Å; the mean nearest-neighbour distance of the diffracting crystal stands for 1 Å."""
CENTRE = (PIXELS - 1) / 2
"""Row and column of the beam."""
TOLERANCE = 1e-6
"""Structure factors per atom, and components of unit vectors, that are zero but for rounding."""
REACH = 3
"""Pixels to either side over which a maximum is one: the reach of a filter; Bragg peaks are farther apart."""


class BraggPeaks(NamedTuple):
    """P reflections inside the mask."""

    indices: NDArray[np.int64]
    """(P, 3), Miller indices h, k, l."""
    places: Floats
    """(P, 2), rows and columns on the detector, in pixels."""


def bragg_peaks(cell: StandardCell, d_nn: float) -> BraggPeaks:
    """The reflections inside the mask of an elemental crystal turned by 45° about its first axis.

    `d_nn` is the unit of length, Å. A reflection is a reciprocal lattice vector G perpendicular to the beam
    with Σ_j exp(−i G·x_j) ≠ 0; it stands at tan 2θ · distance from the beam, where |G| = 2 k sin θ.
    """
    from engine.descriptors.diffraction.pattern import rotation

    lattice = cell.lattice / d_nn
    longest = 2.0 * WAVENUMBER * math.sin(math.atan(MASK_RADII[1] * PIXEL_SIZE / DISTANCE) / 2.0)
    reach = np.floor(longest * np.linalg.norm(lattice, axis=1) / (2.0 * np.pi))
    indices = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), -1).reshape(-1, 3)
    indices = indices[indices.any(axis=1)]
    vectors = indices @ (2.0 * np.pi * np.linalg.inv(lattice).T) @ rotation(0, 45.0).T
    lengths = np.linalg.norm(vectors, axis=1)
    structure_factors = np.abs(np.exp(-2j * np.pi * indices @ cell.fractional.T).mean(axis=1))
    reflected = (np.abs(vectors[:, 2]) < TOLERANCE * lengths) & (structure_factors > TOLERANCE)
    radii = DISTANCE / PIXEL_SIZE * np.tan(2.0 * np.arcsin(np.minimum(lengths / (2.0 * WAVENUMBER), 0.5)))
    seen = reflected & (radii > MASK_RADII[0]) & (radii < MASK_RADII[1])
    directions = vectors[seen, 1::-1] / lengths[seen, None]
    return BraggPeaks(indices[seen].astype(np.int64), CENTRE + radii[seen, None] * directions)


def local_maxima(image: Floats, reach: int = REACH) -> Floats:
    """Places (m, 2) of the maxima of an image (64, 64) inside the mask, the highest first.

    A maximum is a positive pixel, or a plateau of equal ones, that no pixel within `reach` rows and columns
    exceeds.
    """
    from scipy.ndimage import center_of_mass, label, maximum, maximum_filter

    highest = (image == maximum_filter(image, 2 * reach + 1)) & (image > 0.0) & _lit()
    plateaus, count = label(highest, np.ones((3, 3)))
    numbers = np.arange(1, count + 1)
    places = np.array(center_of_mass(highest, plateaus, numbers)).reshape(-1, 2)
    heights = np.asarray(maximum(image, plateaus, numbers))
    highest_first: Floats = places[np.argsort(-heights, kind="stable")]
    return highest_first


def share_on_peaks(places: Floats, peaks: BraggPeaks, within: float) -> float:
    """Share of places (m, 2) that are at most `within` pixels from a Bragg peak."""
    distances = np.linalg.norm(places[:, None] - peaks.places, axis=2).min(axis=1)
    return float((distances <= within).mean())


def share_by_chance(peaks: BraggPeaks, within: float) -> float:
    """Share of the pixels inside the mask that are at most `within` pixels from a Bragg peak."""
    return share_on_peaks(np.argwhere(_lit()).astype(np.float64), peaks, within)


def _lit() -> NDArray[np.bool_]:
    from engine.descriptors.diffraction.detector import detector

    return detector(mask=True).lit
