import numpy as np
import pyarrow as pa
import pytest
from ase.build import bulk, molecule

from engine.columns import StructureColumns, contiguous, distinct_labels, list_rows
from engine.errors import CrysiftError
from engine.structure import Structure, structures_table


@pytest.fixture
def structures() -> list[Structure]:
    salt = bulk("NaCl", "rocksalt", a=5.64)
    atoms = [salt, molecule("H2O"), bulk("Fe"), salt.repeat((2, 1, 1))]
    return [Structure.from_ase(a, "test", str(i)) for i, a in enumerate(atoms)]


def test_rows_are_the_structures(structures: list[Structure]) -> None:
    columns = StructureColumns.from_table(structures_table(structures))
    assert len(columns) == 4
    assert columns.structure_ids.to_pylist() == [s.structure_id for s in structures]
    assert columns.nsites.tolist() == [2, 3, 1, 4]
    assert columns.site_rows.tolist() == [0, 0, 1, 1, 1, 2, 3, 3, 3, 3]
    for i, structure in enumerate(structures):
        positions, species, lattice, periodic = columns.row(i)
        np.testing.assert_array_equal(positions, structure.positions)
        assert [columns.labels[code] for code in species] == list(structure.species_at_sites)
        np.testing.assert_array_equal(lattice, structure.cell)
        assert periodic.tolist() == [kind == 1 for kind in structure.dimension_types]


def test_slices_and_chunks_are_seen_as_they_are(structures: list[Structure]) -> None:
    table = structures_table(structures)
    pieces = pa.concat_tables([table.slice(3), table.slice(1, 2)])
    columns = StructureColumns.from_table(pieces)
    for row, i in enumerate([3, 1, 2]):
        np.testing.assert_array_equal(columns.row(row)[0], structures[i].positions)
        np.testing.assert_array_equal(columns.row(row)[2], structures[i].cell)


def test_positions_are_views_on_the_table(structures: list[Structure]) -> None:
    table = structures_table(structures).combine_chunks()
    address = table["cartesian_site_positions"].chunk(0).flatten().flatten().buffers()[1].address
    assert StructureColumns.from_table(table).positions.ctypes.data == address


def test_an_empty_batch_has_no_rows() -> None:
    columns = StructureColumns.from_table(structures_table([]))
    assert len(columns) == 0
    assert columns.positions.shape == (0, 3)
    assert columns.lattices.shape == (0, 3, 3)


def test_unequal_lengths_are_refused(structures: list[Structure]) -> None:
    table = structures_table(structures)
    index = table.schema.get_field_index("species_at_sites")
    shorter = table.set_column(index, "species_at_sites", pa.array([["H"]] * 4))
    with pytest.raises(CrysiftError, match=r"differ in length.*validate"):
        StructureColumns.from_table(shorter)


def test_distinct_labels_are_counted_per_row() -> None:
    lists = pa.array([["A", "B", "A"], [], None, ["A", None, None], ["C"]])
    assert distinct_labels(lists).tolist() == [2, 0, 0, 2, 1]


def test_rows_taken_from_a_slice_are_those_of_the_slice(structures: list[Structure]) -> None:
    lattices = structures_table(structures)["lattice_vectors"]
    rows = pa.array([1, 0])
    taken = contiguous(lattices.slice(2, 2)).take(rows)
    assert taken.to_pylist() == [lattices[3].as_py(), lattices[2].as_py()]


@pytest.mark.parametrize("rows", [[], [[1, 2], [3]], [None, [4], []], [[5]]])
def test_numbers_of_rows_are_those_of_the_lists(rows: list[list[int] | None]) -> None:
    lists = pa.array(rows, pa.list_(pa.uint8()))
    assert [numbers.tolist() for numbers in list_rows(lists)] == [row or [] for row in rows]
