"""HDBSCAN with soft clustering: groups of any shape and density, and outliers.

References: Campello, Moulavi, Zimek, Sander, ACM TKDD 10, 5 (2015), for the hierarchy and the outlier score;
McInnes, Healy, Astels, JOSS 2, 205 (2017), for soft clustering; Leitherer et al., Nat. Commun. 12, 6234
(2021), for the rule for outliers.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.errors import CrysiftError
from engine.landscape.backend import backend_of, optional_module
from engine.landscape.components import Floats, Vectors, principal_components
from engine.landscape.memory import check_memory, clustering_bytes
from engine.stage import Device

OUTLIER = -1


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
    variance: float = 0.95
    """Share of the vectors' variance in the principal components that distances are taken in."""

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

    @property
    def neighbors(self) -> int:
        """The neighbours that count for the density around a vector, the vector among them."""
        return self.min_cluster_size if self.min_samples is None else self.min_samples

    def as_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Clustering:
    """The clusters of N vectors, numbered from 0 by falling size.

    ``labels`` (N,) are -1 for outliers; ``core`` (N,) are those of HDBSCAN, before outliers were assigned;
    ``memberships`` (N, K) the probabilities of soft clustering, whose sum is at most 1; ``outlier_scores``
    (N,) is GLOSH, 0 in the densest part of a cluster and near 1 far from all of them.
    """

    labels: NDArray[np.int32]
    core: NDArray[np.int32]
    memberships: NDArray[np.float32]
    outlier_scores: NDArray[np.float32]

    @property
    def count(self) -> int:
        """Number of clusters."""
        return int(self.memberships.shape[1])

    @property
    def assigned(self) -> NDArray[np.bool_]:
        """Outliers (N,) of HDBSCAN that soft clustering assigned."""
        return np.asarray((self.core == OUTLIER) & (self.labels != OUTLIER))

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Membership (N,) of each vector in its cluster; of an outlier, in the most probable one."""
        if self.count == 0:
            return np.zeros(len(self.labels), np.float32)
        place = np.where(self.labels == OUTLIER, self.memberships.argmax(axis=1), self.labels)
        return np.take_along_axis(self.memberships, place[:, None], axis=1)[:, 0]


def cluster(vectors: Vectors, settings: ClusterSettings, device: Device = "auto") -> Clustering:
    """Cluster vectors (N, width) by the density of their principal components; without random numbers.

    On the CPU the time grows as N² in many components and less in few; the memory is
    `engine.landscape.memory.clustering_bytes`. Raises CrysiftError for too few vectors, for numbers that are
    not finite, and where memory or a package is missing.
    """
    needed = max(settings.min_cluster_size, settings.neighbors + 1)
    if len(vectors) < needed:
        raise CrysiftError(
            f"{len(vectors)} vectors are too few to cluster: {needed} are needed with a smallest cluster of "
            f"{settings.min_cluster_size} and {settings.neighbors} neighbours; ask for smaller clusters or "
            "a smaller stride"
        )
    points = principal_components(vectors, settings.variance)
    fitted = _on_gpu if backend_of(device) == "cuml" else _on_cpu
    core, memberships, tree = fitted(points, settings)
    scores = outlier_scores(tree, len(points))
    found = Clustering(core, core, _sound(memberships, core, scores), scores)
    return _by_size(assign_outliers(found, settings.assign_from))


def assign_outliers(clustering: Clustering, assign_from: float) -> Clustering:
    """Give each outlier of HDBSCAN to its most probable cluster, if its membership there is enough.

    The rule of Leitherer et al. 2021 (Methods): a membership of ``assign_from``, there 0.1, is enough.
    """
    core, memberships = clustering.core, clustering.memberships
    labels = core.copy()
    if clustering.count:
        best = memberships.argmax(axis=1)
        joins = (core == OUTLIER) & (memberships.max(axis=1) >= assign_from)
        labels[joins] = best[joins]
    return Clustering(labels, core, memberships, clustering.outlier_scores)


def outlier_scores(tree: NDArray[Any], n_points: int) -> NDArray[np.float32]:
    """GLOSH (n_points,) from a condensed tree with the fields parent, child, lambda_val.

    A point that leaves its cluster at the density λ has the score 1 − λ / λ_max, where λ_max is the highest
    density at which a point of the cluster, or of one that grew from it, leaves (Campello et al. 2015).
    """
    parents, children = tree["parent"].astype(np.int64), tree["child"].astype(np.int64)
    levels = tree["lambda_val"].astype(np.float64)
    highest = np.zeros(int(parents.max()) + 1)
    np.maximum.at(highest, parents, levels)
    grown = np.flatnonzero(children >= n_points)
    for row in grown[np.argsort(-children[grown], kind="stable")]:
        highest[parents[row]] = max(highest[parents[row]], highest[children[row]])
    points = np.flatnonzero(children < n_points)
    top, own = highest[parents[points]], levels[points]
    scores = np.zeros(n_points, np.float32)
    shares = np.divide(own, top, out=np.ones_like(own), where=np.isfinite(top) & (top > 0.0))
    scores[children[points]] = np.where(np.isinf(top) & np.isfinite(own), 1.0, 1.0 - shares)
    return scores


Fitted = tuple[NDArray[np.int32], NDArray[np.float32], NDArray[Any]]
"""Labels (N,), memberships (N, K) and the condensed tree."""


def _on_cpu(points: Floats, settings: ClusterSettings) -> Fitted:
    check_memory("clustering", len(points), clustering_bytes(*points.shape))
    hdbscan = optional_module("hdbscan")
    clusterer = hdbscan.HDBSCAN(**_arguments(settings), core_dist_n_jobs=1, approx_min_span_tree=False)
    clusterer.fit(points)
    labels = clusterer.labels_.astype(np.int32)
    with warnings.catch_warnings():  # equal points have an infinite density: `_sound` mends what follows
        warnings.simplefilter("ignore", RuntimeWarning)
        memberships = _memberships(lambda: hdbscan.all_points_membership_vectors(clusterer), labels)
    return labels, memberships, clusterer.condensed_tree_.to_numpy()


def _on_gpu(points: Floats, settings: ClusterSettings) -> Fitted:
    optional_module("hdbscan")  # which cuML's condensed tree is an object of
    cuml_hdbscan = optional_module("cuml.cluster.hdbscan")
    clusterer = cuml_hdbscan.HDBSCAN(**_arguments(settings), output_type="numpy")
    clusterer.fit(points.astype(np.float32))
    labels = np.asarray(clusterer.labels_).astype(np.int32)
    memberships = _memberships(lambda: cuml_hdbscan.all_points_membership_vectors(clusterer), labels)
    return labels, memberships, clusterer.condensed_tree_.to_numpy()


def _arguments(settings: ClusterSettings) -> dict[str, Any]:
    return {
        "min_cluster_size": settings.min_cluster_size,
        "min_samples": settings.neighbors,
        "cluster_selection_method": settings.selection,
        "allow_single_cluster": settings.single,
        "prediction_data": True,
    }


def _memberships(compute: Callable[[], Any], labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Memberships (N, K); for fewer than two clusters, which the libraries do not treat, NaN."""
    count = int(labels.max(initial=OUTLIER)) + 1
    if count < 2:
        return np.full((len(labels), count), np.nan, np.float32)
    return np.asarray(compute()).astype(np.float32).reshape(len(labels), count)


def _sound(
    memberships: NDArray[np.float32], core: NDArray[np.int32], scores: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Fill in memberships that soft clustering leaves undefined: of a single cluster, and of equal points.

    They are 1 − the outlier score in the point's cluster, or in the only one there is.
    """
    undefined = np.isnan(memberships.sum(axis=1))
    if memberships.shape[1] == 0 or not undefined.any():
        return memberships
    rows = np.flatnonzero(undefined & ((core != OUTLIER) | (memberships.shape[1] == 1)))
    sound = np.where(undefined[:, None], np.float32(0.0), memberships)
    sound[rows, np.maximum(core[rows], 0)] = 1.0 - scores[rows]
    return sound


def _by_size(found: Clustering) -> Clustering:
    """Number the clusters by falling size, equal ones by their first member."""
    members = np.flatnonzero(found.labels != OUTLIER)
    first = np.full(found.count, len(found.labels))
    np.minimum.at(first, found.labels[members], members)
    sizes = np.bincount(found.labels[members], minlength=found.count)
    order = np.lexsort((first, -sizes))
    rank = np.full(found.count + 1, OUTLIER, np.int32)
    rank[order] = np.arange(found.count)
    return Clustering(rank[found.labels], rank[found.core], found.memberships[:, order], found.outlier_scores)
