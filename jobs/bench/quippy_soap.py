"""The ARISE vector as the paper's code computes it: quippy, one descriptor per ordered pair of species."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from engine.descriptors.scaling import d_nn
from engine.descriptors.soap import SOAP_WIDTH, SoapSettings
from engine.descriptors.soap.vector import by_species

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

    from jobs.bench.structures import Sample


def is_installed() -> bool:
    """Tell whether quippy is there; it is no dependency, as its SOAP is not free for commercial use."""
    return find_spec("quippy") is not None


def quippy_vector(sample: Sample, soap: SoapSettings) -> NDArray[np.float64]:
    """Mean over all ordered pairs of species of quippy's averaged SOAP vector, (316,)."""
    from ase import Atoms

    positions, bounds, cell = by_species(sample.positions, sample.species, sample.lattice, sample.periodic)
    lengths = d_nn(positions, bounds, cell) * soap.scale
    numbers = np.repeat(np.arange(1, len(bounds)), np.diff(bounds))
    total = np.zeros(SOAP_WIDTH)
    for centre, neighbour in np.ndindex(lengths.shape):
        length = lengths[centre, neighbour]
        if np.isfinite(length):
            scaled = Atoms(
                numbers, positions=positions / length, cell=sample.lattice / length, pbc=sample.periodic
            )
            total += _pair_vector(scaled, centre + 1, neighbour + 1, soap)
    return total / lengths.size


def _pair_vector(atoms: Atoms, centre: int, neighbour: int, soap: SoapSettings) -> NDArray[np.float64]:
    from quippy.descriptors import Descriptor

    descriptor = Descriptor(
        f"soap cutoff={soap.cutoff} cutoff_transition_width=0.5 atom_sigma={soap.sigma} n_max=9 l_max=6 "
        f"central_weight=0 average=T n_Z=1 Z={{{centre}}} n_species=1 species_Z={{{neighbour}}}"
    )
    vector: NDArray[np.float64] = descriptor.calc(atoms)["data"][0]
    return vector
