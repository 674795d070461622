"""Elements by their mass, for files that tell nothing else."""

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from connectors.atomistic.names import NAME_TYPES
from engine.errors import CrysiftError

TOLERANCE = 0.05
"""u; Co and Ni differ by 0.24, the closest elements that alloys are made of."""


def elements_of_masses(masses: ArrayLike, place: str) -> pa.Array:
    """Return the symbols (n,) of the elements of these masses (n,), u.

    Raises CrysiftError for a mass that is no element's, or that of two.
    """
    from ase.data import atomic_masses_iupac2016, chemical_symbols

    distinct, rows = np.unique(np.asarray(masses, np.float64), return_inverse=True)
    known = np.asarray(atomic_masses_iupac2016)[1:]
    symbols = []
    for mass in distinct:
        near = np.flatnonzero(np.abs(known - mass) <= TOLERANCE)
        if len(near) != 1:
            which = "no element's" if not len(near) else f"that of {len(near)} elements"
            raise CrysiftError(f"{place} has atoms of mass {mass:g} u, which is {which}: {NAME_TYPES}")
        symbols.append(chemical_symbols[int(near[0]) + 1])
    return pa.array(symbols, pa.string()).take(pa.array(rows.reshape(-1)))
