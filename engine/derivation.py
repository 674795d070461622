"""Columns of the structures table that follow from the others: identity, content hash, composition."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine.columns import StructureColumns, contiguous
from engine.schema import STRUCTURES
from engine.species import ATOMIC_NUMBERS, Species, reduced_formula, total_amounts

HASH_DOMAIN = b"crysift structure 1\0"
ALWAYS_DERIVED = ("content_hash", "is_ordered", "formula", "nelements", "atomic_numbers")
"""Columns that always follow from the sites, whatever a source says."""


@dataclass(frozen=True)
class Composition:
    """What the sites of one structure amount to; ``atomic_numbers`` is None where sites are shared."""

    formula: str
    nelements: int
    atomic_numbers: NDArray[np.uint8] | None

    @property
    def is_ordered(self) -> bool:
        """Whether each site is fully occupied by one element."""
        return self.atomic_numbers is not None


def compose(labels: Sequence[str], species: Sequence[Species]) -> Composition:
    """Composition of a structure whose site labels ``species`` defines; unlisted labels are elements."""
    by_name = {name: Species.of_label(name) for name in labels} | {s.name: s for s in species}
    amounts = total_amounts(labels, by_name)
    numbers = None
    if all(by_name[label].is_ordered for label in set(labels)):
        numbers = np.array([ATOMIC_NUMBERS[by_name[label].chemical_symbols[0]] for label in labels], np.uint8)
    return Composition(reduced_formula(amounts), len(amounts), numbers)


def content_hash(
    labels: Sequence[str],
    positions: NDArray[np.float64],
    lattice: NDArray[np.float64],
    periodic: NDArray[np.bool_],
    species: Sequence[Species] = (),
) -> bytes:
    """SHA-256 of one structure's content: labels, positions (n, 3), lattice (3, 3) and periodicity (3,).

    The canonical bytes are little-endian: number of sites (int64), length of each UTF-8 label (int32), the
    labels, positions and lattice (float64; -0 is 0, no lattice is zeros), periodicity (int8), and, as JSON,
    what occupies the sites whose label alone does not tell.
    """
    encoded = [label.encode() for label in labels]
    state = hashlib.sha256(HASH_DOMAIN)
    state.update(len(encoded).to_bytes(8, "little"))
    state.update(np.array([len(label) for label in encoded], dtype="<i4").tobytes())
    state.update(b"".join(encoded))
    state.update((positions + 0.0).astype("<f8", copy=False).tobytes())
    state.update((lattice + 0.0).astype("<f8", copy=False).tobytes())
    state.update(periodic.astype(np.int8).tobytes())
    occupants = [
        (s.name, s.chemical_symbols, s.concentration, s.attached, s.nattached)
        for s in sorted(species, key=lambda s: s.name)
        if s.name in labels and not s.is_trivial
    ]
    if occupants:
        state.update(json.dumps(occupants).encode())
    return state.digest()


def complete(table: pa.Table, fetched_at: datetime | None = None) -> pa.Table:
    """Structures with every column of the schema: given ones as they are, derivable ones derived.

    Those in ``ALWAYS_DERIVED`` are never taken from ``table``; ``structure_id`` and ``fetched_at`` are filled
    in where absent; ``species`` that say no more than the labels become null. ``table`` has valid rows, with
    columns of the schema's types.
    """
    columns = {name: table[name] for name in table.column_names}
    columns["structure_id"] = structure_ids(table)
    moment = pa.scalar(fetched_at or datetime.now(UTC), STRUCTURES.field("fetched_at").type)
    given = columns.get("fetched_at")
    columns["fetched_at"] = pa.repeat(moment, len(table)) if given is None else pc.fill_null(given, moment)
    species = {row: s for row, s in species_of(table).items() if not all(d.is_trivial for d in s)}
    if "species" in columns:
        trivial = ~np.isin(np.arange(len(table)), list(species))
        columns["species"] = columns["species"].take(pa.array(np.arange(len(table)), mask=trivial))
    sites = StructureColumns.from_table(pa.table(columns | {"lattice_vectors": _lattices(table)}))
    labels = contiguous(table["species_at_sites"])
    compositions = _compositions(sites, labels, species)
    columns |= {
        "content_hash": pa.array(_content_hashes(sites, species), pa.binary(32)),
        "is_ordered": pa.array([c.is_ordered for c in compositions], pa.bool_()),
        "formula": pa.array([c.formula for c in compositions], pa.string()),
        "nelements": pa.array([c.nelements for c in compositions], pa.int32()),
        "atomic_numbers": pa.array(
            [c.atomic_numbers for c in compositions], STRUCTURES.field("atomic_numbers").type
        ),
    }
    arrays = [
        columns[field.name] if field.name in columns else pa.nulls(len(table), field.type)
        for field in STRUCTURES
    ]
    return pa.table(arrays, schema=STRUCTURES)


def structure_ids(table: pa.Table) -> pa.Array:
    """``source:source_id`` of each row, or the id it already has."""
    derived = pc.binary_join_element_wise(table["source"], table["source_id"], ":")
    if "structure_id" not in table.column_names:
        return contiguous(derived)
    return contiguous(pc.coalesce(table["structure_id"], derived))


def species_of(table: pa.Table) -> dict[int, tuple[Species, ...]]:
    """Return the species definitions of the rows that have any."""
    if "species" not in table.column_names:
        return {}
    column = contiguous(table["species"])
    rows = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
    return {int(i): tuple(Species.from_row(cell) for cell in column[int(i)].as_py()) for i in rows}


def _lattices(table: pa.Table) -> pa.ChunkedArray | pa.Array:
    if "lattice_vectors" in table.column_names:
        return table["lattice_vectors"]
    return pa.nulls(len(table), STRUCTURES.field("lattice_vectors").type)


def _content_hashes(sites: StructureColumns, species: Mapping[int, Sequence[Species]]) -> list[bytes]:
    hashes = []
    for row in range(len(sites)):
        positions, codes, lattice, periodic = sites.row(row)
        labels = [sites.labels[code] for code in codes.tolist()]
        hashes.append(content_hash(labels, positions, lattice, periodic, species.get(row, ())))
    return hashes


def _compositions(
    sites: StructureColumns, labels: pa.Array, species: Mapping[int, Sequence[Species]]
) -> list[Composition]:
    numbers = np.array([ATOMIC_NUMBERS.get(label, 0) for label in sites.labels], dtype=np.uint8)
    site_numbers = numbers[sites.species]
    rows, codes, counts = sites.composition()
    bounds = np.searchsorted(rows, np.arange(len(sites) + 1))
    compositions = []
    for row in range(len(sites)):
        if row in species:
            compositions.append(compose(labels[row].as_py(), species[row]))
            continue
        part = slice(bounds[row], bounds[row + 1])
        names = tuple(sites.labels[code] for code in codes[part])
        formula, nelements = _formula(names, tuple(counts[part].tolist()))
        compositions.append(
            Composition(formula, nelements, site_numbers[sites.offsets[row] : sites.offsets[row + 1]])
        )
    return compositions


@cache
def _trivial(label: str) -> Species:
    return Species.of_label(label)


def _formula(names: tuple[str, ...], counts: tuple[int, ...]) -> tuple[str, int]:
    amounts: dict[str, float] = {}
    for name, count in zip(names, counts, strict=True):
        symbol = _trivial(name).chemical_symbols[0]
        amounts[symbol] = amounts.get(symbol, 0) + count
    return reduced_formula(amounts), len(amounts)
