"""Where the detector's pixels are, and what each sees of the reciprocal space of a crystal."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.descriptors.diffraction.settings import DISTANCE, MASK_RADII, PIXEL_SIZE, PIXELS, WAVELENGTH
from engine.descriptors.neighbors import Floats

ANGSTROM = 1e-10
HEAVIEST = 98
"""Californium: the last element of the Waasmaier–Kirfel tables."""


class Detector(NamedTuple):
    """P lit pixels, row by row."""

    lit: NDArray[np.bool_]
    """(64, 64), rows along y and columns along x; the others are dark."""
    q: Floats
    """(P, 3) 1/Å, the scattering vector, 2π/λ times the difference of the directions out and in."""
    solid_angle: Floats
    """(P,), in units of that of a pixel on the axis."""
    form_factors: NDArray[np.float32]
    """(99, P) electrons, by atomic number; the first row stands for no atom."""


@lru_cache(maxsize=2)
def detector(mask: bool) -> Detector:
    """The detector of Ziletti et al., Nat. Commun. 9, 2775 (2018), with or without its mask.

    64 × 64 pixels at 0.1 m; the beam, of wavelength 5 pm, runs along z and meets the detector in its
    centre, between the pixels. Solid angles fall with the cube of the cosine of the scattering angle.
    """
    places = (np.arange(PIXELS) - (PIXELS - 1) / 2) * PIXEL_SIZE
    y, x = np.meshgrid(places, places, indexing="ij")
    radius = np.hypot(x, y) / PIXEL_SIZE
    inner, outer = MASK_RADII if mask else (0.0, np.inf)
    lit = (radius > inner) & (radius < outer)
    out = np.stack([x[lit], y[lit], np.full(lit.sum(), DISTANCE)], axis=1)
    away = np.linalg.norm(out, axis=1)
    q = 2.0 * np.pi / WAVELENGTH * ANGSTROM * (out / away[:, None] - np.array([0.0, 0.0, 1.0]))
    return Detector(lit, q, (DISTANCE / away) ** 3, _form_factors(np.linalg.norm(q, axis=1)))


def _form_factors(q: Floats) -> NDArray[np.float32]:
    """Form factors f_a(q) (99, P) of the neutral atoms at |q| (P,), 1/Å.

    Source: D. Waasmaier, A. Kirfel, Acta Cryst. A 51, 416 (1995), as functions of sin θ/λ = |q|/4π.
    """
    import xraydb

    distinct, place = np.unique(np.round(q, 12), return_inverse=True)
    factors = np.zeros((HEAVIEST + 1, len(distinct)), np.float32)
    for number in range(1, HEAVIEST + 1):
        factors[number] = xraydb.f0(xraydb.atomic_symbol(number), distinct / (4.0 * np.pi))
    return factors[:, place]
