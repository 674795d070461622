"""The 108 prototypes that ARISE tells apart, and those that a model was given: facts, nothing learnt."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import CrysiftError

TABLE_PATH = Path(__file__).with_name("data") / "prototypes.json"

CUBIC_ELEMENTAL = {
    "fcc_Cu_A_cF4_225_a": "fcc",
    "diam_C_A_cF8_227_a": "diamond",
    "bcc_W_A_cI2_229_a": "bcc",
    "sc_alphaPo_A_cP1_221_a": "sc",
}
"""The prototypes that the diffraction network knows, too: its class of each."""


Record = Mapping[str, Any]
"""A prototype as JSON values: the fields of `Prototype`, with `sites` for species and positions."""


@dataclass(frozen=True, eq=False)
class Prototype:
    """One prototype structure.

    A class is made of one prototype, or of several `example`s with one label, numbered from 1. `lattice`
    (3, 3) Å has the lattice vectors as rows and is zero for a nanotube, `positions` (n, 3) are Cartesian, Å,
    `periodic` (3,) says along which lattice vectors the structure repeats.
    """

    label: str
    title: str
    family: str
    source: str
    space_group: int | None
    species: tuple[str, ...]
    lattice: NDArray[np.float64]
    positions: NDArray[np.float64]
    periodic: tuple[bool, bool, bool]
    example: int = 1

    @property
    def name(self) -> str:
        """The label, and the number of the example behind ``#`` from the second one on."""
        return self.label if self.example == 1 else f"{self.label}#{self.example}"

    @property
    def is_periodic(self) -> bool:
        """Whether the prototype repeats along at least one axis; only nanotubes do not."""
        return any(self.periodic)


@lru_cache(maxsize=1)
def prototypes() -> tuple[Prototype, ...]:
    """Return all 108 prototypes in the order of the network's classes (Leitherer et al. 2021)."""
    table = json.loads(TABLE_PATH.read_text(encoding="utf-8"))
    return tuple(prototype_of(record) for record in table["prototypes"])


def class_prototypes(labels: Sequence[str], added: Iterable[Record] = ()) -> tuple[Prototype, ...]:
    """Return the prototypes of a model's classes, in the order of its classes, every example of each.

    `labels` are the model's, `added` the records of the classes that are none of the 108. Raises CrysiftError
    for a class whose structure is not known.
    """
    known: dict[str, list[Prototype]] = {prototype.label: [prototype] for prototype in prototypes()}
    for record in added:
        known.setdefault(record["label"], []).append(prototype_of(record))
    missing = [label for label in labels if label not in known]
    if missing:
        raise CrysiftError(
            f"the structure of the class {missing[0]!r} is not known: the model says of none of its "
            f"{len(labels)} classes but the 108 and those in its card what they look like"
        )
    return tuple(prototype for label in labels for prototype in known[label])


def titles() -> dict[str, str]:
    """A readable title for every label, e.g. `fcc_Cu_A_cF4_225_a` → `fcc (Cu)`."""
    return {prototype.label: prototype.title for prototype in prototypes()}


def prototype_of(record: Record) -> Prototype:
    """Read a prototype from its record; sites are fractional where there is a lattice, else Cartesian, Å."""
    symbols = tuple(str(site[0]) for site in record["sites"])
    coordinates = np.array([site[1:] for site in record["sites"]], dtype=np.float64)
    lattice = np.array(record["lattice"] or np.zeros((3, 3)), dtype=np.float64)
    first, second, third = (bool(axis) for axis in record["periodic"])
    return Prototype(
        label=record["label"],
        title=record["title"],
        family=record["family"],
        source=record["source"],
        space_group=record["space_group"],
        species=symbols,
        lattice=lattice,
        positions=coordinates @ lattice if record["lattice"] else coordinates,
        periodic=(first, second, third),
        example=record.get("example", 1),
    )


def record_of(prototype: Prototype) -> dict[str, Any]:
    """The record of a prototype, from which `prototype_of` makes it again."""
    lattice = prototype.lattice if prototype.lattice.any() else None
    coordinates = (
        prototype.positions if lattice is None else np.linalg.solve(lattice.T, prototype.positions.T).T
    )
    sites = zip(prototype.species, coordinates.tolist(), strict=True)
    return {
        "label": prototype.label,
        "title": prototype.title,
        "family": prototype.family,
        "source": prototype.source,
        "space_group": prototype.space_group,
        "periodic": [int(axis) for axis in prototype.periodic],
        "lattice": None if lattice is None else lattice.tolist(),
        "sites": [[symbol, *position] for symbol, position in sites],
        "example": prototype.example,
    }
