"""One crystal or molecule: the record, and its conversions to and from tables, ASE and pymatgen."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.derivation import Composition, complete, compose, content_hash
from engine.errors import CrysiftError
from engine.schema import STRUCTURES
from engine.species import HYDROGEN_ISOTOPES, Species, isotope_label

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core.composition import Composition as PymatgenComposition
    from pymatgen.core.structure import Molecule
    from pymatgen.core.structure import Structure as PymatgenStructure

PROVENANCE = (
    "fetched_at",
    "url",
    "license",
    "source_version",
    "immutable_id",
    "last_modified",
    "assemblies",
    "structure_features",
    "deprecated",
    "quality_flags",
    "extra_json",
)
"""Columns that a record carries along unchanged."""


@dataclass(frozen=True, eq=False)
class Structure:
    """Sites with labels and positions (n, 3) in Å, lattice vectors as rows (3, 3) in Å or None.

    ``dimension_types`` is 1 along periodic lattice vectors. ``species`` defines the labels that are not
    simply element symbols; ``provenance`` holds any of the columns in ``PROVENANCE``.
    """

    source: str
    source_id: str
    species_at_sites: tuple[str, ...]
    positions: NDArray[np.float64]
    lattice: NDArray[np.float64] | None = None
    dimension_types: tuple[int, int, int] = (0, 0, 0)
    species: tuple[Species, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse arrays of another shape and provenance that no column can hold."""
        object.__setattr__(self, "positions", np.array(self.positions, dtype=np.float64).reshape(-1, 3))
        if self.lattice is not None:
            object.__setattr__(self, "lattice", np.array(self.lattice, dtype=np.float64).reshape(3, 3))
        unknown = set(self.provenance) - set(PROVENANCE)
        if unknown:
            raise CrysiftError(
                f"structure {self.structure_id} has provenance {sorted(unknown)}; "
                f"the columns for it are {list(PROVENANCE)}; put anything else into extra_json"
            )

    @property
    def structure_id(self) -> str:
        """The id that every table of a store joins on."""
        return f"{self.source}:{self.source_id}"

    @property
    def cell(self) -> NDArray[np.float64]:
        """Lattice vectors (3, 3), zeros where there are none."""
        return np.zeros((3, 3)) if self.lattice is None else self.lattice

    @property
    def content_hash(self) -> bytes:
        """SHA-256 of what occupies which place in the cell, see `engine.content.content_hashes`."""
        periodic = np.array(self.dimension_types) == 1
        return content_hash(self.species_at_sites, self.positions, self.cell, periodic, self.species)

    @cached_property
    def composition(self) -> Composition:
        """Formula, number of elements and atomic numbers."""
        return compose(self.species_at_sites, self.species)

    @property
    def site_species(self) -> list[Species]:
        """What occupies each site (n,)."""
        defined = {s.name: s for s in self.species}
        return [defined.get(label) or Species.of_label(label) for label in self.species_at_sites]

    # ---- ASE

    @classmethod
    def from_ase(cls, atoms: "Atoms", source: str, source_id: str, **provenance: object) -> "Structure":
        """Record ``atoms``; deuterium and tritium are told by their masses, occupancies are kept."""
        labels: list[str] = atoms.get_chemical_symbols()
        if atoms.has("masses"):
            masses = atoms.get_masses().tolist()
            labels = [isotope_label(s, mass) for s, mass in zip(labels, masses, strict=True)]
        sites, species = _shared_sites(atoms, labels)
        periodic = tuple(int(p) for p in atoms.pbc)
        lattice = np.array(atoms.cell) if atoms.cell.any() or any(periodic) else None
        dimension_types = (periodic[0], periodic[1], periodic[2])
        positions = atoms.get_positions()
        return cls(source, source_id, sites, positions, lattice, dimension_types, species, provenance)

    def to_ase(self) -> "Atoms":
        """ASE atoms with the same positions, cell and periodicity; labels become element symbols.

        Raises:
            CrysiftError: a site is shared or partly vacant, which ASE cannot express.
        """
        from ase import Atoms

        for species in self.site_species:
            if not species.is_ordered:
                raise CrysiftError(
                    f"structure {self.structure_id} has the partially occupied species {species.name!r}, "
                    "which ASE cannot express; use to_pymatgen"
                )
        symbols = [s.chemical_symbols[0] for s in self.site_species]
        atoms = Atoms(symbols, self.positions, cell=self.cell, pbc=np.array(self.dimension_types) == 1)
        isotopes = [HYDROGEN_ISOTOPES.get(label) for label in self.species_at_sites]
        if any(isotopes):
            masses = atoms.get_masses()
            atoms.set_masses([m or masses[i] for i, m in enumerate(isotopes)])
        return atoms

    # ---- pymatgen

    @classmethod
    def from_pymatgen(
        cls, structure: "PymatgenStructure | Molecule", source: str, source_id: str, **provenance: object
    ) -> "Structure":
        """Record ``structure``; oxidation states are dropped, shared sites become ``species``."""
        definitions = [_species_of_site(site.species) for site in structure]
        shared = {s.name: s for s in definitions if not s.is_trivial}
        lattice = getattr(structure, "lattice", None)
        pbc = (False, False, False) if lattice is None else lattice.pbc
        return cls(
            source,
            source_id,
            tuple(s.name for s in definitions),
            structure.cart_coords,
            None if lattice is None else lattice.matrix,
            (int(pbc[0]), int(pbc[1]), int(pbc[2])),
            _listed(definitions) if shared else (),
            provenance,
        )

    def to_pymatgen(self) -> "PymatgenStructure | Molecule":
        """Return a pymatgen Structure, or a Molecule where nothing is periodic.

        pymatgen needs three independent lattice vectors: zero vectors along directions that are not periodic
        become unit vectors normal to the others.
        """
        from ase.geometry import complete_cell
        from pymatgen.core.lattice import Lattice
        from pymatgen.core.structure import Molecule
        from pymatgen.core.structure import Structure as PymatgenStructure

        occupants = [
            _occupants(label, s) for label, s in zip(self.species_at_sites, self.site_species, strict=True)
        ]
        if not any(self.dimension_types):
            return Molecule(occupants, self.positions)
        pbc = tuple(kind == 1 for kind in self.dimension_types)
        lattice = Lattice(complete_cell(self.cell), pbc=(pbc[0], pbc[1], pbc[2]))
        return PymatgenStructure(lattice, occupants, self.positions, coords_are_cartesian=True)

    # ---- tables

    def to_row(self) -> dict[str, Any]:
        """Return the columns of the structures table that do not follow from others."""
        return {
            "source": self.source,
            "source_id": self.source_id,
            "nsites": len(self.positions),
            "species_at_sites": self.species_at_sites,
            "cartesian_site_positions": self.positions.tolist(),
            "lattice_vectors": None if self.lattice is None else self.lattice.tolist(),
            "dimension_types": self.dimension_types,
            "species": [asdict(s) for s in self.species] or None,
            **self.provenance,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Structure":
        """Read the record in a row of the structures table."""
        kinds = row["dimension_types"]
        return cls(
            row["source"],
            row["source_id"],
            tuple(row["species_at_sites"]),
            row["cartesian_site_positions"],
            row.get("lattice_vectors"),
            (kinds[0], kinds[1], kinds[2]),
            tuple(Species.from_row(s) for s in row.get("species") or ()),
            {name: row[name] for name in PROVENANCE if row.get(name) is not None},
        )


def candidates_table(structures: Iterable[Structure]) -> pa.Table:
    """Tabulate records to be validated, in the columns that do not follow from others."""
    rows = [s.to_row() for s in structures]
    present = {name for row in rows for name in row}
    required = set(Structure("", "", (), np.empty((0, 3))).to_row())
    schema = pa.schema([f for f in STRUCTURES if f.name in present | required])
    return pa.Table.from_pylist(rows, schema=schema)


def structures_table(structures: Iterable[Structure]) -> pa.Table:
    """Tabulate records as a complete structures table."""
    return complete(candidates_table(structures))


def structures_in(table: pa.Table) -> Iterator[Structure]:
    """Yield the records of a structures table, in order."""
    for batch in table.to_batches(max_chunksize=256):
        for row in batch.to_pylist():
            yield Structure.from_row(row)


def _listed(species: Iterable[Species]) -> tuple[Species, ...]:
    return tuple(sorted({s.name: s for s in species}.values(), key=lambda s: s.name))


def _shared_sites(atoms: "Atoms", labels: list[str]) -> tuple[tuple[str, ...], tuple[Species, ...]]:
    """Labels and species of atoms whose occupancies ASE keeps aside in ``info``, by kind of site."""
    occupancy = atoms.info.get("occupancy")
    if not occupancy or not atoms.has("spacegroup_kinds"):
        return tuple(labels), ()
    kinds = atoms.arrays["spacegroup_kinds"].tolist()
    shares = {int(kind): shares for kind, shares in occupancy.items()}
    if all(
        set(shares[k]) == {label} and shares[k][label] == 1 for k, label in zip(kinds, labels, strict=True)
    ):
        return tuple(labels), ()
    definitions = [Species.of_shares(shares[k]) for k in kinds]
    return tuple(s.name for s in definitions), _listed(definitions)


def _species_of_site(composition: "PymatgenComposition") -> Species:
    shares: dict[str, float] = {}
    for specie, amount in composition.items():
        symbol = str(getattr(specie, "element", specie))  # an ion counts as its element
        shares[symbol] = shares.get(symbol, 0.0) + float(amount)
    return Species.of_shares(shares)


def _occupants(label: str, species: Species) -> str | dict[str, float]:
    if label in HYDROGEN_ISOTOPES:
        return label
    return species.chemical_symbols[0] if species.is_ordered else species.amounts
