"""Principal components: vectors turned and cut so that distances are kept and most columns leave."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from engine.errors import CrysiftError

Floats = NDArray[np.float64]
Vectors = NDArray[np.floating]

_ROWS = 65_536


def principal_components(vectors: Vectors, variance: float) -> Floats:
    """Vectors (N, width) in the basis of their covariance's eigenvectors: (N, k), of mean zero.

    k is the smallest number of components that hold the share ``variance`` of the total variance, at least
    one; with ``variance`` = 1 all that are not numerically zero, so that distances are those of the vectors.
    The largest entry of every eigenvector is positive, which makes the result unique. Needs, beside the
    result, 65,536 rows in double precision. Raises CrysiftError for a share outside (0, 1] and for numbers
    that are not finite.
    """
    if not 0.0 < variance <= 1.0:
        raise CrysiftError(f"the share of the variance to keep, {variance:g}, is outside (0, 1]")
    mean = _mean(vectors)
    covariance = np.zeros((vectors.shape[1], vectors.shape[1]))
    for block in _centred(vectors, mean):
        covariance += block.T @ block
    if not np.isfinite(covariance).all():
        raise CrysiftError("the vectors hold numbers that are not finite: leave out the rows that have none")
    axes = _leading_axes(covariance, variance)
    return np.concatenate([block @ axes for block in _centred(vectors, mean)])


def _mean(vectors: Vectors) -> Floats:
    return np.asarray(vectors.mean(axis=0, dtype=np.float64))


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
