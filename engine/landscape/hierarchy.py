"""The hierarchy that HDBSCAN finds, as arrays that can be stored, and questions to it.

Densities are inverse distances, λ; a point, or a whole branch, leaves its branch at some λ. References:
Campello, Moulavi, Zimek, Sander, ACM TKDD 10, 5 (2015), for the hierarchy and the outlier score; McInnes,
Healy, Astels, JOSS 2, 205 (2017), for soft clustering.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

OUTLIER = -1
Ints = NDArray[np.int64]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """The condensed tree of N points, with C branches of which K are chosen as clusters.

    ``branches`` (N,) is the branch that each point leaves, ``levels`` (N,) the λ at which it does. ``above``
    (C,) is the branch that a branch grew from, smaller than its own number, -1 for the root; ``births`` (C,)
    the λ at which it did. ``chosen`` (K,) are the branches that are clusters.
    """

    branches: Ints
    levels: Doubles
    above: Ints
    births: Doubles
    chosen: Ints

    @classmethod
    def of(cls, tree: NDArray[Any], labels: NDArray[np.integer], resolution: float = 0.0) -> Hierarchy:
        """Make it of a condensed tree with the fields parent, child, lambda_val, and the points' labels (N,).

        In the tree, as hdbscan and cuML give it, points count from 0 and branches from N. Distances below
        ``resolution``, a share of the median one, count as so large: between copies of one point the density
        is infinite, or a matter of rounding, and beside it no other would count.
        """
        n_points = len(labels)
        parents, children = tree["parent"].astype(np.int64), tree["child"].astype(np.int64)
        levels = tree["lambda_val"].astype(np.float64)
        least = resolution * float(np.median(1.0 / levels[children < n_points]))
        if least > 0.0:
            levels = np.minimum(levels, 1.0 / least)
        count = int(parents.max()) - n_points + 1
        leaves = children < n_points
        branches, left = np.zeros(n_points, np.int64), np.zeros(n_points)
        branches[children[leaves]] = parents[leaves] - n_points
        left[children[leaves]] = levels[leaves]
        above, births = np.full(count, -1, np.int64), np.zeros(count)
        above[children[~leaves] - n_points] = parents[~leaves] - n_points
        births[children[~leaves] - n_points] = levels[~leaves]
        found = int(labels.max(initial=OUTLIER)) + 1
        chosen = [_common_branch(branches[labels == label], above) for label in range(found)]
        return cls(branches, left, above, births, np.array(chosen, np.int64))

    @property
    def size(self) -> int:
        """Number of points."""
        return len(self.branches)

    @property
    def count(self) -> int:
        """Number of clusters."""
        return len(self.chosen)

    @cached_property
    def peaks(self) -> Doubles:
        """Highest λ (C,) at which a point, or a branch, leaves each branch."""
        peaks = np.zeros(len(self.above))
        np.maximum.at(peaks, self.branches, self.levels)
        np.maximum.at(peaks, self.above[1:], self.births[1:])
        return peaks

    @cached_property
    def tops(self) -> Doubles:
        """Highest λ (C,) at which a point leaves each branch, or one that grew from it."""
        tops = self.peaks.copy()
        for branch in range(len(tops) - 1, 0, -1):
            tops[self.above[branch]] = max(tops[self.above[branch]], tops[branch])
        return tops

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """Cluster (C,) that each branch belongs to; -1 for those below which clusters separate."""
        labels = np.full(len(self.above), OUTLIER, np.int32)
        labels[self.chosen] = np.arange(self.count)
        for branch in range(1, len(labels)):
            if labels[branch] == OUTLIER:
                labels[branch] = labels[self.above[branch]]
        return labels

    @cached_property
    def merges(self) -> NDArray[np.float32]:
        """λ (C, K) at which each branch and each cluster part; infinite where one grew from the other."""
        leads = self._leads_to_clusters()
        merges = np.full((len(self.above), self.count), np.inf, np.float32)
        for branch in range(1, len(self.above)):
            above = self.above[branch]
            row = np.where(leads[above], np.float32(self.births[branch]), merges[above])
            row[leads[branch]] = np.inf
            if self.labels[branch] != OUTLIER:
                row[self.labels[branch]] = np.inf
            merges[branch] = row
        return merges

    def _leads_to_clusters(self) -> NDArray[np.bool_]:
        """Mark the clusters (C, K) that are, or grew from, each branch."""
        leads = np.zeros((len(self.above), self.count), bool)
        leads[self.chosen, np.arange(self.count)] = True
        for branch in range(len(self.above) - 1, 0, -1):
            leads[self.above[branch]] |= leads[branch]
        return leads

    def exemplars(self, cluster: int) -> Ints:
        """Points that persist longest in the leaves of a cluster's branch, which stand for it."""
        inside = np.flatnonzero(self.labels == cluster)
        leaves = inside[~np.isin(inside, self.above)]
        persists = np.isin(self.branches, leaves) & (self.levels == self.peaks[self.branches])
        return np.flatnonzero(persists)


def outlier_scores(hierarchy: Hierarchy, branches: Ints, levels: Doubles) -> NDArray[np.float32]:
    """GLOSH of points that leave branches (B,) at λ (B,): 0 in the densest part, near 1 far from all.

    It is 1 − λ / λ_max, where λ_max is the highest density at which a point of the branch, or of one that
    grew from it, leaves (Campello et al. 2015).
    """
    top = hierarchy.tops[branches]
    shares = np.divide(levels, top, out=np.ones_like(levels), where=np.isfinite(top) & (top > 0.0))
    scores = np.where(np.isinf(top) & np.isfinite(levels), 1.0, 1.0 - shares)
    return np.clip(scores, 0.0, 1.0).astype(np.float32)


def _common_branch(branches: Ints, above: Ints) -> int:
    """Return the deepest branch that all of these grew from, or are; branches are numbered from the root."""
    left: set[int] = set(np.unique(branches).tolist())
    while len(left) > 1:
        deepest = max(left)
        left.remove(deepest)
        left.add(int(above[deepest]))
    return left.pop()
