"""Crystals of a known type at other lattice parameters and free coordinates.

A structure type fixes the space group and the Wyckoff positions; lattice parameters and the coordinates that
no symmetry fixes differ from compound to compound. A random strain and random displacements are averaged
over the symmetry operations of the prototype: what is left changes these parameters and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from engine.descriptors.soap import SoapSettings
from engine.errors import CrysiftError
from engine.symmetry.crystal import SymmetryError, crystal_symmetry
from engine.symmetry.protostructure import PROTOSTRUCTURE_TOLERANCE
from models.prototypes import Prototype, prototypes
from models.training.defects import nearest_neighbor_distance
from models.training.duplicates import unit_vector
from models.training.randomness import random_generator
from models.training.replicas import pristine_structures

Floats = NDArray[np.float64]

NEGLIGIBLE = 1e-6
"""What symmetry leaves of a random strain or displacement of order one counts as nothing below this."""
ATTEMPTS = 20


@dataclass(frozen=True)
class Distortion:
    """How far crystals of one type differ; how far one does is drawn uniformly up to these."""

    strain: float = 0.0
    """Largest principal strain; the strain has no trace."""
    displacement: float = 0.0
    """Longest way of an atom, in units of d_NN."""

    def __post_init__(self) -> None:
        for name, value in (("strain", self.strain), ("displacement", self.displacement)):
            if not 0.0 <= value <= 0.3:
                raise CrysiftError(f"the {name} of a distortion, {value:g}, is outside [0, 0.3]")

    def __str__(self) -> str:
        """For example ``strain 6 %, free coordinates 5 % of d_NN``."""
        return f"strain {100 * self.strain:g} %, free coordinates {100 * self.displacement:g} % of d_NN"


class Operations(NamedTuple):
    """The symmetry of a cell of n atoms.

    `rotations` (m, 3, 3) are Cartesian, `images` (m, n) says at which atom each atom arrives.
    """

    rotations: Floats
    images: NDArray[np.int64]


def all_distorted(
    of: Iterable[Prototype], distortion: Distortion, seed: int, draw: int, share: float = 1.0
) -> list[Prototype]:
    """All prototypes, a random `share` of them distorted; one draw of a seed is always the same."""
    drawn = []
    for prototype in of:
        random = random_generator(seed, f"{prototype.name}/distortion-{draw}")
        drawn.append(distorted(prototype, distortion, random) if random.random() < share else prototype)
    return drawn


def distorted(prototype: Prototype, distortion: Distortion, random: np.random.Generator) -> Prototype:
    """A crystal of the prototype's type with lattice parameters and free coordinates of its own.

    What comes twice as near to a pristine prototype of another class as to its own is drawn again, up to 20
    times: along the Bain path, one class becomes another. Where nothing else comes, symmetry leaves nothing
    free, or none is found, the prototype itself is returned. A nanotube stays as it is. The strain of a layer
    goes for its thickness, too.
    """
    if not prototype.is_periodic:
        return prototype
    try:
        operations = symmetry_of(prototype)
    except SymmetryError:
        return prototype
    for _ in range(ATTEMPTS):
        strain = _invariant_strain(operations, random) * random.uniform(0.0, distortion.strain)
        moves = _invariant_displacements(operations, random) * random.uniform(0.0, distortion.displacement)
        if not strain.any() and not moves.any():
            return prototype
        positions = prototype.positions + moves * nearest_neighbor_distance(prototype)
        deformation = np.eye(3) + strain
        candidate = replace(
            prototype, lattice=prototype.lattice @ deformation, positions=positions @ deformation
        )
        if _still_of_its_class(candidate, prototype):
            return candidate
    return prototype


@lru_cache(maxsize=1024)
def symmetry_of(prototype: Prototype) -> Operations:
    """The symmetry operations of a periodic prototype's cell, at the tolerance of structure types."""
    numbers = np.array([atomic_numbers[symbol] for symbol in prototype.species])
    data = crystal_symmetry(prototype.positions, numbers, prototype.lattice, PROTOSTRUCTURE_TOLERANCE)
    columns = prototype.lattice.T
    fractions = np.linalg.solve(columns, prototype.positions.T).T
    rotations = columns @ data.rotations @ np.linalg.inv(columns)
    images = [
        _images(fractions @ rotation.T + shift, fractions)
        for rotation, shift in zip(data.rotations, data.translations, strict=True)
    ]
    return Operations(rotations, np.array(images))


def _images(moved: NDArray[np.floating], fractions: NDArray[np.floating]) -> NDArray[np.int64]:
    difference = moved[:, None] - fractions[None]
    difference -= np.round(difference)
    return np.asarray((difference**2).sum(axis=2).argmin(axis=1), np.int64)


def _invariant_strain(operations: Operations, random: np.random.Generator) -> Floats:
    """A random traceless strain (3, 3) that keeps the symmetry, its largest principal value 1, or zero."""
    tensor = random.normal(size=(3, 3))
    rotations = operations.rotations
    mean = (rotations @ (tensor + tensor.T) @ rotations.transpose(0, 2, 1)).mean(axis=0)
    mean = (mean + mean.T) / 2 - np.eye(3) * np.trace(mean) / 3
    largest = np.abs(np.linalg.eigvalsh(mean)).max()
    return np.asarray(mean / largest if largest > NEGLIGIBLE else np.zeros((3, 3)))


def _invariant_displacements(operations: Operations, random: np.random.Generator) -> Floats:
    """Random displacements (n, 3) that keep the symmetry, the longest of length 1, or zero."""
    drawn = random.normal(size=(operations.images.shape[1], 3))
    total = np.zeros_like(drawn)
    for rotation, images in zip(*operations, strict=True):
        total[images] += drawn @ rotation.T
    mean = total / len(operations.images)
    mean -= mean.mean(axis=0)
    longest = np.linalg.norm(mean, axis=1).max()
    return np.asarray(mean / longest if longest > NEGLIGIBLE else np.zeros_like(mean))


def _still_of_its_class(candidate: Prototype, prototype: Prototype) -> bool:
    """Whether none of the 108, by the SOAP vectors of the crystals, is twice as near as the prototype."""
    vectors, labels = _class_vectors()
    vector = _crystal_vector(candidate)
    others = np.linalg.norm(vectors[labels != prototype.label] - vector, axis=1)
    return bool(2.0 * others.min() > np.linalg.norm(_own_vector(prototype) - vector))


@lru_cache(maxsize=1)
def _class_vectors() -> tuple[Floats, NDArray[np.str_]]:
    """Vectors (108, 316), of length one, of the 108 as they are, and their labels."""
    known = prototypes()
    return np.array([_own_vector(prototype) for prototype in known]), np.array([p.label for p in known])


@lru_cache(maxsize=1024)
def _own_vector(prototype: Prototype) -> Floats:
    """The vector of a prototype that many crystals are compared with."""
    return _crystal_vector(prototype)


def _crystal_vector(prototype: Prototype) -> Floats:
    return unit_vector(pristine_structures([prototype])[0], SoapSettings())
