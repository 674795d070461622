"""Defective variants of the cubic crystals: missing, displaced and substituted atoms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from engine.descriptors.diffraction.crystal import supercell
from engine.descriptors.diffraction.standard_cell import StandardCell, standard_cell
from engine.errors import CrysiftError
from engine.structure import Structure
from models.training.cubic import element_symbols
from models.training.defects import remaining_sites
from models.training.randomness import random_generator


@dataclass(frozen=True)
class CubicDefect:
    """One kind of defect: any of vacancies, displacements and substitution.

    A share `vacancies` of the atoms is removed, what is left is displaced by Gaussian numbers of standard
    deviation `displacement` Å in every coordinate, and a share `substituted` becomes atoms of
    `species` other elements, drawn at random for each structure, as evenly as possible.
    """

    vacancies: float = 0.0
    displacement: float = 0.0
    substituted: float = 0.0
    species: int = 1

    def __post_init__(self) -> None:
        for name in ("vacancies", "substituted"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise CrysiftError(
                    f"the share of a defect, {name} = {getattr(self, name):g}, is outside [0, 1)"
                )
        if self.displacement < 0.0 or self.species < 1:
            raise CrysiftError(
                f"displacement = {self.displacement:g} and species = {self.species} are not both positive"
            )

    @property
    def name(self) -> str:
        """For ids and folders, for example ``vacancies-0.1`` or ``substituted-0.5-by-2``."""
        parts = {
            f"vacancies-{self.vacancies:g}": self.vacancies,
            f"displacement-{self.displacement:g}": self.displacement,
            f"substituted-{self.substituted:g}-by-{self.species}": self.substituted,
        }
        return "-".join(part for part, size in parts.items() if size) or "pristine"

    def __str__(self) -> str:
        """For example ``50 % vacancies`` or ``25 % substituted by 2 elements``."""
        elements = "1 element" if self.species == 1 else f"{self.species} elements"
        parts = {
            f"{100 * self.vacancies:g} % vacancies": self.vacancies,
            f"displacements of {self.displacement:.2f} Å": self.displacement,
            f"{100 * self.substituted:g} % substituted by {elements}": self.substituted,
        }
        return ", ".join(part for part, size in parts.items() if size) or "pristine"


PUBLISHED_DEFECTS = (
    *(CubicDefect(vacancies=share) for share in (0.1, 0.2, 0.3, 0.4, 0.5)),
    *(CubicDefect(displacement=sigma) for sigma in (0.05, 0.10, 0.15)),
    *(CubicDefect(substituted=share, species=1) for share in (0.25, 0.50)),
    *(CubicDefect(substituted=share, species=2) for share in (0.25, 0.50, 0.75)),
)
"""The thirteen kinds of Ziletti et al., Nat. Commun. 9, 2775 (2018)."""
STRONGER_DEFECTS = (CubicDefect(vacancies=0.6), CubicDefect(vacancies=0.7), CubicDefect(displacement=0.20))
"""What lies beyond them."""


def defect_host(structure: Structure) -> Structure:
    """The crystal in which defects of `structure` are made: about 128 atoms in replicas of its standard cell.

    A defect in a small cell would repeat in every one of its images.
    """
    lattice, positions, kinds = supercell(standard_cell_of(structure))
    symbols = tuple(chemical_symbols[number] for number in kinds)
    return Structure(structure.source, structure.source_id, symbols, positions, lattice, (1, 1, 1))


def standard_cell_of(structure: Structure) -> StandardCell:
    """The conventional standard cell of an ordered crystal."""
    numbers = np.array(structure.composition.atomic_numbers, dtype=np.int64)
    return standard_cell(structure.positions, numbers, structure.cell)


def defective_cubic(hosts: Iterable[Structure], defect: CubicDefect, seed: int) -> Iterator[Structure]:
    """One defective variant of every structure made by `defect_host`.

    The random numbers depend on the seed, the structure's id and the kind of defect alone.
    """
    for host in hosts:
        source_id = f"{host.source_id}/{defect.name}/{seed}"
        random = random_generator(seed, source_id)
        kept = remaining_sites(len(host.positions), defect.vacancies, random)
        shifts = defect.displacement * random.standard_normal((len(kept), 3))
        symbols = np.array(host.species_at_sites)[kept]
        yield Structure(
            host.source,
            source_id,
            _substituted(symbols, defect, random),
            host.positions[kept] + shifts,
            host.lattice,
            host.dimension_types,
        )


def _substituted(
    symbols: NDArray[np.str_], defect: CubicDefect, random: np.random.Generator
) -> tuple[str, ...]:
    """Species after the substitution, which no element that is there already takes part in."""
    if not defect.substituted:
        return tuple(map(str, symbols))
    others = np.setdiff1d(element_symbols(), symbols)
    drawn = random.choice(others, size=defect.species, replace=False)
    sites = random.permutation(len(symbols))[: round(defect.substituted * len(symbols))]
    result = symbols.astype(drawn.dtype)
    result[sites] = np.resize(drawn, len(sites))
    return tuple(map(str, result))
