"""Soft clustering: how probably a point belongs to each cluster, of those it was fitted to or a new one.

Reference: McInnes, Healy, Astels, JOSS 2, 205 (2017). The formulas are those of hdbscan's
``all_points_membership_vectors``, applied to new points as well.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.landscape.hierarchy import OUTLIER, Doubles, Hierarchy, Ints

Points = NDArray[np.floating]
KEPT = 3
"""Clusters that are kept of each point's memberships."""
_NUMBERS = 4_000_000
"""Numbers in one matrix of distances, which bounds the memory."""
_TINY = 1e-150
"""In place of a distance of zero."""


class Memberships(NamedTuple):
    """The most probable clusters (B, M) of B points with the probabilities (B, M), falling.

    ``own`` (B,) is the probability of the cluster that a point is in, of an outlier the highest.
    """

    clusters: NDArray[np.int32]
    probabilities: NDArray[np.float32]
    own: NDArray[np.float32]


class SoftClustering:
    """Memberships of points in the clusters of a hierarchy."""

    def __init__(self, hierarchy: Hierarchy, points: Points) -> None:
        """Take the exemplars of the clusters from ``points`` (N, k), which the hierarchy was found in."""
        self._hierarchy = hierarchy
        exemplars = [hierarchy.exemplars(cluster) for cluster in range(hierarchy.count)]
        self._starts = np.cumsum([0, *map(len, exemplars)])[:-1]
        self._exemplars = points[np.concatenate([np.empty(0, np.int64), *exemplars])].astype(np.float64)
        self._squares = (self._exemplars**2).sum(axis=1)

    def __call__(
        self, points: Points, branches: Ints, levels: Doubles, labels: NDArray[np.int32]
    ) -> Memberships:
        """Memberships of points (B, k) that leave branches (B,) at λ (B,) and are in clusters (B,), or -1.

        The points are treated a block at a time, so that few megabytes are needed beside the result.
        """
        kept = min(KEPT, self._hierarchy.count)
        found = Memberships(
            np.empty((len(points), kept), np.int32),
            np.empty((len(points), kept), np.float32),
            np.zeros(len(points), np.float32),
        )
        if kept == 0:
            return found
        rows = max(_NUMBERS // len(self._exemplars), 1)
        for start in range(0, len(points), rows):
            block = slice(start, start + rows)
            shares = self._shares(points[block].astype(np.float64), branches[block], levels[block])
            order = np.argsort(-shares, axis=1, kind="stable")[:, :kept]
            own = np.where(labels[block] == OUTLIER, order[:, 0], labels[block])
            found.clusters[block] = order
            found.probabilities[block] = np.take_along_axis(shares, order, axis=1)
            found.own[block] = np.take_along_axis(shares, own[:, None], axis=1)[:, 0]
        return found

    def _shares(self, points: Doubles, branches: Ints, levels: Doubles) -> Doubles:
        """Memberships (B, K): shares by distance and by density, times the probability of any cluster."""
        heights = self._hierarchy.merges[branches].astype(np.float64)
        heights = np.where(np.isinf(heights), levels[:, None], heights)
        peaks = self._hierarchy.peaks
        in_tree = np.exp(np.exp(-_ratio(peaks[branches][:, None], heights)))
        shares = in_tree / np.maximum(self._distances(points), _TINY)
        nearest = heights.argmax(axis=1)
        highest = np.take_along_axis(heights, nearest[:, None], axis=1)[:, 0]
        in_any = _ratio(highest, np.maximum(levels, peaks[self._hierarchy.chosen[nearest]]))
        return np.asarray(shares * (in_any / shares.sum(axis=1))[:, None])

    def _distances(self, points: Doubles) -> Doubles:
        """Distances (B, K) to the nearest exemplar of each cluster."""
        squares = (points**2).sum(axis=1)[:, None] + self._squares - 2.0 * (points @ self._exemplars.T)
        return np.sqrt(np.maximum(np.minimum.reduceat(squares, self._starts, axis=1), 0.0))


def _ratio(numerator: Doubles, denominator: Doubles) -> Doubles:
    """Quotient of two densities; of infinite ones, as equal points have, 1."""
    both = np.isinf(numerator) & np.isinf(denominator)
    quotient = np.divide(numerator, denominator, out=np.ones(both.shape), where=~both & (denominator > 0.0))
    return np.asarray(quotient)
