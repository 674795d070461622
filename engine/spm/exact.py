"""Boxes as clusters of their own: what the paper does, box by box."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.descriptors.features import ROW_ERRORS, Failure
from engine.descriptors.neighbors import Floats, Ints
from engine.descriptors.soap import SoapResult, SoapSettings, checked, soap_vector
from engine.schema import STATUS_SPARSE
from engine.spm.atoms import Region
from engine.spm.grid import Grid

SPARSE = Failure(None, None, STATUS_SPARSE)
"""In place of the vector of a box with too few atoms."""
_NO_LATTICE = np.zeros((3, 3))
_NOT_PERIODIC = np.zeros(3, np.bool_)


class BoxVectors(NamedTuple):
    """Vectors of n boxes, or why there are none, and the numbers of atoms in them (n,)."""

    results: list[SoapResult | Failure]
    n_atoms: NDArray[np.int32]


def cut(region: Region, grid: Grid, indices: NDArray[np.integer]) -> Iterator[Ints]:
    """Yield for each box (n, 3) the rows of the region's atoms that are in it."""
    order = np.argsort(region.positions[:, 0], kind="stable")
    ascending = np.ascontiguousarray(region.positions[order])
    size, strided = np.array(grid.size), np.array(grid.strided)
    for low in grid.lows(indices):
        yield order[_inside(ascending, low, size, strided, grid.shape == "sphere")]


def exact_vectors(
    region: Region, grid: Grid, indices: NDArray[np.integer], settings: SoapSettings, min_atoms: int
) -> BoxVectors:
    """Describe boxes (n, 3), each as an isolated cluster without periodicity and with its own d_NN."""
    members = list(cut(region, grid, indices))
    results = [
        _cluster_vector(region, rows, settings) if len(rows) >= min_atoms else SPARSE for rows in members
    ]
    return BoxVectors(results, np.array([len(rows) for rows in members], np.int32))


def _cluster_vector(region: Region, rows: Ints, settings: SoapSettings) -> SoapResult | Failure:
    positions, species = region.positions[rows], region.species[rows]
    try:
        return checked(soap_vector(positions, species, _NO_LATTICE, _NOT_PERIODIC, settings))
    except ROW_ERRORS as error:
        return Failure(type(error).__name__, f"SOAP failed on a box of {len(rows)} atoms: {error}")


@compiled()
def _inside(ascending: Floats, low: Floats, size: Floats, strided: NDArray[np.bool_], sphere: bool) -> Ints:
    """Rows of positions (N, 3), sorted by x, in the cuboid at `low` (3,) or in its sphere."""
    first, last = np.searchsorted(ascending[:, 0], low[0]), np.searchsorted(ascending[:, 0], low[0] + size[0])
    rows = np.empty(last - first, np.int64)
    count = 0
    for i in range(first, last):
        inside = True
        square, radius = 0.0, 0.0
        for k in range(3):
            offset = ascending[i, k] - low[k]
            inside = inside and 0.0 <= offset < size[k]
            if strided[k]:
                square += (offset - 0.5 * size[k]) ** 2
                radius = 0.5 * size[k]
        if inside and not (sphere and square > radius * radius):
            rows[count] = i
            count += 1
    return rows[:count]
