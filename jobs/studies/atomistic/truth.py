"""Which boxes lie inside a grain and which on a boundary, from the known grains of the atoms."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jobs.studies.atomistic.defects import nearest_distances

if TYPE_CHECKING:
    from engine.spm import Grid
    from jobs.studies.atomistic.system import System

Marks = NDArray[np.bool_]

BOUNDARY = 0.8
"""A box on a boundary has at most this share of its atoms in one grain."""
FILLED = 1.5
"""A box is filled if atoms are within so many nearest-neighbour distances of its corners and middles."""


class BoxTruth(NamedTuple):
    """What is known of the boxes of a grid, arrays (nx, ny, nz); `atoms` (G, nx, ny, nz) counts by grain.

    `filled` boxes do not reach into a vacuum.
    """

    atoms: NDArray[np.int64]
    filled: Marks

    @property
    def purity(self) -> NDArray[np.float64]:
        """Largest share of a box's atoms in one grain, 0 where there are none."""
        return np.asarray(self.atoms.max(axis=0) / np.maximum(self.atoms.sum(axis=0), 1))

    @property
    def boundary(self) -> Marks:
        """Filled boxes on a boundary between grains."""
        return np.asarray(self.filled & (self.purity <= BOUNDARY))

    @property
    def interior(self) -> Marks:
        """Filled boxes with atoms of one grain only."""
        return np.asarray(self.filled & (self.purity == 1.0))

    def inside(self, grain: int) -> Marks:
        """Filled boxes with atoms of this grain only."""
        return np.asarray(self.interior & (self.atoms[grain] > 0))


def box_truth(known: System, grid: Grid) -> BoxTruth:
    """Count the atoms of every grain in the boxes."""
    from engine.spm.boxes import atoms_in_boxes

    grains = range(len(known.grains))
    atoms = np.stack([atoms_in_boxes(grid, known.positions_of(grain)) for grain in grains])
    return BoxTruth(atoms, (atoms.sum(axis=0) > 0) & _filled(known, grid))


def _filled(known: System, grid: Grid) -> Marks:
    """Mark boxes with atoms near their corners, the middles of their edges and faces, and their own.

    Only the strided axes count.
    """
    from scipy.spatial import cKDTree

    strided = np.flatnonzero(grid.strided)
    tree = cKDTree(known.frame.positions[:, strided])
    reach = FILLED * np.nanmax(nearest_distances(known))
    lows = grid.lows(grid.indices())[:, strided]
    filled = np.ones(len(lows), np.bool_)
    for place in product((0.0, 0.5, 1.0), repeat=len(strided)):
        points = lows[filled] + np.array(place) * np.array(grid.size)[strided]
        filled[filled] = np.isfinite(tree.query(points, distance_upper_bound=reach)[0])
    return filled.reshape(grid.counts)
