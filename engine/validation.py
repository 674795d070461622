"""Which candidate rows are structures, and the reason for each that is not."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine.coincidence import closest_pairs
from engine.columns import StructureColumns, contiguous, fixed_size_values, list_offsets, rows_with_any
from engine.conformance import Rows, conform, null_elements
from engine.derivation import complete, with_assemblies
from engine.errors import CrysiftError
from engine.lattice import completed_cells
from engine.occupation import Occupation
from engine.schema import REJECTS, STRUCTURES
from engine.species import ATOMIC_NUMBERS, Species

STAGE = "validate"
LARGEST_COORDINATE = 1e6
"""Å; far beyond, rounding spoils distances, and searches for neighbours overflow and never end."""
DEGENERATE = 1e-6
"""Volume over the product of the vector lengths below which periodic lattice vectors count as dependent."""
LONGEST_VALUE = 100
"""Characters of a value that a message quotes."""


@dataclass(frozen=True)
class StructureLimits:
    """What a structure must keep to: sites, Å between any two atoms, Å³ of cell per atom."""

    max_sites: int = 100_000
    min_distance: float = 0.1
    min_volume_per_site: float = 0.5

    def __post_init__(self) -> None:
        """Refuse limits that no structure can keep to."""
        for name, value in vars(self).items():
            if not value > 0:
                raise CrysiftError(f"{name} is {value}; it must be positive")


@dataclass(frozen=True)
class Fault:
    """One kind of fault: the rows (B,) that have it, and what to tell about each of them."""

    rows: NDArray[np.bool_]
    error_class: str
    message: Callable[[int], str]


@dataclass(frozen=True)
class Findings:
    """The first fault found in each row: error classes and messages, None where there is none."""

    classes: NDArray[np.object_]
    messages: NDArray[np.object_]

    @classmethod
    def of_rows(cls, n_rows: int) -> "Findings":
        """No fault in any of ``n_rows`` rows."""
        return cls(np.full(n_rows, None, dtype=object), np.full(n_rows, None, dtype=object))

    @property
    def faulty(self) -> NDArray[np.bool_]:
        """Rows (B,) with a fault."""
        return np.array(self.classes != None, dtype=bool)  # noqa: E711 -- compares each element

    def note(self, faults: Iterable[Fault], rows: NDArray[np.int64] | None = None) -> None:
        """Keep the faults of rows that have none yet; those that a check saw are ``rows``, or all."""
        for fault in faults:
            for seen in np.flatnonzero(fault.rows).tolist():
                row = seen if rows is None else rows[seen]
                if self.classes[row] is None:
                    self.classes[row] = fault.error_class
                    self.messages[row] = fault.message(seen)


def validate(
    table: pa.Table, limits: StructureLimits, fetched_at: datetime | None = None
) -> tuple[pa.Table, pa.Table]:
    """Split candidates into complete structures and rejects; rows keep their order and none is lost.

    ``table`` has the required columns of the structures table and any of the others; what can be derived is.
    A reject states the first fault found, since most checks presuppose the ones before.

    Raises:
        CrysiftError: a required column is missing or has a type that cannot be converted.
    """
    moment = fetched_at or datetime.now(UTC)
    candidates, misshapen, inconvertible = conform(table)
    findings = Findings.of_rows(len(candidates))
    findings.note(_wrong_shapes(misshapen))
    findings.note(_wrong_numbers(inconvertible, table))
    findings.note(_missing_values(candidates))
    findings.note(_wrong_counts(candidates, limits))
    findings.note(_wrong_periodicity(candidates))
    findings.note(_unknown_species(candidates))
    sound, sites = _sound(candidates, findings)
    for check in (_unusable_numbers, _wrong_lattices):  # each needs what the last asks for
        findings.note(check(sites, limits), sound)
        if findings.faulty[sound].any():
            sound, sites = _sound(candidates, findings)
    alternatives = with_assemblies(candidates)[sound]
    findings.note(_coincident_atoms(sites, limits, alternatives), sound)
    accepted = complete(candidates.filter(~findings.faulty), moment)
    return accepted, rejects_of(candidates, findings, moment)


def _sound(candidates: pa.Table, findings: Findings) -> tuple[NDArray[np.int64], StructureColumns]:
    """Rows without a fault so far, and their sites."""
    rows = np.flatnonzero(~findings.faulty)
    table = candidates if len(rows) == len(candidates) else candidates.take(rows)
    return rows, StructureColumns.from_table(table)


def rejects_of(candidates: pa.Table, findings: Findings, moment: datetime) -> pa.Table:
    """Tabulate the rows of ``candidates`` that have a fault as rejects."""
    faulty = findings.faulty
    rows = candidates.filter(faulty)
    count = len(rows)
    extra = rows["extra_json"] if "extra_json" in rows.column_names else pa.nulls(count, pa.string())
    columns = {
        "structure_id": rows["structure_id"],
        "source": pc.fill_null(rows["source"], ""),
        "source_id": pc.fill_null(rows["source_id"], ""),
        "error_stage": pa.repeat(STAGE, count),
        "error_class": pa.array(findings.classes[faulty], pa.string()),
        "error_message": pa.array(findings.messages[faulty], pa.string()),
        "fetched_at": pa.repeat(pa.scalar(moment, REJECTS.field("fetched_at").type), count),
        "extra_json": extra,
    }
    return pa.table([columns[f.name] for f in REJECTS], schema=REJECTS)


def _always(message: str) -> Callable[[int], str]:
    return lambda _: message


def _wrong_shapes(misshapen: Rows) -> Iterator[Fault]:
    for name, rows in misshapen.items():
        fault = "a definition without name, chemical_symbols or concentration"
        if name != "species":
            fault = "a vector that has not 3 components"
        yield Fault(rows, "WrongShape", _always(f"{name} holds {fault}"))


def _wrong_numbers(inconvertible: Rows, table: pa.Table) -> Iterator[Fault]:
    for name, rows in inconvertible.items():
        column, kind = table[name], STRUCTURES.field(name).type
        yield Fault(rows, "WrongNumber", partial(_told_number, name, column, kind))


def _told_number(name: str, column: pa.ChunkedArray, kind: pa.DataType, row: int) -> str:
    found = str(column[row].as_py())[:LONGEST_VALUE]
    return f"{name} is {found}, which cannot be stored as {kind}; check the value in the source"


def _missing_values(table: pa.Table) -> Iterator[Fault]:
    for name in ("source", "source_id"):
        empty = pc.fill_null(pc.equal(table[name], ""), True).to_numpy()
        yield Fault(empty, "MissingIdentity", _always(f"{name} is empty; every row needs one"))
    for name in ("nsites", "species_at_sites", "cartesian_site_positions", "dimension_types"):
        column = contiguous(table[name])
        null = null_elements(column)
        if name in ("species_at_sites", "cartesian_site_positions"):
            null |= rows_with_any(column, null_elements(column.flatten()))
        yield Fault(
            null, "MissingValue", _always(f"{name} is null or holds a null; every site needs a value")
        )


def _wrong_counts(table: pa.Table, limits: StructureLimits) -> Iterator[Fault]:
    n_sites = pc.fill_null(table["nsites"], 0).to_numpy()
    n_positions = np.diff(list_offsets(contiguous(table["cartesian_site_positions"])))
    n_species = np.diff(list_offsets(contiguous(table["species_at_sites"])))
    yield Fault(
        (n_sites != n_positions) | (n_sites != n_species),
        "WrongCounts",
        lambda i: (
            f"nsites is {n_sites[i]}, but there are {n_positions[i]} positions and {n_species[i]} species; "
            "the three must agree"
        ),
    )
    yield Fault(n_sites == 0, "EmptyStructure", _always("nsites is 0; a structure needs at least one site"))
    yield Fault(
        n_sites > limits.max_sites,
        "TooManySites",
        lambda i: f"nsites is {n_sites[i]}, the limit is {limits.max_sites}; raise max_sites to take it",
    )


def _wrong_periodicity(table: pa.Table) -> Iterator[Fault]:
    kinds = fixed_size_values(contiguous(table["dimension_types"])).reshape(-1, 3)
    yield Fault(
        np.array(~np.isin(kinds, (0, 1)).all(axis=1)),
        "WrongDimensionTypes",
        lambda i: f"dimension_types is {kinds[i].tolist()}; each must be 0 or 1 (periodic)",
    )
    without_lattice = contiguous(table["lattice_vectors"]).is_null().to_numpy(zero_copy_only=False)
    yield Fault(
        (kinds == 1).any(axis=1) & without_lattice,
        "MissingLattice",
        lambda i: f"lattice_vectors is null, but dimension_types is {kinds[i].tolist()}; give the lattice",
    )
    alone = pc.fill_null(table["nsites"], 0).to_numpy() == 1
    message = "the only atom is not periodic and has no neighbour; give its lattice if it has one"
    yield Fault(alone & (kinds != 1).all(axis=1), "SingleAtom", _always(message))


def _unknown_species(table: pa.Table) -> Iterator[Fault]:
    labels = contiguous(table["species_at_sites"])
    definitions = table["species"] if "species" in table.column_names else pa.nulls(len(table))
    occupation = Occupation.of_table(table)
    unusable = np.array([kind.fault() is not None for kind in occupation.kinds], dtype=bool)

    def explanation(row: int) -> str:
        defined = definitions[row].as_py()
        if defined is None:
            return _label_fault(labels[row].as_py())
        return _species_fault(labels[row].as_py(), [Species.from_row(cell) for cell in defined])

    faulty = rows_with_any(labels, unusable[occupation.sites] | occupation.undefined)
    yield Fault(faulty, "UnknownSpecies", explanation)


def _species_fault(labels: Sequence[str], species: Sequence[Species]) -> str:
    """Why the definitions, which alone count where there are any, do not explain the labels."""
    by_name = {s.name: s for s in species}
    undefined = sorted(set(labels) - by_name.keys())
    if undefined:
        return f"the label {undefined[0]!r} is not in species; define each label of species_at_sites there"
    return next(fault for label in sorted(set(labels)) if (fault := by_name[label].fault()))


def _label_fault(labels: Sequence[str]) -> str:
    label = next(label for label in labels if label not in ATOMIC_NUMBERS)
    return f"{label!r} in species_at_sites is not an element symbol; define the label in the species column"


def _unusable_numbers(sites: StructureColumns, _: StructureLimits) -> Iterator[Fault]:
    too_large = f"must be within ±{LARGEST_COORDINATE:g}; check the unit of length"
    if not (_within_limits(sites.positions).all() and _within_limits(sites.lattices).all()):
        yield from _wrong_components(sites, np.isfinite, "NonFinite", "must be a finite number")
        yield from _wrong_components(sites, _within_limits, "TooLarge", too_large)


def _within_limits(lengths: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(np.abs(lengths) <= LARGEST_COORDINATE)


def _wrong_components(
    sites: StructureColumns, usable: Callable[[NDArray[Any]], NDArray[Any]], error: str, demand: str
) -> Iterator[Fault]:
    """Rows with a coordinate or a component of a lattice vector that is not ``usable``."""
    bad_sites = np.flatnonzero(~usable(sites.positions).all(axis=1))
    bad_rows, first = np.unique(sites.site_rows[bad_sites], return_index=True)
    first_site = dict(zip(bad_rows.tolist(), bad_sites[first].tolist(), strict=True))
    yield Fault(
        np.isin(np.arange(len(sites)), bad_rows),
        f"{error}Coordinates",
        lambda i: (
            f"site {first_site[i] - sites.offsets[i]} is at {sites.positions[first_site[i]].tolist()} Å; "
            f"every coordinate {demand}"
        ),
    )
    yield Fault(
        np.array(~usable(sites.lattices.reshape(-1, 9)).all(axis=1)),
        f"{error}Lattice",
        lambda i: f"lattice_vectors is {sites.lattices[i].tolist()} Å; every component {demand}",
    )


def _wrong_lattices(sites: StructureColumns, limits: StructureLimits) -> Iterator[Fault]:
    lengths = np.sqrt((sites.lattices**2).sum(axis=2))
    zero = sites.periodic & (lengths == 0.0)
    yield Fault(
        zero.any(axis=1),
        "ZeroLatticeVector",
        lambda i: (
            f"lattice vector {int(np.argmax(zero[i]))} is zero, but dimension_types says it is periodic; "
            "give the vector or set its dimension_types to 0"
        ),
    )
    volumes = np.abs(completed_cells(sites.lattices, sites.periodic)[2])
    shares = volumes / np.where(sites.periodic & ~zero, lengths, 1.0).prod(axis=1)
    yield Fault(
        ~(shares > DEGENERATE),
        "DependentLatticeVectors",
        lambda i: (
            f"the periodic lattice vectors span {shares[i]:.3g} of the product of their lengths, "
            f"the limit is {DEGENERATE:g}; they must be linearly independent"
        ),
    )
    volumes /= sites.nsites
    yield Fault(
        sites.periodic.all(axis=1) & (volumes < limits.min_volume_per_site),
        "TinyVolume",
        lambda i: (
            f"the cell has {volumes[i]:.6g} Å³ per site, the limit is {limits.min_volume_per_site:g}; "
            "check the unit of length or lower min_volume_per_site"
        ),
    )


def _coincident_atoms(
    sites: StructureColumns, limits: StructureLimits, alternatives: NDArray[np.bool_]
) -> Iterator[Fault]:
    """Rows with atoms that are too close, where these are not ``alternatives`` of one another (B,)."""
    distances, pairs = closest_pairs(sites, limits.min_distance)
    yield Fault(
        np.isfinite(distances) & ~alternatives,
        "CoincidentAtoms",
        lambda i: (
            f"sites {pairs[i, 0]} and {pairs[i, 1]} (periodic images included) are {distances[i]:.4g} Å "
            f"apart, the limit is {limits.min_distance:g}; remove the duplicate or lower min_distance"
        ),
    )
