"""Principal components: vectors turned and cut so that distances are kept and most columns leave."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import CrysiftError

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Vectors = NDArray[np.floating]

_ROWS = 65_536


class Projection(NamedTuple):
    """A change of coordinates: the mean (width,) and the axes (width, k), orthogonal and of length one."""

    mean: Floats
    axes: Floats

    @classmethod
    def fit(cls, vectors: Vectors, variance: float) -> Projection:
        """Find the eigenvectors of the covariance of vectors (N, width) that hold a share of their variance.

        k is the smallest number of components that hold the share ``variance``, at least one; with 1 all that
        are not numerically zero, so that distances are those of the vectors. The largest entry of every
        eigenvector is positive, which makes the result unique. Raises CrysiftError for a share outside (0, 1]
        and for numbers that are not finite.
        """
        if not 0.0 < variance <= 1.0:
            raise CrysiftError(f"the share of the variance to keep, {variance:g}, is outside (0, 1]")
        mean = np.asarray(vectors.mean(axis=0, dtype=np.float64))
        covariance = np.zeros((vectors.shape[1], vectors.shape[1]))
        for block in _centred(vectors, mean):
            covariance += block.T @ block
        if not np.isfinite(covariance).all():
            raise CrysiftError(
                "the vectors hold numbers that are not finite: leave out the rows that have none"
            )
        return cls(mean, _leading_axes(covariance, variance))

    def __call__(self, vectors: Vectors) -> Singles:
        """Vectors (N, width) in these coordinates, (N, k); needs 65,536 rows in double precision beside."""
        blocks = [(block @ self.axes).astype(np.float32) for block in _centred(vectors, self.mean)]
        return np.concatenate(blocks)


def principal_components(vectors: Vectors, variance: float) -> Singles:
    """Principal components (N, k) of vectors (N, width); see `Projection.fit`."""
    return Projection.fit(vectors, variance)(vectors)


def _centred(vectors: Vectors, mean: Floats) -> Iterator[Floats]:
    for start in range(0, max(len(vectors), 1), _ROWS):
        yield vectors[start : start + _ROWS] - mean


def _leading_axes(covariance: Floats, variance: float) -> Floats:
    """Eigenvectors (width, k) of the largest eigenvalues."""
    values, axes = np.linalg.eigh(covariance)
    values, axes = np.maximum(values[::-1], 0.0), axes[:, ::-1]
    significant = int((values > values[0] * len(values) * np.finfo(np.float64).eps).sum())
    shares = np.cumsum(values) / max(values.sum(), np.finfo(np.float64).tiny)
    enough = int(np.searchsorted(shares, variance * (1.0 - 1e-12))) + 1
    kept = axes[:, : max(min(enough, significant), 1)]
    largest = np.abs(kept).argmax(axis=0)
    return np.ascontiguousarray(kept * np.sign(kept[largest, np.arange(kept.shape[1])]))
