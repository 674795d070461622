"""Documents of the Materials Project's own models become the structures that pymatgen reads from them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.periodic_table import DummySpecies
from pymatgen.core.structure import Structure as PymatgenStructure

from connectors.materials_project.documents import candidates
from connectors.materials_project.entries import tabulate
from engine.structure import Structure, structures_in
from engine.validation import StructureLimits, validate
from tests.servers.materials_project_documents import UPDATED, VERSION, Document, crystal, summary_document

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

CUBE = Lattice.cubic(4.0)
PLACES = [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]


def read(documents: list[Any]) -> tuple[pa.Table, pa.Table]:
    """Structures and rejects of documents that came as JSON."""
    entries, unreadable = tabulate(orjson.loads(orjson.dumps(documents)), "page 1")
    valid, invalid = validate(candidates(entries, VERSION), StructureLimits())
    return valid, pa.concat_tables([unreadable, invalid])


def accepted(*documents: Document) -> list[Structure]:
    valid, rejects = read(list(documents))
    assert rejects.to_pylist() == []
    return list(structures_in(valid))


def rejected(document: Any) -> dict[str, Any]:
    """The one reject of a document that stands between two sound ones."""
    others = [summary_document(crystal(number), number) for number in (901, 903)]
    valid, rejects = read([others[0], document, others[1]])
    assert valid["source_id"].to_pylist() == ["mp-901", "mp-903"]
    (row,) = rejects.to_pylist()
    return dict(row)


def assert_same(found: Structure, expected: PymatgenStructure) -> None:
    """Compare with what the engine makes of pymatgen's structure."""
    made = Structure.from_pymatgen(expected, "mp", found.source_id)
    assert found.species_at_sites == made.species_at_sites
    assert found.species == made.species
    assert found.dimension_types == made.dimension_types
    assert np.array_equal(found.positions, made.positions)
    assert np.array_equal(found.cell, made.cell)
    assert found.content_hash == made.content_hash


def test_a_document_becomes_the_structure_with_its_provenance() -> None:
    (found,) = accepted(summary_document(crystal(7), 7))
    assert_same(found, crystal(7))
    assert found.structure_id == "mp:mp-7"
    provenance = {name: value for name, value in found.provenance.items() if name != "fetched_at"}
    assert provenance == {
        "url": "https://next-gen.materialsproject.org/materials/mp-7",
        "license": "CC-BY-4.0",
        "source_version": VERSION,
        "last_modified": UPDATED + timedelta(seconds=7),
        "deprecated": False,
        "extra_json": '{"energy_above_hull": 0.007, "theoretical": false}',
    }


@pytest.mark.parametrize(
    "structure",
    [
        PymatgenStructure(CUBE, [{"Fe": 0.5, "Ni": 0.5}, "O"], PLACES),
        PymatgenStructure(CUBE, [{"Li": 0.25}, {"Mn": 0.5, "Ni": 0.3, "Co": 0.2}], PLACES),
        PymatgenStructure(CUBE, [{"Fe2+": 0.5, "Fe3+": 0.5}, "O2-"], PLACES),
        PymatgenStructure(CUBE, ["D", "T"], PLACES),
        PymatgenStructure(CUBE, [{"D": 0.5, "H": 0.5}, "H"], PLACES),
        PymatgenStructure(Lattice(CUBE.matrix, pbc=(True, True, False)), ["C", "C"], PLACES),
    ],
    ids=["alloy", "vacancies", "ions", "isotopes", "shared isotopes", "slab"],
)
def test_shared_sites_ions_isotopes_and_slabs_are_read_as_pymatgen_does(structure: PymatgenStructure) -> None:
    neighbours = (summary_document(crystal(1), 1), summary_document(crystal(3), 3))
    found = accepted(neighbours[0], summary_document(structure, 2), neighbours[1])
    assert_same(found[1], structure)
    assert_same(found[0], crystal(1))
    assert_same(found[2], crystal(3))


def test_the_document_of_an_unnumbered_material_keeps_its_letters() -> None:
    (found,) = accepted(summary_document(crystal(1), 3_347_530))
    assert found.source_id == "mp-aaahilze"
    assert str(found.provenance["url"]).endswith("/mp-aaahilze")


def without(*path: str) -> Callable[[Document], Any]:
    def change(document: Document) -> Document:
        *way, last = path
        inner: Any = document
        for name in way:
            inner = inner[name][0] if isinstance(inner[name], list) else inner[name]
        del inner[last]
        return document

    return change


def setting(value: Any, *path: str | int) -> Callable[[Document], Any]:
    def change(document: Document) -> Document:
        *way, last = path
        inner: Any = document
        for name in way:
            inner = inner[name]
        inner[last] = value
        return document

    return change


SITE = ("structure", "sites", 1)


@pytest.mark.parametrize(
    ("change", "error_class"),
    [
        (without("structure"), "MissingValue"),
        (without("structure", "sites"), "MissingValue"),
        (without("structure", "sites", "xyz"), "MissingValue"),
        (without("structure", "sites", "species"), "MissingValue"),
        (without("structure", "lattice"), "MissingLattice"),
        (without("material_id"), "MissingIdentity"),
        (setting(None, "structure"), "MissingValue"),
        (setting(None, *SITE), "MissingValue"),
        (setting(None, *SITE, "xyz", 2), "MissingValue"),
        (setting([1.0, 2.0], *SITE, "xyz"), "WrongShape"),
        (setting([], *SITE, "species"), "MissingValue"),
        (setting(None, *SITE, "species", 0), "MissingValue"),
        (setting(None, *SITE, "species", 0, "element"), "MissingValue"),
        (setting(None, *SITE, "species", 0, "occu"), "MissingValue"),
        (setting("X", *SITE, "species", 0, "element"), "UnknownSpecies"),
        (setting(1.5, *SITE, "species", 0, "occu"), "UnknownSpecies"),
        (setting(-0.5, *SITE, "species", 0, "occu"), "UnknownSpecies"),
        (setting([[1.0, 0.0, 0.0]], "structure", "lattice", "matrix"), "WrongShape"),
        (setting([None] * 3, "structure", "lattice", "matrix"), "NonFiniteLattice"),
        (setting([True, None, True], "structure", "lattice", "pbc"), "MissingValue"),
        (setting([True], "structure", "lattice", "pbc"), "WrongShape"),
        (setting(3, "nsites"), "WrongCounts"),
        (setting(10**15, "nsites"), "WrongCounts"),
        (setting(-(10**15), "nsites"), "WrongCounts"),
        (setting("", "material_id"), "MissingIdentity"),
        (setting(None, "material_id"), "MissingIdentity"),
        (setting(17, "material_id"), "UnreadableValue"),
        (setting("1.0", *SITE, "xyz", 0), "UnreadableValue"),
        (setting("here", "structure"), "UnreadableValue"),
        (setting(["here"], "structure", "sites"), "UnreadableValue"),
        (setting("BY-C", "builder_meta"), "UnreadableValue"),
        (lambda _: "a document", "UnreadableValue"),
        (lambda _: [1], "UnreadableValue"),
        (lambda _: None, "MissingIdentity"),
        (dict.fromkeys, "MissingIdentity"),
        (lambda _: {}, "MissingIdentity"),
    ],
)
def test_a_bad_document_is_a_reject_and_its_neighbours_are_kept(
    change: Callable[[Document], Any], error_class: str
) -> None:
    row = rejected(change(summary_document(crystal(2), 902)))
    assert row["error_class"] == error_class
    assert row["source"] == "mp"
    assert row["source_id"] in {"mp-902", ""}


def test_a_reject_says_which_entry_of_which_page_it_was() -> None:
    row = rejected(setting("1.0", *SITE, "xyz", 0)(summary_document(crystal(2), 902)))
    assert row["structure_id"] == "mp:mp-902"
    assert row["error_message"].startswith(
        "entry 1 of page 1 is no summary document: Could not convert '1.0'"
    )


def test_a_dummy_species_is_rejected() -> None:
    structure = PymatgenStructure(CUBE, [DummySpecies("X"), "O"], PLACES)
    document = summary_document(crystal(2), 902)
    document["structure"] = structure.as_dict()
    document["nsites"] = 2
    assert rejected(document)["error_class"] == "UnknownSpecies"


@pytest.mark.parametrize("identifier", ["../../x", "x" * 4096, "<script>", 'a\' OR "1"="1', "mp-1\n", "é"])
def test_strange_identifiers_are_kept_as_they_are(identifier: str) -> None:
    document = setting(identifier, "material_id")(summary_document(crystal(2), 2))
    (found, other) = accepted(document, summary_document(crystal(1), 1))
    assert (found.source_id, other.source_id) == (identifier, "mp-1")
    place = str(found.provenance["url"]).removeprefix("https://next-gen.materialsproject.org/materials/")
    assert "/" not in place
    assert "<" not in place


def test_half_a_surrogate_pair_is_rejected_readably() -> None:
    document = orjson.loads(orjson.dumps(summary_document(crystal(2), 2))) | {"material_id": "mp-\ud800"}
    _, rejects = tabulate([document], "page 1")
    assert rejects["source_id"].to_pylist() == ["mp-\\ud800"]


@pytest.mark.parametrize(
    "value", [None, "yesterday", 17, {"$date": 5}, ["2024-01-02"], "2024-13-01T00:00:00"]
)
def test_a_structure_is_not_lost_for_an_unreadable_date(value: object) -> None:
    (found,) = accepted(setting(value, "last_updated")(summary_document(crystal(2), 2)))
    assert "last_modified" not in found.provenance


@pytest.mark.parametrize(
    "value",
    ["2024-01-02T03:04:05.678", "2024-01-02T04:04:05.678+01:00", {"$date": "2024-01-02T03:04:05.678Z"}],
)
def test_dates_are_in_utc(value: object) -> None:
    (found,) = accepted(setting(value, "last_updated")(summary_document(crystal(2), 2)))
    assert found.provenance["last_modified"] == UPDATED


@pytest.mark.parametrize(
    ("energy", "theoretical", "expected"),
    [
        (None, None, None),
        (float("nan"), None, None),
        (0.0, True, {"energy_above_hull": 0.0, "theoretical": True}),
        (1e-30, None, {"energy_above_hull": 1e-30}),
        (None, False, {"theoretical": False}),
    ],
)
def test_extra_is_json_of_what_is_told(
    energy: float | None, theoretical: bool | None, expected: object
) -> None:
    document = summary_document(crystal(2), 2) | {"energy_above_hull": energy, "theoretical": theoretical}
    entries, _ = tabulate([{**document, "last_updated": None}], "page 1")
    (text,) = candidates(entries, VERSION)["extra_json"].to_pylist()
    assert (None if text is None else orjson.loads(text)) == expected


def test_an_unknown_licence_keeps_its_word() -> None:
    documents = [summary_document(crystal(n), n) for n in (1, 2, 3)]
    for document, licence in zip(documents, ["BY-NC", "BY-SA", None], strict=True):
        document["builder_meta"]["license"] = licence
    valid, _ = read(documents)
    assert valid["license"].to_pylist() == ["CC-BY-NC-4.0", "BY-SA", None]


def test_slices_of_a_table_are_read_as_their_rows() -> None:
    structures = [crystal(1), PymatgenStructure(CUBE, [{"Fe": 0.5}, "O"], PLACES), crystal(3), crystal(4)]
    documents = [summary_document(structure, n) for n, structure in enumerate(structures)]
    entries, _ = tabulate(orjson.loads(orjson.dumps(documents)), "page 1")
    whole = candidates(entries, VERSION).to_pylist()
    for start in range(4):
        for stop in range(start, 5):
            assert candidates(entries.slice(start, stop - start), VERSION).to_pylist() == whole[start:stop]
