"""UMAP: vectors as points of a plane, near ones near.

Reference: McInnes, Healy, Melville, arXiv:1802.03426.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import CrysiftError
from engine.landscape.backend import backend_of, optional_module
from engine.landscape.components import Vectors, principal_components
from engine.landscape.memory import check_memory, embedding_bytes
from engine.stage import Device

LEAST_POINTS = 4


@dataclass(frozen=True)
class EmbedSettings:
    """What determines an embedding, besides the vectors."""

    neighbors: int = 50
    """Size of the neighbourhood that is kept: small ones show detail, large ones the whole."""
    min_dist: float = 0.1
    """How near to one another points of the plane may come."""
    dimensions: int = 2
    seed: int = 0
    variance: float = 0.95
    """Share of the vectors' variance in the principal components that distances are taken in."""

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


def embed(vectors: Vectors, settings: EmbedSettings, device: Device = "auto") -> NDArray[np.float32]:
    """Embed vectors (N, width) as (N, dimensions); the same on one machine for equal vectors and seed.

    On the CPU one core computes, since more make the result irreproducible; the memory is
    `engine.landscape.memory.embedding_bytes`. Raises CrysiftError for fewer vectors than neighbours, for
    numbers that are not finite, and where memory or a package is missing.
    """
    needed = max(settings.neighbors + 1, settings.dimensions + 2, LEAST_POINTS)
    if len(vectors) < needed:
        raise CrysiftError(
            f"{len(vectors)} vectors are too few to embed in {settings.dimensions} dimensions with "
            f"{settings.neighbors} neighbours: {needed} are needed; ask for fewer neighbours"
        )
    points = principal_components(vectors, settings.variance).astype(np.float32)
    arguments = {
        "n_neighbors": settings.neighbors,
        "min_dist": settings.min_dist,
        "n_components": settings.dimensions,
        "random_state": settings.seed,
    }
    if backend_of(device) == "cuml":
        umap = optional_module("cuml.manifold").UMAP(**arguments, output_type="numpy")
    else:
        check_memory(
            "embedding", len(points), embedding_bytes(len(points), points.shape[1], settings.neighbors)
        )
        umap = optional_module("umap").UMAP(**arguments, n_jobs=1)
    return np.asarray(umap.fit_transform(points)).astype(np.float32)
