"""Every entry becomes a candidate or a reject, whatever a service sends."""

import json
import math
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from ase.build import bulk
from hypothesis import given
from hypothesis import strategies as st

from connectors.optimade.capabilities import FIELDS
from connectors.optimade.mapping import (
    ASSUMED_PERIODIC,
    NO_FEATURES,
    NO_TIME,
    UNDEFINED,
    Origin,
    tabulate,
)
from engine.schema import REJECTS, STRUCTURES
from engine.validation import StructureLimits, validate
from tests.servers.optimade_entries import Entry, by_id, element, entries_of, entry_of, ids

ORIGIN = Origin("optimade.h/x", "https://h/x/v1/structures", "CC-BY-4.0")
SALT = bulk("NaCl", "rocksalt", a=5.64)
LINK = {"format": "jsonlines", "link": "https://h/x/partial/1"}


def salt(name: Any = "salt", **attributes: Any) -> Entry:
    return entry_of(SALT, name, **attributes)


def outcome(entry: Any) -> dict[str, Any]:
    """The row that becomes of an entry between two sound ones, or its reject."""
    candidates, rejects = tabulate([salt("before"), entry, salt("after")], ORIGIN, "page 7")
    valid, invalid = validate(candidates, StructureLimits())
    assert rejects.schema == REJECTS
    rows = by_id([*valid.to_pylist(), *rejects.to_pylist(), *invalid.to_pylist()])
    assert {"formula": "ClNa"}.items() <= rows.pop("before").items()
    assert {"formula": "ClNa"}.items() <= rows.pop("after").items()
    (row,) = rows.values()
    return dict(row)


def test_columns_have_the_types_of_the_structures_table() -> None:
    candidates, rejects = tabulate(entries_of(ids(20)), ORIGIN, "page 1")
    assert len(candidates) == 20
    assert len(rejects) == 0
    for field in candidates.schema:
        assert field.type == STRUCTURES.field(field.name).type, field.name
    assert candidates["species"].null_count == 20
    empty, _ = tabulate([], ORIGIN, "page 2")
    assert empty.schema == candidates.schema


def without(*names: str) -> Entry:
    entry = salt()
    for name in names:
        del entry["attributes"][name]
    return entry


REJECTED: dict[str, tuple[Any, str, str]] = {
    "no object": (17, "MalformedEntry", "the entry is 17"),
    "null": (None, "MalformedEntry", "the entry is null"),
    "no id": ({"type": "structures", "attributes": {}}, "MissingId", "the id is null"),
    "number as id": (salt(17), "MissingId", "the id is 17"),
    "list as id": (salt(["a"]), "MissingId", 'the id is ["a"]'),
    "empty id": (salt(""), "MissingIdentity", "source_id is empty"),
    "lone surrogate in the id": (salt("\ud800"), "MalformedEntry", "id: "),
    "no attributes": ({"id": "salt", "type": "structures"}, "MissingAttributes", "no attributes"),
    "null attributes": (salt() | {"attributes": None}, "MissingAttributes", "no attributes"),
    "no sites": (without(*FIELDS), "MissingValue", "nsites is null"),
    "null positions": (salt(cartesian_site_positions=None), "MissingValue", "positions is null"),
    "null site": (
        salt(cartesian_site_positions=[[0, 0, 0], None]), "MissingValue", "cartesian_site_positions is null"
    ),
    "null coordinate": (
        salt(cartesian_site_positions=[[0, 0, 0], [1, None, 1]]), "MissingValue", "cartesian_site_positions"
    ),
    "NaN": (
        salt(cartesian_site_positions=[[0, 0, 0], [1, math.nan, 1]]), "NonFiniteCoordinates", "site 1 is at"
    ),
    "texts as coordinates": (
        salt(cartesian_site_positions=[["0", "0", "0"], ["1", "1", "1"]]), "MalformedEntry", "convert '0'"
    ),
    "two coordinates": (
        salt(cartesian_site_positions=[[0, 0], [1, 1]]), "MalformedEntry", "expected 3 but got"
    ),
    "positions in a text": (salt(cartesian_site_positions="0 0 0"), "MalformedEntry", "is of type str"),
    "huge coordinate": (
        salt(cartesian_site_positions=[[0, 0, 0], [10**80, 1, 1]]), "MalformedEntry", "too large"
    ),
    "one label for two sites": (salt(species_at_sites=["Na"]), "WrongCounts", "1 species"),
    "labels in a text": (salt(species_at_sites="CO"), "MalformedEntry", "species_at_sites is of type str"),
    "null label": (salt(species_at_sites=["Na", None]), "MissingValue", "species_at_sites"),
    "undefined label": (salt(species_at_sites=["Na", "Br"]), "UnknownSpecies", "'Br' is not in species"),
    "unknown element": (
        salt(species_at_sites=["Na", "X"], species=[element("Na"), element("X")]), "UnknownSpecies", "'X'"
    ),
    "unknown element without species": (
        salt(species_at_sites=["Na", "Q"], species=None), "UnknownSpecies", "'Q'"
    ),
    "species as object": (salt(species={"Na": 1}), "MalformedEntry", "species is {"),
    "texts as species": (salt(species=["Na", "Cl"]), "MalformedEntry", 'an entry of species is "Na"'),
    "symbols in a text": (
        salt(species=[element("Na"), element("Cl") | {"chemical_symbols": "CO"}]),
        "MalformedEntry",
        'chemical_symbols of a species is "CO"',
    ),
    "no concentration": (
        salt(species=[element("Na"), {"name": "Cl", "chemical_symbols": ["Cl"]}]), "WrongShape", "species"
    ),
    "two species of one name": (
        salt(species=[element("Na"), element("Cl"), element("Cl") | {"chemical_symbols": ["Br"]}]),
        "AmbiguousSpecies",
        "defines a name twice",
    ),
    "text as number of sites": (salt(nsites="2"), "MalformedEntry", "nsites: "),
    "half a site": (salt(nsites=2.5), "MalformedEntry", "truncated"),
    "wrong number of sites": (salt(nsites=3), "WrongCounts", "nsites is 3"),
    "half periodic": (salt(dimension_types=[1, 0.5, 1]), "MalformedEntry", "truncated"),
    "periodic twice": (salt(dimension_types=[1, 2, 1]), "WrongDimensionTypes", "[1, 2, 1]"),
    "no lattice": (salt(lattice_vectors=None), "MissingLattice", "lattice_vectors is null"),
    "null along a periodic direction": (
        salt(lattice_vectors=[[5, 0, 0], [0, 5, 0], None]), "NonFiniteLattice", "lattice_vectors is"
    ),
    "neither lattice nor dimension types": (
        without("lattice_vectors", "dimension_types"), "MissingValue", "dimension_types is null"
    ),
    "assemblies without probabilities": (
        salt(assemblies=[{"sites_in_groups": [[0], [1]]}]), "MalformedEntry", "group_probabilities is null"
    ),
    "assemblies of texts": (
        salt(assemblies=[{"sites_in_groups": ["0"], "group_probabilities": [1]}]), "MalformedEntry", "groups"
    ),
    "positions elsewhere": (
        salt(cartesian_site_positions=None)
        | {"meta": {"partial_data_links": {"cartesian_site_positions": [LINK]}}},
        "PartialData",
        "https://h/x/partial/1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REJECTED)
def test_what_cannot_be_a_structure_is_a_reject_with_the_reason(name: str) -> None:
    entry, error_class, message = REJECTED[name]
    reject = outcome(entry)
    assert (reject["error_class"], reject["source"]) == (error_class, ORIGIN.source)
    assert message in reject["error_message"]


def test_entries_without_an_id_are_told_by_their_place() -> None:
    assert outcome({"attributes": {}})["source_id"] == "entry 1 of page 7"
    assert outcome(salt("\ud800"))["source_id"] == "\\ud800"


ACCEPTED: dict[str, tuple[Entry, dict[str, Any]]] = {
    "as the standard says": (salt(), {"quality_flags": None, "is_ordered": True, "license": "CC-BY-4.0"}),
    "elements in a text": (salt(elements="Na,Cl"), {"formula": "ClNa"}),
    "whole numbers as floats": (salt(nsites=2.0, dimension_types=[1.0, 1.0, 1.0]), {"nsites": 2}),
    "number of sites from the positions": (without("nsites"), {"nsites": 2, "quality_flags": None}),
    "periodicity from the lattice": (
        without("dimension_types"), {"dimension_types": [1, 1, 1], "quality_flags": [ASSUMED_PERIODIC]}
    ),
    "a slab by its lattice": (
        salt(dimension_types=None, lattice_vectors=[[4, 0, 0], [0, 4, 0], [None, None, None]]),
        {"dimension_types": [1, 1, 0], "lattice_vectors": [[4, 0, 0], [0, 4, 0], [0, 0, 0]]},
    ),
    "a molecule": (
        salt(dimension_types=[0, 0, 0], lattice_vectors=[None, None, None]), {"dimension_types": [0, 0, 0]}
    ),
    "labels without species": (salt(species=None), {"formula": "ClNa", "quality_flags": [UNDEFINED]}),
    "labels with empty species": (salt(species=[]), {"quality_flags": [UNDEFINED]}),
    "a mass as in version 1.0": (
        salt(species=[element("Na"), element("Cl") | {"mass": 35.45}]), {"species": None, "formula": "ClNa"}
    ),
    "species with nulls": (
        salt(species=[element(s) | {"mass": None, "nattached": None} for s in ("Na", "Cl")]),
        {"species": None},
    ),
    "names against symbols": (
        salt(
            species_at_sites=["C", "Na"],
            species=[element("Na") | {"name": "C"}, element("Cl") | {"name": "Na"}],
        ),
        {"atomic_numbers": [11, 17], "formula": "ClNa"},
    ),
    "time with offset": (
        salt(last_modified="2024-01-01T02:00:00.5+02:00"),
        {"last_modified": datetime(2024, 1, 1, 0, 0, 0, 500_000, UTC)},
    ),
    "time in nanoseconds": (
        salt(last_modified="2024-01-01T00:00:00.123456789Z"),
        {"last_modified": datetime(2024, 1, 1, 0, 0, 0, 123_456, UTC)},
    ),
    "time without zone": (
        salt(last_modified="2024-01-01T00:00:00"), {"last_modified": datetime(2024, 1, 1, tzinfo=UTC)}
    ),
    "no time": (salt(last_modified=None), {"last_modified": None, "quality_flags": None}),
    "a text for a time": (salt(last_modified="today"), {"last_modified": None, "quality_flags": [NO_TIME]}),
    "a number for a time": (salt(last_modified=1.7e9), {"last_modified": None, "quality_flags": [NO_TIME]}),
    "a number as immutable id": (salt(immutable_id=4711), {"immutable_id": "4711"}),
    "features": (salt(structure_features=["disorder"]), {"structure_features": ["disorder"]}),
    "features in a text": (
        salt(structure_features="disorder"), {"structure_features": None, "quality_flags": [NO_FEATURES]}
    ),
    "a path as id": (salt("../../x"), {"url": "https://h/x/v1/structures/..%2F..%2Fx"}),
    "a script as id": (salt("<script>"), {"url": "https://h/x/v1/structures/%3Cscript%3E"}),
    "a long id": (salt("x" * 4096), {"structure_id": "optimade.h/x:" + "x" * 4096}),
    "partial data of no concern": (
        salt() | {"meta": {"partial_data_links": {"_x_energies": [LINK]}}}, {"formula": "ClNa"}
    ),
    "meta of another kind": (salt() | {"meta": 5}, {"formula": "ClNa"}),
}  # fmt: skip


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_can_be_understood_is_a_row_that_says_what_was_assumed(name: str) -> None:
    entry, expected = ACCEPTED[name]
    row = outcome(entry)
    assert {key: row[key] for key in expected} == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["Na", "Cl", "x"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(
        ["name", "chemical_symbols", "concentration", "mass", "attached", "nattached", "sites_in_groups",
         "group_probabilities", "partial_data_links"]
    ), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(FIELDS), JSON), max_size=3), JSON, JSON)
def test_no_json_value_loses_an_entry(changes: list[tuple[str, Any]], name: Any, meta: Any) -> None:
    entry = salt(name) | {"meta": meta}
    entry["attributes"] |= dict(changes)
    page = [salt("before"), entry, name, salt("after")]
    given_page = deepcopy(page)
    candidates, rejects = tabulate(page, ORIGIN, "page 7")
    valid, invalid = validate(candidates, StructureLimits())
    assert len(valid) + len(invalid) + len(rejects) == 4
    assert {"before", "after"} <= set(valid["source_id"].to_pylist())
    assert json.dumps(page) == json.dumps(given_page)


def test_many_bad_entries_among_many_good_ones_are_told_apart() -> None:
    page = entries_of(ids(500))
    bad = {17, 18, 250, 499}
    for number in bad:
        page[number]["attributes"]["cartesian_site_positions"] = "lost"
    candidates, rejects = tabulate(page, ORIGIN, "page 1")
    assert rejects["source_id"].to_pylist() == [page[number]["id"] for number in sorted(bad)]
    assert candidates["source_id"].to_pylist() == [
        entry["id"] for number, entry in enumerate(page) if number not in bad
    ]
    assert pa.types.is_fixed_size_list(candidates["lattice_vectors"].type)
