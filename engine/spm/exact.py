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
from engine.spm.cuboids import Cuboids, contains, cuboids
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
    boxes = cuboids(grid, indices)
    for b in range(len(indices)):
        yield order[_inside(ascending, boxes, b)]


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
def _inside(ascending: Floats, boxes: Cuboids, b: int) -> Ints:
    """Rows of positions (N, 3), sorted by x, that are in box b."""
    low = boxes.lows[b, 0]
    first, last = np.searchsorted(ascending[:, 0], low), np.searchsorted(ascending[:, 0], low + boxes.size[0])
    rows = np.empty(last - first, np.int64)
    count = 0
    for i in range(first, last):
        rows[count] = i
        count += contains(boxes, b, ascending[i, 0], ascending[i, 1], ascending[i, 2])
    return rows[:count]
