"""What follows from the smallest cluster size: how many clusters, how stable, how many outliers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from engine.errors import CrysiftError
from engine.landscape.backend import optional_module
from engine.landscape.cluster import ClusterSettings, hdbscan_arguments
from engine.landscape.hierarchy import OUTLIER, Hierarchy
from engine.landscape.memberships import SoftClustering
from engine.landscape.memory import check_memory, clustering_bytes
from engine.landscape.quality import adjusted_rand_index, drawn_rows
from engine.schema import MAP_SWEEP

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Points = NDArray[np.floating]
    Labels = NDArray[np.int32]

SIZES = (25, 50, 100, 200, 300, 500, 1000)


@dataclass(frozen=True)
class SweepSettings:
    """What determines a sweep, besides the points."""

    sizes: tuple[int, ...] = SIZES
    """Smallest cluster sizes; those of more than half of the points are left out."""
    neighbors: int = 10
    """Neighbours that count for the density around a point; the same for all sizes."""
    selection: Literal["eom", "leaf"] = "eom"
    assign_from: float = 0.10
    """Probability from which soft clustering assigns an outlier."""
    resamples: int = 10
    """Random halves of the points that stability is judged by."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise CrysiftError for settings out of range."""
        if not self.sizes:
            raise CrysiftError("a sweep over no cluster sizes: name at least one")
        if self.resamples < 1:
            raise CrysiftError(f"stability from {self.resamples} random halves: ask for at least 1")
        for size in self.sizes:
            self.clustering(size)

    def clustering(self, size: int, share: float = 1.0) -> ClusterSettings:
        """Return the settings for one size; in a share of the points, a cluster has that share of members."""
        return ClusterSettings(
            max(round(share * size), 2) if share < 1.0 else size,
            max(round(share * self.neighbors), 1) if share < 1.0 else self.neighbors,
            self.assign_from,
            self.selection,
        )


def sweep(
    points: Points, settings: SweepSettings, tell: Callable[[int, int], None] | None = None
) -> pa.Table:
    """Cluster points (N, k) with every smallest cluster size, and random halves of them: MAP_SWEEP.

    The hierarchy of all points, and of each half, is found once and cut for each size. ``outlier_fraction``
    are the outliers of HDBSCAN, ``assigned_fraction`` those that soft clustering would give to a cluster.
    ``stability`` compares the clusters of all points with those of halves, drawn without replacement since
    copies of points would have an infinite density; it is the adjusted Rand index on the half, outliers being
    one group. A half is clustered with half the smallest size and half the neighbours, so that clusters of
    the same share of the points, at the same smoothing of the density, are compared. ``persistence`` is the
    mean over the clusters of the mean over their members of 1 − d / d₀, where d is the distance at which a
    member is linked, d₀ that at which the cluster is. ``tell`` gets how many hierarchies are done, and of how
    many. Runs on the CPU, on one core. Raises CrysiftError where no size fits and where memory is short.
    """
    import pyarrow as pa

    sizes = sorted({size for size in settings.sizes if 2 * size <= len(points)})
    if not sizes or 2 * settings.neighbors + 2 > len(points):
        raise CrysiftError(
            f"{len(points)} structures are too few for clusters of at least {min(settings.sizes)} and "
            f"{settings.neighbors} neighbours: twice as many are needed; ask for smaller sizes"
        )
    check_memory("clustering", len(points), clustering_bytes(*points.shape))
    report = tell or (lambda _done, _total: None)
    found = [
        _judged(points, clusterer, settings.clustering(max(sizes)))
        for clusterer in _fitted(points, settings, sizes, 1.0)
    ]
    report(1, settings.resamples + 1)
    indices: list[list[float]] = [[] for _ in sizes]
    for resample in range(settings.resamples):
        rows = drawn_rows(len(points), len(points) // 2, settings.seed + resample)
        halves = _fitted(points[rows], settings, sizes, 0.5)
        for half, whole, values in zip(halves, found, indices, strict=True):
            values.append(adjusted_rand_index(whole.labels[rows], half.labels_))
        report(resample + 2, settings.resamples + 1)
    rows_of_table = [
        {"min_cluster_size": size} | whole.row | _stability(whole, values)
        for size, whole, values in zip(sizes, found, indices, strict=True)
    ]
    return pa.Table.from_pylist(rows_of_table, schema=MAP_SWEEP)


class _Judged(NamedTuple):
    labels: Labels
    row: dict[str, Any]


def _fitted(points: Points, settings: SweepSettings, sizes: Sequence[int], share: float) -> Iterator[Any]:
    """Cluster with each size; hdbscan keeps the hierarchy, which does not depend on it, in a folder."""
    hdbscan = optional_module("hdbscan")
    exact = points.astype(np.float64)
    with tempfile.TemporaryDirectory(prefix="crysift-sweep-") as folder:
        for size in sizes:
            arguments = hdbscan_arguments(settings.clustering(size, share))
            yield hdbscan.HDBSCAN(
                **arguments, core_dist_n_jobs=1, approx_min_span_tree=False, memory=folder
            ).fit(exact)


def _judged(points: Points, clusterer: Any, settings: ClusterSettings) -> _Judged:
    """Count, and see how firmly the members hold together."""
    labels = clusterer.labels_.astype(np.int32)
    hierarchy = Hierarchy.of(clusterer.condensed_tree_.to_numpy(), labels, settings.resolution)
    soft = SoftClustering(hierarchy, points)(points, hierarchy.branches, hierarchy.levels, labels)
    outlier, any_found = labels == OUTLIER, hierarchy.count > 0
    return _Judged(
        labels,
        {
            "clusters": hierarchy.count,
            "outlier_fraction": float(outlier.mean()),
            "assigned_fraction": float((outlier & (soft.own >= settings.assign_from)).mean())
            if any_found
            else 0.0,
            "largest": int(np.bincount(labels[~outlier], minlength=1).max()),
            "persistence": persistence(hierarchy, labels) if any_found else None,
        },
    )


def persistence(hierarchy: Hierarchy, labels: Labels) -> float:
    """Mean over the clusters of the mean over their members of 1 − λ₀ / λ; see `sweep`.

    Other than the persistence of hdbscan 0.8, which is 1 for every cluster with equal points, this one is of
    use where there are some.
    """
    member = np.flatnonzero(labels != OUTLIER)
    births = hierarchy.births[hierarchy.chosen][labels[member]]
    levels = hierarchy.levels[member]
    held = 1.0 - np.divide(births, levels, out=np.ones_like(levels), where=levels > 0.0)
    sizes = np.bincount(labels[member], minlength=hierarchy.count)
    return float((np.bincount(labels[member], held, hierarchy.count) / sizes).mean())


def _stability(judged: _Judged, indices: Sequence[float]) -> dict[str, float | None]:
    """Mean and range; None where there are no clusters that could be stable."""
    known = judged.row["clusters"] > 0
    return {
        "stability": float(np.mean(indices)) if known else None,
        "stability_low": min(indices) if known else None,
        "stability_high": max(indices) if known else None,
    }
