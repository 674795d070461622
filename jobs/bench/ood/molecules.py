"""Molecular crystals: molecules at places of a lattice, turned at random."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.structure import Structure

Floats = NDArray[np.float64]

MOLECULES = (
    "CO2",
    "H2O",
    "NH3",
    "CH4",
    "C2H2",
    "C2H4",
    "C2H6",
    "CH3OH",
    "C6H6",
    "SO2",
    "N2O",
    "CH3Cl",
    "SiH4",
    "HCN",
)
"""Of the G2 set, with the geometries that ASE has of them."""
PLACES = {
    "primitive": [(0, 0, 0)],
    "body-centred": [(0, 0, 0), (0.5, 0.5, 0.5)],
    "face-centred": [(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)],
}
CONTACT = (2.2, 2.8)
"""Å, the shortest distance of atoms of two molecules."""
ASPECT = (0.85, 1.2)
PRECISION = 1e-3


def molecular_crystal(name: str, random: np.random.Generator) -> Structure:
    """Copies of one molecule in an orthorhombic cell that is as small as the shortest contact allows."""
    from ase.build import molecule

    atoms = molecule(MOLECULES[random.integers(len(MOLECULES))])
    centered = atoms.positions - atoms.positions.mean(axis=0)
    places = np.array(list(PLACES.values())[random.integers(len(PLACES))], float)
    turned = np.array([centered @ _rotation(random).T for _ in places])
    shape = np.diag(random.uniform(*ASPECT, 3))
    contact = random.uniform(*CONTACT)
    small, large = 1.0, 4.0 * (np.ptp(centered, axis=0).max() + contact)
    while large - small > PRECISION:
        edge = (small + large) / 2
        if _shortest_contact(turned, places, edge * shape) < contact:
            small = edge
        else:
            large = edge
    cell = large * shape
    positions = (turned + (places @ cell)[:, None]).reshape(-1, 3)
    symbols = tuple(atoms.get_chemical_symbols()) * len(places)
    return Structure("ood", name, symbols, positions, cell, (1, 1, 1))


def _rotation(random: np.random.Generator) -> Floats:
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.random(random_state=random).as_matrix())


def _shortest_contact(turned: Floats, places: Floats, cell: Floats) -> float:
    """Distance, Å, of the nearest atoms of two molecules, (k, n, 3) around `places` (k, 3) of the cell."""
    steps = np.array([(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)])
    around = (places[:, None] + steps).reshape(-1, 3)
    neighbors = np.repeat(turned, len(steps), axis=0) + (around @ cell)[:, None]
    shortest = np.inf
    for own, place in zip(turned, places, strict=True):
        others = ~np.all(np.isclose(around, place), axis=1)
        distances = neighbors[others][:, :, None] - (own + place @ cell)
        shortest = min(shortest, float(np.linalg.norm(distances, axis=-1).min()))
    return shortest
