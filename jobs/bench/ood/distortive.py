"""Crystals that are a distortion of a known prototype, frozen in and so large that they are another type."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from engine.structure import Structure
from models.prototypes import Prototype
from models.training.defects import nearest_neighbor_distance
from models.training.replicas import replicate

Floats = NDArray[np.float64]

AMPLITUDE = (0.15, 0.25)
"""Longest displacement, in units of d_NN: as of dimers in α-Ga, of tilts in perovskites."""
STRAIN = (0.12, 0.2)
"""Largest principal strain of a cell that only its symmetry told from the prototype's."""
ATOMS = 48
"""Of a superstructure, at most."""


def superstructure(prototype: Prototype, name: str, random: np.random.Generator) -> Structure:
    """A frozen mode: all atoms of one to four cells displaced at random, and the same in every repetition."""
    counts = _supercell(prototype, random)
    species, positions = replicate(prototype, counts)
    displacements = random.normal(size=positions.shape)
    displacements -= displacements.mean(axis=0)
    longest = np.linalg.norm(displacements, axis=1).max()
    amplitude = random.uniform(*AMPLITUDE) * nearest_neighbor_distance(prototype)
    lattice = prototype.lattice * np.array(counts)[:, None]
    moved = positions + displacements * (amplitude / max(longest, 1e-9))
    return Structure("ood", name, species, moved, lattice, (1, 1, 1))


def strained(prototype: Prototype, name: str, random: np.random.Generator) -> Structure:
    """The prototype under a strain without trace, in random directions."""
    tensor = random.normal(size=(3, 3))
    tensor = (tensor + tensor.T) / 2 - np.eye(3) * np.trace(tensor) / 3
    strain = np.eye(3) + tensor * random.uniform(*STRAIN) / np.abs(np.linalg.eigvalsh(tensor)).max()
    return Structure(
        "ood", name, prototype.species, prototype.positions @ strain, prototype.lattice @ strain, (1, 1, 1)
    )


def _supercell(prototype: Prototype, random: np.random.Generator) -> tuple[int, int, int]:
    """Two to four cells, or as many as leave the superstructure small; one has no mode if of one atom."""
    atoms = len(prototype.species)
    sizes = [
        counts
        for counts in itertools.product((1, 2), repeat=3)
        if 2 <= int(np.prod(counts)) * atoms <= max(ATOMS, atoms) and int(np.prod(counts)) <= 4
    ]
    first, second, third = sizes[random.integers(len(sizes))]
    return first, second, third
