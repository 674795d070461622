"""A fitted map: clusters and an embedding of some structures, in which others are placed later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from engine.errors import CrysiftError
from engine.landscape.backend import Backend
from engine.landscape.cluster import Clustering, ClusterSettings, assign_outliers, cluster
from engine.landscape.components import Projection, Vectors
from engine.landscape.embed import EmbedSettings, Singles, embed, place
from engine.landscape.hierarchy import Hierarchy, Ints, outlier_scores
from engine.landscape.memberships import SoftClustering
from engine.landscape.neighbors import Neighbors, nearest, neighbor_graph

NEIGHBORS_KEPT = 10


@dataclass(frozen=True)
class MapSettings:
    """What determines a map, besides the vectors that it is fitted to."""

    clustering: ClusterSettings
    embedding: EmbedSettings
    variance: float = 0.95
    """Share of the vectors' variance in the principal components that distances are taken in."""

    def neighbors(self, points: int) -> int:
        """Neighbours of each point that a map of so many needs; raises CrysiftError for too few points."""
        needed = max(self.embedding.neighbors, self.clustering.neighbors, NEIGHBORS_KEPT)
        if points <= NEIGHBORS_KEPT:
            raise CrysiftError(
                f"a map needs at least {NEIGHBORS_KEPT + 1} structures with vectors, and there are {points}: "
                "screen more"
            )
        if points <= needed:
            raise CrysiftError(
                f"{points} structures are too few for a map with {self.embedding.neighbors} neighbours and "
                f"{self.clustering.neighbors} for the density: {needed + 1} are needed; ask for fewer "
                "neighbours, or screen more structures"
            )
        return needed


@dataclass(frozen=True, eq=False)
class Places:
    """Where B structures lie in a map: in the plane (B, 2), in the clusters, and near which fitted ones."""

    plane: Singles
    clusters: Clustering
    neighbors: Neighbors


@dataclass(frozen=True, eq=False)
class MapModel:
    """A map of N fitted structures.

    ``points`` (N, k) are their principal components, ``core_distances`` (N,) the distances to the neighbour
    that the density is taken from, ``plane`` (N, 2) their places.
    """

    settings: MapSettings
    projection: Projection
    points: Singles
    core_distances: Singles
    hierarchy: Hierarchy
    plane: Singles

    @cached_property
    def _soft(self) -> SoftClustering:
        return SoftClustering(self.hierarchy, self.points)

    def place(self, vectors: Vectors) -> Places:
        """Place further vectors (B, width), each independently of the others; the map itself stays.

        A vector gets the cluster that its nearest fitted neighbour by mutual reachability has at the density
        between the two (hdbscan's ``approximate_predict``), soft memberships and the outlier score from its
        place in the hierarchy, and the place in the plane that its nearest fitted neighbours give it.
        """
        points = self.projection(vectors)
        near = nearest(points, self.points, self.settings.neighbors(len(self.points)) + 1)
        branches, levels = self._joined(near)
        core = self.hierarchy.labels[branches]
        memberships = self._soft(points, branches, levels, core)
        found = Clustering(core, core, memberships, outlier_scores(self.hierarchy, branches, levels))
        return Places(
            place(near.first(self.settings.embedding.neighbors), self.plane),
            assign_outliers(found, self.settings.clustering.assign_from),
            near.first(NEIGHBORS_KEPT + 1),
        )

    def _joined(self, near: Neighbors) -> tuple[Ints, NDArray[np.float64]]:
        """Branches (B,) that new points would leave, and λ (B,), from the fitted points near them."""
        rows = np.arange(len(near.indices))
        own = near.distances[:, self.settings.clustering.neighbors - 1]
        reach = np.maximum(np.maximum(near.distances, own[:, None]), self.core_distances[near.indices])
        best = reach.argmin(axis=1)
        partner, distance = near.indices[rows, best], reach[rows, best].astype(np.float64)
        with np.errstate(divide="ignore"):  # equal points have an infinite density
            levels = 1.0 / distance
        branches = self.hierarchy.branches[partner].copy()
        with_partner = self.hierarchy.levels[partner] <= levels
        levels = np.where(with_partner, self.hierarchy.levels[partner], levels)
        while (rises := ~with_partner & (branches > 0) & (self.hierarchy.births[branches] >= levels)).any():
            branches[rises] = self.hierarchy.above[branches[rises]]
        return branches, levels


def _silent(_: str) -> None:
    """Say nothing."""


def fit_map(
    vectors: Vectors,
    settings: MapSettings,
    backend: Backend,
    say: Callable[[str], None] = _silent,
    plane: Singles | None = None,
) -> tuple[MapModel, Places]:
    """Fit a map to vectors (N, width); returns it with the places of these vectors.

    ``say`` hears of each step before it begins; ``plane`` (N, 2) are the places, if they are known. Equal
    vectors and settings give equal maps on one machine. Raises CrysiftError for too few vectors, for numbers
    that are not finite, and where memory or a package is missing.
    """
    needed = settings.neighbors(len(vectors))
    projection = Projection.fit(vectors, settings.variance)
    points = projection(vectors)
    say(f"{points.shape[1]} principal components; {needed} neighbours of each structure")
    graph = neighbor_graph(points, needed, backend, settings.embedding.seed)
    say("clusters (HDBSCAN)")
    clusters, hierarchy = cluster(points, settings.clustering, backend)
    if plane is None:
        say("embedding (UMAP)")
        plane = embed(points, settings.embedding, backend, graph)
    core_distances = np.ascontiguousarray(graph.distances[:, settings.clustering.neighbors - 1])
    model = MapModel(settings, projection, points, core_distances, hierarchy, plane)
    return model, Places(plane, clusters, graph.first(NEIGHBORS_KEPT))
