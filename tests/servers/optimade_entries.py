"""Entries as OPTIMADE services give them, made from crystals."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk

Entry = dict[str, Any]
MODIFIED = datetime(2024, 1, 1, tzinfo=UTC)
ROCK_SALTS = [("NaCl", 5.64), ("MgO", 4.21), ("LiF", 4.03), ("KBr", 6.60), ("CaO", 4.81), ("TiC", 4.33)]


def element(symbol: str) -> dict[str, Any]:
    """The definition of a species that is an element."""
    return {"name": symbol, "chemical_symbols": [symbol], "concentration": [1.0]}


def entry_of(atoms: Atoms, name: Any, modified: datetime = MODIFIED, **attributes: Any) -> Entry:
    """The entry with the id ``name``; ``attributes`` replace those that follow from the crystal."""
    symbols = sorted(set(atoms.get_chemical_symbols()))
    return {
        "id": name,
        "type": "structures",
        "attributes": {
            "immutable_id": f"immutable-{name}",
            "last_modified": modified.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "elements": symbols,
            "nelements": len(symbols),
            "chemical_formula_reduced": atoms.get_chemical_formula("reduce"),
            "nsites": len(atoms),
            "species_at_sites": atoms.get_chemical_symbols(),
            "species": [element(symbol) for symbol in symbols],
            "cartesian_site_positions": atoms.positions.tolist(),
            "lattice_vectors": atoms.cell.array.tolist(),
            "dimension_types": [1, 1, 1],
            "structure_features": [],
            "assemblies": None,
            **attributes,
        },
    }


def crystals(count: int, seed: int = 0) -> list[Atoms]:
    """Rock salts of slightly different lattice constants, with displaced atoms."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        formula, a = ROCK_SALTS[number % len(ROCK_SALTS)]
        atoms = bulk(
            formula, "rocksalt", a=a * (1 + 0.001 * (number // len(ROCK_SALTS))), cubic=number % 2 == 0
        )
        atoms.positions += rng.normal(scale=0.01, size=atoms.positions.shape)
        found.append(atoms)
    return found


def entries_of(names: Sequence[Any], seed: int = 0) -> list[Entry]:
    """One entry for each id, each modified an hour after the one before."""
    return [
        entry_of(atoms, name, MODIFIED + timedelta(hours=number))
        for number, (name, atoms) in enumerate(zip(names, crystals(len(names), seed), strict=True))
    ]


def ids(count: int, prefix: str = "mp") -> list[str]:
    """Ids as databases have them: with numbers, but in another order than theirs."""
    return [f"{prefix}-{37 * number + 1}" for number in range(count)]


def disordered_entries() -> list[Entry]:
    """Entries whose sites are not plain atoms, by what they are."""
    salt, carbide = bulk("NaCl", "rocksalt", a=5.64), bulk("TiC", "rocksalt", a=4.33)
    shared = {"name": "M", "chemical_symbols": ["Ti", "V"], "concentration": [0.25, 0.75]}
    holes = {"name": "Na", "chemical_symbols": ["Na", "vacancy"], "concentration": [0.9, 0.1]}
    methyl = element("C") | {"name": "CH3", "attached": ["H"], "nattached": [3]}
    groups = [{"sites_in_groups": [[0], [1]], "group_probabilities": [0.3, 0.7]}]
    renamed = {"name": "C", "chemical_symbols": ["Ti"], "concentration": [1.0]}
    anion = {"name": "Ti", "chemical_symbols": ["C"], "concentration": [1.0]}
    return [
        entry_of(carbide, "partial", species=[shared, element("C")], species_at_sites=["M", "C"]),
        entry_of(salt, "vacant", species=[holes, element("Cl")]),
        entry_of(carbide, "attached", species=[element("Ti"), methyl], species_at_sites=["Ti", "CH3"]),
        entry_of(salt, "assembled", assemblies=groups, structure_features=["assemblies"]),
        entry_of(carbide, "swapped", species=[renamed, anion], species_at_sites=["C", "Ti"]),
    ]


def by_id(rows: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Rows of a table by their ids."""
    return {row["source_id"]: row for row in rows}
