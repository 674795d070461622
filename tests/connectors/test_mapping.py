"""Tables whose columns are mapped: dumps as they are published, and values that no row should have."""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase import Atoms
from ase.build import bulk

from connectors import open_sources
from engine.errors import CrysiftError
from engine.ingest import ingest
from engine.store import Store
from engine.structure import candidates_table, structures_in
from engine.validation import StructureLimits, validate
from tests.connectors.reading import candidates, keys, opened, read_all

SALT = bulk("NaCl", "rocksalt", a=5.64)
IRON = bulk("Fe", a=2.87, cubic=True)
ALLOY = {"name": "M", "chemical_symbols": ["Fe", "Ni"], "concentration": [0.5, 0.5]}
LEMAT = pa.schema(
    [
        ("elements", pa.list_(pa.string())),
        ("nsites", pa.int32()),
        ("dimension_types", pa.list_(pa.int8())),
        ("lattice_vectors", pa.list_(pa.list_(pa.float64()))),
        ("immutable_id", pa.string()),
        ("cartesian_site_positions", pa.list_(pa.list_(pa.float64()))),
        ("species", pa.string()),
        ("species_at_sites", pa.list_(pa.string())),
        ("last_modified", pa.string()),
        ("energy", pa.float64()),
        ("functional", pa.string()),
        ("cross_compatibility", pa.bool_()),
    ]
)
"""Columns of LeMat-Bulk, in their types, less those that concern forces and magnetism."""


def lemat_row(atoms: Atoms, name: str, functional: str = "pbe", **changes: object) -> dict[str, Any]:
    symbols = atoms.get_chemical_symbols()
    species = [{"name": s, "chemical_symbols": [s], "concentration": [1.0]} for s in sorted(set(symbols))]
    row = {
        "elements": sorted(set(symbols)),
        "nsites": len(atoms),
        "dimension_types": [1, 1, 1],
        "lattice_vectors": atoms.cell.tolist(),
        "immutable_id": name,
        "cartesian_site_positions": atoms.positions.tolist(),
        "species": json.dumps([{**s, "mass": None, "attached": None, "nattached": None} for s in species]),
        "species_at_sites": symbols,
        "last_modified": "2023-11-16",
        "energy": -1.5,
        "functional": functional,
        "cross_compatibility": True,
    }
    return row | changes


def lemat(path: Path, rows: Iterable[dict[str, Any]]) -> str:
    pq.write_table(pa.Table.from_pylist(list(rows), schema=LEMAT), path, row_group_size=2)
    return str(path)


def mapped(folder: Path, table: pa.Table, mapping: str) -> tuple[pa.Table, pa.Table]:
    """Structures, and rejects of whatever stage, of a table by a mapping."""
    pq.write_table(table, folder / "dump.parquet")
    (folder / "mapping.toml").write_text(mapping)
    source = opened(str(folder / "dump.parquet"), columns=str(folder / "mapping.toml"))
    rows, unreadable = read_all(source)
    structures, invalid = validate(rows, StructureLimits())
    return structures, pa.concat_tables([unreadable, invalid])


def test_lemat_bulk_is_recognised_and_keeps_its_provenance(tmp_path: Path) -> None:
    rows = [lemat_row(SALT, "mp-22862"), lemat_row(SALT, "mp-22862", "scan"), lemat_row(IRON, "agm-1")]
    path = lemat(tmp_path / "train-00000-of-00017.parquet", rows)
    store = Store.open(tmp_path / "store", create=True)
    summary = ingest(opened(path), store, StructureLimits())
    assert (summary.total.stored, summary.total.rejected, summary.shortfall) == (3, 0, None)
    table = store.structures.scan().to_table().sort_by("structure_id")
    assert table["structure_id"].to_pylist() == [
        "lemat-bulk:agm-1/pbe",
        "lemat-bulk:mp-22862/pbe",
        "lemat-bulk:mp-22862/scan",
    ]
    first = table.to_pylist()[1]
    assert first["license"] == "CC-BY-4.0"
    assert first["immutable_id"] == "mp-22862"
    assert first["last_modified"] == datetime(2023, 11, 16, tzinfo=UTC)
    assert first["species"] is None
    assert first["url"] is None
    extra = {"functional": "pbe", "cross_compatibility": True, "energy": -1.5}
    assert json.loads(first["extra_json"]) == extra
    for structure, atoms in zip(structures_in(table), (IRON, SALT, SALT), strict=True):
        assert np.allclose(structure.positions, atoms.positions)
        assert np.allclose(structure.cell, np.array(atoms.cell))


def test_a_shared_site_in_json_species_is_kept(tmp_path: Path) -> None:
    row = lemat_row(IRON, "mp-1", species_at_sites=["M", "M"], species=json.dumps([ALLOY]))
    rows, _ = read_all(opened(lemat(tmp_path / "a.parquet", [row])))
    structures, rejects = validate(rows, StructureLimits())
    assert rejects.to_pylist() == []
    assert structures["is_ordered"].to_pylist() == [False]


BAD_VALUES = [
    (
        {"species": "[{'name': 'Na'}]"},
        "UnreadableValue",
        "row 2 of .*column 'species' holds what cannot be re",
    ),
    ({"species": "[" * 100_000}, "UnreadableValue", "column 'species'"),
    ({"last_modified": "yesterday"}, "UnreadableValue", "column 'last_modified' holds .*'yesterday'"),
    ({"lattice_vectors": [[1.0, 0.0, 0.0]] * 2}, "WrongShape", "lattice_vectors holds a vector"),
    ({"cartesian_site_positions": [[0.0, 0.0]] * 2}, "WrongShape", "cartesian_site_positions holds a vector"),
    ({"cartesian_site_positions": None}, "MissingValue", "cartesian_site_positions is null"),
    ({"species_at_sites": ["Na", "Xx"]}, "UnknownSpecies", "'Xx'"),
    ({"immutable_id": None}, "MissingIdentity", "source_id is empty"),
]


@pytest.mark.parametrize(("changes", "error", "message"), BAD_VALUES)
def test_a_row_with_a_bad_value_is_a_reject_and_costs_no_other(
    tmp_path: Path, changes: dict[str, Any], error: str, message: str
) -> None:
    dump = [lemat_row(SALT, f"mp-{i}", **(changes if i == 2 else {})) for i in range(5)]
    rows, unreadable = read_all(opened(lemat(tmp_path / "a.parquet", dump)))
    structures, invalid = validate(rows, StructureLimits())
    assert structures["immutable_id"].to_pylist() == ["mp-0", "mp-1", "mp-3", "mp-4"]
    (reject,) = pa.concat_tables([unreadable, invalid]).to_pylist()
    assert reject["error_class"] == error
    assert re.search(message, reject["error_message"])
    assert reject["source_id"] == ("mp-2/pbe" if "immutable_id" not in changes else "")


def test_trajectories_of_lemat_are_told_apart_by_their_steps(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([lemat_row(SALT, "mp-1") for _ in range(3)], schema=LEMAT)
    table = table.append_column("relaxation_number", pa.array([0, 0, 1], pa.int32()))
    table = table.append_column("relaxation_step", pa.array([0, 1, 0], pa.int32()))
    pq.write_table(table, tmp_path / "a.parquet")
    rows, _ = read_all(opened(str(tmp_path / "a.parquet")))
    assert rows["source_id"].to_pylist() == ["mp-1/pbe/0/0", "mp-1/pbe/0/1", "mp-1/pbe/1/0"]
    assert rows["source"].to_pylist() == ["lemat-traj"] * 3


def test_colabfit_is_recognised_with_molecules_among_crystals(tmp_path: Path) -> None:
    water = Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    dump = [
        {
            "property_id": f"PO_{i}",
            "configuration_id": f"CO_{i}",
            "dataset_id": "DS_1",
            "method": "DFT-PBE",
            "energy": float("nan"),
            "last_modified": datetime(2025, 1, 2, 3, 4, 5, 123456),  # noqa: DTZ001 -- as their dumps have it
            "nsites": len(atoms),
            "atomic_numbers": atoms.numbers.tolist(),
            "positions": atoms.positions.tolist(),
            "cell": atoms.cell.tolist(),
            "pbc": atoms.pbc.tolist(),
        }
        for i, atoms in enumerate((SALT, water))
    ]
    pq.write_table(pa.Table.from_pylist(dump), tmp_path / "co_0.parquet")
    rows, unreadable = read_all(opened(str(tmp_path / "co_0.parquet")))
    structures, rejects = validate(rows, StructureLimits())
    assert unreadable.to_pylist() + rejects.to_pylist() == []
    assert structures["dimension_types"].to_pylist() == [[1, 1, 1], [0, 0, 0]]
    assert structures["formula"].to_pylist() == ["ClNa", "H2O"]
    assert structures["last_modified"][0].as_py() == datetime(2025, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)
    assert json.loads(structures["extra_json"][0].as_py())["energy"] is None


FRACTIONAL = """
source = "ml"
{more}
[columns]
source_id = "id"
atomic_numbers_at_sites = "numbers"
fractional_site_positions = "frac_coords"
lattice_vectors = "cell"
"""


def fractional_table(crystals: list[Atoms], unit: float = 1.0) -> pa.Table:
    rows = [
        {
            "id": i,
            "numbers": atoms.numbers.tolist(),
            "frac_coords": atoms.get_scaled_positions(wrap=False).tolist(),
            "cell": (np.array(atoms.cell) / unit).tolist(),
        }
        for i, atoms in enumerate(crystals)
    ]
    return pa.Table.from_pylist(rows)


@pytest.mark.parametrize("unit", [1.0, 0.529177210903, 10.0])
def test_fractional_positions_and_other_units_give_the_same_crystals(tmp_path: Path, unit: float) -> None:
    random = np.random.default_rng(0)
    crystals = []
    for n in range(1, 8):
        cell = np.eye(3) * 6 + random.uniform(-1, 1, (3, 3))
        symbols = random.choice(["Na", "Cl", "Og"], n)
        crystals.append(Atoms(symbols, scaled_positions=random.uniform(-2, 2, (n, 3)), cell=cell, pbc=True))
    mapping = FRACTIONAL.format(more=f"angstrom_per_unit = {unit}")
    structures, rejects = mapped(tmp_path, fractional_table(crystals, unit), mapping)
    assert len(structures) + len(rejects) == 7
    assert set(rejects["error_class"].to_pylist()) <= {"CoincidentAtoms"}
    for structure in structures_in(structures):
        atoms = crystals[int(structure.source_id)]
        assert structure.species_at_sites == tuple(atoms.get_chemical_symbols())
        assert np.allclose(structure.positions, atoms.positions, atol=1e-9)
        assert np.allclose(structure.cell, np.array(atoms.cell), atol=1e-9)
        assert structure.dimension_types == (1, 1, 1)


def test_cartesian_positions_are_in_the_same_unit_as_the_lattice(tmp_path: Path) -> None:
    table = pa.table(
        {
            "name": ["a"],
            "symbols": [SALT.get_chemical_symbols()],
            "xyz": [(SALT.positions / 10).tolist()],
            "cell": [(np.array(SALT.cell) / 10).tolist()],
        }
    )
    mapping = """
        source = "nm"
        angstrom_per_unit = 10
        [columns]
        source_id = "name"
        species_at_sites = "symbols"
        cartesian_site_positions = "xyz"
        lattice_vectors = "cell"
    """
    (structure,) = structures_in(mapped(tmp_path, table, mapping)[0])
    assert np.allclose(structure.positions, SALT.positions)
    assert np.allclose(structure.cell, np.array(SALT.cell))


def test_fractional_rows_that_cannot_be_placed_are_rejects(tmp_path: Path) -> None:
    table = fractional_table([SALT] * 7)
    rows = table.to_pylist()
    rows[1]["frac_coords"] = [[0.0, 0.0, 0.0], [0.5, 0.5]]
    rows[2]["cell"] = None
    rows[3]["cell"] = [[3.0, 0.0, 0.0]] * 2
    rows[4]["numbers"] = [11, 300]
    rows[5]["frac_coords"] = None
    rows[6]["numbers"] = [11]
    structures, rejects = mapped(tmp_path, pa.Table.from_pylist(rows), FRACTIONAL.format(more=""))
    assert structures["source_id"].to_pylist() == ["0"]
    reasons = {row["source_id"]: (row["error_class"], row["error_message"]) for row in rejects.to_pylist()}
    assert {name: error for name, (error, _) in reasons.items()} == {
        "1": "MissingValue",
        "2": "MissingLattice",
        "3": "WrongShape",
        "4": "UnknownSpecies",
        "5": "MissingValue",
        "6": "WrongCounts",
    }
    assert "'atomic number 300'" in reasons["4"][1]


PYMATGEN = """
source = "dicts"
[columns]
source_id = "material_id"
species_at_sites = "structure.sites.label"
cartesian_site_positions = "structure.sites.xyz"
lattice_vectors = "structure.lattice.matrix"
"""


@pytest.mark.parametrize("as_text", [False, True])
def test_dots_lead_into_structs_their_lists_and_json(tmp_path: Path, as_text: bool) -> None:
    from pymatgen.io.ase import AseAtomsAdaptor

    crystals = [SALT, IRON]
    documents = []
    for atoms in crystals:
        document = AseAtomsAdaptor.get_structure(atoms).as_dict()
        lattice = {"matrix": document["lattice"]["matrix"]}
        sites = [{key: site[key] for key in ("label", "xyz", "abc")} for site in document["sites"]]
        documents.append({"lattice": lattice, "sites": sites})
    column = [json.dumps(document) for document in documents] if as_text else documents
    table = pa.table({"material_id": ["a", "b"], "structure": column})
    structures, rejects = mapped(tmp_path, table, PYMATGEN)
    assert rejects.to_pylist() == []
    for structure, atoms in zip(structures_in(structures), crystals, strict=True):
        assert np.allclose(structure.positions, atoms.positions)
        assert np.allclose(structure.cell, np.array(atoms.cell))


def test_times_are_utc_unless_they_say_otherwise(tmp_path: Path) -> None:
    times = ["2024-02-01", "2024-02-01 10:00:00", "2024-02-01T10:00:00Z", "2024-02-01T10:00:00+02:00", None]
    table = fractional_table([SALT] * 5).append_column("when", pa.array(times))
    structures, _ = mapped(tmp_path, table, FRACTIONAL.format(more="") + 'last_modified = "when"\n')
    assert structures["last_modified"].to_pylist() == [
        datetime(2024, 2, 1, tzinfo=UTC),
        datetime(2024, 2, 1, 10, tzinfo=UTC),
        datetime(2024, 2, 1, 10, tzinfo=UTC),
        datetime(2024, 2, 1, 8, tzinfo=UTC),
        None,
    ]


def test_a_number_is_no_time(tmp_path: Path) -> None:
    table = fractional_table([SALT]).append_column("when", pa.array([1_700_000_000]))
    with pytest.raises(CrysiftError, match=r"column 'when' of .* is int64, which does not convert to timest"):
        mapped(tmp_path, table, FRACTIONAL.format(more="") + 'last_modified = "when"\n')


def test_a_missing_column_is_told_with_the_file_and_what_it_has(tmp_path: Path) -> None:
    table = fractional_table([SALT]).rename_columns(["id", "numbers", "coords", "cell"])
    message = r"dump\.parquet has no column 'frac_coords', which .* it has id, numbers, coords, cell"
    with pytest.raises(CrysiftError, match=message):
        mapped(tmp_path, table, FRACTIONAL.format(more=""))
    with pytest.raises(CrysiftError, match=r"dump\.parquet has no column 'structure.sites.label'"):
        mapped(tmp_path, pa.table({"material_id": ["a"], "structure": [{"sites": [{"l": 1}]}]}), PYMATGEN)


def test_a_column_of_another_kind_stops_with_its_type(tmp_path: Path) -> None:
    table = fractional_table([SALT])
    energies = table.set_column(table.schema.get_field_index("cell"), "cell", pa.array([1.5]))
    with pytest.raises(
        CrysiftError, match=r"column 'cell' of .*dump\.parquet is double, which does not conv"
    ):
        mapped(tmp_path, energies, FRACTIONAL.format(more=""))
    energies = table.set_column(table.schema.get_field_index("numbers"), "numbers", pa.array([1.5]))
    with pytest.raises(CrysiftError, match=r"column 'numbers' of .*dump\.parquet is double"):
        mapped(tmp_path, energies, FRACTIONAL.format(more=""))


def test_tables_without_known_columns_ask_for_a_mapping(tmp_path: Path) -> None:
    pq.write_table(fractional_table([SALT]), tmp_path / "a.parquet")
    with pytest.raises(
        CrysiftError, match=r"a\.parquet: the table has no column 'source'.*--columns.*colabfit"
    ):
        opened(str(tmp_path / "a.parquet"))


def test_another_mapping_reads_the_rows_again(tmp_path: Path) -> None:
    pq.write_table(fractional_table([SALT] * 3), tmp_path / "a.parquet")
    found = []
    for more in ("", 'license = "CC0-1.0"'):
        (tmp_path / "mapping.toml").write_text(FRACTIONAL.format(more=more))
        found.append(keys(opened(str(tmp_path / "a.parquet"), columns=str(tmp_path / "mapping.toml"))))
    assert not set(found[0]) & set(found[1])


def test_a_mapping_is_for_tables_alone(tmp_path: Path) -> None:
    SALT.write(tmp_path / "salt.cif")
    with pytest.raises(CrysiftError, match=r"the column mapping lemat-bulk is for Parquet files"):
        opened(str(tmp_path / "salt.cif"), columns="lemat-bulk")


def test_sites_in_json_text_are_packed_by_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.parquet.PAGE_PAIRS", 6000.0)
    table = fractional_table([SALT] * 40)
    texts = {
        name: [json.dumps(value) for value in table[name].to_pylist()] for name in table.column_names[1:]
    }
    pq.write_table(pa.table({"id": table["id"], **texts}), tmp_path / "a.parquet")
    (tmp_path / "mapping.toml").write_text(FRACTIONAL.format(more=""))
    source = opened(str(tmp_path / "a.parquet"), columns=str(tmp_path / "mapping.toml"))
    assert len(keys(source)) == 4
    rows, rejects = read_all(source)
    assert (len(rows), len(rejects)) == (40, 0)


def test_tables_of_one_command_may_have_different_layouts(tmp_path: Path) -> None:
    table = lemat(tmp_path / "lemat.parquet", [lemat_row(SALT, "mp-1")])
    (plain,) = structures_in(validate(read_all(opened(table))[0], StructureLimits())[0])
    pq.write_table(candidates_table([plain]), tmp_path / "plain.parquet")
    (connector,) = open_sources([table, str(tmp_path / "plain.parquet")])
    assert [page["source_id"].to_pylist() for page in candidates(connector)] == [["mp-1/pbe"]] * 2
