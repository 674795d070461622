"""Bicrystals with a twist or a tilt boundary, by the coincidence-site lattices of pymatgen."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jobs.studies.atomistic.system import Floats, Grain, System, system

if TYPE_CHECKING:
    from pymatgen.core.interface import GrainBoundary
    from pymatgen.core.structure import Structure

Kind = Literal["twist", "tilt"]
Miller = tuple[int, int, int]

WIDTH, LENGTH = 30.0, 60.0
"""Å, in the plane of the boundary and across it."""
_ROUNDING = 1e-6
TOO_CLOSE = 0.7
"""Of two atoms closer than so many bond lengths at the boundary, one is left out."""


class Crystal(NamedTuple):
    """A crystal whose grains are rotated by `angle`, degrees, about `twist` or, boundary `plane`, `tilt`.

    Coordinates are fractional, lengths in Å.
    """

    prototype: str
    symbol: str
    a: float
    c: float | None
    coordinates: tuple[tuple[float, float, float], ...]
    angle: float
    tilt: Miller
    plane: Miller


_SIGMA_5 = math.degrees(2.0 * math.atan(1.0 / 3.0))
_SIGMA_7 = math.degrees(math.acos(13.0 / 14.0))
_THIRD, _TWO_THIRDS = 1.0 / 3.0, 2.0 / 3.0

CRYSTALS = {
    "fcc": Crystal(
        "fcc_Cu_A_cF4_225_a",
        "Cu",
        3.615,
        None,
        ((0.0, 0.0, 0.0), (0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0)),
        _SIGMA_5,
        (1, 0, 0),
        (0, 3, 1),
    ),
    "bcc": Crystal(
        "bcc_W_A_cI2_229_a",
        "Fe",
        2.866,
        None,
        ((0.0, 0.0, 0.0), (0.5, 0.5, 0.5)),
        _SIGMA_5,
        (1, 0, 0),
        (0, 3, 1),
    ),
    "hcp": Crystal(
        "hcp_Mg_A_hP2_194_c",
        "Mg",
        3.209,
        5.211,
        ((_THIRD, _TWO_THIRDS, 0.25), (_TWO_THIRDS, _THIRD, 0.75)),
        _SIGMA_7,
        (0, 0, 1),
        (4, 1, 0),
    ),
    "dhcp": Crystal(
        "dhcp_alphaLa_A_hP4_194_ac",
        "La",
        3.774,
        12.171,
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.5), (_THIRD, _TWO_THIRDS, 0.25), (_TWO_THIRDS, _THIRD, 0.75)),
        _SIGMA_7,
        (0, 0, 1),
        (4, 1, 0),
    ),
}
"""Σ5 about a cube axis, Σ7 about the hexagonal one; twist boundaries are perpendicular to [001]."""


def bicrystal(lattice: str, kind: Kind, width: float = WIDTH, length: float = LENGTH) -> System:
    """Two grains of one crystal, `width` × `width` × `length` Å, that meet at z = 0.

    A twist boundary is perpendicular to the axis of rotation, a tilt boundary contains it, along x.
    """
    crystal = CRYSTALS[lattice]
    positions, is_upper = _patch(_coincidence_cell(crystal, kind, length), width)
    positions[:, 2] -= 0.5 * (positions[~is_upper, 2].max() + positions[is_upper, 2].min())
    kept = np.abs(positions[:, 2]) < 0.5 * length
    grains = (Grain("lower", crystal.prototype), Grain("upper", crystal.prototype))
    return system(positions[kept], [crystal.symbol] * int(kept.sum()), is_upper[kept].astype(np.int8), grains)


def _coincidence_cell(crystal: Crystal, kind: Kind, length: float) -> GrainBoundary:
    """A periodic cell with a grain of at least half the `length`, Å, on either side of each boundary."""
    thin = _generated(crystal, kind, 1)
    return _generated(crystal, kind, math.ceil(length / thin.lattice.c) + 1)


def _generated(crystal: Crystal, kind: Kind, times: int) -> GrainBoundary:
    from pymatgen.core.interface import GrainBoundaryGenerator

    axis, plane = ((0, 0, 1), None) if kind == "twist" else (crystal.tilt, crystal.plane)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the symmetry search, about its own deprecations
        return GrainBoundaryGenerator(_unit_cell(crystal)).gb_from_parameters(
            axis, crystal.angle, expand_times=times, plane=plane, normal=True, rm_ratio=TOO_CLOSE
        )


def _unit_cell(crystal: Crystal) -> Structure:
    from pymatgen.core.lattice import Lattice
    from pymatgen.core.structure import Structure

    shape = Lattice.cubic(crystal.a) if crystal.c is None else Lattice.hexagonal(crystal.a, crystal.c)
    return Structure(shape, [crystal.symbol] * len(crystal.coordinates), crystal.coordinates)


def _patch(cell: GrainBoundary, width: float) -> tuple[Floats, NDArray[np.bool_]]:
    """Positions (n, 3), Å, of a square patch of the bicrystal, and which are of the upper grain (n,).

    The first in-plane lattice vector becomes x, the normal of the boundary z.
    """
    first, second, normal = cell.lattice.matrix
    x, z = first / np.linalg.norm(first), normal / np.linalg.norm(normal)
    axes = np.stack([x, np.cross(z, x), z])
    reach = math.ceil(2.0 * width / min(np.linalg.norm(first), np.linalg.norm(second))) + 1
    steps = np.arange(-reach, reach + 1)
    shifts = (steps[:, None, None] * first + steps[:, None] * second).reshape(-1, 3)
    fractional = cell.frac_coords % 1.0
    fractional[fractional > 1.0 - _ROUNDING] = 0.0
    positions = (shifts[:, None] + fractional @ cell.lattice.matrix).reshape(-1, 3) @ axes.T
    is_upper = np.tile(fractional[:, 2] > 0.5 - _ROUNDING, len(shifts))
    kept = (np.abs(positions[:, :2]) < 0.5 * width).all(axis=1)
    return positions[kept], is_upper[kept]
