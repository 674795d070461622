"""The 108 prototypes that ARISE tells apart: facts, with their sources, and nothing learnt."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TABLE_PATH = Path(__file__).with_name("data") / "prototypes.json"

CUBIC_ELEMENTAL = {
    "fcc_Cu_A_cF4_225_a": "fcc",
    "diam_C_A_cF8_227_a": "diamond",
    "bcc_W_A_cI2_229_a": "bcc",
    "sc_alphaPo_A_cP1_221_a": "sc",
}
"""The prototypes that the diffraction network knows, too: its class of each."""


@dataclass(frozen=True)
class Prototype:
    """One prototype structure.

    `lattice` (3, 3) Å has the lattice vectors as rows and is zero for a nanotube, `positions` (n, 3) are
    Cartesian, Å, `periodic` (3,) says along which lattice vectors the structure repeats.
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

    @property
    def is_periodic(self) -> bool:
        """Whether the prototype repeats along at least one axis; only nanotubes do not."""
        return any(self.periodic)


@lru_cache(maxsize=1)
def prototypes() -> tuple[Prototype, ...]:
    """Return all 108 prototypes in the order of the network's classes (Leitherer et al. 2021)."""
    table = json.loads(TABLE_PATH.read_text(encoding="utf-8"))
    return tuple(_prototype(record) for record in table["prototypes"])


def titles() -> dict[str, str]:
    """A readable title for every label, e.g. `fcc_Cu_A_cF4_225_a` → `fcc (Cu)`."""
    return {prototype.label: prototype.title for prototype in prototypes()}


def _prototype(record: dict[str, Any]) -> Prototype:
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
    )
