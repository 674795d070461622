"""Where boxes lie in a particle: how far from its centre of mass, and how deep under its surface."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

import numpy as np
from numpy.typing import NDArray

from engine.descriptors.neighbors import Floats
from engine.spm.atoms import AtomsTable, Region
from engine.spm.grid import Grid

PROBE = 4.0
"""Å: a point farther than this from all atoms is outside; holes that a smaller sphere fills are not."""
_VOXEL = 1.0
_MAX_VOXELS = 8_000_000


def brick_corners(atoms: AtomsTable) -> Iterator[tuple[Floats, Floats]]:
    """Low and high corners (3,), Å, of the table's bricks: cuboids that together hold each atom once."""
    low, high = atoms.bounds
    edge = atoms.table.fingerprint.settings["brick"]
    for place in product(*(range(n + 1) for n in atoms.places(high[None])[0].tolist())):
        corner = np.array(place)
        yield low + corner * edge, low + (corner + 1) * edge


def bricks(atoms: AtomsTable, frame: int) -> Iterator[Region]:
    """Read a frame brick by brick."""
    reader = atoms.reader()
    for low, high in brick_corners(atoms):
        region = reader.within(frame, low, high)
        if len(region.atoms):
            yield region


def center_of_mass(atoms: AtomsTable, frame: int, masses: Mapping[str, float]) -> Floats:
    """Mean position (3,), Å, of the atoms of a frame, weighted by the masses of their species."""
    of_species = np.array([masses[label] for label in atoms.labels])
    moment, total = np.zeros(3), 0.0
    for region in bricks(atoms, frame):
        weights = of_species[region.species]
        moment += weights @ region.positions
        total += weights.sum()
    return moment / total


def center_distances(grid: Grid, center: Floats) -> Floats:
    """Distance (nx, ny, nz), Å, of the middles of all boxes from a point, along the strided axes."""
    offsets = (grid.centers(grid.indices()) - center)[:, list(grid.strided)]
    return np.asarray(np.linalg.norm(offsets, axis=1).reshape(grid.counts))


def surface_depths(atoms: AtomsTable, frame: int, grid: Grid, probe: float = PROBE) -> Floats:
    """Depth (nx, ny, nz), Å, of the middles of all boxes under a frame's surface, to about 1.5 Å.

    Outside is where a sphere of radius `probe`, Å, holds no atom, in large voids too. The outermost atoms
    have the depth 0, and points beyond them a negative one. Along axes that are not strided there is no
    surface.
    Two Euclidean distance transforms on at most 8 million voxels.
    """
    from scipy.ndimage import distance_transform_edt, map_coordinates

    axes = np.flatnonzero(grid.strided)
    low, high = (bound[axes] for bound in atoms.bounds)
    voxel = _voxel_edge(high - low, probe)
    start = low - probe - 2.0 * voxel
    shape = np.ceil((high - low + 2.0 * probe + 4.0 * voxel) / voxel).astype(np.int64) + 1
    occupied = np.zeros(shape, np.bool_)
    for region in bricks(atoms, frame):
        occupied[tuple(np.rint((region.positions[:, axes] - start) / voxel).astype(np.int64).T)] = True
    from_atoms = distance_transform_edt(~occupied, sampling=voxel)
    outside = from_atoms > probe
    depth = np.where(outside, -from_atoms, distance_transform_edt(~outside, sampling=voxel) - probe)
    middles = (grid.centers(grid.indices())[:, axes] - start) / voxel
    return np.asarray(map_coordinates(depth, middles.T, order=1, mode="nearest").reshape(grid.counts))


def _voxel_edge(extent: NDArray[np.float64], probe: float) -> float:
    """Edge of a voxel, Å: `_VOXEL`, or more where there would be too many."""
    volume = float(np.prod(extent + 2.0 * probe + 4.0 * _VOXEL))
    return max(_VOXEL, float((volume / _MAX_VOXELS) ** (1.0 / len(extent))))
