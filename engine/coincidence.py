"""The closest two atoms of a structure nearer than a limit, periodic images included."""

import math
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from engine.columns import StructureColumns
from engine.compiled import compiled
from engine.descriptors.neighbors import reduced_cell
from engine.lattice import completed_cells

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

SWEEP_SITES = 500
"""Up to this many sites all pairs are compared; beyond, a k-d tree keeps the cost linear."""


def closest_pairs(columns: StructureColumns, limit: float) -> tuple[Floats, NDArray[np.int64]]:
    """Distances (B,) in Å and site indices (B, 2) of the closest pair nearer than ``limit``, else infinity.

    Positions and lattices are finite and the periodic lattice vectors independent. An atom and its own
    periodic image count as a pair.
    """
    distances = np.full(len(columns), np.inf)
    sites = np.zeros((len(columns), 2), dtype=np.int64)
    cells, inverses, _ = completed_cells(columns.lattices, columns.periodic)
    suspects = _may_have_near_pair(
        columns.positions, columns.offsets, cells, inverses, columns.periodic, limit
    )
    for row in np.flatnonzero(suspects).tolist():
        positions, _, lattice, periodic = columns.row(row)
        distances[row], sites[row] = _closest_pair(positions, lattice, periodic, limit)
    return distances, sites


@compiled("numpy")
def _may_have_near_pair(
    positions: Floats,
    offsets: NDArray[np.int64],
    cells: Floats,
    inverses: Floats,
    periodic: Flags,
    limit: float,
) -> Flags:
    """Whether each structure (B,) has two atoms nearer than ``limit``; true also where this loop cannot tell.

    A vector shorter than r has fractional components below r over the spacing of the lattice planes: where
    these are below 1/2, only the wrapped difference of two sites can be that short.
    """
    suspect = np.ones(len(cells), dtype=np.bool_)
    fractional = np.empty((3, SWEEP_SITES))
    for row in range(len(cells)):
        first, count, reach = offsets[row], offsets[row + 1] - offsets[row], 0.0
        for k in range(3):
            a, b, c = inverses[row, 0, k], inverses[row, 1, k], inverses[row, 2, k]
            if periodic[row, k]:
                reach = max(reach, limit * math.sqrt(a * a + b * b + c * c))
            for i in range(min(count, SWEEP_SITES)):
                x, y, z = positions[first + i, 0], positions[first + i, 1], positions[first + i, 2]
                fractional[k, i] = a * x + b * y + c * z
        if count <= SWEEP_SITES and reach < 0.5:
            suspect[row] = _near_pairs(fractional, count, cells[row], periodic[row], limit) > 0
    return suspect


@compiled("numpy")
def _near_pairs(fractional: Floats, n_sites: int, cell: Floats, periodic: Flags, limit: float) -> int:
    """How many pairs of sites (3, n) are nearer than ``limit`` once their differences are wrapped.

    No branches, so that the inner loop becomes vector code.
    """
    x, y, z = fractional[0], fractional[1], fractional[2]
    wrap_x, wrap_y, wrap_z = 1.0 * periodic[0], 1.0 * periodic[1], 1.0 * periodic[2]
    square, count = limit * limit, 0
    for i in range(n_sites):
        for j in range(i):
            a, b, c = x[i] - x[j], y[i] - y[j], z[i] - z[j]
            a -= wrap_x * np.rint(a)
            b -= wrap_y * np.rint(b)
            c -= wrap_z * np.rint(c)
            u = a * cell[0, 0] + b * cell[1, 0] + c * cell[2, 0]
            v = a * cell[0, 1] + b * cell[1, 1] + c * cell[2, 1]
            w = a * cell[0, 2] + b * cell[1, 2] + c * cell[2, 2]
            count += u * u + v * v + w * w < square
    return count


def _closest_pair(
    positions: Floats, lattice: Floats, periodic: Flags, limit: float
) -> tuple[float, tuple[int, int]]:
    """Closest pair through a k-d tree over the sites, wrapped into a reduced cell, and their images near it.

    Between reduced lattice vectors, the closest images are never more than a few cells apart.
    """
    cell = reduced_cell(lattice, periodic)
    fractional = positions @ cell.inverse
    fractional[:, periodic] %= 1.0
    reach = limit / cell.heights
    shifts = [
        range(-min(math.ceil(r), 3), min(math.ceil(r), 3) + 1) if p else range(1)
        for r, p in zip(reach, periodic, strict=True)
    ]
    images, origins = [fractional], [np.arange(len(positions))]
    for shift in product(*shifts):
        if any(shift):
            moved = fractional + shift
            near = np.flatnonzero((~periodic | ((moved > -reach) & (moved < 1.0 + reach))).all(axis=1))
            images.append(moved[near])
            origins.append(near)
    points = np.concatenate(images) @ cell.vectors
    tree = cKDTree(points)
    found = tree.query(points[: len(positions)], k=2, distance_upper_bound=limit)
    lengths, neighbors = np.asarray(found[0]), np.asarray(found[1])
    itself = neighbors[:, 0] == np.arange(len(positions))  # or another site, where there is one at its place
    lengths = np.where(itself, lengths[:, 1], lengths[:, 0])
    site = int(np.argmin(lengths))
    if not lengths[site] < limit:
        return math.inf, (0, 0)
    image = neighbors[site, int(itself[site])]
    first, second = sorted((site, int(np.concatenate(origins)[image])))
    return float(lengths[site]), (first, second)
