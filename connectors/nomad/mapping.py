"""Mapping the archives of NOMAD entries to the columns of the structures table."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from connectors.entries import Failure, in_columns, moment_of
from engine.schema import LABELS, SPECIES, TIMESTAMP

VECTORS = pa.list_(pa.list_(pa.float64()))
"""Of any length, since what a server sends may be of the wrong one: validation tells."""
COLUMNS = pa.schema(
    [
        ("source_id", pa.string()),
        ("nsites", pa.int32()),
        ("species_at_sites", LABELS),
        ("cartesian_site_positions", VECTORS),
        ("lattice_vectors", VECTORS),
        ("dimension_types", pa.list_(pa.int8())),
        ("species", SPECIES),
        ("url", pa.string()),
        ("license", pa.string()),
        ("source_version", pa.string()),
        ("last_modified", TIMESTAMP),
        ("extra_json", pa.string()),
    ]
)
QUANTA_PER_METRE = 1e22
QUANTA_PER_ANGSTROM = 1e12
"""Lengths are whole multiples of 1e-12 Å: finer digits are noise of the conversions to metres and back."""
MOLECULE = [0, 0, 0]
"""``dimension_types`` where an archive has none, by the default in NOMAD's schema."""

WRONG_TYPE = (TypeError, ValueError, OverflowError)
"""What Python and Arrow raise where a value is not of the type that it should have."""

Row = tuple[Any, ...]


class UnreadableEntryError(Exception):
    """An entry that does not even make a candidate."""

    def __init__(self, error_class: str, message: str) -> None:
        super().__init__(message)
        self.error_class = error_class


@dataclass(frozen=True)
class EntryMapping:
    """From entries, as ``entries/archive/query`` answers, to candidates and rejects of ``source``.

    ``gui`` is the address of an entry's page, less the id.
    """

    source: str
    gui: str

    def tabulate(self, entries: Sequence[Any], label: str) -> tuple[pa.Table, list[Failure]]:
        """Return the candidates among ``entries``, in order, and the reasons for the others.

        ``label`` says where entries without an id came from.
        """
        rows: list[Row] = []
        rejects: list[Failure] = []
        for place, entry in enumerate(entries):
            try:
                rows.append(self._row(entry))
            except (UnreadableEntryError, *WRONG_TYPE) as error:
                identity = identity_of(entry)
                message = str(error) if identity else f"entry {place} of {label}: {error}"
                rejects.append(Failure(identity or "", _class_of(error), message))
        table, misfits = in_columns(rows, _table, WRONG_TYPE)
        rejects += [Failure(rows[i][0], "WrongType", str(error)) for i, error in misfits.items()]
        return table.add_column(0, "source", pa.repeat(self.source, len(table))), rejects

    def _row(self, entry: object) -> Row:
        """Values of ``COLUMNS``, lengths still in metres."""
        entry_id = identity_of(entry)
        if entry_id is None:
            found = repr(entry.get("entry_id") if isinstance(entry, dict) else entry)
            raise UnreadableEntryError("MissingIdentity", f"entry_id is {found[:80]}; it must be a string")
        archive = _section(entry, "archive")
        structure = _section(archive, "results", "properties", "structures", "structure_original")
        if not structure:
            raise UnreadableEntryError(
                "MissingStructure",
                "the archive has no results.properties.structures.structure_original, which NOMAD's index "
                "says it has; NOMAD has to process the entry again",
            )
        metadata = _section(archive, "metadata")
        labels, positions = (
            _list(structure, name) for name in ("species_at_sites", "cartesian_site_positions")
        )
        return (
            entry_id,
            None if positions is None else len(positions),
            labels,
            positions,
            _list(structure, "lattice_vectors"),
            _dimension_types(structure),
            _species(labels, _list(structure, "species")),
            self.gui + quote(entry_id, safe=""),
            metadata.get("license"),
            metadata.get("nomad_version"),
            moment_of(metadata.get("last_processing_time")),
            _extra(entry, _section(archive, "results", "material")),
        )


def _class_of(error: Exception) -> str:
    return error.error_class if isinstance(error, UnreadableEntryError) else "WrongType"


def identity_of(entry: object) -> str | None:
    """The id of an entry, if it has one."""
    entry_id = entry.get("entry_id") if isinstance(entry, dict) else None
    return entry_id if isinstance(entry_id, str) and entry_id else None


def _section(document: object, *names: str) -> dict[str, Any]:
    """What stands under ``names``, one below the other; empty where there is no object."""
    for name in names:
        document = document.get(name) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else {}


def _list(structure: dict[str, Any], name: str) -> list[Any] | None:
    value = structure.get(name)
    if value is not None and not isinstance(value, list):
        raise UnreadableEntryError("WrongType", f"{name} is {repr(value)[:80]}; it must be a list")
    return value


def _dimension_types(structure: dict[str, Any]) -> list[Any] | None:
    kinds = _list(structure, "dimension_types") if "dimension_types" in structure else MOLECULE
    return kinds and [int(kind) if isinstance(kind, bool) else kind for kind in kinds]


def _species(labels: list[Any] | None, definitions: list[Any] | None) -> list[Any] | None:
    """The definitions; None where they make every label an element symbol."""
    if not definitions or not all(isinstance(definition, dict) for definition in definitions):
        return definitions
    elements = {d["name"] for d in definitions if _is_element(d)}
    if len(elements) == len(definitions) and labels is not None and elements.issuperset(labels):
        return None
    return [d if d.get("mass") is None else d | {"mass": _masses(d)} for d in definitions]


def _is_element(definition: dict[str, Any]) -> bool:
    name = definition.get("name")
    return (
        isinstance(name, str)
        and definition.get("chemical_symbols") == [name]
        and definition.get("concentration") == [1.0]
        and "mass" not in definition
    )


def _masses(definition: dict[str, Any]) -> list[Any] | None:
    """NOMAD's one mass, in u, by chemical symbol; None where several share it."""
    symbols, mass = definition.get("chemical_symbols"), definition["mass"]
    return [mass] if isinstance(symbols, list) and len(symbols) == 1 else None


def _extra(entry: Any, material: dict[str, Any]) -> str | None:
    values = {
        "material_id": material.get("material_id"),
        "upload_id": entry.get("upload_id"),
        "parser_name": entry.get("parser_name"),
    }
    known = {name: value for name, value in values.items() if isinstance(value, str)}
    return json.dumps(known) if known else None


def _table(rows: Sequence[Row]) -> pa.Table:
    """Columns of rows, lengths in Å.

    Raises:
        Exception: of ``WRONG_TYPE``, a value is not of its column's type.
    """
    values = list(zip(*rows, strict=True)) or [() for _ in COLUMNS]
    arrays = [pa.array(column, field.type) for column, field in zip(values, COLUMNS, strict=True)]
    for index, field in enumerate(COLUMNS):
        if field.type == VECTORS:
            arrays[index] = _angstrom(arrays[index])
    return pa.table(arrays, schema=COLUMNS)


def _angstrom(metres: pa.Array) -> pa.Array:
    """Lengths in lists of any depth, in Å; 5.64e-10 m are 5.64 Å and not 5.640000000000001."""
    if pa.types.is_floating(metres.type):
        return pc.divide(pc.round(pc.multiply(metres, QUANTA_PER_METRE)), QUANTA_PER_ANGSTROM)
    return pa.ListArray.from_arrays(metres.offsets, _angstrom(metres.values), mask=metres.is_null())
