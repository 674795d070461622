"""The stage that labels structures."""

import pyarrow as pa
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from engine.errors import CrysiftError
from engine.schema import STRUCTURES
from engine.stage import check_pipeline
from engine.structure import Structure, structures_table
from engine.symmetry.crystal import MAX_SITES
from engine.symmetry.protostructure import PROTOSTRUCTURE_TOLERANCE
from engine.symmetry.stage import ProtostructureStage


def table_of(*atoms: Atoms) -> pa.Table:
    return structures_table([Structure.from_ase(a, "test", str(i)) for i, a in enumerate(atoms)])


def test_every_structure_is_a_row_with_a_label_or_a_reason() -> None:
    crowd = bulk("Cu", cubic=True).repeat((8, 8, 8))
    slab = bulk("Al")
    slab.pbc = [True, True, False]
    table = table_of(bulk("Fe"), molecule("C6H6"), crowd, bulk("Al"), slab, bulk("NaCl", "rocksalt", a=5.6))
    ordered = pa.array([True, True, True, False, True, True])
    table = table.set_column(table.schema.get_field_index("is_ordered"), "is_ordered", ordered)
    stage = ProtostructureStage()
    rows = stage.open()(table)
    assert rows.schema.equals(stage.writes)
    assert rows["structure_id"].to_pylist() == [f"test:{i}" for i in range(6)]
    assert rows["protostructure"].to_pylist() == ["A_cI2_229_a", None, None, None, None, "AB_cF8_225_a_b"]
    assert rows["space_group"].to_pylist() == [229, None, None, None, None, 225]
    assert rows["error_class"].to_pylist() == [
        None,
        "NotPeriodic",
        "TooManySitesError",
        "DisorderedStructure",
        "NotPeriodic",
        None,
    ]
    assert f"2048 sites, more than {MAX_SITES}" in rows["error_message"][2].as_py()
    assert set(rows["error_stage"].to_pylist()) == {None, "protostructures"}
    assert rows["status"].to_pylist() == ["ok", "failed", "failed", "failed", "failed", "ok"]


def test_atoms_in_one_place_are_a_reason() -> None:
    double = Atoms("Cu2", positions=[[0, 0, 0], [1e-9, 0, 0]], cell=[3, 3, 3], pbc=True)
    [row] = ProtostructureStage().open()(table_of(double)).to_pylist()
    assert (row["status"], row["error_class"]) == ("failed", "SymmetryError")
    assert "no protostructure of 2 sites" in row["error_message"]


def test_the_stage_reads_what_structures_hold_and_its_tolerance_is_checked() -> None:
    check_pipeline([ProtostructureStage()], STRUCTURES)
    assert ProtostructureStage().tolerance == PROTOSTRUCTURE_TOLERANCE
    assert ProtostructureStage(0.01).settings() != ProtostructureStage().settings()
    with pytest.raises(CrysiftError, match=r"-1 Å, is outside \(0, 1\]"):
        ProtostructureStage(-1.0)
