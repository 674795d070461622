"""What becomes of the archives of NOMAD entries, whatever is in them."""

import math
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from ase.build import molecule

from connectors.nomad import connector
from engine.source import PageContent
from engine.validation import validate
from tests.connectors.nomad_reading import CUBE, LIMITS, opened, read_all, rejects_of, rows_of, salt
from tests.servers.fault_proxy import FaultProxy, Rule, Upstream, mutated
from tests.servers.nomad_replica import PROCESSED, NomadReplica, nomad_entry, nomad_structure

Reader = Callable[[Any], PageContent]


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the loopback as often as need be."""
    monkeypatch.setattr(connector, "PER_SECOND", 1000.0)
    monkeypatch.delenv("NOMAD_TOKEN", raising=False)


@pytest.fixture(scope="module")
def read_one() -> Iterator[Reader]:
    """A function that reads the page with one entry, of a given ``structure_original``."""
    with NomadReplica([], per_second=1000) as replica:

        def read(structure: Any) -> PageContent:
            replica.entries = [nomad_entry(structure)]
            (content,) = [content for content in read_all(opened(replica)) if content.entries]
            return content

        yield read


def test_lengths_come_back_as_the_decimal_numbers_they_were(read_one: Reader) -> None:
    generator = np.random.default_rng(3)
    positions = np.round(generator.uniform(-300, 300, (2000, 3)), 6)
    structure = nomad_structure(["C"] * 2000, positions.tolist(), np.diag([900.0] * 3).tolist())
    (row,) = read_one(structure).candidates.to_pylist()
    assert np.array_equal(row["cartesian_site_positions"], positions)


# ---- what cannot be a structure


@pytest.mark.parametrize("entry_id", ["../../x", "x" * 4096, "<script>alert(1)</script>", "a\n\0b", "名前"])
def test_ids_are_data(entry_id: str) -> None:
    with NomadReplica([nomad_entry(salt(), entry_id=entry_id)]) as replica:
        (row,) = rows_of(read_all(opened(replica)))
        page = row["url"].removeprefix(f"{replica.url}/gui/search/entries/entry/id/")
    assert row["source_id"] == entry_id == unquote(page)
    assert not set("/<>\n\0") & set(page)


@pytest.mark.parametrize("entry_id", [None, 17, "", ["a"], {"b": 1}])
def test_an_entry_without_an_id_is_a_reject_that_says_which_it_was(entry_id: Any) -> None:
    def broken(document: Any) -> Any:
        if document["data"]:
            document["data"][1]["entry_id"] = entry_id
        return document

    entries = [nomad_entry(salt(), number, entry_id=f"A{number}") for number in range(3)]
    with (
        NomadReplica(entries) as replica,
        FaultProxy(Upstream(replica.url.removesuffix("/nomad-oasis"))) as proxy,
    ):
        proxy.follow(Rule(mutated("no id", broken), path="archive"))
        contents = read_all(opened(f"{proxy.url}/nomad-oasis"))
    (reject,) = rejects_of(contents)
    assert reject["error_class"] == "MissingIdentity"
    assert reject["error_message"].startswith("entry 1 of nomad.127.0.0.1-")
    assert [row["source_id"] for row in rows_of(contents)] == ["A0", "A2"]


@pytest.mark.parametrize("structure", [None, {}, "NaCl", []])
def test_an_entry_without_the_structure_that_the_index_promised_is_a_reject(
    structure: Any, read_one: Reader
) -> None:
    (reject,) = read_one(structure).rejects.to_pylist()
    assert reject["error_class"] == "MissingStructure"


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("species_at_sites", "NaCl"),
        ("species_at_sites", ["Na", 7]),
        ("species_at_sites", ["Na", ["Cl"]]),
        ("cartesian_site_positions", {"x": 1}),
        ("cartesian_site_positions", [["0", 0, 0], [1, 1, 1]]),
        ("lattice_vectors", "cubic"),
        ("dimension_types", 3),
        ("dimension_types", [1, 1, "yes"]),
        ("species", "Na"),
        ("species", ["Na", "Cl"]),
        ("species", [{"name": ["Na"], "chemical_symbols": ["Na"], "concentration": [1.0]}]),
    ],
)
def test_values_of_another_type_reject_their_entry_alone(part: str, value: Any) -> None:
    entries = [nomad_entry(salt(), number, entry_id=f"A{number}") for number in range(3)]
    entries[1] = nomad_entry(salt() | {part: value}, 1, entry_id="A1")
    with NomadReplica(entries) as replica:
        contents = read_all(opened(replica))
    (reject,) = rejects_of(contents)
    assert (reject["source_id"], reject["error_stage"], reject["error_class"]) == ("A1", "read", "WrongType")
    assert [row["source_id"] for row in rows_of(contents)] == ["A0", "A2"]


@pytest.mark.parametrize(
    ("part", "value", "error"),
    [
        ("cartesian_site_positions", None, "MissingValue"),
        ("cartesian_site_positions", [None, [0.0, 0.0, 0.0]], "MissingValue"),
        ("cartesian_site_positions", [[math.nan, 0.0, 0.0], [2e-10, 0.0, 0.0]], "MissingValue"),
        ("cartesian_site_positions", [[0.0, 0.0], [2e-10, 0.0, 0.0]], "WrongShape"),
        ("cartesian_site_positions", [[0.0, 0.0, 0.0]], "WrongCounts"),
        ("species_at_sites", None, "MissingValue"),
        ("species_at_sites", ["Na", None], "MissingValue"),
        ("species_at_sites", ["Na", "K"], "UnknownSpecies"),
        ("lattice_vectors", None, "MissingLattice"),
        ("dimension_types", None, "MissingValue"),
        ("dimension_types", [1, 1], "WrongShape"),
        ("species", [None], "WrongShape"),
        ("species", [{"name": "Na"}, {"name": "Cl"}], "WrongShape"),
    ],
)
def test_missing_values_reach_validation_which_explains_them(
    part: str, value: Any, error: str, read_one: Reader
) -> None:
    content = read_one(salt() | {part: value})
    structures, rejects = validate(content.candidates, LIMITS)
    assert len(structures) == 0
    assert rejects["error_class"].to_pylist() == [error]


# ---- species and periodicity


def test_species_are_what_their_definition_says_whatever_their_name(read_one: Reader) -> None:
    species: list[dict[str, Any]] = [
        {"name": "C", "chemical_symbols": ["Ti"], "concentration": [1.0]},
        {"name": "mix", "chemical_symbols": ["Fe", "Ni", "vacancy"], "concentration": [0.5, 0.25, 0.25]},
        {"name": "alloy", "chemical_symbols": ["Cu", "Au"], "concentration": [0.5, 0.5], "mass": 130.3},
        {"name": "H", "chemical_symbols": ["H"], "concentration": [1.0], "mass": 2.014},
    ]
    sites = [[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [2.0, 2.0, 0.0], [2.0, 2.0, 2.0]]
    content = read_one(nomad_structure(["C", "mix", "alloy", "H"], sites, CUBE, species=species))
    structures, rejects = validate(content.candidates, LIMITS)
    assert len(rejects) == 0
    (row,) = structures.to_pylist()
    assert row["formula"] == "Au2Cu2Fe2H4NiTi4"
    assert row["is_ordered"] is False
    assert [s["chemical_symbols"] for s in row["species"]] == [
        ["Ti"],
        ["Fe", "Ni", "vacancy"],
        ["Cu", "Au"],
        ["H"],
    ]
    assert [s["mass"] for s in row["species"]] == [None, None, None, [2.014]]


@pytest.mark.parametrize(
    ("definition", "is_kept"),
    [
        ({"chemical_symbols": ["H"], "concentration": [1.0]}, False),
        ({"chemical_symbols": ["H"], "concentration": [0.5]}, True),
        ({"chemical_symbols": ["D"], "concentration": [1.0]}, True),
        ({"chemical_symbols": ["H"], "concentration": [1.0], "mass": 3.016}, True),
        ({"chemical_symbols": ["H"], "concentration": [1]}, False),
    ],
)
def test_species_that_say_no_more_than_their_name_are_left_out(
    definition: dict[str, Any], is_kept: bool, read_one: Reader
) -> None:
    structure = nomad_structure(["H"], [[0.0, 0.0, 0.0]], CUBE, species=[{"name": "H", **definition}])
    (species,) = read_one(structure).candidates["species"].to_pylist()
    assert (species is not None) == is_kept


def test_nothing_is_periodic_where_the_archive_leaves_out_its_default(read_one: Reader) -> None:
    water = molecule("H2O")
    structure = nomad_structure(
        water.get_chemical_symbols(), water.positions.tolist(), np.zeros((3, 3)).tolist()
    )
    del structure["dimension_types"]
    structures, rejects = validate(read_one(structure).candidates, LIMITS)
    assert len(rejects) == 0
    assert structures["dimension_types"].to_pylist() == [[0, 0, 0]]


def test_periodicity_may_be_told_in_booleans(read_one: Reader) -> None:
    content = read_one(salt() | {"dimension_types": [True, True, False]})
    assert content.candidates["dimension_types"].to_pylist() == [[1, 1, 0]]


def test_a_time_without_a_zone_is_utc_and_one_that_is_none_is_left_out() -> None:
    entries = [nomad_entry(salt(), number, entry_id=f"A{number}") for number in range(3)]
    for entry, time in zip(entries, ("2025-03-01T12:00:00.123456", "yesterday", 7), strict=True):
        assert entry.archive is not None
        entry.archive["metadata"]["last_processing_time"] = time
    with NomadReplica(entries) as replica:
        rows = rows_of(read_all(opened(replica)))
    assert [row["last_modified"] for row in rows] == [PROCESSED, None, None]
