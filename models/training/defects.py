"""Defective variants of known prototypes: displaced atoms, missing atoms, and both."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.descriptors.soap import SoapSettings, soap_vector
from engine.errors import CrysiftError
from engine.structure import Structure
from models.prototypes import prototypes
from models.training.replicas import label_of

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


def nearest_neighbor_distances() -> dict[str, float]:
    """d_NN, Å, of every prototype: the most frequent distance to the nearest atom of any species."""
    return {
        prototype.label: soap_vector(
            prototype.positions,
            np.zeros(len(prototype.species), np.int64),
            prototype.lattice,
            np.array(prototype.periodic),
            SoapSettings(),
        ).d_nn_min
        for prototype in prototypes()
    }


def defective(
    structures: Iterable[Structure], defect: Defect, draws: int = DRAWS, seed: int = 0
) -> Iterator[Structure]:
    """`draws` defective variants of every structure made by `models.training.replicas`.

    The random numbers depend on the seed, the structure's id and the number of the draw, not on what else
    is drawn.
    """
    lengths = nearest_neighbor_distances()
    for structure in structures:
        d_nn = lengths[label_of(structure.structure_id)]
        for draw in range(draws):
            yield _variant(structure, defect, d_nn, draw, seed)


def _variant(structure: Structure, defect: Defect, d_nn: float, draw: int, seed: int) -> Structure:
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


def random_generator(seed: int, name: str) -> np.random.Generator:
    """Random numbers of one structure, which depend on the seed and its name alone."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def remaining_sites(sites: int, share: float, random: np.random.Generator) -> NDArray[np.int64]:
    """Draw the sites that are left; at least one goes where any share is asked, at least two stay."""
    removed = min(max(round(share * sites), 1), sites - 2) if share > 0 else 0
    return np.sort(random.permutation(sites)[removed:])
