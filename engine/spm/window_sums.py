"""Sums over the atoms of every box of a dense block, axis by axis."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.descriptors.neighbors import Floats, Ints
from engine.spm.grid import Grid

Singles = NDArray[np.float32]


def boxes_of_atoms(positions: Floats, grid: Grid, first: Ints, shape: Ints) -> tuple[Ints, Ints]:
    """Find the first and the last box (n, 3) that holds each position, Å, along each axis.

    Boxes count from `first` (3,) of the grid; those outside the block of `shape` (3,) are left out, and where
    none is left the last is before the first.
    """
    stride, size = np.array(grid.stride), np.array(grid.size)
    low = grid.lows(first[None])[0]
    last = np.floor((positions - low) / stride).astype(np.int64)
    start = np.floor((positions - low - size) / stride).astype(np.int64) + 1
    single = ~np.array(grid.strided)
    last[:, single], start[:, single] = 0, 0
    return np.clip(start, 0, shape), np.clip(last, -1, shape - 1)


@compiled()
def add_to_boxes(rows: Singles, first: Ints, last: Ints, plane: Singles, out: Singles) -> None:
    """Add row i (n, width) to all boxes from first[i] to last[i] (n, 3), in `out` (nz, ny, nx, width).

    Atoms of the same z range must follow one another, and within these those of the same y range: each such
    row of atoms is summed along x, the rows are added along y, and the planes along z. `plane` (ny + 1, nx,
    width) is a buffer of zeros.
    """
    n, line = rows.shape[0], plane[-1]
    i = 0
    while i < n:
        z0, z1 = first[i, 2], last[i, 2]
        plane[:] = 0.0
        while i < n and first[i, 2] == z0 and last[i, 2] == z1:
            y0, y1 = first[i, 1], last[i, 1]
            left, right = line.shape[0], -1
            while i < n and first[i, 2] == z0 and last[i, 2] == z1 and first[i, 1] == y0 and last[i, 1] == y1:
                left, right = min(left, first[i, 0]), max(right, last[i, 0])
                for x in range(first[i, 0], last[i, 0] + 1):
                    _add(rows[i], line[x])
                i += 1
            for x in range(left, right + 1):
                for y in range(y0, y1 + 1):
                    _add(line[x], plane[y, x])
                line[x] = 0.0
        for z in range(z0, z1 + 1):
            _add(plane[:-1].reshape(-1), out[z].reshape(-1))


@compiled()
def _add(values: Singles, target: Singles) -> None:
    for q in range(values.size):
        target[q] += values[q]


class Spheres(NamedTuple):
    """Where the spheres of a block are: the middle of the first one, their distances and their radius, Å."""

    middle: Floats
    stride: Floats
    strided: NDArray[np.bool_]
    radius: float


@compiled()
def add_to_spheres(
    rows: Singles, positions: Floats, first: Ints, last: Ints, spheres: Spheres, out: Singles
) -> None:
    """Add row i (n, width) to all spheres that hold position i (n, 3), Å, in `out` (nz, ny, nx, width).

    `first` and `last` (n, 3) are the boxes around spheres that hold it.
    """
    for i in range(rows.shape[0]):
        for z in range(first[i, 2], last[i, 2] + 1):
            for y in range(first[i, 1], last[i, 1] + 1):
                for x in range(first[i, 0], last[i, 0] + 1):
                    square = 0.0
                    for k in range(3):
                        if spheres.strided[k]:
                            place = x if k == 0 else (y if k == 1 else z)
                            square += (positions[i, k] - spheres.middle[k] - place * spheres.stride[k]) ** 2
                    if square <= spheres.radius * spheres.radius:
                        _add(rows[i], out[z, y, x])
