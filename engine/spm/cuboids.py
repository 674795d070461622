"""Boxes as shapes in space, for compiled code."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.descriptors.neighbors import Cell, Floats
from engine.spm.grid import Grid

NOT_PERIODIC = Cell(np.eye(3), np.eye(3), np.ones(3), np.zeros(3, np.bool_))
"""The cell of atoms whose boxes are cut out."""


class Cuboids(NamedTuple):
    """Boxes, all of one size and shape: `lows` (n, 3), `size` (3,), `strided` (3,), Å."""

    lows: Floats
    size: Floats
    strided: NDArray[np.bool_]
    sphere: bool


def cuboids(grid: Grid, indices: NDArray[np.integer]) -> Cuboids:
    """Return boxes of a grid by their indices (n, 3)."""
    return Cuboids(grid.lows(indices), np.array(grid.size), np.array(grid.strided), grid.shape == "sphere")


@compiled()
def contains(boxes: Cuboids, b: int, x: float, y: float, z: float) -> bool:
    """Whether a point is in box b: low ≤ x < low + size, and within half the size of its axis if a sphere."""
    square, radius = 0.0, 0.0
    for k in range(3):
        offset = (x if k == 0 else (y if k == 1 else z)) - boxes.lows[b, k]
        if not 0.0 <= offset < boxes.size[k]:
            return False
        if boxes.strided[k]:
            square += (offset - 0.5 * boxes.size[k]) ** 2
            radius = 0.5 * boxes.size[k]
    return not (boxes.sphere and square > radius * radius)
