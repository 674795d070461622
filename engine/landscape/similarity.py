"""Cosine similarities of vectors, and of the means of groups of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.landscape.components import Floats, Vectors


def group_means(vectors: Vectors, groups: NDArray[np.integer], count: int) -> Floats:
    """Mean vector (count, width) of each group; ``groups`` (N,) counts from 0, negative ones are left out.

    NaN for a group without members.
    """
    totals = np.zeros((count, vectors.shape[1]))
    member = groups >= 0
    np.add.at(totals, groups[member], vectors[member].astype(np.float64))
    sizes = np.bincount(groups[member], minlength=count)
    return np.divide(totals, sizes[:, None], out=np.full_like(totals, np.nan), where=sizes[:, None] > 0)


def cosine_similarities(vectors: Vectors) -> Floats:
    """Cosine of the angle between every two of the vectors (N, width): (N, N); NaN beside a zero vector."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)[:, None]
    units = np.divide(vectors, lengths, out=np.full(vectors.shape, np.nan), where=lengths > 0.0)
    return np.asarray(np.clip(units @ units.T, -1.0, 1.0))
