"""Radial functions for a range of scales at once, so that a box's length scale enters after the summing.

The functions of a pair of species are g_nl(r/d), d the box's own d_NN. For all d in a range they span, to a
tolerance, a space of few dimensions: sums over neighbours of its basis, once per atom, give every box its
coefficients at its own d by a small matrix that depends on d smoothly.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.descriptors.neighbors import Floats, Ints
from engine.descriptors.soap.radial import (
    QUIP_CUTOFF_WIDTH,
    Array,
    RadialFunctions,
    RadialTable,
    quip_functions,
    spline_coefficients,
)
from engine.descriptors.soap.settings import L_MAX, N_MAX, SoapSettings

MAX_RATIO = 1.25
"""Scales that share a span differ by at most this factor."""
TOLERANCE = 2e-3
"""Singular values below this share of the largest are left out."""
_NODES_PER_SIGMA = 1.25
_STEP = 0.002


class Span(NamedTuple):
    """A basis of the radial functions of scales `shortest` to `longest`, Å.

    Degree l has `ranks[l]` basis functions. `projection` holds their values at the nodes, (nodes, ranks[l])
    for one l after the other, flat.
    """

    shortest: float
    longest: float
    table: RadialTable
    """Nodes without radial functions, for lengths in units of `longest`."""
    ranks: Ints
    """(L_MAX + 1,)."""
    projection: Floats
    transforms: Floats
    """(samples, N_MAX · ranks.sum()): at sampled scales, for one degree after the other, the matrix (rank,
    N_MAX) that turns sums over the basis into coefficients."""

    def transform(self, lengths: Floats) -> NDArray[np.float32]:
        """Return the matrices at scales (n,), Å, flat: (n, N_MAX · ranks.sum())."""
        weights = _lagrange(self.shortest, self.longest, len(self.transforms), lengths)
        return np.asarray(weights @ self.transforms, np.float32)


def span(shortest: float, longest: float, settings: SoapSettings) -> Span:
    """Find a basis for scales, Å; the range is widened to few ones, for which it is kept."""
    steps = np.log([shortest, longest]) / np.log1p(_STEP)
    return _span(math.floor(steps[0] + 1e-9), math.ceil(steps[1] - 1e-9), settings)


@lru_cache(maxsize=64)
def _span(first: int, last: int, settings: SoapSettings) -> Span:
    """Find the basis for scales from (1 + step)^first to (1 + step)^last Å."""
    shortest, longest = (1.0 + _STEP) ** first, (1.0 + _STEP) ** max(last, first + 1)
    spacing = settings.sigma / _NODES_PER_SIGMA * shortest / longest
    scales = _chebyshev(shortest, longest, _samples(longest / shortest)) / longest
    family = np.stack([_coefficients(settings, scale, spacing) for scale in scales], axis=1)
    neighbors = np.maximum(np.arange(len(family)) * spacing, 1.0)
    bases, transforms = [], []
    for order in range(L_MAX + 1):
        functions = family[:, :, order]
        weighted = functions * neighbors[:, None, None]
        flat = weighted.reshape(len(family), -1)
        squares, directions = np.linalg.eigh(flat @ flat.T)
        kept = directions[:, squares > TOLERANCE**2 * squares[-1]]
        bases.append(kept / neighbors[:, None])
        transforms.append(np.einsum("ksn,kr->srn", weighted, kept).reshape(len(scales), -1))
    nodes = RadialTable(np.empty((L_MAX + 1, len(family), 1)), np.zeros(N_MAX), spacing, settings.cutoff, 0.0)
    return Span(
        shortest,
        longest,
        nodes,
        np.array([basis.shape[1] for basis in bases], np.int64),
        np.concatenate([basis.ravel() for basis in bases]).astype(np.float32),
        np.concatenate(transforms, axis=1).astype(np.float32),
    )


def _coefficients(settings: SoapSettings, scale: float, spacing: float) -> Array:
    """Spline coefficients (nodes, L_MAX + 1, N_MAX) of the functions at a scale in units of the longest."""
    functions: RadialFunctions = quip_functions(settings)

    def scaled(r: Array) -> Array:
        return functions(r / scale) * _cutoff(r / scale, settings.cutoff)[:, None, None]

    return spline_coefficients(scaled, spacing, settings.cutoff)


def _cutoff(r: Array, reach: float) -> Array:
    """1 below reach − 0.5, then falling as a cosine to 0 at the reach."""
    t = np.clip((np.abs(r) - reach) / QUIP_CUTOFF_WIDTH + 1.0, 0.0, 1.0)
    return np.asarray(0.5 * (np.cos(np.pi * t) + 1.0))


def _samples(ratio: float) -> int:
    """How many scales stand for all of a range whose ends have this ratio, to the tolerance."""
    return 8 + math.ceil(64.0 * (ratio - 1.0))


def _chebyshev(low: float, high: float, samples: int) -> Array:
    angles = np.pi * (np.arange(samples) + 0.5) / samples
    return np.asarray(low + (high - low) * 0.5 * (1.0 + np.cos(angles)), np.float64)


def _lagrange(low: float, high: float, samples: int, lengths: Floats) -> NDArray[np.float32]:
    """Weights (n, samples) of values at Chebyshev points, for the values at lengths (n,) between them.

    Barycentric: Berrut and Trefethen, SIAM Rev. 46, 501 (2004), section 5.
    """
    signs = (-1.0) ** np.arange(samples)
    barycentric = signs * np.sin(np.pi * (np.arange(samples) + 0.5) / samples)
    difference = lengths[:, None] - _chebyshev(low, high, samples)[None, :]
    exact = difference == 0.0
    weights = barycentric / np.where(exact, 1.0, difference)
    weights = np.where(exact.any(axis=1, keepdims=True), exact, weights)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
