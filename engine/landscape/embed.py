"""UMAP: vectors as points of a plane, near ones near; and the places of further vectors in it.

Reference: McInnes, Healy, Melville, arXiv:1802.03426.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import CrysiftError
from engine.landscape.backend import EXACT_ON_GPU, Backend, optional_module
from engine.landscape.memberships import Points
from engine.landscape.memory import check_memory, embedding_bytes
from engine.landscape.neighbors import Neighbors, neighbor_graph, with_self

LEAST_POINTS = 4
Singles = NDArray[np.float32]


@dataclass(frozen=True)
class EmbedSettings:
    """What determines an embedding, besides the vectors."""

    neighbors: int = 50
    """Size of the neighbourhood that is kept: small ones show detail, large ones the whole."""
    min_dist: float = 0.1
    """How near to one another points of the plane may come."""
    dimensions: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise CrysiftError for settings out of range."""
        if self.neighbors < 2:
            raise CrysiftError(f"an embedding with {self.neighbors} neighbours: ask for at least 2")
        if not 0.0 <= self.min_dist <= 1.0:
            raise CrysiftError(f"the least distance {self.min_dist:g} of an embedding is outside [0, 1]")
        if self.dimensions < 1:
            raise CrysiftError(f"an embedding in {self.dimensions} dimensions: ask for at least 1")

    def as_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return asdict(self)


def embed(
    points: Points, settings: EmbedSettings, backend: Backend = "cpu", graph: Neighbors | None = None
) -> Singles:
    """Embed points (N, k) as (N, dimensions); the same on one machine for equal points and seed.

    ``graph`` are at least ``settings.neighbors`` - 1 other points near each one, if they are known. The
    layout begins with the first principal components of the points. On the CPU one core computes it, since
    more make the result irreproducible; the memory is `engine.landscape.memory.embedding_bytes`. Raises
    CrysiftError for fewer points than neighbours, and where memory or a package is missing.
    """
    needed = max(settings.neighbors + 1, settings.dimensions + 2, LEAST_POINTS)
    if len(points) < needed:
        raise CrysiftError(
            f"{len(points)} vectors are too few to embed in {settings.dimensions} dimensions with "
            f"{settings.neighbors} neighbours: {needed} are needed; ask for fewer neighbours"
        )
    points = points.astype(np.float32)
    if backend == "cuml":
        umap = optional_module("cuml.manifold").UMAP(**cuml_arguments(settings, len(points)))
        return np.asarray(umap.fit_transform(points)).astype(np.float32)
    check_memory("embedding", len(points), embedding_bytes(len(points), points.shape[1], settings.neighbors))
    near = graph or neighbor_graph(points, settings.neighbors - 1, backend, settings.seed)
    known = tuple(with_self(near).first(settings.neighbors))
    start = "pca" if settings.dimensions <= points.shape[1] else "random"
    with warnings.catch_warnings():  # without an index UMAP places no further points, which `place` does
        warnings.filterwarnings("ignore", "precomputed_knn", UserWarning)
        umap = optional_module("umap").UMAP(
            **umap_arguments(settings), n_jobs=1, init=start, precomputed_knn=known
        )
        return np.asarray(umap.fit_transform(points)).astype(np.float32)


def umap_arguments(settings: EmbedSettings) -> dict[str, Any]:
    """Arguments that umap-learn and cuML have in common."""
    return {
        "n_neighbors": settings.neighbors,
        "min_dist": settings.min_dist,
        "n_components": settings.dimensions,
        "random_state": settings.seed,
    }


def cuml_arguments(settings: EmbedSettings, points: int) -> dict[str, Any]:
    """Arguments of cuML's UMAP for so many points, in the interface of RAPIDS 26.08 (docs.nvidia.com/cuml).

    Not yet run on a GPU. Above `EXACT_ON_GPU` its neighbours are found by nn-descent, in batches of so many.
    """
    arguments = {**umap_arguments(settings), "output_type": "numpy"}
    if points <= EXACT_ON_GPU:
        return {**arguments, "build_algo": "brute_force_knn"}
    batches = -(-points // EXACT_ON_GPU)
    return {**arguments, "build_algo": "nn_descent", "build_kwds": {"knn_n_clusters": batches}}


def place(neighbors: Neighbors, embedding: Singles) -> Singles:
    """Places (B, dimensions) of further points, each from the embedded points near it alone.

    A point comes to the mean of its neighbours' places, weighted by UMAP's memberships exp(-(d - d₁) / σ), d₁
    the smallest distance and σ such that the k weights add up to log₂ k: umap-learn's first guess for new
    points.
    """
    distances = neighbors.distances.astype(np.float64)
    beyond = distances - distances[:, :1]
    weights = np.exp(-beyond / _widths(beyond)[:, None])
    weights /= weights.sum(axis=1, keepdims=True)
    return np.asarray(np.einsum("bk,bkd->bd", weights, embedding[neighbors.indices])).astype(np.float32)


_HALVINGS = 50


def _widths(beyond: NDArray[np.float64]) -> NDArray[np.float64]:
    """σ (B,) for distances (B, k) beyond the smallest, within a factor of 1,000 of their mean."""
    scale = np.maximum(beyond.mean(axis=1), np.finfo(np.float32).tiny)
    low, high = np.log(scale) - np.log(1e3), np.log(scale) + np.log(1e3)
    target = np.log2(max(beyond.shape[1], 2))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        too_wide = np.exp(-beyond / np.exp(middle)[:, None]).sum(axis=1) > target
        low, high = np.where(too_wide, low, middle), np.where(too_wide, middle, high)
    return np.asarray(np.exp((low + high) / 2.0))
