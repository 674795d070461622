"""New classes, before anything is trained: their structures, and what they are near to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.descriptors.soap import SoapSettings
from engine.errors import CrysiftError
from engine.structure import Structure
from engine.symmetry.crystal import SymmetryError, crystal_symmetry
from models.network import Perceptron
from models.prototypes import Prototype, class_prototypes
from models.training.duplicates import Neighbor, nearest_classes, unit_vector
from models.training.replicas import pristine_structures
from models.weights_file import Model

FORBIDDEN = "/#"
"""Characters that no label may have, because ids of structures are made of labels with them."""
MAX_SITES = 300
"""Atoms of a prototype; its largest cluster has 27 times as many."""
VACUUM = 15.0
"""Å, between a layer or rod and its images, where the structure does not say."""
MAX_EXAMPLES = 8
"""Structures that a class is trained on; of more, those that differ most are taken."""
SAME = 1e-3
"""Distance between vectors of length one below which an example shows nothing that another does not."""
FAMILY = "added"
"""What the family of a prototype is that is none of the 108."""


@dataclass(frozen=True)
class Addition:
    """Prototypes of new classes, and the class that each is nearest to."""

    prototypes: tuple[Prototype, ...]
    neighbors: tuple[Neighbor, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The new classes."""
        return tuple(dict.fromkeys(prototype.label for prototype in self.prototypes))


def addition_to(base: Model, candidates: Sequence[Prototype]) -> Addition:
    """Check prototypes of new classes, choose examples of each, and find what they are near to.

    Raises CrysiftError for labels that cannot be or are taken, and for structures that are too large.
    """
    extensible(base)
    for prototype in candidates:
        _check(prototype, base)
    soap = soap_of(base.features)
    chosen: list[Prototype] = []
    for label in dict.fromkeys(prototype.label for prototype in candidates):
        chosen += _examples([prototype for prototype in candidates if prototype.label == label], soap)
    known = class_prototypes(base.labels, base.card.get("added", ()))
    return Addition(tuple(chosen), tuple(nearest_classes(chosen, known, soap)))


def extensible(base: Model) -> Perceptron:
    """Return the network to extend; raise CrysiftError where it is of another architecture."""
    if not isinstance(base.network, Perceptron):
        raise CrysiftError(
            f"classes can be added to networks of the architecture {Perceptron.architecture!r}, and the base "
            f"is of {base.network.architecture!r}: name another one with --weights"
        )
    return base.network


def prototype_from(structure: Structure, label: str) -> Prototype:
    """A prototype of the class `label` from any structure.

    Raises CrysiftError where sites are shared or partly vacant.
    """
    disordered = [species.name for species in structure.site_species if not species.is_ordered]
    if disordered:
        raise CrysiftError(
            f"{structure.structure_id} has the partially occupied species {disordered[0]!r}: a class is made "
            "of ordered structures, leave this one out"
        )
    first, second, third = (kind == 1 for kind in structure.dimension_types)
    periodic = (first, second, third)
    return Prototype(
        label=label,
        title=label,
        family=FAMILY,
        source=structure.structure_id,
        space_group=_space_group(structure) if all(periodic) else None,
        species=tuple(species.chemical_symbols[0] for species in structure.site_species),
        lattice=_with_vacuum(structure.cell, structure.positions) if any(periodic) else np.zeros((3, 3)),
        positions=structure.positions,
        periodic=periodic,
    )


def soap_of(features: dict[str, Any]) -> SoapSettings:
    """The descriptor that a model reads."""
    names = ("cutoff", "sigma", "scale", "basis")
    return SoapSettings(**{name: features[name] for name in names})


def _check(prototype: Prototype, base: Model) -> None:
    label, sites = prototype.label, len(prototype.species)
    if not label.strip() or set(label) & set(FORBIDDEN):
        raise CrysiftError(f"{label!r} is no label: it needs letters, but no {' or '.join(FORBIDDEN)}")
    if label in base.labels:
        raise CrysiftError(f"the base model has a class {label!r} already: choose another label")
    if sites > MAX_SITES:
        raise CrysiftError(
            f"{prototype.source} has {sites:,} atoms, and a prototype at most {MAX_SITES}: give its "
            "primitive cell, or a smaller one that shows the structure"
        )
    if sites == 1 and not prototype.is_periodic:
        raise CrysiftError(f"{prototype.source} is a single atom, which has no neighbours: leave it out")


def _examples(candidates: Sequence[Prototype], soap: SoapSettings) -> list[Prototype]:
    """Number at most `MAX_EXAMPLES` of a class: the first, and each time the farthest from those taken."""
    vectors = np.array([unit_vector(pristine_structures([each])[0], soap) for each in candidates])
    distance = np.full(len(candidates), np.inf)
    taken = [0]
    while len(taken) < MAX_EXAMPLES:
        distance = np.minimum(distance, np.linalg.norm(vectors - vectors[taken[-1]], axis=1))
        if distance.max() < SAME:
            break
        taken.append(int(distance.argmax()))
    return [replace(candidates[row], example=number) for number, row in enumerate(sorted(taken), start=1)]


def _with_vacuum(cell: NDArray[np.float64], positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """A cell (3, 3), Å, whose absent vectors stand on the others and leave `VACUUM` beside the atoms."""
    present = cell.any(axis=1)
    filled = cell.copy()
    directions = np.linalg.svd(cell[present])[2][present.sum() :]
    for row, direction in zip(np.flatnonzero(~present), directions, strict=True):
        filled[row] = direction * (np.ptp(positions @ direction) + VACUUM)
    return filled


def _space_group(structure: Structure) -> int | None:
    numbers = np.array([species.atomic_number or 0 for species in structure.site_species])
    try:
        return int(crystal_symmetry(structure.positions, numbers, structure.cell).number)
    except SymmetryError:
        return None
