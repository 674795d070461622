"""SOAP vectors by DScribe: the selectable second backend, and the kernel's reference.

Sources: Himanen et al., Comput. Phys. Commun. 247, 106949 (2020); Laakso et al., J. Chem. Phys. 158, 234802
(2023).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from engine.descriptors.neighbors import Cell, Floats, Ints
from engine.descriptors.soap.settings import L_MAX, N_MAX, SOAP_WIDTH, SoapSettings

if TYPE_CHECKING:
    from dscribe.descriptors import SOAP

_SPECIES = "H"
"""Sublattices are handed over one at a time, so the element does not matter."""


def average_spectrum_dscribe(
    positions: Floats, bounds: Ints, cell: Cell, lengths: Floats, settings: SoapSettings
) -> Floats:
    """Mean (316,) over the ordered pairs of species of DScribe's inner-averaged spectra.

    Components are ordered, weighted and normalised as the kernel's; the arguments are those of
    `engine.descriptors.soap.kernel.average_spectrum`.
    """
    descriptor = _descriptor(settings.cutoff, settings.sigma)
    count = bounds.size - 1
    mean = np.zeros(SOAP_WIDTH)
    for a in range(count):
        for b in range(count):
            if np.isfinite(lengths[a, b]):
                centers = positions[bounds[a] : bounds[a + 1]]
                neighbors = positions[bounds[b] : bounds[b + 1]]
                mean += _pair_spectrum(descriptor, centers, neighbors, cell, lengths[a, b])
    return mean / count**2


def _pair_spectrum(descriptor: SOAP, centers: Floats, neighbors: Floats, cell: Cell, length: float) -> Floats:
    """Unit vector (316,) of the β atoms around the α atoms, all lengths divided by `length`."""
    from ase import Atoms

    system = Atoms(
        [_SPECIES] * len(neighbors),
        positions=neighbors / length,
        cell=cell.vectors / length,
        pbc=cell.periodic,
    )
    spectrum = np.asarray(descriptor.create(system, centers=centers / length)).reshape(-1)
    ordered = np.zeros(SOAP_WIDTH)
    ordered[:-1] = spectrum[_order()] * _weights()
    norm = np.linalg.norm(ordered)
    return ordered / norm if norm > 0.0 else ordered


@lru_cache(maxsize=16)
def _descriptor(cutoff: float, sigma: float) -> SOAP:
    """One reused SOAP object: making one costs a hundred times more than using it."""
    from dscribe.descriptors import SOAP

    return SOAP(
        species=[_SPECIES],
        r_cut=cutoff,
        n_max=N_MAX,
        l_max=L_MAX,
        sigma=sigma,
        rbf="gto",
        average="inner",
        periodic=True,
    )


@lru_cache(maxsize=1)
def _order() -> Ints:
    """Where DScribe (l, n, n' ≥ n) keeps the component that we keep at (n, n' ≤ n, l)."""
    kept = {}
    index = 0
    for order in range(L_MAX + 1):
        for n in range(N_MAX):
            for other in range(n, N_MAX):
                kept[other, n, order] = index
                index += 1
    return np.array([kept[key] for key in sorted(kept)], dtype=np.int64)


@lru_cache(maxsize=1)
def _weights() -> Floats:
    """√2 for the components with n ≠ n', which DScribe does not weight."""
    return np.array(
        [
            1.0 if n == other else np.sqrt(2.0)
            for n in range(N_MAX)
            for other in range(n + 1)
            for _ in range(L_MAX + 1)
        ]
    )
