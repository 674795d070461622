"""The conventional standard cell of a crystal: one orientation and one origin for all descriptions of it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.structure import Structure as PymatgenStructure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer, SpacegroupOperations

from engine.descriptors.neighbors import Floats, Ints
from engine.symmetry.crystal import crystal_symmetry

if TYPE_CHECKING:
    from spglib import SpglibDataset

EQUAL_GAPS = 1e-3
"""Gaps between atomic planes that differ less, in units of the lattice vector, are equal."""

_RESOLUTION = 1e-3
"""Coordinates that differ less are one when atoms are ordered."""
_OFF_FRACTIONS = 0.8
"""Keeps the simple fractions of special positions off the steps' ends, where rounding would decide."""
_SHIFT = 1 << 11

_PROBE = 1 / 64
_PROBES = ("H", "Li", "Be", "B")


class StandardCell(NamedTuple):
    """n atoms in a conventional standard cell."""

    lattice: Floats
    """(3, 3) Å, rows."""
    fractional: Floats
    """(n, 3) in [0, 1), with the cell's faces in the widest gaps between atomic planes."""
    numbers: Ints
    """(n,) atomic numbers."""
    space_group: int
    """Number in the International Tables."""


def standard_cell(positions: Floats, numbers: Ints, lattice: Floats) -> StandardCell:
    """The conventional standard cell of a crystal, with the symmetry that it has within 0.01 Å.

    `positions` (n, 3) Å Cartesian, `numbers` (n,), `lattice` (3, 3) Å as rows. The symmetry and the idealised
    positions are spglib's, lengths, angles, order and orientation of the axes those of W. Setyawan, S.
    Curtarolo, Comput. Mater. Sci. 49, 299 (2010), as pymatgen implements them. Raises SymmetryError.
    """
    data = crystal_symmetry(positions, numbers, lattice)
    standard, axes = _Setting(data).standard_axes()
    elements = np.asarray(data.std_types, np.int64)
    fractional = between_planes(np.asarray(data.std_positions) @ axes, elements)
    return StandardCell(standard, fractional, elements, int(data.number))


def between_planes(fractional: Floats, numbers: Ints) -> Floats:
    """Shift and wrap coordinates (n, 3) so that the cell's faces lie between atomic planes.

    Along each vector the face lies in the middle of the widest gap. Where gaps are equally wide, the ways to
    place the faces are compared and the one whose atoms come first in order is taken: a piece cut from
    the crystal then has whole planes, and is the same wherever the origin was.
    """
    ways = itertools.product(*(_faces(fractional[:, axis], numbers) for axis in range(3)))
    placed = np.array([(fractional - np.array(faces)) % 1.0 for faces in ways])
    first: Floats = placed[_first(placed, numbers)[0]]
    return first


def _faces(coordinates: Floats, numbers: Ints) -> Floats:
    """The middles (k,) of the widest gaps between coordinates (n,) in a periodic cell.

    Of several, those behind which the atoms come first in order.
    """
    planes = np.sort(coordinates % 1.0)
    gaps = np.diff(planes, append=planes[0] + 1.0)
    widest = gaps >= gaps.max() - EQUAL_GAPS
    middles: Floats = planes[widest] + 0.5 * gaps[widest]
    return middles[_first((coordinates - middles[:, None])[..., None] % 1.0, numbers)]


def _first(placed: Floats, numbers: Ints) -> Ints:
    """Which of k placements (k, n, dimensions) of atoms come first when their atoms are ordered."""
    keys = np.broadcast_to(numbers, placed.shape[:2])
    for steps in np.moveaxis(np.floor(placed / _RESOLUTION + _OFF_FRACTIONS).astype(np.int64), 2, 0):
        keys = keys * _SHIFT + steps
    keys = np.sort(keys)
    return np.flatnonzero((keys == keys[np.lexsort(keys.T[::-1])[0]]).all(axis=1))


class _Setting(SpacegroupAnalyzer):
    """pymatgen's standard setting for a symmetry that is known, read off what it does to four atoms.

    pymatgen would find the symmetry twice and build the whole crystal several times over.
    """

    def __init__(self, data: SpglibDataset) -> None:
        self._space_group_data = data

    def get_space_group_operations(self) -> SpacegroupOperations:
        """Return the name of the group without its operations: no setting depends on them."""
        return SpacegroupOperations(self.get_space_group_symbol(), self.get_space_group_number(), [])

    def get_refined_structure(self, keep_site_properties: bool = False) -> PymatgenStructure:  # noqa: ARG002
        """Return spglib's standard lattice with an atom in the origin and one a little along each vector."""
        lattice = self.get_symmetry_dataset().std_lattice
        return PymatgenStructure(lattice, _PROBES, np.vstack([np.zeros(3), _PROBE * np.eye(3)]))

    def standard_axes(self) -> tuple[Floats, NDArray[np.float64]]:
        """Lattice (3, 3) Å of the standard cell, and what maps fractional coordinates of spglib's cell to it.

        fractional in the standard cell = fractional in spglib's cell @ axes.
        """
        standard = self.get_conventional_standard_structure()
        place = {site.specie.symbol: site.frac_coords for site in standard}
        origin = place[_PROBES[0]]
        moved = np.array([place[symbol] - origin for symbol in _PROBES[1:]])
        return np.array(standard.lattice.matrix), (moved - np.round(moved)) / _PROBE
