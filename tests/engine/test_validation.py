from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from engine.coincidence import SWEEP_SITES, closest_pairs
from engine.columns import StructureColumns
from engine.errors import CrysiftError
from engine.schema import REJECTS, SPECIES, STRUCTURES
from engine.structure import Structure, candidates_table, structures_table
from engine.validation import StructureLimits, validate

NAN, INF = float("nan"), float("inf")
CUBE = [[4.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0]]
SALT: dict[str, Any] = {
    "source": "test",
    "source_id": "salt",
    "nsites": 2,
    "species_at_sites": ["Na", "Cl"],
    "cartesian_site_positions": [[0.0, 0, 0], [2.0, 2.0, 2.0]],
    "lattice_vectors": CUBE,
    "dimension_types": [1, 1, 1],
}
FOREIGN = pa.schema([pa.field(f.name, f.type) for f in STRUCTURES if f.name in {*SALT, "species"}])


def species(name: str, symbols: Sequence[str], shares: Sequence[float]) -> dict[str, Any]:
    return {"name": name, "chemical_symbols": list(symbols), "concentration": list(shares)}


def verdict(**changes: object) -> tuple[str, str]:
    """Validate one changed row between two sound ones; return its error class and message."""
    rows = [SALT | {"source_id": "before"}, SALT | changes, SALT | {"source_id": "after"}]
    accepted, rejected = validate(pa.Table.from_pylist(rows, schema=FOREIGN), StructureLimits())
    assert accepted.schema.equals(STRUCTURES)
    assert rejected.schema.equals(REJECTS)
    if len(rejected) == 0:
        assert len(accepted) == 3
        return "", ""
    assert accepted["source_id"].to_pylist() == ["before", "after"]
    assert rejected["error_stage"].to_pylist() == ["validate"]
    return rejected["error_class"][0].as_py(), rejected["error_message"][0].as_py()


@pytest.mark.parametrize(
    ("changes", "error_class", "told"),
    [
        ({"source_id": None}, "MissingIdentity", "source_id is empty"),
        ({"source": ""}, "MissingIdentity", "source is empty"),
        ({"cartesian_site_positions": None}, "MissingValue", "cartesian_site_positions is null"),
        ({"cartesian_site_positions": [[0, 0, 0], None]}, "MissingValue", "cartesian_site_positions"),
        ({"cartesian_site_positions": [[0, 0, 0], [1, None, 0]]}, "MissingValue", "every site needs a value"),
        ({"species_at_sites": ["Na", None]}, "MissingValue", "species_at_sites"),
        ({"dimension_types": None}, "MissingValue", "dimension_types"),
        ({"nsites": None}, "MissingValue", "nsites"),
        ({"nsites": 3}, "WrongCounts", "nsites is 3, but there are 2 positions and 2 species"),
        ({"species_at_sites": ["Na"]}, "WrongCounts", "2 positions and 1 species"),
        (
            {"nsites": 0, "species_at_sites": [], "cartesian_site_positions": []},
            "EmptyStructure",
            "at least one site",
        ),
        ({"dimension_types": [1, 1, 2]}, "WrongDimensionTypes", "[1, 1, 2]"),
        ({"lattice_vectors": None}, "MissingLattice", "[1, 1, 1]"),
        ({"species_at_sites": ["Na", "Qq"]}, "UnknownSpecies", "'Qq'"),
        ({"species_at_sites": ["Na", "X"]}, "UnknownSpecies", "'X'"),
        ({"cartesian_site_positions": [[0, 0, 0], [1, NAN, 0]]}, "NonFiniteCoordinates", "site 1 is at"),
        ({"cartesian_site_positions": [[-INF, 0, 0], [1, 1, 0]]}, "NonFiniteCoordinates", "site 0 is at"),
        ({"lattice_vectors": [[4, 0, 0], [0, INF, 0], [0, 0, 4]]}, "NonFiniteLattice", "inf"),
        ({"cartesian_site_positions": [[0, 0, 0], [1e200, 0, 0]]}, "TooLargeCoordinates", "site 1 is at"),
        ({"lattice_vectors": [[4, 0, 0], [0, 4, 0], [0, 0, 1e200]]}, "TooLargeLattice", "unit of length"),
        ({"lattice_vectors": [[4, 0, 0], [0, 4, 0], [None] * 3]}, "NonFiniteLattice", "nan"),
        ({"lattice_vectors": [[4, 0, 0], [0, 0, 0], [0, 0, 4]]}, "ZeroLatticeVector", "lattice vector 1"),
        ({"lattice_vectors": [[4, 0, 0], [8, 0, 0], [0, 0, 4]]}, "DependentLatticeVectors", "independent"),
        ({"lattice_vectors": [[0.9, 0, 0], [0, 1, 0], [0, 0, 1]]}, "TinyVolume", "0.45 Å³ per site"),
        ({"cartesian_site_positions": [[0, 0, 0], [0, 0.05, 0]]}, "CoincidentAtoms", "0.05 Å"),
        ({"cartesian_site_positions": [[0, 0, 0], [3.95, 4, 8]]}, "CoincidentAtoms", "0.05 Å"),
    ],
)
def test_every_fault_is_rejected_with_its_reason(
    changes: dict[str, Any], error_class: str, told: str
) -> None:
    found, message = verdict(**changes)
    assert found == error_class
    assert told in message


@pytest.mark.parametrize(
    "changes",
    [
        {"lattice_vectors": [[4, 0, 0], [0, 0, 4], [0, 4, 0]]},  # left-handed
        {"lattice_vectors": [[4, 0, 0], [0, 4, 0], [0, 0, 0]], "dimension_types": [1, 1, 0]},
        {"lattice_vectors": [[4, 0, 0], [0, 4, 0], [None] * 3], "dimension_types": [1, 1, 0]},
        {"lattice_vectors": [[4, 0, 0], [0, 4, 0], None], "dimension_types": [1, 1, 0]},
        {"lattice_vectors": None, "dimension_types": [0, 0, 0]},
        {"species_at_sites": ["Na", "D"]},
        {"cartesian_site_positions": [[0, 0, 0], [402, -398, 2]]},
    ],
)
def test_unusual_but_sound_rows_are_accepted(changes: dict[str, Any]) -> None:
    assert verdict(**changes) == ("", "")


def test_null_lattice_vectors_along_open_directions_become_zero() -> None:
    row = SALT | {"lattice_vectors": [[4, 0, 0], [0, 4, 0], [None] * 3], "dimension_types": [1, 1, 0]}
    accepted, _ = validate(pa.Table.from_pylist([row], schema=FOREIGN), StructureLimits())
    assert accepted["lattice_vectors"].to_pylist() == [[[4, 0, 0], [0, 4, 0], [0, 0, 0]]]


def test_alternative_sites_may_coincide_and_make_a_structure_disordered() -> None:
    groups = [{"sites_in_groups": [[0], [1]], "group_probabilities": [0.3, 0.7]}]
    close = SALT | {"cartesian_site_positions": [[0, 0, 0], [0, 0.05, 0]]}
    rows = [close | {"assemblies": groups}, close, SALT | {"source_id": "whole", "assemblies": []}]
    table = pa.Table.from_pylist(rows, schema=FOREIGN.append(STRUCTURES.field("assemblies")))
    accepted, rejected = validate(table, StructureLimits())
    assert accepted["is_ordered"].to_pylist() == [False, True]
    assert accepted["assemblies"][0].as_py() == groups
    assert rejected["error_class"].to_pylist() == ["CoincidentAtoms"]


def test_an_atom_without_any_neighbour_is_rejected_and_a_periodic_one_is_not() -> None:
    single: dict[str, Any] = {
        "nsites": 1,
        "species_at_sites": ["Fe"],
        "cartesian_site_positions": [[0, 0, 0]],
    }
    assert verdict(**single) == ("", "")
    assert verdict(**single, dimension_types=[0, 0, 0])[0] == "SingleAtom"


def test_limits_are_settable() -> None:
    table = pa.Table.from_pylist([SALT], schema=FOREIGN)
    for limits, error_class in (
        (StructureLimits(max_sites=1), "TooManySites"),
        (StructureLimits(min_distance=3.5), "CoincidentAtoms"),
        (StructureLimits(min_volume_per_site=40), "TinyVolume"),
    ):
        assert validate(table, limits)[1]["error_class"].to_pylist() == [error_class]
    with pytest.raises(CrysiftError, match=r"max_sites is 0; it must be positive"):
        StructureLimits(max_sites=0)


def test_where_species_are_defined_the_definition_counts_and_not_the_label() -> None:
    mixed = [species("site-1", ["Na", "K"], [0.5, 0.5]), species("C", ["Ti"], [1.0])]
    labels = ["site-1", "C"]
    rows = [SALT | {"species_at_sites": labels, "species": mixed}]
    accepted, _ = validate(pa.Table.from_pylist(rows, schema=FOREIGN), StructureLimits())
    assert accepted["formula"].to_pylist() == ["KNaTi2"]
    assert accepted["is_ordered"].to_pylist() == [False]
    titanium = [species("Na", ["Ti"], [1.0]), species("Cl", ["Cl"], [1.0])]
    rows = [SALT | {"species": titanium}]
    accepted, _ = validate(pa.Table.from_pylist(rows, schema=FOREIGN), StructureLimits())
    assert accepted["atomic_numbers"].to_pylist() == [[22, 17]]


def test_species_that_say_no_more_than_the_labels_become_null_and_change_no_hash() -> None:
    sodium = species("Na", ["Na"], [1.0]) | {"mass": [22.99]}
    rows = [SALT, SALT | {"source_id": "2", "species": [sodium, species("Cl", ["Cl"], [1.0])]}]
    accepted, _ = validate(pa.Table.from_pylist(rows, schema=FOREIGN), StructureLimits())
    assert accepted["species"].to_pylist() == [None, None]
    assert len(set(accepted["content_hash"].to_pylist())) == 1
    heavy = species("H", ["H"], [1.0]) | {"mass": [2.014]}
    row = SALT | {"species_at_sites": ["H", "Cl"], "species": [heavy, species("Cl", ["Cl"], [1.0])]}
    accepted, _ = validate(pa.Table.from_pylist([row], schema=FOREIGN), StructureLimits())
    assert accepted["species"][0].as_py()[0]["mass"] == [2.014]


@pytest.mark.parametrize(
    ("definitions", "told"),
    [
        ([species("Na", ["Na"], [1.0])], "'Cl' is not in species"),
        ([species("Na", ["Zz"], [1.0]), species("Cl", ["Cl"], [1.0])], "'Zz'"),
        ([species("Na", ["Na", "K"], [1.0]), species("Cl", ["Cl"], [1.0])], "2 chemical symbols"),
        ([species("Na", ["Na"], [1.5]), species("Cl", ["Cl"], [1.0])], "sum to 1.5"),
        ([species("Na", ["vacancy"], [1.0]), species("Cl", ["Cl"], [1.0])], "vacancies alone"),
    ],
)
def test_definitions_that_explain_nothing_are_rejected(definitions: list[dict[str, Any]], told: str) -> None:
    error_class, message = verdict(species=definitions)
    assert error_class == "UnknownSpecies"
    assert told in message


@pytest.mark.parametrize(
    "incomplete",
    [
        None,
        species("Na", ["Na"], [1.0]) | {"name": None},
        species("Na", ["Na"], [1.0]) | {"chemical_symbols": None},
        species("Na", ["Na"], [1.0]) | {"concentration": None},
        species("Na", ["Na"], [1.0]) | {"chemical_symbols": [None]},
        species("Na", ["Na"], [1.0]) | {"concentration": [None]},
    ],
)
def test_an_incomplete_definition_costs_its_row_alone(incomplete: dict[str, Any] | None) -> None:
    bad = SALT | {"source_id": "bad", "species": [incomplete, species("Cl", ["Cl"], [1.0])]}
    lenient = pa.struct([field.with_nullable(True) for field in SPECIES.value_type])
    columns = {"species": pa.list_(lenient)}
    schema = pa.schema([(f.name, columns.get(f.name, f.type)) for f in FOREIGN])
    accepted, rejected = validate(pa.Table.from_pylist([SALT, bad, SALT], schema=schema), StructureLimits())
    assert accepted["source_id"].to_pylist() == ["salt", "salt"]
    assert rejected["error_class"].to_pylist() == ["WrongShape"]
    assert "species holds a definition without" in rejected["error_message"][0].as_py()


def test_an_unknown_mass_makes_no_isotope() -> None:
    hydrogen = species("H", ["H"], [1.0]) | {"mass": [None]}
    row = SALT | {"species_at_sites": ["H", "Cl"], "species": [hydrogen, species("Cl", ["Cl"], [1.0])]}
    accepted, _ = validate(pa.Table.from_pylist([row], schema=FOREIGN), StructureLimits())
    assert accepted["formula"].to_pylist() == ["ClH"]


def test_a_table_from_other_tools_is_converted() -> None:
    loose = {
        "nsites": pa.int64(),
        "species_at_sites": pa.large_list(pa.large_string()),
        "cartesian_site_positions": pa.list_(pa.list_(pa.float32())),
        "lattice_vectors": pa.list_(pa.list_(pa.float64())),
        "dimension_types": pa.list_(pa.int64()),
    }
    schema = pa.schema([(name, loose.get(name, pa.string())) for name in SALT] + [("unknown", pa.int8())])
    flat = SALT | {"cartesian_site_positions": [[0.0, 0.0], [2.0, 2.0]]}
    accepted, rejected = validate(pa.Table.from_pylist([SALT, flat], schema=schema), StructureLimits())
    assert accepted["structure_id"].to_pylist() == ["test:salt"]
    assert accepted.schema.equals(STRUCTURES)
    assert rejected["error_class"].to_pylist() == ["WrongShape"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"nsites": 2**32 + 2}, "nsites is 4294967298, which cannot be stored as int32"),
        ({"nsites": 2.5}, "nsites is 2.5"),
        ({"nsites": NAN}, "nsites is nan"),
        ({"dimension_types": [1, 1, 300]}, "dimension_types is [1, 1, 300], which cannot be stored as"),
    ],
)
@pytest.mark.parametrize("n_sound", [0, 1, 6])
def test_a_number_that_no_column_can_hold_costs_its_row_alone(
    changes: dict[str, Any], told: str, n_sound: int
) -> None:
    number = pa.float64() if isinstance(changes.get("nsites"), float) else pa.int64()
    types = {"nsites": number, "dimension_types": pa.list_(pa.int64())}
    schema = pa.schema([(f.name, types.get(f.name, f.type)) for f in FOREIGN])
    rows = [SALT] * n_sound + [SALT | changes | {"source_id": "bad"}] + [SALT] * n_sound
    accepted, rejected = validate(pa.Table.from_pylist(rows, schema=schema), StructureLimits())
    assert accepted["source_id"].to_pylist() == ["salt"] * 2 * n_sound
    assert rejected["source_id"].to_pylist() == ["bad"]
    assert rejected["error_class"].to_pylist() == ["WrongNumber"]
    assert told in rejected["error_message"][0].as_py()


def test_numbers_beyond_a_slice_do_not_matter() -> None:
    schema = pa.schema(
        [(f.name, pa.list_(pa.int64()) if f.name == "dimension_types" else f.type) for f in FOREIGN]
    )
    table = pa.Table.from_pylist([SALT, SALT | {"dimension_types": [1, 1, 300]}], schema=schema)
    accepted, rejected = validate(table.slice(0, 1), StructureLimits())
    assert (len(accepted), len(rejected)) == (1, 0)


def test_what_follows_from_the_sites_is_not_taken_from_the_source() -> None:
    said = {"formula": "H2O", "nelements": "two", "is_ordered": False, "atomic_numbers": [300, 1]}
    table = pa.Table.from_pylist([SALT], schema=FOREIGN)
    for name, value in said.items():
        table = table.append_column(name, pa.array([value]))
    [row] = validate(table, StructureLimits())[0].to_pylist()
    assert (row["formula"], row["nelements"], row["is_ordered"]) == ("ClNa", 2, True)
    assert row["atomic_numbers"] == [11, 17]


def test_a_missing_or_unconvertible_column_is_named() -> None:
    table = pa.Table.from_pylist([SALT], schema=FOREIGN)
    with pytest.raises(CrysiftError, match=r"no column 'nsites'"):
        validate(table.drop_columns("nsites"), StructureLimits())
    words = table.set_column(2, "nsites", pa.array(["two"]))
    with pytest.raises(CrysiftError, match=r"column 'nsites' is string"):
        validate(words, StructureLimits())


def brute_force(positions: ArrayLike, lattice: ArrayLike, periodic: Sequence[bool]) -> float:
    """Shortest distance over all images up to the third, from the definition."""
    sites, cell = np.asarray(positions), np.asarray(lattice)
    reach = [range(-3, 4) if p else range(1) for p in periodic]
    images = np.array([(u, v, w) for u in reach[0] for v in reach[1] for w in reach[2]]) @ cell
    vectors = sites[:, None, None, :] - sites[None, :, None, :] + images[None, None, :, :]
    distances = np.linalg.norm(vectors, axis=-1)
    same = np.eye(len(sites), dtype=bool)[:, :, None] & (images == 0).all(axis=1)
    return float(distances[~same].min())


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.tuples(*[st.booleans()] * 3))
def test_closest_pair_is_that_of_an_exhaustive_search(seed: int, n: int, periodic: tuple[bool, ...]) -> None:
    random = np.random.default_rng(seed)
    lattice = np.eye(3) * random.uniform(1.2, 2.0, 3) + random.uniform(-0.4, 0.4, (3, 3))
    positions = random.uniform(-1.0, 3.0, (n, 3))
    kinds = (int(periodic[0]), int(periodic[1]), int(periodic[2]))
    wrapped = Structure("t", "1", ("H",) * n, positions, lattice, kinds)
    columns = StructureColumns.from_table(structures_table([wrapped]))
    inside = positions.copy()
    fractional = positions @ np.linalg.inv(lattice)
    inside -= np.floor(fractional * np.array(kinds)) @ lattice
    expected = brute_force(inside, lattice, periodic)
    limit = 1.0
    found = float(closest_pairs(columns, limit)[0][0])
    assert found == pytest.approx(expected if expected < limit else INF, abs=1e-9)


def test_an_atom_that_meets_its_own_image_is_found_in_any_choice_of_cell() -> None:
    short = np.array([[0.08, 0, 0], [0, 30.0, 0], [0, 0, 30.0]])
    skewed = np.array([[1, 0, 0], [250, 1, 0], [0, 0, 1]]) @ short
    for lattice in (short, skewed):
        crystal = Structure("t", "1", ("H", "H"), np.array([[0, 0, 0], [0, 15.0, 0]]), lattice, (1, 1, 1))
        rejected = validate(candidates_table([crystal]), StructureLimits())[1]
        assert rejected["error_class"].to_pylist() == ["CoincidentAtoms"]
        assert "0.08 Å" in rejected["error_message"][0].as_py()


def test_many_atoms_at_one_place_are_found_at_once() -> None:
    positions = np.zeros((12_000, 3))
    positions[:4, 0] = 2.0
    crystal = Structure("t", "1", ("H",) * len(positions), positions, np.eye(3) * 100, (1, 1, 1))
    rejected = validate(candidates_table([crystal]), StructureLimits())[1]
    assert rejected["error_class"].to_pylist() == ["CoincidentAtoms"]


@pytest.mark.parametrize("kinds", [(1, 1, 1), (1, 0, 1), (0, 0, 0)])
def test_large_structures_are_searched_as_exactly_as_small_ones(kinds: tuple[int, int, int]) -> None:
    repeat = 8
    grid = np.stack(np.meshgrid(*[np.arange(repeat) * 3.0] * 3), axis=-1).reshape(-1, 3)
    assert len(grid) > SWEEP_SITES
    lattice = np.eye(3) * repeat * 3.0
    grid[300] = grid[7] + [0.0, 0.0, 0.06]
    grid[7, 0] -= kinds[0] * 24.0 * 5
    limits = StructureLimits(max_sites=len(grid))
    crystal = Structure("t", "1", ("Cu",) * len(grid), grid, lattice, kinds)
    message = validate(candidates_table([crystal]), limits)[1]["error_message"][0].as_py()
    assert message.startswith("sites 7 and 300 (periodic images included) are 0.06 Å apart")
    grid[300] += 1.0
    crystal = Structure("t", "1", ("Cu",) * len(grid), grid, lattice, kinds)
    assert len(validate(candidates_table([crystal]), limits)[0]) == 1


def test_all_of_a_real_database_is_accepted(shared_data: Path) -> None:
    table = pq.read_table(shared_data / "mp" / "part-003.parquet").slice(0, 2000)
    accepted, rejected = validate(table, StructureLimits())
    assert (len(accepted), len(rejected)) == (2000, 0)
    assert accepted["source_id"].equals(table["source_id"])
    assert accepted["is_ordered"].to_pylist() == [True] * 2000
