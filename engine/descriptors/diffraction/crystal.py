"""The finite crystal that diffracts: a standard cell, replicated and scaled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.descriptors.diffraction.detector import HEAVIEST
from engine.descriptors.diffraction.settings import TARGET_ATOMS
from engine.descriptors.diffraction.standard_cell import StandardCell, standard_cell
from engine.descriptors.neighbors import Floats, Ints
from engine.descriptors.scaling import mean_nearest_distance


class UnknownElementError(ValueError):
    """An element without form factor."""


class Crystal(NamedTuple):
    """n atoms, in units of the mean distance to the nearest neighbour."""

    positions: Floats
    """(n, 3), Cartesian, around the origin."""
    numbers: Ints
    """(n,) atomic numbers."""
    d_nn: float
    """Å, the unit of length."""
    space_group: int
    """Of the infinite crystal."""


def diffracting_crystal(positions: Floats, numbers: Ints, lattice: Floats) -> Crystal:
    """The crystal whose diffraction pattern is the structure's fingerprint.

    `positions` (n, 3) Å Cartesian, `numbers` (n,), `lattice` (3, 3) Å as rows. Source: Ziletti et al., Nat.
    Commun. 9, 2775 (2018), Methods: conventional standard cell, replicated to about 128 atoms, scaled
    isotropically by the mean nearest-neighbour distance. Raises ValueError for too many atoms, for elements
    beyond the form factors' tables, and where no symmetry can be determined.
    """
    if numbers.max() > HEAVIEST:
        raise UnknownElementError(
            f"element {numbers.max()} has no form factor: the tables of Waasmaier and Kirfel end with "
            f"element {HEAVIEST}; leave the structure out or replace the element"
        )
    cell = standard_cell(positions, numbers, lattice)
    lattice, placed, kinds = supercell(cell)
    everywhere = np.ones(3, np.bool_)
    d_nn = mean_nearest_distance(cell.fractional @ cell.lattice, cell.lattice, everywhere)
    centered = placed - 0.5 * lattice.sum(axis=0)
    return Crystal(centered / d_nn, kinds, d_nn, cell.space_group)


def supercell(cell: StandardCell) -> tuple[Floats, Floats, Ints]:
    """Lattice (3, 3) Å, positions (n, 3) Å and atomic numbers (n,) of about 128 atoms, whole cells."""
    counts = replications(cell.lattice, len(cell.numbers))
    cells = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), axis=-1).reshape(-1, 1, 3)
    positions = (cells + cell.fractional).reshape(-1, 3) @ cell.lattice
    return counts[:, None] * cell.lattice, positions, np.tile(cell.numbers, len(cells))


def replications(lattice: Floats, atoms: int) -> Ints:
    """How often (3,) a cell of so many atoms is repeated along its vectors: about 128 atoms, compact.

    The shortest edge grows by a cell at a time, the first of equal ones first, until there are 128 atoms; the
    last step is taken back if that is nearer to 128.
    """
    edges = np.linalg.norm(lattice, axis=1)
    counts = np.ones(3, np.int64)
    before = counts.copy()
    while atoms * counts.prod() < TARGET_ATOMS:
        before = counts.copy()
        counts[np.argmin(np.round(counts * edges / edges.min(), 3))] += 1
    excess = atoms * counts.prod() - TARGET_ATOMS
    return counts if excess <= TARGET_ATOMS - atoms * before.prod() else before


def compile_search() -> None:
    """Compile all that `diffracting_crystal` runs, or load it from the cache."""
    mean_nearest_distance(np.zeros((1, 3)), np.eye(3), np.ones(3, np.bool_))
