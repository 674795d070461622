"""Judging embeddings, searches for neighbours, and clusterings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import CrysiftError
from engine.landscape.backend import optional_module

Points = NDArray[np.floating]
Rows = NDArray[np.integer]

_DISTANCES = 2**22
"""Numbers in one block of the matrix of distances: 32 MiB."""
_ROUNDING = 1e-12
"""Squared distances that differ by less, relative to the squared lengths, are equal."""


class Quality(NamedTuple):
    """Trustworthiness and continuity of an embedding, 1 at best, at some of its points."""

    trustworthiness: float
    continuity: float
    neighbors: int
    rows: int


def drawn_rows(count: int, most: int, seed: int = 0) -> NDArray[np.int64]:
    """Draw at most so many of ``count`` rows at random, in rising order."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:most])


def embedding_quality(vectors: Points, places: Points, neighbors: int, rows: Rows) -> Quality:
    """Judge the places (N, d) that vectors (N, width) have in an embedding, at the rows (n,), against all N.

    Of the nearest points in the embedding, those that are none of the nearest vectors count by how far they
    come after them (trustworthiness, T); and the other way round (continuity). With k neighbours and ranks r
    among the N − 1 others, T = 1 − 2 Σ max(r − k, 0) / (n k (2N − 3k − 1)): J. Venna, S. Kaski, ICANN 2001,
    485, with the mean over n rows instead of all. Points at equal distances have the same, best rank. The
    time grows as n·N; in memory are the vectors in double precision and a block of distances. Raises
    CrysiftError for 2N / 3 neighbours or more, and for no rows.
    """
    count = len(vectors)
    if not 0 < 3 * neighbors < 2 * count - 1:
        raise CrysiftError(
            f"neighbourhoods of {neighbors} cannot be judged among {count} points: ask for fewer, from 1 on"
        )
    if len(rows) == 0:
        raise CrysiftError("no points are named at which to judge the embedding")
    original, embedded = _Space(vectors), _Space(places)
    intruders = missed = 0
    for block in _blocks(rows, count):
        near, shown = original.distances(block), embedded.distances(block)
        intruders += _excess(near, _nearest(shown, neighbors))
        missed += _excess(shown, _nearest(near, neighbors))
    scale = 2.0 / (len(rows) * neighbors * (2 * count - 3 * neighbors - 1))
    return Quality(1.0 - scale * intruders, 1.0 - scale * missed, neighbors, len(rows))


def neighbor_recall(points: Points, rows: Rows, found: Rows) -> float:
    """Share of the true neighbours of rows (n,) of points (N, k) that a search found: ``found`` (n, m).

    A row found counts where it is no farther away than the m-th nearest point, so that it does not matter
    which of several equal ones is named; the point itself does not count, nor does one named twice.
    """
    space, right = _Space(points), 0
    for block, named in zip(_blocks(rows, len(points)), _blocks(found, len(points)), strict=True):
        distances = space.distances(block)
        farthest = np.partition(distances.squares, named.shape[1] - 1, axis=1)[:, named.shape[1] - 1]
        near = distances.of(named) <= farthest[:, None] + distances.rounding[:, None]
        ordered = np.sort(np.where(near, named, -1), axis=1)
        fresh = np.diff(ordered, axis=1, prepend=-1) > 0
        right += int((fresh & (ordered >= 0)).sum())
    return right / found.size


def adjusted_rand_index(first: Rows, second: Rows) -> float:
    """Likeness of two labellings (N,): 1 for the same groups, 0 in the mean for unrelated ones.

    Outliers, -1, are one group. L. Hubert, P. Arabie, J. Classif. 2, 193 (1985). Raises CrysiftError where
    scikit-learn is missing.
    """
    return float(optional_module("sklearn.metrics").adjusted_rand_score(first, second))


class _Distances(NamedTuple):
    """Squared distances (b, N) of some rows to all points, and what is rounding (b,)."""

    squares: NDArray[np.float64]
    rounding: NDArray[np.float64]

    def of(self, rows: Rows) -> NDArray[np.float64]:
        return np.take_along_axis(self.squares, rows.astype(np.int64), axis=1)


class _Space:
    """Points (N, k), and the distances between them in double precision."""

    def __init__(self, points: Points) -> None:
        self._points = points - points.mean(axis=0, dtype=np.float64)
        self._lengths = np.einsum("ij,ij->i", self._points, self._points)

    def distances(self, rows: Rows) -> _Distances:
        lengths = self._lengths[rows]
        squares = lengths[:, None] + self._lengths - 2.0 * (self._points[rows] @ self._points.T)
        squares[np.arange(len(rows)), rows] = np.inf
        return _Distances(squares, _ROUNDING * (lengths + self._lengths.max()))


def _blocks(rows: Rows, count: int) -> Iterator[Rows]:
    size = max(_DISTANCES // count, 1)
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _nearest(distances: _Distances, neighbors: int) -> NDArray[np.int64]:
    """Nearest points (b, k)."""
    return np.argpartition(distances.squares, neighbors - 1, axis=1)[:, :neighbors]


def _excess(distances: _Distances, named: NDArray[np.int64]) -> int:
    """Sum of the ranks, counted from the number of neighbours, of those points (b, k) that come after it."""
    own, total = distances.of(named) - distances.rounding[:, None], 0
    for column in range(named.shape[1]):
        ranks = (distances.squares < own[:, column, None]).sum(axis=1) + 1
        total += int(np.maximum(ranks - named.shape[1], 0).sum())
    return total
