"""The closest two atoms of a structure nearer than a limit, periodic images included."""

import math
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from engine.columns import StructureColumns
from engine.compiled import compiled
from engine.descriptors.neighbors import reduced_cell

SWEEP_SITES = 256
"""Up to this many sites all pairs are compared; beyond, a k-d tree keeps the cost linear."""


def closest_pairs(columns: StructureColumns, limit: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distances (B,) in Å and site indices (B, 2) of the closest pair nearer than ``limit``, else infinity.

    Positions and lattices are finite and the periodic lattice vectors independent. An atom and its own
    periodic image count as a pair.
    """
    cells, inverses = _reduced_cells(columns.lattices, columns.periodic)
    distances, sites = _compare_all_pairs(
        columns.positions, columns.offsets, cells, inverses, columns.periodic, limit
    )
    for row in np.flatnonzero(columns.nsites > SWEEP_SITES).tolist():
        positions, _, _, periodic = columns.row(row)
        distances[row], sites[row] = _search_tree(positions, cells[row], inverses[row], periodic, limit)
    return distances, sites


@compiled()
def _reduced_cells(
    lattices: NDArray[np.float64], periodic: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Reduced cells (B, 3, 3) and their inverses (B, 3, 3).

    With reduced vectors a plane spacing is small only where a vector is short, so that few images matter.
    """
    cells, inverses = np.empty_like(lattices), np.empty_like(lattices)
    for row in range(len(lattices)):
        cell = reduced_cell(lattices[row], periodic[row])
        cells[row], inverses[row] = cell.vectors, cell.inverse
    return cells, inverses


@compiled()
def _image_ranges(
    inverse: NDArray[np.float64], periodic: NDArray[np.bool_], limit: float
) -> NDArray[np.int64]:
    """Images along each axis that can be nearer than ``limit`` once a difference is wrapped to [-1/2, 1/2].

    A vector shorter than r has fractional components below r / spacing of the lattice planes.
    """
    ranges = np.zeros(3, dtype=np.int64)
    for axis in range(3):
        if periodic[axis]:
            inverse_spacing = math.sqrt((inverse[:, axis] * inverse[:, axis]).sum())
            ranges[axis] = min(int(limit * inverse_spacing + 0.5), 3)
    return ranges


@compiled()
def _compare_all_pairs(
    positions: NDArray[np.float64],
    offsets: NDArray[np.int64],
    cells: NDArray[np.float64],
    inverses: NDArray[np.float64],
    periodic: NDArray[np.bool_],
    limit: float,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    distances = np.full(len(cells), np.inf)
    sites = np.zeros((len(cells), 2), dtype=np.int64)
    for row in range(len(cells)):
        first, last = offsets[row], offsets[row + 1]
        if last - first > SWEEP_SITES:
            continue
        cell = cells[row]
        images = _image_ranges(inverses[row], periodic[row], limit)
        fractional = positions[first:last] @ inverses[row]
        best = limit * limit
        for i in range(last - first):
            for j in range(i, last - first):
                square = _shortest_square(fractional, i, j, cell, images, periodic[row])
                if square < best:
                    best = square
                    distances[row] = math.sqrt(square)
                    sites[row, 0], sites[row, 1] = i, j
    return distances, sites


@compiled()
def _shortest_square(
    fractional: NDArray[np.float64],
    i: int,
    j: int,
    cell: NDArray[np.float64],
    images: NDArray[np.int64],
    periodic: NDArray[np.bool_],
) -> float:
    """Squared distance of the nearest images of two sites; of a site and its own next image for i = j."""
    a, b, c = (
        fractional[i, 0] - fractional[j, 0],
        fractional[i, 1] - fractional[j, 1],
        fractional[i, 2] - fractional[j, 2],
    )
    if periodic[0]:
        a -= np.rint(a)
    if periodic[1]:
        b -= np.rint(b)
    if periodic[2]:
        c -= np.rint(c)
    shortest = np.inf
    for u in range(-images[0], images[0] + 1):
        for v in range(-images[1], images[1] + 1):
            for w in range(-images[2], images[2] + 1):
                if i == j and u == 0 and v == 0 and w == 0:
                    continue
                x = (a + u) * cell[0, 0] + (b + v) * cell[1, 0] + (c + w) * cell[2, 0]
                y = (a + u) * cell[0, 1] + (b + v) * cell[1, 1] + (c + w) * cell[2, 1]
                z = (a + u) * cell[0, 2] + (b + v) * cell[1, 2] + (c + w) * cell[2, 2]
                shortest = min(shortest, x * x + y * y + z * z)
    return shortest


def _search_tree(
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
    inverse: NDArray[np.float64],
    periodic: NDArray[np.bool_],
    limit: float,
) -> tuple[float, tuple[int, int]]:
    """Closest pair through a k-d tree over the sites and their images within ``limit`` of the cell."""
    fractional = positions @ inverse
    fractional[:, periodic] %= 1.0
    reach = limit * np.linalg.norm(inverse, axis=0)
    shifts = [
        range(-math.ceil(r), math.ceil(r) + 1) if p else range(1)
        for r, p in zip(reach, periodic, strict=True)
    ]
    images, origins = [fractional], [np.arange(len(positions))]
    for shift in product(*shifts):
        if any(shift):
            moved = fractional + shift
            near = np.flatnonzero((~periodic | ((moved > -reach) & (moved < 1.0 + reach))).all(axis=1))
            images.append(moved[near])
            origins.append(near)
    sites = np.concatenate(origins)
    points = np.concatenate(images) @ cell
    pairs = cKDTree(points).query_pairs(limit, output_type="ndarray")
    if len(pairs) == 0:
        return math.inf, (0, 0)
    lengths = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    closest = int(np.argmin(lengths))
    if not lengths[closest] < limit:
        return math.inf, (0, 0)
    first, second = sorted(int(site) for site in sites[pairs[closest]])
    return float(lengths[closest]), (first, second)
