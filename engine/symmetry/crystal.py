"""The symmetry of a crystal, as spglib finds it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import spglib
from numpy.typing import NDArray

if TYPE_CHECKING:
    from spglib import SpglibDataset

SYMMETRY_TOLERANCE = 0.01
"""Å, by which atoms may miss the symmetry that is found."""
ANGLE_TOLERANCE = 5.0
"""Degrees, likewise for angles; both are pymatgen's defaults."""
FROM_LENGTHS = -1.0
"""In place of a tolerance for angles: that which the tolerance for lengths implies."""
MAX_SITES = 2000
"""More atoms in a cell are refused: the time to find the symmetry grows with the square of their number."""


class SymmetryError(ValueError):
    """A crystal whose symmetry cannot be determined."""


class TooManySitesError(SymmetryError):
    """A cell too large for its symmetry to be found in seconds."""


def crystal_symmetry(
    positions: NDArray[np.float64],
    numbers: NDArray[np.int64],
    lattice: NDArray[np.float64],
    tolerance: float = SYMMETRY_TOLERANCE,
    angle_tolerance: float = ANGLE_TOLERANCE,
) -> SpglibDataset:
    """Spglib's findings about a crystal, within tolerances in Å and degrees.

    `positions` (n, 3) Å Cartesian, `numbers` (n,) atomic numbers, `lattice` (3, 3) Å as rows. Raises
    SymmetryError, and TooManySitesError.
    """
    if len(positions) > MAX_SITES:
        raise TooManySitesError(
            f"the cell has {len(positions)} sites, more than {MAX_SITES}: its symmetry would take too "
            "long to find; use a smaller cell"
        )
    # Spglib writes to the terminal whenever it tries a lower tolerance; what it raises in the end is enough.
    os.environ.setdefault("SPGLIB_WARNING", "OFF")
    cell: Any = lattice, positions @ np.linalg.inv(lattice), numbers  # arrays, as spglib takes them
    try:
        data = spglib.get_symmetry_dataset(cell, tolerance, angle_tolerance)
    except spglib.SpglibError as error:
        raise SymmetryError(str(error)) from error
    if data is None:
        raise SymmetryError("spglib finds no symmetry: are two atoms nearly in one place?")
    return data
