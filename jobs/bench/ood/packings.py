"""Solids without order: random close packings of spheres, and a glass."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from engine.structure import Structure

Floats = NDArray[np.float64]
PACKING_FRACTION = 0.64
"""Of random close packing (O'Hern, Silbert, Liu, Nagel, Phys. Rev. E 68, 011306 (2003))."""
RATIO = 1.4
"""Of the diameters in a packing of two kinds of spheres (ibid.)."""
GLASS_DENSITY = 1.2
"""Atoms per cubed diameter (Kob and Andersen, Phys. Rev. E 51, 4626 (1995))."""
GLASS_SIGMA = np.array([[1.0, 0.8], [0.8, 0.88]])
GLASS_DEPTH = np.array([[1.0, 1.5], [1.5, 0.5]])
GLASS_CUTOFF = 2.5
LENGTH = 2.6
"""Å: the diameter that lengths are in units of."""
ATOMS = (48, 128)
STEPS = 500
"""Of the minimisation, at most."""


def random_packing(name: str, random: np.random.Generator) -> Structure:
    """Spheres, of one size or of two, pushed apart from random places until they hardly overlap."""
    kinds = random.integers(1, 3)
    species = np.arange(random.integers(*ATOMS)) % kinds
    diameters = np.array([1.0, RATIO])[species]
    edge = ((np.pi / 6) * (diameters**3).sum() / PACKING_FRACTION) ** (1 / 3)
    radii = np.array([0.5, RATIO / 2])

    def overlap(distances: Floats, pair_kinds: NDArray[np.int64]) -> tuple[Floats, Floats]:
        touching = radii[pair_kinds].sum(axis=1)
        gap = np.minimum(distances / touching - 1.0, 0.0)
        return gap**2 / 2, gap / touching

    return _quenched(name, species, edge, overlap, random)


def glass(name: str, random: np.random.Generator) -> Structure:
    """A binary Lennard-Jones glass: an inherent structure of the Kob–Andersen liquid at high temperature."""
    species = np.arange(random.integers(*ATOMS)) % 5 // 4
    edge = (len(species) / GLASS_DENSITY) ** (1 / 3)

    def lennard_jones(distances: Floats, pair_kinds: NDArray[np.int64]) -> tuple[Floats, Floats]:
        sigma, depth = (table[tuple(pair_kinds.T)] for table in (GLASS_SIGMA, GLASS_DEPTH))
        near = np.maximum(distances, 0.5 * sigma)  # random places may coincide
        x = np.where(distances < GLASS_CUTOFF * sigma, (sigma / near) ** 6, 0.0)
        return 4 * depth * (x**2 - x), -24 * depth * (2 * x**2 - x) / near

    return _quenched(name, species, edge, lennard_jones, random)


def _quenched(
    name: str,
    species: NDArray[np.int64],
    edge: float,
    energies: Callable[[Floats, NDArray[np.int64]], tuple[Floats, Floats]],
    random: np.random.Generator,
) -> Structure:
    """The local minimum of the energy next to random places in a periodic cube; lengths in diameters.

    `energies` gives energies and their derivatives (m,) for distances (m,) of pairs and their species (m, 2).
    """
    from scipy.optimize import minimize

    count = len(species)
    first, second = np.triu_indices(count, 1)
    pairs = np.stack([species[first], species[second]], axis=1)

    def energy(flat: Floats) -> tuple[float, Floats]:
        positions = flat.reshape(-1, 3)
        way = positions[first] - positions[second]
        way -= edge * np.round(way / edge)
        distances = np.maximum(np.linalg.norm(way, axis=1), 1e-9)
        values, slopes = energies(distances, pairs)
        force = np.zeros((count, count, 3))
        force[first, second] = way * (slopes / distances)[:, None]
        return float(values.sum()), (force.sum(axis=1) - force.sum(axis=0)).ravel()

    start = random.uniform(0.0, edge, 3 * count)
    found = minimize(energy, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
    positions = np.mod(found.x.reshape(-1, 3), edge) * LENGTH
    return Structure(
        "ood", name, tuple(np.array(["Cu", "Zr"])[species]), positions, LENGTH * edge * np.eye(3), (1, 1, 1)
    )
