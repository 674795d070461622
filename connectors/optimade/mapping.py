"""From entries of an OPTIMADE service to the columns of the structures table."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from connectors.entries import Failure, in_columns, moment_of, rejects_table
from engine.schema import (
    ASSEMBLIES,
    DIMENSION_TYPES,
    LABELS,
    LATTICE,
    POSITIONS,
    SPECIES,
    TIMESTAMP,
)
from engine.species import ELEMENTS

STRUCTURAL = (
    "cartesian_site_positions",
    "species_at_sites",
    "species",
    "lattice_vectors",
    "dimension_types",
    "assemblies",
)
"""Properties without which an entry is another structure."""
UNDEFINED = "no species: labels taken for elements"
ASSUMED_PERIODIC = "no dimension_types: periodic where there are lattice vectors"
NO_TIME = "last_modified is no time"
NO_FEATURES = "structure_features is no list of texts"

THREE = pa.list_(pa.float64(), 3)
"""Whole numbers before they are known to be whole: Arrow would cut off the rest."""

_SYMBOLS = frozenset(ELEMENTS)
_MALFORMED = (pa.ArrowException, TypeError, ValueError, OverflowError)
"""What Python and Arrow raise over values of other types than the standard's."""

Entry = dict[str, Any]
Flags = dict[int, list[str]]
"""By row, what its ``quality_flags`` are to say."""


MALFORMED = "MalformedEntry"


class MalformedError(ValueError):
    """An entry that cannot be put into columns."""

    def __init__(self, message: str, error_class: str = MALFORMED) -> None:
        super().__init__(message)
        self.error_class = error_class


@dataclass(frozen=True)
class Origin:
    """Where entries come from: the source, the address that an id is appended to, the licence."""

    source: str
    address: str
    license: str | None


def tabulate(entries: Sequence[Any], origin: Origin, label: str) -> tuple[pa.Table, pa.Table]:
    """Candidates, in order, and rejects (REJECTS): every entry is in the one or the other.

    ``label`` says where entries without an id came from.
    """
    sound: list[Entry] = []
    failures: list[Failure] = []
    for number, entry in enumerate(entries):
        fault = _fault(entry)
        if fault is None:
            sound.append(entry)
        else:
            failures.append(_failure(_name(entry) or f"entry {number} of {label}", fault))
    table, misfits = in_columns(sound, partial(_columns, origin), _MALFORMED)
    failures += [_failure(_name(sound[number]), fault) for number, fault in misfits.items()]
    return table, rejects_table(origin.source, failures)


def _failure(name: str, fault: Exception) -> Failure:
    error_class = fault.error_class if isinstance(fault, MalformedError) else MALFORMED
    return Failure(name, error_class, str(fault))


def _fault(entry: Any) -> MalformedError | None:
    """Why an entry is not one at all."""
    if not isinstance(entry, dict):
        return MalformedError(f"the entry is {_json(entry)}; it must be an object")
    if not isinstance(entry.get("id"), str):
        return MalformedError(f"the id is {_json(entry.get('id'))}; it must be a text", "MissingId")
    if not isinstance(entry.get("attributes"), dict):
        return MalformedError("the entry has no attributes", "MissingAttributes")
    return _left_out(entry["meta"]) if "meta" in entry else None


def _left_out(meta: Any) -> MalformedError | None:
    """The fault of an entry part of whose structure is not in the list, but behind a link."""
    found = meta.get("partial_data_links") if isinstance(meta, dict) else None
    links: dict[str, Any] = found if isinstance(found, dict) else {}
    for name in STRUCTURAL:
        if links.get(name):
            return MalformedError(
                f"{name} is too large for the list of structures, and following partial_data_links is not "
                f"supported: {_json(links[name])}",
                "PartialData",
            )
    return None


def _columns(origin: Origin, entries: Sequence[Entry]) -> pa.Table:
    """One row per entry; raises one of ``_MALFORMED`` where a value has not the type that it should have."""
    ids = [entry["id"] for entry in entries]
    rows = [entry["attributes"] for entry in entries]
    flags: Flags = {}
    columns = {
        "source": pa.repeat(origin.source, len(rows)),
        "source_id": _array("id", ids, pa.string()),
        **_sites(rows, flags),
        "structure_features": _features(rows, flags),
        "immutable_id": _array("immutable_id", [_text(row.get("immutable_id")) for row in rows], pa.string()),
        "last_modified": _times(rows, flags),
        "url": pa.array([f"{origin.address}/{quote(found, safe='')}" for found in ids], pa.string()),
        "license": pa.repeat(pa.scalar(origin.license, pa.string()), len(rows)),
    }
    columns["quality_flags"] = pa.array([flags.get(row) for row in range(len(rows))], LABELS)
    return pa.table(columns)


def _sites(rows: Sequence[Entry], flags: Flags) -> dict[str, pa.Array]:
    """The columns that make the structure."""
    labels, positions = _lists(rows, "species_at_sites"), _lists(rows, "cartesian_site_positions")
    lattices, periodicity = _lists(rows, "lattice_vectors"), _lists(rows, "dimension_types")
    sizes = [row.get("nsites") for row in rows]
    for i, row in enumerate(rows):
        if sizes[i] is None and positions[i] is not None:
            sizes[i] = len(positions[i])
        if periodicity[i] is None and lattices[i] is not None:
            periodicity[i] = [int(vector is not None and any(vector)) for vector in lattices[i]]
            flags.setdefault(i, []).append(ASSUMED_PERIODIC)
        if labels[i] and not row.get("species"):
            flags.setdefault(i, []).append(UNDEFINED)
    species = [_definitions(row.get("species"), sites) for row, sites in zip(rows, labels, strict=True)]
    assemblies = [_assemblies(row.get("assemblies")) for row in rows]
    return {
        "nsites": _array("nsites", sizes, pa.float64()).cast(pa.int32()),
        "species_at_sites": _array("species_at_sites", labels, LABELS),
        "cartesian_site_positions": _array("cartesian_site_positions", positions, POSITIONS),
        "lattice_vectors": _array("lattice_vectors", lattices, LATTICE),
        "dimension_types": _array("dimension_types", periodicity, THREE).cast(DIMENSION_TYPES),
        "species": _array("species", species, SPECIES),
        "assemblies": _array("assemblies", assemblies, ASSEMBLIES),
    }


def _lists(rows: Sequence[Entry], name: str) -> list[Any]:
    """The values of a property, lists or null: Arrow would take a text for the list of its letters."""
    values = [row.get(name) for row in rows]
    for kind in set(map(type, values)) - {list, type(None)}:
        raise MalformedError(f"{name} is of type {kind.__name__}; it must be a list")
    return values


def _definitions(species: Any, labels: Sequence[str] | None) -> list[Entry] | None:
    """Definitions of species, None where they say no more than the labels do."""
    if not species:
        return None
    _require("species", species, list)
    for definition in species:
        _require("an entry of species", definition, dict)
    if all(map(_is_element, species)) and {each["name"] for each in species}.issuperset(labels or ()):
        return None
    if len({_json(each.get("name")) for each in species}) < len(species):
        raise MalformedError("species defines a name twice; names must be unique", "AmbiguousSpecies")
    return [_definition(each) for each in species]


def _is_element(definition: Mapping[str, Any]) -> bool:
    """Whether a label stands for the element that it names, and nothing else."""
    name = definition.get("name")
    return (
        isinstance(name, str)
        and name in _SYMBOLS
        and definition.get("chemical_symbols") == [name]
        and definition.get("concentration") == [1]
        and not definition.get("nattached")
        and (name != "H" or definition.get("mass") is None)
    )


def _definition(species: Entry) -> Entry:
    """A definition whose lists are lists; version 1.0 had one mass instead of a list."""
    mass = species.get("mass")
    if isinstance(mass, int | float):
        species = species | {"mass": [mass] if len(species.get("chemical_symbols") or ()) == 1 else None}
    for name in ("chemical_symbols", "concentration", "mass", "attached", "nattached"):
        if species.get(name) is not None:
            _require(f"{name} of a species", species[name], list)
    return species


def _assemblies(assemblies: Any) -> list[Entry] | None:
    if not assemblies:
        return None
    _require("assemblies", assemblies, list)
    for assembly in assemblies:
        _require("an entry of assemblies", assembly, dict)
        _require("group_probabilities", assembly.get("group_probabilities"), list)
        _require("sites_in_groups", assembly.get("sites_in_groups"), list)
        for group in assembly["sites_in_groups"]:
            _require("an entry of sites_in_groups", group, list)
    return list(assemblies)


def _require(name: str, value: Any, kind: type) -> None:
    if not isinstance(value, kind):
        raise MalformedError(
            f"{name} is {_json(value)}; it must be {'a list' if kind is list else 'an object'}"
        )


def _array(name: str, values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, kind)
    except _MALFORMED as error:
        raise MalformedError(f"{name}: {error}") from error


def _features(rows: Sequence[Entry], flags: Flags) -> pa.Array:
    features = [row.get("structure_features") for row in rows]
    for i, found in enumerate(features):
        if found and not (isinstance(found, list) and all(isinstance(feature, str) for feature in found)):
            features[i] = None
            flags.setdefault(i, []).append(NO_FEATURES)
    return _array("structure_features", [found or None for found in features], LABELS)


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else _json(value)


def _times(rows: Sequence[Entry], flags: Flags) -> pa.Array:
    """Times in UTC, which is assumed where none tells its zone: the reference server leaves it out."""
    values = [row.get("last_modified") for row in rows]
    for kind in (TIMESTAMP, pa.timestamp("us")):
        try:
            return pa.array(values, pa.string()).cast(kind).cast(TIMESTAMP)
        except _MALFORMED:
            continue
    times = [moment_of(value) for value in values]
    for i, (value, time) in enumerate(zip(values, times, strict=True)):
        if value is not None and time is None:
            flags.setdefault(i, []).append(NO_TIME)
    return pa.array(times, TIMESTAMP)


def _name(entry: Any) -> str:
    """The id of an entry, empty where it is no text."""
    found = entry.get("id") if isinstance(entry, dict) else None
    return found if isinstance(found, str) else ""


def _json(value: Any) -> str:
    return json.dumps(value)[:500]
