"""Columns of the structures table that follow from the others: identity, content hash, composition."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine.columns import StructureColumns, contiguous
from engine.content import content_hashes, species_number
from engine.occupation import Occupation
from engine.schema import STRUCTURES
from engine.species import MAX_DENOMINATOR, Species, reduced_formula, total_amounts

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
        numbers = np.array([by_name[label].atomic_number for label in labels], np.uint8)
    return Composition(reduced_formula(amounts), len(amounts), numbers)


def content_hash(
    labels: Sequence[str],
    positions: NDArray[np.float64],
    lattice: NDArray[np.float64],
    periodic: NDArray[np.bool_],
    species: Sequence[Species] = (),
) -> bytes:
    """`engine.content.content_hashes` of one structure, of the occupation that ``compose`` takes."""
    by_name = {name: Species.of_label(name) for name in labels} | {s.name: s for s in species}
    numbers = np.array([species_number(by_name[label]) for label in labels], dtype=np.int64)
    offsets = np.array([0, len(labels)])
    return content_hashes(offsets, positions, lattice[None], periodic[None], numbers)[0]


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
    sites = StructureColumns.from_table(pa.table(columns | {"lattice_vectors": _lattices(table)}))
    occupation = Occupation.of_table(table)
    if "species" in columns:
        columns["species"] = _where(occupation.telling, contiguous(columns["species"]))
    numbers = np.array([species_number(kind) for kind in occupation.kinds], dtype=np.int64)
    hashes = content_hashes(
        sites.offsets, sites.positions, sites.lattices, sites.periodic, numbers[occupation.sites]
    )
    columns |= {"content_hash": pa.array(hashes, pa.binary(32))}
    columns |= _compositions(sites, occupation, with_assemblies(table))
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


def with_assemblies(table: pa.Table) -> NDArray[np.bool_]:
    """Rows (B,) some of whose sites exclude one another, so that not all are occupied at once."""
    if "assemblies" not in table.column_names:
        return np.zeros(len(table), dtype=bool)
    return np.array(pc.fill_null(pc.list_value_length(table["assemblies"]), 0).to_numpy() > 0)


def _lattices(table: pa.Table) -> pa.ChunkedArray | pa.Array:
    if "lattice_vectors" in table.column_names:
        return table["lattice_vectors"]
    return pa.nulls(len(table), STRUCTURES.field("lattice_vectors").type)


def _where(rows: NDArray[np.bool_], values: pa.Array) -> pa.Array:
    """Return ``values`` in these rows, null in others."""
    if not rows.any():
        return pa.nulls(len(values), values.type)
    return values.take(pa.array(np.arange(len(values)), mask=~rows))


def _compositions(
    sites: StructureColumns, occupation: Occupation, alternatives: NDArray[np.bool_]
) -> dict[str, pa.Array]:
    """Columns that follow from what occupies the sites, as `compose` tells them of one structure."""
    rows, symbols, amounts = _amounts(sites, occupation)
    kinds = np.array([kind.atomic_number or 0 for kind in occupation.kinds], dtype=np.uint8)
    numbers = kinds[occupation.sites]
    ordered = np.ones(len(sites), dtype=bool)
    ordered[sites.site_rows[numbers == 0]] = False
    ends = np.cumsum(np.where(ordered, sites.nsites, 0))
    return {
        "is_ordered": pa.array(ordered & ~alternatives),
        "formula": _formulas(rows, symbols, amounts, len(sites)),
        "nelements": pa.array(np.bincount(rows, minlength=len(sites)), pa.int32()),
        "atomic_numbers": pa.ListArray.from_arrays(
            np.concatenate([[0], ends]).astype(np.int32),
            numbers[np.repeat(ordered, sites.nsites)],
            type=STRUCTURES.field("atomic_numbers").type,
            mask=pa.array(~ordered),
        ),
    }


def _amounts(
    sites: StructureColumns, occupation: Occupation
) -> tuple[NDArray[np.int64], pa.Array, NDArray[np.float64]]:
    """The elements of each structure: its row, the symbol, in alphabetical order, and the number of atoms."""
    per_site = [kind.amounts for kind in occupation.kinds]
    symbols = sorted({symbol for amounts in per_site for symbol in amounts})
    totals = np.zeros(len(sites) * len(symbols))
    for terms in zip_longest(*(amounts.items() for amounts in per_site), fillvalue=(None, 0.0)):
        columns = np.array([0 if symbol is None else symbols.index(symbol) for symbol, _ in terms])
        shares = np.array([share for _, share in terms])
        places = sites.site_rows * len(symbols) + columns[occupation.sites]
        totals += np.bincount(places, shares[occupation.sites], len(totals))
    present = np.flatnonzero(totals)
    rows, columns = np.divmod(present, max(len(symbols), 1))
    return rows, pa.array(symbols, pa.string()).take(pa.array(columns)), totals[present]


def _formulas(
    rows: NDArray[np.int64], symbols: pa.Array, amounts: NDArray[np.float64], n_rows: int
) -> pa.Array:
    """`reduced_formula` of each structure, all at once for those with whole numbers of atoms."""
    whole = np.rint(amounts).astype(np.int64)
    divisors = np.zeros(n_rows, dtype=np.int64)
    np.gcd.at(divisors, rows, whole)
    counts = pa.array(whole // np.maximum(divisors, 1)[rows])
    terms = pc.binary_join_element_wise(
        symbols, pc.if_else(pc.equal(counts, 1), "", counts.cast(pa.string())), ""
    )
    bounds = np.searchsorted(rows, np.arange(n_rows + 1))
    formulas = pc.binary_join(pa.ListArray.from_arrays(bounds.astype(np.int32), terms), "")
    shared = np.zeros(n_rows, dtype=bool)
    shared[rows[(np.abs(amounts - whole) > 0.5 / MAX_DENOMINATOR) | (whole == 0)]] = True
    fractional = [
        reduced_formula(dict(zip(symbols[a:b].to_pylist(), amounts[a:b].tolist(), strict=True)))
        for a, b in zip(bounds[:-1][shared], bounds[1:][shared], strict=True)
    ]
    return pc.replace_with_mask(formulas, pa.array(shared), pa.array(fractional, pa.string()))
