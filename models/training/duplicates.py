"""Whether a new class is one that the network knows already, asked before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.descriptors.soap import SoapSettings, soap_vector
from engine.errors import CrysiftError
from engine.structure import Structure
from models.prototypes import Prototype
from models.structure_types import structure_type
from models.training.replicas import pristine_structures
from models.training.unknowns import crystal_of

NEAR = 0.05
"""Distance between SOAP vectors of length one below which two structures are hard to tell apart.

Two pairs of the 108 are nearer: hexagonal and rhombohedral graphite (0.024), dhcp and α-Sm (0.046), which
differ in how layers are stacked. The next pair is 0.054 apart.
"""


@dataclass(frozen=True)
class Neighbor:
    """The class nearest to a new one.

    `distance` is that of their nearest SOAP vectors, pristine and of length one, `structure_type` the label
    of the structure type that both are of, if they are.
    """

    label: str
    nearest: str
    distance: float
    structure_type: str | None = None

    @property
    def is_duplicate(self) -> bool:
        """Whether the two are one class within the noise, or by the book."""
        return self.distance < NEAR or self.structure_type is not None

    def __str__(self) -> str:
        """For example ``rutile is 0.31 from β-Np``."""
        said = f"{self.label} is {self.distance:.3f} from {self.nearest}"
        return (
            f"{said}, and of the same structure type {self.structure_type}" if self.structure_type else said
        )


class Known:
    """Classes that new ones are compared with: those of a model, and the new ones before."""

    def __init__(self, known: Iterable[Prototype], settings: SoapSettings) -> None:
        """Take the `known` classes; vectors are compared at `settings`."""
        self._settings = settings
        self._vectors = {prototype: pristine_vectors(prototype, settings) for prototype in known}

    def add(self, examples: Iterable[Prototype]) -> None:
        """Take examples of one class more, or further ones of a class."""
        for prototype in examples:
            self._vectors[prototype] = pristine_vectors(prototype, self._settings)

    def nearest(self, examples: Sequence[Prototype]) -> Neighbor:
        """Find the class nearest to a new one, between all pristine structures of both, periodic or not.

        A class of the same structure type comes before one that is nearer.
        """
        own = [pristine_vectors(example, self._settings) for example in examples]
        distances: dict[str, float] = {}
        types: dict[str, str] = {}
        for other, vectors in self._vectors.items():
            distance = min(_distance(one, vectors) for one in own)
            distances[other.label] = min(distance, distances.get(other.label, np.inf))
            if kind := next(filter(None, (same_structure_type(one, other) for one in examples)), None):
                types[other.label] = kind
        nearest = min(types or distances, key=distances.__getitem__)
        return Neighbor(examples[0].label, nearest, distances[nearest], types.get(nearest))


def nearest_classes(
    added: Sequence[Prototype], known: Sequence[Prototype], settings: SoapSettings
) -> list[Neighbor]:
    """Find the class nearest to each new one among the `known` classes and the new ones before it.

    Vectors are compared at `settings`.
    """
    found: list[Neighbor] = []
    earlier = Known(known, settings)
    for label in dict.fromkeys(prototype.label for prototype in added):
        examples = [prototype for prototype in added if prototype.label == label]
        found.append(earlier.nearest(examples))
        earlier.add(examples)
    return found


def refuse_duplicates(neighbors: Sequence[Neighbor]) -> None:
    """Raise CrysiftError, naming the classes, where a new one is nearly a known one."""
    duplicates = [neighbor for neighbor in neighbors if neighbor.is_duplicate]
    if duplicates:
        raise CrysiftError(
            f"{'; '.join(map(str, duplicates))}. Classes of one structure type, or nearer than {NEAR:g}, are "
            "confused in defective crystals: leave the new class out, or train it all the same with "
            "--allow-duplicates"
        )


def pristine_vectors(prototype: Prototype, settings: SoapSettings) -> NDArray[np.float64]:
    """SOAP vectors (variants, 316), of length one, of a prototype as it is and as clusters."""
    return np.array([unit_vector(structure, settings) for structure in pristine_structures([prototype])])


def unit_vector(structure: Structure, settings: SoapSettings) -> NDArray[np.float64]:
    """SOAP vector (316,) of a structure, of length one."""
    species = np.unique(structure.species_at_sites, return_inverse=True)[1].astype(np.int64)
    periodic = np.array(structure.dimension_types) == 1
    vector = soap_vector(structure.positions, species, structure.cell, periodic, settings).vector
    return np.asarray(vector / np.linalg.norm(vector), np.float64)


def same_structure_type(one: Prototype, other: Prototype) -> str | None:
    """The label of the structure type that two crystals are of, whatever their elements; None for two types.

    They are of one type if their space groups and Wyckoff positions are the same (isopointal) and free
    coordinates and cells are alike, as pymatgen's anonymous matcher judges at its default tolerances
    (isoconfigurational: J. Lima-de-Faria et al., Acta Cryst. A 46, 1 (1990)). Either alone takes several
    classes of the 108 for one another; both together only Cu2ZnSiS4 and Cu2CdGeS4, which are of one type.
    """
    from pymatgen.analysis.structure_matcher import StructureMatcher

    if not (all(one.periodic) and all(other.periodic)):
        return None
    first, second = crystal_of(one), crystal_of(other)
    if first.composition.anonymized_formula != second.composition.anonymized_formula:
        return None
    kind, others = structure_type(one), structure_type(other)
    if kind is None or others is None or kind.label != others.label:
        return None
    return kind.label if StructureMatcher().fit_anonymous(first, second) else None


def _distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Smallest distance between rows of (n, width) and of (m, width)."""
    return float(np.linalg.norm(one[:, None] - other[None], axis=2).min())
