import numpy as np
import pyarrow as pa
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from engine.descriptors.neighbors import SearchTooLargeError
from engine.descriptors.soap import SoapSettings, SoapStage, soap_vector
from engine.descriptors.soap.stage import soap_features
from engine.structure import Structure, structures_table


def table_of(*atoms: Atoms) -> pa.Table:
    return structures_table([Structure.from_ase(a, "test", str(i)) for i, a in enumerate(atoms)])


def test_a_batch_gives_one_row_per_structure_in_order() -> None:
    crystals = [bulk("Cu"), bulk("NaCl", "rocksalt", a=5.64), molecule("C6H6"), bulk("Ti")]
    table = table_of(*crystals)
    features = SoapStage().open()(table)
    assert features.schema.equals(SoapStage().writes)
    assert features["structure_id"].to_pylist() == table["structure_id"].to_pylist()
    assert features["status"].to_pylist() == ["ok"] * 4
    for row, atoms in zip(features.to_pylist(), crystals, strict=True):
        single = soap_vector(
            atoms.positions, atoms.numbers.astype(np.int64), atoms.cell.array, atoms.pbc, SoapSettings()
        )
        np.testing.assert_array_equal(row["vector"], single.vector.astype(np.float32))
        assert row["n_pairs"] == single.n_pairs


def test_a_structure_that_cannot_be_described_is_a_row_with_a_reason() -> None:
    table = table_of(bulk("Cu"), bulk("Fe"), bulk("Al"))
    disordered = table.set_column(
        table.schema.get_field_index("is_ordered"), "is_ordered", pa.array([True, False, True])
    )
    features = soap_features(disordered, SoapSettings())
    assert features["status"].to_pylist() == ["ok", "failed", "ok"]
    assert features["error_class"].to_pylist() == [None, "DisorderedStructure", None]
    assert features["error_stage"][1].as_py() == "features_soap"
    assert features["vector"].null_count == 1
    assert features["d_nn_min"].null_count == 1


def test_two_labels_of_one_element_are_one_species() -> None:
    table = table_of(bulk("Fe", cubic=True), bulk("Fe", cubic=True))
    labels = pa.array([["Fe1", "Fe2"], ["Fe", "Fe"]], table.schema.field("species_at_sites").type)
    index = table.schema.get_field_index("species_at_sites")
    features = soap_features(table.set_column(index, "species_at_sites", labels), SoapSettings())
    assert features["vector"][0] == features["vector"][1]


def test_a_search_beyond_memory_is_refused_and_not_tried() -> None:
    positions = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.5, 0.5, 5e5]])
    lattice = np.diag([3.0, 3.0, 1e6])
    with pytest.raises(SearchTooLargeError, match="5,000,000 periodic images"):
        soap_vector(positions, np.array([1, 1, 2]), lattice, np.ones(3, np.bool_), SoapSettings())


def test_the_backend_is_part_of_what_determines_the_numbers() -> None:
    kernel = SoapStage(SoapSettings(basis="gto"))
    dscribe = SoapStage(SoapSettings(basis="gto", backend="dscribe"))
    assert kernel.settings() != dscribe.settings()
    ours = kernel.open()(table_of(bulk("Cu")))["vector"][0].as_py()
    theirs = dscribe.open()(table_of(bulk("Cu")))["vector"][0].as_py()
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
