"""d_NN(α, β), the length that makes a structure's descriptor independent of its isotropic scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.descriptors.neighbors import (
    Cell,
    Floats,
    Ints,
    images_within,
    reduced_cell,
    rows_within,
    runs_within,
    wrapped,
)

HISTOGRAM_BINS = 100
EQUAL_SPREAD = 1e-9
"""Å: distances that spread less than this are equal."""

_DIVISIONS = 2
_GROWTH = 1.5


@compiled()
def typical_distance(distances: Floats) -> float:
    """The most frequent nearest-neighbour distance, Å, weighted by the inverse square of the distance.

    `distances` (n,) are histogrammed in 100 bins between their extremes, each count is divided by the
    square of the bin's left edge, and the centre of the largest bin is returned; equal distances are returned
    as they are (Leitherer et al., Nat. Commun. 12, 6234 (2021), Methods, "Isotropic scaling").
    """
    low, high = distances.min(), distances.max()
    if high - low < EQUAL_SPREAD:
        return float(low)
    edges = np.linspace(low, high, HISTOGRAM_BINS + 1)
    counts = np.zeros(HISTOGRAM_BINS)
    for distance in distances:
        index = min(int((distance - low) / (high - low) * HISTOGRAM_BINS), HISTOGRAM_BINS - 1)
        if distance < edges[index]:
            index -= 1
        elif distance >= edges[index + 1] and index < HISTOGRAM_BINS - 1:
            index += 1
        counts[index] += 1.0
    largest = np.argmax(counts / edges[:-1] ** 2)
    return float(0.5 * (edges[largest] + edges[largest + 1]))


@compiled()
def nearest_distances(centers: Floats, positions: Floats, cell: Cell, same: bool) -> Floats:
    """Distance (n,), Å, from every centre to the nearest image of `positions`; infinite where there is none.

    Both are wrapped, (n, 3) Å. With `same` the two are one sublattice and an atom is not its own neighbour.
    """
    nearest = np.full(centers.shape[0], np.inf)
    reach = 1.3 * np.cbrt(_volume(centers, positions, cell) / positions.shape[0])
    farthest = _farthest(centers, positions, cell)
    while True:
        images = images_within(centers, positions, cell, reach, _DIVISIONS)
        runs = np.empty((rows_within(images, reach), 2), np.int64)
        unknown = False
        for i in range(centers.shape[0]):
            if nearest[i] < np.inf:
                continue
            px, py, pz = centers[i, 0], centers[i, 1], centers[i, 2]
            itself = 3 * i + 1 if same else -1
            best = np.inf
            for run in range(runs_within(images, px, py, pz, reach, runs)):
                for j in range(runs[run, 0], runs[run, 1]):
                    dx, dy, dz = images.x[j] - px, images.y[j] - py, images.z[j] - pz
                    square = dx * dx + dy * dy + dz * dz
                    if square < best and images.key[j] != itself:
                        best = square
            if best <= reach * reach:
                nearest[i] = np.sqrt(best)
            else:
                unknown = True
        if not unknown or reach > farthest:
            return nearest
        reach *= _GROWTH


@compiled()
def _volume(centers: Floats, positions: Floats, cell: Cell) -> float:
    """Volume, Å³, that the atoms occupy: of the cell, or of the box around them where it is not periodic."""
    volume = abs(np.linalg.det(cell.vectors))
    for k in range(3):
        if not cell.periodic[k]:
            low = min((centers @ cell.inverse)[:, k].min(), (positions @ cell.inverse)[:, k].min())
            high = max((centers @ cell.inverse)[:, k].max(), (positions @ cell.inverse)[:, k].max())
            volume *= max(high - low, 2.0)
    return float(volume)


@compiled()
def _farthest(centers: Floats, positions: Floats, cell: Cell) -> float:
    """A distance, Å, within which every centre must find a neighbour if it has one at all."""
    square = 0.0
    for k in range(3):
        span = max(centers[:, k].max(), positions[:, k].max()) - min(
            centers[:, k].min(), positions[:, k].min()
        )
        square += span**2
    for k in range(3):
        if cell.periodic[k]:
            square += (cell.vectors[k] ** 2).sum()
    return float(np.sqrt(square)) + 1e-6


@compiled()
def d_nn(positions: Floats, bounds: Ints, cell: Cell) -> Floats:
    """d_NN(α, β), (S, S) Å, of all ordered pairs of sublattices; infinite where there is no neighbour.

    `positions` (n, 3) Å are wrapped and ordered by species: species s has the rows
    bounds[s] … bounds[s + 1] − 1.
    """
    count = bounds.size - 1
    lengths = np.full((count, count), np.inf)
    for a in range(count):
        for b in range(count):
            centers = positions[bounds[a] : bounds[a + 1]]
            distances = nearest_distances(centers, positions[bounds[b] : bounds[b + 1]], cell, a == b)
            if distances.min() < np.inf:
                lengths[a, b] = typical_distance(distances)
    return lengths


def mean_nearest_distance(positions: Floats, lattice: Floats, periodic: NDArray[np.bool_]) -> float:
    """The mean distance, Å, from an atom to the nearest other one, whatever their species.

    `positions` (n, 3) Å Cartesian, `lattice` (3, 3) Å as rows, `periodic` (3,).
    """
    cell = reduced_cell(np.ascontiguousarray(lattice, np.float64), periodic)
    placed = wrapped(np.ascontiguousarray(positions, np.float64), cell)
    return float(nearest_distances(placed, placed, cell, True).mean())
