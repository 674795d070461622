"""Neighbours of whole batches of sublattices, on a GPU or a CPU, as segmented array operations.

A *row* is a centre, an atom of sublattice α, that looks for atoms of sublattice β within its reach. Its bins
of β are listed, then their atoms: each is one expansion of counts into indices, over all rows of all
structures at once, in chunks of bounded size. Distances are computed in double precision by the operations
of `engine.descriptors.neighbors`, in their order, so that both searches find the same pairs and the same
nearest distances to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.compiled import compiled
from engine.descriptors.neighbors import MAX_IMAGES, Floats, Ints, SearchTooLargeError
from engine.descriptors.scaling import typical_distance
from engine.descriptors.soap.sublattices import Sublattices

ROW_WEIGHT = 64
"""A row counts as this many candidates at least, since each takes part in blocks of so many pairs."""
_MARGIN = 1e-9
_GROWTH = 1.5
_FIRST_REACH = 1.3
_LEXICOGRAPHIC = (9, 3, 1)


class Rows(NamedTuple):
    """R centres that look for neighbours."""

    center: Tensor
    """(R,), the atom."""
    alpha: Tensor
    """(R,), its sublattice."""
    beta: Tensor
    """(R,), the sublattice of the neighbours."""
    problem: Tensor
    """(R,), the pair of sublattices that asked, rising."""

    def of(self, which: Tensor | slice) -> Rows:
        """Some of the rows."""
        return Rows(*(values[which] for values in self))


class Candidates(NamedTuple):
    """M atoms, or periodic images, that can be within a row's reach."""

    row: Tensor
    """(M,), rising."""
    rank: Tensor
    """(M,), 0 for the centre itself; of two ranks of a pair in its two directions one is positive."""
    vector: Tensor
    """(3, M) Å, from the centre."""
    square: Tensor
    """(M,) Å², of the vector."""


class Search:
    """The sublattices of a batch on a device, ready to be searched."""

    def __init__(self, batch: Sublattices, device: torch.device, limit: int) -> None:
        """Copy the batch to the device; `limit` is the most candidates at a time."""
        self._limit = limit
        self._device = device
        self._positions = self._copied(np.ascontiguousarray(batch.positions.T))
        self._fractions = self._copied(batch.fractions)
        self._bounds = self._copied(batch.bounds)
        self._shape, self._density = self._copied(batch.shape), self._copied(batch.density)
        self._origin = self._copied(batch.origin)
        self._first_bin, self._bin_start = self._copied(batch.first_bin), self._copied(batch.bin_start)
        self._structure, self._spacing = self._copied(batch.structure), self._copied(batch.spacing)
        self._vectors = self._copied(np.ascontiguousarray(batch.vectors.transpose(1, 2, 0)))
        self._heights, self._periodic = self._copied(batch.heights), self._copied(batch.periodic)
        self._farthest = self._copied(batch.farthest)

    def _copied(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self._device)

    def rows(self, alpha: Ints, beta: Ints) -> Rows:
        """All atoms of the sublattices `alpha` (P,), each looking for atoms of its `beta` (P,)."""
        alphas, betas = self._copied(alpha), self._copied(beta)
        first = self._bounds[alphas]
        problem, index = expanded(self._bounds[alphas + 1] - first)
        return Rows(first[problem] + index, alphas[problem], betas[problem], problem)

    def nearest(self, rows: Rows) -> Tensor:
        """Squared distance (R,), Å², to the nearest neighbour of each row; infinite where there is none.

        The root is left to the caller: PyTorch's, on a CPU, may differ in the last bit.
        """
        nearest = torch.full_like(rows.center, torch.inf, dtype=torch.float64)
        unknown = torch.arange(len(nearest), device=self._device)
        reach = _FIRST_REACH * self._spacing[rows.beta]
        while len(unknown):
            searched = rows.of(unknown)
            best = torch.full_like(reach, torch.inf)
            for found in self.candidates(searched, reach):
                others = torch.where(found.rank == 0, torch.inf, found.square)
                best.scatter_reduce_(0, found.row, others, "amin")
            settled = best <= reach * reach
            nearest[unknown[settled]] = best[settled]
            left = ~settled & (reach <= self._farthest[self._structure[searched.alpha]])
            unknown, reach = unknown[left], reach[left] * _GROWTH
        return nearest

    def candidates(self, rows: Rows, reach: Tensor) -> Iterator[Candidates]:
        """Atoms in the bins that the spheres of radius `reach` (R,), Å, touch, in chunks by rising rows.

        Raises SearchTooLargeError for a row with more than `MAX_IMAGES` bins.
        """
        structure = self._structure[rows.beta]
        density = self._density[rows.beta]
        middle = (self._fractions[rows.center] - self._origin[rows.beta]) * density
        margin = (reach[:, None] / self._heights[structure] + _MARGIN) * density
        low, high = (middle - margin).floor(), (middle + margin).floor()
        periodic = self._periodic[structure]
        low = torch.where(periodic, low, low.clamp_min(0.0))
        high = torch.where(periodic, high, torch.minimum(high, self._shape[rows.beta] - 1.0))
        width = (high - low + 1.0).clamp_min(0.0)
        bins = width.prod(1).cpu().numpy()
        if bins.max(initial=0.0) > MAX_IMAGES:
            raise SearchTooLargeError(
                f"more than {MAX_IMAGES:,} periodic images lie within reach of an atom: the cell is too "
                "elongated or too sparse for this cutoff; give the structure without periodicity on its long "
                "axis"
            )
        for chunk in chunks(bins.astype(np.int64) + ROW_WEIGHT, self._limit):
            here = (low[chunk].long(), width[chunk].long())
            for found in self._in_bins(rows.of(chunk), *here):
                yield found._replace(row=found.row + chunk.start)

    def _in_bins(self, rows: Rows, low: Tensor, width: Tensor) -> Iterator[Candidates]:
        """Atoms in the boxes of bins that begin at `low` (R, 3) and are `width` (R, 3) bins wide."""
        row, index = expanded(width.prod(1))
        size, shape = width.index_select(0, row), self._shape[rows.beta].index_select(0, row)
        steps = torch.stack([index // (size[:, 1] * size[:, 2]), index // size[:, 2], index], 1)
        place = low.index_select(0, row) + steps % size
        translation = place.div(shape, rounding_mode="floor")
        inside = place - translation * shape
        bin_ = (inside[:, 0] * shape[:, 1] + inside[:, 1]) * shape[:, 2] + inside[:, 2]
        bin_ += self._first_bin[rows.beta][row]
        first = self._bin_start[bin_]
        counts = self._bin_start[bin_ + 1] - first
        sign = (translation.sign() * translation.new_tensor(_LEXICOGRAPHIC)).sum(1).sign()
        vectors = self._vectors.index_select(2, self._structure[rows.beta][row])
        shifts = vectors * translation.T[:, None, :]
        for chunk in self._bin_chunks(counts):
            entry, index = expanded(counts[chunk])
            entry += chunk.start
            neighbor, searcher = first[entry] + index, row[entry]
            center = rows.center[searcher]
            vector = self._positions.index_select(1, neighbor)
            for shift in shifts:
                vector += shift.index_select(1, entry)
            vector -= self._positions.index_select(1, center)
            x, y, z = vector
            rank = 3 * (neighbor - center) + sign[entry]
            yield Candidates(searcher, rank, vector, x * x + y * y + z * z)

    def _bin_chunks(self, counts: Tensor) -> Iterator[slice]:
        if int(counts.sum()) <= self._limit:
            yield slice(0, len(counts))
        else:
            yield from chunks(counts.cpu().numpy(), self._limit)


def expanded(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Which count each of sum(counts) items belongs to, rising, and its index within that count."""
    ends = counts.cumsum(0)
    parent = torch.repeat_interleave(counts)
    return parent, torch.arange(len(parent), device=counts.device) - (ends - counts)[parent]


def chunks(counts: Ints, limit: int) -> Iterator[slice]:
    """Consecutive slices whose counts add up to `limit` at most; a larger count is a slice of its own."""
    ends = np.cumsum(counts)
    start, done = 0, 0
    while start < len(counts):
        stop = max(start + 1, int(np.searchsorted(ends, done + limit, "right")))
        yield slice(start, stop)
        start, done = stop, int(ends[stop - 1])


@compiled()
def typical_distances(nearest: Floats, counts: Ints) -> Floats:
    """d_NN (P,), Å, of consecutive `counts` (P,) of nearest distances; infinite where all of them are."""
    lengths = np.full(counts.size, np.inf)
    first = 0
    for p in range(counts.size):
        distances = nearest[first : first + counts[p]]
        if distances.min() < np.inf:
            lengths[p] = typical_distance(distances)
        first += counts[p]
    return lengths
