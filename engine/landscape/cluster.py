"""HDBSCAN with soft clustering: groups of any shape and density, and outliers.

References: McInnes, Healy, Astels, JOSS 2, 205 (2017); Leitherer et al., Nat. Commun. 12, 6234 (2021), for
the rule for outliers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.errors import CrysiftError
from engine.landscape.backend import EXACT_ON_GPU, Backend, optional_module
from engine.landscape.hierarchy import OUTLIER, Hierarchy, outlier_scores
from engine.landscape.memberships import Memberships, Points, SoftClustering
from engine.landscape.memory import check_memory, clustering_bytes, memberships_bytes


@dataclass(frozen=True)
class ClusterSettings:
    """What determines a clustering, besides the vectors."""

    min_cluster_size: int = 10
    """A smaller group of vectors is no cluster."""
    min_samples: int | None = None
    """The neighbours that count for the density around a vector; None: as many as the smallest cluster."""
    assign_from: float = 0.10
    """An outlier joins its most probable cluster where that probability is at least this; 1 assigns none."""
    selection: Literal["eom", "leaf"] = "eom"
    """eom: the clusters that persist longest; leaf: the finest ones of the hierarchy."""
    single: bool = False
    """Whether all vectors may form one cluster."""
    resolution: float = 0.1
    """Share of the median distance below which distances count as equal in memberships and outlier scores."""

    def __post_init__(self) -> None:
        """Raise CrysiftError for settings out of range."""
        if self.min_cluster_size < 2:
            raise CrysiftError(
                f"the smallest cluster has {self.min_cluster_size} members: ask for at least 2"
            )
        if self.min_samples is not None and self.min_samples < 1:
            raise CrysiftError(f"the neighbours of the density are {self.min_samples}: ask for at least 1")
        if not 0.0 <= self.assign_from <= 1.0:
            raise CrysiftError(
                f"the membership {self.assign_from:g} to assign outliers from is not in [0, 1]"
            )
        if not 0.0 <= self.resolution <= 1.0:
            raise CrysiftError(f"the share {self.resolution:g} of the median distance is not in [0, 1]")

    @property
    def neighbors(self) -> int:
        """The neighbours that count for the density around a vector."""
        return self.min_cluster_size if self.min_samples is None else self.min_samples

    def as_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Clustering:
    """The clusters of N points, numbered from 0 by falling size.

    ``labels`` (N,) are -1 for outliers; ``core`` (N,) are those of HDBSCAN, before outliers were assigned;
    ``memberships`` are the probabilities of soft clustering, whose sum is at most 1; ``outlier_scores`` (N,)
    is GLOSH, 0 in the densest part of a cluster and near 1 far from all of them.
    """

    labels: NDArray[np.int32]
    core: NDArray[np.int32]
    memberships: Memberships
    outlier_scores: NDArray[np.float32]

    @property
    def assigned(self) -> NDArray[np.bool_]:
        """Outliers (N,) of HDBSCAN that soft clustering assigned."""
        return np.asarray((self.core == OUTLIER) & (self.labels != OUTLIER))

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Membership (N,) of each point in its cluster; of an outlier, in the most probable one."""
        return self.memberships.own


def cluster(
    points: Points, settings: ClusterSettings, backend: Backend = "cpu"
) -> tuple[Clustering, Hierarchy]:
    """Cluster points (N, k) by their density; without random numbers.

    On the CPU the time grows as N² for many coordinates and less for few; the memory is
    `engine.landscape.memory.clustering_bytes`. The clusters of the hierarchy are numbered as in the
    clustering. Raises CrysiftError for too few points, for numbers that are not finite, and where memory or
    a package is missing.
    """
    needed = max(settings.min_cluster_size, settings.neighbors + 1)
    if len(points) < needed:
        raise CrysiftError(
            f"{len(points)} vectors are too few to cluster: {needed} are needed with a smallest cluster of "
            f"{settings.min_cluster_size} and {settings.neighbors} neighbours; ask for smaller clusters, or "
            "give more vectors"
        )
    if not np.isfinite(points).all():
        raise CrysiftError("the vectors hold numbers that are not finite: leave out the rows that have none")
    if backend != "cuml":
        check_memory("clustering", len(points), clustering_bytes(*points.shape))
    tree, core = (_on_gpu if backend == "cuml" else _on_cpu)(points, settings)
    hierarchy = Hierarchy.of(tree, core, settings.resolution)
    check_memory("soft clustering of", len(points), memberships_bytes(hierarchy))
    memberships = SoftClustering(hierarchy, points)(points, hierarchy.branches, hierarchy.levels, core)
    scores = outlier_scores(hierarchy, hierarchy.branches, hierarchy.levels)
    found = assign_outliers(Clustering(core, core, memberships, scores), settings.assign_from)
    order = _by_size(found.labels, hierarchy.count)
    return _renumbered(found, order), replace(hierarchy, chosen=hierarchy.chosen[order])


def assign_outliers(clustering: Clustering, assign_from: float) -> Clustering:
    """Give each outlier of HDBSCAN to its most probable cluster, if its membership there is enough.

    The rule of Leitherer et al. 2021 (Methods): a membership of ``assign_from``, there 0.1, is enough.
    """
    labels, (clusters, _, own) = clustering.core.copy(), clustering.memberships
    if clusters.shape[1]:
        joins = (labels == OUTLIER) & (own >= assign_from)
        labels[joins] = clusters[joins, 0]
    return replace(clustering, labels=labels)


Fitted = tuple[NDArray[Any], NDArray[np.int32]]
"""The condensed tree and the labels (N,)."""


def _on_cpu(points: Points, settings: ClusterSettings) -> Fitted:
    hdbscan = optional_module("hdbscan")
    clusterer = hdbscan.HDBSCAN(**hdbscan_arguments(settings), core_dist_n_jobs=1, approx_min_span_tree=False)
    clusterer.fit(points.astype(np.float64))
    return clusterer.condensed_tree_.to_numpy(), clusterer.labels_.astype(np.int32)


def _on_gpu(points: Points, settings: ClusterSettings) -> Fitted:
    """CuML's HDBSCAN, in the interface of RAPIDS 26.08 (docs.nvidia.com/cuml); not yet run on a GPU."""
    optional_module("hdbscan")  # which cuML's condensed tree is an object of
    clusterer = optional_module("cuml.cluster.hdbscan").HDBSCAN(**cuml_arguments(settings, len(points)))
    clusterer.fit(points.astype(np.float32))
    return clusterer.condensed_tree_.to_numpy(), np.asarray(clusterer.labels_).astype(np.int32)


def hdbscan_arguments(settings: ClusterSettings) -> dict[str, Any]:
    """Arguments that hdbscan and cuML have in common."""
    return {
        "min_cluster_size": settings.min_cluster_size,
        "min_samples": settings.neighbors,
        "cluster_selection_method": settings.selection,
        "allow_single_cluster": settings.single,
    }


def cuml_arguments(settings: ClusterSettings, points: int) -> dict[str, Any]:
    """Arguments of cuML's HDBSCAN for so many points; above `EXACT_ON_GPU` its neighbours are approximate."""
    algorithm = "brute_force" if points <= EXACT_ON_GPU else "nn_descent"
    return {**hdbscan_arguments(settings), "build_algo": algorithm, "output_type": "numpy"}


def _by_size(labels: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Clusters (count,) by falling size, equal ones by their first member."""
    members = np.flatnonzero(labels != OUTLIER)
    first = np.full(count, len(labels))
    np.minimum.at(first, labels[members], members)
    return np.lexsort((first, -np.bincount(labels[members], minlength=count)))


def _renumbered(found: Clustering, order: NDArray[np.int64]) -> Clustering:
    """Number the cluster ``order[i]`` as i."""
    rank = np.full(len(order) + 1, OUTLIER, np.int32)
    rank[order] = np.arange(len(order))
    memberships = found.memberships._replace(clusters=rank[found.memberships.clusters])
    return Clustering(rank[found.labels], rank[found.core], memberships, found.outlier_scores)
