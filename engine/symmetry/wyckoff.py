"""The Wyckoff positions of a space group, as classes of the points of a fine grid.

Every Wyckoff position of every space group has points whose coordinates are multiples of 1/24 and whose site
symmetry is no higher than its own, so that integers tell all of them apart. Coordinates are those of the
setting that spglib standardises to: unique axis b, first cell choice, first origin choice, hexagonal axes.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import spglib
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Integers = NDArray[np.int64]

STEPS = 24
"""Grid points along a lattice vector."""
SPACE_GROUPS = 230
HALL_NUMBERS = 530

_IDENTITY = np.eye(3, dtype=np.int64)
_STRIDES = np.array([STEPS * STEPS, STEPS, 1])


class Operations(NamedTuple):
    """The n operations of a space group modulo the conventional cell."""

    rotations: Integers
    """(n, 3, 3), of fractional coordinates."""
    translations: Integers
    """(n, 3), in units of 1/24."""

    @property
    def centerings(self) -> Integers:
        """Lattice points (k, 3) of the cell, in units of 1/24."""
        pure = (self.rotations == _IDENTITY).all(axis=(1, 2))
        return np.asarray(self.translations[pure])

    @property
    def representatives(self) -> Operations:
        """One operation of each rotation."""
        _, first = np.unique(self.rotations.reshape(-1, 9), axis=0, return_index=True)
        return Operations(self.rotations[first], self.translations[first])


@cache
def standard_hall_number(number: int) -> int:
    """Number of the Hall symbol to which spglib standardises a space group: the first of its settings."""
    for hall in range(1, HALL_NUMBERS + 1):
        group = spglib.get_spacegroup_type(hall)
        if group is not None and group.number == number:
            return hall
    raise ValueError(f"there is no space group {number}: they are numbered from 1 to {SPACE_GROUPS}")


def operations(number: int) -> Operations:
    """Return the operations of a space group in the standard setting."""
    found: Any = spglib.get_symmetry_from_database(standard_hall_number(number))
    shifts = np.rint(found["translations"] * STEPS).astype(np.int64) % STEPS
    return Operations(found["rotations"].astype(np.int64), shifts)


def grid() -> Integers:
    """All points (24³, 3) of the grid, in units of 1/24; `places` are their rows."""
    return np.stack(np.meshgrid(*[np.arange(STEPS)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)


def places(points: Integers) -> Integers:
    """Rows (n,) in `grid` of points (n, 3)."""
    return np.asarray(points % STEPS @ _STRIDES)


def wyckoff_classes(group: Operations) -> Integers:
    """To which Wyckoff position each point (24³,) of the grid belongs, counted from 0 in no special order.

    Two points belong to one position where their site symmetry groups are conjugate: where an operation
    brings one into the affine subspace that the other's site symmetry fixes.
    """
    points = grid()
    kinds, kind = np.unique(_stabilizers(points, group), axis=0, return_inverse=True)
    kind = kind.reshape(-1)
    starts = [places(points)] * len(group.rotations)
    ends = [places(points @ r.T + t) for r, t in zip(*group, strict=True)]
    for number, stabilizer in enumerate(kinds):
        rows = np.flatnonzero(kind == number)
        if stabilizer.sum() == 1:  # the general position
            starts.append(rows)
            ends.append(np.full_like(rows, rows[0]))
            continue
        for shift in _shifts(group.representatives.rotations[stabilizer]):
            reached = places(points[rows] + shift)
            same = kind[reached] == number
            starts.append(rows[same])
            ends.append(reached[same])
    joined = np.concatenate(starts), np.concatenate(ends)
    graph = coo_array((np.ones(len(joined[0]), np.int8), joined), shape=(len(points), len(points)))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _stabilizers(points: Integers, group: Operations) -> NDArray[np.bool_]:
    """Which rotations of the point group (n, m), each with some translation, leave points (n, 3) in place."""
    centerings = group.centerings
    fixed = [
        (((points @ (r - _IDENTITY).T + t)[:, None] + centerings) % STEPS == 0).all(axis=2).any(axis=1)
        for r, t in zip(*group.representatives, strict=True)
    ]
    return np.stack(fixed, axis=1)


def _shifts(rotations: Integers) -> Integers:
    """Steps (k, 3), in units of 1/24, along what all rotations (m, 3, 3) leave in place."""
    small = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    kept = small[(np.tensordot(small, rotations - _IDENTITY, (1, 2)) == 0).all(axis=(1, 2))]
    return np.unique(np.arange(STEPS)[:, None, None] * kept % STEPS, axis=1).reshape(-1, 3)
