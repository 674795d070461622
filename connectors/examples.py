"""Real crystals that are already on disk: AFLOW prototypes inside pymatgen, elemental crystals inside ASE.

Each comes as it is and in supercells with displaced and missing atoms, the same ones every time, so that a
first screening finds known prototypes, noisy ones and unknown ones.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.schema import REJECTS
from engine.source import Harvest, Page, PageContent
from engine.structure import Structure, candidates_table

if TYPE_CHECKING:
    from ase import Atoms

REVISION = 1
"""Bumped when the examples become other structures; part of the page keys."""
CRYSTALS_PER_PAGE = 128
SUPERCELL_SITES = 64
"""Displaced and vacant variants have at least this many atoms before any is removed."""


@dataclass(frozen=True)
class Variant:
    """Displacements, uniform in ± this share of the nearest-neighbour distance, and the share removed."""

    name: str
    displacement: float
    vacancies: float


VARIANTS = (
    Variant("displaced-2", 0.02, 0.0),
    Variant("displaced-7", 0.07, 0.0),
    Variant("vacant-10", 0.0, 0.10),
)


@dataclass(frozen=True)
class Crystal:
    """A pristine example and what is known about it."""

    name: str
    atoms: "Atoms"
    facts: dict[str, str]


@dataclass(eq=False)
class ExamplesConnector:
    """288 AFLOW prototypes and the elements' crystals, pristine, displaced and vacant."""

    source: str = "examples"
    concurrency: int = field(default=1, init=False)
    live: bool = field(default=False, init=False)

    def describe(self) -> dict[str, Any]:
        """Tell which libraries the crystals come from."""
        return {"connector": "examples", "revision": REVISION, **_library_versions()}

    def pages(self, previous: Harvest | None) -> Iterator[Page]:
        """Yield pages of crystals with their variants, keyed by the libraries' versions and the range."""
        libraries = " ".join(f"{name} {number}" for name, number in _library_versions().items())
        if previous is not None:
            return
        for start in range(0, len(self._crystals), CRYSTALS_PER_PAGE):
            crystals = range(start, min(start + CRYSTALS_PER_PAGE, len(self._crystals)))
            yield Page(
                key=f"examples:{REVISION}:{libraries}:{crystals.start}-{crystals.stop}",
                label=f"crystals {crystals.start}-{crystals.stop - 1}",
                payload=crystals,
            )

    def read(self, page: Page) -> PageContent:
        """Build the crystals of a page and their variants."""
        crystals = [self._crystals[i] for i in page.payload]
        structures = [structure for crystal in crystals for structure in _with_variants(crystal, self.source)]
        return PageContent(candidates_table(structures), REJECTS.empty_table())

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""

    @cached_property
    def _crystals(self) -> list[Crystal]:
        return [*_aflow_prototypes(), *_elemental_crystals()]


def _library_versions() -> dict[str, str]:
    return {name: version(name) for name in ("pymatgen", "ase", "numpy")}


def _aflow_prototypes() -> Iterator[Crystal]:
    """Yield the AFLOW prototypes that pymatgen carries (Mehl et al., Comput. Mater. Sci. 136, S1 (2017))."""
    library: list[dict[str, Any]] = import_module("pymatgen.analysis.prototypes").AFLOW_PROTOTYPE_LIBRARY
    used: Counter[str] = Counter()
    for entry in library:
        tags = entry["tags"]
        used[tags["aflow"]] += 1
        repeat = used[tags["aflow"]]
        name = f"aflow/{tags['aflow']}" + (f"-{repeat}" if repeat > 1 else "")
        facts = {key: text for key, text in tags.items() if text not in ("", "None")}
        yield Crystal(name, Structure.from_pymatgen(entry["snl"].structure, "", "").to_ase(), facts)


def _elemental_crystals() -> Iterator[Crystal]:
    """Yield the elements at their measured lattice constants, where ASE can build the crystal."""
    from ase.build import bulk
    from ase.data import chemical_symbols, reference_states

    for symbol, state in zip(chemical_symbols, reference_states, strict=False):
        if state is None:
            continue
        try:
            atoms = bulk(symbol)
        except (ValueError, RuntimeError):
            continue  # a molecular or large cell, of which ASE has no coordinates
        lattice = str(state["symmetry"])
        yield Crystal(f"ase/{symbol}-{lattice}", atoms, {"lattice": lattice})


def _with_variants(crystal: Crystal, source: str) -> Iterator[Structure]:
    yield _record(crystal.atoms, source, crystal.name, crystal.facts)
    supercell = _supercell(crystal.atoms)
    distance = _nearest_neighbour_distance(supercell)
    for variant in VARIANTS:
        name = f"{crystal.name}/{variant.name}"
        atoms = _varied(supercell, variant, distance, _generator(name))
        yield _record(atoms, source, name, crystal.facts | {"variant": variant.name})


def _record(atoms: "Atoms", source: str, name: str, facts: dict[str, str]) -> Structure:
    return Structure.from_ase(atoms, source, name, extra_json=json.dumps(facts, sort_keys=True))


def _generator(name: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little"))


def _supercell(atoms: "Atoms") -> "Atoms":
    """Repeat the shortest vector until there are enough atoms, so that the cell stays compact."""
    lengths = np.asarray(atoms.cell.lengths())
    repeats = np.ones(3, dtype=int)
    while len(atoms) * repeats.prod() < SUPERCELL_SITES:
        repeats[np.argmin(lengths * repeats)] += 1
    supercell: Atoms = atoms.repeat(repeats)
    return supercell


def _nearest_neighbour_distance(atoms: "Atoms") -> float:
    from ase.neighborlist import neighbor_list

    cutoff = 3.0
    while not len(distances := neighbor_list("d", atoms, cutoff)):
        cutoff *= 1.5
    return float(np.min(distances))


def _varied(atoms: "Atoms", variant: Variant, distance: float, generator: np.random.Generator) -> "Atoms":
    varied: Atoms = atoms.copy()
    reach = variant.displacement * distance
    varied.positions += generator.uniform(-reach, reach, size=varied.positions.shape)
    removed = generator.choice(len(varied), size=round(variant.vacancies * len(varied)), replace=False)
    del varied[np.sort(removed)]
    return varied
