"""Lattices of batches of structures, completed to three vectors where they are periodic along fewer."""

import math

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled

Floats = NDArray[np.float64]

_TINY = 1e-300


@compiled("numpy")
def completed_cells(lattices: Floats, periodic: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Cells (B, 3, 3), their inverses (B, 3, 3) and signed volumes (B,), from lattice vectors in Å.

    The rows of a cell are the periodic lattice vectors and, along the other directions, unit normals to all
    other rows, right-handed; fractional = cartesian @ inverse. Periodic vectors that are linearly dependent
    make the volume zero and the inverse infinite or NaN.
    """
    shape = lattices.shape
    cells, inverses, volumes = np.zeros(shape), np.empty(shape), np.empty(shape[0])
    normals = np.empty((3, 3))
    for row in range(shape[0]):
        cell = cells[row]
        for i in range(3):
            for k in range(3):
                if periodic[row, i]:
                    cell[i, k] = lattices[row, i, k]
        _complete(cell, periodic[row])
        for i in range(3):
            _cross(cell[(i + 1) % 3], cell[(i + 2) % 3], normals[i])
        volume = cell[0, 0] * normals[0, 0] + cell[0, 1] * normals[0, 1] + cell[0, 2] * normals[0, 2]
        for i in range(3):
            for k in range(3):
                inverses[row, k, i] = normals[i, k] / volume
        volumes[row] = volume
    return cells, inverses, volumes


@compiled("numpy")
def _complete(cell: Floats, periodic: NDArray[np.bool_]) -> None:
    """Put unit normals into the rows of ``cell`` that are not periodic."""
    if not (periodic[0] or periodic[1] or periodic[2]):
        cell[0, 0] = cell[1, 1] = cell[2, 2] = 1.0
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        if periodic[j] and periodic[k] and not periodic[i]:
            _unit_normal(cell[j], cell[k], cell[i])
        if periodic[i] and not (periodic[j] or periodic[k]):
            apart = np.zeros(3)
            apart[_smallest(cell[i])] = 1.0
            _unit_normal(cell[i], apart, cell[j])
            _unit_normal(cell[i], cell[j], cell[k])


@compiled("numpy")
def _smallest(vector: Floats) -> int:
    """Index of the smallest component of a vector."""
    a, b, c = abs(vector[0]), abs(vector[1]), abs(vector[2])
    if a <= b and a <= c:
        return 0
    return 1 if b <= c else 2


@compiled("numpy")
def _unit_normal(a: Floats, b: Floats, out: Floats) -> None:
    """Write the direction of a × b; zero where there is none."""
    _cross(a, b, out)
    length = math.sqrt(out[0] * out[0] + out[1] * out[1] + out[2] * out[2])
    for k in range(3):
        out[k] /= max(length, _TINY)


@compiled("numpy")
def _cross(a: Floats, b: Floats, out: Floats) -> None:
    out[0] = a[1] * b[2] - a[2] * b[1]
    out[1] = a[2] * b[0] - a[0] * b[2]
    out[2] = a[0] * b[1] - a[1] * b[0]
