"""Neighbours of one sublattice in another: compiled cell lists over explicit periodic images.

A search for β neighbours of α atoms lists the images of the β atoms that can be within reach of any α atom,
sorted into cubic cells, so that the atoms of consecutive cells along x lie behind one another in memory.
Whatever the dimension of the periodicity, the shape of the cell and the size of the search, this is the only
neighbour search of the project.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MAX_CELLS_PER_IMAGE = 4
"""Cells are made larger than asked for where there would be more of them than this, per image."""


MAX_IMAGES = 5_000_000
"""A search that needs more images than this (half a GB) is refused."""


class SearchTooLargeError(ValueError):
    """A cell so elongated or so sparse that its neighbour search would not fit into memory."""


class Cell(NamedTuple):
    """Lattice reduced for searching, completed to three independent vectors where it is not periodic."""

    vectors: Floats
    """(3, 3) Å, rows; unit vectors orthogonal to the periodic ones along non-periodic directions."""
    inverse: Floats
    """Inverse of `vectors`, so that fractional = cartesian @ inverse."""
    heights: Floats
    """(3,) Å, distance between the lattice planes of each direction."""
    periodic: NDArray[np.bool_]


class Images(NamedTuple):
    """Atoms and their periodic images, sorted by cell (x runs fastest)."""

    x: Floats
    y: Floats
    z: Floats
    key: Ints
    """3·index + 1 + s: s is 0 for the atom itself, and otherwise the sign of its lattice translation."""
    start: Ints
    """First image of each cell, and the number of images at the end."""
    origin: Floats
    edge: float
    shape: Ints


@compiled()
def reduced_cell(lattice: Floats, periodic: NDArray[np.bool_]) -> Cell:
    """Shorten the periodic lattice vectors by one another; complete the cell along the other directions."""
    vectors = np.zeros((3, 3))
    for k in range(3):
        if periodic[k]:
            vectors[k] = lattice[k]
    _shorten(vectors, periodic)
    _complete(vectors, periodic)
    inverse: Floats = np.linalg.inv(vectors).astype(np.float64)
    heights = np.empty(3)
    for k in range(3):
        heights[k] = 1.0 / np.sqrt(inverse[0, k] ** 2 + inverse[1, k] ** 2 + inverse[2, k] ** 2)
    return Cell(vectors, inverse, heights, periodic)


@compiled()
def _shorten(vectors: Floats, periodic: NDArray[np.bool_]) -> None:
    """Subtract integer multiples of one periodic vector from another until none becomes shorter."""
    for _ in range(100):
        changed = False
        for i in range(3):
            for j in range(3):
                if i == j or not (periodic[i] and periodic[j]):
                    continue
                square = (vectors[j] ** 2).sum()
                multiple = np.round((vectors[i] * vectors[j]).sum() / square)
                shorter = vectors[i] - multiple * vectors[j]
                if multiple != 0.0 and (shorter**2).sum() < (vectors[i] ** 2).sum() * (1.0 - 1e-9):
                    vectors[i] = shorter
                    changed = True
        if not changed:
            return


@compiled()
def _complete(vectors: Floats, periodic: NDArray[np.bool_]) -> None:
    """Replace the vectors of non-periodic directions by unit vectors orthogonal to all others."""
    filled = periodic.copy()
    for k in range(3):
        if filled[k]:
            continue
        best = np.zeros(3)
        for axis in range(3):
            candidate = np.zeros(3)
            candidate[axis] = 1.0
            candidate -= _projection(candidate, vectors, filled)
            if (candidate**2).sum() > (best**2).sum():
                best = candidate
        vectors[k] = best / np.sqrt((best**2).sum())
        filled[k] = True


@compiled()
def _projection(vector: Floats, vectors: Floats, chosen: NDArray[np.bool_]) -> Floats:
    """Part of `vector` within the span of the chosen rows (Gram–Schmidt)."""
    basis = np.zeros((3, 3))
    total = np.zeros(3)
    for k in range(3):
        if not chosen[k]:
            continue
        direction = vectors[k].copy()
        for j in range(k):
            direction -= (direction * basis[j]).sum() * basis[j]
        basis[k] = direction / np.sqrt((direction**2).sum())
        total += (vector * basis[k]).sum() * basis[k]
    return total


@compiled()
def wrapped(positions: Floats, cell: Cell) -> Floats:
    """Positions (n, 3) moved by lattice translations into the cell along its periodic directions."""
    fractional = positions @ cell.inverse
    for k in range(3):
        if cell.periodic[k]:
            fractional[:, k] -= np.floor(fractional[:, k])
    return fractional @ cell.vectors


@compiled()
def images_within(centers: Floats, positions: Floats, cell: Cell, reach: float, divisions: int) -> Images:
    """Images of `positions` within `reach` of the box around `centers`, in cells of edge reach/divisions.

    Both are (n, 3) Å and wrapped. The key of an image counts `positions` from 0.
    """
    low = np.array([centers[:, k].min() - reach for k in range(3)])
    high = np.array([centers[:, k].max() + reach for k in range(3)])
    x, y, z, key = _list_images(centers, positions, cell, reach, low, high)
    edge, shape = _grid(low, high, reach / divisions, x.size)
    where = np.empty(x.size, np.int64)
    for i in range(x.size):
        cx = min(int((x[i] - low[0]) / edge), shape[0] - 1)
        cy = min(int((y[i] - low[1]) / edge), shape[1] - 1)
        cz = min(int((z[i] - low[2]) / edge), shape[2] - 1)
        where[i] = (cz * shape[1] + cy) * shape[0] + cx
    order, start = _sort_by_cell(where, int(shape[0] * shape[1] * shape[2]))
    return Images(x[order], y[order], z[order], key[order], start, low, edge, shape)


@compiled()
def _list_images(
    centers: Floats, positions: Floats, cell: Cell, reach: float, low: Floats, high: Floats
) -> tuple[Floats, Floats, Floats, Ints]:
    """Coordinates and keys of all images inside the box from `low` to `high`."""
    first, last = _translations(centers, positions, cell, reach)
    total = 0
    for j in range(positions.shape[0]):
        counts = last[j] - first[j] + 1
        total += max(counts[0], 0) * max(counts[1], 0) * max(counts[2], 0)
    if total > MAX_IMAGES:
        raise SearchTooLargeError(
            "more than 5,000,000 periodic images lie within reach of a neighbour search: the cell is too "
            "elongated or too sparse for this cutoff; give the structure without periodicity on its long axis"
        )
    x, y, z, key = np.empty(total), np.empty(total), np.empty(total), np.empty(total, np.int64)
    count = 0
    a, b, c = cell.vectors[0], cell.vectors[1], cell.vectors[2]
    for j in range(positions.shape[0]):
        if last[j, 2] < first[j, 2]:
            continue
        for na in range(first[j, 0], last[j, 0] + 1):
            for nb in range(first[j, 1], last[j, 1] + 1):
                sx = positions[j, 0] + na * a[0] + nb * b[0]
                sy = positions[j, 1] + na * a[1] + nb * b[1]
                sz = positions[j, 2] + na * a[2] + nb * b[2]
                for nc in range(first[j, 2], last[j, 2] + 1):
                    x[count], y[count], z[count] = sx + nc * c[0], sy + nc * c[1], sz + nc * c[2]
                    sign = np.sign(na) if na != 0 else (np.sign(nb) if nb != 0 else np.sign(nc))
                    key[count] = 3 * j + 1 + sign
                    count += (
                        (low[0] <= x[count] <= high[0])
                        & (low[1] <= y[count] <= high[1])
                        & (low[2] <= z[count] <= high[2])
                    )
    return x[:count], y[:count], z[:count], key[:count]


@compiled()
def _translations(centers: Floats, positions: Floats, cell: Cell, reach: float) -> tuple[Ints, Ints]:
    """First and last multiples (n, 3) of the lattice vectors that can bring each atom within reach."""
    center_fractions = centers @ cell.inverse
    fractions = positions @ cell.inverse
    first = np.zeros((positions.shape[0], 3), np.int64)
    last = np.zeros((positions.shape[0], 3), np.int64)
    for k in range(3):
        if cell.periodic[k]:
            margin = reach / cell.heights[k] + 1e-9
            lowest, highest = center_fractions[:, k].min() - margin, center_fractions[:, k].max() + margin
            for j in range(positions.shape[0]):
                first[j, k] = int(np.ceil(lowest - fractions[j, k]))
                last[j, k] = int(np.floor(highest - fractions[j, k]))
    return first, last


@compiled()
def _grid(low: Floats, high: Floats, edge: float, images: int) -> tuple[float, Ints]:
    """Edge and numbers of cells along the axes, made coarser where cells would outnumber the images."""
    shape = np.empty(3, np.int64)
    while True:
        cells = 1.0
        for k in range(3):
            shape[k] = int((high[k] - low[k]) / edge) + 1
            cells *= shape[k]
        if cells <= MAX_CELLS_PER_IMAGE * images + 64.0:
            return edge, shape
        edge *= 1.3


@compiled()
def _sort_by_cell(where: Ints, cells: int) -> tuple[Ints, Ints]:
    """Order of the images by cell, and the first of each cell (cells + 1,), by a counting sort."""
    start = np.zeros(cells + 1, np.int64)
    for i in range(where.size):
        start[where[i] + 1] += 1
    for c in range(cells):
        start[c + 1] += start[c]
    fill = start[:-1].copy()
    order = np.empty(where.size, np.int64)
    for i in range(where.size):
        order[fill[where[i]]] = i
        fill[where[i]] += 1
    return order, start


@compiled()
def runs_within(images: Images, px: float, py: float, pz: float, reach: float, runs: Ints) -> int:
    """Write the (first, last + 1) ranges of images that can be within `reach` of a point; return how many.

    `runs` (n, 2) must hold as many rows as there are rows of cells within reach.
    """
    edge, origin, shape = images.edge, images.origin, images.shape
    count = 0
    first_z = max(int((pz - reach - origin[2]) / edge), 0)
    last_z = min(int((pz + reach - origin[2]) / edge), shape[2] - 1)
    first_y = max(int((py - reach - origin[1]) / edge), 0)
    last_y = min(int((py + reach - origin[1]) / edge), shape[1] - 1)
    for cz in range(first_z, last_z + 1):
        dz = max(origin[2] + cz * edge - pz, pz - origin[2] - (cz + 1) * edge, 0.0)
        for cy in range(first_y, last_y + 1):
            dy = max(origin[1] + cy * edge - py, py - origin[1] - (cy + 1) * edge, 0.0)
            square = reach * reach * (1.0 + 1e-12) - dz * dz - dy * dy
            if square < 0.0:
                continue
            half = np.sqrt(square)
            first_x = max(int((px - half - origin[0]) / edge), 0)
            last_x = min(int((px + half - origin[0]) / edge), shape[0] - 1)
            row = (cz * shape[1] + cy) * shape[0]
            begin, end = images.start[row + first_x], images.start[row + last_x + 1]
            if begin < end:
                runs[count, 0], runs[count, 1] = begin, end
                count += 1
    return count


@compiled()
def rows_within(images: Images, reach: float) -> int:
    """Upper bound of the number of ranges that `runs_within` writes."""
    across = int(2.0 * reach / images.edge) + 3
    return int(min(across, images.shape[1]) * min(across, images.shape[2]))
