"""Defective variants of known prototypes: displaced atoms, missing atoms, and both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from engine.descriptors.soap import SoapSettings, soap_vector
from engine.errors import CrysiftError
from engine.structure import Structure
from models.prototypes import Prototype, prototypes
from models.training.randomness import random_generator
from models.training.replicas import name_of

DRAWS = 10
"""Random draws per structure and kind of defect (Leitherer et al., Nat. Commun. 12, 6234 (2021))."""


@dataclass(frozen=True)
class Defect:
    """Displacements up to `displacement` · d_NN per coordinate; a share `vacancies` of the atoms removed."""

    displacement: float = 0.0
    vacancies: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("displacement", self.displacement), ("vacancies", self.vacancies)):
            if not 0.0 <= value < 1.0:
                raise CrysiftError(f"the share of a defect, {name} = {value:g}, is outside [0, 1)")

    @property
    def name(self) -> str:
        """For ids and folders, for example ``displacement-0.02-vacancies-0.1``."""
        shares = (("displacement", self.displacement), ("vacancies", self.vacancies))
        return "-".join(f"{kind}-{share:g}" for kind, share in shares if share) or "pristine"

    def __str__(self) -> str:
        """For example ``δ 2 %`` or ``η 10 %, δ 1 %``."""
        shares = (("η", self.vacancies), ("δ", self.displacement))
        return ", ".join(f"{sign} {100 * share:g} %" for sign, share in shares if share) or "pristine"


VALIDATION_SEED = 77
"""Of structures that networks are compared by, and nothing is trained on."""
BENCHMARK_DEFECTS = (
    *(Defect(displacement=share) for share in (0.001, 0.006, 0.01, 0.02, 0.04, 0.07, 0.10)),
    *(Defect(vacancies=share) for share in (0.01, 0.05, 0.10, 0.20, 0.25, 0.30)),
    Defect(0.001, 0.01),
    Defect(0.006, 0.05),
    Defect(0.01, 0.10),
    Defect(0.02, 0.15),
    Defect(0.04, 0.20),
    Defect(0.07, 0.25),
    Defect(0.10, 0.30),
)
"""The kinds of the published accuracy table (Leitherer et al. 2021, Table 2 and Supplementary Tables)."""


def nearest_neighbor_distances(of: Sequence[Prototype] | None = None) -> dict[str, float]:
    """d_NN, Å, of prototypes, by default the 108, by their names."""
    chosen = prototypes() if of is None else of
    return {prototype.name: nearest_neighbor_distance(prototype) for prototype in chosen}


@lru_cache(maxsize=1024)
def nearest_neighbor_distance(prototype: Prototype) -> float:
    """d_NN, Å, of a prototype: the most frequent distance to the nearest atom of any species."""
    return soap_vector(
        prototype.positions,
        np.zeros(len(prototype.species), np.int64),
        prototype.lattice,
        np.array(prototype.periodic),
        SoapSettings(),
    ).d_nn_min


def defective(
    structures: Iterable[Structure],
    defect: Defect,
    draws: int = DRAWS,
    seed: int = 0,
    of: Sequence[Prototype] | None = None,
) -> Iterator[Structure]:
    """`draws` defective variants of every structure that `models.training.replicas` made `of` prototypes.

    The random numbers depend on the seed, the kind of defect, the structure's id and the number of the draw,
    not on what else is drawn.
    """
    lengths = nearest_neighbor_distances(of)
    for structure in structures:
        d_nn = lengths[name_of(structure.structure_id)]
        for draw in range(draws):
            yield variant(structure, defect, d_nn, draw, seed)


def variant(structure: Structure, defect: Defect, d_nn: float, draw: int, seed: int) -> Structure:
    """One defective variant of a structure; displacements are in units of `d_nn`, Å."""
    source_id = f"{structure.source_id}/{defect.name}/{draw}"
    random = random_generator(seed, source_id)
    kept = remaining_sites(len(structure.positions), defect.vacancies, random)
    reach = defect.displacement * d_nn
    displacements = random.uniform(-reach, reach, size=(len(kept), 3))
    return Structure(
        structure.source,
        source_id,
        tuple(structure.species_at_sites[site] for site in kept),
        structure.positions[kept] + displacements,
        structure.lattice,
        structure.dimension_types,
    )


def remaining_sites(sites: int, share: float, random: np.random.Generator) -> NDArray[np.int64]:
    """Draw the sites that are left; at least one goes where any share is asked, at least two stay."""
    removed = min(max(round(share * sites), 1), sites - 2) if share > 0 else 0
    return np.sort(random.permutation(sites)[removed:])
