"""Nearest neighbours among many points: exact by brute force on a CPU or a GPU, or approximate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import CrysiftError
from engine.landscape.backend import Backend, optional_module

Points = NDArray[np.floating]
_DISTANCES = 2**27
"""Numbers in one block of the matrix of distances: 512 MiB in single precision."""
_DIFFERENCES = 2**22
"""Numbers in one block of differences of vectors: 32 MiB."""
_SPARE = 8
"""Candidates beyond those asked for, since single precision orders near ones wrongly."""
_ROUNDING = 4.0
"""Error of a squared distance at most, in units of the precision and of the squares that it is made of."""


class Neighbors(NamedTuple):
    """Rows (Q, k) of the nearest points and their distances (Q, k), the nearest first."""

    indices: NDArray[np.int32]
    distances: NDArray[np.float32]

    def first(self, count: int) -> Neighbors:
        """Return the nearest ``count`` of them."""
        return Neighbors(
            np.ascontiguousarray(self.indices[:, :count]), np.ascontiguousarray(self.distances[:, :count])
        )


def nearest(queries: Points, points: Points, count: int, device: str = "cpu") -> Neighbors:
    """Find the ``count`` nearest of the points (N, k) to each query (Q, k), exactly, by brute force.

    PyTorch finds candidates in single precision on ``device``, and in double precision for queries where the
    rounding could have hidden a neighbour, as among nearly equal points. Distances and their order are
    computed in double precision; equal ones are ordered by row, but of many points at the last distance any
    may be taken. Raises CrysiftError for fewer points.
    """
    if count > len(points):
        raise CrysiftError(f"{count} neighbours are asked for among {len(points)} points: ask for fewer")
    middle = points.mean(axis=0, dtype=np.float64) if len(points) else 0.0
    points, queries = points - middle, queries - middle
    taken = min(count + _SPARE, len(points))
    found = Neighbors(np.empty((len(queries), count), np.int32), np.empty((len(queries), count), np.float32))
    unsure = np.zeros(len(queries), bool)
    for rows, candidates, farthest in _candidates(queries, points, taken, np.dtype(np.float32), device):
        indices, distances = _ordered(queries[rows], points, candidates)
        found.indices[rows], found.distances[rows] = indices[:, :count], distances[:, :count]
        unsure[rows] = distances[:, count - 1] ** 2 > farthest
    again = np.flatnonzero(unsure & (taken < len(points)))
    for rows, candidates, _ in _candidates(queries[again], points, taken, np.dtype(np.float64), device):
        indices, distances = _ordered(queries[again[rows]], points, candidates)
        found.indices[again[rows]], found.distances[again[rows]] = indices[:, :count], distances[:, :count]
    return found


def _candidates(
    queries: Points, points: Points, taken: int, kind: np.dtype[np.floating], device: str
) -> Iterator[tuple[slice, NDArray[np.int64], NDArray[np.float64]]]:
    """Find candidates (B, taken) for blocks of queries, with the least squared distance (B,) of all others.

    The distances are computed with a precision, and the least one allows for its rounding.
    """
    import torch

    rounding = _ROUNDING * float(np.finfo(kind).eps)
    everywhere = torch.from_numpy(points.astype(kind)).to(device)
    squares = (everywhere * everywhere).sum(dim=1)
    largest = float(squares.max()) if len(points) else 0.0
    size = max(_DISTANCES * 4 // (kind.itemsize * max(len(points), 1)), 1)
    for start in range(0, len(queries), size):
        rows = slice(start, start + size)
        asked = torch.from_numpy(queries[rows].astype(kind)).to(device)
        own = (asked * asked).sum(dim=1)
        partial = torch.addmm(squares, asked, everywhere.T, alpha=-2.0)
        values, indices = torch.topk(partial, taken, dim=1, largest=False)
        farthest = values[:, -1] + own - rounding * (own + largest)
        yield rows, indices.cpu().numpy(), farthest.cpu().numpy().astype(np.float64)


def neighbor_graph(points: Points, count: int, backend: Backend, seed: int = 0) -> Neighbors:
    """Find the ``count`` nearest other points of each of the points (N, k).

    "torch" is exact, on a GPU where there is one; "cpu" is pynndescent's approximate search, whose time grows
    little faster than N; "cuml" is exact, by brute force.
    """
    if count > len(points) - 1:
        raise CrysiftError(
            f"{count} neighbours are asked for among {len(points)} points: ask for fewer, or give more points"
        )
    if backend == "torch":
        import torch

        found = nearest(points, points, count + 1, "cuda" if torch.cuda.is_available() else "cpu")
    elif backend == "cpu":
        index = optional_module("pynndescent").NNDescent(
            points.astype(np.float32), n_neighbors=count + 1, random_state=seed
        )
        found = Neighbors(*index.neighbor_graph)
    else:
        found = _on_gpu(points, count + 1)
    return _without_self(found)


def with_self(neighbors: Neighbors) -> Neighbors:
    """Put every point (Q,), at distance zero, before its neighbours (Q, k), as UMAP expects: (Q, k + 1)."""
    own = np.arange(len(neighbors.indices), dtype=np.int32)[:, None]
    zero = np.zeros((len(own), 1), np.float32)
    return Neighbors(np.hstack([own, neighbors.indices]), np.hstack([zero, neighbors.distances]))


def _on_gpu(points: Points, count: int) -> Neighbors:
    """CuML's search, in the interface of RAPIDS 26.8: https://docs.rapids.ai/api/cuml/stable/."""
    searcher = optional_module("cuml.neighbors").NearestNeighbors(
        n_neighbors=count, algorithm="brute", output_type="numpy"
    )
    distances, indices = searcher.fit(points.astype(np.float32)).kneighbors()
    return Neighbors(np.asarray(indices, np.int32), np.asarray(distances, np.float32))


def _ordered(
    queries: Points, points: Points, candidates: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Candidates (Q, c) ordered by their exact distances (Q, c), equal ones by row."""
    candidates = np.sort(candidates, axis=1)
    distances = np.empty(candidates.shape)
    rows = max(_DIFFERENCES // max(candidates.shape[1] * points.shape[1], 1), 1)
    for start in range(0, len(queries), rows):
        block = slice(start, start + rows)
        differences = points[candidates[block]].astype(np.float64) - queries[block, None, :]
        distances[block] = np.sqrt(np.einsum("qck,qck->qc", differences, differences))
    order = np.argsort(distances, axis=1, kind="stable")
    return np.take_along_axis(candidates, order, axis=1), np.take_along_axis(distances, order, axis=1)


def _without_self(found: Neighbors) -> Neighbors:
    """Drop each point from its own neighbours; where equal points left no room for it, the last one."""
    rows, columns = found.indices.shape
    is_self = found.indices == np.arange(rows)[:, None]
    is_self[~is_self.any(axis=1), -1] = True
    return Neighbors(
        found.indices[~is_self].reshape(rows, columns - 1).astype(np.int32),
        found.distances[~is_self].reshape(rows, columns - 1).astype(np.float32),
    )
